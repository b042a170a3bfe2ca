/* Published ports that change while the container runs. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "network/bridge.h"
#include "network/conntrack.h"
#include "network/direct_address.h"
#include "network/port.h"

/* The container's lease as it is written; its arrays are in @arena. */
static int find_lease(struct bridge *bridge, struct arena *arena,
		      const struct network_request *request,
		      const struct network_endpoint *endpoint, struct lease *ret,
		      struct masu_error *err)
{
	int r = lease_find(&bridge->pool, arena, endpoint->ipv4, ret);
	if (r > 0 && streq(ret->id, request->container_id))
		return 0;
	return error_errno(err, r < 0 ? r : -ESTALE,
			   "network %s: the lease of the container's address",
			   bridge->definition.name);
}

static int write_ports(struct bridge *bridge, struct lease *lease,
		       const struct network_endpoint *endpoint, struct masu_error *err)
{
	lease->ports = endpoint->ports;
	lease->port_count = endpoint->port_count;
	int r = lease_write(&bridge->pool, lease);
	return r < 0 ? error_errno(err, r, "network %s: cannot write a lease",
				   bridge->definition.name)
		     : 0;
}

/* Without it the port is as direct, but only at the host's address. */
static void lead(struct bridge *bridge, const struct lease *lease)
{
	int r = address_lead(bridge, lease);
	if (r < 0)
		log_debug("direct ports are not reached at the container's address: %s",
			  strerror(-r));
}

int bridge_direct(const struct network_request *request, struct network_endpoint *endpoint,
		  size_t index, unsigned families, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	_cleanup_arena_ struct arena arena;
	struct lease lease;
	arena_init(&arena, 0);
	int r = bridge_open(request->root_fd, request->run_fd, request->network, &bridge, err);
	if (r == 0)
		r = find_lease(&bridge, &arena, request, endpoint, &lease, err);
	if (r < 0)
		return r;
	/* Noted first: whoever makes the table again in between leaves the port out. */
	struct network_port moved = endpoint->ports[index];
	moved.direct = ~families;
	endpoint->ports[index].direct |= families;
	r = write_ports(&bridge, &lease, endpoint, err);
	if (r == 0)
		r = bridge_withdraw(&bridge, &lease, &moved, err);
	if (r < 0)
		endpoint->ports[index].direct &= ~families;
	if (r == 0)
		lead(&bridge, &lease);
	/* Who has been sending is led to the container as long as he does; nobody's target: all go.
	 */
	const struct nft_target nobody = { .has_ipv6 = true };
	if (r == 0 && moved.protocol == NETWORK_UDP)
		conntrack_forget_udp(bridge.nft_fd, bridge.route_fd, &moved, 1, &nobody);
	return r;
}

/* A binding that was asked for without a host's port is any that the container got. */
static bool is_same(const struct network_port *asked, const struct network_port *got)
{
	return asked->protocol == got->protocol && asked->container_port == got->container_port &&
	       asked->host_ip_set == got->host_ip_set &&
	       (!asked->host_port || asked->host_port == got->host_port) &&
	       (!asked->host_ip_set || (asked->host_family == got->host_family &&
					memcmp(&asked->host_ip, &got->host_ip,
					       asked->host_family == AF_INET ? 4 : 16) == 0));
}

/* What becomes of the endpoint's ports; all in the order of the request. */
struct change {
	struct network_port *ports, *added, *gone;
	int *kept; /* for each of ports: its place before, or -1 */
	size_t count, added_count, gone_count;
};

static int plan(const struct network_request *request, const struct network_endpoint *endpoint,
		struct arena *arena, struct change *ret)
{
	size_t before = endpoint->port_count, count = request->port_count;
	struct change change = {
		.ports = arena_array(arena, struct network_port, count + 1),
		.added = arena_array(arena, struct network_port, count + 1),
		.gone = arena_array(arena, struct network_port, before + 1),
		.kept = arena_array(arena, int, count + 1),
		.count = count,
	};
	bool *used = arena_array(arena, bool, before + 1);
	if (!change.ports || !change.added || !change.gone || !change.kept || !used)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < before && (used[k] || !is_same(&request->ports[i], &endpoint->ports[k])))
			k++;
		change.kept[i] = k < before ? (int)k : -1;
		change.ports[i] = k < before ? endpoint->ports[k] : request->ports[i];
		change.ports[i].mode = request->ports[i].mode;
		used[k < before ? k : before] = k < before;
	}
	for (size_t k = 0; k < before; k++)
		if (!used[k])
			change.gone[change.gone_count++] = endpoint->ports[k];
	*ret = change;
	return 0;
}

int bridge_end_ports(struct bridge *bridge, const struct lease *gone, struct masu_error *err)
{
	const struct nft_target nobody = { .has_ipv6 = true };
	struct nft_target target;
	bool udp = false;
	int r = 0;
	bridge_target(bridge, gone, &target);
	for (size_t i = 0; i < gone->port_count; i++)
		udp |= gone->ports[i].protocol == NETWORK_UDP &&
		       nft_port_elements(&gone->ports[i], &target);
	if (!udp)
		return bridge_unpublish(bridge, gone, err);
	for (size_t i = 0; i < gone->port_count && r == 0; i++)
		r = bridge_withdraw(bridge, gone, &gone->ports[i], err);
	if (r == 0)
		conntrack_forget_udp(bridge->nft_fd, bridge->route_fd, gone->ports,
				     gone->port_count, &nobody);
	return r;
}

int bridge_change(const struct network_request *request, struct arena *arena,
		  struct network_endpoint *endpoint, struct masu_error *err)
{
	_cleanup_bridge_ struct bridge bridge = BRIDGE_NONE;
	struct lease lease;
	struct change change = { 0 };
	int r = bridge_open(request->root_fd, request->run_fd, request->network, &bridge, err);
	if (r == 0)
		r = find_lease(&bridge, arena, request, endpoint, &lease, err);
	if (r == 0 && (r = plan(request, endpoint, arena, &change)) < 0)
		error_errno(err, r, "published ports");
	if (r == 0)
		r = bridge_choose_modes(&bridge, request->libexec, change.ports, change.count,
					change.kept, err);
	if (r == 0)
		r = port_hold_again(request->container_id, change.ports, change.count, change.kept,
				    err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < change.count; i++)
		if (change.kept[i] < 0)
			change.added[change.added_count++] = change.ports[i];
	struct network_endpoint before = *endpoint;
	endpoint->ports = change.ports;
	endpoint->port_count = change.count;
	r = write_ports(&bridge, &lease, endpoint, err);
	struct lease part = lease;
	part.mac = endpoint->mac;
	part.ports = change.added;
	part.port_count = change.added_count;
	if (r == 0 && change.added_count)
		r = bridge_publish(&bridge, &part, err);
	if (r == -ENOENT && (r = bridge_ensure_table(&bridge, true, err)) == 0)
		r = bridge_publish(&bridge, &part, err);
	part.ports = change.gone;
	part.port_count = change.gone_count;
	if (r == 0)
		return bridge_end_ports(&bridge, &part, err);
	/* The ports that are held now are those of the record that is kept; what was let go cannot
	 * be taken again for certain, and is translated all the same. */
	*endpoint = before;
	(void)write_ports(&bridge, &lease, endpoint, NULL);
	return r;
}

bool network_holds_ports(const char *container_id)
{
	return port_held(container_id, 0) >= 0;
}

void network_release_ports(const char *container_id)
{
	port_release(container_id);
}
