"""What runs out: descriptors (A3.12) and memory (A3.13)."""

import random
import re
import signal
import socket
import time

import pytest

import world
from world import QUICK, Control, send_one, wait_for


@pytest.mark.quick
def test_a3_12_no_descriptors(make_world, row):
    """More connections than descriptors: no spin, and when they go it serves
    and delivers as before."""
    w = make_world(gateway={"reactors": 1})
    w.open()
    w.daemon.start(wrap=["prlimit", "--nofile=64:64"])
    assert send_one(w.daemon, w.ledger, "before") == 250
    idle = []
    for _ in range(150):  # the listen queue takes what is not accepted
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", w.daemon.port))
        idle.append(s)
    wait_for(lambda: w.daemon.lines("accept-paused"), 10, "accept-paused")
    pid = w.daemon.pids()[0]
    start = world.cpu_seconds(pid)
    time.sleep(3)
    spent = world.cpu_seconds(pid) - start
    paused = len(w.daemon.lines("accept-paused"))
    for s in idle:
        s.close()
    wait_for(lambda: send_one(w.daemon, w.ledger, timeout=5) == 250, 20,
             "served again")
    for i in range(20):
        assert send_one(w.daemon, w.ledger, f"after-{i}") == 250
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.12 no descriptors", len(idle), v, f"{spent:.2f} s of CPU in 3 s")
    v.check(duplicates=False)
    assert spent < 0.5, f"{spent} s of CPU in 3 s: it spins"
    assert paused < 20, f"{paused} lines in the log"


# How a process may end when memory has: by itself, in order or by abort(); 127
# is the loader's, before there is a program.
GOOD_ENDS = {0, 1, 2, 127, -signal.SIGABRT}
# Who is called with a null pointer is not at fault.
CALLED = ("libc.so", "ld-linux", "nomem.so", "libgcc_s.so")
ENOUGH = 200  # moments; more of them while there is time
SECONDS = 60
HEALS = 6  # of a store that lacked memory: two seconds each


class Starving:
    """A daemon whose allocations fail one at a time."""

    def __init__(self, w):
        self.w = w
        self.control = Control(w.dir / "control")
        self.ends = {}
        self.crashes = {}  # by the library that used a null pointer
        self.tried = self.healing = 0

    def start(self, at=0):
        self.control[0] = self.control[2] = self.control[3] = 0
        self.control[1] = at
        self.w.daemon.start(wait=False, env=self.control.env("nomem"))

    def place(self, mark):
        """The library or program that crashed, by the lines of nomem.c: they
        begin with a path, the innermost first. (libunbound leaves a freed
        event behind when it lacks memory, and libevent falls over it.)"""
        text = self.w.daemon.text(mark)
        found = re.findall(r"(?m)^(/\S+?)\((.*)$", text)
        print("crash:\n" + ("\n".join(map(str, found)) or text[-2000:]))
        for path, _ in found:
            name = path.rpartition("/")[2]
            if not name.startswith(CALLED):
                return name
        return "unknown"

    def ended(self, what, mark):
        code = self.w.daemon.process.poll()
        if code is None:
            return False
        self.w.ledger.fault(f"no memory {what}: exit {code}")
        self.ends[code] = self.ends.get(code, 0) + 1
        if code == -signal.SIGSEGV:
            print(what)
            place = self.place(mark)
            self.crashes[place] = self.crashes.get(place, 0) + 1
        self.w.daemon.process = None
        return True

    def at_start(self, number):
        """The number-th allocation of the start fails."""
        d = self.w.daemon
        mark = d.logfile.stat().st_size
        self.start(number)
        wait_for(lambda: d.process.poll() is not None or
                 " event=ready " in d.text(mark), 20,
                 f"ready or an end, allocation {number}")
        if self.control[2]:
            self.tried += 1
        if not self.ended(f"at allocation {number} of the start", mark):
            d.kill()
            self.w.ledger.fault("kill -9")

    def under_load(self, ahead, run=0):
        """The ahead-th allocation from now on fails."""
        mark = self.w.daemon.logfile.stat().st_size
        self.control[1] = 0
        if self.w.daemon.process is None:
            self.start()
        # Who went on must serve on.
        n = len(self.w.ledger.accepted())
        wait_for(lambda: len(self.w.ledger.accepted()) > n + 2 or
                 self.w.daemon.process.poll() is not None, 20,
                 "mail is taken again")
        failed = self.control[2]
        number = self.control[0] + ahead
        self.control[3] = run
        self.control[1] = number
        end = time.monotonic() + 1.5
        while (self.control[2] == failed and time.monotonic() < end and
               self.w.daemon.process.poll() is None):
            time.sleep(0.002)
        if self.control[2] > failed:
            self.tried += 1
        time.sleep(0.03)
        self.control[1] = 0
        if self.ended(f"at allocation {number}", mark):
            return
        if " event=store-unhealthy " in self.w.daemon.text(mark):
            self.healing += 1
            if self.healing > HEALS:  # else the next call waits for it
                self.w.daemon.kill()
                self.w.ledger.fault("kill -9")

    def summary(self):
        """How many ended how, and in which library those that crashed."""
        named = {0: "exit 0", 1: "exit 1", 2: "exit 2",
                 -signal.SIGABRT: "abort"}
        parts = [f"{n} {named.get(code, f'signal {-code}')}"
                 for code, n in sorted(self.ends.items())
                 if code != -signal.SIGSEGV]
        parts.append(f"{self.tried - sum(self.ends.values())} went on")
        return ", ".join(parts + [f"{n} crashed in {name}" for name, n in
                                  sorted(self.crashes.items())])


def allocations_of_start(w):
    control = Control(w.dir / "count")
    w.daemon.start(env=control.env("nomem"))
    n = control[0]
    w.daemon.stop()
    return n


def moments_of_start(draw, last, n):
    """Half of them evenly, half of them where the first ones are dense: most
    allocations are those of the filter of system calls alone."""
    for i in range(n):
        if i % 2 == 0:
            yield min(last, 1 + i * last // n + draw.randrange(50))
        else:
            yield round(last ** draw.random())


@pytest.mark.quick
def test_a3_13_no_memory(make_world, row):
    """The n-th allocation fails, in the start and under load. A clean end or
    an abort are fine, mail that is lost is not."""
    began = time.monotonic()
    w = make_world(delivery={"idle_timeout": "1s"})
    w.told = world.some_refused(9)
    w.open()
    draw = random.Random(13)
    at_start = allocations_of_start(w)
    assert at_start > 1000
    starts, loads = (4, 16) if QUICK else (80, 260)
    s = Starving(w)
    with w.load(clients=3, timeout=5, pause=0.005,
                size=lambda n: 300000 if n % 13 == 7 else 900,
                rcpts=lambda i, n: [f"never{i}@partner.test"] if n % 9 == 4
                else [f"{i}@partner.test"]):
        for number in moments_of_start(draw, at_start, starts):
            s.at_start(number)
        print(f"starts: {time.monotonic() - began:.0f} s")
        for i in range(loads):
            # Every fifth time several in a row, as when memory is really out.
            s.under_load(draw.randrange(1, 600), 20 if i % 5 == 4 else 0)
            if time.monotonic() - began > SECONDS and s.tried >= ENOUGH:
                break
        if w.daemon.process is not None:
            w.ledger.fault("kill -9")
            w.daemon.kill()
    print(f"with load: {time.monotonic() - began:.0f} s")
    w.told = None
    w.daemon.start()
    w.drain(90)
    w.take_stock()
    w.daemon.stop()
    print(f"drained: {time.monotonic() - began:.0f} s")
    v = w.judge()
    row("A3.13 n-th allocation fails", s.tried, v, s.summary())
    v.check()
    assert s.tried >= (12 if QUICK else ENOUGH), s.tried
    # A library may do worse, which harms no mail either; we may not.
    assert set(s.ends) <= GOOD_ENDS | {-signal.SIGSEGV}, s.ends
    ours = {p: n for p, n in s.crashes.items() if not p.startswith("lib")}
    assert not ours, ours


def test_a3_13_the_filter_never_comes(make_world, row):
    """A start that hangs for want of memory ends, and says why."""
    w = make_world()
    d = w.daemon
    w.open()
    begin = time.monotonic()
    d.start(wait=False, env={"LD_PRELOAD": world.PRELOAD["stuckfilter"]})
    code = d.process.wait(20)
    took = time.monotonic() - begin
    d.process = None
    assert code == 1
    assert "filter of system calls was not ready" in d.text(), d.text()
    row("A3.13 a start that hangs", 1, None, f"exit 1 after {took:.1f} s")
    assert took > 5, "the filter was not waited for"
