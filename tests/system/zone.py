"""Zones signed with DNSSEC, served on loopback: what a test of DANE needs.

World makes a signed root whose key is the trust anchor, below it whatever zones
are asked for, each of a kind:

    signed    good in every way
    unsigned  no DS, no signatures: an insecure delegation
    expired   signed, but long ago
    forged    signed, then records were changed
    stripped  a DS above, no signatures below

nsd serves all of them, and a small forwarder stands before it as the recursive
server that the gateway asks: nsd itself only knows how to refer. Names in
`silent` are never answered, those in `broken` are answered SERVFAIL.
"""

import pathlib
import re
import socket
import subprocess
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from harness import free_port, wait_for

SOA = "{} 300 IN SOA ns.{} host.{} {} 3600 600 86400 5"


def fqdn(*labels):
    return ".".join(l.strip(".") for l in labels if l.strip(".")) + "."


class Zone:
    def __init__(self, path, name, kind):
        self.name, self.kind = fqdn(name), kind
        self.records, self.forged = [], []
        self.serial = 1
        self.dir = pathlib.Path(path)
        self.stem = self.dir / ("zone-" + (self.name.strip(".") or "root"))
        self.served = pathlib.Path(f"{self.stem}.served")
        self.keys = []
        if kind != "unsigned":
            for flags in (("-k",), ()):
                r = subprocess.run(
                    ["ldns-keygen", "-a", "ECDSAP256SHA256", *flags,
                     "-r", "/dev/urandom", self.name], cwd=path, text=True,
                    capture_output=True, check=True)
                self.keys.append(r.stdout.strip())

    def key_record(self):
        """The key signing key, for a trust anchor."""
        return (self.dir / f"{self.keys[0]}.key").read_text()

    def ds(self):
        return (self.dir / f"{self.keys[0]}.ds").read_text().strip()

    def sign(self, more=()):
        """Writes the file that is served; more: records of children."""
        text = "\n".join([
            SOA.format(self.name, self.name, self.name, self.serial)
            .replace("..", "."),
            f"{self.name} 300 IN NS {fqdn('ns', self.name)}",
            f"{fqdn('ns', self.name)} 300 IN A 127.0.0.1",
            *self.records, *more]) + "\n"
        self.serial += 1
        plain = pathlib.Path(f"{self.stem}.plain")
        plain.write_text(text)
        if self.kind in ("unsigned", "stripped"):
            self.served.write_text(text)
            return
        begin, end = -86400, 7 * 86400
        if self.kind == "expired":
            begin, end = -30 * 86400, -7 * 86400
        now = int(time.time())
        subprocess.run(
            ["ldns-signzone", "-i", str(now + begin), "-e", str(now + end),
             "-o", self.name, "-f", self.served, plain, *self.keys],
            cwd=self.dir, capture_output=True, check=True)
        if self.kind == "forged":
            text = self.served.read_text()
            for old, new in self.forged:
                assert re.search(old, text), old
                text = re.sub(old, new, text)
            self.served.write_text(text)


class World:
    """add() zones and records, start(), then change them and reload()."""

    def __init__(self, path):
        self.dir = pathlib.Path(path)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port, self.nsd_port = free_port(), free_port()
        self.zones = {".": Zone(self.dir, ".", "signed")}
        self.anchor = self.dir / "anchor.key"
        self.anchor.write_text(self.zones["."].key_record())
        self.process = None
        self.silent, self.broken = set(), set()
        self.asked = []  # (name, type) as they came from the gateway
        self.closing = False

    @property
    def resolver(self):
        """Settings of a gateway that asks this world."""
        return {"servers": [f"127.0.0.1@{self.port}"],
                "trust_anchor": str(self.anchor), "timeout": "2s"}

    def add(self, name, *records, kind="signed"):
        """A zone directly below one that there is, or more records of it."""
        name = fqdn(name)
        if name not in self.zones:
            self.zones[name] = Zone(self.dir, name, kind)
        self.zones[name].records += records
        return self.zones[name]

    def _parent(self, name):
        while name != ".":
            name = fqdn(*name.split(".")[1:])
            if name in self.zones:
                return name
        return None

    def _sign(self):
        for name, zone in self.zones.items():
            more = []
            for child in self.zones.values():
                if child is zone or self._parent(child.name) != name:
                    continue
                more += [f"{child.name} 300 IN NS {fqdn('ns', child.name)}",
                         f"{fqdn('ns', child.name)} 300 IN A 127.0.0.1"]
                if child.keys:
                    more.append(child.ds())
            zone.sign(more)

    def start(self):
        self._sign()
        conf = self.dir / "nsd.conf"
        conf.write_text(f"""
server:
    ip-address: 127.0.0.1@{self.nsd_port}
    username: ""
    chroot: ""
    zonesdir: "{self.dir}"
    pidfile: "{self.dir}/nsd.pid"
    xfrdfile: ""
    zonelistfile: "{self.dir}/zone.list"
    xfrdir: "{self.dir}"
    server-count: 1
    database: ""
    rrl-ratelimit: 0
remote-control:
    control-enable: no
""" + "".join(f'zone:\n    name: "{z.name}"\n    zonefile: "{z.served}"\n'
              for z in self.zones.values()))
        with open(self.dir / "nsd.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "nsd", "-d", "-c", conf],
                stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        wait_for(self._up, 10, f"nsd, see {self.dir}/nsd.log")
        if not self.closing and not hasattr(self, "sockets"):
            self._listen()
        return self

    def _up(self):
        assert self.process.poll() is None, (
            self.dir / "nsd.log").read_text()
        try:
            dns.query.udp(dns.message.make_query(".", "SOA"), "127.0.0.1",
                          0.2, self.nsd_port)
            return True
        except (dns.exception.Timeout, OSError):
            return False

    def reload(self):
        """Serves what the zones hold now."""
        self._end()
        self.start()

    def _end(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def close(self):
        self.closing = True
        for s in getattr(self, "sockets", ()):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self._end()

    # ---- the recursive server ----

    def _listen(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", self.port))
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", self.port))
        tcp.listen(64)
        self.sockets = (udp, tcp)
        threading.Thread(target=self._udp, args=(udp,), daemon=True).start()
        threading.Thread(target=self._tcp, args=(tcp,), daemon=True).start()

    def _udp(self, sock):
        while not self.closing:
            try:
                data, peer = sock.recvfrom(4096)
                answer = self._recurse(data)
                if answer is not None:
                    size = 1232
                    wire = answer.to_wire(max_size=65535)
                    if len(wire) > size:
                        answer.flags |= dns.flags.TC
                        answer.answer.clear()
                        answer.authority.clear()
                        wire = answer.to_wire()
                    sock.sendto(wire, peer)
            except (OSError, dns.exception.DNSException):
                if self.closing:
                    return

    def _tcp(self, listener):
        while not self.closing:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                try:
                    sock.settimeout(5)
                    head = sock.recv(2, socket.MSG_WAITALL)
                    data = sock.recv(int.from_bytes(head, "big"),
                                     socket.MSG_WAITALL)
                    answer = self._recurse(data)
                    if answer is not None:
                        wire = answer.to_wire(max_size=65535)
                        sock.sendall(len(wire).to_bytes(2, "big") + wire)
                except (OSError, dns.exception.DNSException):
                    pass

    def _recurse(self, data):
        """An answer with all CNAMEs followed and their signatures; None:
        silence."""
        query = dns.message.from_wire(data)
        q = query.question[0]
        text = q.name.to_text().lower()
        self.asked.append((text, dns.rdatatype.to_text(q.rdtype)))
        answer = dns.message.make_response(query, recursion_available=True)
        if text in self.silent:
            return None
        if text in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
            return answer
        name = q.name
        for _ in range(12):
            part = self._ask(name, q.rdtype)
            answer.answer += [r for r in part.answer if r not in
                              answer.answer]
            answer.set_rcode(part.rcode())
            aliases = {r.name: r[0].target for r in part.answer
                       if r.rdtype == dns.rdatatype.CNAME}
            end = name
            while end in aliases and q.rdtype != dns.rdatatype.CNAME:
                end = aliases[end]
            here = any(r.name == end and r.rdtype == q.rdtype
                       for r in part.answer)
            if end == name or here or part.authority:
                answer.authority += part.authority
            if end == name or here:
                break
            name = end
        return answer

    def _ask(self, name, kind):
        """The server is authoritative for every zone at once: it answers from
        the deepest, except for a DS, which is its parent's. A CNAME's target in
        another zone it may leave out."""
        query = dns.message.make_query(name, kind, want_dnssec=True)
        return dns.query.tcp(query, "127.0.0.1", 5, self.nsd_port)
