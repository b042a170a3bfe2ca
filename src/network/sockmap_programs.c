/*
 * Two programs. The first one runs in the container's control group when a connection is there: it
 * notes its end under the sequence numbers that it began with. The second one runs when something
 * is sent, and sends it to the other end's socket itself, on condition that
 *   - the other end has read all that was sent by TCP: else this would overtake it;
 *   - the other end has room: else TCP's window is what makes the sender wait;
 *   - neither end has an upper layer (kTLS), and this one may still send.
 * Whatever is not so goes by TCP, as does everything but data: the end of a direction, resets.
 *
 * SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
 * (Unlike the rest of masu, because the kernel lets only such programs read its memory.)
 */
#include <errno.h>
#include <linux/btf.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "network/sockmap.h"

#define LICENSE "Dual BSD/GPL"

#define SOCKETS_MAX 65536
#define PLACES_MAX  8192 /* needed until the other end has sent something */
#define NEAR_MAX    4096
#define INSNS_MAX   192
#define EXITS_MAX   24

#define STATE_ESTABLISHED 1 /* enum of the kernel's net/tcp_states.h, part of struct bpf_sock */
#define STATE_CLOSE_WAIT  8

const char *const sockmap_map_names[SOCKMAP_MAPS] = {
	[SOCKMAP_SOCKETS] = "masu_sockets",
	[SOCKMAP_RECORDS] = "masu_records",
	[SOCKMAP_PLACES] = "masu_places",
	[SOCKMAP_NEAR] = "masu_near_by",
};

/* ---- maps ---- */

/* The kernel wants to know the types of what is kept with a socket: a number, and an array of them.
 */
static int load_types(void)
{
	const struct {
		struct btf_header header;
		struct btf_type number;
		uint32_t number_is;
		struct btf_type array;
		struct btf_array array_is;
		char strings[4];
	} types = {
		.header = { .magic = BTF_MAGIC,
			    .version = BTF_VERSION,
			    .hdr_len = sizeof(struct btf_header),
			    .type_len = 2 * sizeof(struct btf_type) + 4 + sizeof(struct btf_array),
			    .str_off = 2 * sizeof(struct btf_type) + 4 + sizeof(struct btf_array),
			    .str_len = 4 },
		.number = { .name_off = 1, .info = BTF_KIND_INT << 24, .size = 4 },
		.number_is = 32,
		.array = { .info = BTF_KIND_ARRAY << 24 },
		.array_is = { .type = 1,
			      .index_type = 1,
			      .nelems = sizeof(struct sockmap_record) / 4 },
		.strings = "\0u4",
	};
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.btf = (uintptr_t)&types;
	attr.btf_size = sizeof(types);
	return sys_bpf(BPF_BTF_LOAD, &attr);
}

static int make_records(void)
{
	_cleanup_close_ int types = load_types();
	union bpf_attr attr;
	if (types < 0)
		return types;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_SK_STORAGE;
	attr.key_size = sizeof(int);
	attr.value_size = sizeof(struct sockmap_record);
	attr.map_flags = BPF_F_NO_PREALLOC;
	attr.btf_fd = (uint32_t)types;
	attr.btf_key_type_id = 1;
	attr.btf_value_type_id = 2;
	str_format(attr.map_name, sizeof(attr.map_name), "%s", sockmap_map_names[SOCKMAP_RECORDS]);
	return sys_bpf(BPF_MAP_CREATE, &attr);
}

int sockmap_make_maps(int ret[SOCKMAP_MAPS])
{
	static const struct bpf_map_kind kinds[SOCKMAP_MAPS] = {
		[SOCKMAP_SOCKETS] = { BPF_MAP_TYPE_SOCKHASH, sizeof(struct sockmap_key), 8,
				      SOCKETS_MAX, 0, NULL },
		[SOCKMAP_PLACES] = { BPF_MAP_TYPE_LRU_HASH, sizeof(struct sockmap_key), 8,
				     PLACES_MAX, 0, NULL },
		[SOCKMAP_NEAR] = { BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sockmap_near), 1, NEAR_MAX,
				   BPF_F_NO_PREALLOC, NULL },
	};
	for (int i = 0; i < SOCKMAP_MAPS; i++)
		ret[i] = -1;
	for (int i = 0; i < SOCKMAP_MAPS; i++) {
		struct bpf_map_kind kind = kinds[i];
		kind.name = sockmap_map_names[i];
		ret[i] = i == SOCKMAP_RECORDS ? make_records() : bpf_map(&kind);
		if (ret[i] < 0)
			return ret[i];
	}
	return 0;
}

int sockmap_offsets(const struct kernel_types *types, struct sockmap_offsets *ret)
{
	const struct {
		const char *type, *member, *inner;
		uint32_t *to;
	} wanted[] = {
		{ "tcp_sock", "write_seq", NULL, &ret->write_seq },
		{ "tcp_sock", "copied_seq", NULL, &ret->copied_seq },
		{ "inet_connection_sock", "icsk_ulp_ops", NULL, &ret->upper },
		{ "sock", "sk_backlog", "rmem_alloc", &ret->received },
		{ "sock", "sk_rcvbuf", NULL, &ret->received_max },
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(wanted); i++)
		r = kernel_types_offset(types, wanted[i].type, wanted[i].member, wanted[i].inner,
					wanted[i].to);
	return r;
}

/* ---- writing programs ---- */

/* A program with one way out. */
struct writing {
	struct bpf_code code;
	size_t exits[EXITS_MAX];
	size_t exit_count;
};

static void emit(struct writing *w, uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	bpf_emit(&w->code, op, dst, src, off, imm);
}

static void emit_copy(struct writing *w, uint8_t dst, uint8_t src)
{
	emit(w, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void emit_number(struct writing *w, uint8_t dst, int32_t value)
{
	emit(w, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value);
}

/* @dst = the address of what is at @offset of the stack, or of what @base points to. */
static void emit_address(struct writing *w, uint8_t dst, uint8_t base, int32_t offset)
{
	emit_copy(w, dst, base);
	emit(w, BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, offset);
}

static void emit_call(struct writing *w, int helper)
{
	emit(w, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

/* The end of the program, if the comparison @op of @dst is true. */
static void emit_exit_if(struct writing *w, uint8_t op, uint8_t dst, uint8_t src, int32_t imm)
{
	w->exits[w->exit_count++] = w->code.count;
	emit(w, op, dst, src, 0, imm);
}

static void emit_end(struct writing *w, int value)
{
	for (size_t i = 0; i < w->exit_count; i++)
		bpf_emit_target(&w->code, w->exits[i]);
	w->exit_count = 0;
	bpf_emit_return(&w->code, value);
}

static void emit_load_stack(struct writing *w, uint8_t dst, int16_t offset)
{
	emit(w, BPF_LDX | BPF_MEM | BPF_W, dst, R10, offset, 0);
}

static void emit_store_word(struct writing *w, int16_t offset, uint8_t src)
{
	emit(w, BPF_STX | BPF_MEM | BPF_W, R10, src, offset, 0);
}

/* ---- a connection begins ---- */

#define OPS(field) offsetof(struct bpf_sock_ops, field)

/* On the stack. */
#define RECORD		 (-(int16_t)sizeof(struct sockmap_record))
#define NEAR		 (RECORD - 24) /* 8 more than it needs is 4 */
#define IN_RECORD(field) ((int16_t)(RECORD + (int)offsetof(struct sockmap_record, field)))

static void emit_key(struct writing *w, int16_t at, uint8_t client, uint8_t server, int end)
{
	emit_store_word(w, (int16_t)(at + (int)offsetof(struct sockmap_key, client)), client);
	emit_store_word(w, (int16_t)(at + (int)offsetof(struct sockmap_key, server)), server);
	emit(w, BPF_ST | BPF_MEM | BPF_W, R10, 0,
	     (int16_t)(at + (int)offsetof(struct sockmap_key, end)), end);
}

/* r0 = what the map has of the key on the stack, or the end where it has nothing. */
static void emit_lookup(struct writing *w, int map, uint8_t base, int32_t key)
{
	bpf_emit_map(&w->code, R1, map);
	emit_address(w, R2, base, key);
	emit_call(w, BPF_FUNC_map_lookup_elem);
	emit_exit_if(w, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
}

/* Outside of the host there is no other end to look for. */
static void emit_if_near(struct writing *w, int near)
{
	const int16_t address = NEAR + (int)offsetof(struct sockmap_near, address);
	emit(w, BPF_ST | BPF_MEM | BPF_W, R10, 0, NEAR, 128);
	bpf_emit_load(&w->code, R2, R6, OPS(family));
	emit(w, BPF_JMP32 | BPF_JEQ | BPF_K, R2, 0, 0, AF_INET6);
	size_t is_v6 = w->code.count - 1;
	emit_exit_if(w, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, AF_INET);
	emit(w, BPF_ST | BPF_MEM | BPF_W, R10, 0, address, 0);
	emit(w, BPF_ST | BPF_MEM | BPF_W, R10, 0, address + 4, 0);
	emit(w, BPF_ST | BPF_MEM | BPF_W, R10, 0, address + 8, (int32_t)htonl(0xffff));
	bpf_emit_load(&w->code, R2, R6, OPS(remote_ip4));
	emit_store_word(w, address + 12, R2);
	emit(w, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	size_t known = w->code.count - 1;
	bpf_emit_target(&w->code, is_v6);
	for (int word = 0; word < 4; word++) {
		bpf_emit_load(&w->code, R2, R6, OPS(remote_ip6) + 4 * (size_t)word);
		emit_store_word(w, (int16_t)(address + 4 * word), R2);
	}
	bpf_emit_target(&w->code, known);
	emit_lookup(w, near, R10, NEAR);
}

/* One end notes itself: its record, where it is, and last the socket. */
static void emit_begin(struct writing *w, const int maps[SOCKMAP_MAPS], int end)
{
	const bool client = end == SOCKMAP_CLIENT;
	bpf_emit_load(&w->code, R2, R6, client ? OPS(snd_una) : OPS(rcv_nxt));
	bpf_emit_load(&w->code, R3, R6, client ? OPS(rcv_nxt) : OPS(snd_una));
	emit_key(w, IN_RECORD(own), R2, R3, end);
	emit_key(w, IN_RECORD(other), R2, R3, !end);
	emit(w, BPF_ST | BPF_MEM | BPF_DW, R10, 0, IN_RECORD(other_at), 0);
	if (client) {
		emit_if_near(w, maps[SOCKMAP_NEAR]);
	} else {
		/* The client comes first. */
		emit_lookup(w, maps[SOCKMAP_PLACES], R10, IN_RECORD(other));
		emit(w, BPF_LDX | BPF_MEM | BPF_DW, R2, R0, 0, 0);
		emit(w, BPF_STX | BPF_MEM | BPF_DW, R10, R2, IN_RECORD(other_at), 0);
	}
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R2, R6, OPS(sk), 0);
	emit_exit_if(w, BPF_JMP | BPF_JEQ | BPF_K, R2, 0, 0);
	emit(w, BPF_STX | BPF_MEM | BPF_DW, R10, R2, IN_RECORD(own_at), 0);
	bpf_emit_map(&w->code, R1, maps[SOCKMAP_RECORDS]);
	emit_address(w, R3, R10, RECORD);
	emit_number(w, R4, BPF_SK_STORAGE_GET_F_CREATE);
	emit_call(w, BPF_FUNC_sk_storage_get);
	emit_exit_if(w, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
	bpf_emit_map(&w->code, R1, maps[SOCKMAP_PLACES]);
	emit_address(w, R2, R10, IN_RECORD(own));
	emit_address(w, R3, R10, IN_RECORD(own_at));
	emit_number(w, R4, BPF_NOEXIST);
	emit_call(w, BPF_FUNC_map_update_elem);
	emit_exit_if(w, BPF_JMP | BPF_JNE | BPF_K, R0, 0, 0);
	emit_copy(w, R1, R6);
	bpf_emit_map(&w->code, R2, maps[SOCKMAP_SOCKETS]);
	emit_address(w, R3, R10, IN_RECORD(own));
	emit_number(w, R4, BPF_NOEXIST);
	emit_call(w, BPF_FUNC_sock_hash_update);
	emit_end(w, 1);
}

int sockmap_load_begin(const int maps[SOCKMAP_MAPS])
{
	static const struct bpf_kind kind = { BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS,
					      SOCKMAP_PROGRAM, LICENSE };
	struct bpf_insn insns[INSNS_MAX];
	struct writing w = { .code = { insns, 0 } };
	emit_copy(&w, R6, R1);
	bpf_emit_load(&w.code, R2, R6, OPS(op));
	emit(&w, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, 0, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB);
	size_t other = w.code.count - 1;
	emit_begin(&w, maps, SOCKMAP_CLIENT);
	bpf_emit_target(&w.code, other);
	emit_exit_if(&w, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB);
	emit_begin(&w, maps, SOCKMAP_SERVER);
	return bpf_load(&kind, &w.code);
}

/* ---- something is sent ---- */

#define MSG(field)	 offsetof(struct sk_msg_md, field)
#define OF_RECORD(field) ((int16_t)offsetof(struct sockmap_record, field))

/* On the stack, 8 bytes at @to: what is at @offset of the socket that @base is the address of. */
static void emit_read(struct writing *w, int16_t to, uint8_t base, uint32_t offset, int size)
{
	emit_address(w, R1, R10, to);
	emit_number(w, R2, size);
	emit_address(w, R3, base, (int32_t)offset);
	emit_call(w, BPF_FUNC_probe_read_kernel);
	emit_exit_if(w, BPF_JMP | BPF_JNE | BPF_K, R0, 0, 0);
}

/* r7 = the socket's record; the end where it has none or may not send any more. */
static void emit_record(struct writing *w, const int maps[SOCKMAP_MAPS])
{
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R2, R6, MSG(sk), 0);
	bpf_emit_load(&w->code, R3, R2, offsetof(struct bpf_sock, state));
	emit(w, BPF_JMP32 | BPF_JEQ | BPF_K, R3, 0, 1, STATE_ESTABLISHED);
	emit_exit_if(w, BPF_JMP32 | BPF_JNE | BPF_K, R3, 0, STATE_CLOSE_WAIT);
	bpf_emit_map(&w->code, R1, maps[SOCKMAP_RECORDS]);
	emit_number(w, R3, 0);
	emit_number(w, R4, 0);
	emit_call(w, BPF_FUNC_sk_storage_get);
	emit_exit_if(w, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
	emit_copy(w, R7, R0);
}

/* r8 = the other end's address. It may be gone: then this reads rubbish, but sends nothing, because
 * it is no longer among the sockets. */
static void emit_other(struct writing *w, const int maps[SOCKMAP_MAPS])
{
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R8, R7, OF_RECORD(other_at), 0);
	emit(w, BPF_JMP | BPF_JNE | BPF_K, R8, 0, 0, 0);
	size_t known = w->code.count - 1;
	emit_lookup(w, maps[SOCKMAP_PLACES], R7, OF_RECORD(other));
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R8, R0, 0, 0);
	emit(w, BPF_STX | BPF_MEM | BPF_DW, R7, R8, OF_RECORD(other_at), 0);
	bpf_emit_target(&w->code, known);
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R9, R7, OF_RECORD(own_at), 0);
}

/* All that was sent by TCP has been read. */
static void emit_if_read(struct writing *w, const struct sockmap_offsets *at)
{
	emit_read(w, -8, R9, at->write_seq, 4);
	emit_read(w, -16, R8, at->copied_seq, 4);
	emit_load_stack(w, R1, -8);
	emit_load_stack(w, R2, -16);
	if (!fault_without("sockmap-order"))
		emit_exit_if(w, BPF_JMP32 | BPF_JNE | BPF_X, R1, R2, 0);
}

static void emit_if_plain(struct writing *w, const struct sockmap_offsets *at, uint8_t end)
{
	emit_read(w, -8, end, at->upper, 8);
	emit(w, BPF_LDX | BPF_MEM | BPF_DW, R1, R10, -8, 0);
	emit_exit_if(w, BPF_JMP | BPF_JNE | BPF_K, R1, 0, 0);
}

/* Half of the other end's buffer; the rest is left to what comes by TCP. */
static void emit_if_room(struct writing *w, const struct sockmap_offsets *at)
{
	emit_read(w, -8, R8, at->received, 4);
	emit_read(w, -16, R8, at->received_max, 4);
	emit_load_stack(w, R1, -8);
	emit_load_stack(w, R2, -16);
	bpf_emit_load(&w->code, R3, R6, MSG(size));
	emit(w, BPF_ALU64 | BPF_ADD | BPF_X, R1, R3, 0, 0);
	emit(w, BPF_ALU64 | BPF_RSH | BPF_K, R2, 0, 0, 1);
	if (!fault_without("sockmap-room"))
		emit_exit_if(w, BPF_JMP | BPF_JGT | BPF_X, R1, R2, 0);
}

int sockmap_load_send(const int maps[SOCKMAP_MAPS], const struct sockmap_offsets *offsets)
{
	static const struct bpf_kind kind = { BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT, "masu_send",
					      LICENSE };
	struct bpf_insn insns[INSNS_MAX];
	struct writing w = { .code = { insns, 0 } };
	emit_copy(&w, R6, R1);
	emit_record(&w, maps);
	emit_other(&w, maps);
	emit_if_read(&w, offsets);
	emit_if_plain(&w, offsets, R9);
	emit_if_plain(&w, offsets, R8);
	emit_if_room(&w, offsets);
	emit_copy(&w, R1, R6);
	bpf_emit_map(&w.code, R2, maps[SOCKMAP_SOCKETS]);
	emit_address(&w, R3, R7, OF_RECORD(other));
	emit_number(&w, R4, BPF_F_INGRESS);
	emit_call(&w, BPF_FUNC_msg_redirect_hash);
	/* Where the helper found nobody this is TCP. */
	emit_end(&w, SK_PASS);
	return bpf_load(&kind, &w.code);
}
