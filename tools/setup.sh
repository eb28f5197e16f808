#!/usr/bin/env bash
# Installs the Debian packages that building and testing parti needs. Silent and fast when all of them are there.
#
# Starts no service: while packages are installed, a policy-rc.d that forbids it is in place; what was there before is put back
# afterwards, also on failure and on interrupts (after a kill -9, by the next run).
# Usage: tools/setup.sh [--list | --only PACKAGE ...]
#   --list     prints the packages, one a line, and does nothing else
#   --only     installs these of them: what a job that builds nothing needs
# PARTI_SKIP_SETUP=1 skips everything, for machines that provide the tools in another way.
set -euo pipefail

# ca-certificates, curl, clang and such are not needed: nothing is downloaded but these packages.
packages=(
    g++ cmake ninja-build ccache make git pkg-config python3 procps
    libnats-dev nats-server
    libboost-dev libboost-system-dev libboost-filesystem-dev
    libexpected-dev libxxhash-dev zlib1g-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
    libgtest-dev libgmock-dev libbenchmark-dev
    shellcheck yamllint
)
policy=${PARTI_POLICY_RC_D:-/usr/sbin/policy-rc.d}  # another path only in this script's own test
mark="# written by parti's tools/setup.sh"

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Prints the packages that are not installed.
missing_packages() {
    local installed
    # dpkg-query exits 1 when it does not know a package; what it knows is printed all the same. The architecture is cut off.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "${packages[@]}" 2>/dev/null |
        sed -n 's/^installed \([^:]*\).*/\1/p') || true
    local package
    for package in "${packages[@]}"; do
        [[ $'\n'$installed$'\n' == *$'\n'$package$'\n'* ]] || printf '%s\n' "$package"
    done
}

# Puts back what was there before. Does nothing when the policy is not ours.
restore_policy() {
    if [[ -f $policy ]] && grep -qF "$mark" "$policy"; then
        if [[ -e $policy.before-parti ]]; then
            mv -f -- "$policy.before-parti" "$policy"
        else
            rm -f -- "$policy"
        fi
    fi
}

forbid_services() {
    restore_policy  # of a run that was killed
    if [[ -e $policy ]]; then
        cp -a -- "$policy" "$policy.before-parti"
    fi
    trap restore_policy EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local next
    next=$(mktemp "$policy.XXXXXX")
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$next"
    chmod 755 "$next"
    mv -f -- "$next" "$policy"
}

install_missing() {
    printf 'setup: installing %s\n' "$*"
    forbid_services
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local options=(-y -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    apt-get "${options[@]}" update 9<&- ||
        printf 'setup: warning: the package lists could not be refreshed; trying with those at hand\n' >&2
    apt-get "${options[@]}" install --no-install-recommends "$@" 9<&- || true  # what is missing afterwards tells success
}

main() {
    if [[ ${1:-} == --list ]]; then
        printf '%s\n' "${packages[@]}"
        return
    fi
    local again=()
    if [[ ${1:-} == --only ]]; then
        again=("$@")
        packages=("${@:2}")
    fi
    [[ ${PARTI_SKIP_SETUP:-} != 1 ]] || return 0
    { command -v dpkg-query && command -v apt-get; } >/dev/null ||
        fail "needs Debian 12 or a relative (dpkg-query and apt-get). Elsewhere install the equivalents of these packages," \
            "then set PARTI_SKIP_SETUP=1: ${packages[*]}"
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0

    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null ||
            fail "missing: ${missing[*]}. You are not root and there is no sudo; as root run: apt-get install ${missing[*]}"
        sudo env PARTI_POLICY_RC_D="$policy" bash "${BASH_SOURCE[0]}" "${again[@]}" ||
            fail "sudo failed. As root run: apt-get install ${missing[*]}"
        return
    fi
    # One installation at a time: two would each take the other's policy for the one to put back.
    exec 9<"${policy%/*}"
    flock 9
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    install_missing "${missing[@]}"
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} == 0)) ||
        fail "could not install: ${missing[*]} (see apt's messages above). Try: apt-get update && apt-get install ${missing[*]}"
    printf 'setup: done\n'
}

main "$@"
