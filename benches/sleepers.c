// Spawns N processes that sleep until this one is killed or its stdin closes. Prints "ready" when all are there.
// usage: sleepers N
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    int ready[2];
    if (pipe(ready))
        return 1;
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            // The sleepers end with this process, however it ends.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(ready[0]);
            if (write(ready[1], "", 1) != 1)
                _exit(1);
            // Three descriptors each, whatever the caller left open.
            syscall(SYS_close_range, 3, ~0u, 0);
            for (;;)
                pause();
        }
    }
    close(ready[1]);
    for (char byte; read(ready[0], &byte, 1) > 0;)
        ;
    puts("ready");
    fflush(stdout);
    for (char byte; read(0, &byte, 1) > 0;)
        ;
    return 0;
}
