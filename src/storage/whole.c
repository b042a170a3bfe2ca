#include "storage/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/trash.h"
#include "storage/apply.h"
#include "storage/exporter.h"
#include "storage/usage.h"
#include "sys/fs.h"
#include "sys/syscalls.h"
#include "tree/make.h"

/* How big a container was when it was made; the time of that is the file's. */
#define BASE	 "base"
#define BASE_MAX 64

int whole_copy(int from, int to, struct masu_error *err)
{
	const struct tree_make_options options = { .keep_owner = true };
	const struct tree_walk_options walk = { .name = "" };
	_cleanup_tree_maker_ struct tree_maker *maker = NULL;
	int r = tree_maker_new(to, &options, &maker, err);
	return r < 0 ? r : tree_scan(from, &walk, tree_maker_sink(maker), err);
}

/* ---- layers ---- */

int whole_open_place(struct storage *s, int place, bool layer, int *ret_fd)
{
	if (s->whole->look)
		return s->whole->look(s, place, layer, ret_fd);
	int fd = openat(place, OVERLAY_ROOT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int open_layer_place(struct storage *s, const char *chain_id, int *ret_fd)
{
	if (!overlay_chain_id_valid(chain_id))
		return -EINVAL;
	int fd = openat(s->layers_fd, chain_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* diff/ onto a copy of what is below it. diff/ stays until the commit: its maker's lock is on it.
 */
static int finish(struct storage *s, const struct storage_layer *layer, int staged_fd,
		  struct storage_total *ret_total, struct masu_error *err)
{
	_cleanup_tree_applier_ struct tree_applier *applier = NULL;
	_cleanup_close_ int parent = -1, root = -1;
	int r = layer->parent ? open_layer_place(s, layer->parent, &parent) : 0;
	if (r < 0)
		return error_errno(err, r, "the layer below");
	uint64_t taken;
	if (s->whole->room && (r = storage_usage_taken(staged_fd, OVERLAY_DIFF, &taken)) < 0)
		return error_errno(err, r, "staging");
	if (s->whole->room)
		r = s->whole->room(s, taken, err);
	if (r == 0)
		r = s->whole->make(s, staged_fd, parent, err);
	if (r < 0)
		return r;
	_cleanup_close_ int diff =
		openat(staged_fd, OVERLAY_DIFF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = diff < 0 ? -errno : whole_open_place(s, staged_fd, false, &root);
	if (r < 0)
		return error_errno(err, r, "staging");
	r = tree_applier_new(root, &applier, err);
	if (r == 0)
		r = overlay_tell_layer(diff, tree_applier_sink(applier), err);
	if (r == 0 && (r = storage_usage(root, ".", &ret_total->bytes, &ret_total->inodes)) < 0)
		error_errno(err, r, "the layer's size");
	if (r == 0 && s->whole->seal)
		r = s->whole->seal(root, err);
	if (r == 0 && (r = tree_empty_directory(diff)) < 0)
		error_errno(err, r, "staging");
	return r;
}

int whole_open(const struct whole_ops *whole, int root_fd, struct storage **ret,
	       struct masu_error *err)
{
	int r = overlay_open_layers(root_fd, whole->layers, ret, err);
	if (r < 0)
		return r;
	(*ret)->whole = whole;
	(*ret)->finish = finish;
	(*ret)->open_tree = whole->look;
	return 0;
}

int whole_layer_verify(struct storage *s, const char *chain_id, const char **ret_fault)
{
	struct storage_total recorded, found;
	_cleanup_close_ int fd = -1;
	*ret_fault = NULL;
	if (overlay_layer_total(s, chain_id, &recorded) < 0)
		*ret_fault = "has no record that can be read";
	else if (overlay_layer_open(s, chain_id, &fd) < 0)
		*ret_fault = "has no files";
	else if (storage_usage(fd, ".", &found.bytes, &found.inodes) < 0 ||
		 found.bytes != recorded.bytes || found.inodes != recorded.inodes)
		*ret_fault = "has not the files that were unpacked";
	return 0;
}

/* ---- containers ---- */

static const char *top_of(const struct storage_mount_request *r)
{
	return r->chain_count ? r->chain_ids[r->chain_count - 1] : NULL;
}

static int missing_layer(const struct storage_mount_request *r, int code, struct masu_error *err)
{
	if (code != -ENOENT)
		return error_errno(err, code, "container %.12s: layer %.12s", r->container_id,
				   top_of(r));
	return error_set(err, code,
			 "container %.12s: a layer of its image is missing; load or import the "
			 "image again",
			 r->container_id);
}

static int write_base(int dir, const struct storage_total *total)
{
	char text[BASE_MAX];
	int r = str_format(text, sizeof(text), "%llu %llu\n", (unsigned long long)total->bytes,
			   (unsigned long long)total->inodes);
	return r < 0 ? r : fs_write_atomic(dir, BASE, text, strlen(text), 0600, false);
}

static int read_base(int dir, struct storage_total *ret)
{
	char text[BASE_MAX];
	unsigned long long bytes, inodes;
	int r = fs_read_small(dir, BASE, text, sizeof(text));
	if (r < 0)
		return r;
	if (sscanf(text, "%llu %llu", &bytes, &inodes) != 2)
		return -EBADMSG;
	*ret = (struct storage_total) { bytes, inodes };
	return 0;
}

int whole_create(struct storage *s, const struct storage_mount_request *r, struct masu_error *err)
{
	struct storage_total total = { 0 };
	_cleanup_close_ int top = -1;
	int result = top_of(r) ? open_layer_place(s, top_of(r), &top) : 0;
	if (result == 0 && top_of(r))
		result = overlay_layer_total(s, top_of(r), &total);
	if (result < 0)
		return missing_layer(r, result, err);
	if (s->whole->room && (result = s->whole->room(s, 0, err)) < 0)
		return error_wrap(err, "container %.12s", r->container_id);
	if (mkdirat(r->container_fd, s->whole->name, 0700) < 0)
		return error_errno(err, -errno, "container %.12s: writable layer", r->container_id);
	_cleanup_close_ int dir =
		openat(r->container_fd, s->whole->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "container %.12s: writable layer", r->container_id);
	if (r->size && s->whole->limit_all)
		result = s->whole->limit_all(dir, r->size + total.bytes, err);
	if (result == 0)
		result = s->whole->make(s, dir, top, err);
	if (result == 0 && r->size && s->whole->limit)
		result = s->whole->limit(s, dir, r->size, err);
	if (result == 0 && (result = write_base(dir, &total)) < 0)
		error_errno(err, result, "writable layer");
	return result < 0 ? error_wrap(err, "container %.12s", r->container_id) : 0;
}

int whole_open_container(struct storage *s, int container_fd, int *ret_fd,
			 struct timespec *ret_since)
{
	struct stat st;
	_cleanup_close_ int dir =
		openat(container_fd, s->whole->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstatat(dir, BASE, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	int r = whole_open_place(s, dir, false, ret_fd);
	if (r == 0)
		*ret_since = st.st_mtim;
	return r;
}

/* A mount of its own with nothing of how the filesystem under it is mounted, as overlay's is. */
static int clone_tree(int fd, bool readonly)
{
	struct mount_attr attr = { .attr_clr =
					   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
				   .attr_set = readonly ? MOUNT_ATTR_RDONLY : 0,
				   .propagation = MS_PRIVATE };
	_cleanup_close_ int mount = sys_open_tree(fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	int r = mount < 0 ? mount : sys_mount_setattr(mount, "", AT_EMPTY_PATH, &attr);
	return r < 0 ? r : take_fd(&mount);
}

/* Of an image without layers. */
static int open_empty(struct storage *s)
{
	if (mkdirat(s->layers_fd, OVERLAY_EMPTY, 0755) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(s->layers_fd, OVERLAY_EMPTY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* As a mount of its own: @place is a container's, or a layer's to be read alone. */
static int mount_place(struct storage *s, int place, bool readonly, int *ret_fd,
		       struct masu_error *err)
{
	_cleanup_close_ int root = -1;
	if (s->whole->attach)
		return s->whole->attach(s, place, readonly, ret_fd, err);
	int r = whole_open_place(s, place, readonly, &root);
	if (r == 0)
		r = clone_tree(root, readonly);
	if (r < 0)
		return error_errno(err, r, "writable layer");
	*ret_fd = r;
	return 0;
}

int whole_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		struct masu_error *err)
{
	bool readonly = r->flags & STORAGE_READONLY;
	_cleanup_close_ int place = -1;
	int result = 0;
	if (readonly && top_of(r) && (result = open_layer_place(s, top_of(r), &place)) < 0)
		return missing_layer(r, result, err);
	if (readonly && !top_of(r)) {
		_cleanup_close_ int empty = open_empty(s);
		result = empty < 0 ? empty : clone_tree(empty, true);
		if (result >= 0)
			*ret_fd = result;
		return result < 0 ? error_errno(err, result, "image without layers") : 0;
	}
	if (!readonly)
		place = openat(r->container_fd, s->whole->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return error_errno(err, -errno, "container %.12s: writable layer", r->container_id);
	result = mount_place(s, place, readonly, ret_fd, err);
	return result < 0 ? error_wrap(err, "container %.12s", r->container_id) : 0;
}

int whole_remove(struct storage *s, const char *container_id, int container_fd,
		 struct masu_error *err)
{
	_cleanup_close_ int dir =
		openat(container_fd, s->whole->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = trash_move(s->root_fd, container_fd, s->whole->name, container_id);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "container %.12s: writable layer", container_id);
	if (dir >= 0 && s->whole->unlimit)
		s->whole->unlimit(dir);
	return 0;
}

/* By how much it has grown: all of it is a copy. */
int whole_usage(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		struct masu_error *err)
{
	struct storage_total base = { 0 }, now = { 0 };
	_cleanup_close_ int root = -1;
	_cleanup_close_ int dir =
		openat(container_fd, s->whole->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : read_base(dir, &base);
	if (r == 0)
		r = whole_open_place(s, dir, false, &root);
	if (r == 0)
		r = storage_usage(root, ".", &now.bytes, &now.inodes);
	if (r < 0)
		return error_errno(err, r, "size of the writable layer");
	*ret_bytes = now.bytes > base.bytes ? now.bytes - base.bytes : 0;
	*ret_inodes = now.inodes > base.inodes ? now.inodes - base.inodes : 0;
	return 0;
}

int whole_paths(const struct whole_ops *whole, const char *root, const char *container_id,
		const char *const *chain_ids, struct arena *arena, struct storage_paths *ret)
{
	size_t count = 0;
	while (chain_ids && chain_ids[count])
		count++;
	struct storage_paths paths = {
		.lower = count ? arena_printf(arena, "%s/%s/%s/" OVERLAY_ROOT, root, whole->layers,
					      chain_ids[count - 1])
			       : "",
		.upper = arena_printf(arena, "%s/containers/%s/%s/" OVERLAY_ROOT, root,
				      container_id, whole->name),
		.work = "",
	};
	if (!paths.lower || !paths.upper)
		return -ENOMEM;
	*ret = paths;
	return 0;
}
