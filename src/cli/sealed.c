#include "cli/sealed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "sys/syscalls.h"

#define SELF_VARIABLE "_MASU_SELF"

const char *sealed_self_path(struct arena *arena)
{
	const char *handed = getenv(SELF_VARIABLE);
	char *path;
	if (handed && handed[0] == '/') {
		path = arena_strdup(arena, handed);
		unsetenv(SELF_VARIABLE);
		return path ? path : "";
	}
	char link[4096];
	ssize_t len = readlink("/proc/self/exe", link, sizeof(link));
	if (len <= 0 || (size_t)len == sizeof(link))
		return "";
	path = arena_strndup(arena, link, (size_t)len);
	return path ? path : "";
}

int sealed_hand_on(const char *self_path)
{
	return setenv(SELF_VARIABLE, self_path, 1) < 0 ? -ENOMEM : 0;
}

int sealed_ensure(const char *self_path, char **argv, struct masu_error *err)
{
	if (fault_without("sealed"))
		return 0;
	_cleanup_close_ int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (exe < 0)
		return error_errno(err, -errno, "cannot open /proc/self/exe; is /proc mounted?");
	struct statvfs fs;
	if (fstatvfs(exe, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		return 0;
	_cleanup_close_ int clone = sys_open_tree(exe, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	if (clone < 0)
		return error_errno(err, clone, "cannot make a read-only clone of %s", self_path);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	int r = sys_mount_setattr(clone, "", AT_EMPTY_PATH, &attr);
	if (r < 0)
		return error_errno(err, r, "cannot make a read-only clone of %s", self_path);
	if (sealed_hand_on(self_path) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	r = sys_execveat(clone, "", argv, environ, AT_EMPTY_PATH);
	unsetenv(SELF_VARIABLE);
	return error_errno(err, r, "cannot run a read-only clone of %s", self_path);
}
