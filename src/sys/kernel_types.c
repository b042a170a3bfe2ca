#include "sys/kernel_types.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <string.h>

#include "base/str.h"
#include "sys/fs.h"

#define BTF_FILE      "/sys/kernel/btf/vmlinux"
#define BTF_MAX_BYTES (64u << 20)
#define BTF_ENUM64    19 /* Linux 6.0; older headers do not have it */

/* What follows a type of that kind, in bytes. */
static size_t tail_size(unsigned kind, unsigned count)
{
	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return count * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return count * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return count * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return count * sizeof(struct btf_var_secinfo);
	case BTF_ENUM64:
		return (size_t)count * 12;
	default:
		return 0;
	}
}

static const char *name_at(const struct kernel_types *types, uint32_t offset)
{
	return offset < types->strings_len ? types->strings + offset : "";
}

/* The struct called @name, or, where that is NULL, the type with the number @id. */
static const struct btf_type *find(const struct kernel_types *types, const char *name, uint32_t id)
{
	size_t at = 0;
	for (uint32_t number = 1; at + sizeof(struct btf_type) <= types->types_len; number++) {
		const struct btf_type *type = (const void *)(types->types + at);
		unsigned kind = BTF_INFO_KIND(type->info);
		at += sizeof(*type) + tail_size(kind, BTF_INFO_VLEN(type->info));
		if (at > types->types_len)
			break;
		if (name ? kind == BTF_KIND_STRUCT && streq(name_at(types, type->name_off), name)
			 : number == id)
			return type;
	}
	return NULL;
}

static const struct btf_member *find_member(const struct kernel_types *types,
					    const struct btf_type *type, const char *name)
{
	const struct btf_member *members = (const void *)(type + 1);
	if (BTF_INFO_KIND(type->info) != BTF_KIND_STRUCT)
		return NULL;
	for (unsigned i = 0; i < BTF_INFO_VLEN(type->info); i++)
		if (streq(name_at(types, members[i].name_off), name))
			return &members[i];
	return NULL;
}

static uint32_t bytes_before(const struct btf_type *type, const struct btf_member *member)
{
	uint32_t bits =
		BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset;
	return bits / 8;
}

int kernel_types_offset(const struct kernel_types *types, const char *type, const char *member,
			const char *inner, uint32_t *ret)
{
	const struct btf_type *outer = find(types, type, 0);
	const struct btf_member *found = outer ? find_member(types, outer, member) : NULL;
	if (!found)
		return -ENOENT;
	uint32_t offset = bytes_before(outer, found);
	if (inner) {
		outer = find(types, NULL, found->type);
		found = outer ? find_member(types, outer, inner) : NULL;
		if (!found)
			return -ENOENT;
		offset += bytes_before(outer, found);
	}
	*ret = offset;
	return 0;
}

int kernel_types_parse(struct buf *text, struct kernel_types *ret)
{
	struct kernel_types types = { .text = *text };
	struct btf_header header;
	buf_init(text, 0);
	bool whole = types.text.len >= sizeof(header);
	if (whole)
		memcpy(&header, types.text.data, sizeof(header));
	whole = whole && header.magic == BTF_MAGIC && header.hdr_len <= types.text.len;
	size_t rest = whole ? types.text.len - header.hdr_len : 0;
	whole = whole && header.type_off <= rest && header.type_len <= rest - header.type_off &&
		header.str_off <= rest && header.str_len <= rest - header.str_off &&
		header.str_len && header.type_off % 4 == 0 && header.hdr_len % 4 == 0;
	if (whole) {
		types.types = types.text.data + header.hdr_len + header.type_off;
		types.types_len = header.type_len;
		types.strings = types.text.data + header.hdr_len + header.str_off;
		types.strings_len = header.str_len;
		whole = !types.strings[types.strings_len - 1];
	}
	if (!whole) {
		kernel_types_free(&types);
		return -EBADMSG;
	}
	*ret = types;
	return 0;
}

int kernel_types_read(struct kernel_types *ret)
{
	struct buf text;
	buf_init(&text, BTF_MAX_BYTES);
	int r = fs_read_at(AT_FDCWD, BTF_FILE, BTF_MAX_BYTES, &text);
	if (r == 0)
		return kernel_types_parse(&text, ret);
	buf_free(&text);
	return r;
}

void kernel_types_free(struct kernel_types *types)
{
	buf_free(&types->text);
	memset(types, 0, sizeof(*types));
}
