/* `masu oci state`, `kill`, `pause`, `resume`, and helpers of several verbs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/signal_name.h"
#include "base/str.h"
#include "cli/oci.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

int oci_write_pid_file(const char *path, pid_t pid, struct masu_error *err)
{
	char text[16];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *parent =
		slash ? arena_strndup(oci_runtime.arena, path, (size_t)(slash - path + 1)) : ".";
	_cleanup_close_ int dir = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = dir < 0 ? -errno : 0;
	str_format(text, sizeof(text), "%d", (int)pid);
	if (r == 0)
		r = fs_write_atomic(dir, name, text, strlen(text), 0644, false);
	return r < 0 ? error_errno(err, r, "cannot write --pid-file %s", path) : 0;
}

int oci_count_fds(int64_t preserve, int *ret_total, int *ret_listen, struct masu_error *err)
{
	uint32_t listen = 0, pid = 0;
	const char *fds = getenv("LISTEN_FDS"), *for_pid = getenv("LISTEN_PID");
	/* sd_listen_fds(3): the announcement is meant for one process. */
	bool ours =
		fds && (!for_pid || (str_to_u32(for_pid, &pid) == 0 && pid == (uint32_t)getpid()));
	if (ours && (str_to_u32(fds, &listen) < 0 || listen > 256))
		return error_set(err, -EINVAL, "LISTEN_FDS: \"%s\"", fds);
	if (preserve < 0 || preserve > 256)
		return error_set(err, -EINVAL, "--preserve-fds: 0 to 256");
	int total = (int)listen + (int)preserve;
	for (int fd = 3; fd < 3 + total; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return error_set(
				err, -EBADF,
				"--preserve-fds %d and %u of LISTEN_FDS: fd %d is not open",
				(int)preserve, listen, fd);
	*ret_total = total;
	*ret_listen = (int)listen;
	return 0;
}

static int print_json(struct buf *text, struct masu_error *err)
{
	buf_putc(text, '\n');
	if (buf_error(text))
		return error_set(err, -ENOMEM, "out of memory");
	int r = fs_write_all(STDOUT_FILENO, text->data, text->len);
	return r < 0 ? error_errno(err, r, "stdout") : 0;
}

static int state_run(struct cli_context *context, void *opaque, int argc, char **argv,
		     struct masu_error *err)
{
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_buf_ struct buf text;
	enum oci_status status;
	struct json_writer w;
	buf_init(&text, 0);
	int r = oci_load(argv[0], false, &container, err);
	if (r == 0)
		r = oci_status(&container, &status, err);
	if (r < 0)
		return r;
	json_writer_init(&w, &text, true);
	oci_put_state(&w, &container, status);
	return print_json(&text, err);
}

struct kill_options {
	bool all;
};

static const struct cli_option kill_options[] = {
	CLI_OPT(struct kill_options, all, "all", 'a', CLI_BOOL, NULL,
		"Signal every process of the container, not only the first"),
};

/* A frozen process does not even die: SIGKILL takes effect when it is thawed, as runc has it. */
static int thaw(const struct oci_container *container, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	bool frozen = false;
	int r = oci_cgroup(container, &cgroup, err);
	if (r == 0 && cgroup && cgroup_is_frozen(cgroup, &frozen) == 0 && frozen)
		r = cgroup_freeze(cgroup, false, err);
	return r;
}

static int kill_run(struct cli_context *context, void *opaque, int argc, char **argv,
		    struct masu_error *err)
{
	const struct kill_options *options = opaque;
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int sig;
	sig = signal_number(argc > 1 ? argv[1] : "SIGTERM");
	if (sig < 0)
		return error_set(err, -EINVAL, "unknown signal \"%.40s\"", argv[1]);
	int r = oci_load(argv[0], false, &container, err);
	if (r < 0)
		return r;
	if (options->all) {
		r = oci_cgroup(&container, &cgroup, err);
		if (r < 0)
			return r;
		if (cgroup) {
			r = cgroup_kill(cgroup, sig, err);
			return r == 0 && sig == SIGKILL ? thaw(&container, err) : r;
		}
	}
	_cleanup_close_ int pidfd = oci_pidfd(&container);
	r = pidfd < 0 ? pidfd : sys_pidfd_send_signal(pidfd, sig);
	/* The words that containerd and docker look for. */
	if (r == -ESRCH)
		return error_set(err, r, "container not running: %s", argv[0]);
	if (r < 0)
		return error_errno(err, r, "cannot signal container %s", argv[0]);
	return sig == SIGKILL ? thaw(&container, err) : 0;
}

static int freeze(const char *id, bool freeze, struct masu_error *err)
{
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	enum oci_status status;
	int r = oci_load(id, true, &container, err);
	if (r == 0)
		r = oci_status(&container, &status, err);
	if (r < 0)
		return r;
	bool fits = freeze ? status == OCI_RUNNING || status == OCI_CREATED : status == OCI_PAUSED;
	if (!fits)
		return error_set(err, -EINVAL, "container %s is %s: it cannot be %s", id,
				 oci_status_name(status), freeze ? "paused" : "resumed");
	r = oci_cgroup(&container, &cgroup, err);
	if (r < 0)
		return r;
	if (!cgroup)
		return error_set(err, -ENOTSUP, "container %s has no cgroup to freeze", id);
	return cgroup_freeze(cgroup, freeze, err);
}

static int pause_run(struct cli_context *context, void *opaque, int argc, char **argv,
		     struct masu_error *err)
{
	return freeze(argv[0], true, err);
}

static int resume_run(struct cli_context *context, void *opaque, int argc, char **argv,
		      struct masu_error *err)
{
	return freeze(argv[0], false, err);
}

const struct cli_command oci_state_command = {
	.name = "state",
	.synopsis = "CONTAINER",
	.summary = "Print the state of a container",
	.run = state_run,
	.min_args = 1,
	.max_args = 1,
};

const struct cli_command oci_kill_command = {
	.name = "kill",
	.synopsis = "[OPTIONS] CONTAINER [SIGNAL]",
	.summary = "Send a signal (default SIGTERM) to a container's process",
	.options = kill_options,
	.option_count = ARRAY_SIZE(kill_options),
	.options_size = sizeof(struct kill_options),
	.run = kill_run,
	.min_args = 1,
	.max_args = 2,
};

const struct cli_command oci_pause_command = {
	.name = "pause",
	.synopsis = "CONTAINER",
	.summary = "Freeze all processes of a container",
	.run = pause_run,
	.min_args = 1,
	.max_args = 1,
};

const struct cli_command oci_resume_command = {
	.name = "resume",
	.synopsis = "CONTAINER",
	.summary = "Let the processes of a paused container go on",
	.run = resume_run,
	.min_args = 1,
	.max_args = 1,
};
