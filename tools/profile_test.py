#!/usr/bin/env python3
"""Tests tools/profile.sh with a build folder, a test, a worker and profilers that only note what they are asked for."""
import json
import os
import pathlib
import subprocess
import unittest

import temp_folder

TOOLS = pathlib.Path(__file__).parent.resolve()
# Starts "workers" as a test of the suite does, once with 1 worker and once with 10.
TEST = r"""#!/usr/bin/env bash
echo "$1 launches=$PARTI_STRESS_LAUNCHES" >>"$FAKE/test.log"
[[ -s $PARTI_STRESS_RUN_DIR/current && $PARTI_STRESS_RUN_DIR != *"/stress-results" ]] || exit 9
[[ ! -e $FAKE/starts-nothing ]] || exit 3
"$PARTI_STRESS_WORKER" --workers 1 --label a && "$PARTI_STRESS_WORKER" --workers 10 --label b
"""
PERF = r"""#!/usr/bin/env bash
case $1 in
    --version) echo "perf version fake" ;;
    record)
        while (($# > 1)); do [[ $1 == -o ]] && out=$2; [[ $1 == -p ]] && pid=$2; shift; done
        [[ ! -e $FAKE/perf-refuses ]] && kill -0 "$pid" && echo samples >"$out" || echo "no permission" >&2 ;;  # refused: the worker may have ended
    report) echo "# head"; echo "    50.00%  hot_function" ;;
esac
"""
WORKER = "#!/bin/sh\necho \"$$ $*\" >>\"$FAKE/worker.log\"\nwhile [ ! -s \"$(ls \"$FAKE\"/build/stress-results/*/profiles/*/cpu-$$.data 2>/dev/null)\" ] && [ ! -e \"$FAKE/perf-refuses\" ]; do :; done\n"


class Profile(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-profile-test-")
        self.addCleanup(folder.cleanup)
        self.fake = pathlib.Path(folder.name)
        self.build = self.fake / "build"
        self.write("bin/perf", PERF)
        self.write("build/run-test", TEST)
        self.write("build/test/cmd/worker-host/worker-host", WORKER)
        self.write("build/test/cmd/stress-report/stress-report", 
                   "#!/bin/sh\necho \"$1 $2\" >>\"$FAKE/report.log\"\n[ \"$1\" = report ] || { mkdir -p \"$2\"; echo r1 >\"$2/current\"; }\n")
        self.write("build/stress-results/current", "run7\n")
        lines = "".join(f'add_test("{name}" "{self.build}/run-test" "--gtest_filter={name}")\nset_tests_properties("{name}" PROPERTIES LABELS {label})\n'
                        for name, label in (("Memory.Launches/10w", "stress"), ("Memory.Launches/50w", "stress"), ("Unit.Launches/1w", "unit")))
        self.write("build/CTestTestfile.cmake", lines)

    def write(self, name, text):
        path = self.fake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run_tool(self, path=None, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PARTI_", "TEST", "KIND"))}
        env |= {"FAKE": str(self.fake), "PATH": path or f"{self.fake}/bin:{os.environ['PATH']}"} | more
        done = subprocess.run([TOOLS / "profile.sh", self.build], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_one_rerun_with_the_profiler_on_each_worker(self):
        code, out, err = self.run_tool(TEST="10w")
        self.assertEqual(0, code, err)
        self.assertEqual("--gtest_filter=Memory.Launches/10w launches=1\n", (self.fake / "test.log").read_text())
        folder = self.build / "stress-results/run7/profiles/Memory.Launches.10w.cpu"
        profile = json.loads((folder / "profile.json").read_text())
        self.assertEqual(("parti-profile/1", "Memory.Launches/10w", "cpu", "perf version fake", 0),
                         tuple(profile[k] for k in ("schema", "test", "kind", "tool", "exit_code")))
        self.assertEqual(["--workers 1 --label a", "--workers 10 --label b"], sorted(p["arguments"] for p in profile["processes"]))
        pids = {line.split()[0] for line in (self.fake / "worker.log").read_text().splitlines()}
        self.assertEqual({f"cpu-{pid}.data" for pid in pids}, {p["data"] for p in profile["processes"]}, "the worker keeps the pid it was started with")
        for process in profile["processes"]:
            self.assertTrue((folder / process["data"]).exists() and (folder / process["text"]).exists())
        self.assertIn("50.00%  hot_function", out)
        self.assertEqual(f"report {self.build}/stress-results", (self.fake / "report.log").read_text().splitlines()[-1], "written again, with links")

    def test_wrong_use(self):
        for more, says in (({}, "which test?"), ({"TEST": "10w", "KIND": "disk"}, "'disk' must be cpu or heap"), ({"TEST": "none"}, "no stress test has 'none'"),
                           ({"TEST": "1w"}, "no stress test has '1w'"), ({"TEST": "Launches"}, "in more than one name: Memory.Launches/10w Memory.Launches/50w")):
            with self.subTest(more=more):
                code, _, err = self.run_tool(**more)
                self.assertEqual((104, True), (code, says in err), err)

    def test_missing_tool_is_named_with_the_line_that_installs_it(self):
        bare = self.fake / "bare"
        bare.mkdir()
        for name in ("bash", "realpath", "env"):
            (bare / name).symlink_to(pathlib.Path("/usr/bin") / name)
        for kind, package in (("cpu", "linux-perf"), ("heap", "heaptrack")):
            code, _, err = self.run_tool(path=str(bare), TEST="10w", KIND=kind)
            self.assertEqual((100, True), (code, f"apt-get install {package}" in err), err)

    def test_profiler_that_records_nothing_is_an_error(self):
        (self.fake / "perf-refuses").touch()
        code, _, err = self.run_tool(TEST="10w")
        self.assertEqual(100, code)
        self.assertIn("perf recorded nothing: no permission", err)

    def test_test_that_starts_no_worker_is_an_error(self):
        (self.fake / "starts-nothing").touch()
        code, _, err = self.run_tool(TEST="10w")
        self.assertEqual(100, code)
        self.assertIn("no worker process (its exit code: 3)", err)


if __name__ == "__main__":
    unittest.main()
