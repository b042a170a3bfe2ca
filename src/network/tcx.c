#include "network/tcx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "network/bridge.h"
#include "network/forwarding.h"
#include "network/tcx_layout.h"
#include "network/tcx_object.h"
#include "sys/bpf.h"
#include "sys/fs.h"

#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519 /* Linux 4.14; glibc 2.36 does not have it */
#endif

/* ---- finding programs ---- */

/* The set that a program belongs to, by the map that says so; its other maps' ids too. */
struct found {
	struct bpf_program_facts facts;
	struct tcx_setup setup;
	uint32_t maps[TCX_MAPS]; /* ids; 0: the program does not use it */
};

/* 1 if the program is one of masu's, 0 if not. */
static int identify(int program_fd, struct found *ret)
{
	const uint32_t zero = 0;
	struct found found = { 0 };
	int r = bpf_program_facts(program_fd, &found.facts);
	bool named = false;
	for (unsigned i = 0; r == 0 && i < TCX_PROGRAMS; i++)
		named |= streq(found.facts.name, tcx_program_names[i]);
	if (r < 0 || !named)
		return r;
	for (size_t i = 0; i < found.facts.map_count; i++) {
		char name[BPF_OBJ_NAME_LEN];
		_cleanup_close_ int map = bpf_map_by_id(found.facts.maps[i]);
		if (map < 0 || bpf_map_name(map, name) < 0)
			continue;
		for (unsigned k = 0; k < TCX_MAPS; k++)
			if (streq(name, tcx_map_names[k]))
				found.maps[k] = found.facts.maps[i];
		if (streq(name, tcx_map_names[TCX_SETUP]))
			(void)bpf_map_get(map, &zero, &found.setup);
	}
	*ret = found;
	return found.setup.bridge != 0;
}

/* Calls @program for each of masu's programs on one side of an interface. */
static int each_program(int interface, uint32_t side,
			int (*program)(void *opaque, int interface, uint32_t side, int program_fd,
				       const struct found *found),
			void *opaque)
{
	uint32_t ids[BPF_INTERFACE_MAX];
	size_t count;
	int r = bpf_interface_programs(interface, side, ids, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct found found;
		_cleanup_close_ int fd = bpf_program_by_id(ids[i]);
		if (fd >= 0 && identify(fd, &found) > 0)
			r = program(opaque, interface, side, fd, &found);
	}
	return r;
}

static int open_maps(void *opaque, int interface, uint32_t side, int program_fd,
		     const struct found *found)
{
	struct tcx *tcx = opaque;
	if (!streq(found->facts.name, tcx_program_names[TCX_BRIDGE]) ||
	    found->setup.bridge != (uint32_t)interface)
		return 0;
	tcx->ports_fd = bpf_map_by_id(found->maps[TCX_PORTS]);
	tcx->hosts_fd = bpf_map_by_id(found->maps[TCX_HOSTS]);
	tcx->seen_fd = bpf_map_by_id(found->maps[TCX_SEEN]);
	tcx->masquerades = found->setup.masquerade;
	return tcx->ports_fd < 0 || tcx->hosts_fd < 0 ? -ENOENT : 1;
}

int tcx_open(int bridge_index, struct tcx *ret)
{
	_cleanup_tcx_ struct tcx tcx = TCX_NONE;
	int r = bridge_index < 0 ? bridge_index
				 : each_program(bridge_index, TCX_INGRESS, open_maps, &tcx);
	if (r <= 0)
		return -ENOENT;
	*ret = tcx;
	tcx = TCX_NONE;
	return 0;
}

void tcx_close(struct tcx *tcx)
{
	cleanup_close(&tcx->ports_fd);
	cleanup_close(&tcx->hosts_fd);
	cleanup_close(&tcx->seen_fd);
}

/* ---- attaching ---- */

struct attaching {
	const struct tcx_setup *setup;
	int in[2], out[2]; /* programs, for Ethernet and without; -1: not needed */
	int near_fd;	   /* map */
	int nft_fd;
	int made; /* a bridge that will have its table soon; 0: none */
};

/* A bridge of another network has a table of rules by its name. */
static bool is_near(const struct attaching *all, const struct link_facts *link)
{
	char table[sizeof("masu-") + IFNAMSIZ];
	return link->index == all->made || nft_table_exists(all->nft_fd, link->name) > 0 ||
	       (str_format(table, sizeof(table), "masu-%s", link->name) == 0 &&
		nft_table_exists(all->nft_fd, table) > 0);
}

static int attach_to(int interface, uint32_t side, int program_fd)
{
	const struct bpf_kind kind = { .attach = (enum bpf_attach_type)side };
	return bpf_attach_device(interface, &kind, program_fd, -1);
}

static bool has_program(int interface, uint32_t side, uint32_t id)
{
	uint32_t ids[BPF_INTERFACE_MAX];
	size_t count;
	bool has = false;
	if (bpf_interface_programs(interface, side, ids, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		has |= ids[i] == id;
	return has;
}

/* Which of two programs an interface gets; -1: none. */
static int kind_of(const struct link_facts *link)
{
	switch (link->type) {
	case ARPHRD_ETHER:
		return 0;
	case ARPHRD_NONE:
	case ARPHRD_PPP:
	case ARPHRD_RAWIP:
		return 1;
	default:
		return -1;
	}
}

static int attach_link(void *opaque, const struct link_facts *link)
{
	const struct attaching *all = opaque;
	int kind = kind_of(link), r = 0;
	if (kind < 0 || all->in[kind] < 0 || link->has_master ||
	    (uint32_t)link->index == all->setup->bridge)
		return 0;
	bool in = has_program(link->index, TCX_INGRESS, all->setup->programs[kind]);
	if (!in && is_near(all, link))
		r = bpf_map_put(all->near_fd, &link->index, &link->index, 0);
	if (r == 0 && !in)
		r = attach_to(link->index, TCX_INGRESS, all->in[kind]);
	if (r == 0 && all->out[kind] >= 0 &&
	    !has_program(link->index, TCX_EGRESS, all->setup->programs_out[kind]))
		r = attach_to(link->index, TCX_EGRESS, all->out[kind]);
	/* One that has just gone needs none, and one may have got it from somebody else. */
	return r == -ENODEV || r == -EEXIST ? 0 : r;
}

struct spreading {
	int route_fd, nft_fd, made;
};

static int spread_set(void *opaque, int interface, uint32_t side, int program_fd,
		      const struct found *found)
{
	const struct spreading *to = opaque;
	struct found in = { 0 };
	struct attaching all = { .setup = &found->setup, .nft_fd = to->nft_fd, .made = to->made };
	for (unsigned i = 0; i < 2; i++) {
		all.in[i] = bpf_program_by_id(found->setup.programs[i]);
		all.out[i] = bpf_program_by_id(found->setup.programs_out[i]);
	}
	/* The map that only those use. */
	_cleanup_close_ int near = all.in[0] >= 0 && identify(all.in[0], &in) > 0
					   ? bpf_map_by_id(in.maps[TCX_NEAR])
					   : -ENOENT;
	all.near_fd = near;
	int r = near < 0 ? near : link_each(to->route_fd, attach_link, &all);
	for (unsigned i = 0; i < 2; i++) {
		cleanup_close(&all.in[i]);
		cleanup_close(&all.out[i]);
	}
	return r;
}

#define LOOPBACK 1 /* LOOPBACK_IFINDEX of the kernel */

int tcx_spread(int route_fd, int nft_fd, int made)
{
	struct spreading to = { route_fd, nft_fd, made };
	return each_program(LOOPBACK, TCX_INGRESS, spread_set, &to);
}

/* ---- detaching ---- */

struct detaching {
	int route_fd;
	int bridge; /* 0: of those that are gone */
	bool remove;
	int interfaces;
	bool found;
};

static bool bridge_is_gone(uint32_t index, int route_fd)
{
	struct ifreq ifr = { .ifr_ifindex = (int)index };
	return ioctl(route_fd, SIOCGIFNAME, &ifr) < 0;
}

static int detach(void *opaque, int interface, uint32_t side, int program_fd,
		  const struct found *found)
{
	struct detaching *all = opaque;
	bool wanted = all->bridge ? found->setup.bridge == (uint32_t)all->bridge
				  : bridge_is_gone(found->setup.bridge, all->route_fd);
	if (!wanted)
		return 0;
	all->found = true;
	int r = all->remove ? bpf_interface_detach(interface, side, program_fd) : 0;
	return r == -ENOENT ? 0 : r;
}

static int detach_link(void *opaque, const struct link_facts *link)
{
	struct detaching *all = opaque;
	all->found = false;
	int r = each_program(link->index, TCX_INGRESS, detach, all);
	if (r == 0)
		r = each_program(link->index, TCX_EGRESS, detach, all);
	all->interfaces += all->found;
	return r == -ENODEV || r == -EINVAL ? 0 : r;
}

int tcx_remove(int route_fd, int bridge_index)
{
	struct detaching all = { .route_fd = route_fd, .bridge = bridge_index, .remove = true };
	return link_each(route_fd, detach_link, &all);
}

int tcx_strays(int route_fd, bool remove)
{
	struct detaching all = { .route_fd = route_fd, .remove = remove };
	int r = link_each(route_fd, detach_link, &all);
	return r < 0 ? r : all.interfaces;
}

/* ---- installing ---- */

static bool kernel_is(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned first, second;
	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &first, &second) == 2 &&
	       (first > major || (first == major && second >= minor));
}

/* The answers to the host's own clients come from addresses of the host, which strict filtering
 * takes for forged. */
static bool filters_strictly(void)
{
	static const char *const paths[] = { "/proc/sys/net/ipv4/conf/all/rp_filter",
					     "/proc/sys/net/ipv4/conf/lo/rp_filter" };
	char text[16];
	int highest = 0;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (fs_read_small(AT_FDCWD, paths[i], text, sizeof(text)) == 0 &&
		    text[0] - '0' > highest)
			highest = text[0] - '0';
	return highest == 1;
}

/* The larger part of what ip_local_port_range leaves; all where that is next to nothing. */
static void choose_ports(struct tcx_setup *setup)
{
	char text[32];
	unsigned first = 32768, last = 60999;
	if (fs_read_small(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", text, sizeof(text)) ==
	    0)
		(void)sscanf(text, "%u %u", &first, &last);
	unsigned below = first > 10000 ? first - 10000 : 0, above = last < 65535 ? 65535 - last : 0;
	setup->first_port = below >= above ? 10000 : last + 1;
	setup->port_count = below >= above ? below : above;
	if (setup->port_count >= 1000)
		return;
	setup->first_port = 1024;
	setup->port_count = 65536 - 1024;
}

static void describe(const struct bridge *bridge, bool masquerade, struct tcx_setup *ret)
{
	const struct definition *d = &bridge->definition;
	struct tcx_setup setup = {
		.gateway4 = d->gateway4.s_addr,
		.mask4 = htonl(0xffffffffu << (32 - d->prefix4)),
		.bridge = (uint32_t)link_index(bridge->route_fd, d->bridge),
		.bits6 = bridge->ipv6 ? d->prefix6 : 0,
		.masquerade = masquerade,
		.scrubs = kernel_is(6, 16),
	};
	setup.subnet4 = setup.gateway4 & setup.mask4;
	memcpy(&setup.gateway6, &d->gateway6, sizeof(setup.gateway6));
	setup.subnet6 = setup.gateway6;
	choose_ports(&setup);
	*ret = setup;
}

/* Which programs are of use here. One without Ethernet headers only where there is such an
 * interface: nobody would keep it until one comes. */
static int note_wanted(void *opaque, const struct link_facts *link)
{
	unsigned *wanted = opaque;
	if (kind_of(link) == 1)
		*wanted |= 1u << TCX_IN_RAW | 1u << TCX_OUT_RAW;
	return 0;
}

static int choose_programs(int route_fd, bool masquerade, unsigned *ret)
{
	unsigned wanted = 1u << TCX_IN | 1u << TCX_OUT | 1u << TCX_LO | 1u << TCX_BRIDGE;
	int r = link_each(route_fd, note_wanted, &wanted);
	*ret = masquerade ? wanted : wanted & ~(1u << TCX_OUT | 1u << TCX_OUT_RAW);
	return r;
}

static int id_of(int program_fd, uint32_t *ret)
{
	struct bpf_program_facts facts;
	if (program_fd < 0)
		return 0;
	int r = bpf_program_facts(program_fd, &facts);
	if (r == 0)
		*ret = facts.id;
	return r;
}

/* The bridge comes last: who finds its program finds all. */
static int attach_all(struct bridge *bridge, const struct tcx_object *object,
		      const struct tcx_setup *setup)
{
	struct attaching all = {
		.setup = setup,
		.in = { object->programs[TCX_IN], object->programs[TCX_IN_RAW] },
		.out = { object->programs[TCX_OUT], object->programs[TCX_OUT_RAW] },
		.near_fd = object->maps[TCX_NEAR],
		.nft_fd = bridge->nft_fd,
	};
	if (fault_without("tcx"))
		return -EINVAL;
	int r = link_each(bridge->route_fd, attach_link, &all);
	if (r == 0)
		r = attach_to(LOOPBACK, TCX_INGRESS, object->programs[TCX_LO]);
	return r < 0 ? r : attach_to((int)setup->bridge, TCX_INGRESS, object->programs[TCX_BRIDGE]);
}

int tcx_install(struct bridge *bridge, const char *directory, bool masquerade, struct tcx *ret,
		struct masu_error *err)
{
	_cleanup_tcx_object_ struct tcx_object object;
	const uint32_t zero = 0;
	struct tcx_setup setup;
	memset(&object, -1, sizeof(object));
	describe(bridge, masquerade, &setup);
	if (!kernel_is(6, 7))
		return error_set(err, -EOPNOTSUPP, "it needs Linux 6.7");
	if (filters_strictly())
		return error_set(err, -EOPNOTSUPP,
				 "net.ipv4.conf.all.rp_filter is 1; 2 filters as well and lets the "
				 "host's own clients through");
	unsigned wanted;
	int r = tcx_remove(bridge->route_fd, (int)setup.bridge);
	if (r == 0)
		r = choose_programs(bridge->route_fd, masquerade, &wanted);
	if (r == 0)
		r = tcx_object_load(directory, wanted, &object, err);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		r = id_of(object.programs[TCX_IN + i], &setup.programs[i]);
		if (r == 0)
			r = id_of(object.programs[TCX_OUT + i], &setup.programs_out[i]);
	}
	if (r < 0)
		return r;
	struct tcx tcx = { object.maps[TCX_PORTS], object.maps[TCX_HOSTS], object.maps[TCX_SEEN],
			   masquerade };
	r = bpf_map_put(object.maps[TCX_SETUP], &zero, &setup, 0);
	if (r == 0)
		r = forwarding_loopback();
	if (r == 0)
		r = attach_all(bridge, &object, &setup);
	if (r < 0) {
		(void)tcx_remove(bridge->route_fd, (int)setup.bridge);
		return error_errno(err, r,
				   "BPF programs cannot be attached to the interfaces "
				   "(tcx, CONFIG_NET_XGRESS)");
	}
	object.maps[TCX_PORTS] = object.maps[TCX_HOSTS] = object.maps[TCX_SEEN] = -1;
	*ret = tcx;
	return 0;
}
