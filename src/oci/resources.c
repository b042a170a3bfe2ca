/* The "linux.resources" section. */
#include <string.h>

#include "base/str.h"
#include "oci/field.h"

#define DEVICE_NUMBER_MAX UINT32_MAX
#define R		  struct oci_resources

/* A row for an integer that may be absent. */
#define MAYBE(json_name, type, member, low, high)                                                  \
	{                                                                                          \
		json_name, OCI_OPTIONAL_INT, OCI_AT(type, member), OCI_RANGE(low, high)            \
	}

static int parse_rule_type(const struct oci_parser *p, const struct oci_path *path,
			   const struct json *value, void *object)
{
	struct oci_device_rule *rule = object;
	const char *text;
	if (!json_string(value, &text))
		return oci_refuse(p, path, "expected a string");
	if (*text && (text[1] || !strchr("acb", *text)))
		return oci_refuse(p, path, "unknown value \"%.100s\"", text);
	rule->type = *text ? *text : 'a';
	return 0;
}

static void write_rule_type(struct json_writer *w, const char *name, const void *object)
{
	const struct oci_device_rule *rule = object;
	json_key(w, name);
	json_put_string_len(w, rule->type ? &rule->type : "a", 1);
}

static int parse_access(const struct oci_parser *p, const struct oci_path *path,
			const struct json *value, void *object)
{
	struct oci_device_rule *rule = object;
	const char *text;
	if (!json_string(value, &text))
		return oci_refuse(p, path, "expected a string");
	if (text[strspn(text, "rwm")])
		return oci_refuse(p, path, "\"%.100s\" is not made of r, w and m", text);
	rule->read = strchr(text, 'r') != NULL;
	rule->write = strchr(text, 'w') != NULL;
	rule->mknod = strchr(text, 'm') != NULL;
	return 0;
}

static void write_access(struct json_writer *w, const char *name, const void *object)
{
	const struct oci_device_rule *rule = object;
	char text[4] = "";
	size_t len = 0;
	if (rule->read)
		text[len++] = 'r';
	if (rule->write)
		text[len++] = 'w';
	if (rule->mknod)
		text[len++] = 'm';
	json_key(w, name);
	json_put_string_len(w, text, len);
}

static int check_rule(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	struct oci_device_rule *rule = object;
	if (!rule->type)
		rule->type = 'a';
	return 0;
}

static const struct oci_field rule_fields[] = {
	{ "allow", OCI_BOOL, .required = true, .always = true,
	  OCI_AT(struct oci_device_rule, allow) },
	{ "type", OCI_CUSTOM, .parse = parse_rule_type, .write = write_rule_type },
	{ "major", OCI_INT, OCI_AT(struct oci_device_rule, major),
	  OCI_HAS(struct oci_device_rule, has_major), OCI_RANGE(-1, DEVICE_NUMBER_MAX) },
	{ "minor", OCI_INT, OCI_AT(struct oci_device_rule, minor),
	  OCI_HAS(struct oci_device_rule, has_minor), OCI_RANGE(-1, DEVICE_NUMBER_MAX) },
	{ "access", OCI_CUSTOM, .parse = parse_access, .write = write_access },
};
static const struct oci_table rule_table =
	OCI_TABLE(struct oci_device_rule, rule_fields, .check = check_rule);

static const struct oci_field memory_fields[] = {
	MAYBE("limit", R, memory.limit, -1, INT64_MAX),
	MAYBE("reservation", R, memory.reservation, -1, INT64_MAX),
	MAYBE("swap", R, memory.swap, -1, INT64_MAX),
	MAYBE("kernel", R, memory.kernel, -1, INT64_MAX),
	MAYBE("kernelTCP", R, memory.kernel_tcp, -1, INT64_MAX),
	MAYBE("swappiness", R, memory.swappiness, 0, 100),
	{ "disableOOMKiller", OCI_BOOL, OCI_AT(R, memory.disable_oom_killer),
	  OCI_HAS(R, memory.has_disable_oom_killer) },
	{ "useHierarchy", OCI_BOOL, OCI_AT(R, memory.use_hierarchy),
	  OCI_HAS(R, memory.has_use_hierarchy) },
	{ "checkBeforeUpdate", OCI_BOOL, OCI_AT(R, memory.check_before_update) },
};
static const struct oci_table memory_table = OCI_TABLE(R, memory_fields);

static const struct oci_field cpu_fields[] = {
	MAYBE("shares", R, cpu.shares, 0, INT64_MAX),
	MAYBE("quota", R, cpu.quota, INT64_MIN, INT64_MAX),
	MAYBE("burst", R, cpu.burst, 0, INT64_MAX),
	MAYBE("period", R, cpu.period, 0, INT64_MAX),
	MAYBE("realtimeRuntime", R, cpu.realtime_runtime, INT64_MIN, INT64_MAX),
	MAYBE("realtimePeriod", R, cpu.realtime_period, 0, INT64_MAX),
	{ "cpus", OCI_STRING, OCI_AT(R, cpu.cpus) },
	{ "mems", OCI_STRING, OCI_AT(R, cpu.mems) },
	MAYBE("idle", R, cpu.idle, 0, 1),
};
static const struct oci_table cpu_table = OCI_TABLE(R, cpu_fields);

static const struct oci_field pids_fields[] = {
	MAYBE("limit", R, pids_limit, INT64_MIN, INT64_MAX),
};
static const struct oci_table pids_table = OCI_TABLE(R, pids_fields);

#define DEVICE_ROWS(type)                                                                          \
	{ "major",                                                                                 \
	  OCI_INT,                                                                                 \
	  .required = true,                                                                        \
	  .always = true,                                                                          \
	  OCI_AT(type, major),                                                                     \
	  OCI_RANGE(0, DEVICE_NUMBER_MAX) },                                                       \
	{                                                                                          \
		"minor", OCI_INT, .required = true, .always = true, OCI_AT(type, minor),           \
				  OCI_RANGE(0, DEVICE_NUMBER_MAX)                                  \
	}

static int check_weight(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_blkio_device *device = object;
	if (!device->has_weight && !device->has_leaf_weight)
		return oci_refuse(p, path, "needs weight or leafWeight");
	return 0;
}

static const struct oci_field weight_fields[] = {
	DEVICE_ROWS(struct oci_blkio_device),
	{ "weight", OCI_INT, OCI_AT(struct oci_blkio_device, weight),
	  OCI_HAS(struct oci_blkio_device, has_weight), OCI_RANGE(0, UINT16_MAX) },
	{ "leafWeight", OCI_INT, OCI_AT(struct oci_blkio_device, leaf_weight),
	  OCI_HAS(struct oci_blkio_device, has_leaf_weight), OCI_RANGE(0, UINT16_MAX) },
};
static const struct oci_table weight_table =
	OCI_TABLE(struct oci_blkio_device, weight_fields, .check = check_weight);

static const struct oci_field rate_fields[] = {
	DEVICE_ROWS(struct oci_blkio_device),
	{ "rate", OCI_U64, .required = true, .always = true,
	  OCI_AT(struct oci_blkio_device, rate) },
};
static const struct oci_table rate_table = OCI_TABLE(struct oci_blkio_device, rate_fields);

#define DEVICES(json_name, member, of)                                                             \
	{                                                                                          \
		json_name, OCI_LIST, OCI_AT(R, blkio.member.list),                                 \
			OCI_COUNT(R, blkio.member.count), .table = (of)                            \
	}
static const struct oci_field blkio_fields[] = {
	MAYBE("weight", R, blkio.weight, 0, UINT16_MAX),
	MAYBE("leafWeight", R, blkio.leaf_weight, 0, UINT16_MAX),
	DEVICES("weightDevice", weight_device, &weight_table),
	DEVICES("throttleReadBpsDevice", read_bps, &rate_table),
	DEVICES("throttleWriteBpsDevice", write_bps, &rate_table),
	DEVICES("throttleReadIOPSDevice", read_iops, &rate_table),
	DEVICES("throttleWriteIOPSDevice", write_iops, &rate_table),
};
static const struct oci_table blkio_table = OCI_TABLE(R, blkio_fields);

/* "64KB", "2MB", "1GB": the name becomes part of a control file's. */
static int check_hugepage(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_hugepage_limit *limit = object;
	const char *size = limit->page_size;
	size_t digits = strspn(size, "0123456789");
	if (digits == 0 || digits > 6 || size[0] == '0' || !strchr("KMG", size[digits]) ||
	    !streq(size + digits + (size[digits] != '\0'), "B"))
		return oci_refuse(p, path, "pageSize \"%.40s\" is not of the form 64KB, 2MB or 1GB",
				  size);
	return 0;
}

static const struct oci_field hugepage_fields[] = {
	{ "pageSize", OCI_STRING, .required = true, OCI_AT(struct oci_hugepage_limit, page_size) },
	{ "limit", OCI_U64, .required = true, .always = true,
	  OCI_AT(struct oci_hugepage_limit, limit) },
};
static const struct oci_table hugepage_table =
	OCI_TABLE(struct oci_hugepage_limit, hugepage_fields, .check = check_hugepage);

static const struct oci_field priority_fields[] = {
	{ "name", OCI_STRING, .required = true, OCI_AT(struct oci_network_priority, name) },
	{ "priority", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_network_priority, priority), OCI_RANGE(0, UINT32_MAX) },
};
static const struct oci_table priority_table =
	OCI_TABLE(struct oci_network_priority, priority_fields);

static const struct oci_field network_fields[] = {
	MAYBE("classID", R, network.class_id, 0, UINT32_MAX),
	{ "priorities", OCI_LIST, .table = &priority_table, OCI_AT(R, network.priorities),
	  OCI_COUNT(R, network.priority_count) },
};
static const struct oci_table network_table = OCI_TABLE(R, network_fields);

static int check_rdma(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_rdma_limit *limit = object;
	if (!limit->handles.set && !limit->objects.set)
		return oci_refuse(p, path, "needs hcaHandles or hcaObjects");
	return 0;
}

static const struct oci_field rdma_fields[] = {
	MAYBE("hcaHandles", struct oci_rdma_limit, handles, 0, UINT32_MAX),
	MAYBE("hcaObjects", struct oci_rdma_limit, objects, 0, UINT32_MAX),
};
static const struct oci_table rdma_table =
	OCI_TABLE(struct oci_rdma_limit, rdma_fields, .check = check_rdma);

static int check_resources(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	R *resources = object;
	for (size_t i = 0; i < resources->unified_count; i++) {
		struct oci_path at = { .parent = path, .key = "unified" };
		const char *key = resources->unified[i].key;
		if (strchr(key, '/') || *key == '.')
			return oci_refuse(p, &at, "\"%.100s\" is not the name of a cgroup file",
					  key);
	}
	resources->present = true;
	return 0;
}

static const struct oci_field resource_fields[] = {
	{ "devices", OCI_LIST, .table = &rule_table, OCI_AT(R, devices),
	  OCI_COUNT(R, device_count) },
	{ "memory", OCI_OBJECT, .table = &memory_table },
	{ "cpu", OCI_OBJECT, .table = &cpu_table },
	{ "pids", OCI_OBJECT, .table = &pids_table },
	{ "blockIO", OCI_OBJECT, .table = &blkio_table, OCI_HAS(R, blkio.present) },
	{ "hugepageLimits", OCI_LIST, .table = &hugepage_table, OCI_AT(R, hugepages),
	  OCI_COUNT(R, hugepage_count) },
	{ "network", OCI_OBJECT, .table = &network_table },
	{ "rdma", OCI_KEYED, .table = &rdma_table, OCI_AT(R, rdma), OCI_COUNT(R, rdma_count) },
	{ "unified", OCI_MAP, OCI_AT(R, unified), OCI_COUNT(R, unified_count) },
};
const struct oci_table oci_resources_table =
	OCI_TABLE(R, resource_fields, .check = check_resources);

int oci_resources_parse(struct arena *arena, const char *text, size_t len,
			struct oci_resources *ret, struct masu_error *err)
{
	const struct json *document;
	struct oci_parser parser = { arena, err };
	struct oci_resources resources = { 0 };
	int r = json_parse(arena, text, len, &document, err);
	if (r == 0)
		r = oci_table_parse(&parser, NULL, document, &oci_resources_table, &resources);
	if (r == 0)
		*ret = resources;
	return r;
}
