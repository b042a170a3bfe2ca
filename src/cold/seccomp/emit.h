/*
 * Writes a classic BPF program from its end to its beginning, so that every jump's target is known
 * when the jump is written. A label is the place of an instruction counted from the end.
 *
 * Conditional jumps reach 255 instructions; past that an unconditional one is put in between.
 * Running full is remembered: callers check emit_failed() once.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cold/seccomp/policy.h"
#include "exec/native/seccomp_blob.h"

struct emitter {
	struct sock_filter code[SECCOMP_MAX_INSNS]; /* last instruction first */
	size_t count;
	bool full;
	struct {
		uint32_t action;
		size_t label;
	} returns[32]; /* the latest RET of each action, to be shared while in reach */
	size_t return_count;
};

static inline bool emit_failed(const struct emitter *e)
{
	return e->full;
}

/* "return action" */
size_t emit_return(struct emitter *e, uint32_t action);
/* "if (A <op> k) goto yes; else goto no", @op one of BPF_JEQ, BPF_JGT, BPF_JGE */
size_t emit_jump(struct emitter *e, uint16_t op, uint32_t k, size_t yes, size_t no);
/* "A = *(u32 *)(seccomp_data + offset)", then what is at @next */
size_t emit_load(struct emitter *e, uint32_t offset, size_t next);
/* "if the rule's conditions hold goto yes; else goto no"; @narrow: arguments have 32 bits */
size_t emit_conditions(struct emitter *e, const struct policy_rule *rule, bool narrow, size_t yes,
		       size_t no);
