#!/usr/bin/env python3
"""Checks the rules of CONTRIBUTING.md that a compiler does not check.

check.py [ROOT]                   the source tree: include arrows, forbidden words, registered tests, workflows, README's example
check.py --ctest BUILD [CTEST]    the registered tests of a build folder: every one has one known label and a timeout; those of the
                                  stress suite are alone on the machine, inside the run's fixtures
check.py --budgets BUILD [CTEST]  the stress suite's budgets: every test has one, no profile exceeds its limit, and what ctest has
                                  registered is the build folder's profile with timeouts of at least twice the budgets
check.py --promises DOC BUILD [CTEST]   every promise of DOC has tests, and every test it names is registered in the build folder

Prints one line per violation, "file:line: [rule] what is wrong", and exits 1 if there is any; warnings do not count.
Standard library only. Its own test: check_test.py.
"""
import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys

# layer -> the layers whose headers it may include as "layer/x.h"; all of them may include <parti/...>.
ARROWS = {
    "base": {"base"},
    "assign": {"assign", "base"},
    "wire": {"wire", "base"},
    "core": {"core", "assign", "base"},
    "jetstream": {"jetstream", "base"},
    "runtime": {"runtime", "core", "wire", "jetstream", "assign", "base"},
    "consume": {"consume", "runtime", "core", "wire", "jetstream", "base"},
}
PURE = {"base", "assign", "wire", "core"}  # no clock, thread, lock, randomness or I/O
PURE_FORBIDDEN_HEADERS = re.compile(
    r"(boost/.*|nats(/.*|\.h)|asio.*|thread|mutex|shared_mutex|condition_variable|atomic|future|semaphore|latch|barrier|"
    r"stop_token|iostream|fstream|random|ctime|time\.h|sys/.*|unistd\.h|pthread\.h)")
PURE_FORBIDDEN_CALLS = re.compile(r"(::\s*now\s*\(|\bgetenv\s*\(|\brandom_device\b|\bclock_gettime\s*\(|\bgettimeofday\s*\()")
CORE_FORBIDDEN_HEADERS = re.compile(r"(nlohmann|spdlog|fmt)/.*")  # core and assign link nothing

TEST_FORBIDDEN = re.compile(r"\b(?:(sleep_for|sleep_until|usleep|nanosleep|sleep|GTEST_SKIP)\s*\(|(DISABLED_\w+))")
UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME)\\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCES = {".h", ".hpp", ".cpp", ".cc", ".c"}
TEXT = SOURCES | {".cmake", ".txt", ".md", ".py", ".sh", ".yml", ".yaml", ".json", ""}
LINES_MAX = 500
COLUMNS_MAX = 130
SUITE_LABELS = {"stress", "soak", "ladder", "matrix"}  # of the stress suite; all but `stress` are kept out of `ctest -L stress`
TAKES_LAUNCHES_OF = {"TestMemoryBenchmark_PerWorkerOverhead.": "TestMemoryBenchmark_IsolatedParti."}
LABELS = {"unit", "simulation", "integration", "smoke", "selftest", "benchmark", "browser"} | SUITE_LABELS

# Seconds of all tests of a profile. `standard` is what `ctest -L stress` runs; the others are all labels.
PROFILE_LIMITS = {"smoke": 60, "standard": 15 * 60, "nightly": 90 * 60, "soak": 70 * 60, "soak4h": 250 * 60}
STANDARD_TIMEOUT = 300

RUN_MAKE = re.compile(r"make [a-z][a-z-]*")
RUN_BOOTSTRAP = "apt-get update && apt-get install -y --no-install-recommends ca-certificates git make"


class Checker:
    def __init__(self, root):
        self.root = root
        self.problems = []
        self.warnings = []
        self.files = sorted(self.list_files())

    def list_files(self):
        """Relative paths: what git tracks or would track; without git, everything but build folders."""
        git = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"],
                             capture_output=True, text=True) if (self.root / ".git").exists() else None
        if git is not None and git.returncode == 0:
            names = [n for n in git.stdout.split("\0") if n]
        else:
            names = []
            for folder, folders, files in os.walk(self.root):
                folders[:] = [f for f in folders if f != ".git" and not f.startswith("build") and f != "__pycache__"]
                names += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return [pathlib.PurePosixPath(n) for n in names if (self.root / n).is_file()]

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def report(self, path, line, rule, what):
        self.problems.append(f"{path}:{line}: [{rule}] {what}")

    def check(self):
        for path in self.files:
            if path.suffix in SOURCES:
                self.source(path)
            if path.suffix in TEXT:
                self.any_text(path)
        self.registered_tests()
        self.workflows()
        self.readme_example()

    # --- C++ ---

    def source(self, path):
        lines = self.text(path).splitlines()
        code = code_only(lines)
        if path.suffix == ".h" and not (lines and re.match(r"// \S", lines[0])):
            self.report(path, 1, "contract", "a header starts with a comment: what it decides or owns (CONTRIBUTING.md)")
        if len(lines) > LINES_MAX:
            self.warnings.append(f"{path}: {len(lines)} lines (more than {LINES_MAX} is a design question)")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX:
                self.report(path, number, "columns", f"{len(line)} columns; at most {COLUMNS_MAX} (make format wraps code, not comments and strings)")
            match = INCLUDE.match(line)
            if match and path.parts[0] == "lib":
                self.library_include(path, number, match[1], match[2])
        layer = layer_of(path)
        for number, line in enumerate(code, 1):
            if layer in PURE and (match := PURE_FORBIDDEN_CALLS.search(line)):
                self.report(path, number, "pure", f"'{match[0].strip()}' in lib/{layer}: time and chance come in as arguments")
            if path.parts[0] == "test" and (match := TEST_FORBIDDEN.search(line)) and not has_reason(lines, number):
                self.report(path, number, "reason", f"'{match[1] or match[2]}' needs a comment with its reason, on the line or the one before")

    def library_include(self, path, number, quote, name):
        layer = layer_of(path)
        first = name.split("/")[0]
        if layer is None:  # lib/include/parti
            if quote == '"' or not re.fullmatch(r"parti/[a-z_]+\.h|tl/expected\.hpp|[a-z_]+", name):
                self.report(path, number, "public", f"public headers include only <parti/...>, tl::expected and the standard library: {name}")
            return
        if layer not in ARROWS:
            self.report(path, number, "arrow", f"lib/{layer} is not in tools/check.py's list of layers")
            return
        if quote == '"' and first not in ARROWS[layer]:
            self.report(path, number, "arrow", f'lib/{layer} may include {sorted(ARROWS[layer])}, not "{name}"')
        if quote == "<" and first in ARROWS and (self.root / "lib" / name).exists():
            self.report(path, number, "arrow", f'private headers are included with quotes: "{name}"')
        if layer in PURE and PURE_FORBIDDEN_HEADERS.fullmatch(name):
            self.report(path, number, "pure", f"<{name}> in lib/{layer}: no clock, thread, lock, I/O, Boost or nats below the runtime")
        if layer in ("core", "assign") and CORE_FORBIDDEN_HEADERS.fullmatch(name):
            self.report(path, number, "pure", f"<{name}> in lib/{layer}: it links nothing")

    def registered_tests(self):
        lists = "\n".join(self.text(p) for p in self.files if p.name == "CMakeLists.txt" or p.suffix == ".cmake")
        for path in self.files:
            if path.parts[0] == "test" and path.name.endswith("_test.cpp"):
                if not re.search(r"(?<![\w.-])" + re.escape(path.name) + r"(?![\w.-])", lists):
                    self.report(path, 1, "registered", "no CMakeLists.txt or .cmake file names this test: it never runs")

    # --- everything else ---

    def any_text(self, path):
        text = self.text(path)
        for number, line in enumerate(text.splitlines(), 1):
            if match := UNFINISHED.search(line):
                self.report(path, number, "unfinished", f"'{match[0]}': finish it or open an issue")
        shebang = re.match(r"#!.*\b(bash|sh)\b", text)
        if path.suffix == ".sh" or shebang:
            shell = shebang[1] if shebang else "bash"
            result = subprocess.run([shell, "-n", str(self.root / path)], capture_output=True, text=True)
            if result.returncode != 0:
                self.report(path, 1, "shell", result.stderr.strip().replace("\n", " "))
        if text.startswith("#!") and not os.access(self.root / path, os.X_OK):
            self.report(path, 1, "executable", "has a #! line but is not executable")

    def workflows(self):
        for path in self.files:
            if path.parent != pathlib.PurePosixPath(".github/workflows"):
                continue
            for number, line in enumerate(self.text(path).splitlines(), 1):
                match = re.match(r"\s*(?:-\s+)?run:\s*(.*?)\s*$", line)
                if match and not RUN_MAKE.fullmatch(match[1]) and match[1] != RUN_BOOTSTRAP:
                    self.report(path, number, "run", f"a run line is one make target, or exactly '{RUN_BOOTSTRAP}'; found '{match[1]}'")

    def readme_example(self):
        readme = self.root / "README.md"
        for name in ("examples/quickstart.cpp", "examples/consume.cpp"):
            example = self.root / name
            if not example.exists() or not readme.exists():
                continue
            blocks = re.findall(r"^```cpp\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
            if example.read_text(encoding="utf-8") not in blocks:
                self.report("README.md", 1, "example", f"no ```cpp block equals {name}, which is what is compiled")


def layer_of(path):
    """lib/core/x.h -> core; lib/include/... -> None; elsewhere -> ""."""
    if path.parts[0] != "lib":
        return ""
    return None if path.parts[1] == "include" else path.parts[1]


def code_only(lines):
    """The lines with comments and the contents of strings blanked, good enough for searching words."""
    result, inside = [], False
    for line in lines:
        if inside:
            end = line.find("*/")
            if end < 0:
                result.append("")
                continue
            line, inside = " " * (end + 2) + line[end + 2:], False
        line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        line = re.sub(r"/\*.*?\*/", " ", line)
        line = re.sub(r"//.*", "", line)
        if "/*" in line:
            line, inside = line[:line.index("/*")], True
        result.append(line)
    return result


def has_reason(lines, number):
    here = re.search(r"//\s*\S+", lines[number - 1])
    before = number > 1 and re.match(r"\s*//\s*\S+", lines[number - 2])
    return bool(here or before)


def check_ctest(build, ctest):
    """Problems of the registered tests, and their count by label."""
    listing = subprocess.run([ctest, "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True)
    problems, counts = [], {}
    for test in json.loads(listing.stdout)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        labels = properties.get("LABELS", [])
        if len(set(labels) & LABELS) != 1:
            problems.append(f"{test['name']}: [label] has labels {labels}; must have exactly one of {sorted(LABELS)}")
        for label in labels:
            if re.search("stress", label) and label != "stress":
                problems.append(f"{test['name']}: [label] '{label}' is found by ctest -L stress as well")
        if set(labels) & SUITE_LABELS:
            problems += suite_problems(test["name"], properties)
        if "TIMEOUT" not in properties:
            problems.append(f"{test['name']}: [timeout] has no TIMEOUT")
        if "command" not in test:
            problems.append(f"{test['name']}: [missing] its program is not built")
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    return problems + order_problems([test["name"] for test in json.loads(listing.stdout)["tests"]]), counts


def order_problems(names):
    """Tests that take what others have measured, before those: they would measure it again."""
    problems = []
    for taker, giver in TAKES_LAUNCHES_OF.items():
        given = [i for i, name in enumerate(names) if name.startswith(giver)]
        problems += [f"{name}: [order] is run before {names[given[-1]]}, whose launches it takes" for i, name in enumerate(names)
                     if name.startswith(taker) and given and i < given[-1]]
    return problems


def suite_problems(name, properties):
    """What a test of the stress suite must have: the machine for itself, and its place between begin and diff."""
    fixtures = {"stress_preflight": ("FIXTURES_SETUP", ["stress_preflight"]), "stress_begin": ("FIXTURES_SETUP", ["stress_run", "stress_results"]), "stress_diff": ("FIXTURES_CLEANUP", ["stress_run"])}
    wanted = {"RUN_SERIAL": True, "RESOURCE_LOCK": ["stress_box"]} | dict([fixtures.get(name, ("FIXTURES_REQUIRED", ["stress_run"]))])
    if name == "stress_diff":
        wanted["FIXTURES_REQUIRED"] = ["stress_results"]
    if name == "stress_begin":
        wanted["FIXTURES_REQUIRED"] = ["stress_preflight"]
    return [f"{name}: [suite] {key} is {properties.get(key)}, must be {value}" for key, value in wanted.items()
            if (sorted(properties.get(key) or []) if isinstance(value, list) else properties.get(key)) !=
            (sorted(value) if isinstance(value, list) else value)]


def check_budgets(build, ctest):
    """Problems of the stress suite's budgets, and the seconds of each profile."""
    listing = json.loads(subprocess.run([ctest, "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True).stdout)
    registered = {test["name"]: {p["name"]: p["value"] for p in test.get("properties", [])} for test in listing["tests"]}
    registered = {name: p for name, p in registered.items() if set(p.get("LABELS", [])) & SUITE_LABELS}
    cache = (pathlib.Path(build) / "CMakeCache.txt").read_text(encoding="utf-8")
    profile = re.search(r"^PARTI_STRESS_PROFILE:\w+=(.*)$", cache, re.MULTILINE)[1]
    folder = pathlib.Path(build) / "stress-budgets"
    problems, sums, known = [], dict.fromkeys(PROFILE_LIMITS, 0), set()
    for file in (folder / "list").read_text(encoding="utf-8").split():
        if not (folder / file).exists():
            problems.append(f"{file}: [budget] the program did not list its budgets; is it built?")
            continue
        for test in json.loads((folder / file).read_text(encoding="utf-8"))["tests"]:
            name, label, budget = test["name"], test["label"], test["budget"]
            known.add(name)
            if test["declarations"] != 1:
                problems.append(f"{name}: [budget] has {test['declarations']} declarations, must have one (test/testutil/budget.h)")
                continue
            if label not in SUITE_LABELS or not budget or set(budget) - set(PROFILE_LIMITS):
                problems.append(f"{name}: [budget] label '{label}' must be one of {sorted(SUITE_LABELS)}, profiles {sorted(budget)} of "
                                f"{sorted(PROFILE_LIMITS)}, at least one")
            for of, seconds in budget.items():
                sums[of] += seconds if of != "standard" or label == "stress" else 0
            if test.get("registered", True):  # else this build cannot run it, and it counts all the same
                problems += registration_problems(name, label, budget, profile, registered.get(name))
    problems += [f"{name}: [budget] is registered and no budget is listed" for name in registered if name not in known]
    for of, limit in PROFILE_LIMITS.items():
        if not 0 < sums[of] <= limit:
            problems.append(f"[budget] profile {of} takes {sums[of]} s, must take at most {limit} s, and more than 0")
    return problems, sums


def registration_problems(name, label, budget, profile, properties):
    if (properties is None) != (profile not in budget):
        return [f"{name}: [budget] is {'not ' if properties is None else ''}registered in profile {profile}; its budgets are {budget}"]
    if properties is None:
        return []
    timeout, problems = properties.get("TIMEOUT", 0), []
    if label not in properties["LABELS"]:
        problems.append(f"{name}: [budget] has labels {properties['LABELS']}, its budget's is {label}")
    if timeout < 2 * budget[profile]:
        problems.append(f"{name}: [budget] TIMEOUT {timeout:.0f} is less than twice its budget of {budget[profile]} s")
    if profile == "standard" and timeout > STANDARD_TIMEOUT:
        problems.append(f"{name}: [budget] TIMEOUT {timeout:.0f} is above {STANDARD_TIMEOUT} s, the most in profile standard")
    return problems


def check_promises(text, names):
    """Problems of a document with a table of promises ("| P-1 | what ... |") and one of their tests ("| P-1 | `test`, `Suite.*` |",
    below "## Tests of the promises"), and the number of promises."""
    head, found, below = text.partition("## Tests of the promises")
    promised = list(dict.fromkeys(re.findall(r"^\| (P-\d+) \|", head, re.MULTILINE)))
    problems, held = [], {}
    for promise, cell in re.findall(r"^\| (P-\d+) \| (.*) \|$", re.split(r"^## ", below, flags=re.MULTILINE)[0], re.MULTILINE):
        held[promise] = re.findall(r"`([^`]+)`", cell)
        for test in held[promise]:
            if not any(fnmatch.fnmatchcase(name, test) for name in names):
                problems.append(f"[promise] {promise} names the test {test}, which is not registered")
    problems += [f"[promise] {promise} has no test" for promise in promised if not held.get(promise)]
    problems += [f"[promise] {promise} has tests and is not promised" for promise in held if promise not in promised]
    if not promised or not found:
        problems.append("[promise] there is no table of promises, or no '## Tests of the promises'")
    return problems, len(promised)


def registered_names(build, ctest):
    listing = subprocess.run([ctest, "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True)
    return [test["name"] for test in json.loads(listing.stdout)["tests"]]


def main(arguments):
    if arguments[:1] == ["--ctest"] and len(arguments) in (2, 3):
        problems, counts = check_ctest(arguments[1], arguments[2] if len(arguments) == 3 else "ctest")
        warnings = []
        done = "tests by label: " + ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    elif arguments[:1] == ["--budgets"] and len(arguments) in (2, 3):
        problems, sums = check_budgets(arguments[1], arguments[2] if len(arguments) == 3 else "ctest")
        warnings = []
        done = "seconds by profile: " + ", ".join(f"{profile} {sums[profile]} of {limit}" for profile, limit in PROFILE_LIMITS.items())
    elif arguments[:1] == ["--promises"] and len(arguments) in (3, 4):
        names = registered_names(arguments[2], arguments[3] if len(arguments) == 4 else "ctest")
        problems, promises = check_promises(pathlib.Path(arguments[1]).read_text(encoding="utf-8"), names)
        warnings, done = [], f"{promises} promises"
    elif len(arguments) <= 1 and not arguments[:1] in (["--ctest"], ["--budgets"], ["--promises"]):
        root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
        checker = Checker(root)
        checker.check()
        problems, warnings = checker.problems, checker.warnings
        done = f"{len(checker.files)} files"
        if not checker.files:
            problems = [f"{root}: nothing to check"]
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for warning in warnings:
        print(f"warning: {warning}")
    for problem in problems:
        print(problem)
    print(f"check.py: {done}, {len(warnings)} warnings, {len(problems)} violations")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
