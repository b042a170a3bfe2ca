#include "sys/bpf.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/syscalls.h"

void bpf_emit(struct bpf_code *code, uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	code->insn[code->count++] = (struct bpf_insn) {
		.code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm
	};
}

void bpf_emit_load(struct bpf_code *code, uint8_t dst, uint8_t base, size_t offset)
{
	bpf_emit(code, BPF_LDX | BPF_MEM | BPF_W, dst, base, (int16_t)offset, 0);
}

void bpf_emit_return(struct bpf_code *code, int value)
{
	bpf_emit(code, BPF_ALU | BPF_MOV | BPF_K, R0, 0, 0, value);
	bpf_emit(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

void bpf_emit_target(struct bpf_code *code, size_t from)
{
	code->insn[from].off = (int16_t)(code->count - from - 1);
}

int sys_bpf(int command, union bpf_attr *attr)
{
	return (int)sys_ret(syscall(SYS_bpf, command, attr, sizeof(*attr)));
}

int bpf_lru_map(uint32_t key_size, uint32_t value_size, uint32_t entries, const char *name)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_LRU_HASH;
	attr.key_size = key_size;
	attr.value_size = value_size;
	attr.max_entries = entries;
	str_format(attr.map_name, sizeof(attr.map_name), "%s", name);
	return sys_bpf(BPF_MAP_CREATE, &attr);
}

void bpf_emit_map(struct bpf_code *code, uint8_t dst, int map_fd)
{
	bpf_emit(code, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_FD, 0, map_fd);
	bpf_emit(code, 0, 0, 0, 0, 0);
}

int bpf_load(const struct bpf_kind *kind, const struct bpf_code *code)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = kind->type;
	attr.expected_attach_type = kind->attach;
	attr.insns = (uintptr_t)code->insn;
	attr.insn_cnt = (uint32_t)code->count;
	attr.license = (uintptr_t) "Apache-2.0";
	str_format(attr.prog_name, sizeof(attr.prog_name), "%s", kind->name);
	/* The verifier gives way to a signal with EAGAIN. */
	int fd = -EAGAIN;
	for (int tries = 0; fd == -EAGAIN && tries < 30; tries++)
		fd = sys_bpf(BPF_PROG_LOAD, &attr);
	return fd;
}

int bpf_attach(int cgroup_fd, const struct bpf_kind *kind, int program_fd, int replace_fd)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = kind->attach;
	attr.attach_flags = BPF_F_ALLOW_MULTI | (replace_fd >= 0 ? BPF_F_REPLACE : 0);
	attr.replace_bpf_fd = replace_fd >= 0 ? (uint32_t)replace_fd : 0;
	return sys_bpf(BPF_PROG_ATTACH, &attr);
}

int bpf_attach_device(int ifindex, const struct bpf_kind *kind, int program_fd, int replace_fd)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)ifindex;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = kind->attach;
	attr.attach_flags = replace_fd >= 0 ? BPF_F_REPLACE : 0;
	attr.replace_bpf_fd = replace_fd >= 0 ? (uint32_t)replace_fd : 0;
	return sys_bpf(BPF_PROG_ATTACH, &attr);
}

static int open_if_named(uint32_t id, const char *name)
{
	union bpf_attr attr;
	struct bpf_prog_info info = { 0 };
	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	_cleanup_close_ int fd = sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (fd < 0)
		return fd;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	int r = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	return r < 0 ? r : streq(info.name, name) ? take_fd(&fd) : -ENOENT;
}

int bpf_find(int target, const struct bpf_kind *kind)
{
	union bpf_attr attr;
	uint32_t ids[BPF_GROUP_MAX];
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)target;
	attr.query.attach_type = kind->attach;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = ARRAY_SIZE(ids);
	int r = sys_bpf(BPF_PROG_QUERY, &attr);
	int fd = r < 0 ? r : -ENOENT;
	for (uint32_t i = 0; r == 0 && fd == -ENOENT && i < attr.query.prog_cnt; i++)
		fd = open_if_named(ids[i], kind->name);
	return fd;
}
