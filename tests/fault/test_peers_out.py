"""Servers that hang, reset, close, babble or trickle in every state of a
delivery: A3.18, A3.20-A3.23, C27, C36, C37. Other destinations notice
nothing, no mail is lost or bounced, and the wait has an end."""

import time

import pytest

import evil
import peers
from harness import wait_for
from peers import until

LIMITS = {"limits": {"message_size": "50M"}}
# An address of the machine that is not in the tables of evil.py is honest.
BIG = b"x" * 78 + b"\r\n"
SHORT = {name + "_timeout": "2s" for name in
         ("connect", "greeting", "command", "data", "block", "final")}
CASES = [(s, f) for s in evil.SINK_STATES for f in evil.FAULTS]
# After these the session is of no use, but it was not the message's fault:
# they end in delivery without a further word.
HARMLESS = {"handshake", "quit"}


def domain(state, fault):
    return f"{state}-{fault}.test"


def prepare(w, **settings):
    d = w.daemon
    d.write(gateway={"reactors": 1}, **settings)
    for state, fault in CASES:
        d.mx(domain(state, fault), evil.sink_address(state, fault))
    d.mx("syn.test", evil.SYN_ADDRESS)
    w.open()
    return d


def message(mark, size=0):
    body = b"Hello\r\n" + BIG * (size // len(BIG))
    return (f"From: a@example.com\r\nSubject: id={mark};\r\n\r\n"
            .encode() + body)


def send_all(d):
    with d.client() as c:
        for state, fault in CASES:
            mark = f"{state}-{fault}"
            there = domain(state, fault)
            size = 8000000 if state == "content" else 0
            r = c.mail("a@example.com", [f"b@{there}", f"c@{there}"],
                       message(mark, size))
            assert r.code == 250, (mark, r.lines)
        assert c.mail("a@example.com", "b@syn.test",
                      message("syn")).code == 250


def check_end(d, sinks, w):
    """Healed: all has come, once, but where the end of data stood."""
    sinks.heal()
    marks = {f"{s}-{f} {r}" for s, f in CASES for r in "bc"} | {"syn b"}
    until(lambda: marks <= set(sinks.report()["accepted"]), 60,
          lambda: marks - set(sinks.report()["accepted"]))
    report = sinks.report()
    wait_for(lambda: d.api_json("status")[1]["queue"]["recipients"] == 0,
             20, "an empty queue")
    assert not peers.fates(d, "bounced") and not w.ledger.dsns
    for mark in marks:
        assert report["accepted"].count(mark) == 1, mark
        if not mark.startswith("dot-"):
            assert report["offered"].count(mark) == 1, mark
    missed = [f"{s}-{f}" for s, f in CASES
              if report["hits"].get(f"{s}-{f}", 0) == 0]
    assert not missed, f"never met: {missed}"
    return report


@pytest.mark.quick
def test_a3_18_states_while_others_flow(make_world, row):
    w = make_world(**LIMITS)
    _, cert = peers.certificates(w.dir / "ca")
    d = prepare(w)
    with peers.Evil("sinks", d.mx_port, *cert) as sinks:
        d.start()
        probe = peers.Probe(w)
        quiet = probe.quiet()
        before = peers.memory_kib(d.process.pid)
        send_all(d)
        wait_for(lambda: len(sinks.report()["hits"]) >= len(CASES) - 3, 30,
                 "the peers to be met")
        busy = probe.check_flat()
        grown = peers.memory_kib(d.process.pid) - before
        assert grown < 64 * 1024, f"{grown} KiB"
        report = check_end(d, sinks, w)
    v = w.judge()
    row("A3.18 servers in every state", sum(report["hits"].values()), v,
        f"p99 {quiet.arrivals * 1000:.1f} -> {busy.arrivals * 1000:.1f} ms")
    v.check()


def test_a3_18_every_wait_ends(make_world, row):
    """Short time-outs. One octet now and then does not buy time (C27)."""
    w = make_world(**LIMITS)
    _, cert = peers.certificates(w.dir / "ca")
    d = prepare(w, delivery=SHORT)
    with peers.Evil("sinks", d.mx_port, *cert) as sinks:
        d.start()
        start = time.monotonic()
        send_all(d)
        owed = {f"b@{domain(s, f)}" for s, f in CASES if s not in HARMLESS}
        owed.add("b@syn.test")
        # A drop of content every 0.3 s is progress, as slow as it is.
        owed.discard("b@content-trickle.test")
        until(lambda: owed <= set(peers.fates(d, "deferred")), 15,
              lambda: owed - set(peers.fates(d, "deferred")))
        took = time.monotonic() - start
        report = check_end(d, sinks, w)
    row("A3.18 every wait ends", sum(report["hits"].values()), None,
        f"all within {took:.1f} s of time-outs of 2 s")
