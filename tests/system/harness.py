"""What the system tests share: free ports, certificates, a configuration
writer, the gateway as a process, a scripted client, a scripted sink, a small
DNS server and a reader of maildirs. Everything stays on loopback; processes
are ended by their own pid."""

import copy
import datetime
import ipaddress
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"))
# Below those that the kernel gives to clients; each process of a parallel run
# has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PORTS = range(21000 + 1000 * (_WORKER % 8), 22000 + 1000 * (_WORKER % 8))
_next_port = [random.randrange(len(PORTS))]


def free_port():
    """A port that nothing on any loopback address has taken."""
    for _ in PORTS:
        _next_port[0] = (_next_port[0] + 1) % len(PORTS)
        port = PORTS[_next_port[0]]
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def wait_for(condition, timeout=15, what="condition"):
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"timeout: {what}")
        time.sleep(0.02)


class CA:
    """A throw-away authority."""

    def __init__(self, path, name="Test CA"):
        self.dir = pathlib.Path(path)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._sign(self.name, self.key, [], True)
        self.file = self.dir / "ca.pem"
        self.file.write_bytes(
            self.cert.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, names, ca, days=7):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(self.name).public_key(key.public_key())
             .serial_number(x509.random_serial_number())
             .not_valid_before(now - datetime.timedelta(days=9))
             .not_valid_after(now + datetime.timedelta(days=days))
             .add_extension(x509.BasicConstraints(ca, None), True))
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, *names, days=7):
        """(certificate file, key file) for the names; days < 0: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        cert = self._sign(subject, key, [
            x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit()
            else x509.DNSName(n) for n in names], False, days)
        stem = self.dir / f"{names[0]}{days}"
        pem, keyfile = f"{stem}.pem", f"{stem}.key"
        pathlib.Path(pem).write_bytes(
            cert.public_bytes(serialization.Encoding.PEM))
        with open(os.open(keyfile, os.O_CREAT | os.O_WRONLY, 0o600),
                  "wb") as f:
            f.write(key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        return pem, keyfile

    def server_context(self, *names):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*self.issue(*names))
        return ctx

    def client_context(self, certificate=None):
        """certificate: what issue() gave, for a client that shows one."""
        ctx = ssl.create_default_context(cafile=str(self.file))
        ctx.check_hostname = False
        if certificate is not None:
            ctx.load_cert_chain(*certificate)
        return ctx


# ---- configuration ---------------------------------------------------------

def to_libconfig(value, indent=""):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        inner = indent + "    "
        return "{\n" + "".join(
            f"{inner}{k} = {to_libconfig(v, inner)};\n"
            for k, v in value.items()) + indent + "}"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(to_libconfig(v, indent) for v in value) + " )"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def merge(into, more):
    for k, v in more.items():
        if isinstance(v, dict) and isinstance(into.get(k), dict):
            merge(into[k], v)
        else:
            into[k] = v
    return into


class Gateway:
    """A sortied of its own. Settings are dictionaries; what a test gives is
    laid over a base that fits a test on loopback."""

    def __init__(self, path, ca=None, **settings):
        self.dir = pathlib.Path(path)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.mx_port = free_port()
        self.maildir = self.dir / "mail"
        self.process = None
        self.log = []
        self.allowed = []
        base = {
            "gateway": {
                "hostname": "gw.example.net",
                "listen": [{"address": f"127.0.0.1:{self.port}"}],
                "state_dir": str(self.dir / "state"),
                "api_socket": str(self.dir / "api.sock"),
                "reactors": 2, "workers": 1,
            },
            "limits": {"connections_per_client": 200},
            # Nobody answers there: what local_data does not know defers.
            "resolver": {"servers": [f"127.0.0.1@{free_port()}"],
                         "timeout": "1s", "local_data": []},
            "delivery": {"port": self.mx_port, "retry": ["1s"],
                         "forbidden_networks": [],
                         "connect_timeout": "2s", "idle_timeout": "1s"},
            "admission": {"header_from": "allow"},
            "authorized_outbound": [{"network": "127.0.0.1"}],
            "internal_domains": [{"domain": "example.com",
                                  "route": "boxes"}],
            "routes": [{"name": "boxes", "maildir": str(self.maildir)}],
        }
        if ca is not None:
            cert, key = ca.issue("gw.example.net", "127.0.0.1")
            merge(base, {"gateway": {"certificate": cert, "key": key,
                                     "ca_file": str(ca.file)}})
        self.settings = merge(base, copy.deepcopy(settings))
        for box in ("tmp", "new", "cur"):
            (self.maildir / box).mkdir(parents=True, exist_ok=True)
        (self.dir / "state").mkdir(mode=0o700, exist_ok=True)
        self.conf = self.dir / "sortie.conf"
        self.write()

    def write(self, **settings):
        merge(self.settings, settings)
        self.conf.write_text("".join(
            f"{k} = {to_libconfig(v)};\n" for k, v in self.settings.items()))

    def mx(self, domain, *hosts):
        """MX records toward loopback addresses, in order of preference; a
        host of several addresses is a tuple."""
        data = self.settings["resolver"]["local_data"]
        for i, addresses in enumerate(hosts):
            name = f"mx{i}.{domain}."
            data.append(f"{domain}. 300 IN MX {10 * (i + 1)} {name}")
            if isinstance(addresses, str):
                addresses = (addresses,)
            for a in addresses:
                kind = "AAAA" if ":" in a else "A"
                data.append(f"{name} 300 IN {kind} {a}")
        self.write()

    def start(self, wait=True):
        assert self.process is None
        mark = len(self.log)
        self.process = subprocess.Popen(
            [BUILD / "sortied", "-c", self.conf], stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, errors="replace")
        self.reader = threading.Thread(
            target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        if wait:
            wait_for(lambda: self.process.poll() is not None or
                     self.lines("ready", start=mark),
                     10, "event=ready")
            assert self.process.poll() is None, "\n".join(self.log)
        return self

    def _read(self, process):
        for line in process.stderr:
            self.log.append(line.rstrip("\n"))

    def lines(self, event, start=0, **fields):
        want = [f"event={event}"] + [f"{k}={v}" for k, v in fields.items()]
        return [l for l in self.log[start:]
                if all(re.search(rf"(^| ){re.escape(w)}( |$)", l)
                       for w in want)]

    def wait_log(self, event, timeout=15, **fields):
        return wait_for(lambda: self.lines(event, **fields), timeout,
                        f"event={event} {fields}\n" +
                        "\n".join(self.log[-30:]))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process = None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=20):
        """SIGTERM; the exit and the log must be clean."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("no end after SIGTERM") from None
        self.reader.join(5)
        self.process = None
        text = "\n".join(self.log)
        assert code == 0, f"exit {code}\n{text[-4000:]}"
        assert "Sanitizer" not in text and "runtime error" not in text, text
        for line in self.log:
            if " level=error" in line:
                assert any(a in line for a in self.allowed), line

    def run(self, *args, timeout=20):
        return subprocess.run([BUILD / "sortie", *args], text=True,
                              capture_output=True, timeout=timeout,
                              check=False)

    def api(self, *args):
        return self.run("-s", str(self.dir / "api.sock"), *args)

    def client(self, **options):
        return Client("127.0.0.1", self.port, **options)

    def boxed(self):
        """Messages in the maildir, as octets."""
        return [p.read_bytes() for p in sorted((self.maildir / "new")
                                               .iterdir())]


# ---- client ----------------------------------------------------------------

class Reply:
    def __init__(self, code, lines):
        self.code, self.lines = code, lines
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"{self.code} {self.text}"


class Client:
    """One command, one reply; or raw octets, for those who misbehave.
    prefix: octets before anything else, even TLS (a PROXY header)."""

    def __init__(self, host, port, source=None, ehlo=True, timeout=15,
                 tls=None, prefix=b""):
        self.sock = socket.create_connection(
            (host, port), timeout, (source, 0) if source else None)
        self.sock.sendall(prefix)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        self.data = b""
        self.banner = self.reply()
        if ehlo:
            assert self.ehlo().code == 250

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.data:
            got = self.sock.recv(65536)
            if got == b"":
                raise EOFError("closed")
            self.data += got
        line, self.data = self.data.split(b"\n", 1)
        assert line.endswith(b"\r"), line
        return line[:-1].decode("utf-8", "replace")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            assert re.match(r"[2-5][0-9][0-9][ -]", line), line
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(line[:3]), lines)

    def cmd(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def ehlo(self, name="client.example.com"):
        return self.cmd(f"EHLO {name}")

    def starttls(self, context):
        r = self.cmd("STARTTLS")
        assert r.code == 220, r
        assert self.data == b""
        self.sock = context.wrap_socket(self.sock,
                                        server_hostname="gw.example.net")
        return self

    def mail(self, sender, rcpts, message, params=""):
        """The reply to the dot, or the first refusal."""
        r = self.cmd(f"MAIL FROM:<{sender}>{params}")
        if r.code != 250:
            return r
        for rcpt in [rcpts] if isinstance(rcpts, str) else rcpts:
            r = self.cmd(f"RCPT TO:<{rcpt}>")
            if r.code != 250:
                return r
        r = self.cmd("DATA")
        if r.code != 354:
            return r
        return self.content(message)

    def content(self, message):
        if isinstance(message, str):
            message = message.encode()
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        self.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return self.reply()

    def rest(self, timeout=5):
        """All that comes until the server closes."""
        self.sock.settimeout(timeout)
        try:
            while True:
                got = self.sock.recv(65536)
                if got == b"":
                    break
                self.data += got
        except ConnectionResetError:
            pass
        return self.data


def message(subject="Test", body="Hello.\r\n", sender="a@example.com"):
    return (f"From: {sender}\r\nTo: b@partner.test\r\nSubject: {subject}\r\n"
            f"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{random.getrandbits(64):x}@example.com>\r\n"
            f"\r\n{body}")


def reply_id(reply):
    m = re.search(r" \[([A-Za-z0-9_-]+)\]$", reply.lines[-1])
    return m.group(1) if m else None


# ---- sink ------------------------------------------------------------------

class Delivery:
    def __init__(self, session, data):
        self.sender, self.params = session.sender, session.params
        self.rcpts, self.data = session.rcpts, data
        self.tls, self.session = session.tls, session.number
        self.peer = session.peer  # the address it came from
        self.time = time.monotonic()

    @property
    def text(self):
        return self.data.decode("utf-8", "replace")


class Sink:
    """Plays the remote exchanger. hook(verb, argument) may return a reply
    instead of the usual one, or None; "CLOSE" ends the connection."""

    EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000",
                  "DSN", "ENHANCEDSTATUSCODES")

    def __init__(self, address, port, tls=None, extensions=EXTENSIONS,
                 hook=None, name="sink.partner.test"):
        self.address, self.port, self.tls = address, port, tls
        self.extensions, self.hook = extensions, hook or (lambda v, a: None)
        self.name = name
        self.messages = []
        self.commands = []
        self.spoken = []  # (session, line)
        self.ahead = []  # lines that more octets came with
        self.sessions = 0
        self.live = 0
        self.lock = threading.Lock()
        self.listener = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(256)
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        while not self.closing:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.sessions += 1
                self.live += 1
            threading.Thread(target=self._serve, daemon=True,
                             args=(sock, self.sessions, peer[0])).start()

    def _serve(self, sock, number, peer):
        session = SinkSession(self, sock, number, peer)
        try:
            sock.settimeout(60)
            session.run()
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            session.sock.close()
            with self.lock:
                self.live -= 1

    def said(self, session):
        """The command lines of one session, in order."""
        return [line for n, line in list(self.spoken) if n == session]

    def wait(self, n=1, timeout=15):
        wait_for(lambda: len(self.messages) >= n, timeout,
                 f"{n} messages, have {len(self.messages)}")
        return self.messages


class SinkSession:
    def __init__(self, sink, sock, number, peer):
        self.sink, self.sock, self.number = sink, sock, number
        self.peer = peer
        self.buf = b""
        self.tls = None
        self.reset()

    def reset(self):
        self.sender, self.params, self.rcpts = None, "", []
        self.chunks = b""

    def say(self, text):
        if text == "CLOSE":
            raise EOFError
        self.sock.sendall(text.encode() + b"\r\n")

    def more(self):
        got = self.sock.recv(65536)
        if got == b"":
            raise EOFError
        self.buf += got

    def until(self, end):
        while end not in self.buf:
            self.more()
        head, self.buf = self.buf.split(end, 1)
        return head

    def octets(self, n):
        while len(self.buf) < n:
            self.more()
        head, self.buf = self.buf[:n], self.buf[n:]
        return head

    def run(self):
        self.say(self.sink.hook("CONNECT", "") or
                 f"220 {self.sink.name} ESMTP")
        while True:
            line = self.until(b"\r\n").decode("utf-8", "replace")
            if self.buf:
                self.sink.ahead.append(line)
            self.sink.commands.append(line)
            self.sink.spoken.append((self.number, line))
            verb, _, arg = line.partition(" ")
            if self.command(verb.upper(), arg) == "QUIT":
                return

    def command(self, verb, arg):
        if verb == "BDAT":
            size, _, last = arg.partition(" ")
            self.chunks += self.octets(int(size))
            self.say(self.store(self.chunks) if last else "250 2.0.0 Ok")
            return None
        told = self.sink.hook(verb, arg)
        if told is not None:
            self.say(told)
            return None
        if verb == "EHLO":
            words = list(self.sink.extensions)
            if self.sink.tls is not None and self.tls is None:
                words.append("STARTTLS")
            lines = [self.sink.name] + words
            self.say("\r\n".join(
                f"250{'-' if i + 1 < len(lines) else ' '}{w}"
                for i, w in enumerate(lines)))
        elif verb == "STARTTLS":
            self.say("220 2.0.0 Go")
            self.sock = self.sink.tls.wrap_socket(self.sock, server_side=True)
            self.tls = self.sock.version()
            self.buf = b""
            self.reset()
        elif verb == "MAIL":
            m = re.match(r"FROM:<(.*?)>(.*)", arg)
            self.reset()
            self.sender, self.params = m.group(1), m.group(2)
            self.say("250 2.1.0 Ok")
        elif verb == "RCPT":
            self.rcpts.append(re.match(r"TO:<(.*?)>(.*)", arg).groups())
            self.say("250 2.1.5 Ok")
        elif verb == "DATA":
            if not self.rcpts:
                self.say("554 5.5.1 No recipients")
                return None
            self.say("354 Go")
            while not (self.buf.startswith(b".\r\n") or
                       b"\r\n.\r\n" in self.buf):
                self.more()
            if self.buf.startswith(b".\r\n"):
                self.buf, data = self.buf[3:], b""
            else:
                data = self.until(b"\r\n.\r\n") + b"\r\n"
            self.say(self.store(re.sub(rb"(?m)^\.\.", b".", data)))
        elif verb == "QUIT":
            self.say("221 2.0.0 Bye")
        else:
            if verb == "RSET":
                self.reset()
            self.say("250 2.0.0 Ok")
        return verb

    def store(self, data):
        told = self.sink.hook("DOT", data.decode("utf-8", "replace"))
        if told is None or told.startswith("2"):
            self.sink.messages.append(Delivery(self, data))
        self.reset()
        return told or "250 2.0.0 Taken"


# ---- DNS -------------------------------------------------------------------

class Dns:
    """Answers from a table {(name, type): [rdata] or "SERVFAIL"}; what is not
    in it does not exist."""

    def __init__(self, table, port=None):
        self.table = table
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", port or free_port()))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
                query = dns.message.from_wire(data)
            except OSError:
                return
            except Exception:  # noise is not answered
                continue
            self._send(self._answer(query).to_wire(), peer)

    def _send(self, answer, peer):
        try:
            self.sock.sendto(answer, peer)
        except OSError:
            pass  # closed meanwhile

    def _answer(self, query):
        answer = dns.message.make_response(query, recursion_available=True)
        q = query.question[0]
        name = q.name.to_text().lower()
        kind = dns.rdatatype.to_text(q.rdtype)
        found = self.table.get((name, kind))
        if found == "SERVFAIL" or self.table.get(name) == "SERVFAIL":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found:
            answer.answer.append(dns.rrset.from_text(
                q.name, 60, "IN", kind, *found))
        elif not any(isinstance(k, tuple) and k[0] == name
                     for k in self.table):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def close(self):
        self.sock.close()
