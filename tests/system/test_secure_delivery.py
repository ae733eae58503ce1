"""Secure delivery: every option and mode against every kind of host, by a
table of its own; then trust of a policy's own, sessions to resume, several
hosts, reports (checklist B06 to B09, B54, B55)."""

import json
import re
import ssl
import time

import pytest

from certs import Factory, fingerprint
from harness import Sink, message, wait_for

# What a policy does with a host that offers no STARTTLS, refuses it, breaks
# the handshake, cannot be trusted, can be trusted. "fresh" is clear text on a
# connection of its own.
OUTCOMES = {
    "relaxed": ("clear", "clear", "fresh", "encrypted", "verified"),
    "strict": ("clear", "clear", "fresh", "encrypted", "verified"),
    "tclear": ("clear", "clear", "fresh", "fresh", "verified"),
    "tdefer": ("clear", "clear", "fresh", "deferred", "verified"),
    "enforced": ("deferred", "deferred", "deferred", "encrypted", "verified"),
    "trusted": ("deferred", "deferred", "deferred", "deferred", "verified"),
    "never": ("clear", "clear", "clear", "clear", "clear"),
}
POLICIES = {
    "relaxed": {"encryption_mode": "relaxed"},
    "strict": {"encryption_mode": "strict_trust_enforced"},
    "tclear": {"encryption_mode": "strict_trust_enforced",
               "untrusted": "clear"},
    "tdefer": {"encryption_mode": "strict_trust_enforced",
               "untrusted": "defer"},
    "enforced": {"option": "enforced_tls", "encryption_mode": "relaxed"},
    "trusted": {"option": "enforced_tls"},
    "never": {"option": "no_tls"},
}
SILENT, REFUSES, BROKEN, UNTRUSTED, TRUSTED = range(5)
HOSTS = {
    "none": SILENT, "helo": SILENT,
    "r454": REFUSES, "r554": REFUSES, "r501": REFUSES,
    "garbage": BROKEN, "closes": BROKEN, "tls11": BROKEN,
    "expired": UNTRUSTED, "not_yet": UNTRUSTED, "wrong_name": UNTRUSTED,
    "cn_only": UNTRUSTED, "self_signed": UNTRUSTED, "unknown_ca": UNTRUSTED,
    "no_intermediate": UNTRUSTED, "wildcard_deep": UNTRUSTED,
    "wildcard_bare": UNTRUSTED, "wildcard_partial": UNTRUSTED,
    "good": TRUSTED, "intermediate": TRUSTED, "wildcard": TRUSTED,
}
REASONS = {
    SILENT: "offers no STARTTLS", REFUSES: "refuses STARTTLS",
    BROKEN: "fails the TLS handshake", UNTRUSTED: "cannot be trusted",
}


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


def host_name(kind):
    return f"mx.{kind.replace('_', '-')}.peers.test"


class Garbage:
    """Says 220, and then no TLS."""

    def __init__(self):
        self.asked = 0

    def wrap_socket(self, sock, server_side):
        assert server_side
        self.asked += 1
        sock.recv(4096)
        sock.sendall(b"500 5.5.1 Unknown command\r\n" * 3)
        raise ssl.SSLError("no TLS here")


class Closer:
    """Says 220, and closes."""

    @staticmethod
    def wrap_socket(sock, server_side):
        assert server_side
        sock.recv(4096)
        raise ssl.SSLError("closed")


def start_host(kind, address, port, factory):
    """A sink that behaves as its kind says."""
    sink = Sink(address, port, name=host_name(kind))
    with_tls = Sink.EXTENSIONS + ("STARTTLS",)

    def hook(verb, _):
        if kind == "helo" and verb == "EHLO":
            return "502 5.5.1 What?"
        if verb != "STARTTLS":
            return None
        return {"r454": "454 4.7.0 Not now", "r554": "554 5.7.3 No",
                "r501": "501 5.5.4 No"}.get(kind)

    sink.hook = hook
    if kind in ("r454", "r554", "r501"):
        sink.extensions = with_tls
    elif kind == "garbage":
        sink.tls = Garbage()
    elif kind == "closes":
        sink.tls = Closer
    elif kind == "tls11":
        ctx = factory.server("good", host_name(kind))
        ctx.minimum_version = ssl.TLSVersion.TLSv1
        ctx.maximum_version = ssl.TLSVersion.TLSv1_1
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        sink.tls = ctx
    elif kind not in ("none", "helo"):
        sink.tls = factory.server(kind, host_name(kind))
    return sink


@pytest.fixture
def world(make_gateway, factory):
    """A gateway, all hosts, and a domain of each host for each policy."""
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     limits={"recipients": 1000},
                     delivery={"retry": ["60s"]})
    data = g.settings["resolver"]["local_data"]
    g.hosts = {}
    for i, kind in enumerate(HOSTS):
        address = f"127.0.1.{i + 1}"
        data.append(f"{host_name(kind)}. 300 IN A {address}")
        for policy in POLICIES:
            data.append(f"{kind.replace('_', '-')}.{policy}.test. 300 IN MX "
                        f"10 {host_name(kind)}.")
        g.hosts[kind] = start_host(kind, address, g.mx_port, factory)
    g.write(policies={"secure_delivery": [
        {"narrative": name, "to": f"domain:*.{name}.test", **p}
        for name, p in POLICIES.items()]})
    g.start()
    yield g
    for sink in g.hosts.values():
        sink.close()


def recipient(kind, policy):
    return f"u@{kind.replace('_', '-')}.{policy}.test"


def received(sink, rcpt):
    return [m for m in sink.messages if [r for r, _ in m.rcpts] == [rcpt]]


def check_one(g, kind, policy):
    """What became of one mail; "" when it was right."""
    rcpt = recipient(kind, policy)
    want = OUTCOMES[policy][HOSTS[kind]]
    sink = g.hosts[kind]
    got = received(sink, rcpt)
    event = "deferred" if want == "deferred" else "delivered"
    line = g.wait_log(event, to=rcpt)[0]
    if want == "deferred":
        if got or any(rcpt in c for c in sink.commands):
            return "something of it was sent"
        reason = REASONS[HOSTS[kind]]
        return "" if reason in line and "requires TLS" in line else line
    if len(got) != 1:
        return f"{len(got)} messages"
    secure = want in ("encrypted", "verified")
    if (got[0].tls is not None) != secure:
        return f"TLS {got[0].tls}"
    word = "clear" if want == "fresh" else want
    if f" security={word} " not in line:
        return line
    if want == "verified" and " verified=yes " not in line:
        return line
    if want == "encrypted" and HOSTS[kind] == UNTRUSTED and (
            " verified=yes" in line):
        return line
    said = sink.said(got[0].session)
    if want == "fresh" and any(c.startswith("STARTTLS") for c in said):
        return f"not a fresh connection: {said}"
    if policy == "never" and any(c.startswith("STARTTLS") for c in said):
        return f"STARTTLS was said: {said}"
    return ""


def test_every_policy_with_every_host(world):
    pairs = [(k, p) for k in HOSTS for p in POLICIES]
    with world.client() as c:
        for kind, policy in pairs:
            r = c.mail("a@example.com", recipient(kind, policy), message())
            assert r.code == 250, r
    bad = {}
    for kind, policy in pairs:
        told = check_one(world, kind, policy)
        if told:
            bad[kind, policy] = told
    assert not bad, "\n".join(f"{k}: {v}" for k, v in bad.items())
    # The queue says why, in words.
    rows = json.loads(world.api("queue", "--limit", "500", "--json").stdout)
    waiting = {r["to"]: r for r in rows["rows"]}
    wanted = {recipient(k, p) for k, p in pairs
              if OUTCOMES[p][HOSTS[k]] == "deferred"}
    assert set(waiting) == wanted
    for kind, policy in pairs:
        row = waiting.get(recipient(kind, policy))
        if row is not None:
            assert REASONS[HOSTS[kind]] in row["reply"], row


# ---- one host at a time ----------------------------------------------------

def gateway_to(make_gateway, factory, policy, **settings):
    """A gateway whose partner.test is mx0.partner.test at 127.0.0.2."""
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     policies={"secure_delivery": [
                         {"narrative": "P", **policy}]}, **settings)
    g.mx("partner.test", "127.0.0.2")
    return g


def send(g, rcpt="b@partner.test", params="", text=None):
    with g.client() as c:
        r = c.mail("a@example.com", rcpt, text or message(), params)
        assert r.code == 250, r


def test_a_policys_own_authority(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory, {
        "option": "enforced_tls", "ca_file": factory.other_file},
        delivery={"idle_timeout": "0s"})
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=factory.server("unknown_ca", "mx0.partner.test"))
    g.start()
    send(g)
    line = g.wait_log("delivered", to="b@partner.test")[0]
    assert " security=verified " in line and 'issuer="CN=Other Root"' in line
    assert sink.wait()[0].tls
    # And the gateway's does not count there.
    sink.tls = factory.server("good", "mx0.partner.test")
    send(g)
    assert "unable to get" in g.wait_log("deferred")[0]


def test_fingerprints_are_all_the_trust(make_gateway, make_sink, factory):
    pem, key = factory.make("self_signed", "elsewhere.test")
    g = gateway_to(make_gateway, factory, {
        "option": "enforced_tls",
        "fingerprints": ["00" * 32, "sha256:" + fingerprint(pem)]},
        delivery={"idle_timeout": "0s"})
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem, key)
    sink = make_sink("127.0.0.2", g.mx_port, tls=ctx)
    g.start()
    send(g)
    line = g.wait_log("delivered")[0]
    assert " security=verified " in line
    assert f"fingerprint={fingerprint(pem)}" in line
    # A certificate that is good in every other way is not enough.
    sink.tls = factory.server("good", "mx0.partner.test")
    send(g)
    assert "no fingerprint of the policy" in g.wait_log("deferred")[0]
    assert len(sink.messages) == 1


def test_client_certificate(make_gateway, make_sink, factory):
    pem, key = factory.make("good", "gw.example.net")
    g = gateway_to(make_gateway, factory, {
        "option": "enforced_tls", "certificate": pem, "key": key})
    ctx = factory.server("good", "mx0.partner.test", client_ca=factory.file)
    shown = []

    def hook(verb, _):
        if verb == "MAIL":
            shown.append(sinks[-1].getpeercert())
        return None

    sinks = []
    wrap = ctx.wrap_socket

    class Context:
        @staticmethod
        def wrap_socket(sock, server_side):
            sinks.append(wrap(sock, server_side=server_side))
            return sinks[-1]

    make_sink("127.0.0.2", g.mx_port, tls=Context, hook=hook)
    g.start()
    send(g)
    g.wait_log("delivered")
    assert ("DNS", "gw.example.net") in shown[0]["subjectAltName"]


@pytest.mark.parametrize("ciphers,good", [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", True),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ("ECDHE-ECDSA-AES256-SHA384", False),  # CBC
])
def test_strong_ciphers(make_gateway, make_sink, factory, ciphers, good):
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls",
                                           "ssl_mode": "strong"})
    ctx = factory.server("good", "mx0.partner.test")
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    ctx.set_ciphers(ciphers)
    make_sink("127.0.0.2", g.mx_port, tls=ctx)
    g.start()
    send(g)
    if good:
        assert f" cipher={ciphers} " in g.wait_log("delivered")[0]
    else:
        assert "fails the TLS handshake" in g.wait_log("deferred")[0]


def test_the_next_host_may_be_good(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls"})
    g.mx("two.test", "127.0.0.3", "127.0.0.4")
    first = make_sink("127.0.0.3", g.mx_port,
                      tls=factory.server("expired", "mx0.two.test"))
    second = make_sink("127.0.0.4", g.mx_port,
                       tls=factory.server("good", "mx1.two.test"))
    g.start()
    send(g, "b@two.test")
    assert second.wait()[0].tls
    assert not first.messages and first.sessions == 1


def test_enforced_stays_until_it_expires(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls"},
                   delivery={"expire": "4s", "retry": ["1s"]})
    sink = make_sink("127.0.0.2", g.mx_port)
    g.start()
    send(g)
    g.wait_log("expired", to="b@partner.test")
    assert len(g.lines("deferred")) >= 1
    wait_for(lambda: g.boxed(), 10, "a report")
    text = g.boxed()[0].decode()
    assert re.search(r"offers\s+no\s+STARTTLS", text), text
    assert re.search(r"requires\s+TLS", text), text
    assert not sink.messages


def test_broken_tls_is_remembered(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory, {"encryption_mode": "relaxed"},
                   delivery={"idle_timeout": "0s"})
    sink = make_sink("127.0.0.2", g.mx_port, tls=Garbage())
    g.start()
    for n in range(3):
        send(g)
        sink.wait(n + 1)
    assert sink.tls.asked == 1
    assert len(g.lines("tls_fallback")) == 1
    assert all(m.tls is None for m in sink.messages)


def test_response_injection(make_gateway, make_sink, factory):
    """B06: octets behind the 220 are not read as if TLS had brought them."""
    g = gateway_to(make_gateway, factory, {"encryption_mode": "relaxed"},
                   delivery={"retry": ["60s"]})

    def hook(verb, _):
        if verb == "STARTTLS":
            return "220 Go\r\n250-evil\r\n250 SIZE 1"
        return None

    sink = make_sink("127.0.0.2", g.mx_port, hook=hook,
                     extensions=Sink.EXTENSIONS + ("STARTTLS",))
    g.start()
    send(g)
    assert "octets behind" in g.wait_log("deferred")[0]
    assert not sink.messages


def test_capabilities_are_forgotten_at_tls(make_gateway, make_sink, factory):
    """B07: what was offered in clear only is not used."""
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls"})
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=factory.server("good", "mx0.partner.test"))
    offered = []

    def hook(verb, _):
        if verb == "EHLO":
            offered.append(verb)
            if len(offered) == 2:
                return "250-sink\r\n250 HELP"
        return None

    sink.hook = hook
    g.start()
    send(g, params=" BODY=8BITMIME")
    got = sink.wait()[0]
    assert "SIZE" not in got.params and "BODY" not in got.params


def test_endless_handshake(make_gateway, make_sink, factory):
    """B55: a handshake has a deadline."""
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls"},
                   delivery={"command_timeout": "2s", "retry": ["60s"]})

    class Slow:
        @staticmethod
        def wrap_socket(sock, server_side):
            time.sleep(20)
            return sock

    make_sink("127.0.0.2", g.mx_port, tls=Slow)
    g.start()
    send(g)
    line = g.wait_log("deferred", 10)[0]
    assert "fails the TLS handshake (timed out)" in line


def test_sessions_are_not_resumed_across_policies(make_gateway, make_sink,
                                                  factory):
    """B09: one begun under another policy is not used, and one that was not
    trusted is not trusted when it is resumed."""
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     delivery={"idle_timeout": "0s", "retry": ["60s"]},
                     policies={"secure_delivery": [
                         {"encryption_mode": "relaxed"},
                         {"to": "address:boss@partner.test",
                          "option": "enforced_tls"}]})
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=factory.server("self_signed", "mx0.partner.test"))
    g.start()
    for n in range(2):
        send(g)
        sink.wait(n + 1)
    lines = wait_for(lambda: len(g.lines("delivered")) == 2 and
                     g.lines("delivered"), what="two deliveries")
    assert " resumed=no " in lines[0] and " resumed=yes " in lines[1]
    assert all(" security=encrypted " in l for l in lines)
    send(g, "boss@partner.test")
    assert "cannot be trusted" in g.wait_log("deferred")[0]
    assert len(sink.messages) == 2
    # Good at last: the enforced ones resume among themselves, verified.
    sink.tls = factory.server("good", "mx0.partner.test")
    g.stop()
    g.start()
    with g.client() as c:
        for _ in range(2):
            assert c.mail("a@example.com", "boss@partner.test",
                          message()).code == 250
            time.sleep(0.5)
    wait_for(lambda: len(sink.messages) >= 4, 15, "the boss's mail")
    last = g.lines("delivered", to="boss@partner.test")
    assert all(" security=verified " in l and " verified=yes " in l
               for l in last), last


def test_needs_share_no_connection(make_gateway, make_sink, factory):
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     delivery={"idle_timeout": "5s"},
                     policies={"secure_delivery": [
                         {"encryption_mode": "relaxed"},
                         {"to": "address:boss@partner.test",
                          "option": "enforced_tls"}]})
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=factory.server("good", "mx0.partner.test"))
    g.start()
    send(g, ["a@partner.test", "boss@partner.test", "c@partner.test"])
    got = sink.wait(2)
    by_rcpt = {r: m.session for m in got for r, _ in m.rcpts}
    assert by_rcpt["a@partner.test"] == by_rcpt["c@partner.test"]
    assert by_rcpt["a@partner.test"] != by_rcpt["boss@partner.test"]


def test_certificate_for_an_address(make_gateway, make_sink, factory):
    """A route to an address is verified by the address."""
    port = None
    for kind, host, good in (("ip", "127.0.0.9", True),
                             ("ip", "127.0.0.8", False),
                             ("good", "mx.partner.test", False)):
        g = make_gateway(start=False, gateway={"ca_file": factory.file},
                         delivery={"retry": ["60s"]},
                         policies={"secure_delivery": [
                             {"option": "enforced_tls"}]})
        port = g.mx_port
        g.write(routes=[{"name": "boxes", "maildir": str(g.maildir)},
                        {"name": "out", "hosts": [f"127.0.0.9:{port}"]}],
                internal_domains=[
                    {"domain": "example.com", "route": "boxes"},
                    {"domain": "in.test", "route": "out"}])
        sink = make_sink("127.0.0.9", port, tls=factory.server(kind, host))
        g.start()
        send(g, "b@in.test")
        if good:
            assert sink.wait()[0].tls
        else:
            assert "cannot be trusted" in g.wait_log("deferred")[0]
        g.stop()


def test_a_reload_leaves_decisions_alone(make_gateway, make_sink, factory):
    """B75: a message keeps the decision that it was accepted under."""
    g = gateway_to(make_gateway, factory, {"option": "enforced_tls"},
                   delivery={"retry": ["2s"]})
    sink = make_sink("127.0.0.2", g.mx_port)
    g.start()
    send(g)
    g.wait_log("deferred", to="b@partner.test")
    g.write(policies={"secure_delivery": [{"option": "no_tls"}]})
    assert g.api("reload").returncode == 0
    send(g, "c@partner.test")
    assert [r for r, _ in sink.wait()[0].rcpts] == ["c@partner.test"]
    wait_for(lambda: len(g.lines("deferred", to="b@partner.test")) >= 2,
             what="another attempt")
    assert len(sink.messages) == 1
