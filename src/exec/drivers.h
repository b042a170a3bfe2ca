/* The drivers' tables, for the list of them (drivers.c). */
#pragma once

#include "exec/exec.h"

extern const struct exec_ops native_ops;
extern const struct exec_ops oci_ops;
extern const struct exec_ops lxc_ops;
extern const struct exec_ops vm_ops;
