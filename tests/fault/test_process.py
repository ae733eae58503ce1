"""Signals, clocks and logs: A3.14, A3.15, A3.27, A3.34, A3.38."""

import os
import signal
import subprocess
import time

import pytest

import world
from world import QUICK, REPORTS, SINK, Control, send_one, wait_for


@pytest.mark.quick
def test_a3_14_sigterm_under_load(make_world, row):
    """It ends within its bound; what it had is delivered by the next."""
    w = make_world()
    w.told = world.some_refused(2)
    w.open()
    w.daemon.start()
    turns = 2 if QUICK else 6
    longest = 0.0
    with w.load(clients=6, size=lambda n: 200000 if n % 13 == 7 else 900):
        for _ in range(turns):
            n = len(w.ledger.accepted())
            wait_for(lambda: len(w.ledger.accepted()) > n + 60, 20, "load")
            with w.ledger.trouble("SIGTERM"):
                start = time.monotonic()
                w.daemon.stop(30)
                longest = max(longest, time.monotonic() - start)
            w.daemon.start()
    w.told = None
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.14 SIGTERM under load", turns, v, f"longest {longest:.1f} s")
    v.check()
    assert longest < 25


def test_a3_14_sigterm_with_a_sink_that_hangs(make_world, row):
    """A peer that never answers does not hold the end up."""
    w = make_world()
    hang = []

    def told(verb, arg):
        if verb == "DOT":
            hang.append(arg)
            time.sleep(40)
            return "CLOSE"
        return None

    w.told = told
    w.open()
    w.daemon.start()
    assert send_one(w.daemon, w.ledger) == 250
    wait_for(lambda: hang, 10, "the sink's turn")
    idle = w.daemon.client()
    start = time.monotonic()
    w.ledger.fault("SIGTERM")
    w.daemon.stop(30)
    took = time.monotonic() - start
    idle.sock.close()
    w.told = None
    w.daemon.start()
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.14 SIGTERM, the sink hangs", 1, v, f"{took:.1f} s")
    v.check()
    assert took < 25


@pytest.mark.quick
def test_a3_15_bad_configuration_under_load(make_world, row):
    """SIGHUP with nonsense: the former configuration stays, no session
    notices, and a good file is taken afterwards."""
    w = make_world()
    w.open()
    w.daemon.start()
    good = w.daemon.conf.read_text()
    bad = ["nonsense = 1;", "limits = {", "", "gateway = { hostname = 5; };",
           good.replace("127.0.0.1:", "300.0.0.1:", 1),
           "@include \"/etc/shadow\"\n", "\x00\xff" * 1000]
    with w.load(clients=3) as load:
        for text in bad:
            w.daemon.conf.write_text(good + text if "=" in text[:12]
                                     else text)
            before = len(w.daemon.lines("reload-failed"))
            w.daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(w.daemon.lines("reload-failed")) > before,
                     10, f"refusal of {text[:30]!r}")
        w.daemon.conf.write_text(good)
        w.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: w.daemon.lines("reloaded"), 10, "reloaded")
        n = len(w.ledger.accepted())
        wait_for(lambda: len(w.ledger.accepted()) > n + 30, 20, "load")
    assert set(load.codes) == {250}, load.texts
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.15 SIGHUP with a bad file", len(bad), v)
    v.check(duplicates=False)


@pytest.mark.parametrize("jump_s", [3600, 86400, -3600, -86400])
def test_a3_27_clock_jumps(make_world, row, jump_s):
    """The wall clock is set by an hour or a day: nothing expires at once,
    nothing stands still."""
    w = make_world(delivery={"expire": "96h", "warn_after": "96h"})
    control = Control(w.dir / "control")
    w.told = lambda verb, arg: ("451 4.3.0 Later" if verb == "RCPT" and
                                "later" in arg else None)
    w.open()
    w.daemon.start(env=control.env("clock"))
    for i in range(10):
        name = f"later-{i}" if i % 2 else f"now-{i}"
        assert send_one(w.daemon, w.ledger, name) == 250
    wait_for(lambda: len(w.daemon.lines("deferred")) > 5, 15, "deferrals")
    control[0] = jump_s
    time.sleep(1)
    for i in range(10):
        name = f"later-b{i}" if i % 2 else f"now-b{i}"
        assert send_one(w.daemon, w.ledger, name) == 250
    wait_for(lambda: sum("now" in i for i, _ in w.ledger.found()) == 10, 10,
             "new mail")
    before = len(w.daemon.lines("deferred"))
    spent = world.cpu_seconds(w.daemon.pids()[0])
    time.sleep(3)
    spent = world.cpu_seconds(w.daemon.pids()[0]) - spent
    tries = len(w.daemon.lines("deferred")) - before
    w.told = None
    start = time.monotonic()
    w.drain(8)
    took = time.monotonic() - start
    w.take_stock()
    log = w.daemon.text()
    w.daemon.stop()
    v = w.judge()
    row(f"A3.27 clock set by {jump_s} s", 1, v,
        f"{tries} tries in 3 s, drained after {took:.1f} s")
    v.check(duplicates=False)
    assert "event=expired" not in log and "event=bounced" not in log
    assert v.queued == 0, "what was deferred stands still"
    assert tries < 10 * 20, f"{tries} tries in 3 s: a storm"
    assert spent < 1, spent


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["closed", "full", "blocked", "broken"])
def test_a3_34_log_that_takes_nothing(make_world, row, kind):
    """The log loses lines, the mail flows."""
    w = make_world()
    w.open()
    out = None
    ends = []
    popen = {}
    if kind == "closed":
        popen["preexec_fn"] = lambda: os.close(2)
    elif kind == "full":
        out = open("/dev/full", "wb")
        ends.append(out)
    else:
        read, write = os.pipe()
        out = os.fdopen(write, "wb")
        ends.append(out)
        if kind == "broken":
            os.close(read)
        else:
            ends.append(os.fdopen(read, "rb"))  # and nobody reads
    w.daemon.start(wait=False, stderr=out, **popen)
    wait_for(lambda: w.daemon.process.poll() is not None or
             w.daemon.api("status").returncode == 0, 15, "status")
    assert w.daemon.process.poll() is None, "it ended"
    with w.load(clients=3):
        wait_for(lambda: len(w.ledger.accepted()) > 400, 30,
                 "messages: more log than a pipe holds")
    w.drain()
    status = w.daemon.api_json("status")[1]
    start = time.monotonic()
    w.daemon.stop()
    assert time.monotonic() - start < 15
    for f in ends:
        f.close()
    v = w.judge()
    row(f"A3.34 log {kind}", 1, v)
    v.check(duplicates=False)
    assert status["healthy"] is True


def test_a3_38_expiry(make_world, row):
    """Exactly one DSN with a null sender; one that cannot be delivered ends
    in the log and not in a loop."""
    w = make_world(delivery={"expire": "4s", "warn_after": "96h"})
    dsns = []

    def told(verb, arg):
        if verb == "RCPT" and "@partner.test" in arg:
            return "451 4.3.0 Later"
        if verb == "DOT":
            dsns.append(arg)
        return None

    w.told = told
    w.open()
    w.daemon.start()
    for i in range(5):
        assert send_one(w.daemon, w.ledger, f"old-{i}") == 250
    wait_for(lambda: len(w.daemon.lines("expired")) >= 5, 25, "expiry")
    wait_for(lambda: not w.daemon.queue(), 15, "an empty queue")
    assert len(dsns) == 5, len(dsns)

    # Now their sender cannot be told either.
    def deaf(verb, arg):
        if verb == "RCPT":
            return ("550 5.1.1 No such user" if "@example.com" in arg
                    else "451 4.3.0 Later")
        return None

    w.told = deaf
    assert send_one(w.daemon, w.ledger, "unheard") == 250
    wait_for(lambda: len(w.daemon.lines("expired")) >= 6, 25, "expiry")
    wait_for(lambda: not w.daemon.queue(), 15, "an empty queue")
    time.sleep(2)
    assert len(w.daemon.lines("report_undeliverable")) == 1, \
        w.daemon.text()[-1500:]
    assert len(dsns) == 5
    w.daemon.stop()
    for key in list(w.ledger.missing()):
        assert key[0] == "unheard", key
        w.ledger.dsns[key] = time.monotonic()  # told to the log
    v = w.judge()
    row("A3.38 expiry", 6, v)
    v.check(duplicates=False)
    assert v.told == 6
