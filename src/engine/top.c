#include <errno.h>
#include <stdlib.h>

#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/ps.h"
#include "sys/process.h"

static int compare_pids(const void *a, const void *b)
{
	pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
	return left < right ? -1 : left > right;
}

struct pids {
	pid_t *list;
	size_t count;
};

static int list_pids(struct cgroup *cgroup, struct arena *arena, struct pids *ret,
		     struct masu_error *err)
{
	int r = cgroup_pids(cgroup, arena, &ret->list, &ret->count, err);
	if (r == 0)
		qsort(ret->list, ret->count, sizeof(*ret->list), compare_pids);
	return r;
}

static int fill_row(struct arena *arena, const struct ps_layout *layout,
		    const struct ps_machine *machine, const struct process_info *process,
		    const char ***ret, struct masu_error *err)
{
	const char **row = arena_array(arena, const char *, layout->count + 1);
	for (size_t i = 0; row && i < layout->count; i++) {
		row[i] = ps_column_text(layout->columns[i], arena, machine, process);
		if (!row[i])
			row = NULL;
	}
	if (!row)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = row;
	return 0;
}

/*
 * The pids are listed twice: one that is in both lists was the container's while /proc was read. In
 * between it cannot have been another's, since it would have had to be given away twice.
 */
static int fill_rows(struct arena *arena, struct cgroup *cgroup, const struct ps_layout *layout,
		     struct engine_table *table, struct masu_error *err)
{
	struct ps_machine machine;
	struct pids before, after;
	int r = ps_machine_read(arena, &machine, err);
	if (r == 0)
		r = list_pids(cgroup, arena, &before, err);
	if (r < 0)
		return r;
	struct process_info *processes = arena_array(arena, struct process_info, before.count + 1);
	if (!processes)
		return error_set(err, -ENOMEM, "out of memory");
	size_t found = 0;
	for (size_t i = 0; i < before.count; i++) {
		r = process_read(arena, before.list[i], &processes[found]);
		if (r < 0 && r != -ESRCH)
			return error_errno(err, r, "cannot read process %d", before.list[i]);
		found += r == 0;
	}
	r = list_pids(cgroup, arena, &after, err);
	if (r < 0)
		return r;
	table->rows = arena_array(arena, const char **, found + 1);
	if (!table->rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < found; i++) {
		if (!bsearch(&processes[i].pid, after.list, after.count, sizeof(*after.list),
			     compare_pids))
			continue;
		r = fill_row(arena, layout, &machine, &processes[i], &table->rows[table->count],
			     err);
		table->count += r == 0;
	}
	return r;
}

static int fill_titles(struct arena *arena, const struct ps_layout *layout,
		       struct engine_table *table, struct masu_error *err)
{
	const char **titles = arena_array(arena, const char *, layout->count + 1);
	if (!titles)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < layout->count; i++)
		titles[i] = ps_column_title(layout->columns[i]);
	table->titles = titles;
	table->columns = layout->count;
	return 0;
}

int engine_top(struct engine *engine, struct arena *arena, const char *id, char *const *ps_options,
	       struct engine_table *ret, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct container container;
	struct ps_layout layout;
	struct engine_table table = { 0 };
	int r = ps_layout_parse(arena, ps_options, &layout, err);
	if (r == 0)
		r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	r = lifecycle_check(&container, VERB_TOP, err);
	if (r == 0)
		r = container_cgroup_live(&container, &cgroup, err);
	if (r == 0 && !cgroup)
		r = error_set(err, -ENOTSUP,
			      "container %s has no cgroup, so its processes cannot be listed",
			      container.name);
	if (r == 0)
		r = fill_titles(arena, &layout, &table, err);
	if (r == 0)
		r = fill_rows(arena, cgroup, &layout, &table, err);
	container_close(&container);
	if (r < 0)
		return r;
	event_container(engine, &container, "top", NULL, 0);
	*ret = table;
	return 0;
}
