#!/usr/bin/env bash
# Prints the report of the last stress run, or of every part of the last job, as Markdown; in GitHub Actions also into the job's summary.
# Usage: tools/summary.sh BUILD
set -euo pipefail

results=$1/stress-results
summary() {
    local newest='' part
    for part in "$results"/parts/*.md; do
        [[ ! -e $part ]] || { [[ -n $newest && $newest -nt $part ]] || newest=$part; }
    done
    # Parts of an earlier job are not the last run's.
    if [[ -n $newest && ! $results/summary.md -nt $newest ]]; then
        cat -- "$results"/parts/*.md
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
