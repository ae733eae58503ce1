"""The program that reads and edits text parts (tests/tools)."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SORTIE_BUILD", ROOT / "build"),
                       "tests/tools/text_part_tool")


class Editor:
    """Answers one question after the other; a mistake of its own ends it."""

    def __init__(self):
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)

    def _ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"text_part_tool ended: {self.process.wait()}"
        return json.loads(answer)

    def read(self, message):
        """The parts as they are read, None for an ambiguous message."""
        answer = self._ask({"message": message.hex()})
        return None if answer["ambiguous"] else answer["parts"]

    def insert(self, message, part, inserts, html=False):
        """inserts: (characters before it, text), in order. The message with
        them, or the reason why not."""
        parts = self._ask({"message": message.hex()})["parts"]
        text = parts[part]["text"]
        answer = self._ask({
            "message": message.hex(), "part": part, "html": html,
            "inserts": [(len(text[:at].encode()), new)
                        for at, new in inserts]})
        return bytes.fromhex(answer["message"]) if "message" in answer \
            else answer["why"]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0
