#!/usr/bin/env bash
# nstool ls -l beside lsns -l, in turn, on a machine with more and more processes. usage: benches/ls.sh [N…]
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
tools=$(mktemp -d)
trap 'rm -r "$tools"' EXIT
for tool in sleepers pair; do
    cc -O2 -o "$tools/$tool" "benches/$tool.c"
done
nstool=$PWD/target/release/nstool
for count in "${@:-0 1000 16000}"; do
    for n in $count; do
        coproc crowd { "$tools/sleepers" "$n"; }
        read -r _ <&"${crowd[0]}"
        echo "== $n sleepers"
        "$tools/pair" $((n > 4000 ? 5 : 41)) "$nstool ls -l" "lsns -l"
        # The crowd leaves when its stdin closes.
        eval "exec ${crowd[1]}>&-"
        wait "$crowd_PID" || true
    done
done
