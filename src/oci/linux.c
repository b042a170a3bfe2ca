/* The "linux" section, without resources. */
#include <net/if.h>
#include <string.h>

#include "base/str.h"
#include "oci/field.h"
#include "sys/syscalls.h"

#define S		struct oci_spec
#define ID_MAX		(UINT32_MAX - 1)
#define MAJOR_MAX	((1 << 12) - 1) /* of the kernel's dev_t */
#define MINOR_MAX	((1 << 20) - 1)
#define NANOSECONDS_MAX 999999999

/* ---- namespaces ---- */

struct namespace_entry {
	const char *type, *path;
};
static const struct oci_field namespace_fields[] = {
	{ "type", OCI_STRING, .required = true, OCI_AT(struct namespace_entry, type) },
	{ "path", OCI_ABSOLUTE, OCI_AT(struct namespace_entry, path) },
};
static const struct oci_table namespace_table = OCI_TABLE(struct namespace_entry, namespace_fields);

static int parse_namespaces(const struct oci_parser *p, const struct oci_path *path,
			    const struct json *value, void *object)
{
	S *spec = object;
	size_t n = 0;
	if (value->type != JSON_ARRAY)
		return oci_refuse(p, path, "expected an array");
	json_foreach (item, value) {
		struct oci_path at = { .parent = path, .index = n++ };
		struct oci_path type = { .parent = &at, .key = "type" };
		struct namespace_entry entry = { 0 };
		int r = oci_table_parse(p, &at, item, &namespace_table, &entry);
		if (r < 0)
			return r;
		int number = oci_namespace_number(entry.type);
		if (number < 0)
			return oci_refuse(p, &type, "unknown value \"%.100s\"", entry.type);
		if (spec->namespaces[number].present)
			return oci_refuse(p, &type, "second entry for \"%s\"", entry.type);
		spec->namespaces[number] = (struct oci_ns) { .present = true, .path = entry.path };
	}
	return 0;
}

static void write_namespaces(struct json_writer *w, const char *name, const void *object)
{
	const S *spec = object;
	json_key(w, name);
	json_begin_array(w);
	for (int i = 0; i < OCI_NS_COUNT; i++) {
		struct namespace_entry entry = { oci_namespace_name(i), spec->namespaces[i].path };
		if (!spec->namespaces[i].present)
			continue;
		json_begin_object(w);
		oci_table_write(w, &namespace_table, &entry);
		json_end_object(w);
	}
	json_end_array(w);
}

/* ---- time offsets ---- */

static const struct oci_field offset_fields[] = {
	{ "secs", OCI_INT, .always = true, OCI_AT(struct oci_time_offset, secs),
	  OCI_RANGE(INT64_MIN, INT64_MAX) },
	{ "nanosecs", OCI_INT, .always = true, OCI_AT(struct oci_time_offset, nanosecs),
	  OCI_RANGE(0, NANOSECONDS_MAX) },
};
static const struct oci_table offset_table = OCI_TABLE(struct oci_time_offset, offset_fields);
static const struct oci_field offsets_fields[] = {
	{ "monotonic", OCI_OBJECT, .table = &offset_table, OCI_AT(S, monotonic),
	  OCI_HAS(S, monotonic.set) },
	{ "boottime", OCI_OBJECT, .table = &offset_table, OCI_AT(S, boottime),
	  OCI_HAS(S, boottime.set) },
};
static const struct oci_table offsets_table = OCI_TABLE(S, offsets_fields);

static int parse_offsets(const struct oci_parser *p, const struct oci_path *path,
			 const struct json *value, void *object)
{
	json_foreach (item, value->type == JSON_OBJECT ? value : NULL)
		if (!streq(item->key, "monotonic") && !streq(item->key, "boottime"))
			return oci_refuse(p, path, "unknown clock \"%.100s\"", item->key);
	return oci_table_parse(p, path, value, &offsets_table, object);
}

static void write_offsets(struct json_writer *w, const char *name, const void *object)
{
	const S *spec = object;
	if (!spec->monotonic.set && !spec->boottime.set)
		return;
	json_key(w, name);
	json_begin_object(w);
	oci_table_write(w, &offsets_table, object);
	json_end_object(w);
}

/* ---- devices ---- */

static int parse_device_type(const struct oci_parser *p, const struct oci_path *path,
			     const struct json *value, void *object)
{
	struct oci_device *device = object;
	const char *text;
	if (!json_string(value, &text))
		return oci_refuse(p, path, "expected a string");
	if (!*text || text[1] || !strchr("cubp", *text))
		return oci_refuse(p, path, "unknown value \"%.100s\"", text);
	device->type = *text == 'u' ? 'c' : *text;
	/* This is the first row: absent numbers stay negative for check_device(). */
	device->major = device->minor = *text == 'p' ? 0 : -1;
	return 0;
}

static void write_device_type(struct json_writer *w, const char *name, const void *object)
{
	const struct oci_device *device = object;
	json_key(w, name);
	json_put_string_len(w, &device->type, 1);
}

static int check_device(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	struct oci_device *device = object;
	if (device->major < 0 || device->minor < 0)
		return oci_refuse(p, path, "major or minor: missing or negative");
	/* Some engines leave the file type in (S_IFCHR | 0666). */
	device->mode = device->has_mode ? device->mode & 07777 : 0666;
	return 0;
}

static const struct oci_field device_fields[] = {
	{ "type", OCI_CUSTOM, .required = true, .parse = parse_device_type,
	  .write = write_device_type },
	{ "path", OCI_ABSOLUTE, .required = true, OCI_AT(struct oci_device, path) },
	{ "major", OCI_INT, .always = true, OCI_AT(struct oci_device, major),
	  OCI_RANGE(-1, MAJOR_MAX) },
	{ "minor", OCI_INT, .always = true, OCI_AT(struct oci_device, minor),
	  OCI_RANGE(-1, MINOR_MAX) },
	{ "fileMode", OCI_INT, OCI_AT(struct oci_device, mode),
	  OCI_HAS(struct oci_device, has_mode), OCI_RANGE(0, UINT32_MAX) },
	{ "uid", OCI_INT, OCI_AT(struct oci_device, uid), OCI_RANGE(0, ID_MAX) },
	{ "gid", OCI_INT, OCI_AT(struct oci_device, gid), OCI_RANGE(0, ID_MAX) },
};
static const struct oci_table device_table =
	OCI_TABLE(struct oci_device, device_fields, .check = check_device);

/* ---- network devices ---- */

static bool interface_name_valid(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len < IFNAMSIZ && !streq(name, ".") && !streq(name, "..") &&
	       !strpbrk(name, "/: \t\n\v\f\r");
}

static int check_net_device(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_net_device *device = object;
	if (!interface_name_valid(device->name) ||
	    (device->new_name && !interface_name_valid(device->new_name)))
		return oci_refuse(p, path, "not a valid name of a network device");
	return 0;
}

static const struct oci_field net_device_fields[] = {
	{ "name", OCI_STRING, OCI_AT(struct oci_net_device, new_name) },
};
static const struct oci_table net_device_table =
	OCI_TABLE(struct oci_net_device, net_device_fields, .check = check_net_device);

/* ---- seccomp: only its head, masu-seccomp reads the rest ---- */

static const struct oci_name seccomp_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 1u << 0 },
	{ "SECCOMP_FILTER_FLAG_LOG", 1u << 1 },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", 1u << 2 },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1u << 5 },
	{ 0 },
};

static const struct oci_field seccomp_fields[] = {
	{ "flags", OCI_FLAGS, OCI_AT(struct oci_seccomp, flags), .names = seccomp_flags },
	{ "listenerPath", OCI_STRING, OCI_AT(struct oci_seccomp, listener_path) },
	{ "listenerMetadata", OCI_STRING, OCI_AT(struct oci_seccomp, listener_metadata) },
};
static const struct oci_table seccomp_table = OCI_TABLE(struct oci_seccomp, seccomp_fields);

static int parse_seccomp(const struct oci_parser *p, const struct oci_path *path,
			 const struct json *value, void *object)
{
	struct oci_seccomp *seccomp = &((S *)object)->seccomp;
	struct oci_path at = { .parent = path, .key = "defaultAction" };
	int r = oci_table_parse(p, path, value, &seccomp_table, seccomp);
	if (r < 0)
		return r;
	const struct json *action = json_get(value, "defaultAction");
	if (!action || action->type != JSON_STRING)
		return oci_refuse(p, &at, "missing");
	if (seccomp->listener_metadata && !seccomp->listener_path)
		return oci_refuse(p, path, "listenerMetadata needs listenerPath");
	seccomp->present = true;
	seccomp->source = value->source;
	seccomp->source_len = value->source_len;
	return 0;
}

static void write_seccomp(struct json_writer *w, const char *name, const void *object)
{
	const struct oci_seccomp *seccomp = &((const S *)object)->seccomp;
	if (!seccomp->present)
		return;
	json_key(w, name);
	json_put_raw(w, seccomp->source, seccomp->source_len);
}

/* ---- the rest ---- */

static const struct oci_name personality_domains[] = {
	{ "LINUX", 0x0000 },   /* PER_LINUX */
	{ "LINUX32", 0x0008 }, /* PER_LINUX32 */
	{ 0 },
};
static const struct oci_name personality_flags[] = { { 0 } }; /* the specification has none yet */
static const struct oci_field personality_fields[] = {
	{ "domain", OCI_ENUM, .required = true, .always = true, OCI_AT(S, personality),
	  .names = personality_domains },
	{ "flags", OCI_FLAGS, OCI_AT(S, personality), .names = personality_flags },
};
static const struct oci_table personality_table = OCI_TABLE(S, personality_fields);

/* Values of set_mempolicy(2); the flags are or-ed to the mode. */
static const struct oci_name memory_modes[] = {
	{ "MPOL_DEFAULT", 0 },
	{ "MPOL_PREFERRED", 1 },
	{ "MPOL_BIND", 2 },
	{ "MPOL_INTERLEAVE", 3 },
	{ "MPOL_LOCAL", 4 },
	{ "MPOL_PREFERRED_MANY", 5 },
	{ "MPOL_WEIGHTED_INTERLEAVE", 6 },
	{ 0 },
};
static const struct oci_name memory_flags[] = {
	{ "MPOL_F_STATIC_NODES", 1u << 15 },
	{ "MPOL_F_RELATIVE_NODES", 1u << 14 },
	{ "MPOL_F_NUMA_BALANCING", 1u << 13 },
	{ 0 },
};
static const struct oci_field memory_policy_fields[] = {
	{ "mode", OCI_ENUM, .required = true, .always = true, OCI_AT(S, memory_policy.mode),
	  .names = memory_modes, .mask = 0x1fff },
	{ "nodes", OCI_STRING, OCI_AT(S, memory_policy.nodes) },
	{ "flags", OCI_FLAGS, OCI_AT(S, memory_policy.mode), .names = memory_flags },
};
static const struct oci_table memory_policy_table = OCI_TABLE(S, memory_policy_fields);

static int check_intel_rdt(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const S *spec = object;
	const char *id = spec->intel_rdt_closid;
	bool newline = (spec->intel_rdt_l3 && strchr(spec->intel_rdt_l3, '\n')) ||
		       (spec->intel_rdt_membw && strchr(spec->intel_rdt_membw, '\n'));
	for (size_t i = 0; spec->intel_rdt_schemata && spec->intel_rdt_schemata[i]; i++)
		newline |= strchr(spec->intel_rdt_schemata[i], '\n') != NULL;
	if (newline)
		return oci_refuse(p, path, "a schema must not contain a newline");
	if (spec->intel_rdt_membw && !str_after(spec->intel_rdt_membw, "MB:"))
		return oci_refuse(p, path, "memBwSchema must begin with \"MB:\"");
	if (id && !streq(id, "/") && (strchr(id, '/') || streq(id, ".") || streq(id, "..")))
		return oci_refuse(p, path, "closID \"%.100s\" is not the name of a directory", id);
	return 0;
}

static const struct oci_field intel_rdt_fields[] = {
	{ "closID", OCI_STRING, OCI_AT(S, intel_rdt_closid) },
	{ "l3CacheSchema", OCI_STRING, OCI_AT(S, intel_rdt_l3) },
	{ "memBwSchema", OCI_STRING, OCI_AT(S, intel_rdt_membw) },
	{ "schemata", OCI_STRINGS, OCI_AT(S, intel_rdt_schemata) },
	{ "enableMonitoring", OCI_BOOL, OCI_AT(S, intel_rdt_monitoring) },
};
static const struct oci_table intel_rdt_table =
	OCI_TABLE(S, intel_rdt_fields, .check = check_intel_rdt);

static int check_absolute(const struct oci_parser *p, const struct oci_path *path, const char *name,
			  char *const *list)
{
	struct oci_path at = { .parent = path, .key = name };
	for (size_t i = 0; list && list[i]; i++) {
		struct oci_path item = { .parent = &at, .index = i };
		if (list[i][0] != '/')
			return oci_refuse(p, &item, "\"%.200s\" is not an absolute path", list[i]);
	}
	return 0;
}

static int check_linux(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const S *spec = object;
	const struct oci_ns *user = &spec->namespaces[OCI_NS_USER];
	bool mapped = spec->id_map.uid_count && spec->id_map.gid_count;
	if (user->present && !user->path && !mapped)
		return oci_refuse(p, path,
				  "a new user namespace needs uidMappings and gidMappings");
	if (!user->present && (spec->id_map.uid_count || spec->id_map.gid_count))
		return oci_refuse(p, path, "uidMappings and gidMappings need a user namespace");
	if (!spec->namespaces[OCI_NS_TIME].present && (spec->monotonic.set || spec->boottime.set))
		return oci_refuse(p, path, "timeOffsets need a time namespace");
	if (!spec->namespaces[OCI_NS_NETWORK].present && spec->net_device_count)
		return oci_refuse(p, path, "netDevices need a network namespace");
	int r = check_absolute(p, path, "maskedPaths", spec->masked_paths);
	return r < 0 ? r : check_absolute(p, path, "readonlyPaths", spec->readonly_paths);
}

static const struct oci_field linux_fields[] = {
	{ "namespaces", OCI_CUSTOM, .parse = parse_namespaces, .write = write_namespaces },
	{ "uidMappings", OCI_LIST, .table = &oci_id_mapping_table, OCI_AT(S, id_map.uid),
	  OCI_COUNT(S, id_map.uid_count) },
	{ "gidMappings", OCI_LIST, .table = &oci_id_mapping_table, OCI_AT(S, id_map.gid),
	  OCI_COUNT(S, id_map.gid_count) },
	{ "timeOffsets", OCI_CUSTOM, .parse = parse_offsets, .write = write_offsets },
	{ "devices", OCI_LIST, .table = &device_table, OCI_AT(S, devices),
	  OCI_COUNT(S, device_count) },
	{ "netDevices", OCI_KEYED, .table = &net_device_table, OCI_AT(S, net_devices),
	  OCI_COUNT(S, net_device_count) },
	{ "cgroupsPath", OCI_STRING, OCI_AT(S, cgroups_path) },
	{ "resources", OCI_OBJECT, .table = &oci_resources_table, OCI_AT(S, resources),
	  OCI_HAS(S, resources.present) },
	{ "intelRdt", OCI_OBJECT, .table = &intel_rdt_table, OCI_HAS(S, has_intel_rdt) },
	{ "memoryPolicy", OCI_OBJECT, .table = &memory_policy_table,
	  OCI_HAS(S, memory_policy.present) },
	{ "sysctl", OCI_MAP, OCI_AT(S, sysctl), OCI_COUNT(S, sysctl_count) },
	{ "seccomp", OCI_CUSTOM, .parse = parse_seccomp, .write = write_seccomp },
	{ "rootfsPropagation", OCI_ENUM, OCI_AT(S, rootfs_propagation),
	  .names = oci_propagation_names },
	{ "maskedPaths", OCI_STRINGS, OCI_AT(S, masked_paths) },
	{ "readonlyPaths", OCI_STRINGS, OCI_AT(S, readonly_paths) },
	{ "mountLabel", OCI_STRING, OCI_AT(S, mount_label) },
	{ "personality", OCI_OBJECT, .table = &personality_table, OCI_HAS(S, has_personality) },
};
const struct oci_table oci_linux_table = OCI_TABLE(S, linux_fields, .check = check_linux);
