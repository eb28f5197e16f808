#!/usr/bin/env bash
# Runs the stress suite of a build folder with its output as it comes, then prints the diff against the baseline.
# Usage: tools/stress.sh BUILD. The build folder's PARTI_STRESS_PROFILE says which tests there are.
#   STRESS_FILTER      a regular expression; only tests whose names match it run (and the diff of those)
#   STRESS_HISTORY     the file of all runs' medians, to which this run is added (default: BUILD/stress-results/history.ndjson); what has
#                      changed in it for good is shown, and never fails the run
#   STRESS_DASHBOARD   a port: a live page about the run on http://127.0.0.1:PORT/ (0: any that is free); ends with the run
# The report of the run is written to BUILD/stress-results/report.html, and as Markdown to summary.md beside it.
#
# Exit code: 0 passed (also when nothing is comparable with the baseline, which is said), otherwise not 0.
set -euo pipefail

build=$1
results=$build/stress-results
report=$build/test/cmd/stress-report/stress-report
filter=${STRESS_FILTER:-}
if [[ -n ${STRESS_DASHBOARD:-} && ! $STRESS_DASHBOARD =~ ^[0-9]{1,5}$ ]] || ((10#${STRESS_DASHBOARD:-0} > 65535)); then
    echo "stress: DASHBOARD '$STRESS_DASHBOARD' must be a port from 0 to 65535" >&2
    exit 104
fi
history=${STRESS_HISTORY:-$results/history.ndjson}
log=$build/stress.log
table=$results/diff.txt
rm -f -- "$log" "$table" "$results/report.html" "$results/summary.md"  # of an earlier run
earlier=$(cat -- "$results/current" 2>/dev/null || true)

# The long tests have labels of their own, and are part of every profile but the default one.
profile=$(sed -n 's/^PARTI_STRESS_PROFILE:[A-Z]*=//p' "$build/CMakeCache.txt" 2>/dev/null || true)
profile=${profile:-standard}
labels='^stress$'
[[ $profile == standard ]] || labels='^(stress|soak|ladder|matrix)$'

arguments=(-L "$labels" --timeout 900 --no-tests=error -j 1 -V)
[[ -z $filter ]] || arguments+=(-R "$filter")
echo "== stress: profile $profile: ctest ${arguments[*]} (in $build; everything is kept in $log)"

# For the live page: how many tests there will be.
mkdir -p "$results"
found=$( (cd "$build" && ctest "${arguments[@]}" -N 2>/dev/null) | sed -n 's/^ *Test *#[0-9]*: //p' || true)
grep -vxE 'stress_(begin|diff)|' <<<"$found" >"$results/planned.txt" || true
if [[ -n $filter && -e $build/CTestTestfile.cmake && -z $found ]]; then
    echo "stress: STRESS_FILTER '$filter' matches no test of profile $profile; (cd $build && ctest -N -L '$labels') lists them" >&2
    exit 104
fi
dashboard=
if [[ -n ${STRESS_DASHBOARD:-} ]]; then
    "$report" dashboard "$results" --port "$STRESS_DASHBOARD" &
    dashboard=$!
    trap 'kill "$dashboard" 2>/dev/null || true; wait "$dashboard" 2>/dev/null || true' EXIT
fi

# ctest's own chatter is left out; the exit code that counts is ctest's.
noise='^([0-9]+: (Test command|Working Directory|Environment variables|Test timeout computed to be):?|UpdateCTestConfiguration|'
noise+='Parse Config file|Constructing a list of tests|Done constructing|Updating test list|Checking test dependency|'
noise+='Added [0-9]+ tests|[0-9]+: +[A-Z_]+=.*$|test [0-9]+$)'
SECONDS=0
set +e
(cd "$build" && exec ctest "${arguments[@]}") 2>&1 | tee "$log" | grep --line-buffered -Ev "$noise"
code=${PIPESTATUS[0]}
set -e

took=$SECONDS

echo
echo "== profile $profile took $((took / 60)) min $((took % 60)) s"
# What exceeded its budget is named: on an idle machine the budget is too small, or the test has become slower.
sed -n 's|^[0-9]*: \(Test.* took .*(exceeded)\)$|  \1|p' "$log"
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
if [[ -x $report && $(cat -- "$results/current" 2>/dev/null || true) == "$earlier" ]]; then
    echo "stress: no run began (see above), so there is no report of one" >&2
elif [[ -x $report ]]; then
    echo
    echo "== history (advisory): $history"
    if "$report" history add "$results" --file "$history" 2>&1; then
        "$report" history check --file "$history" 2>&1 || true
    else
        echo "history: this run is not part of it"
    fi
    echo
    echo "== report"
    "$report" report "$results" --history "$history" --html "$results/report.html" --markdown "$results/summary.md" || { ((code != 0)) || code=1; }
fi
((code == 0)) || echo "stress: FAILED (ctest exit code $code)" >&2
exit "$code"
