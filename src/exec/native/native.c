/* The native driver's table. */
#include <errno.h>

#include "exec/drivers.h"
#include "exec/native/create.h"
#include "exec/native/unsupported.h"

const struct exec_ops native_ops = {
	.name = "native",
	.create = native_create,
	.detach = native_detach,
	.start = native_start,
	.exec = native_exec,
};

int unsupported_check(const struct oci_spec *spec, struct masu_error *err)
{
	if (spec->has_intel_rdt)
		return error_set(err, -ENOTSUP,
				 "linux.intelRdt: resource director groups are not supported");
	return 0;
}
