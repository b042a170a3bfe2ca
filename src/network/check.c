/* What of a network nobody uses any more, and what somebody took from it: for `system check` and
 * `system start`. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/bridge.h"

/* Somebody waits to remove the unused bridge already. */
static bool is_being_retired(const struct lease_pool *pool)
{
	_cleanup_close_ int fd = lease_retire_lock(pool->dir_fd);
	return fd == -EWOULDBLOCK;
}

/* Somebody took away what containers need. */
static bool is_lost(const struct bridge *bridge)
{
	return definition_has_host(&bridge->definition) && lease_count(&bridge->pool, 1) &&
	       !bridge_is_foreign(bridge) &&
	       (link_index(bridge->route_fd, bridge->definition.bridge) < 0 ||
		nft_table_exists(bridge->nft_fd, bridge->table) == 0);
}

static int make_again(struct bridge *bridge, struct masu_error *err)
{
	int index = bridge_ensure_link(bridge, err);
	return index < 0 ? index : bridge_ensure_table(bridge, false, err);
}

int network_check(int root_fd, int run_fd, const char *network, bool repair,
		  struct network_leftovers *ret, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	struct network_leftovers found = { 0 };
	char path[96];
	size_t left = 0;
	if (str_format(path, sizeof(path), "networks/%s.json", network) < 0 ||
	    faccessat(root_fd, path, F_OK, 0) < 0 ||
	    str_format(path, sizeof(path), "networks/%s", network) < 0 ||
	    faccessat(run_fd, path, F_OK, 0) < 0) {
		*ret = found;
		return 0;
	}
	int r = bridge_open(root_fd, run_fd, network, &bridge, err);
	if (r < 0)
		return r;
	/* Alone: a lease that another process has just taken has no interface yet. */
	r = lease_lock(&bridge.pool, LOCK_EX);
	if (r < 0)
		return error_errno(err, r, "network %s: lock", network);
	found.leases = bridge_count_dead(&bridge);
	if (repair && found.leases)
		r = bridge_sweep(&bridge, &left, err);
	found.lost = r >= 0 && is_lost(&bridge);
	if (repair && found.lost)
		r = make_again(&bridge, err);
	if (r < 0)
		return r;
	found.bridge = definition_has_host(&bridge.definition) &&
		       lease_count(&bridge.pool, 1) == 0 && !bridge_is_foreign(&bridge) &&
		       link_index(bridge.route_fd, bridge.definition.bridge) >= 0 &&
		       !is_being_retired(&bridge.pool);
	found.programs = tcx_strays(bridge.route_fd, repair);
	if (found.programs < 0)
		found.programs = 0;
	/* Interfaces that came after the programs get them. */
	if (repair)
		(void)tcx_spread(bridge.route_fd, bridge.nft_fd, 0);
	bridge_close(&bridge);
	bridge = BRIDGE_NONE;
	r = repair && found.bridge ? network_retire(root_fd, run_fd, network, 0, err) : 0;
	*ret = found;
	return r;
}

struct mending {
	int root_fd, run_fd;
	struct masu_error *err;
};

static int mend_one(void *opaque, const struct definition *definition)
{
	const struct mending *mending = opaque;
	struct network_leftovers found;
	return network_check(mending->root_fd, mending->run_fd, definition->name, true, &found,
			     mending->err);
}

int network_mend(int root_fd, int run_fd, struct masu_error *err)
{
	struct mending mending = { root_fd, run_fd, err };
	return definition_each(root_fd, mend_one, &mending);
}
