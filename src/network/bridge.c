#include "network/bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/log.h"
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

/* A new name each time: the interface of the container's last run may not be gone yet. */
static int new_interface(char ret[IFNAMSIZ])
{
	uint32_t random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	return str_format(ret, IFNAMSIZ, "veth%08x", random);
}

static int take_lease(struct bridge *bridge, const struct network_request *request,
		      struct lease *lease, struct masu_error *err)
{
	const struct definition *definition = &bridge->definition;
	if (str_format(lease->id, sizeof(lease->id), "%s", request->container_id) < 0)
		return error_set(err, -EINVAL, "container id %s is too long",
				 request->container_id);
	int r = new_interface(lease->interface);
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
	r = lease_take(&bridge->pool, definition->gateway4, definition->prefix4, lease);
	if (r == -EADDRINUSE && request->requested_ip)
		return error_set(err, r, "Address already in use: %s", request->requested_ip);
	if (r == -EADDRINUSE)
		return error_set(err, r,
				 "no available IPv4 addresses on this network's address pools: %s",
				 definition->name);
	if (r < 0)
		return error_errno(err, r, "network %s: cannot write a lease", definition->name);
	return 0;
}

/* The pair of interfaces; makes the bridge where it turns out to be missing. */
static int make_link(struct bridge *bridge, int netns_fd, const struct lease *lease,
		     const uint8_t mac[6], struct masu_error *err)
{
	struct link_veth veth = {
		.host_name = lease->interface,
		.name = "eth0",
		.netns_fd = netns_fd,
		.mac = mac,
		.hairpin = bridge_frames_are_filtered(),
	};
	int r = -ENODEV;
	for (unsigned attempt = 0; r == -ENODEV && attempt < 2; attempt++) {
		veth.bridge_index = link_index(bridge->route_fd, bridge->definition.bridge);
		if (veth.bridge_index < 0 || attempt > 0)
			veth.bridge_index = bridge_ensure_link(bridge, err);
		if (veth.bridge_index < 0)
			return veth.bridge_index;
		int mtu = link_mtu(bridge->route_fd, bridge->definition.bridge);
		veth.mtu = mtu > 0 ? (uint32_t)mtu : 1500;
		r = link_veth_create(bridge->route_fd, &veth, err);
	}
	if (r == -EEXIST)
		return error_set(err, r, "the container's network namespace already has an eth0");
	if (r == -ENODEV)
		return error_set(err, r, "bridge %s: removed while it was being used; try again",
				 bridge->definition.bridge);
	return r;
}

static int configure(const struct bridge *bridge, int netns_fd, const struct lease *lease,
		     bool *ret_ipv6, struct masu_error *err)
{
	struct link_addresses addresses, gateways;
	bridge_addresses(bridge, lease->ipv4, &addresses);
	bridge_gateways(bridge, &gateways);
	_cleanup_close_ int fd = netns_netlink(netns_fd, NETLINK_ROUTE);
	if (fd < 0)
		return error_errno(err, fd, "cannot enter the container's network namespace");
	int r = link_configure(fd, "eth0", &addresses, &gateways, ret_ipv6, err);
	return r;
}

static int publish(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	if (lease->port_count == 0)
		return bridge_ensure_table(bridge, err);
	int r = bridge_publish(bridge, lease->ports, lease->port_count, lease->ipv4, err);
	if (r != -ENOENT)
		return r;
	r = bridge_ensure_table(bridge, err);
	return r < 0 ? r
		     : bridge_publish(bridge, lease->ports, lease->port_count, lease->ipv4, err);
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

static void fill_endpoint(const struct bridge *bridge, const struct lease *lease, bool ipv6,
			  struct network_endpoint *endpoint)
{
	struct link_addresses addresses;
	bridge_addresses(bridge, lease->ipv4, &addresses);
	(void)str_format(endpoint->network, sizeof(endpoint->network), "%s",
			 bridge->definition.name);
	(void)str_format(endpoint->interface, sizeof(endpoint->interface), "eth0");
	(void)str_format(endpoint->host_interface, sizeof(endpoint->host_interface), "%s",
			 lease->interface);
	endpoint->has_ipv4 = true;
	endpoint->ipv4 = lease->ipv4;
	endpoint->ipv4_prefix = bridge->definition.prefix4;
	endpoint->gateway4 = bridge->definition.gateway4;
	endpoint->has_ipv6 = ipv6;
	if (ipv6) {
		endpoint->ipv6 = addresses.ipv6;
		endpoint->ipv6_prefix = bridge->definition.prefix6;
		endpoint->gateway6 = bridge->definition.gateway6;
	}
	endpoint->ports = lease->ports;
	endpoint->port_count = lease->port_count;
}

static void undo(struct bridge *bridge, const struct lease *lease)
{
	struct masu_error ignored = { 0 };
	if (lease_give(&bridge->pool, lease->ipv4, lease->id) <= 0)
		return;
	(void)bridge_unpublish(bridge, lease->ports, lease->port_count, lease->ipv4, &ignored);
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
		r = make_link(bridge, request->netns_fd, lease, endpoint->mac, err);
	trace_mark("network: veth");
	if (r == 0)
		r = publish(bridge, lease, err);
	trace_mark("network: nftables");
	if (r == 0)
		r = configure(bridge, request->netns_fd, lease, &ipv6, err);
	trace_mark("network: addresses");
	if (r == 0)
		fill_endpoint(bridge, lease, ipv6, endpoint);
	return r;
}

static int connect_once(struct bridge *bridge, const struct network_request *request,
			struct arena *arena, struct network_endpoint *ret, struct masu_error *err)
{
	struct network_endpoint endpoint = { 0 };
	struct lease lease = { .port_count = request->port_count };
	lease.ports = arena_array(arena, struct network_port,
				  request->port_count ? request->port_count : 1);
	if (!lease.ports)
		return error_errno(err, -ENOMEM, "published ports");
	if (request->port_count)
		memcpy(lease.ports, request->ports, request->port_count * sizeof(*lease.ports));
	int r = port_hold(request->container_id, lease.ports, lease.port_count, err);
	if (r < 0)
		return r;
	r = take_lease(bridge, request, &lease, err);
	trace_mark("network: lease");
	if (r == 0) {
		r = connect_leased(bridge, request, &lease, &endpoint, err);
		if (r < 0)
			undo(bridge, &lease);
	}
	if (r < 0)
		port_release(request->container_id);
	else
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
	bridge_target(&bridge, endpoint->ipv4, &target);
	conntrack_forget_udp(bridge.nft_fd, bridge.route_fd, endpoint->ports, endpoint->port_count,
			     &target);
	return 0;
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
	r = bridge_unpublish(&bridge, endpoint->ports, endpoint->port_count, endpoint->ipv4, err);
	if (r < 0)
		return r;
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
	int r = link_attach(bridge->route_fd, lease->interface, index,
			    bridge_frames_are_filtered());
	if (r != -ENODEV || request->netns_fd < 0)
		return r < 0 && r != -ENODEV ? error_errno(err, r, "interface %s", lease->interface)
					     : 0;
	bool ipv6;
	r = make_link(bridge, request->netns_fd, lease, endpoint->mac, err);
	return r < 0 ? r : configure(bridge, request->netns_fd, lease, &ipv6, err);
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
	struct lease lease = { .ipv4 = endpoint->ipv4,
			       .ports = endpoint->ports,
			       .port_count = endpoint->port_count };
	if (str_format(lease.id, sizeof(lease.id), "%s", request->container_id) < 0 ||
	    str_format(lease.interface, sizeof(lease.interface), "%s", endpoint->host_interface) <
		    0)
		return error_set(err, -EINVAL, "network %s: the saved endpoint is not valid",
				 bridge.definition.name);
	if (!lease_is_of(&bridge.pool, lease.ipv4, lease.id)) {
		r = lease_take(&bridge.pool, bridge.definition.gateway4, bridge.definition.prefix4,
			       &lease);
		if (r < 0)
			return error_errno(err, r,
					   "the container's address now belongs to another; "
					   "restart the container");
	}
	r = repair_link(&bridge, request, endpoint, &lease, err);
	return r < 0 ? r : publish(&bridge, &lease, err);
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
