#!/usr/bin/env python3
"""The alarm, from end to end: a worker-host that wastes 15 % of its memory must make the diff exit 97, and the same launches compared with
themselves must not; and of two alarms the one that fresh launches confirm stays, while the other is cleared. Usage: alarm_test.py STRESS_REPORT MEMORY_TESTS WORK_FOLDER

Needs no committed baseline: it makes its own from one run, a moment before. In a build whose memory is not measured it only says so.
"""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from temp_folder import TempFolder

CASE = "TestMemoryBenchmark_IsolatedParti.Launches/10w_100p"


def call(arguments, expected, **environment):
    done = subprocess.run(arguments, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    if done.returncode != expected:
        sys.exit(f"alarm_test: {' '.join(arguments)}\nexited with {done.returncode}; {expected} was expected")


def measure(report, tests, root, **environment):
    call([report, "begin", root], 0)
    call([tests, f"--gtest_filter=*{CASE.split('.')[1]}"], 0, PARTI_STRESS_RUN_DIR=root, PARTI_STRESS_LAUNCHES="5", **environment)


def forget_injection(root):
    for file in pathlib.Path(root).glob("*/Test*.json"):
        result = json.loads(file.read_text())
        del result["protocol"]["environment"]["PARTI_STRESS_INJECT_MEMORY"]
        file.write_text(json.dumps(result))


def aborts(report, tests, root):
    """A criterion that every launch breaks, with abort_on_fail: the first test ends at its first launch, the second does not start."""
    os.makedirs(os.path.join(root, "no-baseline"))
    limits = os.path.join(root, "limits.json")
    pathlib.Path(limits).write_text(json.dumps({
        "schema": "parti-stress-criteria/1", "metrics": {"rss_anon": "kB"}, "bands": [],
        "criteria": [{"tests": "*", "expression": "rss_anon<1kB", "why": "a test", "abort_on_fail": True, "grace": "0s"}]}))
    call([report, "begin", root, "--criteria", limits, "--program", tests], 0)
    for case, expected in (("1w_100p", 1), ("5w_100p", 0)):
        call([tests, f"--gtest_filter=TestMemoryBenchmark_IsolatedParti.*/{case}"], expected, PARTI_STRESS_RUN_DIR=root, PARTI_STRESS_LAUNCHES="5")
    results = {file.name: json.loads(file.read_text()) for file in pathlib.Path(root).glob("*/Test*.json")}
    if len(results) != 1:
        sys.exit(f"alarm_test: {sorted(results)}: only the first test should have begun")
    launches = [len(metric["launches"]) for key, metric in next(iter(results.values()))["metrics"].items() if key.endswith("/rss_anon")]
    if launches != [1]:
        sys.exit(f"alarm_test: {launches} launches were made before the test was aborted; 1 was expected")
    call([report, "diff", os.path.join(root, "no-baseline"), root], 99)


def main(report, tests, work):
    os.makedirs(work, exist_ok=True)
    with TempFolder(prefix="alarm-", dir=work, ignore_cleanup_errors=True) as folder:
        plain, wasteful, baseline = (os.path.join(folder, name) for name in ("plain", "wasteful", "baseline.json"))
        measure(report, tests, plain)
        call([report, "promote", "--from", plain, "--baseline", baseline, "--allow-single", "--reason", "the alarm's own baseline"], 0)
        call([report, "diff", baseline, plain], 0)
        measure(report, tests, wasteful, PARTI_STRESS_INJECT_MEMORY="15%")
        call([report, "diff", baseline, wasteful], 97)
        # The launches that confirm waste as much when the results say so, and do not when that setting is taken out of them.
        call([report, "diff", baseline, wasteful, "--confirm"], 97)
        forget_injection(wasteful)
        call([report, "diff", baseline, wasteful], 97)
        call([report, "diff", baseline, wasteful, "--confirm"], 0)
        aborts(report, tests, os.path.join(folder, "aborted"))
        print("alarm_test: 15 % of wasted memory made the diff exit 97, and again when it was confirmed; an alarm that fresh launches do not "
              "confirm is cleared; the same launches compared with themselves pass")


if __name__ == "__main__":
    main(*sys.argv[1:4])
