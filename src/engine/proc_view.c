#include "engine/proc_view.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/str.h"

#define LXCFS		   "/var/lib/lxcfs" /* where Debian's lxcfs.service mounts it */
#define FUSE_SUPER_MAGIC   0x65735546
#define NANO_PER_CPU	   1000000000
#define CPU_PERIOD_DEFAULT 100000
#define ID_DIGITS	   8

static const char *const files[] = {
	"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo",
	"/proc/stat",	 "/proc/swaps",	    "/proc/uptime",  "/sys/devices/system/cpu/online",
};
_Static_assert(ARRAY_SIZE(files) == PROC_VIEW_MOUNTS_MAX, "room for each file");

int proc_view_check(const struct container_config *config, struct masu_error *err)
{
	struct statfs fs;
	if (!config->proc_limits ||
	    (statfs(LXCFS, &fs) == 0 && (unsigned long)fs.f_type == FUSE_SUPER_MAGIC))
		return 0;
	return error_set(err, -ENOENT,
			 "--proc=limits needs lxcfs, which is not mounted at " LXCFS
			 "; install it (apt install lxcfs) and start lxcfs.service");
}

int proc_view_mounts(const struct spec_context *context, struct oci_spec *spec,
		     struct masu_error *err)
{
	static const char *const options[] = {
		"bind", "rprivate", "ro", "nosuid", "nodev", "noexec"
	};
	if (!context->container->config.proc_limits)
		return 0;
	int r = proc_view_check(&context->container->config, err);
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++) {
		struct stat st;
		const char *source = arena_printf(context->arena, LXCFS "%s", files[i]);
		if (!source)
			return error_set(err, -ENOMEM, "out of memory");
		/* Which files there are depends on lxcfs's version. */
		if (stat(source, &st) < 0)
			continue;
		struct oci_mount *mount = &spec->mounts[spec->mount_count++];
		mount->destination = files[i];
		mount->type = "bind";
		mount->source = source;
		r = oci_mount_options(context->arena, options, ARRAY_SIZE(options), mount, err);
	}
	return r;
}

/* CPUs that the limit comes to, rounded up; 0: there is none. */
static int64_t limit_cpus(const struct container_config *config)
{
	int64_t period = config->cpu_period ? config->cpu_period : CPU_PERIOD_DEFAULT;
	if (config->nano_cpus > 0)
		return (config->nano_cpus + NANO_PER_CPU - 1) / NANO_PER_CPU;
	return config->cpu_quota > 0 ? (config->cpu_quota + period - 1) / period : 0;
}

int proc_view_cpus(const struct spec_context *context, const char **cpus, struct masu_error *err)
{
	const struct container *container = context->container;
	const struct container_config *config = &container->config;
	char id[ID_DIGITS + 1];
	cpu_set_t allowed;
	int64_t wanted = config->proc_limits ? limit_cpus(config) : 0;
	if (!wanted || (config->cpuset_cpus && config->cpuset_cpus[0]) ||
	    sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 0;
	int count = CPU_COUNT(&allowed);
	if (wanted >= count)
		return 0;
	int list[CPU_SETSIZE], n = 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			list[n++] = cpu;
	str_format(id, sizeof(id), "%.*s", ID_DIGITS, container->id);
	unsigned first = (unsigned)(strtoul(id, NULL, 16) % (unsigned)count);
	struct buf text;
	buf_init(&text, 8 * CPU_SETSIZE);
	for (int64_t i = 0; i < wanted; i++)
		buf_printf(&text, "%s%d", i ? "," : "", list[(first + (unsigned)i) % (unsigned)n]);
	const char *chosen = arena_strdup(context->arena, buf_str(&text));
	int r = buf_error(&text);
	buf_free(&text);
	if (r < 0 || !chosen)
		return error_set(err, -ENOMEM, "out of memory");
	*cpus = chosen;
	return 0;
}
