/* The end of devices: those that are not needed, and those that nobody knows of. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "storage/dm_device.h"
#include "sys/fs.h"

#define LIST_LIMIT (256u << 20)

static int names_of(int dir, const char *path, struct arena *arena, const char ***ret,
		    size_t *ret_count)
{
	_cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*ret_count = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return fs_names(fd, arena, ret, ret_count);
}

static bool read_id(const char *name, uint32_t *ret)
{
	return str_to_u32(name, ret) == 0 && *ret <= DM_THIN_ID_MAX;
}

/* Gives its blocks back, to the file or device below the pool as well; -EBUSY while it is mounted.
 */
static int discard(struct dm_pool *pool, uint32_t id, const char *note)
{
	struct dm_device_record device;
	char text[DM_RECORD_MAX];
	if (fs_read_small(pool->dir_fd, note, text, sizeof(text)) < 0 ||
	    dm_device_record_parse(text, &device) < 0)
		device.sectors = pool->record.options.base_size / DM_SECTOR;
	device.id = id;
	uint64_t range[2] = { 0, device.sectors * DM_SECTOR };
	_cleanup_close_ int node = -1;
	dev_t dev;
	int r = dm_device_open(pool, &device, O_RDWR | O_EXCL, &node, &dev);
	if (r < 0)
		return r;
	/* A pool that takes none of these is none the worse. */
	ioctl(node, BLKDISCARD, range);
	dm_device_close(pool, &device, &node);
	return 0;
}

static int delete_one(struct dm_pool *pool, uint32_t id)
{
	char live[32], doomed[32];
	str_format(live, sizeof(live), DM_IDS "/%" PRIu32, id);
	str_format(doomed, sizeof(doomed), DM_DOOMED "/%" PRIu32, id);
	/* After a power cut both names may be there; then it is in use again. */
	int r = 0;
	if (faccessat(pool->dir_fd, live, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		r = discard(pool, id, doomed);
		if (r == -EBUSY)
			return r;
		/* -ENODATA: whoever was killed had deleted it already. */
		r = dm_pool_message(pool, "delete %" PRIu32, id);
	}
	if (r < 0 && r != -ENODATA)
		return r;
	return unlinkat(pool->dir_fd, doomed, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int dm_device_reap(struct dm_pool *pool)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	size_t count;
	uint32_t id;
	arena_init(&arena, LIST_LIMIT);
	int r = names_of(pool->dir_fd, DM_DOOMED, &arena, &names, &count), result = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!read_id(names[i], &id))
			continue;
		int deleted = delete_one(pool, id);
		if (deleted < 0 && deleted != -EBUSY)
			result = deleted;
	}
	return r < 0 ? r : result;
}

/* ---- what nobody has ---- */

struct known {
	struct arena *arena;
	uint32_t *ids;
	size_t count, capacity;
};

static int know(struct known *known, uint32_t id)
{
	if (known->count == known->capacity) {
		size_t capacity = known->capacity ? known->capacity * 2 : 256;
		uint32_t *ids = arena_array(known->arena, uint32_t, capacity);
		if (!ids)
			return -ENOMEM;
		if (known->count)
			memcpy(ids, known->ids, known->count * sizeof(*ids));
		known->ids = ids;
		known->capacity = capacity;
	}
	known->ids[known->count++] = id;
	return 0;
}

/* The devices of <root>/@places/<any>/@below. */
static int know_places(struct dm_pool *pool, struct known *known, const char *places,
		       const char *below)
{
	const char **names;
	size_t count;
	int r = names_of(pool->root_fd, places, known->arena, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct dm_device_record device;
		char path[512];
		if (str_format(path, sizeof(path), "%s/%s%s", places, names[i], below) < 0)
			continue;
		_cleanup_close_ int dir = openat(pool->root_fd, path,
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0 && errno != ENOENT && errno != ENOTDIR)
			return -errno;
		int read = dir < 0 ? -ENOENT : dm_device_read(dir, &device);
		if (read < 0 && read != -ENOENT)
			return read;
		if (read == 0)
			r = know(known, device.id);
	}
	return r;
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static int know_all(struct dm_pool *pool, struct known *known)
{
	/* In the order in which things move: what is made goes from .new to containers, from
	 * staging to its name. */
	static const struct {
		const char *places, *below;
	} all[] = {
		{ "containers/.new", "/" DM_OWN_DIR },
		{ "containers", "/" DM_OWN_DIR },
		{ "layers/" DM_OWN_DIR "/.staging", "" },
		{ "layers/" DM_OWN_DIR, "" },
	};
	int r = know(known, pool->record.base_id);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
		r = know_places(pool, known, all[i].places, all[i].below);
	if (r == 0)
		qsort(known->ids, known->count, sizeof(*known->ids), by_id);
	return r;
}

int dm_device_lost(struct dm_pool *pool, dm_device_fn fn, void *opaque)
{
	_cleanup_arena_ struct arena arena;
	struct known known = { .arena = &arena };
	const char **names;
	size_t count;
	uint32_t id;
	arena_init(&arena, LIST_LIMIT);
	_cleanup_close_ int making = openat(pool->ids_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (making < 0 || flock(making, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	/* First the numbers, then who has them: none can be taken in between. */
	int r = names_of(pool->dir_fd, DM_IDS, &arena, &names, &count);
	if (r == 0)
		r = know_all(pool, &known);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (read_id(names[i], &id) &&
		    !bsearch(&id, known.ids, known.count, sizeof(id), by_id))
			r = fn(pool, id, opaque);
	return r;
}
