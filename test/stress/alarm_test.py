#!/usr/bin/env python3
"""The alarm, from end to end: a worker-host that wastes 15 % of its memory must make the diff exit 97, and the same launches compared with
themselves must not. Usage: alarm_test.py STRESS_REPORT MEMORY_TESTS WORK_FOLDER

Needs no committed baseline: it makes its own from one run, a moment before. In a build whose memory is not measured it only says so.
"""
import os
import shutil
import subprocess
import sys
import tempfile

CASE = "TestMemoryBenchmark_IsolatedParti.Launches/10w_100p"


def call(arguments, expected, **environment):
    done = subprocess.run(arguments, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    if done.returncode != expected:
        sys.exit(f"alarm_test: {' '.join(arguments)}\nexited with {done.returncode}; {expected} was expected")


def measure(report, tests, root, **environment):
    call([report, "begin", root], 0)
    call([tests, f"--gtest_filter=*{CASE.split('.')[1]}"], 0, PARTI_STRESS_RUN_DIR=root, PARTI_STRESS_LAUNCHES="5", **environment)


def main(report, tests, work):
    os.makedirs(work, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="alarm-", dir=work)
    try:
        plain, wasteful, baseline = (os.path.join(folder, name) for name in ("plain", "wasteful", "baseline.json"))
        measure(report, tests, plain)
        call([report, "promote", "--from", plain, "--baseline", baseline, "--allow-single", "--reason", "the alarm's own baseline"], 0)
        call([report, "diff", baseline, plain], 0)
        measure(report, tests, wasteful, PARTI_STRESS_INJECT_MEMORY="15%")
        call([report, "diff", baseline, wasteful], 97)
        print("alarm_test: 15 % of wasted memory made the diff exit 97; the same launches compared with themselves pass")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
