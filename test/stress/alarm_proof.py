#!/usr/bin/env python3
"""Proves the alarm on real launches: it must stay silent when nothing changed, and ring at +15 % of memory.
Usage: alarm_proof.py STRESS_REPORT MEMORY_TESTS FOLDER [--runs 20] [--case 10w_100p ...]

For each configuration: three runs make a baseline; then runs of the same build (A/A) and runs of a worker-host that wastes 15 % of its memory
take turns, so that what drifts in the machine meets both. Every run is five launches, judged by `stress-report diff` without any second
chance. Required: no A/A run exits 97, and at least 19 of 20 wasteful ones do. FOLDER keeps all runs, and per configuration what was
recorded as two files, CASE.json and CASE-wasteful.json, from which test/stress/recordings is made. Ends with 0, 1 (a promise is
broken) or 100 (a run failed). Continues where an earlier call with the same FOLDER ended.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

WASTE = "15%"
BASELINE_RUNS = 3


def run(arguments, allowed, **environment):
    done = subprocess.run([str(a) for a in arguments], env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode not in allowed:
        print(done.stdout)
        print(f"alarm_proof: {' '.join(map(str, arguments))}\nexited with {done.returncode}", flush=True)
        sys.exit(100)
    return done.returncode, done.stdout


class Proof:
    def __init__(self, options):
        self.report, self.tests, self.folder = options.report, options.tests, pathlib.Path(options.folder)

    def measure(self, case, name, **environment):
        root = self.folder / case / name
        if (root / "done").exists():
            return root
        run([self.report, "begin", root], [0])
        run([self.tests, f"--gtest_filter=TestMemoryBenchmark_IsolatedParti.*/{case}"], [0], PARTI_STRESS_RUN_DIR=str(root),
            PARTI_STRESS_LAUNCHES="5", **environment)
        (root / "done").touch()
        return root

    def judge(self, baseline, root):
        """Exit code of the diff, and its rows."""
        code, _ = run([self.report, "diff", baseline, root, "--json", root / "diff.json"], [0, 97, 101])
        return code, json.loads((root / "diff.json").read_text())["rows"]

    def record(self, roots, file):
        sources = [argument for root in roots for argument in ("--from", root)]
        file.unlink(missing_ok=True)
        run([self.report, "promote", "--baseline", file, "--reason", "recorded by alarm_proof.py", *sources], [0])

    def prove(self, case, runs):
        baseline = self.folder / case / "baseline.json"
        first = [self.measure(case, f"baseline-{i}") for i in range(BASELINE_RUNS)]
        self.record(first, baseline)
        plain, wasteful, false_alarms, found = [], [], [], 0
        for i in range(runs):
            plain.append(self.measure(case, f"same-{i:02}"))
            wasteful.append(self.measure(case, f"wasteful-{i:02}", PARTI_STRESS_INJECT_MEMORY=WASTE))
            code, rows = self.judge(baseline, plain[-1])
            bad = [f"{row['metric']} {row['change']:+.1%}" for row in rows if row["verdict"] == "FAIL"]
            false_alarms += [bad] if code == 97 else []
            code, rows = self.judge(baseline, wasteful[-1])
            rang = [row["metric"] for row in rows if row["verdict"] == "FAIL" and row["kind"] == "anon-memory"]
            found += 1 if code == 97 and rang else 0
            print(f"{case} {i + 1}/{runs}: same {'FAIL ' + ', '.join(bad) if bad else 'silent'}; wasteful {', '.join(rang) or 'MISSED'}",
                  flush=True)
        self.record(first + plain, self.folder / f"{case}.json")
        self.record(wasteful, self.folder / f"{case}-wasteful.json")
        needed = runs - runs // 20
        kept = not false_alarms and found >= needed
        print(f"{case}: {len(false_alarms)} of {runs} unchanged runs failed (0 allowed), +{WASTE} was found in {found} of {runs} "
              f"(at least {needed}): {'proved' if kept else 'BROKEN'}", flush=True)
        return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report")
    parser.add_argument("tests")
    parser.add_argument("folder")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--case", action="append")
    options = parser.parse_args()
    if options.runs < BASELINE_RUNS:
        parser.error(f"--runs {options.runs} must be at least {BASELINE_RUNS}: a recording holds no fewer")
    cases = options.case or ["10w_100p", "50w_500p"]
    listed = subprocess.run([options.tests, "--gtest_list_tests", "--gtest_filter=TestMemoryBenchmark_IsolatedParti.*"], capture_output=True, text=True)
    known = re.findall(r"^  \S*/(\w+)", listed.stdout, re.MULTILINE)
    for case in cases:
        if case not in known:
            parser.error(f"--case {case} must be one of {', '.join(known)}")
    proof = Proof(options)
    kept = [proof.prove(case, options.runs) for case in cases]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
