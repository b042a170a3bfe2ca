/*
 * Hybrid machines: v1 hierarchies for the controllers, a cgroup2 tree beside them. Limits go where
 * the controller is (plan_resources()). What concerns processes (freezing, killing, waiting) is
 * done on the cgroup2 tree, whose interfaces are exact and need no v1 hierarchy to be joined.
 */
#include <errno.h>

#include "cgroup/internal.h"

/* True for what bpf(2) says where the kernel or a policy does not let it be used. */
static bool bpf_is_unusable(int r)
{
	return r == -EPERM || r == -EACCES || r == -ENOSYS || r == -EINVAL || r == -EOPNOTSUPP;
}

/*
 * With CGROUP_LAZY the program on the cgroup2 group spares the container the v1 hierarchy. Without,
 * the v1 controller is used, as the other runtimes do, but for rules that it cannot express.
 */
static int hybrid_devices(struct cgroup *cgroup, const struct device_rules *rules,
			  struct masu_error *err)
{
	struct cgroup_tree *v1 = cgroup_tree_of(cgroup, CTL_DEVICES);
	if (v1 && tree_locate(cgroup, v1) < 0)
		v1 = NULL;
	if (cgroup->flags & CGROUP_LAZY || !v1) {
		int r = v2_devices(cgroup, rules, err);
		if (r == 0 || !v1 || !bpf_is_unusable(r))
			return r;
		if (err)
			error_clear(err);
		return v1_devices(cgroup, rules, err);
	}
	int r = v1_devices(cgroup, rules, err);
	if (r != -EOPNOTSUPP)
		return r == 0 && !v1->made && v2_has_device_program(cgroup)
			       ? v2_devices(cgroup, rules, err)
			       : r;
	if (err)
		error_clear(err);
	r = v2_devices(cgroup, rules, err);
	if (r < 0 || !v1->used)
		return r;
	/* The v1 group steps back, or it would restrict what the program allows. */
	return v1_put_exceptions(cgroup, &(struct device_exceptions) { .allow = true }, err);
}

static int hybrid_oom_killed(struct cgroup *cgroup, bool *ret)
{
	struct cgroup_tree *memory = cgroup_tree_of(cgroup, CTL_MEMORY);
	return memory && memory->v2 ? v2_oom_killed(cgroup, ret) : v1_oom_killed(cgroup, ret);
}

/* CPU time is counted by every cgroup2 group, with or without the controller. */
static int hybrid_stats(struct cgroup *cgroup, struct cgroup_stats *ret)
{
	int r = v2_stats(cgroup, ret);
	return r < 0 ? r : v1_stats(cgroup, ret);
}

const struct cgroup_ops hybrid_ops = {
	.name = "hybrid",
	.devices = hybrid_devices,
	.freeze = v2_freeze,
	.is_frozen = v2_is_frozen,
	.kill_all = v2_kill_all,
	.wait_empty = v2_wait_empty,
	.oom_killed = hybrid_oom_killed,
	.stats = hybrid_stats,
	.mount = v1_mount,
};
