"""Secure Receipt: what a policy demands of the session that brings the mail,
at RCPT and, where it asks for the From field, at the end of data."""

import json
import signal
import sqlite3
import ssl
import warnings

import pytest
from cryptography.hazmat.primitives import serialization

from harness import CA, Client, Gateway, free_port, message, reply_id

warnings.filterwarnings("ignore", category=DeprecationWarning)

FOREIGN = "127.0.0.9"  # no authorized source
TLS = "This route requires encryption (TLS)"
VERSION = "This route requires TLS version 1.3 or greater"
CIPHER = "This route requires high-strength ciphers"
CERTIFICATE = "This route requires a client certificate"
REASON = {TLS: "receipt_tls", VERSION: "receipt_version",
          CIPHER: "receipt_cipher", CERTIFICATE: "receipt_certificate"}


def enforced(name, **more):
    return {"narrative": name, "option": "enforced_tls", **more}


POLICIES = [
    {"narrative": "Opportunistic TLS",
     "option": "secure_smtp_where_possible"},
    enforced("some TLS", to="address:tls@example.com"),
    enforced("new TLS", to="address:new@example.com", tls_version="1.3"),
    enforced("strong TLS", to="address:strong@example.com",
             ssl_mode="strong"),
    enforced("known client", to="address:known@example.com",
             client_certificate="required"),
    enforced("any certificate", to="address:any@example.com",
             client_certificate="required", encryption_mode="relaxed"),
    enforced("all of it", to="address:all@example.com", ssl_mode="strong",
             tls_version="1.3", client_certificate="required"),
    enforced("bank", **{"from": "domain:bank.test"}),
    enforced("boss", **{"from": "address:boss@example.com"},
             based_on="header"),
    enforced("boss to him", **{"from": "address:chief@example.com"},
             to="address:him@partner.test", based_on="header"),
    enforced("both", **{"from": "address:both@example.com"},
             based_on="both"),
    enforced("disabled", to="address:off@example.com", enabled=False),
    enforced("over", to="address:past@example.com",
             valid_to="2020-01-01T00:00:00Z"),
    enforced("from there", to="address:there@example.com",
             source_ips=["127.0.0.5"]),
    enforced("ours", **{"from": "internal"},
             to="address:ours@example.com"),
    enforced("theirs", **{"from": "external"},
             to="address:theirs@example.com"),
]


@pytest.fixture(scope="module")
def clients_ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("clients-ca"), "Clients CA")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, ca, clients_ca):
    tls_port = free_port()
    g = Gateway(tmp_path_factory.mktemp("receipt") / "gw", ca,
                gateway={"client_ca_file": str(clients_ca.file)},
                policies={"secure_receipt": POLICIES})
    g.settings["gateway"]["listen"].append(
        {"address": f"127.0.0.1:{tls_port}", "tls": "implicit"})
    g.write()
    g.tls_port = tls_port
    g.start()
    yield g
    g.stop()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory, ca, clients_ca):
    """Clients by name; all of them would take any server of the tests."""
    def make(version=None, ciphers=None, certificate=None):
        c = ca.client_context(certificate)
        if version is not None:
            c.minimum_version = c.maximum_version = version
        if ciphers is not None:
            c.set_ciphers(ciphers)
        return c

    tls12, tls13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    other = CA(tmp_path_factory.mktemp("other"), "Clients CA")
    self_signed = other.dir / "self.key"
    self_signed.write_bytes(other.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    name = "mail.partner.test"
    return {
        "cbc12": make(tls12, "ECDHE-ECDSA-AES128-SHA256"),
        "gcm12": make(tls12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        "chacha12": make(tls12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        "tls13": make(tls13),
        "known12": make(tls12, "ECDHE-ECDSA-AES128-GCM-SHA256",
                        clients_ca.issue(name)),
        "known13": make(tls13, None, clients_ca.issue(name)),
        "self-signed": make(tls13, None, (other.file, self_signed)),
        # by an authority that only has the name of ours
        "self-made": make(tls13, None, other.issue(name)),
        "expired": make(tls13, None, clients_ca.issue(name, days=-1)),
    }


def connect(g, contexts, kind, source="127.0.0.1"):
    if kind == "plain":
        return g.client(source=source)
    if kind.startswith("implicit "):
        return Client("127.0.0.1", g.tls_port, source=source,
                      tls=contexts[kind.split()[1]])
    c = g.client(source=source).starttls(contexts[kind])
    assert c.ehlo().code == 250
    return c


def pair(c, sender, rcpt):
    """The reply to RCPT; MAIL is always taken."""
    assert c.cmd(f"MAIL FROM:<{sender}>").code == 250
    r = c.cmd(f"RCPT TO:<{rcpt}>")
    assert c.cmd("RSET").code == 250
    return r


def check(g, r, text, policy, rcpt):
    """A refusal with this text, and its line in the log; text None: none."""
    if text is None:
        assert r.code == 250, r
        return
    code = "5.7.1" if text == CERTIFICATE else "5.7.10"
    qid = reply_id(r)
    assert r.code == 553 and qid, r
    assert r.text == f"{code} {text} [{qid}]", r
    line = g.wait_log("refused", qid=qid, code=553, reason=REASON[text],
                      to=rcpt)[0]
    assert f'policy="{policy}"' in line or f"policy={policy}" in line, line


# ---- the table -------------------------------------------------------------

RCPTS = ["free", "tls", "new", "strong", "known", "any", "all"]
NAMES = dict(zip(RCPTS, [None, "some TLS", "new TLS", "strong TLS",
                         "known client", "any certificate", "all of it"]))
T, V, C, K, OK = TLS, VERSION, CIPHER, CERTIFICATE, None


@pytest.mark.parametrize("kind, answers", [
    # for:              free tls new strong known any all
    ("plain",            (OK, T, T, T, T, T, T)),
    ("cbc12",            (OK, OK, V, C, K, K, V)),
    ("gcm12",            (OK, OK, V, OK, K, K, V)),
    ("chacha12",         (OK, OK, V, OK, K, K, V)),
    ("tls13",            (OK, OK, OK, OK, K, K, K)),
    ("known12",          (OK, OK, V, OK, OK, OK, V)),
    ("known13",          (OK, OK, OK, OK, OK, OK, OK)),
    ("self-signed",      (OK, OK, OK, OK, K, OK, K)),
    ("self-made",        (OK, OK, OK, OK, K, OK, K)),
    ("expired",          (OK, OK, OK, OK, K, OK, K)),
    ("implicit cbc12",   (OK, OK, V, C, K, K, V)),
    ("implicit tls13",   (OK, OK, OK, OK, K, K, K)),
    ("implicit known13", (OK, OK, OK, OK, OK, OK, OK)),
    ("implicit self-made", (OK, OK, OK, OK, K, OK, K)),
])
@pytest.mark.parametrize("source, sender", [
    ("127.0.0.1", "a@example.com"), (FOREIGN, "x@foreign.test")])
def test_table(gateway, contexts, kind, answers, source, sender):
    """Of an internal mail and of an inbound one."""
    with connect(gateway, contexts, kind, source) as c:
        for rcpt, text in zip(RCPTS, answers):
            address = f"{rcpt}@example.com"
            check(gateway, pair(c, sender, address), text, NAMES[rcpt],
                  address)


def test_outbound(gateway, contexts):
    """The sender's side of a policy, and mail that leaves."""
    with connect(gateway, contexts, "plain") as c:
        r = pair(c, "x@bank.test", "b@example.com")
        check(gateway, r, TLS, "bank", "b@example.com")
        check(gateway, pair(c, "x@sub.bank.test", "b@example.com"), None,
              None, None)
        r = pair(c, "both@example.com", "b@partner.test")
        check(gateway, r, TLS, "both", "b@partner.test")
    with connect(gateway, contexts, "cbc12") as c:
        check(gateway, pair(c, "x@bank.test", "b@example.com"), None, None,
              None)
        check(gateway, pair(c, "both@example.com", "b@partner.test"), None,
              None, None)


@pytest.mark.parametrize("sender, source, rcpt, refused", [
    ("a@example.com", "127.0.0.1", "off@example.com", False),
    ("a@example.com", "127.0.0.1", "past@example.com", False),
    ("a@example.com", "127.0.0.1", "there@example.com", False),
    ("x@foreign.test", "127.0.0.5", "there@example.com", True),
    ("a@example.com", "127.0.0.1", "ours@example.com", True),
    ("x@foreign.test", "127.0.0.1", "ours@example.com", False),
    ("x@foreign.test", FOREIGN, "theirs@example.com", True),
    # the null sender is who its source is
    ("", "127.0.0.1", "ours@example.com", True),
    ("", FOREIGN, "ours@example.com", False),
    ("", FOREIGN, "theirs@example.com", True),
    ("", "127.0.0.1", "theirs@example.com", False),
])
def test_which_policy(gateway, sender, source, rcpt, refused):
    with gateway.client(source=source) as c:
        r = pair(c, sender, rcpt)
    assert r.code == (553 if refused else 250), r


# ---- order and neighbours --------------------------------------------------

def test_c48_only_what_the_policy_says(gateway, ca, contexts):
    """One refused recipient costs the others nothing, and the client may turn
    TLS on and try again on the same connection."""
    with gateway.client() as c:
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        assert c.cmd("RCPT TO:<tls@example.com>").code == 553
        assert c.cmd("RCPT TO:<free@example.com>").code == 250
        assert c.cmd("RCPT TO:<new@example.com>").code == 553
        assert c.cmd("DATA").code == 354
        r = c.content(message())
        assert r.code == 250, r
        line = gateway.wait_log("accepted", qid=reply_id(r))[0]
        assert " nrcpt=1 " in line and " tls=" not in line, line
        c.starttls(contexts["tls13"])
        c.ehlo()
        r = c.mail("a@example.com", ["tls@example.com", "new@example.com"],
                   message())
        assert r.code == 250, r
        line = gateway.wait_log("accepted", qid=reply_id(r))[0]
        assert " nrcpt=2 " in line and " tls=TLSv1.3 " in line, line


def test_pipelined(gateway):
    with gateway.client() as c:
        c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<tls@example.com>\r\n"
               "RCPT TO:<all@example.com>\r\nRSET\r\n"
               "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
        got = [c.reply() for _ in range(6)]
    assert [r.code for r in got] == [250, 553, 553, 250, 250, 250]


def test_admission_comes_first(gateway):
    """A relay attempt is told so, whatever policy would hold; so is a sender
    who is not who he says."""
    with gateway.client(source=FOREIGN) as c:
        r = pair(c, "x@bank.test", "b@partner.test")
        assert r.code == 451 and "Open relay not allowed" in r.text, r
        r = pair(c, "a@example.com", "tls@example.com")
        assert r.code == 550 and "anti-spoofing" in r.text, r
        gateway.wait_log("refused", qid=reply_id(r), reason="spoof")
        r = c.cmd("RCPT TO:<tls@example.com>")
        assert r.code == 503, r


def test_b14_trying_addresses_ends(make_gateway):
    g = make_gateway(limits={"idle_commands": 20}, policies={
        "secure_receipt": [enforced("all")]})
    with g.client() as c:
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        codes = [c.cmd(f"RCPT TO:<r{i}@example.com>").code
                 for i in range(18)]
        assert set(codes) == {553}
        c.send("RCPT TO:<x@example.com>\r\n" * 4)
        assert b"\r\n421 4.7.0 " in b"\r\n" + c.rest()


# ---- the From field --------------------------------------------------------

def finish(c, rcpts, text, how, sender="a@example.com"):
    """Sends a message whose RCPTs are all taken; the last reply."""
    assert c.cmd(f"MAIL FROM:<{sender}>").code == 250
    for rcpt in rcpts:
        assert c.cmd(f"RCPT TO:<{rcpt}>").code == 250
    if how == "BDAT":
        data = text.encode()
        c.send(f"BDAT {len(data)} LAST\r\n".encode() + data)
        return c.reply()
    assert c.cmd("DATA").code == 354
    return c.content(text)


@pytest.mark.parametrize("how, size", [("DATA", 1), ("DATA", 40000),
                                       ("BDAT", 1), ("BDAT", 40000)])
def test_header_based(gateway, contexts, how, size):
    text = message(body="Hello.\r\n" * size, sender="The Boss "
                   "<boss@example.com>")
    rcpts = ["free@example.com", "b@partner.test"]
    with gateway.client() as c:
        r = finish(c, rcpts, text, how)
        qid = reply_id(r)
        assert r.code == 553 and r.text == f"5.7.10 {TLS} [{qid}]", r
        line = gateway.wait_log("refused", qid=qid, code=553,
                                reason="receipt_tls")[0]
        assert " policy=boss" in line, line
        # nothing is left of it, and the session goes on
        r = finish(c, rcpts[:1], message(), how)
        assert r.code == 250, r
    assert not gateway.lines("accepted", qid=qid)
    with connect(gateway, contexts, "cbc12") as c:
        r = finish(c, rcpts[:1], text, how)
        assert r.code == 250, r


def test_any_recipient(gateway):
    """The policy of one recipient is enough, wherever he stands."""
    others = [f"r{i}@partner.test" for i in range(3)]
    text = message(sender="chief@example.com")
    with gateway.client() as c:
        r = finish(c, others, text, "DATA")
        assert r.code == 250, r
        for at in range(4):
            rcpts = others[:at] + ["him@partner.test"] + others[at:]
            r = finish(c, rcpts, text, "DATA")
            assert r.code == 553, r
            line = gateway.wait_log("refused", qid=reply_id(r))[0]
            assert ' policy="boss to him"' in line, line


@pytest.mark.parametrize("author, refused", [
    ("boss@example.com", True),
    ("BOSS@EXAMPLE.COM", True),
    ("a@example.com, boss@example.com", True),
    ("a@example.com\r\nFrom: boss@example.com", False),  # read: the first
    ("boss@example.com\r\nFrom: a@example.com", True),
    ("both@example.com", True),
    ("a@example.com", False),
    ("x@bank.test", False),  # that policy is about the envelope
    ("boss@example.com.", None),
])
def test_authors(gateway, author, refused):
    with gateway.client() as c:
        r = finish(c, ["free@example.com"], message(sender=author), "DATA")
    if refused is None:  # malformed: nobody is meant
        refused = False
    assert r.code == (553 if refused else 250), r


def test_envelope_is_not_header(gateway):
    """based_on header looks at the From field only."""
    with gateway.client() as c:
        r = finish(c, ["free@example.com"], message(), "DATA",
                   "boss@example.com")
    assert r.code == 250, r


# ---- TLS sessions and reloads ----------------------------------------------

@pytest.mark.parametrize("kind, good", [
    ("known12", True), ("known13", True), ("self-made", False),
    ("self-signed", False), ("expired", False), ("tls13", False)])
def test_b09_resumed(gateway, contexts, kind, good):
    """A resumed session is the client that began it, no more and no less."""
    context = contexts[kind]
    with connect(gateway, contexts, kind) as c:
        r = pair(c, "a@example.com", "known@example.com")
        assert r.code == (250 if good else 553), r
        session = c.sock.session
    with gateway.client() as c:
        assert c.cmd("STARTTLS").code == 220
        c.sock = context.wrap_socket(c.sock, session=session,
                                     server_hostname="gw.example.net")
        assert c.ehlo().code == 250
        assert c.sock.session_reused
        r = pair(c, "a@example.com", "known@example.com")
        assert r.code == (250 if good else 553), r


def test_b75_reload(make_gateway, contexts, clients_ca):
    """A transaction keeps the policies that it began under."""
    g = make_gateway(gateway={"client_ca_file": str(clients_ca.file)},
                     policies={"secure_receipt": [POLICIES[0]]})
    reloads = len(g.lines("reloaded"))
    with g.client() as plain, connect(g, contexts, "known13") as tls:
        assert plain.cmd("MAIL FROM:<a@example.com>").code == 250
        g.write(policies={"secure_receipt": [
            enforced("all", client_certificate="required")]})
        g.signal(signal.SIGHUP)
        g.wait_log("reloaded")
        assert len(g.lines("reloaded")) == reloads + 1
        assert plain.cmd("RCPT TO:<b@example.com>").code == 250
        assert plain.cmd("DATA").code == 354
        assert plain.content(message()).code == 250
        check(g, pair(plain, "a@example.com", "b@example.com"), TLS, "all",
              "b@example.com")
        # nobody had asked this client for its certificate
        check(g, pair(tls, "a@example.com", "b@example.com"), CERTIFICATE,
              "all", "b@example.com")
        session = tls.sock.session
    with g.client() as c:  # nor does the old session stand for an answer
        assert c.cmd("STARTTLS").code == 220
        c.sock = contexts["known13"].wrap_socket(
            c.sock, session=session, server_hostname="gw.example.net")
        c.ehlo()
        check(g, pair(c, "a@example.com", "b@example.com"), None, None, None)


# ---- evidence --------------------------------------------------------------

def receipt(g):
    """Of the only message in the queue."""
    db, = (g.dir / "state").glob("*.db")
    row, = sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute(
        "SELECT receipt FROM message")
    return json.loads(row[0])


@pytest.mark.parametrize("kind, version, name, error", [
    ("known13", "TLSv1.3", "mail.partner.test", ""),
    ("known12", "TLSv1.2", "mail.partner.test", ""),
    ("self-made", "TLSv1.3", "mail.partner.test",
     "certificate signature failure"),
    ("self-signed", "TLSv1.3", "Clients CA", "self-signed certificate"),
    ("expired", "TLSv1.3", "mail.partner.test", "certificate has expired"),
    ("tls13", "TLSv1.3", None, None)])
def test_receipt_tells(make_gateway, contexts, clients_ca, kind, version,
                       name, error):
    g = make_gateway(gateway={"client_ca_file": str(clients_ca.file)},
                     policies={"secure_receipt": [
                         enforced("any", to="domain:other.test",
                                  client_certificate="required")]})
    with connect(g, contexts, kind) as c:
        r = c.mail("a@example.com", "b@partner.test", message())
        assert r.code == 250, r
        got = receipt(g)
        cipher = c.sock.cipher()[0]
    line = g.wait_log("accepted", qid=reply_id(r), tls=version,
                      cipher=cipher)[0]
    assert got["tls"] == version and got["cipher"] == cipher, got
    assert got["group"].lower() in ("x25519", "secp256r1", "prime256v1"), got
    assert f" group={got['group']} " in line, line
    if error is None:
        assert "subject" not in got and " subject=" not in line
        return
    assert got["certificate_error"] == error
    assert got["subject"] == f"CN={name}"
    assert got["issuer"] == "CN=Clients CA"
    assert len(bytes.fromhex(got["fingerprint"])) == 32
    assert f"subject=CN={name}" in line.replace('"', ""), line


def test_no_policy_no_question(make_gateway, contexts):
    """Without a policy that wants one, no client is asked for a certificate;
    what is not asked for is not recorded."""
    g = make_gateway(policies={"secure_receipt": [enforced("TLS")]})
    with connect(g, contexts, "known13") as c:
        r = c.mail("a@example.com", "b@example.com", message())
        assert r.code == 250, r
    line = g.wait_log("accepted", qid=reply_id(r))[0]
    assert " subject=" not in line, line
