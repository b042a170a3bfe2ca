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
	return bpf_map(&(struct bpf_map_kind) { BPF_MAP_TYPE_LRU_HASH, key_size, value_size,
						entries, 0, name });
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
	attr.license = (uintptr_t)(kind->license ? kind->license : "Apache-2.0");
	str_format(attr.prog_name, sizeof(attr.prog_name), "%s", kind->name);
	/* The verifier gives way to a signal with EAGAIN. */
	int fd = -EAGAIN;
	for (int tries = 0; fd == -EAGAIN && tries < 30; tries++)
		fd = sys_bpf(BPF_PROG_LOAD, &attr);
	return fd;
}

static int attach(int target, const struct bpf_kind *kind, int program_fd, int replace_fd,
		  uint32_t flags)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)target;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = kind->attach;
	attr.attach_flags = flags | (replace_fd >= 0 ? BPF_F_REPLACE : 0);
	attr.replace_bpf_fd = replace_fd >= 0 ? (uint32_t)replace_fd : 0;
	return sys_bpf(BPF_PROG_ATTACH, &attr);
}

int bpf_attach(int cgroup_fd, const struct bpf_kind *kind, int program_fd, int replace_fd)
{
	return attach(cgroup_fd, kind, program_fd, replace_fd, BPF_F_ALLOW_MULTI);
}

int bpf_attach_device(int ifindex, const struct bpf_kind *kind, int program_fd, int replace_fd)
{
	return attach(ifindex, kind, program_fd, replace_fd, 0);
}

static int open_if_named(uint32_t id, const char *name)
{
	struct bpf_program_facts facts;
	_cleanup_close_ int fd = bpf_program_by_id(id);
	int r = fd < 0 ? fd : bpf_program_facts(fd, &facts);
	return r < 0 ? r : streq(facts.name, name) ? take_fd(&fd) : -ENOENT;
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

/* ---- maps ---- */

int bpf_map(const struct bpf_map_kind *kind)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = kind->type;
	attr.key_size = kind->key_size;
	attr.value_size = kind->value_size;
	attr.max_entries = kind->entries;
	attr.map_flags = kind->flags;
	str_format(attr.map_name, sizeof(attr.map_name), "%s", kind->name);
	return sys_bpf(BPF_MAP_CREATE, &attr);
}

static int element(int command, int map_fd, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return sys_bpf(command, &attr);
}

int bpf_map_put(int map_fd, const void *key, const void *value, uint64_t flags)
{
	return element(BPF_MAP_UPDATE_ELEM, map_fd, key, value, flags);
}

int bpf_map_get(int map_fd, const void *key, void *ret)
{
	return element(BPF_MAP_LOOKUP_ELEM, map_fd, key, ret, 0);
}

int bpf_map_delete(int map_fd, const void *key)
{
	return element(BPF_MAP_DELETE_ELEM, map_fd, key, NULL, 0);
}

/* ---- programs of network interfaces ---- */

int bpf_interface_detach(int interface, uint32_t side, int program_fd)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)interface;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = side;
	return sys_bpf(BPF_PROG_DETACH, &attr);
}

int bpf_interface_programs(int interface, uint32_t side, uint32_t ret[BPF_INTERFACE_MAX],
			   size_t *ret_count)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)interface;
	attr.query.attach_type = side;
	attr.query.prog_ids = (uintptr_t)ret;
	attr.query.prog_cnt = BPF_INTERFACE_MAX;
	int r = sys_bpf(BPF_PROG_QUERY, &attr);
	/* An interface that never had one has no list. */
	*ret_count = r < 0 ? 0 : attr.query.prog_cnt;
	return r == -ENOENT ? 0 : r;
}

static int by_id(int command, uint32_t id)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.start_id = id;
	return sys_bpf(command, &attr);
}

int bpf_program_by_id(uint32_t id)
{
	return by_id(BPF_PROG_GET_FD_BY_ID, id);
}

int bpf_map_by_id(uint32_t id)
{
	return by_id(BPF_MAP_GET_FD_BY_ID, id);
}

static int facts(int fd, void *info, size_t size)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = (uint32_t)size;
	attr.info.info = (uintptr_t)info;
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

int bpf_program_facts(int program_fd, struct bpf_program_facts *ret)
{
	struct bpf_prog_info info;
	memset(&info, 0, sizeof(info));
	info.map_ids = (uintptr_t)ret->maps;
	info.nr_map_ids = ARRAY_SIZE(ret->maps);
	int r = facts(program_fd, &info, sizeof(info));
	if (r < 0)
		return r;
	memcpy(ret->name, info.name, sizeof(ret->name));
	ret->id = info.id;
	ret->map_count =
		info.nr_map_ids < ARRAY_SIZE(ret->maps) ? info.nr_map_ids : ARRAY_SIZE(ret->maps);
	return 0;
}

int bpf_map_name(int map_fd, char ret[BPF_OBJ_NAME_LEN])
{
	struct bpf_map_info info;
	memset(&info, 0, sizeof(info));
	int r = facts(map_fd, &info, sizeof(info));
	if (r == 0)
		memcpy(ret, info.name, BPF_OBJ_NAME_LEN);
	return r;
}
