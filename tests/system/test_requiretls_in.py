"""REQUIRETLS of clients and the field TLS-Required (RFC 8689; C62). What
becomes of such mail on its way out is with the deliveries."""

import socket

import pytest

from harness import Client, free_port, message, reply_id

MAIL = "MAIL FROM:<a@example.com>"


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


@pytest.fixture
def implicit(make_gateway, ca):
    port = free_port()
    g = make_gateway(start=False)
    g.settings["gateway"]["listen"].append(
        {"address": f"127.0.0.1:{port}", "tls": "implicit"})
    g.write()
    g.tls_port = port
    return g.start()


def words(reply):
    return {line.split()[0].upper() for line in reply.lines[1:]}


def over_tls(g, ca):
    c = g.client().starttls(ca.client_context())
    c.hello = c.ehlo()
    return c


def test_c62_only_over_tls(gateway, ca):
    with gateway.client() as c:
        assert "REQUIRETLS" not in words(c.ehlo())
        # what was not offered is an unknown parameter (RFC 5321 4.1.1.11)
        for param in ("REQUIRETLS", "requiretls", "REQUIRETLS=yes",
                      "SIZE=10 REQUIRETLS"):
            r = c.cmd(f"{MAIL} {param}")
            assert r.code == 555 and r.text.startswith("5.5.4"), r
            assert c.cmd("RCPT TO:<b@partner.test>").code == 503
    with over_tls(gateway, ca) as c:
        assert "REQUIRETLS" in words(c.hello)
        assert [line for line in c.hello.lines
                if line.upper().startswith("REQUIRETLS")] == ["REQUIRETLS"]
        assert c.cmd(f"{MAIL} REQUIRETLS").code == 250
        assert c.cmd("RCPT TO:<b@example.com>").code == 250
        # HELO offers nothing, TLS or not
        assert c.cmd("HELO client.example.com").code == 250
        assert c.cmd(f"{MAIL} REQUIRETLS").code == 555
        assert c.cmd(MAIL).code == 250


def test_c62_before_ehlo_is_repeated(gateway, ca):
    """RFC 3207 section 4.2: what TLS offers must be asked for in TLS."""
    with gateway.client() as c:
        c.starttls(ca.client_context())
        assert c.cmd(f"{MAIL} REQUIRETLS").code == 503
        c.ehlo()
        assert c.cmd(f"{MAIL} REQUIRETLS").code == 250


def test_c62_implicit_tls(implicit, ca):
    with Client("127.0.0.1", implicit.tls_port,
                tls=ca.client_context()) as c:
        assert "REQUIRETLS" in words(c.ehlo())
        r = c.mail("a@example.com", "b@example.com", message(),
                   " REQUIRETLS")
        assert r.code == 250, r


@pytest.mark.parametrize("params, code", [
    ("REQUIRETLS", 250),
    ("RequireTls", 250),
    ("SIZE=10 REQUIRETLS BODY=8BITMIME", 250),
    ("REQUIRETLS RET=HDRS ENVID=x SMTPUTF8", 250),
    ("REQUIRETLS=", 501),
    ("REQUIRETLS=1", 501),
    ("REQUIRETLS=NO", 501),
    ("REQUIRETLS REQUIRETLS", 501),
    ("requiretls SIZE=1 REQUIRETLS", 501),
    ("REQUIRETLS1", 555),
    ("REQUIRE-TLS", 555),
    ("REQUIRETLS\0", 500),
])
def test_c62_parameter(gateway, ca, params, code):
    with over_tls(gateway, ca) as c:
        r = c.cmd(f"{MAIL} {params}")
        assert r.code == code, r
        assert r.text[0] == str(code)[0]
        # a refused MAIL opens nothing, a good one may be taken back
        assert c.cmd("RCPT TO:<b@example.com>").code == (
            250 if code == 250 else 503)
        assert c.cmd("RSET").code == 250
        assert c.cmd(MAIL).code == 250


def test_c62_no_parameter_of_rcpt(gateway, ca):
    with over_tls(gateway, ca) as c:
        assert c.cmd(f"{MAIL} REQUIRETLS").code == 250
        r = c.cmd("RCPT TO:<b@example.com> REQUIRETLS")
        assert r.code == 555 and r.text.startswith("5.5.4"), r


def test_c62_is_kept_per_message(gateway, ca):
    """Two messages of one session, one with and one without: the log line of
    each says what it was taken under; so does a pipelined group."""
    with over_tls(gateway, ca) as c:
        ids = []
        for params in (" REQUIRETLS", "", " REQUIRETLS"):
            r = c.mail("a@example.com", "b@example.com", message(), params)
            assert r.code == 250, r
            ids.append(reply_id(r))
        c.send(f"{MAIL} REQUIRETLS\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        assert [c.reply().code for _ in range(3)] == [250, 250, 354]
        ids.append(reply_id(c.content(message())))
    for qid, wanted in zip(ids, (True, False, True, True)):
        line = gateway.wait_log("accepted", qid=qid)[0]
        assert (" tls_required=yes" in line) == wanted, line


@pytest.mark.parametrize("param, fields, wanted", [
    ("", "", None),
    ("", "TLS-Required: No\r\n", "no"),
    ("", "tls-required:\r\n nO\r\n", "no"),
    ("", "TLS-Required: Yes\r\n", None),
    ("", "TLS-Required: No\r\nTLS-Required: No\r\n", None),
    (" REQUIRETLS", "TLS-Required: No\r\n", "yes"),
    (" REQUIRETLS", "", "yes"),
])
@pytest.mark.parametrize("size", ["short", "long"])
def test_c62_tls_required(gateway, ca, param, fields, wanted, size):
    """The field relaxes, REQUIRETLS beats it (section 4.1); of a message in
    memory as of one that was streamed to the disk. The field stays."""
    body = "Hello.\r\n" * (1 if size == "short" else 40000)
    with over_tls(gateway, ca) as c:
        r = c.mail("a@example.com", "b@example.com",
                   fields + message(body=body), param)
        assert r.code == 250, r
    line = gateway.wait_log("accepted", qid=reply_id(r))[0]
    got = [w.split("=")[1] for w in line.split()
           if w.startswith("tls_required=")]
    assert got == ([wanted] if wanted else []), line
    gateway.wait_log("delivered", qid=reply_id(r))
    boxed, = gateway.boxed()
    assert fields.replace("\r\n", "\n").encode() in boxed


def test_c62_plain_clients_may_relax(gateway):
    """The field needs no TLS; it is about the way out."""
    with gateway.client() as c:
        r = c.mail("a@example.com", "b@example.com",
                   "TLS-Required: No\r\n" + message())
        assert r.code == 250, r
    gateway.wait_log("accepted", qid=reply_id(r), tls_required="no")


def test_b05_not_behind_starttls(gateway):
    """A REQUIRETLS that was smuggled in before the handshake is not obeyed."""
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as s:
        f = s.makefile("rb")
        assert f.readline().startswith(b"220")
        s.sendall(b"EHLO x.example\r\n")
        while f.readline()[3:4] != b" ":
            pass
        s.sendall(f"STARTTLS\r\n{MAIL} REQUIRETLS\r\n".encode())
        assert f.readline().startswith(b"554")
        assert f.readline() == b""
