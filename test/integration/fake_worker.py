#!/usr/bin/env python3
"""Keeps the worker contract (docs/WORKER-CONTRACT.md) alone, with no server behind it, or breaks the one rule that FAKE_WORKER_BREAKS names.

For worker_contract_test: what the check must see. Standard library only.
"""
import json
import os
import sys
import time

BREAKS = os.environ.get("FAKE_WORKER_BREAKS", "")
OPTIONS = {"--url", "--group", "--workers", "--partitions", "--history", "--label"}
START = time.monotonic()


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def say(event, **fields):
    print(json.dumps({"event": event, "t_ns": now()} | fields), flush=True)


class Fleet:
    def __init__(self, given):
        self.partitions = [f"part.{i:05}" for i in range(int(given["--partitions"]))]
        self.count = int(given["--workers"])
        self.history = open(os.devnull if BREAKS == "history_empty" else given["--history"], "a", buffering=1)
        self.running = []
        self.sessions = {}  # worker -> session
        self.held = {}      # partition -> (worker, grant)
        self.grants = 0
        self.moves = 0
        self.spoke = False
        self.note("open", pid=os.getpid(), label=given["--label"])

    def note(self, event, **fields):
        self.history.write(json.dumps({"t": now(), "e": event} | fields) + "\n")

    def balance(self):
        for i, partition in enumerate(self.partitions):
            owner = self.running[i % len(self.running)] if self.running else None
            if partition in self.held and self.held[partition][0] != owner:
                self.release(partition)
            if owner is not None and partition not in self.held:
                self.grants += 1
                self.moves += 1
                self.held[partition] = (owner, self.grants)
                self.note("grant", s=self.sessions[owner], g=self.grants, p=partition, f=[1, self.grants])

    def release(self, partition):
        owner, grant = self.held.pop(partition)
        if BREAKS != "history_unreleased":
            self.note("release", s=self.sessions[owner], g=grant, p=partition)

    def start(self, count):
        for w in [w for w in range(self.count) if w not in self.running][:count]:
            self.running.append(w)
            self.sessions[w] = f"{os.getpid()}.{w}"
            self.note("session", s=self.sessions[w], w=w, n=0 if BREAKS == "numbers" else w, i=now(), until=2**62)
        self.balance()
        ms = 0 if BREAKS == "ms" else 1.5
        say("all_stable", workers=len(self.running) + (BREAKS == "counts"), ms=ms)
        if BREAKS != "covered":
            say("covered", workers=len(self.running), ms=ms)

    def stop(self, count):
        for _ in range(min(count, len(self.running))):
            leaving = self.running.pop()
            for partition in [p for p, (w, _) in self.held.items() if w == leaving]:
                self.release(partition)
            self.note("end", s=self.sessions[leaving], reason="left")
        if BREAKS != "takeover":
            self.balance()
        say("stopped")

    def owned(self, worker):
        return [p for p, (w, _) in self.held.items() if w == worker]

    def command(self, name, count):
        if name == "start":
            self.start(count)
        elif name == "stop":
            self.stop(count)
        elif name == "status":
            if BREAKS == "garbage_later" and self.count > 1 and not self.spoke:
                self.spoke = True
                print("by the way", flush=True)
            workers = [{"index": w, "id": "" if BREAKS == "ids" else f"w-{w}", "number": w, "state": "Stable", "leader": w == 0 and BREAKS != "leader",
                        "owned": len(self.owned(w)) + (BREAKS == "owned")} for w in self.running]
            say("status", stable=len(workers) - (BREAKS == "stable"), workers=workers)
        elif name == "ownership":
            more = self.partitions[:1] if BREAKS == "twice" and len(self.running) == 3 else []
            say("ownership", workers=[{"index": w, "id": f"w-{w}", "partitions": self.owned(w) + more} for w in self.running])
        elif name == "stats":
            renewals = 7 if BREAKS == "renewals" else int((time.monotonic() - START) * 1000)
            fields = {"partitions_gained": self.moves, "partitions_lost": 0, "renewals": renewals}
            if BREAKS == "stats":
                del fields["partitions_lost"]
            say("stats", **fields)
        elif name == "quit":
            self.stop(len(self.running))
            if BREAKS == "quit":
                time.sleep(30)
            sys.exit(BREAKS == "exit")
        elif name == "memory":
            say("memory", live_bytes=1, arena_bytes=2) if BREAKS != "memory" else say("memory")
        elif BREAKS != "unknown_command":
            say("error", error=f"unknown command '{name}'")


def main(arguments):
    given = dict(zip(arguments[::2], arguments[1::2]))
    for option in given.keys() - OPTIONS:
        if BREAKS != "bad_option":
            say("error", error="bad option" if BREAKS == "unnamed_option" else f"unknown option {option}")
            return 1 if BREAKS == "bad_option_code" else 104
    if BREAKS == "silent":
        time.sleep(30)
    if BREAKS == "dies":
        print("no server here", file=sys.stderr)
        return 3
    if BREAKS == "garbage":
        print("hello", flush=True)
    ready = {"contract": 2 if BREAKS == "version" else 1, "pid": 1 if BREAKS == "pid" else os.getpid(), "label": given["--label"], "program": "fake"}
    if BREAKS == "no_contract":
        del ready["contract"]
    say("ready", **ready)
    fleet = Fleet(given)
    for line in sys.stdin:
        name, _, count = line.strip().partition(" ")
        fleet.command(name, int(count or 10**9))
    if BREAKS == "orphan":
        time.sleep(30)
    return 0 if BREAKS == "orphan_code" else 102


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
