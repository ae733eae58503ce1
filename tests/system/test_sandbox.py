"""What the daemon has given away, from /proc; and files, sockets and folders
that somebody else may have had a hand in."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import preload
from harness import BUILD, CA, Gateway, message, wait_for

USER = "nobody"
EPERM = 1


@pytest.fixture
def place():
    """A folder through which other users get."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    path = pathlib.Path(tempfile.mkdtemp(prefix="sortie-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def low_port():
    for port in range(600, 1000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


@pytest.fixture
def as_user(place):
    """A gateway on a port below 1024 that becomes USER; not started."""
    ca = CA(place / "ca")
    g = Gateway(place / "gw", ca, gateway={
        "user": USER, "state_dir": str(place / "made/state"),
        "api_socket": str(place / "run/api.sock")})
    (place / "made").mkdir()
    g.port = low_port()
    g.settings["gateway"]["listen"][0]["address"] = f"127.0.0.1:{g.port}"
    g.write()
    for path in [g.maildir, *g.maildir.iterdir(),
                 pathlib.Path(g.settings["gateway"]["key"])]:
        shutil.chown(path, USER)
    yield g
    g.stop()


def status(pid, task=None):
    path = f"/proc/{pid}/status" if task is None else \
        f"/proc/{pid}/task/{task}/status"
    lines = pathlib.Path(path).read_text().splitlines()
    return {k: v.split() for k, v in (line.split(":", 1) for line in lines)}


def threads(pid):
    return [status(pid, t) for t in os.listdir(f"/proc/{pid}/task")]


def core_limit(pid):
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4:6]
    return None


def test_user(as_user):
    """B60: bound as root, then nobody for good, in every thread."""
    g = as_user.start()
    pid = g.process.pid
    pw = pwd.getpwnam(USER)
    groups = {str(n) for n in os.getgrouplist(USER, pw.pw_gid)}
    assert len(threads(pid)) > 4
    for t in threads(pid):
        assert t["Uid"] == [str(pw.pw_uid)] * 4
        assert t["Gid"] == [str(pw.pw_gid)] * 4
        assert set(t["Groups"]) == groups
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(t[name][0], 16) == 0, name
        assert t["NoNewPrivs"] == ["1"]
        assert t["Seccomp"] == ["2"]
    assert core_limit(pid) == ["0", "0"]
    # Not dumpable: /proc belongs to root, not to the user.
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0
    assert int(status(pid)["VmLck"][0]) >= 1024
    state = pathlib.Path(g.settings["gateway"]["state_dir"]).stat()
    assert (state.st_uid, state.st_mode & 0o777) == (pw.pw_uid, 0o700)
    run = pathlib.Path(g.settings["gateway"]["api_socket"])
    assert run.parent.stat().st_uid == pw.pw_uid
    assert (run.stat().st_uid, run.stat().st_mode & 0o777) == \
        (pw.pw_uid, 0o600)
    assert not g.lines("sandbox")
    with g.client() as c:
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250
    wait_for(lambda: len(g.boxed()) == 1, 15, "a message")
    g.signal(1)  # what it read as root it can read as the user
    g.wait_log("reloaded")


def maps(pid):
    """(begin, end, flags) of each mapping that can be read."""
    out = []
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == "VmFlags:":
            if readable:
                out.append((begin, end, words[1:]))
        elif "-" in words[0]:
            begin, end = (int(x, 16) for x in words[0].split("-"))
            readable = words[1].startswith("r") and \
                not line.endswith(("[vvar]", "[vsyscall]"))
    return out


def find(pid, needle):
    """Flags of the mappings that hold it."""
    hits = []
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for begin, end, flags in maps(pid):
            try:
                data = os.pread(mem.fileno(), end - begin, begin)
            except OSError:
                continue
            if needle in data:
                hits.append(flags)
    return hits


def test_keys_are_locked(as_user):
    """B60: the private number lies in memory that is locked ("lo") and not
    dumped ("dd"), and nowhere else, after a handshake too."""
    g = as_user.start()
    key = load_pem_private_key(
        pathlib.Path(g.settings["gateway"]["key"]).read_bytes(), None)
    secret = key.private_numbers().private_value
    context = CA(g.dir / "other").client_context()
    context.check_hostname = False
    context.verify_mode = 0
    with g.client() as c:
        c.starttls(context)
        assert c.ehlo().code == 250
    pid = g.process.pid
    hits = find(pid, secret.to_bytes(32, "little"))
    assert hits
    for flags in hits + find(pid, secret.to_bytes(32, "big")):
        assert "lo" in flags and "dd" in flags, flags


def test_refused_calls(as_user, place):
    """B60: the filter is in force, and says EPERM."""
    faults = preload.Faults(place)
    preload.start(as_user, faults)
    faults.on("probe")
    with as_user.client() as c:
        assert c.mail("a@example.com", "b@example.com",
                      message()).code == 250
    out = faults.dir / "probe.out"
    wait_for(out.exists, 10, "the probe")
    said = dict(line.split() for line in out.read_text().splitlines())
    assert said == {"execve": "1", "ptrace": "1", "setuid": "1",
                    "unshare": "1", "mount": "1", "getpid": "0"}


def test_without_a_user_to_become(make_gateway):
    g = make_gateway()
    told = any("running as root" in line for line in g.lines("sandbox"))
    assert told == (os.geteuid() == 0)
    t = status(g.process.pid)
    assert t["NoNewPrivs"] == ["1"] and t["Seccomp"] == ["2"]
    assert core_limit(g.process.pid) == ["0", "0"]


def attempt(conf, program=BUILD / "sortied", preexec=None):
    r = subprocess.run([program, "-c", conf], text=True,
                       capture_output=True, timeout=20, check=False,
                       preexec_fn=preexec)
    return r.returncode, r.stderr


def test_no_such_user(as_user):
    as_user.write(gateway={"user": "sortie-nobody-has-this-name"})
    code, text = attempt(as_user.conf)
    assert code == 1 and "gateway.user: no user" in text, text


def test_only_root_becomes_another(as_user, place):
    uid = pwd.getpwnam(USER).pw_uid
    as_user.write(gateway={"user": "daemon", "listen": [
        {"address": "127.0.0.1:30999"}]})
    program = shutil.copy(BUILD / "sortied", place)
    code, text = attempt(as_user.conf, program, lambda: os.setuid(uid))
    assert code == 1 and "only root can become daemon" in text, text


def test_file_that_only_root_can_read(as_user):
    """Learned at the start, not at the first reload."""
    shutil.chown(as_user.settings["gateway"]["key"], "root")
    code, text = attempt(as_user.conf)
    assert code == 1 and f"is no good for user {USER}" in text, text
    assert "Permission denied" in text


# ---- the state folder (B58) -------------------------------------------------

def state_of(g):
    return pathlib.Path(g.settings["gateway"]["state_dir"])


def test_open_state_folder_is_closed(make_gateway):
    g = make_gateway(start=False)
    state_of(g).chmod(0o777)
    g.start()
    assert state_of(g).stat().st_mode & 0o777 == 0o700


def test_foreign_state_folder(as_user):
    """It is there already, and of root: not the user's to use."""
    state_of(as_user).mkdir(mode=0o755)
    code, text = attempt(as_user.conf)
    assert code == 1 and "belongs to another user" in text, text


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "folder"])
@pytest.mark.parametrize("name", ["lock", "content/00000000000000ff.log"])
def test_planted_files(make_gateway, tmp_path, kind, name):
    """Nothing is written through, and nothing waits for ever: the daemon does
    not start, or it runs with the thing put aside."""
    g = make_gateway(start=False)
    g.allowed += ["content-quarantined"]
    victim = tmp_path / "victim"
    victim.write_text("precious")
    g.start().stop()
    planted = state_of(g) / name
    planted.unlink(missing_ok=True)
    if kind == "symlink":
        planted.symlink_to(victim)
    elif kind == "hardlink":
        os.link(victim, planted)
    elif kind == "fifo":
        os.mkfifo(planted)
    else:
        planted.mkdir()
    if name == "lock":
        code, text = attempt(g.conf)
        assert code == 1 and "lock" in text, text
    else:
        g.start()
        with g.client() as c:
            assert c.mail("a@example.com", "b@example.com",
                          message()).code == 250
        wait_for(lambda: len(g.boxed()) == 1, 15, "a message")
        assert g.lines("content-quarantined"), g.log
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["content", "queue.db"])
def test_planted_links(make_gateway, tmp_path, name):
    g = make_gateway(start=False)
    victim = tmp_path / "victim"
    if name == "content":
        victim.mkdir()
    else:
        victim.write_bytes(b"precious")
    (state_of(g) / name).symlink_to(victim)
    code, text = attempt(g.conf)
    assert code == 1, text
    if name == "content":
        assert not list(victim.iterdir())
    else:
        assert victim.read_bytes() == b"precious"


# ---- configuration (B59) ----------------------------------------------------

def refused(conf, words):
    """Exit 2 with FILE:LINE: reason, from the daemon and from its test."""
    for extra in ([], ["-n"]):
        r = subprocess.run([BUILD / "sortied", *extra, "-c", conf], text=True,
                           capture_output=True, timeout=20, check=False)
        assert r.returncode == 2, r.stderr
        assert words in r.stderr, r.stderr
        assert ".conf:" in r.stderr or ".inc:" in r.stderr


def test_configuration_of_others(make_gateway):
    g = make_gateway(start=False)
    for mode in (0o666, 0o620):
        g.conf.chmod(mode)
        refused(g.conf, "is writable by its group or by others")


def test_key_of_others(make_gateway):
    g = make_gateway(start=False)
    key = pathlib.Path(g.settings["gateway"]["key"])
    key.chmod(0o644)
    try:
        refused(g.conf, "is open to others")
        key.chmod(0o620)
        refused(g.conf, "is writable by its group")
    finally:
        key.chmod(0o600)


def test_includes(make_gateway, tmp_path):
    g = make_gateway(start=False)
    good = g.conf.read_text()
    (g.dir / "loop.inc").write_text('@include "loop.inc"\n')
    g.conf.write_text(good + '@include "loop.inc"\n')
    refused(g.conf, "the file includes itself")
    (tmp_path / "outside.inc").write_text("")
    g.conf.write_text(good + '@include "../outside.inc"\n')
    refused(g.conf, "lies outside")
    (g.dir / "link.inc").symlink_to("/etc/passwd")
    g.conf.write_text(good + '@include "link.inc"\n')
    refused(g.conf, "lies outside")


def test_huge_configuration(make_gateway):
    g = make_gateway(start=False)
    g.conf.write_text(g.conf.read_text() + "#" * (10 << 20) + "\n")
    refused(g.conf, "larger than 10 MB")


def test_configuration_that_is_no_file(make_gateway):
    g = make_gateway(start=False)
    g.conf.unlink()
    os.mkfifo(g.conf)
    refused(g.conf, "is not a regular file")


# ---- the operator's socket (B61) --------------------------------------------

def socket_of(g):
    return pathlib.Path(g.settings["gateway"]["api_socket"])


def test_socket(make_gateway):
    g = make_gateway()
    assert socket_of(g).stat().st_mode & 0o777 == 0o600
    g.kill()
    assert socket_of(g).exists()
    g.start()  # the stale one is replaced
    assert g.api("status").returncode == 0
    g.stop()
    assert not socket_of(g).exists()


@pytest.mark.parametrize("kind", ["file", "symlink", "alive"])
def test_socket_of_others(make_gateway, tmp_path, kind):
    g = make_gateway(start=False)
    path = socket_of(g)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    other = socket.socket(socket.AF_UNIX)
    if kind == "file":
        path.write_text("precious")
    elif kind == "symlink":
        path.symlink_to(victim)
    else:
        other.bind(str(path))
        other.listen()
    code, text = attempt(g.conf)
    other.close()
    assert code == 1, text
    assert str(path) in text
    assert path.is_symlink() or path.exists()
    assert victim.read_text() == "precious"


def test_socket_of_another_user(as_user, place):
    """Who is not the daemon's user, nor root, gets no word."""
    g = as_user.start()
    uid = pwd.getpwnam("daemon").pw_uid
    program = shutil.copy(BUILD / "sortie", place)
    r = subprocess.run(
        [program, "-s", g.settings["gateway"]["api_socket"],
         "status"], text=True, capture_output=True, timeout=20, check=False,
        preexec_fn=lambda: os.setuid(uid))
    assert r.returncode != 0 and "healthy" not in r.stdout, r.stdout
