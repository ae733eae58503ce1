"""What has had its 250 survives: A2, A3.1-A3.3, A3.11, A3.14, A3.15."""

import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from harness import BUILD, message, reply_id, wait_for


IN_FLIGHT_S = 2  # from the sink's 250 to a durable outcome, at most
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
FINAL = 3  # state of recipients that left the queue: this and above


def load(g, prefix, sent, got, stop):
    """Mail without end; got: the queue id of each mark that had its 250."""
    n = 0
    while not stop.is_set():
        # a scripted sink is slower than the gateway
        if len(got) > len(g.sink.messages) + 500:
            time.sleep(0.02)
            continue
        try:
            with g.client(timeout=5) as c:
                for _ in range(20):
                    mark = f"{prefix}-{n}"
                    n += 1
                    sent.add(mark)
                    r = c.mail("a@example.com", "b@partner.test",
                               message(f"id={mark};"))
                    if r.code == 250:
                        got[mark] = reply_id(r)
        except (OSError, EOFError, AssertionError):
            time.sleep(0.1)


def id_text(number):
    return "".join(ALPHABET[number >> 5 * i & 31] for i in range(12, -1, -1))


def queued(g, scratch):
    """Ids that the dead daemon's store holds as not settled; read from a
    copy, so that nothing is recovered but by the daemon."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in (g.dir / "state").glob("*.db*"):
        shutil.copy(path, scratch)
    files = list(scratch.glob("*.db"))
    assert len(files) == 1, files
    db = sqlite3.connect(files[0])
    try:
        return {id_text(i) for i, in db.execute(
            f"SELECT message FROM recipient WHERE state < {FINAL}")}
    finally:
        db.close()


class Copy:
    def __init__(self, delivery):
        self.mark = re.search(r"id=([\d-]+);", delivery.text).group(1)
        self.qid = re.search(r"\sid ([0-9A-Z]{13})\b",
                             delivery.text).group(1)
        self.session, self.time = delivery.session, delivery.time


class Kill:
    """What was true when the daemon died; the sink has taken all it was
    sent."""

    def __init__(self, g, scratch):
        self.time = time.monotonic()
        g.kill()
        wait_for(lambda: g.sink.live == 0, 10, "the sink is quiet")
        time.sleep(0.1)
        assert g.sink.live == 0
        self.session = g.sink.sessions
        self.queued = queued(g, scratch)

    def check(self, got, copies):
        """Nothing is lost; and settled means settled, or there would be no
        duplicate to object to."""
        arrived = {c.qid for c in copies}
        lost = {m for m, qid in got.items()
                if qid not in arrived and qid not in self.queued}
        assert lost == set()
        assert arrived - self.queued


def check_duplicate(first, second, kills):
    """It stood in the queue at every kill between the two, and had come only
    just before the first of them."""
    between = [k for k in kills
               if first.session <= k.session < second.session]
    assert between, f"{first.qid} twice without a kill"
    assert first.qid == second.qid
    for k in between:
        assert first.qid in k.queued, f"{first.qid} was settled"
    assert first.time > between[0].time - IN_FLIGHT_S, \
        f"{first.qid} was not in flight"


def test_a2_ledger_over_kill(relay, tmp_path):
    sent, got, kills, stop = set(), {}, [], threading.Event()
    threads = [threading.Thread(target=load, args=(relay, i, sent, got, stop))
               for i in range(4)]

    def copies():
        return [Copy(m) for m in list(relay.sink.messages)]

    for t in threads:
        t.start()
    try:
        for _ in range(3):
            before, start = len(got), time.monotonic()
            wait_for(lambda: len(got) > before + 30 and
                     time.monotonic() > start + IN_FLIGHT_S + 0.3, 20, "load")
            kills.append(Kill(relay, tmp_path / "copy"))
            kills[-1].check(dict(got), copies())
            relay.start()
    finally:
        stop.set()
        for t in threads:
            t.join(30)

    wait_for(lambda: set(got.values()) <= {c.qid for c in copies()}, 30,
             "every id with a 250")
    wait_for(lambda: relay.api("queue").stdout.startswith("nothing"), 30,
             "an empty queue")
    by_mark = {}
    for c in sorted(copies(), key=lambda c: c.time):
        by_mark.setdefault(c.mark, []).append(c)
    assert set(by_mark) <= sent
    for several in by_mark.values():
        for first, second in zip(several, several[1:]):
            check_duplicate(first, second, kills)


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
    """Also when nothing but the state directory is the same."""
    g = make_gateway()
    other = make_gateway(start=False, gateway={
        "state_dir": g.settings["gateway"]["state_dir"]})
    for conf in (g.conf, other.conf):
        r = subprocess.run([BUILD / "sortied", "-c", conf], timeout=20,
                           capture_output=True, text=True, check=False)
        assert r.returncode == 1, r
        assert conf is g.conf or \
            f"in use by process {g.process.pid}" in r.stderr, r
        assert g.process.poll() is None
    with g.client() as c:
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250
    g.wait_log("delivered", to="b@example.com")
