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
 * Writes the members of "Config" and "HostConfig" into open objects. @full: with those that have
 * their default value, as inspect shows them; without, what the reader needs.
 */
void config_write(struct json_writer *w, const struct container_config *config, bool full);
void host_config_write(struct json_writer *w, const struct container_config *config, bool full);
/* The mounts in masu's own terms (the record) and as Docker's Binds, Tmpfs and Mounts (inspect). */
void mounts_write(struct json_writer *w, const struct container_config *config);
void docker_mounts_write(struct json_writer *w, const struct container_config *config);

/* Reads container.json back; everything in the arena. A record that is not ours is -EBADMSG. */
int config_read(struct arena *arena, const struct json *record, struct container_config *ret,
		struct masu_error *err);

/* Strings of a JSON array as a NULL-terminated vector in the arena; NULL where it is no array. */
const char **json_strings(struct arena *arena, const struct json *array);
void json_put_strings(struct json_writer *w, const char *const *strings);
/* Docker's PortMap: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]} */
void network_ports_write(struct json_writer *w, const struct network_port *ports, size_t count);

/* ---- config_blkio.c: Docker's five lists of limits for single block devices ---- */
void blkio_devices_write(struct json_writer *w, const struct container_config *config, bool full);
int blkio_devices_read(struct arena *arena, const struct json *host,
		       struct container_config *config);
const char *restart_policy_name(enum restart_policy policy);
