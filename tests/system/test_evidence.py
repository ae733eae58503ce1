"""The record of every attempt: how the mail came, what was asked and reached,
what the peer said; it outlives the message."""

import json
import sqlite3

import pytest

from certs import Factory, fingerprint
from harness import message, wait_for


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


def records(g, n=1):
    path = f"file:{g.dir}/state/queue.db?mode=ro"

    def read():
        with sqlite3.connect(path, uri=True) as db:
            rows = db.execute("SELECT message, evidence FROM attempt "
                              "ORDER BY id").fetchall()
        return ([json.loads(e) for _, e in rows],) if len(rows) >= n else ()

    return wait_for(read, 10, f"{n} records")[0]


def start(make_gateway, make_sink, factory, kind, **settings):
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     policies={"secure_delivery": [
                         {"narrative": "The \"rule\"",
                          "option": "enforced_tls"}]},
                     delivery={"retry": ["60s"]}, **settings)
    g.mx("partner.test", "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port,
                       tls=factory.server(kind, "mx0.partner.test"))
    return g.start()


def send(g, ca, rcpts):
    with g.client() as c:
        c.starttls(ca.client_context())
        c.ehlo()
        r = c.mail("a@example.com", rcpts, message())
        assert r.code == 250, r


def test_a_delivery(make_gateway, make_sink, factory, ca):
    g = start(make_gateway, make_sink, factory, "good")
    g.sink.hook = lambda v, a: (
        "550 5.1.1 No \x1b[31msuch" if v == "RCPT" and "none@" in a else None)
    send(g, ca, ["b@partner.test", "none@partner.test"])
    got = [r for r in records(g) if r.get("host")][0]
    assert got["from"] == "a@example.com"
    assert got["receipt"]["tls"].startswith("TLSv1.")
    assert got["policies"] == {"secure_delivery": 'The "rule"'}
    assert got["need"] == "enforced strict"
    assert got["host"] == "mx0.partner.test"
    assert got["peer"] == f"127.0.0.2:{g.mx_port}"
    assert got["greeting"] == "sink.partner.test ESMTP"
    assert (got["security"], got["required"], got["required_by"]) == (
        "verified", "verified", "policy")
    tls = got["tls"]
    assert tls["verified"] is True and tls["resumed"] is False
    assert tls["version"] == "TLSv1.3" and tls["group"]
    assert tls["subject"] == "CN=mx0.partner.test"
    assert tls["issuer"] == "CN=Root"
    assert tls["fingerprint"] == fingerprint(
        factory.dir / "good-mx0.partner.test.pem")
    rows = {r["to"]: r for r in got["recipients"]}
    assert rows["b@partner.test"]["status"] == "delivered"
    assert rows["b@partner.test"]["reply"].startswith("250 2.0.0 Taken")
    assert rows["none@partner.test"]["status"] == "bounced"
    assert rows["none@partner.test"]["reply"].startswith("550 5.1.1 No ")
    assert "\x1b" not in json.dumps(got, ensure_ascii=False)


def test_an_attempt_that_failed(make_gateway, make_sink, factory, ca):
    g = start(make_gateway, make_sink, factory, "expired")
    send(g, ca, "b@partner.test")
    got = records(g)[0]
    assert "host" not in got or got["security"] != "verified"
    row = got["recipients"][0]
    assert row["status"] == "deferred" and row["attempt"] == 1
    assert "certificate has expired" in row["reply"]


def test_none_are_made_when_none_are_wanted(make_gateway, make_sink, factory,
                                            ca):
    g = start(make_gateway, make_sink, factory, "good",
              tracking={"attempts": "0s"})
    send(g, ca, "b@partner.test")
    g.wait_log("delivered")
    g.stop()
    assert records(g, 0) == []
