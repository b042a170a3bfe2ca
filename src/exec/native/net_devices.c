#include "exec/native/net_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/netlink.h"

#define ADDRESSES_MAX 64
#define ADDRESS_BYTES 16
#define NUMBERS_MAX   1000

struct address {
	struct ifaddrmsg header;
	uint32_t flags;
	unsigned char local[ADDRESS_BYTES], peer[ADDRESS_BYTES], broadcast[ADDRESS_BYTES];
	size_t local_len, peer_len, broadcast_len;
};

struct addresses {
	unsigned index;
	size_t count;
	struct address list[ADDRESSES_MAX];
};

/* An rtnetlink socket in another namespace: a socket stays in the one it was made in. */
static int open_inside(int netns_fd)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	_cleanup_close_ int fd = netlink_open(NETLINK_ROUTE);
	if (setns(own, CLONE_NEWNET) < 0)
		return -errno;
	return take_fd(&fd);
}

/* The index of @name as @fd's namespace knows it, or -ENODEV. */
static int index_of(int fd, const char *name)
{
	struct ifreq request = { 0 };
	if (str_format(request.ifr_name, sizeof(request.ifr_name), "%s", name) < 0)
		return -ENODEV;
	return ioctl(fd, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
}

static void take_bytes(const void *attributes, size_t len, uint16_t type, unsigned char *dst,
		       size_t *ret_len)
{
	size_t found_len;
	const void *found = netlink_find(attributes, len, type, &found_len);
	if (found && found_len <= ADDRESS_BYTES) {
		memcpy(dst, found, found_len);
		*ret_len = found_len;
	}
}

static int save_address(void *opaque, uint16_t type, const void *payload, size_t len)
{
	struct addresses *addresses = opaque;
	struct address address = { 0 };
	if (type != RTM_NEWADDR || len < sizeof(address.header))
		return 0;
	memcpy(&address.header, payload, sizeof(address.header));
	const char *attributes = (const char *)payload + NLMSG_ALIGN(sizeof(address.header));
	size_t rest = len - NLMSG_ALIGN(sizeof(address.header)), flags_len;
	const void *flags = netlink_find(attributes, rest, IFA_FLAGS, &flags_len);
	address.flags = address.header.ifa_flags;
	if (flags && flags_len == sizeof(address.flags))
		memcpy(&address.flags, flags, sizeof(address.flags));
	if (address.header.ifa_index != addresses->index ||
	    address.header.ifa_scope != RT_SCOPE_UNIVERSE || !(address.flags & IFA_F_PERMANENT))
		return 0;
	if (addresses->count == ADDRESSES_MAX)
		return -E2BIG;
	take_bytes(attributes, rest, IFA_LOCAL, address.local, &address.local_len);
	take_bytes(attributes, rest, IFA_ADDRESS, address.peer, &address.peer_len);
	take_bytes(attributes, rest, IFA_BROADCAST, address.broadcast, &address.broadcast_len);
	addresses->list[addresses->count++] = address;
	return 0;
}

static int save_addresses(int host, struct addresses *addresses)
{
	struct netlink_batch batch;
	struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
	int r = netlink_dump(host, &batch, save_address, addresses);
	netlink_batch_free(&batch);
	return r;
}

/* The name inside: as asked for, or the template with the first number that is free. */
static int choose_name(int inside, const struct oci_net_device *device, char *ret, size_t size,
		       struct masu_error *err)
{
	const char *wanted = device->new_name ? device->new_name : device->name;
	const char *number = strstr(wanted, "%d");
	for (int i = 0; i < NUMBERS_MAX; i++) {
		int r = number ? str_format(ret, size, "%.*s%d%s", (int)(number - wanted), wanted,
					    i, number + 2)
			       : str_format(ret, size, "%s", wanted);
		if (r < 0)
			return error_set(err, -EINVAL, "linux.netDevices: name \"%s\" is too long",
					 wanted);
		if (index_of(inside, ret) < 0)
			return 0;
		if (!number)
			break;
	}
	return error_set(err, -EEXIST,
			 "linux.netDevices: the container has an interface \"%s\" already", wanted);
}

static void put_addresses(struct netlink_batch *batch, const struct addresses *addresses, int index)
{
	for (size_t i = 0; i < addresses->count; i++) {
		const struct address *address = &addresses->list[i];
		struct ifaddrmsg header = address->header;
		header.ifa_index = (unsigned)index;
		header.ifa_flags = 0;
		netlink_begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &header,
			      sizeof(header));
		if (address->local_len)
			netlink_put(batch, IFA_LOCAL, address->local, address->local_len);
		if (address->peer_len)
			netlink_put(batch, IFA_ADDRESS, address->peer, address->peer_len);
		if (address->broadcast_len)
			netlink_put(batch, IFA_BROADCAST, address->broadcast,
				    address->broadcast_len);
		netlink_put_u32(batch, IFA_FLAGS, address->flags & IFA_F_NOPREFIXROUTE);
	}
}

static int transact(int fd, struct netlink_batch *batch, const char *name, const char *what,
		    struct masu_error *err)
{
	struct netlink_failure failure;
	netlink_await(batch);
	int r = netlink_transact(fd, batch, &failure);
	netlink_batch_free(batch);
	if (r < 0)
		return error_errno(err, r, "linux.netDevices: %s: %s%s%s", name, what,
				   failure.text[0] ? ": " : "", failure.text);
	return 0;
}

static int move_one(int host, int inside, int netns_fd, const struct oci_net_device *device,
		    struct masu_error *err)
{
	char name[IFNAMSIZ];
	struct addresses addresses = { 0 };
	struct netlink_batch batch;
	int index = index_of(host, device->name);
	if (index < 0)
		return error_errno(err, index, "linux.netDevices: %s", device->name);
	addresses.index = (unsigned)index;
	int r = save_addresses(host, &addresses);
	if (r < 0)
		return error_errno(err, r, "linux.netDevices: %s: addresses", device->name);
	r = choose_name(inside, device, name, sizeof(name), err);
	if (r < 0)
		return r;
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_SETLINK, 0, &header, sizeof(header));
	netlink_put_u32(&batch, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	netlink_put_string(&batch, IFLA_IFNAME, name);
	r = transact(host, &batch, device->name, "cannot be moved", err);
	if (r < 0)
		return r;
	index = index_of(inside, name);
	if (index < 0)
		return error_errno(err, index, "linux.netDevices: %s as %s", device->name, name);
	header = (struct ifinfomsg) { .ifi_family = AF_UNSPEC,
				      .ifi_index = index,
				      .ifi_flags = IFF_UP,
				      .ifi_change = IFF_UP };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_SETLINK, 0, &header, sizeof(header));
	put_addresses(&batch, &addresses, index);
	return transact(inside, &batch, device->name, "cannot be set up in the container", err);
}

int net_devices_move(const struct oci_spec *spec, pid_t pid, struct masu_error *err)
{
	char path[64];
	if (spec->net_device_count == 0)
		return 0;
	str_format(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	/* lint: ok, procfs */
	_cleanup_close_ int netns = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int host = netlink_open(NETLINK_ROUTE);
	_cleanup_close_ int inside = netns < 0 ? -errno : open_inside(netns);
	if (netns < 0 || host < 0 || inside < 0)
		return error_errno(err,
				   netns < 0  ? -ENOENT
				   : host < 0 ? host
					      : inside,
				   "linux.netDevices: network namespace");
	int r = 0;
	for (size_t i = 0; r == 0 && i < spec->net_device_count; i++)
		r = move_one(host, inside, netns, &spec->net_devices[i], err);
	return r;
}
