"""Power cuts at many moments under load, A3.4: the disk as it was at an
instant is mounted again, started on and drained. Content log and data base
both lie on it. What had its 250 before the instant must be found."""

import random
import shutil
import time

import pytest

import world
from disk import PowerDisk
from ledger import Verdict
from world import QUICK, some_refused

pytestmark = pytest.mark.root


def rcpts(ident, n):
    if n % 3 == 1:
        return [f"later{ident}@partner.test"]
    if n % 7 == 3:
        return [f"{ident}{x}@partner.test" for x in "ab"]
    if n % 23 == 5:
        return [f"never{ident}@partner.test"]
    return [f"{ident}@partner.test"]


def size(n):
    if n % 3 != 1:
        return {5: 300000, 8: 120000, 11: 60000}.get(n % 17, 900)
    return 900


class Later:
    """Some stay in the queue until the power is back."""

    def __init__(self):
        self.other = some_refused(7)

    def __call__(self, verb, arg):
        if verb == "RCPT" and arg.startswith("TO:<later"):
            return "451 4.3.0 Later"
        return self.other(verb, arg)


def make_cuts(folder, disk, w, moments, env, least_s=0.0):
    """Under load: [(image, begin, end)]."""
    draw = random.Random(moments)
    cuts = []
    d = w.daemon
    d.start()  # the first start in peace, all of it synced
    d.stop()
    w.told = Later()
    d.start(env=env)
    with w.load(clients=4, rcpts=rcpts, size=size, timeout=20):
        world.wait_for(lambda: len(w.ledger.accepted()) > 50, 20, "load")
        time.sleep(least_s)
        for _ in range(moments):
            time.sleep(draw.uniform(0.02, 0.3))
            begin = time.monotonic()
            image = disk.cut()
            cuts.append((image, begin, time.monotonic()))
    d.kill()
    w.shut()
    return cuts


def after_cut(folder, disk, w, number, cut):
    """Starts on what is left and drains it. (verdict, remarks)"""
    image, begin, end = cut
    past = w.ledger.at(begin, end, folder / f"ledger{number}")
    again = world.World(folder / f"again{number}")
    again.ledger.close()
    again.ledger = past
    remarks = []
    with disk.restore(image) as m:
        d = again.daemon
        d.write(gateway={"state_dir": str(m.at / "state")})
        try:
            again.open()
            d.start(wait=False)
            try:
                world.wait_for(lambda: d.process.poll() is not None or
                               d.lines("ready"), 20, "ready")
            except AssertionError:
                pass
            if d.process.poll() is None:
                again.drain(60)
                again.take_stock()
                d.stop()
            remarks = [line for line in d.text().splitlines()
                       if "level=error" in line]
            v = again.judge()
        finally:
            again.close()
    image.unlink()
    shutil.rmtree(folder / f"again{number}", ignore_errors=True)
    return v, remarks


def power(folder, moments, env=None, program=None, until_lost=False,
          least_s=0.0):
    total, remarks, tried = Verdict(), [], 0
    disk = PowerDisk(folder)
    try:
        w = world.World(folder / "w")
        w.daemon.write(gateway={"state_dir": str(disk.at / "state")})
        if program is not None:
            w.daemon.program = program
        try:
            w.open()
            cuts = make_cuts(folder, disk, w, moments, env, least_s)
        finally:
            w.close()
        for number, cut in enumerate(cuts):
            v, said = after_cut(folder, disk, w, number, cut)
            total.add(v)
            remarks += said
            tried += 1
            if until_lost and v.lost:
                break
    finally:
        disk.close()
    for line in remarks[:20]:
        print("remark:", line)
    for line in total.explained:
        print("duplicate:", line)
    return total, remarks, tried


@pytest.mark.quick
def test_a3_4_power_cut(shm, row):
    v, remarks, tried = power(shm, 3 if QUICK else 60)
    row("A3.4 power cut", tried, v, f"{len(remarks)} remarks")
    v.check()
    assert not remarks, remarks[:5]
    assert tried >= (3 if QUICK else 50)


def test_mutant_without_sync_loses_mail_at_a_power_cut(shm, row):
    v, _, tried = power(shm, 4, {"LD_PRELOAD": world.PRELOAD["nosync"]},
                        until_lost=True)
    row("mutant: syncs do nothing, power cut", tried, v, "must lose")
    assert len(v.lost) > 0


def test_mutant_early_ack_loses_mail_at_a_power_cut(shm, row):
    # Syncs of 20 ms, so that the time between the two is worth a cut.
    control = world.Control(shm / "control")
    control[0] = 20
    v, _, tried = power(shm, 40, control.env("slowsync"), until_lost=True,
                        program=world.BUILD / "fault" / "sortied-early_ack")
    row("mutant: 250 before commit, power cut", tried, v, "must lose")
    assert len(v.lost) > 0
