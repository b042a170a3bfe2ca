#include "cold/seccomp/policy.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cold/seccomp/numbers.h"
#include "json/json.h"

#define MAX_ERRNO     4095u /* what SECCOMP_RET_ERRNO can return (kernel, include/linux/err.h) */
#define MAX_NAMES     65536u
#define DEFAULT_ERRNO EPERM

static const struct {
	const char *name;
	uint32_t action;
	bool takes_errno;
} actions[] = {
	{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false },
	{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false },
	{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true },
	{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true },
	{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false },
	{ "SCMP_ACT_LOG", SECCOMP_RET_LOG, false },
	{ "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF, false },
};

static const struct {
	const char *name;
	enum policy_op op;
} operators[] = {
	{ "SCMP_CMP_NE", POLICY_NE },
	{ "SCMP_CMP_LT", POLICY_LT },
	{ "SCMP_CMP_LE", POLICY_LE },
	{ "SCMP_CMP_EQ", POLICY_EQ },
	{ "SCMP_CMP_GE", POLICY_GE },
	{ "SCMP_CMP_GT", POLICY_GT },
	{ "SCMP_CMP_MASKED_EQ", POLICY_MASKED_EQ },
};

struct parser {
	struct arena *arena;
	struct policy *policy;
	struct masu_error *err;
	size_t capacity[POLICY_MAX_ARCHES];
	size_t order, names;
};

static int no_memory(struct parser *p)
{
	return error_set(p->err, -ENOMEM, "seccomp: the section is too large");
}

static int parse_action(struct parser *p, const char *where, const struct json *name,
			const struct json *errno_ret, uint32_t *ret)
{
	const char *text;
	uint64_t data = DEFAULT_ERRNO;
	if (!json_string(name, &text))
		return error_set(p->err, -EINVAL, "seccomp: %s must be an action", where);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!streq(text, actions[i].name))
			continue;
		*ret = actions[i].action;
		if (errno_ret && errno_ret->type != JSON_NULL) {
			if (!actions[i].takes_errno)
				return error_set(
					p->err, -EINVAL,
					"seccomp: %s %s takes no errno; remove the errnoRet", where,
					text);
			uint64_t max = *ret == SECCOMP_RET_TRACE ? UINT16_MAX : MAX_ERRNO;
			if (!json_u64(errno_ret, &data) || data > max)
				return error_set(p->err, -EINVAL,
						 "seccomp: errno of %s must be 0 to %u", where,
						 (unsigned)max);
		}
		if (actions[i].takes_errno)
			*ret |= (uint32_t)data;
		if (*ret == SECCOMP_RET_USER_NOTIF)
			p->policy->notify = true;
		return 0;
	}
	return error_set(p->err, -EINVAL, "seccomp: %s: unknown action \"%.64s\"", where, text);
}

static int parse_condition(struct parser *p, size_t entry, const struct json *arg,
			   struct policy_condition *ret)
{
	uint64_t index;
	const char *op;
	const struct json *two = json_get(arg, "valueTwo");
	*ret = (struct policy_condition) { 0 };
	if (!json_u64(json_get(arg, "index"), &index) || index > 5)
		return error_set(p->err, -EINVAL,
				 "seccomp: syscalls[%zu].args: index must be 0 to 5", entry);
	if (!json_u64(json_get(arg, "value"), &ret->value) ||
	    (two && two->type != JSON_NULL && !json_u64(two, &ret->value_two)))
		return error_set(p->err, -EINVAL,
				 "seccomp: syscalls[%zu].args: value must be a 64-bit number",
				 entry);
	ret->index = (unsigned)index;
	if (!json_string(json_get(arg, "op"), &op))
		op = "";
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (streq(op, operators[i].name)) {
			ret->op = operators[i].op;
			return 0;
		}
	return error_set(p->err, -EINVAL, "seccomp: syscalls[%zu].args: unknown operator \"%.64s\"",
			 entry, op);
}

static int add_rule(struct parser *p, size_t arch_index, const struct policy_rule *rule)
{
	struct policy_arch *arch = &p->policy->arches[arch_index];
	if (arch->rule_count == p->capacity[arch_index]) {
		size_t more = arch->rule_count ? arch->rule_count * 2 : 512;
		struct policy_rule *grown = arena_array(p->arena, struct policy_rule, more);
		if (!grown)
			return no_memory(p);
		if (arch->rule_count)
			memcpy(grown, arch->rules, arch->rule_count * sizeof(*grown));
		arch->rules = grown;
		p->capacity[arch_index] = more;
	}
	arch->rules[arch->rule_count] = *rule;
	arch->rules[arch->rule_count++].order = p->order++;
	return 0;
}

/*
 * socketcall(2) and ipc(2) carry a call's number in their first argument and its arguments in
 * memory, where no filter sees them. So a rule without arguments reaches the call through them as
 * well; a rule with arguments cannot.
 */
static int add_multiplexed(struct parser *p, size_t arch_index, const char *name,
			   const struct policy_rule *rule)
{
	unsigned call;
	const char *through;
	if (rule->condition_count || !multiplexed_call(name, &through, &call))
		return 0;
	int64_t nr = policy_syscall_number(p->policy->arches[arch_index].scmp_arch, through);
	if (nr < 0)
		return 0;
	struct policy_condition *first = arena_new(p->arena, struct policy_condition);
	if (!first)
		return no_memory(p);
	/* ipc(2): the upper half of the word is a version */
	*first = (struct policy_condition) { .op = POLICY_MASKED_EQ,
					     .value = streq(through, "ipc") ? 0xffff : UINT32_MAX,
					     .value_two = call };
	struct policy_rule extra = { .nr = (uint32_t)nr,
				     .action = rule->action,
				     .conditions = first,
				     .condition_count = 1 };
	return add_rule(p, arch_index, &extra);
}

static int add_name(struct parser *p, const char *name, uint32_t action,
		    struct policy_condition *conditions, size_t count, bool alternatives)
{
	for (size_t a = 0; a < p->policy->arch_count; a++) {
		struct policy_arch *arch = &p->policy->arches[a];
		int64_t nr = policy_syscall_number(arch->scmp_arch, name);
		struct policy_rule rule = { .nr = (uint32_t)nr,
					    .action = action,
					    .conditions = conditions,
					    .condition_count = alternatives ? 1 : count };
		if (nr >= 0 && rule.nr >= arch->unknown_from)
			arch->unknown_from = rule.nr + 1;
		if (action == p->policy->default_action)
			continue;
		int r = 0;
		for (size_t i = 0; nr >= 0 && r == 0 && i < (alternatives ? count : 1); i++) {
			rule.conditions = conditions + i;
			r = add_rule(p, a, &rule);
		}
		if (r == 0)
			r = add_multiplexed(p, a, name, &rule);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_entry(struct parser *p, const struct json *entry, size_t number)
{
	char where[64];
	uint32_t action;
	snprintf(where, sizeof(where), "syscalls[%zu].action", number);
	int r = parse_action(p, where, json_get(entry, "action"), json_get(entry, "errnoRet"),
			     &action);
	if (r < 0)
		return r;
	const struct json *args = json_get(entry, "args");
	size_t count = args && args->type == JSON_ARRAY ? args->count : 0;
	struct policy_condition *conditions = arena_array(p->arena, struct policy_condition, count);
	if (!conditions)
		return no_memory(p);
	/* As runc and crun: an argument that is named twice makes the conditions alternatives. */
	bool alternatives = false;
	unsigned seen = 0;
	size_t i = 0;
	if (count > 0)
		json_foreach (arg, args) {
			r = parse_condition(p, number, arg, &conditions[i]);
			if (r < 0)
				return r;
			unsigned bit = 1u << conditions[i++].index;
			alternatives |= (seen & bit) != 0;
			seen |= bit;
		}
	const struct json *names = json_get(entry, "names");
	if (!names || names->type != JSON_ARRAY || names->count == 0)
		return error_set(p->err, -EINVAL, "seccomp: syscalls[%zu].names must list a name",
				 number);
	json_foreach (item, names) {
		const char *name;
		if (!json_string(item, &name))
			return error_set(p->err, -EINVAL,
					 "seccomp: syscalls[%zu].names must hold strings", number);
		if (++p->names > MAX_NAMES)
			return error_set(p->err, -E2BIG, "seccomp: more than %u system call names",
					 MAX_NAMES);
		r = add_name(p, name, action, conditions, count, alternatives);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_arch(struct policy *policy, uint32_t scmp_arch)
{
	for (size_t i = 0; i < policy->arch_count; i++)
		if (policy->arches[i].scmp_arch == scmp_arch)
			return;
	if (policy->arch_count < POLICY_MAX_ARCHES)
		policy->arches[policy->arch_count++].scmp_arch = scmp_arch;
}

static int parse_arches(struct parser *p, const struct json *list)
{
	/* As libseccomp: the machine's own architecture is always part of the filter. */
	add_arch(p->policy, seccomp_arch_native());
	if (!list || list->type == JSON_NULL)
		return 0;
	if (list->type != JSON_ARRAY)
		return error_set(p->err, -EINVAL, "seccomp: architectures must be an array");
	json_foreach (item, list) {
		const char *name;
		if (!json_string(item, &name) || !arch_name_known(name))
			return error_set(p->err, -EINVAL,
					 "seccomp: architectures: unknown architecture \"%.64s\"",
					 item->type == JSON_STRING ? item->text : "");
		uint32_t scmp_arch = arch_from_name(name);
		if (scmp_arch) /* else newer than libseccomp, so not this machine's */
			add_arch(p->policy, scmp_arch);
	}
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	const struct policy_rule *x = a, *y = b;
	if (x->nr != y->nr)
		return x->nr < y->nr ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int parse_document(struct parser *p, const struct json *section)
{
	struct policy *policy = p->policy;
	if (section->type != JSON_OBJECT)
		return error_set(p->err, -EINVAL, "seccomp: not an object");
	int r = parse_action(p, "defaultAction", json_get(section, "defaultAction"),
			     json_get(section, "defaultErrnoRet"), &policy->default_action);
	if (r < 0)
		return r;
	if (policy->notify)
		return error_set(p->err, -EINVAL,
				 "seccomp: SCMP_ACT_NOTIFY cannot be the default action: the "
				 "container could not even be started");
	r = parse_arches(p, json_get(section, "architectures"));
	const struct json *syscalls = json_get(section, "syscalls");
	if (r == 0 && syscalls && syscalls->type != JSON_ARRAY && syscalls->type != JSON_NULL)
		return error_set(p->err, -EINVAL, "seccomp: syscalls must be an array");
	size_t number = 0;
	json_foreach (entry, syscalls) {
		if (r == 0)
			r = parse_entry(p, entry, number++);
	}
	return r;
}

int policy_parse(struct arena *arena, const char *text, size_t len, struct policy *ret,
		 struct masu_error *err)
{
	const struct json *section;
	struct parser p = { .arena = arena, .policy = ret, .err = err };
	*ret = (struct policy) { 0 };
	int r = json_parse(arena, text, len, &section, err);
	if (r < 0)
		return error_wrap(err, "seccomp");
	r = parse_document(&p, section);
	if (r < 0)
		return r;
	/*
	 * Programs probe for new system calls and fall back on ENOSYS, not on EPERM. Like runc, let
	 * those that are newer than everything the section names look absent.
	 */
	ret->unknown_action = ret->default_action;
	if (ret->default_action == (SECCOMP_RET_ERRNO | EPERM))
		ret->unknown_action = SECCOMP_RET_ERRNO | ENOSYS;
	for (size_t a = 0; a < ret->arch_count; a++) {
		struct policy_arch *arch = &ret->arches[a];
		if (arch->rule_count)
			qsort(arch->rules, arch->rule_count, sizeof(*arch->rules), compare_rules);
		if (arch->unknown_from == 0)
			arch->unknown_from = UINT32_MAX;
	}
	return 0;
}
