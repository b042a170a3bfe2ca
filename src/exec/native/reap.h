/* Ending and collecting child processes. */
#pragma once

#include <sys/types.h>

struct exec_container;

/* waitpid() without being disturbed by signals. */
void reap_pid(pid_t pid);

/* Of a creation that failed: SIGKILLs its process, where there is one, waits for its end, and
 * closes what is held of it. */
void reap_failed(struct exec_container *container);
