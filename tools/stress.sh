#!/usr/bin/env bash
# Runs the stress suite of a build folder with its output as it comes, then prints the diff against the baseline.
# Usage: tools/stress.sh BUILD. STRESS_FILTER: a regular expression; only tests whose names match it run (and the diff of those).
#
# Exit code: 0 passed (also when nothing is comparable with the baseline, which is said), otherwise not 0.
set -euo pipefail

build=$1
filter=${STRESS_FILTER:-}
log=$build/stress.log
table=$build/stress-results/diff.txt
rm -f -- "$log" "$table"  # of an earlier run

arguments=(-L '^stress$' --timeout 900 --no-tests=error -j 1 -V)
[[ -z $filter ]] || arguments+=(-R "$filter")
echo "== stress: ctest ${arguments[*]} (in $build; everything is kept in $log)"

# ctest's own chatter is left out; the exit code that counts is ctest's.
noise='^([0-9]+: (Test command|Working Directory|Environment variables|Test timeout computed to be):?|UpdateCTestConfiguration|'
noise+='Parse Config file|Constructing a list of tests|Done constructing|Updating test list|Checking test dependency|'
noise+='Added [0-9]+ tests|[0-9]+: +[A-Z_]+=.*$|test [0-9]+$)'
set +e
(cd "$build" && exec ctest "${arguments[@]}") 2>&1 | tee "$log" | grep --line-buffered -Ev "$noise"
code=${PIPESTATUS[0]}
set -e

echo
echo "== diff against the committed baseline"
if [[ -s $table ]]; then
    cat -- "$table"
fi
# The line of ctest's progress: " 7/7 Test #7: stress_diff ...   Passed    0.02 sec"
verdict=$(sed -n 's/^.*Test *#[0-9]*: stress_diff [ .]*\(.*[^ ]\)  *[0-9.]* sec.*$/\1/p' "$log" | tail -n 1)
case $verdict in
    Passed) echo "stress_diff: no regression" ;;
    *Skipped*) echo "stress_diff: not comparable with the baseline (see the reason above); nothing was judged" ;;
    '')
        echo "stress_diff: did not run" >&2
        ((code != 0)) || code=1
        ;;
    *) echo "stress_diff: $verdict" >&2 ;;
esac
((code == 0)) || echo "stress: FAILED (ctest exit code $code)" >&2
exit "$code"
