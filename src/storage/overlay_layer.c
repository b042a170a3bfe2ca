/*
 * Layers of the overlay driver: <root>/layers/overlay/<chain-id>/{diff/,layer.json}, or what
 * overlay_erofs.c has instead of diff/. A layer is
 * made in .staging/<random>/, which its maker keeps locked, and gets its name by rename(2) when
 * all of it is on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "json/json.h"
#include "state/trash.h"
#include "storage/overlay.h"
#include "sys/fs.h"

#define RECORD_LIMIT 65536
#define LAYERS_MAX   (1u << 20)

#define STAGING_NAME_LENGTH 32

bool overlay_chain_id_valid(const char *chain_id)
{
	return strlen(chain_id) == STORAGE_CHAIN_ID_LENGTH && id_prefix_valid(chain_id);
}

int overlay_trash_name(const char *chain_id, char ret[128])
{
	return str_format(ret, 128, "layer-%s", chain_id);
}

int overlay_trash_path(const char *chain_id, char ret[160])
{
	char name[128];
	if (!overlay_chain_id_valid(chain_id))
		return -EINVAL;
	int r = overlay_trash_name(chain_id, name);
	return r < 0 ? r : str_format(ret, 160, "trash/%s", name);
}

static bool layer_name_valid(const char *name)
{
	return overlay_chain_id_valid(name) ||
	       (strlen(name) == STAGING_NAME_LENGTH && id_prefix_valid(name));
}

int overlay_layer_open(struct storage *s, const char *name, int *ret_fd)
{
	char path[128];
	if (!layer_name_valid(name))
		return -EINVAL;
	bool staged = !overlay_chain_id_valid(name);
	int r = str_format(path, sizeof(path), "%s%s/%s", staged ? OVERLAY_STAGING "/" : "", name,
			   s->whole && !staged ? OVERLAY_ROOT : OVERLAY_DIFF);
	if (r < 0)
		return r;
	if (s->open_tree && !staged)
		*strrchr(path, '/') = '\0';
	int fd = openat(s->layers_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && s->open_tree && !staged) {
		_cleanup_close_ int place = fd;
		return s->open_tree(s, place, true, ret_fd);
	}
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno != ENOENT || s->open_tree)
		return -errno;
	*strrchr(path, '/') = '\0';
	_cleanup_close_ int layer =
		openat(s->layers_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return layer < 0 ? -errno : overlay_erofs_look(layer, ret_fd);
}

/*
 * The layer's directory starts with the look of its parent's, which a root entry may change. What a
 * staged parent looks like is not known yet.
 */
static int inherit_root(struct storage *s, const char *parent, int diff)
{
	struct stat st = { .st_mode = 0755 };
	if (parent && overlay_chain_id_valid(parent)) {
		_cleanup_close_ int fd = -1;
		int r = overlay_layer_open(s, parent, &fd);
		if (r < 0)
			return r;
		if (fstat(fd, &st) < 0)
			return -errno;
	}
	if (fchown(diff, st.st_uid, st.st_gid) < 0 || fchmod(diff, st.st_mode & 07777) < 0)
		return -errno;
	return 0;
}

/* Takes away what was made of .staging/<random>/diff, which @path is; returns @r. */
static int unmake_staging(struct storage *s, char *path, int r)
{
	unlinkat(s->layers_fd, path, AT_REMOVEDIR);
	*strrchr(path, '/') = '\0';
	unlinkat(s->layers_fd, path, AT_REMOVEDIR);
	return r;
}

/*
 * Makes and locks .staging/<random>/diff. A sweeper may take the directory before the lock is held;
 * then it is gone or going, and another one is made.
 */
static int make_staging(struct storage *s, char *ret_name, int *ret_fd)
{
	char id[ID_LENGTH + 1], path[128];
	for (int tries = 0; tries < 16; tries++) {
		int r = id_random(id);
		if (r == 0)
			r = str_format(path, sizeof(path), OVERLAY_STAGING "/%.*s/" OVERLAY_DIFF,
				       STAGING_NAME_LENGTH, id);
		if (r == 0)
			r = fs_mkdirs(s->layers_fd, path, 0700);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return unmake_staging(s, path, r);
		_cleanup_close_ int fd =
			openat(s->layers_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return unmake_staging(s, path, -errno);
		struct stat opened, named;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		if (fstat(fd, &opened) < 0 || fstatat(s->layers_fd, path, &named, 0) < 0 ||
		    opened.st_ino != named.st_ino)
			continue;
		memcpy(ret_name, id, STAGING_NAME_LENGTH);
		ret_name[STAGING_NAME_LENGTH] = '\0';
		*ret_fd = take_fd(&fd);
		return 0;
	}
	return -EBUSY;
}

int overlay_layer_prepare(struct storage *s, const char *parent, int *ret_fd,
			  char ret_staging[STORAGE_STAGING_MAX], struct masu_error *err)
{
	if (parent && !layer_name_valid(parent))
		return error_set(err, -EINVAL, "layer %s: not a chain id", parent);
	_cleanup_close_ int fd = -1;
	char name[STORAGE_STAGING_MAX];
	int r = make_staging(s, name, &fd);
	if (r < 0)
		return error_errno(err, r, "layer: cannot make a staging directory");
	r = inherit_root(s, parent, fd);
	if (r < 0) {
		overlay_layer_abort(s, name);
		return error_errno(err, r, "layer %.12s", parent ? parent : "without a parent");
	}
	memcpy(ret_staging, name, sizeof(name));
	*ret_fd = take_fd(&fd);
	return 0;
}

static int write_record(int staged, const struct storage_layer *layer,
			const struct storage_total *total)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, RECORD_LIMIT);
	json_writer_init(&w, &out, true);
	json_begin_object(&w);
	json_field_string(&w, "chainID", layer->chain_id);
	if (layer->parent)
		json_field_string(&w, "parent", layer->parent);
	json_field_u64(&w, "size", layer->size);
	if (total) {
		json_field_u64(&w, "totalSize", total->bytes);
		json_field_u64(&w, "totalInodes", total->inodes);
	}
	if (layer->index_digest) {
		json_field_string(&w, "format", "erofs");
		json_field_string(&w, "tar", layer->tar_digest);
		json_field_string(&w, "index", layer->index_digest);
	}
	json_end_object(&w);
	int r = buf_error(&out);
	return r < 0 ? r : fs_write_atomic(staged, OVERLAY_RECORD, out.data, out.len, 0600, false);
}

/* The staging directory of a layer that is to be committed, and its path below the layers. */
static int open_staged(struct storage *s, const struct storage_layer *layer, const char *staging,
		       char ret_path[128], struct masu_error *err)
{
	int r = str_format(ret_path, 128, OVERLAY_STAGING "/%s", staging);
	if (r < 0 || !overlay_chain_id_valid(layer->chain_id))
		return error_set(err, -EINVAL, "layer %s: not a chain id", layer->chain_id);
	int fd = openat(s->layers_fd, ret_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_errno(err, -errno, "layer %.12s: staging %s", layer->chain_id,
				    staging)
		      : fd;
}

int overlay_layer_seal(struct storage *s, const struct storage_layer *layer, const char *staging,
		       struct masu_error *err)
{
	char path[128];
	_cleanup_close_ int staged = open_staged(s, layer, staging, path, err);
	if (staged < 0)
		return staged;
	int r = write_record(staged, layer, NULL);
	return r < 0 ? error_errno(err, r, "layer %.12s: cannot be committed", layer->chain_id) : 0;
}

int overlay_layer_settle(struct storage *s)
{
	return fs_fsync_dir(s->layers_fd);
}

int overlay_layer_commit(struct storage *s, const struct storage_layer *layer, const char *staging,
			 struct masu_error *err)
{
	char path[128];
	const char *chain_id = layer->chain_id;
	_cleanup_close_ int staged = open_staged(s, layer, staging, path, err);
	if (staged < 0)
		return staged;
	struct storage_total total;
	int r = 0;
	if (s->finish && (r = s->finish(s, layer, staged, &total, err)) < 0)
		return error_wrap(err, "layer %.12s: cannot be committed", chain_id);
	if (!layer->sealed)
		r = write_record(staged, layer, s->finish ? &total : NULL);
	/* Everything the layer is made of, then its name, then the directory that holds the name.
	 */
	if (r == 0 && !layer->sealed && syncfs(staged) < 0)
		r = -errno;
	if (r == 0 && renameat(s->layers_fd, path, s->layers_fd, chain_id) < 0)
		r = -errno;
	if (r == -EEXIST || r == -ENOTEMPTY) /* somebody was faster with the same content */
		r = overlay_layer_abort(s, staging);
	/* Empty by now: it was there for its lock. */
	if (r == 0 && s->whole)
		unlinkat(staged, OVERLAY_DIFF, AT_REMOVEDIR);
	if (r == 0 && !layer->sealed)
		r = fs_fsync_dir(s->layers_fd);
	return r < 0 ? error_errno(err, r, "layer %.12s: cannot be committed", chain_id) : 0;
}

int overlay_layer_abort(struct storage *s, const char *staging)
{
	_cleanup_close_ int fd =
		openat(s->layers_fd, OVERLAY_STAGING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	char trash[128];
	int r = str_format(trash, sizeof(trash), "staging-%s", staging);
	if (r == 0)
		r = trash_move(s->root_fd, fd, staging, trash);
	return r == -ENOENT ? 0 : r;
}

/*
 * Whether nobody works in .staging/<name>; if so its lock is in *ret_fd. It is on the directory
 * that begins as diff/ and may become fs/.
 */
static bool staging_is_dead(int staging_fd, const char *name, int *ret_fd)
{
	static const char *const places[] = { OVERLAY_DIFF, OVERLAY_FS };
	char path[NAME_MAX + 16];
	int fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(places) && fd < 0; i++) {
		if (str_format(path, sizeof(path), "%s/%s", name, places[i]) < 0)
			return false;
		fd = openat(staging_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			break;
	}
	*ret_fd = fd;
	if (fd < 0)
		return errno == ENOENT;
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

int overlay_layer_sweep(struct storage *s)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(s->layers_fd, OVERLAY_STAGING);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	int result = 0;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		_cleanup_close_ int lock = -1;
		if (!staging_is_dead(dirfd(dir), entry->d_name, &lock))
			continue;
		int r = overlay_layer_abort(s, entry->d_name);
		if (r < 0)
			result = r;
	}
	return result;
}

int overlay_layer_exists(struct storage *s, const char *chain_id, bool *ret)
{
	if (!overlay_chain_id_valid(chain_id))
		return -EINVAL;
	char path[128];
	int r = str_format(path, sizeof(path), "%s/" OVERLAY_RECORD, chain_id);
	if (r < 0)
		return r;
	r = faccessat(s->layers_fd, path, F_OK, 0) < 0 ? -errno : 0;
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	*ret = r == 0;
	return 0;
}

static int read_record(struct storage *s, const char *chain_id, struct arena *arena,
		       const struct json **ret)
{
	char path[128], *text;
	size_t len;
	if (!overlay_chain_id_valid(chain_id))
		return -EINVAL;
	int r = str_format(path, sizeof(path), "%s/" OVERLAY_RECORD, chain_id);
	if (r == 0)
		r = fs_read_arena(s->layers_fd, path, RECORD_LIMIT, arena, &text, &len);
	return r < 0 ? r : json_parse(arena, text, len, ret, NULL);
}

int overlay_layer_size(struct storage *s, const char *chain_id, uint64_t *ret)
{
	_cleanup_arena_ struct arena arena;
	const struct json *record;
	arena_init(&arena, 1u << 20);
	int r = read_record(s, chain_id, &arena, &record);
	if (r < 0)
		return r;
	return json_u64(json_get(record, "size"), ret) ? 0 : -EINVAL;
}

int overlay_layer_total(struct storage *s, const char *chain_id, struct storage_total *ret)
{
	_cleanup_arena_ struct arena arena;
	const struct json *record;
	struct storage_total total;
	arena_init(&arena, 1u << 20);
	int r = read_record(s, chain_id, &arena, &record);
	if (r < 0)
		return r;
	if (!json_u64(json_get(record, "totalSize"), &total.bytes) ||
	    !json_u64(json_get(record, "totalInodes"), &total.inodes))
		return -EINVAL;
	*ret = total;
	return 0;
}

int overlay_layer_format(struct storage *s, const char *chain_id, struct arena *arena,
			 enum storage_format *ret, struct storage_layer *ret_layer)
{
	const struct json *record;
	int r = read_record(s, chain_id, arena, &record);
	if (r < 0)
		return r;
	const char *format = NULL;
	struct storage_layer layer = { .chain_id = chain_id };
	json_string(json_get(record, "format"), &format);
	json_string(json_get(record, "parent"), &layer.parent);
	json_string(json_get(record, "tar"), &layer.tar_digest);
	json_string(json_get(record, "index"), &layer.index_digest);
	if (!json_u64(json_get(record, "size"), &layer.size) ||
	    (format && (!streq(format, "erofs") || !layer.tar_digest || !layer.index_digest)))
		return -EINVAL;
	*ret = format ? STORAGE_EROFS : STORAGE_DIRECTORY;
	*ret_layer = layer;
	return 0;
}

int overlay_layer_file(struct storage *s, const char *chain_id, bool index, int *ret_fd)
{
	char path[128];
	int r = str_format(path, sizeof(path), "%s/%s", chain_id,
			   index ? OVERLAY_INDEX : OVERLAY_TAR);
	if (r < 0 || !overlay_chain_id_valid(chain_id))
		return -EINVAL;
	int fd = openat(s->layers_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int overlay_layer_list(struct storage *s, struct arena *arena, const char ***ret)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(s->layers_fd, ".");
	if (!dir)
		return -errno;
	size_t count = 0, capacity = 64;
	const char **list = arena_array(arena, const char *, capacity);
	struct dirent *entry;
	while (list && (entry = readdir(dir))) {
		if (!overlay_chain_id_valid(entry->d_name))
			continue;
		if (count + 1 == capacity) {
			if (capacity >= LAYERS_MAX)
				return -E2BIG;
			const char **grown = arena_array(arena, const char *, capacity * 2);
			if (!grown)
				return -ENOMEM;
			memcpy(grown, list, count * sizeof(*list));
			list = grown;
			capacity *= 2;
		}
		list[count] = arena_strdup(arena, entry->d_name);
		if (!list[count++])
			return -ENOMEM;
	}
	if (!list)
		return -ENOMEM;
	*ret = list;
	return 0;
}

int overlay_layer_remove(struct storage *s, const char *chain_id, struct masu_error *err)
{
	char trash[128];
	if (!overlay_chain_id_valid(chain_id))
		return error_set(err, -EINVAL, "layer %s: not a chain id", chain_id);
	int r = overlay_trash_name(chain_id, trash);
	/* Who wants to mount the layer waits, and then finds that it has gone. */
	_cleanup_close_ int layer = r < 0 ? -1 : overlay_erofs_lock(s, chain_id);
	if (r == 0)
		r = trash_move(s->root_fd, s->layers_fd, chain_id, trash);
	if (r == 0 && layer >= 0)
		overlay_erofs_detach(layer);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "layer %.12s: cannot be removed", chain_id);
	return 0;
}

int overlay_layer_restore(struct storage *s, const char *chain_id)
{
	char path[160];
	int r = overlay_trash_path(chain_id, path);
	if (r == 0 && renameat(s->root_fd, path, s->layers_fd, chain_id) < 0)
		r = -errno;
	return r;
}
