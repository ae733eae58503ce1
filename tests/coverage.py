#!/usr/bin/python3
"""Holds tests/COVERAGE.md to the tests.

    coverage.py              checks the table of the tree around this file
    coverage.py --self-test  proves that every rule fires

Every row names a number of the reliability checklist once, and tests that
exist and are run: a C function that cmocka is given (or a fuzz target's entry
point), or a Python test function. The numbers of REQUIRED have a row.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = "tests/COVERAGE.md"


def span(letter, *ranges):
    return {f"{letter}{n:02}" for first, last in ranges
            for n in range(first, last + 1)}


REQUIRED = span("B", (1, 26), (30, 32), (38, 38), (43, 43), (48, 51),
                (53, 53), (58, 65))
ROW = re.compile(r"\| ([ABC]\d+(?:\.\d+)?) \| ([^|]+) \| ([^|]+) \|$")
FUZZ_ENTRY = "LLVMFuzzerTestOneInput"


def read(path):
    try:
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            return f.read()
    except OSError:
        return None


def is_run(path, name, text):
    """Does the file define the test, and does something run it?"""
    name = re.escape(name)
    if path.endswith(".py"):
        return re.search(rf"^def {name}\(", text, re.M) is not None
    if re.search(rf"^{name}\(", text, re.M) is None:
        return False
    macros = ["cmocka_unit_test\\w*"] + re.findall(
        r"^#define (\w+)\(\w+\)[ \t\\\n]+cmocka_unit_test", text, re.M)
    return name == FUZZ_ENTRY or re.search(
        rf"\b(?:{'|'.join(macros)})\(\s*{name}\b", text) is not None


def check(table, files):
    """All findings: (line, message). files(path) gives a file's text."""
    seen = []
    for number, line in enumerate(table.split("\n"), 1):
        if not line.startswith("| ") or line.startswith(("| number", "| ---")):
            continue
        m = ROW.match(line)
        if m is None:
            yield number, "not a row: | number | tests | what |"
            continue
        if m.group(1) in seen:
            yield number, f"{m.group(1)} has two rows"
        seen.append(m.group(1))
        for test in m.group(2).split():
            path, colons, name = test.partition("::")
            text = files(path)
            if colons == "":
                yield number, f"{test}: not FILE::NAME"
            elif text is None:
                yield number, f"{path}: no such file"
            elif not is_run(path, name, text):
                yield number, f"{test}: no such test, or nothing runs it"
    for missing in sorted(REQUIRED - set(seen)):
        yield 0, f"{missing} has no row"


def self_test():
    tests = {
        "a.c": "static void\ngood(void **state)\n{\n}\nstatic void\n"
               "idle(void **state)\n{\n}\n\tcmocka_unit_test(good),\n",
        "m.c": "#define RUN(f) cmocka_unit_test_setup(f, s)\nstatic void\n"
               "good(void **state)\n{\n}\n\tRUN(good),\n",
        "f.c": f"int\n{FUZZ_ENTRY}(const uint8_t *data, size_t size)\n",
        "t.py": "def test_x(relay):\n    pass\n",
    }
    rows = "".join(f"| {n} | a.c::good | x |\n" for n in sorted(REQUIRED))
    cases = [
        ("", 0),
        (f"| C01 | t.py::test_x f.c::{FUZZ_ENTRY} | x |", 0),
        ("| C01 | m.c::good | x |", 0),
        ("| C01 | t.py::test_y | x |", 1),
        ("| C01 | a.c::idle | x |", 1),
        ("| C01 | a.c::goo | x |", 1),
        ("| C01 | b.c::good | x |", 1),
        ("| C01 | a.c | x |", 1),
        ("| C01 | x |", 1),
        ("| B01 | a.c::good | x |", 1),
    ]
    bad = [line for line, expected in cases
           if len(list(check(rows + line + "\n", tests.get))) != expected]
    if len(list(check("", tests.get))) != len(REQUIRED):
        bad.append("an empty table")
    for line in bad:
        print(f"coverage self-test: {line!r}")
    if not bad:
        print(f"coverage self-test: {len(cases) + 1} cases, good")
    return 1 if bad else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if args:
        print(__doc__, file=sys.stderr)
        return 2
    findings = list(check(read(TABLE) or "", read))
    for line, message in findings:
        print(f"{TABLE}:{line}: {message}")
    print(f"coverage: {len(findings)} finding(s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
