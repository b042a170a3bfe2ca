/* Limits and devices. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/proc_view.h"

#define CPU_PERIOD_US	 100000
#define NANO_PER_CPU	 1000000000
#define DEVICES_MAX	 4096
#define DEVICE_DEPTH_MAX 8

/* Docker's list; the usual nodes in /dev are made by the exec driver. Reading and writing is only
 * for these, making nodes is for all: an unopenable node does no harm. */
static const struct oci_device_rule default_rules[] = {
	{ .allow = false, .type = 'a', .read = true, .write = true, .mknod = true },
	{ .allow = true, .type = 'c', .mknod = true },
	{ .allow = true, .type = 'b', .mknod = true },
#define ALLOW(major_, minor_)                                                                      \
	{                                                                                          \
		.allow = true, .type = 'c', .has_major = true, .has_minor = (minor_) >= 0,         \
		.major = (major_), .minor = (minor_), .read = true, .write = true, .mknod = true   \
	}
	ALLOW(1, 3),	/* null */
	ALLOW(1, 5),	/* zero */
	ALLOW(1, 7),	/* full */
	ALLOW(1, 8),	/* random */
	ALLOW(1, 9),	/* urandom */
	ALLOW(5, 0),	/* tty */
	ALLOW(5, 1),	/* console */
	ALLOW(5, 2),	/* ptmx */
	ALLOW(136, -1), /* pts */
#undef ALLOW
};

struct device_set {
	struct arena *arena;
	struct oci_device *devices;
	size_t device_count;
	struct oci_device_rule *rules;
	size_t rule_count;
};

static struct oci_device_rule *add_rule(struct device_set *set)
{
	return set->rule_count < DEVICES_MAX ? &set->rules[set->rule_count++] : NULL;
}

static int add_device(struct device_set *set, const struct stat *st, const char *path,
		      const char *permissions)
{
	struct oci_device_rule *rule = add_rule(set);
	char type = S_ISBLK(st->st_mode) ? 'b' : 'c';
	if (!rule || set->device_count == DEVICES_MAX)
		return -E2BIG;
	set->devices[set->device_count++] = (struct oci_device) {
		.path = path,
		.type = type,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.has_mode = true,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
	*rule = (struct oci_device_rule) {
		.allow = true,
		.type = type,
		.has_major = true,
		.has_minor = true,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.read = strchr(permissions, 'r') != NULL,
		.write = strchr(permissions, 'w') != NULL,
		.mknod = strchr(permissions, 'm') != NULL,
	};
	return 0;
}

/* What is mounted inside the container itself, or is no device of the host's hardware. */
static bool skipped_in_dev(const char *name)
{
	static const char *const skipped[] = { ".",    "..",	      "pts",	"shm",	  "fd",
					       ".lxc", ".lxd-mounts", "mqueue", "console" };
	for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
		if (streq(name, skipped[i]))
			return true;
	return false;
}

/* Every device node below @host, at the same place below @inside. */
static int add_device_tree(struct device_set *set, const char *host, const char *inside,
			   const char *permissions, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = opendir(host);
	struct dirent *entry;
	if (!dir || depth > DEVICE_DEPTH_MAX)
		return dir ? -ELOOP : -errno;
	int r = 0;
	while (r == 0 && (entry = readdir(dir))) {
		struct stat st;
		if (skipped_in_dev(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		char *from = arena_printf(set->arena, "%s/%s", host, entry->d_name);
		char *to = arena_printf(set->arena, "%s/%s", inside, entry->d_name);
		if (!from || !to)
			return -ENOMEM;
		if (S_ISDIR(st.st_mode))
			r = add_device_tree(set, from, to, permissions, depth + 1);
		else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			r = add_device(set, &st, to, permissions);
	}
	return r;
}

static int add_configured_device(struct device_set *set, const struct device_config *device,
				 struct masu_error *err)
{
	struct stat st;
	int r = stat(device->host, &st) < 0 ? -errno : 0;
	if (r == 0 && S_ISDIR(st.st_mode))
		r = add_device_tree(set, device->host, device->container, device->permissions, 0);
	else if (r == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
		r = add_device(set, &st, device->container, device->permissions);
	else if (r == 0)
		r = -ENODEV;
	if (r == -ENODEV)
		return error_set(err, r,
				 "error gathering device information while adding custom "
				 "device \"%s\": not a device node",
				 device->host);
	if (r < 0)
		return error_errno(err, r,
				   "error gathering device information while adding custom "
				   "device \"%s\"",
				   device->host);
	return 0;
}

static int rule_number(const char *text, bool *ret_has, int64_t *ret)
{
	uint32_t value;
	*ret_has = !streq(text, "*");
	*ret = -1;
	if (!*ret_has)
		return 0;
	int r = str_to_u32(text, &value);
	*ret = value;
	return r;
}

/* --device-cgroup-rule "c 1:3 mr" */
static int add_cgroup_rule(struct device_set *set, const char *text, struct masu_error *err)
{
	char type, major_text[12], minor_text[12], access[4];
	int used = 0;
	struct oci_device_rule *rule = add_rule(set);
	if (!rule)
		return error_set(err, -E2BIG, "too many device rules");
	if (sscanf(text, "%c %11[0-9*]:%11[0-9*] %3[rwm]%n", &type, major_text, minor_text, access,
		   &used) != 4 ||
	    text[used] || !strchr("acb", type) ||
	    rule_number(major_text, &rule->has_major, &rule->major) < 0 ||
	    rule_number(minor_text, &rule->has_minor, &rule->minor) < 0)
		return error_set(err, -EINVAL, "invalid device cgroup rule format: '%s'", text);
	rule->allow = true;
	rule->type = type;
	rule->read = strchr(access, 'r') != NULL;
	rule->write = strchr(access, 'w') != NULL;
	rule->mknod = strchr(access, 'm') != NULL;
	return 0;
}

static bool wants_devices(const struct container_config *config)
{
	return config->privileged || config->device_count ||
	       (config->device_cgroup_rules && config->device_cgroup_rules[0]);
}

int spec_devices(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	/* The usual container has no list of its own and shares the constant one. */
	spec->resources.present = true;
	spec->resources.devices = (struct oci_device_rule *)default_rules;
	spec->resources.device_count = ARRAY_SIZE(default_rules);
	if (!wants_devices(config))
		return 0;
	struct device_set set = {
		.arena = context->arena,
		.devices = arena_array(context->arena, struct oci_device, DEVICES_MAX),
		.rules = arena_array(context->arena, struct oci_device_rule, DEVICES_MAX),
	};
	if (!set.devices || !set.rules)
		return error_set(err, -ENOMEM, "out of memory");
	int r = 0;
	if (config->privileged) {
		r = add_device_tree(&set, "/dev", "/dev", "rwm", 0);
		if (r < 0)
			return error_errno(err, r, "--privileged: cannot list the devices in /dev");
		set.rules[0] = (struct oci_device_rule) {
			.allow = true, .type = 'a', .read = true, .write = true, .mknod = true
		};
		set.rule_count = 1;
	} else {
		memcpy(set.rules, default_rules, sizeof(default_rules));
		set.rule_count = ARRAY_SIZE(default_rules);
	}
	for (size_t i = 0; i < config->device_count && r == 0; i++)
		r = add_configured_device(&set, &config->devices[i], err);
	for (const char **rule = config->device_cgroup_rules; rule && *rule && r == 0; rule++)
		r = add_cgroup_rule(&set, *rule, err);
	spec->devices = set.devices;
	spec->device_count = set.device_count;
	spec->resources.devices = set.rules;
	spec->resources.device_count = set.rule_count;
	return r;
}

static struct oci_i64 number(int64_t value)
{
	return (struct oci_i64) { .set = value != 0, .value = value };
}

/* Docker: as much swap as memory unless said otherwise. */
int64_t spec_memory_swap(const struct container_config *config)
{
	if (config->memory_swap || config->memory <= 0)
		return config->memory_swap;
	return config->memory > INT64_MAX / 2 ? INT64_MAX : config->memory * 2;
}

static void memory_limits(const struct container_config *config, struct oci_resources *resources)
{
	resources->memory.limit = number(config->memory);
	resources->memory.reservation = number(config->memory_reservation);
	resources->memory.kernel = number(config->kernel_memory);
	resources->memory.swap = number(spec_memory_swap(config));
	if (config->memory_swappiness >= 0)
		resources->memory.swappiness =
			(struct oci_i64) { .set = true, .value = config->memory_swappiness };
	resources->memory.has_disable_oom_killer = config->oom_kill_disable;
	resources->memory.disable_oom_killer = config->oom_kill_disable;
}

static void cpu_limits(const struct container_config *config, struct oci_resources *resources)
{
	resources->cpu.shares = number(config->cpu_shares);
	resources->cpu.quota = number(config->cpu_quota);
	resources->cpu.period = number(config->cpu_period);
	resources->cpu.realtime_runtime = number(config->cpu_rt_runtime);
	resources->cpu.realtime_period = number(config->cpu_rt_period);
	if (config->nano_cpus > 0) {
		resources->cpu.period = number(CPU_PERIOD_US);
		resources->cpu.quota = number(config->nano_cpus / (NANO_PER_CPU / CPU_PERIOD_US));
	}
	if (config->cpuset_cpus && config->cpuset_cpus[0])
		resources->cpu.cpus = config->cpuset_cpus;
	if (config->cpuset_mems && config->cpuset_mems[0])
		resources->cpu.mems = config->cpuset_mems;
}

/* The devices of one kind of limit, by number. */
static int blkio_list(struct arena *arena, const struct container_config *config,
		      enum blkio_limit limit, struct oci_blkio_list *ret, struct masu_error *err)
{
	struct oci_blkio_device *list =
		arena_array(arena, struct oci_blkio_device, config->blkio_device_count);
	size_t count = 0;
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->blkio_device_count; i++) {
		const struct blkio_device_config *device = &config->blkio_devices[i];
		struct stat st;
		if (device->limit != limit)
			continue;
		if (stat(device->path, &st) < 0)
			return error_errno(err, -errno, "block I/O limit of %s", device->path);
		if (!S_ISBLK(st.st_mode))
			return error_set(err, -ENOTBLK, "block I/O limit of %s: no block device",
					 device->path);
		list[count++] = (struct oci_blkio_device) {
			.major = major(st.st_rdev),
			.minor = minor(st.st_rdev),
			.has_weight = limit == BLKIO_WEIGHT,
			.weight = limit == BLKIO_WEIGHT ? (uint16_t)device->value : 0,
			.rate = device->value,
		};
	}
	*ret = (struct oci_blkio_list) { list, count };
	return 0;
}

static int blkio_limits(const struct spec_context *context, struct oci_resources *resources,
			struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	struct oci_blkio_list *const lists[BLKIO_LIMIT_COUNT] = {
		[BLKIO_WEIGHT] = &resources->blkio.weight_device,
		[BLKIO_READ_BPS] = &resources->blkio.read_bps,
		[BLKIO_WRITE_BPS] = &resources->blkio.write_bps,
		[BLKIO_READ_IOPS] = &resources->blkio.read_iops,
		[BLKIO_WRITE_IOPS] = &resources->blkio.write_iops,
	};
	int r = 0;
	resources->blkio.present = config->blkio_weight || config->blkio_device_count;
	if (config->blkio_weight)
		resources->blkio.weight = number(config->blkio_weight);
	for (int limit = 0; config->blkio_device_count && limit < BLKIO_LIMIT_COUNT && r == 0;
	     limit++)
		r = blkio_list(context->arena, config, (enum blkio_limit)limit, lists[limit], err);
	return r;
}

int spec_resources(const struct spec_context *context, struct oci_spec *spec,
		   struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	struct oci_resources *resources = &spec->resources;
	resources->present = true;
	memory_limits(config, resources);
	cpu_limits(config, resources);
	resources->pids_limit = number(config->pids_limit > 0 ? config->pids_limit : 0);
	int r = proc_view_cpus(context, &resources->cpu.cpus, err);
	return r < 0 ? r : blkio_limits(context, resources, err);
}
