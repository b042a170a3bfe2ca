/*
 * Where the running kernel keeps what: its own description of its types (BTF). For BPF programs
 * that read a field which has no other way to be read.
 * Contract: Documentation/bpf/btf.rst; the file is there with CONFIG_DEBUG_INFO_BTF.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct kernel_types {
	struct buf text;
	const char *types, *strings; /* in it */
	size_t types_len, strings_len;
};

/* Reads /sys/kernel/btf/vmlinux, some 5 MB: 0, -ENOENT where the kernel has none, or -errno. */
int kernel_types_read(struct kernel_types *ret);
/* The same of what somebody else has read, @text being taken over. -EBADMSG: it is none. */
int kernel_types_parse(struct buf *text, struct kernel_types *ret);
void kernel_types_free(struct kernel_types *types);

/* The bytes before @member in "struct @type"; with @inner before that member of it, which is a
 * struct, too. -ENOENT: there is none of that name. */
int kernel_types_offset(const struct kernel_types *types, const char *type, const char *member,
			const char *inner, uint32_t *ret);
