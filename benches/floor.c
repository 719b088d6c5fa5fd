// The floor under the process source: the system calls it makes, and nothing else. For every process of the machine:
// pidfd_open, for each of eight links a PIDFD_GET_*_NAMESPACE, NS_GET_ID and close (the pid and time namespace follow from
// those for children), with one descriptor of each distinct namespace kept open. Prints the number of processes, and the CPU time in microseconds.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_GET_ID _IOR(0xb7, 13, uint64_t)
#define SLOTS (1 << 18)

static uint64_t seen[SLOTS];

static int is_new(uint64_t id)
{
    uint64_t at = (id * 0x9e3779b97f4a7c15u) >> 46;
    while (seen[at] && seen[at] != id)
        at = (at + 1) % SLOTS;
    if (seen[at])
        return 0;
    seen[at] = id;
    return 1;
}

int main(void)
{
    struct rusage before, after;
    struct rlimit limit;
    int processes = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrusage(RUSAGE_SELF, &before);
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0)
            continue;
        int pidfd = syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0)
            continue;
        processes++;
        for (int request = 1; request <= 10; request++) {
            uint64_t id;
            if (request == 5 || request == 7) // PIDFD_GET_PID_NAMESPACE, PIDFD_GET_TIME_NAMESPACE
                continue;
            int fd = ioctl(pidfd, _IO(0xff, request), 0);
            if (fd < 0)
                continue;
            struct stat stat;
            if (ioctl(fd, NS_GET_ID, &id) || !is_new(id) || fstat(fd, &stat))
                close(fd);
        }
        close(pidfd);
    }
    closedir(proc);
    getrusage(RUSAGE_SELF, &after);
    long micros = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000L
        + after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    printf("%d %ld\n", processes, micros);
    return 0;
}
