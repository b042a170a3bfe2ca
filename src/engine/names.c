/*
 * Names are symlinks <root>/names/<name> -> <id>. symlink(2) is exclusive, so of many that create
 * one name exactly one wins, without a lock. A link whose container neither exists nor is being
 * made was left by a killed creation; only holders of the directory's lock replace such links.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/store.h"
#include "state/record.h"

#define NAME_PATH_MAX (255 + sizeof("names/"))

static int name_path(const char *name, char ret[NAME_PATH_MAX])
{
	return str_format(ret, NAME_PATH_MAX, "names/%s", name);
}

static int link_target(struct engine *engine, const char *path, char ret_id[65])
{
	char target[66];
	ssize_t len = readlinkat(engine->root_fd, path, target, sizeof(target));
	if (len < 0)
		return -errno;
	if (len != ID_LENGTH)
		return -EBADMSG;
	memcpy(ret_id, target, ID_LENGTH);
	ret_id[ID_LENGTH] = '\0';
	return id_prefix_valid(ret_id) ? 0 : -EBADMSG;
}

int name_lookup(struct engine *engine, const char *name, char ret_id[65])
{
	char path[NAME_PATH_MAX];
	if (!name_valid(name) || name_path(name, path) < 0)
		return -ENOENT;
	return link_target(engine, path, ret_id);
}

/* It exists, or is being made: its maker holds the lock of its directory in the making. */
static bool id_in_use(struct engine *engine, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	if (faccessat(engine->root_fd, store_path(id, path), F_OK, 0) == 0)
		return true;
	_cleanup_close_ int dir = openat(engine->root_fd, store_making_path(id, path),
					 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	_cleanup_close_ int lock = record_try_lock(dir, RECORD_LOCK_SHARED);
	return lock == -EWOULDBLOCK;
}

/* Loading removes what a dead monitor of a --rm container left. */
static bool is_dead(struct engine *engine, const char *id)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	arena_init(&arena, 0);
	int r = engine_load(engine, &arena, id, &container, NULL);
	if (r == 0)
		container_close(&container);
	return r == -ENOENT && !id_in_use(engine, id);
}

/* Held by whoever replaces or removes a link; making one needs no lock. */
static int lock_names(struct engine *engine)
{
	_cleanup_close_ int names =
		openat(engine->root_fd, "names", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (names < 0 || flock(names, LOCK_EX) < 0)
		return -errno;
	return take_fd(&names);
}

static int conflict(const char *name, const char *id, struct masu_error *err)
{
	return error_set(err, -EEXIST,
			 "Conflict. The container name \"/%s\" is already in use by container "
			 "\"%s\". You have to remove (or rename) that container to be able to "
			 "reuse that name.",
			 name, id);
}

/* Under the directory's lock: replaces a stale link in one step. */
static int take_over(struct engine *engine, const char *name, const char *path, const char *id,
		     struct masu_error *err)
{
	_cleanup_close_ int names = lock_names(engine);
	if (names < 0)
		return error_errno(err, names, "%s/names: cannot lock", engine->root);
	char owner[65], temporary[80];
	int r = link_target(engine, path, owner);
	if (r == 0 && id_in_use(engine, owner))
		return conflict(name, owner, err);
	snprintf(temporary, sizeof(temporary), "names/.tmp-%.16s", id);
	if (symlinkat(id, engine->root_fd, temporary) < 0 ||
	    renameat(engine->root_fd, temporary, engine->root_fd, path) < 0)
		return error_errno(err, -errno, "%s/%s: cannot take over", engine->root, path);
	return 0;
}

int name_claim(struct engine *engine, const char *name, const char *id, struct masu_error *err)
{
	char path[NAME_PATH_MAX], owner[65];
	if (!name_valid(name) || name_path(name, path) < 0)
		return error_set(err, -EINVAL,
				 "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
				 "allowed",
				 name);
	if (symlinkat(id, engine->root_fd, path) == 0)
		return 0;
	if (errno == ENOENT) {
		if (mkdirat(engine->root_fd, "names", 0700) < 0 && errno != EEXIST)
			return error_errno(err, -errno, "%s/names", engine->root);
		return name_claim(engine, name, id, err);
	}
	if (errno != EEXIST)
		return error_errno(err, -errno, "%s/%s", engine->root, path);
	int r = link_target(engine, path, owner);
	if (r == 0 && id_in_use(engine, owner) && !is_dead(engine, owner))
		return conflict(name, owner, err);
	return take_over(engine, name, path, id, err);
}

int name_claim_random(struct engine *engine, const char *id, char ret_name[64],
		      struct masu_error *err)
{
	for (unsigned attempt = 0; attempt < 32; attempt++) {
		int r = id_random_name(ret_name, attempt);
		if (r < 0)
			return error_errno(err, r, "cannot choose a name");
		r = name_claim(engine, ret_name, id, err);
		if (r != -EEXIST)
			return r;
	}
	return -EEXIST;
}

/*
 * Without the lock (no descriptor left) it is still almost always right: somebody else's link would
 * have to appear between the look and the unlink.
 */
void name_release(struct engine *engine, const char *name, const char *id)
{
	char path[NAME_PATH_MAX], owner[65];
	_cleanup_close_ int names = lock_names(engine);
	if (name_path(name, path) == 0 && link_target(engine, path, owner) == 0 && streq(owner, id))
		unlinkat(engine->root_fd, path, 0);
}

void name_drop_stale(struct engine *engine, const char *name)
{
	char path[NAME_PATH_MAX], owner[65];
	_cleanup_close_ int names = lock_names(engine);
	if (names >= 0 && name_path(name, path) == 0 && link_target(engine, path, owner) == 0 &&
	    !id_in_use(engine, owner))
		unlinkat(engine->root_fd, path, 0);
}
