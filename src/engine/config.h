/*
 * container_config <-> JSON. The plain fields are one table (Docker's member name, kind, place in
 * the structure), used by the record's writer, its reader and `inspect`; what has a shape of its
 * own (mounts, ports, devices …) has a pair of functions.
 */
#pragma once

#include <stddef.h>

#include "engine/engine.h"
#include "json/json.h"

enum field_kind {
	FIELD_STRING,
	FIELD_STRINGS, /* NULL-terminated array */
	FIELD_BOOL,
	FIELD_I64,
	FIELD_INT,
	FIELD_PAIRS /* array of oci_pair and a count: an object of strings */
};

struct config_field {
	const char *name;
	enum field_kind kind;
	size_t offset, count_offset;
};

extern const struct config_field config_fields[];      /* Docker's "Config", ends with name NULL */
extern const struct config_field host_config_fields[]; /* Docker's "HostConfig" */

/*
 * Writes the members of "Config" and "HostConfig" into open objects: what the reader needs, without
 * those that have their default value.
 */
void config_write(struct json_writer *w, const struct container_config *config);
void host_config_write(struct json_writer *w, const struct container_config *config);
/* The mounts in masu's own terms. */
void mounts_write(struct json_writer *w, const struct container_config *config);
/* A plain member by its name, also with its default value; a list that is not there is null. */
void config_member_write(struct json_writer *w, const struct container_config *config,
			 const char *name);
/* Members with a shape of their own: these with their keys … */
void exposed_ports_write(struct json_writer *w, const struct container_config *config);
void healthcheck_write(struct json_writer *w, const struct container_config *config);
void log_config_write(struct json_writer *w, const struct container_config *config);
void restart_policy_write(struct json_writer *w, const struct container_config *config);
/* … and these without. */
void devices_write(struct json_writer *w, const struct container_config *config);

/* Reads container.json back; everything in the arena. A record that is not ours is -EBADMSG. */
int config_read(struct arena *arena, const struct json *record, struct container_config *ret,
		struct masu_error *err);

/* Strings of a JSON array as a NULL-terminated vector in the arena; NULL where it is no array. */
const char **json_strings(struct arena *arena, const struct json *array);
void json_put_strings(struct json_writer *w, const char *const *strings);
/* Docker's PortMap: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]} */
void network_ports_write(struct json_writer *w, const struct network_port *ports, size_t count);

/* ---- config_networks.c: what a container is connected to ---- */
/* "Networks", where it is more than a name. */
void networks_config_write(struct json_writer *w, const struct container_config *config);
int networks_config_read(struct arena *arena, const struct json *object,
			 struct container_config *config);
/* The networks of a container; @single is for one that has only named it. Also host, none and
 * container:<id>. */
size_t config_networks(const struct container_config *config, struct network_config *single,
		       const struct network_config **ret);

/* ---- config_blkio.c: Docker's five lists of limits for single block devices ---- */
void blkio_devices_write(struct json_writer *w, const struct container_config *config);
/* One of the lists by its name, with its key. */
void blkio_list_write(struct json_writer *w, const struct container_config *config,
		      const char *name);
int blkio_devices_read(struct arena *arena, const struct json *host,
		       struct container_config *config);
const char *restart_policy_name(enum restart_policy policy);
