#!/usr/bin/env bash
# Puts the new baseline that `make baseline` wrote into a branch and opens a pull request, for the workflow of that name.
# Usage: tools/baseline-pull.sh. REASON: why the cost changed. GITHUB_*: as GitHub Actions sets them.
#
# Each attempt of a run has a branch of its own: the one before may have pushed. Where no workflow may open a pull request, the
# address to open it by hand is printed. Exit codes: 0 opened, 1 nothing changed or refused, 104 usage.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
folder=test/stress/baselines
for name in REASON GITHUB_TOKEN GITHUB_REPOSITORY GITHUB_RUN_ID GITHUB_REF_NAME; do
    [[ -n ${!name:-} ]] || {
        echo "baseline-pull: $name must be set: this runs in GitHub Actions" >&2
        exit 104
    }
done
if [[ -z $(git status --porcelain -- "$folder") ]]; then
    echo "baseline-pull: $folder has not changed; there is nothing to review" >&2
    exit 1
fi
branch=baseline-$GITHUB_RUN_ID-${GITHUB_RUN_ATTEMPT:-1}
git switch --quiet --create "$branch"
git add -- "$folder"
git -c user.name='github-actions[bot]' -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
    commit --quiet -m 'New stress baseline' -m "$REASON"
# The token goes to git through its environment: not into the configuration, not into the arguments that any process can read.
GIT_CONFIG_COUNT=$((${GIT_CONFIG_COUNT:-0} + 1))
export GIT_CONFIG_COUNT
export "GIT_CONFIG_KEY_$((GIT_CONFIG_COUNT - 1))=http.extraheader"
export "GIT_CONFIG_VALUE_$((GIT_CONFIG_COUNT - 1))=AUTHORIZATION: basic $(printf 'x-access-token:%s' "$GITHUB_TOKEN" | base64 -w 0)"
git push --quiet "${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY.git" "$branch"
text=$(mktemp)
trap 'rm -f -- "$text"' EXIT
# shellcheck disable=SC2016  # the backquotes are Markdown's
printf '%s\n\nMeasured three times by run %s. Review it like code: `git diff` names every figure that moved.\n' "$REASON" "$GITHUB_RUN_ID" >"$text"
"$here/github.py" pull "$branch" "New stress baseline" "$text"
