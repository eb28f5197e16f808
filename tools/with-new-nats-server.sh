#!/usr/bin/env bash
# Runs a test program against the newer nats-server of tools/fetch-nats-server.sh. Usage: tools/with-new-nats-server.sh PROGRAM [ARG ...]
# Exit code: the program's; 77 when there is no newer server, for ctest's SKIP_RETURN_CODE, with the reason on stderr.
set -euo pipefail

(($# > 0)) || {
    echo "usage: with-new-nats-server.sh PROGRAM [ARG ...]" >&2
    exit 104
}
server=$("$(dirname -- "${BASH_SOURCE[0]}")/fetch-nats-server.sh" --cached)
echo "nats-server under test: $server, $("$server" --version)"
exec env PARTI_NATS_SERVER="$server" PARTI_NEW_NATS_SERVER="$server" "$@"
