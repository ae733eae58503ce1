"""Stationery round messages of every shape, as two parsers of others read
them: the same tree plus the stationery, parts that are not the body octet for
octet as they were, the text once, the second pass adding nothing (checklist
B38 to B41; MAN15). Signatures hold in the wrapper."""

import base64
import collections
import email
import email.policy
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from corpus import CORPORA
from stationery_mail import (GOOD, HEAD, NEVER, PRESENT, TEXT, THERE, mail,
                             multi)

BUILD = pathlib.Path(os.environ.get(
    "SORTIE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tests/tools/stationery_tool"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082")
CONF = """
gateway = { hostname = "gw.example.net"; };
authorized_outbound = ( "203.0.113.0/28" );
internal_domains = ( "example.com" );
definitions = { stationery_layouts = (
  { name = "both"; html_file = "both.html"; text_file = "both.txt";
    unique_text = "%(there)s"; },
  { name = "image"; html_file = "image.html"; text_file = "both.txt";
    unique_text = "%(there)s"; },
  { name = "wrap"; html_file = "image.html"; text_file = "both.txt";
    unique_text = "%(there)s"; signed = "wrap"; },
  { name = "tnef_text"; html_file = "both.html"; text_file = "both.txt";
    unique_text = "%(there)s"; tnef = "text_only"; },
  { name = "tnef_none"; html_file = "both.html"; text_file = "both.txt";
    unique_text = "%(there)s"; tnef = "untouched"; } ); };
policies = { stationery = (
  { from = "internal"; to = "external"; layout = "both"; } ); };
""" % {"there": THERE}

# The second opinion: leaves of a message as GMime sees them. Its bindings
# belong to the system's Python.
GMIME = """
import hashlib, json, sys
import gi
gi.require_version("GMime", "3.0")
from gi.repository import GMime
GMime.init()
def walk(part, out, path):
    t = part.get_content_type()
    kind = "/".join((t.get_media_type(), t.get_media_subtype())).lower() \\
        if t else "text/plain"
    if isinstance(part, GMime.Multipart):
        out.append([path + kind, None])
        for i in range(part.get_count()):
            walk(part.get_part(i), out, path + ".")
        return
    if isinstance(part, GMime.MessagePart):
        out.append([path + kind, None])
        if part.get_message() and part.get_message().get_mime_part():
            walk(part.get_message().get_mime_part(), out, path + ".")
        return
    s = GMime.StreamMem.new()
    if part.get_content():
        part.get_content().get_stream().reset()
        part.get_content().get_stream().write_to_stream(s)
    data = s.get_byte_array()
    out.append([path + kind, hashlib.sha256(bytes(data)).hexdigest()])
out = []
data = sys.stdin.buffer.read()
message = GMime.Parser.new_with_stream(
    GMime.StreamMem.new_with_buffer(data)).construct_message(None)
if message and message.get_mime_part():
    walk(message.get_mime_part(), out, "")
json.dump(out, sys.stdout)
"""


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    d = tmp_path_factory.mktemp("stationery")
    (d / "sortie.conf").write_text(CONF)
    (d / "sortie.conf").chmod(0o600)
    (d / "both.html").write_text(
        "<html><body><p>Banner</p><mc type=\"body\"><p>" + THERE +
        " \u20ac</p></body></html>\n")
    (d / "image.html").write_text(
        "<mc type=\"body\"><p>" + THERE +
        "<img src=\"cid:logo.png\" alt=\"\"></p>\n")
    (d / "both.txt").write_text(
        "Banner\n<mc type=\"body\">\n" + THERE + "\n{{sender.address}}\n")
    (d / "logo.png").write_bytes(PNG)
    return d / "sortie.conf"


def render(conf, layout, msg):
    r = subprocess.run([TOOL, conf, layout, "ann@example.com"], input=msg,
                       capture_output=True, check=True, cwd=conf.parent)
    return r.stderr.decode().strip(), r.stdout


def by_gmime(msg):
    r = subprocess.run(["/usr/bin/python3", "-c", GMIME], input=msg,
                       capture_output=True, check=True)
    return [tuple(x) for x in json.loads(r.stdout)]


def by_python(msg):
    """As above, from the standard library."""
    out = []

    def walk(part, path):
        kind = path + part.get_content_type()
        if part.is_multipart():
            out.append((kind, None))
            for p in part.get_payload():
                walk(p, path + ".")
            return
        raw = part.get_payload(decode=False) or ""
        out.append((kind, hashlib.sha256(
            raw.encode("utf-8", "surrogateescape")).hexdigest()))

    walk(email.message_from_bytes(msg, policy=email.policy.compat32), "")
    return out


def is_text(kind):
    return kind.lstrip(".") in ("text/plain", "text/html", "text/enriched",
                                "text/rtf", "application/ms-tnef")


def shown(msg):
    """The text of each text part that is no attachment, attached messages
    left out."""
    def walk(part):
        if part.get_content_type() == "message/rfc822":
            return
        if part.is_multipart():
            for p in part.get_payload():
                yield from walk(p)
        elif part.get_content_maintype() == "text" and \
                part.get_content_disposition() != "attachment" and \
                not part.get_filename():
            data = part.get_payload(decode=True)
            try:
                yield data.decode(part.get_content_charset("us-ascii"),
                                  "replace")
            except LookupError:
                yield data.decode("latin-1")
    return list(walk(email.message_from_bytes(msg)))


def check_applied(before, after, added):
    """Both parsers: what was there still is, in its order and, unless it is
    text, octet for octet; only `added` is new."""
    for parse in (by_python, by_gmime):
        a = parse(before)
        b = parse(after)
        files = [x[1] for x in a if x[1] and not is_text(x[0])]
        now = [x[1] for x in b if x[1] and not is_text(x[0])]
        assert [h for h in now if h in set(files)] == files
        kinds_a = collections.Counter(x[0].lstrip(".") for x in a)
        kinds_b = collections.Counter(x[0].lstrip(".") for x in b)
        assert kinds_a <= kinds_b
        assert set((kinds_b - kinds_a).elements()) <= set(added)


def header_without_content(msg):
    """Fields that are not of MIME, as octets."""
    head = re.split(rb"\r\n\r\n", msg, maxsplit=1)[0] + b"\r\n"
    fields = re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", head)
    return [f for f in fields if not f.lower().startswith(
        (b"content-", b"mime-version"))]


@pytest.mark.parametrize("name", GOOD)
def test_applied(conf, name):
    msg, outcome, words = GOOD[name]
    for layout in ("both", "image"):
        told, out = render(conf, layout, msg)
        assert told.startswith(outcome), told
        added = {"multipart/related", "image/png"} if layout == "image" \
            else set()
        if "its own" in outcome:
            added |= {"multipart/alternative", "text/plain", "text/html"}
        check_applied(msg, out, added)
        texts = [t for t in shown(out) if THERE in t]
        assert len(texts) == words
        assert all(t.count(THERE) == 1 for t in texts) or name == "hidden"
        assert header_without_content(msg) == header_without_content(out)
        if layout == "image" and any("<img" in t for t in shown(out)):
            parsed = email.message_from_bytes(out)
            ids = [p["Content-ID"] for p in parsed.walk()
                   if p.get_filename() == "logo.png"]
            assert len(ids) == 1
            assert f"cid:{ids[0][1:-1]}\"" in "".join(shown(out))
        told, again = render(conf, layout, out)
        assert told.startswith("present")
        assert again == out


@pytest.mark.parametrize("name", PRESENT)
def test_present(conf, name):
    told, out = render(conf, "both", PRESENT[name][0])
    assert told.startswith("present")
    assert out == PRESENT[name][0]


@pytest.mark.parametrize("name", NEVER)
def test_never_touched(conf, name):
    msg, outcome = NEVER[name]
    told, out = render(conf, "both", msg)
    assert told.startswith(outcome), told
    assert out == msg


@pytest.mark.parametrize("corpus", CORPORA)
def test_corpus(conf, corpus):
    """Mail of others: applied and right, or untouched and the same."""
    told_all = collections.Counter()
    for name, data in CORPORA[corpus].items():
        msg = data.replace(b"\n", b"\r\n")
        told, out = render(conf, "image", msg)
        told_all[told.split(":")[0]] += 1
        if not told.startswith("applied"):
            assert out == msg, name
            continue
        check_applied(msg, out, {
            "multipart/related", "image/png", "multipart/alternative",
            "text/plain", "text/html"})
        again, same = render(conf, "image", out)
        assert again.startswith("present"), (name, told, again)
        assert same == out
    assert told_all["applied"] > len(CORPORA[corpus]) / 4, told_all


RICH = (b"{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0 Arial;}}\r\n"
        b"\\pard\\f0\\fs20 Dear all,\\par see below\\par\r\n}\r\n")


def winmail(make, **more):
    """Text and winmail.dat, as Exchange sends Rich Text."""
    tnef = make.message([make.variable(make.RTF, make.compress(RICH))],
                        **more)
    part = (b"Content-Type: application/ms-tnef; name=\"winmail.dat\"\r\n"
            b"Content-Disposition: attachment; filename=\"winmail.dat\"\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" +
            base64.encodebytes(tnef).replace(b"\n", b"\r\n"))
    return mail(multi("mixed", TEXT, part)), tnef


def tnef_of(msg):
    return next(p.get_payload(decode=True)
                for p in email.message_from_bytes(msg).walk()
                if p.get_content_type() == "application/ms-tnef")


def test_man14_winmail(conf):
    make = pytest.importorskip("tnef_make")
    msg, tnef = winmail(make)
    told, out = render(conf, "both", msg)
    assert told == "applied: text, winmail.dat"
    rtf = make.decompress(make.value_of(tnef_of(out), make.RTF))
    assert rtf.count(THERE.encode()) == 1
    assert b"Dear all," in rtf
    assert [a for a in make.attributes(tnef_of(out))
            if a[1] != make.MSG_PROPS] == \
        [a for a in make.attributes(tnef) if a[1] != make.MSG_PROPS]
    assert sum(THERE in t for t in shown(out)) == 1
    told, again = render(conf, "both", out)
    assert told.startswith("present")
    assert again == out
    # In the text alone it does not count for those who read the rest.
    told, out = render(conf, "tnef_text", msg)
    assert told == "applied: text"
    assert tnef_of(out) == tnef
    told, out = render(conf, "both", out)
    assert told == "applied: winmail.dat"
    told, out = render(conf, "tnef_none", msg)
    assert told == 'untouched: winmail.dat (tnef = "untouched")'
    assert out == msg


def test_b41_winmail_meeting(conf):
    make = pytest.importorskip("tnef_make")
    for layout in ("both", "tnef_text"):
        msg, _ = winmail(make, message_class=b"IPM.Microsoft Schedule.MtgReq")
        told, out = render(conf, layout, msg)
        assert told == "untouched: winmail.dat that is no plain mail"
        assert out == msg


@pytest.fixture(scope="module")
def smime(tmp_path_factory):
    d = tmp_path_factory.mktemp("smime")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / "key.pem", "-out",
         d / "cert.pem", "-subj", "/CN=Ann/emailAddress=ann@example.com"],
        check=True, capture_output=True)
    return d


def inner(out):
    """The first part of the outer multipart, as octets."""
    boundary = email.message_from_bytes(out).get_boundary().encode()
    return out.split(b"--" + boundary + b"\r\n")[1][:-2]


def test_smime_wrapped(conf, smime):
    (smime / "body").write_bytes(TEXT)
    signed = subprocess.run(
        ["openssl", "smime", "-sign", "-in", smime / "body", "-signer",
         smime / "cert.pem", "-inkey", smime / "key.pem", "-crlfeol",
         "-binary"], check=True, capture_output=True).stdout
    signed = re.sub(rb"\r?\n", b"\r\n", signed)
    msg = HEAD.encode() + signed
    told, out = render(conf, "wrap", msg)
    assert told == "applied: a part round signed mail"
    r = subprocess.run(
        ["openssl", "smime", "-verify", "-CAfile", smime / "cert.pem",
         "-purpose", "any"], input=inner(out), capture_output=True,
        check=False)
    assert r.returncode == 0, r.stderr
    assert header_without_content(out) == header_without_content(msg)
    assert sum(THERE in t for t in shown(out)) == 2
    check_applied(msg, out, {"multipart/mixed", "multipart/alternative",
                             "multipart/related", "text/plain", "text/html",
                             "image/png"})
    told, again = render(conf, "wrap", out)
    assert told.startswith("present")
    assert again == out


@pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg")
def test_pgp_wrapped(conf, tmp_path):
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
    subprocess.run(gpg + ["--passphrase", "", "--quick-gen-key",
                          "ann@example.com", "ed25519"], check=True)
    sig = subprocess.run(gpg + ["--armor", "--detach-sign"], input=TEXT,
                         check=True, capture_output=True).stdout
    msg = (HEAD + "MIME-Version: 1.0\r\nContent-Type: multipart/signed; "
           "boundary=s; micalg=pgp-sha512;\r\n "
           "protocol=\"application/pgp-signature\"\r\n\r\n--s\r\n").encode() + \
        TEXT + b"\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n" + \
        sig.replace(b"\n", b"\r\n") + b"\r\n--s--\r\n"
    told, out = render(conf, "wrap", msg)
    assert told.startswith("applied")
    part, signature = re.search(
        rb"--s\r\n(.*)\r\n--s\r\n.*?\r\n\r\n(.*?)\r\n--s--", out,
        re.S).groups()
    (tmp_path / "part").write_bytes(part)
    (tmp_path / "sig").write_bytes(signature)
    subprocess.run(gpg + ["--verify", tmp_path / "sig", tmp_path / "part"],
                   check=True)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
