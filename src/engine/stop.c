/*
 * Signals: kill and stop, of one container or of several at once. They go through a pidfd that was
 * checked against the recorded start time, so they never reach another process that got the pid.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/protocol.h"
#include "engine/restart_policy.h"
#include "engine/validate.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define STOP_TIMEOUT_DEFAULT 10
#define STOP_BATCH	     256 /* that many files are open at once, one a container */
#define BATCH_ARENA_MAX	     ((size_t)1 << 30)

static int own_stop_signal(const struct container *container)
{
	int sig = SIGTERM;
	if (container->config.stop_signal)
		signal_parse(container->config.stop_signal, &sig, NULL);
	return sig;
}

/*
 * Tells the monitor where no restart policy is to apply to what @sig (0: it ends the container)
 * does. Any signal ends the wait for the next start: there is nothing else to end. What may have
 * been started again meanwhile is looked at once more.
 */
static int announce(struct engine *engine, struct arena *arena, int sig, unsigned flags,
		    struct container *container, struct masu_error *err)
{
	bool restarting = container->status == CONTAINER_RESTARTING;
	bool ending =
		!sig || restarting || restart_is_ending_signal(sig, own_stop_signal(container));
	struct container now;
	bool concerns = restarting || restart_is_possible(&container->config) ||
			(container->config.auto_remove && flags & CTL_STOP_KEEP);
	if (!ending || !concerns || monitor_announce_stop(container, flags) < 0)
		return 0;
	int r = engine_load(engine, arena, container->id, &now, err);
	if (r < 0)
		return r;
	container_close(container);
	*container = now;
	return 0;
}

/* Opens the init of a container that @verb is allowed for, and is about to be sent @sig. 1: there
 * is nothing to do. */
static int open_process(struct engine *engine, struct arena *arena, const char *id,
			enum lifecycle_verb verb, int sig, unsigned flags, struct container *ret,
			int *ret_pidfd, struct masu_error *err)
{
	struct container container;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	bool restarting = container.status == CONTAINER_RESTARTING;
	r = lifecycle_check(&container, verb, err);
	if (r == 0)
		r = announce(engine, arena, sig, flags, &container, err);
	if (r == 0) {
		*ret_pidfd = proc_open(container.pid, container.pid_start_time);
		if (*ret_pidfd < 0 && *ret_pidfd != -ESRCH)
			r = error_errno(err, *ret_pidfd, "container %s: process %d", container.name,
					container.pid);
		/* It ended after it was looked at, or there was only a wait to end. */
		else if (*ret_pidfd < 0)
			r = verb == VERB_STOP || verb == VERB_REMOVE_FORCE || restarting
				    ? 1
				    : error_set(err, -ESRCH, "container %s is not running",
						container.name);
	}
	container_close(&container);
	*ret = container;
	return r;
}

/* As docker: a paused container goes on with what is to end it, so that the signal can act. */
static bool is_thawed_by(const struct container *container, int sig)
{
	if (container->status != CONTAINER_PAUSED)
		return false;
	return sig == SIGKILL || !container->config.stop_signal ||
	       sig == own_stop_signal(container);
}

/* -ESRCH where it has ended. */
static int send_signal(struct engine *engine, const struct container *container, int pidfd, int sig)
{
	/* The event comes first, so that it is before that of the end. */
	event_container_number(engine, container, "kill", "signal", sig);
	int r = sys_pidfd_send_signal(pidfd, sig);
	if (r < 0 || !is_thawed_by(container, sig))
		return r;
	r = container_thaw(engine, container->id, NULL);
	/* The signal was enough (cgroup v2 lets the frozen be killed), and it is gone by now. */
	return r == -ENOENT ? 0 : r;
}

/* The signal alone; 1: there is nothing that it could reach, and that is fine. */
static int begin_kill(struct engine *engine, const char *id, enum lifecycle_verb verb, int sig,
		      unsigned flags, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int pidfd = -1;
	struct container container;
	arena_init(&arena, 0);
	int r = open_process(engine, &arena, id, verb, sig, flags, &container, &pidfd, err);
	if (r != 0)
		return r;
	r = send_signal(engine, &container, pidfd, sig);
	if (r == -ESRCH && verb == VERB_REMOVE_FORCE)
		return 1;
	if (r == -ESRCH)
		return error_set(err, r, "container %s is not running", container.name);
	return r < 0 ? error_errno(err, r, "container %s: signal %d", container.name, sig) : 0;
}

static int begin_user_kill(struct engine *engine, const char *id, int sig, struct masu_error *err)
{
	int r = begin_kill(engine, id, VERB_KILL, sig, 0, err);
	if (r < 0)
		error_wrap(err, "cannot kill container %.12s", id);
	return r;
}

int engine_kill(struct engine *engine, const char *id, int sig, struct masu_error *err)
{
	int r = begin_user_kill(engine, id, sig, err);
	/* As docker: who is told that it was killed finds it ended. */
	return r == 1 || (r == 0 && sig == SIGKILL) ? container_await_end(engine, id, err) : r;
}

void engine_kill_all(struct engine *engine, int sig, struct engine_target *targets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (targets[i].result == 0)
			targets[i].result =
				begin_user_kill(engine, targets[i].id, sig, &targets[i].err);
	for (size_t i = 0; i < count; i++)
		if (targets[i].result == 1 || (targets[i].result == 0 && sig == SIGKILL))
			targets[i].result =
				container_await_end(engine, targets[i].id, &targets[i].err);
}

int container_force_end(struct engine *engine, const char *id, struct masu_error *err)
{
	int r = begin_kill(engine, id, VERB_REMOVE_FORCE, SIGKILL, 0, err);
	return r < 0 ? r : container_await_end(engine, id, err);
}

void engine_remove_all(struct engine *engine, unsigned flags, struct engine_target *targets,
		       size_t count)
{
	for (size_t i = 0; flags & ENGINE_REMOVE_FORCE && count > 1 && i < count; i++)
		if (targets[i].result == 0)
			begin_kill(engine, targets[i].id, VERB_REMOVE_FORCE, SIGKILL, 0, NULL);
	for (size_t i = 0; i < count; i++) {
		struct engine_target *target = &targets[i];
		if (target->result < 0)
			continue;
		target->result = engine_remove(engine, target->id, flags, &target->err);
		/* With --rm it goes by itself once it was killed. */
		if (target->result == -ENOENT && flags & ENGINE_REMOVE_FORCE)
			target->result = 0;
	}
}

/* ---- stop ---- */

struct stopping {
	struct engine *engine;
	struct arena arena; /* of a batch's containers */
	const struct stop_options *options;
	struct engine_target *targets;
	size_t count;
	int pidfds[STOP_BATCH];	       /* -1: nothing to wait for, any more or at all */
	int64_t deadlines[STOP_BATCH]; /* INT64_MAX: never */
	struct container *containers[STOP_BATCH];
	size_t waiting;
	engine_done_fn done;
	void *opaque;
	size_t first; /* index of the batch's first one, for @done */
};

static int64_t stop_deadline(int seconds, const struct container *container)
{
	if (seconds == STOP_TIMEOUT_OWN)
		seconds = container->config.stop_timeout >= 0 ? container->config.stop_timeout
							      : STOP_TIMEOUT_DEFAULT;
	return seconds < 0 ? INT64_MAX : clock_ms() + (int64_t)seconds * 1000;
}

static unsigned stop_flags(const struct stopping *s)
{
	return (s->options->system ? CTL_STOP_SYSTEM : 0) | (s->options->keep ? CTL_STOP_KEEP : 0);
}

static void stop_begin(struct stopping *s, size_t i)
{
	_cleanup_close_ int pidfd = -1;
	struct engine_target *target = &s->targets[i];
	struct container *container = arena_new(&s->arena, struct container);
	s->pidfds[i] = -1;
	s->containers[i] = container;
	if (target->result < 0)
		return;
	int r = container ? open_process(s->engine, &s->arena, target->id, VERB_STOP, 0,
					 stop_flags(s), container, &pidfd, &target->err)
			  : error_set(&target->err, -ENOMEM, "out of memory");
	if (r == 0) {
		s->deadlines[i] = stop_deadline(s->options->timeout, container);
		r = send_signal(s->engine, container, pidfd,
				s->options->sig ? s->options->sig : own_stop_signal(container));
		if (r == 0) {
			s->pidfds[i] = take_fd(&pidfd);
			s->waiting++;
			return;
		}
		r = r == -ESRCH ? 1
				: error_errno(&target->err, r, "cannot stop container %s",
					      container->name);
	}
	/* Nothing to send any more; it may not be recorded yet. */
	target->result = r < 0 ? r : container_await_end(s->engine, target->id, &target->err);
	if (s->done)
		s->done(s->opaque, s->first + i);
}

/* It has ended, or was sent what ends it in any case. */
static void stop_finish(struct stopping *s, size_t i)
{
	struct engine_target *target = &s->targets[i];
	cleanup_close(&s->pidfds[i]);
	s->waiting--;
	target->result = container_await_end(s->engine, target->id, &target->err);
	if (target->result == 0)
		event_container(s->engine, s->containers[i], "stop", NULL, 0);
	if (s->done)
		s->done(s->opaque, s->first + i);
}

/* One that was paused meanwhile is let go on, to die. */
static void stop_force(struct stopping *s, size_t i)
{
	if (begin_kill(s->engine, s->targets[i].id, VERB_REMOVE_FORCE, SIGKILL, stop_flags(s),
		       NULL) < 0)
		sys_pidfd_send_signal(s->pidfds[i], SIGKILL);
	s->deadlines[i] = INT64_MAX;
}

static void stop_wait(struct stopping *s)
{
	struct pollfd fds[STOP_BATCH];
	while (s->waiting) {
		int64_t nearest = INT64_MAX, now = clock_ms();
		for (size_t i = 0; i < s->count; i++) {
			fds[i] = (struct pollfd) { .fd = s->pidfds[i], .events = POLLIN };
			if (s->pidfds[i] >= 0 && s->deadlines[i] <= now)
				stop_force(s, i);
			if (s->pidfds[i] >= 0 && s->deadlines[i] < nearest)
				nearest = s->deadlines[i];
		}
		int64_t left = nearest - now;
		int timeout = nearest == INT64_MAX ? -1 : left > INT_MAX ? INT_MAX : (int)left;
		if (poll(fds, s->count, timeout) <= 0)
			continue;
		for (size_t i = 0; i < s->count; i++)
			if (s->pidfds[i] >= 0 && fds[i].revents)
				stop_finish(s, i);
	}
}

void engine_stop_all(struct engine *engine, const struct stop_options *options,
		     struct engine_target *targets, size_t count, engine_done_fn done, void *opaque)
{
	struct stopping s = {
		.engine = engine, .options = options, .done = done, .opaque = opaque
	};
	for (; s.first < count; s.first += s.count) {
		s.targets = targets + s.first;
		s.count = count - s.first < STOP_BATCH ? count - s.first : STOP_BATCH;
		arena_init(&s.arena, BATCH_ARENA_MAX);
		for (size_t i = 0; i < s.count; i++)
			stop_begin(&s, i);
		stop_wait(&s);
		arena_free(&s.arena);
	}
}

int engine_stop(struct engine *engine, const char *id, const struct stop_options *options,
		struct masu_error *err)
{
	struct engine_target target = { 0 };
	memcpy(target.id, id, strnlen(id, sizeof(target.id) - 1));
	engine_stop_all(engine, options, &target, 1, NULL, NULL);
	if (target.result < 0 && err)
		*err = target.err;
	return target.result;
}
