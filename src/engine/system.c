/*
 * Bringing back after the machine was down what restart policies promise, as dockerd does when it
 * starts: nothing remembers it but the containers' own records.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/restart_policy.h"
#include "network/network.h"

/* A container whose policy is to be looked at; in the caller's arena. */
struct candidate {
	const char *name;
	char id[65];
	bool wanted; /* its policy starts it */
	bool runs, supervised;
	bool left_over; /* --rm, and of an earlier boot */
	bool done;
	const char *needs[3]; /* containers whose namespaces it joins, as they were typed */
};

struct collection {
	struct arena *arena;
	struct candidate *list;
	size_t count, room;
	char booted[TIME_TEXT_SIZE];
};

static bool is_wanted(const struct container *container)
{
	const struct restart_case last = {
		.policy = container->config.restart,
		.maximum = container->config.restart_max,
		.count = container->restart_count,
		.exit_code = container->exit_code,
		.stopped = container->manually_stopped,
	};
	/* What was never started is not brought back. */
	return !streq(container->started, TIME_TEXT_NEVER) && restart_at_system_start(&last);
}

static void boot_time(char ret[TIME_TEXT_SIZE])
{
	struct timespec now, up;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	time_t booted = now.tv_sec - up.tv_sec;
	gmtime_r(&booted, &tm);
	strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
}

/*
 * Nothing is written down of a container with --rm but that it exists, since it goes when it ends.
 * One of an earlier boot that does not live has ended, or will not be started any more: as with
 * docker it goes.
 */
static bool is_left_over(const struct collection *all, const struct container *container)
{
	return container->config.auto_remove && container->status == CONTAINER_CREATED &&
	       !container->monitor_pid && strcmp(container->created, all->booted) < 0;
}

static int collect(void *opaque, struct arena *arena, const struct container *container,
		   struct masu_error *err)
{
	struct collection *all = opaque;
	const char *modes[] = { container->config.network, container->config.pid_mode,
				container->config.ipc_mode };
	bool runs = container_is_alive(container);
	/* Loading it has put right what the crash left; that is all for most. */
	bool left_over = is_left_over(all, container);
	if (container->config.restart == RESTART_NO && !left_over &&
	    !(runs && !container->monitor_pid))
		return 0;
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 64;
		struct candidate *grown = realloc(all->list, room * sizeof(*grown));
		if (!grown)
			return error_set(err, -ENOMEM, "out of memory");
		all->list = grown;
		all->room = room;
	}
	struct candidate *c = &all->list[all->count++];
	*c = (struct candidate) { .name = arena_strdup(all->arena, container->name),
				  .runs = runs,
				  .left_over = left_over,
				  .supervised = container->monitor_pid != 0,
				  .wanted = !runs && is_wanted(container) };
	memcpy(c->id, container->id, sizeof(c->id));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *other;
		if (!mode_container(modes[i], &other))
			continue;
		c->needs[i] = arena_strdup(all->arena, other);
		if (!c->needs[i])
			return error_set(err, -ENOMEM, "out of memory");
	}
	return c->name ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* Whether one that it joins is still to be started. */
static bool must_wait(struct engine *engine, const struct collection *all,
		      const struct candidate *c)
{
	char id[65];
	for (size_t i = 0; i < ARRAY_SIZE(c->needs); i++) {
		if (!c->needs[i] || engine_resolve(engine, c->needs[i], id, NULL) < 0)
			continue;
		for (size_t k = 0; k < all->count; k++)
			if (all->list[k].wanted && !all->list[k].done && &all->list[k] != c &&
			    streq(all->list[k].id, id))
				return true;
	}
	return false;
}

static void start_one(struct engine *engine, struct candidate *c, engine_system_fn fn, void *opaque)
{
	_cleanup_arena_ struct arena arena;
	struct masu_error err = { 0 };
	arena_init(&arena, 0);
	int r = engine_start(engine, &arena, c->id, NULL, &err);
	c->done = true;
	fn(opaque, c->name, r < 0 ? SYSTEM_FAILED : SYSTEM_STARTED, &err);
}

/* Those that others join first; where they wait for each other, in any order. */
static void start_all(struct engine *engine, const struct collection *all, engine_system_fn fn,
		      void *opaque)
{
	bool forced = false, progress = true;
	while (progress) {
		progress = false;
		for (size_t i = 0; i < all->count; i++) {
			struct candidate *c = &all->list[i];
			if (!c->wanted || c->done || (!forced && must_wait(engine, all, c)))
				continue;
			start_one(engine, c, fn, opaque);
			progress = true;
		}
		if (!progress && !forced)
			progress = forced = true;
	}
}

int engine_system_start(struct engine *engine, engine_system_fn fn, void *opaque,
			struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct collection all = { .arena = &arena };
	arena_init(&arena, 0);
	boot_time(all.booted);
	/* Also for what runs: a firewall that was loaded again has taken everybody's rules away. */
	struct masu_error why = { 0 };
	if (network_mend(engine->root_fd, engine->run_fd, &why) < 0)
		log_warn("%s", why.message);
	int r = engine_each(engine, true, collect, &all, err);
	for (size_t i = 0; r == 0 && i < all.count; i++) {
		const struct candidate *c = &all.list[i];
		if (c->left_over)
			engine_remove(engine, c->id, ENGINE_REMOVE_VOLUMES, NULL);
		if (c->runs)
			fn(opaque, c->name, c->supervised ? SYSTEM_RUNS : SYSTEM_UNSUPERVISED,
			   NULL);
	}
	if (r == 0)
		start_all(engine, &all, fn, opaque);
	free(all.list);
	return r;
}
