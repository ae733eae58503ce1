"""The health of the daemon: told to clients, the operator and systemd, lost
by what fails, and won back without a restart."""

import threading
import time

import pytest

import preload
from harness import message, wait_for

WATCHDOG_S = 6  # a third of it is too long for a thread
MB = 1 << 20


@pytest.fixture
def scene(make_gateway, tmp_path):
    class Scene:
        faults = preload.Faults(tmp_path)
        systemd = preload.Systemd(tmp_path, WATCHDOG_S)

        def start(self, **settings):
            self.gateway = make_gateway(start=False, **settings)
            preload.start(self.gateway, self.faults, self.systemd)
            return self.gateway

    s = Scene()
    yield s
    for name in ("eio", "hang", "accept", "space"):
        (s.faults.dir / name).unlink(missing_ok=True)
    s.systemd.close()


def send(g):
    with g.client() as c:
        return c.mail("a@example.com", "b@example.com", message())


def healthy(g):
    return g.api("status").returncode == 0


def test_failed_sync(scene):
    """A3.7: 451 and no promise; 421 for the next; healed by new files."""
    g = scene.start()
    g.allowed += ["store-unhealthy"]
    assert send(g).code == 250
    scene.systemd.wait_status("Accepting mail")
    scene.faults.on("eio")
    r = send(g)
    assert (r.code, r.text[:5]) == (451, "4.3.0"), r
    with pytest.raises(AssertionError):
        wait_for(lambda: healthy(g), 1)
    s = g.api("status")
    assert s.returncode == 1 and "UNHEALTHY" in s.stdout, s.stdout
    with g.client(ehlo=False) as c:
        assert c.banner.code == 421 and c.banner.text.startswith("4.3.0 ")
        assert c.rest() == b""
    scene.systemd.wait_status("Not accepting mail: ")
    beats = scene.systemd.beats
    # A sick store is no reason to be killed.
    wait_for(lambda: scene.systemd.beats > beats + 2, 10, "beats")
    scene.faults.off("eio")
    wait_for(lambda: healthy(g), 15, "healed")
    assert send(g).code == 250
    scene.systemd.wait_status("Accepting mail")
    assert g.lines("store-healthy")
    wait_for(lambda: len(g.boxed()) == 2, 15, "two messages")


def test_space_is_watched(scene):
    """A3.5, before any mail runs into it: a warning, then no mail, then again."""
    g = scene.start(limits={"queue_min_free": "64M"})
    g.allowed += ["store-unhealthy"]
    assert send(g).code == 250
    assert not g.lines("space-short")
    scene.faults.on("space", str(100 * MB))
    g.wait_log("space-short")
    assert healthy(g) and send(g).code == 250
    scene.faults.on("space", str(63 * MB))
    g.wait_log("store-unhealthy")
    s = g.api("status")
    assert s.returncode == 1 and "octets are free" in s.stdout, s.stdout
    with g.client(ehlo=False) as c:
        assert c.banner.code == 421 and c.banner.text.startswith("4.3.1 ")
    scene.systemd.wait_status("octets are free")
    scene.faults.off("space")
    wait_for(lambda: healthy(g), 15, "healed")
    assert send(g).code == 250
    assert len(g.lines("space-short")) == 1


def wait_for_silence(systemd):
    """Longer than systemd would wait."""
    wait_for(lambda: "Stuck" in systemd.status, 12, "STATUS=Stuck")
    beats = systemd.beats
    time.sleep(WATCHDOG_S + 0.5)
    assert systemd.beats == beats


def test_stuck_committer(scene):
    """A3.39 for good: a disk that does not answer trips the watchdog."""
    g = scene.start()
    g.allowed += ["event=stuck"]
    scene.faults.on("hang")
    replies = []
    t = threading.Thread(target=lambda: replies.append(send(g)))
    t.start()
    wait_for_silence(scene.systemd)
    assert "committer" in scene.systemd.status
    s = g.api("status")
    assert s.returncode == 1 and "committer" in s.stdout, s.stdout
    assert not replies
    scene.faults.off("hang")
    t.join(15)
    assert replies[0].code == 250
    scene.systemd.wait_status("Accepting mail")
    g.wait_log("unstuck")
    assert healthy(g)


def test_stuck_reactor(scene):
    g = scene.start(gateway={"reactors": 1})
    g.allowed += ["event=stuck"]
    scene.faults.on("accept")
    t = threading.Thread(target=lambda: send(g))
    t.start()
    wait_for_silence(scene.systemd)
    assert "reactor 0 has stood still" in scene.systemd.status
    s = g.api("status")
    assert s.returncode == 1 and "reactor 0" in s.stdout, s.stdout
    scene.faults.off("accept")
    t.join(15)
    scene.systemd.wait_status("Accepting mail")


def test_quiet_daemon_is_not_stuck(scene):
    """Nobody comes and nothing is due: threads wait, and that is no fault."""
    g = scene.start()
    wait_for(lambda: scene.systemd.ready, 10, "READY=1")
    beats = scene.systemd.beats
    time.sleep(WATCHDOG_S)
    assert scene.systemd.beats >= beats + 3
    assert healthy(g) and not g.lines("stuck")
