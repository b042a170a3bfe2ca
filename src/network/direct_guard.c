#include "network/direct_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "network/network.h"
#include "sys/bpf.h"

#define INSNS_PER_PORT 20
#define INSNS_MAX      (96 + GUARD_PORTS_MAX * INSNS_PER_PORT)

#define CTX(field) offsetof(struct bpf_sock_addr, field)

/* Those from SEND4 on are for UDP only. */
enum guard_hook {
	CONNECT4,
	CONNECT6,
	BIND4,
	BIND6,
	SOCKNAME4,
	SOCKNAME6,
	OPTION,
	SEND4,
	SEND6,
	RECEIVE4,
	RECEIVE6,
	HOOKS
};

static const struct bpf_kind hooks[HOOKS] = {
	[CONNECT4] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, "masu_connect4" },
	[CONNECT6] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT, "masu_connect6" },
	[BIND4] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND, "masu_bind4" },
	[BIND6] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_BIND, "masu_bind6" },
	[SOCKNAME4] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETSOCKNAME,
			"masu_sockname4" },
	[SOCKNAME6] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_GETSOCKNAME,
			"masu_sockname6" },
	[OPTION] = { BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_SETSOCKOPT, "masu_option" },
	[SEND4] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG, "masu_send4" },
	[SEND6] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_SENDMSG, "masu_send6" },
	[RECEIVE4] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_RECVMSG, "masu_receive4" },
	[RECEIVE6] = { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_RECVMSG, "masu_receive6" },
};

/* r6 = the context, and a jump, to be given its target, where the socket is the host's. */
static size_t emit_if_host(struct bpf_code *code, uint64_t host_netns)
{
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_X, R6, R1, 0, 0);
	bpf_emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie);
	bpf_emit(code, BPF_LD | BPF_IMM | BPF_DW, R1, 0, 0, (int32_t)host_netns);
	bpf_emit(code, 0, 0, 0, 0, (int32_t)(host_netns >> 32));
	bpf_emit(code, BPF_JMP | BPF_JEQ | BPF_X, R0, R1, 0, 0);
	return code->count - 1;
}

/* Goes on behind the instruction at the returned place, unless the word at @offset is @value. */
static size_t emit_unless(struct bpf_code *code, size_t offset, uint32_t value)
{
	bpf_emit_load(code, R2, R6, offset);
	bpf_emit(code, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, 0, (int32_t)value);
	return code->count - 1;
}

static void emit_store(struct bpf_code *code, size_t offset, uint32_t value)
{
	bpf_emit(code, BPF_ALU | BPF_MOV | BPF_K, R2, 0, 0, (int32_t)value);
	bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R6, R2, (int16_t)offset, 0);
}

/* ---- datagrams ---- */

/* An address as five words, an IPv4 one as ::ffff:a.b.c.d: what a socket of both families is told
 * and what it sends to are not always spelled alike. */
#define PEER_WORDS 5
#define PEERS_MAX  4096

static void emit_key(struct bpf_code *code, bool v6)
{
	for (int word = 0; word < PEER_WORDS; word++) {
		bool port = word == 4, address = !port && (v6 || word == 3);
		if (port)
			bpf_emit_load(code, R2, R6, CTX(user_port));
		else if (address)
			bpf_emit_load(code, R2, R6,
				      v6 ? CTX(user_ip6) + 4 * (size_t)word : CTX(user_ip4));
		else
			bpf_emit(code, BPF_ALU | BPF_MOV | BPF_K, R2, 0, 0,
				 word == 2 ? (int32_t)htonl(0xffff) : 0);
		bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R10, R2,
			 (int16_t)(4 * (word - PEER_WORDS)), 0);
	}
}

/* r0 = what the map has of the peer, or 0. */
static void emit_lookup(struct bpf_code *code, const struct guard *guard, bool v6)
{
	emit_key(code, v6);
	bpf_emit_map(code, R1, guard->peers_fd);
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_X, R2, R10, 0, 0);
	bpf_emit(code, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, -4 * PEER_WORDS);
	bpf_emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
}

/* The end of the program: yes where the peer is known. */
static void emit_if_heard(struct bpf_code *code, const struct guard *guard, bool v6)
{
	emit_lookup(code, guard, v6);
	bpf_emit(code, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 2, 0);
	bpf_emit_return(code, 1);
	bpf_emit_return(code, fault_without("direct-guard"));
}

static void write_send(struct bpf_code *code, const struct guard *guard, bool v6)
{
	size_t host = emit_if_host(code, guard->host_netns);
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	emit_if_heard(code, guard, v6);
}

static void write_receive(struct bpf_code *code, const struct guard *guard, bool v6)
{
	size_t host = emit_if_host(code, guard->host_netns);
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	emit_lookup(code, guard, v6);
	bpf_emit(code, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 2, 0);
	bpf_emit_return(code, 1);
	bpf_emit_map(code, R1, guard->peers_fd);
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_X, R2, R10, 0, 0);
	bpf_emit(code, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, -4 * PEER_WORDS);
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_X, R3, R2, 0, 0);
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_K, R4, 0, 0, 0);
	bpf_emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_update_elem);
	bpf_emit_return(code, 1);
}

/* ---- connect ---- */

/* Jumps, to be given their targets, where a word of the IPv6 address is another. */
static void emit_unless_address6(struct bpf_code *code, const uint32_t words[4], size_t ret[4])
{
	for (size_t i = 0; i < 4; i++)
		ret[i] = emit_unless(code, CTX(user_ip6) + 4 * i, words[i]);
}

/* Jumps, at most four, where the address is not the container itself; how many. */
static size_t emit_unless_itself(struct bpf_code *code, const struct guard *guard, bool v6,
				 size_t ret[4])
{
	const struct guard_addresses *at = &guard->addresses;
	if (!v6) {
		bpf_emit_load(code, R2, R6, CTX(user_ip4));
		bpf_emit(code, BPF_JMP32 | BPF_JEQ | BPF_K, R2, 0, 2, (int32_t)at->own4.s_addr);
		bpf_emit(code, BPF_ALU | BPF_AND | BPF_K, R2, 0, 0, (int32_t)htonl(0xff000000));
		bpf_emit(code, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, 0, (int32_t)htonl(0x7f000000));
		ret[0] = code->count - 1;
		return 1;
	}
	uint32_t own[4], loopback[4] = { 0, 0, 0, htonl(1) };
	size_t others[4];
	memcpy(own, &at->own6, sizeof(own));
	emit_unless_address6(code, loopback, others);
	bpf_emit(code, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	size_t is_loopback = code->count - 1;
	for (size_t i = 0; i < 4; i++)
		bpf_emit_target(code, others[i]);
	emit_unless_address6(code, own, ret);
	bpf_emit_target(code, is_loopback);
	return 4;
}

static void emit_to_server(struct bpf_code *code, const struct guard *guard, bool v6,
			   const struct guard_port *port)
{
	uint32_t address[4];
	size_t protocol = emit_unless(code, CTX(protocol), port->protocol);
	size_t other = emit_unless(code, CTX(user_port), htons(port->container_port));
	memcpy(address, &guard->addresses.gateway6, sizeof(address));
	if (!v6)
		address[0] = guard->addresses.gateway4.s_addr;
	for (size_t i = 0; i < (v6 ? 4 : 1); i++)
		emit_store(code, (v6 ? CTX(user_ip6) : CTX(user_ip4)) + 4 * i,
			   port->address ? port->address[i] : address[i]);
	emit_store(code, CTX(user_port), htons(port->host_port));
	bpf_emit_return(code, 1);
	bpf_emit_target(code, protocol);
	bpf_emit_target(code, other);
}

static void write_connect(struct bpf_code *code, const struct guard *guard, bool v6,
			  const struct guard_port *ports, size_t count)
{
	size_t host = emit_if_host(code, guard->host_netns), others[4];
	unsigned family = v6 ? NETWORK_DIRECT_V6 : NETWORK_DIRECT_V4;
	if (!v6 || guard->addresses.has_ipv6) {
		size_t other_count = emit_unless_itself(code, guard, v6, others);
		for (size_t i = 0; i < count; i++)
			if (ports[i].taken & family)
				emit_to_server(code, guard, v6, &ports[i]);
		for (size_t i = 0; i < other_count; i++)
			bpf_emit_target(code, others[i]);
	}
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	if (guard->udp) {
		size_t stream = emit_unless(code, CTX(protocol), IPPROTO_UDP);
		emit_if_heard(code, guard, v6);
		bpf_emit_target(code, stream);
	}
	bpf_emit_return(code, fault_without("direct-guard"));
}

/* ---- bind and getsockname ---- */

static void write_bind(struct bpf_code *code, const struct guard *guard,
		       const struct guard_port *ports, size_t count)
{
	size_t host = emit_if_host(code, guard->host_netns);
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	for (size_t i = 0; i < count; i++) {
		size_t protocol = emit_unless(code, CTX(protocol), ports[i].protocol);
		size_t other = emit_unless(code, CTX(user_port), htons(ports[i].host_port));
		bpf_emit_return(code, 1);
		bpf_emit_target(code, protocol);
		bpf_emit_target(code, other);
	}
	bpf_emit_return(code, fault_without("direct-guard"));
}

static void write_sockname(struct bpf_code *code, const struct guard *guard,
			   const struct guard_port *ports, size_t count)
{
	size_t host = emit_if_host(code, guard->host_netns);
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	for (size_t i = 0; i < count; i++) {
		size_t protocol = emit_unless(code, CTX(protocol), ports[i].protocol);
		size_t other = emit_unless(code, CTX(user_port), htons(ports[i].host_port));
		emit_store(code, CTX(user_port), htons(ports[i].container_port));
		bpf_emit_return(code, 1);
		bpf_emit_target(code, protocol);
		bpf_emit_target(code, other);
	}
	bpf_emit_return(code, 1);
}

/* ---- options ---- */

/*
 * What the kernel lets whoever has CAP_NET_RAW do, which is among a container's, or anybody: to
 * choose a route by a mark, an interface or a foreign source address, to join groups on the host's
 * interfaces, and to take flow labels from the host's programs.
 */
static const struct {
	uint32_t level, name;
} refused_options[] = {
	{ SOL_SOCKET, SO_MARK },
	{ SOL_SOCKET, SO_BINDTODEVICE },
	{ SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */ },
	{ IPPROTO_IP, IP_TRANSPARENT },
	{ IPPROTO_IP, IP_UNICAST_IF },
	{ IPPROTO_IP, IP_MULTICAST_IF },
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP },
	{ IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP },
	{ IPPROTO_IP, MCAST_JOIN_GROUP },
	{ IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP },
	{ IPPROTO_IPV6, IPV6_TRANSPARENT },
	{ IPPROTO_IPV6, IPV6_UNICAST_IF },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF },
	{ IPPROTO_IPV6, IPV6_JOIN_GROUP },
	{ IPPROTO_IPV6, IPV6_JOIN_ANYCAST },
	{ IPPROTO_IPV6, MCAST_JOIN_GROUP },
	{ IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP },
	{ IPPROTO_IPV6, IPV6_PKTINFO },
	{ IPPROTO_IPV6, 32 /* IPV6_FLOWLABEL_MGR */ },
};

static bool is_transparent(size_t i)
{
	return (refused_options[i].level == IPPROTO_IP &&
		refused_options[i].name == IP_TRANSPARENT) ||
	       (refused_options[i].level == IPPROTO_IPV6 &&
		refused_options[i].name == IPV6_TRANSPARENT);
}

/* A listener on the host has it, for direct_address.h, and can do nothing with it. */
static void emit_allow_stream(struct bpf_code *code)
{
	bpf_emit(code, BPF_LDX | BPF_MEM | BPF_DW, R2, R6, offsetof(struct bpf_sockopt, sk), 0);
	bpf_emit_load(code, R2, R2, offsetof(struct bpf_sock, protocol));
	bpf_emit(code, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, 2, IPPROTO_TCP);
	bpf_emit_return(code, 1);
}

static void write_option(struct bpf_code *code, const struct guard *guard)
{
	size_t host = emit_if_host(code, guard->host_netns);
	bpf_emit_return(code, 1);
	bpf_emit_target(code, host);
	for (size_t i = 0; i < ARRAY_SIZE(refused_options); i++) {
		size_t level = emit_unless(code, offsetof(struct bpf_sockopt, level),
					   refused_options[i].level);
		size_t name = emit_unless(code, offsetof(struct bpf_sockopt, optname),
					  refused_options[i].name);
		if (is_transparent(i))
			emit_allow_stream(code);
		bpf_emit_return(code, fault_without("direct-options"));
		bpf_emit_target(code, level);
		bpf_emit_target(code, name);
	}
	/* The value as the program gave it, of whatever length. */
	emit_store(code, offsetof(struct bpf_sockopt, optlen), 0);
	bpf_emit_return(code, 1);
}

/* ---- attaching ---- */

static int attach(const struct guard *guard, enum guard_hook hook, const struct guard_port *ports,
		  size_t count, int replace_fd)
{
	struct bpf_insn insns[INSNS_MAX];
	struct bpf_code code = { insns, 0 };
	if (hook == CONNECT4 || hook == CONNECT6)
		write_connect(&code, guard, hook == CONNECT6, ports, count);
	else if (hook == BIND4 || hook == BIND6)
		write_bind(&code, guard, ports, count);
	else if (hook == SOCKNAME4 || hook == SOCKNAME6)
		write_sockname(&code, guard, ports, count);
	else if (hook == OPTION)
		write_option(&code, guard);
	else if (hook == SEND4 || hook == SEND6)
		write_send(&code, guard, hook == SEND6);
	else
		write_receive(&code, guard, hook == RECEIVE6);
	_cleanup_close_ int program = bpf_load(&hooks[hook], &code);
	if (program < 0)
		return program;
	return bpf_attach(guard->cgroup_fd, &hooks[hook], program, replace_fd);
}

static int put(struct guard *guard, enum guard_hook last, const struct guard_port *ports,
	       size_t count)
{
	for (unsigned hook = CONNECT4; hook < (guard->udp ? HOOKS : SEND4); hook++) {
		/* Those that are there already and do not change. */
		if (guard->attached && hook > last)
			continue;
		_cleanup_close_ int before =
			guard->attached ? bpf_find(guard->cgroup_fd, &hooks[hook]) : -ENOENT;
		int r = before < 0 && before != -ENOENT
				? before
				: attach(guard, hook, ports, count, before < 0 ? -1 : before);
		if (r < 0)
			return r;
	}
	guard->attached = true;
	return 0;
}

int guard_attach(struct guard *guard, const struct guard_port *ports, size_t count)
{
	if (guard->udp && guard->peers_fd < 0)
		guard->peers_fd = bpf_lru_map(4 * PEER_WORDS, 4, PEERS_MAX, "masu_peers");
	if (guard->udp && guard->peers_fd < 0)
		return guard->peers_fd;
	return put(guard, CONNECT6, ports, count);
}

int guard_renew(struct guard *guard, const struct guard_port *ports, size_t count)
{
	return guard->attached ? put(guard, SOCKNAME6, ports, count) : 0;
}

void guard_close(struct guard *guard)
{
	cleanup_close(&guard->peers_fd);
}
