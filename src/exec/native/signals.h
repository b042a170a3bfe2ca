/* Signal state of a process that is about to exec. */
#pragma once

#include <signal.h>
#include <stddef.h>

/* Default dispositions and an empty mask: neither a blocked nor an ignored signal is inherited. */
static inline void signals_reset(void)
{
	sigset_t none;
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
