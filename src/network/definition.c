#include "network/definition.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "json/json.h"
#include "network/link.h"
#include "network/network.h"
#include "sys/fs.h"

#define DEFINITION_MAX_BYTES 8192
#define BRIDGES_MAX	     100
#define BRIDGE_OPTION	     "com.docker.network.bridge.name"
#define MTU_OPTION	     "com.docker.network.driver.mtu"

static int parse_cidr(const char *text, int family, void *ret_address, uint8_t *ret_prefix)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	uint32_t prefix;
	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    str_to_u32(slash + 1, &prefix) < 0 || prefix > 128)
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (inet_pton(family, address, ret_address) != 1)
		return -EINVAL;
	*ret_prefix = (uint8_t)prefix;
	return 0;
}

static int parse_config(const struct json *config, struct definition *definition)
{
	const char *subnet, *gateway;
	if (!json_string(json_get(config, "Subnet"), &subnet) ||
	    !json_string(json_get(config, "Gateway"), &gateway))
		return -EINVAL;
	bool v6 = strchr(subnet, ':') != NULL;
	struct in6_addr unused;
	if (v6) {
		int r = parse_cidr(subnet, AF_INET6, &unused, &definition->prefix6);
		if (r < 0 || definition->prefix6 % 8 || definition->prefix6 < 8 ||
		    definition->prefix6 > 96)
			return -EINVAL;
		return inet_pton(AF_INET6, gateway, &definition->gateway6) == 1 ? 0 : -EINVAL;
	}
	int r = parse_cidr(subnet, AF_INET, &unused, &definition->prefix4);
	if (r < 0 || definition->prefix4 < 8 || definition->prefix4 > 30)
		return -EINVAL;
	return inet_pton(AF_INET, gateway, &definition->gateway4) == 1 ? 0 : -EINVAL;
}

static int parse_options(const struct json *options, struct definition *definition)
{
	const char *bridge, *mtu;
	if (!json_string(json_get(options, BRIDGE_OPTION), &bridge) || !*bridge ||
	    strchr(bridge, '/') ||
	    str_format(definition->bridge, sizeof(definition->bridge), "%s", bridge) < 0)
		return -EINVAL;
	if (json_get(options, MTU_OPTION) && (!json_string(json_get(options, MTU_OPTION), &mtu) ||
					      str_to_u32(mtu, &definition->mtu) < 0 ||
					      definition->mtu < 68 || definition->mtu > 65535))
		return -EINVAL;
	return 0;
}

int definition_load(int root_fd, const char *name, struct definition *ret, struct masu_error *err)
{
	char path[96];
	char text[DEFINITION_MAX_BYTES];
	_cleanup_arena_ struct arena arena;
	struct definition definition = { 0 };
	const struct json *document;
	arena_init(&arena, 1u << 20);
	if (str_format(path, sizeof(path), "networks/%s.json", name) < 0 ||
	    str_format(definition.name, sizeof(definition.name), "%s", name) < 0)
		return error_set(err, -ENAMETOOLONG, "network %s: the name is too long", name);
	int r = fs_read_small(root_fd, path, text, sizeof(text));
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return error_errno(err, r, "network %s: cannot read %s", name, path);
	r = json_parse(&arena, text, strlen(text), &document, err);
	if (r < 0)
		return error_wrap(err, "network %s: %s", name, path);
	r = parse_options(json_get(document, "Options"), &definition);
	json_foreach (config, json_get(json_get(document, "IPAM"), "Config"))
		r = r < 0 ? r : parse_config(config, &definition);
	if (r < 0 || !definition.prefix4)
		return error_set(err, -EINVAL,
				 "network %s: %s lacks a valid Subnet and Gateway or "
				 "Options." BRIDGE_OPTION,
				 name, path);
	*ret = definition;
	return 0;
}

struct subnet {
	uint32_t address; /* host order */
	uint8_t prefix;
	bool taken;
};

static int note_overlap(void *opaque, struct in_addr destination, uint8_t prefix, int interface)
{
	struct subnet *subnet = opaque;
	uint8_t common = prefix < subnet->prefix ? prefix : subnet->prefix;
	/* The default route overlaps everything and means nothing. */
	if (prefix == 0)
		return 0;
	if (((ntohl(destination.s_addr) ^ subnet->address) >> (32 - common)) == 0)
		subnet->taken = true;
	return 0;
}

static int choose_subnet(int route_fd, struct definition *definition, struct masu_error *err)
{
	for (unsigned i = 0; i < 15 + 16; i++) {
		struct subnet subnet = { .prefix = i < 15 ? 16 : 20 };
		subnet.address = i < 15 ? (172u << 24 | (17 + i) << 16)
					: (192u << 24 | 168u << 16 | (i - 15) << 12);
		int r = link_each_route4(route_fd, note_overlap, &subnet);
		if (r < 0)
			return error_errno(err, r, "cannot read the host's routes");
		if (subnet.taken)
			continue;
		definition->gateway4.s_addr = htonl(subnet.address | 1);
		definition->prefix4 = subnet.prefix;
		return 0;
	}
	return error_set(
		err, -EADDRNOTAVAIL,
		"no free subnet for network %s: the host's routes overlap 172.17.0.0/16 to "
		"172.31.0.0/16 and 192.168.0.0/16; write networks/%s.json with another",
		definition->name, definition->name);
}

static int choose_prefix6(struct definition *definition, struct masu_error *err)
{
	struct in6_addr *gateway = &definition->gateway6;
	/* RFC 4193: fd, 40 random bits, a subnet number (0). */
	gateway->s6_addr[0] = 0xfd;
	if (getrandom(gateway->s6_addr + 1, 5, 0) != 5)
		return error_errno(err, -errno, "random IPv6 prefix");
	gateway->s6_addr[15] = 1;
	definition->prefix6 = 64;
	return 0;
}

static void write_config(struct json_writer *w, int family, const void *gateway, uint8_t prefix)
{
	char text[INET6_ADDRSTRLEN], cidr[INET6_ADDRSTRLEN + 4];
	uint8_t network[16] = { 0 };
	for (unsigned bit = 0; bit < prefix; bit++)
		network[bit / 8] |=
			(uint8_t)(((const uint8_t *)gateway)[bit / 8] & (0x80 >> bit % 8));
	inet_ntop(family, network, text, sizeof(text));
	(void)str_format(cidr, sizeof(cidr), "%s/%u", text, prefix);
	inet_ntop(family, gateway, text, sizeof(text));
	json_begin_object(w);
	json_field_string(w, "Subnet", cidr);
	json_field_string(w, "Gateway", text);
	json_end_object(w);
}

static int save(int root_fd, const struct definition *definition, struct masu_error *err)
{
	char path[96];
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, DEFINITION_MAX_BYTES);
	json_writer_init(&w, &text, true);
	json_begin_object(&w);
	json_field_string(&w, "Name", definition->name);
	json_field_string(&w, "Driver", "bridge");
	json_field_bool(&w, "EnableIPv6", definition->prefix6 != 0);
	json_key(&w, "IPAM");
	json_begin_object(&w);
	json_key(&w, "Config");
	json_begin_array(&w);
	write_config(&w, AF_INET, &definition->gateway4, definition->prefix4);
	if (definition->prefix6)
		write_config(&w, AF_INET6, &definition->gateway6, definition->prefix6);
	json_end_array(&w);
	json_end_object(&w);
	json_key(&w, "Options");
	json_begin_object(&w);
	json_field_string(&w, BRIDGE_OPTION, definition->bridge);
	json_end_object(&w);
	json_end_object(&w);
	int r = buf_error(&text);
	if (r == 0)
		r = fs_mkdirs(root_fd, "networks", 0700);
	if (r == 0)
		r = str_format(path, sizeof(path), "networks/%s.json", definition->name);
	if (r < 0)
		return error_errno(err, r, "network %s: cannot save it", definition->name);
	_cleanup_close_ int dir = openat(root_fd, "networks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "network %s: networks/", definition->name);
	r = fs_write_atomic(dir, path + strlen("networks/"), text.data, text.len, 0600, true);
	return r < 0 ? error_errno(err, r, "network %s: cannot save it", definition->name) : 0;
}

/* Another --root on the same host has a bridge of its own. */
static int choose_name(int route_fd, struct definition *definition, struct masu_error *err)
{
	for (unsigned i = 0; i < BRIDGES_MAX; i++) {
		(void)str_format(definition->bridge, sizeof(definition->bridge), "masu%u", i);
		if (link_index(route_fd, definition->bridge) < 0)
			return 0;
	}
	return error_set(err, -EEXIST, "no free name for a bridge: masu0 to masu%u exist",
			 BRIDGES_MAX - 1);
}

int definition_create_default(int root_fd, int route_fd, struct definition *ret,
			      struct masu_error *err)
{
	struct definition definition = { .name = "bridge" };
	int r = choose_name(route_fd, &definition, err);
	if (r == 0)
		r = choose_subnet(route_fd, &definition, err);
	if (r == 0)
		r = choose_prefix6(&definition, err);
	if (r == 0)
		r = save(root_fd, &definition, err);
	if (r == 0)
		*ret = definition;
	return r;
}
