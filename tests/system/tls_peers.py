"""SMTP servers that are good, weak or evil at TLS, and that keep what they saw
of each session: for tests of secure delivery. A Peer is a Sink of harness.py;
how it behaves once STARTTLS has its 220 is a function of BEHAVIOURS, or the
handshake with its context."""

import ssl
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh

from harness import Sink, SinkSession

# All that may be said before TLS by who wants TLS.
IN_CLEAR = ("EHLO", "HELO", "STARTTLS", "QUIT")


class Seen:
    """One session. clear and secure are the command lines before and in TLS;
    the rest is as the handshake left it."""

    def __init__(self, number):
        self.number = number
        self.clear, self.secure = [], []
        self.tls = self.cipher = self.sni = self.client = None
        self.resumed = False
        self.fault = None  # why there was no handshake
        self.begin = time.monotonic()
        self.asked = None  # when STARTTLS came
        self.end = None

    def leaks(self):
        """What was said in clear and is not a way to TLS, or out."""
        return [l for l in self.clear
                if l.split(" ")[0].upper() not in IN_CLEAR]

    def started(self):
        return any(l.upper() == "STARTTLS" for l in self.clear)


class Peer(Sink):
    """tls: a context, offered by STARTTLS; behaviour: what comes instead of a
    handshake. seen: of each session, in the order of their beginning."""

    def __init__(self, address, port, tls=None, behaviour=None, **options):
        self.seen = []
        self.behaviour = BEHAVIOURS[behaviour] if behaviour else None
        if tls is not None:
            tls.sni_callback = self._on_name
        elif behaviour is not None:
            options["extensions"] = Sink.EXTENSIONS + ("STARTTLS",)
        super().__init__(address, port, tls=tls, **options)

    def _on_name(self, sock, name, _):
        sock.asked_name = name

    def _serve(self, sock, number, peer):
        session = PeerSession(self, sock, number, peer)
        with self.lock:
            self.seen.append(session.seen)
        try:
            sock.settimeout(60)
            session.run()
        except (OSError, EOFError) as e:
            session.seen.fault = session.seen.fault or str(e) or "closed"
        finally:
            session.seen.end = time.monotonic()
            session.sock.close()
            with self.lock:
                self.live -= 1

    def leaks(self):
        return [l for s in self.seen for l in s.leaks()]

    def of(self, delivery):
        """The session that a message came by."""
        return next(s for s in self.seen if s.number == delivery.session)

    def received(self, rcpt):
        return [m for m in self.messages if rcpt in [r for r, _ in m.rcpts]]


class PeerSession(SinkSession):
    def __init__(self, sink, sock, number, peer):
        super().__init__(sink, sock, number, peer)
        self.seen = Seen(number)

    def command(self, verb, arg):
        line = f"{verb} {arg}".strip()
        (self.seen.secure if self.tls else self.seen.clear).append(line)
        if verb != "STARTTLS":
            return super().command(verb, arg)
        self.seen.asked = time.monotonic()
        told = self.sink.hook(verb, arg)
        if told is not None:
            self.say(told)
        elif self.sink.behaviour is not None:
            self.sink.behaviour(self)
        else:
            self._shake_hands()
        return verb

    def _shake_hands(self):
        seen = self.seen
        self.say("220 2.0.0 Go")
        try:
            self.sock = self.sink.tls.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False)
            self.sock.do_handshake()
        except (OSError, ssl.SSLError) as e:
            seen.fault = str(e)
            raise
        finally:
            seen.sni = getattr(self.sock, "asked_name", None)
        self.tls = seen.tls = self.sock.version()
        seen.cipher = self.sock.cipher()[0]
        seen.resumed = self.sock.session_reused
        shown = self.sock.getpeercert()
        if shown:
            seen.client = dict(p for r in shown["subject"]
                               for p in r)["commonName"]
        self.buf = b""
        self.reset()


# ---- what else may come after 220 ------------------------------------------

def _go(session, more=b""):
    session.sock.sendall(b"220 2.0.0 Go\r\n" + more)


def _hello(session):
    session.sock.recv(65536)  # the ClientHello, or a part of it


def close(session):
    _go(session)
    raise EOFError("closed")


def close_at_once(_):
    raise EOFError("closed")


def garbage(session):
    _go(session)
    _hello(session)
    session.sock.sendall(bytes(range(256)) * 4)
    raise EOFError("garbage")


def plain_text(session):
    """As if nothing had been said: waits for the next command."""
    _go(session)
    _hello(session)
    session.sock.sendall(b"500 5.5.1 Unknown command\r\n" * 3)
    session.sock.settimeout(5)
    while session.sock.recv(65536):
        pass
    raise EOFError("closed")


def alert(session):
    _go(session)
    _hello(session)
    session.sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
    raise EOFError("handshake_failure")


def silence(session):
    _go(session)
    while session.sock.recv(65536):
        pass
    raise EOFError("closed")


def dribble(session):
    """A handshake record that always goes on, an octet at a time."""
    _go(session)
    _hello(session)
    session.sock.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    while True:
        session.sock.sendall(b"\0")
        time.sleep(0.05)


def injects(session):
    """B06: replies behind the 220, in the same segment."""
    _go(session, b"250-evil\r\n250-PIPELINING\r\n250 SIZE 1\r\n")
    session.sock.settimeout(5)
    while session.sock.recv(65536):
        pass
    raise EOFError("closed")


def injects_later(session):
    """B06, in a segment of its own, which TLS gets to read."""
    _go(session)
    _hello(session)
    session.sock.sendall(b"250-evil\r\n250-PIPELINING\r\n250 SIZE 1\r\n")
    session.sock.settimeout(5)
    while session.sock.recv(65536):
        pass
    raise EOFError("closed")


BEHAVIOURS = {f.__name__: f for f in (
    close, close_at_once, garbage, plain_text, alert, silence, dribble,
    injects, injects_later)}


# ---- contexts --------------------------------------------------------------

# The second Oakley group (RFC 2409 section 6.2): 1,024 bits are too few.
OAKLEY_2 = int("""
    FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74
    020BBEA6 3B139B22 514A0879 8E3404DD EF9519B3 CD3A431B 302B0A6D F25F1437
    4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
    EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE65381 FFFFFFFF FFFFFFFF
    """.replace(" ", "").replace("\n", ""), 16)


def _load_weak_dh(ctx, directory):
    path = directory / "dh1024.pem"
    path.write_bytes(dh.DHParameterNumbers(OAKLEY_2, 2).parameters()
                     .parameter_bytes(serialization.Encoding.PEM,
                                      serialization.ParameterFormat.PKCS3))
    ctx.load_dh_params(str(path))


def limited(factory, kind, host):
    """A context of a good certificate that can do only what kind says."""
    ctx = factory.server("rsa" if kind in RSA else "good", host)
    low, high, ciphers = LIMITS[kind]
    ctx.minimum_version, ctx.maximum_version = low, high
    if ciphers is not None:
        ctx.set_ciphers(ciphers)
    if kind == "weak_dh":
        _load_weak_dh(ctx, factory.dir)
    return ctx


_V = ssl.TLSVersion
RSA = ("rsa_exchange", "weak_dh")
LIMITS = {
    "tls10": (_V.TLSv1, _V.TLSv1, "ALL:@SECLEVEL=0"),
    "tls11": (_V.TLSv1_1, _V.TLSv1_1, "ALL:@SECLEVEL=0"),
    "tls12": (_V.TLSv1_2, _V.TLSv1_2, None),
    "tls13": (_V.TLSv1_3, _V.TLSv1_3, None),
    "cbc": (_V.TLSv1_2, _V.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256"),
    "rsa_exchange": (_V.TLSv1_2, _V.TLSv1_2, "AES256-GCM-SHA384"),
    "weak_dh": (_V.TLSv1_2, _V.TLSv1_2,
                "DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0"),
    "anonymous": (_V.TLSv1_2, _V.TLSv1_2, "aNULL:@SECLEVEL=0"),
    "null": (_V.TLSv1_2, _V.TLSv1_2, "eNULL:@SECLEVEL=0"),
}


def wants_client(ctx, ca_file, required):
    ctx.load_verify_locations(ca_file)
    ctx.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return ctx
