#!/usr/bin/env python3
"""Tests tools/check.py: a clean tree has no violation, and each rule reports the one violation that is put into it."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import unittest

import check
import temp_folder

# Inside a hook or `git rebase --exec` GIT_DIR names the user's own repository, whatever the folder.
for inherited in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[inherited]

UNFINISHED = "TO" + "DO"
CLEAN = {
    "lib/base/rng.h": "// Rng: seeded.\n#pragma once\n#include <cstdint>\n",
    "lib/core/io.h": '// The boundary. Says Clock::now() only here.\n#pragma once\n#include <parti/types.h>\n#include "base/rng.h"\n',
    "lib/core/lease.cpp": '#include "core/io.h"\n/* std::random_device\n   ::now() */\nconst char* text = "getenv(";\n',
    "lib/wire/codec.cpp": '#include <nlohmann/json.hpp>\n#include "base/rng.h"\n',
    "lib/runtime/worker.cpp": '#include <boost/asio/io_context.hpp>\n#include <thread>\n#include "core/io.h"\nauto t = Clock::now();\n',
    "lib/include/parti/types.h": "// Nouns.\n#pragma once\n#include <string>\n#include <tl/expected.hpp>\n#include <parti/result.h>\n",
    "lib/include/parti/result.h": "// Result.\n#pragma once\n#include <system_error>\n",
    "test/unit/rng_test.cpp": "// the clock of the kernel, so that steal shows\nsleep_for(1ms);\nusleep(5);  // as long as the probe itself\n"
                              "const int asleep = 1;\n",
    "test/unit/CMakeLists.txt": "add_executable(unit_tests rng_test.cpp)\n",
    ".github/workflows/ci.yml": "jobs:\n  test:\n    steps:\n      - run: make test\n      - run: " + check.RUN_BOOTSTRAP + "\n",
    "examples/quickstart.cpp": "int main() {}\n",
    "README.md": "# x\n```cpp\nint main() {}\n```\n",
    "tools/run.sh": "#!/usr/bin/env bash\ntrue\n",
}
# rule -> files that replace or add to the clean tree, and what the one line of the report must hold
VIOLATIONS = [
    ("contract", {"lib/base/rng.h": "#pragma once\n"}, "lib/base/rng.h:1:"),
    ("arrow", {"lib/core/lease.cpp": '#include "wire/codec.h"\n'}, "lib/core/lease.cpp:1:"),
    ("arrow", {"lib/wire/codec.cpp": '\n#include "core/io.h"\n'}, "lib/wire/codec.cpp:2:"),
    ("arrow", {"lib/jetstream/client.cpp": '#include "core/io.h"\n'}, "lib/jetstream/client.cpp:1:"),
    ("arrow", {"lib/base/rng.cpp": '#include "assign/sticky.h"\n'}, "lib/base/rng.cpp:1:"),
    ("arrow", {"lib/runtime/worker.cpp": '#include "testutil/fleet.h"\n'}, "testutil/fleet.h"),
    ("arrow", {"lib/runtime/worker.cpp": "#include <core/io.h>\n"}, "quotes"),
    ("arrow", {"lib/consume/pull.cpp": '#include "assign/options.h"\n'}, "lib/consume"),
    ("pure", {"lib/core/lease.cpp": "#include <mutex>\n"}, "<mutex>"),
    ("pure", {"lib/assign/sticky.cpp": "#include <random>\n"}, "<random>"),
    ("pure", {"lib/wire/codec.cpp": "#include <boost/json.hpp>\n"}, "<boost/json.hpp>"),
    ("pure", {"lib/base/rng.cpp": "#  include <nats/nats.h>\n"}, "<nats/nats.h>"),
    ("pure", {"lib/core/lease.cpp": "#include <nlohmann/json.hpp>\n"}, "links nothing"),
    ("pure", {"lib/core/lease.cpp": "auto t = std::chrono::steady_clock::now();\n"}, "lib/core/lease.cpp:1:"),
    ("pure", {"lib/base/rng.cpp": 'auto x = std::getenv("X");\n'}, "getenv"),
    ("pure", {"lib/base/rng.cpp": "std::random_device d;\n"}, "random_device"),
    ("public", {"lib/include/parti/result.h": "// Result.\n#pragma once\n#include <boost/asio.hpp>\n"}, "result.h:3:"),
    ("public", {"lib/include/parti/result.h": "// Result.\n#pragma once\n#include <nats/nats.h>\n"}, "nats/nats.h"),
    ("public", {"lib/include/parti/result.h": '// Result.\n#pragma once\n#include "base/rng.h"\n'}, "base/rng.h"),
    ("reason", {"test/unit/rng_test.cpp": "\nstd::this_thread::sleep_for(1ms);\n"}, "rng_test.cpp:2:"),
    ("reason", {"test/unit/rng_test.cpp": "usleep(5);\n"}, "usleep"),
    ("reason", {"test/unit/rng_test.cpp": "TEST(Rng, DISABLED_Works) {}\n"}, "DISABLED_Works"),
    ("reason", {"test/unit/rng_test.cpp": 'GTEST_SKIP() << "no server";\n'}, "GTEST_SKIP"),
    ("registered", {"test/unit/CMakeLists.txt": "add_executable(unit_tests more_rng_test.cpp rng_test.cpp.in)\n"}, "rng_test.cpp:1:"),
    ("unfinished", {"lib/base/rng.cpp": f"int x;  // {UNFINISHED}: more\n"}, "rng.cpp:1:"),
    ("unfinished", {"docs/PLAN.md": "one\n" + "FIX" + "ME\n"}, "PLAN.md:2:"),
    ("shell", {"tools/run.sh": "#!/usr/bin/env bash\nif true; then\n"}, "tools/run.sh:1:"),
    ("shell", {".ci/run": "#!/usr/bin/env bash\ncase x in\n"}, ".ci/run:1:"),
    ("run", {".github/workflows/ci.yml": "    - run: cmake -B build\n"}, "ci.yml:1:"),
    ("run", {".github/workflows/ci.yml": "    - name: x\n      run: make test && echo ok\n"}, "ci.yml:2:"),
    ("run", {".github/workflows/ci.yml": "    - run: |\n        make test\n"}, "ci.yml:1:"),
    ("run", {".github/workflows/ci.yml": "    - run: make test ${{ inputs.more }}\n"}, "ci.yml:1:"),
    ("example", {"README.md": "# x\n```cpp\nint main() { }\n```\n"}, "README.md:1:"),
]


class Check(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-check-test-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def run_check(self, files):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        checker = check.Checker(self.root)
        checker.check()
        return checker

    def test_clean_tree(self):
        checker = self.run_check(CLEAN)
        self.assertEqual(([], []), (checker.problems, checker.warnings))
        self.assertEqual(len(CLEAN), len(checker.files))

    def test_each_violation_is_reported_once(self):
        for rule, files, where in VIOLATIONS:
            with self.subTest(rule=rule, files=files):
                with temp_folder.TempFolder(prefix="parti-check-test-") as folder:
                    self.root = pathlib.Path(folder)
                    problems = self.run_check(CLEAN | files).problems
                    self.assertEqual(1, len(problems), problems)
                    self.assertIn(f"[{rule}]", problems[0])
                    self.assertIn(where, problems[0])

    def test_script_without_execute_permission(self):
        self.run_check(CLEAN)
        (self.root / "tools/run.sh").chmod(0o644)
        checker = check.Checker(self.root)
        checker.check()
        self.assertEqual(1, len(checker.problems))
        self.assertIn("[executable]", checker.problems[0])

    def test_long_file_is_a_warning_only(self):
        checker = self.run_check(CLEAN | {"lib/base/long.cpp": "int x;\n" * 501})
        self.assertEqual(([], 1), (checker.problems, len(checker.warnings)))
        self.assertIn("lib/base/long.cpp: 501 lines", checker.warnings[0])

    def test_long_lines_are_problems(self):
        wide, fits = "// " + "x" * 128 + "\n", "// " + "\u00b1" * 127 + "\n"  # columns are characters, not bytes
        checker = self.run_check(CLEAN | {"lib/base/a.cpp": wide + fits, "lib/base/b.h": wide * 2, "docs/LONG.md": wide})
        self.assertEqual(3, len(checker.problems), checker.problems)
        self.assertIn("lib/base/a.cpp:1: [columns] 131 columns; at most 130", checker.problems[0])

    def test_ignored_files_are_not_checked(self):
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        checker = self.run_check(CLEAN | {".gitignore": "/out/\n", "out/x.sh": "if\n", "build/y.sh": "if\n"})
        self.assertEqual(1, len(checker.problems))
        self.assertIn("build/y.sh", checker.problems[0])

    def test_exit_codes(self):
        self.run_check(CLEAN)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(0, check.main([str(self.root)]))
            (self.root / "examples/quickstart.cpp").write_text("int main() { return 1; }\n")
            self.assertEqual(1, check.main([str(self.root)]))
            self.assertEqual(1, check.main([str(self.root / "lib/core/none")]))
            self.assertEqual(2, check.main(["a", "b"]))
            self.assertEqual(2, check.main(["--ctest"]))
            self.assertEqual(2, check.main(["--promises"]))
            self.assertEqual(2, check.main(["--budgets"]))

    def test_promises_have_tests_that_exist(self):
        def problems(tests):
            document = "## Promises\n| P-1 | one |\n| P-2 | two |\n\n## Tests of the promises\n| promise | tests |\n" + tests
            return check.check_promises(document, ["seeds", "Suite.One"])
        self.assertEqual(([], 2), problems("| P-1 | `seeds` |\n| P-2 | `Suite.*`, `seeds` |\n\n## Open\n| P-9 | `none` |\n"))
        for tests, what in (("| P-1 | `seeds` |\n", "P-2 has no test"),
                            ("| P-1 | `seeds` |\n| P-2 | by looking |\n", "P-2 has no test"),
                            ("| P-1 | `seeds` |\n| P-2 | `Suite.Two` |\n", "Suite.Two, which is not registered"),
                            ("| P-1 | `seeds` |\n| P-2 | `seeds` |\n| P-3 | `seeds` |\n", "P-3 has tests and is not promised")):
            with self.subTest(what=what):
                found, _ = problems(tests)
                self.assertEqual(1, len(found), found)
                self.assertIn(what, found[0])
        self.assertEqual(1, len(check.check_promises("nothing", [])[0]))

    def ctest_file(self, lines):
        (self.root / "CTestTestfile.cmake").write_text(lines)
        return check.check_ctest(self.root, "ctest")

    def test_registered_tests_have_one_label_and_a_timeout(self):
        python = f'add_test(a "{sys.executable}" "-c" "")\n'
        problems, counts = self.ctest_file(python + "set_tests_properties(a PROPERTIES LABELS unit TIMEOUT 5)\n")
        self.assertEqual(([], {"unit": 1}), (problems, counts))
        for properties, rule in (("LABELS unit", "timeout"), ("TIMEOUT 5", "label"), ("LABELS other TIMEOUT 5", "label"),
                                 ('LABELS "unit;smoke" TIMEOUT 5', "label"), ('LABELS "unit;no_stress" TIMEOUT 5', "label")):
            with self.subTest(properties=properties):
                problems, _ = self.ctest_file(python + f"set_tests_properties(a PROPERTIES {properties})\n")
                self.assertEqual(1, len(problems), problems)
                self.assertIn(f"[{rule}]", problems[0])

    def test_the_suites_tests_are_alone_and_within_their_fixtures(self):
        right = 'LABELS ladder TIMEOUT 60 RUN_SERIAL TRUE RESOURCE_LOCK stress_box FIXTURES_REQUIRED stress_run'
        python = f'add_test(a "{sys.executable}" "-c" "")\n'
        self.assertEqual([], self.ctest_file(python + f"set_tests_properties(a PROPERTIES {right})\n")[0])
        for missing in ("RUN_SERIAL TRUE", "RESOURCE_LOCK stress_box", "FIXTURES_REQUIRED stress_run"):
            problems, _ = self.ctest_file(python + f"set_tests_properties(a PROPERTIES {right.replace(missing, '')})\n")
            self.assertEqual(1, len(problems), problems)
            self.assertIn(f"[suite] {missing.split()[0]} is None", problems[0])
        for name, fixtures in (("stress_preflight", "FIXTURES_SETUP stress_preflight"),
                               ("stress_begin", 'FIXTURES_SETUP "stress_run;stress_results" FIXTURES_REQUIRED stress_preflight'),
                               ("stress_diff", "FIXTURES_CLEANUP stress_run FIXTURES_REQUIRED stress_results")):
            properties = right.replace("FIXTURES_REQUIRED stress_run", fixtures)
            lines = python.replace("(a ", f"({name} ") + f"set_tests_properties({name} PROPERTIES {properties})\n"
            self.assertEqual([], self.ctest_file(lines)[0])
            self.assertTrue(self.ctest_file(lines.replace(fixtures, "FIXTURES_REQUIRED stress_run"))[0])

    def test_who_takes_launches_of_another_comes_after_it(self):
        giver, taker = "TestMemoryBenchmark_IsolatedParti.Launches/50w_500p", "TestMemoryBenchmark_PerWorkerOverhead.Slope"
        self.assertEqual([], check.order_problems(["a", giver, taker]))
        self.assertEqual([], check.order_problems([taker, "a"]))  # nothing to take in this profile
        problems = check.order_problems([taker, "a", giver])
        self.assertEqual(1, len(problems))
        self.assertIn("[order]", problems[0])

    def budgets(self, tests, registered, profile="standard"):
        """tests: (name, label, declarations, budget); registered: (name, label, timeout)."""
        (self.root / "stress-budgets").mkdir(exist_ok=True)
        (self.root / "stress-budgets/list").write_text("p.json\n")
        (self.root / "stress-budgets/p.json").write_text(json.dumps({"tests": [
            {"name": name, "label": label, "declarations": count, "budget": budget} for name, label, count, budget in tests]}))
        (self.root / "CMakeCache.txt").write_text(f"PARTI_STRESS_PROFILE:STRING={profile}\n")
        (self.root / "CTestTestfile.cmake").write_text("".join(
            f'add_test({name} "{sys.executable}" "-c" "")\nset_tests_properties({name} PROPERTIES LABELS {label} TIMEOUT {timeout})\n'
            for name, label, timeout in registered))
        return check.check_budgets(self.root, "ctest")[0]

    def test_budgets_add_up_and_are_what_is_registered(self):
        every = {"smoke": 60, "standard": 120, "nightly": 5400, "soak": 100, "soak4h": 100}
        right = [("a", "stress", 1, every), ("b", "ladder", 1, {"standard": 100})]
        registered = [("a", "stress", 300), ("b", "ladder", 250)]
        self.assertEqual([], self.budgets(right, registered))
        self.assertEqual([], self.budgets(right, [("a", "stress", 13500)], "nightly"))
        short = dict(every, standard=10)
        many = right + [(f"c{i}", "stress", 1, {"standard": 120}) for i in range(7)]
        for tests, now, what in (
                (right[:1], registered, "b: [budget] is registered and no budget is listed"),
                (right, registered[:1], "b: [budget] is not registered in profile standard"),
                (right + [("c", "stress", 1, {"nightly": 0})], registered + [("c", "stress", 60)], "c: [budget] is registered in profile standard"),
                (right + [("c", "stress", 0, {})], registered + [("c", "stress", 60)], "c: [budget] has 0 declarations"),
                (right + [("c", "stress", 2, {})], registered + [("c", "stress", 60)], "c: [budget] has 2 declarations"),
                (right, [("a", "stress", 239), registered[1]], "a: [budget] TIMEOUT 239 is less than twice"),
                ([("a", "stress", 1, short), right[1]], [("a", "stress", 301), registered[1]], "a: [budget] TIMEOUT 301 is above 300"),
                (right, [("a", "soak", 300), registered[1]], "a: [budget] has labels ['soak']"),
                (right + [("c", "other", 1, {"smoke": 0})], registered, "c: [budget] label 'other'"),
                (right + [("c", "stress", 1, {"smoke": 1})], registered, "profile smoke takes 61 s, must take at most 60 s"),
                (right + [("c", "soak", 1, {"nightly": 1})], registered, "profile nightly takes 5401 s"),
                ([("a", "stress", 1, dict(every, soak=0)), right[1]], registered, "profile soak takes 0 s"),
                (many, registered + [(t[0], "stress", 300) for t in many[2:]], "profile standard takes 960 s")):
            with self.subTest(what=what):
                problems = self.budgets(tests, now)
                self.assertEqual(1, len(problems), problems)
                self.assertIn(what, problems[0])
        file = self.root / "stress-budgets/p.json"
        self.budgets(right, registered)
        listed = json.loads(file.read_text())
        listed["tests"].append({"name": "c", "label": "stress", "declarations": 1, "registered": False, "budget": {"nightly": 1, "standard": 1}})
        file.write_text(json.dumps(listed))  # not of this build, and counted
        self.assertEqual(["[budget] profile nightly takes 5401 s, must take at most 5400 s, and more than 0"], check.check_budgets(self.root, "ctest")[0])
        file.unlink()
        self.assertIn("is it built?", check.check_budgets(self.root, "ctest")[0][0])


if __name__ == "__main__":
    unittest.main()
