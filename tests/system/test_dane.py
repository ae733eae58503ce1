"""DANE from the signed zone to the mail: a real validating resolver, real
handshakes (RFC 7672; checklist B09, B56, C70)."""

import datetime
import hashlib
import http.server
import pathlib
import re
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs import Factory
from harness import Sink, free_port, message, wait_for
from zone import World

DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path / "dns")
    yield w
    w.close()


def certificates(pem):
    """Each of a file, as PEM."""
    return re.findall(
        rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n",
        pathlib.Path(pem).read_bytes(), re.S)


def tlsa(pem, usage, selector, matching, nth=0):
    """The rdata for the nth certificate of a file, as text."""
    cert = x509.load_pem_x509_certificate(certificates(pem)[nth])
    data = (cert.public_bytes(DER) if selector == 0 else
            cert.public_key().public_bytes(DER, SPKI))
    if matching != 0:
        data = getattr(hashlib, {1: "sha256", 2: "sha512"}[matching])(
            data).digest()
    return f"{usage} {selector} {matching} {data.hex()}"


def hopeless_certificate(path):
    """Self-signed, expired and for another name: what only DANE-EE takes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "no.where")])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(7)
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now - datetime.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName(
                [x509.DNSName("no.where")]), False)
            .sign(key, hashes.SHA256()))
    pem = pathlib.Path(path)
    pem.write_bytes(cert.public_bytes(serialization.Encoding.PEM) +
                    key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()))
    return str(pem)


def context(pem, key=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem, key)
    return ctx


MISMATCH = "3 1 1 " + "ab" * 32


class Lab:
    """A gateway that asks the world, and hosts in it."""

    def __init__(self, world, make_gateway, factory, **settings):
        self.world, self.factory = world, factory
        settings.setdefault("delivery", {"retry": ["60s"]})
        self.g = make_gateway(start=False,
                              gateway={"ca_file": factory.file,
                                       "reactors": 1},
                              resolver=world.resolver, **settings)
        self.sinks = {}
        world.add("test")

    def host(self, domain, records, tls=None, name=None, kind="signed",
             hook=None, extensions=Sink.EXTENSIONS, address=None, ttl=300):
        """domain's zone with one exchanger; TLSA rdata are of its name."""
        name = name or f"mx.{domain}"
        address = address or f"127.0.3.{len(self.sinks) + 1}"
        port = f"_{self.g.mx_port}._tcp"
        z = self.world.add(
            domain, f"{domain}. {ttl} IN MX 10 {name}.",
            f"{name}. {ttl} IN A {address}",
            *(f"{port}.{name}. {ttl} IN TLSA {r}" for r in records),
            kind=kind)
        self.sinks[domain] = Sink(address, self.g.mx_port, tls=tls, hook=hook,
                                  extensions=extensions)
        return z

    def start(self):
        self.world.start()
        self.g.start()

    def send(self, domain):
        with self.g.client() as c:
            r = c.mail("a@example.com", f"u@{domain}", message())
            assert r.code == 250, r

    def outcome(self, domain):
        """verified, encrypted, clear or deferred, and its line."""
        rcpt = f"u@{domain}"
        line = wait_for(
            lambda: self.g.lines("delivered", to=rcpt) or
            self.g.lines("deferred", to=rcpt), 20,
            f"{rcpt}\n" + "\n".join(self.g.log[-20:]))[0]
        sink = self.sinks[domain]
        got = sink.messages
        if "event=deferred" in line:
            assert not got and not any("MAIL" in c for c in sink.commands)
            return "deferred", line
        assert len(got) == 1
        for word in ("verified", "encrypted", "clear"):
            if f" security={word} " in line:
                assert (got[0].tls is None) == (word == "clear")
                return word, line
        raise AssertionError(line)

    def tlsa_asked(self, name):
        return [n for n, t in self.world.asked
                if t == "TLSA" and n.endswith(f".{name}.")]

    def close(self):
        for s in self.sinks.values():
            s.close()


@pytest.fixture
def make_lab(world, make_gateway, factory):
    made = []

    def make(**settings):
        made.append(Lab(world, make_gateway, factory, **settings))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


# ---- what is published and what is there -----------------------------------

def cases(factory, tmp_path):
    """name: (TLSA rdata, TLS context or None, outcome, words of the line,
    how the zone is, more for the sink)"""
    bad = hopeless_certificate(tmp_path / "hopeless.pem")
    other = hopeless_certificate(tmp_path / "other.pem")

    def anchored(selector, matching, name, sent=True):
        """A record of the authority that signed for name, and that server,
        which may leave it to the record to bring the authority."""
        pem, key = factory.make("intermediate", name)
        record = tlsa(pem, 2, selector, matching, 1)
        if not sent:
            path = pathlib.Path(pem)
            path.write_bytes(certificates(pem)[0])
        return [record], context(pem, key)

    with_tls = Sink.EXTENSIONS + ("STARTTLS",)
    table = {
        # The server's own certificate or key: nothing else counts.
        "ee311": ([tlsa(bad, 3, 1, 1)], context(bad), "verified", "3 1 1"),
        "ee301": ([tlsa(bad, 3, 0, 1)], context(bad), "verified", "3 0 1"),
        "ee312": ([tlsa(bad, 3, 1, 2)], context(bad), "verified", "3 1 2"),
        "ee300": ([tlsa(bad, 3, 0, 0)], context(bad), "verified", "3 0 0"),
        "ee310": ([tlsa(bad, 3, 1, 0)], context(bad), "verified", "3 1 0"),
        "rollover": ([tlsa(other, 3, 1, 1), tlsa(bad, 3, 1, 1)],
                     context(bad), "verified", "3 1 1"),
        "junk-and-good": (["3 1 1 abcd", "1 1 1 " + "00" * 32,
                           tlsa(bad, 3, 1, 1)],
                          context(bad), "verified", "3 1 1"),
        "sixty": ([f"1 1 2 {i:0128x}" for i in range(60)] +
                  [tlsa(bad, 3, 1, 1)], context(bad), "verified", "3 1 1"),
        "mismatch": ([tlsa(other, 3, 1, 1)], context(bad), "deferred", ""),
        # A chain that every browser would take is no excuse.
        "mismatch-trusted": ([MISMATCH],
                             context(*factory.make(
                                 "good", "mx.mismatch-trusted.test")),
                             "deferred", ""),
        # A trust anchor: names and dates are looked at.
        "ta201": (*anchored(0, 1, "mx.ta201.test"), "verified", "2 0 1"),
        "ta211": (*anchored(1, 1, "mx.ta211.test"), "verified", "2 1 1"),
        "ta200": (*anchored(0, 0, "mx.ta200.test", sent=False), "verified",
                  "2 0 0"),
        # RFC 7672 3.2.3: the domain of the mail is a good name, too.
        "ta-domain": (*anchored(0, 1, "ta-domain.test"), "verified", "2 0 1"),
        "ta-name": (*anchored(0, 1, "mx.elsewhere.test"), "deferred", ""),
        "ta-other": ([tlsa(factory.other_file, 2, 0, 1)],
                     context(*factory.make("intermediate",
                                           "mx.ta-other.test")),
                     "deferred", ""),
        "ta-leaf": ([tlsa(bad, 2, 0, 1)], context(bad), "deferred", ""),
        # What is published is never sent in clear.
        "silent": ([tlsa(bad, 3, 1, 1)], None, "deferred", "no STARTTLS"),
        "refused": ([tlsa(bad, 3, 1, 1)], None, "deferred", "STARTTLS",
                    "signed", {"extensions": with_tls, "hook": lambda v, a:
                               "454 4.7.0 No" if v == "STARTTLS" else None}),
        # Of no use: TLS nevertheless, with anybody.
        "unusable": (["0 0 1 " + "00" * 32, "1 1 1 " + "00" * 32,
                      "3 1 9 00", "3 1 1 abcd"], context(bad), "encrypted",
                     ""),
        "four-octets": (["3 1 1 ab"], context(bad), "encrypted", ""),
        "not-der": (["3 0 0 " + "30820102" + "00" * 258], context(bad),
                    "encrypted", ""),
        "unusable-silent": (["1 1 1 " + "00" * 32], None, "deferred",
                            "no STARTTLS"),
        # Nothing is published, or by nobody who can prove it.
        "denied": ([], None, "clear", ""),
        "denied-tls": ([], context(bad), "encrypted", ""),
        "unsigned": ([MISMATCH], None, "clear", "", "unsigned"),
        "unsigned-tls": ([MISMATCH], context(bad), "encrypted", "",
                         "unsigned"),
        # Nobody knows.
        "forged": ([tlsa(bad, 3, 1, 1)], context(bad), "deferred", "",
                   "forged"),
        "expired": ([tlsa(bad, 3, 1, 1)], context(bad), "deferred", "",
                    "expired"),
        "stripped": ([tlsa(bad, 3, 1, 1)], context(bad), "deferred", "",
                     "stripped"),
        "stripped-silent": ([], None, "deferred", "", "stripped"),
        "no-answer": ([tlsa(bad, 3, 1, 1)], context(bad), "deferred",
                      "no answer"),
        "servfail": ([tlsa(bad, 3, 1, 1)], context(bad), "deferred",
                     "SERVFAIL"),
    }
    return {k: v + ("", "signed", {})[len(v) - 3:] if len(v) < 6 else v
            for k, v in table.items()}


def test_every_publication_with_every_host(make_lab, factory, tmp_path,
                                           world):
    lab = make_lab()
    table = cases(factory, tmp_path)
    for name, (records, tls, _, _, kind, more) in table.items():
        z = lab.host(f"{name}.test", records, tls, kind=kind, **more)
        if kind == "forged":  # and nothing else in it
            z.forged = [(r"(TLSA\s+3 1 1 )([0-9a-fA-F]{8})", r"\g<1>00000000")]
    port = f"_{lab.g.mx_port}._tcp"
    world.silent.add(f"{port}.mx.no-answer.test.")
    world.broken.add(f"{port}.mx.servfail.test.")
    lab.start()
    for name in table:
        lab.send(f"{name}.test")
    bad = {}
    for name, (_, _, want, words, _, _) in table.items():
        got, line = lab.outcome(f"{name}.test")
        if got != want or words not in line or (
                want == "verified" and " verified=yes " not in line):
            bad[name] = f"{got}, not {want} {words}: {line}"
    assert not bad, "\n".join(f"{k}: {v}" for k, v in bad.items())
    # RFC 7672 2.2.2: servers of unsigned zones choke on the question.
    for name in ("unsigned", "unsigned-tls"):
        assert not lab.tlsa_asked(f"{name}.test")
    for name in ("ee311", "no-answer"):
        assert lab.tlsa_asked(f"{name}.test")


# ---- which host, which name ------------------------------------------------

def test_security_of_the_way_to_a_host(make_lab, factory, tmp_path, world):
    bad = hopeless_certificate(tmp_path / "bad.pem")
    lab = make_lab()
    port = f"_{lab.g.mx_port}._tcp"
    names = []
    ctx = context(bad)
    ctx.sni_callback = lambda sock, name, c: names.append(name)

    # A secure MX to a host in an unsigned zone, and the other way round.
    lab.host("plain.test", [MISMATCH], kind="unsigned")
    world.add("to-plain.test", "to-plain.test. 300 IN MX 10 mx.plain.test.")
    lab.sinks["to-plain.test"] = lab.sinks["plain.test"]
    lab.host("good.test", [MISMATCH])
    world.add("from-plain.test",
              "from-plain.test. 300 IN MX 10 mx.good.test.", kind="unsigned")
    lab.sinks["from-plain.test"] = lab.sinks["good.test"]
    # An alias: the records of its end first, then its own.
    lab.host("end.test", [tlsa(bad, 3, 1, 1)], ctx)
    world.add("alias.test", "alias.test. 300 IN MX 10 mx.alias.test.",
              "mx.alias.test. 300 IN CNAME mx.end.test.",
              f"{port}.mx.alias.test. 300 IN TLSA {MISMATCH}")
    lab.sinks["alias.test"] = lab.sinks["end.test"]
    lab.host("bare.test", [], ctx)
    world.add("alias2.test", "alias2.test. 300 IN MX 10 mx.alias2.test.",
              "mx.alias2.test. 300 IN CNAME mx.bare.test.",
              f"{port}.mx.alias2.test. 300 IN TLSA {tlsa(bad, 3, 1, 1)}")
    lab.sinks["alias2.test"] = lab.sinks["bare.test"]
    # TLSA records that are an alias themselves, as operators share them.
    world.add("shared.test", f"keys.shared.test. 300 IN TLSA "
              f"{tlsa(bad, 3, 1, 1)}")
    lab.host("sharing.test", [], ctx)
    world.add("sharing.test",
              f"{port}.mx.sharing.test. 300 IN CNAME keys.shared.test.")
    # No MX at all.
    world.add("implicit.test", "implicit.test. 300 IN A 127.0.3.100",
              f"{port}.implicit.test. 300 IN TLSA {tlsa(bad, 3, 1, 1)}")
    lab.sinks["implicit.test"] = Sink("127.0.3.100", lab.g.mx_port, tls=ctx)
    lab.start()
    for domain, want, sni in (
            ("to-plain.test", "clear", None),
            ("from-plain.test", "clear", None),
            ("alias.test", "verified", "mx.end.test"),
            ("alias2.test", "verified", "mx.alias2.test"),
            ("sharing.test", "verified", "mx.sharing.test"),
            ("implicit.test", "verified", "implicit.test")):
        names.clear()
        lab.send(domain)
        got, line = lab.outcome(domain)
        assert got == want, line
        assert names == ([sni] if sni else []), domain
    assert not lab.tlsa_asked("mx.plain.test")
    assert not lab.tlsa_asked("mx.good.test")


@pytest.mark.parametrize("first", ["bogus", "mismatch", "silent"])
def test_the_next_host_may_be_good(make_lab, tmp_path, world, first):
    bad = hopeless_certificate(tmp_path / "bad.pem")
    lab = make_lab()
    port = f"_{lab.g.mx_port}._tcp"
    z = world.add("two.test", "two.test. 300 IN MX 5 one.two.test.",
                  "one.two.test. 300 IN A 127.0.3.50",
                  f"{port}.one.two.test. 300 IN TLSA {MISMATCH}",
                  kind="forged" if first == "bogus" else "signed")
    if first == "bogus":
        z.forged = [("abababab", "cdcdcdcd")]
    lab.host("two.test", [tlsa(bad, 3, 1, 1)], context(bad),
             kind=z.kind)
    lab.sinks["one"] = Sink("127.0.3.50", lab.g.mx_port,
                            tls=None if first == "silent" else context(bad))
    lab.start()
    lab.send("two.test")
    got, line = lab.outcome("two.test")
    assert got == "verified", line
    assert not lab.sinks["one"].messages
    assert (lab.sinks["one"].sessions == 0) == (first == "bogus")


# ---- policies --------------------------------------------------------------

@pytest.mark.parametrize("policy,mismatching,matching", [
    ({"encryption_mode": "relaxed"}, "deferred", "verified"),
    ({"option": "enforced_tls"}, "deferred", "verified"),
    ({"encryption_mode": "relaxed", "honour": ["mta_sts"]}, "encrypted",
     "encrypted"),
    ({"encryption_mode": "strict_trust_enforced", "untrusted": "clear"},
     "deferred", "verified"),
])
def test_policies(make_lab, tmp_path, policy, mismatching, matching):
    bad = hopeless_certificate(tmp_path / "bad.pem")
    lab = make_lab(policies={"secure_delivery": [policy]})
    lab.host("off.test", [MISMATCH], context(bad))
    lab.host("on.test", [tlsa(bad, 3, 1, 1)], context(bad))
    lab.start()
    lab.send("off.test")
    lab.send("on.test")
    assert lab.outcome("off.test")[0] == mismatching
    assert lab.outcome("on.test")[0] == matching


def test_without_an_anchor_there_is_no_dane(make_lab, tmp_path, world):
    bad = hopeless_certificate(tmp_path / "bad.pem")
    lab = make_lab()
    del lab.g.settings["resolver"]["trust_anchor"]
    lab.g.write()
    lab.host("off.test", [MISMATCH], context(bad))
    lab.start()
    lab.send("off.test")
    assert lab.outcome("off.test")[0] == "encrypted"


def test_local_data_is_never_secure(make_lab, tmp_path, world):
    bad = hopeless_certificate(tmp_path / "bad.pem")
    lab = make_lab()
    lab.g.settings["resolver"]["local_data"] = [
        "own.example. 300 IN MX 10 mx.own.example.",
        "mx.own.example. 300 IN A 127.0.3.60",
        f"_{lab.g.mx_port}._tcp.mx.own.example. 300 IN TLSA {MISMATCH}"]
    lab.g.write()
    lab.sinks["own.example"] = Sink("127.0.3.60", lab.g.mx_port,
                                    tls=context(bad))
    lab.start()
    lab.send("own.example")
    assert lab.outcome("own.example")[0] == "encrypted"


class StsServer:
    """Policies of mode "enforce" that allow mx.DOMAIN, for any DOMAIN."""

    def __init__(self, address, port, tls):
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):  # pylint: disable=no-self-argument
                domain = handler.headers["Host"].split(":")[0].split(
                    ".", 1)[1]
                self.asked.append(domain)
                body = (f"version: STSv1\r\nmode: enforce\r\n"
                        f"mx: mx.{domain}\r\nmax_age: 86400\r\n").encode()
                handler.send_response(200)
                handler.send_header("Content-Type", "text/plain")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer((address, port), Handler)
        self.http.socket = tls.wrap_socket(self.http.socket,
                                           server_side=True)
        threading.Thread(target=self.http.serve_forever,
                         daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def test_dane_beats_mta_sts(make_lab, factory, tmp_path, world):
    """C71: where a host has TLSA records they alone say who it is."""
    bad = hopeless_certificate(tmp_path / "bad.pem")
    port = free_port()
    lab = make_lab(mta_sts={"port": port})
    table = {
        # Only DANE takes this certificate, only MTA-STS that one.
        "dane-takes": ([tlsa(bad, 3, 1, 1)], context(bad), "verified", "dane"),
        "sts-takes": ([MISMATCH], context(*factory.make(
            "good", "mx.sts-takes.test")), "deferred", "TLSA"),
        # The policy is there: without DANE it decides.
        "sts-alone": ([], context(bad), "deferred", "MTA-STS"),
        "sts-alone-good": ([], context(*factory.make(
            "good", "mx.sts-alone-good.test")), "verified", "mta_sts"),
        # RFC 7672 2.2: mandatory TLS without trust is less than what the
        # policy asks for; both hold.
        "unusable": (["1 1 1 " + "00" * 32], context(bad), "deferred",
                     "MTA-STS"),
    }
    server = factory.make("good", "mta-sts.dane-takes.test")
    contexts = {d: context(*factory.make("good", f"mta-sts.{d}.test"))
                for d in table}
    tls = context(*server)

    def choose(sock, name, _):
        sock.context = contexts[name.split(".")[1]]

    tls.sni_callback = choose
    sts = StsServer("127.0.3.90", port, tls)
    try:
        for d, (records, ctx, _, _) in table.items():
            lab.host(f"{d}.test", records, ctx)
            world.add(f"{d}.test",
                      f"mta-sts.{d}.test. 300 IN A 127.0.3.90",
                      f'_mta-sts.{d}.test. 300 IN TXT "v=STSv1; id=1"')
        lab.start()
        for d in table:
            lab.send(f"{d}.test")
        wrong = {}
        for d, (_, _, want, words) in table.items():
            got, line = lab.outcome(f"{d}.test")
            if got != want or words not in line:
                wrong[d] = f"{got}, not {want} {words}: {line}"
        assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
        assert "sts-alone.test" in sts.asked
    finally:
        sts.close()


# ---- change ----------------------------------------------------------------

HOSTS_S = 10  # for which hosts and their records are at least believed


def test_what_is_published_changes(make_lab, tmp_path, world):
    """B09: a session that older records let in is not resumed when they are
    gone, though the host would do it. And where records appear, nothing goes
    in clear any more."""
    old = hopeless_certificate(tmp_path / "old.pem")
    new = hopeless_certificate(tmp_path / "new.pem")
    lab = make_lab(delivery={"retry": ["600s"], "idle_timeout": "0s"})
    port = f"_{lab.g.mx_port}._tcp.mx"
    roll = lab.host("roll.test", [tlsa(old, 3, 1, 1)], context(old), ttl=1)
    late = lab.host("late.test", [], None, ttl=1)
    lab.start()
    begin = time.monotonic()
    lab.send("late.test")
    assert lab.outcome("late.test")[0] == "clear"
    sink = lab.sinks["roll.test"]
    for n in range(2):
        lab.send("roll.test")
        sink.wait(n + 1)
    lines = wait_for(lambda: len(lab.g.lines("delivered", to="u@roll.test"))
                     == 2 and lab.g.lines("delivered", to="u@roll.test"))
    assert " resumed=no " in lines[0] and " resumed=yes " in lines[1], lines
    assert all(" security=verified " in l for l in lines)

    # The records are of another key, the host as it was.
    roll.records = [r for r in roll.records if "TLSA" not in r]
    roll.records.append(f"{port}.roll.test. 1 IN TLSA {tlsa(new, 3, 1, 1)}")
    late.records.append(f"{port}.late.test. 1 IN TLSA {tlsa(new, 3, 1, 1)}")
    world.reload()
    time.sleep(max(0, begin + HOSTS_S + 3 - time.monotonic()))
    lab.send("roll.test")
    lab.send("late.test")
    lab.g.wait_log("deferred", to="u@roll.test")
    line = lab.g.wait_log("deferred", to="u@late.test")[0]
    assert "no STARTTLS" in line
    assert len(sink.messages) == 2
    assert len(lab.sinks["late.test"].messages) == 1
