"""Fixtures of the fault cases, and the table at their end."""

import ctypes
import os
import shutil
import subprocess
import time

import pytest

import world

CLONE_NEWNS = 0x20000
ROWS = []


def pytest_configure(config):
    config.addinivalue_line("markers", "quick: part of `make check`")
    config.addinivalue_line("markers", "root: mounts file systems")
    if os.geteuid() == 0:
        # Mounts of the cases are seen by nobody else and go with the last
        # process, their loop devices with them.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) == 0:
            # Fails in a chroot, whose root is no mount point: there the cases
            # unmount what they mounted, and that is all.
            subprocess.run(["mount", "--make-rprivate", "/"], check=False,
                           stderr=subprocess.DEVNULL)


def pytest_collection_modifyitems(config, items):
    if not world.QUICK:
        return
    left = [i for i in items if i.get_closest_marker("quick") is None]
    items[:] = [i for i in items if i.get_closest_marker("quick")]
    config.hook.pytest_deselected(items=left)


def pytest_runtest_setup(item):
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: run make check-fault as root")


@pytest.fixture(scope="session", autouse=True)
def programs():
    for name in ("sortied", "sortie"):
        assert (world.BUILD / name).exists(), f"{name}: build it first"


@pytest.fixture
def row():
    """row(case, moments, verdict): a line of the table."""
    start = time.monotonic()

    def add(case, moments, verdict=None, note=""):
        line = verdict.row(case, moments) if verdict else {
            "case": case, "moments": moments, "accepted": "-", "lost": "-",
            "duplicated": "-", "explained": "-"}
        line["seconds"] = f"{time.monotonic() - start:.0f}"
        line["note"] = note
        ROWS.append(line)
    return add


@pytest.fixture
def shm():
    """A folder in memory; gone when the test is good."""
    path = world.scratch("fault")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for w in getattr(item, "worlds", ()):
            try:
                tail = w.daemon.text().splitlines()[-40:]
            except OSError as e:
                tail = [str(e)]
            report.sections.append((f"log of {w.dir}", "\n".join(tail)))


@pytest.fixture
def make_world(request, shm):
    """make_world(**settings): not started, its sinks not open."""
    made = request.node.worlds = []

    def make(path=None, **settings):
        made.append(world.World(path or shm / f"w{len(made)}", **settings))
        return made[-1]

    yield make
    for w in made:
        w.close()


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    heads = ("case", "moments", "accepted", "lost", "duplicated",
             "explained", "seconds", "note")
    table = [heads] + [tuple(str(r[h]) for h in heads) for r in ROWS]
    wide = [max(len(line[i]) for line in table) for i in range(len(heads))]
    terminalreporter.section("faults")
    for line in table:
        terminalreporter.write_line("  ".join(
            cell.ljust(w) if i in (0, 7) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, wide))).rstrip())
