#!/usr/bin/env bash
# Prints the report of the last stress run as Markdown; in GitHub Actions also into the job's summary.
# Usage: tools/summary.sh BUILD
set -euo pipefail

results=$1/stress-results
summary() {
    if [[ -s $results/summary.md ]]; then
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
