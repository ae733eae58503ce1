"""Limits against real crowds: thousands of slow connections, default rates.
Their arithmetic under a clock of its own is in tests/unit/test_limits.c."""

import pathlib
import resource
import selectors
import socket
import time

import pytest

from harness import Client, message, wait_for

CROWD = 5000
PER_SOURCE = 40   # below the default of connections_per_client
RSS_MAX_KB = 100 * 1024
TIMEOUT_S = 25


def descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def rss_kb(g):
    text = pathlib.Path(f"/proc/{g.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


class Crowd:
    """CROWD connections from many addresses, of one octet now and then."""

    def __init__(self, port, n):
        self.sel = selectors.EpollSelector()
        self.socks = []
        self.told = {}
        self.closed = set()
        self.at = 0
        for i in range(n):
            source = i // PER_SOURCE
            s = socket.socket()
            s.bind((f"127.9.{source // 250}.{source % 250 + 1}", 0))
            s.settimeout(10)
            s.connect(("127.0.0.1", port))
            s.setblocking(False)
            self.socks.append(s)
            self.told[s] = b""
            self.sel.register(s, selectors.EVENT_READ)
            if i % 100 == 0:
                self.listen(0)

    def listen(self, timeout):
        for key, _ in self.sel.select(timeout):
            s = key.fileobj
            try:
                got = s.recv(4096)
            except (BlockingIOError, InterruptedError):
                continue
            except ConnectionError:
                got = b""
            self.told[s] += got
            if got == b"":
                self.closed.add(s)
                self.sel.unregister(s)

    def wait_told(self, begin, n):
        def told():
            self.listen(0.05)
            return sum(t.startswith(begin) for t in self.told.values()) == n
        wait_for(told, 15, f"{n} times {begin}")

    def trickle(self, n):
        """One octet on each of the next n."""
        for _ in range(n):
            s = self.socks[self.at % len(self.socks)]
            self.at += 1
            if s not in self.closed:
                try:
                    s.send(b"N")
                except (BlockingIOError, ConnectionError):
                    pass

    def close(self):
        self.sel.close()
        for s in self.socks:
            s.close()


def messages_take(client, n, meanwhile=lambda: None):
    """Seconds of the middle one of n messages."""
    took = []
    for _ in range(n):
        begin = time.monotonic()
        r = client.mail("a@example.com", "b@example.com", message())
        took.append(time.monotonic() - begin)
        assert r.code == 250, r
        meanwhile()
    return sorted(took)[n // 2]


def test_slow_crowd(make_gateway):
    """A3.28, B18: 5,000 connections, one octet in ten seconds each, while a
    good client is served at its usual speed, within 100 MB; and a trickle
    does not keep a connection."""
    assert descriptors() > CROWD + 500
    g = make_gateway(limits={
        "connections": 7000, "connections_per_client": 50,
        "command_timeout": f"{TIMEOUT_S}s"})
    with g.client() as c:
        messages_take(c, 20)  # warm
        quiet = messages_take(c, 60)
    begin = time.monotonic()
    crowd = Crowd(g.port, CROWD)
    try:
        crowd.wait_told(b"220 ", CROWD)
        assert not crowd.closed

        def step():
            crowd.trickle(CROWD // 100)
            crowd.listen(0)
            time.sleep(0.05)

        with g.client() as c:  # a new connection, in the middle of it
            busy = messages_take(c, 100, step)
        assert not crowd.closed
        assert busy < 2 * quiet + 0.02, (quiet, busy)
        assert rss_kb(g) < RSS_MAX_KB
        # Every one of them has had its time, trickle or not.
        while len(crowd.closed) < CROWD and \
                time.monotonic() - begin < 2 * TIMEOUT_S + 20:
            crowd.trickle(CROWD // 100)
            crowd.listen(0.1)
        assert len(crowd.closed) == CROWD
        ended = [t for t in crowd.told.values() if b"\r\n421 4.4.2 " in t]
        # An octet that crosses the close may turn it into a reset.
        assert len(ended) > CROWD * 0.9
        wait_for(lambda: b"421" not in banner(g), 5, "served again")
    finally:
        crowd.close()
    assert rss_kb(g) < RSS_MAX_KB


def banner(g):
    with g.client(ehlo=False) as c:
        return str(c.banner).encode()


def test_crowd_leaves_room(make_gateway):
    """Strangers use up their part of limits.connections, not the rest."""
    g = make_gateway(limits={"connections": 200})
    crowd = Crowd(g.port, 200)
    try:
        crowd.wait_told(b"220 ", 150)
        crowd.wait_told(b"421 4.3.2 ", 50)
        with g.client() as c:
            assert c.mail("a@example.com", "b@example.com",
                          message()).code == 250
    finally:
        crowd.close()


@pytest.fixture
def stranger(make_gateway):
    g = make_gateway()

    def connect(**options):
        return Client("127.0.0.1", g.port, source="127.0.0.77", **options)

    connect.gateway = g
    return connect


def test_default_connection_rate(stranger):
    """B18: 60 at once for a stranger, no end for an authorized source."""
    for _ in range(60):
        with stranger(ehlo=False) as c:
            assert c.banner.code == 220
    with stranger(ehlo=False) as c:
        assert c.banner.code == 421
        assert c.banner.text.startswith("4.7.0 ")
        assert c.rest() == b""
    stranger.gateway.wait_log("refused", code=421)
    for _ in range(200):
        with stranger.gateway.client(ehlo=False) as c:
            assert c.banner.code == 220


def test_default_message_rate(stranger):
    with stranger() as c:
        for _ in range(120):
            assert c.cmd("MAIL FROM:<x@else.test>").code == 250
            assert c.cmd("RSET").code == 250
        r = c.cmd("MAIL FROM:<x@else.test>")
        assert r.code == 450 and r.text.startswith("4.7.1 ")
        assert r.text.endswith("]")
    stranger.gateway.wait_log("refused", reason="message_rate")
    with stranger.gateway.client() as c:
        for _ in range(300):
            assert c.cmd("MAIL FROM:<a@example.com>").code == 250
            assert c.cmd("RSET").code == 250


def test_default_recipient_rate(stranger):
    with stranger() as c:
        taken = 0
        for _ in range(7):
            assert c.cmd("MAIL FROM:<x@else.test>").code == 250
            for _ in range(100):
                r = c.cmd(f"RCPT TO:<r{taken}@example.com>")
                if r.code != 250:
                    break
                taken += 1
            c.cmd("RSET")
        assert 600 <= taken <= 610
        assert r.code == 450 and r.text.startswith("4.7.1 ")
    stranger.gateway.wait_log("refused", reason="recipient_rate")


def test_rates_for_all(make_gateway):
    g = make_gateway(limits={"connection_rate": "5/1m", "rates_for": "all"})
    for _ in range(5):
        with g.client(ehlo=False) as c:
            assert c.banner.code == 220
    with g.client(ehlo=False) as c:
        assert c.banner.code == 421
