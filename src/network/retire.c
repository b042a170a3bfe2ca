#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "network/bridge.h"
#include "network/direct_address.h"

/* With more containers than this the dead ones among them are left to the last ones to leave. */
#define SWEEP_MAX 64

/* Takes back what killed processes left. */
static void sweep(int root_fd, int run_fd, const char *network)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	struct masu_error err = { 0 };
	size_t left;
	int r = bridge_open(root_fd, run_fd, network, &bridge, &err);
	if (r == 0 && bridge_has_dead_lease(&bridge, SWEEP_MAX))
		r = bridge_sweep(&bridge, &left, &err);
	if (r < 0)
		log_debug("%s", err.message);
}

/* Sleeps until no lease has come or gone for @linger_ms. False: there is a lease. */
static bool wait_unused(const struct lease_pool *pool, unsigned linger_ms)
{
	struct stat before, after;
	do {
		if (lease_count(pool, 1) || fstat(pool->dir_fd, &before) < 0)
			return false;
		poll(NULL, 0, (int)linger_ms);
		if (fstat(pool->dir_fd, &after) < 0)
			return false;
	} while (before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		 before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
	return true;
}

int bridge_remove(struct bridge *bridge, struct masu_error *err)
{
	const char *name = bridge->definition.bridge;
	/* A parent interface is not ours to remove. */
	if (!definition_has_host(&bridge->definition) || bridge_is_foreign(bridge))
		return 0;
	/* While the bridge is there, what is left of the others is found. */
	int index = link_index(bridge->route_fd, name);
	int r = index < 0 ? 0 : tcx_remove(bridge->route_fd, index);
	if (r < 0)
		return error_errno(err, r, "bridge %s: cannot detach its BPF programs", name);
	r = nft_table_delete(bridge->nft_fd, bridge->table);
	if (r < 0)
		return error_errno(err, r, "table inet %s: cannot remove it", bridge->table);
	address_forget(bridge);
	r = link_delete(bridge->route_fd, name);
	return r < 0 ? error_errno(err, r, "bridge %s: cannot remove it", name) : 0;
}

static int remove_unused(int root_fd, int run_fd, const char *network, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	int r = bridge_open(root_fd, run_fd, network, &bridge, err);
	if (r < 0)
		return r;
	/* A connection that is being made holds the lock shared: then it is used again. */
	r = lease_lock(&bridge.pool, LOCK_EX | LOCK_NB);
	if (r < 0 || lease_count(&bridge.pool, 1))
		return r < 0 && r != -EWOULDBLOCK ? error_errno(err, r, "network %s: lock", network)
						  : 0;
	return bridge_remove(&bridge, err);
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
	const struct lease_pool pool = { .dir_fd = dir, .lock_fd = -1 };
	if (lease_count(&pool, 1))
		sweep(root_fd, run_fd, network);
	/* Again where the last lease went after it was seen and before the lock was free. */
	while (lease_count(&pool, 1) == 0) {
		_cleanup_close_ int waiting = lease_retire_lock(dir);
		if (waiting < 0)
			return waiting == -EWOULDBLOCK
				       ? 0
				       : error_errno(err, waiting, "network %s: retire", network);
		if (wait_unused(&pool, linger_ms))
			return remove_unused(root_fd, run_fd, network, err);
	}
	return 0;
}
