/*
 * Health checks in the monitor: a timer for the next check, the process that makes it
 * (health_probe.c), and what is to be done with an unhealthy container. Without a check nothing of
 * this exists but a few zeros.
 */
#include <errno.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/monitor.h"
#include "engine/validate.h"
#include "sys/syscalls.h"

/* As docker: beside the timeout of the check itself, for entering the container. */
#define START_TIMEOUT_MS     30000
#define STOP_TIMEOUT_DEFAULT 10

static void arm(struct monitor *m, int64_t ms)
{
	const struct itimerspec when = { .it_value = { .tv_sec = ms / 1000,
						       .tv_nsec = ms % 1000 * 1000000 } };
	timerfd_settime(m->health.timer_fd, 0, &when, NULL);
}

static enum health_action action_of(const char *name)
{
	static const char *const names[] = { [HEALTH_ACTION_NONE] = "none",
					     [HEALTH_ACTION_KILL] = "kill",
					     [HEALTH_ACTION_RESTART] = "restart",
					     [HEALTH_ACTION_STOP] = "stop" };
	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return (enum health_action)i;
	return HEALTH_ACTION_NONE;
}

void health_begin(struct monitor *m)
{
	struct monitor_health *h = &m->health;
	const struct container_config *config = &m->container.config;
	if (!health_is_checked(config))
		return;
	h->plan = health_plan_of(config);
	h->action = action_of(config->health_on_failure);
	h->status = HEALTH_STARTING;
	h->ending = h->restart = false;
	h->probe_fd = -1;
	_cleanup_close_ int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int r = timer < 0 ? -errno
			  : watch(m->epoll_fd, timer, SOURCE_HEALTH, HEALTH_EVENT_TIMER, EPOLLIN);
	if (r < 0) {
		log_debug("container %.12s: no health checks: %d", m->container.id, r);
		return;
	}
	h->timer_fd = take_fd(&timer);
	h->active = true;
	arm(m, health_wait(&h->plan, h->status, 0));
}

/* Waits for the check that has ended or was killed; what it said. */
static int collect(struct monitor_health *h)
{
	siginfo_t info = { 0 };
	int r;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)h->probe_fd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	cleanup_close(&h->probe_fd); /* and so leaves the loop */
	return r == 0 && info.si_code == CLD_EXITED ? info.si_status : HEALTH_PROBE_SKIPPED;
}

/* Every status but that of its last run: it is over with that. */
static void keep_files(struct monitor *m)
{
	_cleanup_arena_ struct arena arena;
	struct health health;
	arena_init(&arena, 0);
	if (health_read(m->container.run_fd, &arena, NULL, &health, NULL) < 0)
		return;
	health.status = HEALTH_UNHEALTHY;
	health_write(m->container.dir_fd, "", &health, NULL);
}

void health_end(struct monitor *m)
{
	struct monitor_health *h = &m->health;
	if (!h->active)
		return;
	if (h->probe_fd >= 0) {
		sys_pidfd_send_signal(h->probe_fd, SIGKILL);
		collect(h);
	}
	cleanup_close(&h->timer_fd);
	h->active = false;
	if (!m->container.config.auto_remove)
		keep_files(m);
}

static void spawn(struct monitor *m, bool stuck)
{
	struct monitor_health *h = &m->health;
	int64_t since_start = restart_since_start(m);
	pid_t pid = fork();
	if (pid == 0)
		health_probe_main(m, since_start, stuck);
	int fd = pid < 0 ? -errno : sys_pidfd_open(pid, 0);
	int r = fd < 0 ? fd : watch(m->epoll_fd, fd, SOURCE_HEALTH, HEALTH_EVENT_PROBE, EPOLLIN);
	if (r == 0) {
		h->probe_fd = fd;
		arm(m, h->plan.timeout + START_TIMEOUT_MS);
		return;
	}
	/* A check that cannot be made now is made next time. */
	log_debug("container %.12s: no health check now: %d", m->container.id, r);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	cleanup_close(&fd);
	arm(m, h->plan.interval);
}

/* Sends @sig as `kill` would, and tells so. */
static void send_signal(struct monitor *m, int sig)
{
	if (monitor_remember(m) == 0)
		event_container_number(m->engine, &m->container, "kill", "signal", sig);
	sys_pidfd_send_signal(m->process.pidfd, sig);
}

/* The stop signal; when the timer fires again, SIGKILL. */
static void end_politely(struct monitor *m)
{
	const struct container_config *config = &m->container.config;
	int sig = SIGTERM, seconds = STOP_TIMEOUT_DEFAULT;
	if (monitor_remember(m) == 0) {
		if (config->stop_signal)
			signal_parse(config->stop_signal, &sig, NULL);
		if (config->stop_timeout >= 0)
			seconds = config->stop_timeout;
	}
	m->health.ending = true;
	send_signal(m, sig);
	arm(m, seconds ? (int64_t)seconds * 1000 : 1);
}

static void became_unhealthy(struct monitor *m)
{
	switch (m->health.action) {
	case HEALTH_ACTION_NONE:
		break;
	case HEALTH_ACTION_KILL:
		/* A failure like others: what follows is the restart policy's. */
		send_signal(m, SIGKILL);
		break;
	case HEALTH_ACTION_RESTART:
		m->health.restart = true;
		end_politely(m);
		break;
	case HEALTH_ACTION_STOP:
		restart_stopping(m, 0);
		end_politely(m);
		break;
	}
}

static void probe_ended(struct monitor *m)
{
	struct monitor_health *h = &m->health;
	enum health_status before = h->status;
	int said = collect(h);
	if (said <= HEALTH_UNHEALTHY)
		h->status = (enum health_status)said;
	arm(m, health_wait(&h->plan, h->status, restart_since_start(m)));
	if (h->status == HEALTH_UNHEALTHY && before != HEALTH_UNHEALTHY)
		became_unhealthy(m);
}

void health_event(struct monitor *m, unsigned what)
{
	struct monitor_health *h = &m->health;
	uint64_t expirations;
	if (!h->active)
		return;
	if (what == HEALTH_EVENT_PROBE) {
		if (h->probe_fd >= 0)
			probe_ended(m);
		return;
	}
	/* Not there any more where it was set anew since. */
	if (read(h->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	if (h->ending) {
		send_signal(m, SIGKILL);
	} else if (h->probe_fd >= 0) {
		/* It hangs where it cannot be reached, in the kernel or in a frozen group. */
		sys_pidfd_send_signal(h->probe_fd, SIGKILL);
		collect(h);
		spawn(m, true);
	} else {
		spawn(m, false);
	}
}
