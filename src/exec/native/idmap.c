#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* user_namespaces(7): at most 340 lines, and less than a page. */
#define MAP_LINES_MAX 340

static int write_map(pid_t pid, const char *file, const struct oci_id_mapping *map, size_t count)
{
	char path[64];
	_cleanup_buf_ struct buf text;
	if (count == 0 || count > MAP_LINES_MAX)
		return -EINVAL;
	buf_init(&text, 16384);
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%u %u %u\n", map[i].container_id, map[i].host_id, map[i].size);
	if (text.error)
		return text.error;
	int r = str_format(path, sizeof(path), "/proc/%d/%s", pid, file);
	return r < 0 ? r : fs_write_at(AT_FDCWD, path, buf_str(&text));
}

static int map_and_open(pid_t pid, const struct oci_id_map *map, int *ret_fd)
{
	char path[64];
	int r = write_map(pid, "uid_map", map->uid, map->uid_count);
	if (r == 0)
		r = write_map(pid, "gid_map", map->gid, map->gid_count);
	if (r == 0)
		r = str_format(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (r < 0)
		return r;
	/* lint: ok, procfs */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int idmap_namespace(const struct oci_id_map *map, int *ret_fd, struct masu_error *err)
{
	/*
	 * A mapping can only be written for a namespace that some process is in: one is made, waits
	 * for its end, and leaves the namespace behind in our fd.
	 */
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	pid_t parent = getpid(), pid = sys_clone3(&args);
	if (pid < 0)
		return error_errno(err, pid, "idmap: make a user namespace");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent || getppid() == 0)
			pause();
		_exit(0);
	}
	int r = map_and_open(pid, map, ret_fd);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? error_errno(err, r, "idmap: set the mappings") : 0;
}
