// Times two commands in turn, so that both meet the same machine; output goes to /dev/null.
// usage: pair ROUNDS COMMAND-A COMMAND-B        (each a line for sh -c exec, or a program's words)
// Prints for each the median wall time and CPU time in milliseconds and the peak memory in KiB, then A's share of B's
// wall time, as a ratio B/A.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
    double wall, cpu;
    long memory;
};

static char *words[2][64];

static void split(char *line, char **into)
{
    int count = 0;
    for (char *word = strtok(line, " "); word && count < 63; word = strtok(NULL, " "))
        into[count++] = word;
    into[count] = NULL;
}

static struct run measure(char **command)
{
    struct timespec before, after;
    struct rusage usage;
    int status;
    clock_gettime(CLOCK_MONOTONIC, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(command[0], command);
        _exit(127);
    }
    wait4(pid, &status, 0, &usage);
    clock_gettime(CLOCK_MONOTONIC, &after);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        fprintf(stderr, "%s failed: status %x\n", command[0], status);
        exit(1);
    }
    return (struct run) {
        .wall = (after.tv_sec - before.tv_sec) * 1e3 + (after.tv_nsec - before.tv_nsec) / 1e6,
        .cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3,
        .memory = usage.ru_maxrss,
    };
}

static int by_wall(const void *a, const void *b)
{
    double difference = ((struct run *)a)->wall - ((struct run *)b)->wall;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int rounds = atoi(argv[1]);
    struct run *runs[2];
    for (int which = 0; which < 2; which++) {
        split(argv[2 + which], words[which]);
        runs[which] = calloc(rounds, sizeof(struct run));
    }
    for (int round = 0; round < rounds; round++)
        for (int turn = 0; turn < 2; turn++) {
            // Who goes first changes, so that neither always finds the caches warm.
            int which = (turn + round) % 2;
            runs[which][round] = measure(words[which]);
        }
    double wall[2];
    for (int which = 0; which < 2; which++) {
        qsort(runs[which], rounds, sizeof(struct run), by_wall);
        struct run median = runs[which][rounds / 2];
        wall[which] = median.wall;
        long memory = 0;
        for (int round = 0; round < rounds; round++)
            if (runs[which][round].memory > memory)
                memory = runs[which][round].memory;
        printf("%-24s wall %9.2f ms  cpu %9.2f ms  peak %6ld KiB\n", words[which][0], median.wall, median.cpu, memory);
    }
    printf("ratio %.2f\n", wall[1] / wall[0]);
    return 0;
}
