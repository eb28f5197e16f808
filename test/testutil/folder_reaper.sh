#!/bin/sh
# Removes folders when the process that named them is gone, whatever ended it: one path a line on stdin; at the end of stdin it removes them.
# Control groups are folders too: they go once their last process has. Started detached (setsid -f), so that neither a terminal's signals nor
# a ctest that kills a test with all its children reaches it. Used by folder_reaper.cpp and tools/temp_folder.py.
trap '' HUP INT QUIT TERM
set -f
while IFS= read -r folder; do
    set -- "$@" "$folder"
done
tries=0
while [ $# -gt 0 ] && [ $tries -lt 100 ]; do
    left=$#
    while [ $left -gt 0 ]; do
        folder=$1
        shift
        rmdir -- "$folder" 2>/dev/null || rm -rf -- "$folder" 2>/dev/null
        [ ! -e "$folder" ] || set -- "$@" "$folder"
        left=$((left - 1))
    done
    # Its processes are killed at the same moment, and one may still write: between two looks, of which there are so many.
    [ $# -eq 0 ] || sleep 0.1
    tries=$((tries + 1))
done
