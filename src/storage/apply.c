#include "storage/apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/exporter.h"
#include "sys/fs.h"
#include "sys/syscalls.h"
#include "tree/make.h"

#define XATTR_NAMES_MAX 65536

struct tree_applier {
	struct tree_sink sink; /* first: the functions below cast */
	struct tree_maker *maker;
	int root;
	int parent; /* of the last entry; entries of one directory come one after the other */
	char parent_path[LIMIT_PATH + 1];
	bool mark; /* the entry is a whiteout */
};

static int open_beneath(int dir, const char *path, uint64_t flags)
{
	return sys_openat2(dir, *path ? path : ".", flags | O_NOFOLLOW, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* The directory that the entry is in as a->parent; -ENOENT where there is none yet. */
static int enter_parent(struct tree_applier *a, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	*ret_name = slash ? slash + 1 : path;
	if (a->parent >= 0 && strlen(a->parent_path) == len &&
	    memcmp(a->parent_path, path, len) == 0)
		return 0;
	if (len > LIMIT_PATH)
		return -ENAMETOOLONG;
	cleanup_close(&a->parent);
	memcpy(a->parent_path, path, len);
	a->parent_path[len] = '\0';
	int fd = open_beneath(a->root, a->parent_path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	a->parent = fd;
	return 0;
}

/* Whoever has a->parent open below what goes would go on in a directory that has no name. */
static int remove_below(struct tree_applier *a, int dir, const char *name)
{
	int r = fs_remove_tree(dir, name);
	if (dir != a->parent)
		cleanup_close(&a->parent);
	return r;
}

int tree_empty_directory(int fd)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fd, ".");
	struct dirent *entry;
	int r = dir ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = fs_remove_tree(fd, entry->d_name);
	return r;
}

static int apply_mark(struct tree_applier *a, const char *path, const char *name)
{
	/* What is not there need not be hidden. */
	if (a->parent < 0)
		return 0;
	if (streq(name, WHITEOUT_OPAQUE))
		return tree_empty_directory(a->parent);
	name += strlen(WHITEOUT);
	if (!*name || streq(name, ".") || streq(name, ".."))
		return -EINVAL;
	return remove_below(a, a->parent, name);
}

/* A directory that is there takes all its attributes from the layer's. */
static int forget_xattrs(int dir, const char *name)
{
	char names[XATTR_NAMES_MAX];
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : flistxattr(fd, names, sizeof(names));
	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *at = names; at < names + len; at += strlen(at) + 1)
		if (tree_xattr_wanted(at) && fremovexattr(fd, at) < 0 && errno != ENODATA)
			return -errno;
	return 0;
}

/* A name that leads to another kind of thing is freed. */
static int make_way(struct tree_applier *a, const struct tar_entry *e, const char *name)
{
	struct stat st;
	bool directory = e->type == TAR_DIRECTORY;
	if (a->parent < 0 || fstatat(a->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return a->parent < 0 || errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode) != directory)
		return fs_remove_tree(a->parent, name);
	return directory ? forget_xattrs(a->parent, name) : 0;
}

static int begin(struct tree_sink *sink, const struct tar_entry *e, struct masu_error *err)
{
	struct tree_applier *a = (struct tree_applier *)sink;
	const char *name;
	a->mark = false;
	if (*e->path) {
		int r = enter_parent(a, e->path, &name);
		a->mark = str_after(name, WHITEOUT) != NULL;
		if (r == 0 || r == -ENOENT)
			r = a->mark ? apply_mark(a, e->path, name) : make_way(a, e, name);
		if (r < 0)
			return error_errno(err, r, "%.300s", e->path);
	}
	struct tree_sink *maker = tree_maker_sink(a->maker);
	return a->mark ? 0 : maker->begin(maker, e, err);
}

static int data(struct tree_sink *sink, const void *bytes, size_t len, uint64_t offset,
		struct masu_error *err)
{
	struct tree_applier *a = (struct tree_applier *)sink;
	struct tree_sink *maker = tree_maker_sink(a->maker);
	return a->mark ? 0 : maker->data(maker, bytes, len, offset, err);
}

static int copy(struct tree_sink *sink, int fd, uint64_t offset, uint64_t len, uint64_t *ret_copied,
		struct masu_error *err)
{
	struct tree_applier *a = (struct tree_applier *)sink;
	struct tree_sink *maker = tree_maker_sink(a->maker);
	if (!a->mark)
		return maker->copy(maker, fd, offset, len, ret_copied, err);
	*ret_copied = len;
	return 0;
}

static int end(struct tree_sink *sink, struct masu_error *err)
{
	struct tree_applier *a = (struct tree_applier *)sink;
	struct tree_sink *maker = tree_maker_sink(a->maker);
	return a->mark ? 0 : maker->end(maker, err);
}

static int finish(struct tree_sink *sink, struct masu_error *err)
{
	struct tree_sink *maker = tree_maker_sink(((struct tree_applier *)sink)->maker);
	return maker->finish(maker, err);
}

int tree_applier_new(int root_fd, struct tree_applier **ret, struct masu_error *err)
{
	const struct tree_make_options options = { .keep_owner = true };
	struct tree_applier *a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(err, -ENOMEM, "out of memory");
	a->sink = (struct tree_sink) {
		.begin = begin, .data = data, .copy = copy, .end = end, .finish = finish
	};
	a->root = root_fd;
	a->parent = -1;
	int r = tree_maker_new(root_fd, &options, &a->maker, err);
	if (r < 0) {
		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

struct tree_sink *tree_applier_sink(struct tree_applier *a)
{
	return &a->sink;
}

void tree_applier_free(struct tree_applier *a)
{
	tree_maker_free(a->maker);
	cleanup_close(&a->parent);
	free(a);
}
