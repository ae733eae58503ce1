"""What a group of processes costs: CPU time, memory, bytes written.

CPU time comes from a cpuacct (cgroup v1) or cgroup v2 group of its own, which
also counts processes that have ended; where neither can be made, from /proc
over all descendants of one process, children waited for included.
"""

import os
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.1


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def _cgroup_root():
    if os.path.exists("/sys/fs/cgroup/cpuacct/cgroup.procs"):
        return "/sys/fs/cgroup/cpuacct"
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(root + "/cgroup.controllers"):
            return root
    return None


class Group:
    """The processes of one contender. Start them with preexec_fn=join."""

    def __init__(self, name):
        self.path = None
        self.root_pid = None
        root = _cgroup_root()
        if root is not None:
            path = f"{root}/sortie-bench-{os.getpid()}-{name}"
            try:
                os.mkdir(path)
                self.path = path
            except OSError:
                pass

    def join(self):
        if self.path is not None:
            with open(self.path + "/cgroup.procs", "w", encoding="ascii") as f:
                f.write("0")

    def pids(self):
        if self.path is not None:
            return [int(p) for p in _read(self.path + "/cgroup.procs").split()]
        return self._descendants()

    def _descendants(self):
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                stat = _read(f"/proc/{entry}/stat")
                if stat:
                    parent = int(stat.rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry))
        found = []
        todo = [self.root_pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo.extend(children.get(pid, []))
        return found

    def cpu_s(self):
        if self.path is not None:
            usage = _read(self.path + "/cpuacct.usage")
            if usage:
                return int(usage) / 1e9
            for line in _read(self.path + "/cpu.stat").splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
        ticks = 0
        for pid in self.pids():
            stat = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += sum(int(n) for n in stat[11:15])
        return ticks / TICK

    def dirtied(self):
        """Bytes of page cache made dirty; ended children are in their
        parent's. Where the file system uses large folios, a small append
        after a sync counts the whole folio: far more than the disk sees."""
        total = 0
        for pid in self.pids():
            for line in _read(f"/proc/{pid}/io").splitlines():
                if line.startswith("write_bytes:"):
                    total += int(line.split()[1])
        return total

    def memory(self):
        """(resident, anonymous) bytes, summed over the processes."""
        rss = anon = 0
        for pid in self.pids():
            for line in _read(f"/proc/{pid}/status").splitlines():
                if line.startswith("VmRSS:"):
                    rss += int(line.split()[1]) * 1024
                elif line.startswith("RssAnon:"):
                    anon += int(line.split()[1]) * 1024
        return rss, anon

    def close(self):
        if self.path is None:
            return
        for _ in range(50):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


class Sampler(threading.Thread):
    """Peak memory of a group while it runs."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group = group
        self.rss = 0
        self.anon = 0
        self._end = threading.Event()

    def run(self):
        while not self._end.wait(SAMPLE_S):
            self.take()

    def take(self):
        rss, anon = self.group.memory()
        self.rss = max(self.rss, rss)
        self.anon = max(self.anon, anon)

    def stop(self):
        self.take()
        self._end.set()
        self.join()


def device_written(path):
    """Bytes written to the block device below path, by anybody, with what
    waits in the page cache written first. None: no such device is known."""
    subprocess.run(["sync", "-f", path], check=True)
    dev = os.stat(path).st_dev
    stat = _read(f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}/stat").split()
    return int(stat[6]) * 512 if len(stat) > 6 else None
