/* Lifecycle hooks (config.md, POSIX-platform Hooks) and the state document they are given. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "exec/exec.h"
#include "exec/native/signals.h"
#include "json/json.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define OUTPUT_SHOWN 400

static const char *const kind_names[OCI_HOOK_COUNT] = {
	"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
};

int exec_state_json(struct buf *out, const struct oci_spec *spec, const char *id,
		    const char *bundle, const char *status, pid_t pid)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_string(&w, "ociVersion", spec->version);
	json_field_string(&w, "id", id);
	json_field_string(&w, "status", status);
	if (pid > 0)
		json_field_i64(&w, "pid", pid);
	json_field_string(&w, "bundle", bundle);
	if (spec->annotation_count) {
		json_key(&w, "annotations");
		json_begin_object(&w);
		for (size_t i = 0; i < spec->annotation_count; i++)
			json_field_string(&w, spec->annotations[i].key, spec->annotations[i].value);
		json_end_object(&w);
	}
	json_end_object(&w);
	return buf_error(out);
}

/* A memory file that holds @text, to be read from its beginning. */
static int input_file(const char *text, int *ret)
{
	_cleanup_close_ int fd = memfd_create("hook-state", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fs_write_all(fd, text, strlen(text));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		*ret = take_fd(&fd);
	return r;
}

static void __attribute__((noreturn)) run_hook(const struct oci_hook *hook, int input, int output)
{
	char *no_args[] = { (char *)hook->path, NULL };
	char *no_env[] = { NULL };
	signals_reset();
	if (dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0) {
		/* A hook is no heir of the caller's other fds. */
		sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
		execve(hook->path, hook->args && hook->args[0] ? hook->args : no_args,
		       hook->env ? hook->env : no_env);
	}
	dprintf(2, "cannot execute: %s", strerror(errno));
	_exit(127);
}

/* Waits for the hook, killing it after @timeout seconds (0: never). The wait status or -errno. */
static int wait_hook(pid_t pid, int timeout, bool *ret_timed_out)
{
	int status;
	if (timeout > 0) {
		_cleanup_close_ int pidfd = sys_pidfd_open(pid, 0);
		struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
		struct timespec now, end;
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_sec += timeout;
		int r = -1;
		for (;;) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			int64_t left = (int64_t)(end.tv_sec - now.tv_sec) * 1000 +
				       (end.tv_nsec - now.tv_nsec) / 1000000;
			r = poll(&poll_fd, 1, left > 0 ? (int)left : 0);
			if (r != -1 || errno != EINTR)
				break;
		}
		if (r == 0) {
			*ret_timed_out = true;
			kill(pid, SIGKILL);
		}
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

/* The beginning of what the hook printed, on one line. */
static void read_output(int fd, char *dst, size_t size)
{
	ssize_t got = pread(fd, dst, size - 1, 0);
	size_t len = got > 0 ? (size_t)got : 0;
	while (len > 0 && dst[len - 1] == '\n')
		len--;
	dst[len] = '\0';
	for (char *p = dst; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

static int run_one(const struct oci_hook *hook, enum oci_hook_kind kind, size_t index,
		   const char *state_json, int timeout, struct masu_error *err)
{
	_cleanup_close_ int input = -1, output = memfd_create("hook-output", MFD_CLOEXEC);
	int r = output < 0 ? -errno : input_file(state_json, &input);
	if (r < 0)
		return error_errno(err, r, "hooks.%s[%zu]", kind_names[kind], index);
	pid_t pid = fork();
	if (pid < 0)
		return error_errno(err, -errno, "hooks.%s[%zu]: cannot fork", kind_names[kind],
				   index);
	if (pid == 0)
		run_hook(hook, input, output);
	bool timed_out = false;
	int status = wait_hook(pid, timeout, &timed_out);
	if (status == 0)
		return 0;
	if (timed_out)
		return error_set(err, -ETIMEDOUT, "hooks.%s[%zu]: %s: no end within %d s",
				 kind_names[kind], index, hook->path, timeout);
	char text[OUTPUT_SHOWN];
	read_output(output, text, sizeof(text));
	bool signalled = status > 0 && WIFSIGNALED(status);
	return error_set(err, -ECANCELED, "hooks.%s[%zu]: %s: %s %d%s%s", kind_names[kind], index,
			 hook->path, signalled ? "killed by signal" : "exit status",
			 status < 0  ? status
			 : signalled ? WTERMSIG(status)
				     : WEXITSTATUS(status),
			 text[0] ? ": " : "", text);
}

int exec_run_hooks(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state_json,
		   int timeout_default, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < hooks->count; i++) {
		const struct oci_hook *hook = &hooks->list[i];
		struct masu_error failure = { 0 };
		r = run_one(hook, kind, i, state_json,
			    hook->has_timeout ? hook->timeout : timeout_default, &failure);
		if (r < 0 && kind == OCI_HOOK_POSTSTOP) {
			/* runtime.md, step 13: a warning, and the others run all the same. */
			log_warn("%s", failure.message);
			r = 0;
		} else if (r < 0 && err) {
			*err = failure;
		}
	}
	return r;
}
