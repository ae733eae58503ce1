#!/usr/bin/python3
"""Runs the gateways in turns under the same load and prints one table.

See README.md beside this file for how to read it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import contenders
import measure
from contenders import BUILD, CONTENDERS, GATEWAY_ADDRESS, SINK_ADDRESS

OUT = os.path.join(BUILD, "bench")
STALL_S = 30   # no message at the sink for so long: the rest is lost
SETTLE_S = 1   # work that a gateway does behind the last delivery
WARM = 200     # messages before the measured ones

# Messages for each contender, so that a run takes 5 to 15 seconds.
SCENARIOS = {
    "S1a": {"size": 4096, "connections": 20, "per": 1, "tls": False,
            "text": "plain, 4 KB, 20 connections, 1 message each",
            "messages": {"direct": 80000, "postfix": 2500, "opensmtpd": 4500,
                         "sortied": 40000}},
    "S1b": {"size": 4096, "connections": 20, "per": 100, "tls": False,
            "text": "plain, 4 KB, 20 connections, 100 messages each",
            "messages": {"direct": 250000, "postfix": 3000, "opensmtpd": 4500,
                         "sortied": 80000}},
    "S2b": {"size": 65536, "connections": 20, "per": 100, "tls": False,
            "text": "plain, 64 KB, 20 connections, 100 messages each",
            "messages": {"direct": 150000, "postfix": 2000, "opensmtpd": 4500,
                         "sortied": 20000}},
    "S3b": {"size": 4096, "connections": 20, "per": 100, "tls": True,
            "text": "STARTTLS in and out, P-256, 4 KB, 20 connections, "
                    "100 messages each",
            "messages": {"direct": 100000, "postfix": 2500, "opensmtpd": 4500,
                         "sortied": 60000}},
    "S4": {"size": 4096, "connections": 20, "per": 100, "tls": False,
           "sign": "rsa",
           "text": "as S1b, signed with RSA-2048 (Postfix: opendkim as its "
                   "milter)",
           "messages": {"postfix": 2000, "haraka": 2000, "sortied": 40000}},
    "S4e": {"size": 4096, "connections": 20, "per": 100, "tls": False,
            "sign": "ed25519",
            "text": "as S1b, signed with Ed25519",
            "messages": {"postfix": 2000, "sortied": 60000}},
}
SCENARIOS["S4t"] = SCENARIOS["S4"] | {
    "tls": True, "text": "as S4 with STARTTLS in and out, half text, half HTML",
    "alternative": True,
    "messages": {"postfix": 2000, "haraka": 2000, "sortied": 40000}}
SCENARIOS["S5"] = SCENARIOS["S4t"] | {
    "stationery": True,
    "text": "as S4t, with stationery in both parts (Postfix: altermime in a "
            "filter)",
    "messages": {"postfix": 300, "haraka": 1500, "sortied": 40000}}
RENDER_S = 150e-6  # what stationery may cost beyond the signature
OPENSSL_NAMES = {"rsa": "rsa2048", "ed25519": "ed25519"}
SPREADS = {  # gateway CPU per message against one size of the surroundings
    "destinations": {"key": "domains", "values": (1, 10, 100, 1000),
                     "within": 1.2},
    "connections": {"key": "connections", "values": (10, 100, 1000),
                    "within": 1.3},
}
SPREAD_MESSAGES = 50000


def sh(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_certificates(folder):
    """A throw-away CA and P-256 certificates for the gateway and the sink."""
    os.makedirs(folder, exist_ok=True)
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
       "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
       "/CN=bench CA", "-keyout", folder + "/ca.key", "-out",
       folder + "/ca.pem")
    for name, host in (("gateway", "gateway.bench.test"),
                       ("sink", "mx.bench.test")):
        base = f"{folder}/{name}"
        contenders.write(base + ".ext",
                         f"subjectAltName=DNS:{host},DNS:*.bench.test\n")
        sh("openssl", "req", "-newkey", "ec", "-pkeyopt",
           "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={host}",
           "-keyout", base + ".key", "-out", base + ".csr")
        sh("openssl", "x509", "-req", "-in", base + ".csr", "-CA",
           folder + "/ca.pem", "-CAkey", folder + "/ca.key",
           "-CAcreateserial", "-days", "30", "-extfile", base + ".ext",
           "-out", base + ".pem")
        os.chmod(base + ".key", 0o600)


def make_signing_keys(folder):
    os.makedirs(folder, exist_ok=True)
    for kind, args in (("rsa", ["-algorithm", "RSA", "-pkeyopt",
                                "rsa_keygen_bits:2048"]),
                       ("ed25519", ["-algorithm", "ed25519"])):
        path = f"{folder}/{kind}.pem"
        sh("openssl", "genpkey", *args, "-out", path)
        os.chmod(path, 0o600)


def raw_signatures(kind):
    """Signatures a second on one core, as OpenSSL alone makes them."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "-mr", OPENSSL_NAMES[kind]],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        check=True)
    for line in done.stdout.splitlines():
        # +F2:0:2048:SIGN:VERIFY and +F6:0:253:Ed25519:SIGN:VERIFY, each a
        # second.
        fields = line.split(":")
        if fields[0] == "+F2":
            return float(fields[3])
        if fields[0] == "+F6":
            return float(fields[4])
    raise RuntimeError("openssl speed: " + done.stdout)


class Sink:
    def __init__(self, port, folder, tls, domains, look_for=None):
        self.ledger = folder + "/sink.ledger"
        args = [OUT + "/sink", "--listen", f"{SINK_ADDRESS}:{port}",
                "--ledger", self.ledger]
        if tls:
            args += ["--cert", tls + "/sink.pem", "--key", tls + "/sink.key"]
        if look_for:
            args += ["--look-for", look_for]
        if domains > 1:
            args += ["--addresses", str(domains)]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE,
                                        text=True)
        self.line()

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError("the sink has ended")
        return json.loads(text)

    def state(self):
        self.process.send_signal(signal.SIGUSR1)
        return self.line()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        text = self.process.stdout.read()
        self.process.wait()
        return json.loads(text.splitlines()[-1]) if text else {}


def run_gen(address, port, folder, prefix, count, scenario):
    args = [OUT + "/gen", "--to", f"{address}:{port}",
            "--messages", str(count), "--id-prefix", prefix,
            "--connections", str(scenario["connections"]),
            "--per-connection", str(scenario["per"]),
            "--size", str(scenario["size"]),
            "--domains", str(scenario.get("domains", 1)),
            "--ledger", f"{folder}/{prefix}.ledger"]
    if scenario["tls"]:
        args.append("--tls")
    if scenario.get("alternative"):
        args.append("--alternative")
    done = subprocess.run(args, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout)


def wait_for(sink, count):
    """Until the sink has count messages, or nothing comes any more."""
    last, since = -1, time.monotonic()
    while True:
        state = sink.state()
        if state["count"] >= count:
            return state
        if state["count"] != last:
            last, since = state["count"], time.monotonic()
        elif time.monotonic() - since > STALL_S:
            return state
        time.sleep(0.02)


def read_ids(path, prefix):
    with open(path, encoding="ascii", errors="replace") as f:
        ids = [line.split(" ", 1)[0] for line in f]
    return [i for i in ids if i.startswith(prefix)]


def compare(folder, sink):
    accepted = set(read_ids(folder + "/m.ledger", "m"))
    arrived = read_ids(sink.ledger, "m")
    return {"lost": len(accepted - set(arrived)),
            "duplicated": len(arrived) - len(set(arrived))}


class Bench:
    def __init__(self, args):
        self.args = args
        self.port = args.port_base
        base = OUT
        if not searchable(OUT):
            base = "/var/tmp"  # daemons of other users must get through
        self.work = tempfile.mkdtemp(prefix="run-", dir=base)
        os.chmod(self.work, 0o755)
        self.tls = self.work + "/tls"
        make_certificates(self.tls)
        self.keys = self.work + "/keys"
        make_signing_keys(self.keys)

    def count(self, scenario, name):
        n = scenario["messages"].get(name, 0) * self.args.seconds / 8
        if self.args.quick:
            n /= 5
        return max(200, int(n))

    def one(self, name, scenario, count):
        folder = f"{self.work}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.port += 2
        gate_port, sink_port = self.port, self.port + 1
        tls = self.tls if scenario["tls"] else None
        domains = scenario.get("domains", 1)
        sign = scenario.get("sign")
        if name not in scenario["messages"]:
            raise contenders.Unavailable("not in this scenario")
        key = f"{self.keys}/{sign}.pem" if sign else None
        if sign and name not in ("postfix", "haraka", "sortied"):
            raise contenders.Unavailable("it does not sign")
        stationery = scenario.get("stationery", False)
        sink = Sink(sink_port, folder, tls, domains,
                    contenders.STATIONERY_TEXT if stationery else None)
        gate = None
        try:
            if name != "direct":
                gate = CONTENDERS[name](folder + "/gate", gate_port, sink_port,
                                        tls, domains)
                gate.key = key
                gate.stationery = stationery
                gate.start()
                at = (gate.address, gate_port)
            else:
                at = (SINK_ADDRESS, sink_port)
            return self.load(name, scenario, count, folder, gate, sink, at)
        finally:
            if gate is not None:
                gate.stop()
            sink.stop()
            if not self.args.keep:
                shutil.rmtree(folder, ignore_errors=True)

    def load(self, name, scenario, count, folder, gate, sink, at):
        run_gen(*at, folder, "w", WARM, scenario)
        before = wait_for(sink, WARM)
        if gate is not None:
            time.sleep(gate.rest_s)
            cpu = gate.group.cpu_s()
            dirtied = gate.group.dirtied()
            sampler = measure.Sampler(gate.group)
            sampler.start()
        device = measure.device_written(self.work)

        gen = run_gen(*at, folder, "m", count, scenario)
        state = wait_for(sink, before["count"] + gen["accepted"])
        result = {"contender": name, "messages": gen["accepted"], "gen": gen,
                  "seconds": (state["last_us"] - gen["first_mail_us"]) / 1e6,
                  "p50_ms": gen["p50_ms"], "p99_ms": gen["p99_ms"],
                  "payload": gen["accepted"] * gen["content_bytes"],
                  "cpu_ends": gen["cpu_s"] + state["cpu_s"] - before["cpu_s"]}
        if gate is not None:
            time.sleep(SETTLE_S)
            sampler.stop()
            result.update({
                "cpu_gateway": gate.group.cpu_s() - cpu,
                "dirtied": gate.group.dirtied() - dirtied,
                "rss": sampler.rss, "anon": sampler.anon,
                "durable": gate.durable})
        after = measure.device_written(self.work)
        if gate is not None:
            result["written"] = result["dirtied"] if after is None else \
                after - device
        result["exit"] = gate.stop() if gate is not None else 0
        end = sink.stop()
        result["sink"] = end
        result.update(compare(folder, sink))
        result["clear_text"] = bool(scenario["tls"]) and \
            end["tls"] < end["connects"]
        result["unsigned"] = 0 if not scenario.get("sign") else \
            end["count"] + end["duplicates"] - end["signed"]
        result["bare"] = 0 if not scenario.get("stationery") else \
            end["count"] + end["duplicates"] - end["found"]
        self.derive(result)
        return result

    @staticmethod
    def derive(r):
        n = max(1, r["messages"])
        r["rate"] = r["messages"] / max(r["seconds"], 1e-9)
        r["cpu_all"] = r["cpu_ends"] + r.get("cpu_gateway", 0)
        r["cpu_gateway_1000"] = r.get("cpu_gateway", 0) / n * 1000
        r["cpu_all_1000"] = r["cpu_all"] / n * 1000
        r["write_ratio"] = r.get("written", 0) / max(1, r["payload"])

    def close(self):
        if not self.args.keep:
            shutil.rmtree(self.work, ignore_errors=True)


def searchable(path):
    while path != "/":
        if os.stat(path).st_mode & 0o001 == 0:
            return False
        path = os.path.dirname(path)
    return True


def ratio(a, b):
    return a / b if b else None


def show(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


HEAD = ("scenario", "gateway", "messages", "delivered/s", "x Postfix",
        "x OpenSMTPD", "of direct", "CPU s/1000", "with ends", "reply p50 ms",
        "p99 ms", "RSS MB", "anon MB", "written/payload", "TLS full",
        "resumed", "lost", "dup")


def rows(results):
    for scenario, by_name in results.items():
        for name, r in by_name.items():
            if "skipped" in r:
                yield [scenario, name, r["skipped"]] + [""] * 15
                continue
            rates = {n: by_name.get(n, {}).get("rate") for n in
                     ("postfix", "opensmtpd", "direct")}
            gate = name != "direct"
            yield [scenario, name, str(r["messages"]), f"{r['rate']:.0f}",
                   show(ratio(r["rate"], rates["postfix"])),
                   show(ratio(r["rate"], rates["opensmtpd"])),
                   show(ratio(r["rate"], rates["direct"]), "{:.1%}"),
                   show(r["cpu_gateway_1000"] if gate else None, "{:.3f}"),
                   f"{r['cpu_all_1000']:.3f}",
                   f"{r['p50_ms']:.2f}", f"{r['p99_ms']:.2f}",
                   show(r["rss"] / 2**20 if gate else None),
                   show(r["anon"] / 2**20 if gate else None),
                   show(r["write_ratio"] if gate else None, "{:.2f}"),
                   str(r["sink"]["tls"] - r["sink"]["resumed"]),
                   str(r["sink"]["resumed"]),
                   str(r["lost"]), str(r["duplicated"])]


def table(head, lines):
    lines = [list(head)] + [list(x) for x in lines]
    wide = [max(len(line[i]) if len(line) == len(head) and
                not (i == 2 and line[3] == "") else 0 for line in lines)
            for i in range(len(head))]
    out = []
    for n, line in enumerate(lines):
        out.append("| " + " | ".join(
            c.ljust(w) if i < 2 else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, wide))) + " |")
        if n == 0:
            out.append("|" + "|".join(
                ("-" * (w + 2)) if i < 2 else ("-" * (w + 1) + ":")
                for i, w in enumerate(wide)) + "|")
    return "\n".join(out)


class Goals:
    """The marks that sortied is measured against, where both sides ran."""

    def __init__(self):
        self.lines = []
        self.good = True

    def mark(self, what, value, limit, least):
        if value is None:
            return
        good = value >= limit if least else value <= limit
        self.good = self.good and good
        self.lines.append([what, f"{value:.3g}",
                           (">= " if least else "<= ") + f"{limit:.3g}",
                           "yes" if good else "NO"])

    def least(self, what, value, limit):
        self.mark(what, value, limit, True)

    def most(self, what, value, limit):
        self.mark(what, value, limit, False)


def least_times(times, scenario):
    return min((t for t in (times(scenario, "rate", "sortied", "postfix"),
                            times(scenario, "rate", "sortied", "haraka"))
                if t), default=None)


def judge_signing(g, of, times, raw):
    g.least("S4 delivered/s, x the better of Postfix with opendkim and Haraka",
            least_times(times, "S4"), 15)
    plain = of("S1b", "sortied", "cpu_gateway_1000")
    signed = of("S4", "sortied", "cpu_gateway_1000")
    if plain and signed:
        g.most("S4 CPU beyond S1b, x the raw signature",
               (signed - plain) * raw["rsa"] / 1000, 1.25)
    if of("S4e", "sortied", "rate") and of("S1b", "sortied", "rate"):
        g.least("S4e delivered/s, part of S1b",
                of("S4e", "sortied", "rate") / of("S1b", "sortied", "rate"),
                0.8)


def judge_stationery(g, of, times):
    g.least("S5 delivered/s, x the better of Postfix with altermime and Haraka",
            least_times(times, "S5"), 20)
    signed = of("S4t", "sortied", "cpu_gateway_1000")
    both = of("S5", "sortied", "cpu_gateway_1000")
    if signed and both:
        g.most("S5 CPU beyond S4t, us a message", (both - signed) * 1000,
               RENDER_S * 1e6)


def judge(results, spreads, raw):
    g = Goals()

    def of(scenario, name, key):
        return results.get(scenario, {}).get(name, {}).get(key)

    def times(scenario, key, a, b):
        x, y = of(scenario, a, key), of(scenario, b, key)
        return None if x is None or not y else x / y

    best = [t for t in (times("S1b", "rate", "sortied", "postfix"),
                        times("S1b", "rate", "sortied", "opensmtpd")) if t]
    g.least("S1b delivered/s, x the better peer", min(best, default=None), 20)
    g.least("S1b delivered/s, part of direct",
            times("S1b", "rate", "sortied", "direct"), 0.2)
    g.most("S1b gateway CPU per message, part of Postfix's",
           times("S1b", "cpu_gateway_1000", "sortied", "postfix"), 1 / 25)
    g.most("S1b gateway CPU per message, part of OpenSMTPD's",
           times("S1b", "cpu_gateway_1000", "sortied", "opensmtpd"), 1 / 8)
    g.most("S1b p99 of the final reply, part of Postfix's",
           times("S1b", "p99_ms", "sortied", "postfix"), 1 / 5)
    g.least("S1a delivered/s, x Postfix",
            times("S1a", "rate", "sortied", "postfix"), 12)
    g.least("S2b delivered/s, x Postfix",
            times("S2b", "rate", "sortied", "postfix"), 10)
    g.most("S2b bytes written, x payload",
           of("S2b", "sortied", "write_ratio"), 1.3)
    g.least("S3b delivered/s, x Postfix",
            times("S3b", "rate", "sortied", "postfix"), 20)
    judge_signing(g, of, times, raw)
    judge_stationery(g, of, times)
    every = [r["sortied"] for r in results.values()
             if "rate" in r.get("sortied", {})]
    every += [r for s in spreads.values() for r in s.values()]
    if every:
        g.most("all: lost + duplicated",
               sum(r["lost"] + r["duplicated"] for r in every), 0)
        g.most("all: not accepted, mixed up, in clear text, unsigned or bare",
               sum(r["gen"]["refused"] + r["gen"]["exhausted"] +
                   r["gen"]["unfinished"] + r["sink"]["mixed"] +
                   r["clear_text"] + r["unsigned"] + r["bare"] for r in every), 0)
        g.most("all: exit status", max(abs(r["exit"]) for r in every), 0)
        g.most("all: anonymous memory, MB",
               max(r["anon"] for r in every) / 2**20, 40)
    for name, by_value in spreads.items():
        cpu = [r["cpu_gateway_1000"] for r in by_value.values()]
        if len(cpu) > 1:
            g.most(f"CPU per message, {min(by_value)} to {max(by_value)} "
                   f"{name}, most / least", max(cpu) / min(cpu),
                   SPREADS[name]["within"])
    return g


def attempt(bench, name, scenario, count):
    try:
        return bench.one(name, scenario, count)
    except contenders.Unavailable as why:
        return {"contender": name, "skipped": str(why)}


def run_scenarios(bench, args):
    results = {}
    for key in args.only:
        scenario = SCENARIOS.get(key)
        if scenario is None:
            continue
        tries = {}
        for turn in range(args.rounds):
            for name in args.contenders:
                print(f"{key} {name}, round {turn + 1} ...", file=sys.stderr)
                r = attempt(bench, name, scenario,
                            bench.count(scenario, name))
                if "rate" in r:
                    print(f"  {r['rate']:.0f}/s, {r['cpu_gateway_1000']:.3f} "
                          f"s/1000, p99 {r['p99_ms']:.2f} ms, lost "
                          f"{r['lost']}, duplicated {r['duplicated']}",
                          file=sys.stderr)
                tries.setdefault(name, []).append(r)
        # The middle one by rate; losses of any round count.
        results[key] = {}
        for name, of_name in tries.items():
            of_name.sort(key=lambda r: r.get("rate", 0))
            middle = dict(of_name[len(of_name) // 2])
            for field in ("lost", "duplicated"):
                if field in middle:
                    middle[field] = sum(r[field] for r in of_name)
            middle["rates"] = [r.get("rate") for r in of_name]
            results[key][name] = middle
    return results


def run_spreads(bench, args):
    spreads = {}
    if "sortied" not in args.contenders:
        return spreads
    for key, spread in SPREADS.items():
        if key not in args.only:
            continue
        spreads[key] = {}
        for value in spread["values"]:
            scenario = dict(SCENARIOS["S1b"])
            scenario[spread["key"]] = value
            scenario["messages"] = {"sortied": SPREAD_MESSAGES}
            print(f"sortied, {value} {key} ...", file=sys.stderr)
            r = attempt(bench, "sortied", scenario,
                        bench.count(scenario, "sortied"))
            if "rate" not in r:
                print("  " + r["skipped"], file=sys.stderr)
                break
            spreads[key][value] = r
    return spreads


def report(results, spreads, goals, raw):
    parts = [table(HEAD, rows(results))]
    for key, by_value in spreads.items():
        if by_value:
            parts.append(table(
                (key, "", "messages", "delivered/s", "CPU s/1000", "p99 ms",
                 "anon MB", "lost", "dup"),
                [[str(v), "sortied", str(r["messages"]), f"{r['rate']:.0f}",
                  f"{r['cpu_gateway_1000']:.3f}", f"{r['p99_ms']:.2f}",
                  f"{r['anon'] / 2**20:.1f}", str(r["lost"]),
                  str(r["duplicated"])] for v, r in by_value.items()]))
    if goals.lines:
        parts.append(table(("goal", "", "value", "limit", "reached"),
                           [[g[0], ""] + g[1:] for g in goals.lines]))
    parts.append("\n".join(
        [f"{k}: {SCENARIOS[k]['text']}." for k in results] +
        [f"Raw signatures a second on one core ({OPENSSL_NAMES[k]}): {v:.0f}."
         for k, v in raw.items()] +
        ["CPU: the gateway's processes only; \"with ends\" adds generator "
         "and sink.",
         "Durable before 250: " + "; ".join(
             f"{c.name}: {c.durable}" for c in CONTENDERS.values()) + "."]))
    return "\n\n".join(parts) + "\n"


def parse():
    p = argparse.ArgumentParser(description=__doc__)
    every = list(SCENARIOS) + list(SPREADS)
    p.add_argument("--only", default=",".join(every), type=split(every),
                   help="of " + ",".join(every))
    names = ["direct", *CONTENDERS]
    p.add_argument("--contenders", default=",".join(names), type=split(names),
                   help="of " + ",".join(names))
    p.add_argument("--quick", action="store_true",
                   help="a fifth of the messages")
    p.add_argument("--seconds", type=float, default=8,
                   help="aim of one run; scales the message counts")
    p.add_argument("--rounds", type=int, default=1,
                   help="turns of all contenders; the middle rate is shown")
    p.add_argument("--port-base", type=int, default=30000)
    p.add_argument("--keep", action="store_true",
                   help="leave configurations, logs and ledgers behind")
    return p.parse_args()


def split(known):
    def parse_list(text):
        given = [t for t in text.split(",") if t]
        for t in given:
            if t not in known:
                raise argparse.ArgumentTypeError(f"{t} is none of {known}")
        return given
    return parse_list


def main():
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of finally
    os.makedirs(OUT, exist_ok=True)
    bench = Bench(args)
    try:
        raw = {SCENARIOS[k]["sign"]: raw_signatures(SCENARIOS[k]["sign"])
               for k in args.only if "sign" in SCENARIOS.get(k, {})}
        results = run_scenarios(bench, args)
        spreads = run_spreads(bench, args)
    finally:
        bench.close()
    goals = judge(results, spreads, raw)
    text = report(results, spreads, goals, raw)
    with open(OUT + "/result.json", "w", encoding="ascii") as f:
        json.dump({"cpus": os.cpu_count(), "scenarios": results,
                   "spreads": spreads, "raw": raw, "goals": goals.lines}, f, indent=1)
    with open(OUT + "/result.md", "w", encoding="ascii") as f:
        f.write(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
