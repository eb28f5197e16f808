#!/usr/bin/env python3
"""Measures the tables of docs/CAPACITY.md and docs/TUNING.md with worker-host and a server of its own, and prints them as Markdown.

capacity.py BUILD [TABLE ...]     TABLE: size, rest, failover, settle, threads; none given: all of them
Figures are of this machine, now; the head of the output says which. Ends every process it started. Standard library only.
"""
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import time
import urllib.request

import temp_folder

DEADLINE_S = 60
ERRORS_MAX = 1000
TICK = os.sysconf("SC_CLK_TCK")
FAST = {"heartbeat": "300ms", "ttl": "1s", "margin": "200ms", "stop_budget": "200ms"}  # the suite's own timing


class Program:
    """A child that is talked to line by line; gone at the end of `with`."""

    def __init__(self, *command, log=subprocess.DEVNULL):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.stdin.close()
            try:
                self.child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def send(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def line(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self.child.args[0]}: no line in time")
            part = os.read(self.child.stdout.fileno(), 1 << 20)
            if not part:
                raise EOFError(f"{self.child.args[0]} ended")
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()


class Server(Program):
    def __init__(self, build):
        super().__init__(build / "test/cmd/nats-server-launcher/nats-server-launcher")
        self.values = {}
        while "NATS_READY" not in self.values:
            key, _, value = self.line(time.monotonic() + DEADLINE_S).partition("=")
            self.values[key] = value
        self.url, self.pid = self.values["NATS_URL"], int(self.values["NATS_PID"])
        self.version = self.values["NATS_SERVER"].split("VERSION=")[1].split()[0]

    def counters(self):
        with urllib.request.urlopen(self.values["NATS_MONITOR"] + "/varz", timeout=10) as answer:
            varz = json.load(answer)
        return varz["in_msgs"], varz["out_msgs"]


class Host(Program):
    def __init__(self, build, server, workers, partitions, *more, timing=None):
        config = ["--config", json.dumps({"timing": timing})] if timing else []
        super().__init__(build / "test/cmd/worker-host/worker-host", "--url", server.url, "--group", "capacity", "--workers", str(workers), "--partitions",
                         str(partitions), *config, *map(str, more))
        self.pid = self.child.pid
        self.errors = []
        self.wait("ready")

    def wait(self, event):
        deadline = time.monotonic() + DEADLINE_S
        while True:
            said = json.loads(self.line(deadline))
            if said["event"] == event:
                return said
            if said["event"] == "error":
                self.errors.append(said["error"])
                if len(self.errors) > ERRORS_MAX:
                    raise RuntimeError(said["error"])

    def ask(self, command, event=None):
        self.send(command)
        return self.wait(event or command)


def rss_kb(pid, key="RssAnon"):
    return int(next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(key)).split()[1])


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def quiet(host, workers):
    """Until nothing moved while every worker renewed twice; the statistics then."""
    deadline = time.monotonic() + DEADLINE_S
    before = host.ask("stats")
    while time.monotonic() < deadline:
        while (now := host.ask("stats"))["renewals"] < before["renewals"] + 2 * workers:
            time.sleep(0.2)  # between two looks; renewals come with the heartbeat
            if time.monotonic() > deadline:
                break
        if all(now[key] == before[key] for key in ("partitions_gained", "partitions_lost", "plans")):
            return now
        before = now
    raise TimeoutError(f"still moving after {DEADLINE_S} s")


def at_rest(build, workers, partitions, timing=None, window=10):
    """One process with all workers, started at once; figures over a window in which nothing moves."""
    with Server(build) as server, Host(build, server, workers, partitions, "--expected-workers", workers, timing=timing) as host:
        host.send("start")
        stable, covered = host.wait("all_stable")["ms"], host.wait("covered")["ms"]
        now = quiet(host, workers)
        messages, cpu, server_cpu, since = server.counters(), cpu_s(host.pid), cpu_s(server.pid), time.monotonic()
        time.sleep(window)  # the window itself
        passed = time.monotonic() - since
        incoming, outgoing = (b - a for a, b in zip(messages, server.counters()))
        after = host.ask("stats")
        lost = after["sessions_lost"] - now["sessions_lost"]
        assert lost == 0, f"{lost} leases were lost within the window"
        assert after["partitions_lost"] == now["partitions_lost"], "partitions moved within the window"
        return {"stable": stable, "covered": covered, "anon": rss_kb(host.pid), "server": rss_kb(server.pid, "VmRSS"), "in": incoming / passed,
                "out": outgoing / passed, "cpu": (cpu_s(host.pid) - cpu) / passed * 100, "server_cpu": (cpu_s(server.pid) - server_cpu) / passed * 100,
                "live": host.ask("memory")["live_bytes"] / 1024}


def figures(*arguments, **more):
    """at_rest, tried three times: a busy machine disturbs it. The figures, or why there are none."""
    why = None
    for _ in range(3):
        try:
            return at_rest(*arguments, **more), None
        except (RuntimeError, TimeoutError, AssertionError, EOFError) as error:
            why = error
    return None, f"not measured: {why}"[:90]


class Table:
    """Prints each row as soon as it is there."""

    def __init__(self, title, *head):
        print(f"\n### {title}\n| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)

    @staticmethod
    def append(row):
        print("| " + " | ".join(row) + " |", flush=True)


def size(build):
    rows = Table("One process with all workers", "heartbeat", "workers", "partitions", "anonymous", "live heap", "server RSS", "stable", "covered", "messages/s in / out", "CPU", "server CPU")
    slow = {"heartbeat": "2s", "ttl": "6s", "margin": "600ms", "stop_budget": "1s"}  # the library's default
    small = ((1, 100), (1, 1000), (1, 10_000), (10, 100), (10, 1000), (50, 500), (50, 5000), (100, 1000))
    large = ((100, 1000), (250, 2500), (500, 5000), (1000, 10_000))
    for workers, partitions, timing in [(*s, FAST) for s in small] + [(*s, slow) for s in large]:
        f, why = figures(build, workers, partitions, timing)
        if f:
            rows.append([timing["heartbeat"], str(workers), str(partitions), f"{f['anon']} kB", f"{f['live']:.0f} kB", f"{f['server'] / 1024:.0f} MB", f"{f['stable']:.0f} ms", f"{f['covered']:.0f} ms",
                         f"{f['in']:.0f} / {f['out']:.0f}", f"{f['cpu']:.0f} %", f"{f['server_cpu']:.0f} %"])
        else:
            rows.append([timing["heartbeat"], str(workers), str(partitions), why] + [""] * 7)


def rest(build):
    rows = Table("At rest, 500 partitions", "heartbeat", "TTL", "workers", "messages/s in", "messages/s out", "CPU", "server CPU")
    for heartbeat, ttl, margin in (("300ms", "1s", "200ms"), ("1s", "3s", "300ms"), ("2s", "6s", "600ms"), ("5s", "15s", "1500ms")):
        timing = {"heartbeat": heartbeat, "ttl": ttl, "margin": margin, "stop_budget": "200ms"}
        for workers in (10, 50):
            f, why = figures(build, workers, 500, timing, window=max(10, 4 * float(heartbeat.replace("300ms", "0.3").rstrip("s"))))
            rows.append([heartbeat, ttl, str(workers), why, "", "", ""] if why else [heartbeat, ttl, str(workers), f"{f['in']:.1f}", f"{f['out']:.1f}", f"{f['cpu']:.1f} %", f"{f['server_cpu']:.1f} %"])


def crash(build, timing, partitions=60):
    """Three processes with a worker each; one that does not lead is killed. Milliseconds until the others own everything."""
    with Server(build) as server, temp_folder.TempFolder(prefix="parti-capacity-") as folder:
        hosts = []
        try:
            for i in range(3):
                hosts.append(Host(build, server, 1, partitions, "--expected-workers", 3, "--history", f"{folder}/{i}", timing=timing))
                hosts[-1].send("start")
            while True:
                seen = [host.ask("status")["workers"][0] for host in hosts]
                if all(w["owned"] == partitions // 3 for w in seen):
                    break
                time.sleep(0.02)  # between two looks
            victim = next(i for i, w in enumerate(seen) if not w["leader"])
            killed = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            hosts[victim].child.kill()
            hosts[victim].child.wait()
            others = [host for i, host in enumerate(hosts) if i != victim]
            while sum(host.ask("status")["workers"][0]["owned"] for host in others) != partitions:
                time.sleep(0.01)  # between two looks; the time is taken from the history
            grants = [json.loads(line) for i in range(3) if i != victim for line in pathlib.Path(f"{folder}/{i}").read_text().splitlines()]
            return (max(g["t"] for g in grants if g["e"] == "grant") - killed) / 1e6
        finally:
            for host in hosts:
                host.__exit__()


def failover(build):
    rows = Table("Crash (SIGKILL) to owned again, 3 processes, 60 partitions", "heartbeat", "TTL", "margin", "median", "least .. most", "n")
    for heartbeat, ttl, margin, repeats in (("300ms", "1s", "200ms", 5), ("600ms", "2s", "200ms", 5), ("1s", "3s", "300ms", 4), ("2s", "6s", "600ms", 3), ("5s", "15s", "1500ms", 2)):
        timing = {"heartbeat": heartbeat, "ttl": ttl, "margin": margin, "stop_budget": "200ms"}
        times = [crash(build, timing) for _ in range(repeats)]
        rows.append([heartbeat, ttl, margin, f"{statistics.median(times):.0f} ms", f"{min(times):.0f} .. {max(times):.0f} ms", str(repeats)])


def settle(build):
    rows = Table("Start of 10 workers, 500 partitions: until balanced", "settle_pause", "expected_workers", "median", "plans", "moved partitions")
    for pause in ("50ms", "200ms", "500ms", "1s"):
        for expected in (0, 10):
            times, moved, plans = [], [], []
            for _ in range(3):
                with Server(build) as server, Host(build, server, 10, 500, "--expected-workers", expected, timing=FAST | {"settle_pause": pause}) as host:
                    host.send("start")
                    times.append(host.wait("balanced")["ms"])
                    stats = host.ask("stats")
                    moved.append(stats["moved_partitions"])
                    plans.append(stats["plans"])
            rows.append([pause, str(expected or "not set"), f"{statistics.median(times):.0f} ms", f"{statistics.median(plans):.0f}", f"{statistics.median(moved):.0f}"])


def threads(build):
    rows = Table("Start of 50 workers whose callbacks take 20 ms, 500 partitions: until balanced", "callback threads", "threads in all", "median", "drain timeouts", "anonymous")
    for count in (1, 2, 4, 8, 16):
        times, late = [], 0
        for _ in range(3):
            with Server(build) as server, Host(build, server, 50, 500, "--expected-workers", 50, "--callback-threads", count, "--callback-delay", 20) as host:
                host.send("start")
                times.append(host.wait("balanced")["ms"])
                late += host.ask("stats")["drain_timeouts"]
                names = list(pathlib.Path(f"/proc/{host.pid}/task").iterdir())
                anonymous = rss_kb(host.pid)
        rows.append([str(count), str(len(names)), f"{statistics.median(times):.0f} ms", str(late), f"{anonymous} kB"])


TABLES = {"size": size, "rest": rest, "failover": failover, "settle": settle, "threads": threads}


def main(arguments):
    build = pathlib.Path(arguments[0] if arguments else "build/release").resolve()
    unknown = [name for name in arguments[1:] if name not in TABLES]
    if unknown or not (build / "CMakeCache.txt").exists():
        print(f"{__doc__}\nnot understood: {' '.join(unknown) or build}", file=sys.stderr)
        return 104
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", pathlib.Path(__file__).parent, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    with Server(build) as server:
        print(f"{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} x {model}, nats-server {server.version}, load {os.getloadavg()[0]:.1f}")
    for name in arguments[1:] or TABLES:
        TABLES[name](build)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
