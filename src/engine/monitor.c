#include "engine/images.h"
#include "engine/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/trace.h"
#include "engine/events.h"
#include "engine/network.h"
#include "engine/trim.h"
#include "network/dns.h"
#include "state/trash.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define EVENTS_MAX    16
#define TRIM_AFTER_MS 200 /* a container that lives longer gets a small monitor */
#define KEPT_FDS_MAX  16

/* In .bss rather than on the stack or heap: only the pages in use count. */
static struct monitor the_monitor;
static struct engine own_engine;
/* Pages of its own, since it is given back as a whole. */
static union {
	struct launch launch;
	char pages[(sizeof(struct launch) + 4095) & ~4095ul];
} the_launch __attribute__((aligned(4096)));

int watch(int epoll_fd, int fd, enum source source, unsigned index, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)source << 32 | index };
	return epoll_ctl(epoll_fd, events ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) < 0 ? -errno
											   : 0;
}

static void null_fd(int fd)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		dup2(null, fd);
}

/* Own session, no terminal, nothing of the starter's but its stderr for warnings until the
 * container runs; no signal ends it but SIGKILL. */
static void leave_starter(struct monitor *m, const struct monitor_start *start)
{
	int kept[KEPT_FDS_MAX] = {
		m->engine->root_fd, m->engine->run_fd, m->container.dir_fd, m->container.run_fd,
		start->lock_fd,	    start->control_fd, start->stream_fd,
	};
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid();
	proc_close_all_but(kept, 7);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (start->parked)
			dup2(null, STDERR_FILENO);
	}
	if (chdir("/") < 0)
		log_debug("monitor: chdir /: %s", strerror(errno));
}

int monitor_open(struct monitor *m, struct masu_error *err)
{
	if (m->epoll_fd >= 0)
		return 0;
	int r = ctl_listen(m->container.run_fd, &m->ctl.listen_fd, err);
	if (r == 0)
		r = log_writer_open(&m->io.log, &m->container, err);
	if (r < 0)
		return r;
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll_fd < 0)
		return error_errno(err, -errno, "cannot watch files");
	m->io.epoll_fd = m->epoll_fd;
	r = ctl_start(m);
	return r < 0 ? error_errno(err, r, "cannot watch the control socket") : 0;
}

static int prepare(struct monitor *m, const struct monitor_start *start, struct masu_error *err)
{
	/* Before anything that must be found again where this process is killed. */
	int r = store_open_run(m->engine, &m->container, err);
	/* Who asks for the start before it is prepared waits in the queue. */
	if (r == 0 && start->parked)
		r = monitor_open(m, err);
	if (r == 0)
		r = launch_prepare(m->launch, m, start, err);
	if (r < 0)
		return r;
	r = watch(m->epoll_fd, m->process.pidfd, SOURCE_PROCESS, 0, EPOLLIN);
	if (r == 0)
		return 0;
	launch_undo(m->launch);
	return error_errno(err, r, "cannot watch the container");
}

static int start_now(struct monitor *m, const struct monitor_start *start, struct masu_error *err)
{
	int r = launch_start(m->launch, start->rows, start->columns, err);
	if (r < 0)
		return r;
	r = io_start(&m->io);
	if (r == 0 && start->stream_fd >= 0)
		r = io_client_add(&m->io, start->stream_fd, start->streams, true);
	if (r == 0)
		return 0;
	launch_undo(m->launch);
	return error_errno(err, r, "cannot watch the container's output");
}

int monitor_launch(struct monitor *m, const struct monitor_start *start, struct masu_error *err)
{
	int r = prepare(m, start, err);
	return r < 0 ? r : start_now(m, start, err);
}

void monitor_failed(struct monitor *m, const struct masu_error *err)
{
	m->container.exit_code = err->exit_status ? err->exit_status : 125;
	m->container.error = err->message;
	m->container.pid = 0;
	m->container.status = CONTAINER_CREATED;
	if (!m->container.config.auto_remove || m->launch->unclean)
		store_write_state(&m->container, false, NULL);
	else if (container_discard(m->engine, m->arena, &m->container, NULL) == 0)
		container_let_go(m->engine, &m->container);
	/* By this directory recovery knows that there is something to clean up. */
	if (!m->launch->unclean)
		store_remove_run(m->engine, m->container.id);
}

/* Ends the monitor of a container that could not be started. */
static void __attribute__((noreturn)) fail(struct monitor *m, const struct masu_error *err)
{
	monitor_failed(m, err);
	ctl_send_error(m->control_fd, err);
	cleanup_close(&m->lock_fd);
	null_fd(STDERR_FILENO);
	trash_empty(m->engine->root_fd, 0);
	engine_network_retire(m->engine, &m->container.config);
	_exit(EXIT_FAILURE);
}

/* state.json, which tells after a reboot that it ran. */
static void record_start(struct monitor *m, bool durable)
{
	struct masu_error err = { 0 };
	if (!m->container.config.auto_remove && store_write_state(&m->container, durable, &err) < 0)
		log_warn("%s", err.message);
}

/*
 * Until it is recorded live.json says that it runs, and without a restart policy it does not run
 * after a power cut either way: then the record follows the reply. With one, the reply promises
 * that `system start` brings it back.
 */
void monitor_report_start(struct monitor *m, int client_fd, int stream_fd)
{
	const struct ctl_message message = { .type = CTL_STARTED, .value = m->process.pid };
	bool promised = m->container.config.restart != RESTART_NO;
	direct_begin(m);
	restart_note_start(m);
	event_started(m->engine, &m->container);
	if (promised)
		record_start(m, true);
	if (client_fd >= 0)
		ctl_reply(client_fd, &message, stream_fd);
	if (!promised)
		record_start(m, false);
	health_begin(m);
}

static void report_started(struct monitor *m)
{
	cleanup_close(&m->lock_fd);
	monitor_report_start(m, m->control_fd, -1);
	m->control_fd = -1; /* a client like the others from now on */
	null_fd(STDERR_FILENO);
}

void monitor_dispatch(struct monitor *m, const struct epoll_event *event)
{
	unsigned index = (unsigned)event->data.u64;
	switch ((enum source)(event->data.u64 >> 32)) {
	case SOURCE_PROCESS:
	case SOURCE_RESTART:
		m->over = true;
		break;
	case SOURCE_HEALTH:
		health_event(m, index);
		break;
	case SOURCE_DNS:
		if (m->dns)
			dns_event(m->dns);
		break;
	case SOURCE_DIRECT:
		direct_event(m, index, event->events);
		break;
	case SOURCE_OUTPUT:
		if ((event->events & EPOLLOUT) && m->io.tty)
			io_stdin_ready(&m->io);
		if (event->events & ~(uint32_t)EPOLLOUT)
			io_output_ready(&m->io, index);
		break;
	case SOURCE_STDIN:
		io_stdin_ready(&m->io);
		break;
	case SOURCE_STREAM:
		io_client_ready(&m->io, index, event->events);
		break;
	case SOURCE_LISTENER:
		ctl_accept(m);
		break;
	case SOURCE_CONTROL:
		ctl_client_ready(m, index);
		break;
	case SOURCE_IO:
		io_ready(&m->io, index);
		break;
	}
}

/* Back to what a monitor needs: what is forgotten here is in the container's files. */
void monitor_forget(struct monitor *m)
{
	static struct arena own_arena;
	arena_free(m->arena);
	m->arena = &own_arena; /* the other one is the starter's, on its stack */
	cgroup_close(m->cgroup);
	m->cgroup = NULL;
	madvise(&the_launch, sizeof(the_launch), MADV_DONTNEED);
	trim_stack(m->frame);
	m->trimmed = true;
}

/* Where nothing happens for a while, memory is given back. */
void monitor_supervise(struct monitor *m)
{
	struct epoll_event events[EVENTS_MAX];
	m->over = false;
	while (!m->over) {
		bool put_off = m->io.log.put_off;
		int count = epoll_wait(m->epoll_fd, events, EVENTS_MAX,
				       put_off ? LOG_PUT_OFF_MS : TRIM_AFTER_MS);
		if (count == 0 && put_off) {
			log_writer_go(&m->io.log);
			continue;
		}
		if (count == 0) {
			if (!m->trimmed)
				monitor_forget(m);
			else
				trim_stack(m->frame); /* of what has been answered since */
			/* Who still writes the log needs the program. */
			if (!io_trim(&m->io))
				continue;
			count = trim_wait(m->epoll_fd, events, EVENTS_MAX);
		}
		if (count < 0 && errno != EINTR)
			return;
		for (int i = 0; i < count; i++)
			monitor_dispatch(m, &events[i]);
	}
}

static int wait_status(struct monitor *m)
{
	siginfo_t info = { 0 };
	int r;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)m->process.pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ECHILD ? -ECHILD : 255;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Its parent is a program of the exec driver's, which says. */
static int status_elsewhere(struct monitor *m)
{
	const struct exec_ops *driver = exec_driver(m->container.config.runtime);
	const char *state_dir;
	if (!driver || !driver->ended ||
	    container_state_dir(m->engine, m->arena, &m->container, &state_dir, NULL) < 0)
		return 255;
	return driver->ended(state_dir);
}

/* A group of its own knows; a virtual machine's memory is the driver's matter. */
static void note_memory(struct monitor *m)
{
	const struct exec_ops *driver = exec_driver(m->container.config.runtime);
	const char *state_dir;
	if (m->cgroup)
		cgroup_oom_killed(m->cgroup, &m->container.oom_killed);
	if (driver && driver->out_of_memory &&
	    container_state_dir(m->engine, m->arena, &m->container, &state_dir, NULL) == 0)
		m->container.oom_killed |= driver->out_of_memory(state_dir);
}

int monitor_remember(struct monitor *m)
{
	struct container container;
	if (!m->trimmed && !m->stale)
		return 0;
	int r = store_load(m->engine, m->arena, m->container.id, &container, NULL);
	if (r < 0)
		return r;
	/* Those that were in use may not be all that there are now. */
	cgroup_close(m->cgroup);
	m->cgroup = NULL;
	/* The log is written below the directory that is open. */
	container_close(&container);
	container.dir_fd = m->container.dir_fd;
	container.run_fd = m->container.run_fd;
	m->container = container;
	m->trimmed = m->stale = false;
	return 0;
}

void monitor_note_end(struct monitor *m, enum container_status status, int exit_code)
{
	struct container *container = &m->container;
	container->pid = 0;
	container->status = status;
	container->exit_code = exit_code;
	container->finished = time_now_text(m->finished);
}

/* Clients that are slow take what is left; nothing else happens any more. */
static void flush_clients(struct monitor *m)
{
	struct epoll_event events[EVENTS_MAX];
	while (io_has_backlog(&m->io)) {
		int count = epoll_wait(m->epoll_fd, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++)
			if (events[i].data.u64 >> 32 == SOURCE_STREAM)
				io_client_ready(&m->io, (unsigned)events[i].data.u64,
						events[i].events);
		io_finish(&m->io);
	}
}

/* Records the end and takes down what the container had. @recorded: it was over before, and only
 * waited for another start. true: it was removed. */
static bool tidy_up(struct monitor *m, bool recorded)
{
	bool auto_remove = m->container.config.auto_remove && !m->restart.keep;
	m->container.manually_stopped = m->restart.stopped && m->restart.by_hand;
	/* Without a promise to start it again it is synced where somebody is told: ctl_tell_end().
	 */
	if (!auto_remove)
		store_write_state(&m->container, m->container.config.restart != RESTART_NO, NULL);
	if (!recorded)
		event_died(m->engine, &m->container, m->container.exit_code);
	int r = container_cleanup(m->engine, m->arena, &m->container, m->cgroup, NULL);
	if (!recorded)
		event_released(m->engine, &m->container);
	if (r == 0 && auto_remove)
		r = container_discard(m->engine, m->arena, &m->container, NULL);
	/* Recovery does what could not be done now; it knows by the run directory. */
	if (r == 0)
		store_remove_run(m->engine, m->container.id);
	return r == 0 && auto_remove;
}

/* false: it runs again. */
static bool end(struct monitor *m)
{
	int status = wait_status(m);
	bool recorded = false, discarded = false;
	trace_mark("exited");
	health_end(m);
	direct_end(m);
	resolver_end(m);
	io_finish(&m->io);
	watch(m->epoll_fd, m->process.pidfd, SOURCE_PROCESS, 0, 0);
	exec_container_close(&m->process);
	bool remembered = monitor_remember(m) == 0;
	if (status < 0)
		status = remembered ? status_elsewhere(m) : 255;
	if (remembered) {
		/* Without its group what it leaves is found by the next start. */
		if (!m->cgroup)
			container_cgroup_open(m->engine, m->arena, &m->container, &m->cgroup, NULL);
		note_memory(m);
		if (restart_in_place(m, status, &recorded))
			return false;
		if (!recorded)
			monitor_note_end(m, CONTAINER_EXITED, status);
		discarded = tidy_up(m, recorded);
	}
	trace_mark("cleaned up");
	ctl_finish(m, status, m->container.oom_killed);
	/* What nobody has to wait for; a name that leads nowhere is free already. */
	if (discarded)
		container_let_go(m->engine, &m->container);
	launch_unmount(m);
	flush_clients(m);
	recover_unfinished(m->engine);
	if (discarded)
		engine_images_collect_behind(m->engine);
	trash_empty(m->engine->root_fd, 0);
	if (remembered)
		engine_network_retire(m->engine, &m->container.config);
	return true;
}

static void __attribute__((noreturn)) run(struct monitor *m)
{
	do {
		engine_network_settle(m->engine, &m->container);
		monitor_supervise(m);
	} while (!end(m));
	_exit(EXIT_SUCCESS);
}

/* A prepared container that nobody started: back to a record and a layer. */
static void __attribute__((noreturn)) unpark(struct monitor *m)
{
	m->launch->gone = true;
	launch_undo(m->launch);
	if (!m->launch->unclean)
		store_remove_run(m->engine, m->container.id);
	ctl_finish(m, 0, false);
	_exit(EXIT_SUCCESS);
}

/* Where there is no room the old one stays, for as long as it takes to say so. */
static bool keep_string(const char **string)
{
	const char *copy = strdup(*string);
	if (copy)
		*string = copy;
	return copy;
}

/* The engine's own strings are somewhere in what the starter had; the monitor keeps copies. */
static int adopt_engine(const struct engine *from, struct engine *ret)
{
	*ret = *from;
	/* Their files are closed with everything else. */
	ret->storage = ret->other_storage = NULL;
	bool kept = keep_string(&ret->root) && keep_string(&ret->runroot) &&
		    keep_string(&ret->libexec) && keep_string(&ret->self_path);
	return kept ? 0 : -ENOMEM;
}

void monitor_main(struct engine *engine, struct arena *arena, const struct container *container,
		  const struct monitor_start *start)
{
	struct monitor *m = &the_monitor;
	struct masu_error err = { 0 };
	trace_process("monitor");
	/* Zero it is: what is not set is not touched. */
	m->engine = &own_engine;
	m->arena = arena;
	m->container = *container;
	m->launch = &the_launch.launch;
	m->frame = __builtin_frame_address(0);
	m->lock_fd = start->lock_fd;
	m->control_fd = start->control_fd;
	m->process = EXEC_CONTAINER_NONE;
	m->epoll_fd = m->io.epoll_fd = m->ctl.listen_fd = m->restart.timer_fd = -1;
	m->mounts_fd = m->layer_fd = -1;
	m->io.outputs[0] = m->io.outputs[1] = m->io.stdin_fd = -1;
	m->io.tty = container->config.tty;
	m->io.stdin_once = container->config.stdin_once;
	restart_reset(m);
	int r = adopt_engine(engine, &own_engine);
	if (r < 0)
		error_set(&err, r, "out of memory");
	leave_starter(m, start);
	trace_mark("monitor ready");
	if (r == 0)
		r = prepare(m, start, &err);
	if (start->parked) {
		/* Nobody waits for the outcome: where it fails, the start goes the long way. */
		if (r == 0 && park(m))
			run(m);
		unpark(m);
	}
	if (r == 0)
		r = start_now(m, start, &err);
	if (r < 0)
		fail(m, &err);
	report_started(m);
	run(m);
}
