"""The table of limits in sortied(8) is the one that the program prints, and
the one that the program prints is the one in force."""

import re
import subprocess

from harness import BUILD, ROOT

PAGE = (ROOT / "daemon/sortied.8").read_text()
SCHEMA = (ROOT / "conf/schema.c").read_text()


def printed():
    r = subprocess.run([BUILD / "sortied", "-T", "limits"], text=True,
                       capture_output=True, timeout=30, check=False)
    assert r.returncode == 0, r.stderr
    lines = [tuple(re.split(r"  +", line.strip()))
             for line in r.stdout.splitlines()]
    assert lines[0] == ("side", "limit", "value", "reply", "reference")
    return lines[1:]


def in_manual():
    section = PAGE.split(".Sh LIMITS AND TIMEOUTS")[1].split("\n.Sh ")[0]
    rows = []
    for part in section.split("\n.Ss ")[1:]:
        side = part.split("\n", 1)[0].lower()
        for line in re.findall(r"^\.It (?!Sy)(.*)", part, re.M):
            name, *rest = line.split(" Ta ")
            rows.append((side, re.sub(r"^Cm ", "", name), *rest))
    return rows


def test_manual_has_the_table():
    assert in_manual() == printed()


def test_table_has_every_limit():
    """A setting of limits, or one that is a time-out, has its row."""
    names = {row[1] for row in printed()}
    wanted = {s for s in re.findall(r'"((?:limits|delivery|resolver)\.\w+)"',
                                    SCHEMA)
              if s.startswith("limits.") or "timeout" in s}
    assert len(wanted) > 20
    assert wanted <= names


def test_rows_are_whole():
    rows = printed()
    assert len(rows) > 40
    for row in rows:
        assert len(row) == 5 and all(row) and row[2] != "?", row
    assert len({row[1] for row in rows}) == len(rows)
