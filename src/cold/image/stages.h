/* Processor time by kind of process, for --trace-timing: what fetcher, decoder and writer took. */
#pragma once

#include <sys/types.h>

/*
 * Waits for the child @pid and adds its time to that of @kind (static string). The pid, or -errno;
 * *ret_status as waitpid(2) gives it.
 */
pid_t stages_wait(pid_t pid, const char *kind, int *ret_status);
/* "<user ms> <system ms> <peak KiB> <kind>" lines to stderr. */
void stages_print(void);
