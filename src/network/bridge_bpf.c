/* Ports of a bridge network that BPF programs translate (tcx.h). */
#include <errno.h>
#include <sys/file.h>

#include "base/str.h"
#include "network/bridge.h"
#include "network/port.h"

bool bridge_programs(struct bridge *bridge)
{
	if (bridge->tcx.ports_fd >= 0)
		return true;
	int index = link_index(bridge->route_fd, bridge->definition.bridge);
	return index >= 0 && tcx_open(index, &bridge->tcx) == 0;
}

/* Alone, and again where somebody else has made them meanwhile. */
static int make_programs(struct bridge *bridge, const char *libexec, struct masu_error *err)
{
	const struct definition *definition = &bridge->definition;
	if (definition->kind != KIND_BRIDGE)
		return error_set(err, -EOPNOTSUPP, "network %s is not a bridge", definition->name);
	if (!libexec)
		return error_set(err, -EOPNOTSUPP, "the programs are not installed");
	int r = lease_lock(&bridge->pool, LOCK_EX);
	if (r < 0)
		return error_errno(err, r, "network %s: lock", definition->name);
	if (!bridge_programs(bridge)) {
		int index = bridge_ensure_link(bridge, err);
		/* Not while connections go through the table's own masquerading. */
		bool masquerade = !definition->internal && !definition->no_masquerade &&
				  nft_translates(bridge->nft_fd, bridge->table) == 0;
		r = index < 0 ? index : tcx_install(bridge, libexec, masquerade, &bridge->tcx, err);
		if (r == 0)
			r = bridge_publish_leases(bridge, err);
	}
	/* Before anybody finds the network without: one that has none translates by itself. */
	if (r == 0)
		r = bridge_ensure_table(bridge, false, err);
	int unlocked = lease_lock(&bridge->pool, LOCK_SH);
	return r < 0 || unlocked == 0
		       ? r
		       : error_errno(err, unlocked, "network %s: lock", definition->name);
}

int bridge_choose_modes(struct bridge *bridge, const char *libexec, struct network_port *ports,
			size_t count, const int *kept, struct masu_error *err)
{
	struct masu_error why = { 0 };
	bool tried = false, have = false;
	for (size_t i = 0; i < count; i++) {
		struct network_port *port = &ports[i];
		bool loopback6 = port_is_loopback6(port);
		/* At ::1 it is this or a server that listens on the host. */
		bool by_name = port->mode == NETWORK_MODE_BPF ||
			       (loopback6 && !network_may_be_direct(port->mode));
		if ((kept && kept[i] >= 0) ||
		    (!by_name && !loopback6 && port->mode != NETWORK_MODE_AUTO))
			continue;
		bool takes = tcx_takes(port) && (!loopback6 || bridge->ipv6);
		if (!takes) {
			error_set(&why, -EOPNOTSUPP,
				  "it translates TCP and UDP only, and IPv6 where the network has "
				  "it");
		} else if (!tried) {
			tried = true;
			have = bridge_programs(bridge);
			/* Interfaces that came since. */
			if (have)
				(void)tcx_spread(bridge->route_fd, bridge->nft_fd, 0);
			else
				have = make_programs(bridge, libexec, &why) == 0;
		}
		port->bpf = have && takes;
		if (by_name && !port->bpf)
			return error_set(
				err, -EOPNOTSUPP, "port %u cannot %s: %s", port->container_port,
				loopback6 ? "be published at ::1" : "have mode=bpf", why.message);
	}
	return 0;
}

static bool has_bpf(const struct lease *lease)
{
	bool has = false;
	for (size_t i = 0; i < lease->port_count; i++)
		has |= lease->ports[i].bpf;
	return has;
}

int bridge_publish_bpf(struct bridge *bridge, const struct lease *lease, struct masu_error *err)
{
	struct nft_target target;
	uint8_t mac[6];
	if (!has_bpf(lease))
		return 0;
	if (!bridge_programs(bridge))
		return error_set(err, -ENOENT, "network %s: its BPF programs are gone",
				 bridge->definition.name);
	bridge_target(bridge, lease, &target);
	bridge_mac(lease->ipv4, mac);
	int index = link_index(bridge->route_fd, lease->interface), r = index < 0 ? index : 0;
	if (r == 0)
		r = tcx_put_host(&bridge->tcx, &target, index, lease->mac ? lease->mac : mac);
	for (size_t i = 0; r == 0 && i < lease->port_count; i++) {
		if (!lease->ports[i].bpf)
			continue;
		r = tcx_publish(&bridge->tcx, &lease->ports[i], &target);
		if (r == -EADDRINUSE)
			return port_conflict(&lease->ports[i], err);
	}
	return r < 0 ? error_errno(err, r, "network %s: published ports", bridge->definition.name)
		     : 0;
}

int bridge_unpublish_bpf(struct bridge *bridge, const struct lease *lease)
{
	struct nft_target target;
	int result = 0;
	if (!has_bpf(lease) || !bridge_programs(bridge))
		return 0;
	bridge_target(bridge, lease, &target);
	for (size_t i = 0; i < lease->port_count; i++) {
		int r = lease->ports[i].bpf ? tcx_unpublish(&bridge->tcx, &lease->ports[i], &target)
					    : 0;
		if (r < 0)
			result = r;
	}
	return result;
}
