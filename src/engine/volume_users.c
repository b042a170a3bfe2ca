#include "engine/volume_users.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"

bool volume_is_mounted_by(const struct container *container, const char *volume)
{
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		const char *rest = mount->kind == MOUNT_VOLUME && mount->source
					   ? str_after(mount->source, volume)
					   : NULL;
		if (rest && (*rest == '\0' || *rest == '@'))
			return true;
	}
	return false;
}

/* The volume itself: what becomes of it does not touch its snapshots. */
static bool uses_data(const struct container *container, const char *volume, bool writing)
{
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		if (mount->kind == MOUNT_VOLUME && streq_null(mount->source, volume) &&
		    !(writing && mount->readonly))
			return true;
	}
	return false;
}

static int list_users(struct engine *engine, struct arena *arena, bool all, struct container **ret,
		      size_t *ret_count, struct volume_users *users, struct masu_error *err)
{
	int r = engine_list(engine, arena, all, ret, ret_count, err);
	if (r < 0)
		return r;
	users->ids = arena_alloc(arena, (*ret_count + 1) * sizeof(*users->ids));
	users->locks = arena_array(arena, int, *ret_count + 1);
	return users->ids && users->locks ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int volume_users_pause(struct engine *engine, struct arena *arena, const char *volume,
		       struct volume_users *ret, struct masu_error *err)
{
	struct container *list;
	size_t count;
	*ret = (struct volume_users) { 0 };
	int r = list_users(engine, arena, false, &list, &count, ret, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (list[i].status != CONTAINER_RUNNING || !uses_data(&list[i], volume, true))
			continue;
		ret->locks[ret->count] = -1;
		r = engine_hold(engine, list[i].id, &ret->locks[ret->count], err);
		if (r == 0)
			memcpy(ret->ids[ret->count++], list[i].id, sizeof(ret->ids[0]));
		else if (engine_resolve(engine, list[i].id, (char[65]) { 0 }, NULL) == -ENOENT)
			r = 0; /* it ended and was removed meanwhile */
	}
	return r;
}

void volume_users_resume(struct engine *engine, struct volume_users *users)
{
	for (size_t i = 0; i < users->count; i++)
		engine_end_hold(engine, users->ids[i], take_fd(&users->locks[i]));
	users->count = 0;
}

/* 1: it was removed meanwhile. */
static int hold(struct engine *engine, struct arena *arena, const char *id, const char *volume,
		int *ret_lock, struct masu_error *err)
{
	struct container container;
	_cleanup_close_ int lock = -1;
	int r = container_load_locked(engine, arena, id, &container, &lock, err);
	if (r == -ENOENT)
		return 1;
	if (r < 0)
		return r;
	if (container_is_alive(&container))
		r = error_set(err, -EBUSY,
			      "volume %s: container %s runs and has it mounted; stop it first",
			      volume, container.name);
	else
		r = container_unpark(&container, err);
	container_close(&container);
	if (r == 0)
		*ret_lock = take_fd(&lock);
	return r;
}

int volume_users_hold(struct engine *engine, struct arena *arena, const char *volume,
		      struct volume_users *ret, struct masu_error *err)
{
	struct container *list;
	size_t count;
	*ret = (struct volume_users) { 0 };
	int r = list_users(engine, arena, true, &list, &count, ret, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!uses_data(&list[i], volume, false))
			continue;
		r = hold(engine, arena, list[i].id, volume, &ret->locks[ret->count], err);
		if (r == 0)
			ret->count++;
		else if (r == 1)
			r = 0;
	}
	return r;
}

void volume_users_release(struct volume_users *users)
{
	for (size_t i = 0; i < users->count; i++)
		cleanup_close(&users->locks[i]);
	users->count = 0;
}
