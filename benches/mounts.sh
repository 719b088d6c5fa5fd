#!/usr/bin/env bash
# nstool mounts beside findmnt on one namespace of 10,000 mounts, and the check of 200 namespaces of 200 shared mounts
# beside cat reading their tables. Wants root; all happens in a mount namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1-}" != inside ]; then
    cargo build --release --quiet
    tools=$(mktemp -d)
    trap 'rm -r "$tools"' EXIT
    cc -O2 -o "$tools/pair" benches/pair.c
    mkdir "$tools/many"
    unshare --mount "$0" inside "$tools"
    exit
fi
tools=$2
nstool=$PWD/target/release/nstool
# Makes that many mounts below a shared one.
make_mounts() {
    mount -t tmpfs many "$tools/many"
    mount --make-shared "$tools/many"
    seq -f "$tools/many/%g" "$1" | xargs mkdir
    seq -f "$tools/many/%g" "$1" | xargs -n 1 mount -t tmpfs -o size=4k many
}
echo "== one namespace of 10,000 mounts"
make_mounts 10000
"$tools/pair" 5 "$nstool mounts" "findmnt -o TARGET,FSTYPE,SOURCE,PROPAGATION,OPT-FIELDS"
umount --lazy "$tools/many"

echo "== 200 namespaces of 200 mounts"
make_mounts 200
read -r -d '' crowd <<'SCRIPT' || true
for _ in $(seq 200); do
    unshare --mount --propagation unchanged sh -c 'echo $$; read -r end' <&3 &
done
wait
SCRIPT
coproc namespaces { exec 3<&0; bash -c "$crowd"; }
pids=()
for _ in $(seq 200); do
    read -r pid <&"${namespaces[0]}"
    pids+=("$pid")
done
# The check exits with 1, since there is something to find.
printf '#!/bin/sh\n%s mounts --check-shared --all || [ $? = 1 ]\n' "$nstool" >"$tools/check"
printf '#!/bin/sh\nexec cat %s\n' "$(printf '/proc/%s/mountinfo ' "${pids[@]}")" >"$tools/read"
chmod +x "$tools/check" "$tools/read"
"$tools/pair" 11 "$tools/check" "$tools/read"
# The crowd leaves when its stdin closes.
eval "exec ${namespaces[1]}>&-"
wait "$namespaces_PID" || true
