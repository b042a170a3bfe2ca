/* Networks as objects: defining and removing them. No container waits for this. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "network/bridge.h"
#include "sys/fs.h"

#define SUBNETS_MAX 8
#define ID_IN_NAME  12

/* One subnet as it is asked for and as it will be. */
struct pool {
	int family;
	struct in6_addr subnet, gateway, range; /* the first four bytes for IPv4 */
	uint8_t prefix, range_prefix;		/* range_prefix 0: none */
	bool has_gateway;
	const struct network_pair *reserved[DEFINITION_RESERVED_MAX];
	size_t reserved_count;
};

struct creation {
	const struct network_create *request;
	struct pool pools[SUBNETS_MAX];
	size_t count;
	int root_fd;
};

static int family_of(const char *text)
{
	return strchr(text, ':') ? AF_INET6 : AF_INET;
}

static int add_subnet(struct creation *c, const char *text, struct masu_error *err)
{
	struct pool pool = { .family = family_of(text) };
	if (cidr_parse(text, pool.family, &pool.subnet, &pool.prefix) < 0)
		return error_set(err, -EINVAL, "invalid CIDR address: %.60s", text);
	for (size_t i = 0; i < c->count; i++)
		if (c->pools[i].family == pool.family)
			return error_set(err, -ENOTSUP,
					 "--subnet %.60s: a network has one subnet of IPv4 and one "
					 "of IPv6",
					 text);
	if (pool.family == AF_INET6 && !c->request->ipv6)
		return error_set(err, -EINVAL, "--subnet %.60s: an IPv6 subnet needs --ipv6", text);
	if (pool.family == AF_INET && (pool.prefix < 8 || pool.prefix > 30))
		return error_set(err, -EINVAL,
				 "--subnet %.60s: an IPv4 subnet has a prefix of 8 to 30 bits",
				 text);
	cidr_mask(pool.family, &pool.subnet, pool.prefix);
	c->pools[c->count++] = pool;
	return 0;
}

/* The subnet that an address is in. */
static struct pool *pool_of(struct creation *c, const char *what, const char *text,
			    struct in6_addr *ret, struct masu_error *err)
{
	int family = family_of(text);
	if (inet_pton(family, text, ret) != 1) {
		error_set(err, -EINVAL, "invalid %s: %.60s", what, text);
		return NULL;
	}
	for (size_t i = 0; i < c->count; i++)
		if (c->pools[i].family == family &&
		    cidr_overlap(family, ret, family == AF_INET ? 32 : 128, &c->pools[i].subnet,
				 c->pools[i].prefix))
			return &c->pools[i];
	error_set(err, -EINVAL, "no matching subnet for %s %.60s", what, text);
	return NULL;
}

static int add_range(struct creation *c, const char *text, struct masu_error *err)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr range = { 0 };
	uint8_t prefix;
	int family = family_of(text);
	if (cidr_parse(text, family, &range, &prefix) < 0)
		return error_set(err, -EINVAL, "invalid CIDR address: %.60s", text);
	cidr_mask(family, &range, prefix);
	inet_ntop(family, &range, address, sizeof(address));
	struct pool *pool = pool_of(c, "range", address, &range, err);
	if (!pool)
		return err ? err->code : -EINVAL;
	if (pool->range_prefix)
		return error_set(err, -EINVAL, "cannot configure multiple ranges on one subnet");
	if (prefix < pool->prefix || (family == AF_INET && prefix > 31))
		return error_set(err, -EINVAL, "--ip-range %.60s is not a part of its subnet",
				 text);
	pool->range = range;
	pool->range_prefix = prefix;
	return 0;
}

static int add_gateway(struct creation *c, const char *text, struct masu_error *err)
{
	struct in6_addr gateway = { 0 };
	struct pool *pool = pool_of(c, "gateway", text, &gateway, err);
	if (!pool)
		return err ? err->code : -EINVAL;
	if (pool->has_gateway)
		return error_set(err, -EINVAL, "cannot configure multiple gateways on one subnet");
	pool->gateway = gateway;
	pool->has_gateway = true;
	return 0;
}

static int add_reserved(struct creation *c, const struct network_pair *pair, struct masu_error *err)
{
	struct in6_addr address = { 0 };
	struct pool *pool = pool_of(c, "aux-address", pair->value, &address, err);
	if (!pool)
		return err ? err->code : -EINVAL;
	if (pool->reserved_count == DEFINITION_RESERVED_MAX)
		return error_set(err, -E2BIG, "more than %d auxiliary addresses in one subnet",
				 DEFINITION_RESERVED_MAX);
	pool->reserved[pool->reserved_count++] = pair;
	return 0;
}

static int note_overlap(void *opaque, const struct definition *other)
{
	const struct creation *c = opaque;
	for (size_t i = 0; i < c->count; i++) {
		const struct pool *pool = &c->pools[i];
		bool v6 = pool->family == AF_INET6;
		uint8_t prefix = v6 ? other->prefix6 : other->prefix4;
		const void *gateway = v6 ? (const void *)&other->gateway6 : &other->gateway4;
		if (prefix &&
		    cidr_overlap(pool->family, &pool->subnet, pool->prefix, gateway, prefix))
			return -EEXIST;
	}
	return 0;
}

/* What is not named is chosen: a subnet, and its first address for the gateway. */
static int complete_pools(struct creation *c, struct masu_error *err)
{
	struct definition chosen = { 0 };
	bool has4 = false, has6 = false;
	(void)str_format(chosen.name, sizeof(chosen.name), "%s", c->request->name);
	for (size_t i = 0; i < c->count; i++) {
		has4 |= c->pools[i].family == AF_INET;
		has6 |= c->pools[i].family == AF_INET6;
	}
	_cleanup_close_ int route = netlink_open(NETLINK_ROUTE);
	int r = route < 0 ? error_errno(err, route, "netlink socket") : 0;
	if (r == 0 && !has4) {
		r = definition_choose_subnet(c->root_fd, route, &chosen, err);
		/* The first, as docker lists them. */
		memmove(c->pools + 1, c->pools, c->count * sizeof(c->pools[0]));
		c->pools[0] = (struct pool) { .family = AF_INET, .prefix = chosen.prefix4 };
		memcpy(&c->pools[0].subnet, &chosen.gateway4, sizeof(chosen.gateway4));
		c->count++;
	}
	if (r == 0 && !has6 && c->request->ipv6) {
		r = definition_choose_prefix6(&chosen, err);
		c->pools[c->count++] = (struct pool) { .family = AF_INET6,
						       .prefix = chosen.prefix6,
						       .subnet = chosen.gateway6 };
	}
	for (size_t i = 0; i < c->count; i++) {
		struct pool *pool = &c->pools[i];
		cidr_mask(pool->family, &pool->subnet, pool->prefix);
		if (pool->has_gateway)
			continue;
		pool->gateway = pool->subnet;
		pool->gateway.s6_addr[pool->family == AF_INET ? 3 : 15] |= 1;
	}
	return r;
}

static void put_pool(struct json_writer *w, const struct pool *pool)
{
	char text[INET6_ADDRSTRLEN], cidr[INET6_ADDRSTRLEN + 4];
	definition_write_subnet(w, pool->family, &pool->gateway, pool->prefix);
	if (pool->range_prefix) {
		inet_ntop(pool->family, &pool->range, text, sizeof(text));
		(void)str_format(cidr, sizeof(cidr), "%s/%u", text, pool->range_prefix);
		json_field_string(w, "IPRange", cidr);
	}
	if (pool->reserved_count) {
		json_key(w, "AuxiliaryAddresses");
		json_begin_object(w);
		for (size_t i = 0; i < pool->reserved_count; i++)
			json_field_string(w, pool->reserved[i]->key, pool->reserved[i]->value);
		json_end_object(w);
	}
	json_end_object(w);
}

static void put_pairs(struct json_writer *w, const char *key, const struct network_pair *pairs,
		      size_t count, const char *extra, const char *extra_value)
{
	json_key(w, key);
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		json_field_string(w, pairs[i].key, pairs[i].value);
	if (extra)
		json_field_string(w, extra, extra_value);
	json_end_object(w);
}

static bool has_option(const struct network_create *request, const char *key)
{
	for (size_t i = 0; i < request->option_count; i++)
		if (streq(request->options[i].key, key))
			return true;
	return false;
}

/* The document of the network. Its bridge gets a name, where it has none, from the id. */
static void put_network(struct json_writer *w, const struct creation *c, const char *id)
{
	const struct network_create *request = c->request;
	const char *driver = request->driver ? request->driver : "bridge";
	char bridge[IFNAMSIZ];
	bool routed = streq(driver, "routed");
	bool named = (!routed && !streq(driver, "bridge")) || has_option(request, OPTION_BRIDGE);
	(void)str_format(bridge, sizeof(bridge), "%s-%.*s", routed ? "rt" : "br", ID_IN_NAME, id);
	json_begin_object(w);
	json_field_string(w, "Name", request->name);
	json_field_string(w, "Id", id);
	json_field_string(w, "Created", request->created);
	json_field_string(w, "Driver", driver);
	json_field_bool(w, "EnableIPv6", request->ipv6);
	json_key(w, "IPAM");
	json_begin_object(w);
	json_key(w, "Config");
	json_begin_array(w);
	for (size_t i = 0; i < c->count; i++)
		put_pool(w, &c->pools[i]);
	json_end_array(w);
	json_end_object(w);
	json_field_bool(w, "Internal", request->internal);
	json_field_bool(w, "Attachable", request->attachable);
	put_pairs(w, "Options", request->options, request->option_count,
		  named ? NULL : OPTION_BRIDGE, bridge);
	put_pairs(w, "Labels", request->labels, request->label_count, NULL, NULL);
	json_end_object(w);
}

/* That what will be read back is what was asked for. */
static int check_document(const struct network_create *request, const struct buf *text,
			  struct definition *ret, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct json *document;
	arena_init(&arena, 1u << 20);
	int r = buf_error(text);
	if (r == 0)
		r = json_parse(&arena, text->data, text->len, &document, err);
	if (r < 0)
		return error_errno(err, r, "network %s", request->name);
	(void)str_format(ret->name, sizeof(ret->name), "%s", request->name);
	if (definition_parse(document, ret) < 0)
		return error_set(
			err, -EINVAL,
			"network %s: an option's value, an address or a range is not "
			"valid (an IPv6 subnet or range must hold as many addresses as the "
			"IPv4 subnet)",
			request->name);
	return 0;
}

/* The options that each driver knows. */
static const char *const bridge_options[] = {
	OPTION_BRIDGE, OPTION_ICC, OPTION_MASQUERADE, OPTION_BINDING, OPTION_MTU,
	OPTION_PREFIX, NULL
};
static const char *const macvlan_options[] = { OPTION_PARENT, OPTION_MTU, OPTION_PREFIX,
					       OPTION_MACVLAN, NULL };
static const char *const ipvlan_options[] = { OPTION_PARENT, OPTION_MTU,  OPTION_PREFIX,
					      OPTION_IPVLAN, OPTION_FLAG, NULL };

static int find_driver(const char *name, enum definition_kind *ret, struct masu_error *err)
{
	if (streq(name, "host") || streq(name, "null"))
		return error_set(err, -EPERM, "only one instance of \"%s\" network is allowed",
				 name);
	for (enum definition_kind kind = KIND_BRIDGE; kind <= KIND_IPVLAN; kind++) {
		if (!streq(name, definition_driver(kind)))
			continue;
		*ret = kind;
		return 0;
	}
	return error_set(err, -ENOTSUP,
			 "network driver \"%.60s\" is not supported; \"bridge\", \"routed\", "
			 "\"macvlan\" and \"ipvlan\" are",
			 name);
}

static int check_request(const struct network_create *request, struct masu_error *err)
{
	const char *driver = request->driver ? request->driver : "bridge";
	enum definition_kind kind = KIND_BRIDGE;
	struct definition scratch;
	if (!name_valid(request->name) || strlen(request->name) >= sizeof(scratch.name))
		return error_set(err, -EINVAL,
				 "invalid network name: %.100s: only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
				 "allowed, 2 to %zu of them",
				 request->name, sizeof(scratch.name) - 1);
	int r = find_driver(driver, &kind, err);
	if (r < 0)
		return r;
	bool has_host = kind == KIND_BRIDGE || kind == KIND_ROUTED;
	const char *const *known = has_host		  ? bridge_options
				   : kind == KIND_MACVLAN ? macvlan_options
							  : ipvlan_options;
	for (size_t i = 0; i < request->option_count; i++) {
		const struct network_pair *option = &request->options[i];
		if (!strv_contains(known, option->key) ||
		    (streq(option->key, OPTION_MACVLAN) && !streq(option->value, "bridge")))
			return error_set(err, -ENOTSUP,
					 "-o %.100s=%.60s is not supported by the %s driver",
					 option->key, option->value, driver);
	}
	if (!has_host && !has_option(request, OPTION_PARENT))
		return error_set(err, -EINVAL,
				 "a network of driver %s needs the host's interface: -o "
				 "parent=NAME",
				 driver);
	return 0;
}

static int note_bridge(void *opaque, const struct definition *other)
{
	const struct definition *own = opaque;
	return definition_has_host(other) && definition_has_host(own) &&
			       streq(other->bridge, own->bridge)
		       ? -EEXIST
		       : 0;
}

static int check_free(struct creation *c, struct masu_error *err)
{
	static const char *const predefined[] = { "bridge", "host", "none", "default", NULL };
	char path[96];
	const char *name = c->request->name;
	if (strv_contains(predefined, name) ||
	    (str_format(path, sizeof(path), "networks/%s.json", name) == 0 &&
	     faccessat(c->root_fd, path, F_OK, 0) == 0))
		return error_set(err, -EEXIST, "network with name %s already exists", name);
	return 0;
}

static int fill_pools(struct creation *c, struct masu_error *err)
{
	const struct network_create *request = c->request;
	int r = 0;
	for (const char **text = request->subnets; r == 0 && text && *text; text++)
		r = add_subnet(c, *text, err);
	for (const char **text = request->ranges; r == 0 && text && *text; text++)
		r = add_range(c, *text, err);
	for (const char **text = request->gateways; r == 0 && text && *text; text++)
		r = add_gateway(c, *text, err);
	for (size_t i = 0; r == 0 && i < request->reserved_count; i++)
		r = add_reserved(c, &request->reserved[i], err);
	return r == 0 ? complete_pools(c, err) : r;
}

static int define_network(struct creation *c, const char *id, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	struct definition definition = { 0 };
	buf_init(&text, DEFINITION_MAX_BYTES);
	json_writer_init(&w, &text, true);
	put_network(&w, c, id);
	int r = check_document(c->request, &text, &definition, err);
	if (r < 0)
		return r;
	if (definition_each(c->root_fd, note_overlap, c) == -EEXIST)
		return error_set(err, -EEXIST,
				 "Pool overlaps with other one on this address space");
	if (definition_each(c->root_fd, note_bridge, &definition) == -EEXIST)
		return error_set(err, -EEXIST, "another network has the bridge %s",
				 definition.bridge);
	return definition_write(c->root_fd, c->request->name, &text, err);
}

int network_create(int root_fd, const struct network_create *request, char ret_id[65],
		   struct masu_error *err)
{
	_cleanup_close_ int lock = -1;
	struct creation c = { .request = request, .root_fd = root_fd };
	int r = check_request(request, err);
	if (r == 0)
		r = definition_lock(root_fd, &lock, err);
	if (r == 0)
		r = check_free(&c, err);
	if (r == 0)
		r = fill_pools(&c, err);
	if (r == 0 && (r = id_random(ret_id)) < 0)
		r = error_errno(err, r, "network id");
	return r < 0 ? r : define_network(&c, ret_id, err);
}

static int has_live_lease(struct bridge *bridge, struct masu_error *err)
{
	size_t left = 0;
	/* Leases of containers that were killed hold nothing up. */
	int r = bridge_sweep(bridge, &left, err);
	if (r < 0)
		return r;
	/* The sweep shares the lock again: somebody may be about to connect. */
	r = lease_lock(&bridge->pool, LOCK_EX);
	if (r < 0)
		return error_errno(err, r, "network %s: lock", bridge->definition.name);
	return lease_count(&bridge->pool, 1) > 0;
}

int network_remove(int root_fd, int run_fd, const char *network, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	_cleanup_close_ int lock = -1;
	char path[96];
	int r = definition_lock(root_fd, &lock, err);
	if (r == 0)
		r = bridge_open(root_fd, run_fd, network, &bridge, err);
	if (r == 0)
		r = has_live_lease(&bridge, err);
	if (r > 0)
		return error_set(err, -EBUSY,
				 "error while removing network: network %s id %s has active "
				 "endpoints",
				 network, bridge.definition.id);
	if (r == 0)
		r = bridge_remove(&bridge, err);
	if (r < 0)
		return r;
	/* Until this is done it is there and can be removed again. */
	(void)str_format(path, sizeof(path), "%s.json", network);
	if (unlinkat(lock, path, 0) < 0 && errno != ENOENT)
		return error_errno(err, -errno, "network %s: cannot remove it", network);
	r = fs_fsync_dir(lock);
	(void)str_format(path, sizeof(path), "networks/%s", network);
	(void)fs_remove_tree(run_fd, path);
	return r < 0 ? error_errno(err, r, "network %s: cannot sync its removal", network) : 0;
}

int network_rename(int root_fd, int run_fd, const struct network_endpoint *endpoint,
		   const char *names, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	int r = bridge_open(root_fd, run_fd, endpoint->network, &bridge, err);
	if (r < 0)
		return r;
	r = lease_rename(&bridge.pool, &bridge.definition, &arena, endpoint->ipv4, names);
	return r < 0 ? error_errno(err, r, "network %s: names", endpoint->network) : 0;
}

int network_drop_orphans(int root_fd, int run_fd, const char *network, const char *container_id,
			 const struct network_endpoint *known, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	_cleanup_arena_ struct arena arena;
	struct lease *leases;
	size_t count = 0, left;
	bool unfinished = false;
	arena_init(&arena, 0);
	int r = bridge_open(root_fd, run_fd, network, &bridge, err);
	if (r < 0)
		return r;
	r = lease_list(&bridge.pool, &arena, &leases, &count);
	if (r < 0)
		return error_errno(err, r, "network %s: leases", network);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		const struct lease *lease = &leases[i];
		unfinished |= !*lease->id;
		if (!streq(lease->id, container_id) ||
		    (known && known->ipv4.s_addr == lease->ipv4.s_addr))
			continue;
		r = bridge_unpublish(&bridge, lease, err);
		if (r < 0)
			return r;
		(void)link_delete(bridge.route_fd, lease->interface);
		r = lease_give(&bridge.pool, lease->ipv4, container_id);
	}
	if (r < 0)
		return error_errno(err, r, "network %s: cannot release an address", network);
	/* Killed before it could write whose it is: whoever still writes is waited for. */
	r = unfinished ? bridge_sweep(&bridge, &left, err) : 0;
	return r < 0 ? r : 0;
}
