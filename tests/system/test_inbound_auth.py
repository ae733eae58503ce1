"""SPF, DKIM and DMARC of mail from outside, from the client to the mailbox:
what is found, what goes on top of the message, what the policies do about it
(checklist B33, B44; plan test MAN13). Signatures are python3-dkim's."""

import base64
import json
import re
import socket
import struct
import time

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness import Client, Gateway, free_port, message, reply_id, wait_for

GOOD, BAD = "127.0.0.2", "127.0.0.3"  # clients; GOOD is in SPF records
ALL = ("spf_fail", "spf_softfail", "dkim_fail", "dmarc_fail")
HERE = "gw.example.net"


class Key:
    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537,
                                            key_size=2048)
        self.pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption())
        self.p = base64.b64encode(self.key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)).decode()


KEY, OTHER = Key(), Key()


def txt(name, text):
    """A record in strings of at most 255 octets."""
    parts = " ".join(f'"{text[i:i + 200]}"'
                     for i in range(0, len(text), 200)) or '""'
    return f"{name}. 300 IN TXT {parts}"


def key_record(selector, domain, p):
    return txt(f"{selector}._domainkey.{domain}", f"v=DKIM1; k=rsa; p={p}")


def zone():
    data = [txt("none.test", "nothing of ours"),
            txt("neutral.test", "v=spf1 ?all"),
            txt("soft.test", f"v=spf1 ip4:{GOOD} ~all"),
            txt("fail.test", f"v=spf1 ip4:{GOOD} -all"),
            txt("broken.test", "v=spf1 ip4:1.2.3 -all"),
            txt("include.test", "v=spf1 include:fail.test -all"),
            txt("late.test", "v=spf1 include:silent.example -all"),
            txt("helo.test", f"v=spf1 ip4:{GOOD} -all"),
            key_record("good", "none.test", KEY.p),
            key_record("other", "none.test", OTHER.p),
            key_record("revoked", "none.test", "")]
    for p in ("none", "quarantine", "reject"):
        d = f"p-{p}.test"
        data += [txt(d, f"v=spf1 ip4:{GOOD} -all"),
                 txt(f"_dmarc.{d}", f"v=DMARC1; p={p}"),
                 key_record("good", d, KEY.p),
                 key_record("good", f"sub.{d}", KEY.p),
                 txt(f"sub.{d}", f"v=spf1 ip4:{GOOD} -all")]
    return data


def sign(text, domain, selector="good", key=KEY):
    data = text.encode()
    return (dkim.sign(data, selector.encode(), domain.encode(), key.pem,
                      canonicalize=(b"relaxed", b"relaxed")) +
            data).decode()


def inbound_policy(domain, narrative, **actions):
    return {"narrative": narrative, "to": f"domain:{domain}", **actions}


POLICIES = [
    inbound_policy("reject.example", "Refuse", **dict.fromkeys(ALL, "reject")),
    inbound_policy("hold.example", "Hold", **dict.fromkeys(ALL, "hold")),
    inbound_policy("honour.example", "Honour", dmarc_fail="honour_dmarc"),
    inbound_policy("noact.example", "Nothing",
                   **dict.fromkeys(ALL, "take_no_action")),
    inbound_policy("ignore.example", "Ignore",
                   **dict.fromkeys(ALL, "ignore_managed_sender")),
]
DOMAINS = ["example.com"] + [p["to"][7:] for p in POLICIES]


class World:
    def __init__(self, path, **settings):
        self.g = Gateway(
            path,
            internal_domains=[{"domain": d, "route": "boxes"}
                              for d in DOMAINS],
            policies={"dns_authentication_inbound": POLICIES},
            **settings)
        self.g.settings["resolver"]["local_data"] = zone()
        self.g.mx("partner.test", "127.0.0.9")
        self.n = 0

    def text(self, author, body="Hello.\r\n", extra=""):
        self.n += 1
        self.subject = f"number {self.n} of {id(self)}"
        return extra + message(self.subject, body, author)

    def send(self, client, sender, rcpts, text, helo="client.example.com"):
        with self.g.client(source=client, ehlo=False, timeout=30) as c:
            assert c.ehlo(helo).code == 250
            return c.mail(sender, rcpts, text)

    def boxed(self):
        """The messages that hold the last subject."""
        want = f"Subject: {self.subject}\r\n".encode()
        return [m.replace(b"\n", b"\r\n") if b"\r\n" not in m else m
                for m in self.g.boxed()
                if want in m or want.replace(b"\r\n", b"\n") in m]

    def fields(self, event, reply):
        """The fields of the one line about this message."""
        qid = reply_id(reply)
        assert qid is not None, reply
        line = wait_for(lambda: self.g.lines(event, qid=qid), 15,
                        f"{event} {qid}\n" + "\n".join(self.g.log[-9:]))
        assert len(line) == 1, line
        return {k: q or v for k, q, v in re.findall(
            r'([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line[0])}

    def verdict(self, client, sender, text, to="u@example.com", **options):
        reply = self.send(client, sender, to, text, **options)
        assert reply.code == 250, reply
        return self.fields("authenticated", reply)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("world"))
    w.g.start()
    yield w
    w.g.stop()


# ---- what is found ---------------------------------------------------------

@pytest.mark.parametrize("client,sender,want", [
    (GOOD, "a@fail.test", "pass"),
    (BAD, "a@fail.test", "fail"),
    (BAD, "a@soft.test", "softfail"),
    (GOOD, "a@soft.test", "pass"),
    (GOOD, "a@include.test", "pass"),
    (BAD, "a@include.test", "fail"),
    (GOOD, "a@none.test", "none"),
    (GOOD, "a@nowhere.test", "none"),
    (GOOD, "a@neutral.test", "neutral"),
    (GOOD, "a@broken.test", "permerror"),
    (GOOD, "a@silent.example", "temperror"),
    (GOOD, "a@late.test", "temperror"),
])
def test_spf(world, client, sender, want):
    f = world.verdict(client, sender, world.text("a@none.test"))
    assert f["spf"] == want
    assert f["spf_domain"] == sender[2:]
    assert f["dkim"] == "none"
    assert f["dmarc"] == "none"


@pytest.mark.parametrize("client,want", [(GOOD, "pass"), (BAD, "fail")])
def test_spf_of_a_null_sender_is_that_of_helo(world, client, want):
    f = world.verdict(client, "", world.text("a@none.test"), helo="helo.test")
    assert f["spf"] == want
    assert f["spf_domain"] == "helo.test"


def changed(text):
    return text.replace("Hello", "Hullo")


@pytest.mark.parametrize("make,want", [
    (lambda t: sign(t, "none.test"), "pass:none.test"),
    (lambda t: changed(sign(t, "none.test")), "fail:none.test"),
    (lambda t: sign(t, "none.test").replace("number", "nummer", 1),
     "fail:none.test"),
    (lambda t: sign(t, "none.test", key=OTHER), "fail:none.test"),
    (lambda t: sign(t, "none.test", "missing"), "permerror:none.test"),
    (lambda t: sign(t, "none.test", "revoked"), "permerror:none.test"),
    (lambda t: sign(t, "silent.example"), "temperror:silent.example"),
    (lambda t: sign(sign(t, "none.test"), "none.test", "other"),
     "fail:none.test pass:none.test"),
    (lambda t: "DKIM-Signature: nonsense\r\n" + t, "neutral:?"),
])
def test_dkim(world, make, want):
    f = world.verdict(GOOD, "a@fail.test", make(world.text("a@none.test")))
    assert f["dkim"] == want


@pytest.mark.parametrize("client,sender,signer,author,want", [
    # Nothing passes, or nothing that is aligned.
    (BAD, "a@p-reject.test", None, "a@p-reject.test", "fail"),
    (GOOD, "a@fail.test", None, "a@p-reject.test", "fail"),
    (GOOD, "a@fail.test", "none.test", "a@p-none.test", "fail"),
    # Either of them does, also relaxed.
    (GOOD, "a@p-reject.test", None, "a@p-reject.test", "pass"),
    (BAD, "a@fail.test", "p-reject.test", "a@p-reject.test", "pass"),
    (GOOD, "a@sub.p-reject.test", None, "a@p-reject.test", "pass"),
    (BAD, "a@none.test", "p-reject.test", "a@sub.p-reject.test", "pass"),
    # No policy.
    (GOOD, "a@fail.test", None, "a@none.test", "none"),
    # A subdomain has that of its organisation.
    (GOOD, "a@fail.test", None, "a@x.y.p-quarantine.test", "fail"),
])
def test_dmarc(world, client, sender, signer, author, want):
    text = world.text(author)
    f = world.verdict(client, sender, text if signer is None
                      else sign(text, signer))
    assert f["dmarc"] == want, f
    assert f["author"] == author[2:]
    if want == "fail":
        assert f["dmarc_policy"] == re.search("p-([a-z]*)", author).group(1)


def test_no_answer_is_never_a_dmarc_fail(world):
    """Rule 6: an aligned signature whose key DNS does not give may be good."""
    text = world.text("a@silent.example")
    f = world.verdict(BAD, "a@fail.test", text)
    assert f["dmarc"] == "temperror"
    # A stranger's signature that nobody answers for changes nothing.
    text = sign(world.text("a@p-reject.test"), "silent.example")
    r = world.send(BAD, "a@silent.example", "u@honour.example", text)
    assert r.code == 550, r


@pytest.mark.parametrize("fields", [
    "From: a@none.test, b@p-reject.test\r\n",
    "From: b@p-reject.test, a@none.test\r\n",
    "From: a@none.test\r\nFrom: b@p-reject.test\r\n",
    "From: b@p-reject.test\r\nFrom: a@none.test\r\n",
    "From: a@none.test, c@fail.test, d@soft.test, b@p-reject.test\r\n",
    "From: a@1.2.3.4.5.6.7.8.9.test, a@2.2.3.4.5.6.7.8.9.test,\r\n"
    " a@3.2.3.4.5.6.7.8.9.test, b@p-reject.test\r\n",
])
def test_every_author_counts(world, fields):
    """RFC 9989 section 11.5: a second author hides none."""
    text = world.text("x@none.test").replace("From: x@none.test\r\n", fields)
    r = world.send(GOOD, "a@none.test", "u@honour.example", text)
    assert r.code == 550, r
    f = world.fields("authenticated", r)
    assert (f["dmarc"], f["author"]) == ("fail", "p-reject.test")


def test_more_authors_than_are_looked_up(world):
    many = ", ".join(f"a@d{i}.test" for i in range(6))
    text = world.text("x@none.test").replace("From: x@none.test",
                                             f"From: {many}")
    f = world.verdict(GOOD, "a@none.test", text)
    assert f["dmarc"] == "permerror"
    assert "too many" in f["dmarc_reason"]


# ---- the field -------------------------------------------------------------

def our_fields(data):
    """All fields, and those that tell results; folded as they are."""
    fields = []
    for line in data.split(b"\r\n\r\n", 1)[0].decode().split("\r\n"):
        if line[0] in " \t":
            fields[-1] += "\r\n" + line
        else:
            fields.append(line)
    return fields, [f for f in fields
                    if f.lower().startswith("authentication-results")]


def test_the_field_on_top(world):
    text = sign(world.text("a@p-reject.test"), "p-reject.test")
    r = world.send(GOOD, "a@p-reject.test", "u@example.com", text)
    assert r.code == 250, r
    got = wait_for(world.boxed, what="delivery")[0]
    fields, ours = our_fields(got)
    assert len(ours) == 1
    flat = re.sub(r"\r\n[ \t]", " ", ours[0])
    assert re.match(rf"Authentication-Results: {HERE}; ", flat), flat
    for word in ("spf=pass", "smtp.mailfrom=", "dkim=pass",
                 "header.d=p-reject.test", "dmarc=pass",
                 "header.from=p-reject.test"):
        assert word in flat, flat
    at = [i for i, f in enumerate(fields) if f == ours[0]][0]
    received = [i for i, f in enumerate(fields)
                if f.lower().startswith("received:")][0]
    assert at < received
    # Nothing else of it has changed: the signature still holds.
    assert got.endswith(text.encode().split(b"\r\n\r\n", 1)[1])
    assert dkim.verify(got[got.index(b"DKIM-Signature"):],
                       dnsfunc=lambda name, timeout=5:
                       f"v=DKIM1; k=rsa; p={KEY.p}".encode())


FORGED = [
    f"Authentication-Results: {HERE}; spf=pass smtp.mailfrom=p-reject.test",
    f"authentication-results: {HERE.upper()}; dkim=pass",
    f"AUTHENTICATION-RESULTS:{HERE} 1; dmarc=pass",
    f"Authentication-Results: \"{HERE}\"; spf=pass",
    f"Authentication-Results: (c) {HERE} (d); spf=pass",
    f"Authentication-Results:\r\n {HERE};\r\n\tspf=pass",
    f"Authentication-Results: {HERE}.; spf=pass",
    f"Authentication-Results: {HERE}; none",
]
FOREIGN = "Authentication-Results: mx.other.test; spf=pass"


@pytest.mark.parametrize("size", [0, 300000])
def test_b44_forged_fields_are_removed(world, size):
    """B44: eight in a row, in memory and streamed."""
    extra = "\r\n".join(FORGED + [FOREIGN]) + "\r\n"
    text = world.text("a@none.test", extra=extra,
                      body="Hello.\r\n" + "x" * 70 * (size != 0) + "\r\n" +
                      ("y" * 70 + "\r\n") * (size // 72))
    r = world.send(BAD, "a@fail.test", "u@example.com", text)
    assert r.code == 250, r
    got = wait_for(world.boxed, what="delivery")[0]
    _, found = our_fields(got)
    assert len(found) == 2, found
    assert "spf=fail" in found[0] and HERE in found[0]
    assert found[1] == FOREIGN
    assert got.endswith(text.encode().split(b"\r\n\r\n", 1)[1])


# ---- what is done about it -------------------------------------------------

FAILING = {  # sender, author; by what of the policy counts
    "spf_fail": (BAD, "a@fail.test", "a@none.test", None),
    "spf_softfail": (BAD, "a@soft.test", "a@none.test", None),
    "dkim_fail": (GOOD, "a@fail.test", "a@none.test", changed),
    "dmarc_fail": (GOOD, "a@fail.test", "a@p-none.test", None),
}


@pytest.mark.parametrize("what", ALL)
@pytest.mark.parametrize("to", DOMAINS)
def test_actions(world, what, to):
    client, sender, author, spoil = FAILING[what]
    text = world.text(author)
    if spoil is not None:
        text = spoil(sign(text, "none.test"))
    r = world.send(client, sender, f"u@{to}", text)
    f = world.fields("authenticated", r)
    name = what.split("_")[0]
    if to == "reject.example":
        assert r.code == 550, r
        assert r.lines[-1].split()[0] == {
            "spf": "5.7.23", "dkim": "5.7.20", "dmarc": "5.7.1"}[name]
        refused = world.fields("refused", r)
        assert refused["reason"] == name
        assert refused["policy"] == "Refuse"
        assert f["action"] == "reject"
        time.sleep(0.3)
        assert not world.boxed()
        return
    assert r.code == 250, r
    if to == "hold.example":
        assert f["action"] == "hold"
        held = world.fields("held", r)
        assert 'policy \\"Hold\\" says hold' in held["reason"]
        time.sleep(0.3)
        assert not world.boxed()
        return
    assert f["action"] == ("ignore_managed_sender" if to == "ignore.example"
                           else "none")
    wait_for(world.boxed, what="delivery")


@pytest.mark.parametrize("p,code,boxed", [
    ("none", 250, True), ("quarantine", 250, False), ("reject", 550, False)])
def test_honour_dmarc(world, p, code, boxed):
    r = world.send(BAD, "a@fail.test", "u@honour.example",
                   world.text(f"a@p-{p}.test"))
    assert r.code == code, r
    if boxed:
        wait_for(world.boxed, what="delivery")
        return
    if code == 250:
        assert "DMARC fail" in world.fields("held", r)["reason"]
    time.sleep(0.3)
    assert not world.boxed()


def test_held_mail_is_listed_with_its_reason(world):
    r = world.send(BAD, "a@fail.test", "u@hold.example",
                   world.text("a@none.test"))
    world.fields("held", r)
    shown = world.g.api("queue", "--json", "--status", "held").stdout
    assert reply_id(r) in shown
    assert "SPF fail for fail.test" in shown
    # Nobody delivers it.
    wait_for(lambda: json.loads(world.g.api("status", "--json").stdout)
             ["queue"]["active"] == 0, what="nothing active")


def test_recipients_whose_policies_differ(world):
    """One message has one answer: it is refused when all of them refuse it,
    else it is held for those who do."""
    text = world.text("a@none.test")
    r = world.send(BAD, "a@fail.test",
                   ["u@reject.example", "v@reject.example"], text)
    assert r.code == 550, r
    text = world.text("a@none.test")
    r = world.send(BAD, "a@fail.test",
                   ["u@reject.example", "u@example.com", "u@hold.example",
                    "u@noact.example"], text)
    assert r.code == 250, r
    wait_for(lambda: len(world.boxed()) == 2, what="two deliveries")
    qid = reply_id(r)
    held = wait_for(lambda: len(world.g.lines("held", qid=qid)) == 2 and
                    world.g.lines("held", qid=qid), what="two held")
    assert {re.search(r" to=(\S+)", line).group(1) for line in held} == {
        "u@reject.example", "u@hold.example"}
    assert any("others of the message's recipients accept it" in line
               for line in held)
    time.sleep(0.3)
    assert len(world.boxed()) == 2
    # The two that wait stand still after a restart too.
    world.g.stop()
    world.g.start()
    time.sleep(1)
    assert len(world.boxed()) == 2
    shown = world.g.api("queue", "--json", "--status", "held").stdout
    assert shown.count(qid) >= 1 and "u@hold.example" in shown
    assert "u@reject.example" in shown and "u@noact.example" not in shown


def test_what_is_ours_is_not_verified(world):
    for client, sender, to in (("127.0.0.1", "a@example.com", "u@partner.test"),
                               ("127.0.0.1", "a@example.com",
                                "u@example.com")):
        text = world.text(sender, extra=FORGED[0] + "\r\n")
        r = world.send(client, sender, to, text)
        assert r.code == 250, r
        world.fields("accepted", r)
        assert not world.g.lines("authenticated", qid=reply_id(r))
    got = wait_for(world.boxed, what="delivery")[0]
    assert our_fields(got)[1] == [FORGED[0]]  # not a claim about this way


def test_a_long_message(world):
    body = ("0123456789" * 7 + "\r\n") * 280000  # 20 MB
    text = sign(world.text("a@none.test", body), "none.test")
    f = world.verdict(GOOD, "a@fail.test", text)
    assert f["dkim"] == "pass:none.test"
    got = wait_for(world.boxed, 30, "delivery")[0]
    assert got.endswith(body[-1000:].encode())
    assert len(got) > len(text)
    text = sign(world.text("a@none.test", body), "none.test")
    at = len(text) - 5
    text = text[:at] + "#" + text[at + 1:]
    f = world.verdict(GOOD, "a@fail.test", text)
    assert f["dkim"] == "fail:none.test"


# ---- DNS that does not answer ----------------------------------------------

@pytest.fixture
def silent(tmp_path):
    """A gateway whose resolver never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", free_port()))
        w = World(tmp_path / "silent", resolver={
            "servers": [f"127.0.0.1@{s.getsockname()[1]}"],
            "timeout": "5m"})
        w.g.start()
        yield w
        w.g.stop(40)


def begin(w, client, text, to="u@reject.example"):
    """A client that has sent its dot."""
    c = Client("127.0.0.1", w.g.port, source=client, timeout=40)
    for line in ("MAIL FROM:<a@silent.example>", f"RCPT TO:<{to}>"):
        assert c.cmd(line).code == 250
    assert c.cmd("DATA").code == 354
    c.send(text + ".\r\n")
    return c


def test_a_resolver_that_never_answers(silent):
    """Bounded, temperror, and accepted whatever the policy says (rule 6). The
    client is not kept waiting behind others."""
    text = sign(silent.text("a@silent.example"), "silent.example")
    began = time.monotonic()
    clients = [begin(silent, BAD, text) for _ in range(3)]
    with silent.g.client() as c:  # others are served meanwhile
        assert c.mail("a@example.com", "u@example.com",
                      message()).code == 250
    assert time.monotonic() - began < 5
    for c in clients:
        r = c.reply()
        assert r.code == 250, r
        f = silent.fields("authenticated", r)
        assert (f["spf"], f["dkim"], f["dmarc"]) == (
            "temperror", "temperror:silent.example", "temperror")
        assert f["action"] == "none"
    took = time.monotonic() - began
    assert 10 < took < 20.5
    wait_for(lambda: len(silent.boxed()) == 3, what="deliveries")


def test_a_client_that_hangs_up(silent):
    """Whoever has no 250 sends it again: nothing is kept. Whoever has only
    stopped sending gets its answer, and one copy is delivered."""
    text = silent.text("a@silent.example")
    gone = begin(silent, BAD, text)
    time.sleep(0.5)
    gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    gone.sock.close()
    big = silent.text("a@silent.example", "x" * 70 + "\r\n" +
                      ("y" * 70 + "\r\n") * 10000)
    gone = begin(silent, BAD, big)
    time.sleep(1)
    gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    gone.sock.close()
    wait_for(lambda: json.loads(silent.g.api("status", "--json").stdout)
             ["sessions"]["open"] == 0, 5, "the end of both sessions")
    text = silent.text("a@silent.example")
    half = begin(silent, BAD, text)
    half.sock.shutdown(socket.SHUT_WR)
    assert half.reply().code == 250
    wait_for(silent.boxed, what="delivery")
    time.sleep(0.5)
    assert len(silent.g.boxed()) == 1
    assert len(silent.g.lines("accepted")) == 1
    content = (silent.g.dir / "state" / "content").iterdir()
    assert not [p for p in content
                if len(big) < p.stat().st_size < len(big) + 4096]


def test_the_server_stops_meanwhile(silent):
    """The message is accepted and kept, or was never accepted."""
    c = begin(silent, BAD, silent.text("a@silent.example"))
    time.sleep(0.3)
    silent.g.process.terminate()
    r = c.reply()
    assert r.code in (250, 421), r
    silent.g.stop(40)
    silent.g.start()
    if r.code == 250:
        wait_for(silent.boxed, what="delivery")
    time.sleep(1)
    assert len(silent.boxed()) == (r.code == 250)
