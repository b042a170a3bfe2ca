#include "network/bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/forwarding.h"
#include "network/nft_expr.h"
#include "network/port.h"
#include "sys/fs.h"

/* A taken port, then the same without what was expiring, then the same if it expired meanwhile. */
#define PUBLISH_ATTEMPTS 3

/* A table that somebody else named must not be taken for ours. */
static int name_table(struct bridge *bridge)
{
	const char *name = bridge->definition.bridge;
	bool own = str_after(name, "masu") || str_after(name, "br-") || str_after(name, "rt-");
	return str_format(bridge->table, sizeof(bridge->table), "%s%s", own ? "" : "masu-", name);
}

/* The definition does not exist yet: whoever gets the lock alone makes it. */
static int define(int root_fd, struct bridge *bridge, const char *network, struct masu_error *err)
{
	int r = lease_lock(&bridge->pool, LOCK_EX);
	if (r < 0)
		return error_errno(err, r, "network %s: lock", network);
	r = definition_load(root_fd, network, &bridge->definition, err);
	if (r == -ENOENT)
		r = definition_create_default(root_fd, bridge->route_fd, &bridge->definition, err);
	return r;
}

static bool is_defined(int root_fd, const char *network)
{
	char path[96];
	return str_format(path, sizeof(path), "networks/%s.json", network) == 0 &&
	       faccessat(root_fd, path, F_OK, 0) == 0;
}

/* Who removes a network may have done so after we saw its definition and before we opened its run
 * directory, which is then made again. With the definitions locked nobody defines it meanwhile. */
static void remove_run_directory(int root_fd, int run_fd, const char *network)
{
	char path[96];
	_cleanup_close_ int lock = openat(root_fd, "networks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && !is_defined(root_fd, network) &&
	    str_format(path, sizeof(path), "networks/%s", network) == 0)
		(void)fs_remove_tree(run_fd, path);
}

int bridge_open(int root_fd, int run_fd, const char *network, struct bridge *ret,
		struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	bool is_default = streq(network, "bridge");
	if (!is_default && !is_defined(root_fd, network))
		return error_set(err, -ENOENT, "network %s not found", network);
	bridge.run_fd = run_fd;
	bridge.route_fd = netlink_open(NETLINK_ROUTE);
	bridge.nft_fd = netlink_open(NETLINK_NETFILTER);
	if (bridge.route_fd < 0 || bridge.nft_fd < 0)
		return error_errno(err, bridge.route_fd < 0 ? bridge.route_fd : bridge.nft_fd,
				   "netlink socket");
	int r = lease_open(run_fd, network, &bridge.pool, err);
	if (r < 0)
		return r;
	r = lease_lock(&bridge.pool, LOCK_SH);
	if (r < 0)
		return error_errno(err, r, "network %s: lock", network);
	/* Under the lock: who removes a network holds it alone. */
	r = definition_load(root_fd, network, &bridge.definition, err);
	if (r == -ENOENT && is_default) {
		r = define(root_fd, &bridge, network, err);
		if (r == 0 && (r = lease_lock(&bridge.pool, LOCK_SH)) < 0)
			return error_errno(err, r, "network %s: lock", network);
	}
	if (r == -ENOENT && !is_default)
		remove_run_directory(root_fd, run_fd, network);
	if (r == 0)
		r = name_table(&bridge);
	if (r < 0)
		return r == -ENOENT ? error_set(err, r, "network %s not found", network) : r;
	bridge.ipv6 = bridge.definition.prefix6 && host_has_ipv6();
	*ret = bridge;
	bridge = BRIDGE_NONE;
	return 0;
}

void bridge_close(struct bridge *bridge)
{
	cleanup_close(&bridge->route_fd);
	cleanup_close(&bridge->nft_fd);
	tcx_close(&bridge->tcx);
	lease_close(&bridge->pool);
}

/* Tells the bridges of two roots apart: random digits of the network's id, or the random part of
 * the default network's IPv6 prefix. */
static void own_mac(const struct definition *definition, uint8_t ret[6])
{
	bridge_mac(definition->gateway4, ret);
	if (!*definition->id) {
		memcpy(ret + 1, definition->gateway6.s6_addr + 1, 5);
		return;
	}
	for (unsigned i = 0; i < 10; i++) {
		char digit = definition->id[i];
		ret[1 + i / 2] = (uint8_t)(ret[1 + i / 2] << 4 |
					   (digit <= '9' ? digit - '0' : digit - 'a' + 10));
	}
}

bool bridge_is_foreign(const struct bridge *bridge)
{
	uint8_t own[6], found[6];
	own_mac(&bridge->definition, own);
	return link_mac(bridge->route_fd, bridge->definition.bridge, found) == 0 &&
	       memcmp(own, found, sizeof(own)) != 0;
}

int bridge_claim(int root_fd, struct bridge *bridge, struct masu_error *err)
{
	const char *network = bridge->definition.name;
	if (!bridge_is_foreign(bridge))
		return 0;
	int r = lease_lock(&bridge->pool, LOCK_EX);
	if (r == 0)
		r = definition_load(root_fd, network, &bridge->definition, err);
	if (r == 0 && bridge_is_foreign(bridge)) {
		if (!streq(network, "bridge") || lease_count(&bridge->pool, 1))
			return error_set(err, -EEXIST,
					 "bridge %s was made by somebody else; remove it, or name "
					 "another in networks/%s.json",
					 bridge->definition.bridge, network);
		r = definition_create_default(root_fd, bridge->route_fd, &bridge->definition, err);
	}
	if (r == 0)
		r = name_table(bridge);
	if (r < 0)
		return r;
	r = lease_lock(&bridge->pool, LOCK_SH);
	return r < 0 ? error_errno(err, r, "network %s: lock", network) : 0;
}

void bridge_gateways(const struct bridge *bridge, struct link_addresses *ret)
{
	*ret = (struct link_addresses) {
		.ipv4 = bridge->definition.gateway4,
		.ipv4_prefix = bridge->definition.prefix4,
		.ipv6 = bridge->definition.gateway6,
		.ipv6_prefix = bridge->ipv6 ? bridge->definition.prefix6 : 0,
	};
}

void bridge_routes(const struct bridge *bridge, struct link_addresses *ret)
{
	bridge_gateways(bridge, ret);
	if (bridge->definition.kind == KIND_ROUTED) {
		ret->ipv4 = link_next_hop4();
		ret->ipv6 = bridge->ipv6 ? link_next_hop6() : in6addr_any;
	}
	if (bridge->definition.internal)
		*ret = (struct link_addresses) { 0 };
}

struct link_port bridge_port(const struct bridge *bridge)
{
	return (struct link_port) { .hairpin = bridge_frames_are_filtered(),
				    .isolated = bridge->definition.isolated };
}

void bridge_addresses(const struct bridge *bridge, const struct lease *lease,
		      struct link_addresses *ret)
{
	bool own6 = !IN6_IS_ADDR_UNSPECIFIED(&lease->ipv6);
	bridge_gateways(bridge, ret);
	ret->ipv4 = lease->ipv4;
	ret->ipv6 = own6 ? lease->ipv6 : lease_ipv6(&bridge->definition, lease->ipv4);
	if (bridge->definition.kind == KIND_ROUTED) {
		ret->ipv4_prefix = 32;
		ret->ipv6_prefix = bridge->ipv6 ? 128 : 0;
	}
}

void bridge_routed(const struct bridge *bridge, const struct lease *lease, struct link_routed *ret)
{
	bridge_addresses(bridge, lease, &ret->addresses);
	bridge_gateways(bridge, &ret->host);
	ret->subnet = ret->host;
	cidr_mask(AF_INET, &ret->subnet.ipv4, ret->subnet.ipv4_prefix);
	cidr_mask(AF_INET6, &ret->subnet.ipv6, ret->subnet.ipv6_prefix);
}

void bridge_mac(struct in_addr ipv4, uint8_t ret[6])
{
	ret[0] = 0x02;
	ret[1] = 0x42;
	memcpy(ret + 2, &ipv4, 4);
}

void bridge_target(const struct bridge *bridge, const struct lease *lease, struct nft_target *ret)
{
	struct link_addresses addresses;
	bridge_addresses(bridge, lease, &addresses);
	*ret = (struct nft_target) { .ipv4 = addresses.ipv4,
				     .has_ipv6 = addresses.ipv6_prefix != 0,
				     .ipv6 = addresses.ipv6 };
}

/* Whether the container of this lease still has its network namespace; an interface of macvlan
 * or ipvlan can only be seen there, so for that it is the container itself. */
static bool lease_lives(const struct bridge *bridge, const struct lease *lease)
{
	char path[sizeof("containers/") + ID_LENGTH];
	if (!definition_has_host(&bridge->definition))
		return *lease->id &&
		       str_format(path, sizeof(path), "containers/%s", lease->id) == 0 &&
		       faccessat(bridge->run_fd, path, F_OK, 0) == 0;
	return *lease->interface && link_index(bridge->route_fd, lease->interface) >= 0;
}

int bridge_attach(const struct bridge *bridge, const struct lease *lease, int index,
		  const uint8_t *mac)
{
	const struct link_port port = bridge_port(bridge);
	struct link_routed routed;
	if (bridge->definition.kind == KIND_BRIDGE)
		return link_attach(bridge->route_fd, lease->interface, index, &port);
	bridge_routed(bridge, lease, &routed);
	return link_routed_setup(bridge->route_fd, lease->interface, &routed, mac);
}

int bridge_ensure_link(struct bridge *bridge, struct masu_error *err)
{
	const char *name = bridge->definition.bridge;
	struct link_addresses addresses;
	uint8_t mac[6];
	own_mac(&bridge->definition, mac);
	bridge_gateways(bridge, &addresses);
	uint32_t mtu = bridge->definition.mtu ? bridge->definition.mtu
					      : link_default_mtu(bridge->route_fd);
	int r = link_bridge_create(bridge->route_fd, name, mac, mtu, err);
	if (r < 0 && r != -EEXIST)
		return r;
	bool made = r == 0;
	if (!made && bridge_is_foreign(bridge))
		return error_set(err, -EEXIST, "bridge %s was just made by another masu; try again",
				 name);
	/* Also where it exists: its maker may have been killed between two steps. */
	r = forwarding_enable(name, bridge->ipv6, err);
	if (r == 0)
		r = link_bridge_setup(bridge->route_fd, name, &addresses,
				      bridge->definition.kind == KIND_ROUTED, err);
	int index = link_index(bridge->route_fd, name);
	if (r == 0 && index < 0)
		r = error_errno(err, index, "bridge %s", name);
	if (r < 0)
		return r;
	_cleanup_arena_ struct arena arena;
	struct lease *leases;
	size_t count;
	arena_init(&arena, 0);
	r = lease_list(&bridge->pool, &arena, &leases, &count);
	if (r < 0)
		return error_errno(err, r, "network %s: leases", bridge->definition.name);
	for (size_t i = 0; made && i < count; i++)
		(void)bridge_attach(bridge, &leases[i], index, NULL);
	/* Other networks' ports are published to these containers, too. */
	if (made)
		(void)tcx_spread(bridge->route_fd, bridge->nft_fd, index);
	return index;
}

int bridge_publish_leases(struct bridge *bridge, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct masu_error ignored = { 0 };
	struct lease *leases;
	size_t count;
	arena_init(&arena, 0);
	int r = lease_list(&bridge->pool, &arena, &leases, &count);
	if (r < 0)
		return error_errno(err, r, "network %s: leases", bridge->definition.name);
	for (size_t i = 0; i < count; i++)
		if (leases[i].port_count && lease_lives(bridge, &leases[i]))
			(void)bridge_publish(bridge, &leases[i], &ignored);
	return 0;
}

int bridge_ensure_table(struct bridge *bridge, bool translates, struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	char ports[IFNAMSIZ];
	const char *table = bridge->table;
	bool routed = bridge->definition.kind == KIND_ROUTED;
	bool programs = bridge_programs(bridge) && bridge->tcx.masquerades;
	struct nft_network network = {
		.table = table,
		.bridge = routed ? ports : bridge->definition.bridge,
		.routed = routed,
		.isolated = routed && bridge->definition.isolated,
		.internal = bridge->definition.internal,
		.masquerade = !bridge->definition.internal && !bridge->definition.no_masquerade,
		.programs = programs,
		.ipv4 = bridge->definition.gateway4,
		.ipv4_prefix = bridge->definition.prefix4,
		.ipv6 = bridge->definition.gateway6,
		.ipv6_prefix = bridge->ipv6 ? bridge->definition.prefix6 : 0,
	};
	(void)str_format(ports, sizeof(ports), "%s*", bridge->definition.ports);
	bool exists = nft_table_exists(bridge->nft_fd, table) > 0;
	translates |= !programs;
	if (exists && (!translates || nft_translates(bridge->nft_fd, table) > 0))
		return 0;
	netlink_batch_init(&batch);
	nft_begin(&batch);
	if (!exists)
		nft_put_table(&batch, &network);
	if (translates)
		nft_put_translation(&batch, &network);
	nft_end(&batch);
	int r = netlink_transact(bridge->nft_fd, &batch, &failure);
	/* EEXIST: somebody else has just made it, and adds the elements. */
	if (r == -EEXIST)
		return 0;
	return r < 0 ? nft_error(err, r, &failure, table) : bridge_publish_leases(bridge, err);
}

/* A port that was released within the same tick of the kernel's clock is still there. */
static int put_all_expired(struct bridge *bridge, struct netlink_batch *batch,
			   const struct network_port *ports, size_t count,
			   const struct nft_target *target)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < count; i++)
		r = nft_put_expired(batch, bridge->nft_fd, bridge->table, &ports[i], target);
	return r;
}

/* Which port the failed message was about. */
static const struct network_port *port_of(const struct network_port *ports, size_t count,
					  const struct nft_target *target, uint32_t first,
					  uint32_t failed)
{
	for (size_t i = 0; i < count; i++) {
		first += nft_port_elements(&ports[i], target);
		if (failed < first)
			return &ports[i];
	}
	return ports;
}

int bridge_publish(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	const struct network_port *ports = lease->ports;
	size_t count = lease->port_count;
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	struct nft_target target;
	const char *table = bridge->table;
	uint32_t first = 0, elements = 0;
	int r = bridge_publish_bpf(bridge, lease, err);
	netlink_batch_init(&batch);
	bridge_target(bridge, lease, &target);
	for (size_t i = 0; i < count; i++)
		elements += nft_port_elements(&ports[i], &target);
	if (r < 0 || elements == 0)
		return r;
	for (unsigned attempt = 0; attempt < PUBLISH_ATTEMPTS; attempt++) {
		netlink_batch_reset(&batch);
		nft_begin(&batch);
		if (attempt > 0)
			r = put_all_expired(bridge, &batch, ports, count, &target);
		if (r < 0)
			return error_errno(err, r, "table inet %s: cannot read it", table);
		first = batch.sequence + 1;
		for (size_t i = 0; i < count; i++)
			nft_put_port(&batch, table, &ports[i], &target, NFT_ADD);
		nft_end(&batch);
		r = netlink_transact(bridge->nft_fd, &batch, &failure);
		/* ENOENT later than at first: what was to be deleted has just expired. */
		bool again = r == -EEXIST || r == -EBUSY || (r == -ENOENT && attempt > 0);
		if (!again || attempt + 1 == PUBLISH_ATTEMPTS)
			break;
		r = 0;
	}
	if (r == -EEXIST || r == -EBUSY)
		return port_conflict(port_of(ports, count, &target, first, failure.sequence), err);
	if (r < 0 && r != -ENOENT)
		return nft_error(err, r, &failure, table);
	return r;
}

static int unpublish(struct bridge *bridge, const struct lease *lease, enum nft_change change,
		     struct masu_error *err)
{
	const struct network_port *ports = lease->ports;
	size_t count = lease->port_count;
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure = { 0 };
	struct nft_target target;
	const char *table = bridge->table;
	uint32_t elements = 0;
	bridge_target(bridge, lease, &target);
	for (size_t i = 0; i < count; i++)
		elements += nft_port_elements(&ports[i], &target);
	if (elements == 0)
		return 0;
	netlink_batch_init(&batch);
	nft_begin(&batch);
	for (size_t i = 0; i < count; i++)
		nft_put_port(&batch, table, &ports[i], &target, change);
	nft_end(&batch);
	int r = netlink_transact(bridge->nft_fd, &batch, &failure);
	bool changed = r == -ENOENT || r == -EBUSY || r == -EEXIST;
	/* One element that is missing or another's undoes the whole batch: somebody changed the
	 * table, so what is left goes one port at a time. */
	for (size_t i = 0; changed && count > 1 && i < count; i++) {
		struct lease single = *lease;
		single.ports = &lease->ports[i];
		single.port_count = 1;
		int one = unpublish(bridge, &single, change, err);
		if (one < 0)
			return one;
	}
	return r < 0 && !changed ? nft_error(err, r, &failure, table) : 0;
}

int bridge_unpublish(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	int r = bridge_unpublish_bpf(bridge, lease);
	if (r < 0)
		return error_errno(err, r, "network %s: published ports", bridge->definition.name);
	return unpublish(bridge, lease, nft_can_expire() ? NFT_EXPIRE : NFT_DELETE, err);
}

int bridge_forget(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	struct nft_target target;
	int r = bridge_end_ports(bridge, lease, err);
	bridge_target(bridge, lease, &target);
	if (r == 0 && bridge->tcx.hosts_fd >= 0)
		tcx_drop_host(&bridge->tcx, &target);
	return r;
}

int bridge_withdraw(struct bridge *bridge, const struct lease *lease,
		    const struct network_port *port, struct masu_error *err)
{
	struct network_port copy = *port;
	struct lease single = *lease;
	single.ports = &copy;
	single.port_count = 1;
	int r = bridge_unpublish_bpf(bridge, &single);
	if (r < 0)
		return error_errno(err, r, "network %s: published ports", bridge->definition.name);
	return unpublish(bridge, &single, NFT_DELETE, err);
}

bool bridge_has_dead_lease(struct bridge *bridge, size_t max)
{
	_cleanup_arena_ struct arena arena;
	struct lease *leases;
	size_t count;
	arena_init(&arena, 0);
	if (lease_count(&bridge->pool, max + 1) > max ||
	    lease_list(&bridge->pool, &arena, &leases, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!lease_lives(bridge, &leases[i]))
			return true;
	return false;
}

size_t bridge_count_dead(struct bridge *bridge)
{
	_cleanup_arena_ struct arena arena;
	struct lease *leases;
	size_t count, dead = 0;
	arena_init(&arena, 0);
	if (lease_list(&bridge->pool, &arena, &leases, &count) < 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		dead += !lease_lives(bridge, &leases[i]);
	return dead;
}

int bridge_sweep(struct bridge *bridge, size_t *ret_left, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct lease *leases;
	size_t count, left = 0;
	int swept = 0;
	arena_init(&arena, 0);
	/* Alone: a lease that another process has just taken has no interface yet. */
	int r = lease_lock(&bridge->pool, LOCK_EX);
	if (r == 0)
		r = lease_list(&bridge->pool, &arena, &leases, &count);
	if (r < 0)
		return error_errno(err, r, "network %s: leases", bridge->definition.name);
	for (size_t i = 0; i < count; i++) {
		if (lease_lives(bridge, &leases[i])) {
			left++;
			continue;
		}
		r = bridge_forget(bridge, &leases[i], err);
		if (r < 0)
			return r;
		r = lease_remove(&bridge->pool, leases[i].ipv4);
		if (r < 0)
			return error_errno(err, r, "network %s: leases", bridge->definition.name);
		swept++;
	}
	*ret_left = left;
	r = lease_lock(&bridge->pool, LOCK_SH);
	return r < 0 ? error_errno(err, r, "network %s: lock", bridge->definition.name) : swept;
}
