"""Disks that fill, fail, or take no more writes: A3.5-A3.8 and A3.39."""

import os
import re
import subprocess
import threading
import time

import pytest

import world
from disk import Mount, call, make_file, small_tmpfs
from world import (BUILD, QUICK, Control, Injection, send, send_on, send_one,
                   wait_for)


def on_disk(w, at):
    w.daemon.write(gateway={"state_dir": str(at / "state")})
    return w


def fill(at, name="filler"):
    """Until not an octet fits."""
    fd = os.open(at / name, os.O_WRONLY | os.O_CREAT, 0o600)
    for piece in (bytes(1 << 20), bytes(4096), b"0"):
        try:
            while True:
                os.write(fd, piece)
        except OSError:
            pass
    os.close(fd)


def drop(at, name="filler"):
    (at / name).unlink()


def healthy(w):
    code, status = w.daemon.api_json("status")
    return code == 0 and status["healthy"]


def unhealthy_names(w, text):
    """`sortie status` exits 1 and says why."""
    code, status = w.daemon.api_json("status")
    assert code == 1 and status["healthy"] is False, status
    assert re.search(text, status["why"]), status
    return True


def finish(w, row, case, moments, note="", duplicates=True):
    w.drain(60)
    w.take_stock()
    w.daemon.stop()
    v = w.judge()
    row(case, moments, v, note)
    v.check(duplicates)
    return v


@pytest.mark.quick
@pytest.mark.root
@pytest.mark.parametrize("watch", ["0", "1M"])
def test_a3_5_disk_full(make_world, shm, row, watch):
    """452 4.3.1, the session goes on, the queue is untouched, and space that
    comes back heals without a restart."""
    with small_tmpfs(shm / "full", "8m") as m:
        w = on_disk(make_world(limits={"queue_min_free": watch}), m.at)
        w.daemon.start()
        for i in range(5):
            assert send_one(w.daemon, w.ledger, f"before-{i}") == 250
        fill(m.at)
        moments = 0
        with w.daemon.client() as c:
            for size in (700, 4000, 300000):
                for _ in range(3):
                    ident = f"full-{moments}"
                    text = w.ledger.compose(ident, "a@example.com",
                                            ["x@partner.test"], size)
                    try:
                        code = send(c, w.ledger, ident, ["x@partner.test"],
                                    text)
                    except EOFError as e:
                        raise AssertionError("session ended") from e
                    assert code == 452, c.last
                    assert "4.3.1" in c.last.text, c.last
                    assert c.cmd("NOOP").code == 250
                    moments += 1
        unhealthy_names(w, "space|full|free")
        drop(m.at)
        wait_for(lambda: healthy(w), 10, "healed")
        assert send_one(w.daemon, w.ledger, "after") == 250
        w.open()
        v = finish(w, row, f"A3.5 disk full, queue_min_free {watch}",
                   moments, duplicates=False)
        assert v.accepted == 6


@pytest.mark.root
def test_a3_5_disk_full_under_load(make_world, shm, row):
    """It fills and empties while clients send."""
    with small_tmpfs(shm / "full", "12m") as m:
        w = on_disk(make_world(), m.at)
        w.open()
        w.daemon.start()
        turns = 3
        with w.load(clients=4, size=lambda n: 200000 if n % 9 == 4 else 900,
                    pause=0.002) as load:
            for _ in range(turns):
                time.sleep(0.6)
                with w.ledger.trouble("disk full"):
                    fill(m.at)
                    time.sleep(1)
                    drop(m.at)
                before = len(w.ledger.accepted())
                wait_for(lambda: len(w.ledger.accepted()) > before + 20, 15,
                         "accepting again")
        assert set(load.codes) <= {250, 452}, load.texts
        assert load.codes.get(452), load.codes
        finish(w, row, "A3.5 disk full under load", turns)


@pytest.mark.root
def test_a3_6_outcomes_on_a_full_disk(make_world, shm, row):
    """What was delivered while its outcome could not be written is neither
    delivered again nor forgotten."""
    with small_tmpfs(shm / "full", "8m") as m:
        w = on_disk(make_world(), m.at)
        gate = threading.Event()
        w.told = lambda verb, arg: gate.wait(60) and None
        w.open()
        w.daemon.start()
        n = 40  # handed out, and held up by the sink's greeting
        for i in range(n):
            assert send_one(w.daemon, w.ledger, f"wait-{i}") == 250
        with w.ledger.trouble("disk full"):
            fill(m.at)
            gate.set()
            wait_for(lambda: not w.ledger.missing(), 20, "deliveries")
            start = world.cpu_seconds(w.daemon.pids()[0])
            time.sleep(4)  # twice the time after which it tries to heal
            spent = world.cpu_seconds(w.daemon.pids()[0]) - start
            assert sum(map(len, w.ledger.copies.values())) == n, "a storm"
            assert spent < 1, f"{spent} s of CPU in 4 s"
            drop(m.at)
        wait_for(lambda: healthy(w), 10, "healed")
        wait_for(lambda: not w.daemon.queue(), 10, "outcomes written")
        w.daemon.kill()  # what it knew is on disk
        w.daemon.start()
        time.sleep(1.5)
        finish(w, row, "A3.6 outcomes on a full disk", n, duplicates=False)


@pytest.mark.root
def test_a3_5_no_inodes(make_world, shm, row):
    """No file can be made: long messages wait outside, short ones go on."""
    with small_tmpfs(shm / "inodes", "64m", inodes=60) as m:
        w = on_disk(make_world(), m.at)
        w.daemon.start()
        assert send_one(w.daemon, w.ledger, "before") == 250
        made = 0
        try:
            while True:
                (m.at / f"filler{made}").touch()
                made += 1
        except OSError:
            pass
        codes = [send_one(w.daemon, w.ledger, f"long-{i}", 300000)
                 for i in range(3)]
        assert set(codes) == {452}, codes
        # A daemon that starts there says what is wrong, or starts.
        for i in range(made):
            (m.at / f"filler{i}").unlink()
        wait_for(lambda: healthy(w), 10, "healed")
        assert send_one(w.daemon, w.ledger, "after", 300000) == 250
        w.open()
        finish(w, row, "A3.5 no inodes left", 3, duplicates=False)


def attempt(w, ident):
    """The code of a whole attempt, 421 at the greeting included."""
    try:
        return send_one(w.daemon, w.ledger, ident)
    except (AssertionError, EOFError, OSError):
        return 421


@pytest.mark.quick
def test_a3_7_failed_sync(make_world, row):
    """451 for who waits, 421 for who comes, status says so and exits 1; new
    files heal it. Nothing is synced twice on a file that failed."""
    w = make_world()
    w.daemon.start()
    assert send_one(w.daemon, w.ledger, "before") == 250
    moments = 0
    for call_ in ("fdatasync", "fsync,fdatasync")[:1 if QUICK else 2]:
        with w.daemon.client() as waiting:
            ident = f"sync-{moments}"
            text = w.ledger.compose(ident, "a@example.com",
                                    ["x@partner.test"], 700)
            with Injection(w.daemon, f"{call_}:error=EIO"):
                assert send(waiting, w.ledger, ident, ["x@partner.test"],
                            text) == 451
                assert "4.3.0" in waiting.last.text
                unhealthy_names(w, "sync|I/O error")
                # The open session lives; a new one is told to go away.
                assert waiting.cmd("NOOP").code == 250
                with w.daemon.client(ehlo=False) as late:
                    assert late.banner.code == 421, late.banner
                time.sleep(2.5)  # a try to heal, which fails too
                unhealthy_names(w, "sync|I/O error")
        wait_for(lambda: healthy(w), 10, "healed")
        assert send_one(w.daemon, w.ledger, f"after-{moments}") == 250
        moments += 1
    w.open()
    finish(w, row, "A3.7 failed sync", moments, duplicates=False)


FAILURES = [
    "fdatasync:error=EIO:when={n}", "fsync:error=EIO:when={n}",
    "pwritev:error=EIO:when={n}", "pwrite64:error=EIO:when={n}",
    "pwritev:error=ENOSPC:when={n}", "pwrite64:error=ENOSPC:when={n}",
    "ftruncate:error=EIO:when={n}", "openat:error=EMFILE:when={n}",
    "renameat:error=EIO:when={n}", "pread64:error=EIO:when={n}",
    "unlinkat:error=EACCES:when={n}", "fdatasync:error=EIO:when={n}+7",
]


def test_a3_7_failures_of_calls_under_load(make_world, row):
    """One call fails now and then while clients send; the store gets well by
    itself every time, and what it promised is there after a kill -9."""
    w = make_world()
    w.told = world.some_refused(5)
    w.open()
    w.daemon.start()
    moments = 0

    def size(n):
        return 300000 if n % 13 == 7 else 900

    with w.load(clients=4, size=size, pause=0.002, timeout=20) as load:
        for failure in FAILURES:
            for n in (1, 5):
                what = failure.format(n=n)
                with w.ledger.trouble(what):
                    with Injection(w.daemon, what):
                        time.sleep(0.7)
                    assert w.daemon.process.poll() is None, what
                    wait_for(lambda: healthy(w), 15, f"healed from {what}")
                moments += 1
        before = len(w.ledger.accepted())
        wait_for(lambda: len(w.ledger.accepted()) > before + 20, 15,
                 "accepting again")
        assert set(load.codes) <= {250, 421, 451, 452}, load.texts
        w.ledger.fault("kill -9")
        w.daemon.kill()
    w.told = None
    w.daemon.start()
    finish(w, row, "A3.7 failing calls under load", moments)


@pytest.mark.quick
def test_a3_5_short_writes(make_world, row):
    """Every write takes a part of what it is given."""
    w = make_world()
    control = Control(w.dir / "control")
    w.open()
    w.daemon.start(env=control.env("shortwrite"))
    with w.load(clients=3, size=lambda n: 150000 if n % 9 == 4 else 900):
        wait_for(lambda: len(w.ledger.accepted()) > 100, 30, "load")
        w.ledger.fault("kill -9")
        w.daemon.kill()
        cut = control[0]
        w.daemon.start()
    assert cut > 200, cut
    finish(w, row, "A3.5 short writes", cut)


@pytest.mark.root
def test_a3_8_read_only(make_world, shm, row):
    """A disk that was mounted read-only, or turned so under the daemon."""
    image = make_file(shm / "ro.img", 64 << 20)
    call("mkfs.ext4", "-q", "-F", "-O", "^has_journal", image)
    with Mount(image, shm / "ro", "loop,errors=remount-ro") as m:
        w = on_disk(make_world(), m.at)
        w.daemon.start()
        for i in range(3):
            assert send_one(w.daemon, w.ledger, f"before-{i}") == 250
        device = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", m.at], text=True, check=True,
            capture_output=True).stdout.strip().rpartition("/")[2]
        # Who comes later may get the 421 already: a retry writes too.
        with w.daemon.client() as c:
            with open(f"/sys/fs/ext4/{device}/trigger_fs_error", "w",
                      encoding="ascii") as f:
                f.write("checklist A3.8")
            assert send_on(c, w.ledger, "on-read-only") in (451, 452)
        unhealthy_names(w, "Read-only")
        with w.daemon.client(ehlo=False) as late:
            assert late.banner.code == 421, late.banner
        w.daemon.kill()

        # At the start: by name, and at once.
        r = subprocess.run([BUILD / "sortied", "-c", w.daemon.conf],
                           timeout=20, capture_output=True, text=True,
                           check=False)
        assert r.returncode == 1, r
        assert str(m.at / "state") in r.stderr, r.stderr
        assert "Read-only" in r.stderr or "read-only" in r.stderr, r.stderr
        m.close()
        # 1: errors were corrected.
        assert subprocess.run(["e2fsck", "-fy", image], check=False,
                              capture_output=True).returncode in (0, 1)
    with Mount(image, shm / "ro") as m:
        w.daemon.start()
        assert send_one(w.daemon, w.ledger, "after") == 250
        w.open()
        finish(w, row, "A3.8 read-only disk", 2, duplicates=False)


def test_a3_39_slow_sync(make_world, row):
    """Syncs of two seconds hold up their own messages and nobody else."""
    w = make_world()
    control = Control(w.dir / "control")
    w.open()
    w.daemon.start(env=control.env("slowsync"))
    waits = []
    with w.load(clients=4):
        wait_for(lambda: len(w.ledger.accepted()) > 20, 20, "load")
        control[0] = 2000
        count = control[1]
        end = time.monotonic() + 8
        while time.monotonic() < end:
            with w.daemon.client() as c:
                for _ in range(100):  # 1,000 commands without mail are junk
                    for line in ("NOOP", "MAIL FROM:<a@example.com>",
                                 "RCPT TO:<x@partner.test>", "RSET"):
                        start = time.monotonic()
                        assert c.cmd(line).code == 250
                        waits.append(time.monotonic() - start)
                    time.sleep(0.01)
        assert control[1] > count, "no sync fell into that time"
        control[0] = 0
    waits.sort()
    p99 = waits[len(waits) * 99 // 100]
    finish(w, row, "A3.39 syncs of 2 s", control[1] - count,
           f"p99 of others {p99 * 1000:.1f} ms", duplicates=False)
    assert p99 < 0.1, p99
