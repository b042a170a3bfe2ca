#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/bridge.h"

/* Whether the directory has a lease; their names begin with a digit. */
static bool has_leases(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return true;
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return true;
	}
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			return true;
	return false;
}

/* Sleeps until no lease has come or gone for @linger_ms. False: there is a lease. */
static bool wait_unused(int dir_fd, unsigned linger_ms)
{
	struct stat before, after;
	do {
		if (has_leases(dir_fd) || fstat(dir_fd, &before) < 0)
			return false;
		poll(NULL, 0, (int)linger_ms);
		if (fstat(dir_fd, &after) < 0)
			return false;
	} while (before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		 before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
	return true;
}

static int remove_unused(int root_fd, int run_fd, const char *network, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	int r = bridge_open(root_fd, run_fd, network, &bridge, err);
	if (r < 0)
		return r;
	/* A connection that is being made holds the lock shared: then it is used again. */
	r = lease_lock(&bridge.pool, LOCK_EX | LOCK_NB);
	if (r < 0 || has_leases(bridge.pool.dir_fd))
		return r < 0 && r != -EWOULDBLOCK ? error_errno(err, r, "network %s: lock", network)
						  : 0;
	const char *name = bridge.definition.bridge;
	r = nft_table_delete(bridge.nft_fd, name);
	if (r < 0)
		return error_errno(err, r, "table inet %s: cannot remove it", name);
	r = link_delete(bridge.route_fd, name);
	return r < 0 ? error_errno(err, r, "bridge %s: cannot remove it", name) : 0;
}

int network_retire(int root_fd, int run_fd, const char *network, unsigned linger_ms,
		   struct masu_error *err)
{
	char path[96];
	if (streq(network, "default"))
		network = "bridge";
	if (str_format(path, sizeof(path), "networks/%s", network) < 0)
		return error_set(err, -EINVAL, "network %s: the name is too long", network);
	_cleanup_close_ int dir = openat(run_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "network %s", network);
	/* Again where the last lease went after it was seen and before the lock was free. */
	while (!has_leases(dir)) {
		_cleanup_close_ int waiting =
			openat(dir, "retire", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (waiting < 0)
			return error_errno(err, -errno, "network %s: retire", network);
		if (flock(waiting, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK
				       ? 0
				       : error_errno(err, -errno, "network %s: retire", network);
		if (wait_unused(dir, linger_ms))
			return remove_unused(root_fd, run_fd, network, err);
	}
	return 0;
}
