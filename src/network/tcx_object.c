/*
 * An object file as clang makes it for the target bpf: a section for each program, one with the
 * definitions of the maps, and for each program the places where a map is named (elf(5)). It is
 * masu's own, so it is not examined further than reading it needs.
 */
#include "network/tcx_object.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "network/tcx_layout.h"
#include "sys/bpf.h"
#include "sys/fs.h"

#define OBJECT_MAX_BYTES (1u << 20)

const char *const tcx_map_names[TCX_MAPS] = {
	[TCX_PORTS] = "masu_ports", [TCX_HOSTS] = "masu_hosts", [TCX_FLOWS] = "masu_flows",
	[TCX_PARTS] = "masu_parts", [TCX_SETUP] = "masu_setup", [TCX_WORK] = "masu_work",
	[TCX_NEAR] = "masu_near",   [TCX_SEEN] = "masu_seen",
};

const char *const tcx_program_names[TCX_PROGRAMS] = {
	[TCX_IN] = "masu_in",		[TCX_IN_RAW] = "masu_in_raw", [TCX_OUT] = "masu_out",
	[TCX_OUT_RAW] = "masu_out_raw", [TCX_LO] = "masu_lo",	      [TCX_BRIDGE] = "masu_bridge",
};

struct object {
	const char *data;
	size_t len;
	const Elf64_Shdr *sections;
	size_t section_count;
	const char *names;
};

static const void *at(const struct object *object, uint64_t offset, uint64_t size)
{
	return offset <= object->len && size <= object->len - offset ? object->data + offset : NULL;
}

static const Elf64_Shdr *section(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->section_count; i++)
		if (streq(object->names + object->sections[i].sh_name, name))
			return &object->sections[i];
	return NULL;
}

static int open_object(const struct buf *text, struct object *ret)
{
	struct object object = { .data = text->data, .len = text->len };
	const Elf64_Ehdr *header = at(&object, 0, sizeof(*header));
	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_machine != EM_BPF || header->e_shstrndx >= header->e_shnum)
		return -ENOEXEC;
	object.section_count = header->e_shnum;
	object.sections =
		at(&object, header->e_shoff, object.section_count * sizeof(*object.sections));
	if (!object.sections)
		return -ENOEXEC;
	const Elf64_Shdr *names = &object.sections[header->e_shstrndx];
	object.names = at(&object, names->sh_offset, names->sh_size);
	*ret = object;
	return object.names ? 0 : -ENOEXEC;
}

/* The maps are symbols of the section "maps", by the names that they get. */
static int find_map(const struct object *object, const Elf64_Sym *symbol)
{
	const Elf64_Shdr *symbols = section(object, ".symtab");
	const Elf64_Shdr *strings = &object->sections[symbols->sh_link];
	const char *text = at(object, strings->sh_offset, strings->sh_size);
	for (int map = 0; text && map < TCX_MAPS; map++)
		if (streq(text + symbol->st_name, tcx_map_names[map]))
			return map;
	return -ENOEXEC;
}

static const Elf64_Sym *symbol_at(const struct object *object, uint64_t index)
{
	const Elf64_Shdr *symbols = section(object, ".symtab");
	return symbols && index < symbols->sh_size / sizeof(Elf64_Sym)
		       ? at(object, symbols->sh_offset + index * sizeof(Elf64_Sym),
			    sizeof(Elf64_Sym))
		       : NULL;
}

static int make_maps(const struct object *object, struct tcx_object *ret)
{
	const Elf64_Shdr *maps = section(object, "maps");
	const Elf64_Sym *symbol;
	for (uint64_t i = 0; maps && (symbol = symbol_at(object, i)); i++) {
		struct bpf_map_kind kind;
		uint32_t definition[5];
		if (symbol->st_shndx != maps - object->sections ||
		    ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT)
			continue;
		int map = find_map(object, symbol);
		const void *from =
			at(object, maps->sh_offset + symbol->st_value, sizeof(definition));
		if (map < 0 || !from)
			return -ENOEXEC;
		memcpy(definition, from, sizeof(definition));
		kind = (struct bpf_map_kind) { definition[0], definition[1], definition[2],
					       definition[3], definition[4], tcx_map_names[map] };
		ret->maps[map] = bpf_map(&kind);
		if (ret->maps[map] < 0)
			return ret->maps[map];
	}
	return 0;
}

/* Names the maps in the instructions, which are a copy. */
static int relocate(const struct object *object, const char *name, const struct tcx_object *maps,
		    struct bpf_insn *insns, size_t count)
{
	char text[32];
	if (str_format(text, sizeof(text), ".rel%s", name) < 0)
		return -ENOEXEC;
	const Elf64_Shdr *places = section(object, text);
	const Elf64_Rel *rel = places ? at(object, places->sh_offset, places->sh_size) : NULL;
	for (size_t i = 0; rel && i < places->sh_size / sizeof(*rel); i++) {
		const Elf64_Sym *symbol = symbol_at(object, ELF64_R_SYM(rel[i].r_info));
		uint64_t place = rel[i].r_offset / sizeof(*insns);
		int map = symbol ? find_map(object, symbol) : -ENOEXEC;
		if (map < 0 || place >= count)
			return -ENOEXEC;
		insns[place].src_reg = BPF_PSEUDO_MAP_FD;
		insns[place].imm = maps->maps[map];
	}
	return 0;
}

static int load_program(const struct object *object, enum tcx_program program,
			struct tcx_object *ret)
{
	static const char *const sections[TCX_PROGRAMS] = {
		[TCX_IN] = "in",	   [TCX_IN_RAW] = "in_raw", [TCX_OUT] = "out",
		[TCX_OUT_RAW] = "out_raw", [TCX_LO] = "lo",	    [TCX_BRIDGE] = "bridge",
	};
	const Elf64_Shdr *code = section(object, sections[program]);
	const Elf64_Shdr *license = section(object, "license");
	const char *insns = code ? at(object, code->sh_offset, code->sh_size) : NULL;
	_cleanup_buf_ struct buf copy;
	buf_init(&copy, OBJECT_MAX_BYTES);
	if (!insns || !license)
		return -ENOEXEC;
	buf_append(&copy, insns, code->sh_size);
	if (buf_error(&copy))
		return buf_error(&copy);
	const struct bpf_code made = { (struct bpf_insn *)(void *)copy.data,
				       code->sh_size / sizeof(struct bpf_insn) };
	const struct bpf_kind kind = {
		.type = BPF_PROG_TYPE_SCHED_CLS,
		.name = tcx_program_names[program],
		.license = at(object, license->sh_offset, license->sh_size),
	};
	int r = relocate(object, sections[program], ret, made.insn, made.count);
	if (r < 0)
		return r;
	ret->programs[program] = bpf_load(&kind, &made);
	return ret->programs[program] < 0 ? ret->programs[program] : 0;
}

void tcx_object_close(struct tcx_object *object)
{
	for (unsigned i = 0; i < TCX_MAPS; i++)
		cleanup_close(&object->maps[i]);
	for (unsigned i = 0; i < TCX_PROGRAMS; i++)
		cleanup_close(&object->programs[i]);
}

int tcx_object_load(const char *directory, unsigned wanted, struct tcx_object *ret,
		    struct masu_error *err)
{
	_cleanup_tcx_object_ struct tcx_object made;
	_cleanup_buf_ struct buf text;
	struct object object;
	char path[4096];
	memset(&made, -1, sizeof(made));
	buf_init(&text, OBJECT_MAX_BYTES);
	int r = str_format(path, sizeof(path), "%s/tcx.bpf.o", directory);
	if (r == 0)
		r = fs_read_at(AT_FDCWD, path, OBJECT_MAX_BYTES, &text);
	if (r == 0)
		r = open_object(&text, &object);
	if (r < 0)
		return error_errno(err, r, "%s: the programs of the bpf mode", path);
	r = make_maps(&object, &made);
	for (unsigned i = 0; r == 0 && i < TCX_PROGRAMS; i++)
		r = wanted & 1u << i ? load_program(&object, (enum tcx_program)i, &made) : 0;
	if (r == -EPERM)
		return error_set(err, r, "BPF programs: not permitted (CAP_BPF, CAP_NET_ADMIN)");
	if (r < 0)
		return error_errno(err, r, "this kernel does not take masu's BPF programs");
	*ret = made;
	memset(&made, -1, sizeof(made));
	return 0;
}
