/* `masu oci create`, `run` and `start`. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/trace.h"
#include "cli/oci.h"
#include "exec/exec.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/unix_socket.h"

#define GATE_SOCKET "gate.sock"

struct create_options {
	const char *bundle, *pid_file, *console_socket;
	int64_t preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
};

#define CREATE_OPTIONS                                                                             \
	CLI_OPT(struct create_options, bundle, "bundle", 'b', CLI_STRING, "dir",                   \
		"The bundle: config.json and the root (default: the working directory)"),          \
		CLI_OPT(struct create_options, console_socket, "console-socket", 0, CLI_STRING,    \
			"path", "Unix socket that gets the terminal's master"),                    \
		CLI_OPT(struct create_options, pid_file, "pid-file", 0, CLI_STRING, "file",        \
			"Where to write the pid of the container's process"),                      \
		CLI_OPT(struct create_options, no_pivot, "no-pivot", 0, CLI_BOOL, NULL,            \
			"Move the root instead of pivot_root (the host's root is a ramdisk)"),     \
		CLI_OPT(struct create_options, no_new_keyring, "no-new-keyring", 0, CLI_BOOL,      \
			NULL, "Keep the caller's session keyring"),                                \
		CLI_OPT(struct create_options, preserve_fds, "preserve-fds", 0, CLI_INT, "number", \
			"File descriptors to hand on besides stdio and $LISTEN_FDS")

static const struct cli_option create_options[] = { CREATE_OPTIONS };
static const struct cli_option run_options[] = {
	CREATE_OPTIONS,
	CLI_OPT(struct create_options, detach, "detach", 'd', CLI_BOOL, NULL,
		"Leave the container running and return"),
	CLI_OPT(struct create_options, keep, "keep", 0, CLI_BOOL, NULL,
		"Do not delete the container when it ends"),
	CLI_OPT(struct create_options, no_subreaper, "no-subreaper", 0, CLI_BOOL, NULL,
		"Do not collect processes that the container's processes leave behind"),
};

/* All that creation holds. */
struct creation {
	const struct create_options *options;
	bool run;
	struct oci_container container;
	struct oci_spec spec;
	const char *bundle;
	int bundle_fd, gate_fd;
	int fds, listen_fds;
	struct cgroup *cgroup;
	struct exec_container process;
};

static void creation_close(struct creation *creation)
{
	cleanup_close(&creation->bundle_fd);
	cleanup_close(&creation->gate_fd);
	cgroup_close(creation->cgroup);
	exec_container_close(&creation->process);
	oci_container_close(&creation->container);
}

static int open_bundle(struct creation *creation, struct masu_error *err)
{
	const char *path = creation->options->bundle ? creation->options->bundle : ".";
	char link[FS_PROC_FD_MAX], absolute[PATH_MAX];
	creation->bundle_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (creation->bundle_fd < 0)
		return error_errno(err, -errno, "bundle %s", path);
	ssize_t len = readlink(fs_proc_fd(creation->bundle_fd, link), absolute, sizeof(absolute));
	if (len <= 0 || len == sizeof(absolute))
		return error_set(err, -ENAMETOOLONG, "bundle %s: path too long", path);
	creation->bundle = arena_strndup(oci_runtime.arena, absolute, (size_t)len);
	if (!creation->bundle)
		return error_set(err, -ENOMEM, "out of memory");
	return oci_spec_load(oci_runtime.arena, creation->bundle_fd, &creation->spec, err);
}

static int check_terminal(const struct creation *creation, struct masu_error *err)
{
	const struct create_options *options = creation->options;
	bool terminal = creation->spec.process.present && creation->spec.process.terminal;
	bool stays = creation->run && !options->detach;
	if (terminal && !stays && !options->console_socket)
		return error_set(err, -EINVAL,
				 "process.terminal: cannot allocate a tty without --console-socket "
				 "when not staying in the foreground");
	if (!terminal && options->console_socket)
		return error_set(err, -EINVAL,
				 "--console-socket: config.json asks for no terminal");
	return 0;
}

/* RFC 3339 with nanoseconds, as runc writes it. */
static const char *now_text(void)
{
	struct timespec now;
	struct tm tm;
	char text[40];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return arena_printf(oci_runtime.arena, "%s.%09ldZ", text, now.tv_nsec);
}

static const char *absolute_root(const struct creation *creation)
{
	const char *root = creation->spec.root_path;
	if (!root || root[0] == '/')
		return root;
	return arena_printf(oci_runtime.arena, "%s/%s", creation->bundle, root);
}

static int fill_container(struct creation *creation, struct masu_error *err)
{
	struct oci_container *container = &creation->container;
	container->spec = &creation->spec;
	container->version = creation->spec.version;
	container->bundle = creation->bundle;
	container->rootfs = absolute_root(creation);
	container->created = now_text();
	container->owner = geteuid() == 0 ? "root" : "";
	container->systemd = oci_runtime.systemd;
	container->cgroups_disabled = oci_runtime.cgroups_disabled;
	container->cgroups_path = creation->spec.cgroups_path;
	if (creation->run && !creation->options->detach && !creation->options->keep) {
		container->runner = getpid();
		int r = proc_start_time(container->runner, &container->runner_start);
		if (r < 0)
			return error_errno(err, r, "cannot read the own start time");
	}
	int r = proc_boot_id(container->boot_id);
	return r < 0 ? error_errno(err, r, "cannot read the boot id") : 0;
}

/* The id, and on record what is about to be made. */
static int claim(struct creation *creation, const char *id, struct masu_error *err)
{
	int r = oci_claim(id, &creation->container, err);
	if (r == 0)
		r = fill_container(creation, err);
	if (r < 0)
		return r;
	const struct json *document = creation->spec.document;
	r = fs_write_atomic(creation->container.dir_fd, "config.json", document->source,
			    document->source_len, 0600, false);
	if (r < 0)
		return error_errno(err, r, "cannot write config.json");
	return oci_save(&creation->container, NULL, err);
}

static int make_cgroup(struct creation *creation, struct masu_error *err)
{
	const struct oci_spec *spec = &creation->spec;
	if (oci_runtime.cgroups_disabled)
		return 0;
	struct cgroup_request request = {
		.libexec = oci_runtime.libexec,
		.manager = oci_runtime.systemd ? CGROUP_SYSTEMD : CGROUP_CGROUPFS,
		.path = spec->cgroups_path,
		.id = creation->container.id,
		.resources = &spec->resources,
		.annotations = spec->annotations,
		.annotation_count = spec->annotation_count,
		.rootless = oci_runtime.rootless,
	};
	cgroup_owner(spec, &request.owner_uid, &request.owner_gid);
	return cgroup_create(&request, &creation->cgroup, err);
}

/* While the child prepares its mounts, the record is written: it costs no time of its own. */
static int record_process(void *opaque, pid_t pid, struct masu_error *err)
{
	struct creation *creation = opaque;
	int r = proc_child_start_time(pid, &creation->container.start_time);
	if (r < 0)
		return error_errno(err, r, "the container's process is gone");
	creation->container.pid = pid;
	r = oci_save(&creation->container, creation->cgroup, err);
	trace_mark("recorded");
	return r;
}

static struct exec_request make_request(struct creation *creation)
{
	return (struct exec_request) {
		.id = creation->container.id,
		.bundle = creation->bundle,
		.bundle_fd = creation->bundle_fd,
		.spec = &creation->spec,
		.rootfs_fd = -1,
		.cgroup = creation->cgroup,
		.network_ns_fd = -1,
		.stdio = { -1, -1, -1 },
		.console_socket = creation->options->console_socket,
		.preserve_fds = creation->fds,
		.listen_fds = creation->listen_fds,
		.no_pivot = creation->options->no_pivot,
		.no_new_keyring = creation->options->no_new_keyring,
		.mounts_in_order = true,
		.gate_listen_fd = creation->gate_fd,
		.on_namespaces = record_process,
		.opaque = creation,
	};
}

static int make_gate(struct creation *creation, struct masu_error *err)
{
	int r = unix_listen(creation->container.dir_fd, GATE_SOCKET, SOCK_SEQPACKET,
			    &creation->gate_fd);
	return r < 0 ? error_errno(err, r, "cannot make the gate socket") : 0;
}

/* After the claim: group, process, record. A failure is undone by the caller (oci_remove). */
static int build(struct creation *creation, const struct exec_ops *driver, struct masu_error *err)
{
	int r = make_cgroup(creation, err);
	trace_mark("cgroup");
	if (r == 0 && !creation->run)
		r = make_gate(creation, err);
	if (r < 0)
		return r;
	struct exec_request request = make_request(creation);
	creation->container.begun = true;
	r = driver->create(&request, &creation->process, err);
	if (r == 0 && creation->options->pid_file)
		r = oci_write_pid_file(creation->options->pid_file, creation->process.pid, err);
	if (r == 0 && creation->run)
		r = driver->start(&request, &creation->process, err);
	else if (r == 0)
		r = driver->detach(&creation->process, err);
	if (r == 0 && creation->container.runner == 0)
		r = oci_commit(&creation->container, err);
	return r;
}

static void undo(struct creation *creation)
{
	struct masu_error err = { 0 };
	if (oci_remove(&creation->container, creation->cgroup, true, &err) < 0)
		log_warn("cleaning up: %s", err.message);
}

static int create_container(struct creation *creation, const char *id, struct masu_error *err)
{
	const struct create_options *options = creation->options;
	/* Before anything is opened: later fds of our own would pass for handed-on ones. */
	int r = oci_count_fds(options->preserve_fds, &creation->fds, &creation->listen_fds, err);
	if (r == 0)
		r = open_bundle(creation, err);
	if (r == 0)
		r = check_terminal(creation, err);
	trace_mark("config read");
	if (r == 0)
		r = claim(creation, id, err);
	trace_mark("claimed");
	if (r < 0) {
		if (creation->container.dir_fd >= 0)
			undo(creation);
		return r;
	}
	r = build(creation, exec_driver("native"), err);
	if (r < 0)
		undo(creation);
	return r;
}

#define CREATION_NONE(the_options, runs)                                                           \
	{                                                                                          \
		.options = (the_options), .run = (runs), .container = { .dir_fd = -1 },            \
		.bundle_fd = -1, .gate_fd = -1, .process = EXEC_CONTAINER_NONE                     \
	}

static int create_run(struct cli_context *context, void *opaque, int argc, char **argv,
		      struct masu_error *err)
{
	_cleanup_(creation_close)
	struct creation creation = CREATION_NONE(opaque, false);
	return create_container(&creation, argv[0], err);
}

/* Waits for a foreground container's end, and removes it. */
static int stay(struct creation *creation, struct masu_error *err)
{
	struct exec_container *process = &creation->process;
	/* `kill`, `exec` and others may want it meanwhile. */
	struct oci_container held = creation->container;
	oci_container_close(&creation->container);
	cleanup_close(&creation->bundle_fd);
	int status = oci_foreground(process->pid, process->pidfd, process->console_fd, err);
	trace_mark("ended");
	if (creation->options->keep)
		return status;
	_cleanup_oci_container_ struct oci_container now = { .dir_fd = -1 };
	struct masu_error failure = { 0 };
	int r = oci_load(held.id, true, &now, &failure);
	if (r == -ENOENT)
		return status; /* somebody deleted it already */
	now.spec = &creation->spec;
	if (r == 0)
		r = oci_remove(&now, creation->cgroup, true, &failure);
	if (r < 0 && status >= 0) {
		*err = failure;
		return r;
	}
	return status;
}

static int run_run(struct cli_context *context, void *opaque, int argc, char **argv,
		   struct masu_error *err)
{
	const struct create_options *options = opaque;
	_cleanup_(creation_close)
	struct creation creation = CREATION_NONE(options, true);
	if (!options->detach)
		oci_foreground_prepare(!options->no_subreaper);
	int r = create_container(&creation, argv[0], err);
	if (r < 0 || options->detach)
		return r;
	return stay(&creation, err);
}

static int start_run(struct cli_context *context, void *opaque, int argc, char **argv,
		     struct masu_error *err)
{
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_exec_container_ struct exec_container process = EXEC_CONTAINER_NONE;
	enum oci_status status;
	int r = oci_load(argv[0], true, &container, err);
	if (r == 0)
		r = oci_status(&container, &status, err);
	if (r < 0)
		return r;
	if (status == OCI_STOPPED)
		return error_set(err, -EINVAL, "cannot start a container that has stopped");
	if (status == OCI_CREATING)
		return error_set(err, -EINVAL, "cannot start a container that is not created yet");
	if (status != OCI_CREATED)
		return error_set(err, -EINVAL, "cannot start an already running container");
	r = oci_container_spec(&container, err);
	if (r < 0)
		return r;
	process.pid = container.pid;
	process.pidfd = oci_pidfd(&container);
	r = process.pidfd < 0
		    ? process.pidfd
		    : unix_connect(container.dir_fd, GATE_SOCKET, SOCK_SEQPACKET, &process.gate_fd);
	if (r < 0)
		return error_errno(err, r, "container %s cannot be reached", argv[0]);
	struct exec_request request = {
		.id = container.id,
		.bundle = container.bundle,
		.bundle_fd = -1,
		.spec = container.spec,
		.rootfs_fd = -1,
		.network_ns_fd = -1,
		.gate_listen_fd = -1,
	};
	return exec_driver("native")->start(&request, &process, err);
}

const struct cli_command oci_create_command = {
	.name = "create",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Create a container from a bundle; its process waits for `start`",
	.options = create_options,
	.option_count = ARRAY_SIZE(create_options),
	.options_size = sizeof(struct create_options),
	.run = create_run,
	.min_args = 1,
	.max_args = 1,
	.enters_container = true,
};

const struct cli_command oci_run_command = {
	.name = "run",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Create and start a container, wait for its end and delete it",
	.options = run_options,
	.option_count = ARRAY_SIZE(run_options),
	.options_size = sizeof(struct create_options),
	.run = run_run,
	.min_args = 1,
	.max_args = 1,
	.enters_container = true,
};

const struct cli_command oci_start_command = {
	.name = "start",
	.synopsis = "CONTAINER",
	.summary = "Run the process of a created container",
	.run = start_run,
	.min_args = 1,
	.max_args = 1,
};
