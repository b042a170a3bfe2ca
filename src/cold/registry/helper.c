#include "cold/registry/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

extern char **environ;

/* The name becomes part of a program's: nothing in it leads elsewhere. */
static bool helper_name_valid(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-") == strlen(name);
}

static int start(const char *program, const char *verb, int in, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	char *const argv[] = { (char *)program, (char *)verb, NULL };
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	int r = posix_spawnp(ret, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* A helper that does not read what it is told and has ended already may still answer. */
static int tell(int to, const char *input)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction before;
	sigaction(SIGPIPE, &ignore, &before);
	/* What is sent is smaller than a pipe, so it cannot block. */
	int r = fs_write_all(to, input, strlen(input));
	sigaction(SIGPIPE, &before, NULL);
	return r == -EPIPE ? 0 : r;
}

static int converse(int to, int from, const char *input, struct buf *out)
{
	int r = tell(to, input);
	close(to);
	for (;;) {
		if (buf_reserve(out, 4096) < 0)
			return buf_error(out);
		ssize_t n = read(from, out->data + out->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : r;
		out->len += (size_t)n;
	}
}

int helper_run(const char *name, const char *verb, const char *input, struct buf *out,
	       struct masu_error *err)
{
	char program[128];
	int in[2], from[2], status = 0;
	pid_t pid;
	if (!helper_name_valid(name) ||
	    str_format(program, sizeof(program), "docker-credential-%s", name) < 0)
		return error_set(err, -EINVAL, "credential helper \"%.64s\": no such name", name);
	if (strlen(input) > 32768)
		return error_set(err, -E2BIG, "%s: more than 32 KiB to store", program);
	if (pipe2(in, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "pipe");
	if (pipe2(from, O_CLOEXEC) < 0) {
		int r = -errno;
		close(in[0]);
		close(in[1]);
		return error_errno(err, r, "pipe");
	}
	int r = start(program, verb, in[0], from[1], &pid);
	close(in[0]);
	close(from[1]);
	if (r == 0)
		r = converse(in[1], from[0], input, out);
	else
		close(in[1]);
	close(from[0]);
	if (r == -ENOENT)
		return error_set(err, r, "%s: not installed; install it or log in again", program);
	if (r < 0)
		return error_errno(err, r, "%s", program);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, -EIO, "%s %s: %.*s", program, verb,
				 (int)strcspn(buf_str(out), "\n"), buf_str(out));
	return 0;
}
