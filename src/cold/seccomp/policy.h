/*
 * A seccomp section as rules by system call number: policy.c reads the JSON, tree.c and emit.c turn
 * the policy of each architecture into BPF.
 *
 * Where several rules name one system call: the first without arguments decides; without such a one
 * the rules are tried in the order of the document and the first that matches decides; then the
 * default action.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum policy_op {
	POLICY_NE,
	POLICY_LT,
	POLICY_LE,
	POLICY_EQ,
	POLICY_GE,
	POLICY_GT,
	POLICY_MASKED_EQ
};

struct policy_condition {
	unsigned index; /* argument 0..5 */
	enum policy_op op;
	uint64_t value;	    /* for MASKED_EQ: the mask */
	uint64_t value_two; /* for MASKED_EQ: what the masked argument must be */
};

/* All conditions must hold; none: always. */
struct policy_rule {
	uint32_t nr;
	uint32_t action; /* SECCOMP_RET_* with its data */
	struct policy_condition *conditions;
	size_t condition_count;
	size_t order; /* position in the document */
};

struct policy_arch {
	uint32_t scmp_arch;	   /* SCMP_ARCH_* */
	struct policy_rule *rules; /* sorted by nr, then order */
	size_t rule_count;
	uint32_t unknown_from; /* numbers from here on are newer than all that are named */
};

#define POLICY_MAX_ARCHES 32

struct policy {
	uint32_t default_action;
	uint32_t unknown_action; /* for numbers >= unknown_from */
	bool notify;
	struct policy_arch arches[POLICY_MAX_ARCHES];
	size_t arch_count;
};

/* Parses and checks the section; everything in @arena. */
int policy_parse(struct arena *arena, const char *text, size_t len, struct policy *ret,
		 struct masu_error *err);

/*
 * The number of @name on @scmp_arch: >= 0, or -1 where it is unknown or the architecture lacks it.
 * Knows what libseccomp knows, and system calls that are newer than Debian 12's.
 */
int64_t policy_syscall_number(uint32_t scmp_arch, const char *name);
