"""What the fault cases share: a daemon that may run under a wrapper, clients
that keep sending and a sink that keeps the ledger. Built on the harness of
the system tests; everything stays on loopback, processes end by their pid."""

import itertools
import json
import mmap
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

from harness import BUILD, Client, Gateway, merge, wait_for  # noqa: E402
from ledger import Ledger  # noqa: E402

QUICK = os.environ.get("FAULT_QUICK", "") not in ("", "0")
SINK, REPORTS = "127.0.0.2", "127.0.0.3"
PRELOAD = {name: str(BUILD / "fault" / f"{name}.so")
           for name in ("nosync", "nomem", "clock", "shortwrite",
                        "slowsync", "stuckfilter")}
_serial = itertools.count()


def children(pid):
    """Processes that pid started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children",
                  encoding="ascii") as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Daemon(Gateway):
    """sortied, perhaps under a wrapper (strace, prlimit) or with a library
    preloaded. Its log is a file outside of the state directory."""

    program = BUILD / "sortied"

    def __init__(self, path, **settings):
        base = {"gateway": {"reactors": 2, "workers": 2},
                "limits": {"queue_min_free": "0",
                           "connections_per_client": 1000},
                "internal_domains": [{"domain": "example.com",
                                      "route": "reports"}],
                "delivery": {"retry": ["1s"]}}
        super().__init__(path, None, **merge(base, settings))
        self.write(routes=[{"name": "reports",
                            "hosts": [f"{REPORTS}:{self.mx_port}"]}])
        self.mx("partner.test", SINK)
        self.logfile = self.dir / "log"
        self.logfile.touch()
        self.pid = None
        self.wrapper = None

    @property
    def state(self):
        return pathlib.Path(self.settings["gateway"]["state_dir"])

    def text(self, start=0):
        data = self.logfile.read_bytes()[start:]
        return data.decode("utf-8", "replace")

    def lines(self, event, start=0, **fields):
        self.log = self.text().splitlines()
        return super().lines(event, start, **fields)

    def start(self, wait=True, wrap=(), env=None, stderr=None, timeout=20,
              **popen):
        assert self.process is None
        mark = self.logfile.stat().st_size
        with open(self.logfile, "ab") as log:
            self.process = subprocess.Popen(
                [*wrap, self.program, "-c", self.conf],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=stderr or log, env={**os.environ, **(env or {})},
                **popen)
        self.wrapped = bool(wrap) and "strace" in str(wrap[0])
        if wait:
            wait_for(lambda: self.process.poll() is not None or
                     " event=ready " in self.text(mark), timeout,
                     "event=ready\n" + self.text(mark))
            assert self.process.poll() is None, self.text(mark)
        return self

    def pids(self):
        if self.process is None or self.process.poll() is not None:
            return []
        return (children(self.process.pid) if self.wrapped
                else [self.process.pid])

    def kill(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:  # the wrapper alone is left
            self.process.kill()
            self.process.wait()
        self.process = None

    def stop(self, timeout=30, code=0):
        """SIGTERM; the exit must be clean. The log is the case's matter."""
        if self.process is None:
            return
        for pid in self.pids():
            os.kill(pid, signal.SIGTERM)
        try:
            got = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("no end after SIGTERM") from None
        self.process = None
        assert got == code, f"exit {got}\n{self.text()[-4000:]}"

    def api_json(self, *args):
        r = self.api(*args, "--json")
        return r.returncode, (json.loads(r.stdout) if r.stdout else None)

    def queue(self):
        """All rows of "sortie queue"."""
        rows, cursor = [], []
        while True:
            r = self.api("queue", "--json", "--limit", "1000", *cursor)
            assert r.returncode == 0, r.stderr
            page = json.loads(r.stdout)
            rows += page["rows"]
            if page["next"] is None:
                return rows
            cursor = ["--cursor", page["next"]]


class Control:
    """The words through which a preloaded library is steered (control.h)."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.write_bytes(bytes(64))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 64)

    def env(self, name):
        return {"LD_PRELOAD": PRELOAD[name], "FAULT_CONTROL": str(self.path)}

    def __getitem__(self, i):
        return struct.unpack_from("<q", self.map, 8 * i)[0]

    def __setitem__(self, i, value):
        struct.pack_into("<q", self.map, 8 * i, value)


class Injection:
    """strace attached to a running daemon while the block lasts."""

    def __init__(self, daemon, *injections):
        self.pid = daemon.pids()[0]
        self.args = ["strace", "-f", "-qq", "-o", "/dev/null", "-p",
                     str(self.pid)]
        for i in injections:
            self.args += ["-e", f"inject={i}"]
        calls = ",".join(i.partition(":")[0] for i in injections)
        self.args += ["-e", f"trace={calls}"]

    def _traced(self):
        """All threads are."""
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            text = (task / "status").read_text(encoding="ascii")
            if "TracerPid:\t0\n" in text:
                return False
        return True

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL)
        wait_for(self._traced, 10, "strace attached")
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


class LedgerSink:
    """Plays the remote exchanger, a thread a connection. hook(verb, argument)
    may return a reply instead of the usual one, "CLOSE" to end the
    connection, or None. Verbs: CONNECT, the commands, DOT (the message)."""

    FEATURES = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000", "DSN",
                "ENHANCEDSTATUSCODES")

    def __init__(self, ledger, address, port, hook=None):
        self.ledger = ledger
        self.hook = hook or (lambda verb, arg: None)
        self.closing = False
        self.open = set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(256)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)

    def _accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            sock.settimeout(60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock.makefile("rb") as lines:
                self._session(sock, lines)
        except (OSError, EOFError):
            pass
        finally:
            self.open.discard(sock)
            sock.close()

    def _say(self, sock, text):
        if text == "CLOSE":
            raise EOFError
        sock.sendall(text.encode() + b"\r\n")

    def _session(self, sock, lines):
        sender, rcpts = None, []
        self._say(sock, self.hook("CONNECT", "") or "220 sink ESMTP")
        while True:
            line = lines.readline()
            if not line.endswith(b"\r\n"):
                return
            verb, _, arg = line[:-2].decode("latin-1").partition(" ")
            verb = verb.upper()
            told = self.hook(verb, arg)
            if told is not None:
                self._say(sock, told)
                continue
            if verb == "EHLO":
                self._say(sock, "\r\n".join(
                    ["250-sink"] + [f"250-{f}" for f in self.FEATURES[:-1]] +
                    [f"250 {self.FEATURES[-1]}"]))
                continue
            if verb == "DATA":
                if not rcpts:
                    self._say(sock, "554 5.5.1 No recipients")
                    continue
                self._say(sock, "354 Go")
                self._say(sock, self._content(lines, sender, rcpts))
                rcpts = []
                continue
            if verb in ("MAIL", "RSET"):
                rcpts = []
            if verb in ("MAIL", "RCPT"):
                address = arg[arg.index("<") + 1:arg.index(">")]
                if verb == "MAIL":
                    sender = address
                else:
                    rcpts.append(address)
            self._say(sock, "221 2.0.0 Bye" if verb == "QUIT"
                      else "250 2.0.0 Ok")
            if verb == "QUIT":
                return

    def _content(self, lines, sender, rcpts):
        data = []
        while True:
            line = lines.readline()
            if not line.endswith(b"\r\n"):
                raise EOFError
            if line == b".\r\n":
                break
            data.append(line[1:] if line.startswith(b".") else line)
        data = b"".join(data)
        told = self.hook("DOT", data.decode("latin-1"))
        if told is None or told.startswith("2"):
            if sender == "":
                self.ledger.told(data)
            else:
                self.ledger.copy(data, rcpts)
        return told or "250 2.0.0 Taken"


class Load:
    """Clients that send one message after another until they are stopped. A
    message without a 250 goes again under the same id, as mail servers do."""

    def __init__(self, port, ledger, clients=4, size=None, rcpts=None,
                 pause=0.0, timeout=20, prefix=None):
        self.port, self.ledger = port, ledger
        self.size = size or (lambda n: 700)
        self.rcpts = rcpts or (lambda ident, n: [f"{ident}@partner.test"])
        self.pause, self.timeout = pause, timeout
        self.prefix = prefix or f"m{next(_serial)}"
        self.ended = threading.Event()
        self.codes = {}
        self.texts = set()
        self.threads = [threading.Thread(target=self._run, args=(i,),
                                         daemon=True)
                        for i in range(clients)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join(self.timeout + 10)
            assert not t.is_alive(), "a client hangs"

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def _run(self, who):
        numbers = itertools.count()
        left = None  # what had no 250 yet
        while not self.ended.is_set():
            try:
                with Client("127.0.0.1", self.port,
                            timeout=self.timeout) as c:
                    for _ in range(50):
                        if left is None:
                            n = next(numbers)
                            ident = f"{self.prefix}-{who}-{n}"
                            rcpts = self.rcpts(ident, n)
                            left = (ident, rcpts, self.ledger.compose(
                                ident, "a@example.com", rcpts,
                                self.size(n)))
                        if self.ended.is_set():
                            return
                        if send(c, self.ledger, *left) == 250:
                            left = None
                        self._note(c)
                        if self.pause:
                            self.ended.wait(self.pause)
            except (OSError, EOFError, AssertionError):
                self.ended.wait(0.01)

    def _note(self, client):
        r = client.last
        self.codes[r.code] = self.codes.get(r.code, 0) + 1
        if r.code != 250:
            self.texts.add(f"{r.code} {r.text}")


def send(client, ledger, ident, rcpts, text, sender="a@example.com"):
    """One message with its entries in the ledger. Gives the last code."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.send(f"MAIL FROM:<{sender}>\r\n" +
                "".join(f"RCPT TO:<{r}>\r\n" for r in rcpts) + "DATA\r\n")
    replies = [client.reply() for _ in range(len(rcpts) + 2)]
    client.last = replies[-1]
    if replies[-1].code != 354:
        client.last = next((r for r in replies if r.code >= 400),
                           replies[-1])
        if client.last.code == 421:
            raise EOFError
        client.cmd("RSET")
        return client.last.code
    good = [r for r, reply in zip(rcpts, replies[1:]) if reply.code == 250]
    octets = text.replace("\r\n.", "\r\n..").encode()
    half = len(octets) // 2
    client.send(octets[:half])
    client.send(octets[half:])
    a = ledger.dot(ident, good)
    try:
        client.send(b".\r\n")
        client.last = client.reply()
    except (OSError, EOFError):
        ledger.silence(a)
        raise
    ledger.reply(a, client.last.code, client.last.lines[-1])
    return client.last.code


def send_one(daemon, ledger, ident=None, size=700, rcpts=None, timeout=20):
    """A connection of its own for one message; the last code."""
    with daemon.client(timeout=timeout) as c:
        return send_on(c, ledger, ident, size, rcpts)


def send_on(client, ledger, ident=None, size=700, rcpts=None):
    """The same on a connection that stands."""
    ident = ident or f"one-{next(_serial)}"
    rcpts = rcpts or [f"{ident}@partner.test"]
    text = ledger.compose(ident, "a@example.com", rcpts, size)
    return send(client, ledger, ident, rcpts, text)


class World:
    """A daemon, a sink for the mail, another for the DSNs, a ledger."""

    def __init__(self, path, **settings):
        self.dir = pathlib.Path(path)
        self.ledger = Ledger(self.dir / "ledger")
        self.daemon = Daemon(self.dir / "gw", **settings)
        self.told = None  # hook of the sink
        self.sinks = []

    def open(self, *addresses):
        for a in addresses or (SINK, REPORTS):
            self.sinks.append(LedgerSink(
                self.ledger, a, self.daemon.mx_port,
                hook=lambda v, arg: self.told and self.told(v, arg)))
        return self

    def shut(self):
        for s in self.sinks:
            s.close()
        self.sinks = []

    def load(self, **options):
        return Load(self.daemon.port, self.ledger, **options)

    def drain(self, timeout=60):
        """Until everything with a 250 has gone out, or the queue is empty
        and stays so: what is missing then is lost."""
        end = time.monotonic() + timeout
        empty = 0
        while time.monotonic() < end and self.ledger.missing() and empty < 3:
            time.sleep(0.2)
            status = self.daemon.api_json("status")[1]
            assert status is not None, self.daemon.text()[-2000:]
            empty = empty + 1 if status["queue"]["recipients"] == 0 else 0

    def take_stock(self):
        """What still waits counts as found."""
        for row in self.daemon.queue():
            self.ledger.queued(row["id"], row["to"])

    def judge(self):
        return self.ledger.judge()

    def close(self):
        try:
            if self.daemon.process is not None:
                self.daemon.kill()
        finally:
            self.shut()
            self.ledger.close()


def scratch(name):
    """A folder in memory, where a sync costs nothing."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return pathlib.Path(tempfile.mkdtemp(prefix=f"sortie-{name}-", dir=base))


def some_refused(seed=0):
    """A sink's hook: some recipients come later, some never."""
    draw = random.Random(seed)

    def hook(verb, arg):
        if verb == "RCPT":
            if arg.startswith("TO:<never"):
                return "550 5.1.1 No such user"
            if draw.random() < 0.05:
                return "451 4.3.0 Later"
        return None
    return hook
