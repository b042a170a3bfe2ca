/* What the controllers count. Absent files leave zeroes: a group has the controllers it has. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define STAT_MAX      (64u << 10)
#define TASKS_MAX     (64u << 20)
#define V1_UNLIMITED  ((uint64_t)INT64_MAX / 4096 * 4096) /* PAGE_COUNTER_MAX in bytes */
#define NSEC_PER_USEC 1000u

/* One number, "max" being UINT64_MAX. False where the file is not there. */
static bool read_number(int dir_fd, const char *file, uint64_t *ret)
{
	char text[64];
	if (fs_read_small(dir_fd, file, text, sizeof(text)) < 0)
		return false;
	if (streq(text, "max")) {
		*ret = UINT64_MAX;
		return true;
	}
	return str_to_u64(text, ret) == 0;
}

static bool read_text(int dir_fd, const char *file, struct buf *text)
{
	buf_reset(text);
	return fs_read_at(dir_fd, file, STAT_MAX, text) == 0;
}

static uint64_t keyed(const struct buf *text, const char *key)
{
	uint64_t value = 0;
	text_keyed(buf_str(text), key, &value);
	return value;
}

static int add_oom_kills(int dir_fd, void *opaque)
{
	char text[512];
	uint64_t kills, *total = opaque;
	if (fs_read_small(dir_fd, "memory.oom_control", text, sizeof(text)) == 0 &&
	    text_keyed(text, "oom_kill", &kills) == 0)
		*total += kills;
	return 0;
}

/* v1 counts in the victim's own group only, so those below are asked too. */
static uint64_t v1_oom_kills(struct cgroup *cgroup)
{
	uint64_t total = 0;
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_MEMORY);
	if (tree && tree->used && !tree->v2)
		tree_walk(tree, add_oom_kills, &total);
	return total;
}

int v1_oom_killed(struct cgroup *cgroup, bool *ret)
{
	*ret = v1_oom_kills(cgroup) > 0;
	return 0;
}

/* memory.events counts the group and everything below. */
static uint64_t v2_oom_kills(struct cgroup *cgroup)
{
	char text[512];
	uint64_t kills = 0;
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, CTL_MEMORY);
	if (tree && tree->used && tree->v2 && tree_open(tree) == 0 &&
	    fs_read_small(tree->dir_fd, "memory.events", text, sizeof(text)) == 0)
		text_keyed(text, "oom_kill", &kills);
	return kills;
}

int v2_oom_killed(struct cgroup *cgroup, bool *ret)
{
	*ret = v2_oom_kills(cgroup) > 0;
	return 0;
}

/* A used v1 tree of @c with its directory open, or NULL. */
static struct cgroup_tree *v1_tree(struct cgroup *cgroup, enum controller c)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, c);
	return tree && tree->used && !tree->v2 && tree_open(tree) == 0 ? tree : NULL;
}

static void v1_cpu_stats(struct cgroup *cgroup, struct buf *text, struct cgroup_stats *ret)
{
	struct cgroup_tree *tree = v1_tree(cgroup, CTL_CPUACCT);
	if (tree && read_number(tree->dir_fd, "cpuacct.usage", &ret->cpu_total_ns)) {
		ret->has_cpu = true;
		read_number(tree->dir_fd, "cpuacct.usage_user", &ret->cpu_user_ns);
		read_number(tree->dir_fd, "cpuacct.usage_sys", &ret->cpu_system_ns);
	}
	tree = v1_tree(cgroup, CTL_CPU);
	if (tree && read_text(tree->dir_fd, "cpu.stat", text)) {
		ret->cpu_periods = keyed(text, "nr_periods");
		ret->cpu_throttled = keyed(text, "nr_throttled");
		ret->cpu_throttled_ns = keyed(text, "throttled_time");
	}
}

static void v1_memory_stats(struct cgroup *cgroup, struct buf *text, struct cgroup_stats *ret)
{
	struct cgroup_tree *tree = v1_tree(cgroup, CTL_MEMORY);
	if (!tree || !read_number(tree->dir_fd, "memory.usage_in_bytes", &ret->memory_usage))
		return;
	ret->has_memory = true;
	read_number(tree->dir_fd, "memory.max_usage_in_bytes", &ret->memory_peak);
	if (!read_number(tree->dir_fd, "memory.limit_in_bytes", &ret->memory_limit) ||
	    ret->memory_limit >= V1_UNLIMITED)
		ret->memory_limit = UINT64_MAX;
	uint64_t memsw;
	if (read_number(tree->dir_fd, "memory.memsw.usage_in_bytes", &memsw) &&
	    memsw > ret->memory_usage)
		ret->swap_usage = memsw - ret->memory_usage;
	if (read_text(tree->dir_fd, "memory.stat", text))
		ret->memory_inactive_file = keyed(text, "total_inactive_file");
	ret->oom_kills = v1_oom_kills(cgroup);
}

/* Sums "major:minor Read 123" lines. */
static void v1_io_sum(const struct buf *text, uint64_t *reads, uint64_t *writes)
{
	for (const char *line = buf_str(text); *line;) {
		const char *kind = strchr(line, ' ');
		if (kind && strncmp(kind, " Read ", 6) == 0)
			*reads += strtoull(kind + 6, NULL, 10);
		if (kind && strncmp(kind, " Write ", 7) == 0)
			*writes += strtoull(kind + 7, NULL, 10);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
}

static void v1_io_stats(struct cgroup *cgroup, struct buf *text, struct cgroup_stats *ret)
{
	struct cgroup_tree *tree = v1_tree(cgroup, CTL_IO);
	if (!tree)
		return;
	if (read_text(tree->dir_fd, "blkio.throttle.io_service_bytes_recursive", text) ||
	    read_text(tree->dir_fd, "blkio.throttle.io_service_bytes", text)) {
		ret->has_io = true;
		v1_io_sum(text, &ret->io_read_bytes, &ret->io_write_bytes);
	}
	if (read_text(tree->dir_fd, "blkio.throttle.io_serviced_recursive", text) ||
	    read_text(tree->dir_fd, "blkio.throttle.io_serviced", text))
		v1_io_sum(text, &ret->io_reads, &ret->io_writes);
}

int v1_stats(struct cgroup *cgroup, struct cgroup_stats *ret)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, STAT_MAX + 1);
	v1_cpu_stats(cgroup, &text, ret);
	v1_memory_stats(cgroup, &text, ret);
	v1_io_stats(cgroup, &text, ret);
	struct cgroup_tree *tree = v1_tree(cgroup, CTL_PIDS);
	if (tree && read_number(tree->dir_fd, "pids.current", &ret->pids)) {
		ret->has_pids = true;
		read_number(tree->dir_fd, "pids.max", &ret->pids_limit);
	}
	return 0;
}

/* "some avg10=0.12 avg60=… total=345", and the same with "full". */
static void parse_pressure(const char *line, unsigned *ret_avg, uint64_t *ret_total)
{
	const char *avg = strstr(line, "avg10="), *total = strstr(line, "total=");
	if (!avg || !total)
		return;
	char *end;
	*ret_avg = (unsigned)strtoul(avg + strlen("avg10="), &end, 10) * 100;
	if (*end == '.')
		*ret_avg += (unsigned)strtoul(end + 1, NULL, 10) % 100;
	*ret_total = strtoull(total + strlen("total="), NULL, 10);
}

static bool read_pressure(int dir_fd, const char *file, struct cgroup_pressure *ret)
{
	char text[512];
	if (fs_read_small(dir_fd, file, text, sizeof(text)) < 0)
		return false;
	parse_pressure(text, &ret->some_avg, &ret->some_us);
	const char *full = strstr(text, "\nfull ");
	if (full)
		parse_pressure(full, &ret->full_avg, &ret->full_us);
	return true;
}

static void v2_pressure(int dir_fd, struct cgroup_stats *ret)
{
	ret->has_pressure = read_pressure(dir_fd, "cpu.pressure", &ret->cpu_pressure) &&
			    read_pressure(dir_fd, "memory.pressure", &ret->memory_pressure) &&
			    read_pressure(dir_fd, "io.pressure", &ret->io_pressure);
}

static int count_lines(int dir_fd, void *opaque)
{
	uint64_t *count = opaque;
	_cleanup_buf_ struct buf text;
	buf_init(&text, TASKS_MAX + 1);
	int r = fs_read_at(dir_fd, "cgroup.threads", TASKS_MAX, &text);
	if (r == -ENOENT)
		r = fs_read_at(dir_fd, "tasks", TASKS_MAX, &text);
	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	for (size_t i = 0; i < text.len; i++)
		*count += text.data[i] == '\n';
	return 0;
}

/* Without the controller the tasks are counted one by one. */
int stats_count_tasks(struct cgroup *cgroup, struct cgroup_stats *ret)
{
	struct cgroup_tree *tree = cgroup_main_tree(cgroup);
	return tree && !ret->has_pids ? tree_walk(tree, count_lines, &ret->pids) : 0;
}

static void v2_memory_stats(int dir_fd, struct buf *text, struct cgroup_stats *ret)
{
	if (!read_number(dir_fd, "memory.current", &ret->memory_usage))
		return;
	ret->has_memory = true;
	read_number(dir_fd, "memory.peak", &ret->memory_peak);
	read_number(dir_fd, "memory.max", &ret->memory_limit);
	read_number(dir_fd, "memory.swap.current", &ret->swap_usage);
	if (read_text(dir_fd, "memory.stat", text))
		ret->memory_inactive_file = keyed(text, "inactive_file");
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" a line. */
static void v2_io_stats(int dir_fd, struct buf *text, struct cgroup_stats *ret)
{
	if (!read_text(dir_fd, "io.stat", text))
		return;
	ret->has_io = true;
	const struct {
		const char *key;
		uint64_t *sum;
	} fields[] = { { " rbytes=", &ret->io_read_bytes },
		       { " wbytes=", &ret->io_write_bytes },
		       { " rios=", &ret->io_reads },
		       { " wios=", &ret->io_writes } };
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		for (const char *p = buf_str(text); (p = strstr(p, fields[i].key));) {
			p += strlen(fields[i].key);
			*fields[i].sum += strtoull(p, NULL, 10);
		}
}

int v2_stats(struct cgroup *cgroup, struct cgroup_stats *ret)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	if (!tree->used)
		return 0;
	int r = tree_open(tree);
	if (r < 0)
		return r;
	_cleanup_buf_ struct buf text;
	buf_init(&text, STAT_MAX + 1);
	if (read_text(tree->dir_fd, "cpu.stat", &text)) {
		ret->has_cpu = true;
		ret->cpu_total_ns = keyed(&text, "usage_usec") * NSEC_PER_USEC;
		ret->cpu_user_ns = keyed(&text, "user_usec") * NSEC_PER_USEC;
		ret->cpu_system_ns = keyed(&text, "system_usec") * NSEC_PER_USEC;
		ret->cpu_periods = keyed(&text, "nr_periods");
		ret->cpu_throttled = keyed(&text, "nr_throttled");
		ret->cpu_throttled_ns = keyed(&text, "throttled_usec") * NSEC_PER_USEC;
	}
	v2_pressure(tree->dir_fd, ret);
	v2_memory_stats(tree->dir_fd, &text, ret);
	if (ret->has_memory)
		ret->oom_kills = v2_oom_kills(cgroup);
	v2_io_stats(tree->dir_fd, &text, ret);
	if (read_number(tree->dir_fd, "pids.current", &ret->pids)) {
		ret->has_pids = true;
		read_number(tree->dir_fd, "pids.max", &ret->pids_limit);
	}
	return 0;
}
