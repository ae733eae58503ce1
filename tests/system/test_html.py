"""Where stationery goes in HTML, beside an independent HTML5 parser.

The parser builds its tree with our stationery inserted: it must be the last
(the first) thing of the body, in no other element; and what it says is seen
must be what we say is seen.
"""

import email
import email.policy
import os
import pathlib
import random
import re
import subprocess

import html5lib
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"),
                       "tests/tools/html_eval")
MARK = '<div id="%s"><p>stationery</p></div>'
XHTML = "{http://www.w3.org/1999/xhtml}"
RAW = {"script", "style", "title", "textarea", "xmp", "iframe", "noembed",
       "noframes", "plaintext", "template", "head", "video", "audio",
       "canvas", "datalist", "rp"}

NASTY = [
    "",
    "plain",
    "<p>a",
    "<html><body>a</body></html>",
    "<!DOCTYPE html><html><head><title>x</title></head><body>a</body></html>",
    "<body>a</body></html>trailing",
    "<body>a</body>between</html>after<!-- x -->",
    "a<body class=x>b</body>c</body>",
    "<!-- <body> -->a<!-- </body> -->",
    "<!-->a<!--->b<!--x--!>c",
    "<script>var a = '</body>'</script>a",
    "<script><!-- <script> </script> --></script>a",
    "<textarea></body></textarea>a",
    "<a title='</body>'>a</a>",
    "<a title=</body>>a",
    "<table><tr><td>a",
    "<table><tr><td><table><tr><td>a</td></table>b",
    "<table><tr><td>a</body></html>",
    "<b><i><u>a",
    "<p><b><i>a</p>b",
    "<font color=red><div>a</font>b",
    "<a href=x><table><tr><td><a href=y>a",
    "<div><span><b>a</div>b",
    "<ul><li>a<li>b<ul><li>c",
    "<dl><dt>a<dd>b<dt>c",
    "<div hidden>a<p>b</div>c",
    "<div style='display:none'>a</div>b<div style='display:none'>c",
    "<select><option>a<option>b",
    "<button>a<button>b",
    "<form>a<form>b</form>c",
    "<h1>a<h2>b</h1>c",
    "<p>a<table><tr><td>b</table>c",
    "<noscript><link rel=x></noscript><p>a",
    "<head></head><noscript>a</noscript>",
    "</p>a</br>b</div>",
    "<object>a<p>b",
    "<div class=WordSection1><p class=MsoNormal>a<o:p></o:p></p>",
    "<!--[if mso]><table><![endif]-->a<!--[if mso]></table><![endif]-->",
    "<![if !mso]>a<![endif]>b",
    "<nobr>a<nobr>b",
    "<pre>\na\n b",
    "&lt;body&gt;&amp;nbsp;&notit;&copy",
    "<x:y>a</x:z>b",
    "<body><frameset></frameset>",
    "<table><caption><b>a<tr><td>b</table>c",
    "<marquee><b>a</marquee>b",
    "<svg><g/><text>a</text></svg>b",
    "<html><head><meta></html>",
    "<span><div></span>a</div>b",
    "<b><p>a</b>b</p>c",
    "<hr/>a<br/><img alt='>'>b",
]


class Evaluator:
    def __init__(self):
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, page):
        data = page.encode("utf-8", "surrogatepass")
        self.process.stdin.write(b"%d\n" % len(data) + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"html_eval ended on {page!r}"
        top, bottom, *sizes = map(int, line.split())
        closing, why, text = (
            self.process.stdout.read(n).decode() for n in sizes)
        return data, top, bottom, closing, why, text


@pytest.fixture(scope="module")
def evaluate():
    evaluator = Evaluator()
    yield evaluator
    evaluator.process.stdin.close()
    assert evaluator.process.wait(10) == 0


def name(element):
    tag = element.tag
    return tag.replace(XHTML, "") if isinstance(tag, str) else "!"


def is_hidden(element):
    style = re.sub(r"\s", "", element.get("style") or "").lower()
    return (name(element) in RAW | {"!"} or "hidden" in element.attrib or
            "display:none" in style)


def seen(element, out):
    """The words that are seen below an element, in the tree's order."""
    if not is_hidden(element):
        out.append(element.text or "")
        for child in element:
            seen(child, out)
            out.append(child.tail or "")


def blank(text):
    return not (text or "").strip("\t\n\f\r \0")


def check_last(page, body):
    """The stationery is the body's last child; only blanks follow."""
    kids = [k for k in body if name(k) != "!"]
    # A form that is broken can be closed by nothing, and shows nothing.
    while kids and name(kids[-1]) == "form":
        body = kids[-1]
        kids = [k for k in body if name(k) != "!"]
    assert kids and kids[-1].get("id") == "bottom", page
    at = list(body).index(kids[-1])
    assert all(blank(k.tail) for k in list(body)[at:]), page


def check_first(page, body):
    """And the first."""
    kids = [k for k in body if name(k) != "!"]
    assert kids and kids[0].get("id") == "top", page
    at = list(body).index(kids[0])
    assert blank(body.text), page
    assert all(blank(k.tail) for k in list(body)[:at]), page


def letters(text):
    text = text.replace("\xa0", " ").replace("\0", "")
    return sorted("".join(text.split()))


def check(evaluate, page, texts=True):
    """Says whether the page took stationery."""
    data, top, bottom, closing, why, text = evaluate(page)
    if texts:
        out = []
        seen(html5lib.parse(page).find(f"{XHTML}body") if "<frameset" not in
             page else html5lib.parse(page), out)
        assert letters("".join(out)) == letters(text), page
    if why:
        return False
    parts = (data[:top], data[top:bottom], data[bottom:])
    parts = [p.decode("utf-8", "surrogatepass") for p in parts]
    made = (parts[0] + MARK % "top" + parts[1] + closing + MARK % "bottom" +
            parts[2])
    body = html5lib.parse(made).find(f"{XHTML}body")
    assert body is not None, made
    check_first(made, body)
    check_last(made, body)
    return True


def test_nasty_pages(evaluate):
    """B40: comments, attributes, raw text, no body, several, open tags."""
    taken = sum(check(evaluate, page) for page in NASTY)
    assert taken >= len(NASTY) - 2


def corpus_pages():
    for path in sorted((ROOT / "tests/system/mail").rglob("*")):
        if not path.is_file():
            continue
        message = email.message_from_bytes(
            path.read_bytes(), policy=email.policy.compat32)
        for part in message.walk():
            if part.get_content_type() == "text/html":
                data = part.get_payload(decode=True) or b""
                charset = part.get_content_charset() or "latin-1"
                try:
                    yield path.name, data.decode(charset, "replace")
                except LookupError:
                    yield path.name, data.decode("latin-1")


def test_real_pages(evaluate):
    """The HTML of real mail."""
    pages = list(corpus_pages())
    pages += [(p.name, p.read_text("utf-8", "replace")) for p in
              sorted((ROOT / "tests/fuzz/corpus/html").iterdir())]
    assert len(pages) >= 10
    taken = 0
    for _, page in pages:
        taken += check(evaluate, page, texts=False)
    assert taken >= len(pages) * 3 // 4


WORDS = ("w%d" % i for i in range(10 ** 9))
ELEMENTS = ("div p b i font a span ul li table tr td tbody th h1 h2 center "
            "blockquote em u pre form dl dt dd section nobr o:p code "
            "caption button object address").split()


def soup(rng, elements, misnest):
    """A page of random tags, some of them never closed."""
    out, stack = [], []
    if rng.random() < 0.4:
        out.append("<html><head><title>t</title></head><body>")
    for _ in range(rng.randrange(1, 40)):
        roll = rng.random()
        if roll < 0.3:
            out.append(rng.choice([" ", ""]) + next(WORDS) + " ")
        elif roll < 0.65:
            tag = rng.choice(elements)
            stack.append(tag)
            hide = (" hidden" if rng.random() < 0.03 and
                    tag in ("div", "p", "td", "tr", "ul", "section") else "")
            out.append(f"<{tag}{hide}>")
        elif roll < 0.9 and stack:
            tag = (rng.choice(stack) if rng.random() < misnest
                   else stack[-1])
            stack.reverse()
            stack.remove(tag)
            stack.reverse()
            out.append(f"</{tag}>")
        else:
            out.append(rng.choice(["<br>", "<hr>", "<!-- </body> -->",
                                   "<img alt='</body>'>", "&amp;",
                                   "</p>", "<style>a</style>", "\n"]))
    out.append(rng.choice(["", "</body>", "</body></html>", "</html>",
                           "</body></html>\n<!-- x -->",
                           "</body></html>" + next(WORDS)]))
    return "".join(out)


@pytest.mark.parametrize("seed", range(4))
def test_tag_soup(evaluate, seed):
    """Random pages; of what stands right in a table's rows (which browsers
    move in front of it) the places alone are compared."""
    rng = random.Random(seed)
    simple = [e for e in ELEMENTS if e not in (
        "table", "tr", "td", "tbody", "th", "caption")]
    taken = 0
    for i in range(1500):
        # What an object in a table's rows leaves open nobody sends.
        elements = simple if i % 2 else [e for e in ELEMENTS
                                         if e != "object"]
        page = soup(rng, elements, rng.choice([0, 0.1, 0.5]))
        taken += check(evaluate, page, texts=i % 2 == 1)
    assert taken > 1200
