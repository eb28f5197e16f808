#!/usr/bin/env python3
"""Tests tools/bench.sh with made-up programs: what is compared with what, what is kept, and the exit code."""
import os
import pathlib
import subprocess
import unittest

import temp_folder

TOOL = pathlib.Path(__file__).parent.resolve() / "bench.sh"
# Writes what BENCH_VALUE says to the file of --benchmark_out.
BENCHMARK = """#!/bin/sh
for option in "$@"; do
    case $option in --benchmark_out=*) echo "$BENCH_VALUE" >"${option#--benchmark_out=}" ;; esac
done
echo "options: $*"
"""
# Says what it compares, and exits as DIFF_CODE says.
REPORT = """#!/bin/sh
echo "$1 $(cat "$2") $(cat "$3")"
exit ${DIFF_CODE:-0}
"""


class Bench(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-bench-test-")
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        for name, text in (("test/benchmark/parti_benchmark", BENCHMARK), ("test/cmd/stress-report/stress-report", REPORT)):
            program = self.build / name
            program.parent.mkdir(parents=True)
            program.write_text(text)
            program.chmod(0o755)

    def bench(self, value, *options, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("BENCH_")} | {"BENCH_VALUE": value} | more
        run = subprocess.run([TOOL, self.build, *options], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout, run.stderr

    def kept(self, name):
        return (self.build / "bench" / name).read_text().strip()

    def test_each_run_is_compared_with_the_one_before(self):
        code, out, _ = self.bench("one", "--benchmark_filter=x")
        self.assertEqual(0, code)
        self.assertIn("the first run", out)
        self.assertIn("--benchmark_filter=x", out)
        self.assertIn("--benchmark_repetitions=5", out)
        code, out, _ = self.bench("two")
        self.assertEqual(0, code)
        self.assertIn("diff one two", out)
        self.assertEqual(("two", "one"), (self.kept("current.json"), self.kept("previous.json")))

    def test_a_base_that_is_not_there_is_named_before_anything_runs(self):
        code, out, err = self.bench("one", BENCH_BASE="/no/such.json")
        self.assertEqual((104, ""), (code, out))
        self.assertIn("BENCH_BASE '/no/such.json' must be", err)

    def test_a_regression_fails_and_is_not_compared_with_later(self):
        self.bench("one")
        code, _, err = self.bench("worse", DIFF_CODE="97")
        self.assertEqual(97, code)
        self.assertIn("FAILED (exit code 97)", err)
        self.assertIn("diff one three", self.bench("three")[1])

    def test_not_comparable_is_said_and_passes(self):
        self.bench("one")
        code, out, _ = self.bench("two", DIFF_CODE="101")
        self.assertEqual(0, code)
        self.assertIn("not comparable", out)

    def test_another_file_to_compare_with(self):
        self.bench("one")
        other = self.build / "other.json"
        other.write_text("other\n")
        self.assertIn("diff other two", self.bench("two", BENCH_BASE=str(other))[1])

    def test_a_benchmark_that_fails_fails(self):
        (self.build / "test/benchmark/parti_benchmark").write_text("#!/bin/sh\nexit 3\n")
        self.assertNotEqual(0, self.bench("one")[0])
        self.assertFalse((self.build / "bench/current.json").exists())


if __name__ == "__main__":
    unittest.main()
