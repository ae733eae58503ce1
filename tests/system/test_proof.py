"""What an entry of authorized_outbound may ask for beside the address (B27):
a client certificate, or SMTP AUTH over TLS (C58, B19)."""

import base64
import re
import warnings

import pytest

from harness import CA, Gateway, message, reply_id, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

CERTIFIED, LOGGED_IN = "127.0.0.1", "127.0.0.7"
NAME = "mail.example.com"
USERS = {  # a user for each method of crypt(5) that the file may hold
    "yescrypt": ("one pass", "$y$j9T$1234567890abcdefghijk0"),
    "gost-yescrypt": ("two pass", "$gy$j9T$1234567890abcdefghijk0"),
    "scrypt": ("three", "$7$CU..../....12345678abcdefgh"),
    "bcrypt": ("four", "$2b$05$1234567890abcdefghijku"),
    "sha512": ("fünf", "$6$saltsalt"),
    "sha256": ("six", "$5$saltsalt"),
    "md5": ("seven", "$1$saltsalt"),
    "long" + "u" * 251: ("p" * 511, "$6$saltsalt"),
}


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes)
                            else text.encode()).decode()


def plain(user, secret, authzid=""):
    return b64(f"{authzid}\0{user}\0{secret}")


@pytest.fixture(scope="module")
def clients_ca(tmp_path_factory):
    """Vouches for clients only; the other one for servers."""
    return CA(tmp_path_factory.mktemp("clients-ca"), "Clients CA")


@pytest.fixture(scope="module")
def gateways(tmp_path_factory, ca, clients_ca):
    """By admission.refuse."""
    path = tmp_path_factory.mktemp("proof")
    users = path / "users"
    users.write_text("# who may send\n\n" + "".join(
        f"{user}:{crypt.crypt(secret, salt)}\n"
        for user, (secret, salt) in USERS.items()))
    users.chmod(0o600)
    made = {refuse: Gateway(
        path / refuse, ca,
        gateway={"client_ca_file": str(clients_ca.file),
                 "auth_file": str(users)},
        admission={"refuse": refuse},
        authorized_outbound=[
            {"network": CERTIFIED, "require": "certificate",
             "certificate_name": NAME},
            {"network": LOGGED_IN, "require": "auth"}])
        for refuse in ("temporary", "permanent")}
    for g in made.values():
        g.users = users
        g.start()
    yield made
    for g in made.values():
        g.stop()


@pytest.fixture
def gateway(gateways):
    return gateways["permanent"]


def over_tls(g, context, source):
    c = g.client(source=source).starttls(context)
    c.hello = c.ehlo()
    return c


def outbound(c):
    """The reply to the RCPT of a mail to the outside."""
    assert c.cmd("MAIL FROM:<a@example.com>").code == 250
    r = c.cmd("RCPT TO:<b@partner.test>")
    assert c.cmd("RSET").code == 250
    return r


# ---- certificates ----------------------------------------------------------

@pytest.mark.parametrize("names, good", [
    ((NAME,), True),
    (("MAIL.example.com",), True),
    (("other.example.com", NAME), True),
    (("*.example.com",), True),
    (("mail2.example.com",), False),
    (("example.com",), False),
    (("*.mail.example.com",), False),
    (("ma*.example.com",), False),
    (("mail.example.com.evil.test",), False),
])
def test_b27_name_of_the_certificate(gateway, ca, clients_ca, names, good):
    context = ca.client_context(clients_ca.issue(*names))
    with over_tls(gateway, context, CERTIFIED) as c:
        r = outbound(c)
    assert r.code == (250 if good else 550), r
    if not good:
        assert "needs its client certificate" in r.text
        gateway.wait_log("refused", qid=reply_id(r), reason="proof")


@pytest.mark.parametrize("refuse, code", [("temporary", 451),
                                          ("permanent", 550)])
@pytest.mark.parametrize("which", ["none", "other CA", "self-made",
                                   "expired", "no TLS", "other source"])
def test_b27_no_proof(gateways, ca, clients_ca, tmp_path, which, refuse,
                      code):
    gateway, source = gateways[refuse], CERTIFIED
    if which == "none":
        certificate = None
    elif which == "other CA":
        certificate = ca.issue(NAME)  # good for servers
    elif which == "self-made":
        certificate = CA(tmp_path, "Clients CA").issue(NAME)
    elif which == "expired":
        certificate = clients_ca.issue(NAME, days=-1)
    else:
        certificate = clients_ca.issue(NAME)
    if which == "other source":
        source = "127.0.0.8"  # the certificate opens no other address
    if which == "no TLS":
        c = gateway.client(source=source)
    else:
        c = over_tls(gateway, ca.client_context(certificate), source)
    with c:
        r = outbound(c)
        assert r.code == code, r
        if which == "other source":
            assert "Open relay not allowed" in r.text
        # what asks for no right is served all the same (C48)
        assert c.cmd("MAIL FROM:<x@foreign.test>").code == 250
        assert c.cmd("RCPT TO:<b@example.com>").code == 250


# ---- AUTH ------------------------------------------------------------------

@pytest.mark.parametrize("user", USERS, ids=[u[:14] for u in USERS])
def test_c58_plain_and_login(gateway, ca, user):
    secret = USERS[user][0]
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        assert "AUTH PLAIN LOGIN" in c.hello.lines
        assert outbound(c).code == 530
        r = c.cmd("AUTH PLAIN " + plain(user, secret, user))
        assert r.code == 235 and r.text.startswith("2.7.0"), r
        assert outbound(c).code == 250
        assert c.cmd("AUTH PLAIN " + plain(user, secret)).code == 503
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        r = c.cmd("AUTH login")
        assert (r.code, base64.b64decode(r.text)) == (334, b"Username:")
        r = c.cmd(b64(user))
        assert (r.code, base64.b64decode(r.text)) == (334, b"Password:")
        assert c.cmd(b64(secret)).code == 235
        assert outbound(c).code == 250


def test_c58_the_other_forms(gateway, ca):
    """A challenge for PLAIN, an initial response for LOGIN; who it was is
    told in the log and by "with ESMTPSA" (C18)."""
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        r = c.cmd("AUTH PLAIN")
        assert r.code == 334 and r.text == "", r
        assert c.cmd(plain("sha256", "six")).code == 235
        r = c.mail("a@example.com", "b@example.com", message())
        assert r.code == 250
    qid = reply_id(r)
    gateway.wait_log("accepted", qid=qid, user="sha256")
    text = wait_for(lambda: [b for b in gateway.boxed()
                             if qid.encode() in b])[0]
    assert re.search(rb"\swith ESMTPSA\s", text), text
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        assert c.cmd("AUTH LOGIN " + b64("sha256")).code == 334
        assert c.cmd(b64("six")).code == 235
        assert "AUTH" not in c.ehlo().text
        assert outbound(c).code == 250


@pytest.mark.parametrize("refuse, code", [("temporary", 451),
                                          ("permanent", 530)])
def test_c58_not_without_tls(gateways, refuse, code):
    gateway = gateways[refuse]
    with gateway.client(source=LOGGED_IN) as c:
        assert "AUTH" not in c.ehlo().text
        r = c.cmd("AUTH PLAIN " + plain("sha256", "six"))
        assert r.code == 538 and r.text.startswith("5.7.11"), r
        assert c.cmd("AUTH LOGIN").code == 538
        r = outbound(c)
        assert r.code == code and "uthentication" in r.text, r


def test_c58_order(gateway, ca):
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        good = "AUTH PLAIN " + plain("sha256", "six")
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        assert c.cmd(good).code == 503  # inside a transaction
        assert c.cmd("RSET").code == 250
        for begin in ("AUTH PLAIN", "AUTH LOGIN"):
            assert c.cmd(begin).code == 334
            r = c.cmd("*")
            assert r.code == 501 and r.text.startswith("5.7.0"), r
        assert c.cmd("AUTH LOGIN").code == 334
        assert c.cmd(b64("sha256")).code == 334
        assert c.cmd("*").code == 501
        assert c.cmd("AUTH CRAM-MD5").code == 504
        assert c.cmd("AUTH").code in (501, 504)
        assert outbound(c).code == 530
        assert c.cmd(good).code == 235
        assert outbound(c).code == 250
        r = c.cmd(good)
        assert r.code == 503 and r.text.startswith("5.5.1"), r


@pytest.mark.parametrize("response", [
    "=", "****", "A", b64("\0sha256"), b64("sha256\0six"),
    b64("\0\0six"), b64("\0sha256\0"), b64("\0sha256\0six\0"),
    b64("root\0sha256\0six"), plain("sha256", "six")[:-1],
    plain("sha256", "six") + " x", "AAAA=AAA",
    b64("\0" + "u" * 256 + "\0x"),
])
def test_b19_malformed(gateway, ca, response):
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        assert c.cmd("AUTH PLAIN " + response).code == 501
        assert c.cmd("AUTH PLAIN").code == 334
        assert c.cmd(response).code == 501
        assert c.cmd("NOOP").code == 250
        assert outbound(c).code == 530


def test_c58_longest_line(gateway, ca):
    """12,288 octets are a line, with whatever is in it; more are not."""
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        for begin, room in (("AUTH PLAIN ", 12288 - 11), ("", 12288)):
            if not begin:
                assert c.cmd("AUTH PLAIN").code == 334
            whole = "A" * (room // 4 * 4)
            assert c.cmd(begin + whole).code == 501  # read, and no login
            if not begin:
                assert c.cmd("AUTH PLAIN").code == 334
            r = c.cmd(begin + "A" * (room + 1))
            assert r.code == 500 and "too long" in r.text, r
        # the whole of the long line is gone, and the session as before
        assert c.cmd("NOOP").code == 250
        assert c.cmd("AUTH PLAIN " + plain("sha256", "six")).code == 235
        # other commands keep their own limit
        assert c.cmd("NOOP " + "x" * 12000).code == 500


def test_b19_wrong_passwords(gateway, ca):
    """Late, the same for a user who is not there, and few in a session."""
    mark = len(gateway.log)
    with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
        r = c.cmd("AUTH PLAIN " + plain("sha256", "Six"))
        assert r.code == 535 and r.text.startswith("5.7.8"), r
        assert outbound(c).code == 530
        assert c.cmd("AUTH LOGIN " + b64("nobody")).code == 334
        assert c.cmd(b64("six")).lines == r.lines
        r = c.cmd("AUTH PLAIN " + plain("sha256", ""))
        assert r.code == 501
        r = c.cmd("AUTH PLAIN " + plain("md5", "six"))
        assert r.code == 421, r
        assert c.rest() == b""
    users = [re.search(r" user=(\S+)", l).group(1)
             for l in gateway.lines("auth_failed", start=mark)]
    assert users == ["sha256", "nobody", "md5"]
    # No secret, in whatever form, is in the log (rule 9).
    text = "\n".join(gateway.log)
    for secret, _ in USERS.values():
        assert b64(secret) not in text
    assert "Six" not in text and b64("six") not in text


def test_b19_a_changed_file_counts_at_once(gateway, ca):
    good = gateway.users.read_text()
    try:
        gateway.users.write_text(
            f"sha256:{crypt.crypt('new', '$5$otherone')}\n")
        with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
            assert c.cmd("AUTH PLAIN " + plain("sha256", "new")).code == 235
        gateway.users.unlink()
        gateway.allowed.append("event=auth_file")
        with over_tls(gateway, ca.client_context(), LOGGED_IN) as c:
            r = c.cmd("AUTH PLAIN " + plain("sha256", "new"))
            assert r.code == 454 and r.text.startswith("4.7.0"), r
            assert outbound(c).code == 530
    finally:
        gateway.users.write_text(good)
        gateway.users.chmod(0o600)


@pytest.mark.parametrize("line, why", [
    ("des:" + crypt.crypt("x", "ab"), "no crypt(3) hash"),
    ("clear:secret", "no crypt(3) hash"),
    ("empty:", "no crypt(3) hash"),
    ("strange:$9$salt$" + "x" * 30, "known method"),
    ("justaname", "not user:hash"),
])
def test_auth_file_is_checked(make_gateway, tmp_path, line, why):
    users = tmp_path / "users"
    users.write_text(line + "\n")
    users.chmod(0o600)
    g = make_gateway(start=False, gateway={"auth_file": str(users)})
    r = g.run("check", "-c", str(g.conf))
    assert r.returncode == 1 and f"{users}:1: " in r.stderr, r.stderr
    assert why in r.stderr and "secret" not in r.stderr
