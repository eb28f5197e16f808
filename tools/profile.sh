#!/usr/bin/env bash
# Reruns one configuration of the stress suite with a profiler on its worker processes, and keeps what it saw beside the last run's results.
# Usage: tools/profile.sh BUILD. TEST: the name of one stress test, or a part that only its name has: Launches/10w_100p. KIND: cpu (perf) or heap (heaptrack).
#
# The rerun is nobody's measurement: one launch, results of its own that no diff reads. The measured run never has a
# profiler on it. Left in stress-results/<run>/profiles/<test>.<kind>/, for each worker process:
#   cpu-<pid>.data, cpu-<pid>.txt       perf's samples (cpu-clock, 999 Hz), and where the time went
#   heap-<pid>.gz, heap-<pid>.txt       heaptrack's data (heaptrack_gui reads it), and what allocates, at its peak and in all
# and profile.json, which names them: the run's report, which is written again, links them.
# Exit code: the test's; 100 a tool is missing, 104 no such test or kind.
set -euo pipefail

build=$(realpath -- "$1")
kind=${KIND:-cpu} wanted=${TEST:-}
fail() {
    local code=$1
    shift
    printf 'profile: %s\n' "$*" >&2
    exit "$code"
}
case $kind in
    cpu) tool=perf package=linux-perf ;;
    heap) tool=heaptrack package=heaptrack ;;
    *) fail 104 "KIND '$kind' must be cpu or heap" ;;
esac
[[ -n $wanted ]] || fail 104 "which test? make profile TEST=Launches/10w_100p KIND=$kind"
command -v "$tool" >/dev/null || fail 100 "there is no $tool: apt-get install $package"

# The one stress test of that name, and how it is started: "<name><tab><program> <--gtest_filter=...>"
found=$(ctest --test-dir "$build" -L '^(stress|soak|ladder|matrix)$' --show-only=json-v1 2>/dev/null | python3 -c '
import json, sys
for test in json.load(sys.stdin)["tests"]:
    if sys.argv[1] in test["name"] and any(a.startswith("--gtest_filter=") for a in test.get("command", [])):
        print(test["name"], *test["command"], sep="\t")' "$wanted")
[[ -n $found ]] || fail 104 "no stress test has '$wanted' in its name; ctest -N -L stress in $build lists them"
[[ $(wc -l <<<"$found") == 1 ]] || fail 104 "'$wanted' is in more than one name: $(cut -f 1 <<<"$found" | tr '\n' ' ')"
IFS=$'\t' read -ra command <<<"$found"
name=${command[0]}

results=$build/stress-results
run=
[[ ! -s $results/current ]] || run=$(cat -- "$results/current")/
folder=$results/${run}profiles/${name//\//.}.$kind
rm -rf -- "$folder"
mkdir -p -- "$folder"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
exec {reaper}> >(exec setsid -f sh "${0%/*}/../test/testutil/folder_reaper.sh" >/dev/null 2>&1)  # for what no trap sees
echo "$work" >&"$reaper"

# What is started in the worker's place: it keeps its pid, and so does the worker. The profiler has nothing of its pipes.
worker=$(realpath -- "${PARTI_STRESS_WORKER:-$build/test/cmd/worker-host/worker-host}")
{
    # shellcheck disable=SC2016  # $$ and $@ are the written script's
    printf '#!/bin/sh\nprintf "%%s " "$@" >"%s/$$.args"\n' "$work"
    if [[ $kind == cpu ]]; then
        # shellcheck disable=SC2016
        printf 'perf record --quiet -e cpu-clock -F 999 -o "%s/cpu-$$.data" -p $$ </dev/null >"%s/$$.log" 2>&1 &\n' "$folder" "$work"
    else
        # shellcheck disable=SC2016
        printf 'export DUMP_HEAPTRACK_OUTPUT="%s/$$.raw" LD_PRELOAD=%s\n' "$work" /usr/lib/heaptrack/libheaptrack_preload.so
    fi
    # shellcheck disable=SC2016
    printf 'exec "%s" "$@"\n' "$worker"
} >"$work/profiled-worker"
chmod +x "$work/profiled-worker"

echo "== profile: $name again, with $tool on each worker process"
code=0
report=$build/test/cmd/stress-report/stress-report
"$report" begin "$work/results" >/dev/null
PARTI_STRESS_RUN_DIR="$work/results" PARTI_STRESS_LAUNCHES=1 PARTI_STRESS_WORKER="$work/profiled-worker" "${command[@]:1}" ||
    code=$?

entries=()
for args in "$work"/*.args; do
    [[ -e $args ]] || fail 100 "the test started no worker process (its exit code: $code)"
    pid=$(basename -- "$args" .args)
    if [[ $kind == cpu ]]; then
        data=$folder/cpu-$pid.data
        [[ -s $data ]] || fail 100 "perf recorded nothing: $(cat -- "$work/$pid.log")"
        perf report --stdio --no-children --sort symbol,dso -i "$data" >"$folder/cpu-$pid.txt" 2>/dev/null
    else
        data=$folder/heap-$pid.gz
        [[ -s $work/$pid.raw ]] || fail 100 "heaptrack recorded nothing for process $pid"
        /usr/lib/heaptrack/libexec/heaptrack_interpret <"$work/$pid.raw" 2>/dev/null | gzip >"$data"
        heaptrack_print --print-leaks 0 "$data" >"$folder/heap-$pid.txt" 2>/dev/null
    fi
    entries+=("$(basename -- "$data")" "$kind-$pid.txt" "$(cat -- "$args")")
done
shown=$(python3 -c '
import json, re, sys
folder, test, kind, tool, code, *entries = sys.argv[1:]
processes = [{"data": d, "text": t, "arguments": a.strip()} for d, t, a in zip(entries[::3], entries[1::3], entries[2::3])]
with open(f"{folder}/profile.json", "w", encoding="utf-8") as out:
    json.dump({"schema": "parti-profile/1", "test": test, "kind": kind, "tool": tool, "exit_code": int(code), "processes": processes}, out, indent=1)
    out.write("\n")
workers = lambda p: int((re.search(r"--workers (\d+)", p["arguments"]) or [0, 0])[1])
print(max(processes, key=workers)["text"])' "$folder" "$name" "$kind" "$("$tool" --version | head -n 1)" "$code" "${entries[@]}")

[[ -z $run ]] || "$report" report "$results" --html "$results/report.html" >/dev/null || echo "profile: the report could not be written again" >&2
echo "== $folder/$shown (the process with most workers)"
if [[ $kind == cpu ]]; then
    grep -v -e '^#' -e '^$' "$folder/$shown" | head -n 12 || true
else
    grep -E '^(total runtime|calls to allocation|temporary memory|peak heap|peak RSS|total memory leaked)' "$folder/$shown" || true
fi
exit "$code"
