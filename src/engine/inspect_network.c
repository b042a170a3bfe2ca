/* "NetworkSettings" of the inspect document, and the document of a network. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/inspect.h"
#include "engine/network.h"
#include "network/direct.h"
#include "engine/internal.h"
#include "state/record.h"

/* As podman does: the name's digest. It is the same on every machine and after every change. */
static void network_id(const char *name, char ret[65])
{
	sha256_hex(name, strlen(name), ret);
}

static const char *address_text(int family, bool has, const void *address,
				char ret[INET6_ADDRSTRLEN])
{
	ret[0] = '\0';
	if (has)
		inet_ntop(family, address, ret, INET6_ADDRSTRLEN);
	return ret;
}

static void mac_text(const struct network_endpoint *e, char ret[18])
{
	snprintf(ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", e->mac[0], e->mac[1], e->mac[2],
		 e->mac[3], e->mac[4], e->mac[5]);
}

static void addresses_write(struct json_writer *w, const struct network_endpoint *endpoint)
{
	static const struct network_endpoint none;
	const struct network_endpoint *e = endpoint ? endpoint : &none;
	char text[INET6_ADDRSTRLEN], mac[18] = "";
	json_field_string(w, "Gateway", address_text(AF_INET, e->has_ipv4, &e->gateway4, text));
	json_field_string(w, "IPAddress", address_text(AF_INET, e->has_ipv4, &e->ipv4, text));
	json_field_i64(w, "IPPrefixLen", e->ipv4_prefix);
	json_field_string(w, "IPv6Gateway",
			  address_text(AF_INET6, e->has_ipv6, &e->gateway6, text));
	json_field_string(w, "GlobalIPv6Address",
			  address_text(AF_INET6, e->has_ipv6, &e->ipv6, text));
	json_field_i64(w, "GlobalIPv6PrefixLen", e->ipv6_prefix);
	if (endpoint)
		mac_text(e, mac);
	json_field_string(w, "MacAddress", mac);
}

static void null_write(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_put_null(w);
}

/* A requested address; Docker's null where none was. */
static void ipam_write(struct json_writer *w, const struct container_config *config)
{
	json_key(w, "IPAMConfig");
	if (!config->ip && !config->ip6) {
		json_put_null(w);
		return;
	}
	json_begin_object(w);
	if (config->ip)
		json_field_string(w, "IPv4Address", config->ip);
	if (config->ip6)
		json_field_string(w, "IPv6Address", config->ip6);
	json_end_object(w);
}

static void networks_write(struct json_writer *w, const struct container *container,
			   const struct network_endpoint *endpoint)
{
	const char *name = container->config.network ? container->config.network : "bridge";
	char id[65];
	json_key(w, "Networks");
	json_begin_object(w);
	if (!mode_container(name, NULL)) {
		network_id(name, id);
		json_key(w, name);
		json_begin_object(w);
		ipam_write(w, &container->config);
		null_write(w, "Links");
		json_key(w, "Aliases");
		json_put_strings(w, container->config.network_aliases);
		null_write(w, "DriverOpts");
		json_field_string(w, "NetworkID", endpoint ? id : "");
		json_field_string(w, "EndpointID", "");
		addresses_write(w, endpoint);
		json_end_object(w);
	}
	json_end_object(w);
}

/* How it is reached, and why that is not how it was asked for; nothing where nobody asked, as
 * docker's readers know it. */
static void mode_write(struct json_writer *w, const struct network_port *port, int family,
		       const char *refusal)
{
	bool direct = port->direct & (family == AF_INET ? NETWORK_DIRECT_V4 : NETWORK_DIRECT_V6);
	if (port->mode == NETWORK_MODE_DEFAULT)
		return;
	json_field_string(w, "Mode",
			  network_mode_name(direct ? NETWORK_MODE_DIRECT : NETWORK_MODE_NAT));
	if (port->mode == NETWORK_MODE_DIRECT && !direct)
		json_field_string(w, "ModeReason",
				  refusal ? refusal : "no server has listened on it yet");
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
static void ports_write(struct json_writer *w, const struct container *container,
			const struct network_endpoint *e)
{
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
	const struct network_endpoint *endpoint =
		container->endpoint_count ? &container->endpoints[0] : NULL;
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
	json_field_string(w, "EndpointID", "");
	ports_write(w, container, endpoint);
	addresses_write(w, endpoint);
	networks_write(w, container, endpoint);
	json_end_object(w);
}

/* ---- a network ---- */

struct member_list {
	struct json_writer *w;
	const char *network;
};

static int member_write(void *opaque, struct arena *arena, const struct container *container,
			struct masu_error *err)
{
	const struct member_list *list = opaque;
	const char *name = container->config.network ? container->config.network : "bridge";
	const struct network_endpoint *e =
		container->endpoint_count ? &container->endpoints[0] : NULL;
	char text[INET6_ADDRSTRLEN], mac[18] = "";
	if (!streq(name, list->network))
		return 0;
	json_key(list->w, container->id);
	json_begin_object(list->w);
	json_field_string(list->w, "Name", container->name);
	json_field_string(list->w, "EndpointID", "");
	if (e)
		mac_text(e, mac);
	json_field_string(list->w, "MacAddress", mac);
	json_field_string(list->w, "IPv4Address",
			  e && e->has_ipv4
				  ? arena_printf(arena, "%s/%u",
						 address_text(AF_INET, true, &e->ipv4, text),
						 e->ipv4_prefix)
				  : "");
	json_field_string(list->w, "IPv6Address",
			  e && e->has_ipv6
				  ? arena_printf(arena, "%s/%u",
						 address_text(AF_INET6, true, &e->ipv6, text),
						 e->ipv6_prefix)
				  : "");
	json_end_object(list->w);
	return 0;
}

static void ipam_section_write(struct json_writer *w, const struct json *definition)
{
	const struct json *config = json_get(json_get(definition, "IPAM"), "Config");
	json_key(w, "IPAM");
	json_begin_object(w);
	json_field_string(w, "Driver", "default");
	null_write(w, "Options");
	json_key(w, "Config");
	if (config)
		json_put_value(w, config);
	else
		json_put_strings(w, (const char *const[]) { NULL });
	json_end_object(w);
}

/* The predefined networks, and what networks/<name>.json says of a bridge. */
static void network_write(struct json_writer *w, const char *name, const struct json *definition)
{
	char id[65];
	bool ipv6 = false;
	const struct json *options = json_get(definition, "Options");
	json_bool(json_get(definition, "EnableIPv6"), &ipv6);
	network_id(name, id);
	json_field_string(w, "Name", name);
	json_field_string(w, "Id", id);
	json_field_string(w, "Created", TIME_TEXT_NEVER);
	json_field_string(w, "Scope", "local");
	json_field_string(w, "Driver",
			  streq(name, "host")	? "host"
			  : streq(name, "none") ? "null"
						: "bridge");
	json_field_bool(w, "EnableIPv6", ipv6);
	ipam_section_write(w, definition);
	json_field_bool(w, "Internal", false);
	json_field_bool(w, "Attachable", false);
	json_field_bool(w, "Ingress", false);
	json_key(w, "ConfigFrom");
	json_begin_object(w);
	json_field_string(w, "Network", "");
	json_end_object(w);
	json_field_bool(w, "ConfigOnly", false);
	json_key(w, "Options");
	if (options) {
		json_put_value(w, options);
	} else {
		json_begin_object(w);
		json_end_object(w);
	}
	json_key(w, "Labels");
	json_begin_object(w);
	json_end_object(w);
}

/* The one of this name, or whose id begins like this; NULL: neither. */
static const char *predefined_network(const char *name_or_id)
{
	static const char *const names[] = { "bridge", "host", "none" };
	char id[65];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		network_id(names[i], id);
		if (streq(names[i], name_or_id) ||
		    (id_prefix_valid(name_or_id) && str_after(id, name_or_id)))
			return names[i];
	}
	return NULL;
}

int engine_inspect_network(struct engine *engine, struct arena *arena, const char *name_or_id,
			   struct json_writer *w, struct masu_error *err)
{
	char path[300];
	const struct json *definition = NULL;
	const char *known = predefined_network(name_or_id), *name = known ? known : name_or_id;
	const struct member_list list = { w, name };
	int r = -ENOENT;
	if (name_valid(name) && str_format(path, sizeof(path), "networks/%s.json", name) == 0)
		r = record_read(engine->root_fd, path, arena, &definition, err);
	if (r == -ENOENT && !known)
		return error_set(err, r, "network %.200s not found", name);
	if (r < 0 && r != -ENOENT)
		return r;
	json_begin_object(w);
	network_write(w, name, definition);
	json_key(w, "Containers");
	json_begin_object(w);
	r = engine_each(engine, false, member_write, (void *)&list, err);
	json_end_object(w);
	json_end_object(w);
	return r < 0 ? r : 0;
}
