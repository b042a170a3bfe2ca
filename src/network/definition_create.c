/* Defining a network: subnets that nobody has, and the file. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "network/definition.h"
#include "network/link.h"
#include "state/record.h"
#include "sys/fs.h"

#define BRIDGES_MAX 100

int definition_lock(int root_fd, int *ret_fd, struct masu_error *err)
{
	int r = fs_mkdirs(root_fd, "networks", 0700);
	_cleanup_close_ int fd =
		r < 0 ? r : openat(root_fd, "networks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && fd < 0)
		r = -errno;
	while (r == 0 && flock(fd, LOCK_EX) < 0)
		r = errno == EINTR ? 0 : -errno;
	if (r < 0)
		return error_errno(err, r, "networks/");
	/* Nobody else is writing now. */
	record_sweep(fd, 0);
	*ret_fd = take_fd(&fd);
	return 0;
}

int definition_each(int root_fd, int (*fn)(void *opaque, const struct definition *definition),
		    void *opaque)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(root_fd, "networks");
	struct dirent *entry;
	int r = dir || errno == ENOENT ? 0 : -errno;
	while (r == 0 && dir && (entry = readdir(dir))) {
		struct definition definition;
		size_t len = strlen(entry->d_name);
		char name[sizeof(definition.name)];
		if (entry->d_name[0] == '.' || !str_ends_with(entry->d_name, ".json") ||
		    str_format(name, sizeof(name), "%.*s", (int)(len - strlen(".json")),
			       entry->d_name) < 0)
			continue;
		/* One that cannot be read takes nothing away from the others. */
		if (definition_load(root_fd, name, &definition, NULL) == 0)
			r = fn(opaque, &definition);
	}
	return r;
}

struct subnet {
	const char *own; /* the network that looks for one */
	struct in_addr address;
	uint8_t prefix;
	bool taken;
};

static int note_route(void *opaque, struct in_addr destination, uint8_t prefix, int interface)
{
	struct subnet *subnet = opaque;
	/* The default route overlaps everything and means nothing. */
	if (prefix && cidr_overlap(AF_INET, &destination, prefix, &subnet->address, subnet->prefix))
		subnet->taken = true;
	return 0;
}

static int note_network(void *opaque, const struct definition *other)
{
	struct subnet *subnet = opaque;
	if (!streq(subnet->own, other->name) &&
	    cidr_overlap(AF_INET, &other->gateway4, other->prefix4, &subnet->address,
			 subnet->prefix))
		subnet->taken = true;
	return 0;
}

int definition_choose_subnet(int root_fd, int route_fd, struct definition *definition,
			     struct masu_error *err)
{
	for (unsigned i = 0; i < 15 + 16; i++) {
		struct subnet subnet = { .own = definition->name, .prefix = i < 15 ? 16 : 20 };
		subnet.address.s_addr = htonl(i < 15 ? (172u << 24 | (17 + i) << 16)
						     : (192u << 24 | 168u << 16 | (i - 15) << 12));
		int r = link_each_route4(route_fd, note_route, &subnet);
		if (r == 0 && !subnet.taken)
			r = definition_each(root_fd, note_network, &subnet);
		if (r < 0)
			return error_errno(err, r, "cannot read the host's routes and networks");
		if (subnet.taken)
			continue;
		definition->gateway4.s_addr = subnet.address.s_addr | htonl(1);
		definition->prefix4 = subnet.prefix;
		return 0;
	}
	return error_set(
		err, -EADDRNOTAVAIL,
		"no free subnet for network %s: the host's routes and other networks overlap "
		"172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16; name another with --subnet, or "
		"in networks/%s.json",
		definition->name, definition->name);
}

int definition_choose_prefix6(struct definition *definition, struct masu_error *err)
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

void definition_write_subnet(struct json_writer *w, int family, const void *gateway, uint8_t prefix)
{
	char text[INET6_ADDRSTRLEN], cidr[INET6_ADDRSTRLEN + 4];
	struct in6_addr network = { 0 };
	memcpy(&network, gateway,
	       family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr));
	cidr_mask(family, &network, prefix);
	inet_ntop(family, &network, text, sizeof(text));
	(void)str_format(cidr, sizeof(cidr), "%s/%u", text, prefix);
	inet_ntop(family, gateway, text, sizeof(text));
	json_begin_object(w);
	json_field_string(w, "Subnet", cidr);
	json_field_string(w, "Gateway", text);
}

int definition_write(int root_fd, const char *name, const struct buf *text, struct masu_error *err)
{
	char file[80];
	int r = buf_error(text);
	if (r == 0)
		r = fs_mkdirs(root_fd, "networks", 0700);
	if (r == 0)
		r = str_format(file, sizeof(file), "%s.json", name);
	if (r < 0)
		return error_errno(err, r, "network %s: cannot save it", name);
	_cleanup_close_ int dir = openat(root_fd, "networks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "network %s: networks/", name);
	r = fs_write_atomic(dir, file, text->data, text->len, 0600, true);
	return r < 0 ? error_errno(err, r, "network %s: cannot save it", name) : 0;
}

static int save_default(int root_fd, const struct definition *definition, struct masu_error *err)
{
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
	definition_write_subnet(&w, AF_INET, &definition->gateway4, definition->prefix4);
	json_end_object(&w);
	if (definition->prefix6) {
		definition_write_subnet(&w, AF_INET6, &definition->gateway6, definition->prefix6);
		json_end_object(&w);
	}
	json_end_array(&w);
	json_end_object(&w);
	json_key(&w, "Options");
	json_begin_object(&w);
	json_field_string(&w, OPTION_BRIDGE, definition->bridge);
	json_end_object(&w);
	json_end_object(&w);
	return definition_write(root_fd, definition->name, &text, err);
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
	_cleanup_close_ int lock = -1;
	int r = definition_lock(root_fd, &lock, err);
	if (r == 0)
		r = choose_name(route_fd, &definition, err);
	if (r == 0)
		r = definition_choose_subnet(root_fd, route_fd, &definition, err);
	if (r == 0)
		r = definition_choose_prefix6(&definition, err);
	if (r == 0)
		r = save_default(root_fd, &definition, err);
	return r < 0 ? r : definition_load(root_fd, definition.name, ret, err);
}
