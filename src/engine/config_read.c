/* container_config from container.json. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "engine/config.h"

static int damaged(struct masu_error *err, const char *what)
{
	return error_set(err, -EBADMSG, "container.json: \"%s\" is not as masu writes it", what);
}

static uint32_t child_count(const struct json *value, enum json_type type)
{
	return value && value->type == type ? value->count : 0;
}

const char **json_strings(struct arena *arena, const struct json *array)
{
	if (!array || array->type != JSON_ARRAY)
		return NULL;
	const char **list = arena_array(arena, const char *, (size_t)array->count + 1);
	size_t n = 0;
	json_foreach (item, array) {
		if (list && !json_string(item, &list[n++]))
			return NULL;
	}
	return list;
}

static int pairs_read(struct arena *arena, const struct json *object, struct oci_pair **ret,
		      size_t *ret_count)
{
	size_t count = child_count(object, JSON_OBJECT), n = 0;
	struct oci_pair *pairs = arena_array(arena, struct oci_pair, count);
	if (!pairs)
		return -ENOMEM;
	json_foreach (item, object) {
		pairs[n].key = item->key;
		if (!json_string(item, &pairs[n++].value))
			return -EBADMSG;
	}
	*ret = pairs;
	*ret_count = count;
	return 0;
}

static int field_read(struct arena *arena, const struct config_field *field,
		      const struct json *value, struct container_config *config)
{
	void *at = (char *)config + field->offset;
	int64_t number;
	switch (field->kind) {
	case FIELD_STRING:
		return json_string(value, (const char **)at) ? 0 : -EBADMSG;
	case FIELD_STRINGS:
		*(const char ***)at = json_strings(arena, value);
		return *(const char ***)at ? 0 : -EBADMSG;
	case FIELD_BOOL:
		return json_bool(value, (bool *)at) ? 0 : -EBADMSG;
	case FIELD_I64:
		return json_i64(value, (int64_t *)at) ? 0 : -EBADMSG;
	case FIELD_INT:
		if (!json_i64(value, &number) || number < INT32_MIN || number > INT32_MAX)
			return -EBADMSG;
		*(int *)at = (int)number;
		return 0;
	case FIELD_PAIRS:
		return pairs_read(arena, value, (struct oci_pair **)at,
				  (size_t *)((char *)config + field->count_offset));
	}
	return -EBADMSG;
}

/* Members come in the table's order with those at their default left out, so one pass over both is
 * enough; a member that the table does not have is one of those with a shape of its own. */
static int fields_read(struct arena *arena, const struct config_field *fields,
		       const struct json *object, struct container_config *config,
		       struct masu_error *err)
{
	const struct config_field *field = fields;
	json_foreach (item, object) {
		const struct config_field *at = field;
		while (at->name && !streq(at->name, item->key))
			at++;
		if (!at->name)
			continue;
		if (field_read(arena, at, item, config) < 0)
			return damaged(err, item->key);
		field = at + 1;
	}
	return 0;
}

static int port_binding_read(const struct json *binding, struct network_port *port)
{
	const char *ip = "", *number = "", *mode = "";
	uint32_t value = 0;
	json_string(json_get(binding, "HostIp"), &ip);
	json_string(json_get(binding, "HostPort"), &number);
	if (*number && (str_to_u32(number, &value) < 0 || value > UINT16_MAX))
		return -EBADMSG;
	port->host_port = (uint16_t)value;
	json_string(json_get(binding, "Mode"), &mode);
	if (network_mode_parse(mode, &port->mode) < 0)
		return -EBADMSG;
	if (!*ip)
		return 0;
	port->host_ip_set = true;
	port->host_family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	return inet_pton(port->host_family, ip, &port->host_ip) == 1 ? 0 : -EBADMSG;
}

static int ports_read(struct arena *arena, const struct json *bindings,
		      struct container_config *config)
{
	size_t count = 0;
	json_foreach (list, bindings)
		count += child_count(list, JSON_ARRAY);
	struct network_port *ports = arena_array(arena, struct network_port, count);
	if (!ports)
		return -ENOMEM;
	size_t n = 0;
	json_foreach (list, bindings) {
		json_foreach (binding, list) {
			if (network_port_name_parse(list->key, &ports[n]) < 0 ||
			    port_binding_read(binding, &ports[n]) < 0)
				return -EBADMSG;
			n++;
		}
	}
	config->ports = ports;
	config->port_count = count;
	return 0;
}

/* The keys of ExposedPorts. */
static int expose_read(struct arena *arena, const struct json *object,
		       struct container_config *config)
{
	if (!object)
		return 0;
	config->expose = arena_array(arena, const char *, (size_t)object->count + 1);
	if (!config->expose)
		return -ENOMEM;
	size_t n = 0;
	json_foreach (item, object)
		config->expose[n++] = item->key;
	return 0;
}

static int healthcheck_read(struct arena *arena, const struct json *object,
			    struct container_config *config)
{
	struct image_healthcheck *check = &config->healthcheck;
	int64_t retries = 0;
	if (!object)
		return 0;
	check->present = true;
	check->test = (char **)json_strings(arena, json_get(object, "Test"));
	json_i64(json_get(object, "Interval"), &check->interval_ns);
	json_i64(json_get(object, "Timeout"), &check->timeout_ns);
	json_i64(json_get(object, "StartPeriod"), &check->start_period_ns);
	json_i64(json_get(object, "StartInterval"), &check->start_interval_ns);
	json_i64(json_get(object, "Retries"), &retries);
	check->retries = (int)retries;
	return 0;
}

static int devices_read(struct arena *arena, const struct json *array,
			struct container_config *config)
{
	size_t count = child_count(array, JSON_ARRAY), n = 0;
	config->devices = arena_array(arena, struct device_config, count);
	if (!config->devices)
		return -ENOMEM;
	json_foreach (item, array) {
		struct device_config *device = &config->devices[n++];
		if (!json_string(json_get(item, "PathOnHost"), &device->host) ||
		    !json_string(json_get(item, "PathInContainer"), &device->container) ||
		    !json_string(json_get(item, "CgroupPermissions"), &device->permissions))
			return -EBADMSG;
	}
	config->device_count = count;
	return 0;
}

static int ulimits_read(struct arena *arena, const struct json *array,
			struct container_config *config)
{
	size_t count = child_count(array, JSON_ARRAY), n = 0;
	config->ulimits = arena_array(arena, struct oci_rlimit, count);
	if (!config->ulimits)
		return -ENOMEM;
	json_foreach (item, array) {
		struct oci_rlimit *limit = &config->ulimits[n++];
		int64_t hard, soft;
		if (!json_string(json_get(item, "Name"), &limit->name) ||
		    !json_i64(json_get(item, "Hard"), &hard) ||
		    !json_i64(json_get(item, "Soft"), &soft))
			return -EBADMSG;
		limit->resource = oci_rlimit_number(limit->name);
		limit->hard = (uint64_t)hard;
		limit->soft = (uint64_t)soft;
		if (limit->resource < 0)
			return -EBADMSG;
	}
	config->ulimit_count = count;
	return 0;
}

static int restart_policy_read(const struct json *object, struct container_config *config)
{
	const char *name = "no";
	int64_t maximum = 0;
	if (!object)
		return 0;
	json_string(json_get(object, "Name"), &name);
	json_i64(json_get(object, "MaximumRetryCount"), &maximum);
	config->restart_max = (int)maximum;
	for (int policy = RESTART_NO; policy <= RESTART_UNLESS_STOPPED; policy++) {
		if (!streq(name, restart_policy_name((enum restart_policy)policy)))
			continue;
		config->restart = (enum restart_policy)policy;
		return 0;
	}
	return -EBADMSG;
}

static int mount_read(const struct json *item, struct mount_config *mount)
{
	const char *type = "";
	int64_t mode = 0;
	json_string(json_get(item, "Type"), &type);
	if (streq(type, "bind"))
		mount->kind = MOUNT_BIND;
	else if (streq(type, "volume"))
		mount->kind = MOUNT_VOLUME;
	else if (streq(type, "tmpfs"))
		mount->kind = MOUNT_TMPFS;
	else
		return -EBADMSG;
	json_string(json_get(item, "Source"), &mount->source);
	if (!json_string(json_get(item, "Target"), &mount->target))
		return -EBADMSG;
	json_bool(json_get(item, "ReadOnly"), &mount->readonly);
	json_bool(json_get(item, "CreateSource"), &mount->create_source);
	json_bool(json_get(item, "CreateMountpoint"), &mount->create_mountpoint);
	json_bool(json_get(item, "NoCopy"), &mount->nocopy);
	json_bool(json_get(item, "NonRecursive"), &mount->nonrecursive);
	json_string(json_get(item, "Recursive"), &mount->recursive);
	json_string(json_get(item, "Propagation"), &mount->propagation);
	json_i64(json_get(item, "SizeBytes"), &mount->tmpfs_size);
	json_i64(json_get(item, "Mode"), &mode);
	mount->tmpfs_mode = (uint32_t)mode;
	json_string(json_get(item, "Options"), &mount->tmpfs_options);
	json_string(json_get(item, "Driver"), &mount->volume_driver);
	json_string(json_get(item, "Subpath"), &mount->subpath);
	return 0;
}

static int mounts_read(struct arena *arena, const struct json *array,
		       struct container_config *config)
{
	size_t count = child_count(array, JSON_ARRAY), n = 0;
	config->mounts = arena_array(arena, struct mount_config, count);
	if (!config->mounts)
		return -ENOMEM;
	json_foreach (item, array) {
		if (mount_read(item, &config->mounts[n++]) < 0)
			return -EBADMSG;
	}
	config->mount_count = count;
	return 0;
}

static int host_config_read(struct arena *arena, const struct json *host,
			    struct container_config *config, struct masu_error *err)
{
	int r = fields_read(arena, host_config_fields, host, config, err);
	if (r < 0)
		return r;
	const struct json *log = json_get(host, "LogConfig");
	json_string(json_get(log, "Type"), &config->log_driver);
	if (pairs_read(arena, json_get(log, "Config"), &config->log_options,
		       &config->log_option_count) < 0)
		return damaged(err, "LogConfig");
	json_i64(json_get(host, "MemorySwappiness"), &config->memory_swappiness);
	if (ports_read(arena, json_get(host, "PortBindings"), config) < 0)
		return damaged(err, "PortBindings");
	if (devices_read(arena, json_get(host, "Devices"), config) < 0)
		return damaged(err, "Devices");
	if (blkio_devices_read(arena, host, config) < 0)
		return damaged(err, "BlkioDevice");
	if (ulimits_read(arena, json_get(host, "Ulimits"), config) < 0)
		return damaged(err, "Ulimits");
	if (restart_policy_read(json_get(host, "RestartPolicy"), config) < 0)
		return damaged(err, "RestartPolicy");
	return 0;
}

int config_read(struct arena *arena, const struct json *record, struct container_config *ret,
		struct masu_error *err)
{
	struct container_config config = { .stop_timeout = -1, .memory_swappiness = -1 };
	const struct json *docker = json_get(record, "Config");
	int r = fields_read(arena, config_fields, docker, &config, err);
	if (r < 0)
		return r;
	int64_t timeout = -1;
	json_i64(json_get(docker, "StopTimeout"), &timeout);
	config.stop_timeout = (int)timeout;
	if (expose_read(arena, json_get(docker, "ExposedPorts"), &config) < 0)
		return damaged(err, "ExposedPorts");
	if (healthcheck_read(arena, json_get(docker, "Healthcheck"), &config) < 0)
		return damaged(err, "Healthcheck");
	config.shell = (char **)json_strings(arena, json_get(docker, "Shell"));
	json_string(json_get(docker, "HealthcheckOnFailureAction"), &config.health_on_failure);
	r = host_config_read(arena, json_get(record, "HostConfig"), &config, err);
	if (r < 0)
		return r;
	if (mounts_read(arena, json_get(record, "Mounts"), &config) < 0)
		return damaged(err, "Mounts");
	if (networks_config_read(arena, json_get(record, "Networks"), &config) < 0)
		return damaged(err, "Networks");
	config.entrypoint_set = config.entrypoint != NULL;
	config.cmd_set = config.cmd != NULL;
	*ret = config;
	return 0;
}
