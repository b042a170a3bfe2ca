/* Name service, extra hosts, exposed ports and hardware addresses. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/parse.h"

static bool is_address(const char *text)
{
	struct in6_addr scratch;
	return inet_pton(AF_INET, text, &scratch) == 1 || inet_pton(AF_INET6, text, &scratch) == 1;
}

/* HOST:IP or HOST=IP, kept as HOST:IP; IPv6 addresses may stand in brackets. */
int parse_add_host(struct arena *arena, const char *value, const char **ret, struct masu_error *err)
{
	static const char flag[] = "--add-host";
	size_t name = strcspn(value, "=");
	if (!value[name])
		name = strcspn(value, ":");
	if (name == 0 || !value[name] || !value[name + 1])
		return parse_refuse(err, flag, value, "bad format for add-host: \"%.200s\"", value);
	const char *address = value + name + 1;
	size_t len = strlen(address);
	if (*address == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	char *copy = arena_strndup(arena, address, len);
	char *entry = copy ? arena_printf(arena, "%.*s:%s", (int)name, value, copy) : NULL;
	if (!entry)
		return error_set(err, -ENOMEM, "out of memory");
	if (!is_address(copy) && !streq(copy, "host-gateway"))
		return parse_refuse(err, flag, value, "invalid IP address in add-host: \"%.100s\"",
				    copy);
	/* The name goes into a file of lines: nothing but a word may stand there. */
	if (strcspn(value, " \t\r\n#") < name)
		return parse_refuse(err, flag, value, "bad format for add-host: \"%.200s\"", value);
	*ret = entry;
	return 0;
}

int parse_dns_server(const char *value, struct masu_error *err)
{
	if (is_address(value))
		return 0;
	return parse_refuse(err, "--dns", value, "IP address is not correctly formatted: %.100s",
			    value);
}

/* Dot-separated labels of letters, digits, "-" and "_"; "." alone is docker's "no search". */
int parse_dns_search(const char *value, struct masu_error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *p = value;
	size_t len = strlen(value);
	bool valid = len > 0 && len <= 255;
	if (streq(value, "."))
		return 0;
	while (valid && *p) {
		size_t label = strspn(p, allowed);
		valid = label > 0 && label <= 63 && *p != '-' && p[label - 1] != '-';
		p += label;
		if (valid && *p)
			valid = *p++ == '.';
	}
	return valid ? 0
		     : parse_refuse(err, "--dns-search", value, "%.200s is not a valid domain",
				    value);
}

static bool is_port(const char *text, size_t len, uint32_t *ret)
{
	char digits[8];
	return str_format(digits, sizeof(digits), "%.*s", (int)(len < 32 ? len : 32), text) == 0 &&
	       str_to_u32(digits, ret) == 0 && *ret >= 1 && *ret <= 65535;
}

/* Marks the ports of @list that have the suffix of @protocol: ranges are too long for a search per
 * port. */
static void mark_listed(const struct cli_list *list, const char *protocol, bool seen[65536])
{
	for (size_t i = 0; i < list->count; i++) {
		const char *slash = strchr(list->items[i], '/');
		uint32_t port;
		if (streq(slash, protocol) &&
		    is_port(list->items[i], (size_t)(slash - list->items[i]), &port))
			seen[port] = true;
	}
}

int parse_expose(struct arena *arena, const char *value, struct cli_list *ret,
		 struct masu_error *err)
{
	uint32_t first, last;
	const char *slash = strchr(value, '/'), *dash = strchr(value, '-');
	size_t len = slash ? (size_t)(slash - value) : strlen(value);
	if (slash && !streq(slash, "/tcp") && !streq(slash, "/udp") && !streq(slash, "/sctp"))
		return error_set(err, -EINVAL, "invalid port format for --expose: %.100s", value);
	bool valid = false;
	if (dash && (size_t)(dash - value) < len) {
		valid = is_port(value, (size_t)(dash - value), &first) &&
			is_port(dash + 1, len - (size_t)(dash + 1 - value), &last) && first <= last;
	} else {
		valid = is_port(value, len, &first);
		last = first;
	}
	if (!valid)
		return error_set(err, -EINVAL,
				 "invalid range format for --expose: %.100s, error: ports are "
				 "numbers from 1 to 65535, first-last",
				 value);
	bool seen[65536] = { false };
	const char *protocol = slash ? slash : "/tcp";
	mark_listed(ret, protocol, seen);
	for (uint32_t port = first; port <= last; port++) {
		if (seen[port])
			continue;
		const char *item = arena_printf(arena, "%u%s", port, protocol);
		if (!item || cli_list_add(arena, ret, item) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

int parse_mac_address(const char *value, struct masu_error *err)
{
	unsigned byte[6];
	char end;
	bool valid = strlen(value) == 17 && strspn(value, "0123456789abcdefABCDEF:") == 17 &&
		     sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2],
			    &byte[3], &byte[4], &byte[5], &end) == 6;
	return valid ? 0 : error_set(err, -EINVAL, "%.100s is not a valid mac address", value);
}
