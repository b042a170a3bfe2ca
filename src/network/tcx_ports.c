/* The elements of the bpf mode's maps: ports, and where containers are. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/str.h"
#include "network/tcx.h"
#include "network/tcx_layout.h"
#include "sys/bpf.h"

static struct tcx_address mapped(struct in_addr ipv4)
{
	return (struct tcx_address) { { 0, 0, htonl(0xffff), ipv4.s_addr } };
}

static struct tcx_address plain(const struct in6_addr *ipv6)
{
	struct tcx_address address;
	memcpy(&address, ipv6, sizeof(address));
	return address;
}

bool tcx_takes(const struct network_port *port)
{
	return port->protocol != NETWORK_SCTP;
}

struct element {
	struct tcx_port_key key;
	struct tcx_port value;
};

static struct element make_element(const struct network_port *port, const struct nft_target *target,
				   bool v6)
{
	static const uint8_t any[16];
	struct element element = {
		.key = { .port = htons(port->host_port),
			 .protocol = port->protocol == NETWORK_UDP ? IPPROTO_UDP : IPPROTO_TCP,
			 .v6 = v6 },
		.value = { .address = v6 ? plain(&target->ipv6) : mapped(target->ipv4),
			   .port = htons(port->container_port) },
	};
	/* 0.0.0.0 and :: mean every address of their family. */
	if (port->host_ip_set && memcmp(&port->host_ip, any, v6 ? 16 : 4) != 0)
		element.key.address = v6 ? plain(&port->host_ip.v6) : mapped(port->host_ip.v4);
	return element;
}

static size_t make_elements(const struct network_port *port, const struct nft_target *target,
			    struct element ret[2])
{
	size_t count = 0;
	if ((!port->host_ip_set || port->host_family == AF_INET) &&
	    !(port->direct & NETWORK_DIRECT_V4))
		ret[count++] = make_element(port, target, false);
	if ((!port->host_ip_set || port->host_family == AF_INET6) && target->has_ipv6 &&
	    !(port->direct & NETWORK_DIRECT_V6))
		ret[count++] = make_element(port, target, true);
	return count;
}

/*
 * How many elements the port has, for the programs. Counted before there is one and until there is
 * none; who is killed in between leaves too many. Where the map is not to be had, which is so with
 * programs of an earlier masu, these do not look at it.
 */
static int count_element(const struct tcx *tcx, const struct tcx_port_key *key, int change)
{
	if (tcx->seen_fd < 0)
		return 0;
	struct tcx_seen *seen =
		mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED, tcx->seen_fd, 0);
	if (seen == MAP_FAILED)
		return -errno;
	__atomic_fetch_add(&seen->published[key->protocol == IPPROTO_UDP][ntohs(key->port)],
			   (uint16_t)change, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&seen->changes, 1, __ATOMIC_SEQ_CST);
	munmap(seen, sizeof(*seen));
	return 0;
}

/* Whether the port leads to the element's container. */
static int is_ours(const struct tcx *tcx, const struct element *element)
{
	struct tcx_port found;
	int r = bpf_map_get(tcx->ports_fd, &element->key, &found);
	return r < 0 ? r
		     : memcmp(&found.address, &element->value.address, sizeof(found.address)) == 0;
}

int tcx_publish(const struct tcx *tcx, const struct network_port *port,
		const struct nft_target *target)
{
	struct element elements[2];
	size_t count = make_elements(port, target, elements);
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct element *element = &elements[i];
		r = count_element(tcx, &element->key, 1);
		if (r < 0)
			break;
		r = bpf_map_put(tcx->ports_fd, &element->key, &element->value, BPF_NOEXIST);
		if (r < 0)
			(void)count_element(tcx, &element->key, -1);
		if (r == -EEXIST)
			r = is_ours(tcx, element) > 0
				    ? bpf_map_put(tcx->ports_fd, &element->key, &element->value, 0)
				    : -EADDRINUSE;
	}
	if (r < 0)
		(void)tcx_unpublish(tcx, port, target);
	return r;
}

int tcx_unpublish(const struct tcx *tcx, const struct network_port *port,
		  const struct nft_target *target)
{
	struct element elements[2];
	size_t count = make_elements(port, target, elements);
	int r = 0;
	for (size_t i = 0; i < count; i++)
		if (is_ours(tcx, &elements[i]) > 0) {
			int one = bpf_map_delete(tcx->ports_fd, &elements[i].key);
			r = one < 0 && one != -ENOENT ? one : r;
			if (one == 0)
				(void)count_element(tcx, &elements[i].key, -1);
		}
	return r;
}

int tcx_put_host(const struct tcx *tcx, const struct nft_target *target, int interface,
		 const uint8_t mac[6])
{
	struct tcx_host host = { .interface = (uint32_t)interface };
	memcpy(host.mac, mac, sizeof(host.mac));
	struct tcx_address key = mapped(target->ipv4);
	int r = bpf_map_put(tcx->hosts_fd, &key, &host, 0);
	key = plain(&target->ipv6);
	return r < 0 || !target->has_ipv6 ? r : bpf_map_put(tcx->hosts_fd, &key, &host, 0);
}

void tcx_drop_host(const struct tcx *tcx, const struct nft_target *target)
{
	struct tcx_address key = mapped(target->ipv4);
	(void)bpf_map_delete(tcx->hosts_fd, &key);
	key = plain(&target->ipv6);
	if (target->has_ipv6)
		(void)bpf_map_delete(tcx->hosts_fd, &key);
}
