#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "engine/internal.h"
#include "state/record.h"

static int newest_first(const void *a, const void *b)
{
	const struct container *left = a, *right = b;
	return strcmp(right->created, left->created);
}

static bool is_alive(const struct container *container)
{
	return container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED ||
	       container->status == CONTAINER_RESTARTING;
}

int engine_list(struct engine *engine, struct arena *arena, bool all, struct container **ret,
		size_t *ret_count, struct masu_error *err)
{
	const char **ids;
	size_t count, found = 0;
	recover_unfinished(engine);
	_cleanup_close_ int dir =
		openat(engine->root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "%s/containers", engine->root);
	int r = record_list(dir, arena, &ids, &count, err);
	if (r < 0)
		return r;
	struct container *list = arena_array(arena, struct container, count);
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		/* One that is being made, was just removed or is damaged does not hide the rest;
		 * inspect says what is wrong with it. */
		if (strlen(ids[i]) != ID_LENGTH)
			continue;
		if (engine_load(engine, arena, ids[i], &list[found], NULL) < 0)
			continue;
		/* A list holds no files open. */
		container_close(&list[found]);
		if (all || is_alive(&list[found]))
			found++;
	}
	qsort(list, found, sizeof(*list), newest_first);
	*ret = list;
	*ret_count = found;
	return 0;
}
