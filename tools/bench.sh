#!/usr/bin/env bash
# Runs the microbenchmarks of a build folder and compares them like everything else that is measured.
# Usage: tools/bench.sh BUILD [OPTIONS OF GOOGLE BENCHMARK ...]
#
# BENCH_BASE: the JSON file of another run to compare with; else the run before this one in the same build folder. Results: BUILD/bench/
# current.json and previous.json. A run that was worse does not become the one the next is compared with.
# Exit code: stress-report diff's (97 regression); 0 when there is nothing to compare with, or nothing comparable, which is said.
set -euo pipefail

build=$1
shift
results=$build/bench
if [[ -n ${BENCH_BASE:-} && ! -f $BENCH_BASE ]]; then
    echo "bench: BENCH_BASE '$BENCH_BASE' must be the JSON file of an earlier run; there is no such file" >&2
    exit 104
fi
mkdir -p -- "$results"
new=$results/new.json
rm -f -- "$new"
"$build/test/benchmark/parti_benchmark" --benchmark_repetitions=5 --benchmark_report_aggregates_only=false \
    --benchmark_display_aggregates_only=true "$@" --benchmark_out="$new" --benchmark_out_format=json

base=${BENCH_BASE:-}
if [[ -z $base && -s $results/current.json ]]; then
    base=$results/current.json
fi
code=0
if [[ -z $base ]]; then
    echo "bench: the first run in $build; the next one is compared with it"
else
    echo "== microbenchmarks against $base"
    "$build/test/cmd/stress-report/stress-report" diff "$base" "$new" || code=$?
    case $code in
        0) ;;
        101)
            echo "bench: not comparable (see the reason above); nothing was judged"
            code=0
            ;;
        *)
            echo "bench: FAILED (exit code $code); $new is not kept as the one to compare with" >&2
            exit "$code"
            ;;
    esac
fi
[[ ! -s $results/current.json ]] || mv -f -- "$results/current.json" "$results/previous.json"
mv -f -- "$new" "$results/current.json"
