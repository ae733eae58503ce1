"""What people see: HTML messages before and after stationery, in Chromium.

The content of a message stays where it was and looks as it did; the
stationery stands below it, can be seen, and is not covered. The pictures of
the last run that was kept stand in pictures/ (KEEP_PICTURES=1 renews them).
"""

import base64
import email
import email.policy
import json
import os
import pathlib
import subprocess

import pytest

from pages import PAGES

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("SORTIE_BUILD", HERE.parent.parent /
                                    "build"))
CHROMIUM = "/usr/bin/chromium"
TEXT = "Example Ltd, registered in England 0123456"
LAYOUT = """\
<table role="presentation" cellpadding="0" cellspacing="0"
style="margin-top:12px;border-top:1px solid #cccccc"><tr>
<td style="padding:8px"><img src="cid:logo.png" width="24" height="24"
alt="Example"></td><td style="font:11px Arial,sans-serif;color:#555555">
{{sender.display_name}}, {{sender.title}}<br>""" + TEXT + """</td></tr>
</table>
"""
LOGO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIA"
    "5+0vkQAAAABJRU5ErkJggg==")
CONF = """\
gateway = { hostname = "gw.example.com"; listen = "127.0.0.1:2525";
            state_dir = "state"; api_socket = "api.sock"; };
authorized_outbound = ( { network = "127.0.0.1"; } );
internal_domains = ( { domain = "example.com"; } );
directory = { file = "people.csv"; };
definitions = { stationery_layouts = (
    { name = "bottom"; html_file = "l.html"; unique_text = "%s"; },
    { name = "reply"; html_file = "l.html"; unique_text = "%s";
      placement = "after_latest_reply"; } ); };
policies = { stationery = ( { from = "internal"; layout = "bottom"; } ); };
""" % (TEXT, TEXT)


def message(html):
    body = base64.encodebytes(html.encode()).replace(b"\n", b"\r\n")
    return (b"From: Bert Bauer <bert@example.com>\r\nTo: anna@example.org\r\n"
            b"Subject: x\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/html; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + body)


def shown(raw):
    """The HTML of a message, with the pictures that it carries inside."""
    m = email.message_from_bytes(raw, policy=email.policy.default)
    html = next(p for p in m.walk()
                if p.get_content_type() == "text/html").get_content()
    for part in m.walk():
        if part.get_content_maintype() == "image":
            cid = part["Content-ID"].strip().strip("<>")
            data = base64.b64encode(part.get_content()).decode()
            assert "cid:" + cid in html
            html = html.replace(
                "cid:" + cid, f"data:{part.get_content_type()};base64,{data}")
    assert "cid:" not in html
    return html


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    (folder / "state").mkdir()
    (folder / "l.html").write_text(LAYOUT)
    (folder / "logo.png").write_bytes(LOGO)
    (folder / "people.csv").write_text(
        "address,display_name,title\nbert@example.com,Bert Bauer,Buyer\n")
    (folder / "sortie.conf").write_text(CONF)
    cases = []
    for name, html in PAGES.items():
        for layout in ("bottom", "reply"):
            mail = folder / f"{name}.eml"
            mail.write_bytes(message(html))
            done = subprocess.run(
                [BUILD / "sortie", "-c", folder / "sortie.conf", "stationery",
                 "preview", layout, "--message", mail],
                capture_output=True, check=False)
            assert done.returncode == 0, (name, done.stderr)
            cases.append({
                "name": name if layout == "bottom" else name + "-reply",
                "text": TEXT, "before": shown(message(html)),
                "after": shown(done.stdout)})
    pictures = str(HERE / "pictures") if os.environ.get("KEEP_PICTURES") \
        else str(folder)
    os.makedirs(pictures, exist_ok=True)
    done = subprocess.run(
        ["node", "look.mjs", CHROMIUM, pictures], cwd=HERE, text=True,
        input=json.dumps(cases), capture_output=True, check=False,
        timeout=300)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {f["name"]: f for f in found}


@pytest.mark.parametrize("name", PAGES)
def test_content_stays_as_it_was(looked, name):
    assert looked[name]["differences"] == []


@pytest.mark.parametrize("name", PAGES)
def test_stationery_is_seen_below_the_content(looked, name):
    box = looked[name]["stationery"]
    assert box is not None, "its text is not in the page"
    assert box["visible"] and box["reached"], box
    assert box["width"] > 50 and box["height"] > 5, box
    assert 0 <= box["left"] < 800, box


def test_stationery_looks_as_its_layout_says(looked):
    """No size or weight leaks into it from tags that were left open."""
    heights = {looked[n]["stationery"]["height"] for n in PAGES}
    assert max(heights) - min(heights) < 3, heights


def test_stationery_stands_above_the_thread(looked):
    below = looked["thread"]["stationery"]
    above = looked["thread-reply"]["stationery"]
    assert above["top"] < below["top"]
    assert above["visible"] and above["reached"]


def test_the_judge_finds_what_is_wrong(tmp_path):
    """A hidden stationery and a changed style are told."""
    cases = [{"name": "bad", "text": TEXT, "before": "<p>Hello</p>",
              "after": "<p style='color:red'>Hello</p><div style='visibility:"
                       "hidden'>" + TEXT + "</div>"}]
    done = subprocess.run(["node", "look.mjs", CHROMIUM, str(tmp_path)],
                          cwd=HERE, text=True, input=json.dumps(cases),
                          capture_output=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    assert not found["stationery"]["visible"]
    assert len(found["differences"]) == 1
