#!/usr/bin/env bash
# What the nightly workflow runs, by TYPE: all (default), memory, scale, scenario (stress tests of those names) or selftest (make
# alarms: the self-tests; then over twenty runs each a 16-byte leak is found, nothing changed is silent, and +15 % is found).
# Usage: tools/nightly.sh BUILD. PROFILE and STRESS_FILTER as in `make stress`; a filter given wins over the type's.
#
# Every part runs whatever became of the one before. Exit code: 0 all passed, 1 one did not, 104 bad type.
set -euo pipefail

build=$1
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
make=${MAKE_COMMAND:-make}  # another one only in this script's own test
declare -A filters=([all]='' [memory]='^TestMemoryBenchmark' [scale]='^TestScale' [scenario]='^TestScenario' [selftest]='')
type=${TYPE:-all}
[[ -n ${filters[$type]+known} ]] || {
    echo "nightly: TYPE '$type' must be all, memory, scale, scenario or selftest" >&2
    exit 104
}

code=0
rm -rf -- "$build/stress-results/parts"
if [[ $type != selftest ]]; then
    STRESS_FILTER=${STRESS_FILTER:-${filters[$type]}} "$here/part.sh" "$build" stress "$make" stress || code=1
fi
if [[ $type == all || $type == selftest ]]; then
    "$here/part.sh" "$build" alarms "$make" alarms || code=1
fi
exit "$code"
