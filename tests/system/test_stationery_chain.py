"""MAN15: a chain of ten replies between two organisations, each behind a
gateway of its own, each reply written by another mailer's habits. Every
message has each organisation's stationery once, however it was quoted.
"""

import html.parser
import os
import pathlib
import re
import subprocess

import pytest

import mailers
from test_mailers import ANNA, FIRST, OTTO

ROOT = pathlib.Path(__file__).parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"))
PEOPLE = (ANNA, OTTO)
UNIQUE = ("Northern Lights AB, registered in Lule\u00e5 556677-8899, VAT "
          "SE556677889901",
          "Sonnenschein & S\u00f6hne GmbH, Amtsgericht K\u00f6ln HRB 4711, "
          "Gesch\u00e4ftsf\u00fchrer Karl M\u00fcller")
PLACES = ("marker", "after_latest_reply")
CONF = """\
gateway = {{ hostname = "gw.test"; listen = "127.0.0.1:2525";
            state_dir = "state"; api_socket = "api.sock"; }};
authorized_outbound = ( {{ network = "127.0.0.1"; }} );
internal_domains = ( {{ domain = "{domain}"; }} );
definitions = {{ stationery_layouts = (
    {{ name = "marker"; html_file = "l.html"; text_file = "l.txt";
      unique_text = "{unique}"; }},
    {{ name = "after_latest_reply"; html_file = "l.html"; text_file = "l.txt";
      unique_text = "{unique}"; placement = "after_latest_reply"; }} ); }};
policies = {{ stationery = ( {{ from = "internal"; layout = "marker"; }},
                           {{ from = "domain:{domain}"; to = "external";
                              layout = "after_latest_reply"; }} ); }};
"""
BLOCKS = {"p", "div", "br", "td", "tr", "li", "table", "blockquote", "h1"}


class Seen(html.parser.HTMLParser):
    """What a browser would show, as words."""

    def __init__(self):
        super().__init__()
        self.words, self.off = [], 0

    def handle_starttag(self, tag, attrs):
        self.off += tag in ("style", "head", "title", "script")
        if tag in BLOCKS:
            self.words.append(" ")

    def handle_endtag(self, tag):
        self.off -= tag in ("style", "head", "title", "script")
        if tag in BLOCKS:
            self.words.append(" ")

    def handle_data(self, data):
        if not self.off:
            self.words.append(data)


def words(part):
    text = part.get_content()
    if part.get_content_subtype() == "html":
        seen = Seen()
        seen.feed(text)
        text = "".join(seen.words)
    text = re.sub(r"(?m)^[> \t|]*", " ", text)
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def gateways(tmp_path_factory):
    """preview(side, place, octets): the message as that gateway sends it."""
    folders = []
    for unique, person in zip(UNIQUE, PEOPLE):
        folder = tmp_path_factory.mktemp("side")
        (folder / "state").mkdir()
        first, second = unique.split(", ", 1)
        (folder / "l.html").write_text(
            f"<p style='font-size:11px'><b>{first.replace('&', '&amp;')}</b>, "
            f"{second}</p>\n", encoding="utf-8")
        (folder / "l.txt").write_text(unique + "\n", encoding="utf-8")
        (folder / "sortie.conf").write_text(CONF.format(
            domain=person.address.split("@")[1], unique=unique),
            encoding="utf-8")
        folders.append(folder)

    def preview(side, place, octets):
        folder = folders[side]
        (folder / "m.eml").write_bytes(octets)
        done = subprocess.run(
            [BUILD / "sortie", "-c", folder / "sortie.conf", "stationery",
             "preview", place, "--message", folder / "m.eml"],
            capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.decode()

    return preview


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("start", range(0, 16, 3))
def test_one_of_each_in_a_chain_of_ten(gateways, start, place):
    names = [n for n in mailers.MAILERS]
    octets, said = FIRST, []
    for i in range(10):
        side = i % 2
        name = names[(start + i) % len(names)]
        octets = mailers.reply(name, mailers.parse(octets), f"Answer {i}.",
                               PEOPLE[side], serial=i + 2)
        octets, what = gateways(side, place, octets)
        said.append((name, what.split(":")[1].strip()))
        for part in mailers.parse(octets).walk():
            if part.get_content_maintype() != "text":
                continue
            text = words(part)
            # Who answers between quotes the same message twice.
            most = 2 if any(n in mailers.UNSURE for n, _ in said) else 1
            for unique in UNIQUE[:i + 1]:
                assert 1 <= text.count(unique) <= most, (
                    name, part.get_content_type(), unique, said,
                    text.count(unique))
    # Each put its own there once and then left it.
    assert said[0][1] == said[1][1] == "applied", said
    assert {what for _, what in said[4:]} == {"present"}, said


def test_without_unique_text_it_would_pile_up(gateways):
    """The check above can fail: a message without the words gets them, and one
    that has them already keeps one."""
    once, what = gateways(0, "marker", mailers.reply(
        "gmail", mailers.parse(FIRST), "Hello.", ANNA))
    assert "applied" in what
    twice, what = gateways(0, "marker", once)
    assert "present" in what and twice == once
    changed = once.replace(b"556677-8899", b"556677-8898")
    again, what = gateways(0, "marker", changed)
    assert "applied" in what and again != changed
