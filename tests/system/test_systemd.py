"""The units: how far the sandbox goes, and that systemd accepts them."""

import re
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT

UNITS = ROOT / "systemd"
SCORE_MAX = 1.5

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None,
                                reason="systemd-analyze is not installed")


def analyze(*args):
    return subprocess.run(["systemd-analyze", *args], capture_output=True,
                          text=True, timeout=60, check=False)


def test_sandbox_score():
    r = analyze("security", "--offline=true", "--no-pager",
                str(UNITS / "sortied.service"))
    score = re.search(r"exposure level for sortied\.service: ([0-9.]+)",
                      r.stdout)
    assert score, r.stdout + r.stderr
    assert float(score.group(1)) <= SCORE_MAX, r.stdout


def test_units_verify(tmp_path):
    """With the programs at the place where the build put them."""
    for name in ("sortied.service", "sortied.socket"):
        text = (UNITS / name).read_text()
        text = text.replace("/usr/sbin/sortied", str(BUILD / "sortied"))
        (tmp_path / name).write_text(text)
    r = analyze("verify", "--man=no", str(tmp_path / "sortied.service"),
                str(tmp_path / "sortied.socket"))
    complaints = [line for line in r.stderr.splitlines()
                  if "sortied" in line]
    assert r.returncode == 0 and not complaints, r.stderr


def test_every_restriction_says_why():
    """A comment stands above each paragraph of directives that takes
    something away."""
    text = (UNITS / "sortied.service").read_text().split("[Service]")[1]
    lines = text.split("[Install]")[0].splitlines()
    commented = False
    for line in lines:
        if line.startswith("#"):
            commented = True
        elif not line:
            commented = False
        elif re.match(r"(Protect|Private|Restrict(?!Prevent)|System|NoNew|Lock|"
                      r"Memory|Capability|Ambient|Device|Keyring|Remove|UMask)",
                      line):
            assert commented, line


@pytest.mark.parametrize("setting", [
    "Type=notify", "WatchdogSec=30", "User=sortie", "StateDirectory=sortie",
    "RuntimeDirectory=sortie", "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    "ExecReload=/bin/kill -HUP $MAINPID", "RestartPreventExitStatus=2"])
def test_unit_has(setting):
    assert setting in (UNITS / "sortied.service").read_text().splitlines()


def test_user_and_folders(tmp_path):
    """systemd makes the user and the folders in an empty root."""
    tools = [shutil.which(t) for t in ("systemd-sysusers", "systemd-tmpfiles")]
    if None in tools:
        pytest.skip("systemd-sysusers or systemd-tmpfiles is not installed")
    (tmp_path / "etc").mkdir()
    r = subprocess.run([tools[0], f"--root={tmp_path}",
                        str(UNITS / "sysusers.conf")], capture_output=True,
                       text=True, check=False)
    assert r.returncode == 0, r.stderr
    assert re.search(r"^sortie:", (tmp_path / "etc/passwd").read_text(), re.M)
    r = subprocess.run([tools[1], "--create", f"--root={tmp_path}",
                        str(UNITS / "tmpfiles.conf")], capture_output=True,
                       text=True, check=False)
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "var/lib/sortie").stat().st_mode & 0o777 == 0o700
