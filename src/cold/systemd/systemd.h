/*
 * masu-systemd: one request about one systemd unit, over D-Bus (org.freedesktop.systemd1(5)).
 *
 * Reads a JSON document on stdin:
 *   {"verb": "start", "unit": …, "slice": …, "description": …, "pid": n, "v2": bool, "user": bool,
 *    "properties": [{"name", "type", "value"}, …], "annotations": {"org.systemd.property.X": text}}
 *   {"verb": "set", "unit": …, "user": …, "properties": […]}
 *   {"verb": "stop", "unit": …, "user": …}
 * and answers on stdout: {"controlGroup": "/…"} to a start, nothing to the others. On failure one
 * line on stderr and exit status 1.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "base/error.h"
#include "json/json.h"

/* Appends the "a(sv)" content of a request's properties / of its annotations. */
int property_append(sd_bus_message *m, const struct json *property, struct masu_error *err);
int property_append_annotation(sd_bus_message *m, const char *key, const char *text,
			       struct masu_error *err);

int unit_start(sd_bus *bus, const struct json *request, char **ret_group, struct masu_error *err);
int unit_set(sd_bus *bus, const struct json *request, struct masu_error *err);
int unit_stop(sd_bus *bus, const struct json *request, struct masu_error *err);
