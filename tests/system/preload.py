"""preload_health.c as a library in the daemon of one test, and a socket that
plays systemd's."""

import os
import socket
import subprocess
import threading

from harness import ROOT, wait_for


class Faults:
    """Files that make calls of the daemon fail: faults.on("eio")."""

    def __init__(self, path):
        self.dir = path / "faults"
        self.dir.mkdir()
        self.dir.chmod(0o777)
        self.library = path / "preload_health.so"
        subprocess.run(
            ["gcc", "-D_GNU_SOURCE", "-Wall", "-O1", "-fPIC", "-shared", "-o",
             self.library, ROOT / "tests/system/preload_health.c", "-ldl"],
            check=True)

    def on(self, name, text=""):
        (self.dir / (name + ".new")).write_text(text)
        (self.dir / (name + ".new")).rename(self.dir / name)

    def off(self, name):
        (self.dir / name).unlink()

    def environment(self):
        return {"LD_PRELOAD": str(self.library),
                "HEALTH_DIR": str(self.dir)}


class Systemd:
    """What the daemon tells by sd_notify."""

    def __init__(self, path, watchdog_s):
        self.path = path / "notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.watchdog_s = watchdog_s
        self.beats = 0
        self.status = ""
        self.ready = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                text = self.sock.recv(4096).decode()
            except OSError:
                return
            for line in text.splitlines():
                if line == "WATCHDOG=1":
                    self.beats += 1
                elif line == "READY=1":
                    self.ready = True
                elif line.startswith("STATUS="):
                    self.status = line[7:]

    def environment(self):
        return {"NOTIFY_SOCKET": str(self.path),
                "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6))}

    def wait_status(self, text, timeout=15):
        wait_for(lambda: text in self.status, timeout,
                 f"STATUS with {text!r}, is {self.status!r}")

    def close(self):
        self.sock.close()


def start(gateway, *parts):
    """Starts the gateway in the environment that the parts want."""
    saved = dict(os.environ)
    for part in parts:
        os.environ.update(part.environment())
    try:
        return gateway.start()
    finally:
        os.environ.clear()
        os.environ.update(saved)
