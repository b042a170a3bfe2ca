/*
 * One health check: a process forked from the monitor (so from the sealed program), which enters
 * the container as `exec` does, takes the output, adds the result to the files, tells `masu
 * events`, and exits with what the container's health is now. The monitor does nothing but wait for
 * it: what happens in the container can hold up or end this process only.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/events.h"
#include "engine/health.h"
#include "engine/monitor.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

struct probe {
	struct engine *engine;
	struct arena arena;
	struct container container;
	struct health_plan plan;
	char output[HEALTH_OUTPUT_MAX + sizeof("...")];
	size_t output_len;
	bool truncated;
};

/* What fits is kept; a NUL would not be text. */
static void keep(struct probe *p, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p->output_len == HEALTH_OUTPUT_MAX)
			p->truncated = true;
		else if (data[i])
			p->output[p->output_len++] = data[i];
	}
}

/* false: there is nothing more to come. */
static bool take_output(struct probe *p, int fd)
{
	char data[4096];
	ssize_t got;
	do
		got = read(fd, data, sizeof(data));
	while (got < 0 && errno == EINTR);
	if (got > 0)
		keep(p, data, (size_t)got);
	return got > 0 || (got < 0 && errno == EAGAIN);
}

/* Serves the process's output until it ends. false: it took too long. */
static bool accompany(struct probe *p, struct engine_exec *exec)
{
	int64_t deadline = clock_ms() + p->plan.timeout;
	struct pollfd fds[] = { { .fd = exec->pidfd, .events = POLLIN },
				{ .fd = exec->stdout_fd, .events = POLLIN },
				{ .fd = exec->stderr_fd, .events = POLLIN } };
	fcntl(exec->stdout_fd, F_SETFL, O_NONBLOCK);
	fcntl(exec->stderr_fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		int64_t left = deadline - clock_ms();
		const struct timespec wait = { .tv_sec = left / 1000,
					       .tv_nsec = left % 1000 * 1000000 };
		if (left <= 0)
			return false;
		if (ppoll(fds, 3, &wait, NULL) <= 0)
			continue;
		for (int i = 1; i < 3; i++)
			if (fds[i].revents && !take_output(p, fds[i].fd))
				fds[i].fd = -1;
		if (fds[0].revents)
			break;
	}
	/* What it left in the pipes; who else has them open is not waited for. */
	for (int i = 1; i < 3; i++) {
		size_t before;
		do
			before = p->output_len;
		while (fds[i].fd >= 0 && !p->truncated && take_output(p, fds[i].fd) &&
		       p->output_len > before);
	}
	return true;
}

/* It leads a session of its own, so its children that stayed go with it. */
static void kill_group(const struct engine_exec *exec)
{
	if (getpgid(exec->pid) == exec->pid)
		kill(-exec->pid, SIGKILL);
	sys_pidfd_send_signal(exec->pidfd, SIGKILL);
}

static int wait_status(const struct engine_exec *exec)
{
	siginfo_t info = { 0 };
	int r;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)exec->pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static void say(struct probe *p, const char *text)
{
	keep(p, text, strlen(text));
}

static void say_timeout(struct probe *p)
{
	char before[HEALTH_OUTPUT_MAX], text[64], duration[HEALTH_DURATION_MAX];
	size_t len = p->output_len;
	memcpy(before, p->output, len);
	p->output_len = 0;
	snprintf(text, sizeof(text), "Health check exceeded timeout (%s)",
		 health_duration(p->plan.timeout, duration));
	say(p, text);
	if (len)
		say(p, ": ");
	keep(p, before, len);
}

/* The exit code of the check, -1 where it did not come to one. */
static int run_check(struct probe *p)
{
	struct masu_error err = { 0 };
	struct engine_exec exec;
	const struct exec_config config = {
		.args = health_command(&p->arena, &p->container.config),
	};
	int status = -1;
	int r = config.args
			? engine_exec(p->engine, &p->arena, p->container.id, &config, &exec, &err)
			: error_set(&err, -ENOMEM, "out of memory");
	if (r < 0) {
		say(p, err.message);
		return -1;
	}
	if (accompany(p, &exec)) {
		status = wait_status(&exec);
		engine_exec_ended(p->engine, &exec, status);
		return status;
	}
	kill_group(&exec);
	engine_exec_ended(p->engine, &exec, wait_status(&exec));
	say_timeout(p);
	return -1;
}

/* The files as they were, or of a first check. What cannot be read is not worth failing for. */
static struct health read_health(struct probe *p)
{
	struct health health;
	const struct container *container = &p->container;
	health_read(container->run_fd, &p->arena, container->started, &health, NULL);
	if (health.count == 0) {
		health_read(container->dir_fd, &p->arena, NULL, &health, NULL);
		health.status = HEALTH_STARTING;
		health.streak = 0;
	}
	return health;
}

static enum health_status record(struct probe *p, const char *start, int64_t since_start, int code)
{
	char end[TIME_TEXT_SIZE], action[64];
	struct masu_error err = { 0 };
	struct health health = read_health(p);
	enum health_status before = health.status;
	if (p->truncated) {
		memcpy(p->output + p->output_len, "...", 3);
		p->output_len += 3;
	}
	const struct health_result result = { .start = start,
					      .end = time_now_text(end),
					      .exit_code = code,
					      .output = p->output,
					      .output_len = p->output_len };
	health_add(&health, &p->plan, since_start, &result);
	if (health_write(p->container.run_fd, p->container.started, &health, &err) < 0)
		log_debug("%s", err.message);
	if (health.status != before) {
		snprintf(action, sizeof(action), "health_status: %s",
			 health_status_name(health.status));
		event_container(p->engine, &p->container, action, NULL, 0);
	}
	return health.status;
}

void health_probe_main(struct monitor *m, int64_t since_start, bool stuck)
{
	static struct probe probe;
	struct probe *p = &probe;
	char start[TIME_TEXT_SIZE];
	int kept[] = { m->engine->root_fd, m->engine->run_fd };
	/* Nobody but the monitor takes the result. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	proc_close_all_but(kept, 2);
	arena_init(&p->arena, 0);
	p->engine = m->engine;
	int r = engine_load(m->engine, &p->arena, m->container.id, &p->container, NULL);
	/* Paused, or about to end. */
	if (r < 0 || p->container.status != CONTAINER_RUNNING || !p->container.pid ||
	    !health_is_checked(&p->container.config))
		_exit(HEALTH_PROBE_SKIPPED);
	p->plan = health_plan_of(&p->container.config);
	time_now_text(start);
	if (stuck)
		say(p, "timed out starting the health check");
	int code = stuck ? -1 : run_check(p);
	_exit((int)record(p, start, since_start, code));
}
