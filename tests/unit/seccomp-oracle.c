#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/seccomp_blob.h"
#include "json/json.h"
#include "seccomp-oracle.h"

static bool compare(uint16_t op, uint32_t a, uint32_t k)
{
	switch (op) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	case BPF_JGE:
		return a >= k;
	case BPF_JSET:
		return a & k;
	}
	fail_msg("jump %u", op);
	return false;
}

uint32_t oracle_run(const struct seccomp_program *program, const struct seccomp_data *data)
{
	uint32_t a = 0;
	for (size_t pc = 0; pc < program->count; pc++) {
		const struct sock_filter *in = &program->insns[pc];
		switch (BPF_CLASS(in->code)) {
		case BPF_LD:
			assert_int_equal(in->code, BPF_LD | BPF_W | BPF_ABS);
			assert_true(in->k % 4 == 0 && in->k < sizeof(*data));
			memcpy(&a, (const char *)data + in->k, 4);
			break;
		case BPF_ALU:
			assert_int_equal(in->code, BPF_ALU | BPF_AND | BPF_K);
			a &= in->k;
			break;
		case BPF_JMP:
			if (BPF_OP(in->code) == BPF_JA)
				pc += in->k;
			else
				pc += compare(BPF_OP(in->code), a, in->k) ? in->jt : in->jf;
			break;
		case BPF_RET:
			assert_int_equal(in->code, BPF_RET | BPF_K);
			return in->k;
		default:
			fail_msg("instruction %u", in->code);
		}
	}
	fail_msg("the program runs past its end");
	return 0;
}

/* ---- the section, read without masu's policy.c ---- */

static uint32_t scmp_action(const struct json *entry, const char *member, const char *errno_member)
{
	static const struct {
		const char *name;
		uint32_t scmp;
	} names[] = {
		{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
		{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL },
		{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
		{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
		{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
		{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
		{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
		{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
		{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	};
	const char *text = NULL;
	uint64_t data = EPERM;
	assert_true(json_string(json_get(entry, member), &text));
	json_u64(json_get(entry, errno_member), &data);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(text, names[i].name)) {
			bool takes = names[i].scmp == SCMP_ACT_ERRNO(0) ||
				     names[i].scmp == SCMP_ACT_TRACE(0);
			return names[i].scmp | (takes ? (uint32_t)data : 0);
		}
	fail_msg("action %s", text);
	return 0;
}

static enum scmp_compare scmp_op(const char *name)
{
	static const char *const names[] = { "SCMP_CMP_NE",	  "SCMP_CMP_LT", "SCMP_CMP_LE",
					     "SCMP_CMP_EQ",	  "SCMP_CMP_GE", "SCMP_CMP_GT",
					     "SCMP_CMP_MASKED_EQ" };
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return (enum scmp_compare)(SCMP_CMP_NE + i);
	fail_msg("operator %s", name);
	return 0;
}

static unsigned read_args(const struct json *entry, struct scmp_arg_cmp args[6])
{
	unsigned count = 0;
	json_foreach (arg, json_get(entry, "args")) {
		uint64_t index = 0, value = 0, two = 0;
		const char *op = "";
		json_u64(json_get(arg, "index"), &index);
		json_u64(json_get(arg, "value"), &value);
		json_u64(json_get(arg, "valueTwo"), &two);
		json_string(json_get(arg, "op"), &op);
		args[count++] = (struct scmp_arg_cmp) {
			.arg = (unsigned)index, .op = scmp_op(op), .datum_a = value, .datum_b = two
		};
	}
	return count;
}

static const struct json *parse(struct arena *arena, const char *section, size_t len)
{
	const struct json *document = NULL;
	struct masu_error err = { 0 };
	if (json_parse(arena, section, len, &document, &err) < 0)
		fail_msg("%s", err.message);
	return document;
}

static void add_libseccomp_rules(scmp_filter_ctx ctx, const struct json *document)
{
	uint32_t fallback = scmp_action(document, "defaultAction", "defaultErrnoRet");
	json_foreach (entry, json_get(document, "syscalls")) {
		struct scmp_arg_cmp args[6];
		unsigned count = read_args(entry, args);
		uint32_t action = scmp_action(entry, "action", "errnoRet");
		if (action == fallback)
			continue;
		json_foreach (item, json_get(entry, "names")) {
			int nr = seccomp_syscall_resolve_name(item->text);
			if (nr != __NR_SCMP_ERROR)
				assert_int_equal(
					seccomp_rule_add_array(ctx, action, nr, count, args), 0);
		}
	}
}

struct seccomp_program oracle_libseccomp(struct arena *arena, const char *section, size_t len)
{
	const struct json *document = parse(arena, section, len);
	scmp_filter_ctx ctx =
		seccomp_init(scmp_action(document, "defaultAction", "defaultErrnoRet"));
	assert_non_null(ctx);
	json_foreach (item, json_get(document, "architectures")) {
		const char *name = item->text;
		uint32_t arch = streq(name, "SCMP_ARCH_X86_64") ? SCMP_ARCH_X86_64
				: streq(name, "SCMP_ARCH_X86")	? SCMP_ARCH_X86
								: SCMP_ARCH_X32;
		int r = seccomp_arch_add(ctx, arch);
		assert_true(r == 0 || r == -EEXIST);
	}
	add_libseccomp_rules(ctx, document);
	int fd = memfd_create("oracle", MFD_CLOEXEC);
	struct stat st;
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	seccomp_release(ctx);
	assert_int_equal(fstat(fd, &st), 0);
	struct seccomp_program program = { .count = (size_t)st.st_size /
						    sizeof(struct sock_filter) };
	program.insns = arena_alloc(arena, (size_t)st.st_size);
	assert_non_null(program.insns);
	assert_int_equal(pread(fd, program.insns, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	return program;
}

static bool holds(const struct scmp_arg_cmp *c, uint64_t value, bool narrow)
{
	uint64_t a = narrow ? (uint32_t)c->datum_a : c->datum_a;
	switch (c->op) {
	case SCMP_CMP_NE:
		return value != a;
	case SCMP_CMP_LT:
		return value < a;
	case SCMP_CMP_LE:
		return value <= a;
	case SCMP_CMP_EQ:
		return value == a;
	case SCMP_CMP_GE:
		return value >= a;
	case SCMP_CMP_GT:
		return value > a;
	default:
		return (value & a) == (narrow ? (uint32_t)c->datum_b : c->datum_b);
	}
}

static bool entry_names(const struct json *entry, const char *name)
{
	json_foreach (item, json_get(entry, "names"))
		if (streq_null(item->text, name))
			return true;
	return false;
}

uint32_t oracle_rules(const char *section, size_t len, const struct seccomp_data *data)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	const struct json *document = parse(&arena, section, len);
	bool narrow = data->arch == SCMP_ARCH_X86;
	uint32_t arch = data->arch;
	if (arch == SCMP_ARCH_X86_64 && data->nr >= 0x40000000)
		arch = SCMP_ARCH_X32;
	/* The other direction than the compiler resolves. */
	_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(arch, data->nr);
	uint32_t fallback = scmp_action(document, "defaultAction", "defaultErrnoRet");
	uint32_t conditional = fallback;
	json_foreach (entry, json_get(document, "syscalls")) {
		struct scmp_arg_cmp args[6];
		unsigned count = read_args(entry, args);
		uint32_t action = scmp_action(entry, "action", "errnoRet");
		if (action == fallback || !entry_names(entry, name))
			continue;
		if (count == 0)
			return action;
		bool all = true;
		for (unsigned i = 0; i < count; i++)
			all = all && holds(&args[i], data->args[args[i].arg], narrow);
		if (all && conditional == fallback)
			conditional = action;
	}
	return conditional;
}

const char *oracle_name(uint32_t scmp_arch, int nr, char *ret, size_t size)
{
	char *name = seccomp_syscall_resolve_num_arch(scmp_arch, nr);
	snprintf(ret, size, "%s", name ? name : "?");
	free(name);
	return ret;
}
