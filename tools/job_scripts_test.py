#!/usr/bin/env python3
"""Tests what the workflows run - part.sh, nightly.sh, pull-request.sh, baseline-runs.sh, baseline-pull.sh, summary.sh - with a make that
notes what it is asked for, and a git repository and a GitHub of their own."""
import http.server
import json
import os
import pathlib
import subprocess
import threading
import unittest
import unittest.mock

import temp_folder

TOOLS = pathlib.Path(__file__).parent.resolve()
# Notes its target and surroundings; answers and reports as the file named after the target says.
MAKE = r"""#!/usr/bin/env bash
echo "$1 profile=${PROFILE:-} filter=${STRESS_FILTER:-}" >>"$FAKE/make.log"
results=$FAKE/build/stress-results
mkdir -p "$results"
[[ ! -e $FAKE/$1.md ]] || cp "$FAKE/$1.md" "$results/summary.md"
[[ ! -e $FAKE/$1.log ]] || cp "$FAKE/$1.log" "$FAKE/build/stress.log"
exit "$(cat "$FAKE/$1.code" 2>/dev/null || echo 0)"
"""


class Jobs(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-jobs-test-")
        self.addCleanup(folder.cleanup)
        self.fake = pathlib.Path(folder.name)
        self.build = self.fake / "build"
        self.build.mkdir()
        (self.fake / "make").write_text(MAKE)
        (self.fake / "make").chmod(0o755)

    def script(self, name, *arguments, cwd=None, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("STRESS_", "GITHUB_", "GIT_", "PROFILE", "TYPE", "REASON", "MAKE"))}
        env |= {"FAKE": str(self.fake), "MAKE_COMMAND": str(self.fake / "make"), "HOME": str(self.fake)} | more
        done = subprocess.run([TOOLS / name, *arguments], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def calls(self):
        log = self.fake / "make.log"
        return log.read_text().splitlines() if log.exists() else []

    def target(self, name, code=0, report=None, log=None):
        (self.fake / f"{name}.code").write_text(str(code))
        if report is not None:
            (self.fake / f"{name}.md").write_text(report)
        if log is not None:
            (self.fake / f"{name}.log").write_text(log)

    def test_nightly_runs_everything_even_when_a_part_fails(self):
        self.target("stress", code=2, report="| rss | FAIL |\n")
        self.target("alarms", report="| alarms | ok |\n")
        code, _, _ = self.script("nightly.sh", self.build, PROFILE="nightly")
        self.assertEqual(1, code)
        self.assertEqual(["stress profile=nightly filter=", "alarms profile=nightly filter="], self.calls())
        summary = self.script("summary.sh", self.build)[1]
        self.assertIn("## stress: FAILED (exit code 2)\n\n| rss | FAIL |", summary)
        self.assertIn("## alarms: passed\n\n| alarms | ok |", summary)

    def test_nightly_types(self):
        for kind, calls in (("memory", ["stress profile= filter=^TestMemoryBenchmark"]), ("scale", ["stress profile= filter=^TestScale"]),
                            ("scenario", ["stress profile= filter=^TestScenario"]), ("selftest", ["alarms profile= filter="])):
            with self.subTest(kind=kind):
                (self.fake / "make.log").unlink(missing_ok=True)
                self.assertEqual(0, self.script("nightly.sh", self.build, TYPE=kind)[0])
                self.assertEqual(calls, self.calls())
        (self.fake / "make.log").unlink()
        self.script("nightly.sh", self.build, TYPE="memory", STRESS_FILTER="10w")
        self.assertEqual(["stress profile= filter=10w"], self.calls())
        code, _, err = self.script("nightly.sh", self.build, TYPE="everything")
        self.assertEqual((104, True), (code, "'everything' must be" in err))

    def test_alarms_are_the_selftests_the_leak_alarm_and_the_proof(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "RUNS", "CASES"))}
        command = ["make", "-n", "-f", TOOLS.parent / "Makefile", "alarms"]
        for more, runs in (([], "20"), (["RUNS=3"], "3")):
            said = subprocess.run(command + more, env=env, cwd=TOOLS.parent, capture_output=True, text=True, timeout=60).stdout
            alarm = f"PARTI_STRESS_PROFILE=nightly PARTI_LEAK_ALARMS={runs} "
            places = [said.find(part) for part in ("ctest", alarm, "--gtest_filter='TestExactLeakAlarm.*'", "alarm_proof.py")]
            self.assertEqual((sorted(places), True), (places, min(places) >= 0), said)

    def test_part_without_a_report_says_so(self):
        self.target("stress", code=7)
        code, _, _ = self.script("part.sh", self.build, "one", self.fake / "make", "stress")
        self.assertEqual(7, code)
        self.assertIn("## one: FAILED (exit code 7)\n\nThere is no report", self.script("summary.sh", self.build)[1])

    def test_report_of_the_part_before_is_not_shown_again(self):
        self.target("stress", report="first\n")
        self.script("part.sh", self.build, "one", self.fake / "make", "stress")
        self.script("part.sh", self.build, "two", self.fake / "make", "other")
        self.assertNotIn("first", (self.build / "stress-results/parts/two.md").read_text())

    def test_all_parts_are_shown_whatever_the_times_of_their_files(self):
        self.target("stress", code=98, report="LEAK\n")
        self.target("ab", report="all the same\n")
        self.script("pull-request.sh", self.build)
        files = [path for path in (self.build / "stress-results").rglob("*") if path.is_file()]
        for times in ([7] * len(files), range(len(files)), range(len(files), 0, -1)):
            for path, time in zip(sorted(files), times):
                os.utime(path, (time, time))
            shown = self.script("summary.sh", self.build)[1]
            self.assertIn("## 1-smoke: FAILED (exit code 98)\n\nLEAK\n\n## 2-leak: FAILED (exit code 98)", shown)
            self.assertIn("## 3-ab: passed\n\nall the same\n", shown)

    def test_summary_of_a_later_single_run_wins_over_old_parts(self):
        self.target("stress", report="old\n")
        self.script("part.sh", self.build, "one", self.fake / "make", "stress")
        part = self.build / "stress-results/parts/one.md"
        for name, shown in (("diff.txt", "```\nnew\n```\n"), ("summary.md", "new\n")):
            later = self.build / "stress-results" / name
            later.write_text("new\n")
            for of_part, of_later in ((5, 65), (5, 5), (65, 5)):
                os.utime(part, (of_part, of_part))
                os.utime(later, (of_later, of_later))
                out = self.script("summary.sh", self.build)[1]
                self.assertTrue(out.endswith(shown), out)
                self.assertNotIn("old", out)

    def test_part_that_was_cut_off_is_named_and_its_half_report_is_not_the_summary(self):
        self.target("stress", code=1, report="before\n")
        self.script("part.sh", self.build, "one", self.fake / "make", "stress")
        half = 'echo half >"$0/stress-results/summary.md"; kill -9 $PPID'
        self.assertEqual(-9, self.script("part.sh", self.build, "two", "bash", "-c", half, self.build)[0])
        shown = self.script("summary.sh", self.build)[1]
        self.assertIn("## one: FAILED (exit code 1)\n\nbefore\n\n## two: did not end\n", shown)
        self.assertNotIn("half", shown)

    def test_comment_of_a_job_without_results_says_so(self):
        (self.fake / "tools").mkdir()
        for name, script in (("setup.sh", "exit 0"), ("github.py", 'cat "$2"'), ("summary.sh", f'exec {TOOLS}/summary.sh "$@"')):
            (self.fake / "tools" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.fake / "tools" / name).chmod(0o755)
        self.build.rmdir()  # nothing was downloaded into this checkout
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "MAKE", "MFLAGS"))}
        command = ["make", "-f", TOOLS.parent / "Makefile", "comment"]
        done = subprocess.run(command, env=env, cwd=self.fake, capture_output=True, text=True, timeout=60)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("### Stress suite: no results\n", done.stdout)

    def test_pull_request_runs_the_smoke_profile_and_the_comparison(self):
        self.target("stress", report="| smoke | PASS |\n")
        self.assertEqual(0, self.script("pull-request.sh", self.build)[0])
        self.assertEqual(["stress profile=smoke filter=", "stress profile=standard filter=ExactLeak", "ab profile= filter="], self.calls())
        self.target("stress", code=1)
        self.assertEqual(1, self.script("pull-request.sh", self.build)[0])
        self.assertEqual(6, len(self.calls()), "the comparison runs all the same")

    def test_ab_builds_the_merge_base_and_compares(self):
        work = self.fake / "work"
        self.git("init", "--quiet", "--initial-branch=main", str(work), cwd=self.fake)
        (work / ".gitignore").write_text("/build\n")
        (work / "a").write_text("1\n")
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "base")
        base = self.git("rev-parse", "HEAD").strip()
        report = work / "build/release/test/cmd/stress-report/stress-report"
        report.parent.mkdir(parents=True)
        report.write_text('#!/bin/sh\necho "report $*" >>"$FAKE/make.log"\necho table >"$5"\nexit "$(cat "$FAKE/report.code")"\n')
        report.chmod(0o755)
        (self.fake / "bin").mkdir()
        (self.fake / "bin/cmake").write_text('#!/bin/sh\necho "cmake $(cat build/base-source/a) $*" >>"$FAKE/make.log"\n')
        (self.fake / "bin/cmake").chmod(0o755)
        env = {"PATH": f"{self.fake}/bin:{os.environ['PATH']}"}
        code, out, _ = self.script("ab.sh", "build/release", cwd=work, **env)
        self.assertEqual((0, True, []), (code, "nothing to compare" in out, self.calls()))
        self.git("switch", "--quiet", "--create", "change")
        (work / "a").write_text("2\n")
        self.git("commit", "--quiet", "-am", "change")
        for said, expected in ((0, 0), (101, 0), (97, 97)):
            (self.fake / "report.code").write_text(str(said))
            (self.fake / "make.log").unlink(missing_ok=True)
            code, out, err = self.script("ab.sh", "build/release", cwd=work, **env)
            self.assertEqual((expected, ""), (code, err))
            self.assertIn(base[:7], out)
            configure, build, compare = self.calls()
            self.assertTrue(configure.startswith("cmake 1 -S build/base-source -B build/base "), configure)
            self.assertIn("--target worker-host nats-server-launcher parti_memory_tests", build)
            self.assertEqual(f"report ab build/base {work}/build/release --markdown {work}/build/release/stress-results/summary.md", compare)
        self.assertEqual("table\n", (work / "build/release/stress-results/summary.md").read_text())
        code, _, err = self.script("ab.sh", "build/release", cwd=work, BASE_REF="nowhere", **env)
        self.assertEqual((104, True), (code, "BASE_REF 'nowhere' must be" in err), err)

    def failed(self, *tests):
        lines = "".join(f"\t{number:3} - {name} (Failed)\n" for number, name in enumerate(tests))
        return f"50% tests passed\n\nThe following tests FAILED:\n{lines}Errors while running CTest\n"

    def test_baseline_runs_go_on_after_a_regression_but_not_after_a_failure(self):
        self.target("stress", code=8, log=self.failed("stress_diff"))
        code, out, err = self.script("baseline-runs.sh", self.build)
        self.assertEqual((0, ""), (code, err))
        self.assertEqual(3, len(self.calls()))
        self.assertIn("differ from the present baseline", out)
        self.target("stress", code=8, log=self.failed("TestScale_SmallCluster.Start/3w_100p", "stress_diff"))
        code, _, err = self.script("baseline-runs.sh", self.build)
        self.assertEqual(1, code)
        self.assertIn("TestScale_SmallCluster.Start/3w_100p", err)
        self.assertEqual(4, len(self.calls()), "it stops at once")

    def git(self, *arguments, cwd=None):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        # Inside a hook or `git rebase --exec` GIT_DIR names the user's own repository, whatever the folder.
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        command, folder = ["git", *identity, *arguments], cwd or self.fake / "work"
        return subprocess.run(command, env=env, cwd=folder, check=True, capture_output=True, text=True).stdout

    def test_the_repository_of_the_surroundings_is_left_alone(self):
        other = self.fake / "other.git"
        with unittest.mock.patch.dict("os.environ", {"GIT_DIR": str(other)}):
            self.git("init", "--quiet", str(self.fake / "work"), cwd=self.fake)
            self.assertEqual(".git\n", self.git("rev-parse", "--git-dir"))
        self.assertFalse(other.exists())

    def test_baseline_pull_pushes_a_branch_and_opens_a_pull_request(self):
        opened, answers = [], [201, 403, 201]

        class GitHub(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                opened.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                answer = b'{"html_url": "https://example.org/pull/1"}'
                self.send_response(answers.pop(0))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        work, baselines = self.fake / "work", self.fake / "work/test/stress/baselines"
        self.git("init", "--quiet", "--bare", str(self.fake / "someone/parti.git"), cwd=self.fake)
        self.git("init", "--quiet", "--initial-branch=main", str(work), cwd=self.fake)
        baselines.mkdir(parents=True)
        (baselines / "a.json").write_text("1\n")
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "one")
        env = {"REASON": "a cache that is worth it", "GITHUB_TOKEN": "secret", "GITHUB_REPOSITORY": "someone/parti", "GITHUB_RUN_ID": "17",
               "GITHUB_REF_NAME": "main", "GITHUB_SERVER_URL": f"file://{self.fake}", "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}"}
        code, _, err = self.script("baseline-pull.sh", cwd=work, **env)
        self.assertEqual((1, True), (code, "nothing to review" in err), err)
        (baselines / "a.json").write_text("2\n")
        (work / "other.txt").write_text("stays out\n")
        code, out, err = self.script("baseline-pull.sh", cwd=work, **env)
        self.assertEqual((0, "pull: opened https://example.org/pull/1\n"), (code, out), err)
        remote = ["--git-dir", str(self.fake / "someone/parti.git")]
        pushed = self.git(*remote, "show", "--stat", "--format=%s%n%b", "baseline-17-1", cwd=self.fake)
        self.assertIn("New stress baseline\na cache that is worth it", pushed)
        self.assertIn("a.json", pushed)
        self.assertNotIn("other.txt", pushed)
        self.assertEqual("/repos/someone/parti/pulls", opened[0][0])
        self.assertEqual(("baseline-17-1", "main"), (opened[0][1]["head"], opened[0][1]["base"]))
        self.assertIn("a cache that is worth it", opened[0][1]["body"])
        self.assertNotIn("secret", self.git("config", "--list"))
        for attempt, expected in (("2", 1), ("3", 0)):  # refused, and run again after that
            self.git("switch", "--quiet", "main")
            (baselines / "a.json").write_text("3\n")
            code, out, err = self.script("baseline-pull.sh", cwd=work, **(env | {"GITHUB_RUN_ATTEMPT": attempt}))
            self.assertEqual(expected, code, err)
            self.assertEqual(code == 1, f"file://{self.fake}/someone/parti/compare/main...baseline-17-2?expand=1" in out, out)
            self.assertEqual(f"baseline-17-{attempt}", opened[-1][1]["head"])
            self.git(*remote, "rev-parse", f"baseline-17-{attempt}", cwd=self.fake)
        code, _, err = self.script("baseline-pull.sh", cwd=work, **(env | {"REASON": ""}))
        self.assertEqual((104, True), (code, "REASON must be set" in err))


if __name__ == "__main__":
    unittest.main()
