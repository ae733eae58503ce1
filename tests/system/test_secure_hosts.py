"""Secure delivery and the outside world: certificates beyond the table of
test_secure_delivery.py, TLS that is too weak, handshakes that go wrong in
unusual ways, sessions that are resumed, next hosts. What is expected stands
here in tables of its own (checklist B06 to B09, B54, B55)."""

import pytest

from certs import Factory, fingerprint
from harness import message, wait_for
from tls_peers import LIMITS, Peer, limited, wants_client


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


def word(kind):
    return kind.replace("_", "-")


def host_name(kind):
    return f"mx.{word(kind)}.peers.test"


def recipient(kind, policy):
    return f"u@{word(kind)}.{policy}.test"


class World:
    """One gateway, many peers, and for each peer a domain under each of the
    policies' names."""

    def __init__(self, make_gateway, factory, policies, **settings):
        self.policies, self.factory, self.peers = policies, factory, {}
        self.g = make_gateway(
            start=False, gateway={"ca_file": factory.file},
            **{**settings, "delivery": {"retry": ["60s"],
                                        "idle_timeout": "0s",
                                        **settings.get("delivery", {})}})
        self.data = self.g.settings["resolver"]["local_data"]

    def add(self, kind, tls=None, behaviour=None, **options):
        address = f"127.0.2.{len(self.peers) + 1}"
        self.data.append(f"{host_name(kind)}. 300 IN A {address}")
        for policy in self.policies:
            self.data.append(f"{word(kind)}.{policy}.test. 300 IN MX 10 "
                             f"{host_name(kind)}.")
        self.peers[kind] = Peer(address, self.g.mx_port, tls, behaviour,
                                name=host_name(kind), **options)
        return self.peers[kind]

    def domain(self, name, *kinds):
        """A further domain, served by peers in that order."""
        for i, kind in enumerate(kinds):
            self.data.append(f"{name}. 300 IN MX {i + 1} {host_name(kind)}.")

    def start(self):
        self.g.write(policies={"secure_delivery": [
            {"narrative": n, "to": f"domain:*.{n}.test", **p}
            for n, p in self.policies.items()]})
        self.g.start()

    def send(self, *rcpts):
        with self.g.client() as c:
            for rcpt in rcpts:
                r = c.mail("a@example.com", rcpt, message())
                assert r.code == 250, r

    def line(self, event, rcpt, n=1):
        """The nth line of that event for the recipient. What was deferred is
        not tried again in the time of a test."""
        def told():
            return len(self.g.lines(event, to=rcpt)) >= n or (
                self.g.lines("deferred", to=rcpt) or
                self.g.lines("bounced", to=rcpt))

        wait_for(told, 15, f"{event} {rcpt}")
        lines = self.g.lines(event, to=rcpt)
        assert len(lines) >= n, f"no {event}:\n" + "\n".join(
            l for l in self.g.log if rcpt in l)
        return lines[n - 1]

    def close(self):
        for p in self.peers.values():
            p.close()

    def outcome(self, kind, rcpt, want):
        """"" when the mail became what it should: "deferred", "clear",
        "encrypted" or "verified"."""
        peer = self.peers[kind]
        event = "deferred" if want == "deferred" else "delivered"
        line = self.line(event, rcpt)
        got = peer.received(rcpt)
        if want == "deferred":
            if got:
                return "it was sent"
            if any(rcpt in l for s in peer.seen for l in s.clear + s.secure):
                return "its recipient was told"
            return "" if " dsn=4." in line and " retry_in_s=" in line else line
        if len(got) != 1:
            return f"{len(got)} times"
        seen = peer.of(got[0])
        if want == "clear":
            right = seen.tls is None and not seen.started() and (
                " tls=none " in line and " security=clear " in line)
            return "" if right else line
        facts = [f" tls={seen.tls} ", f" cipher={seen.cipher} ",
                 f" security={want} "]
        missing = [f for f in facts if f not in line]
        if missing or seen.leaks() or seen.sni != host_name(kind):
            return f"{missing} {seen.leaks()} {seen.sni}: {line}"
        trusted = " verified=yes " in line
        return "" if trusted == (want == "verified") else line


@pytest.fixture
def make_world(make_gateway, factory):
    made = []

    def make(policies, **settings):
        made.append(World(make_gateway, factory, policies, **settings))
        return made[-1]

    yield make
    for w in made:
        w.close()


def walk(world, table):
    """table: {(kind, policy): outcome}. All at once; what was wrong."""
    world.send(*(recipient(k, p) for k, p in table))
    bad = {}
    for (kind, policy), want in table.items():
        told = world.outcome(kind, recipient(kind, policy), want)
        if told:
            bad[kind, policy, want] = told
    assert not bad, "\n".join(f"{k}: {v}" for k, v in bad.items())


# ---- certificates ----------------------------------------------------------

STRICT = {"open": {"encryption_mode": "strict_trust_enforced"},
          "shut": {"option": "enforced_tls"}}

# What the log says of each; None: it is good.
CERTIFICATES = {
    "good": None, "deep": None, "upper": None, "many_names": None,
    "rsa": None,
    "expired": "certificate has expired",
    "not_yet": "certificate is not yet valid",
    "old_intermediate": "certificate has expired",
    "wrong_name": "hostname mismatch",
    "cn_only": "hostname mismatch",
    "nul": "hostname mismatch",
    "self_signed": "self-signed certificate",
    "no_intermediate": "unable to get local issuer certificate",
    "forged_root": "certificate signature failure",
    "leaf_issued": "invalid CA certificate",
    "excluded": "excluded subtree violation",
    "not_permitted": "permitted subtree violation",
    "other_use": "unsuitable certificate purpose",
    "critical": "unhandled critical extension",
    "weak_key": "EE certificate key too weak",
    "sha1": "CA signature digest algorithm too weak",
}


def test_certificates_of_every_kind(make_world, factory):
    world = make_world(STRICT)
    for kind in CERTIFICATES:
        world.add(kind, factory.server(kind, host_name(kind)))
    world.start()
    table = {}
    for kind, fault in CERTIFICATES.items():
        table[kind, "open"] = "encrypted" if fault else "verified"
        table[kind, "shut"] = "deferred" if fault else "verified"
    walk(world, table)
    bad = {}
    for kind, fault in CERTIFICATES.items():
        if fault is None:
            continue
        line = world.line("delivered", recipient(kind, "open"))
        if f' verified="{fault}"' not in line:
            bad[kind, "open"] = line
        line = world.line("deferred", recipient(kind, "shut"))
        if f"cannot be trusted ({fault})" not in line:
            bad[kind, "shut"] = line
    assert not bad, "\n".join(f"{k}: {v}" for k, v in bad.items())
    assert not any(p.leaks() for p in world.peers.values())


# ---- TLS that is weak ------------------------------------------------------

WEAK = {  # opportunistic; the same with ssl_mode strong
    "tls10": ("clear", "clear"), "tls11": ("clear", "clear"),
    "tls12": ("verified", "verified"), "tls13": ("verified", "verified"),
    "cbc": ("verified", "clear"), "rsa_exchange": ("verified", "clear"),
    "weak_dh": ("clear", "clear"), "anonymous": ("clear", "clear"),
    "null": ("clear", "clear"),
}


def test_weak_tls(make_world, factory):
    """The floor of ssl_mode; enforced never goes below it."""
    assert set(WEAK) == set(LIMITS)
    world = make_world({
        "open": {}, "openstrong": {"ssl_mode": "strong"},
        "shut": {"option": "enforced_tls", "encryption_mode": "relaxed"},
        "shutstrong": {"option": "enforced_tls", "ssl_mode": "strong",
                       "encryption_mode": "relaxed"}})
    for kind in WEAK:
        world.add(kind, limited(factory, kind, host_name(kind)))
    world.start()
    table = {}
    for kind, (usual, strong) in WEAK.items():
        table[kind, "open"], table[kind, "openstrong"] = usual, strong
        table[kind, "shut"] = usual.replace("clear", "deferred")
        table[kind, "shutstrong"] = strong.replace("clear", "deferred")
    walk(world, table)
    for (kind, policy), want in table.items():
        if want == "deferred":
            line = world.line("deferred", recipient(kind, policy))
            assert "fails the TLS handshake" in line, line


# ---- handshakes ------------------------------------------------------------

BROKEN = ("close", "garbage", "plain_text", "alert",
          "silence", "dribble", "injects_later")
BROKEN_BY_CERTIFICATE = ("huge", "toy_key")
DEADLINE = 2


def test_broken_handshakes(make_world, factory):
    """B55: also those that never end, and those that are kept busy."""
    world = make_world({
        "open": {"encryption_mode": "relaxed"},
        "shut": {"option": "enforced_tls", "encryption_mode": "relaxed"}},
        delivery={"command_timeout": f"{DEADLINE}s"})
    for kind in BROKEN:
        world.add(kind, behaviour=kind)
    for kind in BROKEN_BY_CERTIFICATE:
        world.add(kind, factory.server(kind, host_name(kind)))
    world.start()
    kinds = BROKEN + BROKEN_BY_CERTIFICATE
    table = {(k, "open"): "clear" for k in kinds}
    table.update({(k, "shut"): "deferred" for k in kinds})
    walk(world, table)
    for kind in kinds:
        line = world.line("deferred", recipient(kind, "shut"))
        assert "fails the TLS handshake (" in line, line
        peer = world.peers[kind]
        assert not [s for s in peer.seen if s.started() and s.leaks()], kind
    for kind in ("silence", "dribble"):
        tried = [s for s in world.peers[kind].seen if s.started()]
        assert len(tried) == 2
        for s in tried:
            wait_for(lambda s=s: s.end, 5, "the end of it")
            assert DEADLINE - 0.5 < s.end - s.asked < DEADLINE + 2


def test_hanging_up_at_starttls(make_world):
    """Whoever closes before the 220 has failed as a host, not at TLS: no mail
    goes in clear for it."""
    world = make_world({
        "open": {"encryption_mode": "relaxed"},
        "shut": {"option": "enforced_tls", "encryption_mode": "relaxed"}})
    peer = world.add("ends", behaviour="close_at_once")
    world.start()
    walk(world, {("ends", "open"): "deferred", ("ends", "shut"): "deferred"})
    for policy in world.policies:
        line = world.line("deferred", recipient("ends", policy))
        assert ' while="sending STARTTLS" ' in line, line
    assert len(peer.seen) == 2 and not peer.leaks()


@pytest.mark.parametrize("option", ["secure_smtp_where_possible",
                                    "enforced_tls"])
def test_b06_octets_behind_220(make_world, option):
    """Neither used as capabilities nor taken for a broken handshake, after
    which opportunistic mail would go in clear."""
    world = make_world({"any": {"option": option,
                                "encryption_mode": "relaxed"}})
    peer = world.add("injects", behaviour="injects")
    world.start()
    world.send(recipient("injects", "any"))
    line = world.line("deferred", recipient("injects", "any"))
    assert "octets behind the reply to STARTTLS" in line
    assert not peer.messages and not peer.leaks()


@pytest.mark.parametrize("version", ["tls12", "tls13"])
def test_no_certificate_where_one_is_demanded(make_world, factory, version):
    """Such a host is one that breaks the handshake, when that is told by an
    alert in TLS too: in clear where that is allowed, else never."""
    world = make_world({
        "open": {},
        "shut": {"option": "enforced_tls", "encryption_mode": "relaxed"}})
    peer = world.add("asks", wants_client(
        limited(factory, version, host_name("asks")), factory.file, True))
    world.start()
    walk(world, {("asks", "shut"): "deferred", ("asks", "open"): "clear"})
    assert "fails the TLS handshake" in world.line(
        "deferred", recipient("asks", "shut"))


@pytest.mark.parametrize("version", ["tls12", "tls13"])
@pytest.mark.parametrize("required", [False, True])
def test_a_host_that_asks_for_a_certificate(make_world, factory, version,
                                            required):
    """Who has none goes without; where one is demanded, only the policy that
    names one gets in."""
    own = factory.make("good", "gw.example.net")
    world = make_world({
        "none": {"option": "enforced_tls"},
        "shown": {"option": "enforced_tls", "certificate": own[0],
                  "key": own[1]}})
    ctx = wants_client(limited(factory, version, host_name("asks")),
                       factory.file, required)
    peer = world.add("asks", ctx)
    world.start()
    walk(world, {("asks", "none"): "deferred" if required else "verified",
                 ("asks", "shown"): "verified"})
    shown = peer.of(peer.received(recipient("asks", "shown"))[0])
    assert shown.client == "gw.example.net"
    assert [s.client for s in peer.seen if s is not shown] == [None] * (
        len(peer.seen) - 1)
    assert not peer.leaks()


def test_starttls_is_offered_again_within_tls(make_world, factory):
    world = make_world(STRICT)
    peer = world.add("again", factory.server("good", host_name("again")))
    peer.extensions += ("STARTTLS",)
    world.start()
    walk(world, {("again", "open"): "verified", ("again", "shut"): "verified"})
    assert not [l for s in peer.seen for l in s.secure if "STARTTLS" in l]


def test_no_ehlo_within_tls(make_world, factory):
    """A server that knows EHLO no more in TLS gets HELO there, not clear
    text."""
    world = make_world(STRICT)
    said = []

    def hook(verb, _):
        if verb == "EHLO":
            said.append(verb)
            return "502 5.5.1 What?" if peer.seen[-1].tls else None
        return None

    peer = world.add("helo", factory.server("good", host_name("helo")),
                     hook=hook)
    world.start()
    walk(world, {("helo", "shut"): "verified"})
    assert any(l.startswith("HELO") for l in peer.seen[-1].secure)
    assert not peer.leaks()


# ---- fingerprints ----------------------------------------------------------

def test_fingerprints(make_world, factory):
    """One that matches is all that counts, also of an expired certificate; one
    that does not leaves the host untrusted, whatever else is good of it."""
    pem, _ = factory.make("expired", host_name("pinned"))
    world = make_world({
        "match": {"option": "enforced_tls", "fingerprints": []},
        "other": {"option": "enforced_tls", "fingerprints": ["ab" * 32]},
        "defer": {"untrusted": "defer", "fingerprints": ["ab" * 32]},
        "open": {"fingerprints": ["ab" * 32]}})
    ctx = factory.server("expired", host_name("pinned"))
    ctx.load_cert_chain(pem, pem[:-len("pem")] + "key")
    world.add("pinned", ctx)
    world.add("good", factory.server("good", host_name("good")))
    world.policies["match"]["fingerprints"] = [fingerprint(pem)]
    world.start()
    walk(world, {
        ("pinned", "match"): "verified", ("good", "match"): "deferred",
        ("good", "other"): "deferred", ("good", "defer"): "deferred",
        ("good", "open"): "encrypted"})
    for kind, policy in (("good", "match"), ("good", "defer")):
        assert "no fingerprint of the policy" in world.line(
            "deferred", recipient(kind, policy))


# ---- several hosts ---------------------------------------------------------

def test_the_next_host(make_world, factory):
    """Whatever is wrong with the first, the second gets it; and where there
    is none, nothing goes."""
    world = make_world({
        "shut": {"option": "enforced_tls"},
        "defer": {"untrusted": "defer"}})
    world.add("plain")
    world.add("refuses", behaviour="alert", hook=lambda v, a:
              "454 4.7.0 Later" if v == "STARTTLS" else None)
    world.add("alert", behaviour="alert")
    world.add("close", behaviour="close_at_once")
    world.add("expired", factory.server("expired", host_name("expired")))
    good = world.add("good", factory.server("good", host_name("good")))
    firsts = [k for k in world.peers if k != "good"]
    for kind in firsts:
        world.domain(f"{kind}-good.shut.test", kind, "good")
    world.domain("expired-good.defer.test", "expired", "good")
    world.domain("all-bad.shut.test", *firsts)
    world.start()
    domains = [f"{k}-good.shut.test" for k in firsts] + [
        "expired-good.defer.test"]
    world.send(*(f"u@{d}" for d in domains), "u@all-bad.shut.test")
    for d in domains:
        line = world.line("delivered", f"u@{d}")
        assert f" host={host_name('good')} " in line, line
        assert " security=verified " in line and " verified=yes " in line, line
    world.line("deferred", "u@all-bad.shut.test")
    assert len(good.messages) == len(domains)
    for kind in firsts:
        assert not world.peers[kind].messages, kind
        assert not world.peers[kind].leaks(), kind
        assert world.peers[kind].sessions >= 2, kind


# ---- sessions --------------------------------------------------------------

def one_after_another(world, peer, rcpts):
    """Each on a connection of its own; the Seen of each."""
    out = []
    for rcpt in rcpts:
        n = len(peer.messages)
        world.send(rcpt)
        peer.wait(n + 1)
        wait_for(lambda: peer.live == 0, 5, "the end of the connection")
        out.append(peer.of(peer.messages[n]))
    return out


def addressed(world, policies):
    """Policies for one domain by the address: {local part: policy}."""
    world.g.write(policies={"secure_delivery": [
        {"narrative": n, "to": f"address:{n}@mail.test", **p}
        for n, p in policies.items()]})


@pytest.mark.parametrize("version", ["tls12", "tls13"])
def test_b09_resumption(make_world, factory, version):
    """Sessions are resumed where they may be: by the same need alone."""
    own = factory.make("good", "gw.example.net")
    world = make_world({})
    peer = world.add("mail", limited(factory, version, host_name("mail")))
    world.domain("mail.test", "mail")
    needs = {
        "open": {"encryption_mode": "relaxed"}, "strict": {},
        "shut": {"option": "enforced_tls"},
        "strong": {"option": "enforced_tls", "ssl_mode": "strong"},
        "ca": {"ca_file": factory.other_file},
        "own": {"option": "enforced_tls", "certificate": own[0],
                "key": own[1]},
        "pin": {"fingerprints": ["ab" * 32]},
    }
    addressed(world, needs)
    world.g.start()
    names = list(needs)
    first = one_after_another(world, peer, [f"{n}@mail.test" for n in names])
    assert not [s for s in first if s.resumed]
    again = one_after_another(world, peer, [f"{n}@mail.test" for n in names])
    assert [n for n, s in zip(names, again) if not s.resumed] == []
    levels = {"open": "verified", "strict": "verified", "shut": "verified",
              "strong": "verified", "ca": "encrypted", "own": "verified",
              "pin": "encrypted"}
    for name, level in levels.items():
        for n, resumed in ((1, "no"), (2, "yes")):
            line = world.line("delivered", f"{name}@mail.test", n)
            assert f" security={level} " in line, line
            assert f" resumed={resumed} " in line, line
            assert (" verified=yes " in line) == (level == "verified"), line
            assert " subject=" in line and " fingerprint=" in line, line


@pytest.mark.parametrize("version", ["tls12", "tls13"])
def test_b09_a_session_outlives_no_trust(make_world, factory, version):
    """An authority that a reload takes away vouches for no session either."""
    world = make_world({})
    peer = world.add("mail", limited(factory, version, host_name("mail")))
    world.domain("mail.test", "mail")
    addressed(world, {"shut": {"option": "enforced_tls"}})
    world.g.start()
    seen = one_after_another(world, peer, ["shut@mail.test"] * 2)
    assert [s.resumed for s in seen] == [False, True]
    world.g.write(gateway={"ca_file": factory.other_file})
    assert world.g.api("reload").returncode == 0
    world.send("shut@mail.test")
    line = world.line("deferred", "shut@mail.test")
    assert "cannot be trusted (unable to get local issuer" in line
    assert len(peer.messages) == 2 and not peer.leaks()


def test_broken_tls_is_remembered_by_its_host_and_need(make_world, factory):
    """In clear at once where TLS was broken, for the others TLS is tried."""
    world = make_world({})
    bad = world.add("bad", behaviour="alert")
    good = world.add("good", factory.server("good", host_name("good")))
    world.domain("mail.test", "bad")
    world.domain("other.test", "good")
    addressed(world, {"open": {}, "shut": {"option": "enforced_tls"}})
    world.g.start()
    one_after_another(world, bad, ["open@mail.test"] * 3)
    assert [s.started() for s in bad.seen] == [True, False, False, False]
    world.send("shut@mail.test")
    world.line("deferred", "shut@mail.test")
    assert bad.seen[-1].started() and not bad.seen[-1].leaks()
    assert one_after_another(world, good, ["open@other.test"])[0].tls
    assert len(bad.messages) == 3
