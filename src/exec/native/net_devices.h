/* linux.netDevices: host interfaces that move into the container's network namespace. */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * Parent: moves every interface into the network namespace of @pid, under its new name ("%d" in it
 * is the first free number), with its permanent addresses of global scope, and brings it up
 * (config-linux.md, Network Devices). What was moved before a failure goes back, or away, with the
 * namespace.
 */
int net_devices_move(const struct oci_spec *spec, pid_t pid, struct masu_error *err);
