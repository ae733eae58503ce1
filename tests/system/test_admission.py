"""MAN01 and MAN02 over the wire: who may send what to whom."""

import pytest

from harness import message, reply_id

SETTINGS = {
    "admission": {"header_from": "require_internal"},
    "internal_domains": [{"domain": "example.com", "route": "boxes"},
                         {"domain": "münchen.example", "route": "boxes"},
                         {"domain": "only.example", "send_only": True}],
}
LISTED, OTHER = "127.0.0.1", "127.0.0.9"

# source, sender, recipient, code when temporary, code when permanent
MATRIX = [
    (LISTED, "a@example.com", "b@partner.test", 250, 250),
    (LISTED, "a@EXAMPLE.com", "b@partner.test", 250, 250),
    (LISTED, "a@xn--mnchen-3ya.example", "b@partner.test", 250, 250),
    (LISTED, "a@example.com", "b@example.com", 250, 250),
    (LISTED, "", "b@partner.test", 250, 250),
    (LISTED, "a@sub.example.com", "b@partner.test", 451, 550),
    (LISTED, "a@foreign.test", "b@partner.test", 451, 550),
    (LISTED, "a@foreign.test", "b@example.com", 250, 250),
    (LISTED, "a@example.com", "b@only.example", 550, 550),
    (OTHER, "a@example.com", "b@partner.test", 451, 550),
    (OTHER, "a@foreign.test", "b@partner.test", 451, 550),
    (OTHER, "", "b@partner.test", 451, 550),
    (OTHER, "a@example.com", "b@example.com", 550, 550),
    (OTHER, "a@foreign.test", "b@example.com", 250, 250),
    (OTHER, "", "b@example.com", 250, 250),
    (OTHER, "a@foreign.test", "b%partner.test@example.com", 550, 550),
    (OTHER, "a@foreign.test", "partner.test!b@example.com", 550, 550),
    (OTHER, "a@foreign.test", '"b@partner.test"@example.com', 550, 550),
]


@pytest.mark.parametrize("refuse", ["temporary", "permanent"])
def test_man01_man02_matrix(make_gateway, refuse):
    settings = dict(SETTINGS, admission={"refuse": refuse})
    g = make_gateway(**settings)
    for source, sender, rcpt, temporary, permanent in MATRIX:
        want = temporary if refuse == "temporary" else permanent
        with g.client(source=source) as c:
            assert c.cmd(f"MAIL FROM:<{sender}>").code == 250
            r = c.cmd(f"RCPT TO:<{rcpt}>")
            case = (source, sender, rcpt, r)
            assert r.code == want, case
            if want != 250:
                assert reply_id(r), case
                assert r.text[0] == str(want)[0], case
                assert g.wait_log("refused", qid=reply_id(r)), case
                assert c.cmd("DATA").code in (503, 554), case


def test_b26_relay_refusal_says_so(make_gateway):
    g = make_gateway()
    with g.client(source=OTHER) as c:
        c.cmd("MAIL FROM:<a@foreign.test>")
        r = c.cmd("RCPT TO:<b@partner.test>")
    assert r.text.startswith("4.7.1 Open relay not allowed"), r


@pytest.mark.parametrize("header,code", [
    ("From: a@example.com\r\n", 250),
    ("From: A <a@EXAMPLE.COM>\r\n", 250),
    ("From: a@foreign.test\r\n", 550),
    ("From: a@example.com\r\nFrom: a@foreign.test\r\n", 550),
    ("From: a@example.com, b@foreign.test\r\n", 550),
    ("From: <a@foreign.test>:<a@example.com>;\r\n", 550),
    ("Subject: no From\r\n", 550),
])
def test_b26_b28_b29_header_from(make_gateway, header, code):
    g = make_gateway(**SETTINGS)
    with g.client() as c:
        r = c.mail("a@example.com", "b@example.com",
                   header + "Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n\r\nx\r\n")
        assert r.code == code, r
        assert reply_id(r)
        # B04: nothing of it is left
        assert c.cmd("RCPT TO:<b@example.com>").code == 503


def test_header_from_allow(make_gateway):
    g = make_gateway()
    with g.client() as c:
        assert c.mail("a@example.com", "b@example.com",
                      message(sender="x@foreign.test")).code == 250
