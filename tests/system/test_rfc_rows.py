"""Lines of the RFCs that no other file holds: C28 (when it is tried again),
RET beside reports that are no failures (C54), C59 (what a relay leaves
alone)."""

import email
import email.policy
import itertools
import re
import time

import pytest

from harness import message, wait_for

BODY = "giraffe of the body\r\n"


def send(g, rcpts, params="", text=None):
    """rcpts: (address, parameters)."""
    with g.client() as c:
        r = c.cmd(f"MAIL FROM:<a@example.com>{params}")
        assert r.code == 250, r
        for address, more in rcpts:
            r = c.cmd(f"RCPT TO:<{address}>{more}")
            assert r.code == 250, r
        assert c.cmd("DATA").code == 354
        r = c.content(text or message(body=BODY))
        assert r.code == 250, r


def reports(g):
    """(action of each recipient, third part, octets) of every report."""
    found = []
    for octets in g.boxed():
        m = email.message_from_bytes(octets, policy=email.policy.default)
        if m.get_content_type() != "multipart/report":
            continue
        _, status, original = m.iter_parts()
        actions = {g["Final-Recipient"].partition("; ")[2]: g["Action"]
                   for g in status.get_payload()[1:]}
        found.append((actions, original, octets))
    return found


# ---- C28 -------------------------------------------------------------------

def test_c28_delay_grows_and_ends(make_gateway, make_sink):
    """The attempts stand as far apart as they are configured to, and the last
    one at the end."""
    g = make_gateway(start=False, tls=False, delivery={
        "retry": ["1s", "3s"], "expire": "6s", "warn_after": "0s"})
    g.mx("partner.test", "127.0.0.2")
    tried = []

    def later(verb, _):
        if verb != "RCPT":
            return None
        tried.append(time.monotonic())
        return "451 4.3.0 Later"

    make_sink("127.0.0.2", g.mx_port, hook=later)
    g.start()
    start = time.monotonic()
    send(g, [("b@partner.test", "")])
    g.wait_log("expired", timeout=20)
    assert time.monotonic() - start >= 6
    gaps = [b - a for a, b in itertools.pairwise(tried)]
    assert len(gaps) == 3, gaps
    assert 1 <= gaps[0] < 2 and 3 <= gaps[1] < 4.3, gaps
    assert gaps[2] < 3, gaps
    wait_for(lambda: reports(g), 10, "the report")
    time.sleep(1.5)
    assert len(tried) == 4 and len(reports(g)) == 1


# ---- RET -------------------------------------------------------------------

@pytest.fixture
def fates(make_gateway, make_sink):
    """busy.test defers, gone.test refuses, old.test takes without DSN,
    example.com is delivered into a maildir."""
    g = make_gateway(start=False, tls=False, delivery={"expire": "60s"})
    for i, (domain, reply, extensions) in enumerate((
            ("busy.test", "450 4.2.1 Busy", ("PIPELINING", "DSN")),
            ("gone.test", "550 5.1.1 Gone", ("PIPELINING", "DSN")),
            ("old.test", None, ("PIPELINING",)))):
        address = f"127.0.1.{i + 1}"
        g.mx(domain, address)
        make_sink(address, g.mx_port, extensions=extensions,
                  hook=lambda verb, _, reply=reply:
                  reply if verb == "RCPT" else None)
    return g


@pytest.mark.parametrize("rcpt, action", [
    ("x@busy.test", "delayed"), ("x@old.test", "relayed"),
    ("x@example.com", "delivered"), ("x@gone.test", "failed")])
def test_c54_ret_full_is_of_failures_only(fates, rcpt, action):
    """RFC 3461 sections 4.3 and 6.2: all others carry the header alone."""
    fates.write(delivery={"warn_after": "1s"})
    fates.start()
    send(fates, [(rcpt, " NOTIFY=SUCCESS,FAILURE,DELAY")], " RET=FULL")
    wait_for(lambda: reports(fates), 15, "a report")
    (actions, original, octets), = reports(fates)
    assert actions == {rcpt: action}
    whole = action == "failed"
    assert original.get_content_type() == (
        "message/rfc822" if whole else "text/rfc822-headers")
    assert "Subject: Test" in original.as_string()
    assert (b"giraffe" in octets) == whole


def test_c54_ret_full_with_a_failure_among_others(fates):
    """One report on several fates: a failure is among them."""
    fates.write(delivery={"warn_after": "0s"})
    fates.start()
    send(fates, [("x@old.test", " NOTIFY=SUCCESS"), ("y@gone.test", "")],
         " RET=FULL")
    wait_for(lambda: {a for r in reports(fates) for a in r[0]} ==
             {"x@old.test", "y@gone.test"}, 15, "both are told")
    for actions, original, _ in reports(fates):
        assert (original.get_content_type() == "message/rfc822") == (
            "failed" in actions.values()), actions


# ---- C59 -------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "From: a@example.com\r\nSubject: bare\r\n\r\nText.\r\n",
    "From: a@example.com\r\nDate: yesterday\r\nMessage-ID: 7\r\n"
    "Subject: bare\r\n\r\nText.\r\n",
    "From: a@example.com\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n"
    "Subject: bare\r\n\r\nText.\r\n"])
def test_c59_a_relay_completes_no_header(relay, text):
    """RFC 6409 section 8: that is for a submission server, which this port is
    not; so no login is asked of a listed source either."""
    send(relay, [("b@partner.test", "")], text=text)
    got = relay.sink.wait()[0].text
    trace, found, rest = got.partition("From: a@example.com\r\n")
    assert found + rest == text
    assert re.findall(r"(?m)^([\w-]+):", trace) == ["Received"]
