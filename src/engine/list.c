/*
 * All containers, or those that run. What is read of each are its records, every time: there is no
 * index that could be untrue. Only a container with live files can run, so where just those are
 * wanted the others are not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "engine/internal.h"
#include "state/record.h"

#define NAMES_MAX (256u << 20) /* the ids of two million containers */

struct visitor {
	engine_each_fn fn;
	void *opaque;
	bool forgets; /* what is read of one container is given back before the next is */
};

static int newest_first(const void *a, const void *b)
{
	const struct container *left = *(const struct container *const *)a;
	const struct container *right = *(const struct container *const *)b;
	return strcmp(right->created, left->created);
}

bool container_is_alive(const struct container *container)
{
	return container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED ||
	       container->status == CONTAINER_RESTARTING;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted names of directories that are containers' by their form. */
struct ids {
	const char **list;
	size_t count;
};

static int list_ids(int dir, struct arena *arena, struct ids *ret, struct masu_error *err)
{
	struct ids ids;
	size_t kept = 0;
	int r = record_list(dir, arena, &ids.list, &ids.count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ids.count; i++)
		if (strlen(ids.list[i]) == ID_LENGTH && id_prefix_valid(ids.list[i]))
			ids.list[kept++] = ids.list[i];
	ids.count = kept;
	*ret = ids;
	return 0;
}

/* One entry; where it has to be repaired first, that is done by its own loading. */
static int load(const struct store_listing *listing, struct arena *arena, const char *id, bool live,
		struct container *ret, struct masu_error *err)
{
	int r = store_load_listed(listing, arena, id, live, ret, err);
	if (r < 0 || ret->monitor_pid || ret->pid || (!live && !container_is_alive(ret)))
		return r;
	r = engine_load(listing->engine, arena, id, ret, err);
	if (r == 0)
		container_close(ret); /* a list holds no files open */
	return r;
}

/* By pointers: what is sorted is large. */
static struct container *sorted(struct arena *arena, const struct container *list, size_t count)
{
	const struct container **order = arena_array(arena, const struct container *, count + 1);
	struct container *ret = arena_array(arena, struct container, count);
	if (!order || !ret)
		return NULL;
	for (size_t i = 0; i < count; i++)
		order[i] = &list[i];
	qsort(order, count, sizeof(*order), newest_first);
	for (size_t i = 0; i < count; i++)
		ret[i] = *order[i];
	return ret;
}

static int visit_ids(const struct store_listing *listing, struct arena *arena,
		     const struct ids *ids, const struct ids *live_ids, bool all,
		     const struct visitor *visitor, struct masu_error *err)
{
	for (size_t i = 0; i < ids->count; i++) {
		struct container container;
		bool live =
			ids == live_ids || bsearch(&ids->list[i], live_ids->list, live_ids->count,
						   sizeof(*ids->list), compare_ids);
		/* One that was just removed or is damaged does not hide the rest; inspect says what
		 * is wrong with it. */
		struct masu_error why = { 0 };
		int r = load(listing, arena, ids->list[i], live, &container, &why);
		/* Anything else may be true of the next ones, too: no memory, no descriptors, a
		 * broken disk. */
		if (r < 0 && r != -ENOENT && !engine_is_damaged(r)) {
			if (err)
				*err = why;
			return r;
		}
		if (r == 0 && (all || container_is_alive(&container)))
			r = visitor->fn(visitor->opaque, arena, &container, err);
		else
			r = 0;
		if (r < 0)
			return r;
		if (visitor->forgets)
			arena_reset(arena);
	}
	return 0;
}

static int visit(struct engine *engine, struct arena *arena, bool all,
		 const struct visitor *visitor, struct masu_error *err)
{
	_cleanup_arena_ struct arena names;
	struct ids ids = { 0 }, live_ids;
	arena_init(&names, NAMES_MAX);
	recover_unfinished(engine);
	_cleanup_close_ int records =
		openat(engine->root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (records < 0)
		return error_errno(err, -errno, "%s/containers", engine->root);
	_cleanup_close_ int live =
		openat(engine->run_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (live < 0)
		return error_errno(err, -errno, "%s/containers", engine->runroot);
	const struct store_listing listing = { engine, records, live };
	int r = list_ids(live, &names, &live_ids, err);
	if (r == 0 && all)
		r = list_ids(records, &names, &ids, err);
	return r < 0 ? r
		     : visit_ids(&listing, arena, all ? &ids : &live_ids, &live_ids, all, visitor,
				 err);
}

int engine_each(struct engine *engine, bool all, engine_each_fn fn, void *opaque,
		struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct visitor visitor = { fn, opaque, true };
	arena_init(&arena, 0);
	return visit(engine, &arena, all, &visitor, err);
}

struct collection {
	struct container *list;
	size_t count, room;
};

static int collect(void *opaque, struct arena *arena, const struct container *container,
		   struct masu_error *err)
{
	struct collection *c = opaque;
	if (c->count == c->room) {
		size_t room = c->room ? c->room * 2 : 32;
		struct container *grown = arena_array(arena, struct container, room);
		if (!grown)
			return error_set(err, -ENOMEM, "out of memory listing containers");
		if (c->count)
			memcpy(grown, c->list, c->count * sizeof(*grown));
		c->list = grown;
		c->room = room;
	}
	c->list[c->count++] = *container;
	return 0;
}

int engine_list(struct engine *engine, struct arena *arena, bool all, struct container **ret,
		size_t *ret_count, struct masu_error *err)
{
	struct collection collection = { 0 };
	const struct visitor visitor = { collect, &collection, false };
	int r = visit(engine, arena, all, &visitor, err);
	if (r < 0)
		return r;
	*ret = sorted(arena, collection.list, collection.count);
	if (!*ret)
		return error_set(err, -ENOMEM, "out of memory listing containers");
	*ret_count = collection.count;
	return 0;
}
