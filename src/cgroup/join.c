/*
 * Hierarchies that a lazily made container joins later, when `update` sets a limit that needs one:
 * which they are, making the groups, and moving its processes in.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

/* A container that forks faster than this many rounds of moving is refused. */
#define ROUNDS_MAX 64

static bool contains(const pid_t *pids, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* One round; *ret_moved tells how many were outside. */
static int move_round(struct cgroup *cgroup, struct cgroup_tree *tree, size_t *ret_moved,
		      struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	pid_t *pids, *inside;
	size_t count, inside_count, moved = 0;
	arena_init(&arena, 0);
	int r = tree_pids(cgroup_main_tree(cgroup), &arena, &pids, &count);
	if (r == 0)
		r = tree_pids(tree, &arena, &inside, &inside_count);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s: list of processes", tree->mount,
				   tree->path);
	for (size_t i = 0; i < count; i++) {
		char text[16];
		if (contains(inside, inside_count, pids[i]) ||
		    str_format(text, sizeof(text), "%d", pids[i]) < 0)
			continue;
		r = fs_write_at(tree->dir_fd, "cgroup.procs", text);
		if (r < 0 && r != -ESRCH)
			return error_errno(err, r, "cgroup %s%s: move process %d", tree->mount,
					   tree->path, pids[i]);
		moved += r == 0;
	}
	*ret_moved = moved;
	return 0;
}

/*
 * A process is born in its parent's groups, so once none is outside all later ones are inside. The
 * list is not made in one step: who was forked while it was read, by one who ended before he was
 * come to, is found by a second look.
 */
static int move_in(struct cgroup *cgroup, struct cgroup_tree *tree, struct masu_error *err)
{
	int clean = 0;
	for (int round = 0; round < ROUNDS_MAX && clean < 2; round++) {
		size_t moved = 0;
		int r = move_round(cgroup, tree, &moved, err);
		if (r < 0)
			return r;
		clean = moved ? 0 : clean + 1;
	}
	if (clean == 2)
		return 0;
	return error_set(err, -EAGAIN,
			 "cgroup %s%s: the container forks faster than it can be moved",
			 tree->mount, tree->path);
}

static bool may_be_missing(const struct cgroup *cgroup, const struct cgroup_tree *tree)
{
	return cgroup->flags & CGROUP_LAZY && !tree->v2;
}

int cgroup_join_missing(struct cgroup *cgroup, unsigned needed, struct masu_error *err)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!(tree->controllers & needed) || (tree->used && !may_be_missing(cgroup, tree)))
			continue;
		/* A group that is there may be what somebody left who was killed at this. */
		int r = group_make(cgroup, tree, err);
		if (r == 0 && (r = tree_open(tree)) < 0)
			error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
		if (r == 0 && tree->controllers & CTL_BIT(CTL_CPUSET) &&
		    (r = group_init_cpuset(tree)) < 0)
			error_errno(err, r, "cgroup %s%s: cpuset cannot be set up", tree->mount,
				    tree->path);
		if (r == 0)
			r = move_in(cgroup, tree, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_missing(struct cgroup *cgroup, const struct oci_resources *resources, bool *ret,
		   bool *ret_memory, struct masu_error *err)
{
	struct plan plan;
	plan_init(&plan, &cgroup->arena);
	int r = plan_resources(cgroup, resources, &plan, err);
	if (r == 0)
		r = plan_check(cgroup, &plan, err);
	if (r < 0)
		return r;
	*ret = *ret_memory = false;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];
		if (tree->used || !(tree->controllers & plan.needed))
			continue;
		*ret = true;
		*ret_memory |= tree->controllers & CTL_BIT(CTL_MEMORY);
	}
	return 0;
}

void cgroup_rediscover(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (tree->used || !may_be_missing(cgroup, tree))
			continue;
		/* Not to be seen (no descriptor left, a signal) is not the same as not to be there:
		 * what then needs the group says so, and removing one that is not there is fine. */
		int r = tree_open(tree);
		tree->used = r != -ENOENT;
	}
}

int cgroup_gather(struct cgroup *cgroup, struct masu_error *err)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!tree->used || !may_be_missing(cgroup, tree) ||
		    tree == cgroup_main_tree(cgroup))
			continue;
		int r = tree_open(tree);
		r = r < 0 ? error_errno(err, r, "cgroup %s%s", tree->mount, tree->path)
			  : move_in(cgroup, tree, err);
		if (r < 0)
			return r;
	}
	return 0;
}
