"""sortie stationery preview: what is printed, the page, the exit status."""

import base64
import html
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"))
UNIQUE = "Example Ltd, registered in England 0123456"
LOGO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIA"
    "5+0vkQAAAABJRU5ErkJggg==")
CONF = """gateway = { hostname = "gw.example.com"; };
authorized_outbound = ( { network = "127.0.0.1"; } );
internal_domains = ( { domain = "example.com"; } );
directory = { file = "people.csv"; };
definitions = { stationery_layouts = ( { name = "l"; html_file = "l.html";
    text_file = "l.txt"; unique_text = "%s"; } ); };
policies = { stationery = ( { from = "internal"; layout = "l"; } ); };
""" % UNIQUE
HEAD = "From: Ann <ann@example.com>\nTo: b@example.org\nMIME-Version: 1.0\n"
PLAIN = HEAD + "Content-Type: text/plain\n\nHello.\n"
RICH = (HEAD + "Content-Type: text/html; charset=utf-8\n\n<p id=\"x\">Hello "
        "&amp; <script>alert(1)</script><img src=\"https://example.org/a\">"
        "</p>\n")
SIGNED = (HEAD + "Content-Type: multipart/signed; boundary=b; micalg=sha-256;"
          "\n protocol=\"application/pgp-signature\"\n\n--b\n\nHello.\n--b\n"
          "Content-Type: application/pgp-signature\n\nx\n--b--\n")
BROKEN = HEAD + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHello.\n"


@pytest.fixture
def preview(tmp_path):
    (tmp_path / "people.csv").write_text(
        "address,title\nann@example.com,Head & Tail\nbob@example.com,Baker\n")
    (tmp_path / "l.html").write_text(
        f"<p><img src='cid:logo.png'>{{{{sender.title}}}}</p><p>{UNIQUE}</p>")
    (tmp_path / "l.txt").write_text(f"{{{{sender.title}}}}\n{UNIQUE}\n")
    (tmp_path / "logo.png").write_bytes(LOGO)
    (tmp_path / "sortie.conf").write_text(CONF)

    def run(message, *args, layout="l"):
        (tmp_path / "m.eml").write_text(message, newline="")
        return subprocess.run(
            [BUILD / "sortie", "-c", tmp_path / "sortie.conf", "stationery",
             "preview", layout, "--message", tmp_path / "m.eml", *args],
            capture_output=True, text=True, check=False, timeout=20)

    run.folder = tmp_path
    return run


@pytest.mark.parametrize("message, code, said", [
    (PLAIN, 0, "applied: text"), (RICH, 0, "applied: html"),
    (PLAIN + UNIQUE + "\n", 0, "present: "),
    (SIGNED, 1, "untouched: signed"), (BROKEN, 1, "failed: ambiguous"),
], ids=["plain", "rich", "present", "signed", "broken"])
def test_outcomes(preview, message, code, said):
    done = preview(message)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    as_sent = message.replace("\n", "\r\n")
    assert (done.stdout.encode() == as_sent.replace("\r\n", "\n").encode()) \
        == (not said.startswith("applied"))
    told = json.loads(preview(message, "--json").stdout)
    assert told["outcome"] == said.split(":")[0]
    assert told["octets_before"] == len(as_sent)
    assert (told["octets_after"] > len(as_sent)) == \
        said.startswith("applied")


def test_line_ends(preview):
    """A file with LF, with CRLF and the mail on the wire are the same."""
    done = preview(PLAIN)
    raw = subprocess.run(done.args, capture_output=True, check=True).stdout
    assert raw.count(b"\n") == raw.count(b"\r\n")
    again = preview(PLAIN.replace("\n", "\r\n"))
    assert subprocess.run(again.args, capture_output=True,
                          check=True).stdout == raw


def test_whose_attributes(preview):
    assert "Head & Tail" in preview(PLAIN).stdout
    assert "Baker" in preview(PLAIN, "--from", "bob@example.com").stdout
    nobody = preview(PLAIN, "--from", "eve@example.com").stdout
    assert "Baker" not in nobody and "Head" not in nobody and UNIQUE in nobody


def test_page(preview):
    done = preview(RICH, "--html")
    assert done.returncode == 0
    page = done.stdout
    frames = [html.unescape(f) for f in re.findall(
        r'<iframe sandbox srcdoc="([^"]*)"></iframe>', page)]
    assert len(frames) == 2
    assert "Hello" in frames[0] and UNIQUE not in frames[0]
    assert "Hello" in frames[1] and UNIQUE in frames[1]
    assert "Head &amp; Tail" in frames[1]
    picture = "data:image/png;base64," + base64.b64encode(LOGO).decode()
    assert picture in frames[1] and "cid:" not in frames[1]
    # What the message holds does nothing: no script, nothing is fetched.
    outside = re.sub(r'srcdoc="[^"]*"', "", page)
    assert "<script" not in outside and "https://" not in outside
    assert "default-src 'none'" in outside
    assert "applied: html" in page and "<title>l</title>" in page


@pytest.mark.parametrize("message", [PLAIN, SIGNED, BROKEN])
def test_page_of_any_message(preview, message):
    page = preview(message, "--html").stdout
    assert page.count("<iframe sandbox") == 2 and page.endswith("</html>\n")


def test_no_such_layout(preview):
    done = preview(PLAIN, layout="m")
    assert done.returncode == 1 and "no such layout" in done.stderr


def test_unreadable(preview):
    (preview.folder / "people.csv").write_text("name\nx\n")
    done = preview(PLAIN)
    assert done.returncode == 1 and "people.csv" in done.stderr
    assert done.stdout == ""


def test_no_author(preview):
    done = preview(PLAIN.replace("From:", "X-From:"))
    assert done.returncode == 1 and "--from" in done.stderr
    assert preview(PLAIN.replace("From:", "X-From:"), "--from",
                   "bob@example.com").returncode == 0


@pytest.mark.parametrize("args", [
    [], ["preview"], ["preview", "l"], ["preview", "l", "m", "--message", "x"],
    ["preview", "l", "--message", "x", "--html", "--json"],
    ["preview", "l", "--message", "x", "--bad"], ["view", "l"]])
def test_usage(args):
    done = subprocess.run([BUILD / "sortie", "stationery", *args], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2 and "see sortie --help" in done.stderr
