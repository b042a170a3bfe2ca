#include "cold/image/layer_index.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/erofs_check.h"
#include "cold/image/erofs_write.h"
#include "cold/image/stream.h"
#include "cold/image/unpack.h"

/* A layer without files, from where layers are made. */
static int try_erofs(struct image_builder *b, struct masu_error *err)
{
	struct staged_blob names[2];
	struct erofs_tree *tree;
	_cleanup_close_ int marks = memfd_create("marks", MFD_CLOEXEC);
	_cleanup_close_ int tar = staging_create(&b->staging, &names[0], err);
	_cleanup_close_ int index = tar < 0 ? tar : staging_create(&b->staging, &names[1], err);
	if (index < 0)
		return index;
	int r = erofs_tree_new((const uint8_t[16]) { 0 }, (struct timespec) { 0 }, &tree);
	if (r < 0)
		return error_set(err, r, "out of memory");
	r = erofs_tree_settle(tree, err);
	if (r == 0)
		r = erofs_write(tree, index, tar, marks, err);
	erofs_tree_free(tree);
	return r < 0 ? r : b->ops->layer_try(index, tar);
}

int image_builder_format(struct image_builder *b, const char *format, struct masu_error *err)
{
	b->automatic = !format;
	b->format = STORAGE_DIRECTORY;
	if (!format || streq(format, "dir"))
		return 0;
	if (!streq(format, "erofs"))
		return error_set(err, -EINVAL, "--layer-format=%s: it is dir or erofs", format);
	int r = b->ops->layer_try ? try_erofs(b, err) : -EOPNOTSUPP;
	if (r < 0)
		return error_errno(err, r,
				   "--layer-format=erofs: the kernel cannot mount layers from "
				   "files of --root; this takes Linux 6.12 with EROFS and a root "
				   "on ext4, xfs or btrfs");
	b->format = STORAGE_EROFS;
	return 0;
}

/*
 * Whether files can share blocks there. Then a container's first write to a large file of the image
 * costs nothing, which is worth more than the time that making files takes: a file in an index
 * has blocks of another filesystem.
 */
static bool shares_blocks(const struct image_builder *b)
{
	_cleanup_close_ int from = openat(b->staging.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	_cleanup_close_ int to = openat(b->staging.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return from >= 0 && to >= 0 && ioctl(to, FICLONE, from) == 0;
}

bool layer_index_wanted(struct image_builder *b, const struct built_layer *layer)
{
	struct masu_error ignored = { 0 };
	if (b->automatic && !b->tried) {
		bool works = b->ops->layer_try && !shares_blocks(b) && try_erofs(b, &ignored) == 0;
		b->format = works ? STORAGE_EROFS : STORAGE_DIRECTORY;
		b->tried = true;
	}
	return b->format == STORAGE_EROFS && !layer->as_directory;
}

bool image_layer_falls_back(const struct image_builder *b, struct built_layer *layer, int r)
{
	layer->as_directory = r == -EOVERFLOW && b->automatic && !layer->as_directory;
	return layer->as_directory;
}

void layer_index_close(struct built_layer *layer)
{
	if (!layer->indexed.open)
		return;
	close(layer->indexed.tar_fd);
	close(layer->indexed.index_fd);
	layer->indexed.open = false;
}

/* By its own first bytes, whatever a manifest calls it. */
static bool is_plain_file(int fd)
{
	uint8_t magic[8];
	struct stat st;
	ssize_t got = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)
			      ? -1
			      : pread(fd, magic, sizeof(magic), 0);
	return got >= 0 && stream_detect(magic, (size_t)got) == STREAM_PLAIN;
}

int layer_index_prepare(struct image_builder *b, int in_fd, struct built_layer *layer,
			struct masu_error *err)
{
	return b->ops->layer_indexed(b->storage, layer->staging, is_plain_file(in_fd) ? in_fd : -1,
				     &layer->indexed, err);
}

/* In a box of its own: the index's writer had read what somebody sent. */
static int check_index(void *data, struct buf *out, struct masu_error *err)
{
	struct erofs_found found;
	return erofs_check(data, &found, err);
}

static int look_at_index(const struct storage_indexed *indexed, struct masu_error *err)
{
	struct stat index, tar;
	_cleanup_buf_ struct buf nothing;
	buf_init(&nothing, 0);
	if (fstat(indexed->index_fd, &index) < 0 || fstat(indexed->tar_fd, &tar) < 0)
		return error_errno(err, -errno, "index of the layer");
	struct erofs_view view = { .len = (size_t)index.st_size, .tar_len = (uint64_t)tar.st_size };
	void *data = mmap(NULL, view.len, PROT_READ, MAP_SHARED, indexed->index_fd, 0);
	if (data == MAP_FAILED)
		return error_errno(err, -errno, "index of the layer");
	view.data = data;
	int r = sandboxed_run(check_index, &view, 1, &nothing, err);
	munmap(data, view.len);
	return r;
}

/* It is sound, the kernel takes it, and it is known by its digest from now on. */
int layer_index_finish(struct image_builder *b, struct built_layer *layer, struct masu_error *err)
{
	if (!layer->indexed.open)
		return 0;
	int r = look_at_index(&layer->indexed, err);
	if (r < 0)
		return r;
	r = b->ops->layer_try(layer->indexed.index_fd, layer->indexed.tar_fd);
	if (r < 0)
		return error_errno(err, r, "layer: its index cannot be mounted");
	r = lseek(layer->indexed.index_fd, 0, SEEK_SET) < 0
		    ? -errno
		    : hasher_file(layer->indexed.index_fd, layer->index_digest);
	return r < 0 ? error_errno(err, r, "index of the layer") : 0;
}
