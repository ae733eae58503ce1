"""REQUIRETLS and TLS-Required toward the next hop (RFC 8689; checklist C62,
B57). A route is a next hop that is certain, an exchanger of plain DNS is not.
"""

import pytest

from certs import Factory
from harness import Sink, message, wait_for

OFFERS = Sink.EXTENSIONS + ("REQUIRETLS",)
HOST = "mx.in.test"


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def world(make_gateway, make_sink, factory, request):
    """in.test by a route to a sink; ext.test by MX, which DNS does not
    prove."""
    g = make_gateway(start=False, gateway={"ca_file": factory.file},
                     delivery={"retry": ["60s"], "idle_timeout": "0s"},
                     **getattr(request, "param", {}))
    g.write(routes=[{"name": "boxes", "maildir": str(g.maildir)},
                    {"name": "in", "hosts": [f"{HOST}:{g.mx_port}"]}],
            internal_domains=[{"domain": "example.com", "route": "boxes"},
                              {"domain": "in.test", "route": "in"}])
    g.settings["resolver"]["local_data"].append(
        f"{HOST}. 300 IN A 127.0.0.2")
    g.mx("ext.test", "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port, extensions=OFFERS,
                       tls=factory.server("good", HOST))
    return g.start()


def send(g, ca, rcpt, params=" REQUIRETLS", text=None):
    with g.client() as c:
        c.starttls(ca.client_context())
        c.ehlo()
        r = c.mail("a@example.com", rcpt, text or message(
            body="The secret body.\r\n"), params)
        assert r.code == 250, r


def report(g):
    wait_for(lambda: g.boxed(), 15, "a report\n" + "\n".join(g.log[-20:]))
    return g.boxed()[0].decode()


def test_passed_on_to_a_host_that_promises_it(world, ca):
    send(world, ca, "b@in.test")
    got = world.sink.wait()[0]
    assert got.tls and " REQUIRETLS" in got.params
    line = world.wait_log("delivered", to="b@in.test")[0]
    assert " security=verified " in line
    assert " required_by=requiretls " in line
    # Other mail to the same host is not marked.
    send(world, ca, "c@in.test", params="")
    assert "REQUIRETLS" not in world.sink.wait(2)[1].params


def test_returned_when_the_host_does_not_promise_it(world, ca):
    world.sink.extensions = Sink.EXTENSIONS
    send(world, ca, "b@in.test", params=" REQUIRETLS RET=FULL")
    line = world.wait_log("bounced", to="b@in.test")[0]
    assert " dsn=5.7.30 " in line and "REQUIRETLS" in line
    text = report(world)
    assert "5.7.30" in text
    # The way back may be less secure: the header, never the body.
    assert "The secret body" not in text and "Subject: Test" in text
    assert not world.sink.messages


def test_never_to_a_host_that_cannot_be_trusted(world, ca, factory):
    world.sink.tls = factory.server("wrong_name", HOST)
    send(world, ca, "b@in.test")
    line = world.wait_log("deferred", to="b@in.test")[0]
    assert "by REQUIRETLS, requires TLS" in line
    assert not world.sink.messages


def test_never_in_clear(world, ca):
    world.sink.tls = None
    send(world, ca, "b@in.test")
    line = world.wait_log("deferred", to="b@in.test")[0]
    assert "offers no STARTTLS" in line
    assert not world.sink.messages


def test_an_exchanger_that_nothing_proves(world, ca):
    send(world, ca, "b@ext.test")
    line = world.wait_log("bounced", to="b@ext.test")[0]
    assert " dsn=5.7.30 " in line
    assert "neither DNSSEC nor MTA-STS" in line
    assert not world.sink.sessions


@pytest.mark.parametrize("world", [
    {"policies": {"secure_delivery": [{"option": "no_tls"}]}}],
    indirect=True)
def test_stands_above_no_tls(world, ca):
    send(world, ca, "b@in.test")
    assert world.sink.wait()[0].tls
    send(world, ca, "c@in.test", params="")
    assert world.sink.wait(2)[1].tls is None


@pytest.mark.parametrize("world", [
    {"policies": {"secure_delivery": [{"option": "enforced_tls"}]}}],
    indirect=True)
def test_tls_required_no_is_no_way_around_our_policy(world, ca):
    world.sink.tls = None
    text = "TLS-Required: No\r\n" + message()
    send(world, ca, "b@in.test", params="", text=text)
    assert "offers no STARTTLS" in world.wait_log("deferred")[0]
    assert not world.sink.messages
