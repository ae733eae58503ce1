"""A Postfix of one's own, for the system tests and the bench: configuration,
queue, data and log in a private folder, no chroot, no milter, no DNS. What it
does with mail, and how it is tuned, is up to the caller's settings. It leaves
the Postfix of the machine alone, and ends no process but its master's."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

SBIN = "/usr/sbin"
POSTFIX = SBIN + "/postfix"
START_S = 20
STOP_S = 10

# Settings that the caller may override.
BASE = {
    "compatibility_level": "3.6",
    "command_directory": SBIN,
    "daemon_directory": "/usr/lib/postfix/sbin",
    "meta_directory": "/etc/postfix",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "mydestination": "",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "smtpd_peername_lookup": "no",
    "smtp_dns_support_level": "disabled",
    "in_flow_delay": "0",
}

SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - {smtp} smtp
relay unix - - n - {smtp} smtp
virtual unix - n n - - virtual
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""


def why_not():
    """Why no Postfix can run here, or None."""
    if not os.access(POSTFIX, os.X_OK):
        return "the package postfix is not installed (make deps does that)"
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    return None


class PostfixInstance:
    """listeners: {"127.0.0.1:2525": {settings of that smtpd alone}}; a limit
    of processes is the caller's to raise. Its folder, and the folders above,
    must be open to the user postfix."""

    def __init__(self, folder, listeners, settings, smtpds="-", smtps="-"):
        self.dir = pathlib.Path(folder)
        self.conf = self.dir / "conf"
        self.queue = self.dir / "queue"
        self.data = self.dir / "data"
        self.maillog = self.dir / "maillog"
        self.listeners, self.settings = listeners, settings
        self.smtpds, self.smtps = smtpds, smtps

    def write(self):
        """The folder, made ready for a start."""
        self.dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.conf, self.queue, self.data):
            folder.mkdir(mode=0o755)
        shutil.chown(self.data, BASE["mail_owner"])
        self.data.chmod(0o700)
        settings = BASE | {
            "queue_directory": self.queue,
            "data_directory": self.data,
            "maillog_file": self.maillog,
            "maillog_file_prefixes": self.dir,
        } | self.settings
        (self.conf / "main.cf").write_text("".join(
            f"{name} = {value}\n" for name, value in settings.items()))
        smtpds = ""
        for endpoint, own in self.listeners.items():
            smtpds += f"{endpoint} inet n - n - {self.smtpds} smtpd\n" + \
                "".join(f"    -o {{ {k} = {v} }}\n" for k, v in own.items())
        (self.conf / "master.cf").write_text(
            smtpds + SERVICES.format(smtp=self.smtps))

    def command(self, *args):
        return [POSTFIX, "-c", str(self.conf), *args]

    def start(self):
        """Returns when the master has taken its ports."""
        why = why_not()
        assert why is None, why
        self.write()
        done = subprocess.run(self.command("start"), timeout=START_S,
                              check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + self.log()
        return self

    def master(self):
        """The process id of the master, which leads the group of all the
        others, or None when it does not run."""
        try:
            pid = int((self.queue / "pid" / "master.pid").read_text())
            if os.path.samefile(f"/proc/{pid}/cwd", self.queue):
                return pid
        except (OSError, ValueError):
            pass
        return None

    def stop(self):
        """Ends the master and waits for the end of its group. True: nothing
        had to be killed."""
        group = self.master()
        if group is None:
            return True
        for number, patience_s in ((signal.SIGTERM, STOP_S),
                                   (signal.SIGKILL, STOP_S)):
            try:
                if number == signal.SIGTERM:
                    os.kill(group, number)
                else:
                    os.killpg(group, number)
            except ProcessLookupError:
                pass
            end = time.monotonic() + patience_s
            while time.monotonic() < end:
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    return number == signal.SIGTERM
                time.sleep(0.02)
        raise AssertionError(f"process group {group} does not end")

    def log(self):
        try:
            return self.maillog.read_text(errors="replace")
        except FileNotFoundError:
            return ""
