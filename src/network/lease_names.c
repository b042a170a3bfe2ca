/* What a lease lists besides its address: the container's names, and an IPv6 address. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/lease.h"

#define PATH_MAX_BYTES (sizeof("names/") + 255 + INET6_ADDRSTRLEN)

/* The next name of a list: its length, 0 at the end. */
static size_t next_name(const char **at)
{
	*at += strspn(*at, " ");
	return strcspn(*at, " ");
}

static bool lists(const char *names, const char *name, size_t len)
{
	size_t other;
	for (const char *at = names ? names : ""; (other = next_name(&at)); at += other)
		if (other == len && memcmp(at, name, len) == 0)
			return true;
	return false;
}

static const char *claim_path(const struct in6_addr *ipv6, char ret[INET6_ADDRSTRLEN + 3])
{
	memcpy(ret, "v6-", 3);
	inet_ntop(AF_INET6, ipv6, ret + 3, INET6_ADDRSTRLEN);
	return ret;
}

bool lease_ipv6_is_free(struct lease_pool *pool, const struct in6_addr *ipv6)
{
	char path[INET6_ADDRSTRLEN + 3];
	return faccessat(pool->dir_fd, claim_path(ipv6, path), F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

struct in_addr lease_ipv4_of(const struct definition *definition, const struct in6_addr *ipv6)
{
	uint32_t host, mask = 0xffffffffu >> definition->prefix4;
	memcpy(&host, ipv6->s6_addr + 12, sizeof(host));
	return (struct in_addr) { htonl((ntohl(definition->gateway4.s_addr) & ~mask) |
					(ntohl(host) & mask)) };
}

/* The address that a container by @ipv6's last bits would have got, where it has got it. */
static bool is_taken(struct lease_pool *pool, const struct definition *definition,
		     const struct lease *lease)
{
	char text[INET_ADDRSTRLEN];
	const struct in_addr ipv4 = lease_ipv4_of(definition, &lease->ipv6);
	const struct in6_addr derived = lease_ipv6(definition, ipv4);
	return ipv4.s_addr != lease->ipv4.s_addr && IN6_ARE_ADDR_EQUAL(&derived, &lease->ipv6) &&
	       faccessat(pool->dir_fd, inet_ntop(AF_INET, &ipv4, text, sizeof(text)), F_OK, 0) == 0;
}

/* A link that leads to the lease: made whole or not at all, and by one of those that try. */
static int claim(struct lease_pool *pool, const struct definition *definition,
		 const struct lease *lease, const char *address)
{
	char path[INET6_ADDRSTRLEN + 3];
	claim_path(&lease->ipv6, path);
	if (symlinkat(address, pool->dir_fd, path) < 0)
		return errno == EEXIST ? -EADDRINUSE : -errno;
	if (!is_taken(pool, definition, lease))
		return 0;
	unlinkat(pool->dir_fd, path, 0);
	return -EADDRINUSE;
}

static void unclaim(struct lease_pool *pool, const struct lease *lease, const char *address)
{
	char path[INET6_ADDRSTRLEN + 3], owner[INET_ADDRSTRLEN];
	ssize_t len =
		readlinkat(pool->dir_fd, claim_path(&lease->ipv6, path), owner, sizeof(owner) - 1);
	if (len < 0)
		return;
	owner[len] = '\0';
	if (streq(owner, address))
		unlinkat(pool->dir_fd, path, 0);
}

static int add_name(struct lease_pool *pool, const char *name, size_t len, const char *address,
		    const char *ipv6)
{
	char path[PATH_MAX_BYTES];
	int r = -ENOENT;
	/* Whoever had the name last removes its directory at any moment. */
	while (r == -ENOENT) {
		r = str_format(path, sizeof(path), "names/%.*s", (int)len, name);
		if (r == 0 && mkdirat(pool->dir_fd, path, 0700) < 0 && errno != EEXIST) {
			r = errno != ENOENT || (mkdirat(pool->dir_fd, "names", 0700) < 0 &&
						errno != EEXIST)
				    ? -errno
				    : -ENOENT;
			continue;
		}
		if (r == 0)
			r = str_format(path, sizeof(path), "names/%.*s/%s", (int)len, name,
				       address);
		if (r == 0)
			r = symlinkat(ipv6, pool->dir_fd, path) < 0 && errno != EEXIST ? -errno : 0;
	}
	return r;
}

int lease_list_add(struct lease_pool *pool, const struct definition *definition,
		   const struct lease *lease, bool claims)
{
	char address[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN] = "-";
	bool own6 = !IN6_IS_ADDR_UNSPECIFIED(&lease->ipv6);
	size_t len;
	int r = 0;
	inet_ntop(AF_INET, &lease->ipv4, address, sizeof(address));
	const struct in6_addr address6 = own6 ? lease->ipv6 : lease_ipv6(definition, lease->ipv4);
	if (definition->prefix6)
		inet_ntop(AF_INET6, &address6, ipv6, sizeof(ipv6));
	if (claims && own6)
		r = claim(pool, definition, lease, address);
	for (const char *at = lease->names ? lease->names : ""; r == 0 && (len = next_name(&at));
	     at += len)
		r = add_name(pool, at, len, address, ipv6);
	return r;
}

void lease_list_remove(struct lease_pool *pool, const struct lease *lease, const char *kept)
{
	char address[INET_ADDRSTRLEN], path[PATH_MAX_BYTES];
	size_t len;
	inet_ntop(AF_INET, &lease->ipv4, address, sizeof(address));
	for (const char *at = lease->names ? lease->names : ""; (len = next_name(&at)); at += len) {
		if (lists(kept, at, len) ||
		    str_format(path, sizeof(path), "names/%.*s/%s", (int)len, at, address) < 0)
			continue;
		unlinkat(pool->dir_fd, path, 0);
		path[strlen("names/") + len] = '\0';
		/* Only the last one of that name succeeds. */
		unlinkat(pool->dir_fd, path, AT_REMOVEDIR);
	}
	if (!kept && !IN6_IS_ADDR_UNSPECIFIED(&lease->ipv6))
		unclaim(pool, lease, address);
}
