/* "NetworkSettings" of the inspect document. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/config.h"
#include "engine/inspect.h"
#include "engine/network.h"
#include "network/direct.h"
#include "engine/internal.h"

const char *inspect_address(int family, bool has, const void *address, char ret[INET6_ADDRSTRLEN])
{
	ret[0] = '\0';
	if (has)
		inet_ntop(family, address, ret, INET6_ADDRSTRLEN);
	return ret;
}

void inspect_mac(const struct network_endpoint *e, char ret[18])
{
	snprintf(ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", e->mac[0], e->mac[1], e->mac[2],
		 e->mac[3], e->mac[4], e->mac[5]);
}

static void addresses_write(struct json_writer *w, const struct network_endpoint *endpoint)
{
	static const struct network_endpoint none;
	const struct network_endpoint *e = endpoint ? endpoint : &none;
	char text[INET6_ADDRSTRLEN], mac[18] = "";
	json_field_string(w, "Gateway",
			  inspect_address(AF_INET, e->gateway4.s_addr != 0, &e->gateway4, text));
	json_field_string(w, "IPAddress", inspect_address(AF_INET, e->has_ipv4, &e->ipv4, text));
	json_field_i64(w, "IPPrefixLen", e->ipv4_prefix);
	json_field_string(w, "IPv6Gateway",
			  inspect_address(AF_INET6, !IN6_IS_ADDR_UNSPECIFIED(&e->gateway6),
					  &e->gateway6, text));
	json_field_string(w, "GlobalIPv6Address",
			  inspect_address(AF_INET6, e->has_ipv6, &e->ipv6, text));
	json_field_i64(w, "GlobalIPv6PrefixLen", e->ipv6_prefix);
	if (endpoint)
		inspect_mac(e, mac);
	json_field_string(w, "MacAddress", mac);
}

static void null_write(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_put_null(w);
}

/* A requested address; Docker's null where none was. */
static void ipam_write(struct json_writer *w, const struct network_config *network)
{
	json_key(w, "IPAMConfig");
	if (!network->ip && !network->ip6) {
		json_put_null(w);
		return;
	}
	json_begin_object(w);
	if (network->ip)
		json_field_string(w, "IPv4Address", network->ip);
	if (network->ip6)
		json_field_string(w, "IPv6Address", network->ip6);
	json_end_object(w);
}

static const struct network_endpoint *endpoint_of(const struct container *container,
						  const char *network)
{
	for (size_t i = 0; i < container->endpoint_count; i++)
		if (streq(container->endpoints[i].network, network))
			return &container->endpoints[i];
	return NULL;
}

static void networks_write(struct json_writer *w, const struct container *container)
{
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(&container->config, &single, &networks);
	char id[65];
	json_key(w, "Networks");
	json_begin_object(w);
	for (size_t i = 0; i < count; i++) {
		const struct network_config *network = &networks[i];
		const struct network_endpoint *e = endpoint_of(container, network->name);
		if (mode_container(network->name, NULL))
			continue;
		if (e && *e->network_id)
			snprintf(id, sizeof(id), "%s", e->network_id);
		else
			inspect_network_id(network->name, id);
		json_key(w, network->name);
		json_begin_object(w);
		ipam_write(w, network);
		null_write(w, "Links");
		json_key(w, "Aliases");
		json_put_strings(w, network->aliases);
		null_write(w, "DriverOpts");
		json_field_string(w, "NetworkID", e ? id : "");
		json_field_string(w, "EndpointID", e ? e->id : "");
		addresses_write(w, e);
		json_end_object(w);
	}
	json_end_object(w);
}

/* How it is reached, and why that is not how it was asked for; nothing where nobody asked, as
 * docker's readers know it. */
static void mode_write(struct json_writer *w, const struct network_port *port, int family,
		       const char *refusal)
{
	enum network_mode mode = network_port_mode(port, family);
	if (port->mode == NETWORK_MODE_DEFAULT)
		return;
	json_field_string(w, "Mode", network_mode_name(mode));
	if (network_may_be_direct(port->mode) && mode != NETWORK_MODE_DIRECT)
		json_field_string(w, "ModeReason",
				  refusal ? refusal
				  : port->unguarded
					  ? "its guard, BPF programs on the container's control "
					    "group, cannot be attached"
					  : "no server has listened on it yet");
}

/* An address that was not chosen is all of them. */
static void binding_write(struct json_writer *w, const struct network_port *port, int family,
			  const char *refusal)
{
	char text[INET6_ADDRSTRLEN] = "", number[8];
	if (port->host_ip_set)
		inet_ntop(family, &port->host_ip, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", family == AF_INET ? "0.0.0.0" : "::");
	snprintf(number, sizeof(number), "%u", port->host_port);
	json_begin_object(w);
	json_field_string(w, "HostIp", text);
	json_field_string(w, "HostPort", number);
	mode_write(w, port, family, refusal);
	json_end_object(w);
}

static bool same_port(const struct network_port *a, const struct network_port *b)
{
	return a->container_port == b->container_port && a->protocol == b->protocol;
}

static const char *port_name(const struct network_port *port, char ret[16])
{
	static const char *const protocols[] = {
		[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
	};
	snprintf(ret, 16, "%u/%s", port->container_port, protocols[port->protocol]);
	return ret;
}

static void published_write(struct json_writer *w, const struct container_config *config,
			    const struct network_endpoint *e)
{
	const char *all = engine_network_refuses_direct(config);
	char name[16];
	for (size_t i = 0; i < e->port_count; i++) {
		bool first = true;
		for (size_t k = 0; k < i && first; k++)
			first = !same_port(&e->ports[k], &e->ports[i]);
		if (!first)
			continue;
		json_key(w, port_name(&e->ports[i], name));
		json_begin_array(w);
		for (size_t k = i; k < e->port_count; k++) {
			const struct network_port *port = &e->ports[k];
			if (!same_port(port, &e->ports[i]))
				continue;
			const char *refusal =
				all ? all : direct_refusal(e->ports, e->port_count, k);
			binding_write(w, port, port->host_ip_set ? port->host_family : AF_INET,
				      refusal);
			if (!port->host_ip_set && e->has_ipv6)
				binding_write(w, port, AF_INET6, refusal);
		}
		json_end_array(w);
	}
}

/* Exposed ports that are not published are there with null. */
static void ports_write(struct json_writer *w, const struct container *container)
{
	const struct network_endpoint *e = engine_network_published(container);
	char name[16];
	json_key(w, "Ports");
	json_begin_object(w);
	if (e)
		published_write(w, &container->config, e);
	for (const char **expose = container->config.expose; e && expose && *expose; expose++) {
		bool published = false;
		for (size_t i = 0; i < e->port_count && !published; i++)
			published = streq(port_name(&e->ports[i], name), *expose);
		if (!published)
			null_write(w, *expose);
	}
	json_end_object(w);
}

void inspect_network_settings_write(struct json_writer *w, struct arena *arena,
				    const struct container *container)
{
	/* As docker: these members are about the default network. */
	const struct network_endpoint *endpoint = endpoint_of(container, "bridge");
	bool own = container->pid && container_is_alive(container) &&
		   !mode_host(container->config.network);
	json_key(w, "NetworkSettings");
	json_begin_object(w);
	json_field_string(w, "Bridge", "");
	json_field_string(w, "SandboxID", own ? container->id : "");
	json_field_string(w, "SandboxKey",
			  own ? arena_printf(arena, "/proc/%d/ns/net", (int)container->pid) : "");
	json_field_bool(w, "HairpinMode", false);
	json_field_string(w, "LinkLocalIPv6Address", "");
	json_field_i64(w, "LinkLocalIPv6PrefixLen", 0);
	null_write(w, "SecondaryIPAddresses");
	null_write(w, "SecondaryIPv6Addresses");
	json_field_string(w, "EndpointID", endpoint ? endpoint->id : "");
	ports_write(w, container);
	addresses_write(w, endpoint);
	networks_write(w, container);
	json_end_object(w);
}
