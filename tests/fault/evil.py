#!/usr/bin/python3
"""Peers that hang, reset, close, babble or trickle, in a process of their own
so that what they cost is not mistaken for what the gateway does.

    evil.py sinks PORT CERT KEY      servers, one loopback address a case
    evil.py clients HOST PORT        clients, one source address a case

Lines on standard input steer it: "heal" makes the servers honest and lets go
of what hangs; "report" answers one line of JSON. End of input ends it."""

import asyncio
import json
import os
import re
import resource
import socket
import ssl
import struct
import sys

SINK_STATES = ("banner", "ehlo", "starttls", "handshake", "mail", "rcpt0",
               "rcpt1", "data", "content", "dot", "quit")
CLIENT_STATES = ("connect", "banner", "part", "ehlo", "starttls", "handshake",
                 "mail", "rcpt", "data", "content", "lonedot", "chunk", "dot",
                 "quit")
FAULTS = ("hang", "reset", "close", "line", "lines", "nul", "trickle")
SYN_ADDRESS = "127.20.100.1"  # its queue of connections is full
TRICKLE_S = 0.3
MEGABYTE = 1 << 20
LINES = 10000


def sink_address(state, fault):
    return (f"127.20.{SINK_STATES.index(state) + 1}."
            f"{FAULTS.index(fault) + 1}")


def client_address(state, fault):
    return (f"127.21.{CLIENT_STATES.index(state) + 1}."
            f"{FAULTS.index(fault) + 1}")


class Over(Exception):
    """This conversation has ended."""


class Talk:
    """One connection and what it may do to its peer."""

    def __init__(self, reader, writer, healed):
        self.reader, self.writer, self.healed = reader, writer, healed

    async def say(self, data):
        self.writer.write(data if isinstance(data, bytes) else
                          data.encode() + b"\r\n")
        await self.writer.drain()

    async def line(self):
        got = await self.reader.readuntil(b"\n")
        return got.decode("latin-1").rstrip("\r\n")

    async def flood(self, data):
        """Writes all that the peer is willing to read."""
        self.writer.write(data)
        await self.until_healed(self.writer.drain())

    async def until_healed(self, work=None):
        """Until healed, or the peer has had enough."""
        waits = [asyncio.ensure_future(self.healed.wait())]
        if work is not None:
            waits.append(asyncio.ensure_future(work))
        done, left = await asyncio.wait(
            waits, return_when=asyncio.FIRST_COMPLETED)
        for w in left:
            w.cancel()
        for w in done:
            w.result()

    async def gone(self):
        while await self.reader.read(65536) != b"":
            pass

    async def hang(self, reading=True):
        await self.until_healed(self.gone() if reading else None)
        raise Over

    async def trickle(self, begin=b"", octet=b"x"):
        """Octet after octet of what never becomes a line."""
        await self.say(begin)

        async def drip():
            while True:
                await asyncio.sleep(TRICKLE_S)
                await self.say(octet)

        await self.until_healed(drip())
        raise Over

    async def fault(self, name, prefix):
        """prefix begins what looks like the line that is awaited."""
        if name == "hang":
            await self.hang()
        elif name == "reset":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        elif name == "close":
            self.writer.write_eof()
            await self.hang()
        elif name == "line":
            await self.flood(prefix + b"y" * MEGABYTE)
            await self.hang()
        elif name == "lines":
            await self.flood((prefix + b"z\r\n") * LINES)
            await self.hang()
        elif name == "nul":
            await self.say(prefix + b"a\0b\r\n")
            await self.hang()
        elif name == "trickle":
            await self.trickle(prefix)
        raise Over


# ---- servers ---------------------------------------------------------------

class Sinks:
    def __init__(self, port, cert, key):
        self.port = port
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        self.healed = asyncio.Event()
        self.connections = {}
        self.hits = {}      # case: how often the fault was met
        self.accepted = []  # "id recipient" that was told 250
        self.offered = []   # whose end came, told 250 or not

    async def start(self):
        addresses = [sink_address(s, f) for s in SINK_STATES for f in FAULTS]
        self.servers = [await asyncio.start_server(
            self.serve, addresses, self.port, backlog=2000)]
        # One that nobody accepts from: SYNs are dropped.
        self.full = socket.socket()
        self.full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.full.bind((SYN_ADDRESS, self.port))
        self.full.listen(0)
        self.fill = [socket.socket() for _ in range(4)]
        for s in self.fill:
            s.setblocking(False)
            s.connect_ex((SYN_ADDRESS, self.port))

    async def heal(self):
        self.healed.set()
        for s in self.fill:
            s.close()
        self.full.close()
        self.servers.append(await asyncio.start_server(
            self.serve, SYN_ADDRESS, self.port))

    def report(self):
        return {"accepted": self.accepted, "offered": self.offered,
                "hits": self.hits, "connections": self.connections}

    async def serve(self, reader, writer):
        address = writer.get_extra_info("sockname")[0]
        _, kind, i, j = (int(n) for n in address.split("."))
        state = fault = None
        if kind == 20 and i <= len(SINK_STATES):
            state, fault = SINK_STATES[i - 1], FAULTS[j - 1]
        case = f"{state}-{fault}"
        self.connections[case] = self.connections.get(case, 0) + 1
        session = SinkTalk(self, reader, writer, state, fault)
        try:
            await session.run()
        except (Over, OSError, EOFError, ValueError):
            pass
        finally:
            writer.close()


class SinkTalk(Talk):
    def __init__(self, sinks, reader, writer, state, ill):
        super().__init__(reader, writer, sinks.healed)
        self.sinks, self.state, self.ill = sinks, state, ill

    async def at(self, state, prefix=b"250-"):
        if self.state != state or self.healed.is_set():
            return
        case = f"{state}-{self.ill}"
        self.sinks.hits[case] = self.sinks.hits.get(case, 0) + 1
        await self.fault(self.ill, prefix)

    async def run(self):
        await self.at("banner", b"220-")
        await self.say("220 evil.test ESMTP")
        rcpts = []
        while True:
            line = await self.line()
            verb = line[:4].upper()
            if verb == "EHLO":
                await self.at("ehlo")
                tls = self.state in ("starttls", "handshake")
                await self.say("250-evil.test\r\n250-SIZE 100000000\r\n" +
                               ("250-STARTTLS\r\n" if tls else "") +
                               "250 8BITMIME")
            elif verb == "STAR":
                await self.at("starttls", b"220-")
                await self.say("220 2.0.0 Go")
                await self.handshake()
                await self.writer.start_tls(self.sinks.tls)
            elif verb == "MAIL":
                await self.at("mail")
                rcpts = []
                await self.say("250 2.1.0 Ok")
            elif verb == "RCPT":
                await self.at(f"rcpt{len(rcpts)}")
                rcpts.append(line[line.index("<") + 1:line.index("@")])
                await self.say("250 2.1.5 Ok")
            elif verb == "DATA":
                await self.at("data", b"354-")
                await self.say("354 Go")
                await self.content(rcpts)
            elif verb == "QUIT":
                await self.at("quit", b"221-")
                await self.say("221 2.0.0 Bye")
                return
            else:
                await self.say("250 2.0.0 Ok")

    async def handshake(self):
        if self.state != "handshake" or self.healed.is_set():
            return
        case = f"handshake-{self.ill}"
        self.sinks.hits[case] = self.sinks.hits.get(case, 0) + 1
        if self.ill == "trickle":
            # A record of 16 KB that never gets there.
            await self.trickle(b"\x16\x03\x03\x40\x00", b"\0")
        await self.fault(self.ill, b"\x16\x03\x03\x40\x00")

    async def content(self, rcpts):
        if self.state == "content" and not self.healed.is_set():
            await self.ill_content()
        data = bytearray()
        while not data.endswith(b"\r\n.\r\n"):
            data += await self.reader.readuntil(b"\n")
        mark = re.search(rb"id=([a-z0-9.-]+);", data[:1000])
        copies = [f"{mark.group(1).decode()} {r}" for r in rcpts]
        self.sinks.offered += copies
        await self.at("dot")
        self.sinks.accepted += copies
        await self.say("250 2.0.0 Taken")

    async def ill_content(self):
        await self.reader.read(1000)
        if self.ill == "hang":
            case = "content-hang"
            self.sinks.hits[case] = self.sinks.hits.get(case, 0) + 1
            self.writer.transport.pause_reading()
            await self.hang(reading=False)
        if self.ill == "trickle":
            case = "content-trickle"
            self.sinks.hits[case] = self.sinks.hits.get(case, 0) + 1

            async def sip():
                while await self.reader.read(1) != b"":
                    await asyncio.sleep(TRICKLE_S)

            self.reader._limit = 1  # so that the socket is not read ahead
            await self.until_healed(sip())
            raise Over
        await self.at("content")


# ---- clients ---------------------------------------------------------------

class Clients:
    def __init__(self, host, port):
        self.host, self.port = host, port
        self.healed = asyncio.Event()
        self.finished = []  # cases whose end of content was sent
        self.running = set()
        self.failed = {}

    async def start(self):
        for state in CLIENT_STATES:
            for fault in FAULTS:
                task = asyncio.ensure_future(self.one(state, fault))
                self.running.add(f"{state}-{fault}")
                task.add_done_callback(
                    lambda _, c=f"{state}-{fault}": self.running.discard(c))

    async def heal(self):
        self.healed.set()

    def report(self):
        return {"finished": self.finished, "running": sorted(self.running),
                "failed": self.failed}

    async def one(self, state, fault):
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                self.host, self.port,
                local_addr=(client_address(state, fault), 0))
            await ClientTalk(self, reader, writer, state, fault).run()
        except (Over, OSError, EOFError):
            pass
        except Exception as e:  # a fault of this file
            self.failed[f"{state}-{fault}"] = repr(e)
        finally:
            if writer is not None:
                writer.close()


class ClientTalk(Talk):
    def __init__(self, clients, reader, writer, state, ill):
        super().__init__(reader, writer, clients.healed)
        self.clients, self.state, self.ill = clients, state, ill
        self.mark = f"{state}-{ill}"

    async def at(self, state, prefix=b""):
        if self.state == state:
            await self.fault(self.ill, prefix)

    async def reply(self):
        while True:
            line = await self.line()
            if line[3:4] != "-":
                return line

    async def cmd(self, line):
        await self.say(line)
        got = await self.reply()
        if got[0] not in "23":
            raise RuntimeError(f"{line}: {got}")

    async def run(self):
        head = (f"From: a@example.com\r\nSubject: id={self.mark};\r\n\r\n"
                "The beginning\r\n").encode()
        await self.at("connect")
        await self.reply()
        await self.at("banner")
        await self.at("part", b"EHLO ")
        await self.cmd("EHLO evil.example.com")
        await self.at("ehlo")
        if self.state in ("starttls", "handshake"):
            await self.cmd("STARTTLS")
            await self.at("starttls")
            await self.at("handshake", b"\x16\x03\x01\x40\x00\x01")
        await self.cmd("MAIL FROM:<a@example.com>")
        await self.at("mail")
        await self.cmd("RCPT TO:<b@other.test>")
        await self.at("rcpt")
        if self.state == "chunk":
            await self.say(f"BDAT {len(head) + 20000000} LAST")
            await self.say(head)
            await self.at("chunk")
        await self.cmd("DATA")
        await self.at("data")
        await self.say(head)
        await self.at("content", b"more")
        if self.state == "lonedot":
            await self.say(b".")
            await self.fault(self.ill, b"")
        self.clients.finished.append(self.mark)
        await self.say(b".\r\n")
        await self.at("dot")
        await self.reply()
        await self.say("QUIT")
        await self.at("quit")


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1] == "sinks":
        cast = Sinks(int(sys.argv[2]), *sys.argv[3:5])
    else:
        cast = Clients(sys.argv[2], int(sys.argv[3]))
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await cast.start()
    print("ready", flush=True)
    while True:
        order = (await orders.readline()).decode().strip()
        if order == "":
            os._exit(0)
        if order == "heal":
            await cast.heal()
            print("ok", flush=True)
        elif order == "report":
            print(json.dumps(cast.report()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
