/* The freezers of both versions, synchronous. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define FREEZE_TIMEOUT_MS 10000

static int no_freezer(struct masu_error *err)
{
	return error_set(err, -ENOTSUP,
			 "this container has no freezer: the cgroup controller \"freezer\" is not "
			 "available");
}

int v2_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	if (!tree->used)
		return no_freezer(err);
	int r = tree_open(tree);
	_cleanup_close_ int events =
		r < 0 ? -1 : openat(tree->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (r == 0 && events < 0)
		r = -errno;
	if (r == 0)
		r = fs_write_at(tree->dir_fd, "cgroup.freeze", freeze ? "1" : "0");
	if (r == 0)
		r = cgroup_wait_event(events, "frozen", freeze, FREEZE_TIMEOUT_MS);
	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT && freeze) {
		fs_write_at(tree->dir_fd, "cgroup.freeze", "0");
		return error_set(err, r,
				 "cgroup %s%s did not freeze within %d s: a process does not leave "
				 "the kernel; it runs on",
				 tree->mount, tree->path, FREEZE_TIMEOUT_MS / 1000);
	}
	return error_errno(err, r, "cgroup %s%s: %s", tree->mount, tree->path,
			   freeze ? "freeze" : "thaw");
}

int v2_is_frozen(struct cgroup *cgroup, bool *ret)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	char text[256];
	uint64_t frozen;
	*ret = false;
	if (!tree->used)
		return 0;
	int r = tree_open(tree);
	if (r == 0)
		r = fs_read_small(tree->dir_fd, "cgroup.events", text, sizeof(text));
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	if (r == 0)
		r = text_keyed(text, "frozen", &frozen);
	if (r == 0)
		*ret = frozen != 0;
	return r;
}

static struct cgroup_tree *v1_freezer(struct cgroup *cgroup)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_FREEZER);
	return tree && tree->used ? tree : NULL;
}

/*
 * v1 sends no notice. The state is brought up to date by reading it, and a process that forks while
 * its group is FREEZING can leave it there until FROZEN is written again; so both are repeated. A
 * process stops on its way out of the kernel, which is soon, or it sleeps uninterruptibly: hence
 * the processor is given away first, and only later a millisecond at a time.
 */
static int v1_freeze_wait(struct cgroup_tree *tree)
{
	for (int tries = 0; tries < FREEZE_TIMEOUT_MS; tries++) {
		char state[16];
		int r = fs_write_at(tree->dir_fd, "freezer.state", "FROZEN");
		if (r == 0)
			r = fs_read_small(tree->dir_fd, "freezer.state", state, sizeof(state));
		if (r < 0)
			return r;
		if (streq(state, "FROZEN"))
			return 0;
		struct timespec pause = { .tv_nsec = 1000000 };
		if (tries < 64)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

int v1_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err)
{
	struct cgroup_tree *tree = v1_freezer(cgroup);
	if (!tree)
		return no_freezer(err);
	int r = tree_open(tree);
	if (r == 0)
		r = freeze ? v1_freeze_wait(tree)
			   : fs_write_at(tree->dir_fd, "freezer.state", "THAWED");
	if (r == 0)
		return 0;
	if (freeze)
		fs_write_at(tree->dir_fd, "freezer.state", "THAWED");
	return error_errno(err, r, "cgroup %s%s: %s", tree->mount, tree->path,
			   freeze ? "freeze" : "thaw");
}

int v1_is_frozen(struct cgroup *cgroup, bool *ret)
{
	struct cgroup_tree *tree = v1_freezer(cgroup);
	char state[16];
	*ret = false;
	if (!tree)
		return 0;
	int r = tree_open(tree);
	if (r == 0)
		r = fs_read_small(tree->dir_fd, "freezer.state", state, sizeof(state));
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	if (r == 0)
		*ret = streq(state, "FROZEN");
	return r;
}
