"""The PROXY protocol on the wire (B17): the address in the header of a listed
proxy decides, over plain and implicit TLS; nobody else's header counts."""

import ipaddress
import socket
import ssl
import struct

import pytest

from harness import Client, Gateway, free_port, message, wait_for

PROXY, TRUSTED_PROXY, OTHER = "127.0.0.5", "127.0.0.6", "127.0.0.9"
LISTED4, LISTED6 = "192.0.2.10", "2001:db8::10"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, family=None):
    family = family or ("TCP6" if ":" in source else "TCP4")
    to = "2001:db8::1" if family == "TCP6" else "192.0.2.1"
    return f"PROXY {family} {source} {to} 40000 25\r\n".encode()


def v2(source=None, command=0x21, tlv=b"", family=None, cut=0):
    """source None: no addresses (LOCAL has none)."""
    body = b""
    if source is not None:
        a = ipaddress.ip_address(source)
        to = ipaddress.ip_address(
            "192.0.2.1" if a.version == 4 else "2001:db8::1")
        family = family or (0x11 if a.version == 4 else 0x21)
        body = a.packed + to.packed + struct.pack("!HH", 40000, 25)
    body = body[:len(body) - cut] + tlv
    return SIGNATURE + struct.pack("!BBH", command, family or 0,
                                   len(body)) + body


# A type-length-value each: ALPN, and one of a size that no buffer for
# addresses alone would hold.
TLV = b"\x01\x00\x04smtp" + b"\xe0" + struct.pack("!H", 2000) + b"x" * 2000


class Door:
    """A gateway behind proxies, and one of the ways to come to it."""

    def __init__(self, gateway, port, tls):
        self.gateway, self.port, self.tls = gateway, port, tls
        self.log = gateway.log
        self.mark = len(gateway.log)

    def come(self, prefix=b"", source=PROXY, **options):
        return Client("127.0.0.1", self.port, source=source, prefix=prefix,
                      tls=self.tls, **options)

    def lines(self, event, **fields):
        return self.gateway.lines(event, start=self.mark, **fields)

    def wait_log(self, event, **fields):
        return wait_for(lambda: self.lines(event, **fields), 10,
                        f"{event} {fields}")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, ca):
    ports = [free_port() for _ in range(3)]
    proxies = [PROXY, TRUSTED_PROXY]
    g = Gateway(
        tmp_path_factory.mktemp("proxy"), ca,
        gateway={"listen": [
            {"address": f"127.0.0.1:{ports[0]}", "proxy": proxies},
            {"address": f"127.0.0.1:{ports[1]}", "tls": "implicit",
             "proxy": proxies},
            {"address": f"127.0.0.1:{ports[2]}"}]},
        authorized_outbound=[{"network": n} for n in (
            LISTED4, LISTED6, TRUSTED_PROXY)])
    g.ports = ports
    g.start()
    yield g
    g.stop()


@pytest.fixture(params=["starttls", "implicit"])
def door(request, gateway, ca):
    implicit = request.param == "implicit"
    return Door(gateway, gateway.ports[implicit],
                ca.client_context() if implicit else None)


def admitted(client):
    """The code of RCPT for outbound mail: 250 or 451."""
    with client as c:
        assert c.cmd("MAIL FROM:<a@example.com>").code == 250
        return c.cmd("RCPT TO:<b@partner.test>").code


@pytest.mark.parametrize("header, source, code", [
    (v1(LISTED4), PROXY, 250),
    (v1(LISTED6), PROXY, 250),
    (v1("192.0.2.11"), PROXY, 451),
    (v1("2001:db8::11"), PROXY, 451),
    # the proxy's own right does not pass to whom it brings
    (v1("192.0.2.11"), TRUSTED_PROXY, 451),
    (b"PROXY UNKNOWN\r\n", PROXY, 451),
    (b"PROXY UNKNOWN\r\n", TRUSTED_PROXY, 250),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", TRUSTED_PROXY, 250),
    (v2(LISTED4), PROXY, 250),
    (v2(LISTED6), PROXY, 250),
    (v2("::ffff:" + LISTED4), PROXY, 250),
    (v2("192.0.2.11"), PROXY, 451),
    (v2("192.0.2.11"), TRUSTED_PROXY, 451),
    (v2(LISTED4, tlv=TLV), PROXY, 250),
    (v2("192.0.2.11", tlv=TLV), PROXY, 451),
    # LOCAL: the proxy speaks for itself, whatever addresses it names
    (v2(command=0x20), PROXY, 451),
    (v2(command=0x20), TRUSTED_PROXY, 250),
    (v2(LISTED4, command=0x20), PROXY, 451),
    (v2("192.0.2.11", command=0x20, tlv=TLV), TRUSTED_PROXY, 250),
])
def test_b17_the_header_decides(door, header, source, code):
    assert admitted(door.come(header, source)) == code


def test_b17_address_in_log_and_trace(door):
    with door.come(v1(LISTED4)) as c:
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250
    door.wait_log("accepted", client=LISTED4)
    door.wait_log("delivered", to="b@example.com")
    trace = door.gateway.boxed()[-1].split(b"\r\n\r\n")[0]
    assert f"[{LISTED4}]".encode() in trace


def test_b17_a_header_in_pieces(door):
    """Octet by octet, and nothing of what follows is taken with it."""
    s = socket.create_connection(("127.0.0.1", door.port), 10, (PROXY, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in v2(LISTED4, tlv=b"\x04\0\x01x"):
        s.sendall(bytes([octet]))
    if door.tls is not None:
        s = door.tls.wrap_socket(s, server_hostname="127.0.0.1")
    assert s.recv(4096).startswith(b"220 ")
    s.sendall(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\n"
              b"RCPT TO:<b@partner.test>\r\nQUIT\r\n")
    got = b""
    while b"\r\n221 " not in got:
        got += s.recv(4096) or pytest.fail(f"closed: {got}")
    assert got.count(b"\r\n250 2.1.") == 2, got
    s.close()


@pytest.mark.parametrize("header", [
    b"EHLO client.example.com\r\n",
    b"PROXY TCP4 192.0.2.10 192.0.2.1 40000\r\n",
    b"PROXY TCP4 192.0.2.10 192.0.2.1 40000 25 \r\n",
    b"PROXY TCP4 192.0.2.10 192.0.2.1 40000 65536\r\n",
    b"PROXY TCP4 192.0.2.010 192.0.2.1 40000 25\r\n",
    b"PROXY TCP4 2001:db8::10 2001:db8::1 40000 25\r\n",
    b"PROXY TCP6 192.0.2.10 192.0.2.1 40000 25\r\n",
    b"PROXY UDP4 192.0.2.10 192.0.2.1 40000 25\r\n",
    b"proxy TCP4 192.0.2.10 192.0.2.1 40000 25\r\n",
    b"PROXY TCP4 192.0.2.10 192.0.2.1 40000 25\n",
    b"PROXY UNKNOWN " + b"x" * 107 + b"\r\n",
    v2(LISTED4, command=0x22),
    v2(LISTED4, command=0x11),
    v2(LISTED4, family=0x12),
    v2(LISTED4, family=0x31),
    v2(LISTED4, cut=2),
    v2(LISTED4, tlv=b"\xe0" + b"\xff" * 5000),
], ids=range(17))
def test_b17_malformed_closes(door, header):
    # No greeting, no handshake: the connection ends.
    with pytest.raises((EOFError, ConnectionError, ssl.SSLError)):
        door.come(header)
    door.wait_log("refused", client=PROXY, reason="proxy_header")
    # and another is served
    assert admitted(door.come(v1(LISTED4))) == 250
    assert len(door.lines("refused", reason="proxy_header")) == 1


@pytest.mark.parametrize("header", [v1(LISTED4), v2(LISTED4)],
                         ids=["v1", "v2"])
def test_b17_header_of_an_unlisted_peer(door, header):
    if door.tls is not None:
        # no TLS record: the handshake fails
        with pytest.raises((EOFError, ConnectionError, ssl.SSLError)):
            door.come(header, OTHER)
    else:
        # Behind the greeting, so that it is a command like any other.
        with door.come(source=OTHER) as c:
            c.send(header)
            assert c.reply().code == 500
        with door.come(source=OTHER) as c:
            c.send(header + b"\r\nMAIL FROM:<a@example.com>\r\n"
                   b"RCPT TO:<b@partner.test>\r\nNOOP\r\n")
            codes, line = [], ""
            while not line.startswith("250 2.0.0"):
                line = c.line()
                codes.append(line[:3])
        assert codes[-2] == "451", codes
    assert admitted(door.come(source=OTHER)) == 451
    assert door.lines("accepted") == []
    assert not [l for l in door.log[door.mark:]
                if f"client={LISTED4}" in l]


def test_b17_other_listeners_take_no_header(gateway):
    """The list belongs to its listen entry."""
    with Client("127.0.0.1", gateway.ports[2], source=PROXY) as c:
        c.send(v1(LISTED4))
        assert c.reply().code == 500
