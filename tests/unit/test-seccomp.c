/* masu's seccomp compiler against libseccomp's filter and against the rules themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/seccomp/policy.h"
#include "exec/native/seccomp.h"
#include "json/json.h"
#include "seccomp-oracle.h"

/* As libseccomp calls them, whose header has a seccomp_load() too. */
#define SCMP_ARCH_X86_64  AUDIT_ARCH_X86_64
#define SCMP_ARCH_X86	  AUDIT_ARCH_I386
#define SCMP_ARCH_X32	  (EM_X86_64 | __AUDIT_ARCH_LE)
#define SCMP_ARCH_AARCH64 AUDIT_ARCH_AARCH64

#define CAP(n)	    (UINT64_C(1) << (n))
#define DOCKER_CAPS UINT64_C(0xa80425fb) /* docker's fourteen */
#define X32_BIT	    0x40000000u
#define NUMBERS	    600u
#define ENOSYS_RET  (SECCOMP_RET_ERRNO | ENOSYS)

static const uint32_t arches[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 };

static struct seccomp_data call(uint32_t scmp_arch, uint32_t nr)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = scmp_arch };
	if (scmp_arch == SCMP_ARCH_X32) {
		data.arch = SCMP_ARCH_X86_64;
		data.nr = (int)(nr | X32_BIT);
	}
	return data;
}

/* Argument values at which some rule of the policies under test changes its mind. */
static const uint64_t values[] = {
	0,	1,	2,	    8,	     9,		 16,	     31,	 32,
	37,	38,	39,	    40,	     41,	 43,	     45,	 63,
	131072, 131080, 4294967295, 0x20000, 0x10000000, 0x7e020000, 0x40000011, 0x1200011,
};

static struct seccomp_machine machine; /* with x32 */

static struct seccomp_program compile(struct arena *arena, const char *text, size_t len)
{
	struct seccomp_program program = { 0 };
	struct masu_error err = { 0 };
	if (seccomp_compile(arena, &machine, text, len, &program, &err) < 0)
		fail_msg("%s", err.message);
	assert_true(program.count > 0 && program.count <= 4096);
	return program;
}

/* Calls @check for every number on every architecture, with every pair of values in args 0 and 2,
 * where @wide says that the arguments matter for it. */
static void for_every_call(void (*check)(void *, uint32_t, const struct seccomp_data *),
			   bool (*wide)(void *, uint32_t, uint32_t), void *opaque)
{
	for (size_t a = 0; a < ARRAY_SIZE(arches); a++)
		for (uint32_t nr = 0; nr < NUMBERS; nr++) {
			struct seccomp_data data = call(arches[a], nr);
			bool arguments = wide(opaque, arches[a], (uint32_t)data.nr);
			for (size_t i = 0; i < (arguments ? ARRAY_SIZE(values) : 1); i++)
				for (size_t k = 0; k < (arguments ? ARRAY_SIZE(values) : 1); k++) {
					data.args[0] = values[i];
					data.args[2] = values[k];
					check(opaque, arches[a], &data);
				}
		}
}

static bool has_argument_rules(void *opaque, uint32_t arch, uint32_t nr)
{
	static const char *const names[] = { "socket", "personality", "clone", "socketcall" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (policy_syscall_number(arch, names[i]) == nr)
			return true;
	return false;
}

struct pair {
	struct seccomp_program ours, theirs;
	unsigned compared, newer;
};

/* Equal, but that masu answers ENOSYS for what is newer than the policy, and knows newer names. */
static void check_same(void *opaque, uint32_t arch, const struct seccomp_data *data)
{
	struct pair *pair = opaque;
	uint32_t ours = oracle_run(&pair->ours, data), theirs = oracle_run(&pair->theirs, data);
	pair->compared++;
	if (ours == theirs)
		return;
	if ((data->nr & ~X32_BIT) > 450 || (arch == SCMP_ARCH_X86_64 && data->nr == 335)) {
		assert_true(ours == ENOSYS_RET || ours == SECCOMP_RET_ALLOW);
		pair->newer++;
		return;
	}
	fail_msg("arch %x nr %u args %llx %llx: %x, libseccomp %x", arch, (unsigned)data->nr,
		 (unsigned long long)data->args[0], (unsigned long long)data->args[2], ours,
		 theirs);
}

static void test_default_policy_is_what_libseccomp_makes_of_it(void **state)
{
	static const uint64_t caps[] = { 0,
					 DOCKER_CAPS,
					 ~UINT64_C(0),
					 CAP(CAP_SYS_ADMIN),
					 CAP(CAP_SYS_PTRACE),
					 CAP(CAP_SYSLOG),
					 CAP(CAP_BPF) };
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		_cleanup_arena_ struct arena arena;
		arena_init(&arena, 0);
		const char *text;
		size_t len;
		assert_int_equal(seccomp_default_section(&arena, caps[i], &text, &len, NULL), 0);
		struct pair pair = { .ours = compile(&arena, text, len),
				     .theirs = oracle_libseccomp(&arena, text, len) };
		for_every_call(check_same, has_argument_rules, &pair);
		assert_true(pair.compared > 3 * NUMBERS && pair.newer > 0);
		print_message("# caps %llx: %zu instructions, libseccomp's %zu\n",
			      (unsigned long long)caps[i], pair.ours.count, pair.theirs.count);
	}
}

static void test_other_architectures_are_killed(void **state)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	static const char only64[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
	struct seccomp_program program = compile(&arena, only64, strlen(only64));
	struct seccomp_data data = call(SCMP_ARCH_X86_64, 1);
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_ALLOW);
	data = call(SCMP_ARCH_X32, 1);
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_KILL_THREAD);
	data = call(SCMP_ARCH_X86, 1);
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_KILL_THREAD);
	data = call(SCMP_ARCH_AARCH64, 1);
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_KILL_THREAD);
}

static void test_x32_where_the_kernel_has_none(void **state)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	const char *text;
	size_t len;
	seccomp_default_section(&arena, DOCKER_CAPS, &text, &len, NULL);
	struct seccomp_program with = compile(&arena, text, len);
	machine.no_x32 = true;
	struct seccomp_program without = compile(&arena, text, len);
	static const char strict[] = "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\","
				     "\"architectures\":[\"SCMP_ARCH_X32\"]}";
	struct seccomp_program killing = compile(&arena, strict, strlen(strict));
	machine.no_x32 = false;
	assert_true(without.count < with.count);
	for (uint32_t nr = 0; nr < NUMBERS; nr++) {
		struct seccomp_data data = call(SCMP_ARCH_X32, nr);
		assert_int_equal(oracle_run(&without, &data), ENOSYS_RET);
		assert_int_equal(oracle_run(&killing, &data), SECCOMP_RET_KILL_PROCESS);
		data = call(SCMP_ARCH_X86_64, nr);
		assert_int_equal(oracle_run(&without, &data), oracle_run(&with, &data));
	}
}

/* ---- Docker's policy as Debian ships it for podman ---- */

static bool caps_listed(const struct json *condition, uint64_t bounding, bool when_absent)
{
	static const struct {
		const char *name;
		unsigned cap;
	} known[] = {
		{ "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH },
		{ "CAP_SYS_ADMIN", CAP_SYS_ADMIN },
		{ "CAP_SYS_CHROOT", CAP_SYS_CHROOT },
		{ "CAP_SYS_MODULE", CAP_SYS_MODULE },
		{ "CAP_SYS_PACCT", CAP_SYS_PACCT },
		{ "CAP_SYS_PTRACE", CAP_SYS_PTRACE },
		{ "CAP_SYS_RAWIO", CAP_SYS_RAWIO },
		{ "CAP_SYS_TIME", CAP_SYS_TIME },
		{ "CAP_SYS_TTY_CONFIG", CAP_SYS_TTY_CONFIG },
		{ "CAP_AUDIT_WRITE", CAP_AUDIT_WRITE },
	};
	const struct json *list = json_get(condition, "caps");
	if (!list || list->count == 0)
		return when_absent;
	json_foreach (item, list) {
		bool found = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			if (streq(item->text, known[i].name)) {
				found = true;
				if (!(bounding & CAP(known[i].cap)))
					return false;
			}
		assert_true(found);
	}
	return true;
}

static bool arches_listed(const struct json *condition)
{
	const struct json *list = json_get(condition, "arches");
	if (!list || list->count == 0)
		return true;
	json_foreach (item, list)
		if (streq(item->text, "amd64"))
			return true;
	return false;
}

/* Podman's file as the OCI section podman would make of it. */
static void podman_section(struct arena *arena, const char *file, size_t len, uint64_t bounding,
			   struct buf *out)
{
	const struct json *document = NULL;
	struct json_writer w;
	assert_int_equal(json_parse(arena, file, len, &document, NULL), 0);
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_string(&w, "defaultAction", json_get(document, "defaultAction")->text);
	json_field_u64(&w, "defaultErrnoRet", ENOSYS);
	json_key(&w, "architectures");
	json_put_value(&w, json_get(json_get(document, "archMap")->child, "subArchitectures"));
	json_key(&w, "syscalls");
	json_begin_array(&w);
	json_foreach (entry, json_get(document, "syscalls")) {
		const struct json *includes = json_get(entry, "includes");
		const struct json *excludes = json_get(entry, "excludes");
		if (!caps_listed(includes, bounding, true) || !arches_listed(includes) ||
		    caps_listed(excludes, bounding, false))
			continue;
		json_begin_object(&w);
		json_foreach (member, entry)
			if (streq(member->key, "names") || streq(member->key, "action") ||
			    (streq(member->key, "args") && member->type == JSON_ARRAY) ||
			    (streq(member->key, "errnoRet") && member->type == JSON_NUMBER)) {
				json_key(&w, member->key);
				json_put_value(&w, member);
			}
		json_end_object(&w);
	}
	json_end_array(&w);
	json_end_object(&w);
	assert_int_equal(buf_error(out), 0);
}

/*
 * Where masu follows Docker and Debian's podman does otherwise; docs/seccomp.md gives the reasons.
 * Allowed by podman whatever the capabilities:
 */
static const char *const stricter[] = {
	"clone",	 "clone3",	"fsconfig",   "fsmount",      "fsopen",	       "fspick",
	"get_mempolicy", "keyctl",	"mbind",      "mount",	      "mount_setattr", "move_mount",
	"open_tree",	 "pidfd_getfd", "pivot_root", "readdir",      "set_mempolicy", "setns",
	"sigaction",	 "signal",	"sigpending", "sigsuspend",   "syslog",	       "umount",
	"umount2",	 "unshare",	"socket",     "query_module", "reboot"
};
/* Allowed by Docker, and by masu, but not by podman. */
static const char *const looser[] = {
	"io_pgetevents", "io_pgetevents_time64",   "vmsplice", "futex_waitv", "quotactl_fd",
	"socket",	 "set_mempolicy_home_node"
};

static bool stricter_seen[ARRAY_SIZE(stricter)], looser_seen[ARRAY_SIZE(looser)];

static bool named(uint32_t arch, int nr, const char *const *names, size_t count, bool *seen)
{
	for (size_t i = 0; i < count; i++)
		if (policy_syscall_number(arch, names[i]) == nr)
			return seen[i] = true;
	return false;
}

static void no_stale_deviation(const char *const *names, size_t count, const bool *seen)
{
	for (size_t i = 0; i < count; i++)
		if (!seen[i])
			fail_msg("%s is listed as a deviation but is none", names[i]);
}

static void check_podman(void *opaque, uint32_t arch, const struct seccomp_data *data)
{
	struct pair *pair = opaque;
	bool ours = oracle_run(&pair->ours, data) == SECCOMP_RET_ALLOW;
	bool theirs = oracle_run(&pair->theirs, data) == SECCOMP_RET_ALLOW;
	pair->compared++;
	if (ours == theirs || (data->nr & ~X32_BIT) > 450 || data->nr == 335)
		return;
	if (ours ? named(arch, data->nr, looser, ARRAY_SIZE(looser), looser_seen)
		 : named(arch, data->nr, stricter, ARRAY_SIZE(stricter), stricter_seen))
		return;
	char name[64];
	fail_msg("arch %x %s (%d) args %llx %llx: masu %s, podman's policy %s", arch,
		 oracle_name(arch, data->nr, name, sizeof(name)), data->nr,
		 (unsigned long long)data->args[0], (unsigned long long)data->args[2],
		 ours ? "allows" : "refuses", theirs ? "allows" : "refuses");
}

static void test_default_policy_agrees_with_debians(void **state)
{
	static const uint64_t caps[] = { 0, DOCKER_CAPS, ~UINT64_C(0), CAP(CAP_SYS_ADMIN),
					 CAP(CAP_SYS_TIME) | CAP(CAP_SYS_MODULE) };
	_cleanup_arena_ struct arena files;
	arena_init(&files, 0);
	_cleanup_fclose_ FILE *file = fopen("/usr/share/containers/seccomp.json", "re");
	if (!file)
		skip();
	char *json = arena_alloc(&files, 1 << 20);
	size_t json_len = fread(json, 1, 1 << 20, file);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		_cleanup_arena_ struct arena arena;
		_cleanup_buf_ struct buf podman;
		const char *text;
		size_t len;
		arena_init(&arena, 0);
		buf_init(&podman, 0);
		podman_section(&arena, json, json_len, caps[i], &podman);
		assert_int_equal(seccomp_default_section(&arena, caps[i], &text, &len, NULL), 0);
		struct pair pair = { .ours = compile(&arena, text, len),
				     .theirs = compile(&arena, podman.data, podman.len) };
		for_every_call(check_podman, has_argument_rules, &pair);
		assert_true(pair.compared > 3 * NUMBERS);
	}
	no_stale_deviation(stricter, ARRAY_SIZE(stricter), stricter_seen);
	no_stale_deviation(looser, ARRAY_SIZE(looser), looser_seen);
}

/* The documented traps of the policy, by name. */
static void test_default_policy_refuses(void **state)
{
	static const struct {
		const char *name;
		uint64_t a0, caps;
		uint32_t action;
	} cases[] = {
		{ "socket", 38, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "socket", 40, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		/* the kernel takes 32 bits: no way around by the upper ones */
		{ "socket", UINT64_C(0x100000028), DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "socket", UINT64_C(0x100000026), ~UINT64_C(0), SECCOMP_RET_ERRNO | EPERM },
		{ "socket", 1, DOCKER_CAPS, SECCOMP_RET_ALLOW },
		{ "socket", 16, DOCKER_CAPS, SECCOMP_RET_ALLOW },
		{ "clone", 0x10000000, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "clone", 0x1200011, DOCKER_CAPS, SECCOMP_RET_ALLOW },
		{ "clone", 0x10000000, CAP(CAP_SYS_ADMIN), SECCOMP_RET_ALLOW },
		{ "clone3", 0, DOCKER_CAPS, ENOSYS_RET },
		{ "clone3", 0, CAP(CAP_SYS_ADMIN), SECCOMP_RET_ALLOW },
		{ "unshare", 0, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "mount", 0, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "keyctl", 0, ~UINT64_C(0), SECCOMP_RET_ERRNO | EPERM },
		{ "add_key", 0, ~UINT64_C(0), SECCOMP_RET_ERRNO | EPERM },
		{ "io_uring_setup", 0, ~UINT64_C(0), SECCOMP_RET_ERRNO | EPERM },
		{ "userfaultfd", 0, ~UINT64_C(0), SECCOMP_RET_ERRNO | EPERM },
		{ "personality", 0x40000, DOCKER_CAPS, SECCOMP_RET_ERRNO | EPERM },
		{ "personality", 0xffffffff, DOCKER_CAPS, SECCOMP_RET_ALLOW },
		{ "chroot", 0, DOCKER_CAPS, SECCOMP_RET_ALLOW },
		{ "chroot", 0, 0, SECCOMP_RET_ERRNO | EPERM },
		{ "bpf", 0, CAP(CAP_BPF), SECCOMP_RET_ALLOW },
		{ "mseal", 0, 0, SECCOMP_RET_ALLOW },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena;
		arena_init(&arena, 0);
		const char *text;
		size_t len;
		seccomp_default_section(&arena, cases[i].caps, &text, &len, NULL);
		struct seccomp_program program = compile(&arena, text, len);
		struct seccomp_data data =
			call(SCMP_ARCH_X86_64,
			     (uint32_t)policy_syscall_number(SCMP_ARCH_X86_64, cases[i].name));
		data.args[0] = cases[i].a0;
		if (oracle_run(&program, &data) != cases[i].action)
			fail_msg("%s %llx: %x", cases[i].name, (unsigned long long)cases[i].a0,
				 oracle_run(&program, &data));
	}
}

/* ---- made-up sections against their own rules ---- */

static uint32_t random_state = 1;

static uint32_t pick(uint32_t limit)
{
	random_state = random_state * 1103515245u + 12345u;
	return (random_state >> 8) % limit;
}

static void random_section(struct buf *out)
{
	static const char *const names[] = { "read",   "write",	   "open",	  "socket",
					     "accept", "shmat",	   "mmap",	  "execve",
					     "nosuch", "openat2",  "personality", "clone",
					     "time",   "sigreturn" };
	static const char *const actions[] = { "\"SCMP_ACT_ALLOW\"",
					       "\"SCMP_ACT_KILL_PROCESS\"",
					       "\"SCMP_ACT_ERRNO\",\"errnoRet\":13",
					       "\"SCMP_ACT_TRACE\",\"errnoRet\":65535",
					       "\"SCMP_ACT_LOG\"",
					       "\"SCMP_ACT_NOTIFY\"",
					       "\"SCMP_ACT_TRAP\"" };
	static const char *const ops[] = { "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ" };
	buf_printf(out,
		   "{\"defaultAction\":\"SCMP_ACT_%s\",\"architectures\":[\"SCMP_ARCH_X86\"%s],"
		   "\"syscalls\":[",
		   pick(2) ? "ALLOW" : "KILL", pick(2) ? ",\"SCMP_ARCH_X32\"" : "");
	uint32_t entries = 1 + pick(12);
	for (uint32_t i = 0; i < entries; i++) {
		buf_printf(out, "%s{\"names\":[\"%s\",\"%s\"],\"action\":%s", i ? "," : "",
			   names[pick(ARRAY_SIZE(names))], names[pick(ARRAY_SIZE(names))],
			   actions[pick(ARRAY_SIZE(actions))]);
		uint32_t count = pick(4);
		for (uint32_t k = 0; k < count; k++)
			buf_printf(out,
				   "%s{\"index\":%u,\"op\":\"SCMP_CMP_%s\",\"value\":%llu,"
				   "\"valueTwo\":%llu}%s",
				   k ? "," : ",\"args\":[", k, ops[pick(ARRAY_SIZE(ops))],
				   (unsigned long long)pick(5) << (pick(2) ? 31 : 0),
				   (unsigned long long)pick(5) << (pick(2) ? 31 : 0),
				   k + 1 == count ? "]" : "");
		buf_puts(out, "}");
	}
	buf_puts(out, "]}");
}

/* socketcall(2) and ipc(2) get rules from other names; they have their own test. */
static bool multiplexer(const struct seccomp_data *data)
{
	return data->arch == SCMP_ARCH_X86 && (data->nr == 102 || data->nr == 117);
}

static void test_random_sections_follow_their_rules(void **state)
{
	static const uint32_t numbers[] = { 0,	 1,   2,   3,	4,   5,	  9,   11,  13,
					    30,	 41,  43,  56,	59,  90,  119, 120, 135,
					    136, 192, 201, 359, 364, 397, 437, 15,  599 };
	for (unsigned round = 0; round < 300; round++) {
		_cleanup_arena_ struct arena arena;
		_cleanup_buf_ struct buf text;
		arena_init(&arena, 0);
		buf_init(&text, 0);
		random_state = round + 1;
		random_section(&text);
		bool x32 = strstr(buf_str(&text), "X32") != NULL;
		struct seccomp_program program = compile(&arena, text.data, text.len);
		for (size_t i = 0; i < ARRAY_SIZE(numbers) * 8; i++) {
			struct seccomp_data data = call(arches[pick(x32 ? 3 : 2)], numbers[i / 8]);
			if (multiplexer(&data))
				continue;
			for (unsigned k = 0; k < 4; k++)
				data.args[k] = (uint64_t)pick(5) << (pick(2) ? 31 : 0);
			if (data.arch == SCMP_ARCH_X86)
				for (unsigned k = 0; k < 4; k++)
					data.args[k] = (uint32_t)data.args[k];
			uint32_t want = oracle_rules(text.data, text.len, &data);
			uint32_t got = oracle_run(&program, &data);
			if (got != want)
				fail_msg("round %u arch %x nr %d args %llx %llx %llx: %x, rules "
					 "say %x: %s",
					 round, data.arch, data.nr,
					 (unsigned long long)data.args[0],
					 (unsigned long long)data.args[1],
					 (unsigned long long)data.args[2], got, want,
					 buf_str(&text));
		}
	}
}

static void test_multiplexed_calls_are_reached(void **state)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	static const char text[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],"
		"\"syscalls\":[{\"names\":[\"accept\",\"shmat\"],\"action\":\"SCMP_ACT_KILL\"}]}";
	struct seccomp_program program = compile(&arena, text, strlen(text));
	struct seccomp_data data = call(SCMP_ARCH_X86, 102);
	data.args[0] = 5;
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_KILL_THREAD);
	data.args[0] = 4;
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_ALLOW);
	data = call(SCMP_ARCH_X86, 117);
	data.args[0] = 0x10015; /* version 1, shmat */
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_KILL_THREAD);
}

static void test_alternatives_on_one_argument(void **state)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	static const char text[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"args\":["
		"{\"index\":0,\"value\":3,\"op\":\"SCMP_CMP_EQ\"},"
		"{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"}]}]}";
	struct seccomp_program program = compile(&arena, text, strlen(text));
	struct seccomp_data data = call(SCMP_ARCH_X86_64, 0);
	static const uint64_t refused[] = { 3, 7 };
	for (size_t i = 0; i < 2; i++) {
		data.args[0] = refused[i];
		assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_ERRNO | EPERM);
	}
	data.args[0] = 5;
	assert_int_equal(oracle_run(&program, &data), SECCOMP_RET_ALLOW);
}

static void test_what_is_refused_is_named(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "[]", "not an object" },
		{ "{", "line 1" },
		{ "{}", "defaultAction" },
		{ "{\"defaultAction\":\"ALLOW\"}", "unknown action \"ALLOW\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "SCMP_ACT_NOTIFY" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}", "no errno" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096}", "0 to 4095" },
		{ "{\"defaultAction\":\"SCMP_ACT_TRACE\",\"defaultErrnoRet\":65536}",
		  "0 to 65535" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_Z80\"]}",
		  "SCMP_ARCH_Z80" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],"
		  "\"action\":\"SCMP_ACT_KILL\"}]}",
		  "syscalls[0].names" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		  "\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":6,\"value\":0,"
		  "\"op\":\"SCMP_CMP_EQ\"}]}]}",
		  "index must be 0 to 5" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		  "\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":0,"
		  "\"op\":\"SCMP_CMP_IS\"}]}]}",
		  "SCMP_CMP_IS" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		  "\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1}]}",
		  "no errno" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena;
		arena_init(&arena, 0);
		struct seccomp_program program;
		struct masu_error err = { 0 };
		int r = seccomp_compile(&arena, &machine, cases[i].text, strlen(cases[i].text),
					&program, &err);
		if (r >= 0 || !strstr(err.message, cases[i].says))
			fail_msg("%s: %d \"%s\"", cases[i].text, r, err.message);
	}
}

/* More rules than a program holds must be said, not cut off; long jumps must arrive. */
static void test_large_sections(void **state)
{
	for (unsigned rules = 200; rules <= 2000; rules += 600) {
		_cleanup_arena_ struct arena arena;
		_cleanup_buf_ struct buf text;
		arena_init(&arena, 0);
		buf_init(&text, 0);
		buf_puts(&text, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[");
		for (unsigned i = 0; i < rules; i++)
			buf_printf(&text,
				   "%s{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":"
				   "[{\"index\":1,\"value\":%u,\"op\":\"SCMP_CMP_EQ\"}]}",
				   i ? "," : "", i % 2 ? "read" : "close", i);
		buf_puts(&text, "]}");
		struct seccomp_program program;
		struct masu_error err = { 0 };
		int r = seccomp_compile(&arena, &machine, text.data, text.len, &program, &err);
		if (r < 0) {
			assert_int_equal(r, -E2BIG);
			assert_non_null(strstr(err.message, "4096"));
			assert_true(rules > 800);
			continue;
		}
		assert_true(rules < 1400);
		for (unsigned i = 0; i < rules + 3; i++) {
			struct seccomp_data data = call(SCMP_ARCH_X86_64, i % 2 ? 0 : 3);
			data.args[1] = i;
			assert_int_equal(oracle_run(&program, &data),
					 i < rules ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_policy_is_what_libseccomp_makes_of_it),
		cmocka_unit_test(test_other_architectures_are_killed),
		cmocka_unit_test(test_x32_where_the_kernel_has_none),
		cmocka_unit_test(test_default_policy_agrees_with_debians),
		cmocka_unit_test(test_default_policy_refuses),
		cmocka_unit_test(test_random_sections_follow_their_rules),
		cmocka_unit_test(test_multiplexed_calls_are_reached),
		cmocka_unit_test(test_alternatives_on_one_argument),
		cmocka_unit_test(test_what_is_refused_is_named),
		cmocka_unit_test(test_large_sections),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
