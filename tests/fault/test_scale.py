"""A queue that is far larger than memory: A3.10, A3.19, and what issue 3
asks of a start with 1,000,000 messages."""

import os
import subprocess
import time

import pytest

import evil
import peers
import world
from harness import Client
from peers import until

FILL = world.BUILD / "bench" / "queue_fill"
MILLION = 1000000


def fill(d, messages, due_s, domains=1, size=512):
    """Straight into the store; the gateway must not run."""
    assert FILL.exists(), f"{FILL}: make bench-build"
    subprocess.run([FILL, "-d", d.state, "-n", str(messages), "-s",
                    str(size), "-D", str(domains), "-a", str(due_s)],
                   check=True, stdout=subprocess.DEVNULL)
    # What the page cache holds of it would flatter the start.
    for path in d.state.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def start(d):
    """Seconds until a client has the banner."""
    begin = time.monotonic()
    d.start(wait=False)
    while True:
        try:
            Client("127.0.0.1", d.port, ehlo=False).sock.close()
            return time.monotonic() - begin
        except (OSError, EOFError):
            assert d.process.poll() is None, d.text()
            assert time.monotonic() - begin < 60, "never listens"
            time.sleep(0.005)


@pytest.fixture
def on_disk(tmp_path, make_world):
    """Not in memory, where the others are: that would be measured too."""
    def make(**settings):
        return make_world(tmp_path, **settings)
    return make


def status(d):
    return d.api_json("status")[1]


@pytest.mark.quick
def test_a3_10_start_with_100_000(on_disk, row):
    w = on_disk()
    d = w.daemon
    fill(d, 100000, 3600)
    took = start(d)
    assert took < 2, f"{took:.2f} s until it listens"
    assert status(d)["queue"]["recipients"] == 100000
    time.sleep(2)
    peak = peers.memory_kib(d.process.pid, "VmHWM")
    assert peak < 64 * 1024, f"{peak} KiB"
    d.stop()
    row("A3.10 start with 100,000 queued", 100000, None,
        f"listens after {took:.2f} s, RSS at most {peak // 1024} MB")


def test_a3_10_100_000_overdue(on_disk, row):
    """All are due at once and their servers are dead. New mail for a server
    that lives goes its way; memory is bounded; nobody is bounced."""
    w = on_disk()
    d = w.daemon
    for i in range(100):
        d.mx(f"d{i}.bench.test", "127.0.0.9")  # refuses
    d.write(delivery={"retry": ["10m"]})
    fill(d, 100000, -60, domains=100)
    w.open()
    took = start(d)
    assert took < 2, f"{took:.2f} s until it listens"
    probe = peers.Probe(w)
    seen = probe.window(100, pause=0.02)
    assert seen.arrivals < 1, seen
    until(lambda: status(d)["counters"]["deferred"] >= 100000, 60,
          lambda: status(d))
    peak = peers.memory_kib(d.process.pid, "VmHWM")
    assert peak < 100 * 1024, f"{peak} KiB"
    assert status(d)["queue"]["recipients"] == 100000
    d.stop()
    v = w.judge()
    row("A3.10 100,000 overdue, servers dead", 100000, v,
        f"listens after {took:.2f} s, RSS at most {peak // 1024} MB; "
        f"new mail p99 {seen.arrivals * 1000:.0f} ms")
    v.check(duplicates=False)


def test_a3_19_memory_full_of_what_hangs(on_disk, row):
    """More is due than memory may hold, for servers that take connections and
    say nothing for minutes."""
    w = on_disk()
    d = w.daemon
    _, cert = peers.certificates(w.dir / "ca")
    for i in range(1000):
        d.mx(f"d{i}.bench.test", evil.sink_address("banner", "hang"))
    fill(d, 100000, -60, domains=1000)
    w.open()
    with peers.Evil("sinks", d.mx_port, *cert) as sinks:
        took = start(d)
        until(lambda: sinks.report()["hits"].get("banner-hang", 0) >= 900,
              60, lambda: sinks.report()["hits"])
        time.sleep(2)
        active = status(d)["queue"]["active"]
        probe = peers.Probe(w)
        seen = probe.window(200, pause=0.02)
        assert seen.arrivals < 1, f"{seen}, {active} active"
        # More at once than the room that is left in memory.
        rcpts = [f"burst{i}@partner.test" for i in range(100)]
        begin = time.monotonic()
        for i in range(30):
            assert world.send_one(d, w.ledger, f"burst-{i}",
                                  rcpts=rcpts) == 250
        until(lambda: not w.ledger.missing(), 60,
              lambda: f"{len(w.ledger.missing())} recipients wait")
        burst = time.monotonic() - begin
        assert burst < 10, f"{burst:.1f} s for 3,000 recipients"
        peak = peers.memory_kib(d.process.pid, "VmHWM")
        assert peak < 128 * 1024, f"{peak} KiB"
        d.stop()
    v = w.judge()
    row("A3.19 memory full of what hangs", 100000, v,
        f"{active} active, RSS at most {peak // 1024} MB; new mail p99 "
        f"{seen.arrivals * 1000:.0f} ms, a burst of 3,000 recipients "
        f"{burst:.1f} s; listens after {took:.2f} s")
    v.check(duplicates=False)


def test_start_with_1_000_000(on_disk, row):
    w = on_disk()
    d = w.daemon
    fill(d, MILLION, 3600)
    cold = start(d)
    begin = time.monotonic()
    assert status(d)["queue"]["recipients"] == MILLION
    asked = time.monotonic() - begin
    peak = peers.memory_kib(d.process.pid, "VmHWM")
    d.stop()
    warm = start(d)
    d.stop()
    note = (f"listens after {cold:.2f} s (again: {warm:.2f} s), RSS at most "
            f"{peak // 1024} MB, status in {asked:.2f} s")
    print(note)
    assert cold < 5, note
    assert peak < 200 * 1024, note
    row("start with 1,000,000 queued", MILLION, None, note)


def test_1_000_000_overdue(on_disk, row):
    """After a week without a network: it listens, new mail passes."""
    w = on_disk()
    d = w.daemon
    for i in range(1000):
        d.mx(f"d{i}.bench.test", "127.0.0.9")
    d.write(delivery={"retry": ["1h"]})
    fill(d, MILLION, -60, domains=1000)
    w.open()
    took = start(d)
    probe = peers.Probe(w)
    seen = probe.window(200, pause=0.02)
    time.sleep(20)
    done = status(d)["counters"]["deferred"]
    later = probe.window(200, pause=0.02)
    peak = peers.memory_kib(d.process.pid, "VmHWM")
    d.stop(timeout=60)
    note = (f"listens after {took:.2f} s, RSS at most {peak // 1024} MB, "
            f"{done} tried in 20 s; new mail p99 "
            f"{seen.arrivals * 1000:.0f} and {later.arrivals * 1000:.0f} ms")
    print(note)
    assert took < 5 and peak < 200 * 1024, note
    assert seen.arrivals < 1 and later.arrivals < 1, note
    v = w.judge()
    row("1,000,000 overdue, servers dead", MILLION, v, note)
    v.check(duplicates=False)
