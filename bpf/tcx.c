/*
 * Published ports and masquerading of one bridge network, without netfilter: docs/networking.md has
 * the picture. Four programs share the maps of src/network/tcx_layout.h:
 *   masu_in      where packets come in from outside (each interface of the host, other bridges)
 *   masu_out     where they leave to there
 *   masu_lo      on lo: what the host's own programs send to its addresses
 *   masu_bridge  on the bridge: what containers send to the host or through it
 * Two of them a second time, "_raw", for interfaces without Ethernet headers.
 *
 * A flow is one direction of a connection and says what its packets become; both directions are
 * made with the first packet. What is not understood goes on untouched.
 *
 * SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
 * (Unlike the rest of masu, because the kernel lends its route lookup to such programs only.)
 */
#include "helpers.h"

#include <linux/if_ether.h>
#include <linux/in.h>

#include "network/tcx_layout.h"

#define LATER_PART 0x1fff
#define MORE_PARTS 0x2000

#define NEXT_FRAGMENT 44
#define ICMP6	      58

/* Linux's defaults for what connection tracking forgets, in the unit of tcx_flow.seen. */
#define IDLE_TCP     400000u
#define IDLE_CLOSING 112u
#define IDLE_OTHER   168u

#define PORT_TRIES 8

enum part { WHOLE, FIRST_PART, OTHER_PART };

struct packet {
	/* Of an ICMP error: of the packet it is about, as the answer to that. */
	struct tcx_flow_key key;
	struct tcx_address sender; /* of an ICMP error */
	__u32 id;
	__u16 l3, l4;
	__u16 inner3, inner4; /* where the packet is that an ICMP error is about; 0: it is none */
	__u8 v6, part, opens, closes;
};

struct work {
	struct packet packet;
	struct tcx_flow flow;
};

SECTION("maps")
struct map_definition masu_ports = {
	BPF_MAP_TYPE_HASH, sizeof(struct tcx_port_key), sizeof(struct tcx_port),
	TCX_PORTS_MAX,	   BPF_F_NO_PREALLOC,
};
SECTION("maps")
struct map_definition masu_hosts = {
	BPF_MAP_TYPE_HASH, sizeof(struct tcx_address), sizeof(struct tcx_host),
	TCX_PORTS_MAX,	   BPF_F_NO_PREALLOC,
};
SECTION("maps")
struct map_definition masu_flows = {
	BPF_MAP_TYPE_LRU_HASH,
	sizeof(struct tcx_flow_key),
	sizeof(struct tcx_flow),
	TCX_FLOWS_MAX,
	0,
};
SECTION("maps")
struct map_definition masu_parts = {
	BPF_MAP_TYPE_LRU_HASH,
	sizeof(struct tcx_part_key),
	sizeof(struct tcx_flow),
	TCX_PARTS_MAX,
	0,
};
SECTION("maps")
struct map_definition masu_setup = {
	BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(struct tcx_setup), 1, 0,
};

/* Bridges of other networks. */
SECTION("maps")
struct map_definition masu_near = {
	BPF_MAP_TYPE_HASH, sizeof(__u32), sizeof(__u32), 1024, BPF_F_NO_PREALLOC,
};
SECTION("maps")
struct map_definition masu_seen = {
	BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(struct tcx_seen), 1, BPF_F_MMAPABLE,
};
/* What a packet is worked on with. In a map, whose content the verifier takes for unknown, it need
 * not be followed through every combination of what a packet can be. */
SECTION("maps")
struct map_definition masu_work = {
	BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(__u32), sizeof(struct work), 1, 0,
};

SECTION("license") char terms[] = "Dual BSD/GPL";

/* ---- reading packets ---- */

struct ipv4 {
	__u8 words, tos;
	__u16 length, id, part;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 source, destination;
};
struct ipv6 {
	__u32 flow;
	__u16 length;
	__u8 next, hops;
	struct tcx_address source, destination;
};
struct ipv6_part {
	__u8 next, zero;
	__u16 part;
	__u32 id;
};
struct tcp_start {
	__u16 source, destination;
	__u32 sequence, acknowledged;
	__u8 words, flags;
};
struct icmp_start {
	__u8 type, code;
	__u16 checksum, id, sequence;
};

INLINE void set_address4(struct tcx_address *ret, __u32 address)
{
	ret->word[0] = ret->word[1] = 0;
	ret->word[2] = __builtin_bswap32(0xffff);
	ret->word[3] = address;
}

INLINE int same_address(const struct tcx_address *a, const struct tcx_address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

/* The header at @at: addresses and protocol into the key; where the next one begins, or 0. */
INLINE __u32 read_header(const struct __sk_buff *skb, __u32 at, struct packet *p)
{
	if (!p->v6) {
		struct ipv4 ip;
		if (load_bytes(skb, at, &ip, sizeof(ip)) < 0 || (ip.words >> 4) != 4)
			return 0;
		set_address4(&p->key.source, ip.source);
		set_address4(&p->key.destination, ip.destination);
		p->key.protocol = ip.protocol;
		p->id = ip.id;
		__u16 part = __builtin_bswap16(ip.part);
		p->part = part & LATER_PART ? OTHER_PART : part & MORE_PARTS ? FIRST_PART : WHOLE;
		return at + 4 * (ip.words & 15u);
	}
	struct ipv6 ip;
	if (load_bytes(skb, at, &ip, sizeof(ip)) < 0)
		return 0;
	p->key.source = ip.source;
	p->key.destination = ip.destination;
	p->key.protocol = ip.next;
	p->part = WHOLE;
	if (ip.next != NEXT_FRAGMENT)
		return at + sizeof(ip);
	struct ipv6_part part;
	if (load_bytes(skb, at + sizeof(ip), &part, sizeof(part)) < 0)
		return 0;
	p->key.protocol = part.next;
	p->id = part.id;
	p->part = __builtin_bswap16(part.part) >> 3 ? OTHER_PART : FIRST_PART;
	return at + sizeof(ip) + sizeof(part);
}

INLINE int is_echo(const struct packet *p, __u8 type)
{
	return p->v6 ? type == 128 || type == 129 : type == 8 || type == 0;
}

INLINE int is_error(const struct packet *p, __u8 type)
{
	return p->v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

INLINE int is_icmp(const struct packet *p)
{
	return p->key.protocol == (p->v6 ? ICMP6 : IPPROTO_ICMP);
}

/* The ports at @at, or the identifier of an echo. False: that protocol has none. */
INLINE int read_ports(const struct __sk_buff *skb, __u32 at, struct packet *p)
{
	if (p->key.protocol == IPPROTO_TCP || p->key.protocol == IPPROTO_UDP)
		return load_bytes(skb, at, &p->key.source_port, 4) == 0;
	struct icmp_start icmp;
	if (!is_icmp(p) || load_bytes(skb, at, &icmp, sizeof(icmp)) < 0 || !is_echo(p, icmp.type))
		return 0;
	p->key.source_port = p->key.destination_port = icmp.id;
	return 1;
}

/* The packet that an ICMP error at p->l4 is about, the other way round. */
INLINE int read_inner(const struct __sk_buff *skb, struct packet *p)
{
	__u8 type;
	if (load_bytes(skb, p->l4, &type, 1) < 0 || !is_error(p, type))
		return 0;
	p->sender = p->key.source;
	p->inner3 = p->l4 + sizeof(struct icmp_start);
	__u32 at = read_header(skb, p->inner3, p);
	if (!at || p->part == OTHER_PART || !read_ports(skb, at, p))
		return 0;
	p->part = WHOLE;
	p->inner4 = at;
	struct tcx_address source = p->key.source;
	__u16 port = p->key.source_port;
	p->key.source = p->key.destination;
	p->key.source_port = p->key.destination_port;
	p->key.destination = source;
	p->key.destination_port = port;
	return 1;
}

/* False: nothing that is translated here. */
INLINE int read_packet(const struct __sk_buff *skb, __u32 l3, __u8 side, struct packet *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->key.side = side;
	p->l3 = l3;
	if (skb->protocol == __builtin_bswap16(ETH_P_IPV6))
		p->v6 = 1;
	else if (skb->protocol != __builtin_bswap16(ETH_P_IP))
		return 0;
	__u32 l4 = read_header(skb, l3, p);
	if (!l4)
		return 0;
	p->l4 = l4;
	if (p->part == OTHER_PART)
		return 1;
	if (p->key.protocol == IPPROTO_TCP) {
		struct tcp_start tcp;
		if (load_bytes(skb, l4, &tcp, sizeof(tcp)) < 0)
			return 0;
		p->key.source_port = tcp.source;
		p->key.destination_port = tcp.destination;
		p->opens = (tcp.flags & 0x12) == 0x02;
		p->closes = (tcp.flags & 0x05) != 0;
		return 1;
	}
	if (read_ports(skb, l4, p))
		return 1;
	return is_icmp(p) ? read_inner(skb, p) : 1;
}

/* ---- changing them ---- */

/* Of an IPv6 packet whose sum the device made, kernels before 6.16 do not know how to go on. */
INLINE void change_sum(struct __sk_buff *skb, __u32 at, __s64 diff, const struct packet *p,
		       __u64 flags)
{
	flags |= BPF_F_PSEUDO_HDR;
	if (p->v6 && l4_csum(skb, at, 0, diff, flags | F_IPV6) == 0)
		return;
	l4_csum(skb, at, 0, diff, flags);
}

/* Gives the header at @at other addresses; what that changes in sums. */
INLINE __s64 change_addresses(struct __sk_buff *skb, __u32 at, const struct packet *p,
			      const struct tcx_address *old_source,
			      const struct tcx_address *old_destination,
			      const struct tcx_address *source,
			      const struct tcx_address *destination)
{
	if (!p->v6) {
		__u32 from[2] = { old_source->word[3], old_destination->word[3] };
		__u32 to[2] = { source->word[3], destination->word[3] };
		__s64 diff = csum_diff(from, sizeof(from), to, sizeof(to), 0);
		store_bytes(skb, at + 12, to, sizeof(to), 0);
		l3_csum(skb, at + 10, 0, diff, 0);
		return diff;
	}
	struct tcx_address from[2] = { *old_source, *old_destination };
	struct tcx_address to[2] = { *source, *destination };
	store_bytes(skb, at + 8, to, sizeof(to), 0);
	return csum_diff((const __u32 *)from, sizeof(from), (const __u32 *)to, sizeof(to), 0);
}

/* The ports at @at, whose sum is at @sum. */
INLINE void change_ports(struct __sk_buff *skb, __u32 at, __u32 sum, __u32 old, __u32 new,
			 __u64 flags)
{
	if (old == new)
		return;
	l4_csum(skb, sum, old, new, 4 | flags);
	store_bytes(skb, at, &new, 4, 0);
}

INLINE void change_id(struct __sk_buff *skb, __u32 at, __u32 sum, __u16 old, __u16 new)
{
	if (old == new)
		return;
	l4_csum(skb, sum, old, new, 2);
	store_bytes(skb, at, &new, 2, 0);
}

INLINE __u32 both_ports(__u16 source, __u16 destination)
{
	return (__u32)destination << 16 | source;
}

INLINE void translate(struct __sk_buff *skb, const struct packet *p, const struct tcx_flow *flow)
{
	__s64 diff = change_addresses(skb, p->l3, p, &p->key.source, &p->key.destination,
				      &flow->source, &flow->destination);
	if (p->part == OTHER_PART)
		return;
	__u32 old = both_ports(p->key.source_port, p->key.destination_port);
	__u32 new = both_ports(flow->source_port, flow->destination_port);
	if (p->key.protocol == IPPROTO_TCP) {
		change_sum(skb, p->l4 + 16, diff, p, 0);
		change_ports(skb, p->l4, p->l4 + 16, old, new, 0);
	} else if (p->key.protocol == IPPROTO_UDP) {
		change_sum(skb, p->l4 + 6, diff, p, BPF_F_MARK_MANGLED_0);
		change_ports(skb, p->l4, p->l4 + 6, old, new, BPF_F_MARK_MANGLED_0);
	} else if (is_icmp(p)) {
		if (p->v6)
			change_sum(skb, p->l4 + 2, diff, p, 0);
		change_id(skb, p->l4 + 4, p->l4 + 2, p->key.source_port, flow->source_port);
	}
}

/*
 * An ICMP error. The sum of the packet that it is about is left: nobody looks at it. The sum of the
 * error covers that packet; what an IPv4 header's addresses change there its own sum takes back.
 */
INLINE void translate_error(struct __sk_buff *skb, const struct packet *p,
			    const struct tcx_flow *flow)
{
	__u32 sum = p->l4 + 2;
	__s64 inner = change_addresses(skb, p->inner3, p, &p->key.destination, &p->key.source,
				       &flow->destination, &flow->source);
	if (p->v6)
		l4_csum(skb, sum, 0, inner, 0);
	if (is_icmp(p))
		change_id(skb, p->inner4 + 4, sum, p->key.source_port, flow->source_port);
	else
		change_ports(skb, p->inner4, sum,
			     both_ports(p->key.destination_port, p->key.source_port),
			     both_ports(flow->destination_port, flow->source_port), 0);
	/* A router's own address stays. */
	struct tcx_address sender = p->sender;
	if (same_address(&sender, &p->key.source))
		sender = flow->source;
	__s64 outer = change_addresses(skb, p->l3, p, &p->sender, &p->key.destination, &sender,
				       &flow->destination);
	if (p->v6)
		change_sum(skb, sum, outer, p, 0);
}

/* ---- flows ---- */

INLINE __u32 now(void)
{
	return coarse_time() >> 30;
}

INLINE struct tcx_setup *setup(void)
{
	__u32 zero = 0;
	return map_find(&masu_setup, &zero);
}

INLINE struct tcx_seen *seen_ports(void)
{
	__u32 zero = 0;
	return map_find(&masu_seen, &zero);
}

/* Packets to that port are to be looked at from now on. */
INLINE void note_port(__u8 protocol, __u16 network_port)
{
	struct tcx_seen *seen = seen_ports();
	__u32 port = __builtin_bswap16(network_port), bit = 1u << port % 32;
	if (!seen)
		return;
	__u32 *word = &seen->flows[protocol == IPPROTO_UDP][port / 32];
	if (!(*word & bit))
		__sync_fetch_and_or(word, bit);
}

/*
 * Whether nothing here can be about a packet that comes in: neither is its port published, nor does
 * a connection use it. This is what almost all of the host's own packets meet, so it
 * reads them in place and does no more than that. Of a header that is not as usual it does not
 * know.
 */
INLINE int is_of_others(const struct __sk_buff *skb, __u32 l3)
{
	const char *at = (const char *)(long)skb->data + l3,
		   *end = (const char *)(long)skb->data_end;
	const struct tcx_seen *seen = seen_ports();
	__u8 protocol;
	const __u16 *ports;
	if (skb->protocol == __builtin_bswap16(ETH_P_IP)) {
		const struct ipv4 *ip = (const void *)at;
		if (at + sizeof(*ip) + 4 > end || ip->words != 0x45 ||
		    ip->part & __builtin_bswap16(LATER_PART | MORE_PARTS))
			return 0;
		protocol = ip->protocol;
		ports = (const void *)(ip + 1);
	} else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6)) {
		const struct ipv6 *ip = (const void *)at;
		if (at + sizeof(*ip) + 4 > end)
			return 0;
		protocol = ip->next;
		ports = (const void *)(ip + 1);
	} else {
		return 1;
	}
	if (!seen || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 0;
	__u32 udp = protocol == IPPROTO_UDP, port = __builtin_bswap16(ports[1]);
	return !seen->published[udp][port] && !(seen->flows[udp][port / 32] >> port % 32 & 1);
}

INLINE void note(struct tcx_flow *flow, const struct packet *p)
{
	__u32 time = now();
	if (flow->seen != time)
		flow->seen = time;
	if (p->closes && !p->inner3)
		flow->closing = 1;
	else if (p->opens)
		flow->closing = 0;
}

/* Connections outlive the publishing of their port; the first packet of one that nobody accepts is
 * none yet. Of datagrams this holds for what was sent out only. */
INLINE void note_known(struct tcx_flow *flow, const struct packet *p)
{
	note(flow, p);
	if (p->key.protocol == IPPROTO_TCP && !p->opens && !p->inner3)
		note_port(IPPROTO_TCP, p->key.destination_port);
}

INLINE int is_idle(const struct tcx_flow *flow, __u8 protocol)
{
	__u32 idle = now() - flow->seen;
	return idle > (flow->closing		 ? IDLE_CLOSING
		       : protocol == IPPROTO_TCP ? IDLE_TCP
						 : IDLE_OTHER);
}

/* Both directions of the connection whose first packet is @p, which becomes @flow. */
INLINE void remember(const struct packet *p, struct tcx_flow *flow, __u8 back_side, __u8 back_way)
{
	struct tcx_flow_key key = { 0 };
	struct tcx_flow back = { 0 };
	flow->seen = back.seen = now();
	key.source = flow->destination;
	key.destination = flow->source;
	key.source_port = flow->destination_port;
	key.destination_port = flow->source_port;
	key.protocol = p->key.protocol;
	key.side = back_side;
	back.source = p->key.destination;
	back.destination = p->key.source;
	back.source_port = p->key.destination_port;
	back.destination_port = p->key.source_port;
	back.way = back_way;
	map_put(&masu_flows, &key, &back, BPF_ANY);
	map_put(&masu_flows, &p->key, flow, BPF_ANY);
	if (back_side == TCX_OUTSIDE)
		note_port(key.protocol, key.destination_port);
}

INLINE void part_key(const struct packet *p, struct tcx_part_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->key.source;
	ret->destination = p->key.destination;
	ret->id = p->id;
	ret->protocol = p->key.protocol;
	ret->side = p->key.side;
}

/* The first part of a datagram tells the others where it went. */
INLINE void note_part(const struct packet *p, const struct tcx_flow *flow)
{
	struct tcx_part_key key;
	if (p->part != FIRST_PART)
		return;
	part_key(p, &key);
	map_put(&masu_parts, &key, flow, BPF_ANY);
}

INLINE struct tcx_flow *find_part(const struct packet *p)
{
	struct tcx_part_key key;
	part_key(p, &key);
	return map_find(&masu_parts, &key);
}

INLINE struct tcx_port *find_port(const struct packet *p)
{
	struct tcx_port_key key = {
		.address = p->key.destination,
		.port = p->key.destination_port,
		.protocol = p->key.protocol,
		.v6 = p->v6,
	};
	struct tcx_port *port = map_find(&masu_ports, &key);
	if (port)
		return port;
	__builtin_memset(&key.address, 0, sizeof(key.address));
	return map_find(&masu_ports, &key);
}

/* Whether the packet is the first of something, as far as it shows. */
INLINE int may_be_new(const struct packet *p)
{
	return !p->inner3 && (p->opens || p->key.protocol == IPPROTO_UDP);
}

INLINE int leads_to(const struct tcx_flow *flow, const struct tcx_port *port)
{
	return flow->destination_port == port->port &&
	       same_address(&flow->destination, &port->address);
}

INLINE int is_loopback(const struct tcx_address *address)
{
	if (address->word[0] | address->word[1])
		return 0;
	if (address->word[2] == __builtin_bswap32(0xffff))
		return (address->word[3] & __builtin_bswap32(0xff000000)) ==
		       __builtin_bswap32(0x7f000000);
	return !address->word[2] && address->word[3] == __builtin_bswap32(1);
}

/* Sent to more than one: 224.0.0.0/4 and above, ff00::/8. */
INLINE int is_group(const struct packet *p)
{
	__u32 first = __builtin_bswap32(p->key.destination.word[p->v6 ? 0 : 3]);
	return p->v6 ? first >> 24 == 0xff : first >> 28 >= 0xe;
}

/* Whether the host itself has the address, seen from where the packet came in. */
INLINE int is_local(struct __sk_buff *skb, const struct packet *p,
		    const struct tcx_address *address)
{
	struct bpf_fib_lookup fib = { 0 };
	fib.ifindex = skb->ifindex;
	if (p->v6) {
		fib.family = 10;
		__builtin_memcpy(fib.ipv6_dst, address, sizeof(*address));
	} else {
		fib.family = 2;
		fib.ipv4_dst = address->word[3];
	}
	return fib_lookup(skb, &fib, sizeof(fib), FIB_SKIP_NEIGH) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

INLINE int in_subnet(const struct tcx_setup *s, const struct tcx_address *address, __u8 v6)
{
	if (!v6)
		return (address->word[3] & s->mask4) == s->subnet4;
	__u32 bits = s->bits6;
	int same = bits != 0;
#pragma unroll
	for (__u32 i = 0; i < 4; i++) {
		__u32 here = bits > 32 * i ? bits - 32 * i : 0;
		__u32 mask = here >= 32 ? ~0u : here ? ~(~0u >> here) : 0;
		same &= !((address->word[i] ^ s->subnet6.word[i]) & __builtin_bswap32(mask));
	}
	return same;
}

/* Whether a socket of the host has the connection that @key would be an answer of. */
INLINE int host_has(struct __sk_buff *skb, const struct tcx_flow_key *key, __u8 v6)
{
	struct bpf_sock_tuple tuple = { 0 };
	__u32 size = v6 ? sizeof(tuple.ipv6) : sizeof(tuple.ipv4);
	if (v6) {
		__builtin_memcpy(tuple.ipv6.saddr, &key->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &key->destination, 16);
		tuple.ipv6.sport = key->source_port;
		tuple.ipv6.dport = key->destination_port;
	} else {
		tuple.ipv4.saddr = key->source.word[3];
		tuple.ipv4.daddr = key->destination.word[3];
		tuple.ipv4.sport = key->source_port;
		tuple.ipv4.dport = key->destination_port;
	}
	struct bpf_sock *sock = key->protocol == IPPROTO_TCP ? find_tcp(skb, &tuple, size, -1, 0)
							     : find_udp(skb, &tuple, size, -1, 0);
	if (!sock)
		return 0;
	int listens = key->protocol == IPPROTO_TCP && sock->state == BPF_TCP_LISTEN;
	release(sock);
	return !listens;
}

/*
 * Gives @flow, whose packets get an address of the host as source, a port there that neither
 * another flow nor a socket of the host has towards the same peer: the sender's own, if the host
 * would not give it to its sockets, or one of those it would not. False: none was found.
 */
INLINE int choose_port(struct __sk_buff *skb, const struct packet *p, struct tcx_flow *flow,
		       const struct tcx_setup *s, __u8 back_side)
{
	struct tcx_flow_key key = { 0 };
	key.source = flow->destination;
	key.destination = flow->source;
	key.source_port = flow->destination_port;
	key.protocol = p->key.protocol;
	key.side = back_side;
	int has_port = key.protocol == IPPROTO_TCP || key.protocol == IPPROTO_UDP;
	__u32 own = __builtin_bswap16(p->key.source_port), count = s->port_count;
	if (!count)
		return 0;
	__u32 at = random32() % count;
	for (__u32 i = 0; i < PORT_TRIES; i++) {
		__u32 port = s->first_port + (at + i) % count;
		if (!i && (!has_port || own - s->first_port < count))
			port = own;
		key.destination_port = __builtin_bswap16(port);
		if (is_icmp(p))
			key.source_port = key.destination_port;
		struct tcx_flow *other = map_find(&masu_flows, &key);
		if (other && !is_idle(other, key.protocol) &&
		    !(same_address(&other->destination, &p->key.source) &&
		      other->destination_port == p->key.source_port))
			continue;
		if (has_port && host_has(skb, &key, p->v6))
			continue;
		flow->source_port = key.destination_port;
		if (is_icmp(p))
			flow->destination_port = key.destination_port;
		return 1;
	}
	return 0;
}

/* ---- sending them on ---- */

INLINE int to_container(struct __sk_buff *skb, __u32 l3, const struct tcx_host *host)
{
	/* Copied: what follows may move the map's element out of sight of the verifier. */
	struct tcx_host to = *host;
	if (!l3) {
		struct ethhdr ethernet = { 0 };
		ethernet.h_proto = skb->protocol;
		__builtin_memcpy(ethernet.h_dest, to.mac, ETH_ALEN);
		if (change_head(skb, sizeof(ethernet), 0) < 0)
			return TCX_DROP;
		store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0);
	}
	return redirect_peer(to.interface, 0);
}

/* A neighbour that the host knows already gets it at once. */
INLINE int to_outside(struct __sk_buff *skb, const struct bpf_fib_lookup *fib, long found)
{
	if (found == BPF_FIB_LKUP_RET_SUCCESS) {
		store_bytes(skb, 0, fib->dmac, ETH_ALEN, 0);
		store_bytes(skb, ETH_ALEN, fib->smac, ETH_ALEN, 0);
		return redirect(fib->ifindex, 0);
	}
	struct bpf_redir_neigh hop = { 0 };
	hop.nh_family = fib->family;
	__builtin_memcpy(hop.ipv6_nh, fib->ipv6_dst, sizeof(hop.ipv6_nh));
	return redirect_neigh(fib->ifindex, &hop, sizeof(hop), 0);
}

/* As if it had come in by lo. */
INLINE int to_host(struct __sk_buff *skb)
{
	struct ethhdr ethernet = { 0 };
	store_bytes(skb, 0, &ethernet, 2 * ETH_ALEN, 0);
	return redirect(1, BPF_F_INGRESS);
}

INLINE int to_bridge(__u32 bridge, const struct packet *p, const struct tcx_address *address)
{
	struct tcx_host *host = map_find(&masu_hosts, address);
	if (host)
		return redirect_peer(host->interface, 0);
	struct bpf_redir_neigh hop = { 0 };
	hop.nh_family = p->v6 ? 10 : 2;
	if (p->v6)
		__builtin_memcpy(hop.ipv6_nh, address, sizeof(*address));
	else
		hop.ipv4_nh = address->word[3];
	return redirect_neigh(bridge, &hop, sizeof(hop), 0);
}

INLINE void apply(struct __sk_buff *skb, const struct packet *p, const struct tcx_flow *flow)
{
	if (p->inner3)
		translate_error(skb, p, flow);
	else
		translate(skb, p, flow);
}

/* The flow of a packet to a published port, made where it is the first; NULL: it is none, or
 * @new is to be made. */
INLINE struct tcx_flow *find_published(const struct packet *p, struct tcx_port **ret_new)
{
	*ret_new = 0;
	if (p->part == OTHER_PART)
		return find_part(p);
	struct tcx_flow *flow = map_find(&masu_flows, &p->key);
	if (!may_be_new(p))
		return flow;
	/* Read before the port is looked for: what changes meanwhile is looked for again. */
	struct tcx_seen *seen = seen_ports();
	__u32 changes = seen ? seen->changes : 0;
	if (flow && changes && flow->checked == changes && !p->opens)
		return flow;
	struct tcx_port *port = find_port(p);
	if (flow && (!port || leads_to(flow, port))) {
		flow->checked = changes;
		return flow;
	}
	if (!port)
		return flow;
	*ret_new = port;
	return 0;
}

INLINE void start_flow(const struct packet *p, const struct tcx_port *port, struct tcx_flow *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->key.source;
	ret->source_port = p->key.source_port;
	ret->destination = port->address;
	ret->destination_port = port->port;
}

INLINE struct work *work(void)
{
	__u32 zero = 0;
	return map_find(&masu_work, &zero);
}

/* The address that containers know the host by. */
INLINE void set_gateway(const struct packet *p, const struct tcx_setup *s, struct tcx_address *ret)
{
	if (p->v6)
		*ret = s->gateway6;
	else
		set_address4(ret, s->gateway4);
}

/* ---- the programs ---- */

INLINE int come_in(struct __sk_buff *skb, __u32 l3, struct packet *p, struct tcx_flow *flow)
{
	struct tcx_port *port;
	struct tcx_setup *s = setup();
	__u32 interface = skb->ifindex;
	/* A tagged packet comes in a second time, by the interface of its VLAN. */
	if (!s || skb->pkt_type != 0 || skb->vlan_present ||
	    !read_packet(skb, l3, TCX_OUTSIDE, p) || is_loopback(&p->key.destination) ||
	    is_loopback(&p->key.source))
		return TCX_NEXT;
	struct tcx_flow *known = find_published(p, &port);
	if (known) {
		note_known(known, p);
		*flow = *known;
	} else {
		if (!port || is_group(p) || !is_local(skb, p, &p->key.destination) ||
		    is_local(skb, p, &p->key.source))
			return TCX_NEXT;
		start_flow(p, port, flow);
		/* What another network's containers are answered goes by that network's guard,
		 * which lets nobody near them. */
		if (map_find(&masu_near, &interface)) {
			set_gateway(p, s, &flow->source);
			if (!choose_port(skb, p, flow, s, TCX_CONTAINER))
				return TCX_DROP;
		}
		remember(p, flow, TCX_CONTAINER, TCX_TO_OUTSIDE);
	}
	note_part(p, flow);
	if (flow->way == TCX_AS_ROUTED) {
		apply(skb, p, flow);
		skb->priority = TCX_PRIORITY;
		return TCX_NEXT;
	}
	struct tcx_host *host = map_find(&masu_hosts, &flow->destination);
	if (!host)
		return TCX_NEXT;
	apply(skb, p, flow);
	return to_container(skb, l3, host);
}

SECTION("in") int masu_in(struct __sk_buff *skb)
{
	if (is_of_others(skb, ETH_HLEN))
		return TCX_NEXT;
	struct work *w = work();
	return w ? come_in(skb, ETH_HLEN, &w->packet, &w->flow) : TCX_NEXT;
}
SECTION("in_raw") int masu_in_raw(struct __sk_buff *skb)
{
	if (is_of_others(skb, 0))
		return TCX_NEXT;
	struct work *w = work();
	return w ? come_in(skb, 0, &w->packet, &w->flow) : TCX_NEXT;
}

/* The address that the host has where this packet leaves. */
INLINE int own_address(struct __sk_buff *skb, const struct packet *p, struct tcx_address *ret)
{
	struct bpf_fib_lookup fib = { 0 };
	fib.ifindex = skb->ifindex;
	fib.family = p->v6 ? 10 : 2;
	if (p->v6)
		__builtin_memcpy(fib.ipv6_dst, &p->key.destination, sizeof(p->key.destination));
	else
		fib.ipv4_dst = p->key.destination.word[3];
	long r = fib_lookup(skb, &fib, sizeof(fib),
			    FIB_SKIP_NEIGH | FIB_SRC | BPF_FIB_LOOKUP_OUTPUT);
	if (r != BPF_FIB_LKUP_RET_SUCCESS && r != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return 0;
	if (p->v6)
		__builtin_memcpy(ret, fib.ipv6_src, sizeof(*ret));
	else
		set_address4(ret, fib.ipv4_src);
	return 1;
}

/* What containers send out, after the host has routed and filtered it. */
INLINE int go_out(struct __sk_buff *skb, __u32 l3, struct packet *p, struct tcx_flow *flow)
{
	struct tcx_setup *s = setup();
	if (!s || !read_packet(skb, l3, TCX_CONTAINER, p) ||
	    !in_subnet(s, p->inner3 ? &p->sender : &p->key.source, p->v6))
		return TCX_NEXT;
	struct tcx_flow *known =
		p->part == OTHER_PART ? find_part(p) : map_find(&masu_flows, &p->key);
	if (known) {
		note(known, p);
		*flow = *known;
	} else {
		if (!s->masquerade)
			return TCX_NEXT;
		__builtin_memset(flow, 0, sizeof(*flow));
		flow->destination = p->key.destination;
		flow->destination_port = p->key.destination_port;
		/* An error about a connection that is gone, and the rest of what began elsewhere.
		 */
		if (p->inner3 || p->part == OTHER_PART || !own_address(skb, p, &flow->source) ||
		    !choose_port(skb, p, flow, s, TCX_OUTSIDE))
			return TCX_DROP;
		flow->way = TCX_AS_ROUTED;
		remember(p, flow, TCX_OUTSIDE, TCX_AS_ROUTED);
	}
	note_part(p, flow);
	apply(skb, p, flow);
	return TCX_NEXT;
}

/* Whether a packet that leaves is none of a container's, as far as a look at it in place tells. */
INLINE int is_from_others(const struct __sk_buff *skb, __u32 l3)
{
	const char *at = (const char *)(long)skb->data + l3,
		   *end = (const char *)(long)skb->data_end;
	const struct tcx_setup *s = setup();
	if (!s)
		return 1;
	if (skb->protocol == __builtin_bswap16(ETH_P_IP)) {
		const struct ipv4 *ip = (const void *)at;
		return at + sizeof(*ip) <= end && (ip->source & s->mask4) != s->subnet4;
	}
	const struct ipv6 *ip = (const void *)at;
	if (skb->protocol != __builtin_bswap16(ETH_P_IPV6))
		return 1;
	return at + sizeof(*ip) <= end && !in_subnet(s, &ip->source, 1);
}

SECTION("out") int masu_out(struct __sk_buff *skb)
{
	if (is_from_others(skb, ETH_HLEN))
		return TCX_NEXT;
	struct work *w = work();
	return w ? go_out(skb, ETH_HLEN, &w->packet, &w->flow) : TCX_NEXT;
}
SECTION("out_raw") int masu_out_raw(struct __sk_buff *skb)
{
	if (is_from_others(skb, 0))
		return TCX_NEXT;
	struct work *w = work();
	return w ? go_out(skb, 0, &w->packet, &w->flow) : TCX_NEXT;
}

/* What the host's programs send to the host's addresses, seen where it comes in by lo. */
INLINE int from_host(struct __sk_buff *skb, struct packet *p, struct tcx_flow *flow)
{
	struct tcx_port *port;
	struct tcx_setup *s = setup();
	if (!s || !read_packet(skb, ETH_HLEN, TCX_HOST, p))
		return TCX_NEXT;
	struct tcx_flow *known = find_published(p, &port);
	if (known) {
		note_known(known, p);
		*flow = *known;
	} else {
		if (!port || is_group(p))
			return TCX_NEXT;
		start_flow(p, port, flow);
		if (is_loopback(&p->key.source))
			set_gateway(p, s, &flow->source);
		if (!choose_port(skb, p, flow, s, TCX_CONTAINER))
			return TCX_DROP;
		remember(p, flow, TCX_CONTAINER, TCX_TO_HOST);
	}
	note_part(p, flow);
	struct tcx_host *host = map_find(&masu_hosts, &flow->destination);
	if (!host)
		return TCX_NEXT;
	apply(skb, p, flow);
	if (s->scrubs)
		return to_container(skb, ETH_HLEN, host);
	store_bytes(skb, 0, host->mac, ETH_ALEN, 0);
	return redirect(host->interface, 0);
}

SECTION("lo") int masu_lo(struct __sk_buff *skb)
{
	if (is_of_others(skb, ETH_HLEN))
		return TCX_NEXT;
	struct work *w = work();
	return w ? from_host(skb, &w->packet, &w->flow) : TCX_NEXT;
}

INLINE long find_way(struct __sk_buff *skb, const struct packet *p, const struct tcx_flow *flow,
		     struct bpf_fib_lookup *fib)
{
	fib->ifindex = skb->ifindex;
	if (p->v6) {
		fib->family = 10;
		__builtin_memcpy(fib->ipv6_src, &flow->source, sizeof(flow->source));
		__builtin_memcpy(fib->ipv6_dst, &flow->destination, sizeof(flow->destination));
	} else {
		fib->family = 2;
		fib->ipv4_src = flow->source.word[3];
		fib->ipv4_dst = flow->destination.word[3];
	}
	return fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* What containers send to their gateway: answers, and what is for a port that another of them has
 * published. Everything else is the host's business. */
INLINE int from_container(struct __sk_buff *skb, struct packet *p, struct tcx_flow *flow)
{
	struct tcx_port *port;
	struct bpf_fib_lookup fib = { 0 };
	struct tcx_setup *s = setup();
	if (!s || skb->pkt_type != 0 || !read_packet(skb, ETH_HLEN, TCX_CONTAINER, p) ||
	    !in_subnet(s, p->inner3 ? &p->sender : &p->key.source, p->v6))
		return TCX_NEXT;
	struct tcx_flow *known = find_published(p, &port);
	if (known) {
		note(known, p);
		*flow = *known;
	} else {
		if (!port || is_loopback(&p->key.destination) || is_group(p) ||
		    !is_local(skb, p, &p->key.destination))
			return TCX_NEXT;
		start_flow(p, port, flow);
		set_gateway(p, s, &flow->source);
		if (!choose_port(skb, p, flow, s, TCX_CONTAINER))
			return TCX_DROP;
		flow->way = TCX_TO_BRIDGE;
		remember(p, flow, TCX_CONTAINER, TCX_TO_BRIDGE);
	}
	note_part(p, flow);
	if (flow->way == TCX_AS_ROUTED)
		return TCX_NEXT;
	long way = 0;
	if (flow->way == TCX_TO_OUTSIDE) {
		way = find_way(skb, p, flow, &fib);
		/* Too big for the next network, no route: the host answers as it does. */
		if (way != BPF_FIB_LKUP_RET_SUCCESS && way != BPF_FIB_LKUP_RET_NO_NEIGH)
			return TCX_NEXT;
	}
	__u32 bridge = s->bridge;
	apply(skb, p, flow);
	if (flow->way == TCX_TO_OUTSIDE)
		return to_outside(skb, &fib, way);
	if (flow->way == TCX_TO_HOST)
		return to_host(skb);
	return to_bridge(bridge, p, &flow->destination);
}

SECTION("bridge") int masu_bridge(struct __sk_buff *skb)
{
	struct work *w = work();
	return w ? from_container(skb, &w->packet, &w->flow) : TCX_NEXT;
}
