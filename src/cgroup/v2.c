/*
 * Limits as cgroup2 spells them (kernel: Documentation/admin-guide/cgroup-v2.rst). The spec's
 * members are v1's, so numbers are converted; what has no counterpart is refused by name, as the
 * spec asks ("If the conversion is not possible the runtime MUST generate an error").
 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

static bool is_set(struct oci_i64 n)
{
	return n.set && n.value != 0;
}

static const char *max_or(struct arena *arena, int64_t value)
{
	return value < 0 ? "max" : arena_printf(arena, "%lld", (long long)value);
}

/* log2 of @n >= 1 with 32 binary places: each squaring of the mantissa yields the next. */
static uint64_t log2_fixed(uint64_t n)
{
	unsigned whole = 63 - (unsigned)__builtin_clzll(n);
	uint64_t mantissa = n << (62 - whole), fraction = 0; /* 62 places, in [1, 2) */
	for (int bit = 0; bit < 32; bit++) {
		unsigned __int128 square = (unsigned __int128)mantissa * mantissa >> 62;
		bool carry = square >> 63;
		mantissa = (uint64_t)(carry ? square >> 1 : square);
		fraction = fraction << 1 | carry;
	}
	return (uint64_t)whole << 32 | fraction;
}

/* 2 to the power of @x with 32 binary places, rounded up; @x below 32. */
static uint64_t exp2_ceil(uint64_t x)
{
	const uint64_t one = UINT64_C(1) << 60, ln2 = UINT64_C(799144290325165979);
	uint64_t t = (uint64_t)((unsigned __int128)(x & UINT32_MAX) * ln2 >> 32);
	uint64_t sum = one, term = one;
	for (unsigned n = 1; term; n++) {
		term = (uint64_t)((unsigned __int128)term * t >> 60) / n;
		sum += term;
	}
	return (uint64_t)((((unsigned __int128)sum << (x >> 32)) + one - 1) >> 60);
}

/*
 * shares 2, 1024, 262144 (least, default, most) are the weights 1, 100, 10000; in between the
 * weight is 10 to the power of a quadratic in l = log2(shares), (l^2 + 125 l) / 612 - 7 / 34, which
 * keeps the ratios to the default that users know from v1. The function is the one that runc, crun
 * and Kubernetes agreed upon in 2025; the earlier linear one gave shares 1024 the weight 39. Whole
 * numbers do it, so that the program needs no libm.
 */
uint64_t cpu_weight_from_shares(uint64_t shares)
{
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	if (shares == 1024)
		return 100; /* no room for a rounding error in what is exact */
	const uint64_t log2_of_10 = UINT64_C(14267572527); /* 32 places, as everything here */
	uint64_t l = log2_fixed(shares);
	uint64_t square = (uint64_t)((unsigned __int128)l * l >> 32);
	uint64_t exponent = (square + 125 * l) / 612 - (UINT64_C(7) << 32) / 34;
	return exp2_ceil((uint64_t)((unsigned __int128)exponent * log2_of_10 >> 32));
}

/* [10, 1000] -> [1, 10000], linear. */
uint64_t io_weight_from_blkio(uint64_t weight)
{
	return weight <= 10 ? 1 : 1 + (weight - 10) * 9999 / 990;
}

/* The names of v1-only members in use, for the refusal; NULL where there are none. */
static const char *first_v1_only(unsigned controllers, const struct oci_resources *r)
{
	if (controllers & CTL_BIT(CTL_MEMORY)) {
		if (r->memory.kernel.set && r->memory.kernel.value > 0)
			return "memory.kernel";
		if (r->memory.kernel_tcp.set && r->memory.kernel_tcp.value > 0)
			return "memory.kernelTCP";
		if (r->memory.swappiness.set && r->memory.swappiness.value >= 0)
			return "memory.swappiness";
		if (r->memory.has_disable_oom_killer && r->memory.disable_oom_killer)
			return "memory.disableOOMKiller";
		if (r->memory.has_use_hierarchy && !r->memory.use_hierarchy)
			return "memory.useHierarchy";
	}
	if (controllers & CTL_BIT(CTL_CPU)) {
		if (is_set(r->cpu.realtime_runtime))
			return "cpu.realtimeRuntime";
		if (is_set(r->cpu.realtime_period))
			return "cpu.realtimePeriod";
	}
	if (controllers & CTL_BIT(CTL_IO)) {
		if (is_set(r->blkio.leaf_weight))
			return "blockIO.leafWeight";
		for (size_t i = 0; i < r->blkio.weight_device.count; i++)
			if (r->blkio.weight_device.list[i].has_leaf_weight)
				return "blockIO.weightDevice.leafWeight";
	}
	if (controllers & CTL_BIT(CTL_NET_CLS) && is_set(r->network.class_id))
		return "network.classID";
	if (controllers & CTL_BIT(CTL_NET_PRIO) && r->network.priority_count > 0)
		return "network.priorities";
	return NULL;
}

/* memory.swap.max limits swap alone, the spec's swap is memory and swap together. */
static int plan_memory(struct plan *plan, const struct oci_resources *r, struct masu_error *err)
{
	bool limited = is_set(r->memory.limit), swap = is_set(r->memory.swap);
	int64_t limit = r->memory.limit.value, total = r->memory.swap.value;
	if (swap && total > 0 && !limited)
		return error_set(
			err, -EINVAL,
			"linux.resources.memory.swap: a swap limit needs memory.limit too");
	if (swap || (limited && limit == -1)) {
		int64_t own = !swap || total < 0 ? -1 : limit == -1 ? total : total - limit;
		/* No file: the kernel has no swap accounting, so these two say nothing new. */
		plan_add(plan, CTL_MEMORY, own <= 0 ? WRITE_OPTIONAL : 0, "memory.swap",
			 "memory.swap.max", max_or(plan->arena, own));
	}
	if (limited)
		plan_add(plan, CTL_MEMORY, 0, "memory.limit", "memory.max",
			 max_or(plan->arena, limit));
	if (is_set(r->memory.reservation))
		plan_add(plan, CTL_MEMORY, 0, "memory.reservation", "memory.low",
			 max_or(plan->arena, r->memory.reservation.value));
	return 0;
}

#define DEFAULT_PERIOD_US 100000

static void plan_cpu(struct plan *plan, const struct oci_resources *r)
{
	if (r->cpu.idle.set)
		plan_number(plan, CTL_CPU, r->cpu.idle.value == 0 ? WRITE_OPTIONAL : 0, "cpu.idle",
			    "cpu.idle", r->cpu.idle.value);
	/* An idle group has no weight of its own; the kernel refuses to set one. */
	if (is_set(r->cpu.shares) && !(r->cpu.idle.set && r->cpu.idle.value == 1))
		plan_number(plan, CTL_CPU, 0, "cpu.shares", "cpu.weight",
			    (int64_t)cpu_weight_from_shares((uint64_t)r->cpu.shares.value));
	if (r->cpu.burst.set)
		plan_number(plan, CTL_CPU,
			    WRITE_RETRY | (r->cpu.burst.value == 0 ? WRITE_OPTIONAL : 0),
			    "cpu.burst", "cpu.max.burst", r->cpu.burst.value);
	if (!is_set(r->cpu.quota) && !is_set(r->cpu.period))
		return;
	const char *quota = is_set(r->cpu.quota) ? max_or(plan->arena, r->cpu.quota.value) : "max";
	int64_t period = is_set(r->cpu.period) ? r->cpu.period.value : DEFAULT_PERIOD_US;
	plan_add(plan, CTL_CPU, WRITE_RETRY, is_set(r->cpu.quota) ? "cpu.quota" : "cpu.period",
		 "cpu.max",
		 quota ? arena_printf(plan->arena, "%s %lld", quota, (long long)period) : NULL);
}

static void plan_cpuset(struct plan *plan, const struct oci_resources *r)
{
	if (r->cpu.cpus && *r->cpu.cpus)
		plan_add(plan, CTL_CPUSET, 0, "cpu.cpus", "cpuset.cpus", r->cpu.cpus);
	if (r->cpu.mems && *r->cpu.mems)
		plan_add(plan, CTL_CPUSET, 0, "cpu.mems", "cpuset.mems", r->cpu.mems);
}

static void plan_throttle(struct plan *plan, const char *member, const char *key,
			  const struct oci_blkio_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct oci_blkio_device *d = &list->list[i];
		/* On v1 a rate of 0 takes the limit away; here "max" does. */
		const char *rate =
			d->rate ? arena_printf(plan->arena, "%llu", (unsigned long long)d->rate)
				: "max";
		plan_add(plan, CTL_IO, 0, member, "io.max",
			 rate ? arena_printf(plan->arena, "%lld:%lld %s=%s", (long long)d->major,
					     (long long)d->minor, key, rate)
			      : NULL);
	}
}

/* BFQ takes v1's numbers; without it the iocost controller's io.weight has another range. */
static void plan_io_weight(struct plan *plan, const char *member, const char *device,
			   uint64_t weight)
{
	const char *bfq = arena_printf(plan->arena, "%s%llu", device, (unsigned long long)weight);
	struct plan_write *w = plan_add(plan, CTL_IO, 0, member, "io.bfq.weight", bfq);
	w->alt_file = "io.weight";
	w->alt_value = arena_printf(plan->arena, "%s%llu", device,
				    (unsigned long long)io_weight_from_blkio(weight));
	if (!w->alt_value)
		plan->error = -ENOMEM;
}

static void plan_io(struct plan *plan, const struct oci_resources *r)
{
	if (is_set(r->blkio.weight))
		plan_io_weight(plan, "blockIO.weight", "", (uint64_t)r->blkio.weight.value);
	for (size_t i = 0; i < r->blkio.weight_device.count; i++) {
		const struct oci_blkio_device *d = &r->blkio.weight_device.list[i];
		const char *device = arena_printf(plan->arena, "%lld:%lld ", (long long)d->major,
						  (long long)d->minor);
		if (d->has_weight && device)
			plan_io_weight(plan, "blockIO.weightDevice", device, d->weight);
		else if (!device)
			plan->error = -ENOMEM;
	}
	plan_throttle(plan, "blockIO.throttleReadBpsDevice", "rbps", &r->blkio.read_bps);
	plan_throttle(plan, "blockIO.throttleWriteBpsDevice", "wbps", &r->blkio.write_bps);
	plan_throttle(plan, "blockIO.throttleReadIOPSDevice", "riops", &r->blkio.read_iops);
	plan_throttle(plan, "blockIO.throttleWriteIOPSDevice", "wiops", &r->blkio.write_iops);
}

/* linux.resources.unified: file names and values are the user's, only the shape is checked. */
static int plan_unified(struct plan *plan, unsigned controllers, const struct oci_resources *r,
			struct masu_error *err)
{
	for (size_t i = 0; i < r->unified_count; i++) {
		const char *key = r->unified[i].key;
		const char *dot = strchr(key, '.');
		if (strchr(key, '/') || !dot || dot == key)
			return error_set(err, -EINVAL,
					 "linux.resources.unified: \"%s\" is not like "
					 "\"controller.parameter\"",
					 key);
		enum controller c = controller_parse(key, (size_t)(dot - key));
		/* A controller hosted by a v1 hierarchy is not in the unified tree. */
		if (!(controllers & CTL_BIT(c)))
			return error_set(
				err, -ENOTSUP,
				"linux.resources.unified: \"%s\": the controller \"%.*s\" is "
				"not in the cgroup2 tree",
				key, (int)(dot - key), key);
		plan_add(plan, c, WRITE_LINES, arena_printf(plan->arena, "unified.%s", key), key,
			 r->unified[i].value);
	}
	return 0;
}

int v2_plan(struct plan *plan, unsigned controllers, const struct oci_resources *r,
	    struct masu_error *err)
{
	const char *refused = first_v1_only(controllers, r);
	if (refused)
		return error_set(err, -ENOTSUP,
				 "linux.resources.%s has no counterpart on cgroup v2; remove it",
				 refused);
	int result = 0;
	if (controllers & CTL_BIT(CTL_MEMORY))
		result = plan_memory(plan, r, err);
	if (controllers & CTL_BIT(CTL_CPU))
		plan_cpu(plan, r);
	if (controllers & CTL_BIT(CTL_CPUSET))
		plan_cpuset(plan, r);
	if (controllers & CTL_BIT(CTL_PIDS))
		plan_pids(plan, r);
	if (controllers & CTL_BIT(CTL_IO))
		plan_io(plan, r);
	if (controllers & CTL_BIT(CTL_HUGETLB))
		plan_hugetlb(plan, r, "max");
	if (controllers & CTL_BIT(CTL_RDMA))
		plan_rdma(plan, r);
	if (result == 0 && controllers & CTL_BIT(CTL_CORE))
		result = plan_unified(plan, controllers, r, err);
	return result;
}

int v2_check_usage(struct cgroup *cgroup, const struct oci_resources *r, struct masu_error *err)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_MEMORY);
	if (!r->memory.check_before_update || !tree || !tree->v2)
		return 0;
	char text[32];
	uint64_t usage;
	/* Best effort, as the spec's MAY: without a number there is nothing to compare. */
	if (tree_open(tree) < 0 ||
	    fs_read_small(tree->dir_fd, "memory.current", text, sizeof(text)) < 0 ||
	    str_to_u64(text, &usage) < 0)
		return 0;
	const struct oci_i64 *const limits[] = { &r->memory.limit, &r->memory.swap };
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i]->set && limits[i]->value > 0 && (uint64_t)limits[i]->value <= usage)
			return error_set(
				err, -EBUSY,
				"linux.resources.memory.%s: %llu bytes are in use, which is "
				"not less than %lld",
				i ? "swap" : "limit", (unsigned long long)usage,
				(long long)limits[i]->value);
	return 0;
}

const struct cgroup_ops v2_ops = {
	.name = "v2",
	.devices = v2_devices,
	.freeze = v2_freeze,
	.is_frozen = v2_is_frozen,
	.kill_all = v2_kill_all,
	.wait_empty = v2_wait_empty,
	.oom_killed = v2_oom_killed,
	.stats = v2_stats,
	.mount = v2_mount,
};
