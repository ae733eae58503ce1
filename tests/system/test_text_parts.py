"""Insertions into text parts beside Python's email, codecs and quopri: what it
reads afterwards is what it read before with the text in it, and every other
part is the same (checklist B39, B40)."""

import codecs
import email
import email.policy
import quopri
import re

import pytest

from corpus import MAILS
from text_part_tool import Editor

# What mailers call by wrong names.
MEANT = {"iso-8859-1": "cp1252", "iso-8859-9": "cp1254", "gb2312": "gb18030",
         "gbk": "gb18030", "shift_jis": "cp932", "ks_c_5601-1987": "cp949",
         "euc-kr": "cp949", None: "ascii"}

TEXTS = ["x", "\r\n-- \r\nRegards \r\n", "Grüße\r\n", "\r\n中文 😀\r\n",
         "\r\n--b\r\n--" + "-" * 80 + "\r\nFrom here " + "long " * 300 + "\r\n"]


@pytest.fixture(scope="module")
def editor():
    e = Editor()
    yield e
    e.close()


def walk(part):
    yield part
    kind = part.get_content_type()
    # Python takes reports for messages, too.
    if part.is_multipart() and (part.get_content_maintype() == "multipart" or
                                kind in ("message/rfc822", "message/global")):
        for child in part.get_payload():
            yield from walk(child)


def parts_of(message):
    return list(walk(email.message_from_bytes(
        message, policy=email.policy.compat32)))


def text_of(part):
    charset = part.get_content_charset()
    data = part.get_payload(decode=True)
    if part.get("Content-Transfer-Encoding") == "quoted-printable":
        # Blanks at a line's end, which Python keeps (RFC 2045 section 6.7).
        data = quopri.decodestring(re.sub(
            rb"[ \t]+(?=\r?\n|\Z)", b"", part.get_payload().encode()))
    return data.decode(MEANT.get(charset, charset))


def places_of(text):
    """Begin, end, and places between; never within CRLF."""
    wanted = {0, len(text), len(text) // 2, len(text) // 3, 75, 76, 77}
    return sorted(at for at in wanted if at <= len(text) and
                  text[at - 1:at + 1] != "\r\n")


def spliced(text, inserts):
    pos = 1 if text.startswith("\ufeff") else 0
    out, last = text[:0], 0
    for at, new in inserts:
        at = max(at, pos)
        out += text[last:at] + new
        last = at
    return out + text[last:]


def others(message, number):
    """Everything of the other parts, as far as Python tells it."""
    return [(p.items(), p.preamble, p.epilogue,
             None if p.is_multipart() else p.get_payload())
            for i, p in enumerate(parts_of(message)) if i != number]


def check(editor, message, number, inserts):
    """False: it was refused."""
    before = parts_of(message)[number]
    result = editor.insert(message, number, inserts)
    if isinstance(result, str):
        return False
    after = parts_of(result)[number]
    assert text_of(after) == spliced(text_of(before), inserts)
    assert others(result, number) == others(message, number)
    assert after.get_content_type() == before.get_content_type()
    changed = {"content-type", "content-transfer-encoding", "mime-version"}
    assert [i for i in after.items() if i[0].lower() not in changed] == \
        [i for i in before.items() if i[0].lower() not in changed]
    assert after.defects == before.defects
    assert editor.read(result)[number]["text"] == text_of(after)
    return True


def built():
    """{name: message}: every charset in every encoding it may have."""
    letters = {"utf-8": "é中😀", "iso-8859-1": "é", "koi8-r": "Ж",
               "windows-1251": "Ж", "shift_jis": "ソ表", "gb2312": "中文",
               "gb18030": "中𠀀", "big5": "中文", "euc-kr": "가",
               "euc-jp": "あ", "iso-2022-jp": "あ", "utf-16": "é中",
               "utf-7": "é中", "us-ascii": "e", "iso-8859-15": "€"}
    found = {}
    for charset, letter in letters.items():
        text = f"a {letter} = b \r\n\r\n" + f"{letter} " * 60 + "\r\nlast"
        data = text.encode(charset)
        for encoding in ("7bit", "8bit", "quoted-printable", "base64"):
            if charset == "utf-16" and encoding != "base64":
                continue
            body = data
            if encoding == "base64":
                body = codecs.encode(data, "base64").replace(b"\n", b"\r\n")
            elif encoding == "quoted-printable":
                body = codecs.encode(
                    data.replace(b"\r\n", b"\n"), "quopri").replace(
                        b"\n", b"\r\n")
            found[f"{charset}, {encoding}"] = (
                f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n"
                f" boundary=b\r\n\r\npre\r\n--b\r\nX-A: 1\r\n"
                f"Content-Type: text/plain;\r\n\tcharset=\"{charset}\"; x=y"
                f"\r\nContent-Transfer-Encoding: {encoding}\r\nX-B: 2\r\n"
                "\r\n".encode() + body +
                b"\r\n--b\r\nContent-Type: text/x\r\n\r\n\xe9  \r\n--b--\r\n")
    return found


@pytest.mark.parametrize("name,message", built().items(),
                         ids=list(built()))
def test_built(editor, name, message):
    """None is refused, wherever the text goes."""
    text = text_of(parts_of(message)[1])
    assert editor.read(message)[1]["text"] == text
    for i, at in enumerate(places_of(text)):
        for k, new in enumerate(TEXTS):
            inserts = [(at, new)]
            if (i + k) % 2 == 0:
                inserts.append((len(text), TEXTS[i % len(TEXTS)]))
            assert check(editor, message, 1, inserts), (name, at, new)


@pytest.mark.parametrize("name", sorted(MAILS))
def test_mail_of_others(editor, name):
    message = MAILS[name].replace(b"\n", b"\r\n")
    parts = editor.read(message)
    if parts is None:
        pytest.skip("ambiguous")
    assert [p["type"] for p in parts] == \
        [p.get_content_type() for p in parts_of(message)]
    for number, part in enumerate(parts):
        if "text" not in part:
            continue
        if part["exact"]:
            assert part["text"] == text_of(parts_of(message)[number])
        for i, at in enumerate(places_of(part["text"])):
            if not part["exact"]:
                assert "charset" in editor.insert(message, number,
                                                  [(at, "é")])
                continue
            inserts = [(at, TEXTS[i % 5]), (len(part["text"]), TEXTS[i % 3])]
            assert check(editor, message, number, inserts)
