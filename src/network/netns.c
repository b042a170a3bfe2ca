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

int netns_enter(int netns_fd)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	return take_fd(&own);
}

int netns_leave(int own_fd)
{
	int r = setns(own_fd, CLONE_NEWNET) < 0 ? -errno : 0;
	close(own_fd);
	return r;
}

int netns_netlink(int netns_fd, int protocol)
{
	int own = netns_enter(netns_fd);
	if (own < 0)
		return own;
	_cleanup_close_ int fd = netlink_open(protocol);
	int r = netns_leave(own);
	return r < 0 ? r : take_fd(&fd);
}

int network_loopback_up(int netns_fd, struct masu_error *err)
{
	_cleanup_close_ int fd = netns_netlink(netns_fd, NETLINK_ROUTE);
	if (fd < 0)
		return error_errno(err, fd, "cannot enter the container's network namespace");
	int r = link_up(fd, "lo");
	return r < 0 ? error_errno(err, r, "interface lo: cannot bring it up") : 0;
}
