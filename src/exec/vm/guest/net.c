/* eth0, by ioctl: what netdevice(7) has is enough for one address of each kind. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

#define INTERFACE "eth0"

/* As <linux/ipv6.h> has it, which cannot be included together with libc's. */
struct address6_request {
	struct in6_addr address;
	uint32_t bits;
	int index;
};

static int with_socket(int family, unsigned long request, void *argument)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = ioctl(fd, request, argument) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static struct ifreq request_for(const char *name)
{
	struct ifreq request = { 0 };
	memcpy(request.ifr_name, name, strlen(name));
	return request;
}

static int up(const char *name)
{
	struct ifreq request = request_for(name);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return with_socket(AF_INET, SIOCSIFFLAGS, &request);
}

int net_loopback(void)
{
	return up("lo");
}

int net_mtu(const char *text)
{
	struct ifreq request = request_for(INTERFACE);
	request.ifr_mtu = atoi(text);
	return with_socket(AF_INET, SIOCSIFMTU, &request);
}

static int set_in(unsigned long what, struct in_addr address)
{
	struct ifreq request = request_for(INTERFACE);
	struct sockaddr_in value = { .sin_family = AF_INET, .sin_addr = address };
	memcpy(&request.ifr_addr, &value, sizeof(value));
	return with_socket(AF_INET, what, &request);
}

static int address6(const char *address, unsigned bits)
{
	struct ifreq index = request_for(INTERFACE);
	struct address6_request request = { .bits = bits };
	if (inet_pton(AF_INET6, address, &request.address) != 1)
		return -EINVAL;
	int r = with_socket(AF_INET, SIOCGIFINDEX, &index);
	request.index = index.ifr_ifindex;
	/* A kernel without IPv6 has none to give. */
	return r == 0 && with_socket(AF_INET6, SIOCSIFADDR, &request) == 0 ? 0 : r;
}

int net_address(const char *text)
{
	char address[64] = "";
	const char *slash = strchr(text, '/');
	struct in_addr in;
	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	unsigned bits = (unsigned)atoi(slash + 1);
	int r = up(INTERFACE);
	if (r < 0 || strchr(address, ':'))
		return r < 0 ? r : address6(address, bits);
	if (inet_pton(AF_INET, address, &in) != 1 || bits > 32)
		return -EINVAL;
	r = set_in(SIOCSIFADDR, in);
	in.s_addr = bits ? htonl(~0u << (32 - bits)) : 0;
	return r < 0 ? r : set_in(SIOCSIFNETMASK, in);
}

int net_gateway(const char *text)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_gateway;
	((struct sockaddr_in *)&route.rt_dst)->sin_family = AF_INET;
	((struct sockaddr_in *)&route.rt_genmask)->sin_family = AF_INET;
	to->sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &to->sin_addr) != 1)
		return -EINVAL;
	return with_socket(AF_INET, SIOCADDRT, &route);
}
