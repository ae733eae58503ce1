"""The manual pages against the programs and their sources."""

import re
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT

SORTIE_1 = (ROOT / "cli/sortie.1").read_text()
SORTIED_8 = (ROOT / "daemon/sortied.8").read_text()
CONF_5 = (ROOT / "conf/sortie.conf.5").read_text()
PAGES = [ROOT / "cli/sortie.1", ROOT / "daemon/sortied.8",
         ROOT / "conf/sortie.conf.5"]


def run(*args, program="sortie"):
    return subprocess.run([BUILD / program, *args], capture_output=True,
                          text=True, timeout=30, check=False)


def help_words():
    r = run("--help")
    assert r.returncode == 0
    commands = set(re.findall(r"^  ([a-z][a-z-]*)\b", r.stdout, re.M))
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z0-9]*)\b", r.stdout))
    return commands, options


def manual_words():
    commands = set(re.findall(r"^\.It Ic ([a-z][a-z-]*)", SORTIE_1, re.M))
    options = set()
    for line in re.findall(r"^\.(?:It|Op|Nm).*|^\.Fl.*", SORTIE_1, re.M):
        options |= {"-" + o for o in re.findall(r"\bFl (-?[a-z][a-z0-9]*)", line)}
    return commands, options


def test_commands_and_options_of_sortie():
    in_help, in_manual = help_words(), manual_words()
    assert in_help[0] == in_manual[0] == {
        "check", "reload", "status", "queue", "senders", "tls-results",
        "explain", "tls", "dns", "dkim", "stationery"}
    assert in_help[1] == in_manual[1]
    assert "--cursor" in in_help[1] and "-s" in in_help[1]


def test_options_of_sortied():
    r = run("-h", program="sortied")
    assert r.returncode == 0
    in_usage = set(re.findall(r"^  (-[A-Za-z])\b", r.stdout, re.M))
    listed = {"-" + o for o in re.findall(r"^\.It Fl (\w)", SORTIED_8, re.M)}
    assert in_usage <= listed
    assert listed - in_usage <= {"-h"}


def test_outcomes_table():
    """The page has the program's rows, all of them and in order."""
    r = run("-T", "outcomes", program="sortied")
    assert r.returncode == 0
    rows = [re.split(r"\s{2,}", row.strip()) for row in
            r.stdout.splitlines()]
    assert rows[0] == ["source", "stage", "code", "action", "scope", "why"]
    assert len(rows) > 10 and all(len(row) == 6 for row in rows)
    section = SORTIED_8.split(".Sh OUTCOMES")[1].split("\n.Sh ")[0]
    listed = [line.split(" Ta ") for line in
              re.findall(r"^\.It Li (.*)", section, re.M)]
    assert listed == [row[:5] for row in rows[1:]]


def test_secure_delivery_table():
    """sortie.conf(5) has the program's rows of secure delivery, in order."""
    r = run("-T", "tls", program="sortied")
    assert r.returncode == 0
    starts = [0, 16, 25, 47, 59, 71, 83, 95, None]
    rows = [[line[a:b].strip() for a, b in zip(starts, starts[1:])]
            for line in r.stdout.splitlines()]
    assert rows[0] == ["option", "mode", "with", "silent", "refuses",
                       "broken", "untrusted", "trusted"]
    assert len(rows) == 14 and all(all(row[3:]) for row in rows)
    section = CONF_5.split(".Sh SECURE DELIVERY")[1].split("\n.Sh ")[0]
    listed = [[c.replace("\\&", "") for c in line.split(" Ta ")]
              for line in re.findall(r"^\.It Li (.*)", section, re.M)]
    assert listed == rows[1:]


def log_events():
    """Events that a default log level shows, from the sources."""
    events = set()
    for top in ("daemon", "store"):
        for source in (ROOT / top).rglob("*.c"):
            events |= set(re.findall(
                r"log_(?:begin|event)\((?:&l, )?LOG_LEVEL_(?:ERROR|WARN|INFO),"
                r"\s*\"([^\"]+)\"", source.read_text()))
    # Words of recipient_state_word are the events of attempts.
    return events | {"delivered", "deferred", "bounced", "expired", "held"}


def test_every_log_event_is_described():
    section = SORTIED_8.split(".Sh LOG")[1].split(".Sh FILES")[0]
    listed = set()
    for line in re.findall(r"^\.It Li (.*)", section, re.M):
        listed |= {w for w in line.split() if w != ","}
    assert listed == log_events()


def test_defaults_of_the_limits():
    """Same setting, same default as in sortie.conf(5), and none left out."""
    known = dict(re.findall(r"^\.It Ic (\S+)\n.*default ([^;.\n]+)", CONF_5,
                            re.M))
    rows = re.findall(r"^\.It Cm (\S+) Ta (\S+) Ta ", SORTIED_8, re.M)
    for setting, default in rows:
        assert known.get(setting) == default, setting
    named = {setting for setting, _ in rows}
    assert {s for s in known if s.startswith("limits.") or
            s.endswith("timeout")} <= named


@pytest.mark.skipif(shutil.which("mandoc") is None,
                    reason="mandoc is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_mandoc_lint(page):
    # sortie.conf(5) has lines made from the table of settings: no style there.
    level = "warning" if page.suffix == ".5" else "style"
    r = subprocess.run(["mandoc", "-T", "lint", "-W", level, page],
                       capture_output=True, text=True, check=False)
    # Whether other manuals are installed here is no fault of the page.
    bad = [line for line in (r.stdout + r.stderr).splitlines()
           if "referenced manual not found" not in line
           and "mandoc.db" not in line]
    assert not bad
