#!/usr/bin/env python3
"""Lints what no compiler sees: every shell script and every `run:` line with shellcheck, every YAML file with yamllint, workflows as
workflow_check.py says, the layout of C++ as .clang-format says (with clang-format 14, Debian 12's; others lay out otherwise).

lint.py [ROOT]     one line per problem, exits 1 if there is any; 100 when a linter is missing, with the line that installs it
Its own test: lint_test.py.
"""
import pathlib
import re
import shutil
import subprocess
import sys

import check
import workflow_check

YAMLLINT = "{extends: default, rules: {document-start: disable, line-length: {max: 150}, truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}," \
           " braces: {max-spaces-inside: 0}}}"


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines() if done.returncode != 0 else []


def shell_scripts(checker):
    for path in checker.files:
        if path.suffix == ".sh" or re.match(r"#!.*\b(bash|sh)\b", checker.text(path)[:100]):
            yield path


def clang_format_14():
    version = subprocess.run(("clang-format", "--version"), capture_output=True, text=True).stdout if shutil.which("clang-format") else ""
    return re.search(r"\bversion 14\.", version) is not None


def layout_problems(root, checker):
    """None: clang-format 14 is not here. Nothing but the layout depends on it, so setup.sh does not install it."""
    if not clang_format_14():
        return None
    sources = [str(root / path) for path in checker.files if path.suffix in check.SOURCES]
    if not sources or not (root / ".clang-format").exists():
        return []
    said = run("clang-format", "--dry-run", "-Werror", "--style=file", *sources)
    found = sorted({match[1] for line in said if (match := re.match(r"(.+?):\d+:\d+: error: code should be clang-formatted", line))})
    return [f"[layout] {path.removeprefix(f'{root}/')}: run make format" for path in found] or said


def problems_of(root):
    checker = check.Checker(root)
    problems = []
    for path in shell_scripts(checker):
        problems += [f"[shellcheck] {line.removeprefix(f'{root}/')}" for line in run("shellcheck", "--format=gcc", str(root / path))]
    makefile = checker.text("Makefile") if (root / "Makefile").exists() else ""
    for path in checker.files:
        if path.suffix not in (".yml", ".yaml"):
            continue
        problems += [f"[yamllint] {line.removeprefix(f'{root}/')}" for line in run("yamllint", "--format=parsable", "-d", YAMLLINT, str(root / path))]
        if path.parent != pathlib.PurePosixPath(".github/workflows"):
            continue
        text = checker.text(path)
        problems += [f"[workflow] {path}: {problem}" for problem in workflow_check.problems_of(text, makefile)]
        for line in workflow_check.runs_of(text):
            problems += [f"[shellcheck] {path}: '{line}': {said}" for said in run("shellcheck", "--shell=sh", "--format=gcc", "-", stdin=line + "\n")]
    layout = layout_problems(root, checker)
    if layout is None:
        print("lint.py: the layout of C++ is not checked: clang-format 14 is not here (apt-get install clang-format)")
    return problems + (layout or []), len(checker.files)


def main(arguments):
    missing = [tool for tool in ("shellcheck", "yamllint") if not shutil.which(tool)]
    if missing:
        print(f"lint.py: missing: {' '.join(missing)}; apt-get install {' '.join(missing)} (tools/setup.sh does it)", file=sys.stderr)
        return 100
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
    problems, files = problems_of(root)
    print("\n".join(problems + [f"lint.py: {files} files, {len(problems)} problems"]))
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
