#!/usr/bin/env bash
# Runs one part of a longer job and keeps its report beside those of the other parts, for tools/summary.sh.
# Usage: tools/part.sh BUILD NAME COMMAND [ARG ...]
#
# COMMAND leaves its report in BUILD/stress-results/summary.md (or diff.txt), as the stress suite does; it is moved from there. So
# one that is there afterwards is a later run's: times of files say nothing once an artifact was downloaded. Exit code: COMMAND's.
set -euo pipefail

build=$1 name=$2
shift 2
results=$build/stress-results
parts=$results/parts
mkdir -p -- "$parts"
rm -f -- "$results/summary.md" "$results/diff.txt"  # of an earlier run
printf '## %s: did not end\n\nIt was cut off; see the log.\n\n' "$name" >"$parts/$name.md"  # stays when that is so

code=0
"$@" || code=$?
{
    printf '## %s: %s\n\n' "$name" "$( ((code == 0)) && echo passed || echo "FAILED (exit code $code)")"
    if [[ -s $results/summary.md ]]; then
        cat -- "$results/summary.md"
    elif [[ -s $results/diff.txt ]]; then
        printf '```\n'
        cat -- "$results/diff.txt"
        printf '```\n'
    else
        printf 'There is no report of its own; see the log.\n'
    fi
    echo
} >"$parts/$name.md"
rm -f -- "$results/summary.md" "$results/diff.txt"
exit "$code"
