"""MTA-STS by deliveries: policies fetched from HTTPS servers of every kind,
what they make of a host, and what is left of them after a restart (RFC 8461;
checklist C65 to C69, B56)."""

import http.server
import ssl
import threading
import time

import pytest

from certs import Factory
from harness import Dns, Sink, free_port, message

POLICY = ("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\n"
          "max_age: 604800\r\n")
FETCH, INVALID, PKIX = ("sts-policy-fetch-error", "sts-policy-invalid",
                        "sts-webpki-invalid")
# What a policy host does: the result for reports and words of the reason.
BROKEN = {
    "unknown_ca": (PKIX, "certificate does not verify"),
    "self_signed": (PKIX, "self-signed"),
    "wrong_name": (PKIX, "ismatch"),
    "cn_only": (PKIX, "ismatch"),
    "expired": (PKIX, "expired"),
    "tls11": (FETCH, "no TLS"),
    "redirect": (FETCH, "redirects are not followed"),
    "missing": (FETCH, "HTTP status 404"),
    "html": (INVALID, "text/html"),
    "megabyte": (INVALID, "longer than 65536"),
    "endless": (INVALID, "longer than 65536"),
    "slow": (FETCH, "no complete answer"),
    "nothing": (FETCH, "annot connect"),
    "nonsense": (INVALID, "line 1"),
    "no_mx": (INVALID, "mx"),
}


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, kind="text/plain", length=None,
               **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length != 0:
            self.send_header("Content-Length", str(length or len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        host = self.server.owner
        host.requests.append(self.path)
        body = host.body.encode()
        self.close_connection = True
        if self.path != "/.well-known/mta-sts.txt":
            self.answer(body)  # whoever followed a redirect
        elif host.kind == "redirect":
            self.answer(b"", 302, Location="/elsewhere")
        elif host.kind == "missing":
            self.answer(body, 404)
        elif host.kind == "html":
            self.answer(body, kind="text/html")
        elif host.kind == "megabyte":
            self.answer(body + b"x: y\n" * 200000)
        elif host.kind == "endless":
            self.answer(body, length=0)
            while not host.closed:
                self.wfile.write(b"x: y\n" * 1000)
        elif host.kind == "slow":
            self.answer(b"", length=len(body))
            while not host.closed:
                self.wfile.write(b"v")
                time.sleep(0.1)
        else:
            self.answer(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        try:
            request.settimeout(20)
            tls = self.owner.context.wrap_socket(request, server_side=True)
            super().finish_request(tls, client_address)
        except OSError:
            pass  # the peer went away, or refused

    def shutdown_request(self, request):
        self.close_request(request)


class PolicyHost:
    """mta-sts.DOMAIN on an address of its own."""

    def __init__(self, kind, domain, address, port, factory, body):
        self.kind, self.body, self.closed = kind, body, False
        self.requests = []
        self.server = None
        if kind == "nothing":
            return
        cert = kind if kind in ("unknown_ca", "self_signed", "wrong_name",
                                "cn_only", "expired") else "good"
        self.context = factory.server(cert, f"mta-sts.{domain}")
        if kind == "tls11":
            self.context.minimum_version = ssl.TLSVersion.TLSv1
            self.context.maximum_version = ssl.TLSVersion.TLSv1_1
            self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.server = Server((address, port), Handler)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever,
                         args=(0.05,), daemon=True).start()

    def close(self):
        self.closed = True
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class World:
    """A gateway, its DNS, and domains with a policy host and a sink each."""

    def __init__(self, make_gateway, factory):
        self.table = {}
        self.dns = Dns(self.table)
        self.factory = factory
        self.port = free_port()
        self.g = make_gateway(
            start=False,
            gateway={"ca_file": factory.file},
            resolver={"servers": [f"127.0.0.1@{self.dns.port}"]},
            mta_sts={"port": self.port, "timeout": "2s"},
            delivery={"retry": ["60s"]})
        self.open = []
        self.n = 0

    def domain(self, name, kind="good", mode="enforce", mx=None, body=None,
               tls="good"):
        self.n += 1
        domain = f"{name.replace('_', '-')}.test"
        address = f"127.0.3.{self.n}"
        self.table[f"{domain}.", "MX"] = [f"10 mx.{domain}."]
        self.table[f"mx.{domain}.", "A"] = [address]
        self.table[f"mta-sts.{domain}.", "A"] = [address]
        self.table[f"_mta-sts.{domain}.", "TXT"] = ['"v=STSv1; id=1;"']
        host = PolicyHost(kind, domain, address, self.port, self.factory,
                          body or POLICY.format(mode=mode,
                                                mx=mx or f"mx.{domain}"))
        sink = Sink(address, self.g.mx_port, name=f"mx.{domain}",
                    tls=tls and self.factory.server(tls, f"mx.{domain}"))
        self.open += [host, sink]
        return domain, host, sink

    def send(self, *domains):
        with self.g.client() as c:
            for d in domains:
                r = c.mail("a@example.com", f"u@{d}", message())
                assert r.code == 250, r

    def close(self):
        for o in self.open + [self.dns]:
            o.close()


@pytest.fixture
def world(make_gateway, factory):
    w = World(make_gateway, factory)
    yield w
    w.g.stop()
    w.close()


def test_policy_hosts_of_every_kind(world):
    """A policy that cannot be had is none: the mail goes, in clear to a host
    that offers nothing else; the log says what is wrong, once."""
    made = {}
    for kind in BROKEN:
        body = {"nonsense": "<html>no policy</html>\n",
                "no_mx": "version: STSv1\nmode: enforce\nmax_age: 9\n"}
        made[kind] = world.domain(kind, kind, body=body.get(kind), tls=None)
    made["good"] = world.domain("good", tls=None)
    world.g.start()
    world.send(*(d for d, _, _ in made.values()))
    for kind, (result, words) in BROKEN.items():
        domain, host, sink = made[kind]
        world.g.wait_log("delivered", to=f"u@{domain}")
        lines = world.g.lines("mta_sts", domain=domain)
        assert len(lines) == 1, (kind, lines)
        assert f" result={result} " in lines[0], (kind, lines)
        assert words in lines[0], (kind, lines)
        assert " level=warn " in lines[0]
        assert len(sink.messages) == 1 and sink.messages[0].tls is None
        assert len(host.requests) <= 1, host.requests
    # The way there is right: with a policy nothing goes in clear.
    domain, host, sink = made["good"]
    line = world.g.wait_log("deferred", to=f"u@{domain}")[0]
    assert "mta_sts" in line.lower() or "MTA-STS" in line, line
    assert not sink.messages
    assert host.requests == ["/.well-known/mta-sts.txt"]
    # Dead servers are not asked again for each message.
    world.send(*(d for d, _, _ in made.values()))
    for kind in BROKEN:
        domain, host, sink = made[kind]
        sink.wait(2)
        assert len(host.requests) <= 1, (kind, host.requests)
        assert len(world.g.lines("mta_sts", domain=domain)) == 1, kind


def test_modes_and_hosts(world):
    listed = world.domain("listed")
    wild = world.domain("wild", mx="*.wild.test")
    testing = world.domain("testing", mode="testing", mx="other.test",
                           tls=None)
    none = world.domain("none", mode="none", tls=None)
    unlisted = world.domain("unlisted", mx="*.mx.unlisted.test")
    untrusted = world.domain("untrusted", tls="self_signed")
    old = world.domain("old", tls="expired")
    world.g.start()
    world.send(*(d for d, _, _ in (listed, wild, testing, none, unlisted,
                                   untrusted, old)))
    for domain, _, sink in (listed, wild):
        line = world.g.wait_log("delivered", to=f"u@{domain}")[0]
        assert " security=verified " in line, line
        assert sink.messages[0].tls is not None
    for domain, _, sink in (testing, none):
        world.g.wait_log("delivered", to=f"u@{domain}")
        assert sink.messages[0].tls is None
    for domain, _, sink in (unlisted, untrusted, old):
        world.g.wait_log("deferred", to=f"u@{domain}")
        assert not sink.messages


def test_policy_outlives_restart_and_withdrawal(world):
    """C68: neither a dead policy host nor a record that is gone takes away
    what was cached."""
    domain, host, sink = world.domain("kept", tls=None)
    other, other_host, other_sink = world.domain("gone", tls=None)
    world.g.start()
    world.send(domain, other)
    for d in (domain, other):
        world.g.wait_log("mta_sts", domain=d, mode="enforce")
        world.g.wait_log("deferred", to=f"u@{d}")
    world.g.stop()
    host.close()
    other_host.close()
    world.table[f"_mta-sts.{domain}.", "TXT"] = ['"v=STSv1; id=2;"']
    del world.table[f"_mta-sts.{other}.", "TXT"]
    mark = len(world.g.log)
    world.g.start()
    with world.g.client() as c:
        for d in (domain, other):
            c.mail("a@example.com", f"again@{d}", message())
    for d in (domain, other):
        world.g.wait_log("deferred", to=f"again@{d}")
    failed = world.g.lines("mta_sts", mark, domain=domain)
    assert len(failed) == 1 and " in_force=enforce " in failed[0], failed
    assert not world.g.lines("mta_sts", mark, domain=other)
    assert not sink.messages and not other_sink.messages
    assert not any(c.startswith("MAIL") for c in sink.commands)
