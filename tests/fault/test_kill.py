"""kill -9 at the N-th system call, again and again on one state directory
under load: A3.1 (receiving), A3.2 (before the reply), A3.3 (before an outcome
is durable). A start may be killed too, and what it left is the next one's."""

import collections
import random
import re
import subprocess
import threading

import pytest

import world
from ledger import Verdict
from world import QUICK, some_refused

# What changes files or is seen by a peer, and what stands between. Which of
# them the daemon makes, and how often, a census tells.
CALLS = """fsync fdatasync sync_file_range pwrite64 pwritev pwritev2 write
    writev sendmsg sendto ftruncate fallocate rename renameat renameat2 unlink
    unlinkat linkat mkdirat openat close read readv recvfrom recvmsg pread64
    epoll_wait epoll_ctl accept4 connect futex flock fcntl mmap munmap""".split()
FILE_CALLS = {"fsync", "fdatasync", "sync_file_range", "pwrite64", "pwritev",
              "ftruncate", "renameat", "rename", "unlinkat", "unlink"}
WAIT_S = 1.5
DEEPEST = 110


def rcpts(ident, n):
    if n % 7 == 3:
        return [f"{ident}{x}@partner.test" for x in "abc"]
    if n % 11 == 5:
        return [f"never{ident}@partner.test"]
    return [f"{ident}@partner.test"]


def size(n):
    return 300000 if n % 13 == 7 else 700  # the long ones are streamed


def census(path):
    """How often a thread makes each call between a start and WAIT_S later,
    at most: {call: depth}. strace counts per thread."""
    w = world.World(path)
    w.told = some_refused(1)
    seen = collections.Counter()
    try:
        w.open()
        w.daemon.start()
        w.daemon.stop()
        trace = path / "trace"
        with w.load(clients=3, rcpts=rcpts, size=size, timeout=5):
            w.daemon.start(wait=False, wrap=[
                "strace", "-f", "-qq", "-o", trace, "-e",
                "trace=" + ",".join(CALLS)])
            try:
                w.daemon.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                pass
            w.daemon.kill()
        with open(trace, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = re.match(r"(\d+) +(\w+)\(", line)
                if m:
                    seen[m.group(1, 2)] += 1
    finally:
        w.close()
    depth = {}
    for (_, call), n in seen.items():
        depth[call] = max(depth.get(call, 0), n)
    assert FILE_CALLS & set(depth), depth
    # Far from the last one: several chains share the machine.
    return {c: min(max(1, n // 3), DEEPEST) for c, n in depth.items()}


def plan(depth, count):
    """count points spread over all calls, deep and shallow mixed."""
    every = [(call, n) for call, d in sorted(depth.items())
             for n in range(1, d + 1)]
    random.Random(3).shuffle(every)
    return [every[i % len(every)] for i in range(count)]


class Chain(threading.Thread):
    """One state directory; each point a start that ends at its call."""

    def __init__(self, path, points, seed, program=None):
        super().__init__(daemon=True)
        self.world = world.World(path)
        if program is not None:
            self.world.daemon.program = program
        self.world.told = some_refused(seed)
        self.points = points
        self.struck = collections.Counter()  # by call
        self.missed = []
        self.verdict = None
        self.failure = None

    def run(self):
        try:
            self.verdict = self._run()
        except BaseException as e:  # the main thread raises it
            self.failure = e
        finally:
            self.world.close()

    def _point(self, call, n):
        d = self.world.daemon
        d.start(wait=False, wrap=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:signal=KILL:when={n}"])
        try:
            code = d.process.wait(WAIT_S)
            assert code in (-9, 137), (code, d.text()[-2000:])
            self.struck[call] += 1
        except subprocess.TimeoutExpired:
            self.missed.append((call, n))
        d.kill()
        self.world.ledger.fault(f"kill -9 at {call} {n}")

    def _run(self):
        w = self.world
        w.open()
        w.daemon.start()  # makes the data base in peace, once
        w.daemon.stop()
        with w.load(clients=3, rcpts=rcpts, size=size, timeout=5):
            for call, n in self.points:
                self._point(call, n)
        w.told = None
        w.daemon.start()
        w.drain(120)
        w.take_stock()
        w.daemon.stop()
        return w.judge()


def run_chains(path, points, chains=3, program=None):
    running = [Chain(path / f"chain{i}", points[i::chains], i, program)
               for i in range(chains)]
    for c in running:
        c.start()
    for c in running:
        c.join()
    for c in running:
        if c.failure is not None:
            raise c.failure
    v = Verdict()
    for c in running:
        v.add(c.verdict)
    struck = sum((c.struck for c in running), collections.Counter())
    print("killed at:", dict(struck))
    print("not reached:", sorted(sum((c.missed for c in running), [])))
    for line in v.explained:
        print("duplicate:", line)
    return v, struck


@pytest.mark.quick
def test_a3_1_a3_2_a3_3_kill_at_system_calls(shm, row):
    wanted = 20 if QUICK else 1000
    points = plan(census(shm / "census"), 25 if QUICK else 1120)
    v, struck = run_chains(shm, points)
    moments = sum(struck.values())
    row("A3.1-A3.3 kill -9 at the N-th call", moments, v,
        f"{len(struck)} different calls")
    v.check()
    assert moments >= wanted, dict(struck)


def test_mutant_early_ack_loses_mail_when_killed(shm, row):
    """The case above is not blind: a daemon that says 250 before it commits
    loses mail in it."""
    program = world.BUILD / "fault" / "sortied-early_ack"
    points = [(call, n) for n in range(3, 33, 5)
              for call in ("fdatasync", "pwritev", "pwrite64")]
    v, struck = run_chains(shm, points, 2, program)
    row("mutant: 250 before commit, kill -9", sum(struck.values()), v,
        "must lose")
    assert len(v.lost) > 0
