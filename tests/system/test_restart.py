"""What has had its 250 survives: A2, A3.1-A3.3, A3.11, A3.14, A3.15."""

import re
import signal
import subprocess
import threading
import time

from harness import BUILD, message, wait_for


def load(g, prefix, sent, got, stop):
    n = 0
    while not stop.is_set():
        try:
            with g.client(timeout=5) as c:
                for _ in range(20):
                    mark = f"{prefix}-{n}"
                    n += 1
                    sent.add(mark)
                    if c.mail("a@example.com", "b@partner.test",
                              message(f"id={mark};")).code == 250:
                        got.add(mark)
        except (OSError, EOFError, AssertionError):
            time.sleep(0.1)


def test_a2_ledger_over_kill(relay):
    sent, got, stop = set(), set(), threading.Event()
    threads = [threading.Thread(target=load, args=(relay, i, sent, got, stop))
               for i in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            before = len(got)
            wait_for(lambda: len(got) > before + 30, 20, "load")
            relay.kill()
            relay.start()
    finally:
        stop.set()
        for t in threads:
            t.join(30)

    def arrived():
        return [re.search(r"id=([\d-]+);", m.text).group(1)
                for m in list(relay.sink.messages)]

    wait_for(lambda: got <= set(arrived()), 30, "every id with a 250")
    ids = arrived()
    assert set(ids) <= sent
    # in flight at a kill: what the sink had and the queue did not know yet
    doubles = {i for i in ids if ids.count(i) > 1}
    assert len(doubles) < len(ids) / 2, doubles


def test_a3_14_sigterm_drains(relay):
    with relay.client() as c:
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250
    start = time.monotonic()
    relay.stop()
    assert time.monotonic() - start < 20
    relay.start()
    relay.sink.wait()


def test_a3_15_bad_reload_keeps_the_old(relay):
    good = relay.conf.read_text()
    relay.conf.write_text(good + "\nnonsense = 1;\n")
    mark = len(relay.log)
    relay.allowed.append("nonsense")
    relay.signal(signal.SIGHUP)
    wait_for(lambda: [l for l in relay.log[mark:] if "nonsense" in l])
    with relay.client() as c:
        assert c.mail("a@example.com", "b@partner.test",
                      message()).code == 250
    relay.conf.write_text(good)


def test_a3_11_second_daemon_is_refused(make_gateway):
    g = make_gateway()
    r = subprocess.run([BUILD / "sortied", "-c", g.conf], timeout=20,
                       capture_output=True, text=True, check=False)
    assert r.returncode == 1, r
    assert g.process.poll() is None
