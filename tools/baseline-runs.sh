#!/usr/bin/env bash
# Makes the three runs a new baseline is promoted from. A regression against the present one is what this is for and does not stop it; a
# test that fails does.
# Usage: tools/baseline-runs.sh BUILD
set -euo pipefail

build=$1
make=${MAKE_COMMAND:-make}  # another one only in this script's own test
for run in 1 2 3; do
    echo "== baseline run $run of 3"
    code=0
    "$make" stress || code=$?
    ((code != 0)) || continue
    # ctest lists what failed as "	 17 - stress_diff (Failed)", names first in newer versions; the diff alone may be there.
    failed=$(sed -n '/^The following tests FAILED:/,/^Errors while running/s/^[[:space:]]*[0-9]* - \([^ ]*\) .*/\1/p' "$build/stress.log")
    [[ $failed == stress_diff ]] || {
        echo "baseline-runs: run $run failed: ${failed:-see the messages above}" >&2
        exit 1
    }
    echo "baseline-runs: the figures differ from the present baseline, as is expected of a change that is meant"
done
