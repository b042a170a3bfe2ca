/*
 * Everything is first opened with O_PATH, which has no side effects whatever it is, and only then
 * looked at: what was looked at is what is read. A file is opened for reading through
 * /proc/self/fd, so that its name, which may lead to something else by now, is not used again.
 */
#include "tree/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "sys/fs.h"
#include "tree/links.h"
#include "tree/maxima.h"

#define ENTRY_MEMORY   (4u << 20) /* attributes and map of one entry */
#define PSEUDO_FILE    (16u << 20)
#define BUFFER_SIZE    (256u << 10)
#define XATTR_LIST_MAX 65536
#define HOLE_MIN       4096	    /* bytes of a file that may have one */
#define NAMES_MEMORY   (512u << 20) /* of one directory */

struct walk {
	const struct tree_walk_options *options;
	struct tree_sink *sink;
	struct masu_error *err;
	struct tree_links *links;
	struct arena arena; /* of the current entry */
	char *buffer;	    /* BUFFER_SIZE, where the sink does not copy by itself */
	unsigned depth;
	size_t len;
	char path[LIMIT_PATH + 1];
};

static int fail(struct walk *w, int code)
{
	return error_errno(w->err, code, "%.300s", *w->path ? w->path : ".");
}

/* Filesystems whose files are questions to the kernel: some never end, some change it. */
static bool is_pseudo(int fd)
{
	static const uint32_t magics[] = {
		PROC_SUPER_MAGIC,
		SYSFS_MAGIC,
		CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,
		TRACEFS_MAGIC,
		SECURITYFS_MAGIC,
		BPF_FS_MAGIC,
		PSTOREFS_MAGIC,
		EFIVARFS_MAGIC,
		SELINUX_MAGIC,
		DEVPTS_SUPER_MAGIC,
		NSFS_MAGIC,
		BINFMTFS_MAGIC,
		0x62656570 /* configfs */,
		0x65735543 /* fusectl */,
		0x19800202 /* mqueue */,
		0x67596969 /* rpc_pipefs */,
	};
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if ((uint32_t)fs.f_type == magics[i])
			return true;
	return false;
}

static int reopen(int fd)
{
	char path[FS_PROC_FD_MAX];
	int flags = O_RDONLY | O_NOCTTY | O_CLOEXEC;
	if (!fault_without("copy-regular"))
		flags |= O_NONBLOCK;
	int file = open(fs_proc_fd(fd, path), flags);
	return file < 0 ? -errno : file;
}

/* ---- attributes ---- */

static int read_xattr(struct walk *w, int fd, const char *name, struct tar_entry *e)
{
	ssize_t size = fgetxattr(fd, name, NULL, 0);
	if (size < 0)
		return errno == ENODATA || errno == ENOTSUP ? 0 : -errno;
	char *value = arena_alloc(&w->arena, (size_t)size + 1);
	if (!value || e->xattr_count == TAR_MAX_XATTRS)
		return -E2BIG;
	size = fgetxattr(fd, name, value, (size_t)size);
	if (size < 0) /* changed under us: as if it were not there */
		return 0;
	e->xattrs[e->xattr_count++] =
		(struct tar_xattr) { .name = name, .value = value, .len = (size_t)size };
	return 0;
}

static bool is_refused(const struct walk *w, const char *name)
{
	const struct tree_walk_hooks *hooks = w->options->hooks;
	for (const char *const *p = hooks ? hooks->refused_xattrs : NULL; p && *p; p++)
		if (streq(name, *p))
			return true;
	return false;
}

/* -errno, with its message. */
static int read_xattrs(struct walk *w, int fd, struct tar_entry *e)
{
	ssize_t len = flistxattr(fd, NULL, 0);
	if (len == 0 || (len < 0 && (errno == ENOTSUP || errno == EPERM)))
		return 0;
	if (len < 0 || len > XATTR_LIST_MAX)
		return fail(w, len < 0 ? -errno : -E2BIG);
	char *names = arena_alloc(&w->arena, (size_t)len + 1);
	e->xattrs = arena_array(&w->arena, struct tar_xattr, TAR_MAX_XATTRS);
	if (!names || !e->xattrs)
		return fail(w, -ENOMEM);
	len = flistxattr(fd, names, (size_t)len);
	int r = 0;
	for (const char *name = names; r == 0 && name < names + len; name += strlen(name) + 1) {
		if (is_refused(w, name))
			return error_set(w->err, -ENOTSUP,
					 "%.300s: its attribute %s means something that is not "
					 "understood here",
					 *w->path ? w->path : ".", name);
		if (tree_xattr_wanted(name))
			r = read_xattr(w, fd, name, e);
	}
	return r < 0 ? fail(w, r) : 0;
}

/* ---- content ---- */

/* *ret_copied less than @len: the file is shorter by now. */
static int pass(struct walk *w, int fd, uint64_t offset, uint64_t len, uint64_t *ret_copied)
{
	if (w->sink->copy)
		return w->sink->copy(w->sink, fd, offset, len, ret_copied, w->err);
	uint64_t done = 0;
	if (!w->buffer && !(w->buffer = malloc(BUFFER_SIZE)))
		return fail(w, -ENOMEM);
	while (done < len) {
		size_t want = len - done < BUFFER_SIZE ? (size_t)(len - done) : BUFFER_SIZE;
		ssize_t got = pread(fd, w->buffer, want, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(w, -errno);
		if (got == 0)
			break;
		int r = w->sink->data(w->sink, w->buffer, (size_t)got, offset + done, w->err);
		if (r < 0)
			return r;
		done += (uint64_t)got;
	}
	*ret_copied = done;
	return 0;
}

/* The next piece of data at or behind *at, before @size. False: only a hole follows. */
static bool next_region(int fd, uint64_t at, uint64_t size, struct tar_region *ret)
{
	off_t from = lseek(fd, (off_t)at, SEEK_DATA);
	if (from < 0 && errno == ENXIO)
		return false;
	off_t to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);
	/* A filesystem that cannot tell has data everywhere. */
	if (from < 0 || to < 0)
		*ret = (struct tar_region) { at, size - at };
	else
		*ret = (struct tar_region) { (uint64_t)from, (uint64_t)(to - from) };
	if (ret->offset >= size)
		return false;
	if (ret->len > size - ret->offset)
		ret->len = size - ret->offset;
	return true;
}

static int map_regions(struct walk *w, int fd, struct tar_entry *e)
{
	struct tar_region region;
	size_t capacity = 0, count = 0;
	struct tar_region *regions = NULL;
	for (uint64_t at = 0; at < e->size && next_region(fd, at, e->size, &region);
	     at = region.offset + region.len) {
		if (count == TAR_MAX_SPARSE)
			return error_set(w->err, -E2BIG,
					 "%.300s: more than %d holes, which no tar reader takes",
					 w->path, TAR_MAX_SPARSE);
		if (count == capacity) {
			size_t grown = capacity ? capacity * 2 : 64;
			struct tar_region *more = arena_array(&w->arena, struct tar_region, grown);
			if (!more)
				return fail(w, -ENOMEM);
			if (count)
				memcpy(more, regions, count * sizeof(*regions));
			regions = more;
			capacity = grown;
		}
		regions[count++] = region;
	}
	e->regions = regions ? regions : arena_array(&w->arena, struct tar_region, 1);
	e->region_count = count;
	return e->regions ? 0 : fail(w, -ENOMEM);
}

static int pass_sparse(struct walk *w, int fd, const struct tar_entry *e)
{
	struct tar_region region;
	uint64_t copied = 0;
	for (size_t i = 0; i < e->region_count; i++) {
		region = e->regions[i];
		int r = pass(w, fd, region.offset, region.len, &copied);
		if (r < 0 || copied < region.len)
			return r;
	}
	if (e->regions)
		return 0;
	for (uint64_t at = 0; at < e->size && next_region(fd, at, e->size, &region);
	     at = region.offset + region.len) {
		int r = pass(w, fd, region.offset, region.len, &copied);
		if (r < 0 || copied < region.len)
			return r;
	}
	return 0;
}

/* ---- kinds ---- */

static int plain_entry(struct walk *w, struct tar_entry *e)
{
	int r = tree_begin(w->sink, e, w->err);
	return r < 0 ? r : w->sink->end(w->sink, w->err);
}

/* The kernel's answer to a question has no size before it was given. */
static int walk_pseudo_file(struct walk *w, int fd, struct tar_entry *e)
{
	_cleanup_buf_ struct buf text;
	char path[FS_PROC_FD_MAX];
	buf_init(&text, PSEUDO_FILE + 65536);
	int r = fs_read_at(AT_FDCWD, fs_proc_fd(fd, path), PSEUDO_FILE, &text);
	if (r == -EFBIG)
		return error_set(w->err, r, "%.300s: has no end, or one after 16 MiB", w->path);
	if (r < 0)
		return fail(w, r);
	e->size = text.len;
	r = tree_begin(w->sink, e, w->err);
	if (r == 0 && text.len)
		r = w->sink->data(w->sink, text.data, text.len, 0, w->err);
	return r < 0 ? r : w->sink->end(w->sink, w->err);
}

/* A layer that is kept as its tar counts the blocks of holes, but knows where they are. */
static bool has_holes(int fd, const struct stat *st)
{
	if ((uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size)
		return true;
	off_t hole = st->st_size < HOLE_MIN ? -1 : lseek(fd, 0, SEEK_HOLE);
	return hole >= 0 && hole < st->st_size;
}

static int walk_file(struct walk *w, int fd, const struct stat *st, bool pseudo,
		     struct tar_entry *e)
{
	uint64_t copied = 0;
	_cleanup_close_ int file = reopen(fd);
	if (file < 0)
		return fail(w, file);
	e->type = TAR_FILE;
	if (pseudo)
		return walk_pseudo_file(w, file, e);
	e->size = (uint64_t)st->st_size;
	int r = read_xattrs(w, file, e);
	if (r < 0)
		return r;
	bool sparse = has_holes(file, st);
	if (sparse && w->sink->wants_regions)
		r = map_regions(w, file, e);
	if (r == 0)
		r = tree_begin(w->sink, e, w->err);
	if (r == 0)
		r = sparse    ? pass_sparse(w, file, e)
		    : e->size ? pass(w, file, 0, e->size, &copied)
			      : 0;
	return r < 0 ? r : w->sink->end(w->sink, w->err);
}

static int walk_symlink(struct walk *w, int fd, struct tar_entry *e)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(fd, "", target, sizeof(target) - 1);
	if (len < 0)
		return fail(w, -errno);
	target[len] = '\0';
	e->type = TAR_SYMLINK;
	e->link = target;
	return plain_entry(w, e);
}

static int walk_object(struct walk *w, int *fd, const struct stat *parent, bool pseudo);

static int walk_child(struct walk *w, int dir, const char *name, const struct stat *st, bool pseudo)
{
	size_t before = w->len, len = strlen(name);
	int flags = O_PATH | O_CLOEXEC | (fault_without("copy-nofollow") ? 0 : O_NOFOLLOW);
	_cleanup_close_ int fd = openat(dir, name, flags);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(w, -errno);
	if (before + 1 + len > LIMIT_PATH)
		return fail(w, -ENAMETOOLONG);
	if (before)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, len + 1);
	w->len += len;
	int r = walk_object(w, &fd, st, pseudo);
	if (r == 0) { /* after a failure the path is the message's */
		w->len = before;
		w->path[before] = '\0';
	}
	return r;
}

static int walk_any_order(struct walk *w, DIR *dir, const struct stat *st, bool pseudo)
{
	struct dirent *entry;
	int r = 0;
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = walk_child(w, dirfd(dir), entry->d_name, st, pseudo);
	return r == 0 && errno ? fail(w, -errno) : r;
}

static int walk_sorted(struct walk *w, int dir, const struct stat *st, bool pseudo)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	size_t count;
	arena_init(&arena, NAMES_MEMORY);
	int r = fs_names(dir, &arena, &names, &count);
	if (r < 0)
		return fail(w, r);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = walk_child(w, dir, names[i], st, pseudo);
	return r;
}

/* Closes *fd: the way down needs one open file a level. */
static int walk_directory(struct walk *w, int *fd, const struct stat *st, bool pseudo,
			  struct tar_entry *e)
{
	int listing = openat(*fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listing < 0)
		return fail(w, -errno);
	cleanup_close(fd);
	_cleanup_closedir_ DIR *dir = fdopendir(listing);
	if (!dir) {
		close(listing);
		return fail(w, -ENOMEM);
	}
	e->type = TAR_DIRECTORY;
	int r = read_xattrs(w, listing, e);
	if (r < 0)
		return r;
	bool is_top = w->depth == 0;
	bool told = !is_top || !w->options->without_top;
	if (told)
		r = plain_entry(w, e);
	if (r == 0 && told && w->options->hooks)
		r = w->options->hooks->entered(w->options->hooks->data, listing, e, w->err);
	if (r < 0 || pseudo)
		return r;
	if (w->depth == LIMIT_DEPTH)
		return error_set(w->err, -ELOOP, "%.300s: more than %u directories deep", w->path,
				 LIMIT_DEPTH);
	w->depth++;
	r = w->options->sorted ? walk_sorted(w, listing, st, pseudo)
			       : walk_any_order(w, dir, st, pseudo);
	w->depth--;
	return r;
}

/* @parent: the directory it is in, NULL for the top; @pseudo: what is_pseudo() says of that. */
static int walk_object(struct walk *w, int *fd, const struct stat *parent, bool pseudo)
{
	struct stat st;
	const struct tree_walk_hooks *hooks = w->options->hooks;
	int r = hooks && hooks->replace && parent ? hooks->replace(hooks->data, w->path, fd, w->err)
						  : 0;
	if (r < 0)
		return r;
	if (fstat(*fd, &st) < 0)
		return fail(w, -errno);
	arena_reset(&w->arena);
	struct tar_entry e = {
		.path = w->path,
		.link = "",
		.mode = st.st_mode & 07777,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.mtime = st.st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
	};
	if (!parent || st.st_dev != parent->st_dev)
		pseudo = is_pseudo(*fd);
	enum tree_choice choice = TREE_TELL;
	if (hooks && parent) {
		r = hooks->choose(hooks->data, *fd, &st, &e, &choice, w->err);
		if (r < 0 || choice == TREE_LEAVE_OUT)
			return r;
	}
	if (choice == TREE_TELL_ONLY)
		return plain_entry(w, &e);
	if (S_ISDIR(st.st_mode))
		return walk_directory(w, fd, &st, pseudo, &e);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (st.st_nlink > 1 && (e.link = tree_links_find(w->links, &st))) {
		e.type = TAR_HARDLINK;
		return plain_entry(w, &e);
	}
	e.link = "";
	if (S_ISREG(st.st_mode) || fault_without("copy-regular")) {
		r = walk_file(w, *fd, &st, pseudo, &e);
	} else if (S_ISLNK(st.st_mode)) {
		r = walk_symlink(w, *fd, &e);
	} else {
		e.type = S_ISCHR(st.st_mode)   ? TAR_CHAR
			 : S_ISBLK(st.st_mode) ? TAR_BLOCK_DEVICE
					       : TAR_FIFO;
		e.major = major(st.st_rdev);
		e.minor = minor(st.st_rdev);
		r = plain_entry(w, &e);
	}
	if (r == 0 && st.st_nlink > 1 && tree_links_add(w->links, &st, w->path) < 0)
		r = fail(w, -ENOMEM);
	return r;
}

int tree_scan(int fd, const struct tree_walk_options *options, struct tree_sink *sink,
	      struct masu_error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	if (!w || tree_links_new(&w->links) < 0) {
		free(w);
		return error_set(err, -ENOMEM, "out of memory");
	}
	w->options = options;
	w->sink = sink;
	w->err = err;
	arena_init(&w->arena, ENTRY_MEMORY);
	w->len = strlen(options->name);
	_cleanup_close_ int top = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int r = top < 0			   ? error_errno(err, -errno, "%.300s", options->name)
		: w->len > LIMIT_COMPONENT ? error_set(err, -ENAMETOOLONG, "%.300s", options->name)
					   : 0;
	if (r == 0) {
		memcpy(w->path, options->name, w->len + 1);
		r = walk_object(w, &top, NULL, false);
	}
	if (r == 0)
		r = sink->finish(sink, err);
	tree_links_free(w->links);
	arena_free(&w->arena);
	free(w->buffer);
	free(w);
	return r;
}
