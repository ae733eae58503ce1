"""The SMTP server on the wire: C01-C26, C41-C48, B01, B04, B05, B10-B16."""

import re
import socket
import ssl
import threading
import warnings

import pytest

from harness import Client, message, reply_id, wait_for


def test_c01_c06_c25_basics(relay):
    with relay.client(ehlo=False) as c:
        assert c.banner.code == 220
        assert c.banner.text.startswith("gw.example.net ")
        assert c.cmd("MAIL FROM:<a@example.com>").code == 503  # C03
        assert c.cmd("HELO x").code == 250
        r = c.ehlo()
        assert r.lines[0].startswith("gw.example.net")
        words = {l.split()[0] for l in r.lines[1:]}
        assert {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING",
                "DSN", "ENHANCEDSTATUSCODES", "STARTTLS", "LIMITS"} <= words
        assert "AUTH" not in words
        assert c.cmd("noop with argument").code == 250  # C06, C08
        assert c.cmd("VRFY a").code == 252  # C25
        assert c.cmd("RCPT TO:<b@partner.test>").code == 503  # C04
        assert c.cmd("DATA").code == 503
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        assert c.cmd("MAIL FROM:<a@example.com>").code == 503
        assert c.cmd("RSET").code == 250  # C05
        assert c.cmd("RCPT TO:<b@partner.test>").code == 503
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        c.ehlo()  # C02
        assert c.cmd("RCPT TO:<b@partner.test>").code == 503
        assert c.cmd("EXPN x").code == 502
        assert c.cmd("FROBNICATE").code == 500
        assert c.cmd("QUIT").code == 221  # C07
        assert c.rest() == b""


def test_c43_enhanced_codes_fit_their_class(relay):
    with relay.client() as c:
        for line in ("NOOP", "RSET", "VRFY x", "DATA", "XXXX", "EXPN y",
                     "MAIL FROM:<@>", "MAIL FROM:<a@example.com>",
                     "RCPT TO:<>", "RCPT TO:<b@partner.test>", "QUIT"):
            r = c.cmd(line)
            assert re.match(rf"{r.code // 100}\.\d+\.\d+ ", r.text), (line, r)


@pytest.mark.parametrize("line,code", [
    ("MAIL FROM:<a@example.com", 501), ("MAIL FROM:a b", 501),
    ("MAIL FROM:<a@example.com> SIZE=", 501),
    ("MAIL FROM:<a@example.com> FOO=1", 555),
    ("MAIL FROM:<a@example.com> BODY=8BITMIME SIZE=10", 250),
    ("MAIL FROM:<@x.test,@y.test:a@example.com>", 250),
    ('MAIL FROM:<"a b"@example.com>', 250),
    ("MAIL FROM:<a@example.com> ENVID=a+0D+0A", 501),
    ("MAIL FROM:<a@example.com> RET=HDRS ENVID=q1", 250),
    (f"MAIL FROM:<{'l' * 65}@example.com>", 501),
    (f"MAIL FROM:<{'l' * 64}@example.com>", 250),
])
def test_b20_b22_b23_parameters(relay, line, code):
    with relay.client() as c:
        r = c.cmd(line)
        assert r.code == code or (code == 501 and r.code in (553, 555)), r


def test_c15_recipient_limit(make_gateway):
    g = make_gateway(limits={"recipients": 3})
    with g.client() as c:
        c.cmd("MAIL FROM:<a@example.com>")
        codes = [c.cmd(f"RCPT TO:<r{i}@example.com>").code for i in range(5)]
        assert codes == [250, 250, 250, 452, 452]
        assert c.cmd("DATA").code == 354
        assert c.content(message()).code == 250
    wait_for(lambda: len(g.boxed()) == 3)


def test_c41_size(make_gateway):
    g = make_gateway(limits={"message_size": "10K"})
    with g.client() as c:
        r = c.cmd("MAIL FROM:<a@example.com> SIZE=20000")
        assert r.code == 552 and r.text.startswith("5.3.4")
        r = c.mail("a@example.com", "b@example.com",
                   message(body="x" * 70 + "\r\n") + ("y" * 70 + "\r\n") * 300,
                   " SIZE=1")  # B25: a lie
        assert r.code == 552
        assert c.cmd("RCPT TO:<b@example.com>").code == 503  # B04
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250
    wait_for(lambda: len(g.boxed()) == 1)


def test_c10_c18_dots_and_received(relay):
    body = ".\r\n..\r\n.a\r\n\r\n. \r\nend\r\n"
    with relay.client() as c:
        r = c.mail("a@example.com", "b@partner.test", message(body=body))
        assert r.code == 250
        qid = reply_id(r)
    m = relay.sink.wait()[0]
    assert m.text.endswith("\r\n\r\n" + body)
    fields = re.findall(r"(?m)^Received: (?:.*\r\n)(?:[ \t].*\r\n)*", m.text)
    assert len(fields) == 1 and m.text.startswith("Received: ")
    assert "by gw.example.net" in fields[0] and "with ESMTP" in fields[0]
    assert qid in fields[0] and "for <b@partner.test>" in fields[0]


def test_c22_loop(relay):
    with relay.client() as c:
        r = c.mail("a@example.com", "b@partner.test",
                   "Received: x\r\n" * 26 + message())
        assert r.code == 554 and r.text.startswith("5.4.6")


INNER = ("MAIL FROM:<a@example.com>\r\nRCPT TO:<c@partner.test>\r\nDATA\r\n"
         "Subject: smuggled\r\n\r\nx\r\n.\r\n")


@pytest.mark.parametrize("end", [
    b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n",
    b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n"])
def test_b01_smuggling(relay, end):
    with relay.client() as c:
        for line, code in (("MAIL FROM:<a@example.com>", 250),
                           ("RCPT TO:<b@partner.test>", 250), ("DATA", 354)):
            assert c.cmd(line).code == code
        c.send(message(body="x").encode() + end + INNER.encode())
        r = c.reply()
        assert r.code in (250, 554), r
        assert c.cmd("NOOP").code == 250  # one reply for all of that
        # a good one behind it shows that nothing else is on its way
        assert c.mail("a@example.com", "d@partner.test",
                      message("last")).code == 250
    wait_for(lambda: [m for m in relay.sink.messages if "last" in m.text])
    assert [m for m in relay.sink.messages
            if ("c@partner.test", "") in m.rcpts] == []
    assert len(relay.sink.messages) <= 2


def test_b05_injection_behind_starttls(relay, ca):
    with relay.client() as c:
        c.send("STARTTLS\r\nRSET\r\n")
        r = c.reply()
        assert r.code == 554, r
        assert c.rest() == b""


def test_c48_starttls(relay, ca):
    with relay.client() as c:
        assert c.cmd("STARTTLS now").code == 501
        c.cmd("MAIL FROM:<a@example.com>")
        c.starttls(ca.client_context())
        assert c.cmd("MAIL FROM:<a@example.com>").code == 503  # C49
        r = c.ehlo()
        assert "STARTTLS" not in r.lines
        assert c.cmd("STARTTLS").code == 503
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250
    assert "with ESMTPS" in relay.sink.wait()[0].text


def old_client(ca, version):
    """A client that would take TLS 1.0 and on, up to the version."""
    ctx = ca.client_context()
    ctx.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ctx.minimum_version = ssl.TLSVersion.TLSv1
        ctx.maximum_version = version
    return ctx


def between(client, server):
    """The version that two contexts agree on."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=lambda: server.wrap_socket(
        theirs, server_side=True).recv(1))
    thread.start()
    with client.wrap_socket(ours) as s:
        version = s.version()
        s.sendall(b"x")
    thread.join(10)
    return version


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_c50_no_old_tls(relay, ca, version):
    version = ssl.TLSVersion[version]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        liberal = ca.server_context("gw.example.net")
        liberal.set_ciphers("ALL:@SECLEVEL=0")
        liberal.minimum_version = ssl.TLSVersion.TLSv1
    # It is not the client that cannot.
    assert between(old_client(ca, version), liberal) in ("TLSv1", "TLSv1.1")
    with relay.client() as c, pytest.raises(ssl.SSLError) as refused:
        c.starttls(old_client(ca, version))
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert "unsupported protocol" in relay.wait_log("tls_failed")[0]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_c50_new_tls(relay, ca, version):
    """The same client, a newer version."""
    with relay.client() as c:
        c.starttls(old_client(ca, ssl.TLSVersion[version]))
        assert c.sock.version() == version.replace("_", ".")
        c.ehlo()
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250


def test_implicit_tls(make_gateway, ca):
    from harness import free_port
    g = make_gateway(start=False)
    port = free_port()
    g.settings["gateway"]["listen"].append(
        {"address": f"127.0.0.1:{port}", "tls": "implicit"})
    g.write()
    g.start()
    with Client("127.0.0.1", port, tls=ca.client_context()) as c:
        assert "STARTTLS" not in c.ehlo().lines  # C64
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250


def test_b10_early_talker(relay):
    # Whether the octets beat the accept is a race; never is it confusion.
    s = socket.create_connection(("127.0.0.1", relay.port), 10)
    s.sendall(b"EHLO x\r\n")
    first = s.recv(4096)
    assert first.startswith((b"220 ", b"554 "))
    s.close()


def test_c44_b11_pipelining(relay):
    with relay.client() as c:
        c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@partner.test>\r\n"
               "RCPT TO:<@>\r\nRCPT TO:<c@partner.test>\r\nDATA\r\n")
        assert [c.reply().code for _ in range(5)] == [
            250, 250, 501, 250, 354]
        c.send(message("one") + ".\r\n"
               "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@partner.test>\r\n"
               "DATA\r\n")
        assert [c.reply().code for _ in range(4)] == [250, 250, 250, 354]
        c.send(message("two") + ".\r\nQUIT\r\nMAIL FROM:<a@example.com>\r\n")
        assert [c.reply().code for _ in range(2)] == [250, 221]
        assert c.rest() == b""  # B11: nothing behind QUIT is answered
    relay.sink.wait(2)


def test_b11_content_behind_refused_data(relay):
    with relay.client(source="127.0.0.9") as c:
        c.send("MAIL FROM:<x@foreign.test>\r\nRCPT TO:<b@partner.test>\r\n"
               "DATA\r\n" + INNER + ".\r\n")
        codes = [c.reply().code for _ in range(3)]
        assert codes == [250, 451, 554]
        rest = c.rest()
        assert rest.startswith(b"421 ") and rest.count(b"\r\n") == 1
    assert relay.sink.messages == []


def test_c46_b12_bdat(relay):
    text = message(body=".\r\nx\r\n").encode()
    with relay.client() as c:
        c.cmd("MAIL FROM:<a@example.com>")
        c.cmd("RCPT TO:<b@partner.test>")
        c.send(b"BDAT 10\r\n" + text[:10])
        assert c.reply().code == 250
        assert c.cmd("DATA").code == 503
        c.send(b"BDAT %d\r\n" % (len(text) - 10) + text[10:] +
               b"BDAT 0 LAST\r\n")
        assert c.reply().code == 250
        assert c.reply().code == 250
        # octets of a refused chunk are no commands
        c.send(b"BDAT 9 LAST\r\nQUIT\r\nX\r\n")
        assert c.reply().code == 503
        assert c.cmd("NOOP").code == 250
    assert relay.sink.wait()[0].data.endswith(b"\r\n\r\n.\r\nx\r\n")


@pytest.mark.parametrize("size", ["18446744073709551616", "-1", "x", ""])
def test_b12_bdat_size(relay, size):
    with relay.client() as c:
        c.cmd("MAIL FROM:<a@example.com>")
        c.cmd("RCPT TO:<b@partner.test>")
        assert c.cmd(f"BDAT {size}").code in (501, 552)
        assert c.rest().startswith(b"421 ")


def test_b13_http(relay):
    with relay.client(ehlo=False) as c:
        c.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n")
        got = c.rest()
        assert got.startswith(b"421 ") and b"POST" not in got


def test_b14_floods_end(make_gateway):
    g = make_gateway(limits={"bad_commands": 10, "idle_commands": 20})
    for line in ("NOOP", "XYZ"):
        with g.client() as c:
            c.send((line + "\r\n") * 200)
            assert b"\r\n421 " in c.rest()


def test_b16_lines(relay):
    with relay.client() as c:
        assert c.cmd("NOOP \0x").code in (500, 501)
        assert c.cmd("MAIL FROM:<a\x1b@example.com>").code in (500, 501, 553)
        c.send("NOOP " + "x" * 1000000 + "\r\n")
        assert c.reply().code == 500
        assert c.cmd("NOOP").code == 250


def test_c26_idle_timeout(make_gateway):
    g = make_gateway(limits={"command_timeout": "1s"})
    with g.client() as c:
        assert c.rest(10).startswith(b"421 ")
