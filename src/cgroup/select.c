/* Where one more process of a container goes: exec. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

/* Points @tree at a group below the container's that must exist. */
static int descend(struct cgroup *cgroup, struct cgroup_tree *tree, const char *sub,
		   struct masu_error *err)
{
	int r = path_join(&cgroup->arena, tree->path, sub, &tree->path, err);
	if (r < 0)
		return r;
	cleanup_close(&tree->dir_fd);
	r = tree_open(tree);
	return r < 0 ? error_errno(err, r, "cgroup %s%s", tree->mount, tree->path) : 0;
}

/* "controller:path" names one v1 hierarchy; a plain path all of them. */
static int select_subgroup(struct cgroup *cgroup, const char *subgroup, struct masu_error *err)
{
	const char *colon = strchr(subgroup, ':');
	bool found = false;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!tree->used)
			continue;
		if (colon) {
			unsigned asked = 0;
			const char *list =
				arena_strndup(&cgroup->arena, subgroup, (size_t)(colon - subgroup));
			if (list)
				asked = controllers_parse(list) & ~CTL_BIT(CTL_OTHER);
			if (!(tree->controllers & asked))
				continue;
		}
		found = true;
		int r = descend(cgroup, tree, colon ? colon + 1 : subgroup, err);
		if (r < 0)
			return r;
	}
	if (!found)
		return error_set(err, -EINVAL, "cgroup \"%s\": the container has no such hierarchy",
				 subgroup);
	return 0;
}

/*
 * cgroup2 keeps processes out of a group that has handed controllers on to those below it ("no
 * internal processes"): the container's init has moved, and a new process goes where it is.
 */
static int follow_init(struct cgroup *cgroup, pid_t init_pid, struct masu_error *err)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	char text[16384], path[64];
	int r = tree_open(tree);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
	if (fs_read_small(tree->dir_fd, "cgroup.subtree_control", text, sizeof(text)) < 0 ||
	    !text[0])
		return 0;
	r = str_format(path, sizeof(path), "/proc/%d/cgroup", init_pid);
	if (r == 0)
		r = fs_read_small(AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return error_errno(err, r, "process %d: cgroup", init_pid);
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		const char *group = str_after(line, "0::");
		const char *at = group ? strstr(group, tree->path) : NULL;
		const char *below = at ? at + strlen(tree->path) : NULL;
		if (below && below[0] == '/')
			return descend(cgroup, tree, below, err);
	}
	return 0;
}

int cgroup_select(struct cgroup *cgroup, const char *subgroup, pid_t init_pid,
		  struct masu_error *err)
{
	int r = 0;
	if (subgroup && *subgroup && !streq(subgroup, "/"))
		r = select_subgroup(cgroup, subgroup, err);
	else if (cgroup->unified >= 0 && cgroup->trees[cgroup->unified].used)
		r = follow_init(cgroup, init_pid, err);
	for (size_t i = 0; r == 0 && i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!tree->used)
			continue;
		r = tree_open(tree);
		if (r == 0)
			tree->join_fd = openat(tree->dir_fd, tree->v2 ? "cgroup.procs" : "tasks",
					       O_WRONLY | O_CLOEXEC);
		if (r == 0 && tree->join_fd < 0)
			r = -errno;
		if (r < 0)
			error_errno(err, r, "cgroup %s%s: join", tree->mount, tree->path);
	}
	return r;
}
