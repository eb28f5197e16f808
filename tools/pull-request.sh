#!/usr/bin/env bash
# What the workflow of a pull request runs: the smoke profile, the exact leak test, then memory against the merge base. Every part runs whatever became of the one before.
# Usage: tools/pull-request.sh BUILD
#
# Exit code: 0 all passed, 1 one did not.
set -euo pipefail

build=$1
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
make=${MAKE_COMMAND:-make}  # another one only in this script's own test
code=0
rm -rf -- "$build/stress-results/parts"
PROFILE=smoke "$here/part.sh" "$build" 1-smoke "$make" stress || code=1
PROFILE=standard STRESS_FILTER=ExactLeak "$here/part.sh" "$build" 2-leak "$make" stress || code=1
"$here/part.sh" "$build" 3-ab "$make" ab || code=1
exit "$code"
