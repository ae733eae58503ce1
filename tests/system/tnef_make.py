"""Writes and reads TNEF by the specifications ([MS-OXTNEF], [MS-OXRTFCP]), as
an independent counterpart of mime/tnef.c. Slow and small on purpose."""

import struct

PRESET = (b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil "
          b"\\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans Serif"
          b"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0"
          b"\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx")

VERSION, OEM_CODEPAGE = 0x00089006, 0x00069007
MESSAGE_CLASS, BODY, MSG_PROPS = 0x00078008, 0x0002800C, 0x00069003
SUBJECT = 0x00018004
REND_DATA, ATTACH_TITLE, ATTACH_DATA = 0x00069002, 0x00018010, 0x0006800F
ATTACHMENT = 0x00069005

RTF, HTML, TEXT8, TEXT16 = 0x10090102, 0x10130102, 0x1000001E, 0x1000001F
INTERNET_CODEPAGE = 0x3FDE0003


def crc(data):
    value = 0
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


def compress(rtf, literal=False):
    """Greedy, by brute force; literal: without a reference but the last."""
    text = PRESET + rtf
    out, at = bytearray(), len(PRESET)
    ended = False
    while not ended:
        control, group = 0, bytearray()
        for bit in range(8):
            best = (0, at)
            for n in range(17, 1, -1) if not literal else ():
                if at + n > len(text):
                    continue
                start = text.rfind(text[at:at + n], max(0, at - 4095),
                                   at + n - 1)
                if start >= 0:
                    best = (n, start)
                    break
            n, start = best
            if at < len(text) and n == 0:
                group.append(text[at])
                at += 1
                continue
            ended = at == len(text)
            control |= 1 << bit
            word = (at if ended else start) % 4096 << 4
            group += struct.pack(">H", word | (0 if ended else n - 2))
            at += n
            if ended:
                break
        out.append(control)
        out += group
    return struct.pack("<II4sI", len(out) + 12, len(rtf), b"LZFu",
                       crc(out)) + bytes(out)


def decompress(data):
    size, raw, kind, check = struct.unpack_from("<II4sI", data)
    assert size == len(data) - 4
    body = data[16:]
    if kind == b"MELA":
        return body
    assert kind == b"LZFu" and check == crc(body)
    text, pos = bytearray(PRESET), 0
    while True:
        control = body[pos]
        pos += 1
        for bit in range(8):
            if not control >> bit & 1:
                text.append(body[pos])
                pos += 1
                continue
            word = body[pos] << 8 | body[pos + 1]
            pos += 2
            distance = (len(text) - (word >> 4)) % 4096
            if distance == 0:
                assert len(text) == len(PRESET) + raw
                return bytes(text[len(PRESET):])
            for _ in range((word & 15) + 2):
                text.append(text[-distance])


def attribute(level, name, data):
    return struct.pack("<BII", level, name, len(data)) + data + \
        struct.pack("<H", sum(data) & 0xFFFF)


def padded(data):
    return data + bytes(-len(data) % 4)


def variable(tag, data):
    return struct.pack("<III", tag, 1, len(data)) + padded(data)


def fixed(tag, value):
    return struct.pack("<II", tag, value)


def named(tag, name, data):
    text = (name + "\0").encode("utf-16-le")
    return struct.pack("<I16sII", tag, b"P" * 16, 1, len(text)) + \
        padded(text) + struct.pack("<II", 1, len(data)) + padded(data)


def message(properties, message_class=b"IPM.Microsoft Mail.Note",
            codepage=1252, body=None, attachments=()):
    """properties: octets each. attachments: (name, octets)."""
    out = struct.pack("<IH", 0x223E9F78, 1)
    out += attribute(1, VERSION, struct.pack("<I", 0x10000))
    out += attribute(1, OEM_CODEPAGE, struct.pack("<II", codepage, 0))
    out += attribute(1, MESSAGE_CLASS, message_class + b"\0")
    out += attribute(1, SUBJECT, b"offer\0")
    if body is not None:
        out += attribute(1, BODY, body + b"\0")
    if properties:
        out += attribute(1, MSG_PROPS, struct.pack("<I", len(properties)) +
                         b"".join(properties))
    for name, data in attachments:
        out += attribute(2, REND_DATA, struct.pack("<HIHHI", 1, 0xFFFFFFFF,
                                                   32, 32, 0))
        out += attribute(2, ATTACH_TITLE, name.encode() + b"\0")
        out += attribute(2, ATTACH_DATA, data)
    return out


def attributes(tnef):
    """[(level, name, data)]; checksums are looked at."""
    assert struct.unpack_from("<I", tnef) == (0x223E9F78,)
    found, pos = [], 6
    while pos < len(tnef):
        level, name, size = struct.unpack_from("<BII", tnef, pos)
        data = tnef[pos + 9:pos + 9 + size]
        assert struct.unpack_from("<H", tnef, pos + 9 + size) == \
            (sum(data) & 0xFFFF,)
        found.append((level, name, data))
        pos += 11 + size
    assert pos == len(tnef)
    return found


def value_of(tnef, tag):
    """The value of a property of variable length, found by its octets."""
    for level, name, data in attributes(tnef):
        if (level, name) == (1, MSG_PROPS):
            at = data.find(struct.pack("<II", tag, 1))
            if at >= 0:
                size, = struct.unpack_from("<I", data, at + 8)
                return data[at + 12:at + 12 + size]
    return None


OUTLOOK_RTF = (
    b"{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0\\fswiss\\fcharset0 "
    b"Arial;}{\\f1\\froman\\fcharset204 Times;}}\r\n{\\colortbl;\\red0\\green0"
    b"\\blue255;}\r\n\\uc1\\pard\\plain\\deftab360 \\f0\\fs20 Dear all,\\par\r\n"
    b"\\par\r\nthe {\\b offer} is {\\cf1 attached}: 100 \\u8364?\\par\r\n"
    b"{\\f1\\'cf\\'f0\\'e8\\'e2\\'e5\\'f2}\\par\r\n}\r\n")

HTML_RTF = (
    b"{\\rtf1\\ansi\\ansicpg1252\\fromhtml1 \\fbidi \\deff0{\\fonttbl\r\n"
    b"{\\f0\\fswiss Arial;}}\r\n{\\colortbl\\red0\\green0\\blue0;}\r\n"
    b"\\uc1\\pard\\plain\\deftab360 \\f0\\fs24 \r\n"
    b"{\\*\\htmltag19 <html>}\r\n{\\*\\htmltag34 <head>}\r\n"
    b"{\\*\\htmltag161 <style>p \\{margin:0\\}</style>}\r\n"
    b"{\\*\\htmltag41 </head>}\r\n{\\*\\htmltag50 <body lang=EN>}\r\n"
    b"{\\*\\htmltag64 <p class=MsoNormal>}\\htmlrtf {\\htmlrtf0 Dear all,"
    b"\\htmlrtf\\par}\\htmlrtf0\r\n{\\*\\htmltag72 </p>}\r\n"
    b"{\\*\\htmltag64 <p>}\\htmlrtf {\\htmlrtf0 caf\\'e9"
    b"\\htmlrtf\\par}\\htmlrtf0\r\n{\\*\\htmltag72 </p>}\r\n"
    b"{\\*\\htmltag58 </body>}\r\n{\\*\\htmltag27 </html>}}\r\n")

TEXT_RTF = (
    b"{\\rtf1\\ansi\\ansicpg1252\\fromtext \\fbidi \\deff0{\\fonttbl\r\n"
    b"{\\f0\\fswiss Courier New;}}\r\n{\\colortbl\\red0\\green0\\blue0;}\r\n"
    b"\\uc1\\pard\\plain\\deftab360 \\f0\\fs20 Dear all,\\par\r\n"
    b"\\par\r\nregards\\par\r\n}\r\n")
