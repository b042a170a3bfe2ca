/* Ending and collecting child processes. */
#pragma once

#include <sys/types.h>

struct exec_container;

/* waitpid() without being disturbed by signals. */
void reap_pid(pid_t pid);

/* SIGKILLs the process of a creation that failed and waits for its end. */
void reap_killed(const struct exec_container *container);
