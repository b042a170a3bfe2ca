/* A container's root as the kernel alone makes it: what is between this and a driver is the
 * driver's. */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/system/storage_measure.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static int add_lowers(int fs, const char *lower)
{
	int r = 0;
	while (r == 0 && *lower) {
		char path[4096];
		size_t len = strcspn(lower, ":");
		r = str_format(path, sizeof(path), "%.*s", (int)len, lower);
		if (r == 0)
			r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", path, 0);
		lower += len + (lower[len] == ':');
	}
	return r;
}

static int set_directory(int fs, const char *key, int dir, const char *name)
{
	char proc[FS_PROC_FD_MAX], path[128];
	if (mkdirat(dir, name, 0755) < 0)
		return -errno;
	int r = str_format(path, sizeof(path), "%s/%s", fs_proc_fd(dir, proc), name);
	return r < 0 ? r : sys_fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0);
}

int storage_kernel_root(int dir, const char *lower)
{
	_cleanup_close_ int fs = sys_fsopen("overlay", 0);
	int r = fs < 0 ? fs : add_lowers(fs, lower);
	if (r == 0)
		r = set_directory(fs, "upperdir", dir, "upper");
	if (r == 0)
		r = set_directory(fs, "workdir", dir, "work");
	if (r == 0)
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r < 0)
		return r;
	_cleanup_close_ int mount = sys_fsmount(fs, 0, 0);
	return mount < 0 ? mount : 0;
}
