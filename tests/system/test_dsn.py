"""Delivery status notifications of a running gateway, parsed as their readers
do: C23, C51-C57, C82, C84, A3.24, B45-B47; that none is lost or doubled."""

import email
import email.policy
import json
import re
import time

import pytest

from harness import message, wait_for

SLOW_IS_NEVER = 60  # seconds that a hanging sink hangs


def parse(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


def check_octets(octets, seven_bit=True):
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", octets)
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998
    if seven_bit:
        assert octets.isascii()


class Report:
    """A DSN, after a look at its frame (C55)."""

    def __init__(self, octets, status="message/delivery-status"):
        self.octets = octets
        self.message = parse(octets)
        m = self.message
        assert m.get_content_type() == "multipart/report"
        assert m.get_param("report-type") == "delivery-status"
        assert m["Auto-Submitted"] == "auto-replied"  # C82
        assert m["Precedence"] == "bulk"  # B46
        assert m.defects == []
        self.parts = list(m.iter_parts())
        assert self.parts[0].get_content_type() == "text/plain"
        assert self.parts[1].get_content_type() == status
        self.text = self.parts[0].get_content()
        if status == "message/delivery-status":
            groups = self.parts[1].get_payload()
            self.per_message, self.recipients = groups[0], groups[1:]

    def of(self, address):
        found = [g for g in self.recipients
                 if g["Final-Recipient"].endswith(f"; {address}")]
        assert len(found) == 1, (address, self.octets)
        return found[0]

    @property
    def addresses(self):
        return sorted(g["Final-Recipient"].split("; ")[1]
                      for g in self.recipients)


def wait_reports(g, n=1, timeout=15):
    boxed = wait_for(lambda: len(g.boxed()) >= n and g.boxed(), timeout,
                     f"{n} reports\n" + "\n".join(g.log[-30:]))
    for octets in boxed:
        assert b"\r" not in octets  # a maildir's line ends
        check_octets(octets.replace(b"\n", b"\r\n"))
    return [Report(octets) for octets in boxed]


def settled(g, seconds=1.2):
    """Nothing more comes."""
    n = len(g.boxed())
    time.sleep(seconds)
    assert len(g.boxed()) == n, [b.decode() for b in g.boxed()]


def send(g, rcpts, text=None, params="", sender="a@example.com"):
    """rcpts: addresses, or (address, parameters)."""
    with g.client() as c:
        r = c.cmd(f"MAIL FROM:<{sender}>{params}")
        assert r.code == 250, r
        for rcpt in [rcpts] if isinstance(rcpts, (str, tuple)) else rcpts:
            address, more = (rcpt, "") if isinstance(rcpt, str) else rcpt
            r = c.cmd(f"RCPT TO:<{address}>{more}")
            assert r.code == 250, r
        assert c.cmd("DATA").code == 354
        r = c.content(text or message())
        assert r.code == 250, r


def refusing(text):
    return lambda verb, _: text if verb == "RCPT" else None


@pytest.fixture
def world(make_gateway, make_sink):
    """A gateway, and world.sink(domain, hook) for a domain's exchanger."""
    g = make_gateway(start=False)
    g.sinks = 0

    def sink(domain, hook=None, **options):
        g.sinks += 1
        address = f"127.0.1.{g.sinks}"
        g.mx(domain, address)
        return make_sink(address, g.mx_port, hook=hook, **options)

    g.sink = sink
    return g


# ---- one report ------------------------------------------------------------

def test_three_failing_domains_one_report(world):
    for i in range(3):
        world.sink(f"d{i}.test", refusing(f"550 5.1.{i + 1} No {i}"))
    world.start()
    send(world, [f"x@d{i}.test" for i in range(3)],
         message(subject="Three at once"))
    report = wait_reports(world)[0]
    assert report.addresses == ["x@d0.test", "x@d1.test", "x@d2.test"]
    for i in range(3):
        fields = report.of(f"x@d{i}.test")
        assert fields["Action"] == "failed"
        assert fields["Status"] == f"5.1.{i + 1}"
        assert fields["Remote-MTA"] == f"dns; mx0.d{i}.test"
        assert fields["Diagnostic-Code"] == f"smtp; 550 5.1.{i + 1} No {i}"
        assert f"x@d{i}.test" in report.text
    assert "Three at once" in report.text
    settled(world)
    assert world.lines("report", nrcpt=3)
    r = world.api("queue", "--json")
    assert "d0.test" not in r.stdout, r


def test_a3_24_mixed_fates(world):
    good = world.sink("good.test")
    world.sink("busy.test", refusing("450 4.2.1 Busy"))
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.write(delivery={"expire": "4s"})
    world.start()
    send(world, ["a@good.test", "b@busy.test", "c@gone.test"])
    good.wait()
    reports = wait_reports(world, 2)
    first, second = sorted(reports, key=lambda r: r.addresses, reverse=True)
    assert first.addresses == ["c@gone.test"]
    assert second.addresses == ["b@busy.test"]
    fields = second.of("b@busy.test")
    assert (fields["Action"], fields["Status"]) == ("failed", "5.4.7")
    assert fields["Diagnostic-Code"] == "smtp; 450 4.2.1 Busy"
    assert "gives up" in second.text
    settled(world, 2)  # expiry makes exactly one


def test_a3_38_expiry_in_several_domains_is_one_report(world):
    for i in range(2):
        world.sink(f"d{i}.test", refusing("451 4.3.0 Later"))
    world.write(delivery={"expire": "3s"})
    world.start()
    send(world, ["x@d0.test", "x@d1.test"])
    report = wait_reports(world)[0]
    settled(world, 2)
    assert report.addresses in (["x@d0.test", "x@d1.test"],), report.octets


def hang(verb, _):
    if verb == "RCPT":
        time.sleep(SLOW_IS_NEVER)
    return None


def test_a_hanging_destination_does_not_hold_the_news(world):
    world.sink("hangs.test", hang)
    for i in range(2):
        world.sink(f"d{i}.test", refusing("550 5.1.1 No"))
    world.write(delivery={"report_wait": "2s"})
    world.start()
    start = time.monotonic()
    send(world, ["x@d0.test", "x@hangs.test", "x@d1.test"])
    report = wait_reports(world)[0]
    assert 1.5 < time.monotonic() - start < 6
    assert report.addresses == ["x@d0.test", "x@d1.test"]
    settled(world)


def test_a_crash_between_owed_and_report(world):
    hanging = world.sink("hangs.test", hang)
    for i in range(2):
        world.sink(f"d{i}.test", refusing("550 5.1.1 No"))
    world.write(delivery={"report_wait": "50s"})
    world.start()
    send(world, ["x@d0.test", "x@hangs.test", "x@d1.test"])
    wait_for(lambda: len(world.lines("bounced")) == 2, 15, "two bounces")
    # durable: the listing reads what is committed
    wait_for(lambda: world.api("queue", "--json").stdout.count(
        '"bounced"') == 2, 10, "two owed")
    assert world.boxed() == []
    world.kill()
    hanging.hook = lambda verb, _: None
    world.start()
    report = wait_reports(world)[0]
    assert report.addresses == ["x@d0.test", "x@d1.test"]
    assert report.of("x@d0.test")["Diagnostic-Code"] == \
        "smtp; 550 5.1.1 No"
    hanging.wait()
    settled(world)
    world.kill()
    world.start()
    settled(world)


def test_crashes_anywhere_leave_one_report(world):
    for i in range(3):
        world.sink(f"d{i}.test", refusing("550 5.1.1 No"))
    world.write(delivery={"report_wait": "1s"})
    world.start()
    for n in range(8):
        send(world, [f"x{n}@d{i}.test" for i in range(3)])
        time.sleep(0.01 * n)
        world.kill()
        world.start()

    def told():
        return sorted(a for b in world.boxed() for a in Report(b).addresses)

    want = sorted(f"x{n}@d{i}.test" for n in range(8) for i in range(3))
    wait_for(lambda: set(want) <= set(told()), 20, "every failure told")
    settled(world, 2)
    # A kill between the remote's answer and the commit repeats an attempt,
    # one between a maildir and the commit repeats a report; not more.
    assert set(told()) == set(want)
    assert len(told()) <= len(want) + 6


# ---- who is told, and of what ----------------------------------------------

@pytest.mark.parametrize("notify,told", [
    ("", True), (" NOTIFY=FAILURE", True), (" NOTIFY=FAILURE,DELAY", True),
    (" NOTIFY=NEVER", False), (" NOTIFY=SUCCESS", False),
    (" NOTIFY=DELAY", False)])
def test_c54_notify(world, notify, told):
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.start()
    send(world, ("x@gone.test", notify))
    if told:
        wait_reports(world)
    else:
        world.wait_log("bounced")
    settled(world, 0.7)
    assert len(world.boxed()) == told


def test_c54_ret(world):
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.start()
    body = "Nobody else shall read that.\r\n"
    for params, whole in (("", False), (" RET=HDRS", False),
                          (" RET=FULL", True)):
        n = len(world.boxed())
        send(world, "x@gone.test", message(body=body, subject="Returned"),
             params)
        wait_for(lambda: len(world.boxed()) == n + 1)
        report = next(r for r in wait_reports(world, n + 1)
                      if (body.strip() in r.octets.decode()) == whole)
        assert report.parts[2].get_content_type() == (
            "message/rfc822" if whole else "text/rfc822-headers")
        assert "Subject: Returned" in report.parts[2].as_string()


def test_c54_ret_full_is_bounded_and_seven_bit(world):
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.start()
    send(world, "x@gone.test", message(body="long line\r\n" * 20000),
         " RET=FULL")
    report = wait_reports(world)[0]
    assert report.parts[2].get_content_type() == "text/rfc822-headers"
    assert len(report.octets) < 10000
    send(world, "x@gone.test", message(body="Grüße\r\n").replace(
        "Subject:", "MIME-Version: 1.0\r\nContent-Type: text/plain; "
        "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject:"),
        " RET=FULL BODY=8BITMIME")
    full = [r for r in wait_reports(world, 2)
            if r.parts[2].get_content_type() == "message/rfc822"]
    assert full[0].parts[2].get_content().get_content().strip() == "Grüße"


def test_c51_c52_envid_and_orcpt(world):
    sink = world.sink("good.test")
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.start()
    send(world, [("x@good.test", " NOTIFY=SUCCESS,FAILURE "
                  "ORCPT=rfc822;First+2Bx@list.test"),
                 ("x@gone.test", " ORCPT=rfc822;Old+2Bx@list.test")],
         params=" ENVID=QQ+2B314 RET=HDRS")
    got = sink.wait()[0]
    assert " ENVID=QQ+2B314" in got.params and " RET=HDRS" in got.params
    assert " NOTIFY=SUCCESS,FAILURE" in got.rcpts[0][1]
    assert " ORCPT=rfc822;First+2Bx@list.test" in got.rcpts[0][1]
    report = wait_reports(world)[0]
    assert report.per_message["Original-Envelope-Id"] == "QQ+314"
    assert report.per_message["Reporting-MTA"] == "dns; gw.example.net"
    assert report.per_message["Arrival-Date"]
    assert report.of("x@gone.test")["Original-Recipient"] == \
        "rfc822; Old+x@list.test"
    settled(world)  # the DSN-aware hop answers for itself


def test_c53_relayed(world):
    world.sink("old.test", extensions=("PIPELINING", "8BITMIME"))
    world.start()
    send(world, [("x@old.test", " NOTIFY=SUCCESS"), "y@old.test"])
    report = wait_reports(world)[0]
    assert report.addresses == ["x@old.test"]
    fields = report.of("x@old.test")
    assert fields["Action"] == "relayed"
    assert fields["Status"].startswith("2.")  # C56
    settled(world)


def test_delivered_into_a_maildir(world):
    world.start()
    send(world, ("c@example.com", " NOTIFY=SUCCESS"))
    boxed = wait_for(lambda: len(world.boxed()) == 2 and world.boxed())
    report = next(Report(b) for b in boxed if b"multipart/report" in b)
    fields = report.of("c@example.com")
    assert fields["Action"] == "delivered"
    assert fields["Status"].startswith("2.")
    assert fields["Remote-MTA"] is None
    settled(world)


def test_c57_delay_once(world):
    world.sink("busy.test", refusing("450 4.2.1 Busy"))
    world.write(delivery={"warn_after": "1s", "expire": "7s"})
    world.start()
    send(world, ["x@busy.test", ("y@busy.test", " NOTIFY=FAILURE")])
    delay = wait_reports(world)[0]
    assert delay.addresses == ["x@busy.test"]
    fields = delay.of("x@busy.test")
    assert fields["Action"] == "delayed"
    assert fields["Status"] == "4.2.1"
    assert fields["Will-Retry-Until"]
    assert "need not send it again" in delay.text
    final = next(r for r in wait_reports(world, 2)
                 if r.octets != delay.octets)
    assert final.addresses == ["x@busy.test", "y@busy.test"]
    assert {g["Action"] for g in final.recipients} == {"failed"}
    settled(world)


def test_c57_delays_in_several_domains_each_once(world):
    for i in range(2):
        world.sink(f"d{i}.test", refusing("450 4.2.1 Busy"))
    world.write(delivery={"warn_after": "1s", "retry": ["1s"]})
    world.start()
    send(world, ["x@d0.test", "x@d1.test"])

    # The jitter of the retries may part them: one report a round.
    def told():
        return sorted(a for r in wait_reports(world) for a in r.addresses)

    wait_for(lambda: told() == ["x@d0.test", "x@d1.test"], 10, "both told")
    settled(world, 3)


# ---- loops and strangers ---------------------------------------------------

def test_c23_b46_null_sender_and_lost_report(make_gateway, make_sink):
    g = make_gateway(start=False, internal_domains=[{"domain": "example.com"}])
    g.mx("gone.test", "127.0.1.1")
    g.mx("example.com", "127.0.1.2")
    make_sink("127.0.1.1", g.mx_port, hook=refusing("550 5.1.1 Gone"))
    home = make_sink("127.0.1.2", g.mx_port,
                     hook=refusing("550 5.1.1 Sender unknown"))
    g.start()
    send(g, "x@gone.test")
    line = g.wait_log("report_undeliverable", to="a@example.com")[0]
    assert "Sender unknown" in line
    mail = [c for c in home.commands if c.startswith("MAIL")]
    assert len(mail) == 1 and mail[0].startswith("MAIL FROM:<>")
    time.sleep(1.5)
    assert [c for c in home.commands if c.startswith("MAIL")] == mail
    # and of others' mail with the null sender nothing is made either
    bounced = len(g.lines("bounced"))
    send(g, "y@example.com", sender="")
    wait_for(lambda: len(g.lines("bounced")) > bounced)
    time.sleep(1)
    assert len(g.lines("report")) == 1
    # not even tried
    assert g.lines("report_undeliverable") == [line]
    assert json.loads(g.api("queue", "--json").stdout)["rows"] == []


@pytest.mark.parametrize("tell", [False, True])
def test_b45_no_report_to_a_forged_stranger(world, tell):
    world.settings["internal_domains"] = [
        {"domain": "example.com", "route": "inside"}]
    home = world.sink("home.test", refusing("550 5.1.1 No such user"))
    world.settings["routes"].append(
        {"name": "inside", "hosts": [f"127.0.1.1:{world.mx_port}"]})
    victim = world.sink("victim.test")
    world.settings["authorized_outbound"] = [{"network": "127.0.0.99"}]
    world.write(delivery={"report_inbound": tell})
    world.start()
    send(world, "nobody@example.com", message(body="Buy this.\r\n"),
         " RET=FULL", sender="forged@victim.test")
    if tell:
        world.wait_log("bounced")
        got = victim.wait()[0]
        assert got.sender == "" and b"Buy this" not in got.data
        Report(got.data)
    else:
        line = world.wait_log("held")[0]
        assert "forged@victim.test" in line and "5.1.1" in line
        time.sleep(1)
        assert victim.messages == []
        assert '"held"' in world.api("queue", "--json").stdout
        assert world.lines("report") == []
    assert [c for c in home.commands if c.startswith("RCPT")]


def test_b45_rate_cap_delays_and_loses_nothing(world):
    world.sink("gone.test", refusing("550 5.1.1 Gone"))
    world.write(limits={"reports_per_sender": 2})
    world.start()
    for i in range(5):
        send(world, f"x{i}@gone.test")
    wait_for(lambda: len(world.lines("bounced")) == 5)
    wait_reports(world, 2)
    settled(world)
    # the clock may pass an hour in between
    waiting = world.api("queue", "--json").stdout.count('"bounced"')
    assert len(world.boxed()) + waiting == 5
    assert waiting in (1, 3)
    send(world, "y@gone.test", sender="other@example.com")
    wait_for(lambda: world.lines("report", to="other@example.com"))


# ---- hostile servers -------------------------------------------------------

def test_b47_hostile_reply(world):
    lines = ["550-5.1.1 </pre><script>alert(1)</script>",
             "550-5.1.1 --=_dsn_0000000000000000",
             "550-5.1.1 Action: delivered",
             "550-5.1.1 Gr\u00fc\u00dfe \x1b[31m\x07 \u202e",
             "550 5.1.1 end"]
    world.sink("evil.test", refusing("\r\n".join(lines)))
    world.start()
    send(world, "x@evil.test",
         message(subject="--=_dsn_ \x1b[1m</pre>", body="--=_dsn_\r\n"))
    wait_for(lambda: world.lines("bounced") or world.lines("deferred"))
    report = wait_reports(world)[0]
    fields = report.of("x@evil.test")
    assert fields["Action"] == "failed"
    assert len(report.recipients) == 1
    assert "\x1b" not in report.text and "\x07" not in report.text


def test_b47_long_reply(world):
    world.sink("long.test", refusing("\r\n".join(
        ["550-5.1.1 " + "x" * 400] * 8 + ["550 5.1.1 end"])))
    world.start()
    send(world, "x@long.test")
    wait_for(lambda: world.lines("bounced") or world.lines("deferred"))
    if world.lines("bounced"):
        report = wait_reports(world)[0]
        assert len(report.octets) < 6000
        assert report.of("x@long.test")["Action"] == "failed"


# ---- RFC 6533 --------------------------------------------------------------

UTF8_MESSAGE = ("From: a@example.com\r\nTo: bü@ü.test\r\n"
                "Subject: Grüße\r\nMIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n")


def utf8_world(make_gateway, make_sink, home_extensions):
    g = make_gateway(start=False, internal_domains=[{"domain": "example.com"}])
    g.mx("partner.test", "127.0.1.1")
    g.mx("example.com", "127.0.1.2")
    make_sink("127.0.1.1", g.mx_port, hook=refusing("550 5.1.1 Gone"))
    home = make_sink("127.0.1.2", g.mx_port, extensions=home_extensions)
    return g.start(), home


@pytest.mark.parametrize("ret", ["HDRS", "FULL"])
def test_c84_ascii_sender_without_smtputf8_is_told(make_gateway, make_sink,
                                                   ret):
    g, home = utf8_world(make_gateway, make_sink, ("PIPELINING",))
    send(g, ("bü@partner.test", r" ORCPT=utf-8;b\x{FC}@old.test"),
         UTF8_MESSAGE, f" SMTPUTF8 BODY=8BITMIME RET={ret}")
    got = home.wait()[0]
    assert got.data.isascii() and "SMTPUTF8" not in got.params
    check_octets(got.data)
    report = Report(got.data, "message/global-delivery-status")
    assert "bü@partner.test" in report.text
    raw = got.data.decode()
    status = raw.split("message/global-delivery-status")[1].split("\r\n--")[0]
    decoded = email.message_from_string(
        "Content-Type: text/plain; charset=utf-8" + status,
        policy=email.policy.default).get_content()
    assert "Final-Recipient: utf-8; bü@partner.test" in decoded
    assert "Original-Recipient: utf-8; bü@old.test" in decoded
    assert report.parts[2].get_content_type() == (
        "message/global" if ret == "FULL" else "message/global-headers")


def test_c84_utf8_sender(make_gateway, make_sink):
    g, home = utf8_world(make_gateway, make_sink,
                         ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"))
    send(g, "bü@partner.test", UTF8_MESSAGE, " SMTPUTF8 BODY=8BITMIME",
         sender="ä@example.com")
    got = home.wait()[0]
    assert "SMTPUTF8" in got.params
    assert got.rcpts[0][0] == "ä@example.com"
    check_octets(got.data, False)
    report = Report(got.data, "message/global-delivery-status")
    assert "Final-Recipient: utf-8; bü@partner.test" in got.text
    assert report.parts[2].get_content_type() == "message/global-headers"


def test_c84_utf8_sender_and_an_old_home_end_in_the_record(make_gateway,
                                                           make_sink):
    g, home = utf8_world(make_gateway, make_sink, ("PIPELINING", "8BITMIME"))
    send(g, "b@partner.test", UTF8_MESSAGE, " SMTPUTF8 BODY=8BITMIME",
         sender="ä@example.com")
    line = g.wait_log("report_undeliverable")[0]
    assert "SMTPUTF8" in line
    assert home.messages == []
