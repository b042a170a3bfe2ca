#include "network/bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "base/trace.h"
#include "network/conntrack.h"
#include "network/drivers.h"
#include "network/forwarding.h"
#include "network/netns.h"
#include "network/port.h"
#include "sys/netlink.h"

static const char *network_name(const struct network_request *request)
{
	return streq(request->network, "default") ? "bridge" : request->network;
}

static int check_address6(const struct definition *definition, const char *text,
			  struct in6_addr *ret, struct masu_error *err)
{
	if (inet_pton(AF_INET6, text, ret) != 1)
		return error_set(err, -EINVAL, "invalid IPv6 address: %s", text);
	if (!definition->prefix6 ||
	    !cidr_overlap(AF_INET6, ret, 128, &definition->gateway6, definition->prefix6) ||
	    IN6_ARE_ADDR_EQUAL(ret, &definition->gateway6))
		return error_set(err, -EINVAL,
				 "address %s is not one of network %s's for containers", text,
				 definition->name);
	return 0;
}

/* A new name each time: the interface of the container's last run may not be gone yet. */
static int new_interface(const struct definition *definition, const char *endpoint_id,
			 char ret[IFNAMSIZ])
{
	const char *start = definition->ports;
	int room = IFNAMSIZ - 1 - (int)strlen(start);
	return str_format(ret, IFNAMSIZ, "%s%.*s", start, room < 8 ? room : 8, endpoint_id);
}

static int take_lease(struct bridge *bridge, const struct network_request *request,
		      const char *endpoint_id, struct lease *lease, struct masu_error *err)
{
	const struct definition *definition = &bridge->definition;
	lease->names = request->names;
	if (str_format(lease->id, sizeof(lease->id), "%s", request->container_id) < 0)
		return error_set(err, -EINVAL, "container id %s is too long",
				 request->container_id);
	int r = new_interface(definition, endpoint_id, lease->interface);
	if (r < 0)
		return error_errno(err, r, "interface name");
	if (request->requested_ip) {
		uint32_t mask = 0xffffffffu << (32 - definition->prefix4);
		uint32_t gateway = ntohl(definition->gateway4.s_addr);
		if (inet_pton(AF_INET, request->requested_ip, &lease->ipv4) != 1)
			return error_set(err, -EINVAL, "invalid IPv4 address: %s",
					 request->requested_ip);
		uint32_t address = ntohl(lease->ipv4.s_addr);
		if (((address ^ gateway) & mask) != 0 || address == gateway ||
		    (address & ~mask) == 0 || (address & ~mask) == ~mask)
			return error_set(err, -EINVAL,
					 "address %s is not one of network %s's for containers",
					 request->requested_ip, definition->name);
	}
	if (request->requested_ip6) {
		r = check_address6(definition, request->requested_ip6, &lease->ipv6, err);
		if (r < 0)
			return r;
	}
	r = lease_take(&bridge->pool, definition, lease);
	if (r == -EADDRINUSE && (request->requested_ip || request->requested_ip6))
		return error_set(err, r, "Address already in use: %s%s%s",
				 request->requested_ip ? request->requested_ip : "",
				 request->requested_ip && request->requested_ip6 ? ", " : "",
				 request->requested_ip6 ? request->requested_ip6 : "");
	if (r == -EADDRINUSE)
		return error_set(err, r,
				 "no available IPv4 addresses on this network's address pools: %s",
				 definition->name);
	if (r < 0)
		return error_errno(err, r, "network %s: cannot write a lease", definition->name);
	return 0;
}

/* The pair of interfaces; makes the bridge where it turns out to be missing. */
static int make_pair(struct bridge *bridge, struct link_veth *link, struct masu_error *err)
{
	int r = -ENODEV;
	link->port = bridge_port(bridge);
	for (unsigned attempt = 0; r == -ENODEV && attempt < 2; attempt++) {
		link->bridge_index = link_index(bridge->route_fd, bridge->definition.bridge);
		if (link->bridge_index < 0 || attempt > 0)
			link->bridge_index = bridge_ensure_link(bridge, err);
		if (link->bridge_index < 0)
			return link->bridge_index;
		int mtu = link_mtu(bridge->route_fd, bridge->definition.bridge);
		link->mtu = mtu > 0 ? (uint32_t)mtu : 1500;
		r = link_veth_create(bridge->route_fd, link, err);
	}
	if (r == -ENODEV)
		return error_set(err, r, "bridge %s: removed while it was being used; try again",
				 bridge->definition.bridge);
	return r;
}

/* An interface of the parent's. */
static int make_child(struct bridge *bridge, struct link_veth *link, struct masu_error *err)
{
	const struct definition *definition = &bridge->definition;
	const struct link_ipvlan ipvlan = { definition->ipvlan_mode, definition->ipvlan_flags };
	link->bridge_index = link_index(bridge->route_fd, definition->bridge);
	if (link->bridge_index < 0)
		return error_errno(err, link->bridge_index, "network %s: its parent interface %s",
				   definition->name, definition->bridge);
	link->mtu = definition->mtu;
	return link_child_create(bridge->route_fd, link,
				 definition->kind == KIND_IPVLAN ? &ipvlan : NULL, err);
}

static int make_link(struct bridge *bridge, const struct network_request *request,
		     const struct lease *lease, const struct network_endpoint *endpoint,
		     struct masu_error *err)
{
	struct link_routed routed;
	struct link_veth link = {
		.host_name = lease->interface,
		.name = endpoint->interface,
		.netns_fd = request->netns_fd,
		.mac = endpoint->mac,
	};
	bridge_routed(bridge, lease, &routed);
	if (bridge->definition.kind == KIND_ROUTED)
		link.routed = &routed;
	int r = definition_has_host(&bridge->definition) ? make_pair(bridge, &link, err)
							 : make_child(bridge, &link, err);
	if (r == -EEXIST)
		return error_set(err, r, "the container's network namespace already has an %s",
				 endpoint->interface);
	return r;
}

static int configure(const struct bridge *bridge, const struct network_request *request,
		     const struct lease *lease, struct network_endpoint *endpoint, bool *ret_ipv6,
		     struct masu_error *err)
{
	struct link_addresses gateways;
	struct link_routed routed;
	enum definition_kind kind = bridge->definition.kind;
	bridge_routed(bridge, lease, &routed);
	bridge_routes(bridge, &gateways);
	if (request->other4)
		gateways.ipv4 = (struct in_addr) { 0 };
	if (request->other6)
		gateways.ipv6 = (struct in6_addr) { 0 };
	_cleanup_close_ int fd = netns_netlink(request->netns_fd, NETLINK_ROUTE);
	if (fd < 0)
		return error_errno(err, fd, "cannot enter the container's network namespace");
	/* What it has of its parent's. */
	if (kind == KIND_IPVLAN)
		(void)link_mac(fd, endpoint->interface, endpoint->mac);
	return link_configure(fd, endpoint->interface, &routed.addresses, &gateways,
			      kind == KIND_ROUTED ? &routed : NULL, ret_ipv6, err);
}

/* @bridge's programs, where ports need them, are there: bridge_choose_modes(). */
static int publish(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	struct nft_target target;
	uint32_t elements = 0;
	if (!definition_has_host(&bridge->definition))
		return 0;
	bridge_target(bridge, lease, &target);
	for (size_t i = 0; i < lease->port_count; i++)
		elements += nft_port_elements(&lease->ports[i], &target);
	int r = elements ? 0 : bridge_ensure_table(bridge, false, err);
	if (r == 0)
		r = bridge_publish(bridge, lease, err);
	if (r != -ENOENT || !elements)
		return r;
	r = bridge_ensure_table(bridge, true, err);
	return r < 0 ? r : bridge_publish(bridge, lease, err);
}

static int parse_mac(const char *text, uint8_t ret[6])
{
	unsigned byte[6];
	int end = 0;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) != 6 ||
	    text[end] || (byte[0] & 1))
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		ret[i] = (uint8_t)byte[i];
	return 0;
}

static int choose_mac(const struct network_request *request, struct in_addr ipv4, uint8_t ret[6],
		      struct masu_error *err)
{
	bridge_mac(ipv4, ret);
	if (request->mac_address && parse_mac(request->mac_address, ret) < 0)
		return error_set(err, -EINVAL, "invalid MAC address: %s", request->mac_address);
	return 0;
}

/* What is known before anything is made. */
static int name_endpoint(const struct bridge *bridge, const struct network_request *request,
			 struct network_endpoint *endpoint, struct masu_error *err)
{
	const struct definition *definition = &bridge->definition;
	int r = id_random(endpoint->id);
	if (r == 0)
		r = str_format(endpoint->interface, sizeof(endpoint->interface), "%s%u",
			       definition->interface, request->index);
	if (r < 0)
		return error_errno(err, r, "network %s: endpoint", definition->name);
	(void)str_format(endpoint->network, sizeof(endpoint->network), "%s", definition->name);
	(void)str_format(endpoint->network_id, sizeof(endpoint->network_id), "%s", definition->id);
	(void)str_format(endpoint->driver, sizeof(endpoint->driver), "%s",
			 definition_driver(definition->kind));
	return 0;
}

static void fill_endpoint(const struct bridge *bridge, const struct lease *lease, bool ipv6,
			  struct network_endpoint *endpoint)
{
	struct link_addresses addresses, routes;
	bridge_addresses(bridge, lease, &addresses);
	bridge_routes(bridge, &routes);
	if (definition_has_host(&bridge->definition))
		(void)str_format(endpoint->host_interface, sizeof(endpoint->host_interface), "%s",
				 lease->interface);
	endpoint->has_ipv4 = true;
	endpoint->ipv4 = lease->ipv4;
	endpoint->ipv4_prefix = addresses.ipv4_prefix;
	endpoint->gateway4 = routes.ipv4;
	endpoint->has_ipv6 = ipv6;
	if (ipv6) {
		endpoint->ipv6 = addresses.ipv6;
		endpoint->ipv6_prefix = addresses.ipv6_prefix;
		endpoint->gateway6 = routes.ipv6;
	}
	endpoint->ports = lease->ports;
	endpoint->port_count = lease->port_count;
}

static void undo(struct bridge *bridge, const struct lease *lease)
{
	struct masu_error ignored = { 0 };
	if (lease_give(&bridge->pool, lease->ipv4, lease->id) <= 0)
		return;
	(void)bridge_forget(bridge, lease, &ignored);
	(void)link_delete(bridge->route_fd, lease->interface);
}

/* Everything after the lease; @lease is undone by the caller on failure. */
static int connect_leased(struct bridge *bridge, const struct network_request *request,
			  const struct lease *lease, struct network_endpoint *endpoint,
			  struct masu_error *err)
{
	bool ipv6 = bridge->ipv6;
	int r = choose_mac(request, lease->ipv4, endpoint->mac, err);
	if (r == 0)
		r = make_link(bridge, request, lease, endpoint, err);
	trace_mark("network: veth");
	if (r == 0)
		r = publish(bridge, lease, err);
	trace_mark("network: nftables");
	if (r == 0)
		r = configure(bridge, request, lease, endpoint, &ipv6, err);
	trace_mark("network: addresses");
	if (r == 0)
		fill_endpoint(bridge, lease, ipv6, endpoint);
	return r;
}

/* Where the network has an address for them, ports without one are published there. */
static void bind_ports(const struct definition *definition, struct lease *lease)
{
	for (size_t i = 0; i < lease->port_count && definition->binding4.s_addr; i++) {
		struct network_port *port = &lease->ports[i];
		if (port->host_ip_set)
			continue;
		port->host_ip_set = true;
		port->host_family = AF_INET;
		port->host_ip.v4 = definition->binding4;
	}
}

static int connect_once(struct bridge *bridge, const struct network_request *request,
			struct arena *arena, struct network_endpoint *ret, struct masu_error *err)
{
	struct network_endpoint endpoint = { 0 };
	struct lease lease = { .port_count = request->port_count, .mac = endpoint.mac };
	lease.ports = arena_array(arena, struct network_port,
				  request->port_count ? request->port_count : 1);
	if (!lease.ports)
		return error_errno(err, -ENOMEM, "published ports");
	if (request->port_count)
		memcpy(lease.ports, request->ports, request->port_count * sizeof(*lease.ports));
	if (lease.port_count && !definition_has_host(&bridge->definition))
		return error_set(err, -EINVAL,
				 "network %s: no ports are published on a network of driver %s; "
				 "its containers are reached by their own addresses",
				 bridge->definition.name,
				 definition_driver(bridge->definition.kind));
	if (request->mac_address && bridge->definition.kind == KIND_IPVLAN)
		return error_set(err, -EINVAL,
				 "network %s: all its containers have the MAC address of %s",
				 bridge->definition.name, bridge->definition.bridge);
	bind_ports(&bridge->definition, &lease);
	int r = name_endpoint(bridge, request, &endpoint, err);
	if (r == 0)
		r = bridge_choose_modes(bridge, request->libexec, lease.ports, lease.port_count,
					NULL, err);
	if (r == 0)
		r = port_hold(request->container_id, lease.ports, lease.port_count, err);
	if (r < 0)
		return r;
	r = take_lease(bridge, request, endpoint.id, &lease, err);
	trace_mark("network: lease");
	if (r == 0) {
		r = connect_leased(bridge, request, &lease, &endpoint, err);
		if (r < 0)
			undo(bridge, &lease);
	}
	/* Those of another network that it is connected to stay. */
	if (r < 0 && request->port_count)
		port_release(request->container_id);
	if (r == 0)
		*ret = endpoint;
	return r;
}

static int bridge_connect(const struct network_request *request, struct arena *arena,
			  struct network_endpoint *ret, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	struct masu_error first = { 0 };
	size_t left;
	int r = bridge_open(request->root_fd, request->run_fd, network_name(request), &bridge, err);
	if (r < 0)
		return r;
	if (definition_has_host(&bridge.definition))
		r = bridge_claim(request->root_fd, &bridge, err);
	if (r < 0)
		return r;
	trace_mark("network: open");
	r = connect_once(&bridge, request, arena, ret, &first);
	/* What is taken may be a dead container's whose monitor was killed. */
	if (r == -EADDRINUSE && bridge_sweep(&bridge, &left, &first) > 0) {
		error_clear(&first);
		r = connect_once(&bridge, request, arena, ret, &first);
	}
	if (r < 0 && err)
		*err = first;
	return r;
}

static struct lease lease_of(const struct network_endpoint *endpoint)
{
	return (struct lease) { .ipv4 = endpoint->ipv4,
				.ipv6 = endpoint->ipv6,
				.ports = endpoint->ports,
				.port_count = endpoint->port_count };
}

static int bridge_settle(const struct network_request *request,
			 const struct network_endpoint *endpoint, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	struct nft_target target;
	bool udp = false;
	for (size_t i = 0; i < endpoint->port_count; i++)
		udp |= endpoint->ports[i].protocol == NETWORK_UDP;
	if (!udp || !endpoint->has_ipv4)
		return 0;
	int r = bridge_open(request->root_fd, request->run_fd, network_name(request), &bridge, err);
	if (r < 0)
		return r;
	const struct lease lease = lease_of(endpoint);
	bridge_target(&bridge, &lease, &target);
	conntrack_forget_udp(bridge.nft_fd, bridge.route_fd, endpoint->ports, endpoint->port_count,
			     &target);
	return 0;
}

/* The interface with its host's end. */
static void remove_interface(int netns_fd, const char *name)
{
	_cleanup_close_ int fd = netns_netlink(netns_fd, NETLINK_ROUTE);
	if (fd >= 0)
		(void)link_delete(fd, name);
}

static int release(const struct network_request *request, const struct network_endpoint *endpoint,
		   struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	int r = bridge_open(request->root_fd, request->run_fd, network_name(request), &bridge, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!lease_is_of(&bridge.pool, endpoint->ipv4, request->container_id))
		return 0;
	/* The elements first: while the lease stands, nobody else has the address. */
	const struct lease lease = lease_of(endpoint);
	r = bridge_forget(&bridge, &lease, err);
	if (r < 0)
		return r;
	if (request->netns_fd >= 0)
		remove_interface(request->netns_fd, endpoint->interface);
	r = lease_give(&bridge.pool, endpoint->ipv4, request->container_id);
	return r < 0 ? error_errno(err, r, "network %s: cannot release the address",
				   bridge.definition.name)
		     : 0;
}

static int bridge_disconnect(const struct network_request *request,
			     const struct network_endpoint *endpoint, struct masu_error *err)
{
	int r = endpoint->has_ipv4 ? release(request, endpoint, err) : 0;
	port_release(request->container_id);
	return r;
}

static int repair_link(struct bridge *bridge, const struct network_request *request,
		       const struct network_endpoint *endpoint, const struct lease *lease,
		       struct masu_error *err)
{
	int index = bridge_ensure_link(bridge, err);
	if (index < 0)
		return index;
	int r = bridge_attach(bridge, lease, index, endpoint->mac);
	if (r != -ENODEV || request->netns_fd < 0)
		return r < 0 && r != -ENODEV ? error_errno(err, r, "interface %s", lease->interface)
					     : 0;
	bool ipv6;
	struct network_endpoint again = *endpoint;
	r = make_link(bridge, request, lease, &again, err);
	return r < 0 ? r : configure(bridge, request, lease, &again, &ipv6, err);
}

static int bridge_repair(const struct network_request *request,
			 const struct network_endpoint *endpoint, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	if (!endpoint->has_ipv4)
		return 0;
	int r = bridge_open(request->root_fd, request->run_fd, network_name(request), &bridge, err);
	if (r < 0)
		return r;
	if (!definition_has_host(&bridge.definition))
		return 0;
	struct lease lease = lease_of(endpoint);
	lease.names = request->names;
	lease.mac = endpoint->mac;
	if (str_format(lease.id, sizeof(lease.id), "%s", request->container_id) < 0 ||
	    str_format(lease.interface, sizeof(lease.interface), "%s", endpoint->host_interface) <
		    0)
		return error_set(err, -EINVAL, "network %s: the saved endpoint is not valid",
				 bridge.definition.name);
	if (!lease_is_of(&bridge.pool, lease.ipv4, lease.id)) {
		r = lease_take(&bridge.pool, &bridge.definition, &lease);
		if (r < 0)
			return error_errno(err, r,
					   "the container's address now belongs to another; "
					   "restart the container");
	}
	r = repair_link(&bridge, request, endpoint, &lease, err);
	/* They are as they were: one that was translated by programs is so again. */
	if (r == 0)
		r = bridge_choose_modes(&bridge, request->libexec, lease.ports, lease.port_count,
					NULL, err);
	return r < 0 ? r : publish(&bridge, &lease, err);
}

bool network_publishes(int root_fd, const char *network)
{
	struct definition definition;
	int r = definition_load(root_fd, streq(network, "default") ? "bridge" : network,
				&definition, NULL);
	/* The default network may not be defined yet. */
	return r == -ENOENT || (r == 0 && definition_has_host(&definition) && !definition.internal);
}

int network_route(int netns_fd, const struct network_endpoint *ipv4,
		  const struct network_endpoint *ipv6, struct masu_error *err)
{
	struct link_addresses gateways = { 0 };
	_cleanup_close_ int fd = netns_netlink(netns_fd, NETLINK_ROUTE);
	int r = fd < 0 ? fd : 0;
	if (r == 0 && ipv4) {
		gateways.ipv4 = ipv4->gateway4;
		r = link_route(fd, ipv4->interface, &gateways);
	}
	gateways = (struct link_addresses) { 0 };
	if (r == 0 && ipv6) {
		gateways.ipv6 = ipv6->gateway6;
		r = link_route(fd, ipv6->interface, &gateways);
	}
	return r < 0 ? error_errno(err, r, "cannot set the container's default route") : 0;
}

const struct network_ops network_bridge = {
	.name = "bridge",
	.own_namespace = true,
	.connect = bridge_connect,
	.settle = bridge_settle,
	.disconnect = bridge_disconnect,
	.repair = bridge_repair,
	.direct = bridge_direct,
	.change = bridge_change,
};
