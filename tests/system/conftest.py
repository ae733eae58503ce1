"""Fixtures over harness.py."""

import pytest

from harness import BUILD, CA, Gateway, Sink


@pytest.fixture(scope="session", autouse=True)
def programs():
    for name in ("sortied",):
        assert (BUILD / name).exists(), f"{BUILD / name}: build it first"


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def make_gateway(tmp_path, ca):
    """make_gateway(start=True, **settings); all of them are stopped, and must
    end well, when the test is over."""
    made = []

    def make(start=True, tls=True, **settings):
        g = Gateway(tmp_path / f"gw{len(made)}", ca if tls else None,
                    **settings)
        made.append(g)
        return g.start() if start else g

    yield make
    for g in made:
        g.stop()


@pytest.fixture
def make_sink():
    made = []

    def make(*args, **options):
        made.append(Sink(*args, **options))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.fixture
def relay(make_gateway, make_sink):
    """A gateway whose partner.test is a sink at 127.0.0.2."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.sink = make_sink("127.0.0.2", g.mx_port)
    return g.start()
