#!/usr/bin/env bash
# nstool unshare beside unshare and bubblewrap, in turn, whole processes. Needs root, bwrap and unshare.
# usage: benches/unshare.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-301}
tools=$(mktemp -d)
trap 'rm -r "$tools"' EXIT
. benches/programs.sh

beside "-m -u -i -n" "unshare -m -u -i -n -- /bin/true" "unshare -m -u -i -n -- /bin/true"
beside "-Ur" "unshare -Ur -- /bin/true" "unshare -Ur -- /bin/true"
beside "-pf --mount-proc --kill-child" "unshare -pf --mount-proc --kill-child -- /bin/true" \
    "unshare -pf --mount-proc --kill-child -- /bin/true"

# A container from a directory, with the same mounts by both.
root=$tools/root
mkdir -p "$root/home"
binds= bwrap_binds=
for directory in /bin /lib /lib64 /usr /etc; do
    if [ -e "$directory" ]; then
        binds+=" --ro-bind $directory"
        bwrap_binds+=" --ro-bind $directory $directory"
    fi
done
beside "a container" \
    "unshare -pmuin --pivot-root $root$binds --proc /proc --dev /dev --bind $root/home:/home --hostname box --init -- /bin/true" \
    "bwrap --unshare-pid --unshare-uts --unshare-ipc --unshare-net --hostname box --bind $root /$bwrap_binds \
     --proc /proc --dev /dev --bind $root/home /home -- /bin/true"
