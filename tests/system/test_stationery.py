"""Stationery on the way of mail: who gets which layout, what leaves, what is
recorded, and what becomes of mail when a layout fails, goes or changes
(checklist B38, B40, B41; MAN14, MAN15)."""

import email
import email.policy
import json
import re
import time

import pytest

from corpus import MAILS
from dkim_verifiers import Keys, all_good, verdicts
from harness import Sink, message, wait_for
from test_evidence import records

UNIQUE = "Example Ltd, registered in England 0123456"
OTHER = "Branch office of Example, Utrecht 98765"
ANY_SIZE = tuple(e for e in Sink.EXTENSIONS if not e.startswith("SIZE"))
CHUNKED = ANY_SIZE + ("CHUNKING",)
SEVEN = tuple(e for e in CHUNKED if e not in ("8BITMIME", "SMTPUTF8"))
def later(verb, _):  # a hook of the sink
    return "421 4.3.0 later" if verb == "EHLO" else None


BROKEN = ("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
          "boundary=b\r\n" + message(
              body="--b\r\nContent-Type: text/plain\r\n"
              "Content-Transfer-Encoding: base64\r\n\r\n****\r\n"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    k = Keys(tmp_path_factory.mktemp("keys"))
    k.definitions = [k.rsa("example.com", "rsa")]
    return k


def write_layouts(folder):
    (folder / "people.csv").write_text("address,title\nz@example.com,Z\n")
    for name, unique in (("corporate", UNIQUE), ("branch", OTHER)):
        (folder / f"{name}.html").write_text(
            f"<p>{{{{sender.title|Staff}}}}</p>\n<p>{unique}</p>\n")
        (folder / f"{name}.txt").write_text(
            f".\n{{{{sender.title|Staff}}}}\n{unique}\n")


def layout(name, unique, **more):
    return {"name": name, "html_file": f"{name}.html",
            "text_file": f"{name}.txt", "unique_text": unique} | more


@pytest.fixture
def world(make_gateway, make_sink, keys):
    """A gateway that signs and lays out what example.com sends; partner.test
    gets the corporate layout, branch.test that of the branch."""
    g = make_gateway(
        start=False, directory={"file": "people.csv"},
        definitions={"dns_authentication": keys.definitions,
                     "stationery_layouts": [layout("corporate", UNIQUE),
                                            layout("branch", OTHER)]},
        policies={
            "dns_authentication": [
                {"from": "domain:example.com",
                 "definition": [d["name"] for d in keys.definitions]}],
            "stationery": [
                {"narrative": "All", "from": "internal", "to": "external",
                 "layout": "corporate"},
                {"narrative": "Branch", "from": "internal",
                 "to": "domain:branch.test", "layout": "branch"}],
            "stationery_exclusion": [
                {"narrative": "Alerts", "from": "address:alerts@example.com",
                 "to": "everyone"}]})
    write_layouts(g.dir)
    for domain in ("partner.test", "branch.test"):
        g.mx(domain, "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port, extensions=CHUNKED)
    return g


def send(g, *rcpts, text=None, sender="a@example.com", params=""):
    with g.client(timeout=60) as c:
        r = c.mail(sender, rcpts or ["b@partner.test"], text or message(),
                   params)
        assert r.code == 250, r


def texts(data):
    """The decoded text parts."""
    m = email.message_from_bytes(data)
    return [p.get_payload(decode=True).decode(
                p.get_content_charset() or "ascii", "replace")
            for p in m.walk() if p.get_content_maintype() == "text"]


def original(text):
    return text.encode() if isinstance(text, str) else text


def stripped(data):
    """Less the fields that the gateway puts on top."""
    at = data.index(b"\r\nFrom:") + 2 if b"\r\nFrom:" in data else 0
    return data[at:]


def both(plain="Hello.", html="<p>Hello.</p>"):
    return ("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; "
            "boundary=\"=_b\"\r\n" + message(
                body=f"--=_b\r\nContent-Type: text/plain\r\n\r\n{plain}\r\n"
                f"--=_b\r\nContent-Type: text/html\r\n\r\n{html}\r\n"
                "--=_b--\r\n"))


def mixed(inner, attachment):
    head, body = inner.split("\r\n\r\n", 1)
    kind = [l for l in head.split("\r\n")
            if l.startswith(("MIME-", "Content-"))]
    rest = [l for l in head.split("\r\n") if l not in kind]
    part = "\r\n".join(l for l in kind if l.startswith("Content-"))
    return ("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
            "boundary=\"=_m\"\r\n" + "\r\n".join(rest) +
            f"\r\n\r\n--=_m\r\n{part}\r\n\r\n{body}\r\n--=_m\r\n"
            "Content-Type: application/octet-stream\r\n"
            "Content-Disposition: attachment; filename=x\r\n"
            f"Content-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n"
            "--=_m--\r\n")


# ---- what leaves -------------------------------------------------------------

@pytest.mark.parametrize("extensions", [CHUNKED, ANY_SIZE, ("SIZE",), SEVEN],
                         ids=["bdat", "data", "lock-step", "7 bits"])
def test_every_way_out(world, keys, extensions):
    world.start()
    world.sink.extensions = extensions
    mails = [
        message(), message(body=".\r\n..\r\n"), message(body=""),
        "MIME-Version: 1.0\r\nContent-Type: text/html\r\n" +
        message(body="<html><body><p>Hello</p></body></html>\r\n"),
        both(), mixed(both(), "QUJD\r\n" * 10),
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n" + message(body="Grüße\r\n"),
        message(body="word " * 900 + "\r\n"),
    ]
    for text in mails:
        send(world, text=text, params=" BODY=8BITMIME")
    got = world.sink.wait(len(mails))
    for m in got:
        all_good(keys, m.data, "example.com/rsa")
        for text in texts(m.data):
            assert text.count(UNIQUE) == 1, text
    wait_for(lambda: len(world.lines("delivered", stationery="applied",
                                     layout="corporate")) == len(mails))


def test_long_messages_are_streamed(world, keys):
    world.start()
    text = mixed(both(), "QUJDREVG" * 9 + "\r\n" +
                 ("QUJDREVG" * 9 + "\r\n") * 70000)
    for extensions in (CHUNKED, ANY_SIZE):
        world.sink.extensions = extensions
        send(world, text=text)
    for m in world.sink.wait(2, timeout=60):
        assert len(m.data) > 5_000_000
        all_good(keys, m.data, "example.com/rsa")
        parts = texts(m.data)
        assert len(parts) == 2 and all(p.count(UNIQUE) == 1 for p in parts)
        tail = original(text)[-4 * 1024 * 1024:]
        assert m.data.endswith(tail)


def test_layouts_by_recipient(world, keys):
    world.start()
    send(world, "b@partner.test", "c@partner.test", "d@branch.test",
         "e@branch.test")
    got = wait_for(lambda: len(world.sink.messages) == 2 and
                   world.sink.messages)
    for m in got:
        all_good(keys, m.data, "example.com/rsa")
        corporate = "partner.test" in m.rcpts[0][0]
        assert len(m.rcpts) == 2
        text = texts(m.data)[0]
        assert text.count(UNIQUE) == (1 if corporate else 0)
        assert text.count(OTHER) == (0 if corporate else 1)
    wait_for(lambda: len(world.lines("delivered", layout="branch")) == 2)


def test_layouts_to_one_next_hop(world):
    """One domain, two layouts: never in one transaction."""
    world.settings["policies"]["stationery"].append(
        {"from": "internal", "to": "address:d@partner.test",
         "layout": "branch"})
    world.write()
    world.start()
    send(world, "b@partner.test", "d@partner.test", "c@partner.test")
    got = world.sink.wait(2)
    for m in got:
        alone = [r for r, _ in m.rcpts] == ["d@partner.test"]
        assert (UNIQUE in m.text) != alone and (OTHER in m.text) == alone


# ---- what gets none ----------------------------------------------------------

def test_exclusion_wins(world):
    world.start()
    text = message(sender="alerts@example.com")
    send(world, text=text, sender="alerts@example.com")
    got = world.sink.wait(1)[0]
    assert stripped(got.data) == original(text)
    assert "stationery=" not in world.wait_log("delivered")[0]


def test_automatic_mail(world):
    world.settings["policies"]["stationery"][0]["automatic_mail"] = False
    world.write()
    world.start()
    send(world, text="Auto-Submitted: auto-replied\r\n" + message())
    send(world, "d@branch.test",
         text="Auto-Submitted: auto-replied\r\n" + message())
    send(world, text=message())
    got = world.sink.wait(3)
    found = {(m.rcpts[0][0], b"Auto-Submitted" in m.data):
             UNIQUE in m.text or OTHER in m.text for m in got}
    assert sorted(found.values()) == [False, True, True], found
    assert not [v for (r, auto), v in found.items()
                if auto and "partner" in r][0]


def test_inbound_and_reports_stay(world):
    """Mail from outside, and a DSN of ours, are as they were."""
    world.settings["policies"]["stationery"][0] |= {"from": "everyone",
                                                    "to": "everyone"}
    world.settings["authorized_outbound"] = [{"network": "127.0.0.9"}]
    world.write()
    world.start()
    text = message(sender="x@outside.test")
    send(world, "a@example.com", text=text, sender="x@outside.test")
    wait_for(world.boxed)
    assert UNIQUE not in world.boxed()[0].decode()
    assert not world.lines("delivered", stationery="applied")


def test_report_stays(world):
    world.settings["policies"]["stationery"][0]["to"] = "everyone"
    world.write()
    world.start()
    world.sink.hook = lambda verb, arg: (
        "550 5.1.1 nobody here" if verb == "RCPT" else None)
    send(world, text=message())
    wait_for(world.boxed)
    report = world.boxed()[0]
    assert b"multipart/report" in report and UNIQUE.encode() not in report


@pytest.mark.parametrize("kind", ["signed; protocol=\"application/pkcs7-"
                                  "signature\"; micalg=sha-256", "encrypted"])
def test_untouched(world, kind):
    world.start()
    text = (f"MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; "
            "boundary=b\r\n" + message(
                body="--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\n"
                "Content-Type: application/pkcs7-signature\r\n\r\nx\r\n"
                "--b--\r\n"))
    send(world, text=text)
    got = world.sink.wait(1)[0]
    at = got.data.index(b"MIME-Version: 1.0")
    assert got.data[at:] == original(text)
    line = world.wait_log("delivered")[0]
    assert "stationery=untouched" in line and "stationery_why=" in line
    assert records(world)[-1]["stationery"]["outcome"] == "untouched"


# ---- once --------------------------------------------------------------------

def test_once_only(world, keys):
    world.start()
    for text in (message(), both()):
        send(world, text=text)
    first = [m.data for m in world.sink.wait(2)]
    for data in first:
        at = data.index(b"Received:")
        send(world, text=data[at:].decode())
    for before, m in zip(first, world.sink.wait(4)[2:]):
        assert m.data.endswith(before[before.index(b"Received:"):])
        all_good(keys, m.data, "example.com/rsa")
    wait_for(lambda: len(world.lines("delivered",
                                     stationery="present")) == 2)


@pytest.mark.parametrize("corpus", ["own", "shared"])
def test_corpus_twice(world, keys, corpus):
    """Every message through two passes: nothing is added by the second."""
    mails = {n: d for n, d in MAILS.items() if n.startswith(corpus + "/") and
             not n.endswith("/large")}
    if not mails:
        pytest.skip("no such corpus here")
    world.settings["admission"] = {"header_from": "allow"}
    world.write()
    world.start()
    outcomes = {}
    for name, data in mails.items():
        seen = [data.replace(b"\n", b"\r\n")]
        for turn in (1, 2):
            n = len(world.sink.messages)
            mark = len(world.log)
            with world.client(timeout=60) as c:
                r = c.mail("a@example.com", ["b@partner.test"], seen[-1],
                           " BODY=8BITMIME SMTPUTF8")
            if r.code != 250:
                break
            wait_for(lambda: len(world.sink.messages) > n or
                     world.lines("bounced", start=mark))
            if len(world.sink.messages) == n:
                break
            seen.append(world.sink.messages[-1].data)
            line = wait_for(lambda: world.lines("delivered", start=mark))[0]
            outcomes[name, turn] = re.search(r"stationery=(\w+)", line)[1]
            if " signed=example.com/rsa" in line:
                found = verdicts(keys, seen[-1])
                assert all(v["example.com/rsa"] for v in found.values()), \
                    (name, turn, found)
        if outcomes.get((name, 1)) == "applied":
            assert outcomes.get((name, 2)) == "present", name
            assert sum(t.count(UNIQUE) for t in texts(seen[-1])) >= 1 or \
                UNIQUE.encode() in seen[-1].replace(b"=\r\n", b""), name
    assert sum(o == "applied" for o in outcomes.values()) > len(mails) // 4


# ---- what fails, goes, changes -----------------------------------------------

def test_failed_is_sent(world):
    world.start()
    send(world, text=BROKEN)
    got = world.sink.wait(1)[0]
    at = got.data.index(b"MIME-Version: 1.0")
    assert got.data[at:] == original(BROKEN)
    assert world.wait_log("delivered", stationery="failed",
                          layout="corporate")


def test_failed_is_held(world):
    world.settings["definitions"]["stationery_layouts"][0] |= {
        "on_failure": "hold"}
    world.write()
    world.start()
    send(world, text=BROKEN)
    line = world.wait_log("held")[0]
    assert "stationery=failed" in line and "layout=corporate" in line
    queue = world.api("queue", "--json", "--status", "held")
    assert "stationery" in queue.stdout and "failed" in queue.stdout
    world.stop()
    world.start()
    time.sleep(1.5)
    assert not world.sink.messages
    assert "failed" in world.api("queue", "--status", "held").stdout


def test_layout_gone_and_back(world):
    world.settings["delivery"]["retry"] = ["1s"]
    world.write()
    world.sink.hook = later
    world.start()
    send(world, text=message())
    world.wait_log("deferred")
    kept = world.settings["definitions"]["stationery_layouts"]
    policies = world.settings["policies"]["stationery"]
    world.settings["definitions"]["stationery_layouts"] = [kept[1]]
    world.settings["policies"]["stationery"] = [policies[1]]
    world.write()
    assert world.api("reload").returncode == 0
    world.sink.hook = lambda verb, arg: None
    line = wait_for(lambda: [l for l in world.lines("deferred")
                             if "gone from the configuration" in l])[0]
    assert "status=451 dsn=4.7.0" in line
    assert not world.sink.messages
    world.settings["definitions"]["stationery_layouts"] = kept
    world.settings["policies"]["stationery"] = policies
    world.write()
    assert world.api("reload").returncode == 0
    assert UNIQUE in world.sink.wait(1)[0].text


def test_kill_keeps_the_decision(world):
    """The policy of its acceptance holds, whatever stands there now."""
    world.sink.hook = later
    world.start()
    send(world, text=message())
    world.wait_log("deferred")
    world.kill()
    world.settings["policies"]["stationery"][0]["layout"] = "branch"
    world.write()
    world.sink.hook = lambda verb, arg: None
    world.start()
    got = world.sink.wait(1)[0]
    assert UNIQUE in got.text and OTHER not in got.text


def test_directory_by_itself(world):
    people = world.dir / "people.csv"
    people.write_text("address,title\na@example.com,Head of Mail\n")
    world.settings["directory"] = {"file": "people.csv", "check": "1s"}
    world.write()
    world.start()
    world.allowed = ["directory-failed"]
    send(world)
    assert "Head of Mail" in world.sink.wait(1)[0].text
    status = json.loads(world.api("status", "--json").stdout)
    assert status["directory"] == {"people": 1, "why": None}

    people.write_text("address,title\na@example.com,Chief\nb@x.test,Y\n")
    world.wait_log("directory", people="2")
    send(world)
    assert "Chief" in world.sink.wait(2)[1].text

    people.write_text("name,title\nnobody,Z\n")
    world.wait_log("directory-failed")
    time.sleep(2.5)
    assert len(world.lines("directory-failed")) == 1
    status = json.loads(world.api("status", "--json").stdout)
    assert status["directory"]["people"] == 2
    assert "address" in status["directory"]["why"]
    send(world)
    assert "Chief" in world.sink.wait(3)[2].text
    reload = world.api("reload")
    assert reload.returncode != 0 and "people.csv" in (reload.stdout +
                                                       reload.stderr)

    people.write_text("address,title\na@example.com,Boss\n")
    world.wait_log("directory", people="1")
    send(world)
    assert "Boss" in world.sink.wait(4)[3].text
    status = json.loads(world.api("status", "--json").stdout)
    assert status["directory"] == {"people": 1, "why": None}


def test_bad_directory_ends_the_start(world):
    (world.dir / "people.csv").write_text("name,title\nnobody,Z\n")
    world.settings["directory"] = {"file": "people.csv"}
    world.write()
    world.start(wait=False)
    world.allowed = ["start-failed"]
    assert world.process.wait(10) == 2
    world.reader.join(5)
    world.process = None
    assert any("people.csv" in line for line in world.log), world.log


def test_layout_without_its_words_is_refused(world):
    """It would be put round a message again and again."""
    world.start()
    (world.dir / "corporate.html").write_text("<p>other words</p>\n")
    reload = world.api("reload")
    assert reload.returncode != 0
    assert "unique_text" in reload.stdout + reload.stderr
    send(world, text=both())
    assert all(UNIQUE in t for t in texts(world.sink.wait(1)[0].data))
    world.stop()
    world.start(wait=False)
    assert world.process.wait(10) == 2
    world.reader.join(5)
    world.process = None


# ---- explain -----------------------------------------------------------------

def explain(g, *args):
    r = g.api("explain", "--ip", "127.0.0.1", *args, "--json")
    return json.loads(r.stdout)["stationery"]


def test_explain(world, tmp_path):
    world.start()
    f = tmp_path / "m.eml"
    a = ("--from", "a@example.com", "--to")
    assert explain(world, *a, "d@branch.test")["layout"] == "branch"
    s = explain(world, "--from", "alerts@example.com", "--to",
                "b@partner.test")
    assert s["layout"] is None and "exclusion" in s["none_why"]
    for text, outcome in ((message(), "applied"), (BROKEN, "failed"),
                          (message(body=UNIQUE + "\r\n"), "present")):
        f.write_bytes(text.encode())
        s = explain(world, *a, "b@partner.test", "--message", str(f))
        assert s["layout"] == "corporate"
        assert s["message"]["outcome"] == outcome, s
    shown = world.api("explain", "--ip", "127.0.0.1", *a, "b@partner.test",
                      "--message", str(f)).stdout
    assert "stationery" in shown and "present" in shown
    assert not world.sink.messages
