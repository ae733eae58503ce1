"""What may lie in a state directory: A3.9, A3.11, A3.40, B58. Damage is
named, put aside or refused, and never followed; the rest is delivered."""

import hashlib
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tarfile

import pytest

import world
from world import BUILD, send_one, wait_for

HERE = pathlib.Path(__file__).resolve().parent


def content(w):
    return w.daemon.state / "content"


def long_files(w):
    """Files that hold one long message each, by id."""
    found = {}
    for path in content(w).glob("*.log"):
        m = re.search(rb"X-Ledger-Id: (long-\d+)", path.read_bytes())
        if m:
            found[m.group(1).decode()] = path
    return found


def fill_queue(w, n=9):
    """Nobody listens: n long and n short messages wait."""
    w.daemon.start()
    for i in range(n):
        assert send_one(w.daemon, w.ledger, f"long-{i}", 400000) == 250
        assert send_one(w.daemon, w.ledger, f"short-{i}") == 250
    w.daemon.stop()
    return long_files(w)


def named(w, path):
    return [line for line in w.daemon.text().splitlines()
            if path.name in line and "level=error" in line]


@pytest.mark.quick
def test_a3_9_b58_damaged_content(make_world, row, shm):
    w = make_world()
    files = fill_queue(w)
    assert len(files) == 9, files
    outside = shm / "outside"
    outside.write_text("precious")
    damage = {}

    def hurt(ident, how):
        path = files[ident]
        damage[ident] = path
        how(path)

    hurt("long-0", lambda p: os.truncate(p, p.stat().st_size // 2))
    hurt("long-1", lambda p: os.truncate(p, 0))
    hurt("long-2", lambda p: p.write_bytes(os.urandom(5000)))
    hurt("long-3", lambda p: (p.unlink(), p.symlink_to(outside)))
    hurt("long-4", lambda p: (p.unlink(), os.mkfifo(p)))
    hurt("long-5", lambda p: os.link(p, shm / "second-name"))
    hurt("long-6", lambda p: p.unlink())
    # One octet in the midst of the content: its checksum tells.
    with open(files["long-7"], "r+b") as f:
        f.seek(200000)
        octet = f.read(1)
        f.seek(200000)
        f.write(bytes([octet[0] ^ 1]))

    strange = [content(w) / n for n in (
        "core", "ffffffffffffffff.log", "00000000000000fe.log", "a b.log",
        "0000000000000001.log.gz")]
    for path in strange:
        path.write_bytes(b"foreign")
    (content(w) / "folder").mkdir()
    (content(w) / "pointer.log").symlink_to(outside)
    os.mkfifo(content(w) / "pipe")
    strange += [content(w) / n for n in ("folder", "pointer.log", "pipe")]

    w.open()
    w.daemon.start()
    good = {f"short-{i}" for i in range(9)} | {"long-8"}
    wait_for(lambda: {i for i, _ in w.ledger.found()} >= good, 20,
             "the good ones")
    unnamed = [p.name for p in [*damage.values(), *strange]
               if not named(w, p)]
    assert not unnamed, f"not in the log: {unnamed}"
    held = {r["id"]: r for r in w.daemon.queue()}
    w.take_stock()
    w.daemon.stop()
    v = w.judge()
    row("A3.9, B58 damaged and foreign files", len(damage) + 1 + len(strange),
        v, f"{len(held)} held")
    v.check(duplicates=False)
    assert outside.read_text() == "precious"
    assert {i for i, _ in w.ledger.found()} == good
    left = {p.name for p in content(w).iterdir()}
    assert not left & {p.name for p in strange}, left
    # Nothing was thrown away: it lies in quarantine.
    kept = [p.name for p in (w.daemon.state / "quarantine").iterdir()]
    assert len(kept) == len(strange) + 5, kept


def refuses(w, *words):
    """The start ends with 1 and names what is wrong; nothing hangs."""
    r = subprocess.run([BUILD / "sortied", "-c", w.daemon.conf], timeout=20,
                       capture_output=True, text=True, check=False)
    assert r.returncode == 1, r
    for word in words:
        assert word in r.stderr, (word, r.stderr)


def foreign(path):
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(x)")
    db.commit()
    db.close()


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.commit()
    db.close()


def scribble(path, at, n):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(os.urandom(n))


def replace_by(make):
    def how(path):
        path.rename(path.with_suffix(".away"))
        make(path)
    return how


INDEX_DAMAGE = {
    "empty": lambda p: os.truncate(p, 0),
    "cut to 50 octets": lambda p: os.truncate(p, 50),
    "cut in half": lambda p: os.truncate(p, p.stat().st_size // 8192 * 4096),
    "garbage": lambda p: p.write_bytes(os.urandom(20000)),
    "header overwritten": lambda p: scribble(p, 0, 100),
    "pages overwritten": lambda p: scribble(p, 4096,
                                            p.stat().st_size - 4096),
    "another program's": foreign,
    "a newer version's": newer,
    "missing": lambda p: p.rename(p.with_suffix(".away")),
    "a symbolic link": lambda p: (p.rename(p.with_suffix(".away")),
                                  p.symlink_to(p.with_suffix(".away"))),
    "a second name": lambda p: os.link(p, p.with_suffix(".away")),
    "a pipe": replace_by(os.mkfifo),
    "a folder": replace_by(os.mkdir),
}


def digest(path):
    if not path.is_file() or path.is_symlink():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.quick
def test_a3_9_damaged_index(make_world, row, shm):
    """Refused by name; never overwritten, so that it can be mended."""
    w = make_world()
    fill_queue(w, 6)
    good = shm / "good"
    shutil.copytree(w.daemon.state, good)
    for what, how in INDEX_DAMAGE.items():
        shutil.rmtree(w.daemon.state)
        shutil.copytree(good, w.daemon.state)
        path = w.daemon.state / "queue.db"
        how(path)
        before = digest(path)
        refuses(w, "queue.db")
        assert digest(path) == before, f"{what}: the file was changed"
        assert {p.name for p in (good / "content").glob("*.log")} <= \
            {p.name for p in content(w).iterdir()}, f"{what}: content went"
    # And the good one is still taken, with all that was in it.
    shutil.rmtree(w.daemon.state)
    shutil.copytree(good, w.daemon.state)
    w.open()
    w.daemon.start()
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.9 damaged data base", len(INDEX_DAMAGE), v)
    v.check(duplicates=False)


@pytest.mark.parametrize("name", ["lock", "queue.db-wal", "content"])
@pytest.mark.parametrize("kind", ["symlink", "pipe", "folder or file",
                                  "second name"])
def test_b58_traps(make_world, shm, name, kind):
    """Something else under a name of ours: refused or put right, in no case
    followed, and no hang."""
    w = make_world()
    w.daemon.start()
    assert send_one(w.daemon, w.ledger, "waits") == 250
    w.daemon.stop()
    path = w.daemon.state / name
    outside = shm / "outside"
    outside.write_bytes(b"precious")
    if path.is_dir():
        path.rename(path.with_suffix(".away"))
    elif path.exists():
        path.unlink()
    if kind == "symlink":
        path.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder or file":
        path.write_bytes(b"") if name == "content" else path.mkdir()
    else:
        os.link(outside, path)
    r = None
    try:
        r = subprocess.run([BUILD / "sortied", "-c", w.daemon.conf],
                           timeout=3, capture_output=True, text=True,
                           check=False)
    except subprocess.TimeoutExpired as e:
        assert b"event=ready" in e.stderr, f"hangs: {e.stderr}"
    if r is not None:
        assert r.returncode == 1 and name in r.stderr, r
    assert outside.read_bytes() == b"precious"


@pytest.mark.quick
def test_a3_11_two_daemons(make_world, row):
    """The second is refused and names the first; the first does not mind."""
    w = make_world()
    w.open()
    w.daemon.start()
    with w.load(clients=2):
        for _ in range(3):
            r = subprocess.run([BUILD / "sortied", "-c", w.daemon.conf],
                               timeout=20, capture_output=True, text=True,
                               check=False)
            assert r.returncode == 1, r
            assert str(w.daemon.pids()[0]) in r.stderr, r.stderr
        n = len(w.ledger.accepted())
        wait_for(lambda: len(w.ledger.accepted()) > n + 50, 20, "load")
    w.drain()
    w.daemon.stop()
    v = w.judge()
    row("A3.11 two daemons", 3, v)
    v.check(duplicates=False)


# Made by the released version of this number: three messages that wait.
QUEUES = sorted(HERE.glob("queue-v*.tar.xz"))


@pytest.mark.quick
@pytest.mark.parametrize("archive", QUEUES, ids=lambda p: p.name)
def test_a3_40_queue_of_an_older_version(make_world, row, archive):
    assert archive.stat().st_size < 100000
    w = make_world()
    shutil.rmtree(w.daemon.state)
    with tarfile.open(archive) as tar:
        tar.extractall(w.daemon.state)
    for p in [w.daemon.state, *w.daemon.state.rglob("*")]:
        os.chown(p, os.geteuid(), os.getegid())
    for i, size in enumerate((700, 5000, 300000)):
        ident = f"old-{i}"
        rcpts = [f"{ident}{x}@partner.test" for x in "ab"]
        w.ledger.compose(ident, "a@example.com", rcpts, size)
        w.ledger.reply(w.ledger.dot(ident, rcpts), 250)
    w.open()
    w.daemon.start()
    w.drain(30)
    w.daemon.stop()
    v = w.judge()
    row(f"A3.40 {archive.name}", 1, v)
    v.check(duplicates=False)
    assert v.delivered == 6


def test_a3_40_has_something_to_test():
    assert QUEUES
