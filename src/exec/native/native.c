/* The native driver's table, and the list of drivers. */
#include <errno.h>

#include "base/str.h"
#include "exec/exec.h"
#include "exec/native/create.h"
#include "exec/native/unsupported.h"

static const struct exec_ops native_ops = {
	.name = "native",
	.create = native_create,
	.detach = native_detach,
	.start = native_start,
	.exec = native_exec,
};

static const struct exec_ops *const drivers[] = { &native_ops };
static const char *const names[] = { "native", NULL };

const struct exec_ops *exec_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (streq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

const char *const *exec_driver_names(void)
{
	return names;
}

int unsupported_check(const struct oci_spec *spec, struct masu_error *err)
{
	if (spec->has_intel_rdt)
		return error_set(err, -ENOTSUP,
				 "linux.intelRdt: resource director groups are not supported");
	return 0;
}
