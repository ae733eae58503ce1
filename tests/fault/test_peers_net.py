"""Destinations that are dead, names that are not found, gateways that turn in
a circle, servers whose words make no sense: A3.17, A3.19, A3.20, A3.22,
A3.25, A3.26, B48, B49."""

import re
import threading
import time

import pytest

import evil
import peers
import world
from harness import Dns, message, wait_for
from peers import until

ATTEMPTS = re.compile(r" attempts=(\d+) ")
# No reuse: what happens on a connection that was kept is another story.
FRESH = {"idle_timeout": "0s"}
TIME = re.compile(r"^time=\S+T(\d+):(\d+):([\d.]+)Z")


def seconds(line):
    h, m, s = TIME.match(line).groups()
    return int(h) * 3600 + int(m) * 60 + float(s)


def many(d, sender, rcpts, text=None, group=100):
    with d.client() as c:
        for i in range(0, len(rcpts), group):
            r = c.mail(sender, rcpts[i:i + group], text or message())
            assert r.code == 250, r.lines


def test_a3_17_all_refuse(make_world, row):
    """Later each time, and not all at the same moment."""
    w = make_world(delivery={"retry": ["2s", "4s", "60s"]})
    d = w.daemon
    names = [f"d{i}.test" for i in range(30)]
    for name in names:
        d.mx(name, "127.0.0.31", "127.0.0.32")
    d.start()
    many(d, "a@example.com", [f"b@{n}" for n in names])
    until(lambda: sum(len(v) >= 3 for v in
                      peers.fates(d, "deferred").values()) == 30, 20,
          lambda: "three attempts each")
    first, second = [], []
    for to, lines in peers.fates(d, "deferred").items():
        counts = [int(ATTEMPTS.search(x).group(1)) for x in lines[:3]]
        assert counts == [1, 2, 3], (to, lines)
        assert all(" dsn=4.4.1 " in x for x in lines)
        at = [seconds(x) for x in lines]
        first.append(at[1] - at[0])
        second.append(at[2] - at[1])
    # The pager looks four times a second, and the machine is busy.
    assert all(1.9 <= t <= 4.0 for t in first), first
    assert all(3.9 <= t <= 6.5 for t in second), second
    assert max(second) - min(second) > 0.1, "no jitter"
    assert not peers.fates(d, "bounced")
    row("A3.17 all MX refuse", 30, None,
        f"after {min(first):.1f}-{max(first):.1f} s, then "
        f"{min(second):.1f}-{max(second):.1f} s")


def test_a3_19_a_thousand_dead_one_alive(make_world, row):
    w = make_world()
    d = w.daemon
    d.write(gateway={"reactors": 1}, delivery={"connect_timeout": "5m",
                                               "retry": ["5s"]})
    data = d.settings["resolver"]["local_data"]
    _, cert = peers.certificates(w.dir / "ca")
    where = ("127.0.0.9", evil.SYN_ADDRESS,
             evil.sink_address("banner", "hang"))
    names = [f"dead{i}.test" for i in range(1000)]
    for i, name in enumerate(names):
        data.append(f"{name}. 300 IN MX 10 mx.{name}.")
        data.append(f"mx.{name}. 300 IN A {where[i % 3]}")
    d.write()
    w.open()
    with peers.Evil("sinks", d.mx_port, *cert) as sinks:
        d.start()
        probe = peers.Probe(w)
        quiet = probe.quiet()
        for _ in range(5):
            many(d, "a@example.com", [f"b@{n}" for n in names])
        until(lambda: sinks.report()["hits"].get("banner-hang", 0) >= 333,
              30, lambda: sinks.report())
        busy = probe.check_flat()
        d.stop()
    v = w.judge()
    row("A3.19 1,000 dead, 1 alive", 1000, v,
        f"p99 {quiet.arrivals * 1000:.1f} -> {busy.arrivals * 1000:.1f} ms")
    v.check()


def one_fault(w, verb, says):
    """The first verb of that kind is answered with says."""
    told = []

    def hook(v, _):
        if v == verb and not told:
            told.append(says)
            return says
        return None

    w.told = hook
    return told


def deferred_then_delivered(w, name):
    """One message; True when it was deferred on its way."""
    d = w.daemon
    mark = len(d.text())
    rcpt = f"{name}@partner.test"
    assert world.send_one(d, w.ledger, name, rcpts=[rcpt]) == 250
    until(lambda: (name, rcpt) in w.ledger.found(), 15,
          lambda: d.text(mark)[-2000:])
    wait_for(lambda: d.api_json("status")[1]["queue"]["recipients"] == 0)
    assert not peers.fates(d, "bounced", mark)
    return rcpt in peers.fates(d, "deferred", mark)


def test_a3_20_421_in_the_transaction(make_world, row):
    w = make_world(delivery=FRESH)
    w.open()
    w.daemon.start()
    for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"):
        told = one_fault(w, verb, "421 4.3.2 Closing")
        assert deferred_then_delivered(w, f"at-{verb}"), verb
        assert told, verb
    v = w.judge()
    row("A3.20 421 in the transaction", 6, v)
    v.check(duplicates=False)


@pytest.mark.quick
def test_a3_22_closed_after_the_dot(make_world, row):
    """Without a reply it may have arrived: it is sent again, and the record
    says at which step it was lost."""
    w = make_world(delivery=FRESH)
    w.open()
    w.daemon.start()
    assert one_fault(w, "DOT", "CLOSE") == []
    assert deferred_then_delivered(w, "lost-reply")
    line = peers.fates(w.daemon, "deferred")["lost-reply@partner.test"][0]
    assert 'while="waiting for the final reply"' in line
    v = w.judge()
    row("A3.22 closed after the dot", 1, v)
    v.check(duplicates=False)


def test_b49_replies_that_make_no_sense(make_world, row):
    many_lines = "\r\n".join(["250-x"] * 10000) + "\r\n250 x"
    cases = [
        ("RCPT", "2500 ok"), ("RCPT", "25"), ("RCPT", "250-\r\n550 no"),
        ("MAIL", "250-a\r\n251 b"), ("MAIL", "ok"), ("EHLO", many_lines),
        ("EHLO", "250-" + "y" * 100000), ("DOT", "250-x\r\n550 y"),
        ("MAIL", "199 early"), ("MAIL", "600 late"), ("DATA", "354-go\0"),
    ]
    w = make_world(delivery=FRESH)
    w.open()
    d = w.daemon
    d.start()
    before = peers.memory_kib(d.process.pid)
    for i, (verb, says) in enumerate(cases):
        told = one_fault(w, verb, says)
        assert deferred_then_delivered(w, f"odd-{i}"), (verb, says[:40])
        assert told
    # More than one reply to a command: nobody knows whose they are.
    one_fault(w, "RCPT", "250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok")
    deferred_then_delivered(w, "odd-more")
    # Permitted, but not to be shown as it is (B62).
    w.told = lambda v, _: (
        "250 2.0.0 \x1b[2Jgone\x07\u202e\r event=error" if v == "DOT"
        else None)
    assert not deferred_then_delivered(w, "odd-ansi")
    log = d.logfile.read_bytes()
    assert b"\x1b" not in log and b"\x07" not in log and b"\r" not in log
    assert "\u202e".encode() not in log
    line = peers.fates(d, "delivered")["odd-ansi@partner.test"][0]
    assert re.search(r' reply="[^"]*gone[^"]* event=error[^"]*"$', line), line
    assert peers.memory_kib(d.process.pid) - before < 16 * 1024
    v = w.judge()
    row("B49 senseless replies", len(cases) + 2, v)
    # The one with a reply too many after the dot may come twice.
    assert not v.lost and not v.broken and not v.strangers


class SlowDns(Dns):
    def __init__(self, table, delay):
        self.delay = delay
        super().__init__(table)

    def _send(self, answer, peer):
        threading.Timer(self.delay, super()._send, (answer, peer)).start()


def test_a3_25_dns_dead_then_back(make_world, row):
    """While the resolver's server is gone mail is accepted, kept, and not
    bounced; it goes out once the server is back."""
    w = make_world()
    d = w.daemon
    names = [f"n{i}.later.example" for i in range(40)]
    table = {}
    for n in names:
        table[(f"{n}.", "MX")] = [f"10 mx.{n}."]
        table[(f"mx.{n}.", "A")] = [world.SINK]
    server = Dns(table)
    port = server.port
    server.close()
    d.write(resolver={"servers": [f"127.0.0.1@{port}"], "timeout": "1s"})
    w.open()
    d.start()
    for i, n in enumerate(names):
        world.send_one(d, w.ledger, f"later-{i}", rcpts=[f"b@{n}"])
    until(lambda: len(peers.fates(d, "deferred")) == len(names), 20,
          lambda: f"{len(peers.fates(d, 'deferred'))} deferred")
    assert not w.ledger.found() and not peers.fates(d, "bounced")
    lines = [v[0] for v in peers.fates(d, "deferred").values()]
    assert all(" dsn=4.4.3 " in line for line in lines), lines[0]
    server = Dns(table, port)
    # The resolver remembers for a while that the server was dead.
    until(lambda: not w.ledger.missing(), 60,
          lambda: f"{len(w.ledger.missing())} of {len(names)} wait\n" +
          d.text()[-1500:])
    server.close()
    assert not w.ledger.dsns, w.ledger.dsns
    v = w.judge()
    row("A3.25 DNS dead, then back", len(names), v)
    v.check(duplicates=False)


def test_a3_26_dns_slow(make_world, row):
    w = make_world()
    d = w.daemon
    names = [f"n{i}.slow.example" for i in range(100)]
    table = {}
    for n in names:
        table[(f"{n}.", "MX")] = [f"10 mx.{n}."]
        table[(f"mx.{n}.", "A")] = [world.SINK]
    server = SlowDns(table, 5.0)
    d.write(gateway={"reactors": 1},
            resolver={"servers": [f"127.0.0.1@{server.port}"],
                      "timeout": "30s"})
    w.open()
    d.start()
    probe = peers.Probe(w)
    quiet = probe.quiet()
    for i, n in enumerate(names):
        world.send_one(d, w.ledger, f"slow-{i}", rcpts=[f"b@{n}"])
    busy = probe.check_flat()
    until(lambda: not w.ledger.missing(), 60,
          lambda: f"{len(w.ledger.missing())} wait\n" + d.text()[-1500:])
    server.close()
    assert not w.ledger.dsns, w.ledger.dsns
    delays = [int(re.search(r" delay_ms=(\d+) ", x[0]).group(1))
              for to, x in peers.fates(d, "delivered").items()
              if to.endswith(".slow.example")]
    assert len(delays) == len(names) and min(delays) >= 4900, delays
    v = w.judge()
    row("A3.26 DNS slow by 5 s", len(names), v,
        f"p99 {quiet.arrivals * 1000:.1f} -> {busy.arrivals * 1000:.1f} ms")
    v.check(duplicates=False)


@pytest.mark.quick
def test_b48_two_gateways_ping_pong(make_world, row):
    """Each is the other's MX. It ends, in one report to the sender."""
    hops = 12
    a = make_world(limits={"hops": hops})
    b = make_world(limits={"hops": hops},
                   gateway={"hostname": "gw2.example.net"})
    for one, two in ((a, b), (b, a)):
        one.daemon.mx("loop.test", "127.0.0.1")
        one.daemon.write(delivery={"port": two.daemon.port})
        one.open(world.REPORTS)
    reports = []
    a.told = b.told = lambda v, arg: (reports.append(arg) if v == "DOT"
                                      else None)
    a.daemon.start()
    b.daemon.start()
    assert world.send_one(a.daemon, a.ledger, "round",
                          rcpts=["x@loop.test"]) == 250
    wait_for(lambda: reports, 20, "a report")
    time.sleep(1)
    for one in (a, b):
        status = one.daemon.api_json("status")[1]
        assert status["queue"]["recipients"] == 0, status
    passed = sum(len(x) for one in (a, b) for x in
                 peers.fates(one.daemon, "delivered").values())
    lines = [x for one in (a, b) for v in
             peers.fates(one.daemon, "bounced").values() for x in v]
    assert len(lines) == 1, lines
    assert " dsn=5.4.6 " in lines[0], lines
    assert passed <= hops + 1, passed
    assert len(reports) == 1
    assert "Status: 5.4.6" in reports[0] and "x@loop.test" in reports[0]
    row("B48 two gateways, each the other's MX", passed, None,
        "one report, 5.4.6")
