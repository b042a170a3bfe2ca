/*
 * What masu-seccomp prints and what the cache file of a filter holds; seccomp.c reads both, the
 * compiler writes the first. Host byte order: neither leaves the machine.
 */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

/* The compiler's answer on stdout: this header, then insn_count instructions. */
#define SECCOMP_ANSWER_MAGIC "MASUSEC1"
struct seccomp_answer {
	char magic[8];
	uint32_t notify; /* 1: the program can return SECCOMP_RET_USER_NOTIF */
	uint32_t insn_count;
};

/* A cache file: this header, insn_count instructions, section_len bytes of text. */
#define SECCOMP_CACHE_MAGIC "MASUBPF1"
struct seccomp_cache_header {
	char magic[8];
	uint32_t notify;
	uint32_t insn_count;
	uint64_t section_len;
	/* The compiler that made it (libseccomp is linked into it): another one compiles anew. */
	uint64_t compiler_size;
	int64_t compiler_mtime_ns;
	int64_t compiler_ctime_ns;
};

/* The kernel's own maximum (BPF_MAXINSNS) and ours for a section's text. */
#define SECCOMP_MAX_INSNS   4096u
#define SECCOMP_MAX_SECTION (4u << 20)
