/*
 * The driver "oci:PROGRAM": runc, crun or another runtime of the OCI command line (create, start,
 * exec, delete) makes the processes; image, root, cgroup, network, log and everything else of a
 * container's life stay masu's. What the runtime leaves behind becomes the caller's child, so its
 * end is waited for like that of a native container; signals and the freezer need no runtime.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "exec/drivers.h"
#include "exec/more/program.h"
#include "exec/native/reap.h"
#include "exec/oci/bundle.h"
#include "exec/oci/names.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"
#include "sys/unix_socket.h"

#define WORDS_MAX 24

struct call {
	struct oci_dir dir;
	const char *driver;
	const char *words[WORDS_MAX];
	const char *root; /* what the container's root is to be attached at, or NULL */
	int rootfs_fd;
	size_t count;
	bool short_of_memory;
	int console_listener;
};

static void call_close(struct call *call)
{
	cleanup_close(&call->console_listener);
	oci_dir_close(&call->dir);
}

static void add(struct call *call, const char *word)
{
	if (!word || call->count + 1 >= WORDS_MAX)
		call->short_of_memory = true;
	else
		call->words[call->count++] = word;
}

static void add_file(struct call *call, const char *option, const char *file)
{
	add(call, option);
	add(call, arena_printf(&call->dir.arena, "%s/%s", call->dir.path, file));
}

/* "crun --root … --log … VERB". */
static void begin(struct call *call, const char *verb)
{
	call->count = 0;
	add(call, str_after(call->driver, "oci:"));
	add_file(call, "--root", OCI_STATE);
	add_file(call, "--log", OCI_LOG);
	add(call, "--log-format");
	add(call, "json");
	add(call, verb);
}

static int call_open(const char *driver, const char *state_dir, struct call *ret,
		     struct masu_error *err)
{
	*ret = (struct call) { .driver = driver, .console_listener = -1 };
	int r = oci_dir_open(state_dir, &ret->dir, err);
	if (r < 0)
		oci_dir_close(&ret->dir);
	return r;
}

/* Runs what was put together; its failure is what it has logged. */
static int finish(struct call *call, const char *verb, const int *stdio, struct masu_error *err)
{
	struct program program = { .argv = call->words,
				   .stdio = { -1, -1, -1 },
				   .root = call->root,
				   .rootfs_fd = call->rootfs_fd };
	if (call->short_of_memory)
		return error_set(err, -ENOMEM, "out of memory");
	if (stdio)
		memcpy(program.stdio, stdio, sizeof(program.stdio));
	unlinkat(call->dir.fd, OCI_LOG, 0);
	int r = program_run(&program, err);
	return r > 0 ? bundle_failure(&call->dir, call->driver, verb, err) : r;
}

/* Where the runtime sends the terminal to. @name: one for each process. */
static int listen_console(struct call *call, const char *name, struct masu_error *err)
{
	unlinkat(call->dir.fd, name, 0);
	int r = unix_listen(call->dir.fd, name, SOCK_STREAM, &call->console_listener);
	if (r < 0)
		return error_errno(err, r, "cannot listen for the terminal");
	add(call, "--console-socket");
	add(call, arena_printf(&call->dir.arena, "%s/%s", call->dir.short_path, name));
	return 0;
}

/* It was sent before the runtime ended, so nothing is waited for. */
static int take_console(struct call *call, const char *name, int *ret, struct masu_error *err)
{
	_cleanup_close_ int fd =
		accept4(call->console_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = fd < 0 ? -errno : unix_receive_fd(fd, ret);
	unlinkat(call->dir.fd, name, 0);
	return r < 0 ? error_errno(err, r, "%s sent no terminal", call->driver) : 0;
}

static int take_process(struct call *call, const char *pid_file, struct exec_container *ret,
			struct masu_error *err)
{
	int r = program_read_pid(call->dir.fd, pid_file, &ret->pid, &ret->pidfd, err);
	if (r == 0 && (r = proc_child_start_time(ret->pid, &ret->start_time)) < 0)
		error_errno(err, r, "the container's process is gone");
	return r;
}

static int make(struct call *call, const struct exec_request *request, struct exec_container *ret,
		struct masu_error *err)
{
	bool terminal = request->spec->process.terminal;
	call->root = arena_printf(&call->dir.arena, "%s/root", request->state_dir);
	call->rootfs_fd = request->rootfs_fd;
	if (!call->root)
		return error_set(err, -ENOMEM, "out of memory");
	int r = bundle_write(&call->dir, request, call->root, err);
	if (r < 0)
		return r;
	begin(call, "create");
	add(call, "--bundle");
	add(call, call->dir.path);
	add_file(call, "--pid-file", OCI_PID);
	if (terminal)
		r = listen_console(call, OCI_CONSOLE, err);
	add(call, request->id);
	if (r == 0)
		r = finish(call, "create", terminal ? NULL : request->stdio, err);
	trace_mark("runtime created");
	if (r == 0)
		r = take_process(call, OCI_PID, ret, err);
	if (r == 0 && terminal)
		r = take_console(call, OCI_CONSOLE, &ret->console_fd, err);
	/* It is in them already where the runtime does as it is told; one that leaves a hierarchy
	 * out leaves a limit out. */
	if (r == 0 && request->cgroup)
		r = cgroup_attach(request->cgroup, ret->pid, err);
	if (r == 0 && request->on_namespaces)
		r = request->on_namespaces(request->opaque, ret->pid, err);
	return r;
}

static void oci_forget(const char *driver, const char *id, const char *state_dir)
{
	_cleanup_(call_close)
	struct call call;
	if (call_open(driver, state_dir, &call, NULL) < 0)
		return;
	begin(&call, "delete");
	add(&call, "--force");
	add(&call, id);
	if (faccessat(call.dir.fd, OCI_STATE, F_OK, 0) == 0)
		finish(&call, "delete", NULL, NULL);
}

static int oci_create(const struct exec_request *request, struct exec_container *ret,
		      struct masu_error *err)
{
	_cleanup_(call_close)
	struct call call;
	struct exec_container container = EXEC_CONTAINER_NONE;
	if (request->traps)
		return error_set(err, -ENOTSUP, "%s cannot serve direct ports", request->driver);
	int r = call_open(request->driver, request->state_dir, &call, err);
	if (r == 0)
		r = program_adopt(true, err);
	if (r < 0)
		return r;
	r = make(&call, request, &container, err);
	program_adopt(false, NULL);
	if (r < 0) {
		reap_failed(&container);
		oci_forget(request->driver, request->id, request->state_dir);
		return r;
	}
	*ret = container;
	return 0;
}

static int oci_start(const struct exec_request *request, struct exec_container *container,
		     struct masu_error *err)
{
	_cleanup_(call_close)
	struct call call;
	int r = call_open(request->driver, request->state_dir, &call, err);
	if (r < 0)
		return r;
	begin(&call, "start");
	add(&call, request->id);
	r = finish(&call, "start", NULL, err);
	if (r < 0)
		sys_pidfd_send_signal(container->pidfd, SIGKILL);
	return r;
}

static int run_process(struct call *call, const struct exec_process_request *request,
		       struct exec_container *ret, struct masu_error *err)
{
	/* Several may be on their way at once. */
	struct arena *arena = &call->dir.arena;
	const char *name = arena_printf(arena, "exec-%d", getpid());
	const char *pid_file = arena_printf(arena, "exec-%d.pid", getpid());
	const char *console = arena_printf(arena, "exec-%d.tty", getpid());
	bool terminal = request->process->terminal;
	if (!name || !pid_file || !console)
		return error_set(err, -ENOMEM, "out of memory");
	int r = bundle_write_process(&call->dir, request->process, name, err);
	begin(call, "exec");
	add_file(call, "--process", name);
	add_file(call, "--pid-file", pid_file);
	add(call, "--detach");
	if (r == 0 && terminal)
		r = listen_console(call, console, err);
	add(call, request->id);
	if (r == 0)
		r = finish(call, "exec", terminal ? NULL : request->stdio, err);
	if (r == 0)
		r = take_process(call, pid_file, ret, err);
	if (r == 0 && terminal)
		r = take_console(call, console, &ret->console_fd, err);
	unlinkat(call->dir.fd, name, 0);
	unlinkat(call->dir.fd, pid_file, 0);
	return r;
}

static int oci_exec(const struct exec_process_request *request, struct exec_container *ret,
		    struct masu_error *err)
{
	_cleanup_(call_close)
	struct call call;
	struct exec_container process = EXEC_CONTAINER_NONE;
	int r = call_open(request->driver, request->state_dir, &call, err);
	if (r == 0)
		r = program_adopt(true, err);
	if (r < 0)
		return r;
	r = run_process(&call, request, &process, err);
	if (r < 0) {
		reap_failed(&process);
		return r;
	}
	*ret = process;
	return 0;
}

const struct exec_ops oci_ops = {
	.name = "oci",
	.create = oci_create,
	.start = oci_start,
	.exec = oci_exec,
	.forget = oci_forget,
};
