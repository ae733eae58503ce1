"""sortie tls: a probe finds what a delivery would find, sends nothing, and
ends in time."""

import json
import re
import ssl
import subprocess
import time

import pytest

from certs import Factory, fingerprint
from harness import BUILD, Sink, message, wait_for
from test_dane import MISMATCH, Lab, context, hopeless_certificate, tlsa
from test_secure_delivery import (HOSTS, OUTCOMES, REASONS, TRUSTED,
                                  host_name, start_host)
from zone import World

# The modes of the probe and the rows of the table of deliveries.
MODES = {"opportunistic relaxed": "relaxed", "opportunistic strict": "strict",
         "enforced relaxed": "enforced", "enforced strict": "trusted",
         "no_tls": "never"}
MOVES = {"clear": "clear", "fresh": "clear anew", "encrypted": "encrypted",
         "verified": "verified"}


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


def probe(g, *args):
    r = g.api("tls", *args, "--json")
    assert r.returncode in (0, 1) and r.stderr == "", r
    o = json.loads(r.stdout)
    assert o["goes"] == (r.returncode == 0)
    return o


def modes(o):
    return {m["mode"]: m["move"] if m["goes"] else None for m in o["modes"]}


def test_every_kind_of_host(make_gateway, factory):
    """The same table as that of real deliveries, and no mail."""
    g = make_gateway(start=False, gateway={"ca_file": factory.file})
    sinks = {}
    for i, kind in enumerate(HOSTS):
        address, domain = f"127.0.1.{i + 1}", f"{kind}.test"
        g.settings["resolver"]["local_data"] += [
            f"{host_name(kind)}. 300 IN A {address}",
            f"{domain.replace('_', '-')}. 300 IN MX 10 {host_name(kind)}."]
        sinks[kind] = start_host(kind, address, g.mx_port, factory)
    g.write()
    g.start()
    bad = {}
    for kind, shows in HOSTS.items():
        o = probe(g, f"{kind.replace('_', '-')}.test")
        want = {mode: MOVES.get(OUTCOMES[row][shows])
                for mode, row in MODES.items()}
        if modes(o) != want:
            bad[kind] = (modes(o), want)
        session, = o["hosts"][0]["sessions"]
        if shows != TRUSTED:
            assert session["shown"] == REASONS[shows], (kind, session)
        said = [line.split()[0] for line in sinks[kind].commands]
        assert set(said) <= {"EHLO", "HELO", "STARTTLS", "QUIT"}, said
        assert sinks[kind].sessions == 1 and not sinks[kind].messages
    for sink in sinks.values():
        sink.close()
    assert not bad, bad


def gateway_to(make_gateway, factory, *hosts, **settings):
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     **settings)
    g.mx("partner.test", *(hosts or ("127.0.0.2",)))
    return g


def test_facts_of_a_certificate(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory)
    pem, key = factory.make("good", "mx0.partner.test")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem, key)
    sink = make_sink("127.0.0.2", g.mx_port, tls=ctx)
    g.start()
    host, = probe(g, "partner.test")["hosts"]
    assert host["host"] == "mx0.partner.test" and host["port"] == g.mx_port
    assert host["addresses"] == ["127.0.0.2"] and host["preference"] == 10
    session, = host["sessions"]
    assert session["peer"] == f"127.0.0.2:{g.mx_port}"
    assert "sink.partner.test" in session["greeting"]
    assert "STARTTLS" in session["offers"]
    assert "STARTTLS" not in session["offers_tls"]
    tls = session["tls"]
    assert tls["version"] == "TLSv1.3" and tls["verified"] and tls["group"]
    cert = tls["certificate"]
    assert cert["fingerprint"] == fingerprint(pem)
    assert cert["subject"] == "CN=mx0.partner.test"
    assert cert["issuer"] == "CN=Root"
    assert cert["names"] == ["mx0.partner.test"] and cert["more_names"] == 0
    days = {k: time.strptime(cert[k][:19], "%Y-%m-%dT%H:%M:%S")
            for k in ("not_before", "not_after")}
    span = time.mktime(days["not_after"]) - time.mktime(days["not_before"])
    assert abs(span - 16 * 86400) < 7200
    # In words, and by address: the name is not in the certificate then.
    text = g.api("tls", "partner.test").stdout
    assert f"    fingerprint {fingerprint(pem)}\n" in text
    assert "    verified    yes, by pkix\n" in text
    assert "    enforced strict        verified, to mx0.partner.test\n" in text
    o = probe(g, "127.0.0.2")
    assert modes(o)["enforced strict"] is None
    assert "mismatch" in [m["why"] for m in o["modes"]][3]
    assert not sink.messages


def test_port_and_host(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory)
    sink = make_sink("127.0.0.2", g.mx_port + 1)
    g.start()
    assert not probe(g, "mx0.partner.test")["goes"]
    o = probe(g, "mx0.partner.test", "--port", str(g.mx_port + 1))
    assert o["goes"] and o["hosts"][0]["port"] == g.mx_port + 1
    assert sink.sessions == 1


def test_policy_of_a_sender(make_gateway, make_sink, factory):
    """What wins for it decides the exit status, with its own trust."""
    pem, key = factory.make("self_signed", "elsewhere.test")
    g = gateway_to(make_gateway, factory, policies={"secure_delivery": [
        {"narrative": "pinned", "from": "address:pin@example.com",
         "option": "enforced_tls", "fingerprints": [fingerprint(pem)]},
        {"narrative": "other pin", "from": "address:pin2@example.com",
         "option": "enforced_tls", "fingerprints": ["00" * 32]},
        {"narrative": "trusts another", "from": "address:ca@example.com",
         "option": "enforced_tls", "ca_file": factory.other_file},
        {"narrative": "all", "from": "domain:example.com",
         "option": "enforced_tls"},
    ]})
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem, key)
    sink = make_sink("127.0.0.2", g.mx_port, tls=ctx)
    g.start()

    def asked(sender):
        o = probe(g, "partner.test", "--from", sender)
        assert o["mode"] == "policy"
        return o["goes"], o["policy"] and o["policy"]["narrative"]

    assert asked("pin@example.com") == (True, "pinned")
    assert asked("pin2@example.com") == (False, "other pin")
    assert asked("a@example.com") == (False, "all")
    assert asked("ca@example.com") == (False, "trusts another")
    assert asked("a@far.test") == (True, None)
    assert asked("<>") == (True, None)
    # Another authority is another way to verify, so another session.
    sink.tls = factory.server("unknown_ca", "mx0.partner.test")
    n = sink.sessions
    assert asked("ca@example.com") == (True, "trusts another")
    assert sink.sessions == n + 2
    assert "the policy is trusts another (line " in g.api(
        "tls", "partner.test", "--from", "ca@example.com").stdout


def test_next_host(make_gateway, make_sink, factory):
    g = gateway_to(make_gateway, factory, "127.0.0.2", "127.0.0.3")
    make_sink("127.0.0.2", g.mx_port)
    make_sink("127.0.0.3", g.mx_port,
              tls=factory.server("good", "mx1.partner.test"))
    g.start()
    o = probe(g, "partner.test")
    at = {m["mode"]: m["host"] for m in o["modes"]}
    assert at["opportunistic relaxed"] == "mx0.partner.test"
    assert at["enforced strict"] == "mx1.partner.test"


def test_no_host(make_gateway, make_sink, factory):
    """Forbidden networks, names that do not exist, null MX, ourselves."""
    g = gateway_to(make_gateway, factory, "127.0.0.2",
                   delivery={"forbidden_networks": ["127.0.0.2/32"]})
    sink = make_sink("127.0.0.2", g.mx_port)
    g.settings["resolver"]["local_data"].append("null.test. 300 IN MX 0 .")
    g.write()
    g.start()
    for name in ("partner.test", "mx0.partner.test", "127.0.0.2",
                 "[127.0.0.2]", "null.test", "gone.partner.test"):
        o = probe(g, name)
        assert not o["goes"] and o["status"]["text"], name
        assert o["hosts"] == [] and not any(modes(o).values())
    assert sink.sessions == 0
    assert "NOT SENT: " in g.api("tls", "null.test").stdout


def test_routes(make_gateway, make_sink, factory):
    g = make_gateway(
        start=False, gateway={"ca_file": factory.file},
        internal_domains=[{"domain": "example.com", "route": "boxes"},
                          {"domain": "example.org", "route": "hq"}])
    sink = make_sink("127.0.0.2", g.mx_port)
    g.settings["routes"].append(
        {"name": "hq", "hosts": [f"127.0.0.2:{g.mx_port}"]})
    g.write()
    g.start()
    o = probe(g, "example.org")
    assert o["goes"] and o["route"] == "hq" and sink.sessions == 1
    o = probe(g, "example.com")
    assert o["goes"] and o["maildir"] == str(g.maildir)


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "STARTTLS"])
@pytest.mark.parametrize("says, text", [
    ("CLOSE", "closed"), ("554 5.3.2 Go\x01away", "Go?away"),
    ("421 4.3.2 Later", "Later"), ("what", "code"),
    ("250-" + "x" * 600 + "\r\n250 " + "y" * 600, ""),
], ids=["closes", "554", "421", "garbage", "long"])
def test_hosts_that_refuse(make_gateway, make_sink, factory, verb, says,
                           text):
    """At every step, whatever they say: shown, and enforced mail waits."""
    g = gateway_to(make_gateway, factory,
                   delivery={"command_timeout": "1s"})
    sink = make_sink("127.0.0.2", g.mx_port, hook=lambda v, _: (
        says if v == verb else None))
    sink.extensions = Sink.EXTENSIONS + ("STARTTLS",)
    g.start()
    o = probe(g, "partner.test")
    assert modes(o)["enforced relaxed"] is None
    if (verb, says) == ("STARTTLS", "CLOSE"):
        # As for mail: that was no broken TLS, and nothing goes in clear.
        assert modes(o)["opportunistic relaxed"] is None
    session, = o["hosts"][0]["sessions"]
    if (verb, says[:3]) == ("EHLO", "554"):
        assert o["goes"] and session["esmtp"] is False  # HELO was taken
        return
    shown = json.dumps([session["detail"], session["status"]])
    assert text in shown and len(shown) < 1500, session


def test_late_verdict_on_the_handshake(make_gateway, make_sink, factory):
    """A host that demands a certificate of ours says so behind the handshake
    of TLS 1.3; that is broken TLS, whatever we thought of its own."""
    pem, key = factory.make("good", "mx0.partner.test")
    g = gateway_to(make_gateway, factory, policies={"secure_delivery": [
        {"narrative": "pinned", "from": "address:pin@example.com",
         "option": "enforced_tls", "fingerprints": [fingerprint(pem)]}]})
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem, key)
    ctx.load_verify_locations(factory.file)
    ctx.verify_mode = ssl.CERT_REQUIRED
    make_sink("127.0.0.2", g.mx_port, tls=ctx)
    g.start()
    o = probe(g, "partner.test", "--from", "pin@example.com")
    got = modes(o)
    assert got["opportunistic relaxed"] == "clear anew"
    assert got["enforced relaxed"] is got["policy"] is None
    session, = o["hosts"][0]["sessions"]
    assert session["shown"] == REASONS[2] and "TLS" in session["detail"]
    # Mail fares the same.
    with g.client() as c:
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250
        assert c.mail("pin@example.com", "b@partner.test",
                      message()).code == 250
    g.wait_log("delivered", security="clear")
    g.wait_log("deferred", **{"from": "pin@example.com"})


def test_time(make_gateway, make_sink, factory):
    """Every wait has its deadline, and it does not add up over hosts."""
    g = gateway_to(make_gateway, factory, *(f"127.0.0.{i}" for i in
                                            range(2, 7)),
                   delivery={"greeting_timeout": "1s",
                             "command_timeout": "1s"})
    stuck = make_sink("127.0.0.2", g.mx_port, hook=lambda v, _: (
        time.sleep(4) if v == "CONNECT" else None))
    for i, verb in ((3, "EHLO"), (4, "STARTTLS"), (5, "CONNECT")):
        make_sink(f"127.0.0.{i}", g.mx_port, hook=lambda v, _, verb=verb: (
            time.sleep(4) if v == verb else None),
            extensions=("STARTTLS",))

    class Silent:
        @staticmethod
        def wrap_socket(_, server_side):
            time.sleep(4 if server_side else 0)

    make_sink("127.0.0.6", g.mx_port, tls=Silent)
    g.start()
    begun = time.monotonic()
    o = probe(g, "partner.test")
    assert time.monotonic() - begun < 3.5
    whiles = [h["sessions"][0]["status"] and
              h["sessions"][0]["status"]["while"] for h in o["hosts"]]
    assert whiles[0] == whiles[3] and whiles[4] is None
    assert all("timed out" in json.dumps(h["sessions"]) for h in o["hosts"])
    assert o["hosts"][4]["sessions"][0]["shown"] == REASONS[2]
    assert stuck.sessions == 1


def test_dane(make_gateway, factory, tmp_path):
    """The records stand above every mode, and verify without a CA; explain
    --live tells of them before anybody is asked."""
    world = World(tmp_path / "dns")
    lab = Lab(world, make_gateway, factory)
    pem = hopeless_certificate(tmp_path / "x.pem")
    lab.host("match.test", [tlsa(pem, 3, 1, 1)], context(pem))
    lab.host("other.test", [MISMATCH], context(pem))
    lab.host("clear.test", [MISMATCH])
    lab.start()
    g = lab.g
    try:
        o = probe(g, "match.test")
        host, = o["hosts"]
        assert host["dnssec"] and host["dane"] == "usable"
        tls = host["sessions"][0]["tls"]
        assert (tls["verified_by"], tls["dane"]) == ("dane", "3 1 1")
        assert set(modes(o).values()) == {"verified"}
        assert {(m["floor"], m["by"]) for m in host["modes"]} == {
            ("verified", "dane")}
        for name in ("other.test", "clear.test"):
            o = probe(g, name)
            assert o["hosts"][0]["dane"] == "usable"
            assert set(modes(o).values()) == {None}
        # What mail does is the same.
        with g.client() as c:
            for name in ("match.test", "other.test"):
                assert c.mail("a@example.com", f"b@{name}",
                              message()).code == 250
        g.wait_log("delivered", to="b@match.test", security="verified")
        g.wait_log("deferred", to="b@other.test")
        o = json.loads(g.api(
            "explain", "--ip", "127.0.0.1", "--from", "a@example.com", "--to",
            "b@match.test", "--live", "--json").stdout)
        assert o["hosts"][0]["dane"] == "usable"
        assert o["hosts"][0]["sessions"] == []
        view, = o["hosts"][0]["modes"]
        assert (view["floor"], view["by"]) == ("verified", "dane")
    finally:
        g.stop()
        for sink in lab.sinks.values():
            sink.close()
        world.close()


def test_only_so_many_at_once(make_gateway, make_sink, factory):
    """Four; and a daemon that is stopped meanwhile stops."""
    g = gateway_to(make_gateway, factory)
    sink = make_sink("127.0.0.2", g.mx_port, hook=lambda v, _: (
        time.sleep(8) if v == "CONNECT" else None))
    g.start()
    running = [subprocess.Popen(
        [BUILD / "sortie", "-s", str(g.dir / "api.sock"), "tls",
         "partner.test"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True) for _ in range(4)]
    try:
        wait_for(lambda: sink.sessions == 4, 10, "four sessions")
        r = g.api("tls", "partner.test")
        assert r.returncode == 1 and "try again" in r.stderr, r
        # What needs no host is not in its way.
        assert g.api("status").returncode == 0
        begun = time.monotonic()
        g.stop()
        assert time.monotonic() - begun < 5
    finally:
        for p in running:
            assert p.wait(20) == 1
            p.communicate()


def test_deliveries_do_not_notice(make_gateway, make_sink, factory):
    """What a probe found is not remembered for mail."""
    g = gateway_to(make_gateway, factory)
    sink = make_sink("127.0.0.2", g.mx_port, hook=lambda v, _: (
        "554 5.3.2 No" if v == "CONNECT" and sink.sessions == 1 else None))
    g.start()
    assert not probe(g, "partner.test")["goes"]
    with g.client() as c:
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250
    g.wait_log("delivered")
    assert len(sink.messages) == 1


@pytest.mark.parametrize("args, told", [
    ((), "needs a domain"), (("a.test", "b.test"), "b.test"),
    (("a.test", "--port", "0"), "port"), (("a.test", "--port", "x"), "port"),
    (("a.test", "--port", "99999"), "port"), (("a..b",), "name:"),
    (("a.test", "--from", "x"), "from:"), (("a.test", "--nix"), "--nix"),
    (("a.test", "--from", "a@x.test", "--from", "b@x.test"), "twice"),
])
def test_usage(make_gateway, args, told):
    g = make_gateway()
    r = g.api("tls", *args)
    assert r.returncode == 2 and r.stdout == "" and told in r.stderr, r
    assert re.match(r"sortie: .*\n$", r.stderr)
