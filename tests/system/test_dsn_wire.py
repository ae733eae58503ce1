"""Delivery status notifications on the wire: RFC 3461 toward the next hop
and back to the sender (C51-C57)."""

import email
import email.policy
import re
import time

import pytest

from harness import Gateway, Sink, message, wait_for

DSN_HOP, PLAIN_HOP = "127.0.0.2", "127.0.0.3"
REFUSED = "550 5.1.1 No such mailbox"


class Report:
    def __init__(self, octets):
        self.message = email.message_from_bytes(
            octets, policy=email.policy.default)
        assert self.message.get_content_type() == "multipart/report"
        assert self.message.get_param("report-type") == "delivery-status"
        assert self.message["Return-Path"] == "<>"  # C23, by the maildir
        assert self.message["Auto-Submitted"] == "auto-replied"  # C82
        parts = list(self.message.iter_parts())
        assert len(parts) == 3
        assert parts[1].get_content_type() == "message/delivery-status"
        blocks = parts[1].get_payload()
        self.per_message, self.recipients = blocks[0], blocks[1:]
        self.original = parts[2]

    @property
    def envid(self):
        return self.per_message["Original-Envelope-Id"]

    @property
    def action(self):
        assert len(self.recipients) == 1
        return self.recipients[0]["Action"]


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """partner.test speaks DSN, plain.test does not; both refuse no@."""
    g = Gateway(tmp_path_factory.mktemp("dsn"), None)
    g.mx("partner.test", DSN_HOP)
    g.mx("plain.test", PLAIN_HOP)

    def hook(verb, arg):
        return REFUSED if verb == "RCPT" and "<no@" in arg else None

    g.sink = Sink(DSN_HOP, g.mx_port, hook=hook)
    g.plain = Sink(PLAIN_HOP, g.mx_port, hook=hook, extensions=(
        "PIPELINING", "8BITMIME", "SIZE 10000000"))
    g.start()
    yield g
    g.stop()
    g.sink.close()
    g.plain.close()


def send(g, *rcpts, params="", text=None):
    """Each recipient is "ADDRESS PARAMETERS"; the queue id."""
    with g.client() as c:
        assert c.cmd(f"MAIL FROM:<a@example.com>{params}").code == 250
        for rcpt in rcpts:
            address, _, more = rcpt.partition(" ")
            r = c.cmd(f"RCPT TO:<{address}>{' ' + more if more else ''}")
            assert r.code == 250, r
        assert c.cmd("DATA").code == 354
        r = c.content(text or message())
        assert r.code == 250, r
        return re.search(r"\[(\w+)\]", r.text).group(1)


def reports(g, envid=None):
    return [r for r in (Report(b) for b in g.boxed()
                        if b"\nContent-Type: multipart/report;" in b)
            if envid is None or r.envid == envid]


def wait_reports(g, envid, n=1):
    return wait_for(lambda: len(reports(g, envid)) >= n and
                    reports(g, envid), 15, f"{n} reports for {envid}")


def taken(sink, envid):
    """What the hop got: the one delivery with that subject."""
    found = wait_for(lambda: [m for m in sink.messages
                              if f"Subject: {envid}\r\n" in m.text])
    assert len(found) == 1
    return found[0]


def words(params):
    """Parameters as a set, NOTIFY's values as one of its own."""
    return {("NOTIFY", frozenset(w[7:].split(","))) if w.startswith("NOTIFY=")
            else w for w in params.split() if not w.startswith("SIZE=")}


def settled(g, qid):
    """Every recipient of the message has its fate, and reports their own."""
    wait_for(lambda: qid not in g.api("queue", "--json").stdout, 15,
             f"{qid} is done")


# ---- toward the next hop ---------------------------------------------------

@pytest.mark.parametrize("mail, rcpt", [
    ("", ""),
    ("RET=FULL", "NOTIFY=NEVER"),
    ("RET=HDRS ENVID=QQ+2B314", "NOTIFY=SUCCESS"),
    ("ENVID=" + "x" * 100, "NOTIFY=FAILURE ORCPT=rfc822;b+2B1@old.test"),
    ("", "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=x400;+2Fc+3Dde+2F"),
    ("RET=HDRS", "NOTIFY=DELAY,FAILURE"),
    ("", "ORCPT=rfc822;" + "y" * 480 + "@old.test"),
])
def test_c52_passed_on_unchanged(relay, mail, rcpt):
    mark = f"c52-{abs(hash((mail, rcpt)))}"
    send(relay, f"b@partner.test {rcpt}", params=f" {mail}" if mail else "",
         text=message(subject=mark))
    got = taken(relay.sink, mark)
    assert words(got.params) == words(mail)
    assert [a for a, _ in got.rcpts] == ["b@partner.test"]
    assert words(got.rcpts[0][1]) == words(rcpt)


def test_c52_each_recipient_its_own(relay):
    send(relay, "b@partner.test NOTIFY=SUCCESS", "c@partner.test",
         "d@partner.test NOTIFY=NEVER", text=message(subject="own"))
    got = taken(relay.sink, "own")
    assert {a: words(p) for a, p in got.rcpts} == {
        "b@partner.test": words("NOTIFY=SUCCESS"), "c@partner.test": set(),
        "d@partner.test": words("NOTIFY=NEVER")}


def test_c52_not_to_a_hop_without_dsn(relay):
    send(relay, "b@plain.test NOTIFY=NEVER ORCPT=rfc822;b@old.test",
         params=" RET=HDRS ENVID=bare", text=message(subject="bare"))
    got = taken(relay.plain, "bare")
    assert words(got.params) == set() and got.rcpts[0][1] == ""


# ---- back to the sender ----------------------------------------------------

def test_c53_relayed_without_dsn(relay):
    qid = send(relay, "b@plain.test NOTIFY=SUCCESS ORCPT=rfc822;old@b.test",
               "c@plain.test NOTIFY=FAILURE", "d@plain.test",
               params=" ENVID=c53")
    report = wait_reports(relay, "c53")[0]
    block = report.recipients[0]
    assert report.action == "relayed"
    assert block["Final-Recipient"] == "rfc822; b@plain.test"
    assert block["Original-Recipient"].replace(" ", "") == "rfc822;old@b.test"
    assert re.fullmatch(r"2\.\d+\.\d+", block["Status"])  # C56
    assert block["Remote-MTA"] == "dns; mx0.plain.test"
    settled(relay, qid)
    assert len(reports(relay, "c53")) == 1


def test_c53_the_hop_that_speaks_dsn_reports(relay):
    qid = send(relay, "b@partner.test NOTIFY=SUCCESS", params=" ENVID=hop",
               text=message(subject="hop"))
    taken(relay.sink, "hop")
    settled(relay, qid)
    assert reports(relay, "hop") == []


def test_delivered_is_told_when_we_deliver(relay):
    send(relay, "b@example.com NOTIFY=SUCCESS", params=" ENVID=final")
    report = wait_reports(relay, "final")[0]
    assert report.action == "delivered"
    assert report.recipients[0]["Status"].startswith("2.")


@pytest.mark.parametrize("notify, told", [
    ("", True), ("NOTIFY=FAILURE", True), ("NOTIFY=SUCCESS,FAILURE", True),
    ("NOTIFY=NEVER", False), ("NOTIFY=SUCCESS", False),
    ("NOTIFY=DELAY", False),
])
def test_c54_who_hears_of_a_failure(relay, notify, told):
    envid = f"c54-{notify.lower().replace('=', '-').replace(',', '-')}"
    qid = send(relay, f"no@partner.test {notify}", params=f" ENVID={envid}")
    relay.wait_log("bounced", qid=qid)
    if told:
        report = wait_reports(relay, envid)[0]
        assert report.action == "failed"
        assert report.recipients[0]["Status"] == "5.1.1"
        assert report.recipients[0]["Diagnostic-Code"] == f"smtp; {REFUSED}"
    settled(relay, qid)
    assert len(reports(relay, envid)) == told


def test_c54_one_of_several(relay):
    qid = send(relay, "no@partner.test NOTIFY=NEVER", "no@plain.test",
               "yes@partner.test", params=" ENVID=several")
    report = wait_reports(relay, "several")[0]
    assert [r["Final-Recipient"] for r in report.recipients] == [
        "rfc822; no@plain.test"]
    settled(relay, qid)
    assert len(reports(relay, "several")) == 1


@pytest.mark.parametrize("ret, whole", [
    ("RET=FULL", True), ("RET=HDRS", False), ("", False)])
def test_c54_what_is_returned(relay, ret, whole):
    envid = f"ret-{ret[4:]}"
    send(relay, "no@plain.test", params=f" {ret} ENVID={envid}",
         text=message(subject="Returned zebra", body="the body, giraffe\r\n"))
    original = wait_reports(relay, envid)[0].original
    assert original.get_content_type() == (
        "message/rfc822" if whole else "text/rfc822-headers")
    text = original.as_string()
    assert "Subject: Returned zebra" in text
    assert ("giraffe" in text) == whole


def test_c57_one_delay_and_one_failure(make_gateway, make_sink):
    """Also over a restart; who asked for one of them gets only that."""
    g = make_gateway(start=False, tls=False, delivery={
        "retry": ["1s"], "warn_after": "1s", "expire": "5s"})
    g.mx("partner.test", DSN_HOP)
    make_sink(DSN_HOP, g.mx_port, hook=lambda verb, _: (
        "451 4.3.0 Later" if verb == "RCPT" else None))
    g.start()
    start = time.time()
    asked = {"default": "", "never": "NOTIFY=NEVER",
             "failure": "NOTIFY=FAILURE", "delay": "NOTIFY=DELAY",
             "both": "NOTIFY=DELAY,FAILURE", "success": "NOTIFY=SUCCESS"}
    for envid, notify in asked.items():
        send(g, f"b@partner.test {notify}", params=f" RET=FULL ENVID={envid}")

    def told():
        return sorted((r.envid, r.action) for r in reports(g))

    delayed = [(e, "delayed") for e in ("both", "default", "delay")]
    failed = [(e, "failed") for e in ("both", "default", "failure")]
    wait_for(lambda: len(told()) == 3, 10, "the delays are told")
    assert told() == sorted(delayed)
    assert time.time() - start >= 1
    for report in reports(g):
        block = report.recipients[0]
        assert block["Status"] == "4.3.0"
        until = email.utils.parsedate_to_datetime(
            block["Will-Retry-Until"]).timestamp()
        assert -2 < until - (start + 5) < 3
        assert report.original.get_content_type() == "text/rfc822-headers"
    g.stop()
    g.start()
    wait_for(lambda: len(told()) >= 6, 15, "the ends are told")
    assert time.time() - start >= 5
    wait_for(lambda: '"rows": []' in g.api("queue", "--json").stdout or
             g.api("queue").stdout.startswith("nothing"), 10, "empty")
    assert told() == sorted(delayed + failed)
    for report in reports(g):
        # RET is about failures only (RFC 3461 section 4.3)
        assert report.original.get_content_type() == (
            "message/rfc822" if report.action == "failed"
            else "text/rfc822-headers")
        if report.action == "failed":
            assert report.recipients[0]["Status"] == "5.4.7"
            assert report.recipients[0]["Diagnostic-Code"] == \
                "smtp; 451 4.3.0 Later"
    assert len(g.lines("expired")) == len(asked)
