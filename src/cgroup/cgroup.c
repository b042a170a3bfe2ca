/* The public functions: what is common to all layouts, and the dispatch to their tables. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

struct cgroup *cgroup_new(void)
{
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
	if (!cgroup)
		return NULL;
	arena_init(&cgroup->arena, 0);
	cgroup->unified = -1;
	cgroup->owner_uid = (uid_t)-1;
	cgroup->owner_gid = (gid_t)-1;
	return cgroup;
}

void cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		cleanup_close(&cgroup->trees[i].mount_fd);
		cleanup_close(&cgroup->trees[i].dir_fd);
		cleanup_close(&cgroup->trees[i].join_fd);
	}
	buf_free(&cgroup->mountinfo);
	arena_free(&cgroup->arena);
	free(cgroup);
}

static bool has_groups(struct cgroup *cgroup)
{
	return cgroup_main_tree(cgroup) != NULL;
}

/* Each tree's group path; see struct cgroup_request. */
static int set_paths(struct cgroup *cgroup, const struct cgroup_request *request,
		     struct masu_error *err)
{
	const char *asked = request->path && *request->path ? request->path : NULL;
	cgroup->own_path = !asked;
	bool relative = asked ? asked[0] != '/' : request->rootless;
	const char *path = asked;
	if (!asked)
		path = arena_printf(&cgroup->arena, "%s%s", relative ? "masu-" : "/masu/",
				    request->id);
	if (!path)
		return error_set(err, -ENOMEM, "out of memory");
	/* A path that leads nowhere of its own must not end up as the caller's own group. */
	const char *clean;
	int r = path_clean(&cgroup->arena, path, &clean, err);
	cgroup->relative = relative ? clean : NULL;
	/* The engine asks for its default by name, for --cgroup-parent to replace a part of it. */
	const char *id = r == 0 ? str_after(clean, "/masu/") : NULL;
	if (id && !relative && streq(id, request->id))
		cgroup->own_path = true;
	for (size_t i = 0; r == 0 && i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		tree->path = clean;
		if (relative)
			r = path_join(&cgroup->arena, tree->own, clean, &tree->path, err);
	}
	return r;
}

/* True where the container needs a group in @tree. */
static bool is_wanted(const struct cgroup *cgroup, const struct cgroup_tree *tree, unsigned needed)
{
	if (!(cgroup->flags & CGROUP_LAZY) || tree->v2 || tree->controllers & needed)
		return true;
	/* Something must hold the container's processes together. */
	return cgroup->layout == CGROUP_V1 && tree->controllers & CTL_BIT(CTL_FREEZER);
}

static int make_groups(struct cgroup *cgroup, unsigned needed, struct masu_error *err)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!is_wanted(cgroup, tree, needed))
			continue;
		/* What the kernel has but nobody has mounted is missed only by a limit. */
		if (!(tree->controllers & needed) && tree_locate(cgroup, tree) == -ENOENT)
			continue;
		int r = group_make(cgroup, tree, err);
		if (r < 0)
			return r;
	}
	if (cgroup->unified < 0)
		return 0;
	/* On pure v2 the group gets all there is, for statistics and delegation; the cgroup2 tree
	 * of a hybrid machine only what a limit needs. */
	unsigned controllers =
		cgroup->layout == CGROUP_V2 ? cgroup->trees[cgroup->unified].controllers : needed;
	int r = group_enable_controllers(cgroup, controllers, needed, err);
	if (r == 0 && cgroup->owner_uid != (uid_t)-1) {
		struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
		r = group_chown(tree, cgroup->owner_uid, cgroup->owner_gid);
		if (r < 0)
			error_errno(err, r, "cgroup %s%s: owner %u", tree->mount, tree->path,
				    (unsigned)cgroup->owner_uid);
	}
	return r;
}

static int put_devices(struct cgroup *cgroup, const struct oci_resources *resources,
		       struct masu_error *err)
{
	/* An unprivileged user makes no device nodes, and may load no program either. */
	if (cgroup->rootless)
		return 0;
	struct device_rules rules;
	int r = device_rules_build(&cgroup->arena, resources, &rules);
	if (r < 0)
		return error_set(err, r, "out of memory");
	struct cgroup_tree *main_tree = cgroup_main_tree(cgroup);
	if (device_rules_allow_all(&rules) && main_tree && main_tree->depth_made > 0)
		return 0; /* what a new group inherits */
	return cgroup->ops->devices(cgroup, &rules, err);
}

int cgroup_set_up(struct cgroup *cgroup, const struct oci_resources *resources,
		  struct masu_error *err)
{
	struct plan plan;
	plan_init(&plan, &cgroup->arena);
	int r = resources ? plan_resources(cgroup, resources, &plan, err) : 0;
	if (r == 0)
		r = plan_check(cgroup, &plan, err);
	if (r < 0)
		return r;
	r = make_groups(cgroup, plan.needed, err);
	if (r == 0)
		r = put_devices(cgroup, resources, err);
	if (r == 0)
		r = plan_apply(cgroup, &plan, err);
	for (size_t i = cgroup->tree_count; i-- > 0;) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (r < 0 && tree->made)
			group_undo(tree);
		tree->made = false; /* from here on a group like any other */
		tree->depth_made = 0;
	}
	if (r == 0)
		return 0;
	/* Where a rootless caller may make no group and wants nothing of one, it has none. */
	if (cgroup->rootless && cgroup->own_path && !plan.needed &&
	    (r == -EACCES || r == -EPERM || r == -EROFS || r == -ENOENT)) {
		if (err)
			error_clear(err);
		return 0;
	}
	return r;
}

int cgroup_create(const struct cgroup_request *request, struct cgroup **ret, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = cgroup_new();
	if (!cgroup)
		return error_set(err, -ENOMEM, "out of memory");
	int r = cgroup_detect_self(cgroup, err);
	if (r < 0)
		return r;
	r = cgroup_create_in(cgroup, request, err);
	if (r < 0)
		return r;
	*ret = cgroup;
	cgroup = NULL;
	return 0;
}

int cgroup_create_in(struct cgroup *cgroup, const struct cgroup_request *request,
		     struct masu_error *err)
{
	cgroup->manager = request->manager;
	cgroup->flags = request->flags;
	cgroup->rootless = request->rootless;
	cgroup->owner_uid = request->owner_uid;
	cgroup->owner_gid = request->owner_gid;
	if (request->manager == CGROUP_SYSTEMD)
		return systemd_prepare(cgroup, request, err);
	int r = set_paths(cgroup, request, err);
	return r < 0 ? r : cgroup_set_up(cgroup, request->resources, err);
}

int cgroup_clone_fd(struct cgroup *cgroup)
{
	if (cgroup->unified < 0 || !cgroup->trees[cgroup->unified].used ||
	    tree_open(&cgroup->trees[cgroup->unified]) < 0)
		return -1;
	cgroup->cloned = true;
	return cgroup->trees[cgroup->unified].dir_fd;
}

/* Groups from cgroup_create() and cgroup_select() come with an open file; others are opened here.
 */
static int join_tree(const struct cgroup_tree *tree)
{
	_cleanup_close_ int opened = -1;
	int fd = tree->join_fd;
	if (fd < 0) {
		char path[PATH_MAX];
		int r = str_format(path, sizeof(path), "%s%s/%s", tree->mount, tree->path,
				   tree->v2 ? "cgroup.procs" : "tasks");
		if (r < 0)
			return r;
		fd = opened = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;
}

/* Which groups the manager has put this process into. */
static int take_over_groups(struct cgroup *cgroup, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *now = cgroup_new();
	if (!now)
		return error_set(err, -ENOMEM, "out of memory");
	int r = cgroup_detect_self(now, err);
	for (size_t i = 0; r == 0 && i < now->tree_count; i++) {
		const struct cgroup_tree *from = &now->trees[i];
		for (size_t k = 0; k < cgroup->tree_count; k++) {
			struct cgroup_tree *to = &cgroup->trees[k];
			if (to->v2 != from->v2 || !streq(to->list, from->list) ||
			    !str_ends_with(from->own, cgroup->unit))
				continue;
			to->path = arena_strdup(&cgroup->arena, from->own);
			to->used = to->path != NULL;
		}
	}
	return r;
}

int cgroup_join_self(struct cgroup *cgroup, struct masu_error *err)
{
	if (cgroup_awaits_attach(cgroup))
		return take_over_groups(cgroup, err);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];
		if (!tree->used || (tree->v2 && cgroup->cloned))
			continue;
		int r = join_tree(tree);
		if (r < 0)
			return error_errno(err, r, "cgroup %s%s: join", tree->mount, tree->path);
	}
	return 0;
}

bool cgroup_awaits_attach(const struct cgroup *cgroup)
{
	return cgroup->shared;
}

int cgroup_attach(struct cgroup *cgroup, pid_t pid, struct masu_error *err)
{
	return cgroup->manager == CGROUP_SYSTEMD ? systemd_start(cgroup, pid, err) : 0;
}

int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources,
		  struct masu_error *err)
{
	struct plan plan;
	plan_init(&plan, &cgroup->arena);
	int r = plan_resources(cgroup, resources, &plan, err);
	if (r == 0)
		r = plan_check(cgroup, &plan, err);
	if (r == 0)
		r = v2_check_usage(cgroup, resources, err);
	if (r < 0)
		return r;
	if (!has_groups(cgroup))
		return error_set(err, -ENOTSUP, "the container has no cgroup, so it has no limits");
	if (cgroup->manager == CGROUP_SYSTEMD)
		r = systemd_update(cgroup, resources, err);
	if (r == 0)
		r = cgroup_join_missing(cgroup, plan.needed, err);
	if (r == 0 && cgroup->unified >= 0) {
		r = tree_open(&cgroup->trees[cgroup->unified]);
		if (r == 0)
			r = group_enable_controllers(cgroup, plan.needed, plan.needed, err);
	}
	/* Rules are a whole: an update without any leaves them. */
	if (r == 0 && resources->device_count > 0)
		r = put_devices(cgroup, resources, err);
	return r < 0 ? r : plan_apply(cgroup, &plan, err);
}

int cgroup_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err)
{
	if (!has_groups(cgroup))
		return error_set(err, -ENOTSUP, "the container has no cgroup and cannot be paused");
	return cgroup->ops->freeze(cgroup, freeze, err);
}

int cgroup_is_frozen(struct cgroup *cgroup, bool *ret)
{
	*ret = false;
	return has_groups(cgroup) ? cgroup->ops->is_frozen(cgroup, ret) : 0;
}

int cgroup_pids(struct cgroup *cgroup, struct arena *arena, pid_t **ret, size_t *ret_count,
		struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_main_tree(cgroup);
	if (!tree)
		return error_set(err, -ENOTSUP,
				 "the container has no cgroup, so its processes cannot be listed");
	int r = tree_pids(tree, arena, ret, ret_count);
	return r < 0 ? error_errno(err, r, "cgroup %s%s: list of processes", tree->mount,
				   tree->path)
		     : 0;
}

int cgroup_kill(struct cgroup *cgroup, int sig, struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_main_tree(cgroup);
	if (!tree)
		return 0;
	return sig == SIGKILL ? cgroup->ops->kill_all(cgroup, err) : tree_signal(tree, sig, err);
}

static int rmdir_all(struct cgroup *cgroup, struct cgroup_tree **ret_failed)
{
	int result = 0;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		int r = tree->used ? group_rmdir(tree) : 0;
		if (r < 0) {
			result = r;
			*ret_failed = tree;
		}
	}
	return result;
}

/* Half a second in all, nearly all of it only where the kernel is late; see below. */
#define RMDIR_YIELDS 64
#define RMDIR_NAPS   500

int cgroup_remove(struct cgroup *cgroup, struct masu_error *err)
{
	struct cgroup_tree *failed = NULL;
	int r = cgroup->manager == CGROUP_SYSTEMD ? systemd_stop(cgroup, err) : 0;
	if (r < 0)
		return r;
	r = rmdir_all(cgroup, &failed);
	if (r == -EBUSY) {
		r = cgroup->ops->wait_empty(cgroup, err);
		if (r < 0)
			return r;
		r = rmdir_all(cgroup, &failed);
	}
	/*
	 * No process is left that could be waited for. From Linux 6.19 on the kernel takes a dead
	 * task out of its group only when it has switched away from it for the last time, after its
	 * parent was told; that is a matter of its next instructions, and nothing announces it on
	 * v1.
	 */
	for (int tries = 0; r == -EBUSY && tries < RMDIR_YIELDS + RMDIR_NAPS; tries++) {
		struct timespec nap = { .tv_nsec = 1000000 };
		if (tries < RMDIR_YIELDS)
			sched_yield();
		else
			nanosleep(&nap, NULL);
		r = rmdir_all(cgroup, &failed);
	}
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s: cannot be removed", failed->mount,
				   failed->path);
	return 0;
}

int cgroup_oom_killed(struct cgroup *cgroup, bool *ret)
{
	*ret = false;
	return has_groups(cgroup) ? cgroup->ops->oom_killed(cgroup, ret) : 0;
}

int cgroup_stats(struct cgroup *cgroup, struct cgroup_stats *ret, struct masu_error *err)
{
	struct cgroup_stats stats = { .memory_limit = UINT64_MAX, .pids_limit = UINT64_MAX };
	int r = has_groups(cgroup) ? cgroup->ops->stats(cgroup, &stats) : 0;
	if (r == 0)
		r = stats_count_tasks(cgroup, &stats);
	if (r < 0)
		return error_errno(err, r, "cgroup statistics");
	*ret = stats;
	return 0;
}

int cgroup_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
		 bool writable, struct masu_error *err)
{
	if (!cgroup)
		return error_set(
			err, -ENOTSUP,
			"the container has no cgroup that could be mounted; remove the mount");
	return cgroup->ops->mount(cgroup, target_fd, mount, ns, writable, err);
}
