#include "cold/seccomp/compile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>

#include "base/str.h"
#include "cold/seccomp/emit.h"
#include "cold/seccomp/policy.h"
#include "cold/seccomp/tree.h"

#define X32_BIT 0x40000000u /* asm/unistd.h __X32_SYSCALL_BIT */
/* The kernel tries this many numbers of an architecture at load time, no more. */
#define NUMBERS_TRIED 512u

/* Numbers from @first up to the next range's, with one decision. */
struct range {
	uint32_t first;
	uint32_t action;		 /* where there are no rules, and where none matches */
	const struct policy_rule *rules; /* with conditions, in order; NULL: always @action */
	size_t rule_count;
	bool narrow;
};

struct ranges {
	struct range list[TREE_MAX_RANGES];
	size_t count;
	bool full;
};

/* Rules with conditions that are in the program already. */
struct shared_leaf {
	const struct range *range; /* a copy in the arena */
	size_t label;
};

struct compiler {
	struct arena *arena;
	const struct seccomp_machine *machine;
	const struct policy *policy;
	struct ranges ranges;
	struct emitter emitter;
	struct shared_leaf shared[64];
	size_t shared_count;
};

static void add_range(struct ranges *ranges, const struct range *range)
{
	struct range *last = ranges->count ? &ranges->list[ranges->count - 1] : NULL;
	if (last && last->first == range->first) { /* nothing lies in it */
		ranges->count--;
		last = ranges->count ? last - 1 : NULL;
	}
	if (last && !last->rules && !range->rules && last->action == range->action)
		return;
	if (ranges->count == TREE_MAX_RANGES) {
		ranges->full = true;
		return;
	}
	ranges->list[ranges->count++] = *range;
}

/*
 * Arguments of 32-bit calls are compared with the low half of a rule's value. Where that is all of
 * it the code for 64 bits does as well, as the kernel fills up with zeros; and it can be shared.
 */
static bool needs_narrow(const struct policy_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < rules[i].condition_count; k++)
			if (rules[i].conditions[k].value >> 32 ||
			    rules[i].conditions[k].value_two >> 32)
				return true;
	return false;
}

/* What the rules of one number come to. */
static struct range decide(const struct policy *policy, const struct policy_rule *rules,
			   size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].condition_count == 0)
			return (struct range) { .first = rules[0].nr, .action = rules[i].action };
	return (struct range) { .first = rules[0].nr,
				.action = policy->default_action,
				.rules = rules,
				.rule_count = count };
}

static void add_arch_ranges(struct ranges *ranges, const struct policy *policy,
			    const struct policy_arch *arch)
{
	struct range rest = { .first = arch->scmp_arch == SCMP_ARCH_X32 ? X32_BIT : 0,
			      .action = policy->default_action };
	bool narrow = arch->scmp_arch != SCMP_ARCH_X32 && !(arch->scmp_arch & __AUDIT_ARCH_64BIT);
	add_range(ranges, &rest);
	for (size_t i = 0, n; i < arch->rule_count; i += n) {
		for (n = 1; i + n < arch->rule_count; n++)
			if (arch->rules[i + n].nr != arch->rules[i].nr)
				break;
		struct range range = decide(policy, &arch->rules[i], n);
		range.narrow = narrow && needs_narrow(range.rules, range.rule_count);
		add_range(ranges, &range);
		rest.first = range.first + 1;
		add_range(ranges, &rest);
	}
	if (arch->unknown_from == UINT32_MAX)
		return;
	struct range unknown = { .first = arch->unknown_from, .action = policy->unknown_action };
	add_range(ranges, &unknown);
}

static const struct policy_arch *find_arch(const struct policy *policy, uint32_t scmp_arch)
{
	for (size_t i = 0; i < policy->arch_count; i++)
		if (policy->arches[i].scmp_arch == scmp_arch)
			return &policy->arches[i];
	return NULL;
}

static bool is_errno(uint32_t action)
{
	return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
}

/* x32 shares x86_64's audit architecture; the number tells them apart. */
static void collect_ranges(struct compiler *c, const struct policy_arch *arch)
{
	struct ranges *ranges = &c->ranges;
	struct range foreign = { .action = SECCOMP_RET_KILL_THREAD };
	ranges->count = 0;
	if (arch->scmp_arch != SCMP_ARCH_X86_64 && arch->scmp_arch != SCMP_ARCH_X32) {
		add_arch_ranges(ranges, c->policy, arch);
		return;
	}
	const struct policy_arch *x86_64 = find_arch(c->policy, SCMP_ARCH_X86_64);
	const struct policy_arch *x32 = find_arch(c->policy, SCMP_ARCH_X32);
	if (x86_64)
		add_arch_ranges(ranges, c->policy, x86_64);
	else
		add_range(ranges, &foreign);
	foreign.first = X32_BIT;
	if (x32 && c->machine->no_x32 && is_errno(c->policy->default_action))
		foreign.action = SECCOMP_RET_ERRNO | ENOSYS;
	else if (x32)
		return add_arch_ranges(ranges, c->policy, x32);
	add_range(ranges, &foreign);
}

static bool same_rule(const struct policy_rule *a, const struct policy_rule *b)
{
	if (a->action != b->action || a->condition_count != b->condition_count)
		return false;
	for (size_t i = 0; i < a->condition_count; i++) {
		const struct policy_condition *x = &a->conditions[i], *y = &b->conditions[i];
		if (x->index != y->index || x->op != y->op || x->value != y->value ||
		    x->value_two != y->value_two)
			return false;
	}
	return true;
}

static bool same_leaf(const struct range *a, const struct range *b)
{
	if (a->action != b->action || a->rule_count != b->rule_count || a->narrow != b->narrow)
		return false;
	for (size_t i = 0; i < a->rule_count; i++)
		if (!same_rule(&a->rules[i], &b->rules[i]))
			return false;
	return true;
}

/* The architectures' trees share the code of equal rules. */
static size_t emit_rules(struct compiler *c, const struct range *range)
{
	for (size_t i = 0; i < c->shared_count; i++)
		if (same_leaf(range, c->shared[i].range))
			return c->shared[i].label;
	size_t label = emit_return(&c->emitter, range->action);
	for (size_t i = range->rule_count; i > 0; i--) {
		const struct policy_rule *rule = &range->rules[i - 1];
		size_t yes = emit_return(&c->emitter, rule->action);
		label = emit_conditions(&c->emitter, rule, range->narrow, yes, label);
	}
	struct range *copy = arena_new(c->arena, struct range);
	if (copy && c->shared_count < ARRAY_SIZE(c->shared)) {
		*copy = *range;
		c->shared[c->shared_count].range = copy;
		c->shared[c->shared_count++].label = label;
	}
	return label;
}

static size_t emit_tree(struct compiler *c, const struct tree *tree, size_t first, size_t last)
{
	const struct range *list = c->ranges.list;
	if (first == last)
		return list[first].rules ? emit_rules(c, &list[first])
					 : emit_return(&c->emitter, list[first].action);
	size_t split = tree_split(tree, first, last), left, right;
	/* The longer half first, so that the other's shared return is in reach. */
	if (split > first && split + 1 == last) {
		left = emit_tree(c, tree, first, split);
		right = emit_tree(c, tree, split + 1, last);
	} else {
		right = emit_tree(c, tree, split + 1, last);
		left = emit_tree(c, tree, first, split);
	}
	return emit_jump(&c->emitter, BPF_JGE, list[split + 1].first, right, left);
}

/* How many of a range's numbers the kernel tries; a range outside counts a little. */
static uint32_t range_weight(const struct ranges *ranges, size_t i)
{
	uint64_t base = ranges->list[0].first, first = ranges->list[i].first;
	uint64_t end = i + 1 < ranges->count ? ranges->list[i + 1].first : UINT64_C(1) << 32;
	if (end > base + NUMBERS_TRIED)
		end = base + NUMBERS_TRIED;
	return 1 + (first < end ? (uint32_t)(end - first) : 0);
}

static int emit_arch(struct compiler *c, const struct policy_arch *arch, size_t *ret_label)
{
	struct tree tree;
	uint32_t weights[TREE_MAX_RANGES];
	collect_ranges(c, arch);
	if (c->ranges.full)
		return -E2BIG;
	for (size_t i = 0; i < c->ranges.count; i++)
		weights[i] = range_weight(&c->ranges, i);
	int r = tree_build(c->arena, weights, c->ranges.count, &tree);
	if (r < 0)
		return r;
	size_t label = emit_tree(c, &tree, 0, c->ranges.count - 1);
	*ret_label = emit_load(&c->emitter, offsetof(struct seccomp_data, nr), label);
	return emit_failed(&c->emitter) ? -E2BIG : 0;
}

/* The program: which architecture? then its tree; the machine's own is asked for first. */
static int emit_policy(struct compiler *c)
{
	size_t next = emit_return(&c->emitter, SECCOMP_RET_KILL_THREAD);
	for (size_t i = c->policy->arch_count; i > 0; i--) {
		const struct policy_arch *arch = &c->policy->arches[i - 1];
		uint32_t token = arch->scmp_arch;
		size_t label;
		if (token == SCMP_ARCH_X32) {
			if (find_arch(c->policy, SCMP_ARCH_X86_64))
				continue; /* part of that one's tree */
			token = SCMP_ARCH_X86_64;
		}
		int r = emit_arch(c, arch, &label);
		if (r < 0)
			return r;
		next = emit_jump(&c->emitter, BPF_JEQ, token, label, next);
	}
	emit_load(&c->emitter, offsetof(struct seccomp_data, arch), next);
	return emit_failed(&c->emitter) ? -E2BIG : 0;
}

int seccomp_compile(struct arena *arena, const struct seccomp_machine *machine, const char *text,
		    size_t len, struct seccomp_program *ret, struct masu_error *err)
{
	struct policy *policy = arena_new(arena, struct policy);
	struct compiler *c = arena_new(arena, struct compiler);
	if (!policy || !c)
		return error_set(err, -ENOMEM, "seccomp: out of memory");
	int r = policy_parse(arena, text, len, policy, err);
	if (r < 0)
		return r;
	c->arena = arena;
	c->machine = machine;
	c->policy = policy;
	r = emit_policy(c);
	if (r == -E2BIG)
		return error_set(err, r,
				 "seccomp: the filter is larger than the kernel's %u instructions",
				 SECCOMP_MAX_INSNS);
	const struct emitter *e = &c->emitter;
	struct sock_filter *insns = arena_array(arena, struct sock_filter, e->count);
	if (r < 0 || !insns)
		return error_set(err, -ENOMEM, "seccomp: out of memory");
	for (size_t i = 0; i < e->count; i++)
		insns[i] = e->code[e->count - 1 - i];
	*ret = (struct seccomp_program) { .insns = insns,
					  .count = e->count,
					  .notify = policy->notify };
	return 0;
}
