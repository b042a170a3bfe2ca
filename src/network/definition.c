#include "network/definition.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

int cidr_parse(const char *text, int family, void *ret_address, uint8_t *ret_prefix)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	uint32_t prefix;
	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    str_to_u32(slash + 1, &prefix) < 0 || prefix == 0 ||
	    prefix > (family == AF_INET ? 32 : 128))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (inet_pton(family, address, ret_address) != 1)
		return -EINVAL;
	*ret_prefix = (uint8_t)prefix;
	return 0;
}

void cidr_mask(int family, void *address, uint8_t prefix)
{
	uint8_t *bytes = address;
	unsigned bits = family == AF_INET ? 32 : 128;
	for (unsigned bit = prefix; bit < bits; bit++)
		bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static bool is_in(int family, const void *address, const void *net, uint8_t prefix)
{
	struct in6_addr a = { 0 }, b = { 0 };
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	memcpy(&a, address, size);
	memcpy(&b, net, size);
	cidr_mask(family, &a, prefix);
	cidr_mask(family, &b, prefix);
	return memcmp(&a, &b, size) == 0;
}

bool cidr_overlap(int family, const void *a, uint8_t a_prefix, const void *b, uint8_t b_prefix)
{
	return is_in(family, a, b, a_prefix < b_prefix ? a_prefix : b_prefix);
}

static int parse_reserved(const struct json *addresses, bool v6, struct definition *definition)
{
	json_foreach (item, addresses) {
		const char *text;
		size_t *count = v6 ? &definition->reserved6_count : &definition->reserved4_count;
		if (!json_string(item, &text) || *count == DEFINITION_RESERVED_MAX)
			return -EINVAL;
		void *at = v6 ? (void *)&definition->reserved6[*count]
			      : &definition->reserved4[*count];
		if (inet_pton(v6 ? AF_INET6 : AF_INET, text, at) != 1)
			return -EINVAL;
		(*count)++;
	}
	return 0;
}

static int parse_config6(const char *subnet, const char *gateway, const char *range,
			 struct definition *definition)
{
	struct cidr6 *all = &definition->range6;
	int r = cidr_parse(subnet, AF_INET6, &all->address, &definition->prefix6);
	if (r < 0 || inet_pton(AF_INET6, gateway, &definition->gateway6) != 1 ||
	    !is_in(AF_INET6, &definition->gateway6, &all->address, definition->prefix6))
		return -EINVAL;
	all->prefix = definition->prefix6;
	if (range && (cidr_parse(range, AF_INET6, &all->address, &all->prefix) < 0 ||
		      all->prefix < definition->prefix6 ||
		      !is_in(AF_INET6, &all->address, &definition->gateway6, definition->prefix6)))
		return -EINVAL;
	cidr_mask(AF_INET6, &all->address, all->prefix);
	return 0;
}

static int parse_config4(const char *subnet, const char *gateway, const char *range,
			 struct definition *definition)
{
	struct cidr4 *all = &definition->range4;
	int r = cidr_parse(subnet, AF_INET, &all->address, &definition->prefix4);
	if (r < 0 || definition->prefix4 < 8 || definition->prefix4 > 30 ||
	    inet_pton(AF_INET, gateway, &definition->gateway4) != 1 ||
	    !is_in(AF_INET, &definition->gateway4, &all->address, definition->prefix4))
		return -EINVAL;
	all->prefix = definition->prefix4;
	if (range && (cidr_parse(range, AF_INET, &all->address, &all->prefix) < 0 ||
		      all->prefix < definition->prefix4 ||
		      !is_in(AF_INET, &all->address, &definition->gateway4, definition->prefix4)))
		return -EINVAL;
	cidr_mask(AF_INET, &all->address, all->prefix);
	return 0;
}

static int parse_config(const struct json *config, struct definition *definition)
{
	const char *subnet, *gateway, *range = NULL;
	if (!json_string(json_get(config, "Subnet"), &subnet) ||
	    !json_string(json_get(config, "Gateway"), &gateway))
		return -EINVAL;
	json_string(json_get(config, "IPRange"), &range);
	bool v6 = strchr(subnet, ':') != NULL;
	int r = v6 ? parse_config6(subnet, gateway, range, definition)
		   : parse_config4(subnet, gateway, range, definition);
	return r < 0 ? r : parse_reserved(json_get(config, "AuxiliaryAddresses"), v6, definition);
}

/* Go's strconv.ParseBool, as far as docker's users write it. */
static int parse_flag(const struct json *options, const char *key, bool *ret)
{
	const struct json *value = json_get(options, key);
	const char *text;
	if (!value)
		return 0;
	if (!json_string(value, &text))
		return -EINVAL;
	bool yes = streq(text, "true") || streq(text, "1");
	if (!yes && !streq(text, "false") && !streq(text, "0"))
		return -EINVAL;
	*ret = yes;
	return 0;
}

static const char *const drivers[] = { [KIND_BRIDGE] = "bridge",
				       [KIND_ROUTED] = "routed",
				       [KIND_MACVLAN] = "macvlan",
				       [KIND_IPVLAN] = "ipvlan" };

const char *definition_driver(enum definition_kind kind)
{
	return drivers[kind];
}

static int parse_driver(const struct json *document, enum definition_kind *ret)
{
	const char *text = drivers[KIND_BRIDGE];
	json_string(json_get(document, "Driver"), &text);
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (!streq(text, drivers[i]))
			continue;
		*ret = (enum definition_kind)i;
		return 0;
	}
	return -EINVAL;
}

/* One of the words, which are the kernel's numbers from 0 on. */
static int parse_word(const struct json *options, const char *key, const char *const *words,
		      uint16_t *ret)
{
	const char *text = words[0];
	json_string(json_get(options, key), &text);
	for (uint16_t i = 0; words[i]; i++) {
		if (!streq(text, words[i]))
			continue;
		*ret = i;
		return 0;
	}
	return -EINVAL;
}

/* What only one kind has. */
static int parse_kind(const struct json *options, struct definition *definition)
{
	/* IPVLAN_MODE_L2, _L3, _L3S; 0, IPVLAN_F_PRIVATE, IPVLAN_F_VEPA. */
	static const char *const modes[] = { "l2", "l3", "l3s", NULL };
	static const char *const flags[] = { "bridge", "private", "vepa", NULL };
	int r = 0;
	if (definition->kind == KIND_IPVLAN)
		r = parse_word(options, OPTION_IPVLAN, modes, &definition->ipvlan_mode);
	if (r == 0 && definition->kind == KIND_IPVLAN)
		r = parse_word(options, OPTION_FLAG, flags, &definition->ipvlan_flags);
	if (definition->kind != KIND_ROUTED)
		return r < 0 ? r : str_format(definition->ports, IFNAMSIZ, "veth");
	/* Rules tell its containers from others by this. */
	return *definition->id ? str_format(definition->ports, IFNAMSIZ, "rt%.6s", definition->id)
			       : -EINVAL;
}

static int parse_options(const struct json *options, struct definition *definition)
{
	const char *text;
	bool icc = true, masquerade = true;
	const char *link = definition_has_host(definition) ? OPTION_BRIDGE : OPTION_PARENT;
	if (!json_string(json_get(options, link), &text) || !*text || strchr(text, '/') ||
	    str_format(definition->bridge, sizeof(definition->bridge), "%s", text) < 0)
		return -EINVAL;
	if (json_get(options, OPTION_MTU) && (!json_string(json_get(options, OPTION_MTU), &text) ||
					      str_to_u32(text, &definition->mtu) < 0 ||
					      definition->mtu < 68 || definition->mtu > 65535))
		return -EINVAL;
	text = "eth";
	json_string(json_get(options, OPTION_PREFIX), &text);
	/* Two digits of number follow. */
	if (!*text || strspn(text, "abcdefghijklmnopqrstuvwxyz") != strlen(text) ||
	    str_format(definition->interface, sizeof(definition->interface) - 2, "%s", text) < 0)
		return -EINVAL;
	if (json_string(json_get(options, OPTION_BINDING), &text) &&
	    inet_pton(AF_INET, text, &definition->binding4) != 1)
		return -EINVAL;
	if (parse_flag(options, OPTION_ICC, &icc) < 0 ||
	    parse_flag(options, OPTION_MASQUERADE, &masquerade) < 0)
		return -EINVAL;
	definition->isolated = !icc;
	definition->no_masquerade = !masquerade;
	return parse_kind(options, definition);
}

int definition_parse(const struct json *document, struct definition *ret)
{
	const char *text = "";
	struct definition definition = { 0 };
	memcpy(definition.name, ret->name, sizeof(definition.name));
	json_string(json_get(document, "Id"), &text);
	if (str_format(definition.id, sizeof(definition.id), "%s", text) < 0)
		return -EINVAL;
	json_bool(json_get(document, "Internal"), &definition.internal);
	int r = parse_driver(document, &definition.kind);
	r = r < 0 ? r : parse_options(json_get(document, "Options"), &definition);
	json_foreach (config, json_get(json_get(document, "IPAM"), "Config"))
		r = r < 0 ? r : parse_config(config, &definition);
	/* The IPv4 address's host part ends the IPv6 address. */
	if (r < 0 || !definition.prefix4 ||
	    (definition.prefix6 &&
	     (definition.prefix6 < 8 || definition.range6.prefix > 96 + definition.prefix4)))
		return -EINVAL;
	*ret = definition;
	return 0;
}

int definition_load(int root_fd, const char *name, struct definition *ret, struct masu_error *err)
{
	char path[96];
	char *text;
	size_t len;
	_cleanup_arena_ struct arena arena;
	struct definition definition = { 0 };
	const struct json *document;
	arena_init(&arena, 1u << 20);
	if (str_format(path, sizeof(path), "networks/%s.json", name) < 0 ||
	    str_format(definition.name, sizeof(definition.name), "%s", name) < 0)
		return error_set(err, -ENAMETOOLONG, "network %s: the name is too long", name);
	int r = fs_read_arena(root_fd, path, DEFINITION_MAX_BYTES, &arena, &text, &len);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return error_errno(err, r, "network %s: cannot read %s", name, path);
	r = json_parse(&arena, text, len, &document, err);
	if (r < 0)
		return error_wrap(err, "network %s: %s", name, path);
	r = definition_parse(document, &definition);
	if (r < 0)
		return error_set(err, -EINVAL,
				 "network %s: %s lacks a valid Subnet and Gateway or "
				 "Options." OPTION_BRIDGE,
				 name, path);
	*ret = definition;
	return 0;
}
