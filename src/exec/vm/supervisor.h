/* Private to src/exec/vm. */
#pragma once

#include "exec/exec.h"

struct supervisor_plan {
	const struct exec_request *request;
	const char *init; /* path of masu-vm-init */
	int gate;	  /* socket to the engine: replies, and a byte between them that says go */
	int stdio[3];	  /* -1: /dev/null */
	int tty;	  /* -1, or the machine's end of the terminal, instead of @stdio */
	unsigned cpus;
};

/* In one piece: it is shorter than PIPE_BUF. */
struct supervisor_reply {
	int result;
	struct masu_error err;
};

/* Runs in the process that was cloned for it. */
void supervisor_main(const struct supervisor_plan *plan) __attribute__((noreturn));
