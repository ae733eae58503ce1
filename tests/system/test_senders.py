"""Managed senders: what mail makes of them, and what people do with them."""

import csv
import io
import json
import subprocess

import pytest

from harness import message, wait_for

POLICY = [{"from": "internal", "to": "external",
           "option": "general_aal_entries"}]


@pytest.fixture
def g(make_gateway, make_sink):
    """partner.test takes mail but for nobody@; list_mail is off."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.write(policies={"auto_allow_creation": POLICY})
    g.sink = make_sink("127.0.0.2", g.mx_port, hook=lambda verb, line: (
        "550 5.1.1 No such user"
        if verb == "RCPT" and "nobody" in str(line) else None))
    return g.start()


def rows(g, *args):
    r = g.api("senders", "--json", *args)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)["rows"]


def pairs(g, *args):
    return {(r["outside"], r["inside"]): r["type"] for r in rows(g, *args)}


def send(g, sender, rcpt, header="", body="Hello.\r\n"):
    """Waits until the message has left the queue."""
    with g.client() as c:
        mark = len(g.log)
        assert c.mail(sender, rcpt, header + message(body=body)).code == 250
    to = rcpt if isinstance(rcpt, str) else rcpt[0]
    wait_for(lambda: g.lines("delivered", start=mark, to=to) or
             g.lines("bounced", start=mark, to=to), 15, f"the fate of {to}")


def test_mail_of_a_person(g):
    send(g, "User@Example.com", "Bob+x@Partner.TEST")
    got = wait_for(lambda: rows(g), 5, "the entry")
    assert len(got) == 1
    assert got[0]["outside"] == "bob+x@partner.test"
    assert got[0]["inside"] == "user@example.com"
    assert got[0]["type"] == "auto" and got[0]["made"] == got[0]["used"]
    # 120 days, to the second
    days = __import__("datetime").datetime.fromisoformat
    span = (days(got[0]["expires"].rstrip("Z")) -
            days(got[0]["used"].rstrip("Z")))
    assert span.days == 120 and span.seconds == 0
    # Renewed by the next one, made stays; never a second entry.
    send(g, "user@example.com", "bob+x@partner.test")
    wait_for(lambda: rows(g)[0]["used"] > got[0]["used"], 5, "a renewal")
    again = rows(g)
    assert len(again) == 1 and again[0]["made"] == got[0]["made"]
    g.stop()
    g.start()
    assert rows(g) == again
    table = g.api("senders").stdout.splitlines()
    assert table[0].split() == ["OUTSIDE", "INSIDE", "TYPE", "MADE", "USED",
                                "EXPIRES"]
    assert table[1].split()[:3] == ["bob+x@partner.test", "user@example.com",
                                    "auto"]


@pytest.mark.parametrize("sender, rcpt, header", [
    ("", "bob@partner.test", ""),
    ("user@example.com", "bob@partner.test",
     "Auto-Submitted: auto-replied (vacation)\r\n"),
    ("user@example.com", "bob@partner.test", "Precedence: bulk\r\n"),
    ("user@example.com", "bob@partner.test",
     "List-Id: <l.example.com>\r\n"),
    ("user@example.com", "nobody@partner.test", ""),
    ("user@example.com", "ann@example.com", ""),
], ids=["null", "out-of-office", "bulk", "list", "bounced", "internal"])
def test_no_entry(g, sender, rcpt, header):
    send(g, sender, rcpt, header)
    # A later one of a person shows that the earlier one had its chance.
    send(g, "last@example.com", "carl@partner.test")
    wait_for(lambda: rows(g), 5, "the last entry")
    assert pairs(g) == {("carl@partner.test", "last@example.com"): "auto"}


def test_bounced_beside_delivered(g):
    with g.client() as c:
        assert c.mail("user@example.com",
                      ["bob@partner.test", "nobody@partner.test"],
                      message()).code == 250
    g.wait_log("bounced", to="nobody@partner.test")
    wait_for(lambda: rows(g), 5, "the entry")
    assert pairs(g) == {("bob@partner.test", "user@example.com"): "auto"}


def test_delivered_at_last(make_gateway, make_sink):
    """A retry teaches as well."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.write(policies={"auto_allow_creation": POLICY})
    turns = []

    def hook(verb, _):
        if verb == "RCPT":
            turns.append(1)
            return "450 4.2.0 Later" if len(turns) == 1 else None
        return None

    g.start()
    make_sink("127.0.0.2", g.mx_port, hook=hook)
    with g.client() as c:
        assert c.mail("user@example.com", "bob@partner.test",
                      message()).code == 250
    g.wait_log("deferred", to="bob@partner.test")
    assert not rows(g)
    g.wait_log("delivered", to="bob@partner.test")
    wait_for(lambda: rows(g), 5, "the entry")


def test_no_policy_no_entry(relay):
    send(relay, "user@example.com", "bob@partner.test")
    assert not rows(relay)


def test_list_mail_by_policy(g):
    g.write(policies={"auto_allow_creation": [
        dict(POLICY[0], list_mail=True)]})
    assert g.api("reload").returncode == 0
    send(g, "user@example.com", "bob@partner.test",
         "List-Id: <l.example.com>\r\n")
    wait_for(lambda: rows(g), 5, "the entry")


def test_caps_and_expiry(g):
    g.write(managed_senders={"per_message": 2, "per_sender": "3/1h",
                             "expire": "3s"})
    assert g.api("reload").returncode == 0
    with g.client() as c:
        assert c.mail("user@example.com",
                      [f"r{i}@partner.test" for i in range(5)],
                      message()).code == 250
    g.wait_log("delivered", to="r4@partner.test")
    assert len(wait_for(lambda: rows(g), 2, "entries")) == 2
    for i in range(5, 8):
        send(g, "user@example.com", f"r{i}@partner.test")
    assert len(rows(g, "--outside", "r5@partner.test")) == 1
    assert not rows(g, "--outside", "r6@partner.test")
    wait_for(lambda: not rows(g), 6, "the end of them")


def test_people_decide(g):
    def change(*args):
        return g.api("senders", *args)

    assert change("allow", "Bob@Partner.test", "user@example.com") \
        .returncode == 0
    assert change("block", "@Evil.test", "user@example.com").returncode == 0
    want = {("bob@partner.test", "user@example.com"): "permit",
            ("@evil.test", "user@example.com"): "block"}
    assert pairs(g) == want
    assert g.lines("senders-changed", action="allow")
    assert any('by="uid 0, pid ' in l for l in g.lines("senders-changed"))
    # Mail does not touch what people decided.
    before = rows(g)
    send(g, "user@example.com", "bob@partner.test")
    assert rows(g) == before
    assert change("block", "bob@partner.test", "user@example.com") \
        .returncode == 0
    assert pairs(g)[("bob@partner.test", "user@example.com")] == "block"
    assert pairs(g, "--type", "permit") == {}
    assert len(pairs(g, "--outside", "@evil.test")) == 1
    assert len(pairs(g, "--inside", "@example.com")) == 2
    g.kill()
    g.start()
    assert len(rows(g)) == 2
    assert change("delete", "@evil.test", "user@example.com").returncode == 0
    r = change("delete", "@evil.test", "user@example.com")
    assert r.returncode == 1 and "no such entry" in r.stderr
    assert len(rows(g)) == 1


@pytest.mark.parametrize("args, status, text", [
    (["allow", "bob@partner.test"], 2, "EXTERNAL INTERNAL"),
    (["allow", "user@example.com", "bob@partner.test"], 2, "internal domain"),
    (["allow", "bob@partner.test", "x@other.test"], 2, "internal domains"),
    (["allow", "bob", "user@example.com"], 2, "neither an address"),
    (["block", "bob@partner.test", "@example.com"], 2, "not an address"),
    (["--type", "odd"], 2, "type is none of"),
    (["--limit", "0"], 2, "limit"),
    (["--cursor", "zz"], 2, "cursor"),
    (["--cursor", "6161"], 2, "cursor"),
    (["frobnicate"], 2, "no command"),
    (["import"], 2, "FILE"),
    (["import", "/nonexistent"], 1, "No such file"),
    (["export", "--json"], 2, "--json"),
    (["export", "--limit", "3"], 2, "--limit"),
])
def test_usage(g, args, status, text):
    r = g.api("senders", *args)
    assert r.returncode == status and text in r.stderr, r.stderr
    assert not rows(g)


def test_pages(g, tmp_path):
    lines = ["outside,inside,type"] + [
        f"r{i}@partner.test,u{i % 3}@example.com,permit" for i in range(25)]
    (tmp_path / "f.csv").write_text("\n".join(lines))
    r = g.api("senders", "import", str(tmp_path / "f.csv"))
    assert r.returncode == 0 and r.stdout == "imported 25, refused 0\n"
    seen, cursor = [], None
    for _ in range(10):
        more = ["--cursor", cursor] if cursor else []
        page = json.loads(g.api("senders", "--json", "--limit", "4",
                                *more).stdout)
        seen += [(p["inside"], p["outside"]) for p in page["rows"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 25 and seen == sorted(seen)
    assert len(rows(g, "--inside", "u1@example.com")) == 8


def test_csv_round_trip(g, tmp_path):
    send(g, "user@example.com", "auto@partner.test")
    wait_for(lambda: rows(g), 5, "the entry")
    for what in ("@partner.test", '"a,b"@partner.test', "=1+1@partner.test",
                 "'=x@partner.test", "+a@partner.test", "-b@partner.test"):
        assert g.api("senders", "block", "--", what) is not None
        r = subprocess.run(
            ["curl", "-s", "--unix-socket", str(g.dir / "api.sock"),
             "--data", json.dumps({"outside": what,
                                   "inside": "user@example.com"}),
             "http://x/v1/senders/block"], capture_output=True, text=True,
            timeout=10, check=True)
        assert json.loads(r.stdout)["done"] == "block", r.stdout
    before = rows(g)
    assert len(before) == 7
    text = g.api("senders", "export").stdout
    table = list(csv.reader(io.StringIO(text)))
    assert table[0] == ["outside", "inside", "type", "made", "used",
                        "expires"] and len(table) == 8
    assert not [c for line in table for c in line if c[:1] in "=+-@" and c]
    file = tmp_path / "senders.csv"
    file.write_text(text)
    for row in before:
        r = subprocess.run(
            ["curl", "-s", "--unix-socket", str(g.dir / "api.sock"),
             "--data", json.dumps({k: row[k] for k in ("outside", "inside")}),
             "http://x/v1/senders/delete"], capture_output=True, text=True,
            timeout=10, check=True)
        assert json.loads(r.stdout).get("done") == "delete", r.stdout
    assert not rows(g)
    r = g.api("senders", "import", str(file))
    assert (r.returncode, r.stdout) == (0, "imported 7, refused 0\n"), r.stderr
    assert rows(g) == before


def test_import_names_what_it_refuses(g, tmp_path):
    file = tmp_path / "f.csv"
    file.write_text('external;internal;type\n'
                    'a@partner.test;user@example.com;permit\n'
                    'b@partner.test;user@example.com;maybe\n'
                    '\n'
                    '"c@partner.test;user@example.com;block\n')
    r = g.api("senders", "import", str(file))
    assert r.returncode == 1 and not rows(g)
    assert f"{file}:3: type \"maybe\"" in r.stderr
    assert f"{file}:5: a quote is not closed" in r.stderr
    r = g.api("senders", "import", str(file), "--partial")
    assert r.returncode == 1 and r.stdout == "imported 1, refused 2\n"
    assert pairs(g) == {("a@partner.test", "user@example.com"): "permit"}
    for text, why in (("", ":1: the file is empty"),
                      ("outside,inside\n", "lacks a column"),
                      ("outside,inside,type,note\n", 'not "note"'),
                      ("outside,inside,type,type\n", "twice"),
                      ("outside,inside,type\na@b.test,user@example.com\n",
                       ":2: 2 columns"),
                      ("outside,inside,type,expires\n"
                       "a@b.test,user@example.com,block,2027-01-01T00:00:00Z",
                       "do not expire"),
                      ("outside,inside,type,expires\n"
                       "a@b.test,user@example.com,auto,tomorrow", "a time")):
        file.write_text(text)
        r = g.api("senders", "import", str(file))
        assert r.returncode == 1 and why in r.stderr, (text, r.stderr)
    file.write_bytes(b"x" * (4 * 1024 * 1024 + 1))
    r = g.api("senders", "import", str(file))
    assert r.returncode == 1 and "larger than 4 MiB" in r.stderr
    assert len(rows(g)) == 1
