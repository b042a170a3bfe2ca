/* What a container uses: from its groups, from /proc where it is in no group that counts it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "engine/internal.h"
#include "sys/fs.h"
#include "sys/process.h"

#define NET_DEV_MAX  (1u << 20)
#define NSEC_PER_SEC 1000000000ull

static uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

uint64_t engine_stats_cpu(const struct engine_stats *before, const struct engine_stats *now)
{
	/* A container that was started again in between has a smaller counter. */
	if (!before->running || !now->running || now->cpu_ns <= before->cpu_ns ||
	    now->taken_ns <= before->taken_ns)
		return 0;
	unsigned __int128 used = now->cpu_ns - before->cpu_ns;
	return (uint64_t)(used * 10000 / (now->taken_ns - before->taken_ns));
}

static uint64_t machine_memory(void)
{
	char text[4096];
	if (fs_read_small(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	const char *at = strstr(text, "MemTotal:");
	return at ? strtoull(at + strlen("MemTotal:"), NULL, 10) * 1024 : 0;
}

static struct engine_pressure pressure(const struct cgroup_pressure *from)
{
	return (struct engine_pressure) { .some_us = from->some_us,
					  .full_us = from->full_us,
					  .some_avg = from->some_avg,
					  .full_avg = from->full_avg };
}

static void take_groups(const struct cgroup_stats *groups, struct engine_stats *ret)
{
	uint64_t machine = machine_memory();
	ret->has_cpu = groups->has_cpu;
	ret->cpu_ns = groups->cpu_total_ns;
	ret->has_memory = groups->has_memory;
	ret->memory = groups->memory_usage > groups->memory_inactive_file
			      ? groups->memory_usage - groups->memory_inactive_file
			      : groups->memory_usage;
	ret->memory_limit = groups->memory_limit < machine ? groups->memory_limit : machine;
	ret->tasks = groups->pids;
	ret->has_io = groups->has_io;
	ret->read_bytes = groups->io_read_bytes;
	ret->written_bytes = groups->io_write_bytes;
	ret->has_pressure = groups->has_pressure;
	ret->cpu_pressure = pressure(&groups->cpu_pressure);
	ret->memory_pressure = pressure(&groups->memory_pressure);
	ret->io_pressure = pressure(&groups->io_pressure);
}

/*
 * What the groups do not count: memory where v1's hierarchy was not joined, and CPU time on pure v1
 * alike. The time of a process that has ended is its parent's once that has waited for it, so the
 * sum over a container loses nothing.
 */
static int take_processes(struct cgroup *cgroup, struct arena *arena, struct engine_stats *ret,
			  struct masu_error *err)
{
	pid_t *pids;
	size_t count;
	uint64_t ticks = 0, memory = 0, hertz = (uint64_t)sysconf(_SC_CLK_TCK);
	bool cpu = !ret->has_cpu, held = !ret->has_memory;
	if (!cpu && !held)
		return 0;
	int r = cgroup_pids(cgroup, arena, &pids, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct process_info process;
		uint64_t pss = 0;
		int found = cpu ? process_read(arena, pids[i], &process) : 0;
		if (found == 0 && held)
			found = process_pss(pids[i], &pss);
		/* Gone, or a zombie, which holds nothing. */
		if (found < 0 && found != -ESRCH)
			return error_errno(err, found, "process %d", pids[i]);
		if (cpu && found == 0)
			ticks += process.utime + process.stime + process.children_time;
		memory += pss;
	}
	if (r == 0 && cpu) {
		ret->has_cpu = true;
		ret->cpu_ns = ticks * NSEC_PER_SEC / hertz;
	}
	if (r == 0 && held) {
		ret->has_memory = ret->memory_by_process = true;
		ret->memory = memory;
	}
	return r;
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes packets …" */
static void add_interface(const char *line, struct engine_stats *ret)
{
	const char *colon = strchr(line, ':');
	uint64_t field[10] = { 0 };
	line += strspn(line, " ");
	if (!colon || strncmp(line, "lo:", 3) == 0)
		return;
	char *at = (char *)colon + 1;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++)
		field[i] = strtoull(at, &at, 10);
	ret->received_bytes += field[0];
	ret->received_packets += field[1];
	ret->sent_bytes += field[8];
	ret->sent_packets += field[9];
}

/* A container on the host's network has no traffic of its own. */
static void take_network(const struct container *container, struct engine_stats *ret)
{
	char path[32];
	_cleanup_buf_ struct buf text;
	buf_init(&text, NET_DEV_MAX + 1);
	if (mode_host(container->config.network))
		return;
	snprintf(path, sizeof(path), "/proc/%d/net/dev", container->pid);
	if (fs_read_at(AT_FDCWD, path, NET_DEV_MAX, &text) < 0)
		return;
	ret->has_network = true;
	for (const char *line = buf_str(&text); *line;) {
		size_t len = strcspn(line, "\n");
		const char *colon = memchr(line, ':', len);
		if (colon)
			add_interface(line, ret);
		line += len + (line[len] == '\n');
	}
}

static int take(struct arena *arena, const struct container *container, struct engine_stats *ret,
		struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct cgroup_stats groups;
	int r = container_cgroup_live(container, &cgroup, err);
	if (r < 0 || !cgroup)
		return r;
	r = cgroup_stats(cgroup, &groups, err);
	ret->taken_ns = monotonic_ns();
	if (r < 0)
		return r;
	take_groups(&groups, ret);
	take_network(container, ret);
	return take_processes(cgroup, arena, ret, err);
}

int engine_stats(struct engine *engine, struct arena *arena, const char *id,
		 struct engine_stats *ret, struct masu_error *err)
{
	struct container container;
	struct engine_stats stats = { 0 };
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	if (container.pid &&
	    (container.status == CONTAINER_RUNNING || container.status == CONTAINER_PAUSED)) {
		stats.running = true;
		r = take(arena, &container, &stats, err);
	}
	container_close(&container);
	if (r == 0)
		*ret = stats;
	return r;
}
