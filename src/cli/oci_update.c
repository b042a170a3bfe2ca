/* `masu oci update`: limits of a live container. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "sys/fs.h"

#define RESOURCES_MAX_BYTES (1u << 20)

struct update_options {
	const char *resources, *cpuset_cpus, *cpuset_mems, *l3_cache_schema, *mem_bw_schema;
	const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_rt_period,
		*cpu_rt_runtime, *cpu_idle, *memory, *memory_reservation, *memory_swap,
		*kernel_memory, *kernel_memory_tcp, *pids_limit;
};

#define TEXT(field, name, metavar, help)                                                           \
	CLI_OPT(struct update_options, field, name, 0, CLI_STRING, metavar, help)

static const struct cli_option update_options[] = {
	CLI_OPT(struct update_options, resources, "resources", 'r', CLI_STRING, "file",
		"Read linux.resources as JSON from this file, \"-\": from stdin"),
	TEXT(blkio_weight, "blkio-weight", "number", "Weight for block I/O, 10 to 1000"),
	TEXT(cpu_period, "cpu-period", "µs", "Period of the CPU quota"),
	TEXT(cpu_quota, "cpu-quota", "µs", "CPU time per period"),
	TEXT(cpu_burst, "cpu-burst", "µs", "CPU time that may be saved up"),
	TEXT(cpu_share, "cpu-share", "number", "Relative CPU weight"),
	TEXT(cpu_rt_period, "cpu-rt-period", "µs", "Period of the realtime quota"),
	TEXT(cpu_rt_runtime, "cpu-rt-runtime", "µs", "Realtime CPU time per period"),
	TEXT(cpu_idle, "cpu-idle", "0|1", "Run only when nothing else wants to"),
	TEXT(cpuset_cpus, "cpuset-cpus", "list", "CPUs to use"),
	TEXT(cpuset_mems, "cpuset-mems", "list", "Memory nodes to use"),
	TEXT(memory, "memory", "bytes", "Memory limit"),
	TEXT(memory_reservation, "memory-reservation", "bytes", "Memory that is kept for it"),
	TEXT(memory_swap, "memory-swap", "bytes", "Memory and swap together, -1: unlimited"),
	TEXT(kernel_memory, "kernel-memory", "bytes",
	     "Kernel memory limit (cgroup v1, until Linux 5.16)"),
	TEXT(kernel_memory_tcp, "kernel-memory-tcp", "bytes", "Kernel memory for TCP buffers"),
	TEXT(pids_limit, "pids-limit", "number", "Processes and threads, -1: unlimited"),
	TEXT(l3_cache_schema, "l3-cache-schema", "schema", "Not supported"),
	TEXT(mem_bw_schema, "mem-bw-schema", "schema", "Not supported"),
};

static int number(const char *text, const char *name, bool bytes, struct oci_i64 *ret,
		  struct masu_error *err)
{
	if (!text)
		return 0;
	uint64_t size = 0;
	int64_t value = 0;
	int r = str_to_i64(text, &value);
	if (r == -EINVAL && bytes) {
		r = str_to_bytes(text, &size);
		if (r == 0 && size > INT64_MAX)
			r = -ERANGE;
		value = (int64_t)size;
	}
	if (r < 0)
		return error_errno(err, r, "--%s \"%s\"", name, text);
	*ret = (struct oci_i64) { .set = true, .value = value };
	return 0;
}

static int from_flags(const struct update_options *options, struct oci_resources *ret,
		      struct masu_error *err)
{
	const struct {
		const char *text, *name;
		bool bytes;
		struct oci_i64 *value;
	} numbers[] = {
		{ options->blkio_weight, "blkio-weight", false, &ret->blkio.weight },
		{ options->cpu_period, "cpu-period", false, &ret->cpu.period },
		{ options->cpu_quota, "cpu-quota", false, &ret->cpu.quota },
		{ options->cpu_burst, "cpu-burst", false, &ret->cpu.burst },
		{ options->cpu_share, "cpu-share", false, &ret->cpu.shares },
		{ options->cpu_rt_period, "cpu-rt-period", false, &ret->cpu.realtime_period },
		{ options->cpu_rt_runtime, "cpu-rt-runtime", false, &ret->cpu.realtime_runtime },
		{ options->cpu_idle, "cpu-idle", false, &ret->cpu.idle },
		{ options->memory, "memory", true, &ret->memory.limit },
		{ options->memory_reservation, "memory-reservation", true,
		  &ret->memory.reservation },
		{ options->memory_swap, "memory-swap", true, &ret->memory.swap },
		{ options->kernel_memory, "kernel-memory", true, &ret->memory.kernel },
		{ options->kernel_memory_tcp, "kernel-memory-tcp", true, &ret->memory.kernel_tcp },
		{ options->pids_limit, "pids-limit", false, &ret->pids_limit },
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++)
		r = number(numbers[i].text, numbers[i].name, numbers[i].bytes, numbers[i].value,
			   err);
	ret->blkio.present = ret->blkio.weight.set;
	ret->cpu.cpus = options->cpuset_cpus;
	ret->cpu.mems = options->cpuset_mems;
	ret->present = true;
	return r;
}

static int from_file(const char *path, struct oci_resources *ret, struct masu_error *err)
{
	/* The parsed strings point into the text: it lives as long as the program. */
	struct buf text;
	buf_init(&text, RESOURCES_MAX_BYTES + 1);
	int r = fs_read_at(AT_FDCWD, streq(path, "-") ? "/dev/stdin" : path, RESOURCES_MAX_BYTES,
			   &text);
	if (r < 0) {
		buf_free(&text);
		return error_errno(err, r, "--resources %s", path);
	}
	const char *kept = arena_strndup(oci_runtime.arena, buf_str(&text), text.len);
	size_t len = text.len;
	buf_free(&text);
	if (!kept)
		return error_set(err, -ENOMEM, "out of memory");
	return oci_resources_parse(oci_runtime.arena, kept, len, ret, err);
}

static int update_run(struct cli_context *context, void *opaque, int argc, char **argv,
		      struct masu_error *err)
{
	const struct update_options *options = opaque;
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct oci_resources resources = { 0 };
	enum oci_status status;
	if (options->l3_cache_schema || options->mem_bw_schema)
		return error_set(err, -ENOTSUP,
				 "--l3-cache-schema, --mem-bw-schema: resource director groups are "
				 "not supported");
	int r = options->resources ? from_file(options->resources, &resources, err)
				   : from_flags(options, &resources, err);
	if (r == 0)
		r = oci_load(argv[0], true, &container, err);
	if (r == 0)
		r = oci_status(&container, &status, err);
	if (r == 0 && status == OCI_STOPPED)
		return error_set(err, -EINVAL, "container not running: %s", argv[0]);
	if (r == 0)
		r = oci_cgroup(&container, &cgroup, err);
	if (r < 0)
		return r;
	if (!cgroup)
		return error_set(err, -ENOTSUP, "container %s has no cgroup to limit", argv[0]);
	r = cgroup_update(cgroup, &resources, err);
	/* The device program and the like belong to the record. */
	return r < 0 ? r : oci_save(&container, cgroup, err);
}

const struct cli_command oci_update_command = {
	.name = "update",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Change the limits of a container",
	.options = update_options,
	.option_count = ARRAY_SIZE(update_options),
	.options_size = sizeof(struct update_options),
	CLI_MORE(update_run),
	.min_args = 1,
	.max_args = 1,
};
