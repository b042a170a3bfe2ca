/* --exec, --runtime and --kernel. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

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

int parse_kernel(struct arena *arena, const char *file, struct container_config *config,
		 struct masu_error *err)
{
	char here[PATH_MAX] = "";
	size_t count = config->annotation_count;
	if (!config->runtime || !streq(config->runtime, "vm"))
		return error_set(err, -EINVAL, "--kernel: only --exec vm boots one");
	if (*file != '/' && !getcwd(here, sizeof(here)))
		return error_errno(err, -errno, "--kernel %s", file);
	struct oci_pair *all = arena_array(arena, struct oci_pair, count + 1);
	const char *path = *file == '/' ? file : arena_printf(arena, "%s/%s", here, file);
	if (!all || !path)
		return error_set(err, -ENOMEM, "out of memory");
	if (count)
		memcpy(all, config->annotations, count * sizeof(*all));
	all[count] = (struct oci_pair) { "masu.vm.kernel", path };
	config->annotations = all;
	config->annotation_count = count + 1;
	return 0;
}
