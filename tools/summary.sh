#!/usr/bin/env bash
# Prints the report of the last stress run, or of every part of the last job, as Markdown; in GitHub Actions also into the job's summary.
# Usage: tools/summary.sh BUILD
set -euo pipefail

results=$1/stress-results
summary() {
    local parts=("$results"/parts/*.md) single=
    # tools/part.sh moves each part's report: one that is here is a later run's, or half of what a part that was cut off has left.
    if [[ -s $results/summary.md || -s $results/diff.txt ]] && ! grep -qs '^## .*: did not end$' "${parts[@]}"; then
        single=yes
    fi
    if [[ -e ${parts[0]} && -z $single ]]; then
        cat -- "${parts[@]}"
    elif [[ -s $results/summary.md ]]; then
        cat -- "$results/summary.md"
    elif [[ -s $results/diff.txt ]]; then
        printf '### Stress suite: diff against the baseline\n\n```\n'
        cat -- "$results/diff.txt"
        printf '```\n'
    else
        printf '### Stress suite: no results\n\nThe run ended before anything could be compared.\n'
    fi
}
summary | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
