/*
 * One more process in a running container: by the caller itself, without the monitor. Its
 * capabilities, seccomp filter and groups are built anew from the container's configuration, as for
 * its first process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "base/trace.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/network.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

struct exec_run {
	struct engine *engine;
	struct arena *arena;
	struct container container;
	struct oci_spec spec;
	struct cgroup *cgroup;
	int init_pidfd, root_fd;
	int theirs[3], ours[3];
	char bundle[4096];
	char exec_id[ID_LENGTH + 1]; /* only for events */
};

static void exec_run_close(struct exec_run *run)
{
	cleanup_close(&run->init_pidfd);
	cleanup_close(&run->root_fd);
	cgroup_close(run->cgroup);
	for (int i = 0; i < 3; i++) {
		cleanup_close(&run->theirs[i]);
		cleanup_close(&run->ours[i]);
	}
	container_close(&run->container);
}

static int open_container(struct exec_run *run, const char *id, struct masu_error *err)
{
	char path[32];
	int r = engine_load(run->engine, run->arena, id, &run->container, err);
	if (r == 0)
		r = lifecycle_check(&run->container, VERB_EXEC, err);
	if (r < 0)
		return r;
	if (!exec_driver(run->container.config.runtime))
		return error_set(err, ENGINE_ELSEWHERE, "runtime %s is not in this program",
				 run->container.config.runtime);
	run->init_pidfd = proc_open(run->container.pid, run->container.pid_start_time);
	if (run->init_pidfd < 0)
		return error_set(err, -ESRCH, "container %s is not running", run->container.name);
	snprintf(path, sizeof(path), "/proc/%d/root", run->container.pid);
	run->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run->root_fd < 0)
		return error_errno(err, -errno, "container %s: its root", run->container.name);
	return str_format(run->bundle, sizeof(run->bundle), "%s/containers/%s", run->engine->root,
			  run->container.id);
}

static int build_process(struct exec_run *run, const struct exec_config *config,
			 struct masu_error *err)
{
	struct container *container = &run->container;
	struct spec_context context = { .engine = run->engine,
					.arena = run->arena,
					.container = container,
					.root_fd = run->root_fd };
	if (config->user && *config->user)
		container->config.user = config->user;
	if (config->working_dir && *config->working_dir)
		container->config.working_dir = config->working_dir;
	if (config->privileged)
		container->config.privileged = true;
	container->config.init = false;
	container->args = (const char **)config->args;
	int r = spec_process(&context, &run->spec.process, err);
	if (r == 0)
		r = spec_namespaces(&context, &run->spec, err);
	if (r == 0)
		r = spec_security(&context, &run->spec, err);
	if (r < 0)
		return r;
	struct oci_process *process = &run->spec.process;
	process->terminal = config->tty;
	process->env = spec_environment(run->arena, &container->config,
					container_hostname(container), config->tty, config->env);
	return process->env ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int make_pipe(struct exec_run *run, int index, struct masu_error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "cannot make a pipe");
	run->theirs[index] = ends[index == 0 ? 0 : 1];
	run->ours[index] = ends[index == 0 ? 1 : 0];
	const struct oci_process *process = &run->spec.process;
	if (process->uid && fchown(run->theirs[index], process->uid, process->gid) < 0)
		return error_errno(err, -errno, "cannot hand a pipe to the container's user");
	return 0;
}

static int open_null(struct exec_run *run, int index, struct masu_error *err)
{
	run->theirs[index] = open("/dev/null", (index == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
	return run->theirs[index] < 0 ? error_errno(err, -errno, "/dev/null") : 0;
}

static int make_stdio(struct exec_run *run, const struct exec_config *config,
		      struct masu_error *err)
{
	int r = 0;
	if (config->tty)
		return 0;
	for (int i = 0; i < 3 && r == 0; i++) {
		bool relayed = !config->detach && (i > 0 || config->open_stdin);
		r = relayed ? make_pipe(run, i, err) : open_null(run, i, err);
	}
	return r;
}

/* An update has the container join more groups since they were looked at: it may have missed the
 * process that was on its way in. */
static int follow_update(struct exec_run *run, const struct exec_container *process,
			 struct masu_error *err)
{
	cgroup_rediscover(run->cgroup);
	int r = cgroup_gather(run->cgroup, err);
	if (r < 0)
		sys_pidfd_send_signal(process->pidfd, SIGKILL);
	return r;
}

/* Without somebody to answer, its calls of listen(2) would fail. */
static int hand_over_trap(struct exec_run *run, struct exec_container *process,
			  struct masu_error *err)
{
	int r = monitor_trap(&run->container, process->trap_fd);
	cleanup_close(&process->trap_fd);
	if (r == 0)
		return 0;
	sys_pidfd_send_signal(process->pidfd, SIGKILL);
	return error_errno(err, r, "the container's monitor does not answer for its ports");
}

static int start_process(struct exec_run *run, struct exec_container *ret, struct masu_error *err)
{
	const char *runtime = run->container.config.runtime;
	const struct exec_ops *driver = exec_driver(runtime);
	const char *state_dir = NULL;
	int r = container_cgroup_live(&run->container, &run->cgroup, err);
	bool joined = container_has_joined(&run->container);
	if (r == 0 && run->cgroup)
		r = cgroup_select(run->cgroup, NULL, run->container.pid, err);
	if (r < 0)
		return r;
	if (runtime)
		r = container_state_dir(run->engine, run->arena, &run->container, &state_dir, err);
	if (r < 0)
		return r;
	const struct exec_process_request request = {
		.driver = runtime,
		.state_dir = state_dir,
		.init_pid = run->container.pid,
		.init_pidfd = run->init_pidfd,
		.id = run->container.id,
		.bundle = run->bundle,
		.spec = &run->spec,
		.process = &run->spec.process,
		.cgroup = run->cgroup,
		.stdio = { run->theirs[0], run->theirs[1], run->theirs[2] },
		.traps = run->spec.seccomp.present ? engine_network_traps(&run->container.config)
						   : 0,
	};
	trace_mark("exec prepared");
	r = driver->exec(&request, ret, err);
	trace_mark("exec started");
	if (r == 0 && ret->trap_fd >= 0)
		r = hand_over_trap(run, ret, err);
	if (r == 0 && run->cgroup && !joined && container_has_joined(&run->container))
		r = follow_update(run, ret, err);
	return r;
}

/* "exec_create: sh -c true" and the same with exec_start, as docker has it. Only once it runs, or
 * has failed: nothing is to wait for it. */
static void tell_start(struct exec_run *run, char *const *args)
{
	static const char *const actions[] = { "exec_create:", "exec_start:" };
	const struct oci_pair more = { "execID", run->exec_id };
	_cleanup_buf_ struct buf action;
	buf_init(&action, EVENT_LINE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		buf_reset(&action);
		buf_puts(&action, actions[i]);
		for (char *const *arg = args; *arg; arg++) {
			buf_putc(&action, ' ');
			buf_puts(&action, *arg);
		}
		if (buf_error(&action) == 0)
			event_container(run->engine, &run->container, buf_str(&action), &more, 1);
	}
}

void engine_exec_ended(struct engine *engine, const struct engine_exec *exec, int status)
{
	char text[12];
	const struct oci_pair more[] = { { "execID", exec->id }, { "exitCode", text } };
	snprintf(text, sizeof(text), "%d", status);
	event_container(engine, &exec->container, "exec_die", more, ARRAY_SIZE(more));
}

int engine_exec(struct engine *engine, struct arena *arena, const char *id,
		const struct exec_config *config, struct engine_exec *ret, struct masu_error *err)
{
	_cleanup_(exec_run_close)
	struct exec_run run = {
		.engine = engine,
		.arena = arena,
		.container = { .dir_fd = -1, .run_fd = -1 },
		.init_pidfd = -1,
		.root_fd = -1,
		.theirs = { -1, -1, -1 },
		.ours = { -1, -1, -1 },
	};
	_cleanup_exec_container_ struct exec_container process = EXEC_CONTAINER_NONE;
	if (!config->args || !config->args[0])
		return error_set(err, -EINVAL, "No exec command specified");
	int r = open_container(&run, id, err);
	if (r == 0)
		r = build_process(&run, config, err);
	if (r == 0)
		r = make_stdio(&run, config, err);
	if (r == 0 && (r = id_random(run.exec_id)) < 0)
		error_errno(err, r, "cannot choose an id");
	if (r < 0)
		return r;
	r = start_process(&run, &process, err);
	tell_start(&run, config->args);
	if (r < 0)
		return r;
	*ret = (struct engine_exec) { .container = run.container,
				      .pid = process.pid,
				      .pidfd = take_fd(&process.pidfd),
				      .stdin_fd = take_fd(&run.ours[0]),
				      .stdout_fd = take_fd(&run.ours[1]),
				      .stderr_fd = take_fd(&run.ours[2]),
				      .console_fd = take_fd(&process.console_fd) };
	ret->container.dir_fd = ret->container.run_fd = -1;
	memcpy(ret->id, run.exec_id, sizeof(ret->id));
	return 0;
}
