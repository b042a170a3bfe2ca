/* How much a container's files take. */
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "storage/storage.h"

int engine_size(struct engine *engine, struct arena *arena, const struct container *container,
		uint64_t *ret_writable, uint64_t *ret_total, struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	char path[128];
	uint64_t writable = 0, inodes = 0, layers = 0;
	int r = container_storage(engine, container, &ops, &storage, err);
	if (r < 0)
		return r;
	r = str_format(path, sizeof(path), "containers/%s", container->id);
	_cleanup_close_ int dir =
		r < 0 ? -1 : openat(engine->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, r < 0 ? r : -errno, "container %.12s", container->id);
	if (!ops->usage)
		return error_set(err, -ENOTSUP, "storage driver %s cannot tell sizes", ops->name);
	r = ops->usage(storage, dir, &writable, &inodes, err);
	for (const char **chain = container->chain_ids; r == 0 && chain && *chain; chain++) {
		uint64_t bytes = 0;
		if (ops->layer_size && ops->layer_size(storage, *chain, &bytes) == 0)
			layers += bytes;
	}
	if (r < 0)
		return r;
	*ret_writable = writable;
	*ret_total = writable + layers;
	return 0;
}
