#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "network/network.h"
#include "network/port.h"

#define SPEC_MAX 128

struct range {
	uint32_t first, last; /* 0, 0: none given */
};

/* The array grows by doubling, so its room follows from the count. */
static size_t room_for(size_t count)
{
	size_t room = 16;
	while (room < count)
		room *= 2;
	return room;
}

static int parse_range(const char *text, struct range *ret)
{
	char first[8];
	const char *dash = strchr(text, '-');
	size_t len = dash ? (size_t)(dash - text) : strlen(text);
	struct range range;
	if (len >= sizeof(first))
		return -ERANGE;
	memcpy(first, text, len);
	first[len] = '\0';
	if (str_to_u32(first, &range.first) < 0)
		return -EINVAL;
	range.last = range.first;
	if (dash && str_to_u32(dash + 1, &range.last) < 0)
		return -EINVAL;
	if (range.first == 0 || range.last > UINT16_MAX || range.first > range.last)
		return -ERANGE;
	*ret = range;
	return 0;
}

static int parse_host_ip(char *text, struct network_port *port)
{
	size_t len = strlen(text);
	if (len == 0)
		return 0;
	port->host_ip_set = true;
	port->host_family = AF_INET;
	if (text[0] == '[' && text[len - 1] == ']') {
		port->host_family = AF_INET6;
		text[len - 1] = '\0';
		text++;
	}
	return inet_pton(port->host_family, text, &port->host_ip) == 1 ? 0 : -EINVAL;
}

bool port_is_at_one(const struct network_port *port)
{
	return port->host_ip_set &&
	       (port->host_family == AF_INET ? port->host_ip.v4.s_addr != htonl(INADDR_ANY)
					     : !IN6_IS_ADDR_UNSPECIFIED(&port->host_ip.v6));
}

bool port_is_loopback6(const struct network_port *port)
{
	return port->host_ip_set && port->host_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&port->host_ip.v6);
}

/* Whether both would listen on some same address: no address is every one, and so is 0.0.0.0 or ::
 * within its family. */
static bool overlap(const struct network_port *a, const struct network_port *b)
{
	static const uint8_t zero[16];
	if (a->protocol != b->protocol || a->host_port != b->host_port)
		return false;
	if (!a->host_ip_set || !b->host_ip_set)
		return true;
	if (a->host_family != b->host_family)
		return false;
	size_t len = a->host_family == AF_INET ? 4 : 16;
	return memcmp(&a->host_ip, &b->host_ip, len) == 0 || memcmp(&a->host_ip, zero, len) == 0 ||
	       memcmp(&b->host_ip, zero, len) == 0;
}

static int refuse_overlap(const char *text, const struct network_port *ports, size_t count,
			  const struct network_port *first, const struct range *host,
			  struct masu_error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct network_port wanted = *first;
		if (ports[i].host_port < host->first || ports[i].host_port > host->last)
			continue;
		wanted.host_port = ports[i].host_port;
		if (ports[i].host_port && overlap(&ports[i], &wanted))
			return error_set(err, -EINVAL,
					 "invalid publish \"%s\": host port %u/%s is published "
					 "twice",
					 text, wanted.host_port,
					 port_protocol_name(wanted.protocol));
	}
	return 0;
}

/* Splits "[ip:][host:]container[/protocol]" in place; the absent parts are "" or, for the host
 * port of a lone container port, NULL. */
static int split(char *spec, char **ret_ip, char **ret_host, char **ret_container,
		 const char **ret_protocol)
{
	static char none[] = "";
	char *slash = strrchr(spec, '/');
	*ret_protocol = "tcp";
	if (slash) {
		*slash = '\0';
		*ret_protocol = slash + 1;
	}
	*ret_ip = *ret_host = none;
	char *colon = strrchr(spec, ':');
	*ret_container = colon ? colon + 1 : spec;
	if (!colon)
		return 0;
	*colon = '\0';
	colon = strrchr(spec, ':');
	/* The colons of an IPv6 address stand within brackets. */
	if (colon && strchr(colon, ']'))
		return -EINVAL;
	*ret_host = colon ? colon + 1 : spec;
	if (colon) {
		*colon = '\0';
		*ret_ip = spec;
		if (!*spec || (*spec != '[' && strchr(spec, ':')))
			return -EINVAL;
	}
	return 0;
}

static const char *const mode_names[] = {
	[NETWORK_MODE_DEFAULT] = "", [NETWORK_MODE_NAT] = "nat",   [NETWORK_MODE_DIRECT] = "direct",
	[NETWORK_MODE_BPF] = "bpf",  [NETWORK_MODE_AUTO] = "auto",
};

enum network_mode network_port_mode(const struct network_port *port, int family)
{
	unsigned direct = family == AF_INET ? NETWORK_DIRECT_V4 : NETWORK_DIRECT_V6;
	return port->direct & direct ? NETWORK_MODE_DIRECT
	       : port->bpf	     ? NETWORK_MODE_BPF
				     : NETWORK_MODE_NAT;
}

const char *network_mode_name(enum network_mode mode)
{
	return mode_names[mode];
}

int network_mode_parse(const char *name, enum network_mode *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++) {
		if (streq(name, mode_names[i])) {
			*ret = (enum network_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* What stands in the fields of the long form, or behind the short one. */
struct fields {
	const char *published, *target, *protocol, *mode;
};

static int parse_fields(char *text, bool whole, struct fields *ret)
{
	for (char *field; (field = strsep(&text, ","));) {
		char *value = strchr(field, '=');
		if (!value)
			return -EINVAL;
		*value++ = '\0';
		const char **at = streq(field, "mode")	      ? &ret->mode
				  : !whole		      ? NULL
				  : streq(field, "published") ? &ret->published
				  : streq(field, "target")    ? &ret->target
				  : streq(field, "protocol")  ? &ret->protocol
							      : NULL;
		if (!at || !*value)
			return -EINVAL;
		*at = value;
	}
	return 0;
}

/* @text without what says how: docker's short form in @ret, and the mode. Docker's `run` takes the
 * long form of `service create` as well, and does nothing with its mode. */
static int parse_mode(const char *text, char ret[SPEC_MAX], enum network_mode *ret_mode,
		      struct masu_error *err)
{
	char copy[SPEC_MAX];
	struct fields fields = { .protocol = "tcp" };
	if (str_format(copy, sizeof(copy), "%s", text) < 0)
		return error_set(err, -EINVAL, "invalid publish \"%.32s...\": too long", text);
	size_t first = strcspn(copy, ",");
	bool whole = memchr(copy, '=', first) != NULL, more = copy[first];
	copy[first] = whole && more ? ',' : '\0';
	if ((whole || more) && parse_fields(whole ? copy : copy + first + 1, whole, &fields) < 0)
		return error_set(err, -EINVAL, "invalid publish \"%s\": known fields are %s", text,
				 whole ? "published, target, protocol and mode" : "mode");
	if (whole && !fields.target)
		return error_set(err, -EINVAL, "invalid publish \"%s\": target is missing", text);
	int r = !whole ? str_format(ret, SPEC_MAX, "%s", copy)
		: fields.published
			? str_format(ret, SPEC_MAX, "%s:%s/%s", fields.published, fields.target,
				     fields.protocol)
			: str_format(ret, SPEC_MAX, "%s/%s", fields.target, fields.protocol);
	bool swarm = whole && fields.mode &&
		     (streq(fields.mode, "host") || streq(fields.mode, "ingress"));
	*ret_mode = NETWORK_MODE_DEFAULT;
	if (r == 0 && fields.mode && !swarm && network_mode_parse(fields.mode, ret_mode) < 0)
		return error_set(err, -EINVAL,
				 "invalid publish \"%s\": mode is direct, bpf, nat or auto", text);
	return r < 0 ? error_set(err, -EINVAL, "invalid publish \"%s\": too long", text) : 0;
}

static int parse_spec(const char *text, struct network_port *port, struct range *host,
		      struct range *container, struct masu_error *err)
{
	char spec[SPEC_MAX], *ip, *host_text, *container_text, lower[8] = "";
	const char *protocol;
	if (str_format(spec, sizeof(spec), "%s", text) < 0)
		return error_set(err, -EINVAL, "invalid publish \"%.32s...\": too long", text);
	if (split(spec, &ip, &host_text, &container_text, &protocol) < 0)
		return error_set(err, -EINVAL, "invalid publish \"%s\": not [ip:][host:]container",
				 text);
	for (size_t i = 0; i + 1 < sizeof(lower) && protocol[i]; i++)
		lower[i] = protocol[i] >= 'A' && protocol[i] <= 'Z' ? (char)(protocol[i] + 32)
								    : protocol[i];
	if (strlen(protocol) >= sizeof(lower) || port_protocol_parse(lower, &port->protocol) < 0)
		return error_set(err, -EINVAL, "Invalid proto: %s (tcp, udp or sctp)", protocol);
	if (!*container_text)
		return error_set(err, -EINVAL, "No port specified: %s<empty>", text);
	if (parse_range(container_text, container) < 0)
		return error_set(err, -EINVAL, "Invalid containerPort: %s (1 to 65535)",
				 container_text);
	if (*host_text && parse_range(host_text, host) < 0)
		return error_set(err, -EINVAL,
				 "Invalid hostPort: %s (1 to 65535; leave it out for a free one)",
				 host_text);
	if (parse_host_ip(ip, port) < 0)
		return error_set(err, -EINVAL, "Invalid ip address: %s", ip);
	if (*host_text && host->last - host->first != container->last - container->first)
		return error_set(err, -EINVAL,
				 "Invalid ranges specified for container and host Ports: %s and %s",
				 container_text, host_text);
	return 0;
}

int network_port_add(struct arena *arena, const struct network_port *port,
		     struct network_port **ports, size_t *count, struct masu_error *err)
{
	struct network_port *array = *ports;
	if (!array || *count + 1 > room_for(*count)) {
		array = arena_array(arena, struct network_port, room_for(*count + 1));
		if (!array)
			return error_errno(err, -ENOMEM, "published ports");
		if (*count)
			memcpy(array, *ports, *count * sizeof(*array));
	}
	array[(*count)++] = *port;
	*ports = array;
	return 0;
}

int network_port_parse(struct arena *arena, const char *text, struct network_port **ports,
		       size_t *count, struct masu_error *err)
{
	struct network_port port = { 0 };
	struct range host = { 0 }, container = { 0 };
	char spec[SPEC_MAX];
	enum network_mode mode = NETWORK_MODE_DEFAULT;
	int r = parse_mode(text, spec, &mode, err);
	if (r == 0)
		r = parse_spec(spec, &port, &host, &container, err);
	port.mode = mode;
	if (r == 0 && mode == NETWORK_MODE_NAT && port_is_loopback6(&port))
		r = error_set(err, -EINVAL,
			      "cannot publish \"%s\" with mode=nat: the kernel does not translate "
			      "connections to ::1 so; leave the mode out",
			      text);
	if (r == 0 && host.first)
		r = refuse_overlap(spec, *ports, *count, &port, &host, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; r == 0 && i <= container.last - container.first; i++) {
		port.container_port = (uint16_t)(container.first + i);
		port.host_port = (uint16_t)(host.first ? host.first + i : 0);
		r = network_port_add(arena, &port, ports, count, err);
	}
	return r;
}

int network_port_name_parse(const char *name, struct network_port *ret)
{
	char number[8];
	uint32_t value;
	enum network_protocol protocol = NETWORK_TCP;
	const char *slash = strchr(name, '/');
	int len = slash ? (int)(slash - name) : (int)strnlen(name, sizeof(number));
	if (str_format(number, sizeof(number), "%.*s", len, name) < 0 ||
	    str_to_u32(number, &value) < 0 || value == 0 || value > UINT16_MAX ||
	    (slash && port_protocol_parse(slash + 1, &protocol) < 0))
		return -EINVAL;
	ret->container_port = (uint16_t)value;
	ret->protocol = protocol;
	return 0;
}
