"""Stationery in the configuration, as an administrator meets it: what is
wrong by name and line, warnings, the dump (checklist B40)."""

import re
import subprocess

import pytest

from harness import BUILD

UNIQUE = "Example Ltd, registered in England 0123456"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
HTML = f"<p>{{{{sender.display_name}}}}</p><p>{UNIQUE}</p>"

# Each of the settings on a line of its own: the layout begins in line 7.
CONF = """gateway = { hostname = "gw.example.net"; };
authorized_outbound = ( "127.0.0.1" );
internal_domains = ( "example.com" );
directory = {
file = "people.csv"; };
definitions = { stationery_layouts = (
{ name = "corporate";
html_file = "s/corporate.html";
text_file = "s/corporate.txt";
unique_text = "%s";
placement = "marker"; tnef = "edit"; signed = "untouched";
on_failure = "send"; text_from_html = false; } ); };
policies = { stationery = (
{ from = "internal"; to = "external";
layout = "corporate"; automatic_mail = true; } ); };
""" % UNIQUE


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "people.csv").write_text("address,title\na@example.com,T\n")
    (tmp_path / "s/corporate.html").write_text(HTML)
    (tmp_path / "s/corporate.txt").write_text(UNIQUE + "\n")
    path = tmp_path / "sortie.conf"
    path.write_text(CONF)
    return path


def check(conf, *args):
    """Exit status, output, and findings without what they all begin with."""
    r = subprocess.run([BUILD / "sortie", "check", "-c", conf, *args],
                       capture_output=True, text=True, timeout=30,
                       check=False)
    found = re.findall(rf"^{re.escape(str(conf))}:(\d+): (.*)$", r.stderr,
                       re.M)
    assert len(found) == len(r.stderr.splitlines()), r.stderr
    return r.returncode, r.stdout, [
        (int(line), text.replace(str(conf.parent), "DIR"))
        for line, text in found
        if "gateway.certificate is not given" not in text]


def edit(conf, changes):
    """Files by name: what they hold, or of sortie.conf what is replaced."""
    for name, value in changes.items():
        path = conf.parent / name
        if name == "sortie.conf":
            text = conf.read_text()
            for old, new in value.items():
                assert old in text
                text = text.replace(old, new)
            conf.write_text(text)
        elif value is None:
            path.unlink()
        elif isinstance(value, bytes):
            path.write_bytes(value)
        else:
            path.write_text(value)


def test_a_finding_names_the_file_that_is_included(conf):
    text = conf.read_text()
    at = text.index("definitions")
    end = text.index("policies", at)
    (conf.parent / "layouts.conf").write_text("\n" + text[at:end])
    conf.write_text(text[:at] + '@include "layouts.conf"\n' + text[end:])
    assert check(conf)[0::2] == (0, [])
    (conf.parent / "s/corporate.html").write_text("<p>other words")
    r = subprocess.run([BUILD / "sortie", "check", "-c", conf], check=False,
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 1
    line = (conf.parent / "layouts.conf").read_text()[:(
        conf.parent / "layouts.conf").read_text().index("{ name")].count("\n")
    assert re.search(rf"layouts\.conf:{line + 1}: .*unique_text", r.stderr), \
        r.stderr


def test_good(conf):
    assert check(conf)[0::2] == (0, [])
    r = subprocess.run([BUILD / "sortied", "-n", "-c", conf], check=False,
                       capture_output=True, text=True)
    assert r.returncode == 0


L = "layout corporate: "
H = "s/corporate.html"
T = "s/corporate.txt"

WRONG = [
    ({H: None}, 8, "DIR/s/corporate.html: No such file or directory"),
    ({T: None}, 9, "DIR/s/corporate.txt: No such file or directory"),
    ({T: UNIQUE.encode() + b"\0"}, 9, "DIR/s/corporate.txt is not a text "
                                      "file"),
    ({H: HTML + " " * (1 << 20)}, 8,
     "DIR/s/corporate.html is larger than 1048576 octets"),
    ({H: HTML + "<img src='cid:logo.png'>"}, 8,
     "DIR/s/corporate.html names the image cid:logo.png, and DIR/s/logo.png: "
     "No such file or directory; put the image there"),
    ({H: HTML + "<img src='cid:logo.svg'>", "s/logo.svg": "<svg></svg>"}, 8,
     "DIR/s/logo.svg is no PNG, JPEG, GIF or WebP image, which are what mail "
     "readers show"),
    ({H: HTML + "<img src='cid:a.png'>", "s/a.png": PNG + bytes(5 << 20)}, 8,
     "DIR/s/a.png is larger than 5242880 octets"),
    ({H: HTML + "".join(f"<img src=cid:{i}.png>" for i in range(21)),
      **{f"s/{i}.png": PNG for i in range(21)}}, 8,
     "DIR/s/corporate.html names more than 20 images"),
    ({H: "<p>Example Ltd</p>"}, 7,
     L + "the visible text of corporate.html lacks its unique_text; a message "
     "would get the layout again and again"),
    ({H: f"<p>a</p><!-- {UNIQUE} --><p hidden>{UNIQUE}</p>"}, 7,
     L + "the visible text of corporate.html lacks its unique_text; a message "
     "would get the layout again and again"),
    ({T: "Example Ltd\n"}, 7,
     L + "the visible text of corporate.txt lacks its unique_text; a message "
     "would get the layout again and again"),
    ({T: UNIQUE + " {{sender.title}}\n--\n"}, 7,
     L + "corporate.txt has its unique_text in a line that vanishes with an "
     "attribute; put it in one that always stays"),
    ({H: HTML + "\n<p>{{sender.titel}}</p>"}, 7,
     L + "corporate.html: there is no attribute sender.titel; the directory "
     "has no such column"),
    ({T: UNIQUE + "\n{{title}}\n"}, 7,
     L + "corporate.txt: there is no attribute title; those of the directory "
     'begin with "sender."'),
    ({T: UNIQUE + "\n{{sender.title\n"}, 7,
     L + 'corporate.txt: line 2: "{{" without "}}" on its line; write "{{{{" '
     "for the braces themselves"),
    ({H: HTML + "\n\n<p class={{sender.title}}>"}, 7,
     L + "corporate.html: line 3: an attribute within a tag must stand in a "
     "quoted value"),
    ({H: HTML + "\n<a href='javascript:f({{sender.title}})'>a</a>"}, 7,
     L + "corporate.html: line 2: an attribute in an address must stand at "
     "its begin or behind http:, https:, mailto:, tel: or cid:"),
    ({H: HTML + "<mc type=body>\n<mc type=body>"}, 7,
     L + 'corporate.html: line 2: a second <mc type="body">'),
    ({H: HTML.encode() + b"\xff"}, 7,
     L + "corporate.html: line 1: text that is not UTF-8"),
    ({T: "<mc type=body>\n"}, 7, L + "corporate.txt: holds nothing to show"),
    ({"people.csv": None}, 5, "DIR/people.csv: No such file or directory"),
    ({"people.csv": "adress,title\n"}, 5,
     "directory.file: DIR/people.csv: line 1: no column is named address"),
    ({"people.csv": "address,title\na@example.com,x\nA@Example.COM,y\n"}, 5,
     "directory.file: DIR/people.csv: line 3: a@example.com is there twice"),
    ({"people.csv": "address,title\na@example.com,\"x\r\ny\"\n"}, 5,
     "directory.file: DIR/people.csv: line 2: a control character in column "
     "title"),
    ({"sortie.conf": {'"marker"': '"top"'}}, 11,
     'definitions.stationery_layouts[].placement: "top" is not one of '
     '"marker", "after_latest_reply"'),
    ({"sortie.conf": {'"untouched"': '"strip"'}}, 11,
     'definitions.stationery_layouts[].signed: "strip" is not one of '
     '"untouched", "wrap"'),
    ({"sortie.conf": {'"send"': '"bounce"'}}, 12,
     'definitions.stationery_layouts[].on_failure: "bounce" is not one of '
     '"send", "hold"'),
    ({"sortie.conf": {"= true": '= "yes"'}}, 15,
     "policies.stationery[].automatic_mail: expected true or false, found a "
     "string"),
    ({"sortie.conf": {'layout = "corporate"': 'layout = "c"'}}, 15,
     'layout: definitions.stationery_layouts has no "c"'),
    ({"sortie.conf": {'people.csv";': 'people.csv"; check = "2d";'}}, 5,
     'directory.check: "2d" is out of range (0 to 86400 seconds)'),
]


@pytest.mark.parametrize("changes, line, told", WRONG,
                         ids=[str(i) for i in range(len(WRONG))])
def test_wrong(conf, changes, line, told):
    edit(conf, changes)
    code, out, found = check(conf)
    assert (code, out) == (1, "")
    errors = [f for f in found if not f[1].startswith("warning: ")]
    assert errors == [(line, told)]
    r = subprocess.run([BUILD / "sortied", "-n", "-c", conf], check=False,
                       capture_output=True, text=True)
    assert r.returncode == 2
    assert told in r.stderr.replace(str(conf.parent), "DIR")


@pytest.mark.parametrize("changes, line, told", [
    ({"sortie.conf": {f'unique_text = "{UNIQUE}";': ""}}, 7,
     "layout corporate has no unique_text: a message gets it again every time it passes, "
     "as replies do"),
    ({"sortie.conf": {UNIQUE: "Example Ltd"}}, 7,
     L + "unique_text is short; mail that has it by chance gets no "
     "stationery"),
    ({"sortie.conf": {UNIQUE: "Kind regards, thank you"},
      H: "<p>Kind regards, thank you", T: "Kind regards, thank you"}, 7,
     L + "unique_text is of common words; mail that has them by chance gets "
     "no stationery"),
    ({H: f"<style>p {{ color: red }}</style><p>{UNIQUE}"}, 7,
     L + "corporate.html: <style> is left out, it would reach into the "
     "message; write styles into style attributes"),
    ({H: HTML + "<img src=cid:a.png>", "s/a.png": PNG + bytes(300 << 10)}, 7,
     L + "a.png has 300 KB, with every message"),
    ({"sortie.conf": {'layout = "corporate"; automatic_mail = true;':
                      'layout = "corporate"; }, { from = "external"; '
                      'layout = "corporate";',
                      }}, 15,
     "policies.stationery: this policy holds for no mail from inside, and "
     'only that gets stationery; write from = "internal"'),
    ({"sortie.conf": {"text_from_html = false": "text_from_html = true"}}, 12,
     "text_from_html has no effect: text_file is the text"),
    ({"sortie.conf": {"policies = { stationery = (\n":
                      "policies = { stationery_exclusion = (\n",
                      'layout = "corporate"; automatic_mail = true;': ""}}, 7,
     "layout corporate is used by no policy"),
], ids=[str(i) for i in range(8)])
def test_warnings(conf, changes, line, told):
    edit(conf, changes)
    code, _, found = check(conf)
    assert (code, found) == (0, [(line, "warning: " + told)])


def test_a_directory_that_is_bad_refuses_no_attribute(conf):
    """One mistake, one finding."""
    edit(conf, {"people.csv": "title\n", T: UNIQUE + "\n{{sender.title}}\n"})
    code, _, found = check(conf)
    assert code == 1 and len(found) == 1 and "no column is named" in \
        found[0][1]


def test_dump_is_read_again(conf):
    edit(conf, {"sortie.conf": {
        '"marker"': '"after_latest_reply"', '"edit"': '"text_only"',
        '"untouched"': '"wrap"', '"send"': '"hold"', "= true": "= false",
        'people.csv";': 'people.csv"; check = "1m";'}})
    code, first, found = check(conf, "--dump")
    assert (code, found) == (0, [])
    for text in ('placement = "after_latest_reply";', 'tnef = "text_only";',
                 'signed = "wrap";', 'on_failure = "hold";',
                 "automatic_mail = false;", 'check = "1m";',
                 f'file = "{conf.parent}/people.csv";',
                 f'html_file = "{conf.parent}/s/corporate.html";'):
        assert text in first
    conf.write_text(first)
    assert check(conf, "--dump") == (0, first, [])
