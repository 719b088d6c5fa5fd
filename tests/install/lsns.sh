# Compares lsns with $LSNS, the same tool of ours: first in a pid namespace of its own, with its own /proc, so that nothing
# else comes or goes. Reads command lines from stdin; prints what both say to each where that differs, then a count.
mount -t tmpfs none /run && mkdir /run/netns && ip netns add red || exit 9
sleep 4001 & unshare -n sleep 4002 & unshare -Ur unshare -Ur sleep 4003 & unshare -um sh -c 'sleep 4004; :' &
sh -c 'unshare -n sleep 4005; :' & sh -c 'unshare -u sh -c "unshare -u sleep 4006; :"; :' &
ip netns exec red sleep 4007 & unshare -i sh -c 'sleep 4008; :' '' '# \x41 back\slash' &
unshare -C sleep 4009 & unshare -n sh -c 'sleep 4010; :' 'tab	and é and
newline' &
# Ids of three digits from here.
n=0; while [ $n -lt 100 ]; do (exit); n=$((n + 1)); done
unshare -pf --mount-proc sh -c 'sleep 4011; :' & unshare -T --fork sleep 4012 &
until [ "$(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^sleep$')" = 12 ]; do :; done

pid() { grep -lsza "^$1\$" /proc/[0-9]*/cmdline | head -1 | tr -dc 0-9; }
inode() { stat -Lc %i "/proc/$1/ns/$2"; }
P4=$(pid 4004) NET2=$(inode "$(pid 4002)" net) UTS4=$(inode "$P4" uts)
count=0
while read -r line; do
    eval "set -- $line"
    theirs=$(lsns "$@" 2>&1; echo "[$?]")
    ours=$(PATH=${LSNS%/*}:$PATH; lsns "$@" 2>&1; echo "[$?]")
    count=$((count + 1))
    [ "$theirs" = "$ours" ] || printf '=== lsns %s\n--- theirs\n%s\n--- ours\n%s\n' "$line" "$theirs" "$ours"
done
echo "compared $count"
