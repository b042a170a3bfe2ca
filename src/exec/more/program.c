#include "exec/more/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/more/root.h"
#include "exec/native/reap.h"
#include "exec/native/signals.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define STATUS_NOT_RUN 127

/* What a program gets as stream @index; it may be one of the other two, so all are copied first. */
static int stream_of(const struct program *program, int index)
{
	int fd = program->stdio[index];
	if (fd < 0)
		fd = open("/dev/null", index == 0 ? O_RDONLY : O_WRONLY);
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void __attribute__((noreturn)) run_child(const struct program *program, int report)
{
	int streams[3];
	signals_reset();
	for (int i = 0; i < 3; i++)
		streams[i] = stream_of(program, i);
	for (int i = 0; i < 3; i++)
		if (streams[i] < 0 || dup2(streams[i], i) < 0)
			_exit(STATUS_NOT_RUN);
	/* What the caller has open is not for others, and what it needs goes by /proc. */
	sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(program->keep); i++)
		if (program->keep[i])
			fcntl(program->keep[i], F_SETFD, 0);
	struct masu_error err = { 0 };
	int r = program->root ? root_attach(program->rootfs_fd, program->root, &err) : 0;
	if (r == 0 && program->prepare)
		r = program->prepare(program->opaque, &err);
	if (r == 0) {
		execvp(program->argv[0], (char **)program->argv);
		error_errno(&err, -errno, "cannot run %s", program->argv[0]);
	}
	(void)!write(report, &err, sizeof(err));
	_exit(STATUS_NOT_RUN);
}

int program_start(const struct program *program, pid_t *ret_pid, struct masu_error *err)
{
	struct masu_error failure;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "cannot make a pipe");
	_cleanup_close_ int reader = ends[0];
	_cleanup_close_ int writer = ends[1];
	pid_t pid = fork();
	if (pid == 0)
		run_child(program, writer);
	if (pid < 0)
		return error_errno(err, -errno, "cannot fork for %s", program->argv[0]);
	cleanup_close(&writer);
	ssize_t got;
	do
		got = read(reader, &failure, sizeof(failure));
	while (got < 0 && errno == EINTR);
	*ret_pid = pid;
	/* In one piece: it is shorter than PIPE_BUF. */
	if (got != (ssize_t)sizeof(failure))
		return 0;
	reap_pid(pid);
	if (err)
		*err = failure;
	return failure.code;
}

int program_run(const struct program *program, struct masu_error *err)
{
	pid_t pid;
	int status, r = program_start(program, &pid, err);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, -errno, "cannot wait for %s", program->argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int program_adopt(bool on, struct masu_error *err)
{
	return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) < 0
		       ? error_errno(err, -errno, "PR_SET_CHILD_SUBREAPER")
		       : 0;
}

int program_read_pid(int dir_fd, const char *name, pid_t *ret_pid, int *ret_pidfd,
		     struct masu_error *err)
{
	char text[32], *end;
	int r = fs_read_small(dir_fd, name, text, sizeof(text));
	long pid = r < 0 ? 0 : strtol(text, &end, 10);
	if (pid <= 0 || pid > INT32_MAX)
		return error_set(err, -EPROTO, "no pid was written to %s", name);
	int pidfd = sys_pidfd_open((pid_t)pid, 0);
	if (pidfd < 0)
		return error_errno(err, -errno, "the container's process %ld", pid);
	*ret_pid = (pid_t)pid;
	*ret_pidfd = pidfd;
	return 0;
}

int driver_directory(const char *state_dir, const char *name, struct arena *arena,
		     const char **ret_path, struct masu_error *err)
{
	const char *path = arena_printf(arena, "%s/%s", state_dir, name);
	if (!path)
		return error_set(err, -ENOMEM, "out of memory");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "%s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "%s", path);
	*ret_path = path;
	return fd;
}
