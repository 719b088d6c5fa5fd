# Compares $TOOL, nsenter or unshare, with ours at $OURS: in mount and pid namespaces of its own, as root and as the user
# games. Reads command lines from stdin; prints what both say to each where that differs, then a count.
# A line is the tool's arguments, or after `@user` those for an ordinary user, or after `@sh` a command with $tool in it.
cd "$D" || exit 9
mount -t tmpfs none /run && mkdir /run/netns && ip netns add red || exit 9
printf 'games:100000:65536\ngames:300000:10\nroot:100000:65536\n' >subids
mount --bind subids /etc/subuid && mount --bind subids /etc/subgid || exit 9
cp "$OURS" nsenter && ln nsenter unshare && mkdir -m 755 kept root && touch plain && : >kept/net || exit 9
chmod 755 . && touch kept/pid kept/uts kept/time kept/mnt && export SEEN
user='setpriv --reuid 5 --regid 60 --groups 60,7'

unshare -muinCT --monotonic 70 -pf --mount-proc sleep 5001 &
unshare -UrmuinCT -pf --mount-proc sleep 5002 &
$user unshare -Urn sleep 5003 &
$user unshare -U --map-auto sleep 5004 &
$user sleep 5005 &
(cd /usr && exec unshare -m chroot / sleep 5006) &
until [ "$(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^sleep$')" = 6 ]; do :; done
pid() { grep -lsza "^$1\$" /proc/[0-9]*/cmdline | head -1 | tr -dc 0-9; }
P=$(pid 5001) U=$(pid 5002) N=$(pid 5003) A=$(pid 5004) G=$(pid 5005) R=$(pid 5006)
see="sh $SEEN"

# Namespaces by whose they are, numbers that change away.
names() { readlink /proc/"$1"/ns/* | sed "s/\(.*\):\[\(.*\)\]/s,\1:.\2.,\1 of $2,g/"; }
{
    names self us
    for target in $P $U $N $A $R; do names "$target" "$target"; done
    printf '%s\n' 's,:\[[0-9]*\],: new,' 's,/proc/[0-9]*/,/proc/N/,g' 's,\(shared\|master\):[0-9]*,\1:N,g'
    echo "s,$D/$TOOL,$(command -v "$TOOL"),g"
} >words
run() {
    case $line in
    '@user '*) eval "set -- ${line#@user }" && $user "$tool" "$@" ;;
    '@sh '*) eval "${line#@sh }" ;;
    *) eval "set -- $line" && "$tool" "$@" ;;
    esac
}
ends() { # Runs $tool, and takes back what it leaves.
    (run) </dev/null 7</dev/null >out 2>err
    status=$?
    case $line in
    # The order of lines in a map means nothing.
    *--map-*) sed -f words out | sort ;;
    *) sed -f words out ;;
    esac
    echo "--"
    sed -f words err
    echo "[$status]"
    case $line in *kept*) ;; *) return ;; esac
    # Lazily, for whoever looks at all mounts of the machine just now makes them busy.
    for file in kept/*; do while umount -l "$file" 2>/dev/null && echo "kept $file"; do :; done; done
}
count=0
while read -r line; do
    case $line in '' | '#'*) continue ;; esac
    tool=$(command -v "$TOOL") && theirs=$(ends)
    tool=$D/$TOOL && ours=$(ends)
    count=$((count + 1))
    [ "$theirs" = "$ours" ] || printf '=== %s %s\n--- theirs\n%s\n--- ours\n%s\n' "$TOOL" "$line" "$theirs" "$ours"
done
echo "compared $count"
