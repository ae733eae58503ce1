"""The threads of replies, by the habits of real mailers (tests/tools).

B40: what is quoted is told from what the writer wrote, whatever mailers a
thread went through.
"""

import itertools
import os
import pathlib
import subprocess

import mailers
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"),
                       "tests/tools/quote_find")
ANNA = mailers.Author("Anna Bell", "anna@alpha.example")
OTTO = mailers.Author("Otto Müller", "otto@beta.example")
TEXT = ("Thank you, that is fine.\n\nFrom: now on I shall write less; as you "
        "wrote: it is enough. This line is long enough to be wrapped.\n\nBest")
FIRST = """From: Otto Müller <otto@beta.example>
To: Anna Bell <anna@alpha.example>
Subject: The offer
Date: Mon, 02 Nov 2020 09:31:00 +0000
Message-ID: <1@beta.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Dear Anna,

here is our offer: 100 pieces for 20 €.

Beta GmbH, Register Nr. 4711
""".replace("\n", "\r\n").encode()


@pytest.fixture(scope="module", name="find")
def fixture_find():
    process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)

    def find(kind, octets):
        head = "html" if kind == "html" else "text"
        process.stdin.write(f"{head} {len(octets)}\n".encode() + octets)
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        assert answer, f"quote_find ended: {process.wait()}"
        return None if answer == b"none" else int(answer)

    yield find
    process.stdin.close()
    assert process.wait() == 0


def check(find, name, original, text, author, forward=False):
    for kind, (octets, want) in mailers.threads(name, original, text, author,
                                                forward).items():
        if name == "yahoo" and kind == "plain":
            assert find(kind, octets) is None
            continue
        at = find(kind, octets)
        assert at == want, (name, kind, at is not None
                            and octets[at:at + 60].decode(errors="replace"))
        # An answer below what is quoted is no thread's end.
        if want is not None and name.startswith(("gmail", "k9", "thunder")):
            more = octets + (b"\r\nAnd this.\r\n" if kind == "plain"
                             else b"<p>And this.</p>")
            if not forward and "thunder" not in name:
                assert find(kind, more) is None


@pytest.mark.parametrize("name", mailers.MAILERS)
def test_replies(find, name):
    check(find, name, mailers.parse(FIRST), TEXT, ANNA)


@pytest.mark.parametrize("name", mailers.FORWARDERS)
def test_forwards(find, name):
    check(find, name, mailers.parse(FIRST), TEXT, ANNA, True)


@pytest.mark.parametrize("pair", itertools.permutations(
    [n for n in mailers.MAILERS if n not in mailers.UNSURE], 2),
    ids="-".join)
def test_a_reply_to_a_reply(find, pair):
    """Every mailer quotes every other: the begin is the outermost one's."""
    first = mailers.reply(pair[0], mailers.parse(FIRST), TEXT, ANNA)
    check(find, pair[1], mailers.parse(first), "Good.", OTTO)


@pytest.mark.parametrize("start", range(0, 16, 5))
def test_chains_of_ten(find, start):
    """MAN15's chain: ten messages, to and fro, of as many mailers."""
    names = [n for n in mailers.MAILERS if n not in mailers.UNSURE]
    octets = FIRST
    for i in range(10):
        name = names[(start + i) % len(names)]
        author = (ANNA, OTTO)[i % 2]
        message = mailers.parse(octets)
        text = f"Answer {i}.\n\n{author.name}"
        check(find, name, message, text, author)
        octets = mailers.reply(name, message, text, author, serial=i + 2)
    assert octets.count(b"\n") > 50


@pytest.mark.parametrize("name", mailers.MAILERS)
def test_messages_are_what_they_say(name):
    """The octets decode to what the parts were made of."""
    original = mailers.parse(FIRST)
    message = mailers.parse(mailers.reply(name, original, TEXT, ANNA))
    assert not list(itertools.chain(*(p.defects for p in message.walk())))
    texts = mailers.threads(name, original, TEXT, ANNA)
    parts = {p.get_content_subtype(): p for p in message.walk()
             if not p.is_multipart()}
    assert parts.keys() == texts.keys()
    for kind, part in parts.items():
        text = part.get_payload(decode=True).decode(
            part.get_content_charset())
        assert text.split() == texts[kind][0].decode().split()
    for line in bytes(message).split(b"\r\n"):
        assert len(line) <= 998 and b"\n" not in line


CHAIN = ROOT / "tests/system/mail/chain"


def kept_messages():
    """Each mailer's reply; file name, octets."""
    first = mailers.parse(FIRST)
    for name in mailers.MAILERS:
        yield f"{name}.eml", mailers.reply(name, first, TEXT, ANNA)
    for name in mailers.FORWARDERS:
        yield (f"{name}_forward.eml",
               mailers.reply(name, first, TEXT, ANNA, True))


def test_kept_messages():
    """Those kept as files are what the mailers write."""
    kept = dict(kept_messages())
    assert {p.name for p in CHAIN.iterdir()} == kept.keys()
    for name, octets in kept.items():
        assert (CHAIN / name).read_bytes() == octets, name
