"""Sessions with the next hop: reuse and its bounds, extensions as offered,
opportunistic TLS (C35, C37, C46, C49, C61, B07, B08)."""

import re
import socket
import time

import pytest

from harness import CA, Sink, message, wait_for


def send(g, rcpts="b@partner.test", text=None, params=""):
    with g.client() as c:
        r = c.mail("a@example.com", rcpts, text or message(), params)
        assert r.code == 250, r


@pytest.fixture
def single(make_gateway, make_sink):
    """One connection at a time to partner.test."""
    def make(delivery=None, **sink):
        g = make_gateway(start=False, tls=False, delivery=dict(
            {"connections_per_destination": 1}, **(delivery or {})))
        g.mx("partner.test", "127.0.0.2")
        g.sink = make_sink("127.0.0.2", g.mx_port, **sink)
        return g.start()

    return make


def per_session(sink):
    """Messages of each session, in order."""
    numbers = [m.session for m in sink.messages]
    return [numbers.count(n) for n in sorted(set(numbers))]


# ---- reuse -----------------------------------------------------------------

def test_c37_reuse_then_quit(single):
    g = single()
    for n in range(5):
        send(g)
        g.sink.wait(n + 1)
    assert g.sink.sessions == 1 and per_session(g.sink) == [5]
    said = g.sink.said(1)
    assert [l.split()[0] for l in said].count("EHLO") == 1
    assert "QUIT" not in said
    idle = time.monotonic()
    wait_for(lambda: g.sink.live == 0, 5, "the end of the idle session")
    assert 0.5 < time.monotonic() - idle < 3  # idle_timeout is 1s
    assert g.sink.said(1)[-1] == "QUIT"
    send(g)
    g.sink.wait(6)
    assert g.sink.sessions == 2


def test_messages_per_connection(single):
    g = single({"messages_per_connection": 2, "idle_timeout": "30s"})
    for _ in range(5):
        send(g)
    g.sink.wait(5)
    assert per_session(g.sink) == [2, 2, 1]
    wait_for(lambda: g.sink.live == 1)
    for n in (1, 2):
        assert g.sink.said(n)[-1] == "QUIT"
    assert "QUIT" not in g.sink.said(3)


def test_connections_per_destination(make_gateway, make_sink):
    """Many at once for a slow host, and never more than allowed."""
    most = [0]

    def hook(verb, _):
        most[0] = max(most[0], sink.live)
        if verb == "DOT":
            time.sleep(0.1)

    g = make_gateway(start=False, tls=False,
                     delivery={"connections_per_destination": 3})
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port, hook=hook)
    g.start()
    for _ in range(25):
        send(g)
    sink.wait(25)
    assert most[0] == 3


# ---- extensions ------------------------------------------------------------

def test_c61_rcptmax(single):
    g = single(extensions=Sink.EXTENSIONS + ("LIMITS RCPTMAX=2",))
    rcpts = [f"r{i}@partner.test" for i in range(5)]
    send(g, rcpts, message(subject="split"))
    got = wait_for(lambda: sum(len(m.rcpts) for m in g.sink.messages) >= 5
                   and g.sink.messages)
    assert [len(m.rcpts) for m in got] == [2, 2, 1]
    assert sorted(a for m in got for a, _ in m.rcpts) == rcpts
    assert {m.data for m in got} == {got[0].data}
    assert len([l for l in g.sink.commands if l.startswith("RCPT")]) == 5
    assert g.sink.sessions == 1


def test_c61_mailmax(single):
    g = single(extensions=Sink.EXTENSIONS + ("LIMITS MAILMAX=2 RCPTMAX=50",))
    for _ in range(3):
        send(g)
    g.sink.wait(3)
    assert per_session(g.sink) == [2, 1]
    assert g.sink.said(1)[-1] == "QUIT"


def test_recipients_per_message(single):
    """Our own limit, also where the host has a greater one."""
    g = single({"recipients_per_message": 2},
               extensions=Sink.EXTENSIONS + ("LIMITS RCPTMAX=4",))
    send(g, [f"r{i}@partner.test" for i in range(3)])
    g.sink.wait(2)
    assert [len(m.rcpts) for m in g.sink.messages] == [2, 1]


BODY = ".\r\n..\r\n.a\r\n\r\n. \r\n" + ("x" * 70 + "\r\n.y\r\n") * 40


@pytest.mark.parametrize("size", ["short", "long"])
def test_c46_chunking_when_offered(single, size):
    """Counted octets, no dot doubled, no end mark."""
    body = BODY * (1 if size == "short" else 60)
    g = single(extensions=Sink.EXTENSIONS + ("CHUNKING",))
    send(g, text=message(body=body))
    send(g, text=message(body=body))
    for m in g.sink.wait(2):
        assert m.text.endswith("\r\n\r\n" + body)
    verbs = [l.split()[0] for l in g.sink.commands]
    assert "BDAT" in verbs and "DATA" not in verbs
    assert set(verbs) <= {"EHLO", "MAIL", "RCPT", "BDAT", "QUIT"}


def test_c46_data_when_not(single):
    g = single()
    send(g, text=message(body=BODY))
    assert g.sink.wait()[0].text.endswith("\r\n\r\n" + BODY)
    verbs = [l.split()[0] for l in g.sink.commands]
    assert "DATA" in verbs and "BDAT" not in verbs


@pytest.mark.parametrize("offered", [True, False])
def test_c35_c44_pipelining(single, offered):
    words = [w for w in Sink.EXTENSIONS if w != "PIPELINING" or offered]
    g = single(extensions=words)
    send(g, ["b@partner.test", "c@partner.test"])
    g.sink.wait()
    envelope = [l for l in g.sink.ahead if l.startswith(("MAIL", "RCPT"))]
    assert len(envelope) == (3 if offered else 0), g.sink.ahead


# ---- opportunistic TLS -----------------------------------------------------

class BrokenTls:
    """STARTTLS is offered, and then no handshake comes."""

    def __init__(self, answer=b"this is no TLS record\r\n"):
        self.answer = answer

    def wrap_socket(self, sock, **_):
        sock.recv(1, socket.MSG_PEEK)  # not in one segment with the 220
        sock.sendall(self.answer)
        raise EOFError


def verbs(sink, session):
    return [l.split()[0] for l in sink.said(session)]


@pytest.mark.parametrize("answer", [
    b"this is no TLS record\r\n", b"", b"\x15\x03\x03\x00\x02\x02\x28"],
    ids=["garbage", "closed", "alert"])
def test_b08_clear_only_after_a_failed_handshake(relay, answer):
    relay.sink.tls = BrokenTls(answer)
    send(relay)
    got = relay.sink.wait()[0]
    assert got.tls is None
    # nothing of the mail in the session that failed; a fresh one has it
    assert verbs(relay.sink, 1) == ["EHLO", "STARTTLS"]
    assert got.session == 2
    assert verbs(relay.sink, 2)[:2] == ["EHLO", "MAIL"]
    line = relay.wait_log("tls_fallback", destination="partner.test",
                          host="mx0.partner.test")
    assert len(line) == 1 and " reason=" in line[0]
    relay.wait_log("delivered", to="b@partner.test", tls="none")
    assert relay.lines("deferred") == []


@pytest.mark.parametrize("answer", ["454 4.7.0 Not now", "502 5.5.1 No"])
def test_b08_starttls_is_refused(relay, ca, answer):
    relay.sink.tls = ca.server_context("mx0.partner.test")
    relay.sink.hook = lambda verb, _: answer if verb == "STARTTLS" else None
    send(relay)
    got = relay.sink.wait()[0]
    assert got.tls is None and got.session == 1
    line = relay.wait_log("tls_fallback", destination="partner.test",
                          host="mx0.partner.test")[0]
    assert answer[:3] in line and answer[10:] in line
    relay.wait_log("delivered", to="b@partner.test", tls="none")
    # the next session asks again, and gets TLS
    relay.sink.hook = lambda *_: None
    wait_for(lambda: relay.sink.live == 0, 5)
    send(relay)
    assert relay.sink.wait(2)[1].tls is not None
    assert len(relay.lines("tls_fallback")) == 1


@pytest.mark.parametrize("known", [True, False])
def test_tls_is_recorded(relay, ca, tmp_path, known):
    """An unknown authority does not stop opportunistic TLS; it is told."""
    authority = ca if known else CA(tmp_path / "unknown", "Unknown CA")
    relay.sink.tls = authority.server_context("mx0.partner.test")
    send(relay)
    got = relay.sink.wait()[0]
    assert got.tls == "TLSv1.3" and got.session == 1
    assert verbs(relay.sink, 1)[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]
    line = relay.wait_log("delivered", to="b@partner.test")[0]
    assert " tls=TLSv1.3 " in line
    verified = re.search(r' verified=("[^"]*"|\S+)', line).group(1)
    assert (verified == "yes") == known, line
    assert relay.lines("tls_fallback") == []


def test_b07_c49_extensions_before_tls_are_forgotten(relay, ca):
    relay.sink.tls = ca.server_context("mx0.partner.test")
    hellos = []

    def hook(verb, _):
        if verb == "EHLO":
            hellos.append(verb)
            if len(hellos) == 2:
                return "250-sink.partner.test\r\n250 PIPELINING"
        return None

    relay.sink.hook = hook
    send(relay, params=" RET=HDRS ENVID=x")
    got = relay.sink.wait()[0]
    assert got.tls is not None and got.params == ""


def test_b06_octets_behind_the_answer_to_starttls(relay, ca):
    """They would be read as if they had come by TLS."""
    relay.sink.tls = ca.server_context("mx0.partner.test")
    relay.sink.hook = lambda verb, _: (
        "220 2.0.0 Go\r\n250-sink\r\n250 SIZE 1" if verb == "STARTTLS"
        else None)
    send(relay)
    relay.wait_log("deferred")
    assert relay.sink.messages == []
    assert not [l for l in relay.sink.commands if l.startswith("MAIL")]
    assert relay.boxed() == []
