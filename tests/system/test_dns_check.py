"""sortie dns: each mistake in a zone is found by name, nothing else is, and a
zone without mistakes passes. The checks of MAN06 and OPT01."""

import base64
import copy
import json
import os
import re
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness import BUILD, Gateway, wait_for
from zone import World

ZONE = "plant.test"
NETBLOCKS = "nb.plant.test"
EGRESS = ["192.0.2.10", "2001:db8::10"]
INCLUDE = f"include:{NETBLOCKS}"


def public(key):
    return base64.b64encode(key.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)).decode()


def write_key(path, key):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM,
                                  serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    return str(path)


class Domain:
    """One without mistakes; a test changes what it names."""

    def __init__(self, label, keys):
        self.name = f"{label}.{ZONE}"
        self.txt = {
            "": [f"v=spf1 {INCLUDE} -all"],
            "s1._domainkey": ["v=DKIM1; k=rsa; p=" + keys["good"]],
            "_dmarc": ["v=DMARC1; p=reject; rua=mailto:r@" + self.name],
            "_mta-sts": ["v=STSv1; id=20261124"],
            "_smtp._tls": ["v=TLSRPTv1; rua=mailto:t@" + self.name],
        }
        self.mx = [f"10 mx.{ZONE}."]
        self.other = []  # further lines of the zone
        self.definitions = [{"name": label, "domain": self.name,
                             "selector": "s1", "key_file": keys["file"]}]
        self.signs = [{"from": "domain:" + self.name, "definition": label}]
        self.send_only = False
        self.broken = []

    def spf(self, *terms):
        self.txt[""] = ["v=spf1 " + " ".join(terms)]

    def lines(self):
        for below, values in self.txt.items():
            name = f"{below}.{self.name}." if below else f"{self.name}."
            for v in values:
                parts = [v[i:i + 200] for i in range(0, len(v), 200)] or [""]
                yield f"{name} 300 IN TXT " + " ".join(
                    f'"{p}"' for p in parts)
        for m in self.mx:
            yield f"{self.name}. 300 IN MX {m}"
        yield from self.other


# label: (what is wrong, {id: (result, a word of found or action)}). Every
# other check passes.
PLANTED = {}


def planted(**expected):
    def take(f):
        PLANTED[f.__name__.replace("_", "-")] = (f, {
            k.replace("__", "."): v for k, v in expected.items()})
        return f
    return take


@planted(spf__record=("FAIL", "publish an SPF record"))
def spf_none(d, _):
    del d.txt[""]


@planted(spf__record=("FAIL", "merge"))
def spf_two(d, _):
    d.txt[""].append("v=spf1 mx -all")


@planted(spf__syntax=("FAIL", "ip4:192.0.2/99"))
def spf_syntax(d, _):
    d.spf("ip4:192.0.2/99", INCLUDE, "-all")


@planted(spf__lookups=("FAIL", "over the limit"),
         spf__egress=("FAIL", "make the record valid"))
def spf_lookups(d, _):
    d.spf(*(f"a:mx.{ZONE}" for _ in range(10)), INCLUDE, "-all")


@planted(spf__voids=("FAIL", "terms out"),
         spf__egress=("FAIL", "make the record valid"))
def spf_voids(d, _):
    d.spf(*(f"a:no{i}.{ZONE}" for i in range(3)), INCLUDE, "-all")


@planted(spf__voids=("WARN", "terms out"))
def spf_a_void(d, _):
    d.spf(f"a:no.{ZONE}", INCLUDE, "-all")


@planted(spf__include=("FAIL", "missing"),
         spf__egress=("FAIL", "publish this record"))
def spf_no_include(d, _):
    d.spf("ip4:198.51.100.0/24", "-all")


@planted(spf__include=("WARN", "when they change"))
def spf_addresses_only(d, _):
    d.spf("ip4:192.0.2.0/24", "ip6:2001:db8::/32", "-all")


@planted(spf__include=("FAIL", "behind"), spf__syntax=("WARN", "no effect"),
         spf__egress=("FAIL", "publish this record"))
def spf_behind_all(d, _):
    d.spf("mx", "-all", INCLUDE)


@planted(spf__syntax=("WARN", "never used"))
def spf_redirect_and_all(d, _):
    d.spf(INCLUDE, f"redirect={NETBLOCKS}", "-all")


@planted(spf__all=("WARN", "anybody"))
def spf_plus_all(d, _):
    d.spf(INCLUDE, "+all")


@planted(spf__all=("WARN", "neutral"))
def spf_neutral_all(d, _):
    d.spf(INCLUDE, "?all")


@planted(spf__all=("WARN", "no \"all\""))
def spf_no_all(d, _):
    d.spf(INCLUDE)


@planted(spf__ptr=("WARN", "list addresses"))
def spf_ptr(d, _):
    d.spf(INCLUDE, f"ptr:{ZONE}", "-all")


@planted(spf__syntax=("FAIL", "correct the term"),
         spf__voids=("WARN", "terms out"))
def spf_broken_include(d, _):
    d.spf(INCLUDE, f"include:no.{ZONE}", "-all")


@planted(spf__egress=("FAIL", "put it behind"))
def spf_decided_before(d, _):
    d.spf("-ip4:192.0.2.10", INCLUDE, "-all")


@planted(spf__egress=("WARN", "sends no mail"))
def spf_sends_nothing(d, _):
    d.spf("-all")


@planted(spf__record=("FAIL", "could not be looked up"))
def spf_unknown(d, _):
    d.broken = [d.name]
    # MX is of the same name.


@planted(dkim__record=("FAIL", "not published"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_none(d, _):
    del d.txt["s1._domainkey"]


@planted(dkim__match=("FAIL", "another key"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_other_key(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; p=" + keys["other"]]


@planted(dkim__record=("FAIL", "revoked"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_revoked(d, _):
    d.txt["s1._domainkey"] = ["v=DKIM1; p="]


@planted(dkim__record=("FAIL", "publish this record"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_syntax(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; p=" + keys["good"][:-9] + "!"]


@planted(dkim__record=("FAIL", "only this record"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_two(d, keys):
    d.txt["s1._domainkey"].append("v=DKIM1; p=" + keys["other"])


@planted(dkim__testing=("WARN", "t=y"))
def dkim_testing(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; t=y; p=" + keys["good"]]


@planted(dkim__record=("FAIL", "publish this record"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_sha1(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; h=sha1; p=" + keys["good"]]


@planted(dkim__record=("FAIL", "2048"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_short_record(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; p=" + keys["short"]]


@planted(dkim__key=("WARN", "1024 bits"))
def dkim_weak(d, keys):
    d.txt["s1._domainkey"] = ["v=DKIM1; p=" + keys["weak"]]
    d.definitions[0]["key_file"] = keys["weak_file"]


@planted(dkim__key=("FAIL", "gone.pem"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_key_gone(d, keys):
    d.definitions[0]["key_file"] = keys["gone_file"]


@planted(dkim__unused=("WARN", "may go"))
def dkim_unused(d, keys):
    d.definitions.append({"name": "old-one", "domain": d.name,
                          "selector": "s0", "key_file": keys["file"]})
    d.txt["s0._domainkey"] = d.txt["s1._domainkey"]


@planted(dkim__unused=("WARN", "let a policy name it"),
         dkim__record=("WARN", "before a policy signs"))
def dkim_not_yet(d, keys):
    d.definitions.append({"name": "new-one", "domain": d.name,
                          "selector": "s2", "key_file": keys["file"]})


@planted(dkim__policy=("FAIL", "add to policies.dns_authentication"),
         dkim__unused=("WARN", "no policy"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_no_policy(d, _):
    d.signs = []


@planted(dkim__policy=("WARN", "some of the domain's mail"))
def dkim_some_policy(d, _):
    d.signs[0]["from"] = "address:one@" + d.name


@planted(dkim__definition=("FAIL", "sortie dkim new"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_no_definition(d, _):
    d.definitions, d.signs = [], []


@planted(dkim__definition=("WARN", "sortie dkim new"),
         spf__egress=("WARN", "sends no mail"))
def dkim_not_needed(d, _):
    d.spf("-all")
    d.definitions, d.signs = [], []


@planted(dkim__record=("FAIL", "could not be looked up"),
         dmarc__alignment=("WARN", "SPF alone"))
def dkim_unknown(d, _):
    d.broken = ["s1._domainkey." + d.name]


@planted(dmarc__record=("WARN", "not published"))
def dmarc_none(d, _):
    del d.txt["_dmarc"]


@planted(dmarc__record=("FAIL", "leave one"))
def dmarc_two(d, _):
    d.txt["_dmarc"].append("v=DMARC1; p=none")


@planted(dmarc__record=("FAIL", "correct the record"))
def dmarc_syntax(d, _):
    d.txt["_dmarc"] = ["v=dmarc1; p=reject"]


@planted(dmarc__policy=("WARN", "p=quarantine"))
def dmarc_p_none(d, _):
    d.txt["_dmarc"] = ["v=DMARC1; p=none; rua=mailto:r@" + d.name]


@planted(dmarc__rua=("WARN", "rua=mailto:"))
def dmarc_no_rua(d, _):
    d.txt["_dmarc"] = ["v=DMARC1; p=quarantine"]


@planted(dmarc__alignment=("FAIL", "fails DMARC"),
         dkim__record=("FAIL", "not published"),
         spf__include=("FAIL", "missing"),
         spf__egress=("FAIL", "publish this record"))
def dmarc_fails(d, _):
    d.spf("mx", "-all")
    del d.txt["s1._domainkey"]


@planted(dmarc__record=("FAIL", "could not be looked up"))
def dmarc_unknown(d, _):
    d.broken = ["_dmarc." + d.name]


@planted(mx__record=("FAIL", "publish an MX"))
def mx_none(d, _):
    d.mx = []


@planted(mx__record=("WARN", "publish an MX"))
def mx_address_only(d, _):
    d.mx = []
    d.other.append(f"{d.name}. 300 IN A 192.0.2.99")


@planted(mx__record=("FAIL", "null MX"))
def mx_null(d, _):
    d.mx = ["0 ."]


@planted(mx__record=("WARN", "null MX"))
def mx_null_of_sender(d, _):
    d.mx, d.send_only = ["0 ."], True


@planted(mx__host=("FAIL", "A or AAAA"))
def mx_no_address(d, _):
    d.mx = [f"10 no.{ZONE}."]


@planted(mta_sts__record=("WARN", "not published"))
def sts_none(d, _):
    del d.txt["_mta-sts"]


@planted(mta_sts__record=("WARN", "several"))
def sts_two(d, _):
    d.txt["_mta-sts"].append("v=STSv1; id=2")


@planted(tls_rpt__record=("WARN", "not published"))
def rpt_none(d, _):
    del d.txt["_smtp._tls"]


@planted(tls_rpt__record=("WARN", "malformed"))
def rpt_syntax(d, _):
    d.txt["_smtp._tls"] = ["v=TLSRPTv1; rua="]


# ---- the world --------------------------------------------------------------

class Lab:
    def __init__(self, path, keys):
        self.world = World(path / "dns")
        self.domains = {}
        zone = self.world.add("test", kind="unsigned")
        zone = self.world.add(ZONE, kind="unsigned")
        zone.records += [
            f'{NETBLOCKS}. 300 IN TXT "v=spf1 ip4:192.0.2.0/24 '
            'ip6:2001:db8::/32 ~all"',
            f"mx.{ZONE}. 300 IN A 192.0.2.99",
            f"mx.{ZONE}. 300 IN AAAA 2001:db8:9::99",
            # A chain, as providers ask for.
            f"chain.{ZONE}. 300 IN CNAME chain2.{ZONE}.",
            f'chain2.{ZONE}. 300 IN TXT "v=DKIM1; k=rsa; p={keys["good"][:200]}'
            f'" "{keys["good"][200:]}"',
        ]
        clean = [("clean", lambda d, _: None), ("by-cname", self.by_cname),
                 ("redirected", self.redirected)]
        for label, change in clean + [(k, v[0]) for k, v in PLANTED.items()]:
            d = Domain(label, keys)
            change(d, keys)
            self.domains[label] = d
            zone.records += list(d.lines())
            self.world.broken |= {b + "." for b in d.broken}
        # Below a domain that has everything: its parent's DMARC record and
        # definition serve it, but not when both must be the very same.
        self.below(zone, "below", "")
        self.below(zone, "strict", "; adkim=s")
        self.world.start()

    def by_cname(self, d, _):
        del d.txt["s1._domainkey"]
        d.other.append(f"s1._domainkey.{d.name}. 300 IN CNAME "
                       f"chain.{ZONE}.")

    def redirected(self, d, _):
        d.spf(INCLUDE, f"redirect={NETBLOCKS}")

    def below(self, zone, label, more):
        d = copy.deepcopy(self.domains["clean"])
        d.name = f"{label}.clean.{ZONE}"
        d.txt.pop("s1._domainkey")
        d.definitions = []
        d.signs = [{"from": "domain:" + d.name, "definition": "clean"}]
        if more:
            d.txt["_dmarc"][0] += more
        else:
            d.txt.pop("_dmarc")
        self.domains[label] = d
        zone.records += list(d.lines())

    def settings(self, **gateway):
        domains = self.domains.values()
        return {
            "gateway": {"egress": EGRESS, "spf_include": NETBLOCKS,
                        **gateway},
            "resolver": {**self.world.resolver, "local_data": []},
            "internal_domains": [
                {"domain": d.name, "route": "boxes",
                 "send_only": d.send_only} for d in domains],
            "definitions": {"dns_authentication": [
                x for d in domains for x in d.definitions]},
            "policies": {"dns_authentication": [
                x for d in domains for x in d.signs]},
        }


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys")
    good, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    weak = rsa.generate_private_key(65537, 1024)
    return {"good": public(good), "other": public(other),
            "weak": public(weak),
            "short": public(rsa.generate_private_key(65537, 512)),
            "file": write_key(path / "good.pem", good),
            "weak_file": write_key(path / "weak.pem", weak),
            "gone_file": write_key(path / "gone.pem", good)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, keys):
    made = Lab(tmp_path_factory.mktemp("lab"), keys)
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, lab, keys):
    g = Gateway(tmp_path_factory.mktemp("gw"), None, **lab.settings()).start()
    os.unlink(keys["gone_file"])
    yield g
    g.stop()


@pytest.fixture(scope="module")
def answers(gateway, lab):
    """All internal domains, more than fit on one page."""
    r = gateway.api("dns", "--json")
    assert r.returncode == 1 and r.stderr == "", r.stderr
    domains = json.loads(r.stdout)["domains"]
    assert [d["domain"] for d in domains] == [
        d.name for d in lab.domains.values()]
    return {d["domain"]: d for d in domains}


WORST = ("PASS", "WARN", "FAIL")


def findings(domain):
    found = {}
    for c in domain["checks"]:
        assert set(c) - {"record"} == {"id", "result", "subject", "found",
                                       "action"}
        assert (c["action"] is None) == (c["result"] == "PASS"), c
        if c["result"] != "PASS":
            found.setdefault(c["id"], []).append(c)
    results = [c["result"] for c in domain["checks"]]
    assert domain["result"] == max(results, key=WORST.index)
    return found


def test_there_are_twenty():
    assert len(PLANTED) >= 20


@pytest.mark.parametrize("label", ["clean", "by-cname", "redirected",
                                   "below"])
def test_clean(answers, lab, label):
    domain = answers[lab.domains[label].name]
    assert not findings(domain), findings(domain)
    ids = [c["id"] for c in domain["checks"]]
    assert ids.count("spf.egress") == len(EGRESS)
    assert {"spf.record", "spf.include", "spf.lookups", "spf.voids",
            "spf.all", "dkim.definition", "dkim.policy", "dkim.record",
            "dkim.match", "dmarc.record", "dmarc.policy", "dmarc.alignment",
            "mx.record", "mx.host", "mta_sts.record",
            "tls_rpt.record"} <= set(ids)


@pytest.mark.parametrize("label", PLANTED)
def test_planted(answers, lab, label):
    domain = answers[lab.domains[label].name]
    expected = dict(PLANTED[label][1])
    found = findings(domain)
    if label == "spf-unknown":  # the same name: no MX, and nothing behind
        assert found.pop("mx.record")[0]["result"] == "FAIL"
        expected["dmarc.alignment"] = None
        found.pop("dmarc.alignment", None)
        del expected["dmarc.alignment"]
    assert set(found) == set(expected), found
    for check, (result, word) in expected.items():
        for c in found[check]:
            assert c["result"] == result, c
        assert any(word in c["found"] + c["action"] for c in found[check]), \
            found[check]


def test_strict_alignment(answers, lab):
    """A signature of the domain above aligns, but not strictly."""
    found = findings(answers[lab.domains["strict"].name])
    assert list(found) == ["dmarc.alignment"]
    assert "adkim=s" in found["dmarc.alignment"][0]["found"]


# ---- records to publish -----------------------------------------------------

def record(domain, check):
    return next(c["record"] for c in domain["checks"]
                if c["id"] == check and c["result"] != "PASS")


def joined(line):
    return "".join(re.findall('"([^"]*)"', line))


def test_offered_records_are_exact(answers, lab, keys):
    def of(label, check):
        return record(answers[lab.domains[label].name], check)

    name = lab.domains["spf-no-include"].name
    assert of("spf-no-include", "spf.include") == (
        f'{name}. 3600 IN TXT "v=spf1 ip4:198.51.100.0/24 {INCLUDE} -all"')
    assert joined(of("spf-none", "spf.record")) == f"v=spf1 {INCLUDE} ~all"
    assert joined(of("spf-ptr", "spf.ptr")) == f"v=spf1 {INCLUDE} -all"
    line = of("dkim-none", "dkim.record")
    assert line.startswith(
        f"s1._domainkey.{lab.domains['dkim-none'].name}. 3600 IN TXT (")
    assert joined(line) == "v=DKIM1; k=rsa; p=" + keys["good"]


def test_offered_records_pass(tmp_path, keys):
    """What sortie dns says to publish is published: it is content."""
    mended = Lab.__new__(Lab)
    mended.world = World(tmp_path / "dns")
    mended.world.add("test", kind="unsigned")
    zone = mended.world.add(ZONE, kind="unsigned")
    zone.records += [f'{NETBLOCKS}. 300 IN TXT "v=spf1 ip4:192.0.2.0/24 '
                     'ip6:2001:db8::/32 ~all"',
                     f"mx.{ZONE}. 300 IN A 192.0.2.99"]
    d = Domain("bad", keys)
    d.spf("ptr", "-all", INCLUDE)
    d.txt = {"": d.txt[""]}
    mended.domains = {"bad": d}
    zone.records += list(d.lines())
    mended.world.start()
    g = Gateway(tmp_path / "gw", None, **mended.settings())
    try:
        g.start()
        for _ in range(2):
            r = g.api("dns", d.name, "--json")
            domain, = json.loads(r.stdout)["domains"]
            lines = {c["record"] for c in domain["checks"]
                     if c.get("record")}
            zone.records = [r for r in zone.records
                            if not r.startswith(d.name + ". 300 IN TXT")]
            zone.records += sorted(lines)
            mended.world.reload()
            g.stop()
            g.start()  # without what it has cached
        r = g.api("dns", d.name, "--json")
        domain, = json.loads(r.stdout)["domains"]
        found = findings(domain)
        # It began with p=none, as it is advised.
        assert set(found) == {"dmarc.policy"}, found
        assert r.returncode == 0
        assert g.api("dns", d.name, "--strict").returncode == 1
    finally:
        g.stop()
        mended.world.close()


# ---- other gateways ---------------------------------------------------------

@pytest.fixture
def other(tmp_path, lab):
    made = []

    def make(**gateway):
        s = lab.settings(**gateway)
        for group in ("definitions", "policies"):
            s[group]["dns_authentication"] = [
                x for x in s[group]["dns_authentication"]
                if "gone.pem" not in x.get("key_file", "") and
                x.get("definition") != "dkim-key-gone"]
        g = Gateway(tmp_path / f"other{len(made)}", None, **s)
        made.append(g)
        return g

    yield make
    for g in made:
        g.stop()


def checks_of(g, label, lab, *args):
    r = g.api("dns", lab.domains[label].name, "--json", *args)
    domain, = json.loads(r.stdout)["domains"]
    return findings(domain), domain, r


def test_own_netblocks_lack_an_address(other, lab):
    """The domain has done its part: the gateway's own record is to blame."""
    g = other(egress=["203.0.113.9", *EGRESS]).start()
    found, _, _ = checks_of(g, "clean", lab)
    assert list(found) == ["spf.egress"]
    c, = found["spf.egress"]
    assert c["subject"] == "203.0.113.9" and c["result"] == "FAIL"
    assert NETBLOCKS in c["action"] and "ip4:203.0.113.9" in c["action"]


def test_egress_not_set(other, lab):
    g = other()
    del g.settings["gateway"]["egress"]
    g.write()
    g.start()
    found, _, r = checks_of(g, "clean", lab)
    assert found.pop("spf.egress")[0]["result"] == "WARN"
    assert not found and r.returncode == 0


def test_silence(other, lab):
    """Nobody answers: in bounded time, and nothing is "not published"."""
    g = other()
    g.settings["resolver"] = {"servers": ["127.0.0.1@9"], "timeout": "1s",
                              "local_data": []}
    g.write()
    g.start()
    begin = time.monotonic()
    found, domain, r = checks_of(g, "clean", lab)
    assert time.monotonic() - begin < 25 and r.returncode == 1
    assert "not published" not in r.stdout
    for check in ("spf.record", "dkim.record", "dmarc.record", "mx.record"):
        assert "could not be looked up" in found[check][0]["found"]


def test_end_while_asking(other, lab):
    """SIGTERM ends it, answered or not."""
    g = other()
    lab.world.silent.add("mute.plant.test.")
    g.settings["internal_domains"].append({"domain": "mute.plant.test",
                                           "route": "boxes"})
    g.settings["resolver"]["timeout"] = "15s"
    g.write()
    g.start()
    p = subprocess.Popen([BUILD / "sortie", "-s", g.dir / "api.sock", "dns",
                          "mute.plant.test"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    wait_for(lambda: ("mute.plant.test.", "TXT") in lab.world.asked)
    begin = time.monotonic()
    g.stop()
    assert time.monotonic() - begin < 10
    _, err = p.communicate(timeout=10)
    assert p.returncode == 1 and err.startswith("sortie: ")


# ---- the command ------------------------------------------------------------

def test_words_for_people(gateway, lab):
    name = lab.domains["spf-no-include"].name
    r = gateway.api("dns", name, lab.domains["clean"].name)
    assert r.returncode == 1 and r.stderr == ""
    lines = r.stdout.splitlines()
    assert lines[0] == f"{name}: FAIL"
    assert re.match(r"RESULT +CHECK +OF +FOUND$", lines[1])
    column = lines[1].index("FOUND")
    row, = [l for l in lines if l.startswith("FAIL") and "spf.include" in l]
    assert row[column:] == f"{INCLUDE} is missing"
    assert f"{lab.domains['clean'].name}: PASS" in lines
    at = lines.index("  FAIL spf.include: publish this record")
    assert lines[at + 1].strip() in (
        "(the record above)",
        f'{name}. 3600 IN TXT "v=spf1 ip4:198.51.100.0/24 {INCLUDE} -all"')


def test_exit_status(gateway, lab):
    def status(label, *args):
        return gateway.api("dns", lab.domains[label].name, *args).returncode

    assert status("clean") == 0 and status("clean", "--strict") == 0
    assert status("sts-none") == 0 and status("sts-none", "--strict") == 1
    assert status("spf-none") == 1


@pytest.mark.parametrize("args,word", [
    (("--other",), "--other"), (("exa mple.com",), "domain"),
    (("a..b",), "domain"), (("x" * 300,), "does not take")])
def test_usage(gateway, args, word):
    r = gateway.api("dns", *args)
    assert r.returncode == 2 and word in r.stderr and r.stdout == ""


def test_not_an_internal_domain(gateway, lab):
    r = gateway.api("dns", f"stranger.{ZONE}", "--json")
    domain, = json.loads(r.stdout)["domains"]
    assert domain["internal"] is False
    found = findings(domain)
    assert "not an internal domain" in found["dkim.definition"][0]["found"]


def test_many_named(gateway, lab):
    """More than fit in one request, in the order of the command line."""
    names = [lab.domains["clean"].name] * 17 + [lab.domains["below"].name]
    r = gateway.api("dns", "--json", *names)
    assert [d["domain"] for d in json.loads(r.stdout)["domains"]] == names


@pytest.mark.parametrize("query,word", [
    ("?cursor=x", "cursor"), ("?cursor=1&domain=a.test", "cursor"),
    ("?other=1", "unknown"), ("?domain=-", "domain"),
    ("?" + "&".join("domain=a.test" for _ in range(17)), "more than 16")])
def test_api_refuses(gateway, query, word):
    r = subprocess.run(["curl", "-s", "-w", "%{http_code}", "--unix-socket",
                        str(gateway.dir / "api.sock"),
                        "http://sortie/v1/dns" + query],
                       capture_output=True, text=True, check=False)
    assert r.stdout.endswith("400") and word in r.stdout
    empty = subprocess.run(["curl", "-s", "--unix-socket",
                            str(gateway.dir / "api.sock"),
                            "http://sortie/v1/dns?cursor=9999"],
                           capture_output=True, text=True, check=False)
    assert json.loads(empty.stdout) == {"domains": [], "cursor": None}


def test_busy(gateway, lab):
    """Two surveys at once; the others are told so, and the daemon lives."""
    lab.world.silent.add("slow.plant.test.")
    asks = [subprocess.Popen(
        [BUILD / "sortie", "-s", gateway.dir / "api.sock", "dns",
         "slow.plant.test"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True) for _ in range(5)]
    errors = [p.communicate(timeout=40)[1] for p in asks]
    assert sum("under way" in e for e in errors) == 3, errors
    assert gateway.api("dns", lab.domains["clean"].name).returncode == 0
