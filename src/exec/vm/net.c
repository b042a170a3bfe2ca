/*
 * eth0 of the container's network namespace becomes the machine's: its MAC and addresses go to the
 * guest, and frames between a tap and eth0 through a bridge. By ioctl (netdevice(7), tun.rst,
 * if_bridge.h): it is one interface.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/vm/vm.h"

#ifndef SIOCBRADDBR
#define SIOCBRADDBR 0x89a0
#define SIOCBRADDIF 0x89a2
#endif
#define OUTSIDE "eth0"
#define BRIDGE	"masu-vm"
#define TAP	"masu-tap"

static struct ifreq request_for(const char *name)
{
	struct ifreq request = { 0 };
	memcpy(request.ifr_name, name, strlen(name));
	return request;
}

static int up(int fd, const char *name)
{
	struct ifreq request = request_for(name);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int enslave(int fd, const char *name)
{
	struct ifreq request = request_for(BRIDGE);
	request.ifr_ifindex = (int)if_nametoindex(name);
	return ioctl(fd, SIOCBRADDIF, &request) < 0 ? -errno : 0;
}

static unsigned prefix_length(in_addr_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}

static size_t read_ipv4(int fd, struct vm_net *net)
{
	struct ifreq address = request_for(OUTSIDE), mask = request_for(OUTSIDE);
	struct sockaddr_in in, bits;
	char text[INET_ADDRSTRLEN];
	if (ioctl(fd, SIOCGIFADDR, &address) < 0 || ioctl(fd, SIOCGIFNETMASK, &mask) < 0)
		return 0;
	memcpy(&in, &address.ifr_addr, sizeof(in));
	memcpy(&bits, &mask.ifr_netmask, sizeof(bits));
	inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
	snprintf(net->addresses[0], sizeof(net->addresses[0]), "%s/%u", text,
		 prefix_length(bits.sin_addr.s_addr));
	return 1;
}

/* /proc/net/if_inet6: address, index, length, scope, flags, name; global ones are of scope 0. */
static void read_ipv6(struct vm_net *net, size_t count)
{
	char line[256];
	_cleanup_fclose_ FILE *file = fopen("/proc/self/net/if_inet6", "re");
	while (file && count < ARRAY_SIZE(net->addresses) && fgets(line, sizeof(line), file)) {
		unsigned bytes[16], bits, scope;
		char name[32], text[INET6_ADDRSTRLEN];
		struct in6_addr address;
		int at = 0;
		for (int i = 0; i < 16; i++)
			if (sscanf(line + 2 * i, "%2x", &bytes[i]) == 1)
				address.s6_addr[i] = (uint8_t)bytes[i];
		if (sscanf(line + 32, "%*x %x %x %*x %31s%n", &bits, &scope, name, &at) < 3 ||
		    scope != 0 || !streq(name, OUTSIDE))
			continue;
		inet_ntop(AF_INET6, &address, text, sizeof(text));
		snprintf(net->addresses[count++], sizeof(net->addresses[0]), "%s/%u", text, bits);
	}
}

static void read_gateway(struct vm_net *net)
{
	char line[256];
	_cleanup_fclose_ FILE *file = fopen("/proc/self/net/route", "re");
	while (file && fgets(line, sizeof(line), file)) {
		unsigned long to, via;
		char name[32];
		if (sscanf(line, "%31s %lx %lx", name, &to, &via) != 3 || to != 0 || !via)
			continue;
		struct in_addr address = { .s_addr = (in_addr_t)via };
		inet_ntop(AF_INET, &address, net->gateway, sizeof(net->gateway));
	}
}

static int read_link(int fd, struct vm_net *net)
{
	struct ifreq request = request_for(OUTSIDE);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	const unsigned char *mac = (const unsigned char *)request.ifr_hwaddr.sa_data;
	snprintf(net->mac, sizeof(net->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	if (ioctl(fd, SIOCGIFMTU, &request) < 0)
		return -errno;
	snprintf(net->mtu, sizeof(net->mtu), "%d", request.ifr_mtu);
	return 0;
}

/* Without an address and with another MAC it is but a port of the bridge. */
static int strip(int fd)
{
	struct ifreq request = request_for(OUTSIDE);
	struct sockaddr_in none = { .sin_family = AF_INET };
	memcpy(&request.ifr_addr, &none, sizeof(none));
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return -errno;
	request = request_for(OUTSIDE);
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	if (getrandom(request.ifr_hwaddr.sa_data, 6, 0) != 6)
		return -EIO;
	request.ifr_hwaddr.sa_data[0] = (char)((request.ifr_hwaddr.sa_data[0] & ~1) | 2);
	return ioctl(fd, SIOCSIFHWADDR, &request) < 0 ? -errno : 0;
}

static int open_tap(int *ret)
{
	struct ifreq request = request_for(TAP);
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

int vm_net_take(struct vm_net *ret, struct masu_error *err)
{
	*ret = (struct vm_net) { .tap_fd = -1 };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, -errno, "cannot make a socket");
	int r = up(fd, "lo");
	if (!if_nametoindex(OUTSIDE))
		return 0;
	if (r == 0)
		r = read_link(fd, ret);
	read_ipv6(ret, read_ipv4(fd, ret));
	read_gateway(ret);
	if (r == 0)
		r = open_tap(&ret->tap_fd);
	if (r == 0)
		r = strip(fd);
	if (r == 0 && ioctl(fd, SIOCBRADDBR, BRIDGE) < 0)
		r = -errno;
	if (r == 0)
		r = enslave(fd, OUTSIDE);
	if (r == 0)
		r = enslave(fd, TAP);
	if (r == 0)
		r = up(fd, TAP);
	if (r == 0)
		r = up(fd, BRIDGE);
	if (r < 0)
		cleanup_close(&ret->tap_fd);
	return r < 0 ? error_errno(err, r, "cannot hand the container's network to the machine")
		     : 0;
}
