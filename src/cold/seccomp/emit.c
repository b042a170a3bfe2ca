#include "cold/seccomp/emit.h"

#include <endian.h>
#include <linux/seccomp.h>

#include "base/str.h"

#define REACH 255u

static size_t put(struct emitter *e, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (e->count == SECCOMP_MAX_INSNS) {
		e->full = true;
		return 0;
	}
	e->code[e->count] = (struct sock_filter) { .code = code, .jt = jt, .jf = jf, .k = k };
	return e->count++;
}

/* Instructions between the one that is written next and @label. */
static size_t distance(const struct emitter *e, size_t label)
{
	return e->count - label - 1;
}

static size_t put_goto(struct emitter *e, size_t label)
{
	return put(e, BPF_JMP | BPF_JA, (uint32_t)distance(e, label), 0, 0);
}

size_t emit_return(struct emitter *e, uint32_t action)
{
	size_t i = 0;
	while (i < e->return_count && e->returns[i].action != action)
		i++;
	/* Not to the very edge: the jump to it is written after other code. */
	if (i < e->return_count && distance(e, e->returns[i].label) < REACH - 32)
		return e->returns[i].label;
	size_t label = put(e, BPF_RET | BPF_K, action, 0, 0);
	if (i < ARRAY_SIZE(e->returns)) {
		e->returns[i].action = action;
		e->returns[i].label = label;
		e->return_count += i == e->return_count;
	}
	return label;
}

size_t emit_jump(struct emitter *e, uint16_t op, uint32_t k, size_t yes, size_t no)
{
	while (!e->full) {
		if (distance(e, yes) > REACH)
			yes = put_goto(e, yes);
		else if (distance(e, no) > REACH)
			no = put_goto(e, no);
		else
			break;
	}
	return put(e, BPF_JMP | op | BPF_K, k, (uint8_t)distance(e, yes), (uint8_t)distance(e, no));
}

/* What does not jump goes on with the instruction after it. */
static void fall_through_to(struct emitter *e, size_t next)
{
	if (distance(e, next) != 0)
		put_goto(e, next);
}

size_t emit_load(struct emitter *e, uint32_t offset, size_t next)
{
	fall_through_to(e, next);
	return put(e, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static size_t put_and(struct emitter *e, uint32_t mask, size_t next)
{
	if (mask == UINT32_MAX)
		return next;
	fall_through_to(e, next);
	return put(e, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
}

static uint32_t argument_offset(unsigned index, bool high)
{
	bool second = high == (__BYTE_ORDER == __LITTLE_ENDIAN);
	return (uint32_t)(offsetof(struct seccomp_data, args) + 8 * index + (second ? 4 : 0));
}

/* (argument & mask) == value */
static size_t emit_equal(struct emitter *e, unsigned index, bool narrow, uint64_t mask,
			 uint64_t value, size_t yes, size_t no)
{
	size_t label = emit_jump(e, BPF_JEQ, (uint32_t)value, yes, no);
	label = put_and(e, (uint32_t)mask, label);
	label = emit_load(e, argument_offset(index, false), label);
	if (narrow || (mask >> 32 == 0 && value >> 32 == 0))
		return label;
	label = emit_jump(e, BPF_JEQ, (uint32_t)(value >> 32), label, no);
	label = put_and(e, (uint32_t)(mask >> 32), label);
	return emit_load(e, argument_offset(index, true), label);
}

/* argument > value, or argument >= value with @op BPF_JGE */
static size_t emit_greater(struct emitter *e, unsigned index, bool narrow, uint16_t op,
			   uint64_t value, size_t yes, size_t no)
{
	size_t label = emit_jump(e, op, (uint32_t)value, yes, no);
	label = emit_load(e, argument_offset(index, false), label);
	if (narrow)
		return label;
	label = emit_jump(e, BPF_JEQ, (uint32_t)(value >> 32), label, no);
	label = emit_jump(e, BPF_JGT, (uint32_t)(value >> 32), yes, label);
	return emit_load(e, argument_offset(index, true), label);
}

static size_t emit_condition(struct emitter *e, const struct policy_condition *c, bool narrow,
			     size_t yes, size_t no)
{
	switch (c->op) {
	case POLICY_EQ:
		return emit_equal(e, c->index, narrow, UINT64_MAX, c->value, yes, no);
	case POLICY_NE:
		return emit_equal(e, c->index, narrow, UINT64_MAX, c->value, no, yes);
	case POLICY_MASKED_EQ:
		return emit_equal(e, c->index, narrow, c->value, c->value_two, yes, no);
	case POLICY_GT:
		return emit_greater(e, c->index, narrow, BPF_JGT, c->value, yes, no);
	case POLICY_GE:
		return emit_greater(e, c->index, narrow, BPF_JGE, c->value, yes, no);
	case POLICY_LE:
		return emit_greater(e, c->index, narrow, BPF_JGT, c->value, no, yes);
	case POLICY_LT:
		return emit_greater(e, c->index, narrow, BPF_JGE, c->value, no, yes);
	}
	return no;
}

size_t emit_conditions(struct emitter *e, const struct policy_rule *rule, bool narrow, size_t yes,
		       size_t no)
{
	for (size_t i = rule->condition_count; i > 0; i--)
		yes = emit_condition(e, &rule->conditions[i - 1], narrow, yes, no);
	return yes;
}
