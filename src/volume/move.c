/*
 * A volume to another name or another root. A copy grows in <root>/volumes/.moving/<random>/, whose
 * lock its maker holds, and gets its name by one rename when it is whole and on the disk; only then
 * the original goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "state/record.h"
#include "state/trash.h"
#include "sys/fs.h"
#include "sys/project_quota.h"
#include "sys/syscalls.h"
#include "volume/internal.h"

#define MOVING "volumes/.moving"

/* One move at work. */
struct move {
	const struct volume_place *from, *to;
	struct arena *arena;
	struct volume volume; /* as it is to be */
	uint64_t size;	      /* its limit, 0: none */
	int source, target;   /* the directory, and the copy of it */
};

/* ---- staging ---- */

/* Under the lock of MOVING. */
static int sweep_locked(int root_fd, int all, bool dry)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	size_t count;
	int found = 0;
	arena_init(&arena, 0);
	int r = record_list(all, &arena, &names, &count, NULL);
	for (size_t i = 0; r == 0 && i < count; i++) {
		_cleanup_close_ int dir =
			openat(all, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		_cleanup_close_ int lock =
			dir < 0 ? -errno : record_try_lock(dir, RECORD_LOCK_EXCLUSIVE);
		if (lock < 0)
			continue;
		found++;
		if (dry)
			continue;
		project_quota_clear(dir);
		r = trash_move(root_fd, all, names[i], "volume-moving");
	}
	if (found > 0 && !dry)
		trash_empty(root_fd, 0);
	return r < 0 ? r : found;
}

/* Who begins a move holds this lock until it has its own. */
static int lock_moving(int root_fd)
{
	_cleanup_close_ int all = openat(root_fd, MOVING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all < 0 || flock(all, LOCK_EX) < 0)
		return -errno;
	return take_fd(&all);
}

int volume_sweep_moves(int root_fd, bool dry)
{
	_cleanup_close_ int all = lock_moving(root_fd);
	if (all < 0)
		return all == -ENOENT ? 0 : all;
	return sweep_locked(root_fd, all, dry);
}

/* A directory of its own, locked; @ret_path is where it is below the root. */
static int stage(int root_fd, char *ret_path, size_t size, int *ret_dir, int *ret_lock,
		 struct masu_error *err)
{
	char id[ID_LENGTH + 1];
	if (mkdirat(root_fd, MOVING, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, MOVING);
	_cleanup_close_ int all = lock_moving(root_fd);
	int r = all < 0 ? all : sweep_locked(root_fd, all, false);
	if (r >= 0)
		r = id_random(id);
	if (r == 0)
		r = str_format(ret_path, size, MOVING "/%s", id);
	/* The mode is that of a volume's directory, which it becomes. */
	if (r == 0 && mkdirat(all, id, 0711) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, r, MOVING);
	_cleanup_close_ int dir = openat(all, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, MOVING);
	int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, err);
	if (lock < 0)
		return lock;
	*ret_dir = take_fd(&dir);
	*ret_lock = lock;
	return 0;
}

/* ---- the copy ---- */

static int copy_data(int source, int target, struct masu_error *err)
{
	_cleanup_close_ int from =
		openat(source, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return from < 0 ? error_errno(err, -errno, "_data")
			: volume_copy_data(from, target, "_data", false, err);
}

static int copy_snapshot(const struct move *move, int from_all, int to_all, const char *name,
			 struct masu_error *err)
{
	char *text;
	size_t len;
	_cleanup_close_ int from =
		openat(from_all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || mkdirat(to_all, name, 0700) < 0)
		return error_errno(err, -errno, "snapshot %s", name);
	_cleanup_close_ int to =
		openat(to_all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = to < 0 ? -errno
		       : fs_read_arena(from, VOLUME_SNAPSHOT_JSON, RECORD_MAX_BYTES, move->arena,
				       &text, &len);
	if (r == 0)
		r = fs_write_atomic(to, VOLUME_SNAPSHOT_JSON, text, len, 0600, false);
	if (r < 0)
		return error_errno(err, r, "snapshot %s", name);
	r = copy_data(from, to, err);
	return r < 0 ? error_wrap(err, "snapshot %s", name) : 0;
}

static int copy_snapshots(const struct move *move, struct masu_error *err)
{
	const char **names;
	size_t count;
	_cleanup_close_ int from =
		openat(move->source, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, VOLUME_SNAPSHOTS);
	if (mkdirat(move->target, VOLUME_SNAPSHOTS, 0700) < 0)
		return error_errno(err, -errno, VOLUME_SNAPSHOTS);
	_cleanup_close_ int to =
		openat(move->target, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = to < 0 ? error_errno(err, -errno, VOLUME_SNAPSHOTS)
		       : record_list(from, move->arena, &names, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = copy_snapshot(move, from, to, names[i], err);
	return r;
}

/* Everything of the volume in its new directory, and that on the disk. */
static int copy_volume(const struct move *move, struct masu_error *err)
{
	int r = move->size ? project_quota_set(move->target, move->size, err) : 0;
	if (r == 0)
		r = copy_data(move->source, move->target, err);
	if (r == 0)
		r = volume_copy_mark(move->source, move->target, err);
	if (r == 0)
		r = copy_snapshots(move, err);
	if (r == 0)
		r = volume_write_record(move->target, &move->volume, err);
	if (r == 0 && syncfs(move->target) < 0)
		r = error_errno(err, -errno, "syncfs");
	return r;
}

static int taken(const struct volume_place *to, struct masu_error *err)
{
	return error_set(err, -EEXIST, "a volume named %s exists already in %.300s", to->name,
			 to->root);
}

static int publish(const struct volume_place *to, const char *staged, const char *path, int dir,
		   struct masu_error *err)
{
	int r = sys_renameat2(to->root_fd, staged, to->root_fd, path, RENAME_NOREPLACE);
	if (r == -EEXIST)
		return taken(to, err);
	if (r == 0)
		r = volume_sync(to->root_fd, dir);
	return r < 0 ? error_errno(err, r, "%s/%s", to->root, path) : 0;
}

static int move_by_copy(struct move *move, const char *path, struct masu_error *err)
{
	char staged[sizeof(MOVING) + 1 + ID_LENGTH];
	_cleanup_close_ int target = -1, lock = -1;
	int r = stage(move->to->root_fd, staged, sizeof(staged), &target, &lock, err);
	if (r < 0)
		return error_wrap(err, "%.300s", move->to->root);
	move->target = target;
	r = copy_volume(move, err);
	if (r < 0)
		error_wrap(err, "volume %s: copy to %.300s", move->from->name, move->to->root);
	else
		r = publish(move->to, staged, path, target, err);
	if (r < 0) {
		project_quota_clear(target);
		trash_move(move->to->root_fd, move->to->root_fd, staged, "volume-moving");
		trash_empty(move->to->root_fd, 0);
		return r;
	}
	r = volume_remove(move->from->root_fd, move->from->name, err);
	return r < 0 ? error_wrap(err, "the volume is complete in %.300s, and still here",
				  move->to->root)
		     : 0;
}

/* ---- the move ---- */

/* -EXDEV where it takes a copy. */
static int move_by_rename(const struct move *move, const char *old_path, const char *path,
			  struct masu_error *err)
{
	int r = sys_renameat2(move->from->root_fd, old_path, move->to->root_fd, path,
			      RENAME_NOREPLACE);
	if (r == -EXDEV)
		return r;
	if (r == -EEXIST)
		return taken(move->to, err);
	if (r == 0)
		r = volume_sync(move->to->root_fd, move->source);
	if (r == 0)
		r = volume_sync(move->from->root_fd, move->source);
	return r < 0 ? error_errno(err, r, "volume %s", move->from->name) : 0;
}

static int open_move(struct move *move, struct masu_error *err)
{
	struct volume_source source;
	struct volume there;
	const struct volume_place *from = move->from, *to = move->to;
	int r = volume_open(from->root_fd, from->root, move->arena, from->name, &move->volume, NULL,
			    err);
	if (r == 0)
		r = volume_source(move->arena, &move->volume, &source, err);
	if (r < 0)
		return r;
	if (volume_open(to->root_fd, to->root, move->arena, to->name, &there, NULL, NULL) == 0)
		return taken(to, err);
	move->size = source.size;
	move->volume.name = to->name;
	return 0;
}

int volume_move(const struct volume_place *from, const struct volume_place *to, struct arena *arena,
		struct masu_error *err)
{
	char old_path[VOLUME_PATH_MAX], path[VOLUME_PATH_MAX];
	struct move move = { .from = from, .to = to, .arena = arena, .target = -1 };
	int r = volume_path(from->name, old_path, err);
	if (r == 0)
		r = volume_path(to->name, path, err);
	if (r == 0)
		r = open_move(&move, err);
	if (r < 0)
		return r;
	_cleanup_close_ int dir =
		openat(from->root_fd, old_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "volume %s", from->name);
	_cleanup_close_ int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, err);
	if (lock < 0)
		return lock == -ENOENT ? error_set(err, lock, "get %s: no such volume", from->name)
				       : lock;
	move.source = dir;
	/* First, so that no prune takes it for nobody's; else behind: a full disk is left, too. */
	bool nobodys = move.volume.anonymous;
	move.volume.anonymous = false;
	r = nobodys ? volume_write_record(dir, &move.volume, err) : 0;
	if (r == 0)
		r = move_by_rename(&move, old_path, path, err);
	if (r == -EXDEV)
		return move_by_copy(&move, path, err);
	return r == 0 && !nobodys ? volume_write_record(dir, &move.volume, err) : r;
}
