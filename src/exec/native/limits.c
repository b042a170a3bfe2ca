#include "exec/native/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/fs.h"

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_SHIFT 13

/* struct sched_attr of sched_setattr(2), which libc headers lack; size 48 is the first version. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

int limits_set_resources(pid_t pid, const struct oci_process *process, struct masu_error *err)
{
	for (size_t i = 0; i < process->rlimit_count; i++) {
		const struct oci_rlimit *limit = &process->rlimits[i];
		struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };
		if (prlimit(pid, limit->resource, &value, NULL) == 0)
			continue;
		if (errno == EPERM)
			return error_set(err, -EPERM,
					 "process.rlimits: %s: cannot raise the hard limit to "
					 "%" PRIu64 " without CAP_SYS_RESOURCE",
					 limit->name, limit->hard);
		return error_errno(err, -errno,
				   "process.rlimits: %s: soft %" PRIu64 ", hard %" PRIu64,
				   limit->name, limit->soft, limit->hard);
	}
	return 0;
}

static int set_oom_score(pid_t pid, int score, struct masu_error *err)
{
	char path[64], text[16];
	str_format(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	str_format(text, sizeof(text), "%d", score);
	int r = fs_write_at(AT_FDCWD, path, text);
	if (r == -EACCES)
		return error_set(err, r,
				 "process.oomScoreAdj: cannot be lowered to %d without "
				 "CAP_SYS_RESOURCE",
				 score);
	return r < 0 ? error_errno(err, r, "process.oomScoreAdj: %d", score) : 0;
}

static int set_scheduler(pid_t pid, const struct oci_scheduler *scheduler, struct masu_error *err)
{
	struct scheduling attr = {
		.size = sizeof(attr),
		.policy = scheduler->policy,
		.flags = scheduler->flags,
		.nice = scheduler->nice,
		.priority = (uint32_t)scheduler->priority,
		.runtime = scheduler->runtime,
		.deadline = scheduler->deadline,
		.period = scheduler->period,
	};
	if (syscall(SYS_sched_setattr, pid, &attr, 0) < 0)
		return error_errno(err, -errno, "process.scheduler");
	return 0;
}

bool limits_any(const struct oci_process *process)
{
	return process->has_oom_score_adj || process->has_io_priority || process->scheduler.present;
}

int limits_apply(pid_t pid, const struct oci_process *process, bool user_ns, struct masu_error *err)
{
	int r = 0;
	if (process->has_oom_score_adj)
		r = set_oom_score(pid, process->oom_score_adj, err);
	if (r == 0 && process->has_io_priority) {
		int value = process->io_priority_class << IOPRIO_CLASS_SHIFT | process->io_priority;
		if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) < 0)
			r = error_errno(err, -errno, "process.ioPriority");
	}
	if (r == 0 && process->scheduler.present)
		r = set_scheduler(pid, &process->scheduler, err);
	if (r == 0 && user_ns)
		r = limits_set_resources(pid, process, err);
	return r;
}

/* Reads digits at *p; -EINVAL where there are none. */
static int take_number(const char **p, size_t limit, size_t *ret)
{
	size_t value = 0;
	if (**p < '0' || **p > '9')
		return -EINVAL;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		value = value * 10 + (size_t)(**p - '0');
		if (value >= limit)
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

int limits_parse_list(const char *list, unsigned long *mask, size_t bits)
{
	const size_t word = sizeof(*mask) * CHAR_BIT;
	memset(mask, 0, bits / CHAR_BIT);
	for (const char *p = list;;) {
		size_t first, last;
		int r = take_number(&p, bits, &first);
		if (r < 0)
			return r;
		last = first;
		if (*p == '-') {
			p++;
			r = take_number(&p, bits, &last);
			if (r < 0 || last < first)
				return r < 0 ? r : -EINVAL;
		}
		for (size_t i = first; i <= last; i++)
			mask[i / word] |= 1ul << (i % word);
		if (*p == '\0')
			return 0;
		if (*p++ != ',')
			return -EINVAL;
	}
}

int limits_set_affinity(const char *list, const char *member, struct masu_error *err)
{
	cpu_set_t set;
	int r = limits_parse_list(list, (unsigned long *)&set, CPU_SETSIZE);
	if (r < 0)
		return error_errno(err, r, "%s: \"%s\"", member, list);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return error_errno(err, -errno, "%s: \"%s\"", member, list);
	return 0;
}
