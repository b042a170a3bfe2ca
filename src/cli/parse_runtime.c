/* --exec and --runtime. */
#include <errno.h>

#include "base/str.h"
#include "cli/parse.h"
#include "exec/exec.h"

int parse_runtime(struct arena *arena, const char *exec, const char *runtime, const char **ret,
		  struct masu_error *err)
{
	const char *driver = exec;
	if (exec && runtime)
		return error_set(err, -EINVAL, "conflicting options: --exec and --runtime");
	if (runtime && !str_after(runtime, "oci:") &&
	    (!strv_contains(exec_driver_names(), runtime) || streq(runtime, "oci")))
		driver = arena_printf(arena, "oci:%s", runtime);
	else if (runtime)
		driver = runtime;
	if (runtime && !driver)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = driver && (!*driver || streq(driver, "native")) ? NULL : driver;
	return 0;
}
