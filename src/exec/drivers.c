/*
 * The list of drivers. The hot program has native alone: a container that another driver makes gets
 * masu-more for its monitor, and a command that needs the driver itself hands over to it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "exec/drivers.h"

static const char *const names[] = { "native", "oci", "lxc", "vm", NULL };

/* clang-format off */
static const struct exec_ops *const drivers[] = {
	&native_ops,
#ifndef MASU_HOT
	&oci_ops,
	&lxc_ops,
	&vm_ops,
#endif
};
/* clang-format on */

/* Of "oci:crun" the first three; an "oci" without a program is none. */
static size_t kind_length(const char *name)
{
	return str_after(name, "oci:") && name[4] ? 3 : streq(name, "oci") ? 0 : strlen(name);
}

static bool is_kind(const char *kind, const char *name)
{
	size_t len = kind_length(name);
	return len && strlen(kind) == len && memcmp(kind, name, len) == 0;
}

const struct exec_ops *exec_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (is_kind(drivers[i]->name, name ? name : "native"))
			return drivers[i];
	return NULL;
}

const char *const *exec_driver_names(void)
{
	return names;
}

bool exec_driver_bounds_memory(const char *name)
{
	return name && streq(name, "vm");
}

static bool in_path(const char *program)
{
	char path[PATH_MAX];
	const char *dirs = getenv("PATH");
	if (strchr(program, '/'))
		return access(program, X_OK) == 0;
	for (; dirs && *dirs; dirs += strspn(dirs, ":")) {
		int len = (int)strcspn(dirs, ":");
		if (str_format(path, sizeof(path), "%.*s/%s", len, dirs, program) == 0 &&
		    access(path, X_OK) == 0)
			return true;
		dirs += len;
	}
	return false;
}

int exec_driver_check(const char *name, struct masu_error *err)
{
	const char *program = streq(name, "lxc") ? "lxc-start" : str_after(name, "oci:");
	if (program && *program && !in_path(program))
		return error_set(err, -EINVAL,
				 "unknown or invalid runtime name: %.128s: there is no such "
				 "program; install it, or give its path",
				 name);
	for (const char *const *kind = names; *kind; kind++)
		if (is_kind(*kind, name))
			return 0;
	return error_set(err, -EINVAL, "unknown or invalid runtime name: %.128s", name);
}
