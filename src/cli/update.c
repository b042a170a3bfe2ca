/* `masu update`. */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "cli/session.h"

#define NOT_GIVEN INT64_MIN

struct update_verb {
	int64_t blkio_weight, cpu_period, cpu_quota, cpu_rt_period, cpu_rt_runtime, cpu_shares;
	int64_t kernel_memory, memory, memory_reservation, memory_swap, pids_limit;
	const char *cpus, *cpuset_cpus, *cpuset_mems, *restart;
	struct cli_list publish_add, publish_rm;
};

#define OPT(field, name, letter, kind, metavar, help)                                              \
	CLI_OPT(struct update_verb, field, name, letter, kind, metavar, help)
#define INT(field, name, letter, help)	  OPT(field, name, letter, CLI_INT, "int", help)
#define BYTES(field, name, letter, help)  OPT(field, name, letter, CLI_BYTES, "bytes", help)
#define STRING(field, name, letter, help) OPT(field, name, letter, CLI_STRING, "string", help)

#define LIST(field, name, help) OPT(field, name, 0, CLI_LIST, "list", help)

static const struct cli_option update_table[] = {
	INT(blkio_weight, "blkio-weight", 0,
	    "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
	INT(cpu_period, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period"),
	INT(cpu_quota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota"),
	INT(cpu_rt_period, "cpu-rt-period", 0, "Limit the CPU real-time period in microseconds"),
	INT(cpu_rt_runtime, "cpu-rt-runtime", 0, "Limit the CPU real-time runtime in microseconds"),
	INT(cpu_shares, "cpu-shares", 'c', "CPU shares (relative weight)"),
	OPT(cpus, "cpus", 0, CLI_STRING, "decimal", "Number of CPUs"),
	STRING(cpuset_cpus, "cpuset-cpus", 0, "CPUs in which to allow execution (0-3, 0,1)"),
	STRING(cpuset_mems, "cpuset-mems", 0, "MEMs in which to allow execution (0-3, 0,1)"),
	BYTES(kernel_memory, "kernel-memory", 0, "Kernel memory limit"),
	BYTES(memory, "memory", 'm', "Memory limit"),
	BYTES(memory_reservation, "memory-reservation", 0, "Memory soft limit"),
	BYTES(memory_swap, "memory-swap", 0,
	      "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
	INT(pids_limit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)"),
	LIST(publish_add, "publish-add", "Publish one more port to the host, as -p of \"run\""),
	LIST(publish_rm, "publish-rm",
	     "Publish a port no longer ([ip:][host:]container[/protocol])"),
	STRING(restart, "restart", 0, "Restart policy to apply when a container exits"),
};

static void update_defaults(void *pointer)
{
	struct update_verb *verb = pointer;
	for (size_t i = 0; i < ARRAY_SIZE(update_table); i++)
		if (update_table[i].kind == CLI_INT || update_table[i].kind == CLI_BYTES)
			*(int64_t *)((char *)verb + update_table[i].offset) = NOT_GIVEN;
}

/* How many of the options were given; those that were not are made 0. */
static size_t settle(struct update_verb *verb)
{
	size_t given = 0;
	for (size_t i = 0; i < ARRAY_SIZE(update_table); i++) {
		char *field = (char *)verb + update_table[i].offset;
		if (update_table[i].kind == CLI_STRING) {
			given += *(const char **)field != NULL;
		} else if (update_table[i].kind == CLI_LIST) {
			given += ((struct cli_list *)field)->count > 0;
		} else if (*(int64_t *)field == NOT_GIVEN) {
			*(int64_t *)field = 0;
		} else {
			given++;
		}
	}
	return given;
}

static int update_fill(struct update_verb *verb, struct container_update *ret,
		       struct masu_error *err)
{
	bool has_pids_limit = verb->pids_limit != NOT_GIVEN;
	if (settle(verb) == 0)
		return error_set(err, -EINVAL,
				 "you must provide one or more flags when using this command");
	struct container_update update = {
		.memory = verb->memory,
		.memory_reservation = verb->memory_reservation,
		.memory_swap = verb->memory_swap,
		.kernel_memory = verb->kernel_memory,
		.cpu_shares = verb->cpu_shares,
		.cpu_quota = verb->cpu_quota,
		.cpu_period = verb->cpu_period,
		.cpu_rt_runtime = verb->cpu_rt_runtime,
		.cpu_rt_period = verb->cpu_rt_period,
		.cpuset_cpus = verb->cpuset_cpus,
		.cpuset_mems = verb->cpuset_mems,
		.blkio_weight = verb->blkio_weight,
		.has_pids_limit = has_pids_limit,
		.pids_limit = verb->pids_limit,
		.has_restart = verb->restart && *verb->restart,
		.publish_add = verb->publish_add.items,
		.publish_rm = verb->publish_rm.items,
	};
	int r = verb->cpus ? parse_cpus(verb->cpus, &update.nano_cpus, err) : 0;
	if (r == 0 && update.has_restart)
		r = parse_restart(verb->restart, &update.restart, &update.restart_max, err);
	*ret = update;
	return r;
}

static int update_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		      struct masu_error *err)
{
	const char *warning;
	int r = engine_update(engine, id, opaque, &warning, err);
	if (warning)
		fprintf(stderr, "WARNING: %s\n", warning);
	return r;
}

static int update_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	struct container_update update;
	int r = update_fill(pointer, &update, err);
	return r < 0 ? r : session_each(context, argc, argv, true, update_one, &update, err);
}

const struct cli_command update_command = {
	.name = "update",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Update configuration of one or more containers",
	.options = update_table,
	.option_count = ARRAY_SIZE(update_table),
	.options_size = sizeof(struct update_verb),
	.defaults = update_defaults,
	CLI_MORE(update_run),
	.min_args = 1,
	.max_args = -1,
};
