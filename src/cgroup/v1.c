/* Limits as v1 controllers spell them (kernel: Documentation/admin-guide/cgroup-v1/). */
#include <errno.h>

#include "base/str.h"
#include "cgroup/internal.h"

/* 0 is "unset" in runtime-spec producers (runc's types have no absent number). */
static bool is_set(struct oci_i64 n)
{
	return n.set && n.value != 0;
}

static void plan_memory(struct plan *plan, const struct oci_resources *r)
{
	bool limited = is_set(r->memory.limit), swap = is_set(r->memory.swap);
	int64_t limit = r->memory.limit.value, memsw = r->memory.swap.value;
	if (limited)
		plan_number(plan, CTL_MEMORY, WRITE_RETRY, "memory.limit", "memory.limit_in_bytes",
			    limit);
	/* Unlimited memory under an earlier memsw limit would be refused. */
	if (limited && limit == -1 && !swap) {
		swap = true;
		memsw = -1;
	}
	/* Without swap accounting there is no memsw file, nor swap to be charged for. */
	if (swap)
		plan_number(plan, CTL_MEMORY,
			    WRITE_RETRY | (memsw == -1 || memsw == limit ? WRITE_OPTIONAL : 0),
			    "memory.swap", "memory.memsw.limit_in_bytes", memsw);
	if (is_set(r->memory.reservation))
		plan_number(plan, CTL_MEMORY, 0, "memory.reservation", "memory.soft_limit_in_bytes",
			    r->memory.reservation.value);
	if (is_set(r->memory.kernel))
		plan_number(plan, CTL_MEMORY, WRITE_OBSOLETE, "memory.kernel",
			    "memory.kmem.limit_in_bytes", r->memory.kernel.value);
	if (is_set(r->memory.kernel_tcp))
		plan_number(plan, CTL_MEMORY, 0, "memory.kernelTCP",
			    "memory.kmem.tcp.limit_in_bytes", r->memory.kernel_tcp.value);
	if (r->memory.has_use_hierarchy)
		plan_number(plan, CTL_MEMORY, r->memory.use_hierarchy ? 0 : WRITE_OBSOLETE,
			    "memory.useHierarchy", "memory.use_hierarchy", r->memory.use_hierarchy);
	if (r->memory.swappiness.set && r->memory.swappiness.value >= 0)
		plan_number(plan, CTL_MEMORY, 0, "memory.swappiness", "memory.swappiness",
			    r->memory.swappiness.value);
	if (r->memory.has_disable_oom_killer)
		plan_number(plan, CTL_MEMORY, r->memory.disable_oom_killer ? 0 : WRITE_OPTIONAL,
			    "memory.disableOOMKiller", "memory.oom_control",
			    r->memory.disable_oom_killer);
}

static void plan_cpu(struct plan *plan, const struct oci_resources *r)
{
	if (is_set(r->cpu.shares))
		plan_number(plan, CTL_CPU, 0, "cpu.shares", "cpu.shares", r->cpu.shares.value);
	if (is_set(r->cpu.period))
		plan_number(plan, CTL_CPU, WRITE_RETRY, "cpu.period", "cpu.cfs_period_us",
			    r->cpu.period.value);
	if (r->cpu.burst.set)
		plan_number(plan, CTL_CPU,
			    WRITE_RETRY | (r->cpu.burst.value == 0 ? WRITE_OPTIONAL : 0),
			    "cpu.burst", "cpu.cfs_burst_us", r->cpu.burst.value);
	if (is_set(r->cpu.quota))
		plan_number(plan, CTL_CPU, WRITE_RETRY, "cpu.quota", "cpu.cfs_quota_us",
			    r->cpu.quota.value < 0 ? -1 : r->cpu.quota.value);
	if (is_set(r->cpu.realtime_period))
		plan_number(plan, CTL_CPU, WRITE_RETRY, "cpu.realtimePeriod", "cpu.rt_period_us",
			    r->cpu.realtime_period.value);
	if (is_set(r->cpu.realtime_runtime))
		plan_number(plan, CTL_CPU, WRITE_RETRY, "cpu.realtimeRuntime", "cpu.rt_runtime_us",
			    r->cpu.realtime_runtime.value);
	if (r->cpu.idle.set)
		plan_number(plan, CTL_CPU, r->cpu.idle.value == 0 ? WRITE_OPTIONAL : 0, "cpu.idle",
			    "cpu.idle", r->cpu.idle.value);
}

static void plan_cpuset(struct plan *plan, const struct oci_resources *r)
{
	if (r->cpu.cpus && *r->cpu.cpus)
		plan_add(plan, CTL_CPUSET, 0, "cpu.cpus", "cpuset.cpus", r->cpu.cpus);
	if (r->cpu.mems && *r->cpu.mems)
		plan_add(plan, CTL_CPUSET, 0, "cpu.mems", "cpuset.mems", r->cpu.mems);
}

/* A write of @number whose file is called @alt where the BFQ scheduler does the weighing. */
static void plan_weight(struct plan *plan, const char *member, const char *file, const char *alt,
			const char *value)
{
	struct plan_write *w = plan_add(plan, CTL_IO, 0, member, file, value);
	w->alt_file = alt;
	w->alt_value = value;
}

static void plan_throttle(struct plan *plan, const char *member, const char *file,
			  const struct oci_blkio_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		plan_add(plan, CTL_IO, 0, member, file,
			 arena_printf(plan->arena, "%lld:%lld %llu", (long long)list->list[i].major,
				      (long long)list->list[i].minor,
				      (unsigned long long)list->list[i].rate));
}

static void plan_io(struct plan *plan, const struct oci_resources *r)
{
	if (is_set(r->blkio.weight))
		plan_weight(plan, "blockIO.weight", "blkio.weight", "blkio.bfq.weight",
			    arena_printf(plan->arena, "%lld", (long long)r->blkio.weight.value));
	if (is_set(r->blkio.leaf_weight))
		plan_number(plan, CTL_IO, 0, "blockIO.leafWeight", "blkio.leaf_weight",
			    r->blkio.leaf_weight.value);
	for (size_t i = 0; i < r->blkio.weight_device.count; i++) {
		const struct oci_blkio_device *d = &r->blkio.weight_device.list[i];
		if (d->has_weight)
			plan_weight(plan, "blockIO.weightDevice", "blkio.weight_device",
				    "blkio.bfq.weight_device",
				    arena_printf(plan->arena, "%lld:%lld %u", (long long)d->major,
						 (long long)d->minor, d->weight));
		if (d->has_leaf_weight)
			plan_add(plan, CTL_IO, 0, "blockIO.weightDevice",
				 "blkio.leaf_weight_device",
				 arena_printf(plan->arena, "%lld:%lld %u", (long long)d->major,
					      (long long)d->minor, d->leaf_weight));
	}
	plan_throttle(plan, "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device",
		      &r->blkio.read_bps);
	plan_throttle(plan, "blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device",
		      &r->blkio.write_bps);
	plan_throttle(plan, "blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device",
		      &r->blkio.read_iops);
	plan_throttle(plan, "blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
		      &r->blkio.write_iops);
}

static void plan_network(struct plan *plan, unsigned controllers, const struct oci_resources *r)
{
	if (r->network.class_id.set && controllers & CTL_BIT(CTL_NET_CLS))
		plan_number(plan, CTL_NET_CLS, r->network.class_id.value == 0 ? WRITE_OPTIONAL : 0,
			    "network.classID", "net_cls.classid", r->network.class_id.value);
	if (!(controllers & CTL_BIT(CTL_NET_PRIO)))
		return;
	for (size_t i = 0; i < r->network.priority_count; i++)
		plan_add(plan, CTL_NET_PRIO, 0, "network.priorities", "net_prio.ifpriomap",
			 arena_printf(plan->arena, "%s %u", r->network.priorities[i].name,
				      r->network.priorities[i].priority));
}

int v1_plan(struct plan *plan, unsigned controllers, const struct oci_resources *r,
	    struct masu_error *err)
{
	if (controllers & CTL_BIT(CTL_MEMORY))
		plan_memory(plan, r);
	if (controllers & CTL_BIT(CTL_CPU))
		plan_cpu(plan, r);
	if (controllers & CTL_BIT(CTL_CPUSET))
		plan_cpuset(plan, r);
	if (controllers & CTL_BIT(CTL_PIDS))
		plan_pids(plan, r);
	if (controllers & CTL_BIT(CTL_IO))
		plan_io(plan, r);
	if (controllers & CTL_BIT(CTL_HUGETLB))
		plan_hugetlb(plan, r, "limit_in_bytes");
	plan_network(plan, controllers, r);
	if (controllers & CTL_BIT(CTL_RDMA))
		plan_rdma(plan, r);
	/* On a hybrid machine the cgroup2 tree takes these, see v2_plan(). */
	if (r->unified_count > 0 && controllers & CTL_BIT(CTL_CORE))
		return error_set(err, -ENOTSUP,
				 "linux.resources.unified: cannot be used on cgroup v1");
	return 0;
}

const struct cgroup_ops v1_ops = {
	.name = "v1",
	.devices = v1_devices,
	.freeze = v1_freeze,
	.is_frozen = v1_is_frozen,
	.kill_all = v1_kill_all,
	.wait_empty = v1_wait_empty,
	.oom_killed = v1_oom_killed,
	.stats = v1_stats,
	.mount = v1_mount,
};
