#!/usr/bin/python3
"""Soak: many connections at a bounded rate for minutes; nothing may be lost
and memory must stay flat.

Exit status 0 when lost = duplicated = 0, every message was accepted, the
gateway ended with 0, and the median of the resident memory in the last fifth
of the run is at most 5 % above that of the second fifth (the first one is
warming up).

With --kill N the gateway is killed (SIGKILL) every N seconds and started
again. Then lost = 0 still holds, and a message may come twice only when a
kill fell between its dot and the reply to it, on either side of the gateway:
the table says of each kill how many did. Memory is not judged, for no process
lives long enough.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

import contenders
import driver
from contenders import CONTENDERS

GROWTH = 1.05
SAMPLE_S = 0.5
BEFORE_S = 1.0  # from a copy's arrival to the durable record of it, at most
AFTER_S = 5.0   # from a start to the end of what was under way at the kill


class Watch(threading.Thread):
    """Resident and anonymous memory of a group over time."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group = group
        self.samples = []
        self.end = threading.Event()

    def run(self):
        while not self.end.wait(SAMPLE_S):
            rss, anon = self.group.memory()
            if rss > 0:
                self.samples.append((rss, anon))

    def medians(self, column):
        values = [s[column] for s in self.samples]
        n = max(1, len(values) // 5)
        return (statistics.median(values[n:2 * n] or values),
                statistics.median(values[-n:]))


class Killer(threading.Thread):
    """Ends the gateway's process the hard way, and starts it again."""

    def __init__(self, gate, every_s):
        super().__init__(daemon=True)
        self.gate = gate
        self.every_s = every_s
        self.kills = []  # (moment, moment of being ready again), monotonic
        self.failure = None
        self.end = threading.Event()

    def run(self):
        try:
            while not self.end.wait(self.every_s):
                self.strike()
        except Exception as why:  # told by the main thread
            self.failure = why

    def strike(self):
        gate = self.gate
        if gate.process.poll() is not None:
            raise RuntimeError(f"ended by itself:\n{gate.log_tail()}")
        moment = time.monotonic()
        gate.process.kill()
        gate.process.wait()
        gate.process = subprocess.Popen(
            gate.command(), stdin=subprocess.DEVNULL, stdout=gate.log,
            stderr=gate.log, start_new_session=True,
            preexec_fn=gate.group.join)
        gate.group.root_pid = gate.process.pid
        deadline = time.monotonic() + contenders.READY_S
        while not contenders.Contender.ready(gate):
            if gate.process.poll() is not None or \
                    time.monotonic() > deadline:
                raise RuntimeError(f"does not start:\n{gate.log_tail()}")
            time.sleep(0.02)
        self.kills.append((moment, time.monotonic()))

    def stop(self):
        self.end.set()
        self.join()


def explain(folder, sink, kills):
    """How many copies too many each kill accounts for, and the ids of those
    for which none does. The ledgers' clock is monotonic as well."""
    first, counts, unexplained = {}, [0] * len(kills), []
    with open(sink.ledger, encoding="ascii", errors="replace") as f:
        for line in f:
            name, at, _ = line.split(" ")
            if not name.startswith("m"):
                continue
            at = int(at) / 1e6
            if name not in first:
                first[name] = at
                continue
            for i, (down, up) in enumerate(kills):
                if down - BEFORE_S <= first[name] <= up + AFTER_S and \
                        at >= down:
                    counts[i] += 1
                    break
            else:
                unexplained.append(name)
    return counts, unexplained


def run(bench, args):
    scenario = {"tls": args.tls, "domains": args.domains}
    folder = bench.work + "/soak"
    os.makedirs(folder)
    tls = bench.tls if args.tls else None
    sink = driver.Sink(args.port_base + 1, folder, tls, args.domains)
    gate = CONTENDERS[args.contender](folder + "/gate", args.port_base,
                                      args.port_base + 1, tls, args.domains)
    watch = None
    killer = None
    try:
        gate.start()
        watch = Watch(gate.group)
        watch.start()
        if args.kill > 0:
            killer = Killer(gate, args.kill)
            killer.start()
        command = [driver.OUT + "/gen", "--to",
                   f"{gate.address}:{args.port_base}", "--seconds",
                   str(int(args.minutes * 60)), "--rate", str(args.rate),
                   "--connections", str(args.connections),
                   "--per-connection", str(args.per_connection),
                   "--domains", str(args.domains), "--size", str(args.size),
                   "--timeout", str(int(args.minutes * 60) + 120),
                   "--attempts", "250",
                   "--ledger", folder + "/m.ledger"]
        if args.tls:
            command.append("--tls")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                              check=False)
        gen = json.loads(done.stdout)
        watch.end.set()
        if killer is not None:
            killer.stop()
        driver.wait_for(sink, gen["accepted"])
        status = gate.stop()
        end = sink.stop()
        kills = killer.kills if killer is not None else []
        if killer is not None and killer.failure is not None:
            raise killer.failure
        counts, unexplained = explain(folder, sink, kills)
        return {"kills": kills, "explained": counts,
                "unexplained": unexplained, "gen": gen, "sink": end, "exit": status,
                "rss": watch.medians(0), "anon": watch.medians(1),
                "clear_text": bool(scenario["tls"]) and
                end["tls"] < end["connects"],
                **driver.compare(folder, sink)}
    finally:
        if watch is not None:
            watch.end.set()
        if killer is not None:
            killer.stop()
        gate.stop()
        sink.stop()


def judge(r):
    gen = r["gen"]
    checks = [
        ("accepted", gen["accepted"] > 0, gen["accepted"]),
        ("not accepted", gen["refused"] + gen["exhausted"] +
         gen["unfinished"] == 0,
         gen["refused"] + gen["exhausted"] + gen["unfinished"]),
        ("lost", r["lost"] == 0, r["lost"]),
        ("duplicated" if not r["kills"] else
         "duplicated, no kill accounts for it",
         not r["unexplained"], len(r["unexplained"])),
        ("mixed up", r["sink"]["mixed"] == 0, r["sink"]["mixed"]),
        ("in clear text", not r["clear_text"], r["clear_text"]),
        ("exit status", r["exit"] == 0, r["exit"]),
    ]
    if not r["kills"]:
        checks.append((
            "RSS growth", r["rss"][1] <= r["rss"][0] * GROWTH,
            f"{r['rss'][0] / 2**20:.1f} MB to {r['rss'][1] / 2**20:.1f} MB"))
    for what, good, value in checks:
        print(f"{'good' if good else 'BAD ':4} {what}: {value}")
    print(f"     rate {gen['rate']:.0f}/s, retried {gen['retried']}, "
          f"p50 {gen['p50_ms']:.2f} ms, p99 {gen['p99_ms']:.2f} ms, anon "
          f"{r['anon'][0] / 2**20:.1f} MB to {r['anon'][1] / 2**20:.1f} MB")
    if r["kills"]:
        back = [up - down for down, up in r["kills"]]
        print(f"     {len(back)} kills, ready again after {min(back):.2f} "
              f"to {max(back):.2f} s; accepted {gen['accepted']}, without "
              f"a reply {gen['ambiguous']}, duplicates by kill: "
              f"{r['explained']}")
        for name in r["unexplained"][:10]:
            print(f"     twice without a reason: {name}")
    return all(good for _, good, _ in checks)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--connections", type=int, default=200)
    p.add_argument("--per-connection", type=int, default=100)
    p.add_argument("--rate", type=int, default=1000)
    p.add_argument("--kill", type=float, default=0, metavar="SECONDS",
                   help="kill -9 so often, 0: never")
    p.add_argument("--size", type=int, default=4096)
    p.add_argument("--domains", type=int, default=50)
    p.add_argument("--tls", action="store_true")
    p.add_argument("--contender", default="sortied", choices=CONTENDERS)
    p.add_argument("--port-base", type=int, default=30900)
    p.add_argument("--keep", action="store_true")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of finally
    os.makedirs(driver.OUT, exist_ok=True)
    bench = driver.Bench(args)
    try:
        good = judge(run(bench, args))
    finally:
        bench.close()
    if args.keep:
        print("kept: " + bench.work)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
