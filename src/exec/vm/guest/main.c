/*
 * Process 1 of the machine. It stays in its initramfs, loads the modules, mounts the container's
 * root, and runs the container's process in there as process 1 of a pid namespace; for each port
 * that is for `masu exec` a child of its own serves the processes that come after.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

static void serve_others(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	for (unsigned i = 0; i < VM_EXEC_PORTS; i++) {
		if (fork() != 0)
			continue;
		/* The container's streams are not for others to hold open. */
		syscall(SYS_close_range, 3, ~0u, 0);
		int ns = open(path, O_RDONLY | O_CLOEXEC);
		if (ns >= 0 && setns(ns, CLONE_NEWPID) == 0)
			session_serve(2 + i, false, NULL);
		_exit(1);
	}
}

int main(void)
{
	setup_early();
	session_serve(1, true, serve_others);
	/* The host sees the port close. */
	return 1;
}
