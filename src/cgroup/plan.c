/*
 * A plan: the file writes that put limits in force, in order. Making it is pure and reports what
 * cannot be said on this machine before anything is touched; carrying it out is one loop.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

void plan_init(struct plan *plan, struct arena *arena)
{
	*plan = (struct plan) { .arena = arena };
	plan->last = &plan->first;
}

struct plan_write *plan_add(struct plan *plan, enum controller c, unsigned flags,
			    const char *member, const char *file, const char *value)
{
	struct plan_write *w = arena_new(plan->arena, struct plan_write);
	if (!w || !file || !value) {
		static struct plan_write discarded;
		plan->error = -ENOMEM;
		return &discarded;
	}
	*w = (struct plan_write) {
		.controller = c, .flags = flags, .member = member, .file = file, .value = value
	};
	*plan->last = w;
	plan->last = &w->next;
	if (!(flags & WRITE_OPTIONAL))
		plan->needed |= CTL_BIT(c);
	return w;
}

struct plan_write *plan_number(struct plan *plan, enum controller c, unsigned flags,
			       const char *member, const char *file, int64_t value)
{
	return plan_add(plan, c, flags, member, file,
			arena_printf(plan->arena, "%lld", (long long)value));
}

int resources_validate(const struct oci_resources *r, struct masu_error *err)
{
	int64_t limit = r->memory.limit.value, swap = r->memory.swap.value;
	if (r->memory.limit.set && limit > 0 && r->memory.swap.set && swap > 0 && swap < limit)
		return error_set(
			err, -EINVAL,
			"linux.resources.memory.swap: %lld is memory and swap together and "
			"may not be less than the memory limit %lld",
			(long long)swap, (long long)limit);
	if (r->memory.swappiness.set &&
	    (r->memory.swappiness.value < -1 || r->memory.swappiness.value > 100))
		return error_set(err, -EINVAL,
				 "linux.resources.memory.swappiness: %lld is not in 0..100",
				 (long long)r->memory.swappiness.value);
	if (r->cpu.burst.set && r->cpu.quota.set && r->cpu.quota.value > 0 &&
	    r->cpu.burst.value > r->cpu.quota.value)
		return error_set(err, -EINVAL,
				 "linux.resources.cpu.burst: %lld is larger than the quota %lld",
				 (long long)r->cpu.burst.value, (long long)r->cpu.quota.value);
	for (size_t i = 0; i < r->hugepage_count; i++) {
		const char *size = r->hugepages[i].page_size;
		size_t digits = strspn(size, "0123456789");
		if (!digits || (!streq(size + digits, "KB") && !streq(size + digits, "MB") &&
				!streq(size + digits, "GB")))
			return error_set(
				err, -EINVAL,
				"linux.resources.hugepageLimits[%zu].pageSize: \"%s\" is not "
				"like \"2MB\"",
				i, size);
	}
	return 0;
}

static const char *pids_max(struct arena *arena, int64_t limit)
{
	if (limit < 0)
		return "max";
	/* The one process that enters a group must still fit: 0 and 1 both mean "no fork". */
	return limit == 0 ? "1" : arena_printf(arena, "%lld", (long long)limit);
}

void plan_pids(struct plan *plan, const struct oci_resources *r)
{
	if (r->pids_limit.set)
		plan_add(plan, CTL_PIDS, r->pids_limit.value < 0 ? WRITE_OPTIONAL : 0, "pids.limit",
			 "pids.max", pids_max(plan->arena, r->pids_limit.value));
}

void plan_hugetlb(struct plan *plan, const struct oci_resources *r, const char *file)
{
	for (size_t i = 0; i < r->hugepage_count; i++) {
		const char *size = r->hugepages[i].page_size;
		const char *value = arena_printf(plan->arena, "%llu",
						 (unsigned long long)r->hugepages[i].limit);
		plan_add(plan, CTL_HUGETLB, 0, "hugepageLimits",
			 arena_printf(plan->arena, "hugetlb.%s.%s", size, file), value);
		/* Reservation accounting came with 5.7. */
		plan_add(plan, CTL_HUGETLB, WRITE_OPTIONAL, "hugepageLimits",
			 arena_printf(plan->arena, "hugetlb.%s.rsvd.%s", size, file), value);
	}
}

void plan_rdma(struct plan *plan, const struct oci_resources *r)
{
	for (size_t i = 0; i < r->rdma_count; i++) {
		const char *handles = "", *objects = "";
		if (r->rdma[i].handles.set)
			handles = arena_printf(plan->arena, " hca_handle=%lld",
					       (long long)r->rdma[i].handles.value);
		if (r->rdma[i].objects.set)
			objects = arena_printf(plan->arena, " hca_object=%lld",
					       (long long)r->rdma[i].objects.value);
		plan_add(plan, CTL_RDMA, 0, "rdma", "rdma.max",
			 handles && objects ? arena_printf(plan->arena, "%s%s%s", r->rdma[i].name,
							   handles, objects)
					    : NULL);
	}
}

int plan_resources(struct cgroup *cgroup, const struct oci_resources *r, struct plan *plan,
		   struct masu_error *err)
{
	int result = resources_validate(r, err);
	if (result < 0)
		return result;
	/* A controller that no tree hosts is planned in the layout's own spelling, for plan_check()
	 * to name. */
	unsigned v1 = 0, v2 = 0;
	for (int c = 0; c < CTL_COUNT; c++) {
		const struct cgroup_tree *tree = cgroup_tree_of(cgroup, (enum controller)c);
		bool on_v2 = tree ? tree->v2 : cgroup->layout == CGROUP_V2;
		*(on_v2 ? &v2 : &v1) |= CTL_BIT(c);
	}
	result = v1_plan(plan, v1, r, err);
	if (result == 0)
		result = v2_plan(plan, v2, r, err);
	if (result == 0 && plan->error)
		result = error_set(err, plan->error, "out of memory");
	return result;
}

int plan_check(struct cgroup *cgroup, const struct plan *plan, struct masu_error *err)
{
	for (const struct plan_write *w = plan->first; w; w = w->next) {
		if (cgroup_tree_of(cgroup, w->controller) || w->flags & WRITE_OPTIONAL)
			continue;
		/* A controller that masu does not know is named by the file the user asked for. */
		const char *name =
			w->controller == CTL_OTHER
				? w->file
				: controller_name(w->controller, cgroup->layout == CGROUP_V2);
		return error_set(err, -ENOTSUP,
				 "linux.resources.%s needs the cgroup controller \"%.*s\", which "
				 "this machine (cgroup %s) does not have; remove the limit",
				 w->member, (int)strcspn(name, "."), name,
				 cgroup_layout_name(cgroup->layout));
	}
	return 0;
}

static int write_lines(int dir_fd, const char *file, const char *value)
{
	char line[4096];
	int r = 0;
	for (const char *p = value; r == 0 && *p;) {
		size_t len = strcspn(p, "\n");
		if (len >= sizeof(line))
			return -E2BIG;
		memcpy(line, p, len);
		line[len] = '\0';
		if (len > 0)
			r = fs_write_at(dir_fd, file, line);
		p += len + (p[len] == '\n');
	}
	return r;
}

static int write_one(int dir_fd, const struct plan_write *w)
{
	int r = w->flags & WRITE_LINES ? write_lines(dir_fd, w->file, w->value)
				       : fs_write_at(dir_fd, w->file, w->value);
	if (r == -ENOENT && w->alt_file)
		r = fs_write_at(dir_fd, w->alt_file, w->alt_value);
	if (r == -ENOENT && w->flags & WRITE_OPTIONAL)
		r = 0;
	if ((r == -EOPNOTSUPP || r == -EINVAL || r == -ENOENT) && w->flags & WRITE_OBSOLETE) {
		log_warn("linux.resources.%s: this kernel no longer has this limit; it is ignored",
			 w->member);
		r = 0;
	}
	return r;
}

static int write_failed(const struct cgroup_tree *tree, const struct plan_write *w, int r,
			struct masu_error *err)
{
	if (r == -ENOENT)
		return error_set(
			err, -ENOTSUP,
			"linux.resources.%s: this kernel's cgroup %s has no %s; remove the "
			"limit",
			w->member, tree->v2 ? "v2" : "v1", w->file);
	char usage[32];
	const char *current = tree->v2 ? "memory.current" : "memory.usage_in_bytes";
	if (r == -EBUSY && w->controller == CTL_MEMORY &&
	    fs_read_small(tree->dir_fd, current, usage, sizeof(usage)) == 0)
		return error_set(err, r,
				 "linux.resources.%s: %s bytes are in use, which is more than %s",
				 w->member, usage, w->value);
	return error_errno(err, r, "linux.resources.%s: write \"%s\" to %s%s/%s", w->member,
			   w->value, tree->mount, tree->path, w->file);
}

/*
 * Values that bound each other (limit and memsw, quota and period) must be raised in one order and
 * lowered in the other. Which it is depends on what is set now; so a refused WRITE_RETRY write
 * waits until the rest is done, and only its second refusal counts.
 */
int plan_apply(struct cgroup *cgroup, struct plan *plan, struct masu_error *err)
{
	for (int pass = 0; pass < 2; pass++)
		for (struct plan_write *w = plan->first; w; w = w->next) {
			struct cgroup_tree *tree = cgroup_tree_of(cgroup, w->controller);
			if (w->done || !tree || !tree->used)
				continue;
			int r = tree_open(tree);
			if (r == 0)
				r = write_one(tree->dir_fd, w);
			if (r == -EINVAL && pass == 0 && w->flags & WRITE_RETRY)
				continue;
			if (r < 0)
				return write_failed(tree, w, r, err);
			w->done = true;
		}
	return 0;
}
