# Prints what a program run by nsenter or unshare finds: its words, process state, descriptors, places, maps, mounts,
# namespaces, environment. It reads its own state by itself, so that nothing lies between.
echo "$0: $*"
while read -r key value; do
    case $key in Uid: | Gid: | Groups: | Cap* | NoNewPrivs: | Seccomp: | SigBlk: | SigIgn: | SigCgt:) echo "$key $value" ;; esac
done </proc/self/status
echo "descriptors" /proc/self/fd/*
pwd -P
for map in uid_map gid_map setgroups timens_offsets; do
    while read -r line; do echo "$map $line"; done </proc/self/$map
done
while read -r _ _ _ root at options rest; do
    case $at in / | /proc | /kept | /kept/*) echo "mount $root $at $options $rest" ;; esac
done </proc/self/mountinfo
umask
ulimit -n
readlink /proc/self/root /proc/self/ns/*
tr '\0' '\n' </proc/self/environ
