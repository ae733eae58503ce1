"""Reports on TLS (RFC 8460): what is counted is shown, and sent to the domains
that ask for it. Checklist C72."""

import base64
import calendar
import datetime
import email
import email.policy
import gzip
import json
import re
import sqlite3
import time

import pytest

from harness import message, wait_for

DAY = 86400
STS = "sts\tversion: STSv1\nmode: enforce\nmx: *.partner.test\t*.partner.test"
EXPIRED = ("certificate-expired\t127.0.0.1\tmx0.partner.test\t"
           "sink.partner.test\t127.0.0.2\tcertificate has expired")
RESULT_TYPES = {
    "starttls-not-supported", "certificate-host-mismatch",
    "certificate-expired", "certificate-not-trusted", "validation-failure",
    "tlsa-invalid", "dnssec-invalid", "dane-required",
    "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}


def today():
    return int(time.time()) // DAY


def seed(g, rows):
    """Results as they stand in the store; the gateway must not run."""
    with sqlite3.connect(g.dir / "state" / "queue.db") as db:
        db.executemany("INSERT INTO tls_result VALUES(?,?,?,?,?)", rows)
    db.close()


def reports(g):
    """{domain: next} of the reports that were dealt with."""
    with sqlite3.connect(f"file:{g.dir}/state/queue.db?mode=ro",
                         uri=True) as db:
        got = dict(db.execute("SELECT domain, next FROM tls_report"))
    db.close()
    return got


@pytest.fixture
def reporter(make_gateway, make_sink):
    """A gateway with results of the day before yesterday (their random delay
    is over), whose partner.test and other.test are a sink; not started."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.mx("other.test", "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port)
    g.start()
    g.stop()
    day = today() - 2
    seed(g, [(day, "partner.test", "no-policy-found\t\t", "", 4),
             (day, "partner.test", STS, "", 10),
             (day, "partner.test", STS, EXPIRED, 3),
             (day, "partner.test", STS, "sts-policy-fetch-error\t\t\t\t\t", 1),
             (today(), "partner.test", STS, "", 1)])
    return g


def txt(g, domain, *records):
    data = g.settings["resolver"]["local_data"]
    for r in records:
        data.append(f'_smtp._tls.{domain}. 300 IN TXT "{r}"')
    g.write(tls_reports={"send": True, "organization": "Example Ltd",
                         "contact": "tls@gw.example.net"})


# ---- the schema of section 4.4, as the RFC's words say ---------------------

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def members(value, required, optional=()):
    assert isinstance(value, dict)
    assert set(required) <= set(value) <= set(required) | set(optional)


def count(value):
    assert type(value) is int and value >= 0
    return value


def check_report(r):
    members(r, ["organization-name", "date-range", "contact-info",
                "report-id", "policies"])
    members(r["date-range"], ["start-datetime", "end-datetime"])
    assert all(DATE.fullmatch(d) for d in r["date-range"].values())
    assert all(isinstance(r[k], str) and r[k] for k in
               ("organization-name", "contact-info", "report-id"))
    assert isinstance(r["policies"], list) and r["policies"]
    for p in r["policies"]:
        members(p, ["policy", "summary"], ["failure-details"])
        members(p["policy"], ["policy-type", "policy-domain"],
                ["policy-string", "mx-host"])
        assert p["policy"]["policy-type"] in ("tlsa", "sts",
                                              "no-policy-found")
        for lines in ("policy-string", "mx-host"):
            assert all(isinstance(s, str) and s
                       for s in p["policy"].get(lines, ["x"]))
            assert isinstance(p["policy"].get(lines, []), list)
        members(p["summary"], ["total-successful-session-count",
                               "total-failure-session-count"])
        count(p["summary"]["total-successful-session-count"])
        failures = 0
        for d in p.get("failure-details", []):
            members(d, ["result-type", "failed-session-count"],
                    ["sending-mta-ip", "receiving-mx-hostname",
                     "receiving-mx-helo", "receiving-ip",
                     "additional-information", "failure-reason-code"])
            assert d["result-type"] in RESULT_TYPES
            failures += count(d["failed-session-count"])
        assert failures == count(
            p["summary"]["total-failure-session-count"])


def unpack(data):
    """(message, JSON) of a mail as the sink received it."""
    m = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert m.get_content_type() == "multipart/report"
    assert m.get_param("report-type") == "tlsrpt"
    words, report = m.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert report.get_content_type() == "application/tlsrpt+gzip"
    assert report["Content-Transfer-Encoding"] == "base64"
    packed = base64.b64decode(report.get_payload(), validate=False)
    r = json.loads(gzip.decompress(packed))
    check_report(r)
    return m, r, report


def test_report_is_sent_once(reporter):
    g = reporter
    txt(g, "partner.test",
        "v=TLSRPTv1; rua=mailto:tls@partner.test,https://partner.test/x,"
        "mailto:box%2B1@other.test")
    g.start()
    g.sink.wait(2)
    begin = (today() - 2) * DAY
    assert {d.rcpts[0][0].strip("<>") for d in g.sink.messages} == {
        "tls@partner.test", "box+1@other.test"}
    assert all(d.rcpts[0][1].strip() == "NOTIFY=NEVER" for d in g.sink.messages)
    ids = set()
    for d in g.sink.messages:
        m, r, part = unpack(d.data)
        assert d.sender.strip("<>") == "tls@gw.example.net"
        assert m["From"] == "tls@gw.example.net"
        assert m["TLS-Report-Domain"] == "partner.test"
        assert m["TLS-Report-Submitter"] == "gw.example.net"
        assert m["TLS-Required"] == "No"
        assert m["Auto-Submitted"] == "auto-generated"
        assert re.fullmatch(
            r"Report Domain: partner\.test Submitter: gw\.example\.net "
            r"Report-ID: <([0-9a-f]{16}@gw\.example\.net)>", m["Subject"])
        assert r["report-id"] in m["Subject"]
        assert part.get_filename() == (
            f"gw.example.net!partner.test!{begin}!{begin + DAY - 1}!"
            f"{r['report-id'].split('@')[0]}.json.gz")
        assert all(len(line) <= 998 for line in d.data.split(b"\r\n"))
        assert r["organization-name"] == "Example Ltd"
        assert r["contact-info"] == "tls@gw.example.net"
        start = datetime.datetime.strptime(
            r["date-range"]["start-datetime"], "%Y-%m-%dT%H:%M:%SZ")
        assert calendar.timegm(start.timetuple()) == begin
        ids.add(r["report-id"])
    assert len(ids) == 1
    kinds = {p["policy"]["policy-type"]: p for p in r["policies"]}
    assert kinds["no-policy-found"]["summary"] == {
        "total-successful-session-count": 4,
        "total-failure-session-count": 0}
    sts = kinds["sts"]
    assert sts["policy"] == {
        "policy-type": "sts", "policy-domain": "partner.test",
        "policy-string": ["version: STSv1", "mode: enforce",
                          "mx: *.partner.test"],
        "mx-host": ["*.partner.test"]}
    assert sts["summary"] == {"total-successful-session-count": 10,
                              "total-failure-session-count": 4}
    assert sts["failure-details"][0] == {
        "result-type": "certificate-expired", "sending-mta-ip": "127.0.0.1",
        "receiving-mx-hostname": "mx0.partner.test",
        "receiving-mx-helo": "sink.partner.test",
        "receiving-ip": "127.0.0.2", "failed-session-count": 3,
        "failure-reason-code": "certificate has expired"}
    g.wait_log("tls-report", domain="partner.test", status="sent")

    wait_for(lambda: reports(g) == {"partner.test": None}, what="the mark")
    g.stop()
    g.start()
    time.sleep(2.5)  # looks a second behind its start
    assert len(g.sink.messages) == 2


def test_a_policy_of_our_own_holds(make_gateway, make_sink):
    """TLS-Required: No lifts what the domain publishes, not what the operator
    demands: enforced TLS never falls back."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port)  # no STARTTLS
    g.write(policies={"secure_delivery": [
        {"narrative": "All", "from": "everyone", "to": "everyone",
         "option": "enforced_tls"}]})
    g.start()
    g.stop()
    seed(g, [(today() - 2, "partner.test", "no-policy-found\t\t",
              "starttls-not-supported\t\t\t\t\t", 3)])
    txt(g, "partner.test", "v=TLSRPTv1; rua=mailto:tls@partner.test")
    g.start()
    g.wait_log("deferred", to="tls@partner.test")
    assert not sink.messages


def test_nobody_bounces_to_the_contact(make_gateway, make_sink):
    """The report is refused: that is logged, and nothing comes back."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink(
        "127.0.0.2", g.mx_port,
        hook=lambda v, a: "550 5.1.1 no" if v == "RCPT" else None)
    g.start()
    g.stop()
    seed(g, [(today() - 2, "partner.test", "no-policy-found\t\t", "", 3)])
    txt(g, "partner.test", "v=TLSRPTv1; rua=mailto:tls@partner.test")
    g.write(tls_reports={"contact": "tls@example.com"})
    g.start()
    g.wait_log("report_undeliverable", to="tls@partner.test")
    time.sleep(1)
    assert g.boxed() == [] and not sink.messages
    status = json.loads(g.api("status", "--json").stdout)
    assert status["queue"]["messages"] == 0


@pytest.mark.parametrize("records, status", [
    ([], None),
    (["v=spf1 -all"], None),
    (["v=TLSRPTv1; rua=https://partner.test/x"], "skipped"),
    (["v=TLSRPTv1; rua=mailto:a@partner.test",
      "v=TLSRPTv1; rua=mailto:b@partner.test"], "unwanted"),
    (["v=TLSRPTv1; rua"], "unwanted")])
def test_nobody_asks(reporter, records, status):
    g = reporter
    # Without any record there is a name, so that nobody else is asked.
    txt(g, "partner.test", *(records or ["nothing"]))
    g.start()
    wait_for(lambda: reports(g) == {"partner.test": None}, what="the mark")
    if status is not None:
        assert g.lines("tls-report", domain="partner.test", status=status)
    assert not g.sink.messages


def test_dns_fails(reporter):
    """The servers do not answer: again an hour later."""
    g = reporter
    seed(g, [(today() - 2, "elsewhere.example", "no-policy-found\t\t", "", 3)])
    g.write(tls_reports={"send": True})
    g.start()
    g.wait_log("tls-report", domain="elsewhere.example", status="postponed")
    again = wait_for(lambda: reports(g).get("elsewhere.example"),
                     what="the mark")
    assert abs(again / 1000 - time.time() - 3600) < 30
    assert not g.sink.messages


def test_not_sent_unless_told(reporter):
    g = reporter
    txt(g, "partner.test", "v=TLSRPTv1; rua=mailto:tls@partner.test")
    g.write(tls_reports={"send": False})
    g.start()
    time.sleep(2)
    assert reports(g) == {} and not g.sink.messages


# ---- looking ---------------------------------------------------------------

def test_results_are_shown(reporter):
    g = reporter
    g.start()
    rows = json.loads(g.api("tls-results", "--json").stdout)["rows"]
    assert [(r["domain"], r["policy"], r["success"], r["failure"])
            for r in rows] == [("partner.test", "sts", 1, 0)]
    r = g.api("tls-results", "partner.test", "--days", "3", "--json")
    answer = json.loads(r.stdout)
    assert answer["more"] is False
    assert [(r["policy"], r["success"], r["failure"])
            for r in answer["rows"]] == [
        ("no-policy-found", 4, 0), ("sts", 10, 4), ("sts", 1, 0)]
    assert answer["rows"][1]["failures"] == [
        {"result": "certificate-expired", "sessions": 3,
         "mx": "mx0.partner.test", "peer": "127.0.0.2",
         "local": "127.0.0.1", "reason": "certificate has expired"},
        {"result": "sts-policy-fetch-error", "sessions": 1, "mx": None,
         "peer": None, "local": None, "reason": None}]
    day = datetime.datetime.utcfromtimestamp(
        (today() - 2) * DAY).strftime("%Y-%m-%d")
    assert answer["rows"][0]["day"] == day

    text = g.api("tls-results", "PARTNER.test.", "--days=3").stdout
    assert re.search(rf"^{day} +partner\.test +sts +10 +4$", text, re.M)
    assert re.search(r"^ +3 +certificate-expired +mx0\.partner\.test "
                     r"\[127\.0\.0\.2\] +certificate has expired$", text,
                     re.M)
    r = g.api("tls-results", "nowhere.test")
    assert r.returncode == 0 and r.stdout == "no sessions were counted\n"


@pytest.mark.parametrize("words", [
    ["--days", "0"], ["--days", "9"], ["--days", "x"], ["--days"],
    ["--other"], ["a..b"], [""]])
def test_wrong_usage(relay, words):
    r = relay.api("tls-results", *words)
    assert r.returncode == 2 and r.stderr and not r.stdout


def test_terminal_gets_no_control_characters(reporter):
    g = reporter
    seed(g, [(today(), "evil.test", "sts\t\t",
              "validation-failure\t\tmx\x1b[2J\t\t\t\x07", 1)])
    g.start()
    out = g.api("tls-results", "evil.test").stdout
    assert "mx?[2J" in out and "\x1b" not in out and "\x07" not in out


def test_deliveries_are_counted(make_gateway, make_sink, ca):
    """Sessions, not messages; the end of the daemon keeps what a minute has
    counted."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.mx("plain.test", "127.0.0.3")
    make_sink("127.0.0.2", g.mx_port,
              tls=ca.server_context("mx0.partner.test"))
    make_sink("127.0.0.3", g.mx_port)
    g.start()
    for domain in ("partner.test", "plain.test"):
        with g.client() as c:
            for i in range(2):
                c.mail("a@example.com", [f"b{i}@{domain}"], message())
        g.wait_log("delivered", to=f"b1@{domain}")
    g.stop()
    g.start()
    rows = json.loads(g.api("tls-results", "--json").stdout)["rows"]
    got = {r["domain"]: r for r in rows}
    assert set(got) == {"partner.test", "plain.test"}
    good, bad = got["partner.test"], got["plain.test"]
    assert good["policy"] == bad["policy"] == "no-policy-found"
    assert good["failure"] == 0 and 1 <= good["success"] <= 2
    assert bad["success"] == 0 and 1 <= bad["failure"] <= 2
    failure = bad["failures"][0]
    assert failure["result"] == "starttls-not-supported"
    assert failure["mx"] == "mx0.plain.test"
    assert failure["peer"] == "127.0.0.3"
