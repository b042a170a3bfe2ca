#include "tree/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"
#include "tree/maxima.h"

/* Directories whose times are set at the end, when nothing changes in them any more. */
#define DIRECTORIES_MEMORY (48u << 20)
#define COPY_CHUNK	   (1u << 30)
#define TEMPORARY_SIZE	   32

struct directory {
	struct directory *next;
	struct timespec mtime;
	char path[];
};

struct tree_maker {
	struct tree_sink sink; /* first: the functions below cast */
	struct tree_make_options options;
	int root;
	int parent; /* of the last entry; entries of one directory come one after the other */
	char parent_path[LIMIT_PATH + 1];
	const struct tar_entry *entry;
	const char *name;		/* its last component */
	char temporary[TEMPORARY_SIZE]; /* what it is called until it is complete; "": its name */
	int file;			/* the file whose content is coming, or -1 */
	uint64_t written;		/* where its content ends */
	bool no_copy_range;		/* between these two filesystems */
	struct arena arena;
	struct directory *first_directory, *last_directory;
};

static int fail(const struct tar_entry *e, int code, struct masu_error *err)
{
	return error_errno(err, code, "%.300s", *e->path ? e->path : ".");
}

/* A component that is no directory, or not reachable without following a link, is refused. */
static int open_beneath(int dirfd, const char *path, uint64_t flags)
{
	if (!*path)
		path = ".";
	if (fault_without("copy-beneath"))
		return sys_openat2(dirfd, path, flags, 0, 0);
	int r = -EAGAIN; /* a rename raced with the lookup */
	for (int tries = 0; r == -EAGAIN && tries < 128; tries++)
		r = sys_openat2(dirfd, path, flags | O_NOFOLLOW, 0,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	return r;
}

/* Opens @path component for component and makes what is missing. */
static int open_making(struct tree_maker *m, const char *path, int *ret)
{
	_cleanup_close_ int dir = open_beneath(m->root, "", O_PATH | O_DIRECTORY);
	while (dir >= 0 && *path) {
		char name[LIMIT_COMPONENT + 1];
		size_t part = strcspn(path, "/");
		if (part == 0 || part > LIMIT_COMPONENT)
			return -ENAMETOOLONG;
		memcpy(name, path, part);
		name[part] = '\0';
		int next = open_beneath(dir, name, O_PATH | O_DIRECTORY);
		if (next == -ENOENT && mkdirat(dir, name, 0755) == 0) {
			next = open_beneath(dir, name, O_PATH | O_DIRECTORY);
			if (next >= 0 &&
			    fchownat(next, "", m->options.uid, m->options.gid, AT_EMPTY_PATH) < 0)
				return -errno;
		}
		if (next < 0)
			return next;
		close(dir);
		dir = next;
		path += part + (path[part] == '/');
	}
	if (dir < 0)
		return dir;
	*ret = take_fd(&dir);
	return 0;
}

/* Opens the directory that the entry goes into as m->parent. */
static int enter_parent(struct tree_maker *m, const struct tar_entry *e)
{
	const char *slash = strrchr(e->path, '/');
	size_t len = slash ? (size_t)(slash - e->path) : 0;
	m->name = slash ? slash + 1 : e->path;
	if (m->parent >= 0 && strlen(m->parent_path) == len &&
	    memcmp(m->parent_path, e->path, len) == 0)
		return 0;
	cleanup_close(&m->parent);
	memcpy(m->parent_path, e->path, len);
	m->parent_path[len] = '\0';
	int fd = open_beneath(m->root, m->parent_path, O_PATH | O_DIRECTORY);
	if (fd == -ENOENT)
		return open_making(m, m->parent_path, &m->parent);
	if (fd < 0)
		return fd;
	m->parent = fd;
	return 0;
}

/* ---- what an entry looks like ---- */

static bool owner_changes(const struct tree_maker *m, const struct tar_entry *e)
{
	return !m->options.keep_owner && (e->uid != m->options.uid || e->gid != m->options.gid);
}

static bool is_device(const struct tar_entry *e)
{
	return e->type == TAR_CHAR || e->type == TAR_BLOCK_DEVICE;
}

static void owner_of(const struct tree_maker *m, const struct tar_entry *e, uint32_t *ret_uid,
		     uint32_t *ret_gid)
{
	bool own = m->options.keep_owner && !(m->options.from_container && is_device(e));
	*ret_uid = own ? e->uid : m->options.uid;
	*ret_gid = own ? e->gid : m->options.gid;
}

static bool keeps_privileges(const struct tree_maker *m, const struct tar_entry *e)
{
	if (fault_without("copy-privileges") || m->options.keep_owner)
		return true;
	return !m->options.from_container && !owner_changes(m, e);
}

static mode_t mode_of(const struct tree_maker *m, const struct tar_entry *e)
{
	mode_t mode = e->mode & 07777;
	if (e->type != TAR_DIRECTORY && !keeps_privileges(m, e))
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	if (m->options.from_container && is_device(e) && !fault_without("copy-privileges"))
		mode &= 0600;
	return mode;
}

static int set_xattrs(struct tree_maker *m, int fd, const struct tar_entry *e)
{
	for (size_t i = 0; i < e->xattr_count; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		if (!tree_xattr_wanted(x->name) ||
		    (streq(x->name, "security.capability") && !keeps_privileges(m, e)))
			continue;
		/* As docker: a filesystem without them is no reason to fail. */
		if (fsetxattr(fd, x->name, x->value, x->len, 0) < 0 && errno != ENOTSUP)
			return -errno;
	}
	return 0;
}

/* Owner before mode, which chown(2) strips of its set-id bits, and both before capabilities. */
static int set_attributes(struct tree_maker *m, int fd, const struct tar_entry *e)
{
	uint32_t uid, gid;
	owner_of(m, e, &uid, &gid);
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode_of(m, e)) < 0)
		return -errno;
	return set_xattrs(m, fd, e);
}

static struct timespec mtime_of(const struct tar_entry *e)
{
	return (struct timespec) { .tv_sec = e->mtime, .tv_nsec = e->mtime_ns };
}

/* ---- making ---- */

static int make_hardlink(struct tree_maker *m, const struct tar_entry *e, const char *name)
{
	char parent[LIMIT_PATH + 1];
	const char *slash = strrchr(e->link, '/');
	size_t len = slash ? (size_t)(slash - e->link) : 0;
	memcpy(parent, e->link, len);
	parent[len] = '\0';
	_cleanup_close_ int from = open_beneath(m->root, parent, O_PATH | O_DIRECTORY);
	if (from < 0)
		return from;
	return linkat(from, slash ? slash + 1 : e->link, m->parent, name, 0) < 0 ? -errno : 0;
}

static int make(struct tree_maker *m, const struct tar_entry *e, const char *name)
{
	switch (e->type) {
	case TAR_FILE:
		m->file = openat(m->parent, name,
				 O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
		return m->file < 0 ? -errno : 0;
	case TAR_HARDLINK:
		return make_hardlink(m, e, name);
	case TAR_SYMLINK:
		return symlinkat(e->link, m->parent, name) < 0 ? -errno : 0;
	case TAR_DIRECTORY:
		return mkdirat(m->parent, name, 0700) < 0 ? -errno : 0;
	case TAR_FIFO:
		return mknodat(m->parent, name, S_IFIFO | 0600, 0) < 0 ? -errno : 0;
	case TAR_CHAR:
	case TAR_BLOCK_DEVICE:
		return mknodat(m->parent, name, (e->type == TAR_CHAR ? S_IFCHR : S_IFBLK) | 0600,
			       makedev(e->major, e->minor)) < 0
			       ? -errno
			       : 0;
	}
	return -EINVAL;
}

static int refuse(const struct tar_entry *e, const char *what, const char *with,
		  struct masu_error *err)
{
	return error_set(err, -EEXIST, "cannot overwrite %s \"%.300s\" with %s", what, e->path,
			 with);
}

/* The name is taken: by a directory for a directory, or by something that this one replaces. */
static int make_beside(struct tree_maker *m, const struct tar_entry *e, struct masu_error *err)
{
	char id[ID_LENGTH + 1];
	struct stat st;
	if (fstatat(m->parent, m->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, -errno, err);
	if (e->type == TAR_DIRECTORY)
		return S_ISDIR(st.st_mode) ? 0 : refuse(e, "non-directory", "directory", err);
	if (S_ISDIR(st.st_mode))
		return refuse(e, "directory", "non-directory", err);
	if (e->type == TAR_FILE && fault_without("copy-new-file")) {
		m->file = openat(m->parent, m->name, O_WRONLY | O_TRUNC | O_CLOEXEC);
		return m->file < 0 ? fail(e, -errno, err) : 0;
	}
	int r = id_random(id);
	if (r == 0)
		r = str_format(m->temporary, sizeof(m->temporary), ".masu-cp-%.16s", id);
	if (r == 0)
		r = make(m, e, m->temporary);
	return r < 0 ? fail(e, r, err) : 0;
}

static int maker_begin(struct tree_sink *sink, const struct tar_entry *e, struct masu_error *err)
{
	struct tree_maker *m = (struct tree_maker *)sink;
	m->entry = e;
	m->temporary[0] = '\0';
	m->written = 0;
	m->name = "";
	if (!*e->path)
		return e->type == TAR_DIRECTORY ? 0 : fail(e, -ENOTDIR, err);
	int r = enter_parent(m, e);
	if (r == -ELOOP || r == -ENOTDIR)
		return error_set(err, r,
				 "%.300s: lies below a file or a symbolic link, which is not "
				 "followed",
				 e->path);
	if (r < 0)
		return fail(e, r, err);
	r = make(m, e, m->name);
	if (r == -EEXIST)
		return make_beside(m, e, err);
	return r < 0 ? fail(e, r, err) : 0;
}

/* ---- content ---- */

static int maker_data(struct tree_sink *sink, const void *data, size_t len, uint64_t offset,
		      struct masu_error *err)
{
	struct tree_maker *m = (struct tree_maker *)sink;
	size_t done = 0;
	while (done < len) {
		ssize_t written = pwrite(m->file, (const char *)data + done, len - done,
					 (off_t)(offset + done));
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail(m->entry, -errno, err);
		done += (size_t)written;
	}
	m->written = offset + len;
	return 0;
}

/* Within a filesystem the kernel may share blocks; between two it copies as well as any. */
static ssize_t copy_some(struct tree_maker *m, int fd, off_t from, size_t len)
{
	if (!m->no_copy_range) {
		off_t in = from, out = from;
		ssize_t copied = copy_file_range(fd, &in, m->file, &out, len, 0);
		if (copied > 0)
			return copied;
		/* 0: the end, or a filesystem that only says so. */
		if (copied < 0 && errno == EINTR)
			return copied;
		m->no_copy_range = copied < 0;
	}
	if (lseek(m->file, from, SEEK_SET) < 0)
		return -1;
	return sendfile(m->file, fd, &from, len);
}

static int maker_copy(struct tree_sink *sink, int fd, uint64_t offset, uint64_t len,
		      uint64_t *ret_copied, struct masu_error *err)
{
	struct tree_maker *m = (struct tree_maker *)sink;
	uint64_t done = 0;
	while (done < len) {
		size_t want = len - done < COPY_CHUNK ? (size_t)(len - done) : COPY_CHUNK;
		ssize_t copied = copy_some(m, fd, (off_t)(offset + done), want);
		if (copied < 0 && errno == EINTR)
			continue;
		if (copied < 0)
			return fail(m->entry, -errno, err);
		if (copied == 0)
			break;
		done += (uint64_t)copied;
	}
	m->written = offset + done;
	*ret_copied = done;
	return 0;
}

/* ---- completing ---- */

static int end_file(struct tree_maker *m, const struct tar_entry *e)
{
	const struct timespec times[2] = { mtime_of(e), mtime_of(e) };
	int fd = m->file;
	/* A hole at the end is no content. */
	if (m->written < e->size && ftruncate(fd, (off_t)e->size) < 0)
		return -errno;
	int r = set_attributes(m, fd, e);
	if (r == 0 && futimens(fd, times) < 0)
		r = -errno;
	if (r == 0)
		cleanup_close(&m->file);
	return r;
}

static int remember_directory(struct tree_maker *m, const struct tar_entry *e)
{
	size_t len = strlen(e->path) + 1;
	struct directory *d = arena_alloc(&m->arena, sizeof(*d) + len);
	if (!d)
		return -ENOMEM;
	d->mtime = mtime_of(e);
	memcpy(d->path, e->path, len);
	if (m->last_directory)
		m->last_directory->next = d;
	else
		m->first_directory = d;
	m->last_directory = d;
	return 0;
}

static int end_directory(struct tree_maker *m, const struct tar_entry *e)
{
	if (!*e->path && m->options.silent_top)
		return 0;
	_cleanup_close_ int fd =
		open_beneath(*e->path ? m->parent : m->root, m->name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	int r = set_attributes(m, fd, e);
	return r < 0 ? r : remember_directory(m, e);
}

/*
 * What cannot be opened without side effects is changed through an O_PATH descriptor, after a look
 * whether it is still what was made: others may write to the directory.
 */
static int end_node(struct tree_maker *m, const struct tar_entry *e, const char *name)
{
	static const mode_t types[] = { [TAR_SYMLINK] = S_IFLNK,
					[TAR_CHAR] = S_IFCHR,
					[TAR_BLOCK_DEVICE] = S_IFBLK,
					[TAR_FIFO] = S_IFIFO };
	const struct timespec times[2] = { mtime_of(e), mtime_of(e) };
	char path[FS_PROC_FD_MAX];
	struct stat st;
	uint32_t uid, gid;
	_cleanup_close_ int fd = openat(m->parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != types[e->type] || st.st_uid != geteuid())
		return -ESTALE;
	owner_of(m, e, &uid, &gid);
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (e->type == TAR_SYMLINK)
		return utimensat(m->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	fs_proc_fd(fd, path);
	if (fchmodat(AT_FDCWD, path, mode_of(m, e), 0) < 0 ||
	    utimensat(AT_FDCWD, path, times, 0) < 0)
		return -errno;
	return 0;
}

static int take_place(struct tree_maker *m, const struct tar_entry *e)
{
	if (!*m->temporary)
		return 0;
	int r = renameat(m->parent, m->temporary, m->parent, m->name) < 0 ? -errno : 0;
	/* Two names of one file are left as they are by rename(2). */
	if (r < 0 || e->type == TAR_HARDLINK)
		unlinkat(m->parent, m->temporary, 0);
	return r;
}

/* What did not become complete goes. */
static void discard(struct tree_maker *m)
{
	if (m->entry && *m->temporary)
		unlinkat(m->parent, m->temporary, 0);
	else if (m->entry && m->file >= 0)
		unlinkat(m->parent, m->name, 0);
	m->entry = NULL;
	cleanup_close(&m->file);
}

static int maker_end(struct tree_sink *sink, struct masu_error *err)
{
	struct tree_maker *m = (struct tree_maker *)sink;
	const struct tar_entry *e = m->entry;
	int r = 0;
	if (e->type == TAR_FILE)
		r = end_file(m, e);
	else if (e->type == TAR_DIRECTORY)
		r = end_directory(m, e);
	else if (e->type != TAR_HARDLINK)
		r = end_node(m, e, *m->temporary ? m->temporary : m->name);
	if (r == 0)
		r = take_place(m, e);
	if (r == 0)
		m->entry = NULL;
	if (r == -EBUSY)
		return error_set(err, r,
				 "%.300s: is a mount point, which only its mount can change",
				 e->path);
	return r < 0 ? fail(e, r, err) : 0;
}

/* In the order they came, so that the last word on a directory counts. */
static int maker_finish(struct tree_sink *sink, struct masu_error *err)
{
	struct tree_maker *m = (struct tree_maker *)sink;
	for (const struct directory *d = m->first_directory; d; d = d->next) {
		const struct timespec times[2] = { d->mtime, d->mtime };
		_cleanup_close_ int fd = open_beneath(m->root, d->path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0)
			futimens(fd, times);
	}
	m->first_directory = m->last_directory = NULL;
	return 0;
}

int tree_maker_new(int root_fd, const struct tree_make_options *options, struct tree_maker **ret,
		   struct masu_error *err)
{
	struct tree_maker *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(err, -ENOMEM, "out of memory");
	m->sink = (struct tree_sink) {
		.begin = maker_begin,
		.data = maker_data,
		.copy = maker_copy,
		.end = maker_end,
		.finish = maker_finish,
	};
	m->options = *options;
	m->root = root_fd;
	m->parent = m->file = -1;
	arena_init(&m->arena, DIRECTORIES_MEMORY);
	*ret = m;
	return 0;
}

struct tree_sink *tree_maker_sink(struct tree_maker *m)
{
	return &m->sink;
}

void tree_maker_free(struct tree_maker *m)
{
	discard(m);
	cleanup_close(&m->parent);
	arena_free(&m->arena);
	free(m);
}
