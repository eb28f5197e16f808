#!/usr/bin/env python3
"""Holds GitHub workflows to the structure this project uses: strict, offline, no schema downloaded.

workflow_check.py [ROOT]     .github/workflows/*.yml; prints "file: [where] what is wrong", exits 1 if there is any

Only the keys, events, actions, permissions and expressions listed below are known; whatever else a workflow may hold is added here first.
Logic lives in make targets, so that it runs, and is tested, without GitHub. Needs python3-yaml (yamllint brings it). Its own test:
workflow_check_test.py.
"""
import pathlib
import re
import sys

from check import PROFILE_LIMITS

try:
    import yaml
except ImportError:
    sys.exit("workflow_check.py: python3-yaml is missing: apt-get install yamllint (tools/setup.sh does it)")

BOOTSTRAP = "apt-get update && apt-get install -y --no-install-recommends ca-certificates git make"
RUN_MAKE = re.compile(r"make ([a-z][a-z-]*)")
CONTAINER = "debian:12"
PREPARE = 2  # minutes: the bootstrap line, checkout and what the actions take, of a job
BUILD = 30  # minutes: set-up and everything compiled once, without a cache
# What a make target may take, in minutes, with the build before it. A job's timeout-minutes is at least the sum of its steps: a
# run that is within its budgets is never cut off. `nightly` takes as long as the longest profile the workflow offers, the
# self-tests (5), the leak alarm (2) and the proof of the alarms (45); `baseline-runs` takes three times the longest profile.
MINUTES = {
    "test": BUILD + 10, "simulation": BUILD + 60, "browser-test": BUILD + 10,
    "nightly": lambda profile: BUILD + profile + 5 + 2 + 45,
    "pull-request": BUILD + BUILD // 2 + 15,  # of the merge base only what is measured; smoke, exact leak, A/B with its confirmation
    "baseline-runs": lambda profile: BUILD + 3 * profile, "baseline": 1, "baseline-pull": 1,
    "summary": 1, "comment": 2, "stale": 2,
}
MINUTES_MAX = 360  # a job's end on GitHub's runners, whatever it says

WORKFLOW_KEYS = {"name", "on", "permissions", "concurrency", "env", "jobs"}
JOB_KEYS = {"name", "runs-on", "container", "needs", "if", "permissions", "timeout-minutes", "env", "outputs", "steps"}
STEP_KEYS = {"name", "id", "if", "run", "uses", "with", "env", "timeout-minutes", "continue-on-error"}
EVENTS = {"push": {"branches"}, "pull_request": {"branches", "types"}, "schedule": None, "workflow_dispatch": {"inputs"}}
INPUT_KEYS = {"description", "type", "default", "required", "options"}
INPUT_TYPES = {"string", "choice", "boolean"}
SCOPES = {"actions", "contents", "issues", "pull-requests"}
# action -> version, what it may be given, what it must be given
ACTIONS = {
    "actions/checkout": ("v4", {"persist-credentials", "fetch-depth", "ref"}, {"persist-credentials": False}),
    "actions/upload-artifact": ("v4", {"name", "path", "if-no-files-found", "retention-days"},
                                {"if-no-files-found": None, "retention-days": None, "name": None, "path": None}),
    # A cache's entries never change: each run saves one of its own, and begins with the newest of an earlier run.
    "actions/cache/restore": ("v4", {"path", "key", "restore-keys"}, {"path": None, "key": None, "restore-keys": None}),
    "actions/cache/save": ("v4", {"path", "key"}, {"path": None, "key": None}),
    "actions/download-artifact": ("v4", {"name", "path"}, {"name": None, "path": None}),
}
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = {"always()", "failure()", "cancelled()", "success()"}
CONTEXT = re.compile(r"(?:github\.(?:ref|sha|run_id|run_attempt|token|event_name|base_ref)|inputs\.[a-z_]+|"
                     r"needs\.[a-z_]+\.(?:result|outputs\.[a-z_]+))")
CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Loader(yaml.SafeLoader):
    """YAML without its surprises: `on` stays a text, and a key that comes twice is an error."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))


def mapping(loader, node, deep=False):
    seen = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{name}' comes twice", key.start_mark)
        seen[name] = loader.construct_object(value, deep=True)
    return seen


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


class Check:
    def __init__(self, text, targets):
        self.problems = []
        self.targets = targets
        try:
            self.workflow = yaml.load(text, Loader)
        except yaml.YAMLError as error:
            self.problems.append(f"[yaml] {' '.join(str(error).split())}")
            return
        if self.keys(self.workflow, WORKFLOW_KEYS, WORKFLOW_KEYS - {"env"}, "workflow"):
            self.inputs = set()
            self.events(self.workflow["on"])
            self.permissions(self.workflow["permissions"], "permissions")
            self.concurrency(self.workflow["concurrency"])
            self.env(self.workflow.get("env", {}), "env")
            self.jobs(self.workflow["jobs"])

    def report(self, where, what):
        self.problems.append(f"[{where}] {what}")

    def keys(self, value, known, required, where):
        if not isinstance(value, dict):
            self.report(where, f"must be a mapping, is {value!r}")
            return False
        for key in value.keys() - known:
            self.report(where, f"unknown key '{key}'")
        for key in sorted(required - value.keys()):
            self.report(where, f"lacks '{key}'")
        return required <= value.keys()

    def events(self, on):
        if not self.keys(on, EVENTS.keys(), set(), "on"):
            return
        if not on:
            self.report("on", "no event starts it")
        for event, value in on.items():
            if event == "schedule":
                self.schedule(value)
            elif value is not None and event in EVENTS and self.keys(value, EVENTS[event], set(), event) and event == "workflow_dispatch":
                for name, declared in value.get("inputs", {}).items():
                    self.input(name, declared)

    def schedule(self, entries):
        if not isinstance(entries, list) or not entries:
            self.report("schedule", "must be a list of cron entries")
            return
        for entry in entries:
            if not self.keys(entry, {"cron"}, {"cron"}, "schedule"):
                continue
            fields = str(entry["cron"]).split()
            good = len(fields) == 5 and all(self.cron_field(f, *r) for f, r in zip(fields, CRON_RANGES))
            if not good:
                self.report("schedule", f"'{entry['cron']}' is no cron entry of five fields")

    @staticmethod
    def cron_field(field, low, high):
        for part in field.split(","):
            match = re.fullmatch(r"(\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
            if not match or match[4] == "0":
                return False
            numbers = [int(n) for n in (match[2], match[3]) if n is not None]
            if any(not low <= n <= high for n in numbers) or numbers != sorted(numbers):
                return False
        return True

    def input(self, name, declared):
        where = f"input {name}"
        if not re.fullmatch(r"[a-z][a-z_]*", name):
            self.report(where, "a name has small letters and '_'")
        self.inputs.add(name)
        if not self.keys(declared, INPUT_KEYS, {"description", "type"}, where):
            return
        kind = declared["type"]
        if kind not in INPUT_TYPES:
            self.report(where, f"type '{kind}' must be one of {sorted(INPUT_TYPES)}")
        elif (kind == "choice") != ("options" in declared):
            self.report(where, "a choice, and nothing else, has options")
        elif kind == "choice" and declared.get("default") not in declared["options"]:
            self.report(where, f"the default {declared.get('default')!r} is none of the options")
        if not declared.get("required") and "default" not in declared:
            self.report(where, "has neither 'required: true' nor a default")

    def permissions(self, value, where):
        if not isinstance(value, dict):
            self.report(where, f"must name every scope it needs, is {value!r}")
            return
        for scope, access in value.items():
            if scope not in SCOPES:
                self.report(where, f"unknown scope '{scope}'")
            if access not in ("read", "write"):
                self.report(where, f"'{scope}: {access}' must be read or write")
            if access == "write" and where == "permissions":
                self.report(where, f"'{scope}: write' belongs to the one job that needs it")

    def concurrency(self, value):
        if self.keys(value, {"group", "cancel-in-progress"}, {"group", "cancel-in-progress"}, "concurrency"):
            self.expressions(value["group"], "concurrency")
            if not isinstance(value["cancel-in-progress"], bool):
                self.report("concurrency", "cancel-in-progress must be true or false")

    def env(self, value, where):
        if not isinstance(value, dict):
            self.report(where, "must be a mapping")
            return
        for name, text in value.items():
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                self.report(where, f"'{name}' is no name of a variable")
            if not isinstance(text, (str, int)):
                self.report(where, f"'{name}' must be a text or a number")
            self.expressions(text, f"{where} {name}")

    def expressions(self, text, where, bare=False):
        """`bare`: all of it is one expression, as in `if`."""
        text = str(text)
        found = EXPRESSION.findall(text)
        if len(found) != text.count("${{") or len(found) != text.count("}}"):
            self.report(where, f"'{text}' has an expression without its end, or an end without its begin")
        for expression in ([text] if bare and not found else found):
            for part in re.split(r"&&|\|\|", expression):
                term = part.strip().removeprefix("!").strip()
                term = re.sub(r"\s*[!=]=\s*'[^']*'$", "", term)
                if term in STATUS or re.fullmatch(r"'[^']*'", term):
                    continue
                if not CONTEXT.fullmatch(term):
                    self.report(where, f"unknown expression '{term}'")
                elif term.startswith("inputs.") and term[7:] not in self.inputs:
                    self.report(where, f"there is no input '{term[7:]}'")
                elif term.startswith("needs."):
                    self.of_needed(term.split(".")[1:], where)

    needed = frozenset()

    def of_needed(self, names, where):
        """`names`: job and result, or job, outputs and output."""
        job, output = names[0], names[2] if len(names) > 2 else None
        if job not in self.needed:
            self.report(where, f"the job does not need '{job}'")
        elif output is not None and output not in self.outputs_of.get(job, ()):
            self.report(where, f"job '{job}' has no output '{output}'")

    def outputs(self, value, where):
        if not isinstance(value, dict):
            self.report(where, "must be a mapping")
            return
        for name, text in value.items():
            if not re.fullmatch(r"[a-z][a-z_]*", name):
                self.report(where, f"'{name}': a name has small letters and '_'")
            self.expressions(text, f"{where} {name}")

    def jobs(self, jobs):
        if not isinstance(jobs, dict) or not jobs:
            self.report("jobs", "there must be a job")
            return
        before = []
        self.outputs_of = {}
        for name, job in jobs.items():
            where = f"job {name}"
            if not NAME.fullmatch(name):
                self.report(where, "a name has small letters, digits, '-' and '_'")
            earlier, before = before, before + [name]
            self.outputs_of[name] = (job.get("outputs") or {}) if isinstance(job, dict) else {}
            if not self.keys(job, JOB_KEYS, {"runs-on", "container", "timeout-minutes", "steps"}, where):
                continue
            needs = job.get("needs", [])
            self.needed = {needs} if isinstance(needs, str) else set(needs)
            for other in sorted(self.needed - set(earlier)):
                self.report(where, f"needs '{other}', which is no job before it")
            self.job(job, where)
            self.needed = frozenset()

    def job(self, job, where):
        if job["runs-on"] != "ubuntu-latest":
            self.report(where, f"runs-on '{job['runs-on']}' must be ubuntu-latest")
        if job["container"] != CONTAINER:
            self.report(where, f"container '{job['container']}' must be {CONTAINER}")
        minutes = job["timeout-minutes"]
        if not isinstance(minutes, int) or isinstance(minutes, bool) or not 1 <= minutes <= MINUTES_MAX:
            self.report(where, f"timeout-minutes {minutes!r} must be 1..{MINUTES_MAX}")
        if "permissions" in job:
            self.permissions(job["permissions"], f"{where} permissions")
        if "if" in job:
            self.expressions(job["if"], f"{where} if", bare=True)
        self.env(job.get("env", {}), f"{where} env")
        self.outputs(job.get("outputs", {}), f"{where} outputs")
        steps = job["steps"]
        if not isinstance(steps, list) or not steps:
            self.report(where, "steps must be a list")
            return
        for number, step in enumerate(steps, 1):
            self.step(step, f"{where} step {number}", steps[:number - 1])
        self.time(minutes, steps, where)

    def longest_profile(self):
        """In minutes; of the profiles that may be chosen, else of the nightly one."""
        on = self.workflow["on"] if isinstance(self.workflow["on"], dict) else {}
        inputs = (on.get("workflow_dispatch") or {}).get("inputs", {})
        offered = inputs.get("profile", {}).get("options", ["nightly"])
        for profile in sorted(set(offered) - PROFILE_LIMITS.keys()):
            self.report("input profile", f"there is no profile '{profile}'")
        return max((PROFILE_LIMITS[p] // 60 for p in offered if p in PROFILE_LIMITS), default=0)

    def time(self, minutes, steps, where):
        needed = PREPARE
        for step in steps:
            match = RUN_MAKE.fullmatch(str(step.get("run", ""))) if isinstance(step, dict) else None
            if not match or match[1] not in self.targets:
                continue
            takes = MINUTES.get(match[1])
            if takes is None:
                self.report(where, f"workflow_check.py must say how many minutes 'make {match[1]}' may take")
            else:
                needed += takes(self.longest_profile()) if callable(takes) else takes
        if isinstance(minutes, int) and minutes < needed:
            self.report(where, f"timeout-minutes {minutes} must be at least {needed}: what its steps may take by their budgets")

    def step(self, step, where, before):
        if not self.keys(step, STEP_KEYS, set(), where):
            return
        if ("run" in step) == ("uses" in step):
            self.report(where, "has either 'run' or 'uses'")
            return
        if "if" in step:
            self.expressions(step["if"], f"{where} if", bare=True)
        self.env(step.get("env", {}), f"{where} env")
        download = str(step.get("uses")).startswith("actions/download-artifact@")
        if "continue-on-error" in step and not (download and step["continue-on-error"] is True):
            self.report(where, "'continue-on-error: true' is for a download that may find nothing; what else fails must be seen")
        if "run" in step:
            self.run(step, where, before)
        else:
            self.uses(step, where, before)

    def run(self, step, where, before):
        line = str(step["run"])
        if "with" in step:
            self.report(where, "'with' belongs to 'uses'")
        if line == BOOTSTRAP:
            return
        match = RUN_MAKE.fullmatch(line)
        if not match:
            self.report(where, f"a run line is one make target, or exactly '{BOOTSTRAP}'; found '{line}'")
        elif match[1] not in self.targets:
            self.report(where, f"the Makefile has no target '{match[1]}'")
        if not any(str(s.get("uses", "")).startswith("actions/checkout@") for s in before if isinstance(s, dict)):
            self.report(where, "runs before actions/checkout")

    def uses(self, step, where, before):
        action, _, version = str(step["uses"]).partition("@")
        if action not in ACTIONS:
            self.report(where, f"unknown action '{action}'")
            return
        pinned, known, required = ACTIONS[action]
        if version != pinned:
            self.report(where, f"'{step['uses']}' must be pinned to {pinned}")
        given = step.get("with", {})
        if not self.keys(given, known, set(required), f"{where} with"):
            return
        for key, value in required.items():
            if value is not None and given[key] != value:
                self.report(where, f"'{key}' must be {value}")
        for key, value in given.items():
            self.expressions(value, f"{where} with {key}")
        if action in ("actions/upload-artifact", "actions/cache/save") and step.get("if") != "always()":
            self.report(where, "an upload has 'if: always()': what failed is what is looked at")
        if action == "actions/download-artifact" and "github.run_attempt" in str(given.get("name")):
            self.report(where, "the name comes from an output of the job that uploaded it: this one may be run again alone")
        if action.startswith("actions/cache/") and "github.run_id" not in str(given.get("key")):
            self.report(where, "the key of a cache has github.run_id in it: an entry that exists is never written again")
        if action == "actions/checkout" and not any(isinstance(s, dict) and s.get("run") == BOOTSTRAP for s in before):
            self.report(where, "a bare container needs git first: the bootstrap line comes before")


def targets_of(makefile):
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def problems_of(text, makefile):
    return Check(text, targets_of(makefile)).problems


def runs_of(text):
    """Every run line, for shellcheck."""
    try:
        workflow = yaml.load(text, Loader)
        jobs = workflow["jobs"].values()
        return [str(step["run"]) for job in jobs for step in job["steps"] if "run" in step]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return []  # problems_of says what is wrong


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    files = sorted((root / ".github/workflows").glob("*.y*ml"))
    problems = [f"{path.relative_to(root)}: {problem}" for path in files for problem in problems_of(path.read_text(encoding="utf-8"), makefile)]
    print("\n".join(problems + [f"workflow_check.py: {len(files)} workflows, {len(problems)} problems"]))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
