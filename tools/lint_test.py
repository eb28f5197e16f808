#!/usr/bin/env python3
"""Tests tools/lint.py: a clean tree has no problem, and each linter's problem is reported."""
import contextlib
import io
import pathlib
import unittest
import unittest.mock

import lint
import temp_folder
from workflow_check_test import GOOD, MAKEFILE

CLEAN = {"Makefile": MAKEFILE, ".github/workflows/a.yml": GOOD, "tools/a.sh": "#!/bin/sh\necho \"$1\"\n", ".ci/run": "#!/usr/bin/env bash\ntrue\n",
         "docs/x.md": "if then\n"}


class Lint(unittest.TestCase):
    def problems(self, files):
        with temp_folder.TempFolder(prefix="parti-lint-test-") as folder:
            root = pathlib.Path(folder)
            for name, text in (CLEAN | files).items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return lint.problems_of(root)[0]

    def test_clean_tree(self):
        self.assertEqual([], self.problems({}))

    def test_each_linter_is_heard(self):
        for files, says in (({"tools/a.sh": "#!/bin/sh\nrm $1\n"}, "[shellcheck] tools/a.sh:2:"),
                            ({".ci/run": "#!/usr/bin/env bash\ncd \"$1\"\n"}, "[shellcheck] .ci/run:2:"),
                            ({".github/workflows/a.yml": GOOD.replace("name: nightly", "name:  nightly")}, "[yamllint] .github/workflows/a.yml:1:"),
                            ({"other.yaml": "a: 1\na: 2\n"}, "[yamllint] other.yaml:2:"),
                            ({".github/workflows/a.yml": GOOD.replace("make test", "make tea")}, "[workflow] .github/workflows/a.yml: [job first step 3]")):
            with self.subTest(says=says):
                problems = self.problems(files)
                self.assertEqual(1, len(problems), problems)
                self.assertIn(says, problems[0])

    @unittest.skipUnless(lint.clang_format_14(), "clang-format 14 is not here")
    def test_layout_is_checked(self):
        style = {".clang-format": "BasedOnStyle: Google\n", "lib/base/a.h": "int a;\n"}
        self.assertEqual([], self.problems(style))
        self.assertEqual(["[layout] lib/base/b.cpp: run make format"], self.problems(style | {"lib/base/b.cpp": "int  b;\n"}))
        self.assertIn("Wrong", "\n".join(self.problems(style | {".clang-format": "BasedOnStyle: Wrong\n"})))

    def test_run_lines_go_through_shellcheck(self):
        problems = self.problems({".github/workflows/a.yml": GOOD.replace("make summary", "rm $X", 1)})
        self.assertTrue(any("[shellcheck]" in p and "'rm $X'" in p for p in problems), problems)
        self.assertTrue(any("one make target" in p for p in problems), problems)

    def test_missing_linter_is_named_with_the_line_that_installs_it(self):
        said = io.StringIO()
        with unittest.mock.patch("shutil.which", lambda tool: None if tool == "yamllint" else tool), contextlib.redirect_stderr(said):
            self.assertEqual(100, lint.main([]))
        self.assertIn("apt-get install yamllint", said.getvalue())


if __name__ == "__main__":
    unittest.main()
