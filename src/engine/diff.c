/* What a container changed, as `docker diff` tells it. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/copy.h"
#include "engine/internal.h"

const char *const engine_made_paths[] = {
	"dev", "dev/console", "dev/mqueue",   "dev/pts",	 "dev/shm",	     "proc",
	"sys", "etc/hosts",   "etc/hostname", "etc/resolv.conf", INIT_PATH_RELATIVE, NULL,
};

static bool is_ours(const char *path)
{
	for (const char *const *p = engine_made_paths; *p; p++)
		if (streq(*p, path + 1))
			return true;
	return false;
}

static bool is_below(const char *path, const char *directory)
{
	const char *rest = str_after(path, directory);
	return rest && *rest == '/';
}

/* A directory that is only there, or only told, for what masu made in it. */
static bool is_only_ours(const struct storage_change *list, size_t count, size_t at)
{
	const struct storage_change *directory = &list[at];
	bool any = false;
	if (directory->kind == 'C' && !directory->only_inside)
		return false;
	for (size_t i = at + 1; i < count && is_below(list[i].path, directory->path); i++) {
		if (list[i].kind != 'A' || !is_ours(list[i].path))
			return false;
		any = true;
	}
	return any;
}

static size_t drop_ours(struct storage_change *list, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		bool made = list[i].kind == 'A' && is_ours(list[i].path);
		if (!made && !is_only_ours(list, count, i))
			list[kept++] = list[i];
	}
	return kept;
}

/* The container, and what its driver is asked. Ended by container_close(). */
static int begin(struct engine *engine, struct arena *arena, const char *id, struct container *ret,
		 struct storage_mount_request *ret_request, const struct storage_ops **ret_ops,
		 struct storage **ret_storage, struct masu_error *err)
{
	int r = engine_load(engine, arena, id, ret, err);
	if (r < 0)
		return r;
	*ret_request = container_layers(ret);
	r = container_storage(engine, ret, ret_ops, ret_storage, err);
	if (r < 0)
		container_close(ret);
	return r;
}

int engine_diff(struct engine *engine, struct arena *arena, const char *id,
		struct storage_change **ret, size_t *ret_count, struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	struct container container;
	struct storage_mount_request request;
	int r = begin(engine, arena, id, &container, &request, &ops, &storage, err);
	if (r < 0)
		return r;
	if (!ops->changes)
		r = error_set(err, -ENOTSUP, "storage driver %s cannot tell changes", ops->name);
	if (r == 0)
		r = ops->changes(storage, &request, arena, ret, ret_count, err);
	if (r == 0)
		*ret_count = drop_ours(*ret, *ret_count);
	container_close(&container);
	return r;
}

int engine_copyups(struct engine *engine, struct arena *arena, const char *id,
		   struct storage_copyup **ret, size_t *ret_count, struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	struct container container;
	struct storage_mount_request request;
	int r = begin(engine, arena, id, &container, &request, &ops, &storage, err);
	if (r < 0)
		return r;
	storage_copyups copyups = storage_copyups_of(ops->name);
	r = copyups ? copyups(storage, &request, arena, ret, ret_count, err)
		    : error_set(err, -ENOTSUP, "storage driver %s copies nothing up", ops->name);
	container_close(&container);
	return r;
}
