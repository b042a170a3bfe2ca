/*
 * Changing the limits of a container: of its live groups, then of its record. Docker's checks, with
 * its words.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cpulist.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/validate.h"
#include "sys/fs.h"
#include "sys/proc.h"

#define MEMORY_MIN     (6 << 20)
#define NANO_PER_CPU   1000000000
#define SHARES_DEFAULT 1024

/* ---- what is asked for, by itself ---- */

static int check_memory(const struct container_update *u, struct masu_error *err)
{
	if (u->memory && u->memory < MEMORY_MIN)
		return error_set(err, -EINVAL, "Minimum memory limit allowed is 6MB");
	if (u->memory > 0 && u->memory_swap > 0 && u->memory_swap < u->memory)
		return error_set(err, -EINVAL,
				 "Minimum memoryswap limit should be larger than memory limit, see "
				 "usage");
	if (u->memory_swap < -1)
		return error_set(err, -EINVAL, "invalid memory swap limit: %lld",
				 (long long)u->memory_swap);
	if (u->memory_reservation && u->memory_reservation < MEMORY_MIN)
		return error_set(err, -EINVAL, "Minimum memory reservation allowed is 6MB");
	if (u->memory > 0 && u->memory_reservation > 0 && u->memory < u->memory_reservation)
		return error_set(err, -EINVAL,
				 "Minimum memory limit can not be less than memory reservation "
				 "limit, see usage");
	return 0;
}

static int check_cpu(const struct container_update *u, struct masu_error *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (u->nano_cpus > 0 && (u->cpu_period > 0 || u->cpu_quota > 0))
		return error_set(err, -EINVAL,
				 "Conflicting options: Nano CPUs and CPU %s cannot both be set",
				 u->cpu_period > 0 ? "Period" : "Quota");
	if (u->nano_cpus &&
	    (u->nano_cpus < NANO_PER_CPU / 100 || u->nano_cpus > cpus * NANO_PER_CPU))
		return error_set(err, -EINVAL,
				 "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs "
				 "available",
				 cpus, cpus);
	if (u->cpu_period && (u->cpu_period < 1000 || u->cpu_period > 1000000))
		return error_set(err, -EINVAL,
				 "CPU cfs period can not be less than 1ms (i.e. 1000) or larger "
				 "than 1s (i.e. 1000000)");
	if (u->cpu_quota > 0 && u->cpu_quota < 1000)
		return error_set(err, -EINVAL,
				 "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (u->cpu_shares < 0)
		return error_set(err, -EINVAL, "shares must be positive: invalid value %lld",
				 (long long)u->cpu_shares);
	if (u->blkio_weight && (u->blkio_weight < 10 || u->blkio_weight > 1000))
		return error_set(err, -EINVAL, "Range of blkio weight is from 10 to 1000");
	return 0;
}

static int check_list(const char *list, const char *online, const char *what, const char *name,
		      struct masu_error *err)
{
	char available[4096];
	if (!list || !*list)
		return 0;
	int r = cpulist_within(list, list);
	if (r < 0)
		return error_set(err, r, "Invalid value %.200s for cpuset %s", list, what);
	if (fs_read_small(AT_FDCWD, online, available, sizeof(available)) < 0)
		return 0; /* the kernel decides */
	r = cpulist_within(list, available);
	if (r == 0)
		return error_set(err, -EINVAL,
				 "Requested %s are not available - requested %.200s, available: "
				 "%.200s",
				 name, list, available);
	return r < 0 ? r : 0;
}

static int check(const struct container_update *u, struct masu_error *err)
{
	int r = check_memory(u, err);
	if (r == 0)
		r = check_cpu(u, err);
	if (r == 0)
		r = check_list(u->cpuset_cpus, "/sys/devices/system/cpu/online", "cpus", "CPUs",
			       err);
	if (r == 0)
		r = check_list(u->cpuset_mems, "/sys/devices/system/node/online", "mems",
			       "memory nodes", err);
	return r;
}

/* ---- together with what there is ---- */

static int conflicts(const struct container_config *c, const struct container_update *u,
		     struct masu_error *err)
{
	const char *text = NULL;
	if (u->nano_cpus > 0 && c->cpu_period > 0)
		text = "Nano CPUs cannot be updated as CPU Period has already been set";
	else if (u->nano_cpus > 0 && c->cpu_quota > 0)
		text = "Nano CPUs cannot be updated as CPU Quota has already been set";
	else if (u->cpu_period > 0 && c->nano_cpus > 0)
		text = "CPU Period cannot be updated as NanoCPUs has already been set";
	else if (u->cpu_quota > 0 && c->nano_cpus > 0)
		text = "CPU Quota cannot be updated as NanoCPUs has already been set";
	return text ? error_set(err, -EINVAL, "Conflicting options: %s", text) : 0;
}

/* What --memory came to at creation is kept, as docker has it in its record. */
static int64_t swap_limit(const struct container_config *c)
{
	if (c->memory_swap || c->memory <= 0)
		return c->memory_swap;
	return c->memory > INT64_MAX / 2 ? INT64_MAX : c->memory * 2;
}

static int merge_memory(struct container_config *c, const struct container_update *u,
			struct masu_error *err)
{
	int64_t swap = swap_limit(c);
	if ((u->memory || u->memory_swap) && exec_driver_bounds_memory(c->runtime))
		return error_set(err, -ENOTSUP,
				 "the memory of a virtual machine is what it was made with");
	if (u->memory && !u->memory_swap && swap > 0 && u->memory > swap)
		return error_set(err, -EINVAL,
				 "Memory limit should be smaller than already set memoryswap "
				 "limit, update the memoryswap at the same time");
	if (u->memory_swap > 0 && !u->memory && c->memory > u->memory_swap)
		return error_set(err, -EINVAL,
				 "Minimum memoryswap limit should be larger than memory limit, see "
				 "usage");
	if (u->memory_swap > 0 && !u->memory && !c->memory)
		return error_set(err, -EINVAL,
				 "You should always set the Memory limit when using Memoryswap "
				 "limit, see usage");
	if (u->memory) {
		c->memory = u->memory;
		c->memory_swap = swap;
	}
	if (u->memory_swap)
		c->memory_swap = u->memory_swap;
	if (u->memory_reservation)
		c->memory_reservation = u->memory_reservation;
	if (u->kernel_memory)
		c->kernel_memory = u->kernel_memory;
	return 0;
}

static void merge_numbers(struct container_config *c, const struct container_update *u)
{
	const struct {
		int64_t *to, from;
	} numbers[] = {
		{ &c->nano_cpus, u->nano_cpus },	 { &c->cpu_shares, u->cpu_shares },
		{ &c->cpu_quota, u->cpu_quota },	 { &c->cpu_period, u->cpu_period },
		{ &c->cpu_rt_period, u->cpu_rt_period }, { &c->cpu_rt_runtime, u->cpu_rt_runtime },
		{ &c->blkio_weight, u->blkio_weight },
	};
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].from)
			*numbers[i].to = numbers[i].from;
	if (u->has_pids_limit)
		c->pids_limit = u->pids_limit;
	if (u->cpuset_cpus && *u->cpuset_cpus)
		c->cpuset_cpus = u->cpuset_cpus;
	if (u->cpuset_mems && *u->cpuset_mems)
		c->cpuset_mems = u->cpuset_mems;
}

static int merge(struct container_config *c, const struct container_update *u,
		 struct masu_error *err)
{
	int r = conflicts(c, u, err);
	if (r == 0)
		r = merge_memory(c, u, err);
	if (r < 0)
		return r;
	merge_numbers(c, u);
	if (!u->has_restart)
		return 0;
	if (c->auto_remove && u->restart != RESTART_NO)
		return error_set(err, -EINVAL,
				 "Restart policy cannot be updated because AutoRemove is enabled "
				 "for the container");
	c->restart = u->restart;
	c->restart_max = u->restart_max;
	return config_check_supported(c, err);
}

/* ---- the live groups ---- */

/* Of all that @container's configuration asks for, what @u is about. @unset: what is not limited is
 * to be unlimited, rather than left as it is. */
static int resources_of(struct engine *engine, struct arena *arena,
			const struct container *container, const struct container_update *u,
			bool unset, struct oci_resources *ret, struct masu_error *err)
{
	const struct spec_context context = {
		.engine = engine, .arena = arena, .container = container, .root_fd = -1
	};
	struct oci_spec spec = { 0 };
	const struct oci_i64 unlimited = { .set = true, .value = -1 };
	int r = spec_resources(&context, &spec, err);
	if (r < 0)
		return r;
	const struct oci_resources *all = &spec.resources;
	struct oci_resources some = { .present = true };
	if (u->memory || u->memory_swap) {
		some.memory.limit = all->memory.limit;
		some.memory.swap = all->memory.swap;
	}
	if (u->memory_reservation)
		some.memory.reservation = all->memory.reservation;
	if (u->kernel_memory)
		some.memory.kernel = all->memory.kernel;
	if (u->cpu_shares)
		some.cpu.shares =
			all->cpu.shares.set
				? all->cpu.shares
				: (struct oci_i64) { .set = unset, .value = SHARES_DEFAULT };
	if (u->nano_cpus || u->cpu_quota || u->cpu_period) {
		some.cpu.quota = all->cpu.quota;
		some.cpu.period = all->cpu.period;
		some.cpu.cpus = container->config.proc_limits ? all->cpu.cpus : NULL;
	}
	if (u->cpu_rt_runtime || u->cpu_rt_period) {
		some.cpu.realtime_runtime = all->cpu.realtime_runtime;
		some.cpu.realtime_period = all->cpu.realtime_period;
	}
	some.cpu.cpus = u->cpuset_cpus && *u->cpuset_cpus ? all->cpu.cpus : some.cpu.cpus;
	some.cpu.mems = u->cpuset_mems && *u->cpuset_mems ? all->cpu.mems : NULL;
	if (u->blkio_weight) {
		some.blkio.present = true;
		some.blkio.weight = all->blkio.weight;
	}
	if (u->has_pids_limit)
		some.pids_limit = all->pids_limit.set ? all->pids_limit : unlimited;
	if (unset && (u->memory || u->memory_swap) && !some.memory.limit.set)
		some.memory.limit = some.memory.swap = unlimited;
	if (unset && u->memory_reservation && !some.memory.reservation.set)
		some.memory.reservation = unlimited;
	if (unset && (u->nano_cpus || u->cpu_quota) && !some.cpu.quota.set)
		some.cpu.quota = unlimited;
	*ret = some;
	return 0;
}

static bool changes_groups(const struct container_update *u)
{
	return u->memory || u->memory_swap || u->memory_reservation || u->kernel_memory ||
	       u->nano_cpus || u->cpu_shares || u->cpu_quota || u->cpu_period ||
	       u->cpu_rt_runtime || u->cpu_rt_period || u->blkio_weight || u->has_pids_limit ||
	       (u->cpuset_cpus && *u->cpuset_cpus) || (u->cpuset_mems && *u->cpuset_mems);
}

struct updating {
	struct engine *engine;
	struct arena *arena;
	const struct container_update *update;
	struct container *container;
	struct container_config before;
	struct cgroup *cgroup;
	bool joined;
	bool touched; /* limits were written, or may have been */
};

/*
 * The monitor hears of groups to come before they are made: however the container ends, somebody
 * then knows of them.
 */
static int announce_groups(struct updating *u, const struct oci_resources *resources,
			   const char **ret_warning, struct masu_error *err)
{
	bool memory;
	int r = cgroup_missing(u->cgroup, resources, &u->joined, &memory, err);
	if (r < 0 || !u->joined)
		return r;
	if (memory)
		*ret_warning = "The container had no memory limit: what it uses already is not "
			       "counted against the new one.";
	r = container_mark_joined(u->container, err);
	if (r == 0 && (r = monitor_reload(u->container)) < 0)
		error_errno(err, r, "container %s: its monitor does not answer",
			    u->container->name);
	return r;
}

static int apply(struct updating *u, const char **ret_warning, struct masu_error *err)
{
	struct oci_resources resources;
	if (!changes_groups(u->update) || !u->container->pid)
		return 0;
	int r = container_cgroup_live(u->container, &u->cgroup, err);
	if (r == 0 && !u->cgroup)
		r = error_set(err, -ENOTSUP, "container %s has no cgroup, so it has no limits",
			      u->container->name);
	if (r == 0)
		r = resources_of(u->engine, u->arena, u->container, u->update, false, &resources,
				 err);
	if (r == 0)
		r = announce_groups(u, &resources, ret_warning, err);
	if (r < 0)
		return r;
	u->touched = true;
	return cgroup_update(u->cgroup, &resources, err);
}

/* As far as that is possible; the first failure is what is told. Limits that were not written are
 * not taken back: that would make groups of which nobody was told. */
static void roll_back(struct updating *u)
{
	struct oci_resources resources;
	u->container->config = u->before;
	if (u->touched &&
	    resources_of(u->engine, u->arena, u->container, u->update, true, &resources, NULL) == 0)
		cgroup_update(u->cgroup, &resources, NULL);
}

/* Where it has ended meanwhile nobody else may know of the groups that it joined last. */
static void leave_nothing(struct updating *u)
{
	struct container now;
	if (!u->joined || proc_is_alive(u->container->pid, u->container->pid_start_time) != 0)
		return;
	container_await_end(u->engine, u->container->id, NULL);
	bool alive = false;
	if (store_load(u->engine, u->arena, u->container->id, &now, NULL) == 0) {
		alive = now.pid || now.monitor_pid;
		container_close(&now);
	}
	if (!alive)
		cgroup_remove(u->cgroup, NULL);
}

/* The record goes back as well, where they cannot be published. */
static int apply_ports(struct updating *u, struct masu_error *err)
{
	if ((!u->update->publish_add && !u->update->publish_rm) || !u->container->pid)
		return 0;
	int r = monitor_publish(u->container, err);
	if (r == 0)
		return 0;
	u->container->config = u->before;
	store_replace_record(u->container, NULL);
	return r;
}

static int update_locked(struct updating *u, const char **ret_warning, struct masu_error *err)
{
	int r = lifecycle_check(u->container, VERB_CHANGE, err);
	u->before = u->container->config;
	if (r == 0)
		r = merge(&u->container->config, u->update, err);
	if (r == 0)
		r = update_ports(u->arena, u->container, u->update, err);
	/* What waits for the start was made with the old limits. */
	if (r == 0)
		r = container_unpark(u->container, err);
	if (r < 0)
		return r;
	if (u->container->status == CONTAINER_CREATED)
		u->container->pid = 0;
	r = apply(u, ret_warning, err);
	if (r == 0)
		r = store_replace_record(u->container, err);
	if (r == 0)
		r = apply_ports(u, err);
	if (r < 0)
		roll_back(u);
	leave_nothing(u);
	return r;
}

int engine_update(struct engine *engine, const char *id, const struct container_update *update,
		  const char **ret_warning, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int lock = -1;
	struct container container;
	struct updating u = {
		.engine = engine, .arena = &arena, .update = update, .container = &container
	};
	*ret_warning = NULL;
	int r = check(update, err);
	if (r < 0)
		return r;
	arena_init(&arena, 0);
	r = container_load_locked(engine, &arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	r = update_locked(&u, ret_warning, err);
	cgroup_close(u.cgroup);
	cleanup_close(&lock);
	if (r == 0) {
		monitor_reload(&container);
		event_container(engine, &container, "update", NULL, 0);
	} else {
		error_wrap(err, "Cannot update container %.12s", id);
	}
	container_close(&container);
	return r;
}
