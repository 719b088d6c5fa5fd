#!/usr/bin/env bash
# nstool enter beside nsenter with the same kinds, in turn; as root. usage: benches/enter.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-301}
tools=$(mktemp -d)
. benches/programs.sh
# Waits for its stdin to close, which ends it with us.
coproc target { unshare -muinpf --mount-proc --kill-child sh -c 'echo ready; read -r line'; }
trap 'eval "exec ${target[1]}>&-"; wait "$target_PID" || true; rm -r "$tools"' EXIT
read -r _ <&"${target[0]}"
# The last of the line of children: the shell inside, whose pid namespace is new too.
pid=$target_PID
while read -r child _ <"/proc/$pid/task/$pid/children" || [ -n "$child" ]; do pid=$child; done
for kinds in "-m -n -u -i" "-n" "-m -n -u -i -p"; do
    beside "$kinds" "enter $pid $kinds -- /bin/true" "nsenter -t $pid $kinds -- /bin/true"
done
