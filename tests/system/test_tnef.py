"""Rich Text and TNEF against readers of others: tnef and ytnef open what was
edited, unrtf shows what is in it, and a reader by the specification finds all
other octets as they were (MAN14, checklist B41)."""

import email
import html
import os
import pathlib
import re
import subprocess

import pytest

import tnef_make as make
from corpus import SHARED

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"),
                    "tests/tools/tnef_tool")
ABOVE, BELOW = "Example Ltd. \u20ac\r\n", "Registered in Caf\u00e9 town\r\n"


def tool(what, data, *args):
    done = subprocess.run([TOOL, what, *args], input=data, check=False,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def body(rtf):
    return [make.fixed(0x0E1F000B, 1), make.named(0x8001001F, "name", b"v\0"),
            make.variable(make.RTF, make.compress(rtf)),
            make.fixed(0x0FFE0003, 5)]


DOCUMENTS = {"outlook": make.OUTLOOK_RTF, "fromhtml": make.HTML_RTF,
             "fromtext": make.TEXT_RTF}
WORDS = {"outlook": ("Dear all,", "offer", "\u041f\u0440\u0438"),
         "fromhtml": ("Dear all,", "caf\u00e9"),
         "fromtext": ("Dear all,", "regards")}


def shown(path):
    """What unrtf makes of it, as HTML without its tags."""
    page = subprocess.run(["unrtf", "--html", path], check=True, timeout=60,
                          capture_output=True).stdout.decode()
    return html.unescape(re.sub("<[^>]*>", "", page))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_others_show_it(name, tmp_path):
    """The words stand in their order, in the eyes of another reader."""
    path = tmp_path / "x.rtf"
    path.write_bytes(tool("rtf_edit", DOCUMENTS[name], ABOVE, BELOW))
    text = shown(path)
    places = [text.index(word) for word in
              ("Example Ltd. \u20ac", *WORDS[name],
               "Registered in Caf\u00e9 town")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_compression_both_ways(name):
    """Each reads what the other wrote; ours is not longer by much."""
    rtf = DOCUMENTS[name] * 3
    ours, theirs = tool("compress", rtf), make.compress(rtf)
    assert make.decompress(ours) == rtf
    assert tool("decompress", theirs) == rtf
    assert tool("decompress", make.compress(rtf, literal=True)) == rtf
    assert len(ours) < 1.15 * len(theirs)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_b41_everything_else_stays(name):
    attachments = [("a.txt", b"octets"), ("b.bin", bytes(range(256)))]
    before = make.message(body(DOCUMENTS[name]), attachments=attachments)
    after = tool("edit", before, ABOVE, BELOW)
    rtf = tool("rtf_edit", DOCUMENTS[name], ABOVE, BELOW)
    assert make.decompress(make.value_of(after, make.RTF)) == rtf
    assert after == make.message(
        [*body(b"")[:2], make.variable(make.RTF,
                                       make.value_of(after, make.RTF)),
         body(b"")[3]], attachments=attachments)
    seen = tool("text", after).decode()
    places = [seen.index(word) for word in
              (ABOVE.strip(), *WORDS[name], BELOW.strip())]
    assert places == sorted(places)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_others_open_it(name, tmp_path):
    """tnef and ytnef take the body and the attachment out."""
    tnef = tool("edit", make.message(body(DOCUMENTS[name]),
                                     attachments=[("a.txt", b"octets")]),
                ABOVE, BELOW)
    rtf = tool("rtf_edit", DOCUMENTS[name], ABOVE, BELOW)
    path = tmp_path / "winmail.dat"
    path.write_bytes(tnef)
    for command in (["tnef", "--save-body=body", "--body-pref=R", "-f", path],
                    ["ytnef", "-f", ".", "-F", path]):
        folder = tmp_path / command[0]
        folder.mkdir()
        done = subprocess.run(command, cwd=folder, capture_output=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done
        files = [f.read_bytes() for f in folder.iterdir()]
        assert b"octets" in files
        assert any(rtf == f.rstrip(b"\0") for f in files), (command, done)


def test_every_body_of_a_message():
    page = "<html><body>caf\u00e9</body></html>".encode()
    before = make.message(
        [make.fixed(make.INTERNET_CODEPAGE, 65001),
         make.variable(make.HTML, page),
         make.variable(make.RTF, make.compress(make.HTML_RTF)),
         make.variable(make.TEXT16, "caf\u00e9\0".encode("utf-16-le"))],
        body=b"caf\xe9")
    after = tool("edit", before, ABOVE, BELOW)
    assert make.value_of(after, make.TEXT16).decode("utf-16-le") == \
        f"{ABOVE}caf\u00e9\r\n{BELOW}\0"
    assert (1, make.BODY, f"{ABOVE}caf\u00e9\r\n{BELOW}\0".encode("cp1252")) \
        in make.attributes(after)
    new = make.value_of(after, make.HTML).decode()
    assert new.startswith("<html><body><div>Example Ltd.")
    assert "caf\u00e9" in new and new.endswith("</div></body></html>")


def test_a_message_of_others():
    """No body in it: nothing is edited, and it says why."""
    path = SHARED / "kdepim-addons--tnef-one-file.eml"
    if not path.exists():
        pytest.skip("no corpus")
    part = next(p for p in email.message_from_bytes(path.read_bytes()).walk()
                if p.get_content_type() == "application/ms-tnef")
    data = part.get_payload(decode=True)
    assert make.attributes(data)
    done = subprocess.run([TOOL, "edit", ABOVE, BELOW], input=data,
                          capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"TNEF: no body" in done.stderr
    assert tool("text", data) == b""
