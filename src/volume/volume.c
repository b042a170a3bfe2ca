/*
 * Volumes on disk. mkdir(2) of the volume's directory decides who makes it; volume.json, written
 * last, says that it is complete. What a killed creation left is completed by the next one.
 */
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/record.h"
#include "state/trash.h"
#include "sys/fs.h"
#include "sys/project_quota.h"
#include "sys/syscalls.h"
#include "volume/internal.h"

#define VOLUME_MODE 0711 /* what is below _data has modes of its own */
#define MAKE_TRIES  8

int volume_path(const char *name, char ret[VOLUME_PATH_MAX], struct masu_error *err)
{
	if (!name_valid(name) || str_format(ret, VOLUME_PATH_MAX, "volumes/%s", name) < 0)
		return error_set(err, -EINVAL,
				 "\"%.255s\" includes invalid characters for a local volume name, "
				 "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
				 name);
	return 0;
}

int volume_data_path(const char *name, char *ret, size_t size)
{
	const char *at = strchr(name, '@');
	return at ? str_format(ret, size, "volumes/%.*s/" VOLUME_SNAPSHOTS "/%s/_data",
			       (int)(at - name), name, at + 1)
		  : str_format(ret, size, "volumes/%s/_data", name);
}

static void pairs_put(struct json_writer *w, const char *key, const struct oci_pair *pairs,
		      size_t count)
{
	json_key(w, key);
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		json_field_string(w, pairs[i].key, pairs[i].value);
	json_end_object(w);
}

const char *volume_now(struct arena *arena)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return arena_strdup(arena, text);
}

int volume_write_record(int dir, const struct volume *volume, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, RECORD_MAX_BYTES);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Name", volume->name);
	json_field_string(&w, "Driver", "local");
	json_field_string(&w, "CreatedAt", volume->created);
	json_field_bool(&w, "Anonymous", volume->anonymous);
	if (volume->import)
		json_field_string(&w, "Import", volume->import);
	pairs_put(&w, "Labels", volume->labels, volume->label_count);
	pairs_put(&w, "Options", volume->options, volume->option_count);
	json_end_object(&w);
	return record_write(dir, "volume.json", &text, true, err);
}

static int pairs_get(struct arena *arena, const struct json *object, struct oci_pair **ret,
		     size_t *ret_count)
{
	size_t count = object && object->type == JSON_OBJECT ? object->count : 0, n = 0;
	struct oci_pair *pairs = arena_array(arena, struct oci_pair, count);
	if (!pairs)
		return -ENOMEM;
	if (count)
		json_foreach (item, object) {
			pairs[n].key = item->key;
			if (!json_string(item, &pairs[n++].value))
				return -EBADMSG;
		}
	*ret = pairs;
	*ret_count = count;
	return 0;
}

/* A volume is called what its directory is called: renaming is one rename(2). */
static int read_record(int dir, const char *root, const char *name, struct arena *arena,
		       struct volume *ret, struct masu_error *err)
{
	const struct json *record;
	struct volume volume = { .driver = "local", .created = "" };
	int r = record_read(dir, "volume.json", arena, &record, err);
	if (r < 0)
		return r;
	json_string(json_get(record, "Driver"), &volume.driver);
	json_string(json_get(record, "CreatedAt"), &volume.created);
	json_bool(json_get(record, "Anonymous"), &volume.anonymous);
	json_string(json_get(record, "Import"), &volume.import);
	if (pairs_get(arena, json_get(record, "Labels"), &volume.labels, &volume.label_count) < 0 ||
	    pairs_get(arena, json_get(record, "Options"), &volume.options, &volume.option_count) <
		    0)
		return error_set(err, -EBADMSG, "volume.json is damaged");
	volume.name = arena_strdup(arena, name);
	volume.mountpoint = arena_printf(arena, "%s/volumes/%s/_data", root, name);
	if (!volume.name || !volume.mountpoint)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = volume;
	return 0;
}

/* read_record(); -ENOENT where it was to come to be with a container that there is not. */
static int read_finished(int root_fd, int dir, const char *root, const char *name,
			 struct arena *arena, struct volume *ret, struct masu_error *err)
{
	char path[VOLUME_PATH_MAX];
	struct volume volume;
	int r = read_record(dir, root, name, arena, &volume, err);
	if (r == 0 && volume.import &&
	    (!name_valid(volume.import) ||
	     str_format(path, sizeof(path), "containers/%s", volume.import) < 0 ||
	     faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
		r = -ENOENT;
	if (r == 0)
		*ret = volume;
	return r;
}

/* "VOLUME@SNAPSHOT": the snapshot takes the place of the volume's own data. */
static int use_snapshot(int root_fd, const char *root, const char *name, const char *snapshot,
			struct arena *arena, struct volume *volume, struct masu_error *err)
{
	char path[2 * VOLUME_PATH_MAX + sizeof(VOLUME_SNAPSHOTS)];
	if (!name_valid(snapshot) || volume_data_path(name, path, sizeof(path)) < 0 ||
	    faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, -ENOENT, "%.600s: no such snapshot", name);
	volume->snapshot = true;
	volume->name = arena_strdup(arena, name);
	volume->mountpoint = arena_printf(arena, "%s/%s", root, path);
	return volume->name && volume->mountpoint ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int volume_open(int root_fd, const char *root, struct arena *arena, const char *name,
		struct volume *ret, int *ret_fd, struct masu_error *err)
{
	char path[VOLUME_PATH_MAX];
	const char *at = strchr(name, '@');
	const char *base = at ? arena_strndup(arena, name, (size_t)(at - name)) : name;
	int r = base ? volume_path(base, path, err) : error_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : read_finished(root_fd, dir, root, base, arena, ret, err);
	if (r == -ENOENT)
		return error_set(err, r, "get %.255s: no such volume", base);
	if (r < 0)
		return dir < 0 ? error_errno(err, r, "%s/%s", root, path)
			       : error_wrap(err, "volume %s", base);
	r = at ? use_snapshot(root_fd, root, name, at + 1, arena, ret, err) : 0;
	if (r < 0 || !ret_fd)
		return r;
	char below[2 * VOLUME_PATH_MAX + sizeof(VOLUME_SNAPSHOTS)];
	r = volume_data_path(name, below, sizeof(below));
	int data =
		r < 0 ? r : openat(root_fd, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (data < 0)
		return error_errno(err, r < 0 ? r : -errno, "%s", ret->mountpoint);
	*ret_fd = data;
	return 0;
}

static int check_request(struct arena *arena, const struct volume *request, uint64_t *ret_size,
			 struct masu_error *err)
{
	if (request->driver && *request->driver && !streq(request->driver, "local"))
		return error_set(err, -ENOTSUP,
				 "volume driver \"%.128s\" is not supported; use \"local\"",
				 request->driver);
	struct volume_source source;
	int r = volume_source(arena, request, &source, err);
	if (r == 0)
		*ret_size = source.size;
	return r;
}

int volume_sync(int root_fd, int dir)
{
	_cleanup_close_ int volumes =
		openat(root_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = volumes < 0 ? -errno : fs_fsync_dir(dir);
	return r < 0 ? r : fs_fsync_dir(volumes);
}

/* Takes away what was made of a volume that came to nothing, and returns @r. Its lock is held. */
static int unmake(int root_fd, const char *path, int dir, int r)
{
	project_quota_clear(dir);
	fs_remove_tree(dir, "_data");
	unlinkat(dir, "lock", 0);
	unlinkat(root_fd, path, AT_REMOVEDIR);
	return r;
}

/* How a volume is to be made. */
struct making {
	const struct volume *request;
	volume_fill make; /* of _data, in the volume's directory; NULL: it is made empty */
	volume_fill fill; /* of _data; NULL: it stays as it was made */
	void *data;	  /* theirs */
	uint64_t size;	  /* bytes, 0: no limit */
};

/* An empty directory, whatever a killed creation left there, and what is to be in it. */
static int make_data(int dir, const struct making *making, struct masu_error *err)
{
	int r = fs_remove_tree(dir, "_data");
	/* On the directory around it, so that renames between it and the snapshots stay in one
	 * project: rename(2) into another is EXDEV. */
	if (r == 0 && making->size) {
		r = project_quota_set(dir, making->size, err);
		if (r < 0)
			return error_wrap(err, "volume %s: size", making->request->name);
	}
	if (r == 0 && making->make)
		return making->make(making->data, dir, err);
	if (r == 0)
		r = volume_make_data(dir, "_data");
	if (r < 0)
		return error_errno(err, r, "volume %s: _data", making->request->name);
	if (!making->fill)
		return 0;
	_cleanup_close_ int data =
		openat(dir, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return data < 0 ? error_errno(err, -errno, "volume %s: _data", making->request->name)
			: making->fill(making->data, data, err);
}

/* Under the volume's lock: its data directory and, last, its record. */
static int complete(int root_fd, const char *root, struct arena *arena, const char *path, int dir,
		    const struct making *making, struct volume *volume, struct masu_error *err)
{
	volume->created = volume_now(arena);
	volume->mountpoint = arena_printf(arena, "%s/%s/_data", root, path);
	int r = volume->created && volume->mountpoint ? 0
						      : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = make_data(dir, making, err);
	if (r == 0 && (r = volume_write_record(dir, volume, err)) < 0)
		error_wrap(err, "volume %s", volume->name);
	if (r < 0)
		return unmake(root_fd, path, dir, r);
	r = volume_sync(root_fd, dir);
	return r < 0 ? error_errno(err, r, "%s/%s", root, path) : 0;
}

/* -EAGAIN: another maker failed meanwhile and took the directory away. */
static int make(int root_fd, const char *root, struct arena *arena, const struct making *making,
		const char *path, struct volume *ret, struct masu_error *err)
{
	struct volume volume = *making->request;
	const char *name = volume.name;
	volume.driver = "local";
	if ((mkdirat(root_fd, path, VOLUME_MODE) < 0 && errno != EEXIST))
		return error_errno(err, -errno, "%s/%s", root, path);
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? -EAGAIN : error_errno(err, -errno, "%s/%s", root, path);
	_cleanup_close_ int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, err);
	if (lock == -ENOENT)
		return -EAGAIN;
	if (lock < 0) {
		unlinkat(root_fd, path, AT_REMOVEDIR); /* unless somebody is making it */
		return error_wrap(err, "volume %s", name);
	}
	/* Somebody else may have made it meanwhile. */
	int r = read_finished(root_fd, dir, root, name, arena, ret, NULL);
	if (r == 0 && (making->fill || making->make))
		return error_set(err, -EEXIST, "a volume named %s exists already", name);
	if (r != -ENOENT)
		return r < 0 ? error_set(err, r, "volume %s: volume.json is damaged", name) : 0;
	r = complete(root_fd, root, arena, path, dir, making, &volume, err);
	if (r == 0)
		*ret = volume;
	return r;
}

static int make_somehow(int root_fd, const char *root, struct arena *arena,
			const struct making *making, const char *path, struct volume *ret,
			struct masu_error *err)
{
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < MAKE_TRIES; tries++)
		r = make(root_fd, root, arena, making, path, ret, err);
	return r == -EAGAIN ? error_errno(err, r, "%s/%s", root, path) : r;
}

int volume_ensure(int root_fd, const char *root, struct arena *arena, const struct volume *request,
		  struct volume *ret, bool *ret_made, struct masu_error *err)
{
	char path[VOLUME_PATH_MAX];
	struct making making = { .request = request };
	*ret_made = false;
	if (strchr(request->name, '@')) /* a snapshot is there or not */
		return volume_open(root_fd, root, arena, request->name, ret, NULL, err);
	int r = volume_path(request->name, path, err);
	if (r == 0)
		r = check_request(arena, request, &making.size, err);
	if (r < 0)
		return r;
	r = volume_open(root_fd, root, arena, request->name, ret, NULL, err);
	*ret_made = r == -ENOENT;
	return r == -ENOENT ? make_somehow(root_fd, root, arena, &making, path, ret, err) : r;
}

static int make_new(int root_fd, const char *root, struct arena *arena, struct making *making,
		    struct volume *ret, struct masu_error *err)
{
	char path[VOLUME_PATH_MAX];
	int r = volume_path(making->request->name, path, err);
	if (r == 0)
		r = check_request(arena, making->request, &making->size, err);
	return r < 0 ? r : make_somehow(root_fd, root, arena, making, path, ret, err);
}

int volume_make_filled(int root_fd, const char *root, struct arena *arena,
		       const struct volume *request, volume_fill fill, void *data,
		       struct volume *ret, struct masu_error *err)
{
	struct making making = { .request = request, .fill = fill, .data = data };
	return make_new(root_fd, root, arena, &making, ret, err);
}

int volume_make_by(int root_fd, const char *root, struct arena *arena, const struct volume *request,
		   volume_fill make, void *data, struct volume *ret, struct masu_error *err)
{
	struct making making = { .request = request, .make = make, .data = data };
	return make_new(root_fd, root, arena, &making, ret, err);
}

int volume_settle(int root_fd, const char *root, struct arena *arena, const char *name,
		  struct masu_error *err)
{
	char path[VOLUME_PATH_MAX];
	struct volume volume;
	int r = volume_path(name, path, err);
	if (r == 0)
		r = volume_open(root_fd, root, arena, name, &volume, NULL, err);
	if (r < 0 || !volume.import)
		return r;
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "volume %s", name);
	_cleanup_close_ int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, err);
	if (lock < 0)
		return lock;
	volume.import = NULL;
	return volume_write_record(dir, &volume, err);
}

int volume_remove(int root_fd, const char *name, struct masu_error *err)
{
	char path[VOLUME_PATH_MAX], trash[256];
	int r = volume_path(name, path, err);
	if (r < 0)
		return r;
	if (str_format(trash, sizeof(trash), "volume-%.200s", name) < 0)
		return error_set(err, -ENAMETOOLONG, "volume %s", name);
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = trash_move(root_fd, root_fd, path, trash);
	if (r == -ENOENT)
		return error_set(err, r, "get %.255s: no such volume", name);
	if (r < 0)
		return error_errno(err, r, "volume %s", name);
	if (dir >= 0)
		project_quota_clear(dir);
	_cleanup_close_ int volumes =
		openat(root_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = volumes < 0 ? -errno : fs_fsync_dir(volumes);
	return r < 0 ? error_errno(err, r, "volume %s", name) : 0;
}

int volume_list(int root_fd, const char *root, struct arena *arena, struct volume **ret,
		size_t *ret_count, struct masu_error *err)
{
	const char **names;
	size_t count, found = 0;
	_cleanup_close_ int dir = openat(root_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "%s/volumes", root);
	int r = record_list(dir, arena, &names, &count, err);
	if (r < 0)
		return r;
	struct volume *volumes = arena_array(arena, struct volume, count);
	if (!volumes)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		r = volume_open(root_fd, root, arena, names[i], &volumes[found], NULL, err);
		if (r == 0)
			found++;
		else if (r != -ENOENT) /* one that was never finished is none */
			return r;
	}
	*ret = volumes;
	*ret_count = found;
	return 0;
}
