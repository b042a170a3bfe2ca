/* "Config" and "HostConfig" of the inspect document: every member that Docker has, in its order. */
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/inspect.h"
#include "engine/internal.h"

/* What a member is written from. */
struct section {
	struct json_writer *w;
	struct arena *arena;
	const struct container *container;
	const struct container_config *config;
};

typedef void (*member_fn)(const struct section *s, const char *name);

struct member {
	const char *name;
	member_fn put; /* NULL: as it stands in the record's table, also with its default value */
};

static void put_null(const struct section *s, const char *name)
{
	json_key(s->w, name);
	json_put_null(s->w);
}

static void put_empty_text(const struct section *s, const char *name)
{
	json_field_string(s->w, name, "");
}

static void put_zero(const struct section *s, const char *name)
{
	json_field_i64(s->w, name, 0);
}

static void put_strings(const struct section *s, const char *name, const char *const *strings)
{
	static const char *const none[] = { NULL };
	json_key(s->w, name);
	json_put_strings(s->w, strings ? strings : none);
}

/* ---- Config ---- */

static void put_hostname(const struct section *s, const char *name)
{
	bool shared = mode_container(s->config->network, NULL);
	json_field_string(s->w, name, shared ? "" : container_hostname(s->container));
}

static void put_exposed_ports(const struct section *s, const char *name)
{
	if (s->config->expose || s->config->port_count)
		exposed_ports_write(s->w, s->config);
}

static void put_env(const struct section *s, const char *name)
{
	put_strings(s, name, (const char *const *)s->config->env);
}

static void put_healthcheck(const struct section *s, const char *name)
{
	healthcheck_write(s->w, s->config);
	if (s->config->health_on_failure) /* podman's */
		json_field_string(s->w, "HealthcheckOnFailureAction", s->config->health_on_failure);
}

static void put_shell(const struct section *s, const char *name)
{
	if (s->config->shell)
		put_strings(s, name, (const char *const *)s->config->shell);
}

/* An anonymous volume has an id for a name; a named one is no member here, as with Docker. */
static bool is_anonymous(const struct mount_config *mount)
{
	return mount->kind == MOUNT_VOLUME && mount->source && strlen(mount->source) == ID_LENGTH &&
	       id_prefix_valid(mount->source);
}

static void put_volumes(const struct section *s, const char *name)
{
	bool any = false;
	json_key(s->w, name);
	for (size_t i = 0; i < s->config->mount_count; i++) {
		if (!is_anonymous(&s->config->mounts[i]))
			continue;
		if (!any)
			json_begin_object(s->w);
		any = true;
		json_key(s->w, s->config->mounts[i].target);
		json_begin_object(s->w);
		json_end_object(s->w);
	}
	if (any)
		json_end_object(s->w);
	else
		json_put_null(s->w);
}

static void put_given_text(const struct section *s, const char *name)
{
	const char *value =
		streq(name, "MacAddress") ? s->config->mac_address : s->config->stop_signal;
	if (value && *value)
		json_field_string(s->w, name, value);
}

static void put_stop_timeout(const struct section *s, const char *name)
{
	if (s->config->stop_timeout >= 0)
		json_field_i64(s->w, name, s->config->stop_timeout);
}

static const struct member config_members[] = {
	{ "Hostname", put_hostname },
	{ "Domainname", NULL },
	{ "User", NULL },
	{ "AttachStdin", NULL },
	{ "AttachStdout", NULL },
	{ "AttachStderr", NULL },
	{ "ExposedPorts", put_exposed_ports },
	{ "Tty", NULL },
	{ "OpenStdin", NULL },
	{ "StdinOnce", NULL },
	{ "Env", put_env },
	{ "Cmd", NULL },
	{ "Healthcheck", put_healthcheck },
	{ "Image", NULL },
	{ "Volumes", put_volumes },
	{ "WorkingDir", NULL },
	{ "Entrypoint", NULL },
	{ "MacAddress", put_given_text },
	{ "OnBuild", put_null },
	{ "Labels", NULL },
	{ "StopSignal", put_given_text },
	{ "StopTimeout", put_stop_timeout },
	{ "Shell", put_shell },
};

/* ---- HostConfig ---- */

/* -v in Docker's own spelling: "source:target[:ro][,propagation]". */
static void put_bind(struct json_writer *w, const struct mount_config *mount)
{
	struct buf text;
	buf_init(&text, 16384);
	buf_printf(&text, "%s:%s", mount->source, mount->target);
	if (mount->readonly || mount->propagation || mount->nocopy)
		buf_printf(&text, ":%s%s%s%s", mount->readonly ? "ro" : "rw",
			   mount->nocopy ? ",nocopy" : "", mount->propagation ? "," : "",
			   mount->propagation ? mount->propagation : "");
	json_put_string(w, buf_str(&text));
	buf_free(&text);
}

/* What -v gave; --mount's are under Mounts, anonymous volumes under Config.Volumes. */
static bool is_bind(const struct mount_config *mount)
{
	return mount->create_source && mount->source;
}

static void put_binds(const struct section *s, const char *name)
{
	bool any = false;
	json_key(s->w, name);
	for (size_t i = 0; i < s->config->mount_count; i++) {
		if (!is_bind(&s->config->mounts[i]))
			continue;
		if (!any)
			json_begin_array(s->w);
		any = true;
		put_bind(s->w, &s->config->mounts[i]);
	}
	if (any)
		json_end_array(s->w);
	else
		json_put_null(s->w);
}

static void put_log_config(const struct section *s, const char *name)
{
	log_config_write(s->w, s->config);
}

/* What it is where nothing was said. */
static void put_mode(const struct section *s, const char *name)
{
	const struct container_config *c = s->config;
	if (streq(name, "NetworkMode"))
		json_field_string(s->w, name, c->network ? c->network : "bridge");
	else if (streq(name, "IpcMode"))
		json_field_string(s->w, name, c->ipc_mode ? c->ipc_mode : "private");
	else if (streq(name, "CgroupnsMode"))
		json_field_string(s->w, name, c->cgroupns_mode ? c->cgroupns_mode : "private");
	else
		json_field_string(s->w, name, c->runtime ? c->runtime : "native");
}

static void put_port_bindings(const struct section *s, const char *name)
{
	json_key(s->w, name);
	network_ports_write(s->w, s->config->ports, s->config->port_count);
}

static void put_restart_policy(const struct section *s, const char *name)
{
	restart_policy_write(s->w, s->config);
}

/* Docker spells them out, however they were typed. */
static void put_capabilities(const struct section *s, const char *name)
{
	const char **list = streq(name, "CapAdd") ? s->config->cap_add : s->config->cap_drop;
	if (!list) {
		put_null(s, name);
		return;
	}
	json_key(s->w, name);
	json_begin_array(s->w);
	for (; *list; list++) {
		bool bare = strncasecmp(*list, "CAP_", 4) != 0 && strcasecmp(*list, "ALL") != 0;
		char *text = arena_printf(s->arena, "%s%s", bare ? "CAP_" : "", *list);
		for (char *p = text; p && *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p -= 'a' - 'A';
		json_put_string(s->w, text);
	}
	json_end_array(s->w);
}

static void put_dns(const struct section *s, const char *name)
{
	const struct container_config *c = s->config;
	put_strings(s, name,
		    streq(name, "Dns")		? c->dns
		    : streq(name, "DnsOptions") ? c->dns_options
						: c->dns_search);
}

/* Docker leaves these out where they are empty. */
static void put_given_pairs(const struct section *s, const char *name)
{
	const struct container_config *c = s->config;
	size_t count = streq(name, "Sysctls")	   ? c->sysctl_count
		       : streq(name, "StorageOpt") ? c->storage_option_count
						   : c->annotation_count;
	if (count)
		config_member_write(s->w, c, name);
}

/* What docker does not know is there only where it was given. */
static void put_given_strings(const struct section *s, const char *name)
{
	if (s->config->network_options && *s->config->network_options)
		put_strings(s, name, s->config->network_options);
}

static void put_tmpfs(const struct section *s, const char *name)
{
	bool any = false;
	for (size_t i = 0; i < s->config->mount_count; i++) {
		const struct mount_config *mount = &s->config->mounts[i];
		if (!mount->tmpfs_options)
			continue;
		if (!any) {
			json_key(s->w, name);
			json_begin_object(s->w);
		}
		any = true;
		json_field_string(s->w, mount->target, mount->tmpfs_options);
	}
	if (any)
		json_end_object(s->w);
}

static void put_console_size(const struct section *s, const char *name)
{
	json_key(s->w, name);
	json_begin_array(s->w);
	json_put_i64(s->w, 0);
	json_put_i64(s->w, 0);
	json_end_array(s->w);
}

static void put_shm_size(const struct section *s, const char *name)
{
	json_field_i64(s->w, name, s->config->shm_size ? s->config->shm_size : SHM_DEFAULT_BYTES);
}

/* Docker's sum of memory and swap: as much swap as memory unless said otherwise. */
static void put_memory_swap(const struct section *s, const char *name)
{
	json_field_i64(s->w, name, spec_memory_swap(s->config));
}

static void put_swappiness(const struct section *s, const char *name)
{
	if (s->config->memory_swappiness < 0)
		put_null(s, name);
	else
		json_field_i64(s->w, name, s->config->memory_swappiness);
}

static void put_pids_limit(const struct section *s, const char *name)
{
	if (s->config->pids_limit)
		json_field_i64(s->w, name, s->config->pids_limit);
	else
		put_null(s, name);
}

static void put_devices(const struct section *s, const char *name)
{
	json_key(s->w, name);
	devices_write(s->w, s->config);
}

/* "nofile": the record has the OCI specification's "RLIMIT_NOFILE". */
static void put_ulimits(const struct section *s, const char *name)
{
	json_key(s->w, name);
	json_begin_array(s->w);
	for (size_t i = 0; i < s->config->ulimit_count; i++) {
		const struct oci_rlimit *limit = &s->config->ulimits[i];
		const char *bare = str_after(limit->name, "RLIMIT_");
		char *text = arena_strdup(s->arena, bare ? bare : limit->name);
		for (char *p = text; p && *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p += 'a' - 'A';
		json_begin_object(s->w);
		json_field_string(s->w, "Name", text);
		json_field_i64(s->w, "Hard", (int64_t)limit->hard);
		json_field_i64(s->w, "Soft", (int64_t)limit->soft);
		json_end_object(s->w);
	}
	json_end_array(s->w);
}

static void put_block_devices(const struct section *s, const char *name)
{
	blkio_list_write(s->w, s->config, name);
}

static void put_bind_options(struct json_writer *w, const struct mount_config *mount)
{
	const struct {
		const char *name;
		bool set;
	} flags[] = {
		{ "NonRecursive", mount->nonrecursive },
		{ "CreateMountpoint", mount->create_mountpoint },
		{ "ReadOnlyNonRecursive", streq_null(mount->recursive, "writable") },
		{ "ReadOnlyForceRecursive", streq_null(mount->recursive, "readonly") },
	};
	bool any = mount->propagation != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		any |= flags[i].set;
	if (!any)
		return;
	json_key(w, "BindOptions");
	json_begin_object(w);
	if (mount->propagation)
		json_field_string(w, "Propagation", mount->propagation);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			json_field_bool(w, flags[i].name, true);
	json_end_object(w);
}

static void put_mount(struct json_writer *w, const struct mount_config *mount)
{
	static const char *const kinds[] = {
		[MOUNT_BIND] = "bind", [MOUNT_VOLUME] = "volume", [MOUNT_TMPFS] = "tmpfs"
	};
	json_begin_object(w);
	json_field_string(w, "Type", kinds[mount->kind]);
	if (mount->source)
		json_field_string(w, "Source", mount->source);
	json_field_string(w, "Target", mount->target);
	if (mount->readonly)
		json_field_bool(w, "ReadOnly", true);
	if (mount->kind == MOUNT_BIND)
		put_bind_options(w, mount);
	if (mount->kind == MOUNT_VOLUME && (mount->nocopy || mount->subpath)) {
		json_key(w, "VolumeOptions");
		json_begin_object(w);
		if (mount->nocopy)
			json_field_bool(w, "NoCopy", true);
		if (mount->subpath)
			json_field_string(w, "Subpath", mount->subpath);
		json_end_object(w);
	}
	if (mount->kind == MOUNT_TMPFS && (mount->tmpfs_size || mount->tmpfs_mode)) {
		json_key(w, "TmpfsOptions");
		json_begin_object(w);
		if (mount->tmpfs_size)
			json_field_i64(w, "SizeBytes", mount->tmpfs_size);
		if (mount->tmpfs_mode)
			json_field_i64(w, "Mode", mount->tmpfs_mode);
		json_end_object(w);
	}
	json_end_object(w);
}

/* What --mount gave. */
static void put_mounts(const struct section *s, const char *name)
{
	bool any = false;
	for (size_t i = 0; i < s->config->mount_count; i++) {
		const struct mount_config *mount = &s->config->mounts[i];
		if (is_bind(mount) || mount->tmpfs_options || is_anonymous(mount))
			continue;
		if (!any) {
			json_key(s->w, name);
			json_begin_array(s->w);
		}
		any = true;
		put_mount(s->w, mount);
	}
	if (any)
		json_end_array(s->w);
}

/* Nothing is masked or read-only where the container is privileged or its paths are unconfined. */
static void put_protected_paths(const struct section *s, const char *name)
{
	const char *const *masked, *const *readonly;
	if (!spec_protected_paths(s->config, &masked, &readonly))
		put_null(s, name);
	else
		put_strings(s, name, streq(name, "MaskedPaths") ? masked : readonly);
}

static void put_if_true(const struct section *s, const char *name)
{
	if (streq(name, "Init") ? s->config->init : s->config->proc_limits)
		json_field_bool(s->w, name, true);
}

static const struct member host_members[] = {
	{ "Binds", put_binds },
	{ "ContainerIDFile", put_empty_text },
	{ "LogConfig", put_log_config },
	{ "NetworkMode", put_mode },
	{ "NetworkOpt", put_given_strings },
	{ "PortBindings", put_port_bindings },
	{ "RestartPolicy", put_restart_policy },
	{ "AutoRemove", NULL },
	{ "VolumeDriver", put_empty_text },
	{ "VolumesFrom", NULL },
	{ "ConsoleSize", put_console_size },
	{ "Annotations", put_given_pairs },
	{ "CapAdd", put_capabilities },
	{ "CapDrop", put_capabilities },
	{ "CgroupnsMode", put_mode },
	{ "Dns", put_dns },
	{ "DnsOptions", put_dns },
	{ "DnsSearch", put_dns },
	{ "ExtraHosts", NULL },
	{ "GroupAdd", NULL },
	{ "IpcMode", put_mode },
	{ "Cgroup", put_empty_text },
	{ "Links", put_null },
	{ "OomScoreAdj", NULL },
	{ "PidMode", NULL },
	{ "Privileged", NULL },
	{ "PublishAllPorts", NULL },
	{ "ReadonlyRootfs", NULL },
	{ "SecurityOpt", NULL },
	{ "StorageOpt", put_given_pairs },
	{ "Tmpfs", put_tmpfs },
	{ "UTSMode", NULL },
	{ "UsernsMode", NULL },
	{ "ShmSize", put_shm_size },
	{ "Sysctls", put_given_pairs },
	{ "Runtime", put_mode },
	{ "Isolation", put_empty_text },
	{ "CpuShares", NULL },
	{ "Memory", NULL },
	{ "NanoCpus", NULL },
	{ "CgroupParent", NULL },
	{ "BlkioWeight", NULL },
	{ "BlkioWeightDevice", put_block_devices },
	{ "BlkioDeviceReadBps", put_block_devices },
	{ "BlkioDeviceWriteBps", put_block_devices },
	{ "BlkioDeviceReadIOps", put_block_devices },
	{ "BlkioDeviceWriteIOps", put_block_devices },
	{ "CpuPeriod", NULL },
	{ "CpuQuota", NULL },
	{ "CpuRealtimePeriod", NULL },
	{ "CpuRealtimeRuntime", NULL },
	{ "CpusetCpus", NULL },
	{ "CpusetMems", NULL },
	{ "Devices", put_devices },
	{ "DeviceCgroupRules", NULL },
	{ "DeviceRequests", put_null },
	{ "KernelMemory", NULL },
	{ "KernelMemoryTCP", put_zero },
	{ "MemoryReservation", NULL },
	{ "MemorySwap", put_memory_swap },
	{ "MemorySwappiness", put_swappiness },
	{ "OomKillDisable", NULL },
	{ "PidsLimit", put_pids_limit },
	{ "Ulimits", put_ulimits },
	{ "CpuCount", put_zero },
	{ "CpuPercent", put_zero },
	{ "IOMaximumIOps", put_zero },
	{ "IOMaximumBandwidth", put_zero },
	{ "Mounts", put_mounts },
	{ "MaskedPaths", put_protected_paths },
	{ "ReadonlyPaths", put_protected_paths },
	{ "Init", put_if_true },
	{ "ProcLimits", put_if_true },
};

static void put_members(const struct section *s, const struct member *members, size_t count)
{
	json_begin_object(s->w);
	for (size_t i = 0; i < count; i++) {
		if (members[i].put)
			members[i].put(s, members[i].name);
		else
			config_member_write(s->w, s->config, members[i].name);
	}
	json_end_object(s->w);
}

void inspect_config_write(struct json_writer *w, struct arena *arena,
			  const struct container *container)
{
	const struct section s = { w, arena, container, &container->config };
	json_key(w, "Config");
	put_members(&s, config_members, ARRAY_SIZE(config_members));
}

void inspect_host_config_write(struct json_writer *w, struct arena *arena,
			       const struct container *container)
{
	const struct section s = { w, arena, container, &container->config };
	json_key(w, "HostConfig");
	put_members(&s, host_members, ARRAY_SIZE(host_members));
}
