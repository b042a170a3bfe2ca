#include "cold/image/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "storage/usage.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* Directories whose times are set at the end, when nothing changes in them any more. */
#define DIRECTORIES_LIMIT (48u << 20)

struct directory {
	struct directory *next;
	struct timespec mtime;
	char path[];
};

struct writer {
	struct frame_channel *channel;
	int root, marks_fd;
	int parent; /* of the last entry; entries of one directory come one after the other */
	char parent_path[LIMIT_PATH + 1];
	bool parent_valid;
	bool replaced;		       /* something went, whose bytes were counted */
	bool onto;		       /* see write_layer() */
	int file;		       /* the file whose content is coming, or -1 */
	struct frame_entry file_entry; /* in file_arena: it outlives its frame */
	struct arena file_arena;
	struct arena directories;
	struct directory *first_directory, *last_directory;
	struct worker_report *report;
	struct masu_error *err;
};

static int fail(struct writer *w, int code, const char *path)
{
	return error_errno(w->err, code, "entry \"%.200s\"", path);
}

/* A component that is no directory, or not reachable without following a link. */
static int open_beneath(int dirfd, const char *path, uint64_t flags)
{
	if (fault_without("image-beneath"))
		return sys_openat2(dirfd, *path ? path : ".", flags, 0, 0);
	return sys_openat2(dirfd, *path ? path : ".", flags | O_NOFOLLOW, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
				   RESOLVE_NO_XDEV);
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int mark(struct writer *w, char what, const char *path)
{
	char text[LIMIT_PATH + 2] = { what };
	size_t len = strlen(path);
	if (w->onto)
		return 0;
	memcpy(text + 1, path, len + 1);
	int r = fs_write_all(w->marks_fd, text, len + 2);
	return r < 0 ? fail(w, r, path) : 0;
}

/*
 * @name in @dirfd becomes a directory: made where it is missing, or where a whiteout of this layer
 * is in the way, which then makes it opaque. @path is for the message and the mark.
 */
static int make_parent(struct writer *w, int dirfd, const char *name, const char *path)
{
	struct stat st;
	bool opaque = false;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		if (S_ISLNK(st.st_mode))
			return error_set(w->err, -ELOOP,
					 "entry below \"%.200s\": that is a symlink, which is not "
					 "followed",
					 path);
		if (!is_whiteout(&st))
			return error_set(w->err, -ENOTDIR,
					 "entry below \"%.200s\": that is not a directory", path);
		if (unlinkat(dirfd, name, 0) < 0)
			return fail(w, -errno, path);
		opaque = true;
	}
	/* The mode again: a directory takes the setgid bit of the one that it is made in. */
	if (mkdirat(dirfd, name, 0755) < 0 ||
	    fchownat(dirfd, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, name, 0755, 0) < 0)
		return fail(w, -errno, path);
	return mark(w, opaque ? MARK_OPAQUE : MARK_IMPLIED, path);
}

/* Opens @path one component at a time, making what is missing. */
static int open_making(struct writer *w, const char *path, int *ret)
{
	char prefix[LIMIT_PATH + 1];
	_cleanup_close_ int dir = open_beneath(w->root, "", O_PATH | O_DIRECTORY);
	if (dir < 0)
		return fail(w, dir, path);
	for (size_t at = 0; path[at];) {
		char name[LIMIT_COMPONENT + 1];
		size_t part = strcspn(path + at, "/");
		if (part == 0 || part > LIMIT_COMPONENT || at + part > LIMIT_PATH)
			return fail(w, -EPROTO, path);
		memcpy(name, path + at, part);
		name[part] = '\0';
		at += part;
		memcpy(prefix, path, at);
		prefix[at] = '\0';
		int r = make_parent(w, dir, name, prefix);
		if (r < 0)
			return r;
		int next = open_beneath(dir, name, O_PATH | O_DIRECTORY);
		if (next < 0)
			return fail(w, next, prefix);
		close(dir);
		dir = next;
		at += path[at] == '/';
	}
	*ret = take_fd(&dir);
	return 0;
}

static int open_directory(struct writer *w, const char *path, int *ret)
{
	int fd = open_beneath(w->root, path, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return open_making(w, path, ret);
	*ret = fd;
	return 0;
}

/* The directory that holds @path, kept open for the next entry; *ret_name is the last component. */
static int enter_parent(struct writer *w, const char *path, int *ret_fd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	const char *name = slash ? slash + 1 : path;
	if (!*name || streq(name, ".") || streq(name, "..") || strlen(name) > LIMIT_COMPONENT)
		return fail(w, -EPROTO, path);
	if (!w->parent_valid || strlen(w->parent_path) != len ||
	    memcmp(w->parent_path, path, len) != 0) {
		char parent[LIMIT_PATH + 1];
		int fd = -1;
		memcpy(parent, path, len);
		parent[len] = '\0';
		int r = open_directory(w, parent, &fd);
		if (r < 0)
			return r;
		cleanup_close(&w->parent);
		w->parent = fd;
		w->parent_valid = true;
		memcpy(w->parent_path, parent, len + 1);
	}
	*ret_fd = w->parent;
	*ret_name = name;
	return 0;
}

/*
 * Something has the name already: it goes. *ret_was_whiteout says whether it was this layer's
 * whiteout, so that a directory in its place hides what is below.
 */
static int clear_name(struct writer *w, int dirfd, const char *name, const char *path,
		      bool *ret_was_whiteout)
{
	struct stat st;
	*ret_was_whiteout = false;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(w, -errno, path);
	*ret_was_whiteout = is_whiteout(&st);
	w->replaced |= S_ISDIR(st.st_mode) || S_ISREG(st.st_mode);
	int r = 0;
	if (S_ISDIR(st.st_mode)) {
		r = fs_remove_tree(dirfd, name);
		w->parent_valid = false; /* it may have been below */
	} else if (unlinkat(dirfd, name, 0) < 0) {
		r = -errno;
	}
	return r < 0 ? fail(w, r, path) : 0;
}

static int set_xattrs(struct writer *w, int fd, const struct frame_entry *e)
{
	for (size_t i = 0; i < e->xattr_count; i++) {
		const struct frame_xattr *x = &e->xattrs[i];
		if (fsetxattr(fd, x->name, x->value, x->len, 0) == 0)
			continue;
		/* As docker: a filesystem without user attributes is no reason to fail. */
		if (errno == ENOTSUP && str_after(x->name, "user."))
			continue;
		return error_errno(w->err, -errno, "entry \"%.200s\": extended attribute %.100s",
				   e->path, x->name);
	}
	return 0;
}

/* Owner before mode, which chown(2) strips of its setuid bit, and both before capabilities. */
static int set_attributes(struct writer *w, int fd, const struct frame_entry *e)
{
	if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode) < 0)
		return fail(w, -errno, e->path);
	return set_xattrs(w, fd, e);
}

static void entry_times(const struct frame_entry *e, struct timespec ret[2])
{
	ret[0] = ret[1] = (struct timespec) { .tv_sec = e->mtime, .tv_nsec = e->mtime_ns };
}

static int finish_file(struct writer *w)
{
	struct timespec times[2];
	if (w->file < 0)
		return 0;
	_cleanup_close_ int fd = take_fd(&w->file);
	struct frame_entry *e = &w->file_entry;
	struct stat st;
	/* A hole at the end is no content. */
	if (fstat(fd, &st) < 0 ||
	    ((uint64_t)st.st_size < e->size && ftruncate(fd, (off_t)e->size) < 0))
		return fail(w, -errno, e->path);
	int r = set_attributes(w, fd, e);
	if (r < 0)
		return r;
	entry_times(e, times);
	if (futimens(fd, times) < 0)
		return fail(w, -errno, e->path);
	w->report->bytes += e->size;
	return 0;
}

static int write_content(struct writer *w, const struct frame_data *d)
{
	size_t done = 0;
	if (w->file < 0 || d->offset > w->file_entry.size ||
	    d->len > w->file_entry.size - d->offset)
		return error_set(w->err, -EPROTO, "content that belongs to no file");
	while (done < d->len) {
		ssize_t written =
			pwrite(w->file, d->data + done, d->len - done, (off_t)(d->offset + done));
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail(w, -errno, w->file_entry.path);
		done += (size_t)written;
	}
	return 0;
}

/* The attributes of a file are set after its content, so they are kept until then. */
static int keep_entry(struct writer *w, const struct frame_entry *e)
{
	arena_reset(&w->file_arena);
	w->file_entry = *e;
	w->file_entry.path = arena_strdup(&w->file_arena, e->path);
	w->file_entry.xattrs = arena_array(&w->file_arena, struct frame_xattr, e->xattr_count + 1);
	if (!w->file_entry.path || !w->file_entry.xattrs)
		return -ENOMEM;
	for (size_t i = 0; i < e->xattr_count; i++) {
		const struct frame_xattr *x = &e->xattrs[i];
		struct frame_xattr *copy = &w->file_entry.xattrs[i];
		copy->name = arena_strdup(&w->file_arena, x->name);
		copy->value = arena_strndup(&w->file_arena, x->value, x->len);
		copy->len = x->len;
		if (!copy->name || !copy->value)
			return -ENOMEM;
	}
	return 0;
}

static int make_file(struct writer *w, const struct frame_entry *e, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	w->file = fd;
	return keep_entry(w, e);
}

static int make_hardlink(struct writer *w, const struct frame_entry *e, int dirfd, const char *name)
{
	const char *slash = strrchr(e->link, '/');
	size_t len = slash ? (size_t)(slash - e->link) : 0;
	const char *target = slash ? slash + 1 : e->link;
	char parent[LIMIT_PATH + 1];
	memcpy(parent, e->link, len);
	parent[len] = '\0';
	if (!*target || streq(target, ".") || streq(target, ".."))
		return -EPROTO;
	_cleanup_close_ int from = open_beneath(w->root, parent, O_PATH | O_DIRECTORY);
	if (from < 0)
		return from;
	return linkat(from, target, dirfd, name, 0) < 0 ? -errno : 0;
}

static int make_node(const struct frame_entry *e, int dirfd, const char *name)
{
	static const mode_t types[] = {
		[FRAME_CHAR] = S_IFCHR, [FRAME_BLOCK] = S_IFBLK, [FRAME_FIFO] = S_IFIFO
	};
	dev_t device = e->kind == FRAME_FIFO ? 0 : makedev(e->major, e->minor);
	return mknodat(dirfd, name, types[e->kind] | 0600, device) < 0 ? -errno : 0;
}

static int make(struct writer *w, const struct frame_entry *e, int dirfd, const char *name)
{
	switch (e->kind) {
	case FRAME_FILE:
		return make_file(w, e, dirfd, name);
	case FRAME_HARDLINK:
		return make_hardlink(w, e, dirfd, name);
	case FRAME_SYMLINK:
		return symlinkat(e->link, dirfd, name) < 0 ? -errno : 0;
	case FRAME_DIRECTORY:
		return mkdirat(dirfd, name, 0700) < 0 ? -errno : 0;
	default:
		return make_node(e, dirfd, name);
	}
}

/* A hard link to the very name it would replace: the same file. */
static bool links_to_itself(const struct frame_entry *e)
{
	return e->kind == FRAME_HARDLINK && streq(e->path, e->link);
}

static int make_or_replace(struct writer *w, const struct frame_entry *e, int dirfd,
			   const char *name)
{
	bool was_whiteout = false;
	struct stat st;
	int r = make(w, e, dirfd, name);
	if (r != -EEXIST)
		return r < 0 ? fail(w, r, e->path) : 0;
	if (links_to_itself(e))
		return 0;
	if (e->kind == FRAME_DIRECTORY && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode))
		return mark(w, MARK_EXPLICIT, e->path);
	r = clear_name(w, dirfd, name, e->path, &was_whiteout);
	if (r < 0)
		return r;
	r = make(w, e, dirfd, name);
	if (r < 0)
		return fail(w, r, e->path);
	return was_whiteout && e->kind == FRAME_DIRECTORY ? mark(w, MARK_OPAQUE, e->path) : 0;
}

static int remember_directory(struct writer *w, const struct frame_entry *e)
{
	size_t len = strlen(e->path) + 1;
	struct directory *d = arena_alloc(&w->directories, sizeof(*d) + len);
	if (!d)
		return error_set(w->err, -E2BIG, "too many directories; that is refused");
	d->mtime = (struct timespec) { .tv_sec = e->mtime, .tv_nsec = e->mtime_ns };
	memcpy(d->path, e->path, len);
	if (w->last_directory)
		w->last_directory->next = d;
	else
		w->first_directory = d;
	w->last_directory = d;
	return 0;
}

static int finish_directory(struct writer *w, const struct frame_entry *e, int dirfd,
			    const char *name)
{
	_cleanup_close_ int fd = open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fail(w, fd, e->path);
	int r = set_attributes(w, fd, e);
	return r < 0 ? r : remember_directory(w, e);
}

/* What cannot be opened without side effects gets its attributes by name; it was just made. */
static int finish_node(struct writer *w, const struct frame_entry *e, int dirfd, const char *name)
{
	struct timespec times[2];
	entry_times(e, times);
	if (fchownat(dirfd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (e->kind != FRAME_SYMLINK && fchmodat(dirfd, name, e->mode, 0) < 0) ||
	    utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(w, -errno, e->path);
	return 0;
}

static int apply_whiteout(struct writer *w, const struct frame_entry *e, int dirfd,
			  const char *name)
{
	struct stat st;
	bool was_whiteout;
	if (w->onto)
		return clear_name(w, dirfd, name, e->path, &was_whiteout);
	if (mknodat(dirfd, name, S_IFCHR | 0600, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(w, -errno, e->path);
	/* What this layer itself has under the name stays and hides the rest as it is. */
	return S_ISDIR(st.st_mode) ? mark(w, MARK_OPAQUE, e->path) : 0;
}

static int clear_directory(struct writer *w, int fd, const char *path)
{
	struct dirent *entry;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fd, ".");
	int r = dir ? 0 : -errno;
	w->parent_valid = false; /* it may be below */
	while (r == 0 && (entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = fs_remove_tree(dirfd(dir), entry->d_name);
	return r < 0 ? fail(w, r, path) : 0;
}

static int apply_opaque(struct writer *w, const struct frame_entry *e)
{
	_cleanup_close_ int fd = -1;
	int r = open_directory(w, e->path, &fd);
	if (r == 0 && w->onto)
		return clear_directory(w, fd, e->path);
	return r < 0 ? r : mark(w, MARK_OPAQUE, e->path);
}

static int apply_entry(struct writer *w, const struct frame_entry *e)
{
	int dirfd = -1;
	const char *name = "";
	int r = finish_file(w);
	if (r < 0)
		return r;
	if (++w->report->entries > LIMIT_ENTRIES)
		return error_set(w->err, -E2BIG, "more than %u entries", LIMIT_ENTRIES);
	if (e->kind == FRAME_OPAQUE)
		return apply_opaque(w, e);
	if (!*e->path) {
		if (e->kind != FRAME_DIRECTORY)
			return fail(w, -EPROTO, "/");
		r = mark(w, MARK_EXPLICIT, "");
		return r < 0 ? r : finish_directory(w, e, w->root, "");
	}
	r = enter_parent(w, e->path, &dirfd, &name);
	if (r < 0)
		return r;
	if (e->kind == FRAME_WHITEOUT)
		return apply_whiteout(w, e, dirfd, name);
	r = make_or_replace(w, e, dirfd, name);
	if (r < 0 || e->kind == FRAME_FILE || e->kind == FRAME_HARDLINK)
		return r;
	return e->kind == FRAME_DIRECTORY ? finish_directory(w, e, dirfd, name)
					  : finish_node(w, e, dirfd, name);
}

/* In the archive's order, so that the last word on a directory counts; what became of one that was
 * replaced is none of it. */
static void set_directory_times(struct writer *w)
{
	for (const struct directory *d = w->first_directory; d; d = d->next) {
		struct timespec times[2] = { d->mtime, d->mtime };
		_cleanup_close_ int fd = open_beneath(w->root, d->path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0)
			futimens(fd, times);
	}
}

/* What is left of it, where names came again. */
static int count_bytes(struct writer *w)
{
	uint64_t inodes;
	if (!w->replaced || w->onto)
		return 0;
	int r = storage_usage(w->root, ".", &w->report->bytes, &inodes);
	return r < 0 ? fail(w, r, "/") : 0;
}

static int receive_all(struct writer *w)
{
	for (;;) {
		enum frame_type type;
		struct frame_entry entry;
		struct frame_data data;
		int r = frame_receive(w->channel, &type, &entry, &data);
		if (r < 0)
			return error_errno(w->err, r, "frames of the decoder");
		if (type == FRAME_ENTRY)
			r = apply_entry(w, &entry);
		else if (type == FRAME_DATA)
			r = write_content(w, &data);
		else if (type == FRAME_DONE)
			return finish_file(w);
		else
			return error_set(w->err, -EPROTO, "frames of the decoder: for an index");
		if (r < 0)
			return r;
	}
}

int write_layer(int in, int root, int marks_fd, bool onto, struct worker_report *report,
		struct masu_error *err)
{
	struct writer w = { .root = root,
			    .marks_fd = marks_fd,
			    .onto = onto,
			    .parent = -1,
			    .file = -1,
			    .report = report,
			    .err = err };
	int r = frame_channel_new(in, &w.channel);
	if (r < 0)
		return error_set(err, r, "out of memory");
	arena_init(&w.directories, DIRECTORIES_LIMIT);
	arena_init(&w.file_arena, 4u << 20);
	umask(0);
	r = receive_all(&w);
	if (r == 0)
		r = count_bytes(&w);
	if (r == 0)
		set_directory_times(&w);
	cleanup_close(&w.file);
	cleanup_close(&w.parent);
	arena_free(&w.directories);
	arena_free(&w.file_arena);
	frame_channel_free(w.channel);
	return r;
}
