/* container_config to JSON, in Docker's names. */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/str.h"
#include "engine/config.h"

static const void *field_at(const struct container_config *config, size_t offset)
{
	return (const char *)config + offset;
}

void json_put_strings(struct json_writer *w, const char *const *strings)
{
	if (!strings) {
		json_put_null(w);
		return;
	}
	json_begin_array(w);
	for (; *strings; strings++)
		json_put_string(w, *strings);
	json_end_array(w);
}

static void pairs_write(struct json_writer *w, const struct oci_pair *pairs, size_t count)
{
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		json_field_string(w, pairs[i].key, pairs[i].value);
	json_end_object(w);
}

static void string_field(struct json_writer *w, const char *name, const char *value, bool full)
{
	if (full)
		json_field_string(w, name, value ? value : "");
	else if (value)
		json_field_string(w, name, value);
}

static void strings_field(struct json_writer *w, const char *name, const char *const *value,
			  bool full)
{
	if (!value && !full)
		return;
	json_key(w, name);
	json_put_strings(w, value);
}

static void number_field(struct json_writer *w, const char *name, int64_t value, bool full)
{
	if (value || full)
		json_field_i64(w, name, value);
}

static void field_write(struct json_writer *w, const struct config_field *field,
			const struct container_config *config, bool full)
{
	const void *at = field_at(config, field->offset);
	switch (field->kind) {
	case FIELD_STRING:
		string_field(w, field->name, *(const char *const *)at, full);
		break;
	case FIELD_STRINGS:
		strings_field(w, field->name, *(const char *const *const *)at, full);
		break;
	case FIELD_BOOL:
		if (*(const bool *)at || full)
			json_field_bool(w, field->name, *(const bool *)at);
		break;
	case FIELD_I64:
		number_field(w, field->name, *(const int64_t *)at, full);
		break;
	case FIELD_INT:
		number_field(w, field->name, *(const int *)at, full);
		break;
	case FIELD_PAIRS: {
		size_t count = *(const size_t *)field_at(config, field->count_offset);
		if (!count && !full)
			break;
		json_key(w, field->name);
		pairs_write(w, *(struct oci_pair *const *)at, count);
		break;
	}
	}
}

void config_member_write(struct json_writer *w, const struct container_config *config,
			 const char *name)
{
	static const struct config_field *const tables[] = { config_fields, host_config_fields };
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct config_field *field = tables[i]; field->name; field++)
			if (streq(field->name, name))
				field_write(w, field, config, true);
}

static const char *protocol_name(enum network_protocol protocol)
{
	static const char *const names[] = {
		[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
	};
	return names[protocol];
}

static void port_key(struct json_writer *w, const struct network_port *port)
{
	char key[16];
	snprintf(key, sizeof(key), "%u/%s", port->container_port, protocol_name(port->protocol));
	json_key(w, key);
}

static bool same_container_port(const struct network_port *a, const struct network_port *b)
{
	return a->container_port == b->container_port && a->protocol == b->protocol;
}

/* True where no earlier port of the list is for the same port of the container. */
static bool first_of_port(const struct network_port *ports, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (same_container_port(&ports[i], &ports[at]))
			return false;
	return true;
}

static void port_binding_write(struct json_writer *w, const struct network_port *port)
{
	char text[INET6_ADDRSTRLEN] = "";
	if (port->host_ip_set)
		inet_ntop(port->host_family, &port->host_ip, text, sizeof(text));
	json_begin_object(w);
	json_field_string(w, "HostIp", text);
	if (port->host_port)
		snprintf(text, sizeof(text), "%u", port->host_port);
	json_field_string(w, "HostPort", port->host_port ? text : "");
	if (port->mode != NETWORK_MODE_DEFAULT)
		json_field_string(w, "Mode", network_mode_name(port->mode));
	json_end_object(w);
}

void network_ports_write(struct json_writer *w, const struct network_port *ports, size_t count)
{
	json_begin_object(w);
	for (size_t i = 0; i < count; i++) {
		if (!first_of_port(ports, i))
			continue;
		port_key(w, &ports[i]);
		json_begin_array(w);
		for (size_t k = i; k < count; k++)
			if (same_container_port(&ports[i], &ports[k]))
				port_binding_write(w, &ports[k]);
		json_end_array(w);
	}
	json_end_object(w);
}

static bool is_exposed(const char *const *expose, const struct network_port *port)
{
	char key[16];
	snprintf(key, sizeof(key), "%u/%s", port->container_port, protocol_name(port->protocol));
	for (; expose && *expose; expose++)
		if (streq(*expose, key))
			return true;
	return false;
}

void exposed_ports_write(struct json_writer *w, const struct container_config *config)
{
	json_key(w, "ExposedPorts");
	json_begin_object(w);
	for (const char **expose = config->expose; expose && *expose; expose++) {
		json_key(w, *expose);
		json_begin_object(w);
		json_end_object(w);
	}
	for (size_t i = 0; i < config->port_count; i++) {
		if (!first_of_port(config->ports, i) ||
		    is_exposed(config->expose, &config->ports[i]))
			continue;
		port_key(w, &config->ports[i]);
		json_begin_object(w);
		json_end_object(w);
	}
	json_end_object(w);
}

void healthcheck_write(struct json_writer *w, const struct container_config *config)
{
	const struct image_healthcheck *check = &config->healthcheck;
	if (!check->present)
		return;
	json_key(w, "Healthcheck");
	json_begin_object(w);
	json_key(w, "Test");
	json_put_strings(w, (const char *const *)check->test);
	number_field(w, "Interval", check->interval_ns, false);
	number_field(w, "Timeout", check->timeout_ns, false);
	number_field(w, "StartPeriod", check->start_period_ns, false);
	number_field(w, "StartInterval", check->start_interval_ns, false);
	number_field(w, "Retries", check->retries, false);
	json_end_object(w);
}

void config_write(struct json_writer *w, const struct container_config *config)
{
	for (const struct config_field *field = config_fields; field->name; field++)
		field_write(w, field, config, false);
	if (config->stop_timeout >= 0)
		json_field_i64(w, "StopTimeout", config->stop_timeout);
	if (config->expose || config->port_count)
		exposed_ports_write(w, config);
	healthcheck_write(w, config);
	string_field(w, "HealthcheckOnFailureAction", config->health_on_failure, false);
	strings_field(w, "Shell", (const char *const *)config->shell, false);
}

const char *restart_policy_name(enum restart_policy policy)
{
	static const char *const names[] = { [RESTART_NO] = "no",
					     [RESTART_ALWAYS] = "always",
					     [RESTART_ON_FAILURE] = "on-failure",
					     [RESTART_UNLESS_STOPPED] = "unless-stopped" };
	return names[policy];
}

void devices_write(struct json_writer *w, const struct container_config *config)
{
	json_begin_array(w);
	for (size_t i = 0; i < config->device_count; i++) {
		json_begin_object(w);
		json_field_string(w, "PathOnHost", config->devices[i].host);
		json_field_string(w, "PathInContainer", config->devices[i].container);
		json_field_string(w, "CgroupPermissions", config->devices[i].permissions);
		json_end_object(w);
	}
	json_end_array(w);
}

/* "no limit" is -1, as with Docker. */
static void ulimits_write(struct json_writer *w, const struct container_config *config)
{
	json_begin_array(w);
	for (size_t i = 0; i < config->ulimit_count; i++) {
		const struct oci_rlimit *limit = &config->ulimits[i];
		json_begin_object(w);
		json_field_string(w, "Name", limit->name);
		json_field_i64(w, "Hard", (int64_t)limit->hard);
		json_field_i64(w, "Soft", (int64_t)limit->soft);
		json_end_object(w);
	}
	json_end_array(w);
}

void log_config_write(struct json_writer *w, const struct container_config *config)
{
	json_key(w, "LogConfig");
	json_begin_object(w);
	json_field_string(w, "Type", config->log_driver ? config->log_driver : "json-file");
	json_key(w, "Config");
	pairs_write(w, config->log_options, config->log_option_count);
	json_end_object(w);
}

void restart_policy_write(struct json_writer *w, const struct container_config *config)
{
	json_key(w, "RestartPolicy");
	json_begin_object(w);
	json_field_string(w, "Name", restart_policy_name(config->restart));
	json_field_i64(w, "MaximumRetryCount", config->restart_max);
	json_end_object(w);
}

void host_config_write(struct json_writer *w, const struct container_config *config)
{
	for (const struct config_field *field = host_config_fields; field->name; field++)
		field_write(w, field, config, false);
	if (config->memory_swappiness >= 0)
		json_field_i64(w, "MemorySwappiness", config->memory_swappiness);
	if (config->port_count) {
		json_key(w, "PortBindings");
		network_ports_write(w, config->ports, config->port_count);
	}
	if (config->device_count) {
		json_key(w, "Devices");
		devices_write(w, config);
	}
	blkio_devices_write(w, config);
	if (config->ulimit_count) {
		json_key(w, "Ulimits");
		ulimits_write(w, config);
	}
	if (config->log_driver || config->log_option_count)
		log_config_write(w, config);
	if (config->restart != RESTART_NO)
		restart_policy_write(w, config);
}

static const char *const mount_kind_names[] = {
	[MOUNT_BIND] = "bind", [MOUNT_VOLUME] = "volume", [MOUNT_TMPFS] = "tmpfs"
};

static void mount_write(struct json_writer *w, const struct mount_config *mount)
{
	json_begin_object(w);
	json_field_string(w, "Type", mount_kind_names[mount->kind]);
	string_field(w, "Source", mount->source, false);
	json_field_string(w, "Target", mount->target);
	if (mount->readonly)
		json_field_bool(w, "ReadOnly", true);
	if (mount->create_source)
		json_field_bool(w, "CreateSource", true);
	if (mount->create_mountpoint)
		json_field_bool(w, "CreateMountpoint", true);
	if (mount->nocopy)
		json_field_bool(w, "NoCopy", true);
	if (mount->nonrecursive)
		json_field_bool(w, "NonRecursive", true);
	string_field(w, "Recursive", mount->recursive, false);
	string_field(w, "Propagation", mount->propagation, false);
	number_field(w, "SizeBytes", mount->tmpfs_size, false);
	number_field(w, "Mode", mount->tmpfs_mode, false);
	string_field(w, "Options", mount->tmpfs_options, false);
	string_field(w, "Driver", mount->volume_driver, false);
	string_field(w, "Subpath", mount->subpath, false);
	json_end_object(w);
}

void mounts_write(struct json_writer *w, const struct container_config *config)
{
	json_begin_array(w);
	for (size_t i = 0; i < config->mount_count; i++)
		mount_write(w, &config->mounts[i]);
	json_end_array(w);
}
