#!/usr/bin/env python3
"""Tests tools/stress.sh and tools/summary.sh on a build folder with made-up tests: which exit code, and what is shown."""
import os
import pathlib
import subprocess
import unittest

import temp_folder

TOOLS = pathlib.Path(__file__).parent.resolve()


class Stress(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-stress-test-")
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        (self.build / "stress-results").mkdir()

    def suite(self, measure="echo measured", diff='echo "metric PASS" >stress-results/diff.txt', diff_label="stress"):
        for name, script in (("measure.sh", measure), ("diff.sh", diff)):
            (self.build / name).write_text(f"cd '{self.build}'\n{script}\n")
        tests = [f'add_test(TestScale "/bin/sh" "{self.build}/measure.sh")\n'
                 "set_tests_properties(TestScale PROPERTIES LABELS stress TIMEOUT 20)\n"]
        if diff is not None:
            tests.append(f'add_test(stress_diff "/bin/sh" "{self.build}/diff.sh")\n'
                         f"set_tests_properties(stress_diff PROPERTIES LABELS {diff_label} TIMEOUT 20 SKIP_RETURN_CODE 101)\n")
        (self.build / "CTestTestfile.cmake").write_text("".join(tests))

    def tool(self, name, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("STRESS_", "GITHUB_", "CTEST_"))} | more
        run = subprocess.run([TOOLS / name, self.build], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout, run.stderr

    def test_pass_shows_output_and_table(self):
        self.suite()
        code, out, err = self.tool("stress.sh")
        self.assertEqual((0, ""), (code, err))
        self.assertIn("measured", out)
        self.assertIn("metric PASS\nstress_diff: no regression\n", out)
        self.assertNotIn("Test command", out)

    def test_regression_fails_and_shows_the_table(self):
        self.suite(diff='echo "metric FAIL +15 %" >stress-results/diff.txt; exit 97')
        code, out, err = self.tool("stress.sh")
        self.assertNotEqual(0, code)
        self.assertIn("metric FAIL +15 %", out)
        self.assertIn("stress_diff: ***Failed", err)

    def test_failed_test_fails_although_the_diff_passed(self):
        self.suite(measure="exit 1")
        code, out, err = self.tool("stress.sh")
        self.assertNotEqual(0, code)
        self.assertIn("stress: FAILED", err)
        self.assertIn("TestScale", out)

    def test_not_comparable_is_said_and_passes(self):
        self.suite(diff='echo "not comparable, because cpu" | tee stress-results/diff.txt; exit 101')
        code, out, _ = self.tool("stress.sh")
        self.assertEqual(0, code)
        self.assertIn("not comparable, because cpu\nstress_diff: not comparable with the baseline", out)

    def test_missing_diff_fails(self):
        self.suite(diff=None)
        code, _, err = self.tool("stress.sh")
        self.assertEqual(1, code)
        self.assertIn("stress_diff: did not run", err)

    def test_a_wrong_dashboard_or_filter_is_named_before_anything_runs(self):
        self.suite()
        for value, rule in (("STRESS_DASHBOARD", "DASHBOARD 'x' must be a port"), ("STRESS_FILTER", "STRESS_FILTER 'x' matches no test of profile standard")):
            code, out, err = self.tool("stress.sh", **{value: "x"})
            self.assertEqual(104, code, value)
            self.assertIn(rule, err)
            self.assertNotIn("measured", out)
        for port in ("70000", "-1", "99999999999"):
            self.assertEqual(104, self.tool("stress.sh", STRESS_DASHBOARD=port)[0], port)

    def test_no_stress_test_fails(self):
        (self.build / "CTestTestfile.cmake").write_text("")
        self.assertNotEqual(0, self.tool("stress.sh")[0])

    def test_table_of_an_earlier_run_is_not_shown(self):
        (self.build / "stress-results/diff.txt").write_text("metric of yesterday\n")
        self.suite(diff="exit 1")
        code, out, _ = self.tool("stress.sh")
        self.assertNotEqual(0, code)
        self.assertNotIn("yesterday", out)

    def test_profile_says_which_labels_run(self):
        self.suite()
        with open(self.build / "CTestTestfile.cmake", "a") as file:
            file.write('add_test(Ladder "/bin/echo" "climbed")\nset_tests_properties(Ladder PROPERTIES LABELS ladder TIMEOUT 20)\n')
        out = self.tool("stress.sh")[1]
        self.assertIn("profile standard: ctest", out)
        self.assertNotIn("climbed", out)
        (self.build / "CMakeCache.txt").write_text("PARTI_STRESS_PROFILE:STRING=nightly\n")
        out = self.tool("stress.sh")[1]
        self.assertIn("profile nightly: ctest", out)
        self.assertIn("climbed", out)
        self.assertIn("measured", out)
        self.assertIn("profile nightly took 0 min", out)

    def test_a_budget_that_was_exceeded_is_named(self):
        self.suite(measure="echo 'TestScale_A took 9.1 s; budget in profile standard: 9 s (exceeded)'; echo 'TestScale_B took 1 s'")
        out = self.tool("stress.sh")[1]
        self.assertIn("\n  TestScale_A took 9.1 s; budget in profile standard: 9 s (exceeded)\n", out)
        self.assertNotIn("\n  TestScale_B", out)

    def fake_report(self, add=0):
        """A stress-report that notes what it is asked for, after an earlier run."""
        (self.build / "stress-results/current").write_text("earlier\n")
        for name in ("report.html", "summary.md"):
            (self.build / "stress-results" / name).write_text("PASS, yesterday")
        program = self.build / "test/cmd/stress-report/stress-report"
        program.parent.mkdir(parents=True)
        program.write_text(f"""#!/bin/sh
echo "$@" >>'{self.build}/asked'
case "$1 $2" in
    "history add") echo "add: said"; exit {add} ;;
    "history check") echo "metric: worse: +7.0 %"; exit 9 ;;
esac
""")
        program.chmod(0o755)

    def asked(self):
        return (self.build / "asked").read_text().replace(str(self.build), "BUILD").splitlines()

    def test_without_a_run_there_is_no_report_and_none_of_an_earlier_one(self):
        self.suite(measure="exit 1", diff=None)  # as after a preflight that failed
        self.fake_report()
        code, out, err = self.tool("stress.sh")
        self.assertNotEqual(0, code)
        self.assertIn("stress: no run began", err)
        self.assertFalse((self.build / "asked").exists())
        self.assertEqual(["current"], sorted(p.name for p in (self.build / "stress-results").iterdir() if p.name != "planned.txt"))
        self.assertNotIn("== report", out)

    def test_the_run_is_added_to_the_history_which_is_shown_and_judges_nothing(self):
        self.suite(measure="echo new >stress-results/current")
        self.fake_report()
        code, out, err = self.tool("stress.sh")
        self.assertEqual((0, ""), (code, err))
        file = "BUILD/stress-results/history.ndjson"
        self.assertEqual([f"history add BUILD/stress-results --file {file}", f"history check --file {file}"], self.asked()[:2])
        self.assertIn(f"report BUILD/stress-results --history {file} ", self.asked()[2])
        self.assertIn("metric: worse: +7.0 %\n", out)
        self.assertLess(out.index("metric: worse"), out.index("== report"))

    def test_another_history_and_a_run_that_cannot_be_added(self):
        self.suite(measure="echo new >stress-results/current")
        self.fake_report(add=100)
        code, out, _ = self.tool("stress.sh", STRESS_HISTORY="/of/all/nights.ndjson")
        self.assertEqual(0, code)
        self.assertEqual("history add BUILD/stress-results --file /of/all/nights.ndjson", self.asked()[0])
        self.assertIn("add: said\nhistory: this run is not part of it\n", out)
        self.assertIn("--history /of/all/nights.ndjson", self.asked()[1])
        self.assertEqual(2, len(self.asked()), "a history without the run is not checked")

    def test_filter(self):
        self.suite()
        code, out, _ = self.tool("stress.sh", STRESS_FILTER="^stress_")
        self.assertEqual(0, code)
        self.assertNotIn("measured", out)

    def test_summary_prefers_markdown_and_writes_the_job_summary(self):
        self.assertIn("no results", self.tool("summary.sh")[1])
        (self.build / "stress-results/diff.txt").write_text("metric PASS\n")
        self.assertIn("```\nmetric PASS\n```\n", self.tool("summary.sh")[1])
        (self.build / "stress-results/summary.md").write_text("| metric | PASS |\n")
        job = self.build / "job.md"
        job.write_text("before\n")
        self.assertEqual((0, "| metric | PASS |\n", ""), self.tool("summary.sh", GITHUB_STEP_SUMMARY=str(job)))
        self.assertEqual("before\n| metric | PASS |\n", job.read_text())


if __name__ == "__main__":
    unittest.main()
