"""Clients that hang, reset, close, babble or trickle in every state of a
session, and those that attack TLS: A3.18, A3.29-A3.33, B55. Other clients
notice nothing, nothing half-sent is accepted, memory is bounded."""

import ctypes
import multiprocessing
import re
import socket
import ssl
import threading
import time

import pytest

import evil
import peers
import world
from harness import Client, Sink, message, wait_for
from peers import until

CASES = [(s, f) for s in evil.CLIENT_STATES for f in evil.FAULTS]
SHORT = {"command_timeout": "2s", "data_timeout": "2s",
         "transaction_timeout": "4s"}
OTHER = "127.0.0.5"
IDLE_MAX = 100000  # so that it is the replies that end it


def prepare(w, **settings):
    """One reactor, so that nobody is spared by luck."""
    _, cert = peers.certificates(w.dir / "ca")
    d = w.daemon
    d.write(gateway={"reactors": 1, "certificate": cert[0], "key": cert[1]},
            authorized_outbound=[{"network": "127.0.0.0/8"}], **settings)
    d.mx("other.test", OTHER)
    w.open()
    return d


def tls_client(d, maximum=ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = maximum
    c = d.client().starttls(context)
    assert c.ehlo().code == 250
    return c


def ids(sink):
    return [re.search(r"id=([\w-]+);", m.text).group(1)
            for m in list(sink.messages)]


@pytest.fixture
def other(request):
    made = []

    def make(d):
        made.append(Sink(OTHER, d.mx_port))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.mark.quick
def test_a3_18_clients_in_every_state(make_world, other, row):
    w = make_world()
    d = prepare(w)
    sink = other(d)
    d.start()
    probe = peers.Probe(w)
    quiet = probe.quiet()
    before = peers.memory_kib(d.process.pid)
    with peers.Evil("clients", "127.0.0.1", d.port) as clients:
        time.sleep(1)
        busy = probe.check_flat()
        grown = peers.memory_kib(d.process.pid) - before
        assert grown < 64 * 1024, f"{grown} KiB"
        # Most of them are still at it: something was measured.
        assert peers.sessions(d) > len(CASES) // 4
        clients.heal()
        until(lambda: peers.sessions(d) == 0, 20,
              lambda: f"{peers.sessions(d)} sessions")
        report = clients.report()
    assert report["failed"] == {}, report["failed"]
    got = ids(sink)
    assert set(got) <= set(report["finished"]), "half a message was accepted"
    assert len(got) == len(set(got))
    assert {m for m in report["finished"] if m.startswith("quit-")} <= \
        set(got), "a 250 without the message"
    v = w.judge()
    row("A3.18 clients in every state", len(CASES), v,
        f"p99 {quiet.replies * 1000:.1f} -> {busy.replies * 1000:.1f} ms")
    v.check()


def test_a3_18_no_client_stays_for_ever(make_world, other, row):
    """Octets of a line that does not end, or drops of content, earn no more
    than the limits say. Handshakes have a minute (B55), less than this test
    waits, so those may still be there."""
    w = make_world()
    d = prepare(w, limits=SHORT)
    sink = other(d)
    d.start()
    start = time.monotonic()
    with peers.Evil("clients", "127.0.0.1", d.port) as clients:
        shaking = 2 * len(evil.FAULTS)
        time.sleep(1)
        until(lambda: peers.sessions(d) <= shaking, 15,
              lambda: f"{peers.sessions(d)} sessions")
        took = time.monotonic() - start
        clients.heal()
        until(lambda: peers.sessions(d) == 0, 15,
              lambda: f"{peers.sessions(d)} sessions")
        report = clients.report()
    assert set(ids(sink)) <= set(report["finished"])
    row("A3.18 no client stays for ever", len(CASES), None,
        f"all gone after {took:.1f} s")


def stuff(sock, data, seconds):
    """Sends data again and again until nothing goes any more."""
    sent = 0
    end = time.monotonic() + seconds
    sock.setblocking(False)
    while time.monotonic() < end:
        try:
            sent += sock.send(data)
        except BlockingIOError:
            time.sleep(0.01)
    sock.setblocking(True)
    return sent


def test_a3_29_a_client_that_does_not_read(make_world, row):
    w = make_world()
    d = prepare(w, limits={"command_timeout": "3s",
                           "idle_commands": IDLE_MAX})
    d.start()
    probe = peers.Probe(w)
    quiet = probe.quiet()
    before = peers.memory_kib(d.process.pid)
    deaf = []
    group = ("MAIL FROM:<a@example.com>\r\n" +
             "".join(f"RCPT TO:<{i}@other.test>\r\n" for i in range(90)) +
             "RSET\r\n").encode() * 50
    for i in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", d.port))
        s.recv(4096)  # who speaks before the greeting is sent away
        s.send(b"EHLO deaf.example.com\r\n")
        deaf.append(s)
    sent = []
    threads = [threading.Thread(
        target=lambda s=s: sent.append(stuff(s, group, 1.5))) for s in deaf]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    grown = peers.memory_kib(d.process.pid) - before
    busy = probe.check_flat()
    # 64 KB of input and of output each, and what malloc makes of it.
    assert grown < 20 * 512, f"{grown} KiB"
    assert max(sent) < 16 << 20, "it read on although nobody listens"
    until(lambda: peers.sessions(d) == 0, 10,
          lambda: f"{peers.sessions(d)} sessions")
    for s in deaf:
        s.close()
    row("A3.29 clients that do not read", 20, w.judge(),
        f"{grown} KiB; p99 {quiet.replies * 1000:.1f} -> "
        f"{busy.replies * 1000:.1f} ms")


def test_a3_30_a_line_of_100_mb(make_world, row):
    w = make_world()
    d = prepare(w, limits={"message_size": "200M"})
    d.start()
    before = peers.memory_kib(d.process.pid)
    block = b"x" * (1 << 20)
    with d.client() as c:  # as a command
        for _ in range(100):
            c.send(block)
        c.send(b"\r\n")
        r = c.reply()
        assert r.code == 500, r.lines
        assert c.cmd("NOOP").code == 250
    with d.client() as c:  # as content
        for cmd in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@other.test>"):
            assert c.cmd(cmd).code == 250
        assert c.cmd("DATA").code == 354
        c.send(b"From: a@example.com\r\n\r\n")
        for _ in range(100):
            c.send(block)
        c.send(b"\r\n.\r\n")
        code = c.reply().code
        assert code in (250, 500, 552, 554), code
        assert c.cmd("NOOP").code == 250
    peak = peers.memory_kib(d.process.pid, "VmHWM") - before
    assert peak < 40 * 1024, f"{peak} KiB"
    row("A3.30 a line of 100 MB", 2, None,
        f"{peak} KiB more; as content: {code}")


def test_a3_31_handshakes_that_stall(make_world, row):
    w = make_world()
    d = prepare(w)
    port = d.mx_port + 1
    d.write(gateway={"listen": [
        {"address": f"127.0.0.1:{d.port}"},
        {"address": f"127.0.0.1:{port}", "tls": "implicit"}]})
    d.start()
    probe = peers.Probe(w)
    quiet = probe.quiet()
    stalled = []
    for i in range(60):
        s = socket.create_connection(("127.0.0.1", port))
        if i % 3:
            s.send(b"\x16\x03\x01\x02\x00\x01"[:i % 6 + 1])
        stalled.append(s)
    with peers.Background(lambda: (time.sleep(0.05), [
            s.send(b"\0") for s in stalled[::3]])):
        busy = probe.check_flat()
        assert peers.sessions(d) >= 40
    for s in stalled:
        s.close()
    until(lambda: peers.sessions(d) == 0, 10,
          lambda: f"{peers.sessions(d)} sessions")
    v = w.judge()
    row("A3.31 handshakes that stall", len(stalled), v,
        f"p99 {quiet.replies * 1000:.1f} -> {busy.replies * 1000:.1f} ms")
    v.check()


@pytest.mark.quick
@pytest.mark.parametrize("verb", ("DATA", "BDAT"))
def test_a3_32_tls_cut_in_the_content(make_world, other, verb):
    """What an attacker can do without keys: end the stream early."""
    w = make_world()
    d = prepare(w)
    sink = other(d)
    d.start()
    text = message("id=cut;").encode()
    for tail in (b"", b"\r\n", b".", b"\r\n."):
        c = tls_client(d)
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        assert c.cmd("RCPT TO:<b@other.test>").code == 250
        if verb == "DATA":
            assert c.cmd("DATA").code == 354
            c.send(text + tail)
        else:
            c.send(f"BDAT {len(text) + 10} LAST\r\n".encode() + text + tail)
        # FIN on the TCP connection, no close_notify.
        raw = socket.socket(fileno=c.sock.detach())
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(10)
        while raw.recv(65536):
            pass
        raw.close()
    until(lambda: peers.sessions(d) == 0, 10,
          lambda: f"{peers.sessions(d)} sessions")
    time.sleep(0.5)
    assert sink.messages == []
    assert d.api_json("status")[1]["queue"]["recipients"] == 0


# ---- A3.33 -----------------------------------------------------------------

class Flood:
    """A TLS client by OpenSSL's own interface, with what Python's lacks: key
    updates (TLS 1.3), renegotiation (TLS 1.2)."""

    def __init__(self, sock, version):
        self.sock = sock
        self.version = version
        lib = self.lib = ctypes.CDLL("libssl.so.3")
        crypto = self.crypto = ctypes.CDLL("libcrypto.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(lib, name).restype = ctypes.c_void_p
        for name in ("BIO_new", "BIO_s_mem"):
            getattr(crypto, name).restype = ctypes.c_void_p
        ctx = ctypes.c_void_p(lib.SSL_CTX_new(
            ctypes.c_void_p(lib.TLS_client_method())))
        lib.SSL_CTX_ctrl(ctx, 124, version, None)  # the highest version
        self.ssl = ctypes.c_void_p(lib.SSL_new(ctx))
        self.into, self.out = (ctypes.c_void_p(crypto.BIO_new(
            ctypes.c_void_p(crypto.BIO_s_mem()))) for _ in range(2))
        lib.SSL_set_bio(self.ssl, self.into, self.out)
        lib.SSL_set_connect_state(self.ssl)
        self.buffer = ctypes.create_string_buffer(1 << 20)

    def taken(self):
        n = self.crypto.BIO_read(self.out, self.buffer, len(self.buffer))
        return self.buffer.raw[:n] if n > 0 else b""

    def handshake(self):
        while self.lib.SSL_do_handshake(self.ssl) != 1:
            self.sock.sendall(self.taken())
            got = self.sock.recv(65536)
            assert got, "no handshake"
            self.crypto.BIO_write(self.into, got, len(got))
        self.sock.sendall(self.taken())

    def burst(self, n):
        """n requests to change keys, or to begin anew, as octets."""
        for _ in range(n):
            if self.version == 0x304:
                assert self.lib.SSL_key_update(self.ssl, 1) == 1
            elif self.lib.SSL_renegotiate(self.ssl) != 1:
                break
            self.lib.SSL_do_handshake(self.ssl)
        return self.taken()


def open_flood(d, version):
    c = Client("127.0.0.1", d.port, ehlo=True)
    assert c.cmd("STARTTLS").code == 220
    f = Flood(c.sock, version)
    f.handshake()
    return f


def pour(f, sent, cut):
    """As fast as it goes, until nothing goes any more."""
    f.sock.settimeout(3)
    end = time.monotonic() + 10
    try:
        while time.monotonic() < end:
            data = f.burst(5000)
            if not data:
                break  # this end waits for an answer
            f.sock.sendall(data)
            with sent.get_lock():
                sent.value += len(data)
    except (OSError, AssertionError):
        with cut.get_lock():
            cut.value += 1


@pytest.mark.parametrize("version", (0x304, 0x303),
                         ids=("key_update", "renegotiation"))
def test_a3_33_tls_floods(make_world, row, version):
    w = make_world()
    d = prepare(w)
    d.start()
    probe = peers.Probe(w)
    quiet = probe.quiet()
    before = peers.memory_kib(d.process.pid)
    fork = multiprocessing.get_context("fork")
    sent, cut = fork.Value("q", 0), fork.Value("i", 0)
    floods = [open_flood(d, version) for _ in range(4)]
    # Not in this process, whose own latency is measured.
    children = [fork.Process(target=pour, args=(f, sent, cut))
                for f in floods]
    for c in children:
        c.start()
    wait_for(lambda: sent.value > 0)
    busy = probe.check_flat()
    for c in children:
        c.join(30)
        assert c.exitcode == 0
    grown = peers.memory_kib(d.process.pid) - before
    assert grown < 16 * 1024, f"{grown} KiB"
    # Whoever stays without reading costs nothing any more.
    start = world.cpu_seconds(d.process.pid)
    time.sleep(2)
    spent = world.cpu_seconds(d.process.pid) - start
    assert spent < 0.4, f"{spent} s of CPU in 2 s of silence"
    for f in floods:
        f.sock.close()
    until(lambda: peers.sessions(d) == 0, 10,
          lambda: f"{peers.sessions(d)} sessions")
    v = w.judge()
    row(f"A3.33 {'key updates' if version == 0x304 else 'renegotiation'}",
        len(floods), v,
        f"{sent.value >> 10} KiB, {cut.value} cut off; p99 {quiet.replies * 1000:.1f} -> "
        f"{busy.replies * 1000:.1f} ms")
    v.check()
