#!/usr/bin/python3
"""What a connection costs that says nothing: memory of the gateway with 5,000
of them behind EHLO, plain and after STARTTLS.

    tests/bench/run idle [--connections 5000]
"""

import argparse
import os
import pathlib
import resource
import ssl
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
os.environ.setdefault("SORTIE_BUILD", str(HERE.parents[1] / "build"))

import harness  # noqa: E402  (after the path to it)

GOALS = {"plain": 8.0, "TLS": 24.0}  # KB a connection
WARM = 50


def memory_kb(pid):
    """(resident, anonymous)"""
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        values[name] = rest.split()
    return int(values["VmRSS"][0]), int(values["RssAnon"][0])


def connect(gateway, n, context):
    clients = []
    for i in range(n):
        c = harness.Client("127.0.0.1", gateway.port,
                           source=f"127.9.{i // 250 % 250}.{i % 250 + 1}")
        if context is not None:
            c.starttls(context)
            assert c.ehlo().code == 250
        clients.append(c)
    return clients


def measure(folder, name, n, context, authority):
    gateway = harness.Gateway(folder, authority, limits={
        "connections": 4 * n, "connections_per_client": n})
    gateway.start()
    try:
        for c in connect(gateway, WARM, context):
            c.sock.close()
        time.sleep(1)
        before = memory_kb(gateway.process.pid)
        clients = connect(gateway, n, context)
        time.sleep(1)
        after = memory_kb(gateway.process.pid)
        for c in clients:
            c.sock.close()
        time.sleep(2)
        closed = memory_kb(gateway.process.pid)
    finally:
        gateway.stop()
    each = (after[1] - before[1]) / n
    print(f"{name:6} {n:6} connections: {each:6.2f} KB each, of at most "
          f"{GOALS[name]:.0f}; RSS {before[0] / 1024:.1f} MB before, "
          f"{after[0] / 1024:.1f} MB with them, {closed[0] / 1024:.1f} MB "
          "when they are closed")
    return each <= GOALS[name]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--connections", type=int, default=5000)
    args = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < args.connections + 200:
        print(f"only {hard} open files are allowed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        authority = harness.CA(folder + "/ca")
        context = authority.client_context()
        context.verify_mode = ssl.CERT_NONE
        good = measure(folder + "/plain", "plain", args.connections, None,
                       authority)
        good = measure(folder + "/tls", "TLS", args.connections, context,
                       authority) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
