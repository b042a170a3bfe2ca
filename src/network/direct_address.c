#include "network/direct_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/direct_guard.h"
#include "network/port.h"
#include "sys/bpf.h"
#include "sys/netlink.h"

/*
 * The mark says that a packet is for a direct port, of which port of the host (its lower half), and
 * whether that is one of the loopback address only, or of another single address, which the packet
 * then carries in its control block: that is kept from one program to the next where a packet is
 * handed to another interface without passing it.
 */
#define MARK	      0x6d600000u
#define MARK_MASK     0xfff00000u
#define MARK_LOOPBACK 0x00010000u
#define MARK_ADDRESS  0x00020000u
/* Before whatever else routes by rules (VPNs begin at 5,000), after the local addresses. */
#define RULE_PRIORITY 100
#define NEXT	      (-1) /* TCX_NEXT: whoever else has a program there */

#define CTX(field) offsetof(struct __sk_buff, field)

static const struct bpf_kind steer = { BPF_PROG_TYPE_SCHED_CLS, (enum bpf_attach_type)TCX_EGRESS,
				       "masu_steer" };
/* Not the name of the one that knew of no single addresses: that is left where it is. */
static const struct bpf_kind assign = { BPF_PROG_TYPE_SCHED_CLS, (enum bpf_attach_type)TCX_INGRESS,
					"masu_assign_2" };

static const struct bpf_kind inward = { BPF_PROG_TYPE_SCHED_CLS, (enum bpf_attach_type)TCX_INGRESS,
					"masu_inward" };

/* Where in a frame things are. What is loaded begins with the network header. */
struct layout {
	uint16_t type;
	uint8_t size; /* of the header, without options */
	uint8_t protocol, source, destination;
	uint8_t words; /* of an address */
};
static const struct layout layouts[] = {
	{ ETH_P_IP, 20, 9, 12, 16, 1 },
	{ ETH_P_IPV6, 40, 6, 8, 24, 4 },
};
#define TCP_CHECKSUM 16

/* Jumps that are given their target together. */
struct jumps {
	size_t at[2 * GUARD_PORTS_MAX + 48];
	size_t count;
};

static void land(struct bpf_code *code, struct jumps *jumps)
{
	for (size_t i = 0; i < jumps->count; i++)
		bpf_emit_target(code, jumps->at[i]);
	jumps->count = 0;
}

static void jump_if(struct bpf_code *code, struct jumps *jumps, uint8_t test, uint8_t reg,
		    uint32_t value)
{
	bpf_emit(code, (uint8_t)(BPF_JMP32 | test | BPF_K), reg, 0, 0, (int32_t)value);
	jumps->at[jumps->count++] = code->count - 1;
}

static void jump(struct bpf_code *code, struct jumps *jumps)
{
	bpf_emit(code, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	jumps->at[jumps->count++] = code->count - 1;
}

static void set(struct bpf_code *code, uint8_t reg, uint32_t value)
{
	bpf_emit(code, BPF_ALU | BPF_MOV | BPF_K, reg, 0, 0, (int32_t)value);
}

static void copy(struct bpf_code *code, uint8_t to, uint8_t from)
{
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

static void stack(struct bpf_code *code, uint8_t reg, int offset)
{
	copy(code, reg, R10);
	bpf_emit(code, BPF_ALU64 | BPF_ADD | BPF_K, reg, 0, 0, offset);
}

static void call(struct bpf_code *code, int function)
{
	bpf_emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

/* r2 = what the stack has at @offset. */
static void load(struct bpf_code *code, uint8_t size, int offset)
{
	bpf_emit(code, (uint8_t)(BPF_LDX | BPF_MEM | size), R2, R10, (int16_t)offset, 0);
}

/* Bytes of the frame to the stack, or there are not that many. */
static void fetch(struct bpf_code *code, struct jumps *fails, unsigned from, int to, unsigned len)
{
	copy(code, R1, R6);
	set(code, R2, from);
	stack(code, R3, to);
	set(code, R4, len);
	call(code, BPF_FUNC_skb_load_bytes);
	jump_if(code, fails, BPF_JNE, R0, 0);
}

static void store(struct bpf_code *code, unsigned to, const void *bytes, unsigned words,
		  unsigned len)
{
	uint32_t value[4];
	memcpy(value, bytes, len);
	for (unsigned i = 0; i < words; i++)
		bpf_emit(code, BPF_ST | BPF_MEM | BPF_W, R10, 0, (int16_t)(4 * i) - 64,
			 (int32_t)value[i]);
	copy(code, R1, R6);
	set(code, R2, to);
	stack(code, R3, -64);
	set(code, R4, len);
	set(code, R5, 0);
	call(code, BPF_FUNC_skb_store_bytes);
}

/* ---- at the container's interface ---- */

/* The container and the host, as the other one sees them. */
struct ends {
	uint32_t container[4], host[4];
	uint8_t host_mac[8];
	uint32_t bridge;
};

static void replace_sum(struct bpf_code *code, int function, unsigned at, const uint32_t words[2],
			uint32_t flags)
{
	copy(code, R1, R6);
	set(code, R2, at);
	set(code, R3, words[0]);
	set(code, R4, words[1]);
	set(code, R5, 4 | flags);
	call(code, function);
}

/* Gives the packet another address at @at of its header, in the place of @from. */
static void readdress(struct bpf_code *code, const struct layout *layout, unsigned at,
		      const uint32_t *from, const uint32_t *to)
{
	for (unsigned i = 0; i < layout->words; i++) {
		const uint32_t words[2] = { from[i], to[i] };
		replace_sum(code, BPF_FUNC_l4_csum_replace, ETH_HLEN + layout->size + TCP_CHECKSUM,
			    words, BPF_F_PSEUDO_HDR);
		if (layout->type == ETH_P_IP)
			replace_sum(code, BPF_FUNC_l3_csum_replace, ETH_HLEN + 10, words, 0);
	}
	store(code, ETH_HLEN + at, to, layout->words, 4u * layout->words);
}

/* Where in the stack the header is. */
static int header(const struct layout *layout)
{
	return -(layout->size + 4);
}

static void unless_address(struct bpf_code *code, struct jumps *jumps, const struct layout *layout,
			   unsigned at, const uint32_t *address)
{
	for (unsigned i = 0; i < layout->words; i++) {
		load(code, BPF_W, header(layout) + (int)(at + 4 * i));
		jump_if(code, jumps, BPF_JNE, R2, address[i]);
	}
}

static bool is_led(const struct network_port *port, const struct layout *layout)
{
	unsigned family = layout->type == ETH_P_IP ? NETWORK_DIRECT_V4 : NETWORK_DIRECT_V6;
	return port->protocol == NETWORK_TCP && (port->direct & family);
}

/* Only TCP in a packet of its own, without options before it. */
static void unless_plain(struct bpf_code *code, struct jumps *others, const struct layout *layout)
{
	int base = header(layout);
	if (layout->type == ETH_P_IP) {
		load(code, BPF_B, base);
		jump_if(code, others, BPF_JNE, R2, 0x45);
		load(code, BPF_H, base + 6);
		jump_if(code, others, BPF_JSET, R2, htons(0x3fff)); /* no fragment */
	}
	load(code, BPF_B, base + layout->protocol);
	jump_if(code, others, BPF_JNE, R2, IPPROTO_TCP);
}

/* Where the socket is bound to one address it is found there only. */
static void emit_port(struct bpf_code *code, const struct layout *layout,
		      const struct network_port *port, struct jumps *taken)
{
	uint32_t address[4], flag = 0;
	memcpy(address, &port->host_ip, sizeof(address));
	if (port_is_at_one(port))
		flag = layout->words == 1 && address[0] == htonl(INADDR_LOOPBACK) ? MARK_LOOPBACK
										  : MARK_ADDRESS;
	for (unsigned i = 0; flag == MARK_ADDRESS && i < layout->words; i++) {
		set(code, R3, address[i]);
		bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R6, R3, (int16_t)(CTX(cb) + 4 * i), 0);
	}
	set(code, R7, MARK | flag | port->host_port);
	jump_if(code, taken, BPF_JEQ, R2, htons(port->container_port));
}

/* What is for a direct port is marked; what comes back from it, to the host, gets the host's
 * address again. Falls through for both, and else jumps to @others. */
static void write_family(struct bpf_code *code, const struct layout *layout,
			 const struct ends *ends, const struct lease *lease, struct jumps *others)
{
	struct jumps not_own = { 0 }, not_host = { 0 }, answers = { 0 }, taken = { 0 },
		     done = { 0 };
	int base = header(layout), ports = base + layout->size;
	fetch(code, others, ETH_HLEN, base, layout->size + 4u);
	unless_plain(code, others, layout);
	unless_address(code, others, layout, layout->destination, ends->container);
	unless_address(code, &not_own, layout, layout->source, ends->container);
	load(code, BPF_H, ports);
	for (size_t i = 0; i < lease->port_count; i++)
		if (is_led(&lease->ports[i], layout))
			jump_if(code, &answers, BPF_JEQ, R2, htons(lease->ports[i].container_port));
	jump(code, others);
	land(code, &answers);
	readdress(code, layout, layout->destination, ends->container, ends->host);
	jump(code, &done);
	land(code, &not_own);
	load(code, BPF_H, ports + 2);
	for (size_t i = 0; i < lease->port_count; i++)
		if (is_led(&lease->ports[i], layout))
			emit_port(code, layout, &lease->ports[i], &taken);
	jump(code, others);
	land(code, &taken);
	bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R6, R7, CTX(mark), 0);
	unless_address(code, &not_host, layout, layout->source, ends->host);
	readdress(code, layout, layout->source, ends->host, ends->container);
	land(code, &not_host);
	land(code, &done);
}

/* Code that nothing leads to does not pass the verifier. */
static bool any_led(const struct lease *lease, const struct layout *layout)
{
	for (size_t i = 0; i < lease->port_count; i++)
		if (is_led(&lease->ports[i], layout))
			return true;
	return false;
}

static void jump_unless_type(struct bpf_code *code, struct jumps *jumps,
			     const struct layout *layout)
{
	bpf_emit_load(code, R2, R6, CTX(protocol));
	jump_if(code, jumps, BPF_JNE, R2, htons(layout->type));
}

static void write_steer(struct bpf_code *code, const struct ends ends[2], const struct lease *lease,
			bool ipv6)
{
	copy(code, R6, R1);
	for (size_t i = 0; i < (ipv6 ? 2 : 1); i++) {
		struct jumps others = { 0 };
		if (!any_led(lease, &layouts[i]))
			continue;
		jump_unless_type(code, &others, &layouts[i]);
		write_family(code, &layouts[i], &ends[i], lease, &others);
		/* As if it had come in by the bridge, for the host. */
		store(code, 0, ends[i].host_mac, 2, ETH_ALEN);
		set(code, R1, ends[i].bridge);
		set(code, R2, BPF_F_INGRESS);
		call(code, BPF_FUNC_redirect);
		bpf_emit(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		land(code, &others);
	}
	bpf_emit_return(code, NEXT);
}

/* ---- from inside ---- */

static void write_inward(struct bpf_code *code, struct in_addr gateway, const uint16_t *ports,
			 size_t count)
{
	const struct layout *layout = &layouts[0];
	const uint32_t address[4] = { gateway.s_addr };
	struct jumps others = { 0 }, taken = { 0 };
	int base = header(layout);
	copy(code, R6, R1);
	jump_unless_type(code, &others, layout);
	fetch(code, &others, ETH_HLEN, base, layout->size + 4u);
	unless_plain(code, &others, layout);
	unless_address(code, &others, layout, layout->destination, address);
	load(code, BPF_H, base + layout->size + 2);
	for (size_t i = 0; i < count; i++) {
		set(code, R7, MARK | MARK_LOOPBACK | ports[i]);
		jump_if(code, &taken, BPF_JEQ, R2, htons(ports[i]));
	}
	jump(code, &others);
	land(code, &taken);
	bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R6, R7, CTX(mark), 0);
	land(code, &others);
	bpf_emit_return(code, NEXT);
}

/* ---- at the bridge ---- */

/* The tuple of a connection is at the stack's end: addresses, then ports. */
static void write_lookup(struct bpf_code *code, const struct layout *layout, int function)
{
	copy(code, R1, R6);
	stack(code, R2, -8 - 8 * layout->words);
	set(code, R3, 8u * layout->words + 4);
	bpf_emit(code, BPF_ALU64 | BPF_MOV | BPF_K, R4, 0, 0, BPF_F_CURRENT_NETNS);
	set(code, R5, 0);
	call(code, function);
}

/* A packet of a connection that there is finds it by itself. Another one is given to whoever
 * listens. */
static void write_assign_family(struct bpf_code *code, const struct layout *layout,
				struct jumps *others)
{
	static const struct in6_addr loopback6 = IN6ADDR_LOOPBACK_INIT;
	struct jumps fresh = { 0 }, anywhere = { 0 }, elsewhere = { 0 };
	int base = -8 - 8 * layout->words, destination = base + 4 * layout->words;
	uint32_t loopback[4] = { htonl(INADDR_LOOPBACK) };
	if (layout->type == ETH_P_IPV6)
		memcpy(loopback, &loopback6, sizeof(loopback));
	fetch(code, others, ETH_HLEN + layout->source, base, 8u * layout->words);
	fetch(code, others, ETH_HLEN + layout->size, -8, 4);
	write_lookup(code, layout, BPF_FUNC_skc_lookup_tcp);
	bpf_emit(code, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, 0);
	fresh.at[fresh.count++] = code->count - 1;
	copy(code, R1, R0);
	call(code, BPF_FUNC_sk_release);
	jump(code, others);
	land(code, &fresh);
	for (int i = 0; i < layout->words; i++)
		bpf_emit(code, BPF_ST | BPF_MEM | BPF_W, R10, 0, (int16_t)(base + 4 * i), 0);
	bpf_emit(code, BPF_ST | BPF_MEM | BPF_H, R10, 0, -8, 0);
	copy(code, R2, R7);
	bpf_emit(code, BPF_ALU | BPF_END | BPF_TO_BE, R2, 0, 0, 16);
	bpf_emit(code, BPF_STX | BPF_MEM | BPF_H, R10, R2, -6, 0);
	jump_if(code, &elsewhere, BPF_JSET, R7, MARK_ADDRESS);
	bpf_emit(code, BPF_ALU | BPF_AND | BPF_K, R7, 0, 0, MARK_LOOPBACK);
	jump_if(code, &anywhere, BPF_JEQ, R7, 0);
	for (int i = 0; i < layout->words; i++)
		bpf_emit(code, BPF_ST | BPF_MEM | BPF_W, R10, 0, (int16_t)(destination + 4 * i),
			 (int32_t)loopback[i]);
	jump(code, &anywhere);
	land(code, &elsewhere);
	for (int i = 0; i < layout->words; i++) {
		bpf_emit_load(code, R2, R6, CTX(cb) + 4 * (size_t)i);
		bpf_emit(code, BPF_STX | BPF_MEM | BPF_W, R10, R2, (int16_t)(destination + 4 * i),
			 0);
	}
	land(code, &anywhere);
	write_lookup(code, layout, BPF_FUNC_sk_lookup_tcp);
	bpf_emit(code, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, 0);
	others->at[others->count++] = code->count - 1;
	copy(code, R7, R0);
	copy(code, R1, R6);
	copy(code, R2, R7);
	set(code, R3, 0);
	call(code, BPF_FUNC_sk_assign);
	copy(code, R1, R7);
	call(code, BPF_FUNC_sk_release);
}

static void write_assign(struct bpf_code *code)
{
	struct jumps others = { 0 };
	copy(code, R6, R1);
	bpf_emit_load(code, R7, R6, CTX(mark));
	copy(code, R2, R7);
	bpf_emit(code, BPF_ALU | BPF_AND | BPF_K, R2, 0, 0, (int32_t)MARK_MASK);
	jump_if(code, &others, BPF_JNE, R2, MARK);
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct jumps other_type = { 0 };
		jump_unless_type(code, &other_type, &layouts[i]);
		write_assign_family(code, &layouts[i], &others);
		jump(code, &others);
		land(code, &other_type);
	}
	land(code, &others);
	bpf_emit_return(code, NEXT);
}

/* ---- routes ---- */

static void put_rule(struct netlink_batch *batch, int family, uint16_t type, uint16_t flags,
		     const char *bridge)
{
	const struct fib_rule_hdr header = { .family = (uint8_t)family, .action = FR_ACT_TO_TBL };
	netlink_begin(batch, type, flags, &header, sizeof(header));
	netlink_put_u32(batch, FRA_PRIORITY, RULE_PRIORITY);
	netlink_put_u32(batch, FRA_FWMARK, MARK);
	netlink_put_u32(batch, FRA_FWMASK, MARK_MASK);
	netlink_put_string(batch, FRA_IIFNAME, bridge);
}

static int add_rule(int fd, int family, const char *bridge, uint32_t index)
{
	_cleanup_(netlink_batch_free)
	struct netlink_batch batch = { 0 };
	const struct rtmsg route = { .rtm_family = (uint8_t)family,
				     .rtm_protocol = RTPROT_BOOT,
				     .rtm_scope = RT_SCOPE_HOST,
				     .rtm_type = RTN_LOCAL };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof(route));
	netlink_put_u32(&batch, RTA_TABLE, MARK + index);
	netlink_put_u32(&batch, RTA_OIF, index);
	put_rule(&batch, family, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, bridge);
	netlink_put_u32(&batch, FRA_TABLE, MARK + index);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	return r == -EEXIST ? 0 : r;
}

void address_forget(struct bridge *bridge)
{
	static const int families[] = { AF_INET, AF_INET6 };
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int r = 0;
		while (r == 0) {
			_cleanup_(netlink_batch_free)
			struct netlink_batch batch = { 0 };
			netlink_batch_init(&batch);
			put_rule(&batch, families[i], RTM_DELRULE, 0, bridge->definition.bridge);
			netlink_await(&batch);
			r = netlink_transact(bridge->route_fd, &batch, NULL);
		}
	}
}

/* ---- attaching ---- */

#define INSNS_MAX 1024

static int attach(int ifindex, const struct bpf_kind *kind, const struct bpf_code *code)
{
	_cleanup_close_ int before = bpf_find(ifindex, kind);
	if (before < 0 && before != -ENOENT)
		return before;
	_cleanup_close_ int program = bpf_load(kind, code);
	return program < 0 ? program
			   : bpf_attach_device(ifindex, kind, program, before < 0 ? -1 : before);
}

/* The rules only where they serve something: any rule makes every look-up of a route of that family
 * on the host a little dearer. */
static int lead_by_bridge(struct bridge *bridge, const struct lease *lease, int index, bool ipv6)
{
	struct bpf_insn insns[INSNS_MAX];
	struct bpf_code code = { insns, 0 };
	const char *name = bridge->definition.bridge;
	int r = 0;
	if (any_led(lease, &layouts[0]))
		r = add_rule(bridge->route_fd, AF_INET, name, (uint32_t)index);
	if (r == 0 && ipv6 && any_led(lease, &layouts[1]))
		r = add_rule(bridge->route_fd, AF_INET6, name, (uint32_t)index);
	_cleanup_close_ int before = bpf_find(index, &assign);
	if (r < 0 || before >= 0)
		return r;
	write_assign(&code);
	return attach(index, &assign, &code);
}

int address_lead(struct bridge *bridge, const struct lease *lease)
{
	struct bpf_insn insns[INSNS_MAX];
	struct bpf_code code = { insns, 0 };
	struct ends ends[2] = { 0 };
	struct link_addresses own, gateways;
	int index = link_index(bridge->route_fd, bridge->definition.bridge);
	int door = link_index(bridge->route_fd, lease->interface);
	if (bridge->definition.kind != KIND_BRIDGE || index < 0 || door < 0)
		return -ENODEV;
	if (!any_led(lease, &layouts[0]) && !any_led(lease, &layouts[1]))
		return 0;
	bridge_addresses(bridge, lease, &own);
	bridge_gateways(bridge, &gateways);
	ends[0].bridge = ends[1].bridge = (uint32_t)index;
	int r = link_mac(bridge->route_fd, bridge->definition.bridge, ends[0].host_mac);
	memcpy(ends[1].host_mac, ends[0].host_mac, sizeof(ends[1].host_mac));
	ends[0].container[0] = own.ipv4.s_addr;
	ends[0].host[0] = gateways.ipv4.s_addr;
	memcpy(ends[1].container, &own.ipv6, sizeof(own.ipv6));
	memcpy(ends[1].host, &gateways.ipv6, sizeof(gateways.ipv6));
	if (r == 0)
		r = lead_by_bridge(bridge, lease, index, own.ipv6_prefix != 0);
	write_steer(&code, ends, lease, own.ipv6_prefix != 0);
	return r < 0 ? r : attach(door, &steer, &code);
}

int address_lead_inside(const char *interface, struct in_addr gateway, const uint16_t *ports,
			size_t count)
{
	struct bpf_insn insns[INSNS_MAX];
	struct bpf_code code = { insns, 0 };
	unsigned index = if_nametoindex(interface);
	if (index == 0)
		return -errno;
	write_inward(&code, gateway, ports, count);
	return attach((int)index, &inward, &code);
}
