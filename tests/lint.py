#!/usr/bin/python3
"""Holds the rules of the source tree that no compiler checks.

    lint.py              checks the tree around this file
    lint.py --self-test  proves that every rule fires on a bad snippet

Layering (who may include whom), lengths, banned functions, the shape of
headers. It reads text, not C: it relies on the formatting that .clang-format
gives, where a function's name stands at the start of a line.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = ("base", "cli", "conf", "daemon", "dkim", "mime", "policy", "spf",
       "store", "tests")

BASE = {"base"}
ROOMS_BELOW = BASE | {"conf", "store", "policy", "dkim", "spf", "mime"}
# A folder may include itself and these.
MAY_INCLUDE = {
    "base": set(),
    "conf": BASE,
    "mime": BASE,
    "dkim": BASE,
    "spf": BASE,
    "store": BASE,
    "policy": BASE | {"mime", "dkim", "spf", "conf"},
    # Keys are made, and stationery is tried out, without a daemon.
    "cli": BASE | {"conf", "dkim", "mime", "policy"},
    "daemon/net": ROOMS_BELOW,
    "daemon/deliver": ROOMS_BELOW | {"daemon/net"},
    "daemon/queue": ROOMS_BELOW | {"daemon/net", "daemon/deliver"},
    "daemon/receive": ROOMS_BELOW | {"daemon/net", "daemon/deliver",
                                     "daemon/queue"},
    "daemon/control": ROOMS_BELOW | {"daemon/net", "daemon/deliver",
                                     "daemon/queue", "daemon/receive"},
    "daemon": ROOMS_BELOW | {"daemon/net", "daemon/deliver", "daemon/queue",
                             "daemon/receive", "daemon/control"},
}

# Third-party headers, and where alone they may be included (tests may all).
ONLY_IN = (
    (r"event2/|event\.h$|ev(util|http|dns)\.h$",
     ("daemon/net/", "daemon/control/")),
    (r"unbound(-event)?\.h$", ("daemon/net/resolver",)),
    (r"sqlite3", ("store/",)),
    (r"libconfig\.h", ("conf/",)),
    (r"(opendkim/)?dkim\.h$", ("dkim/",)),
    (r"spf2/", ("spf/",)),
    (r"gmime/|glib", ("mime/",)),
    (r"idn2\.h$", ("base/address",)),
    (r"systemd/", ("daemon/",)),
    (r"seccomp\.h$", ("daemon/sandbox",)),
    (r"curl/", ("cli/", "daemon/net/")),
    (r"openssl/", ("base/", "cli/", "conf/", "daemon/", "dkim/")),
    (r"jansson\.h$", ("base/", "cli/", "daemon/", "store/")),
)

# policy/ and mime/ compute; they neither wait, look at the clock nor log.
PURE = ("policy/", "mime/")
IMPURE = re.compile(
    r"(base/(log|clock|mailbox)\.h|unistd\.h|fcntl\.h|poll\.h|netdb\.h|"
    r"pthread\.h|time\.h|sys/(stat|time|epoll|select|uio|mman)\.h)$")

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|strncat|"
                    r"strtok|strtok_r|gets)\s*\(")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
FUNCTION = re.compile(r"^([A-Za-z_]\w*)\(")

MAX_C_LINES = 800
MAX_H_LINES = 200
MAX_FUNCTION = 80
MAX_PARAMETERS = 7
MAX_WIDTH = 80


def folder_of(path):
    """The unit of layering: 'daemon/net' for its files, 'daemon', 'base'."""
    parts = path.split("/")
    if parts[0] == "daemon" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def strip(text, strings=True):
    """Comments (and strings' contents) blanked; lines stay lines."""
    def blank(match):
        s = match.group(0)
        if s.startswith(("/*", "//")):
            return re.sub(r"[^\n]", " ", s)
        if not strings:
            return s
        return s[0] + re.sub(r"[^\n]", " ", s[1:-1]) + s[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'
                  r"'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_includes(path, text):
    folder = folder_of(path)
    for m in INCLUDE.finditer(strip(text, strings=False)):
        line, quote, name = line_of(text, m.start()), m.group(1), m.group(2)
        if quote == '"':
            if name.split("/")[0] not in TOP or "/" not in name:
                yield line, "include-root", (
                    f'"{name}" is not relative to the root')
                continue
            target = folder_of(name)
            if folder != "tests" and target != folder and \
                    target not in MAY_INCLUDE.get(folder, set()):
                yield line, "layer", f"{folder}/ may not include {target}/"
        else:
            for pattern, where in ONLY_IN:
                if re.match(pattern, name) and folder != "tests" and \
                        not path.startswith(where):
                    yield line, "third-party", (
                        f"<{name}> belongs to {' '.join(where)} only")
        if path.startswith(PURE) and IMPURE.match(name):
            yield line, "pure", f"{folder}/ is pure: no {name}"
        if path.startswith("base/") and name == "base/log.h" and \
                path not in ("base/log.c", "base/log.h"):
            yield line, "base-logs", "base/ never logs, its callers do"


def check_lengths(path, text):
    n = text.count("\n")
    limit = MAX_H_LINES if path.endswith(".h") else MAX_C_LINES
    if n > limit:
        yield n, "file-length", f"{n} lines, at most {limit}"


def check_functions(path, text):
    name, start = None, 0
    for number, line in enumerate(strip(text).split("\n"), 1):
        m = FUNCTION.match(line)
        if m:
            name, start = m.group(1), number
        elif line.startswith("}") and name:
            length = number - start + 1
            if length > MAX_FUNCTION:
                yield start, "function-length", (
                    f"{name}: {length} lines, at most {MAX_FUNCTION}")
            name = None
        elif line.rstrip().endswith(";") and line[:1] not in (" ", "\t", "{"):
            name = None


def check_parameters(path, text):
    clean = strip(text)
    # Definitions start a line; prototypes follow their type.
    for m in re.finditer(r"^(?:[A-Za-z_][\w \t\*]*?[ \t\*])?([A-Za-z_]\w*)"
                         r"\(", clean, re.M):
        depth, commas, i = 1, 0, m.end()
        while i < len(clean) and depth > 0:
            c = clean[i]
            depth += (c in "([{") - (c in ")]}")
            commas += c == "," and depth == 1
            i += 1
        behind = clean[i:i + 400].lstrip()
        if not behind.startswith(("{", ";", "__attribute__")):
            continue
        if commas + 1 > MAX_PARAMETERS:
            yield line_of(clean, m.start()), "parameters", (
                f"{m.group(1)}: {commas + 1} parameters, "
                f"at most {MAX_PARAMETERS}")


def check_banned(path, text):
    clean = strip(text)
    for m in BANNED.finditer(clean):
        yield line_of(clean, m.start()), "banned", f"{m.group(1)} is banned"


def check_lines(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line.expandtabs(8)) > MAX_WIDTH and '"' not in line:
            yield number, "width", f"longer than {MAX_WIDTH} columns"
        if line != line.rstrip():
            yield number, "trailing", "white space at the end of the line"


def check_unfinished(path, text):
    for m in UNFINISHED.finditer(text):
        yield line_of(text, m.start()), "unfinished", m.group(1)


def check_comments(path, text):
    """Block comments only; a source file says first what it is."""
    clean = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"',
                   lambda m: re.sub(r"[^\n]", " ", m.group(0)), text,
                   flags=re.S)
    for m in re.finditer("//", clean):
        yield line_of(clean, m.start()), "comment-style", "// comment"
    top = re.split(r"^(?:\{|[^/\n].*=)", text, maxsplit=1, flags=re.M)[0]
    if path.endswith(".c") and not re.search(r"^/\*", top, re.M):
        yield 1, "file-comment", "no comment at the top saying what this is"


def check_guard(path, text):
    parts = re.sub(r"[^A-Z0-9/]", "_", path.upper()).split("/")
    allowed = {"SORTIE_" + "_".join(parts), "SORTIE_" + "_".join(parts[-2:])}
    m = re.match(r"(?:/\*.*?\*/\s*)?#ifndef (\w+)\n#define (\w+)\n", text,
                 re.S)
    if not m or m.group(1) != m.group(2) or m.group(1) not in allowed:
        yield 1, "guard", f"include guard should be {sorted(allowed)[0]}"


COMPILER = os.environ.get("LINT_CC", "gcc -D_GNU_SOURCE -I.").split()


def check_alone(path, text):
    """A header compiles by itself, nothing included before it."""
    r = subprocess.run(
        COMPILER + ["-std=gnu17", "-Wall", "-fsyntax-only", "-x", "c", "-"],
        input=text, cwd=ROOT, capture_output=True, text=True)
    if r.returncode != 0:
        yield 1, "alone", "does not compile alone: " + next(
            (x for x in r.stderr.split("\n") if "error" in x), "?")


C_CHECKS = (check_includes, check_lengths, check_functions, check_parameters,
            check_banned, check_lines, check_unfinished, check_comments)
H_CHECKS = C_CHECKS + (check_guard, check_alone)


def check(path, text):
    """All findings in one file: (line, rule, message)."""
    if path.endswith(".h"):
        checks = H_CHECKS
    elif path.endswith(".c"):
        checks = C_CHECKS
    else:
        checks = (check_unfinished,)
    return [f for c in checks for f in c(path, text)]


def sources():
    for top in TOP + ("systemd",):
        for where, dirs, files in os.walk(os.path.join(ROOT, top)):
            dirs[:] = [d for d in dirs if d not in ("__pycache__", "corpus")]
            for name in sorted(files):
                path = os.path.relpath(os.path.join(where, name), ROOT)
                if name.endswith((".c", ".h", ".py", ".sh", ".service",
                                  ".socket")) or name == "run":
                    yield path
    yield "Makefile"


# ---- self-test --------------------------------------------------------------

HEAD = "/* What it is. */\n"
GOOD_H = """#ifndef SORTIE_BASE_GOOD_H
#define SORTIE_BASE_GOOD_H

#include <stddef.h>

/* Seven are allowed. */
int good(int a, int b, int c, int d, int e, int f,
        int (*g)(int, int, int, int, int, int, int, int));

#endif
"""
GOOD_C = HEAD + """#include "base/good.h"

#include <string.h>

static const char text[] = "// strcpy( in a string, and sprintf( is not it";

/* A comment may name strcpy() and gets(). */
int
good(int a)
{
	my_strcpy(a);
	snprintf(a, "%s", text);
	return a;
}
"""


def body(lines):
    return "int\nf(void)\n{\n" + "\t;\n" * lines + "}\n"


def header(name, text):
    guard = f"SORTIE_BASE_{name}_H"
    return f"#ifndef {guard}\n#define {guard}\n\n{text}\n\n#endif\n"


def inc(name):
    return HEAD + (f"#include {name}\n" if name[0] == "<" else
                   f'#include "{name}"\n')


# (path, text, the one rule that must fire; None: nothing may)
CASES = [
    ("base/good.h", GOOD_H, None),
    ("base/good.c", GOOD_C, None),
    ("base/a.c", inc("conf/conf.h"), "layer"),
    ("base/a.c", inc("base/log.h"), "base-logs"),
    ("conf/a.c", inc("store/store.h"), "layer"),
    ("conf/a.c", inc("base/log.h"), None),
    ("mime/a.c", inc("policy/scope.h"), "layer"),
    ("dkim/a.c", inc("conf/conf.h"), "layer"),
    ("spf/a.c", inc("dkim/key.h"), "layer"),
    ("store/a.c", inc("conf/conf.h"), "layer"),
    ("policy/a.c", inc("store/store.h"), "layer"),
    ("policy/a.c", inc("daemon/net/io.h"), "layer"),
    ("policy/a.c", inc("conf/conf.h"), None),
    ("cli/a.c", inc("store/store.h"), "layer"),
    ("cli/a.c", inc("conf/conf.h"), None),
    ("cli/a.c", inc("dkim/key.h"), None),
    ("cli/a.c", inc("policy/layout.h"), None),
    ("daemon/net/a.c", inc("daemon/deliver/mx.h"), "layer"),
    ("daemon/deliver/a.c", inc("daemon/queue/queue.h"), "layer"),
    ("daemon/deliver/a.c", inc("daemon/net/io.h"), None),
    ("daemon/queue/a.c", inc("daemon/receive/session.h"), "layer"),
    ("daemon/queue/a.c", inc("daemon/control/api.h"), "layer"),
    ("daemon/queue/a.c", inc("daemon/deliver/mx.h"), None),
    ("daemon/receive/a.c", inc("daemon/control/api.h"), "layer"),
    ("daemon/receive/a.c", inc("daemon/queue/queue.h"), None),
    ("daemon/receive/a.c", inc("policy/admission.h"), None),
    ("daemon/control/a.c", inc("daemon/receive/receive.h"), None),
    ("daemon/control/a.c", inc("daemon/queue/queue.h"), None),
    ("daemon/main.c", inc("daemon/control/api.h"), None),
    ("daemon/net/a.c", inc("cli/cli.h"), "layer"),
    ("daemon/net/a.c", inc("tests/unit/common.h"), "layer"),
    ("tests/unit/test_a.c", inc("daemon/receive/session.h"), None),
    ("base/a.c", inc("err.h"), "include-root"),
    ("base/a.c", inc("../base/err.h"), "include-root"),
    ("daemon/queue/a.c", inc("<event2/event.h>"), "third-party"),
    ("daemon/main.c", inc("<event2/event.h>"), "third-party"),
    ("daemon/net/a.c", inc("<event2/event.h>"), None),
    ("daemon/control/a.c", inc("<event2/http.h>"), None),
    ("daemon/net/io.c", inc("<unbound.h>"), "third-party"),
    ("daemon/net/resolver.c", inc("<unbound-event.h>"), None),
    ("daemon/queue/a.c", inc("<sqlite3.h>"), "third-party"),
    ("store/a.c", inc("<sqlite3.h>"), None),
    ("daemon/main.c", inc("<libconfig.h>"), "third-party"),
    ("conf/a.c", inc("<libconfig.h>"), None),
    ("policy/a.c", inc("<opendkim/dkim.h>"), "third-party"),
    ("policy/a.c", inc("<dkim.h>"), "third-party"),
    ("dkim/a.c", inc("<dkim.h>"), None),
    ("policy/a.c", inc("<spf2/spf.h>"), "third-party"),
    ("spf/a.c", inc("<spf2/spf.h>"), None),
    ("policy/a.c", inc("<openssl/ssl.h>"), "third-party"),
    ("conf/a.c", inc("<jansson.h>"), "third-party"),
    ("conf/a.c", inc("<curl/curl.h>"), "third-party"),
    ("conf/a.c", inc("<idn2.h>"), "third-party"),
    ("conf/a.c", inc("<systemd/sd-daemon.h>"), "third-party"),
    ("daemon/main.c", inc("<seccomp.h>"), "third-party"),
    ("daemon/sandbox.c", inc("<seccomp.h>"), None),
    ("policy/a.c", inc("<gmime/gmime.h>"), "third-party"),
    ("policy/a.c", inc("base/log.h"), "pure"),
    ("policy/a.c", inc("base/clock.h"), "pure"),
    ("mime/a.c", inc("<unistd.h>"), "pure"),
    ("base/a.c", HEAD + "\n" * 799, None),
    ("base/a.c", HEAD + "\n" * 800, "file-length"),
    ("base/h.h", header("H", "\n" * 200), "file-length"),
    ("base/a.c", HEAD + body(77), None),
    ("base/a.c", HEAD + body(78), "function-length"),
    ("base/a.c", HEAD + "int\nf(int a, int b, int c, int d, int e, int g,\n"
     "        int h, int i)\n{\n}\n", "parameters"),
    ("base/p.h", header("P", "int f(int a, int b, int c, int d, int e, int g,"
                        "\n        int h, int i);"), "parameters"),
    ("base/p.h", header("P", "#include <stdarg.h>\nint f(int a, int b, int c,"
                        " int d, int e, int g,\n        int h, ...)\n"
                        "        __attribute__((pure));"), "parameters"),
] + [
    ("base/a.c", HEAD + f"int x = {name}(a);\n", "banned")
    for name in ("strcpy", "strcat", "sprintf", "strncpy", "strtok", "gets")
] + [
    ("base/a.c", HEAD + "\tint " + "x" * 70 + ";\n", "width"),
    ("base/a.c", HEAD + '\tf("' + "x" * 90 + '");\n', None),
    ("base/a.c", HEAD + "int x; \n", "trailing"),
    ("base/a.c", HEAD + "/* TO" + "DO: later */\n", "unfinished"),
    ("tests/system/test_a.py", "# FIX" + "ME\n", "unfinished"),
    ("base/a.c", HEAD + "int x; // why\n", "comment-style"),
    ("base/a.c", HEAD + 'char *x = "http://a";\n', None),
    ("base/a.c", "int x;\n", "file-comment"),
    ("base/a.c", "#include <stddef.h>\n\nint\nf(void)\n{\n}\n/* x */\n",
     "file-comment"),
    ("base/a.c", "#include <stddef.h>\n\n/* What. */\nint x = 1;\n", None),
    ("base/a.h", "#ifndef BASE_A_H\n#define BASE_A_H\n#endif\n", "guard"),
    ("base/a.h", "#pragma once\n", "guard"),
    ("base/a.h", header("A", "size_t f(void);"), "alone"),
]

RULES = {"layer", "include-root", "third-party", "pure", "base-logs",
         "file-length", "function-length", "parameters", "banned", "width",
         "trailing", "unfinished", "comment-style", "file-comment", "guard",
         "alone"}


def self_test():
    bad = 0
    for path, text, expect in CASES:
        got = {rule for _, rule, _ in check(path, text)}
        if got != ({expect} if expect else set()):
            print(f"self-test: {path}: {text[:60]!r}: expected {expect}, "
                  f"got {sorted(got)}")
            bad += 1
    untested = RULES ^ {expect for _, _, expect in CASES if expect}
    if untested:
        print(f"self-test: rules without a case: {sorted(untested)}")
        bad += 1
    if bad:
        return 1
    print(f"lint self-test: {len(CASES)} cases, {len(RULES)} rules, good")
    return 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if args:
        print(__doc__, file=sys.stderr)
        return 2
    files = findings = 0
    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            text = f.read()
        files += 1
        for line, rule, message in check(path, text):
            print(f"{path}:{line}: {rule}: {message}")
            findings += 1
    print(f"lint: {files} files, {findings} finding(s)")
    return 1 if findings or files < 10 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
