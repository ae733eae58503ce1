"""Attacks of the reliability checklist that need the whole gateway: what one
side sends, what the other side and the log get to see. Named by number."""

import pathlib
import re
import socket
import time

import pytest

from harness import message, reply_id, wait_for

INNER = ("MAIL FROM:<a@example.com>\r\nRCPT TO:<evil@partner.test>\r\n"
         "DATA\r\nFrom: a@example.com\r\nSubject: smuggled\r\n\r\nx\r\n")
STRANGER = "127.0.0.9"


def resident(g):
    """Octets of memory that the gateway's process has."""
    text = pathlib.Path(f"/proc/{g.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) * 1024


def stored(g):
    """Octets of the files below the state directory, but for the segment that
    the store makes ready for later, whenever it has time."""
    return sum(p.stat().st_blocks * 512
               for p in (g.dir / "state").rglob("*")
               if p.is_file() and p.suffix != ".new")


def begin(c, rcpt="b@partner.test"):
    assert c.cmd("MAIL FROM:<a@example.com>").code == 250
    assert c.cmd(f"RCPT TO:<{rcpt}>").code == 250


class RawSink:
    """An exchanger that keeps every octet of a content as it came."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port))
        self.listener.settimeout(20)

    def take(self):
        sock, _ = self.listener.accept()
        with sock:
            sock.settimeout(20)
            sock.sendall(b"220 raw\r\n")
            got = b""
            for reply in (b"250 raw\r\n", b"250 ok\r\n", b"250 ok\r\n",
                          b"354 go\r\n"):
                while not got.endswith(b"\r\n"):
                    got += sock.recv(65536)
                sock.sendall(reply)
                got = b""
            while b"\r\n.\r\n" not in got:
                got += sock.recv(65536)
            sock.sendall(b"250 ok\r\n")
            return got

    def close(self):
        self.listener.close()


# ---- the wire ----------------------------------------------------------------

def test_b02_b03_nothing_but_crlf_goes_out(make_gateway):
    """Dots in every place, also where reads and pieces meet; our own fields on
    top. What goes out ends in one end of data, and only there."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.start()
    sink = RawSink("127.0.0.2", g.mx_port)
    body = ".\r\n..\r\n.\r\n" + "".join(
        "x" * n + "\r\n.\r\n" for n in (0, 1, 997, 998)) + ".\r\n" * 50000
    with g.client() as c:
        begin(c)
        assert c.cmd("DATA").code == 354
        text = message(body=body).encode()
        stuffed = re.sub(rb"(?m)^\.", b"..", text) + b".\r\n"
        for at in range(0, len(stuffed), 4093):
            c.send(stuffed[at:at + 4093])
        assert c.reply().code == 250
    got = sink.take()
    sink.close()
    assert got.startswith(b"Received: ")
    assert got.index(b"\r\n.\r\n") == len(got) - 5
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|\0", got) is None
    lines = got[:-5].split(b"\r\n")
    assert all(line.startswith(b"..") for line in lines
               if line.startswith(b"."))
    assert re.sub(rb"(?m)^\.", b"", got[:-3]).endswith(text)


@pytest.mark.parametrize("end", [b"\r\n.\n", b"\n.\r\n", b"\r.\r",
                                 b"\r\n\0.\r\n"])
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_b03_no_field_of_ours_revives_it(relay, end, how):
    with relay.client() as c:
        begin(c)
        text = message(body="x").encode() + end + INNER.encode()
        if how == "DATA":
            assert c.cmd("DATA").code == 354
            c.send(text + b"\r\n.\r\n")
        else:
            c.send(b"BDAT %d LAST\r\n" % len(text) + text)
        r = c.reply()
        assert r.code == 554 and r.text.startswith("5.6.0"), r
        assert c.cmd("NOOP").code == 250
        assert c.mail("a@example.com", "b@partner.test",
                      message("last")).code == 250
    wait_for(lambda: [m for m in relay.sink.messages if "last" in m.text])
    assert len(relay.sink.messages) == 1


def rejected_at_dot(c, _ca):
    begin(c)
    assert c.cmd("DATA").code == 354
    c.send(b"From: a@example.com\r\n\r\nbare\nline feed\r\n.\r\n")
    assert c.reply().code == 554


def rejected_for_size(c, _ca):
    begin(c)
    assert c.cmd("DATA").code == 354
    assert c.content(message(body="y" * 70000 + "\r\n")).code == 552


def rejected_chunk(c, _ca):
    begin(c)
    c.send(b"BDAT 5\r\na\nb\r\n")
    assert c.reply().code == 554


def rejected_last_chunk(c, _ca):
    begin(c)
    c.send(b"BDAT 5 LAST\r\na\nb\r\n")
    assert c.reply().code == 554


def lost_by_starttls(c, ca):
    begin(c)
    c.starttls(ca.client_context())
    c.ehlo()


def lost_by_ehlo(c, _ca):
    begin(c)
    assert c.ehlo().code == 250


def lost_by_rset(c, _ca):
    begin(c)
    assert c.cmd("RSET").code == 250


def refused_by_size_parameter(c, _ca):
    assert c.cmd("MAIL FROM:<a@example.com> SIZE=999999").code == 552


@pytest.mark.parametrize("reject", [
    rejected_at_dot, rejected_for_size, rejected_chunk, rejected_last_chunk,
    lost_by_starttls, lost_by_ehlo, lost_by_rset, refused_by_size_parameter])
def test_b04_nothing_survives_a_rejected_transaction(relay, ca, reject):
    relay.stop()
    relay.write(limits={"message_size": "64K"})
    relay.start()
    with relay.client() as c:
        reject(c, ca)
        assert c.cmd("RCPT TO:<evil@partner.test>").code == 503
        assert c.cmd("DATA").code == 503
        c.send(b"BDAT 6 LAST\r\nQUIT\r\n")
        assert c.reply().code == 503
        assert c.mail("a@example.com", "good@partner.test",
                      message("after")).code == 250
    m = relay.sink.wait()
    assert len(m) == 1 and m[0].rcpts == [("good@partner.test", "")]
    assert m[0].text.count("Received: ") == 1
    assert "bare" not in m[0].text


def test_b04_a_second_mail_changes_nothing(relay):
    with relay.client() as c:
        begin(c)
        assert c.cmd("MAIL FROM:<other@example.com> SIZE=1").code == 503
        assert c.cmd("DATA").code == 354
        assert c.content(message()).code == 250
    m = relay.sink.wait()[0]
    assert m.sender == "a@example.com"
    assert m.rcpts == [("b@partner.test", "")]


@pytest.mark.parametrize("tls", [False, True])
def test_b13_http_says_nothing_back(relay, ca, tls):
    with relay.client() as c:
        if tls:
            c.starttls(ca.client_context())
        c.send("POST /<script> HTTP/1.1\r\nHost: x\r\n\r\n"
               "EHLO x\r\nMAIL FROM:<a@example.com>\r\n")
        got = c.rest()
        assert got.startswith(b"421 ") and got.count(b"\r\n") == 1
        assert b"script" not in got and b"Host" not in got


# ---- addresses and envelope --------------------------------------------------

@pytest.mark.parametrize("rcpt", [
    "u%foreign.test@example.com", "foreign.test!u@example.com",
    '"u@foreign.test"@example.com', "@example.com:u@foreign.test",
    "u@foreign.test", "u@[127.0.0.2]", "u%foreign.test@[127.0.0.1]",
    "u@example.com@foreign.test", "u@gw.example.net",
    "foreign.test!u", '"u@foreign.test"'])
def test_b20_no_open_relay(make_gateway, rcpt):
    """Nobody knows this client: to strangers it gets nothing through, however
    the address is written."""
    g = make_gateway(start=False)
    g.mx("foreign.test", "127.0.0.2")
    g.start()
    for sender in ("x@other.test", "", "a@example.com"):
        with g.client(source=STRANGER) as c:
            r = c.cmd(f"MAIL FROM:<{sender}>")
            if r.code == 250:
                r = c.cmd(f"RCPT TO:<{rcpt}>")
            assert r.code >= 400, (sender, r)
            assert c.cmd("DATA").code >= 500


@pytest.mark.parametrize("local", [
    ";id;", "-oX", "../../../../tmp/b21", "${run{x}}", "$(touch /tmp/b21)",
    "|cmd", "/dev/null", "`id`", "a%sb%n", "'; drop table recipients; --",
    "&&true"])
def test_b21_a_local_part_is_text(make_gateway, make_sink, local):
    """It travels as it is, and names no file where mail is kept in one."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port)
    g.start()
    quoted = f'"{local}"' if re.search(r"[^\w!#$%&'*+/=?^`{|}~.-]|\.\.|^\.",
                                       local) else local
    with g.client() as c:
        assert c.mail(f"{quoted}@example.com",
                      [f"{quoted}@partner.test", f"{quoted}@example.com"],
                      message()).code == 250
    m = sink.wait()[0]
    assert m.sender == f"{quoted}@example.com"
    assert m.rcpts == [(f"{quoted}@partner.test", "")]
    wait_for(lambda: len(g.boxed()) == 1)
    assert not pathlib.Path("/tmp/b21").exists()
    names = [p.name for p in g.maildir.rglob("*")]
    assert not [n for n in names if "b21" in n or "touch" in n]
    # The operator finds it, too.
    assert g.process.poll() is None


@pytest.mark.parametrize("params", [
    ' "=', " SIZE=", " =", " =1", " SIZE", " SIZE=1=2", " SIZE==1",
    " SIZE=1 SIZE=1", " size=1 SIZE=2", " BODY=8BITMIME BODY=7BIT",
    " RET=HDRS RET=FULL", " SMTPUTF8=1", " SIZE=-1", " SIZE=0x10",
    "".join(f" P{i}={i}" for i in range(200)), " SIZE=1" * 200,
    "x", "SIZE=1", " BODY=", " RET=none", " AUTH="])
def test_b22_parameters(relay, params):
    with relay.client() as c:
        r = c.cmd(f"MAIL FROM:<a@example.com>{params}")
        assert r.code in (501, 555), r
        assert c.cmd("RCPT TO:<b@partner.test>").code == 503
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250


@pytest.mark.parametrize("param", [
    "ENVID=a+00", "ENVID=a+0D+0AX-Evil:+20x", "ENVID=+g1", "ENVID=+1",
    "ENVID=+", "ENVID=a+7F", "ENVID=" + "x" * 101])
def test_b23_envid(relay, param):
    with relay.client() as c:
        assert c.cmd(f"MAIL FROM:<a@example.com> {param}").code == 501


@pytest.mark.parametrize("param", [
    "ORCPT=rfc822;+00", "ORCPT=rfc822;a+0D+0Ab", "ORCPT=rfc822;",
    "ORCPT=;x", "ORCPT=x", "ORCPT=rfc822;+0g", "NOTIFY=", "NOTIFY=NEVER,NEVER,"
    "SUCCESS", "NOTIFY=,", "ORCPT=rfc822;" + "x" * 500])
def test_b23_orcpt_and_notify(relay, param):
    with relay.client() as c:
        c.cmd("MAIL FROM:<a@example.com>")
        assert c.cmd(f"RCPT TO:<b@partner.test> {param}").code == 501
        assert c.cmd("DATA").code == 554


def test_b24_recipients_without_end(make_gateway):
    """Past the limit every one is refused, the same one counts once, and
    memory does not notice."""
    g = make_gateway(limits={"recipients": 1000, "idle_commands": 1000000})
    with g.client() as c:
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        before = resident(g)
        codes = []
        for first in range(0, 30000, 500):
            c.send("".join(f"RCPT TO:<r{i % 20000}@example.com>\r\n"
                           for i in range(first, first + 500)))
            codes += [c.reply().code for _ in range(500)]
        assert codes[:1000] == [250] * 1000
        assert set(codes[1000:]) == {452}
        assert resident(g) - before < 8 << 20
        assert c.cmd("RSET").code == 250
        begin(c, "one@example.com")
        c.send("RCPT TO:<one@EXAMPLE.com>\r\n" * 1000)
        assert {c.reply().code for _ in range(1000)} == {250}
        assert c.cmd("DATA").code == 354
        assert c.content(message()).code == 250
    wait_for(lambda: len(g.boxed()) == 1)
    time.sleep(0.2)
    assert len(g.boxed()) == 1


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_b25_a_lie_about_the_size(make_gateway, how):
    """SIZE=1 and 64 MB: refused, and neither memory nor disk keeps it."""
    g = make_gateway(limits={"message_size": "1M", "memory": "1M"})
    block = (b"z" * 62 + b"\r\n") * 16384
    with g.client(timeout=60) as c:
        assert c.cmd("MAIL FROM:<a@example.com> SIZE=1").code == 250
        assert c.cmd("RCPT TO:<b@example.com>").code == 250
        before, disk = resident(g), stored(g)
        if how == "DATA":
            assert c.cmd("DATA").code == 354
            for _ in range(64):
                c.send(block)
            c.send(b".\r\n")
            assert c.reply().code == 552
        else:
            c.send(b"BDAT %d\r\n" % (64 * len(block)))
            for _ in range(64):
                c.send(block)
            assert c.reply().code == 552
        assert resident(g) - before < 8 << 20
        wait_for(lambda: stored(g) - disk < 1 << 20, 15, "space given back, "
                 f"left: {sorted((g.dir / 'state').rglob('*'))}")
        assert c.mail("a@example.com", "b@example.com", message()).code == 250
    for size in ("18446744073709551615", "18446744073709551616", "9" * 20):
        with g.client() as c:
            assert c.cmd(f"MAIL FROM:<a@example.com> SIZE={size}").code == 552
    wait_for(lambda: len(g.boxed()) == 1)


# ---- content -----------------------------------------------------------------

@pytest.mark.parametrize("header", [
    "From : a@example.com\r\nSubject: x\r\n",
    "From: a@example.com\r\nno colon here\r\nSubject: x\r\n",
    "From: a@example.com\r\nSubject:\r\n \r\n folded\r\n",
    "From: a@example.com\r\n Subject: not a field\r\nX-Y: z\r\n",
    "From: a@example.com\r\n: empty name\r\n",
    "X-First: 1\r\n\tcontinued\r\nFrom: a@example.com\r\nReceived : x\r\n"])
def test_b30_odd_headers_stay_as_they_are(relay, header):
    """Refused, or relayed octet by octet below our one field."""
    text = header + "\r\nbody\r\n"
    with relay.client() as c:
        r = c.mail("a@example.com", "b@partner.test", text)
        assert r.code in (250, 550), r
    if r.code == 250:
        got = relay.sink.wait()[0].text
        assert got.endswith(text)
        ours = got[:-len(text)]
        assert re.fullmatch(r"Received: .*\r\n([ \t].*\r\n)*", ours)


def nested(depth):
    return "".join(f"Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n"
                   f"--b{i}\r\n" for i in range(depth))


BOMBS = {
    "parts": "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
             "--b\r\n\r\n\r\n" * 10000 + "--b--\r\n",
    "depth": nested(10000),
    "boundary": f"Content-Type: multipart/mixed; boundary={'b' * 100000}"
                f"\r\n\r\n--{'b' * 100000}\r\n\r\nx\r\n",
    "prefixes": "Content-Type: multipart/mixed; boundary=aaaa\r\n\r\n" +
                "".join(f"--{'a' * (n % 70)}\r\n" for n in range(20000)),
    "fields": "X:\r\n" * 50000 + "\r\n",
    "types": "Content-Type: text/plain\r\n" * 5000 + "\r\n",
    "continuations": "Content-Type: text/plain" + "".join(
        f";\r\n name*{i}=x" for i in range(10000)) + "\r\n\r\n",
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_b38_mime_bombs(make_gateway, make_sink, bomb):
    """To a hop that takes 7 bits only, so that the structure is looked at:
    refused, bounced or delivered, soon, and nobody else waits for it."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port, extensions=("PIPELINING",))
    g.start()
    text = ("From: a@example.com\r\nMIME-Version: 1.0\r\n" +
            BOMBS[bomb]).encode() + b"\xc3\xa9\r\n"
    begun = time.monotonic()
    before = resident(g)
    with g.client(timeout=30) as c:
        r = c.mail("a@example.com", "b@partner.test", text,
                   " BODY=8BITMIME")
        assert r.code in (250, 552, 550, 554), r
        assert c.mail("a@example.com", "good@partner.test",
                      message("good")).code == 250
    wait_for(lambda: [m for m in sink.messages if "good" in m.text], 10)
    if r.code == 250:
        wait_for(lambda: g.lines("delivered", qid=reply_id(r)) or
                 g.lines("bounced", qid=reply_id(r)), 20, "an end of it")
    assert time.monotonic() - begun < 20
    assert resident(g) - before < 64 << 20
    for m in sink.messages:
        assert max(m.data) < 128


def test_b43_recipients_do_not_see_each_other(relay):
    """Nothing of the envelope gets into the content; a header that asks for
    special treatment gets none."""
    text = ("From: a@example.com\r\nTo: list@partner.test\r\n"
            "X-Sortie-Policy: none\r\nX-Envelope-To: c@partner.test\r\n"
            "Return-Path: <forged@foreign.test>\r\n\r\nHello.\r\n")
    with relay.client() as c:
        assert c.mail("a@example.com", ["b@partner.test", "hidden@partner."
                                        "test"], text).code == 250
    m = relay.sink.wait()[0]
    assert m.text.endswith(text)
    assert "hidden" not in m.text and " for <" not in m.text
    assert m.sender == "a@example.com"
    assert sorted(r for r, _ in m.rcpts) == ["b@partner.test",
                                             "hidden@partner.test"]


# ---- loops, peers ------------------------------------------------------------

def test_b48_a_mail_to_ourselves_ends(make_gateway):
    """An MX that is this gateway, by address: bounced or refused at once as a
    loop, not carried in circles."""
    g = make_gateway(start=False, internal_domains=[
        {"domain": "example.com", "route": "boxes"}])
    g.mx("self.test", "127.0.0.1")
    g.write(delivery={"port": g.port})
    g.start()
    with g.client() as c:
        r = c.mail("a@example.com", "b@self.test", message())
        assert r.code == 250
    wait_for(lambda: g.lines("bounced", qid=reply_id(r)), 15, "bounced")
    assert "5.4.6" in g.lines("bounced", qid=reply_id(r))[0]
    assert len(g.lines("accepted")) <= 2


EVIL_REPLIES = {
    "escape": "450 later\x1b[2J\x07", "long_code": "2500 ok",
    "short_code": "25", "changing": "250-ok\r\n550 no", "tab": "250\tok",
    "no_code": "ok 250", "long_line": "250-" + "x" * 5000,
    "many_lines": "250-a\r\n" * 20000 + "250 b", "class_9": "999 what",
    "nul": "250 a\0b"}


@pytest.mark.parametrize("kind", sorted(EVIL_REPLIES))
def test_b49_b62_replies_to_rcpt(make_gateway, make_sink, kind):
    """What is no reply beyond doubt is none: tried again later. Whatever it
    holds, the log gets whole lines of printable characters."""
    reply = EVIL_REPLIES[kind]
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port,
                     hook=lambda v, a: reply if v == "RCPT" else None)
    g.start()
    before = resident(g)
    with g.client() as c:
        r = c.mail("a@example.com", "b@partner.test", message())
        assert r.code == 250
    wait_for(lambda: g.lines("deferred", qid=reply_id(r)), 15, "deferred")
    assert sink.messages == []
    assert resident(g) - before < 16 << 20
    for line in g.log:
        assert re.fullmatch(r"[ -~]*", line), line


# ---- the log -----------------------------------------------------------------

def test_b62_log_injection(make_gateway, ca):
    """HELO, addresses, passwords: one event one line, escaped, no secret."""
    g = make_gateway(start=False)
    users = g.dir / "users"
    users.write_text("u:$6$abcdefgh$Dl/lFdvp6gmAM4Qxy6Pz8HT4TgDIUV4bVOJuk"
                     "KuV/hCiSVPG8QRCg4Br0xyS1Plaib9lhP8qBv5yWJfAqtqvF1\n")
    users.chmod(0o600)
    g.write(gateway={"auth_file": str(users)})
    g.start()
    evil = 'x"level=error"event=lost'
    with g.client(ehlo=False) as c:
        assert c.cmd(f"EHLO {evil}").code == 250
        c.cmd("MAIL FROM:<\"a\\\" event=accepted qid=1\"@foreign.test>")
        c.cmd("RCPT TO:<\"b event=delivered\"@foreign.test>")
        c.cmd("MAIL FROM:<\xe2\x80\xae@example.com> SMTPUTF8")
        c.send(b"EHLO a\xe2\x80\xae\x1b[31m\r\n")
        assert c.reply().code in (500, 501)
        c.starttls(ca.client_context())
        assert c.ehlo().code == 250
        # user "u\nlevel=error", password "hunter2"
        assert c.cmd("AUTH PLAIN AHUKbGV2ZWw9ZXJyb3IAaHVudGVyMg==").code in (
            501, 535)
        c.cmd("RCPT TO:<x@foreign.test>")
    wait_for(lambda: g.lines("refused"), what="refused")
    time.sleep(0.2)
    text = "\n".join(g.log)
    assert "hunter2" not in text and "aHVudGVyMg" not in text
    for line in g.log:
        assert re.fullmatch(r"[ -~]*", line), line
        bare = re.sub(r'"(?:\\.|[^"\\])*"', "", line)
        assert len(re.findall(r"(?:^| )event=", bare)) == 1, line
        assert not re.search(r"event=(lost|delivered|accepted)\b", bare), line
        assert " level=error" not in bare, line


# ---- what cannot be guessed --------------------------------------------------

def test_b65_ids_cannot_be_guessed(relay):
    with relay.client() as c:
        ids = [reply_id(c.mail("a@example.com", "b@partner.test", message()))
               for _ in range(50)]
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    numbers = []
    for i in ids:
        n = 0
        for ch in i:
            n = n * 32 + alphabet.index(ch)
        numbers.append(n)
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    assert len(set(ids)) == 50
    # Within a millisecond the next one is 1 to 64 further.
    assert len(set(steps)) > 40 and min(steps) > 0
