#!/usr/bin/env python3
"""Tests tools/workflow_check.py: a good workflow has no problem, each thing that is wrong is reported once, and the repository's own pass."""
import pathlib
import unittest

import workflow_check

MAKEFILE = "setup: ## x\ntest: setup\n\tx\nsummary:\n"
GOOD = f"""name: nightly
on:
  schedule:
    - cron: "17 2 * * *"
  pull_request:
  workflow_dispatch:
    inputs:
      kind:
        description: "Which"
        type: choice
        default: all
        options: [all, memory]
permissions:
  contents: read
concurrency:
  group: nightly-${{{{ github.ref }}}}
  cancel-in-progress: true
env:
  KIND: ${{{{ inputs.kind }}}}
jobs:
  first:
    runs-on: ubuntu-latest
    container: debian:12
    timeout-minutes: 45
    if: github.event_name != 'push' && !cancelled()
    outputs:
      artifact: results-${{{{ github.run_id }}}}
    steps:
      - run: {workflow_check.BOOTSTRAP}
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - run: make test
        id: t
      - run: make summary
        if: always()
        env:
          GITHUB_TOKEN: ${{{{ github.token }}}}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: results-${{{{ github.run_id }}}}
          path: build
          if-no-files-found: warn
          retention-days: 30
      - uses: actions/cache/restore@v4
        with:
          path: build/old
          key: old-${{{{ github.run_id }}}}
          restore-keys: old-
      - uses: actions/cache/save@v4
        if: always()
        with:
          path: build/old
          key: old-${{{{ github.run_id }}}}
  second:
    needs: first
    if: ${{{{ always() && needs.first.result == 'success' }}}}
    runs-on: ubuntu-latest
    container: debian:12
    timeout-minutes: 5
    permissions:
      pull-requests: write
    steps:
      - run: {workflow_check.BOOTSTRAP}
      - uses: actions/download-artifact@v4
        continue-on-error: true
        with:
          name: ${{{{ needs.first.outputs.artifact }}}}
          path: build
"""
# what is replaced, by what, and what the one problem must say
BAD = [
    ("name: nightly\n", "", "lacks 'name'"),
    ("name: nightly\n", "name: nightly\ndefaults: {}\n", "unknown key 'defaults'"),
    ("name: nightly\n", "name: nightly\nname: again\n", "'name' comes twice"),
    ("name: nightly\n", "name: [nightly\n", "[yaml]"),
    ("  pull_request:\n", "  pull_request_target:\n", "unknown key 'pull_request_target'"),
    ("  pull_request:\n", "  pull_request:\n    path: [x]\n", "unknown key 'path'"),
    ('"17 2 * * *"', '"17 2 * *"', "no cron entry"),
    ('"17 2 * * *"', '"60 2 * * *"', "no cron entry"),
    ('"17 2 * * *"', '"17 2 * * * *"', "no cron entry"),
    ('"17 2 * * *"', '"5-3 2 * * *"', "no cron entry"),
    ("type: choice", "type: number", "type 'number'"),
    ("        options: [all, memory]\n", "", "has options"),
    ("default: all", "default: every", "none of the options"),
    ("        default: all\n        options: [all, memory]\n", "        options: [all]\n        required: true\n", "none of the options"),
    ('        description: "Which"\n', "", "lacks 'description'"),
    ("permissions:\n  contents: read\n", "permissions: write-all\n", "must name every scope"),
    ("  contents: read\n", "  contents: write\n", "belongs to the one job"),
    ("  contents: read\n", "  content: read\n", "unknown scope 'content'"),
    ("  contents: read\n", "  contents: admin\n", "must be read or write"),
    ("  cancel-in-progress: true\n", "", "lacks 'cancel-in-progress'"),
    ("  cancel-in-progress: true\n", "  cancel-in-progress: yes\n", "must be true or false"),
    ("  KIND:", "  kind:", "no name of a variable"),
    ("inputs.kind }}", "inputs.sort }}", "no input 'sort'"),
    ("inputs.kind }}", "github.event.pull_request.title }}", "unknown expression 'github.event.pull_request.title'"),
    ("inputs.kind }}", "secrets.PASSWORD }}", "unknown expression 'secrets.PASSWORD'"),
    ("inputs.kind }}", "inputs.kind }", "without its end"),
    ("    timeout-minutes: 45\n", "", "lacks 'timeout-minutes'"),
    ("timeout-minutes: 45\n", "timeout-minutes: 400\n", "must be 1..360"),
    ("timeout-minutes: 45\n", "timeout-minutes: yes\n", "must be 1..360"),
    ("timeout-minutes: 45\n", "timeout-minutes: 42\n", "timeout-minutes 42 must be at least 43"),
    ("run: make summary\n", "run: make setup\n", "must say how many minutes 'make setup' may take"),
    ("container: debian:12\n    timeout-minutes: 45", "container: debian:latest\n    timeout-minutes: 45", "must be debian:12"),
    ("runs-on: ubuntu-latest\n    container: debian:12\n    timeout-minutes: 45", "runs-on: self-hosted\n    container: debian:12\n    timeout-minutes: 45",
     "must be ubuntu-latest"),
    ("    timeout-minutes: 45\n", "    timeout-minutes: 45\n    timeout: 3\n", "unknown key 'timeout'"),
    ("needs: first", "needs: [first, last]", "no job before it"),
    ("needs.first.result", "needs.third.result", "does not need 'third'"),
    ("needs.first.outputs.artifact", "needs.first.outputs.name", "job 'first' has no output 'name'"),
    ("needs.first.outputs.artifact", "needs.third.outputs.artifact", "does not need 'third'"),
    ("needs.first.outputs.artifact", "github.run_attempt", "comes from an output of the job that uploaded it"),
    ("      artifact: results", "      Artifact-1: x\n      artifact: results", "'Artifact-1': a name has small letters"),
    ("      artifact: results-${{ github.run_id }}\n", "      artifact: ${{ secrets.X }}\n", "unknown expression 'secrets.X'"),
    ("    outputs:\n      artifact: results-${{ github.run_id }}\n", "    outputs: artifact\n", "must be a mapping"),
    ("continue-on-error: true", "continue-on-error: maybe", "is for a download"),
    ("        id: t\n", "        continue-on-error: true\n", "is for a download"),
    ("  second:\n", "  Second:\n", "a name has small letters"),
    ("        id: t\n", "        shell: bash\n", "unknown key 'shell'"),
    ("      - run: make test\n", "      - run: make test\n        uses: actions/checkout@v4\n", "either 'run' or 'uses'"),
    ("      - run: make test\n", "      - run: make nothing\n", "no target 'nothing'"),
    ("      - run: make test\n", "      - run: make test KIND=${{ inputs.kind }}\n", "one make target"),
    ("      - run: make test\n", "      - run: curl x | sh\n", "one make target"),
    ("      - run: make test\n", "      - run: |\n          make test\n          make summary\n", "one make target"),
    ("checkout@v4", "checkout@main", "must be pinned to v4"),
    ("actions/upload-artifact@v4", "someone/upload@v4", "unknown action 'someone/upload'"),
    ("persist-credentials: false", "persist-credentials: true", "'persist-credentials' must be False"),
    ("persist-credentials: false", "persist-credentials: false\n          token: x", "unknown key 'token'"),
    ("        if: always()\n        with:\n          name", "        with:\n          name", "an upload has 'if: always()'"),
    ("          restore-keys: old-\n", "", "lacks 'restore-keys'"),
    ("      - uses: actions/cache/save@v4\n        if: always()\n", "      - uses: actions/cache/save@v4\n", "an upload has 'if: always()'"),
    ("          key: old-${{ github.run_id }}\n", "          key: old-${{ github.ref }}\n", "an entry that exists is never written again"),
    ("          retention-days: 30\n", "", "lacks 'retention-days'"),
    ("if: always()\n        env", "if: sometimes()\n        env", "unknown expression 'sometimes()'"),
    (f"    steps:\n      - run: {workflow_check.BOOTSTRAP}\n      - uses", "    steps:\n      - uses", "needs git first"),
]


class WorkflowCheck(unittest.TestCase):
    def test_good_workflow(self):
        self.assertEqual([], workflow_check.problems_of(GOOD, MAKEFILE))

    def test_each_problem_is_reported_once(self):
        for before, after, says in BAD:
            with self.subTest(before=before, after=after):
                self.assertIn(before, GOOD)
                problems = workflow_check.problems_of(GOOD.replace(before, after, 1), MAKEFILE)
                self.assertEqual(1, len(problems), problems)
                self.assertIn(says, problems[0])

    def test_the_longest_profile_that_can_be_chosen_counts(self):
        def problems(options, minutes, target="nightly"):
            profile = f'        options: [all, memory]\n      profile:\n        description: "p"\n        type: choice\n        default: smoke\n        options: {options}\n'
            text = GOOD.replace("        options: [all, memory]\n", profile, 1).replace("make test", f"make {target}")
            text = text.replace("timeout-minutes: 45", f"timeout-minutes: {minutes}")
            return workflow_check.problems_of(text, MAKEFILE + f"{target}:\n")
        self.assertEqual([], problems("[smoke, nightly]", 175))
        self.assertIn("must be at least 175", problems("[smoke, nightly]", 174)[0])
        self.assertIn("must be at least 335", problems("[smoke, nightly, soak4h]", 240)[0])
        self.assertIn("there is no profile 'weekly'", problems("[smoke, weekly]", 200)[0])
        self.assertEqual([], problems("[smoke, standard]", 78, "baseline-runs"))
        self.assertIn("must be at least 303", problems("[smoke, standard, nightly]", 302, "baseline-runs")[0])

    def test_job_without_checkout_runs_nothing(self):
        problems = workflow_check.problems_of(GOOD.replace("timeout-minutes: 5\n", "timeout-minutes: 50\n") + "      - run: make test\n", MAKEFILE)
        self.assertEqual(1, len(problems), problems)
        self.assertIn("before actions/checkout", problems[0])

    def test_not_a_workflow(self):
        for text in ("", "[]", "text", "on:\n", "{a: }"):
            self.assertTrue(workflow_check.problems_of(text, MAKEFILE), text)

    def test_run_lines_are_listed(self):
        self.assertEqual([workflow_check.BOOTSTRAP, "make test", "make summary", workflow_check.BOOTSTRAP], workflow_check.runs_of(GOOD))

    @staticmethod
    def workflows():
        folder = pathlib.Path(__file__).resolve().parent.parent / ".github/workflows"
        return {path.stem: workflow_check.yaml.load(path.read_text(), workflow_check.Loader) for path in folder.glob("*.yml")}

    def test_no_two_workflows_wait_for_each_other(self):
        groups = [workflow["concurrency"]["group"] for workflow in self.workflows().values()]
        self.assertEqual(len(groups), len(set(groups)), sorted(groups))

    def test_staleness_is_not_looked_at_while_a_night_is_still_measuring(self):
        def times(name):
            for entry in self.workflows()[name]["on"]["schedule"]:
                minute, hours = entry["cron"].split()[:2]
                yield from (60 * int(hour) + int(minute) for hour in hours.split(","))
        (begin,) = times("stress-nightly")
        takes = workflow_check.PREPARE + workflow_check.MINUTES["nightly"](workflow_check.PROFILE_LIMITS["nightly"] // 60)
        late = 60  # GitHub starts scheduled runs when it has machines
        for time in times("staleness"):
            self.assertFalse(begin <= time < begin + takes + late, f"{time // 60}:{time % 60:02}")

    def test_this_repository(self):
        root = pathlib.Path(__file__).resolve().parent.parent
        self.assertEqual(0, workflow_check.main([str(root)]))


if __name__ == "__main__":
    unittest.main()
