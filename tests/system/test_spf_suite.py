"""The public test suite of RFC 7208, every case (checklist C92).

Explanations (exp=) are not fetched, on purpose: cases are judged by their
result. The suite gives type SPF what TXT is to have.
"""

import pytest
import yaml

from spf_eval import ROOT, Evaluator

SUITE = ROOT / "tests/spf/rfc7208-tests.yml"
CASES = 203
EXPLANATIONS = 14  # of these, cases that want an explanation, too

# Cases whose result differs from the suite's, and why. A case that passes must
# not be here, and one that is not here must pass.
MISSES = {}


def text_of(value):
    strings = value if isinstance(value, list) else [value]
    return "".join(str(s) for s in strings).encode()


def rows_of(name, records):
    """Rows for the evaluator: TXT records, or what type SPF says instead."""
    own_text = any(isinstance(r, dict) and "TXT" in r for r in records)
    for record in records:
        if record == "TIMEOUT":
            yield name, "", "TIMEOUT"
            continue
        for kind, value in record.items():
            if value == "TIMEOUT":
                yield name, kind, "TIMEOUT"
            elif kind in ("SPF", "TXT"):
                if value != "NONE" and (kind == "TXT" or not own_text):
                    yield name, "TXT", text_of(value)
            elif kind == "MX":
                yield name, kind, f"{value[0]} {value[1]}"
            else:
                yield name, kind, str(value)


def zone_of(data):
    return [row for name, records in data.items()
            for row in rows_of(name, records)]


def load():
    for scenario in yaml.safe_load_all(SUITE.read_text()):
        zone = zone_of(scenario["zonedata"])
        for name, case in scenario["tests"].items():
            yield name, zone, case


@pytest.fixture(scope="module")
def evaluator():
    e = Evaluator()
    yield e
    e.close()


def test_suite(evaluator):
    wrong = {}
    seen = set()
    for name, zone, case in load():
        want = case["result"]
        got = evaluator(zone, case["host"], case["mailfrom"], case["helo"])
        seen.add(name)
        if got["result"] not in (want if isinstance(want, list) else [want]):
            wrong[name] = (want, got)
    assert len(seen) == CASES
    print(f"{CASES - len(wrong)} of {CASES} results")
    assert {n: w for n, w in wrong.items() if n not in MISSES} == {}
    assert set(MISSES) <= set(wrong), "passes, but is in the table of misses"


def test_explanations_are_off_on_purpose(evaluator):
    """Cases with an explanation: the result is right without it, and nothing
    of what a stranger published is shown."""
    wanted = [(zone, case) for _, zone, case in load()
              if case.get("explanation", "DEFAULT") != "DEFAULT"]
    assert len(wanted) == EXPLANATIONS
    for zone, case in wanted:
        got = evaluator(zone, case["host"], case["mailfrom"], case["helo"])
        assert case["explanation"] not in got["text"]
