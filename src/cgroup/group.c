/* A group's directories: made, emptied, removed, given to an owner. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define GROUP_MAX_DEPTH 256
#define CPUSET_MAX	4096

/* Makes the missing components of tree->path, counting in depth_made those this call made. */
static int make_path(struct cgroup_tree *tree)
{
	char prefix[PATH_MAX];
	const char *path = tree->path + 1;
	size_t len = strlen(path);
	/* The usual case: all but the last component exist. */
	if (mkdirat(tree->mount_fd, path, 0755) == 0) {
		tree->depth_made = 1;
		return 0;
	}
	if (errno != ENOENT)
		return -errno;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(prefix, path, i);
		prefix[i] = '\0';
		if (mkdirat(tree->mount_fd, prefix, 0755) == 0) {
			tree->depth_made++;
			/* Groups below inherit cpuset.cpus and .mems without a write each. */
			if (!tree->v2 && i < len && tree->controllers & CTL_BIT(CTL_CPUSET) &&
			    str_format(prefix + i, sizeof(prefix) - i, "/cgroup.clone_children") ==
				    0)
				fs_write_at(tree->mount_fd, prefix, "1");
		} else if (errno != EEXIST || i == len) {
			return -errno;
		}
	}
	return 0;
}

/* -EBUSY where a process is inside the group or below. */
static int has_processes(int dir_fd, void *opaque)
{
	char text[32];
	int r = fs_read_small(dir_fd, "cgroup.procs", text, sizeof(text));
	if (r == -EOPNOTSUPP) /* a threaded group */
		r = fs_read_small(dir_fd, "cgroup.threads", text, sizeof(text));
	if (r == -EFBIG || (r == 0 && text[0]))
		return -EBUSY;
	return r;
}

/* What may be done with a group that exists already: see cgroup_create(). */
static int adopt(struct cgroup *cgroup, struct cgroup_tree *tree, struct masu_error *err)
{
	/* Those of a container just killed are on their way out. */
	if (tree_walk(tree, has_processes, NULL) == -EBUSY)
		tree_wait_empty(tree, NULL);
	if (cgroup->own_path && group_rmdir(tree) == 0) {
		/* What was looked at is gone: the fd leads to the removed directory. */
		if (tree->dir_fd >= 0)
			close(take_fd(&tree->dir_fd));
		int r = make_path(tree);
		return r < 0 ? error_errno(err, r, "cgroup %s%s: cannot be made", tree->mount,
					   tree->path)
			     : 0;
	}
	int r = tree_walk(tree, has_processes, NULL);
	if (r == -EBUSY)
		return error_set(err, r,
				 "cgroup %s%s has processes already; stop them or choose another "
				 "path",
				 tree->mount, tree->path);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
	return 0;
}

/* A process that joined a frozen group would never run. */
static int refuse_frozen(struct cgroup_tree *tree, struct masu_error *err)
{
	char state[16];
	const char *file = tree->v2 ? "cgroup.freeze" : "freezer.state";
	if (!tree->v2 && !(tree->controllers & CTL_BIT(CTL_FREEZER)))
		return 0;
	if (fs_read_small(tree->dir_fd, file, state, sizeof(state)) == 0 && !streq(state, "0") &&
	    !streq(state, "THAWED"))
		return error_set(err, -EBUSY, "cgroup %s%s is frozen; thaw it first", tree->mount,
				 tree->path);
	return 0;
}

/* What a group needs before a process can join it. */
static int make_joinable(struct cgroup *cgroup, struct cgroup_tree *tree, bool existed,
			 struct masu_error *err)
{
	bool cpuset = !tree->v2 && tree->controllers & CTL_BIT(CTL_CPUSET);
	int r = 0;
	if (tree->v2 || existed || cpuset)
		r = tree_open(tree);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
	if (existed && !cgroup->shared)
		r = refuse_frozen(tree, err);
	if (r < 0)
		return r;
	if (cpuset && (r = group_init_cpuset(tree)) < 0)
		return error_errno(err, r, "cgroup %s%s: cpuset cannot be set up", tree->mount,
				   tree->path);
	if (tree->v2)
		return 0;
	char tasks[PATH_MAX];
	r = str_format(tasks, sizeof(tasks), "%s/tasks", tree->path + 1);
	if (r == 0) {
		tree->join_fd = openat(tree->mount_fd, tasks, O_WRONLY | O_CLOEXEC);
		r = tree->join_fd < 0 ? -errno : 0;
	}
	return r < 0 ? error_errno(err, r, "cgroup %s/%s", tree->mount, tasks) : 0;
}

int group_make(struct cgroup *cgroup, struct cgroup_tree *tree, struct masu_error *err)
{
	if (tree->used)
		return 0;
	int r = tree_locate(cgroup, tree);
	if (r < 0)
		return error_errno(err, r, "cgroup hierarchy \"%s\" is not mounted", tree->list);
	r = make_path(tree);
	bool existed = r == -EEXIST;
	if (existed)
		r = cgroup->shared ? 0 : adopt(cgroup, tree, err);
	else if (r < 0)
		error_errno(err, r, "cgroup %s%s: cannot be made", tree->mount, tree->path);
	tree->used = tree->made = r == 0;
	if (r == 0)
		r = make_joinable(cgroup, tree, existed, err);
	if (r < 0)
		group_undo(tree);
	return r;
}

void group_undo(struct cgroup_tree *tree)
{
	if (tree->dir_fd >= 0)
		close(take_fd(&tree->dir_fd));
	if (tree->join_fd >= 0)
		close(take_fd(&tree->join_fd));
	char prefix[PATH_MAX];
	size_t len = strlen(tree->path);
	memcpy(prefix, tree->path, len + 1);
	for (; tree->depth_made > 0 && len > 1; tree->depth_made--) {
		unlinkat(tree->mount_fd, prefix + 1, AT_REMOVEDIR);
		char *slash = strrchr(prefix, '/');
		*slash = '\0';
		len = (size_t)(slash - prefix);
	}
	tree->used = tree->made = false;
	tree->depth_made = 0;
}

/* "+a +b" of those of @controllers that cgroup2 has. */
static void enable_text(unsigned controllers, char *ret, size_t size)
{
	size_t at = 0;
	ret[0] = '\0';
	for (int c = 0; c < CTL_CORE; c++) {
		if (!(controllers & CTL_BIT(c)))
			continue;
		if (str_format(ret + at, size - at, "%s+%s", at ? " " : "",
			       controller_name((enum controller)c, true)) < 0)
			return;
		at += strlen(ret + at);
	}
}

/* Enables @controllers for the children of @dir below the mount. */
static int enable_in(const struct cgroup_tree *tree, const char *dir, unsigned controllers,
		     unsigned required, struct masu_error *err)
{
	char file[PATH_MAX], text[256];
	int r = str_format(file, sizeof(file), "%s%scgroup.subtree_control", dir, *dir ? "/" : "");
	if (r < 0)
		return r;
	enable_text(controllers, text, sizeof(text));
	if (fs_write_at(tree->mount_fd, file, text) == 0)
		return 0;
	/* One refused controller refuses them all: find out which it is. */
	for (int c = 0; c < CTL_CORE; c++) {
		if (!(controllers & CTL_BIT(c)))
			continue;
		enable_text(CTL_BIT(c), text, sizeof(text));
		r = fs_write_at(tree->mount_fd, file, text);
		/* Not ours to change: whether it matters shows when the limit is written. */
		if (r == 0 || r == -EROFS || r == -EACCES || r == -EPERM ||
		    !(required & CTL_BIT(c)))
			continue;
		if (r == -EBUSY)
			return error_set(err, r,
					 "cgroup %s/%s has processes of its own, so the controller "
					 "\"%s\" cannot be enabled below it; choose another path",
					 tree->mount, dir, text + 1);
		return error_errno(err, r, "cgroup %s/%s: controller \"%s\" cannot be enabled",
				   tree->mount, dir, text + 1);
	}
	return 0;
}

int group_enable_controllers(struct cgroup *cgroup, unsigned controllers, unsigned required,
			     struct masu_error *err)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	unsigned want = controllers & tree->controllers & ~(CTL_BIT(CTL_CORE) | CTL_BIT(CTL_OTHER));
	if (!want)
		return 0;
	/* One read tells that all is well: what the group itself may use. */
	char have[1024], dir[PATH_MAX];
	if (fs_read_small(tree->dir_fd, "cgroup.controllers", have, sizeof(have)) == 0) {
		char *rest = have, *name;
		while ((name = strsep(&rest, " ")))
			want &= ~CTL_BIT(controller_parse(name, strlen(name)));
	}
	if (!want)
		return 0;
	const char *path = tree->path + 1;
	for (size_t i = 0; path[i]; i++) {
		if (i > 0 && path[i] != '/')
			continue;
		memcpy(dir, path, i);
		dir[i] = '\0';
		int r = enable_in(tree, dir, want, required, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int rmdir_below(int dir_fd, unsigned depth)
{
	if (depth > GROUP_MAX_DEPTH)
		return -ELOOP;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(dir_fd, ".");
	if (!dir)
		return -errno;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		if (errno != EBUSY)
			return -errno;
		_cleanup_close_ int child = openat(dirfd(dir), entry->d_name,
						   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			return -errno;
		int r = rmdir_below(child, depth + 1);
		if (r < 0)
			return r;
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	}
	return errno ? -errno : 0;
}

int group_rmdir(struct cgroup_tree *tree)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s%s", tree->mount, tree->path);
	if (r < 0)
		return r;
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	/* A process, or groups below. */
	r = tree_open(tree);
	if (r == 0)
		r = rmdir_below(tree->dir_fd, 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Copies one cpuset file into @dir below the mount from its parent where it is empty. */
static int copy_down(int mount_fd, const char *dir, size_t parent_len, const char *file)
{
	char path[PATH_MAX], value[CPUSET_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", dir, file);
	if (r == 0)
		r = fs_read_small(mount_fd, path, value, sizeof(value));
	if (r < 0 || value[0])
		return r;
	char parent[PATH_MAX];
	r = str_format(parent, sizeof(parent), "%.*s%s%s", (int)parent_len, dir,
		       parent_len ? "/" : "", file);
	if (r == 0)
		r = fs_read_small(mount_fd, parent, value, sizeof(value));
	return r < 0 ? r : fs_write_at(mount_fd, path, value);
}

int group_init_cpuset(struct cgroup_tree *tree)
{
	char value[CPUSET_MAX], dir[PATH_MAX];
	/* cgroup.clone_children of the parent has done it. */
	if (fs_read_small(tree->dir_fd, "cpuset.cpus", value, sizeof(value)) == 0 && value[0] &&
	    fs_read_small(tree->dir_fd, "cpuset.mems", value, sizeof(value)) == 0 && value[0])
		return 0;
	const char *path = tree->path + 1;
	size_t parent_len = 0;
	for (size_t i = 1;; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(dir, path, i);
		dir[i] = '\0';
		int r = copy_down(tree->mount_fd, dir, parent_len, "cpuset.cpus");
		if (r == 0)
			r = copy_down(tree->mount_fd, dir, parent_len, "cpuset.mems");
		if (r < 0)
			return r;
		parent_len = i;
		if (path[i] == '\0')
			return 0;
	}
}

int group_chown(struct cgroup_tree *tree, uid_t uid, gid_t gid)
{
	static const char fallback[] = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";
	char list[4096];
	if (fs_read_small(AT_FDCWD, "/sys/kernel/cgroup/delegate", list, sizeof(list)) < 0)
		memcpy(list, fallback, sizeof(fallback));
	if (fchown(tree->dir_fd, uid, gid) < 0)
		return -errno;
	char *rest = list, *name;
	while ((name = strsep(&rest, "\n")))
		if (*name && !strchr(name, '/') &&
		    fchownat(tree->dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno != ENOENT)
			return -errno;
	return 0;
}
