/*
 * The driver "lxc": lxc-start makes namespaces, root and mounts and stays beside the container as
 * its process's parent; lxc-attach enters it for another process. Groups, network, root, streams,
 * log and the rest of a container's life are masu's, and what a process is (user, capabilities,
 * filter …) it sets itself once it is inside (inside.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "exec/drivers.h"
#include "exec/lxc/inside.h"
#include "exec/lxc/lxc.h"
#include "exec/more/program.h"
#include "exec/native/limits.h"
#include "exec/native/reap.h"
#include "exec/native/sync.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define LOG_MAX	       (1 << 20)
#define STATUS_UNKNOWN 255

/* lxc-start of the container that this process, its monitor, has made. */
static pid_t the_keeper;

/* ---- the program that runs inside ---- */

/* This one, by a descriptor of a read-only mount: nobody in the container can write to it. */
static int open_self(int *ret, struct masu_error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	_cleanup_close_ int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (exe < 0)
		return error_errno(err, -errno, "cannot open /proc/self/exe; is /proc mounted?");
	/* `masu exec` runs from one already. */
	struct statvfs fs;
	if (fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY) {
		*ret = take_fd(&exe);
		return 0;
	}
	_cleanup_close_ int clone =
		sys_open_tree(exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	int r = clone < 0 ? clone : sys_mount_setattr(clone, "", AT_EMPTY_PATH, &attr);
	if (r < 0)
		return error_errno(err, r, "cannot make a read-only clone of masu-more");
	*ret = take_fd(&clone);
	return 0;
}

struct launch {
	struct lxc_dir dir;
	struct lxc_sources sources;
	struct cgroup *cgroup;
	int link, door, self;
	pid_t keeper; /* lxc-start or lxc-attach */
	char self_path[32], door_text[12];
};

static void launch_close(struct launch *launch)
{
	if (launch->sources.request)
		lxc_sources_close(&launch->sources);
	cleanup_close(&launch->link);
	cleanup_close(&launch->door);
	cleanup_close(&launch->self);
	lxc_dir_close(&launch->dir);
}

static int launch_open(struct launch *launch, const char *state_dir, const struct parcel *parcel,
		       struct masu_error *err)
{
	*launch = (struct launch) { .dir = { .fd = -1 }, .link = -1, .door = -1, .self = -1 };
	int r = lxc_dir_open(state_dir, &launch->dir, err);
	if (r == 0)
		r = open_self(&launch->self, err);
	if (r == 0)
		r = parcel_send(parcel, &launch->link, &launch->door, err);
	snprintf(launch->self_path, sizeof(launch->self_path), "/proc/self/fd/%d", launch->self);
	snprintf(launch->door_text, sizeof(launch->door_text), "%d", launch->door);
	return r;
}

/* The last thing that liblxc has complained about, as the error. */
static int explain(struct lxc_dir *dir, const char *program, struct masu_error *err)
{
	_cleanup_buf_ struct buf log;
	char why[512] = "";
	buf_init(&log, LOG_MAX);
	int r = fs_read_at(dir->fd, LXC_LOG, LOG_MAX, &log);
	for (const char *line = r < 0 ? "" : buf_str(&log); *line; line += strspn(line, "\n")) {
		size_t len = strcspn(line, "\n");
		const char *mark = memmem(line, len, " ERROR ", 7);
		const char *text =
			mark ? memmem(mark, len - (size_t)(mark - line), " - ", 3) : NULL;
		/* "… ERROR  start - ../src/lxc/start.c:function:1234 - What happened" */
		if (text && !*why) {
			size_t rest = len - (size_t)(text + 3 - line);
			const char *said = memmem(text + 3, rest, " - ", 3);
			text = said ? said + 3 : text + 3;
			snprintf(why, sizeof(why), "%.*s", (int)(line + len - text), text);
		}
		line += len;
	}
	return error_set(err, -EIO, "%s: %s", program, *why ? why : "failed and did not say why");
}

/* ---- the conversation with the process ---- */

static int serve(struct launch *launch, struct exec_container *container, const char *program,
		 const struct exec_request *first, struct masu_error *err)
{
	struct sync_message message = { 0 };
	int r = 0, gone = 0;
	while (r == 0 && message.kind != SYNC_READY) {
		r = sync_receive(launch->link, &message, err);
		if (r == -EPIPE)
			return explain(&launch->dir, program, err);
		if (r < 0)
			return r;
		_cleanup_close_ int fd = message.passed_fd;
		if (message.kind == SYNC_CONSOLE)
			container->console_fd = take_fd(&fd);
		if (message.kind != SYNC_PID)
			continue;
		container->pidfd = take_fd(&fd);
		r = proc_of_pidfd(container->pidfd, &container->pid);
		if (r == 0)
			r = proc_child_start_time(container->pid, &container->start_time);
		/* One that has ended since has said why: that is what comes next. */
		if (r < 0) {
			gone = r;
			r = 0;
			continue;
		}
		trace_mark("process of liblxc");
		if (first && first->on_namespaces)
			r = first->on_namespaces(first->opaque, container->pid, err);
	}
	return r == 0 && gone < 0 ? error_errno(err, gone, "the container's process") : r;
}

/* Lets it execve; the end of the stream means that it did. */
static int let_go(int link, struct masu_error *err)
{
	struct sync_message message;
	int r = sync_send(link, SYNC_START, 0, -1);
	if (r < 0)
		return error_errno(err, r, "the container's process is gone");
	while ((r = sync_receive(link, &message, err)) == 0)
		cleanup_close(&message.passed_fd);
	return r == -EPIPE ? 0 : r;
}

/* ---- create, start ---- */

static void end_keeper(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	reap_pid(*pid);
	*pid = 0;
}

/* In the process that becomes lxc-start. */
static int prepare_keeper(void *opaque, struct masu_error *err)
{
	struct launch *launch = opaque;
	setsid();
	/* Its group is what a namespace of groups takes for the root, and liblxc makes none. */
	int r = launch->cgroup ? cgroup_join_self(launch->cgroup, err) : 0;
	return r < 0 ? r : lxc_sources_attach(&launch->sources, err);
}

static int start_keeper(struct launch *launch, const struct exec_request *request,
			struct masu_error *err)
{
	struct arena *arena = &launch->dir.arena;
	const char *root = arena_printf(arena, "%s/root", request->state_dir);
	const char *path = arena_printf(arena, "%s/" LXC_PATH, launch->dir.path);
	const char *config = arena_printf(arena, "%s/" LXC_CONFIG, launch->dir.path);
	if (!root || !path || !config)
		return error_set(err, -ENOMEM, "out of memory");
	const char *argv[] = { "lxc-start",
			       "--foreground",
			       "--name",
			       request->id,
			       "--lxcpath",
			       path,
			       "--rcfile",
			       config,
			       "--",
			       launch->self_path,
			       LXC_INSIDE_VERB,
			       launch->door_text,
			       NULL };
	const struct program program = { .argv = argv,
					 .stdio = { -1, -1, -1 },
					 .root = root,
					 .rootfs_fd = request->rootfs_fd,
					 .prepare = prepare_keeper,
					 .opaque = launch,
					 .keep = { launch->self, launch->door } };
	unlinkat(launch->dir.fd, LXC_LOG, 0);
	launch->cgroup = request->cgroup;
	int r = lxc_sources_open(&launch->dir, request, root, &launch->sources, err);
	if (r == 0)
		r = lxc_config_write(&launch->dir, request, root, err);
	if (r == 0)
		r = program_start(&program, &launch->keeper, err);
	cleanup_close(&launch->door);
	return r;
}

static int make(struct launch *launch, const struct exec_request *request,
		struct exec_container *container, struct masu_error *err)
{
	const struct oci_process *process = &request->spec->process;
	int r = start_keeper(launch, request, err);
	if (r == 0)
		r = serve(launch, container, "lxc-start", request, err);
	trace_mark("liblxc is through");
	if (r == 0 && limits_any(process))
		r = limits_apply(container->pid, process, false, err);
	return r;
}

static int lxc_create(const struct exec_request *request, struct exec_container *ret,
		      struct masu_error *err)
{
	_cleanup_(launch_close)
	struct launch launch;
	struct exec_container container = EXEC_CONTAINER_NONE;
	_cleanup_arena_ struct arena arena;
	struct parcel parcel = {
		.spec = request->spec,
		.id = request->id,
		.stdio = { request->stdio[0], request->stdio[1], request->stdio[2] },
	};
	arena_init(&arena, 0);
	launch = (struct launch) { .dir = { .fd = -1 }, .link = -1, .door = -1, .self = -1 };
	arena_init(&launch.dir.arena, 0);
	int r = lxc_config_check(request, err);
	if (r == 0)
		r = seccomp_prepare(&arena, &request->spec->seccomp, &parcel.filter, err);
	if (r == 0)
		r = launch_open(&launch, request->state_dir, &parcel, err);
	if (r == 0)
		r = make(&launch, request, &container, err);
	if (r < 0) {
		if (container.pidfd >= 0)
			sys_pidfd_send_signal(container.pidfd, SIGKILL);
		end_keeper(&launch.keeper);
		exec_container_close(&container);
		return r;
	}
	the_keeper = launch.keeper;
	container.gate_fd = take_fd(&launch.link);
	*ret = container;
	return 0;
}

static int lxc_start(const struct exec_request *request, struct exec_container *container,
		     struct masu_error *err)
{
	(void)request;
	int r = let_go(container->gate_fd, err);
	cleanup_close(&container->gate_fd);
	if (r < 0) {
		sys_pidfd_send_signal(container->pidfd, SIGKILL);
		end_keeper(&the_keeper);
	}
	return r;
}

/* ---- exec ---- */

static int prepare_attach(void *opaque, struct masu_error *err)
{
	struct launch *launch = opaque;
	return launch->cgroup ? cgroup_join_self(launch->cgroup, err) : 0;
}

static int attach(struct launch *launch, const struct exec_process_request *request,
		  struct exec_container *process, struct masu_error *err)
{
	const char *path = arena_printf(&launch->dir.arena, "%s/" LXC_PATH, launch->dir.path);
	const char *log =
		arena_printf(&launch->dir.arena, "%s/attach-%d.log", launch->dir.path, getpid());
	if (!path || !log)
		return error_set(err, -ENOMEM, "out of memory");
	const char *argv[] = { "lxc-attach",
			       "--name",
			       request->id,
			       "--lxcpath",
			       path,
			       "--logfile",
			       log,
			       "--elevated-privileges",
			       "--clear-env",
			       "--",
			       launch->self_path,
			       LXC_INSIDE_VERB,
			       launch->door_text,
			       NULL };
	const struct program program = { .argv = argv,
					 .stdio = { -1, -1, -1 },
					 .prepare = prepare_attach,
					 .opaque = launch,
					 .keep = { launch->self, launch->door } };
	launch->cgroup = request->cgroup;
	int r = program_start(&program, &launch->keeper, err);
	cleanup_close(&launch->door);
	if (r == 0)
		r = serve(launch, process, "lxc-attach", NULL, err);
	unlink(log); /* lint: ok, the engine's own path */
	/* Nothing of it is needed any more, and what it leaves behind becomes the caller's child.
	 */
	end_keeper(&launch->keeper);
	if (r == 0 && limits_any(request->process))
		r = limits_apply(process->pid, request->process, false, err);
	return r < 0 ? r : let_go(launch->link, err);
}

static int lxc_exec(const struct exec_process_request *request, struct exec_container *ret,
		    struct masu_error *err)
{
	_cleanup_(launch_close)
	struct launch launch = { .dir = { .fd = -1 }, .link = -1, .door = -1, .self = -1 };
	struct exec_container process = EXEC_CONTAINER_NONE;
	_cleanup_arena_ struct arena arena;
	struct parcel parcel = {
		.spec = request->spec,
		.process = request->process,
		.id = request->id,
		.stdio = { request->stdio[0], request->stdio[1], request->stdio[2] },
	};
	arena_init(&arena, 0);
	arena_init(&launch.dir.arena, 0);
	int r = seccomp_prepare(&arena, &request->spec->seccomp, &parcel.filter, err);
	if (r == 0)
		r = launch_open(&launch, request->state_dir, &parcel, err);
	if (r == 0)
		r = program_adopt(true, err);
	if (r < 0)
		return r;
	r = attach(&launch, request, &process, err);
	program_adopt(false, NULL);
	if (r < 0) {
		reap_failed(&process);
		return r;
	}
	*ret = process;
	return 0;
}

/* ---- the end ---- */

/* "… Child <123> ended on error (5)", "… ended on signal Killed(9)"; nothing is said of a 0. */
static int status_said(const char *log)
{
	const char *error = strstr(log, "> ended on error (");
	const char *signal_said = strstr(log, "> ended on signal ");
	if (error)
		return atoi(error + strlen("> ended on error ("));
	const char *number = signal_said ? strchr(signal_said, '(') : NULL;
	return number ? 128 + atoi(number + 1) : 0;
}

static int lxc_ended(const char *state_dir)
{
	struct lxc_dir dir;
	_cleanup_buf_ struct buf log;
	if (the_keeper <= 0)
		return STATUS_UNKNOWN;
	reap_pid(the_keeper);
	the_keeper = 0;
	buf_init(&log, LOG_MAX);
	int status = STATUS_UNKNOWN;
	if (lxc_dir_open(state_dir, &dir, NULL) == 0 &&
	    fs_read_at(dir.fd, LXC_LOG, LOG_MAX, &log) == 0)
		status = status_said(buf_str(&log));
	lxc_dir_close(&dir);
	return status;
}

const struct exec_ops lxc_ops = {
	.name = "lxc",
	.create = lxc_create,
	.start = lxc_start,
	.exec = lxc_exec,
	.ended = lxc_ended,
};
