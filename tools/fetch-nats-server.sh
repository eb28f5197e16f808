#!/usr/bin/env bash
# Puts a newer nats-server than Debian 12's into the build folder and prints the path of the binary.
#
# From Debian's own archive: a pinned suite, its signature and the package's checksum verified by apt, unpacked with dpkg-deb. Nothing of
# the system is touched: apt works in a folder of its own, nothing is installed, no root is needed.
# Usage: tools/fetch-nats-server.sh [--cached] [SUITE]      SUITE: forky (default) or trixie
#   --cached   never asks the network: prints what is there, or fails
# PARTI_NEW_NATS_SERVER names a binary to use instead; then nothing is fetched. PARTI_DEBIAN_MIRROR replaces http://deb.debian.org/debian.
#
# Output: the path on stdout, everything else on stderr. Exit codes: 0, 77 it cannot be had (the last line says why), 104 bad usage.
set -euo pipefail

readonly cannot=77 bad_usage=104
readonly seconds_max=180
readonly mirror=${PARTI_DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'fetch-nats-server: %s\n' "$*" >&2; }
fail() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# Prints the version the binary itself gives, "2.15.1"; fails when it is no nats-server that runs here.
version_of() {
    local said
    said=$("$1" --version 2>/dev/null) || return 1
    [[ $said =~ ^nats-server:\ v([0-9]+\.[0-9]+\.[0-9]+) ]] || return 1
    printf '%s\n' "${BASH_REMATCH[1]}"
}

# apt with lists, cache and status below $work.
private_apt() {
    local command=$1
    shift
    local options=(
        -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache"
        -o "Dir::Etc::sourcelist=$work/list.sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::main=/dev/null
        -o Dir::Etc::parts=/dev/null -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o APT::Update::Error-Mode=any
        -o "APT::Sandbox::User=$(id -un)"
    )
    timeout "$seconds_max" "$command" -q "${options[@]}" "$@"
}

# Downloads and unpacks into $work, and moves the binary to $1 at the end, so that a half-made one is never found.
fetch() {
    local target=$1 suite=$2 package
    for tool in apt-get dpkg-deb timeout; do
        command -v "$tool" >/dev/null || fail "$cannot" "there is no $tool: this needs Debian or a relative"
    done
    [[ -r $keyring ]] || fail "$cannot" "there is no $keyring, which the archive's signature is checked with"
    mkdir -p -- "${target%/*}"
    work=$(mktemp -d -- "${target%/*}/work.XXXXXX")
    trap 'rm -rf -- "$work"' EXIT
    exec {reaper}> >(exec setsid -f sh "${0%/*}/../test/testutil/folder_reaper.sh" >/dev/null 2>&1)  # for what no trap sees
    realpath -- "$work" >&"$reaper"
    mkdir -p -- "$work/state/lists/partial" "$work/cache/archives/partial" "$work/download" "$work/unpacked"
    : >"$work/state/status"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$suite" "$keyring" >"$work/list.sources"
    say "asking $mirror for nats-server of $suite"
    private_apt apt-get update >&2 || fail "$cannot" "the package lists of $suite cannot be had from $mirror (offline?)"
    (cd -- "$work/download" && private_apt apt-get download nats-server >&2) ||
        fail "$cannot" "$suite has no nats-server for this architecture, or it cannot be downloaded from $mirror"
    package=$(find "$work/download" -name 'nats-server_*.deb' -print -quit)
    [[ -n $package ]] || fail "$cannot" "apt-get download left no package"
    dpkg-deb --extract "$package" "$work/unpacked" >&2 || fail "$cannot" "${package##*/} cannot be unpacked"
    local binary
    binary=$(find "$work/unpacked" -type f -name nats-server -perm -u+x -print -quit)
    [[ -n $binary ]] || fail "$cannot" "${package##*/} contains no nats-server"
    version_of "$binary" >/dev/null || fail "$cannot" "the nats-server of $suite does not run here"
    mv -f -- "$binary" "$target"
    say "${package##*/}: nats-server $(version_of "$target")"
}

main() {
    local cached=false suite=forky
    for argument in "$@"; do
        case $argument in
            --cached) cached=true ;;
            forky | trixie) suite=$argument ;;
            *) fail "$bad_usage" "'$argument' must be --cached, forky or trixie" ;;
        esac
    done
    if [[ -n ${PARTI_NEW_NATS_SERVER:-} ]]; then
        version_of "$PARTI_NEW_NATS_SERVER" >/dev/null ||
            fail "$bad_usage" "PARTI_NEW_NATS_SERVER='$PARTI_NEW_NATS_SERVER' must name a nats-server that runs here"
        printf '%s\n' "$PARTI_NEW_NATS_SERVER"
        return
    fi
    local root target
    root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
    target=${PARTI_NATS_CACHE:-$root/build/nats-server}/$suite/nats-server
    if ! version_of "$target" >/dev/null; then
        ! $cached || fail "$cannot" "no newer nats-server at $target; fetch it with: tools/fetch-nats-server.sh $suite"
        fetch "$target" "$suite"
    fi
    printf '%s\n' "$target"
}

main "$@"
