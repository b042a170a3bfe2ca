/*
 * Names are symlinks <root>/names/<name> -> <id>. symlink(2) is exclusive, so of many that create
 * one name exactly one wins, without a lock. A link whose container neither exists nor is being
 * made was left by a killed creation; only holders of the directory's lock replace such links.
 *
 * While a container is renamed both its links are unsettled, "<id>~": which of them counts is then
 * said by its record, which changes in one step. So at every instant exactly one name leads to it,
 * and an unsettled link that is not the record's is free as soon as nobody holds the container's
 * lock.
 */
#include <dirent.h>
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
#include "sys/fs.h"

#define NAME_PATH_MAX (255 + sizeof("names/"))
#define UNSETTLED     '~'
#define TEMPORARY     "names/.tmp"

struct link {
	char id[65];
	bool unsettled;
};

static int name_path(const char *name, char ret[NAME_PATH_MAX])
{
	return str_format(ret, NAME_PATH_MAX, "names/%s", name);
}

static int read_link(struct engine *engine, const char *path, struct link *ret)
{
	char target[ID_LENGTH + 2];
	ssize_t len = readlinkat(engine->root_fd, path, target, sizeof(target));
	if (len < 0)
		return -errno;
	bool unsettled = len == ID_LENGTH + 1 && target[ID_LENGTH] == UNSETTLED;
	if (len != ID_LENGTH && !unsettled)
		return -EBADMSG;
	target[ID_LENGTH] = '\0';
	if (!id_prefix_valid(target))
		return -EBADMSG;
	memcpy(ret->id, target, sizeof(ret->id));
	ret->unsettled = unsettled;
	return 0;
}

/* 1 where the container's record has this name, 0 where it has another. */
static int record_has_name(struct engine *engine, const char *id, const char *name)
{
	_cleanup_arena_ struct arena arena;
	const struct json *record;
	const char *recorded;
	char path[CONTAINER_PATH_MAX];
	arena_init(&arena, 0);
	_cleanup_close_ int dir =
		openat(engine->root_fd, store_path(id, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : record_read(dir, "container.json", &arena, &record, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return json_string(json_get(record, "Name"), &recorded) && streq(recorded, name);
}

int name_lookup(struct engine *engine, const char *name, char ret_id[65])
{
	char path[NAME_PATH_MAX];
	struct link link;
	if (!name_valid(name) || name_path(name, path) < 0)
		return -ENOENT;
	int r = read_link(engine, path, &link);
	if (r == 0 && link.unsettled && record_has_name(engine, link.id, name) != 1)
		r = -ENOENT;
	if (r == 0)
		memcpy(ret_id, link.id, sizeof(link.id));
	return r;
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

/* An unsettled link counts where the record has the name; where it has another one, the rename must
 * be over, or abandoned, which is sure while nobody holds the container's lock. */
static bool unsettled_in_use(struct engine *engine, const char *name, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	_cleanup_close_ int dir =
		openat(engine->root_fd, store_path(id, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lock = dir < 0 ? -errno : record_try_lock(dir, RECORD_LOCK_SHARED);
	if (lock < 0)
		return lock != -ENOENT;
	return record_has_name(engine, id, name) != 0;
}

static bool link_in_use(struct engine *engine, const char *name, const struct link *link)
{
	return id_in_use(engine, link->id) &&
	       (!link->unsettled || unsettled_in_use(engine, name, link->id));
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

/* Under the directory's lock, so one temporary name is enough: makes or replaces a link in one
 * step.
 */
static int put_link(struct engine *engine, const char *path, const char *id, bool unsettled)
{
	char target[ID_LENGTH + 2];
	snprintf(target, sizeof(target), unsettled ? "%s~" : "%s", id);
	unlinkat(engine->root_fd, TEMPORARY, 0); /* of somebody who was killed here */
	if (symlinkat(target, engine->root_fd, TEMPORARY) < 0)
		return -errno;
	if (renameat(engine->root_fd, TEMPORARY, engine->root_fd, path) == 0)
		return 0;
	int r = -errno;
	unlinkat(engine->root_fd, TEMPORARY, 0);
	return r;
}

static bool leads_to(struct engine *engine, const char *path, const char *id)
{
	struct link link;
	return read_link(engine, path, &link) == 0 && streq(link.id, id);
}

static int take_over(struct engine *engine, const char *name, const char *path, const char *id,
		     bool unsettled, struct masu_error *err)
{
	struct link link;
	_cleanup_close_ int names = lock_names(engine);
	if (names < 0)
		return error_errno(err, names, "%s/names: cannot lock", engine->root);
	int r = read_link(engine, path, &link);
	if (r == 0 && !streq(link.id, id) && link_in_use(engine, name, &link))
		return conflict(name, link.id, err);
	r = put_link(engine, path, id, unsettled);
	return r < 0 ? error_errno(err, r, "%s/%s: cannot take over", engine->root, path) : 0;
}

static int claim(struct engine *engine, const char *name, const char *id, bool unsettled,
		 struct masu_error *err)
{
	char path[NAME_PATH_MAX], target[ID_LENGTH + 2];
	struct link link;
	if (!name_valid(name) || name_path(name, path) < 0)
		return error_set(err, -EINVAL,
				 "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
				 "allowed",
				 name);
	snprintf(target, sizeof(target), unsettled ? "%s~" : "%s", id);
	if (symlinkat(target, engine->root_fd, path) == 0)
		return 0;
	if (errno == ENOENT) {
		if (mkdirat(engine->root_fd, "names", 0700) < 0 && errno != EEXIST)
			return error_errno(err, -errno, "%s/names", engine->root);
		return claim(engine, name, id, unsettled, err);
	}
	if (errno != EEXIST)
		return error_errno(err, -errno, "%s/%s", engine->root, path);
	int r = read_link(engine, path, &link);
	if (r == 0 && !streq(link.id, id) && link_in_use(engine, name, &link) &&
	    !is_dead(engine, link.id))
		return conflict(name, link.id, err);
	return take_over(engine, name, path, id, unsettled, err);
}

int name_claim(struct engine *engine, const char *name, const char *id, struct masu_error *err)
{
	return claim(engine, name, id, false, err);
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

/* Every link to @id but that of @keep (NULL: none is kept); under the directory's lock. */
static void release_others(struct engine *engine, int names, const char *id, const char *keep)
{
	char path[NAME_PATH_MAX];
	struct link link;
	unlinkat(engine->root_fd, TEMPORARY, 0);
	_cleanup_closedir_ DIR *dir = fs_opendir_at(names, ".");
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || (keep && streq(entry->d_name, keep)))
			continue;
		if (name_path(entry->d_name, path) == 0 && read_link(engine, path, &link) == 0 &&
		    streq(link.id, id))
			unlinkat(engine->root_fd, path, 0);
	}
}

/*
 * Without the lock (no descriptor left) it is still almost always right: somebody else's link would
 * have to appear between the look and the unlink.
 */
void name_release(struct engine *engine, const char *name, const char *id)
{
	char path[NAME_PATH_MAX];
	struct link link;
	_cleanup_close_ int names = lock_names(engine);
	int r = name_path(name, path);
	if (r == 0)
		r = read_link(engine, path, &link);
	bool own = r == 0 && streq(link.id, id);
	if (own)
		unlinkat(engine->root_fd, path, 0);
	/* It was renamed since @name was read, or somebody was killed renaming it. */
	if (names >= 0 && (!own || link.unsettled))
		release_others(engine, names, id, NULL);
}

void name_release_all(struct engine *engine, const char *id)
{
	_cleanup_close_ int names = lock_names(engine);
	if (names >= 0)
		release_others(engine, names, id, NULL);
}

void name_drop_stale(struct engine *engine, const char *name)
{
	char path[NAME_PATH_MAX];
	struct link link;
	_cleanup_close_ int names = lock_names(engine);
	if (names >= 0 && name_path(name, path) == 0 && read_link(engine, path, &link) == 0 &&
	    !link_in_use(engine, name, &link))
		unlinkat(engine->root_fd, path, 0);
}

int name_change_begin(struct engine *engine, const char *from, const char *to, const char *id,
		      struct masu_error *err)
{
	char path[NAME_PATH_MAX];
	int r = claim(engine, to, id, true, err);
	if (r < 0)
		return r;
	_cleanup_close_ int names = lock_names(engine);
	r = names < 0 ? names : name_path(from, path);
	if (r == 0 && leads_to(engine, path, id))
		r = put_link(engine, path, id, true);
	if (r == 0)
		r = fs_fsync_dir(names);
	if (r == 0)
		return 0;
	cleanup_close(&names);
	name_change_end(engine, from, id);
	return error_errno(err, r, "%s/names", engine->root);
}

void name_change_end(struct engine *engine, const char *name, const char *id)
{
	char path[NAME_PATH_MAX];
	_cleanup_close_ int names = lock_names(engine);
	if (names < 0 || name_path(name, path) < 0)
		return;
	/* What fails here leaves unsettled links, and those say the same. */
	if (leads_to(engine, path, id))
		put_link(engine, path, id, false);
	release_others(engine, names, id, name);
}
