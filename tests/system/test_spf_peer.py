"""SPF beside another implementation, python3-spf, on the same generated zones
(checklist C92, C93).

Where that one leaves RFC 7208, it is set right here or the generator keeps
away, so that every difference that is left is one to look into:

 - a delimiter is replaced by a dot for every macro (section 7.3), not only for
   l and s;
 - a void look-up is a question of a term's own (4.6.4), not one for a host of
   an MX or PTR, which have a limit of their own, nor one for the macro p;
 - it asks for all hosts of an MX before it looks at one, and takes a failure
   of PTR for an error (5.5 says no match): those questions do not fail here;
 - it finds an include of a name by itself malformed, where the RFC counts
   look-ups, and any modifier that is there twice (6 has it so for two);
 - it takes "%{d0}" (7.3: must be non-zero).
"""

import random

import pytest
import spf

from spf_eval import Evaluator

SETS = 1000
QUERIES = 3
CLIENTS = ["192.0.2.1", "192.0.2.129", "198.51.100.7", "2001:db8::1",
           "2001:db8:0:1::25", "::ffff:192.0.2.1", "127.0.0.1", "::1"]
SENDERS = ["joe@d0.example", "strong-bad+x@d1.example", "a.b.c@d2.example",
           "d3.example", "", "@d0.example", "o'neil=z~!/@d1.example"]
HELOS = ["d0.example", "mail.d1.example", "d4.example", "[192.0.2.1]",
         "localhost"]
DOMAINS = [f"d{i}.example" for i in range(7)]
HOSTS = [f"h{i}.d{i % 3}.example" for i in range(6)]
EXCHANGERS = [(p, h) for p in (0, 10) for h in HOSTS]
# Names that macros of the senders, clients and helos can lead to.
MADE = ["joe.l.example", "strong.bad.x.l.example", "bad+x.l.example",
        "b.c.l.example", "c.b.a.l.example", "a.b.c.l.example",
        "postmaster.l.example", "strong-bad+x.l.example",
        "1.2.0.192.in-addr.i.example", "192.0.2.1.i.example",
        "7.100.51.198.in-addr.i.example", "example.d.example",
        "d0.example.d.example", "example.d0.d.example",
        "d1.example.d.example", "joe@d0.example.s.example",
        "d0.example.h.example", "mail.d1.h.example",
        "o%27neil%3Dz~%21%2F.l.example", "o'neil=z~!.l.example",
        "h0.d0.example.p.example", "unknown.p.example"]
MACROS = ["%{l}.l.example", "%{l-}.l.example", "%{l1r-}.l.example",
          "%{l2}.l.example", "%{lr}.l.example", "%{L}.l.example",
          "%{l-+/=}.l.example", "%{l5}.l.example", "%{ir}.%{v}.i.example",
          "%{i}.i.example", "%{d1}.d.example", "%{d}.d.example",
          "%{d4}.d.example", "%{dr}.d.example", "%{o2}.d.example",
          "%{s}.s.example", "%{S}.s.example", "%{h}.h.example",
          "%{h2}.h.example", "%{hr}.h.example", "%{p}.p.example",
          "%{p2}.p.example", "%%%_%-.x.example", "%{d128}.d.example"]
BAD = ["foo", "all:x", "a:192.0.2.1", "ip4:192.0.2", "ip4:192.0.2.1/33",
       "ip6:2001:db8:::1", "include:", "exists:x", "mx/33", "a//129", "a/024",
       "include:%{x}.example", "a:%{d", "ptr/24",
       "ip4:192.0.2.1/032", "a:com", "mx:%(d).example", "-redirect=d1.example",
       "exp=", "redirect=", "x=%{z}", "include:d1.example/24", "all/0",
       "a:d1.example\x07", "mx:d1.example\xe9", "exists:%{c}.example"]


class Peer(spf.query):
    quiet = False

    def dns(self, name, qtype, cnames=None, ignore_void=False):
        return super().dns(name, qtype, cnames, ignore_void or self.quiet)

    def quietly(self, function, *args):
        was, self.quiet = self.quiet, True
        try:
            return function(*args)
        finally:
            self.quiet = was

    def dns_mx(self, domainname):
        self.dns(domainname, "MX")
        return self.quietly(super().dns_mx, domainname)

    def validated_ptrs(self):
        self.dns_ptr(self.i)
        return self.quietly(super().validated_ptrs)

    def getp(self):
        return self.quietly(super().getp)


def peer(monkeypatch, zone, client, sender, helo):
    table = {}
    for name, kind, value in zone:
        table.setdefault(name.lower(), []).append((kind, value))

    def look_up(name, qtype, strict=True, timeout=None):
        rows = table.get(name.lower(), [])
        found = [v for k, v in rows if k == qtype]
        if "TIMEOUT" in found:
            raise spf.TempError("DNS timeout")
        for value in found:
            if qtype == "MX":
                preference, host = value.split(" ")
                value = (int(preference), host)
            elif qtype == "TXT":
                value = (value,)
            yield (name, qtype), value

    monkeypatch.setattr(spf, "DNSLookup", look_up)
    monkeypatch.setattr(spf, "JOINERS", dict.fromkeys("slodiphv", "."))
    query = Peer(i=client, s=sender, h=helo, strict=True)
    return query.check()[0], query


def prefix(rng):
    four = rng.choice(["", "", "/24", "/25", "/31", "/0", "/32", "/8"])
    return four + rng.choice(["", "", "//64", "//127", "//0", "//128", "//33"])


def domain_spec(rng, own, plain):
    if rng.random() < 0.35:
        return rng.choice(MACROS)
    return rng.choice([n for n in plain if n != own])


def term(rng, own, light):
    """A term; light: none that needs a look-up for the most part."""
    qualifier = rng.choice(["", "", "+", "-", "~", "?"])
    kinds = ["ip4", "ip6"] * (6 if light else 1) + \
        ["a", "mx", "include", "exists", "ptr"]
    kind = rng.choice(kinds)
    if kind == "ip4":
        net = rng.choice(["192.0.2.1", "192.0.2.128", "198.51.100.0",
                          "203.0.113.9", "10.0.0.0"])
        return qualifier + "ip4:" + net + rng.choice(
            ["", "/32", "/25", "/24", "/8", "/0"] if rng.random() < 0.3
            else ["", "/31"])
    if kind == "ip6":
        net = rng.choice(["2001:db8::1", "2001:db8::", "::ffff:192.0.2.1",
                          "fe80::1", "::"])
        return qualifier + "ip6:" + net + rng.choice(
            ["", "/128", "/32", "/64", "/0"] if rng.random() < 0.3
            else ["", "/127"])
    if kind in ("a", "mx"):
        spec = "" if rng.random() < 0.4 else \
            ":" + domain_spec(rng, own, DOMAINS + HOSTS)
        return qualifier + rng.choice([kind, kind.upper()]) + spec + \
            prefix(rng)
    if kind == "ptr":
        return qualifier + kind + rng.choice(["", ":d0.example",
                                              ":d1.example", ":example.org",
                                              ":%{d}"])
    if kind == "include":
        return qualifier + "include:" + rng.choice(
            [n for n in DOMAINS if n != own])
    return qualifier + "exists:" + domain_spec(rng, own, HOSTS + MADE)


def record(rng, own, light):
    terms = [term(rng, own, light)
             for _ in range(rng.choice([0, 1, 2, 3, 4] if light else
                                       [1, 3, 6, 12]))]
    if rng.random() < 0.08:
        terms.insert(rng.randint(0, len(terms)), rng.choice(BAD))
    if rng.random() < 0.6:
        terms.append(rng.choice(["-all", "~all", "?all", "all", "+ALL"]))
    if light and rng.random() < 0.3:
        terms.insert(rng.randint(0, len(terms)), "redirect=" + rng.choice(
            [n for n in DOMAINS if n != own]))
    if rng.random() < 0.2:
        terms.insert(rng.randint(0, len(terms)), rng.choice(
            ["exp=none.example", "unknown=%{d}x", "op.x-1_y=a=b"]))
    text = rng.choice(["v=spf1", "V=SPF1"]) + "".join(
        " " * rng.choice([1, 1, 1, 2]) + t for t in terms)
    return (text + rng.choice(["", "", " "])).encode("latin-1")


def zone(rng):
    """Rows of one world. What can fail is a question of a term's own."""
    light = rng.random() < 0.6
    rows = []
    for name in DOMAINS:
        chance = rng.random()
        if chance < 0.8:
            rows.append((name, "TXT", record(rng, name, light)))
        if chance < 0.03:
            rows.append((name, "TXT", b"v=spf1 -all"))
        if rng.random() < 0.3:
            rows.append((name, "TXT", b"v=spf10 other \xff"))
        if chance > 0.97:
            rows.append((name, "TXT", "TIMEOUT"))
        if rng.random() < 0.7:
            rows += [(name, "MX", f"{p} {h}") for p, h in rng.sample(
                EXCHANGERS, rng.choice([0, 1, 1, 2, 10, 11]))]
        if rng.random() < 0.04:
            rows = [r for r in rows if r[:2] != (name, "MX")]
            rows.append((name, "MX", "TIMEOUT"))
    for name in HOSTS + DOMAINS:
        for kind, pool in (("A", CLIENTS[:3] + ["203.0.113.9"]),
                           ("AAAA", CLIENTS[3:5] + ["2001:db8:ff::1"])):
            if rng.random() < 0.6:
                rows += [(name, kind, a)
                         for a in rng.sample(pool, rng.randint(1, 3))]
            elif rng.random() < 0.05 and name in DOMAINS:
                rows.append((name, kind, "TIMEOUT"))
    rows += [(name, "A", "127.0.0.2") for name in MADE if rng.random() < 0.5]
    for reverse in ("1.2.0.192.in-addr.arpa", "129.2.0.192.in-addr.arpa",
                    "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"):
        rows += [(reverse, "PTR", name) for name in rng.sample(
            HOSTS, rng.choice([0, 1, 2, 6]))]
    return list(dict.fromkeys(rows))


@pytest.fixture(scope="module")
def evaluator():
    e = Evaluator()
    yield e
    e.close()


def test_the_same_results(evaluator, monkeypatch):
    seen = {}
    most = {"lookups": 0, "voids": 0, "rounds": 0}
    for seed in range(SETS):
        rng = random.Random(seed)
        rows = zone(rng)
        for _ in range(QUERIES):
            query = (rng.choice(CLIENTS), rng.choice(SENDERS),
                     rng.choice(HELOS))
            want, other = peer(monkeypatch, rows, *query)
            got = evaluator(rows, *query)
            assert got["result"] == want, (
                seed, query, got, other.mechanism,
                other.lookups, other.void_lookups,
                [r for r in rows if r[1] == "TXT"])
            seen[want] = seen.get(want, 0) + 1
            for key, value in most.items():
                most[key] = max(value, got[key])
    print(seen, most)
    # The generator reaches every result, and the limits.
    assert set(seen) == {"none", "neutral", "pass", "fail", "softfail",
                         "temperror", "permerror"}
    assert min(seen.values()) >= SETS * QUERIES // 100
    assert most["lookups"] == 11 and most["voids"] > 2


def test_the_limit_of_look_ups_is_the_same(evaluator, monkeypatch):
    """Includes that each need some: 10 pass, 11 do not, at whatever depth."""
    for depth in range(1, 6):
        for width in range(1, 12):
            rows = [("h.example", "A", "203.0.113.1")]
            for i in range(depth):
                text = "v=spf1"
                if i == depth - 1:
                    text += " a:h.example" * width
                else:
                    text += f" include:n{i + 1}.example"
                text += " ip4:192.0.2.1" if i == depth - 1 else " -all"
                rows.append((f"n{i}.example", "TXT", text.encode()))
            query = ("192.0.2.1", "x@n0.example", "helo.example")
            want, _ = peer(monkeypatch, rows, *query)
            got = evaluator(rows, *query)
            assert got["result"] == want == (
                "pass" if depth - 1 + width <= 10 else "permerror")
