#include "cold/image/flusher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cold/image/stages.h"
#include "sys/syscalls.h"

#define STEP (32u << 20)

struct flusher {
	pid_t pid;
	int pipe;
	uint64_t told;
};

static _Noreturn void run(int fd, int wake)
{
	char bytes[16];
	/* What others wait for the end of must not stay open here. */
	if (dup2(fd, 0) < 0 || dup2(wake, 1) < 0 || sys_close_range(2, ~0u, 0) < 0)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(1, bytes, sizeof(bytes)) > 0)
		syncfs(0); /* a failure shows again in the sync that counts */
	_exit(0);
}

struct flusher *flusher_start(int fd)
{
	int ends[2];
	struct flusher *flusher = calloc(1, sizeof(*flusher));
	if (!flusher || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(flusher);
		return NULL;
	}
	fcntl(ends[0], F_SETFL, 0);
	flusher->pid = fork();
	if (flusher->pid == 0)
		run(fd, ends[0]);
	close(ends[0]);
	flusher->pipe = ends[1];
	if (flusher->pid < 0) {
		close(ends[1]);
		free(flusher);
		return NULL;
	}
	return flusher;
}

void flusher_tell(struct flusher *flusher, uint64_t bytes)
{
	if (!flusher || bytes < flusher->told + STEP)
		return;
	flusher->told = bytes;
	/* A full pipe has woken it already. */
	if (write(flusher->pipe, "", 1) < 0 && errno == EPIPE)
		flusher->told = UINT64_MAX - STEP;
}

void flusher_stop(struct flusher *flusher)
{
	int status;
	if (!flusher)
		return;
	close(flusher->pipe);
	kill(flusher->pid, SIGKILL);
	stages_wait(flusher->pid, "flusher", &status);
	free(flusher);
}
