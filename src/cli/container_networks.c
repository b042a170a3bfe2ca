/* --network in its three forms, and --ip, --ip6, --mac-address and --network-alias, which are about
 * the first of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/container_options.h"
#include "cli/parse.h"

#define FLAG "--network"

struct parse {
	struct arena *arena;
	const char *value; /* as typed */
	struct network_config *network;
	struct cli_list aliases;
	bool detailed; /* more than a name */
	struct masu_error *err;
};

static int check_address(const char *flag, const char *text, int family, struct masu_error *err)
{
	struct in6_addr scratch;
	return inet_pton(family, text, &scratch) == 1
		       ? 0
		       : error_set(err, -EINVAL,
				   "invalid argument \"%.60s\" for \"%s\" flag: not an "
				   "IPv%d address",
				   text, flag, family == AF_INET ? 4 : 6);
}

static int set_priority(struct parse *p, const char *text)
{
	int64_t number;
	if (str_to_i64(text, &number) < 0 || number < INT32_MIN || number > INT32_MAX)
		return parse_refuse(p->err, FLAG, p->value, "invalid gw-priority: %.40s", text);
	p->network->gw_priority = (int)number;
	return 0;
}

static int set_key(struct parse *p, const char *key, const char *value)
{
	struct network_config *network = p->network;
	p->detailed = true;
	if (streq(key, "alias"))
		return cli_list_add(p->arena, &p->aliases, value);
	if (streq(key, "ip") && strchr(value, ':'))
		key = "ip6"; /* podman's */
	if (streq(key, "ip")) {
		network->ip = value;
		return check_address(FLAG, value, AF_INET, p->err);
	}
	if (streq(key, "ip6")) {
		network->ip6 = value;
		return check_address(FLAG, value, AF_INET6, p->err);
	}
	if (streq(key, "mac-address") || streq(key, "mac")) {
		network->mac_address = value;
		return parse_mac_address(value, p->err);
	}
	if (streq(key, "gw-priority"))
		return set_priority(p, value);
	if (streq(key, "link-local-ip") || streq(key, "driver-opt"))
		return parse_refuse(p->err, FLAG, p->value, "%s is not supported; use ip or ip6",
				    key);
	return parse_refuse(p->err, FLAG, p->value, "invalid field: %.60s", key);
}

/* "key=value,key=value"; the name is one of the keys unless there is one already. */
static int parse_fields(struct parse *p, const char *text)
{
	struct cli_list fields = { 0 };
	if (parse_csv(p->arena, text, &fields) < 0)
		return parse_refuse(p->err, FLAG, p->value, "invalid field");
	for (size_t i = 0; i < fields.count; i++) {
		const char *equals = strchr(fields.items[i], '=');
		if (!equals)
			return parse_refuse(p->err, FLAG, p->value, "invalid field: %.60s",
					    fields.items[i]);
		const char *key = arena_strndup(p->arena, fields.items[i],
						(size_t)(equals - fields.items[i]));
		if (!key)
			return error_set(p->err, -ENOMEM, "out of memory");
		if (streq(key, "name") && !p->network->name) {
			p->network->name = equals + 1;
			continue;
		}
		int r = set_key(p, key, equals + 1);
		if (r < 0)
			return r == -ENOMEM ? error_set(p->err, r, "out of memory") : r;
	}
	return p->network->name && *p->network->name
		       ? 0
		       : parse_refuse(p->err, FLAG, p->value, "network name is not set");
}

/* "NAME", docker's "name=NAME,ip=…" and podman's "NAME:ip=…". */
static int parse_one(struct parse *p)
{
	/* A CNI network's own name has one. */
	const char *name = str_after(p->value, "cni:");
	const char *colon = strchr(name ? name : p->value, ':'), *equals = strchr(p->value, '=');
	int r = 0;
	if (equals && colon && colon < equals && !str_after(p->value, "container:")) {
		p->network->name = arena_strndup(p->arena, p->value, (size_t)(colon - p->value));
		r = p->network->name ? parse_fields(p, colon + 1)
				     : error_set(p->err, -ENOMEM, "out of memory");
	} else if (equals && (!colon || equals < colon)) {
		r = parse_fields(p, p->value);
	} else {
		p->network->name = p->value;
	}
	if (r == 0 && streq(p->network->name, "default"))
		p->network->name = "bridge";
	p->network->aliases = p->aliases.items;
	return r;
}

static bool is_user_defined(const char *name)
{
	return !str_after(name, "container:") && !str_after(name, "cni:") &&
	       !streq(name, "bridge") && !streq(name, "host") && !streq(name, "none");
}

/* The options that existed before there were several networks. */
static int add_options(struct parse *first, const struct container_options *o)
{
	struct network_config *network = first->network;
	int r = 0;
	if ((o->ip && network->ip) || (o->ip6 && network->ip6))
		return error_set(first->err, -EINVAL,
				 "conflicting options: cannot specify both --ip and per-network IP "
				 "address");
	if (o->mac_address && network->mac_address)
		return error_set(first->err, -EINVAL,
				 "conflicting options: cannot specify both --mac-address and "
				 "per-network MAC address");
	if (o->network_alias.count && first->aliases.count)
		return error_set(first->err, -EINVAL,
				 "conflicting options: cannot specify both --network-alias and "
				 "per-network alias");
	if (o->network_alias.count && !is_user_defined(network->name))
		return error_set(first->err, -EINVAL,
				 "network-scoped aliases are only supported for user-defined "
				 "networks");
	if (o->ip && (r = check_address("--ip", o->ip, AF_INET, first->err)) == 0)
		network->ip = o->ip;
	if (r == 0 && o->ip6 && (r = check_address("--ip6", o->ip6, AF_INET6, first->err)) == 0)
		network->ip6 = o->ip6;
	if (r == 0 && o->mac_address && (r = parse_mac_address(o->mac_address, first->err)) == 0)
		network->mac_address = o->mac_address;
	if (r == 0 && o->network_alias.count)
		network->aliases = o->network_alias.items;
	first->detailed |= o->ip || o->ip6 || o->network_alias.count;
	return r;
}

int container_networks_fill(struct arena *arena, const struct container_options *o,
			    struct container_config *c, struct masu_error *err)
{
	size_t count = o->network.count ? o->network.count : 1;
	struct network_config *networks = arena_array(arena, struct network_config, count + 1);
	bool detailed = count > 1;
	if (!networks)
		return error_set(err, -ENOMEM, "out of memory");
	c->network_options = o->network_opt.items;
	for (size_t i = 0; i < count; i++) {
		struct parse p = { .arena = arena,
				   .value = o->network.count ? o->network.items[i] : "bridge",
				   .network = &networks[i],
				   .err = err };
		int r = parse_one(&p);
		if (r == 0 && i == 0)
			r = add_options(&p, o);
		if (r < 0)
			return r;
		detailed |= p.detailed;
	}
	bool is_default = streq(networks[0].name, "bridge");
	c->network = is_default ? NULL : networks[0].name;
	c->mac_address = networks[0].mac_address;
	/* A mere name needs no list. */
	if (detailed) {
		c->networks = networks;
		c->network_count = count;
	}
	return 0;
}
