/*
 * A copy grows in <volume>/.new, under the volume's lock, and becomes what it is to be by one
 * rename: a snapshot, or the volume's data. What a killed copy left there the next one removes.
 */
#include "volume/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/record.h"
#include "state/trash.h"
#include "sys/fs.h"
#include "sys/subvolume.h"
#include "sys/syscalls.h"
#include "tree/make.h"
#include "tree/tar_write.h"
#include "tree/unpack.h"
#include "tree/walk.h"
#include "volume/internal.h"

#define STAGING ".new"

int volume_reference(struct arena *arena, const char *text, const char **ret_volume,
		     const char **ret_snapshot, struct masu_error *err)
{
	const char *at = strchr(text, '@');
	char *volume = arena_strndup(arena, text, at ? (size_t)(at - text) : strlen(text));
	if (!volume)
		return error_set(err, -ENOMEM, "out of memory");
	if (at && !name_valid(at + 1))
		return error_set(err, -EINVAL,
				 "%.300s: \"%.200s\" is no name for a snapshot; only "
				 "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
				 text, at + 1);
	*ret_volume = volume;
	*ret_snapshot = at ? at + 1 : NULL;
	return 0;
}

/* ---- one volume at work ---- */

struct work {
	struct volume volume;
	int dir, data, lock;
};
#define WORK_CLOSED                                                                                \
	{                                                                                          \
		.dir = -1, .data = -1, .lock = -1                                                  \
	}

static void work_close(struct work *work)
{
	cleanup_close(&work->data);
	cleanup_close(&work->lock);
	cleanup_close(&work->dir);
}
#define _cleanup_work_ __attribute__((cleanup(work_close)))

/* Only its own directory: another one of this machine, or memory, is not masu's to keep. */
static int check_kind(struct arena *arena, const struct volume *volume, struct masu_error *err)
{
	struct volume_source source;
	int r = volume_source(arena, volume, &source, err);
	if (r < 0 || source.kind == VOLUME_DIRECTORY)
		return r;
	if (source.kind == VOLUME_TMPFS)
		return error_set(err, -EOPNOTSUPP,
				 "volume %s is memory of the container that runs; use `masu cp`",
				 volume->name);
	return error_set(err, -EOPNOTSUPP, "volume %s is the directory %.300s; copy that",
			 volume->name, source.device);
}

/* What is in staging: a copy of the data, or a snapshot with one in it. */
static int discard(int dir)
{
	_cleanup_close_ int staging =
		openat(dir, STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (staging < 0)
		return errno == ENOENT ? 0 : -errno;
	if (subvolume_destroy(dir, STAGING) == 0)
		return 0;
	subvolume_destroy(staging, "_data");
	return fs_remove_tree(dir, STAGING);
}

static int work_open(int root_fd, const char *root, struct arena *arena, const char *name,
		     bool change, struct work *ret, struct masu_error *err)
{
	int r = volume_open(root_fd, root, arena, name, &ret->volume, &ret->data, err);
	if (r == 0)
		r = check_kind(arena, &ret->volume, err);
	if (r < 0 || !change)
		return r;
	ret->dir = openat(ret->data, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->dir < 0)
		return error_errno(err, -errno, "volume %s", name);
	ret->lock = record_lock(ret->dir, RECORD_LOCK_EXCLUSIVE, err);
	if (ret->lock == -ENOENT)
		return error_set(err, -ENOENT, "get %s: no such volume", name);
	if (ret->lock < 0)
		return error_wrap(err, "volume %s", name);
	r = discard(ret->dir);
	return r < 0 ? error_errno(err, r, "volume %s: what a killed copy left", name) : 0;
}

/* ---- snapshots ---- */

static int write_snapshot_record(int dir, const char *created, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, RECORD_MAX_BYTES);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "CreatedAt", created);
	json_end_object(&w);
	return record_write(dir, VOLUME_SNAPSHOT_JSON, &text, true, err);
}

/* In staging: the copy and its record. */
static int build_snapshot(struct arena *arena, const struct work *work, struct masu_error *err)
{
	const char *created = volume_now(arena);
	if (!created)
		return error_set(err, -ENOMEM, "out of memory");
	if (mkdirat(work->dir, STAGING, 0700) < 0)
		return error_errno(err, -errno, "volume %s", work->volume.name);
	_cleanup_close_ int dir =
		openat(work->dir, STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "volume %s", work->volume.name);
	int r = volume_copy_data(work->data, dir, "_data", true, err);
	return r < 0 ? error_wrap(err, "volume %s", work->volume.name)
		     : write_snapshot_record(dir, created, err);
}

static int publish_snapshot(const struct work *work, const char *snapshot, struct masu_error *err)
{
	if (mkdirat(work->dir, VOLUME_SNAPSHOTS, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "volume %s", work->volume.name);
	_cleanup_close_ int all =
		openat(work->dir, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = all < 0 ? -errno
			: sys_renameat2(work->dir, STAGING, all, snapshot, RENAME_NOREPLACE);
	if (r == -EEXIST)
		return error_set(err, r, "%s@%s: there is a snapshot of that name",
				 work->volume.name, snapshot);
	if (r == 0)
		r = fs_fsync_dir(all);
	if (r == 0)
		r = fs_fsync_dir(work->dir);
	return r < 0 ? error_errno(err, r, "%s@%s", work->volume.name, snapshot) : 0;
}

int volume_snapshot_make(int root_fd, const char *root, struct arena *arena, const char *volume,
			 const char *snapshot, struct masu_error *err)
{
	_cleanup_work_ struct work work = WORK_CLOSED;
	char path[sizeof(VOLUME_SNAPSHOTS) + 256];
	int r = work_open(root_fd, root, arena, volume, true, &work, err);
	if (r < 0)
		return r;
	/* Asked before the work; publishing asks again. */
	str_format(path, sizeof(path), VOLUME_SNAPSHOTS "/%s", snapshot);
	if (faccessat(work.dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(err, -EEXIST, "%s@%s: there is a snapshot of that name", volume,
				 snapshot);
	r = build_snapshot(arena, &work, err);
	if (r == 0)
		r = publish_snapshot(&work, snapshot, err);
	if (r < 0)
		discard(work.dir);
	return r;
}

int volume_snapshot_remove(int root_fd, const char *root, struct arena *arena, const char *volume,
			   const char *snapshot, struct masu_error *err)
{
	_cleanup_work_ struct work work = WORK_CLOSED;
	char trash[64 + 256];
	int r = work_open(root_fd, root, arena, volume, true, &work, err);
	if (r < 0)
		return r;
	_cleanup_close_ int all =
		openat(work.dir, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	str_format(trash, sizeof(trash), "snapshot-%.200s", snapshot);
	r = all < 0 ? -errno : trash_move(root_fd, all, snapshot, trash);
	if (r == -ENOENT)
		return error_set(err, r, "%s@%s: no such snapshot", volume, snapshot);
	if (r == 0)
		r = fs_fsync_dir(all);
	return r < 0 ? error_errno(err, r, "%s@%s", volume, snapshot) : 0;
}

static int read_snapshot(int all, const char *name, struct arena *arena,
			 struct volume_snapshot *ret, struct masu_error *err)
{
	const struct json *record;
	*ret = (struct volume_snapshot) { .name = name, .created = "" };
	_cleanup_close_ int dir = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	int r = dir < 0 ? error_errno(err, -errno, "snapshot %s", name)
			: record_read(dir, VOLUME_SNAPSHOT_JSON, arena, &record, err);
	if (r == 0)
		json_string(json_get(record, "CreatedAt"), &ret->created);
	return r == -ENOENT ? error_set(err, r, "snapshot %s: has no record", name) : r;
}

int volume_snapshot_list(int root_fd, const char *root, struct arena *arena, const char *volume,
			 struct volume_snapshot **ret, size_t *ret_count, struct masu_error *err)
{
	char path[64 + 256];
	struct volume found;
	const char **names = NULL;
	size_t count = 0;
	int r = volume_open(root_fd, root, arena, volume, &found, NULL, err);
	if (r < 0)
		return r;
	str_format(path, sizeof(path), "volumes/%s/" VOLUME_SNAPSHOTS, volume);
	_cleanup_close_ int all = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all < 0 && errno != ENOENT)
		return error_errno(err, -errno, "volume %s", volume);
	r = all < 0 ? 0 : record_list(all, arena, &names, &count, err);
	if (r < 0)
		return r;
	struct volume_snapshot *list = arena_array(arena, struct volume_snapshot, count + 1);
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_snapshot(all, names[i], arena, &list[i], err);
	if (r < 0)
		return error_wrap(err, "volume %s", volume);
	*ret = list;
	*ret_count = count;
	return 0;
}

/* ---- back, and elsewhere ---- */

int volume_restore(int root_fd, const char *root, struct arena *arena, const char *volume,
		   const char *snapshot, struct masu_error *err)
{
	_cleanup_work_ struct work work = WORK_CLOSED, from = WORK_CLOSED;
	char trash[64 + 256];
	const char *source = arena_printf(arena, "%s@%s", volume, snapshot);
	int r = source ? work_open(root_fd, root, arena, volume, true, &work, err)
		       : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = work_open(root_fd, root, arena, source, false, &from, err);
	if (r == 0) {
		r = volume_copy_data(from.data, work.dir, STAGING, false, err);
		if (r < 0)
			error_wrap(err, "volume %s", volume);
	}
	if (r == 0) {
		r = sys_renameat2(work.dir, STAGING, work.dir, "_data", RENAME_EXCHANGE);
		if (r == 0)
			r = fs_fsync_dir(work.dir);
		if (r < 0)
			error_errno(err, r, "volume %s", volume);
	}
	str_format(trash, sizeof(trash), "volume-%.200s", volume);
	if (work.dir >= 0)
		trash_move(root_fd, work.dir, STAGING, trash);
	return r;
}

static int make_from(void *data, int dir, struct masu_error *err)
{
	const struct work *from = data;
	return volume_copy_data(from->data, dir, "_data", false, err);
}

int volume_clone(int root_fd, const char *root, struct arena *arena, const char *from,
		 const char *to, struct masu_error *err)
{
	_cleanup_work_ struct work source = WORK_CLOSED;
	struct volume made;
	int r = work_open(root_fd, root, arena, from, false, &source, err);
	if (r < 0)
		return r;
	const struct volume request = { .name = to,
					.labels = source.volume.labels,
					.label_count = source.volume.label_count,
					.options = source.volume.options,
					.option_count = source.volume.option_count };
	return volume_make_by(root_fd, root, arena, &request, make_from, &source, &made, err);
}

/* ---- archives ---- */

static int export(int root_fd, const char *root, struct arena *arena, const char *from, int fd,
		  const struct tree_walk_options *walk, struct masu_error *err)
{
	_cleanup_work_ struct work work = WORK_CLOSED;
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	int r = work_open(root_fd, root, arena, from, false, &work, err);
	if (r == 0)
		r = tar_writer_new(fd, &writer, err);
	return r < 0 ? r : tree_scan(work.data, walk, tar_writer_sink(writer), err);
}

int volume_export(int root_fd, const char *root, struct arena *arena, const char *from, int fd,
		  struct masu_error *err)
{
	const struct tree_walk_options walk = { .name = "", .without_top = true };
	return export(root_fd, root, arena, from, fd, &walk, err);
}

int volume_export_sorted(int root_fd, const char *root, struct arena *arena, const char *from,
			 int fd, struct masu_error *err)
{
	const struct tree_walk_options walk = { .name = "", .sorted = true };
	return export(root_fd, root, arena, from, fd, &walk, err);
}

int volume_open_data(int root_fd, const char *root, struct arena *arena, const char *from,
		     struct volume *ret, int *ret_fd, struct masu_error *err)
{
	_cleanup_work_ struct work work = WORK_CLOSED;
	int r = work_open(root_fd, root, arena, from, false, &work, err);
	if (r < 0)
		return r;
	*ret = work.volume;
	*ret_fd = take_fd(&work.data);
	return 0;
}

int volume_import(int root_fd, const char *root, struct arena *arena, const char *volume, int fd,
		  struct masu_error *err)
{
	const struct tree_make_options options = { .keep_owner = true };
	_cleanup_work_ struct work work = WORK_CLOSED;
	_cleanup_tree_maker_ struct tree_maker *maker = NULL;
	int r = work_open(root_fd, root, arena, volume, true, &work, err);
	if (r == 0)
		r = tree_maker_new(work.data, &options, &maker, err);
	if (r == 0)
		r = tree_unpack(fd, tree_maker_sink(maker), err);
	if (r == 0 && syncfs(work.data) < 0)
		r = error_errno(err, -errno, "syncfs");
	return r < 0 ? error_wrap(err, "volume %s", volume) : 0;
}
