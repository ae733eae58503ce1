"""Messages of others for the system tests: our own of mail/ and one made here;
with them the larger corpus of SORTIE_CORPUS, or of ../shared/corpus/mail where
that is."""

import os
import pathlib
import random
import re

from harness import ROOT

OWN = pathlib.Path(__file__).resolve().parent / "mail"
SHARED = pathlib.Path(os.environ.get(
    "SORTIE_CORPUS", ROOT.parent / "shared" / "corpus" / "mail"))


def octets(path):
    """A message as a client holds it: lines end with LF, no mbox line."""
    data = re.sub(rb"\r\n|\r|\n", b"\n", path.read_bytes())
    data = re.sub(rb"\A>?From [^\n]*\n", b"", data)
    return data if data.endswith(b"\n") else data + b"\n"


def large():
    """Two megabytes with dots at every place of a line and of a buffer."""
    draw = random.Random(2)
    lines = [("." * draw.randrange(3) + "o" * draw.randrange(90) +
              "." * draw.randrange(2)).encode() for _ in range(44000)]
    return b"From: a@example.com\nSubject: large\n\n" + b"\n".join(lines) + b"\n"


def corpora():
    """{corpus: {name: octets}}"""
    found = {"own": {p.stem: octets(p) for p in sorted(OWN.glob("*.eml"))}}
    found["own"]["large"] = large()
    if "SORTIE_CORPUS" in os.environ or SHARED.is_dir():
        found["shared"] = {p.stem: octets(p)
                           for p in sorted(SHARED.glob("*.eml"))}
    return found


CORPORA = corpora()
MAILS = {f"{corpus}/{name}": data for corpus, mails in CORPORA.items()
         for name, data in mails.items()}
