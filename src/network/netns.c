#include "network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "network/link.h"
#include "network/network.h"
#include "sys/netlink.h"

int netns_netlink(int netns_fd, int protocol)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	_cleanup_close_ int fd = netlink_open(protocol);
	if (setns(own, CLONE_NEWNET) < 0)
		return -errno;
	return take_fd(&fd);
}

int network_loopback_up(int netns_fd, struct masu_error *err)
{
	_cleanup_close_ int fd = netns_netlink(netns_fd, NETLINK_ROUTE);
	if (fd < 0)
		return error_errno(err, fd, "cannot enter the container's network namespace");
	int r = link_up(fd, "lo");
	return r < 0 ? error_errno(err, r, "interface lo: cannot bring it up") : 0;
}
