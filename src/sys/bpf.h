/*
 * bpf(2) itself, without a library: for programs of a few instructions that are assembled here and
 * attached to a control group, and for those of network interfaces. Contract: bpf(2),
 * Documentation/bpf/prog_cgroup_*; tcx: include/uapi/linux/bpf.h of Linux 6.6.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* BPF_CGROUP_MAX_PROGS: how many programs a group can have for one attach type. */
#define BPF_GROUP_MAX 64

/* Instructions being written; the caller has room for all it emits. */
struct bpf_code {
	struct bpf_insn *insn;
	size_t count;
};

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

void bpf_emit(struct bpf_code *code, uint8_t op, uint8_t dst, uint8_t src, int16_t off,
	      int32_t imm);
/* @dst = the 32 bits at @offset of what @base points to. */
void bpf_emit_load(struct bpf_code *code, uint8_t dst, uint8_t base, size_t offset);
/* The program ends with @value. */
void bpf_emit_return(struct bpf_code *code, int value);
/* A jump to here for the instruction at @from, which was emitted without a target. */
void bpf_emit_target(struct bpf_code *code, size_t from);

int sys_bpf(int command, union bpf_attr *attr);

/* An LRU hash map of @entries, which forgets what was not used for longest: its fd or -errno. */
int bpf_lru_map(uint32_t key_size, uint32_t value_size, uint32_t entries, const char *name);
/* @dst = the map, as helpers take it. Two instructions. */
void bpf_emit_map(struct bpf_code *code, uint8_t dst, int map_fd);

struct bpf_kind {
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
	const char *name;    /* as bpftool shows it; at most 15 bytes */
	const char *license; /* NULL: masu's */
};

/* Loads a program: its fd or -errno. */
int bpf_load(const struct bpf_kind *kind, const struct bpf_code *code);
/* Attaches it to a group beside others, or in the place of @replace_fd unless that is -1. */
int bpf_attach(int cgroup_fd, const struct bpf_kind *kind, int program_fd, int replace_fd);

/*
 * Attaches it to an interface's packets beside others, or in the place of @replace_fd unless that
 * is -1, for as long as there is that interface (tcx, Linux 6.6). @kind's attach type is
 * TCX_INGRESS or TCX_EGRESS. The kernel waits for an RCU grace period, about 20 ms.
 */
int bpf_attach_device(int ifindex, const struct bpf_kind *kind, int program_fd, int replace_fd);
/* The program of that name which is attached to an interface, by its index, or to a control group,
 * by its fd: an fd, -ENOENT or another -errno. */
int bpf_find(int target, const struct bpf_kind *kind);

/* Linux 6.6; older headers do not have them. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };

/* ---- maps ---- */

struct bpf_map_kind {
	uint32_t type, key_size, value_size, entries, flags;
	const char *name;
};
int bpf_map(const struct bpf_map_kind *kind);
/* BPF_ANY, or BPF_NOEXIST: -EEXIST where the key is there. */
int bpf_map_put(int map_fd, const void *key, const void *value, uint64_t flags);
int bpf_map_get(int map_fd, const void *key, void *ret);
int bpf_map_delete(int map_fd, const void *key);

/* ---- programs of network interfaces (tcx, Linux 6.6) ---- */

/* How many programs of an interface are looked at. */
#define BPF_INTERFACE_MAX 32

int bpf_interface_detach(int interface, uint32_t side, int program_fd);
/* The ids of an interface's programs, in their order. */
int bpf_interface_programs(int interface, uint32_t side, uint32_t ret[BPF_INTERFACE_MAX],
			   size_t *ret_count);

int bpf_program_by_id(uint32_t id);
int bpf_map_by_id(uint32_t id);

struct bpf_program_facts {
	char name[BPF_OBJ_NAME_LEN];
	uint32_t id, maps[16];
	size_t map_count;
};
int bpf_program_facts(int program_fd, struct bpf_program_facts *ret);
int bpf_map_name(int map_fd, char ret[BPF_OBJ_NAME_LEN]);
