#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "network/network.h"
#include "network/port.h"

static void save_address(struct json_writer *w, const char *key, int family, const void *address)
{
	char text[INET6_ADDRSTRLEN];
	json_field_string(w, key, inet_ntop(family, address, text, sizeof(text)));
}

static void save_port(struct json_writer *w, const struct network_port *port)
{
	json_begin_object(w);
	json_field_string(w, "Protocol", port_protocol_name(port->protocol));
	if (port->host_ip_set)
		save_address(w, "HostIp", port->host_family, &port->host_ip);
	json_field_u64(w, "HostPort", port->host_port);
	json_field_u64(w, "ContainerPort", port->container_port);
	if (port->mode != NETWORK_MODE_DEFAULT)
		json_field_string(w, "Mode", network_mode_name(port->mode));
	if (port->bpf)
		json_field_bool(w, "Bpf", true);
	if (port->direct)
		json_field_u64(w, "Direct", port->direct);
	if (port->unguarded)
		json_field_bool(w, "Unguarded", true);
	json_end_object(w);
}

void network_endpoint_save(const struct network_endpoint *endpoint, struct json_writer *w)
{
	char mac[18];
	const uint8_t *m = endpoint->mac;
	(void)str_format(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			 m[4], m[5]);
	json_begin_object(w);
	json_field_string(w, "Network", endpoint->network);
	if (*endpoint->network_id)
		json_field_string(w, "NetworkID", endpoint->network_id);
	if (*endpoint->driver && !streq(endpoint->driver, "bridge"))
		json_field_string(w, "Driver", endpoint->driver);
	json_field_string(w, "EndpointID", endpoint->id);
	json_field_string(w, "Interface", endpoint->interface);
	json_field_string(w, "HostInterface", endpoint->host_interface);
	json_field_string(w, "MacAddress", mac);
	if (endpoint->has_ipv4) {
		save_address(w, "IPAddress", AF_INET, &endpoint->ipv4);
		json_field_u64(w, "IPPrefixLen", endpoint->ipv4_prefix);
		if (endpoint->gateway4.s_addr)
			save_address(w, "Gateway", AF_INET, &endpoint->gateway4);
	}
	if (endpoint->has_ipv6) {
		save_address(w, "GlobalIPv6Address", AF_INET6, &endpoint->ipv6);
		json_field_u64(w, "GlobalIPv6PrefixLen", endpoint->ipv6_prefix);
		if (!IN6_IS_ADDR_UNSPECIFIED(&endpoint->gateway6))
			save_address(w, "IPv6Gateway", AF_INET6, &endpoint->gateway6);
	}
	json_key(w, "Ports");
	json_begin_array(w);
	for (size_t i = 0; i < endpoint->port_count; i++)
		save_port(w, &endpoint->ports[i]);
	json_end_array(w);
	json_end_object(w);
}

static int load_string(const struct json *object, const char *key, char *dst, size_t size)
{
	const char *text;
	if (!json_string(json_get(object, key), &text))
		return -EINVAL;
	return str_format(dst, size, "%s", text);
}

static int load_address(const struct json *object, const char *key, int family, void *ret)
{
	const char *text;
	if (!json_string(json_get(object, key), &text) || inet_pton(family, text, ret) != 1)
		return -EINVAL;
	return 0;
}

/* What may not be there. */
static int load_optional(const struct json *object, const char *key, char *dst, size_t size)
{
	return json_get(object, key) ? load_string(object, key, dst, size) : 0;
}

static int load_gateway(const struct json *object, const char *key, int family, void *ret)
{
	return json_get(object, key) ? load_address(object, key, family, ret) : 0;
}

static int load_number(const struct json *object, const char *key, uint64_t max, uint64_t *ret)
{
	if (!json_u64(json_get(object, key), ret) || *ret > max)
		return -EINVAL;
	return 0;
}

static int load_port(const struct json *saved, struct network_port *ret)
{
	struct network_port port = { 0 };
	const char *protocol, *address, *mode;
	uint64_t host_port, container_port, direct;
	if (!json_string(json_get(saved, "Protocol"), &protocol) ||
	    port_protocol_parse(protocol, &port.protocol) < 0 ||
	    load_number(saved, "HostPort", UINT16_MAX, &host_port) < 0 ||
	    load_number(saved, "ContainerPort", UINT16_MAX, &container_port) < 0)
		return -EINVAL;
	port.host_port = (uint16_t)host_port;
	port.container_port = (uint16_t)container_port;
	if (json_string(json_get(saved, "Mode"), &mode) && network_mode_parse(mode, &port.mode) < 0)
		return -EINVAL;
	(void)json_bool(json_get(saved, "Bpf"), &port.bpf);
	(void)json_bool(json_get(saved, "Unguarded"), &port.unguarded);
	if (json_get(saved, "Direct")) {
		if (load_number(saved, "Direct", NETWORK_DIRECT_V4 | NETWORK_DIRECT_V6, &direct) <
		    0)
			return -EINVAL;
		port.direct = (unsigned)direct;
	}
	if (json_string(json_get(saved, "HostIp"), &address)) {
		port.host_ip_set = true;
		port.host_family = strchr(address, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(port.host_family, address, &port.host_ip) != 1)
			return -EINVAL;
	}
	*ret = port;
	return 0;
}

static int load_mac(const struct json *saved, uint8_t ret[6])
{
	char text[18];
	unsigned byte[6];
	if (load_string(saved, "MacAddress", text, sizeof(text)) < 0 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5]) != 6)
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		ret[i] = (uint8_t)byte[i];
	return 0;
}

static int load_addresses(const struct json *saved, struct network_endpoint *endpoint)
{
	uint64_t prefix;
	endpoint->has_ipv4 = json_get(saved, "IPAddress") != NULL;
	endpoint->has_ipv6 = json_get(saved, "GlobalIPv6Address") != NULL;
	if (endpoint->has_ipv4) {
		if (load_address(saved, "IPAddress", AF_INET, &endpoint->ipv4) < 0 ||
		    load_gateway(saved, "Gateway", AF_INET, &endpoint->gateway4) < 0 ||
		    load_number(saved, "IPPrefixLen", 32, &prefix) < 0)
			return -EINVAL;
		endpoint->ipv4_prefix = (uint8_t)prefix;
	}
	if (endpoint->has_ipv6) {
		if (load_address(saved, "GlobalIPv6Address", AF_INET6, &endpoint->ipv6) < 0 ||
		    load_gateway(saved, "IPv6Gateway", AF_INET6, &endpoint->gateway6) < 0 ||
		    load_number(saved, "GlobalIPv6PrefixLen", 128, &prefix) < 0)
			return -EINVAL;
		endpoint->ipv6_prefix = (uint8_t)prefix;
	}
	return 0;
}

int network_endpoint_load(struct arena *arena, const struct json *saved,
			  struct network_endpoint *ret, struct masu_error *err)
{
	struct network_endpoint endpoint = { 0 };
	const struct json *ports = json_get(saved, "Ports");
	size_t count = ports ? ports->count : 0;
	int r = load_string(saved, "Network", endpoint.network, sizeof(endpoint.network));
	if (r == 0)
		r = load_optional(saved, "NetworkID", endpoint.network_id,
				  sizeof(endpoint.network_id));
	if (r == 0)
		r = load_optional(saved, "EndpointID", endpoint.id, sizeof(endpoint.id));
	/* Where it is missing it is this, or macvlan of a masu that did not say. */
	if (r == 0)
		r = load_optional(saved, "Driver", endpoint.driver, sizeof(endpoint.driver));
	if (r == 0)
		r = load_string(saved, "Interface", endpoint.interface, sizeof(endpoint.interface));
	if (r == 0)
		r = load_string(saved, "HostInterface", endpoint.host_interface,
				sizeof(endpoint.host_interface));
	if (r == 0)
		r = load_mac(saved, endpoint.mac);
	if (r == 0)
		r = load_addresses(saved, &endpoint);
	if (r == 0 && !*endpoint.driver)
		(void)str_format(endpoint.driver, sizeof(endpoint.driver), "%s",
				 *endpoint.host_interface ? "bridge" : "macvlan");
	endpoint.ports = arena_array(arena, struct network_port, count ? count : 1);
	if (!endpoint.ports)
		return error_errno(err, -ENOMEM, "saved network endpoint");
	json_foreach (port, ports)
		r = r < 0 ? r : load_port(port, &endpoint.ports[endpoint.port_count++]);
	if (r < 0)
		return error_set(err, -EINVAL, "the saved network endpoint is not valid");
	*ret = endpoint;
	return 0;
}
