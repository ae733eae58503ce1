"""Signatures on mail that leaves, as verifiers of others find them, behind a
real Postfix too (checklist B27, B30, B31, B34, B36, A3.16, C87)."""

import pathlib
import re
import shutil
import smtplib
import sys
import tempfile
import time

import pytest

from corpus import MAILS
from dkim_verifiers import Keys, all_bad, all_good, by_opendkim, verdicts
from harness import ROOT, Sink, free_port, message, wait_for
from test_evidence import records
from test_postfix import PLAIN, wants_smtputf8

sys.path.append(str(ROOT / "tests"))
from postfix import PostfixInstance  # noqa: E402, it stands in tests/

BOTH = ("example.com/rsa", "example.com/ed")
ANY_SIZE = tuple(e for e in Sink.EXTENSIONS if not e.startswith("SIZE"))
ALL = ANY_SIZE + ("CHUNKING",)
SEVEN = tuple(e for e in ALL if e not in ("8BITMIME", "SMTPUTF8"))

# Mail without one author for every reader, or that verifiers may read in two
# ways: it is not signed.
UNSIGNED = {
    "own/bare": "no From field",
    "shared/cpython--msg_05": "From: foo",
    "shared/cpython--msg_35": "a line of the header is not a field",
    "shared/cpython--msg_38": "no From field",
    "shared/cpython--msg_43": "From: MAILER DAEMON <>",
    "shared/ruby-mail--raw_email_multiple_from": "two addresses, no comma",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    k = Keys(tmp_path_factory.mktemp("keys"))
    k.definitions = [k.rsa("example.com", "rsa"),
                     k.ed25519("example.com", "ed")]
    return k


def signing(keys, **policy):
    return {
        "definitions": {"dns_authentication": keys.definitions},
        "policies": {"dns_authentication": [
            {"from": "domain:example.com", "to": "everyone",
             "definition": [d["name"] for d in keys.definitions]} | policy]},
    }


@pytest.fixture
def world(make_gateway, make_sink, keys, request):
    """A gateway that signs what example.com sends, and two partners."""
    g = make_gateway(start=False, **signing(
        keys, **getattr(request, "param", {})))
    for domain in ("partner.test", "other.test"):
        g.mx(domain, "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port, extensions=ALL)
    return g.start()


def send(g, *rcpts, text=None, sender="a@example.com", params=""):
    with g.client(timeout=60) as c:
        r = c.mail(sender, rcpts or ["b@partner.test"], text or message(),
                   params)
        assert r.code == 250, r


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def from_maildir(data):
    """What was delivered, less the two fields of the delivery."""
    return crlf(re.sub(rb"\AReturn-Path: .*\nDelivered-To: .*\n", b"", data))


# ---- octets that leave -------------------------------------------------------

@pytest.mark.parametrize("extensions", [ALL, ANY_SIZE, ("SIZE",), SEVEN],
                         ids=["bdat", "data", "lock-step", "7 bits"])
def test_every_way_out(world, keys, extensions):
    world.sink.extensions = extensions
    texts = {
        "plain": message(),
        "dots": message(body=".\r\n..\r\n.a  b \t\r\n\r\n\r\n"),
        "no body": message(body=""),
        "eight bits": "MIME-Version: 1.0\r\nContent-Type: text/plain; "
                      "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" +
                      message(body="Grüße\r\n"),
        "long lines": message(body="word " * 900 + "\r\n"),
        "long": message(body="." * 70 + "\r\nx\r\n" + 9000 * ("a" * 70 +
                                                             "\r\n.\r\n")),
    }
    for text in texts.values():
        send(world, text=text, params=" BODY=8BITMIME")
    got = world.sink.wait(len(texts))
    for m in got:
        all_good(keys, m.data, *BOTH)
        assert m.data.startswith(b"DKIM-Signature:")
    assert len(world.lines("delivered", signed=",".join(BOTH))) == len(texts)
    converted = [m for m in got if b"Content-Transfer-Encoding: quoted" in
                 m.data]
    assert len(converted) >= (2 if "8BITMIME" not in extensions else 1)


@pytest.mark.parametrize("extensions", [ALL, ANY_SIZE], ids=["bdat", "data"])
def test_twenty_megabytes(world, keys, extensions):
    world.sink.extensions = extensions
    line = "." + "x" * 70 + "\r\n"
    text = message(body=line * (20 * 1024 * 1024 // len(line)))
    send(world, text=text)
    got = world.sink.wait(1, timeout=60)[0]
    assert len(got.data) > len(text)
    all_good(keys, got.data, *BOTH)
    # somebody changes one octet near the end
    all_bad(keys, got.data[:-100] + b"y" + got.data[-99:])


@pytest.mark.parametrize("field", [
    "From: evil@example.com", "Subject: other", "To: c@partner.test",
    "Cc: c@partner.test", "Reply-To: evil@x.test", "Date: never",
    "Message-ID: <other@example.com>"])
def test_added_field_breaks_it(world, keys, field):
    """B34: on top, where readers look, and below, where signers do."""
    send(world)
    data = world.sink.wait()[0].data
    all_good(keys, data, *BOTH)
    header, _, body = data.partition(b"\r\n\r\n")
    line = field.encode()
    all_bad(keys, line + b"\r\n" + data)
    all_bad(keys, header + b"\r\n" + line + b"\r\n\r\n" + body)


@pytest.mark.parametrize("odd", [
    "Subject : blank before the colon", "X-Folded:\r\n \r\n\tx", "X:",
    "X-Long: " + "x" * 900, "Subject:\r\n second", "no colon at all",
    " begins with a blank", ": no name", "To: \tu  v \t w\t",
    "Cc: c@x.test\r\nCc: d@x.test"])
def test_b30_odd_headers(world, keys, odd):
    """What is signed is what is sent: all verifiers agree that it is good, or
    there is nothing to agree on."""
    header, _, body = message().partition("\r\n\r\n")
    send(world, text=f"{header}\r\n{odd}\r\nX-End: x\r\n\r\n{body}")
    data = world.sink.wait()[0].data
    assert odd.encode() in data
    if odd in ("no colon at all", ": no name"):
        assert b"DKIM-Signature" not in data
    elif odd.startswith("Subject :"):
        # RFC 6376 3.4.2 knows it, python3-dkim does not
        assert by_opendkim(keys, data) == {s: True for s in BOTH}
    else:
        all_good(keys, data, *BOTH)


def test_what_is_signed(world):
    """C87, gateway's form: no l=, no i=, relaxed, t= of now."""
    send(world, text="Received: from x\r\nReturn-Path: <x@y>\r\n" + message())
    data = world.sink.wait()[0].data.decode()
    fields = re.findall(r"(?ms)^DKIM-Signature:(.*?)\r\n(?=\S)", data)
    assert len(fields) == 2
    for field in fields:
        tags = dict(t.split("=", 1) for t in
                    re.sub(r"\s", "", field).strip(";").split(";"))
        names = tags["h"].lower().split(":")
        assert tags["c"] == "relaxed/relaxed"
        assert not {"l", "i", "x"} & set(tags)
        assert abs(int(tags["t"]) - time.time()) < 120
        assert not {"received", "return-path", "dkim-signature",
                    "authentication-results"} & set(names)
        assert names.count("from") == 2 and names.count("to") == 2


# ---- who is signed for -------------------------------------------------------

@pytest.mark.parametrize("world", [{"to": "address:b@partner.test"}],
                         indirect=True)
def test_each_recipient_as_decided(world, keys):
    """One next hop, two forms: two transactions."""
    send(world, "b@partner.test", "c@partner.test", "d@other.test")
    found = {}
    for m in world.sink.wait(3):
        found |= {r[0]: m.data for r in m.rcpts}
        assert len(m.rcpts) == 1
    all_good(keys, found["b@partner.test"], *BOTH)
    for rcpt in ("c@partner.test", "d@other.test"):
        assert b"DKIM-Signature" not in found[rcpt]
        assert "signed=" not in world.wait_log("delivered", to=rcpt)[0]


def test_recipients_of_one_form_travel_together(world, keys):
    send(world, "b@partner.test", "c@partner.test", "d@other.test")
    got = world.sink.wait(2)
    assert sorted(len(m.rcpts) for m in got) == [1, 2]
    for m in got:
        all_good(keys, m.data, *BOTH)


def test_mail_from_outside_is_not_signed(world):
    """B27: neither what claims to be ours nor what comes to us."""
    with world.client(source="127.0.0.9") as c:
        assert c.mail("a@example.com", ["b@partner.test"],
                      message()).code >= 400
    with world.client(source="127.0.0.9") as c:
        assert c.mail("a@stranger.test", ["b@example.com"], message(
            sender="a@example.com")).code == 250
    wait_for(world.boxed, 15, "mail")
    assert b"DKIM-Signature" not in world.boxed()[0]
    assert world.sink.messages == []


def test_in_a_maildir(world, keys):
    send(world, "b@example.com", text=message(body=".\r\n..\r\nx\r\n\r\n"))
    wait_for(world.boxed, 15, "mail")
    all_good(keys, from_maildir(world.boxed()[0]), *BOTH)
    assert world.wait_log("delivered", to="b@example.com",
                          signed=",".join(BOTH))


def test_the_record_of_the_attempt(world):
    send(world)
    world.sink.wait()
    world.wait_log("delivered")
    assert records(world)[0]["signed"] == ",".join(BOTH)


# ---- our own mail ------------------------------------------------------------

def test_reports_are_signed(world, keys):
    world.sink.hook = lambda verb, arg: (
        "550 5.1.1 No such user" if verb == "RCPT" else None)
    send(world, params=" RET=FULL")
    wait_for(world.boxed, 15, "a report")
    data = from_maildir(world.boxed()[0])
    assert b"From: Mail Delivery System <MAILER-DAEMON@example.com>" in data
    all_good(keys, data, *BOTH)


@pytest.mark.parametrize("world", [{"from": "address:c@example.com"}],
                         indirect=True)
def test_reports_without_a_policy(world):
    world.sink.hook = lambda verb, arg: (
        "550 5.1.1 No such user" if verb == "RCPT" else None)
    send(world)
    wait_for(world.boxed, 15, "a report")
    data = world.boxed()[0]
    assert b"From: Mail Delivery System <MAILER-DAEMON@gw.example.net>" in data
    assert b"DKIM-Signature" not in data


# ---- keys that come and go ---------------------------------------------------

def test_definition_that_is_gone(world, keys):
    """A3.16: what was to be signed is not sent without."""
    world.sink.hook = lambda verb, arg: (
        "451 4.3.0 Later" if verb == "DOT" else None)
    send(world)
    world.wait_log("deferred")
    settings = {k: world.settings.pop(k) for k in ("definitions", "policies")}
    world.write()
    assert world.api("reload").returncode == 0
    world.sink.hook = lambda verb, arg: None
    line = wait_for(lambda: [l for l in world.lines("deferred")
                             if "is gone" in l], 20, "deferred")[0]
    assert '"rsa of example.com\\"' in line
    assert " level=warn " in line
    assert " dsn=4.7.0 " in line
    assert world.sink.messages == []
    # mail that is decided now needs no key
    send(world, "c@partner.test")
    assert b"DKIM-Signature" not in world.sink.wait()[0].data
    # and back
    world.write(**settings)
    assert world.api("reload").returncode == 0
    all_good(keys, world.sink.wait(2, timeout=30)[1].data, *BOTH)


def test_new_key_without_restart(world, keys):
    send(world)
    first = world.sink.wait()[0].data
    fresh = Keys(keys.folder / "fresh")
    world.write(**signing(type("K", (), {
        "definitions": [fresh.rsa("example.com", "next", 1024)]})))
    assert world.api("reload").returncode == 0
    send(world)
    all_good(fresh, world.sink.wait(2)[1].data, "example.com/next")
    all_good(keys, first, *BOTH)


def test_bad_key_at_reload_keeps_the_old(world, keys):
    bad = keys.folder / "bad.pem"
    bad.write_text("no key")
    bad.chmod(0o600)
    before = keys.definitions[0]["key_file"]
    world.settings["definitions"]["dns_authentication"][0]["key_file"] = \
        str(bad)
    world.write()
    r = world.api("reload")
    assert r.returncode != 0 and "bad.pem" in r.stdout + r.stderr
    world.settings["definitions"]["dns_authentication"][0]["key_file"] = before
    send(world)
    all_good(keys, world.sink.wait()[0].data, *BOTH)


def test_decision_outlives_a_restart(world, keys):
    world.sink.hook = lambda verb, arg: (
        "451 4.3.0 Later" if verb == "DOT" else None)
    send(world)
    world.wait_log("deferred")
    world.stop()
    world.sink.hook = lambda verb, arg: None
    world.start()
    all_good(keys, world.sink.wait()[0].data, *BOTH)


# ---- behind a Postfix ---------------------------------------------------------

@pytest.fixture
def spool():
    # not below tmp_path, whose parents only their owner may search
    folder = pathlib.Path(tempfile.mkdtemp(prefix="postfix."))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_corpus_behind_postfix(make_gateway, make_sink, keys, spool, capsys):
    """All of the corpus, signed twice, relayed once more."""
    g = make_gateway(start=False, **signing(keys))
    g.mx("partner.test", "127.0.0.2")
    last = free_port()
    sink = make_sink("127.0.0.3", last, extensions=ANY_SIZE)
    postfix = PostfixInstance(
        spool / "relay", {f"127.0.0.2:{g.mx_port}": {}}, PLAIN | {
            "myhostname": "relay.partner.test",
            "relayhost": f"[127.0.0.3]:{last}",
            "smtputf8_autodetect_classes": "verify",
            "smtp_line_length_limit": 0,
        })
    try:
        postfix.start()
        g.start()
        with smtplib.SMTP("127.0.0.1", g.port, timeout=60) as c:
            c.ehlo("tests.example.com")
            for i, data in enumerate(MAILS.values()):
                options = ["BODY=8BITMIME"]
                if wants_smtputf8(data):
                    options.append("SMTPUTF8")
                assert c.mail("a@example.com", options)[0] == 250
                assert c.rcpt(f"m{i}@partner.test")[0] == 250
                assert c.data(crlf(data))[0] == 250
        sink.wait(len(MAILS), timeout=90)
    finally:
        postfix.stop()
    names = list(MAILS)
    bad, unsigned = [], {}
    for m in sink.messages:
        name = names[int(re.match(r"m(\d+)@", m.rcpts[0][0])[1])]
        assert b"by relay.partner.test" in m.data
        found = {v: {s: good for s, good in by.items()
                     if s.startswith("example.com/")}  # others sign too
                 for v, by in verdicts(keys, m.data).items()}
        if not any(found.values()):
            unsigned[name] = True
        elif any(v != {s: True for s in BOTH} for v in found.values()):
            bad.append(f"{name}: {found}")
    with capsys.disabled():
        print(f"\ntest_dkim_out.py: {len(MAILS) - len(unsigned)} messages "
              "verify behind Postfix; not signed:", *sorted(unsigned))
    assert not bad, "\n".join(bad)
    assert set(unsigned) == {n for n in UNSIGNED if n in MAILS}
