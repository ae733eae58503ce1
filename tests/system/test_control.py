"""The API and the operator's command against a running daemon."""

import json
import signal
import smtplib
import socket
import stat
import subprocess

import pytest

from harness import BUILD, wait_for


def http(g, request):
    """One request as raw octets; status and body of the answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(g.dir / "api.sock"))
        s.sendall(request)
        got = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def ask(g, target, method="GET"):
    status, body = http(g, f"{method} {target} HTTP/1.1\r\nHost: x\r\n"
                           "Connection: close\r\n\r\n".encode())
    return status, json.loads(body)


@pytest.fixture
def waiting(make_gateway):
    """Three messages to two recipients each, for whom nobody listens."""
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.write(delivery={"retry": ["1h"]})
    g.start()
    with smtplib.SMTP("127.0.0.1", g.port) as s:
        for i in range(3):
            s.sendmail(f"user{i}@example.com",
                       ["bob@partner.test", "a+b@partner.test"],
                       "Subject: x\r\n\r\nx\r\n")
    for i in range(3):
        g.wait_log("deferred", **{"from": f"user{i}@example.com",
                                  "to": "a+b@partner.test"})
    return g


def test_status(waiting):
    r = waiting.api("status", "--json")
    s = json.loads(r.stdout)
    assert r.returncode == 0 and s["healthy"] is True
    assert s["counters"]["accepted"] == 3 and s["queue"]["messages"] == 3
    assert s["queue"]["recipients"] == 6 and s["queue"]["oldest"]
    text = waiting.api("status").stdout
    assert "healthy" in text and "6 recipients" in text


def test_queue_pages_and_filters(waiting):
    seen, cursor = [], None
    for _ in range(10):
        more = ["--cursor", cursor] if cursor else []
        r = waiting.api("queue", "--json", "--limit", "4", *more)
        page = json.loads(r.stdout)
        seen += [(row["id"], row["index"]) for row in page["rows"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 6 and seen == sorted(seen)

    def count(*args):
        r = waiting.api("queue", "--json", *args)
        assert r.returncode == 0, r.stderr
        return len(json.loads(r.stdout)["rows"])

    assert count("--to", "a+b@partner.test") == 3
    assert count("--from", "user1@example.com") == 2
    assert count("--from", "@example.com", "--status", "deferred") == 6
    assert count("--from", "<>") == 0
    assert count("--status", "held") == 0
    assert count("--since", "1h") == 6 and count("--until", "1h") == 0
    table = waiting.api("queue").stdout.splitlines()
    assert len(table) == 7 and table[0].startswith("ID ")
    assert len({line.index("@example.com") - line.index("user")
                for line in table[1:]}) == 1


def test_queue_tells_the_stage_once(make_gateway, make_sink):
    g = make_gateway(start=False)
    g.mx("partner.test", "127.0.0.2")
    g.mx("closes.test", "127.0.0.3")
    g.mx("gone.test", "127.0.0.4")
    g.write(delivery={"retry": ["1h"]})
    make_sink("127.0.0.2", g.mx_port, hook=lambda verb, _: (
        "450 4.2.1 Busy" if verb == "RCPT" else None))
    make_sink("127.0.0.3", g.mx_port, hook=lambda verb, _: (
        "CLOSE" if verb == "RCPT" else None))
    g.start()
    want = {"partner.test": ("450 4.2.1 Busy", "sending RCPT TO"),
            "closes.test": ("451 4.4.2 the peer closed the connection",
                            "sending RCPT TO"),
            "gone.test": (f"451 4.4.1 connect to 127.0.0.4:{g.mx_port}: ",
                          "connecting")}
    with smtplib.SMTP("127.0.0.1", g.port) as s:
        for domain in want:
            s.sendmail("user@example.com", f"b@{domain}",
                       "Subject: x\r\n\r\nx\r\n")
    for domain in want:
        g.wait_log("deferred", to=f"b@{domain}")

    def rows():
        found = json.loads(g.api("queue", "--json").stdout)["rows"]
        return len([r for r in found if r["reply"]]) == 3 and found

    table = wait_for(rows) and g.api("queue").stdout.splitlines()[1:]
    for row in rows():
        reply, stage = want[row["domain"]]
        assert row["reply"].startswith(reply), row
        assert row["reply"].endswith(f" ({stage})"), row
        assert row["reply"].count(stage) == 1, row
        line = next(l for l in table if row["id"] in l)
        assert line.endswith(row["reply"])
        # the log has it in a field of its own
        log = g.lines("deferred", qid=row["id"])[0]
        assert log.count(stage) == 1, log


@pytest.mark.parametrize("target, method, status", [
    ("/v1/queue?limit=0", "GET", 400),
    ("/v1/queue?limit=1001", "GET", 400),
    ("/v1/queue?limit=-1", "GET", 400),
    ("/v1/queue?cursor=nonsense", "GET", 400),
    ("/v1/queue?since=yesterday", "GET", 400),
    ("/v1/queue?status=lost", "GET", 400),
    ("/v1/queue?what=x", "GET", 400),
    ("/v1/status", "POST", 405),
    ("/v1/reload", "GET", 405),
    ("/v1/queue", "DELETE", 405),
    ("/", "GET", 404),
    ("/v1/status/", "GET", 404),
])
def test_refusals_are_json(waiting, target, method, status):
    got, body = ask(waiting, target, method)
    assert got == status and isinstance(body["error"], str)


def test_limits_of_http(waiting):  # B71
    for request in (b"GET /v1/status HTTP/1.1\r\n" + b"A: b\r\n" * 100000,
                    b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: 100000000\r\n\r\n"):
        try:
            assert http(waiting, request)[0] in (400, 413)
        except (ConnectionError, IndexError):
            pass  # ended without an answer
    # A client that leaves before its answer harms nobody; what it asked may
    # still keep the worker busy for a moment (503).
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(waiting.dir / "api.sock"))
            s.sendall(b"GET /v1/queue HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: ask(waiting, "/v1/status")[0] == 200, 10, "an answer")


def test_reload(make_gateway):
    g = make_gateway()
    r = g.api("reload")
    assert (r.returncode, r.stdout) == (0, "reloaded\n")
    g.conf.write_text(g.conf.read_text() + "nonsense = 1;\n")
    r = g.api("reload")
    assert r.returncode == 1 and "nonsense" in r.stderr
    assert ask(g, "/v1/reload", "POST")[0] == 409
    # status works with the broken file, by the socket.
    assert g.api("status").returncode == 0


def test_socket(make_gateway):
    g = make_gateway()
    path = g.dir / "api.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    g.kill()
    assert path.exists()  # stale now
    r = g.api("status")
    assert r.returncode == 1 and "systemctl start sortied" in r.stderr
    g.start()
    wait_for(lambda: g.api("status").returncode == 0, 10, "the socket")
    g.stop()
    assert not path.exists()


def test_socket_of_another(make_gateway):
    """Neither a living process's socket nor another file is taken away."""
    a = make_gateway()
    b = make_gateway(start=False)
    b.write(gateway={"api_socket": str(a.dir / "api.sock")})
    for what in ("another process answers", "not a socket"):
        r = subprocess.run([BUILD / "sortied", "-c", b.conf],
                           capture_output=True, text=True, timeout=20,
                           check=False)
        assert r.returncode == 1 and what in r.stderr, r.stderr
        assert a.api("status").returncode == 0
        (b.dir / "file").write_text("precious")
        b.write(gateway={"api_socket": str(b.dir / "file")})
    assert (b.dir / "file").read_text() == "precious"


@pytest.mark.parametrize("args", [
    [], ["nope"], ["--foo"], ["-c"], ["queue", "retry"], ["queue", "--limit"],
    ["status", "x"], ["reload", "--dump"], ["check", "--json"],
    ["check", "x"]])
def test_usage(args):
    r = subprocess.run([BUILD / "sortie", *args], capture_output=True,
                       text=True, timeout=20, check=False)
    assert r.returncode == 2 and r.stderr and not r.stdout


def test_options_on_either_side(make_gateway):
    g = make_gateway()
    s, c = str(g.dir / "api.sock"), str(g.conf)
    for args in (["-s", s, "status"], ["status", "-s", s], ["-c", c, "status"],
                 ["status", "-c", c], ["--json", "-c", c, "queue"],
                 ["check", "-c", c], ["-c", c, "check"]):
        r = g.run(*args)
        assert r.returncode == 0, (args, r.stderr)


def test_hangup_of_sighup(make_gateway):
    """The signal and the command do the same."""
    g = make_gateway()
    g.signal(signal.SIGHUP)
    g.wait_log("reloaded")
