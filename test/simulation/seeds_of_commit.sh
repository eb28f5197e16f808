#!/bin/sh
# Runs seeds drawn from the hash of the commit that is checked out: every commit explores others. Without git: a fixed first seed.
#   seeds_of_commit.sh SIMULATE RUNS
set -eu
here=$(dirname "$0")
hash=$(git -C "$here" rev-parse --verify -q HEAD 2>/dev/null || true)
if [ -n "$hash" ]; then
    first=$(printf '%d' "0x$(printf %s "$hash" | cut -c1-10)")
else
    first=777000001
fi
echo "seeds from $first on, of commit ${hash:-(no git)}"
exec "$1" --runs "$2" --first "$first" --any-totals
