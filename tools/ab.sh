#!/usr/bin/env bash
# Builds the merge base beside this build and compares the memory of both, launches taking turns on this machine; no baseline is needed.
# Usage: tools/ab.sh BUILD. BASE_REF: the branch that is merged into (default: main), of origin where there is one.
#
# The merge base's sources are a git worktree in build/base-source, its build is build/base; both stay for the next time. The report is
# BUILD/stress-results/summary.md. Exit code: 0 also when it is inconclusive (101), which the report says; 104 no such BASE_REF; else stress-report's.
set -euo pipefail

build=$(realpath -- "$1")
ref=${BASE_REF:-main}
if git rev-parse --quiet --verify "origin/$ref^{commit}" >/dev/null; then
    ref=origin/$ref
fi
git rev-parse --quiet --verify "$ref^{commit}" >/dev/null || {
    echo "ab: BASE_REF '$ref' must be a branch or commit of this repository; was it fetched?" >&2
    exit 104
}
base=$(git merge-base "$ref" HEAD) || {
    echo "ab: HEAD and '$ref' have no common commit; was everything fetched?" >&2
    exit 100
}
if [[ $base == "$(git rev-parse HEAD)" && -z $(git status --porcelain) ]]; then
    echo "ab: HEAD is the merge base with $ref; there is nothing to compare"
    exit 0
fi
source=build/base-source
git worktree prune
if [[ -e $source/.git ]]; then
    git -C "$source" checkout --quiet --detach "$base"
else
    git worktree add --quiet --detach "$source" "$base"
fi
echo "== ab: $(git log -1 --format='%h %s' "$base") against this build"
cmake -S "$source" -B build/base -G Ninja -DCMAKE_BUILD_TYPE=Release >build/base-configure.log 2>&1 || {
    cat build/base-configure.log
    exit 100
}
cmake --build build/base -j "$(nproc)" --target worker-host nats-server-launcher parti_memory_tests
mkdir -p -- "$build/stress-results"
code=0
"$build/test/cmd/stress-report/stress-report" ab build/base "$build" --markdown "$build/stress-results/summary.md" || code=$?
((code != 101)) || code=0
exit "$code"
