"""What the cases about hostile peers share: the process that plays them
(evil.py), a pair of honest peers whose latency is watched meanwhile, and
the rule by which it has stayed flat."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time

import world
from harness import CA, Client, wait_for

# Twice the quiet run is the rule; below this it is noise of a machine that
# others use too. A peer that is waited for costs hundreds of milliseconds.
FLOOR_S = 0.010
TRIES = 3
_serial = itertools.count()


class Evil:
    """evil.py with its arguments; None as soon as it has ended."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [sys.executable, world.HERE / "evil.py", *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read("ready")

    def _read(self, wanted=None):
        line = self.process.stdout.readline()
        assert line and (wanted is None or line == wanted + "\n"), line
        return line

    def heal(self):
        self._say("heal")
        self._read("ok")

    def report(self):
        self._say("report")
        return json.loads(self._read())

    def _say(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


class Latency:
    def __init__(self, replies, arrivals):
        self.replies, self.arrivals = p99(replies), p99(arrivals)

    def __str__(self):
        return (f"reply {self.replies * 1000:.1f} ms, arrival "
                f"{self.arrivals * 1000:.1f} ms")


def no_delay(sock):
    """Else what is measured is Nagle's algorithm."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Probe:
    """An honest client and the honest destination of its mail."""

    def __init__(self, w, rcpt="probe@partner.test", source=None):
        self.world, self.rcpt, self.source = w, rcpt, source
        for sink in w.sinks:
            no_delay(sink.listener)  # its connections have it from there

    def window(self, n=300, pause=0.005, timeout=30):
        """Latencies of n messages: from the dot to its reply, and from the
        dot to the far end."""
        ledger, sent, replies = self.world.ledger, {}, []
        client = None
        for i in range(n):
            if i % 50 == 0:  # new connections are part of the service
                if client is not None:
                    client.sock.close()
                client = Client("127.0.0.1", self.world.daemon.port,
                                source=self.source, timeout=timeout)
                no_delay(client.sock)
            ident = f"probe-{next(_serial)}"
            text = ledger.compose(ident, "a@example.com", [self.rcpt])
            sent[ident] = time.monotonic()
            code = world.send(client, ledger, ident, [self.rcpt], text)
            assert code == 250, client.last
            replies.append(time.monotonic() - sent[ident])
            time.sleep(pause)
        client.sock.close()

        def times():
            with ledger.lock:
                return {i: ledger.copies[(i, self.rcpt)][0].time
                        for i in sent if (i, self.rcpt) in ledger.copies}

        wait_for(lambda: len(times()) == n, timeout,
                 f"{n} messages, have {len(times())}")
        got = times()
        return Latency(replies, [got[i] - sent[i] for i in sent])

    def quiet(self):
        self.window(100)  # warms up
        self.calm = self.window()
        return self.calm

    def check_flat(self, limit=2.0):
        """Measured while others misbehave. A disturbance that is not theirs
        does not come every time."""
        seen = []
        for _ in range(TRIES):
            now = self.window()
            seen.append(now)
            if (now.replies <= max(FLOOR_S, limit * self.calm.replies) and
                    now.arrivals <= max(FLOOR_S,
                                        limit * self.calm.arrivals)):
                return now
        raise AssertionError(f"quiet: {self.calm}; now: " +
                             "; ".join(map(str, seen)))


def until(condition, timeout, left):
    """left() says what is still missing when the time is over."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"timeout: {left()}"
        time.sleep(0.1)


class Background:
    """Calls step() again and again until it is left."""

    def __init__(self, step):
        self.step = step
        self.ended = threading.Event()
        self.failure = None
        self.count = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.ended.is_set():
                self.step()
                self.count += 1
        except Exception as e:
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.thread.join(30)


def memory_kib(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(what + ":"):
                return int(line.split()[1])
    raise KeyError(what)


def sessions(daemon):
    """Open ones of the SMTP server, this question's own not among them."""
    return daemon.api_json("status")[1]["sessions"]["open"]


def certificates(path):
    ca = CA(path)
    return ca, ca.issue("evil.test", "127.0.0.1")


def fates(daemon, event, start=0):
    """Recipient -> lines of that event."""
    found = {}
    for line in daemon.text(start).splitlines():
        if f" event={event} " in line and " to=" in line:
            to = line.split(" to=", 1)[1].split(" ", 1)[0].strip('"')
            found.setdefault(to, []).append(line)
    return found
