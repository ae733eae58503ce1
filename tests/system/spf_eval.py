"""The program that evaluates SPF on a zone that is given (tests/tools)."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"),
                       "tests/tools/spf_eval")


class Evaluator:
    """Answers one question after the other; a mistake of its own ends it."""

    def __init__(self):
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)

    def __call__(self, zone, client, sender, helo):
        """zone: rows (name, type, value); text as octets."""
        rows = [[name, kind, value.hex() if isinstance(value, bytes)
                 else value] for name, kind, value in zone]
        self.process.stdin.write(json.dumps(
            {"zone": rows, "client": client, "sender": sender,
             "helo": helo}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"spf_eval ended: {self.process.wait()}"
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0
