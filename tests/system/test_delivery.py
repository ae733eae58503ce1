"""What the far end may do to a delivery, and what comes of it: A3.24."""

import email
import email.policy
import re
import time

from harness import Dns, message, wait_for


def send(g, rcpts, text=None, params=""):
    with g.client() as c:
        r = c.mail("a@example.com", rcpts, text or message(), params)
        assert r.code == 250, r


def reports(g):
    return [email.message_from_bytes(b, policy=email.policy.default)
            for b in g.boxed()]


def wait_report(g, n=1):
    wait_for(lambda: len(g.boxed()) >= n, 15,
             f"{n} reports\n" + "\n".join(g.log[-30:]))
    return reports(g)[n - 1]


def status_of(report):
    """The delivery-status part as text, after a look at the frame."""
    assert report.get_content_type() == "multipart/report", report
    assert report.get_param("report-type") == "delivery-status"
    assert report["Return-Path"] in (None, "<>")
    parts = list(report.iter_parts())
    assert parts[1].get_content_type() == "message/delivery-status"
    return parts[1].as_string()


def test_refused_exchanger_leads_to_the_next(make_gateway, make_sink):
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.3", "127.0.0.2")  # nobody at the first
    sink = make_sink("127.0.0.2", g.mx_port)
    g.start()
    send(g, "b@partner.test")
    assert len(sink.wait()) == 1


def test_rcpt_4xx_is_tried_again(relay):
    told = []

    def hook(verb, _):
        if verb == "RCPT" and len(told) < 2:
            told.append(time.monotonic())
            return "450 4.2.1 Busy"
        return None

    relay.sink.hook = hook
    send(relay, "b@partner.test")
    got = relay.sink.wait()
    assert len(told) == 2 and len(got) == 1
    assert got[0].time - told[0] > 0.8  # the retry interval, not at once
    assert relay.boxed() == []


def test_rcpt_5xx_is_reported(relay):
    relay.sink.hook = lambda verb, _: (
        "550 5.1.1 No such mailbox zebra" if verb == "RCPT" else None)
    send(relay, "b@partner.test", message(subject="Lost one"))
    report = wait_report(relay)
    text = status_of(report)
    assert "\nAction: failed" in text
    assert "\nStatus: 5.1.1" in text
    assert "rfc822;b@partner.test" in text.replace("; ", ";")
    assert "No such mailbox zebra" in text
    assert "Lost one" in report.as_string()
    assert relay.sink.messages == []
    time.sleep(1.5)
    assert len(relay.boxed()) == 1


def test_report_has_the_null_reverse_path(make_gateway, make_sink):
    # without a route the internal domain is reached by its MX
    g = make_gateway(start=False,
                     internal_domains=[{"domain": "example.com"}])
    g.mx("partner.test", "127.0.0.2")
    g.mx("example.com", "127.0.0.3")
    make_sink("127.0.0.2", g.mx_port, hook=lambda verb, _: (
        "550 5.1.1 Unknown" if verb == "RCPT" else None))
    home = make_sink("127.0.0.3", g.mx_port)
    g.start()
    send(g, "gone@partner.test")
    got = home.wait()[0]
    assert got.sender == ""
    assert [r[0] for r in got.rcpts] == ["a@example.com"]
    status_of(email.message_from_bytes(got.data,
                                       policy=email.policy.default))


def test_expiry_is_reported_once(make_gateway, make_sink):
    g = make_gateway(start=False, delivery={"expire": "3s"})
    g.mx("partner.test", "127.0.0.2")
    make_sink("127.0.0.2", g.mx_port, hook=lambda verb, _: (
        "451 4.3.0 Later" if verb == "RCPT" else None))
    g.start()
    start = time.monotonic()
    send(g, "b@partner.test")
    text = status_of(wait_report(g))
    assert time.monotonic() - start > 2
    assert "\nAction: failed" in text
    time.sleep(2.5)
    assert len(g.boxed()) == 1


def test_null_mx_is_reported_at_once(make_gateway):
    g = make_gateway(start=False)
    g.settings["resolver"]["local_data"].append("null.test. 300 IN MX 0 .")
    g.write()
    g.start()
    start = time.monotonic()
    send(g, "b@null.test")
    text = status_of(wait_report(g))
    assert time.monotonic() - start < 5
    assert "\nStatus: 5.1.10" in text


def test_servfail_defers(make_gateway, make_sink):
    dns = Dns({"partner.test.": "SERVFAIL"})
    try:
        g = make_gateway(start=False, resolver={
            "servers": [f"127.0.0.1@{dns.port}"]})
        sink = make_sink("127.0.0.2", g.mx_port)
        g.start()
        send(g, "b@partner.test")
        deferred = g.wait_log("deferred")[0]
        qid = re.search(r" qid=(\S+)", deferred).group(1)
        assert " dsn=4.4.3 " in deferred
        time.sleep(3)
        assert g.boxed() == [] and sink.messages == []
        r = g.api("queue", "--json")
        assert r.returncode == 0 and qid in r.stdout, r
    finally:
        dns.close()


def test_tls_is_used_when_offered(make_gateway, make_sink, ca):
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=ca.server_context("mx0.partner.test"))
    g.start()
    send(g, "b@partner.test")
    assert sink.wait()[0].tls in ("TLSv1.2", "TLSv1.3")


def test_failed_handshake_falls_back_on_a_fresh_connection(relay, ca):
    class NoHandshake:
        def wrap_socket(self, sock, **_):
            sock.sendall(b"this is no TLS record\r\n")
            raise EOFError

    relay.sink.tls = NoHandshake()
    send(relay, "b@partner.test")
    got = relay.sink.wait()[0]
    assert got.tls is None
    assert got.session > 1
    assert "STARTTLS" in relay.sink.commands


def test_no_8bitmime_gets_seven_bits(relay):
    relay.sink.extensions = ("PIPELINING", "SIZE 10000000")
    text = message(body="Grüße aus Köln.\r\n").replace(
        "Subject:", "MIME-Version: 1.0\r\nContent-Type: text/plain; "
        "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject:")
    send(relay, "b@partner.test", text, " BODY=8BITMIME")
    got = relay.sink.wait()[0]
    assert got.data.isascii()
    assert "8BITMIME" not in got.params.upper()
    parsed = email.message_from_bytes(got.data)
    assert parsed.get_payload(decode=True).decode().rstrip() == \
        "Grüße aus Köln."


def test_a3_24_three_recipients_three_fates(relay):
    later = []

    def hook(verb, arg):
        if verb == "RCPT" and "bad@" in arg:
            return "550 5.1.1 Never"
        if verb == "RCPT" and "slow@" in arg and not later:
            later.append(arg)
            return "450 4.2.1 Later"
        return None

    relay.sink.hook = hook
    send(relay, ["good@partner.test", "slow@partner.test",
                 "bad@partner.test"])
    relay.sink.wait(2)
    text = status_of(wait_report(relay))
    assert "bad@partner.test" in text
    assert "good@" not in text and "slow@" not in text
    time.sleep(2.5)
    assert sorted(r[0] for m in relay.sink.messages for r in m.rcpts) == \
        ["good@partner.test", "slow@partner.test"]
    assert len(relay.boxed()) == 1


def test_a_dead_destination_delays_nobody(relay, make_sink):
    # takes connections and says nothing
    make_sink("127.0.0.4", relay.mx_port,
              hook=lambda verb, _: time.sleep(20) or "CLOSE")
    relay.stop()
    relay.mx("dead.test", "127.0.0.4")
    relay.start()
    for _ in range(30):
        send(relay, "b@dead.test")
    time.sleep(0.3)
    start = time.monotonic()
    send(relay, "b@partner.test")
    relay.sink.wait(1, 5)
    assert time.monotonic() - start < 2
