/*
 * Device rules on cgroup2: a BPF_PROG_TYPE_CGROUP_DEVICE program, generated here and loaded with
 * bpf(2) itself.
 *
 * The program walks the rules from the last to the first and keeps in r3 the kinds of access that
 * no rule has decided yet: a matching deny that covers one of them ends in "no", a matching allow
 * takes its kinds out, and when none is left the answer is "yes". So for each kind of access the
 * last rule that mentions the device decides, which is the order the spec asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/bpf.h"
#include "sys/fs.h"

_Static_assert(DEVICE_ACCESS_MKNOD == BPF_DEVCG_ACC_MKNOD, "access bits are the kernel's");
_Static_assert(DEVICE_ACCESS_READ == BPF_DEVCG_ACC_READ, "access bits are the kernel's");
_Static_assert(DEVICE_ACCESS_WRITE == BPF_DEVCG_ACC_WRITE, "access bits are the kernel's");

#define MAX_INSNS_PER_RULE 7
#define MAX_PREFIX_INSNS   16

static const struct bpf_kind device_kind = { BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE,
					     "masu_devices" };

/* Tests of one rule; those that fail jump to @skip instructions past the last one. */
static void emit_rule(struct bpf_code *e, const struct device_rule *rule)
{
	size_t tests[4], test_count = 0;
	/* 32-bit compares: major and minor of a bpf_cgroup_dev_ctx are u32. */
	if (rule->type != 'a') {
		tests[test_count++] = e->count;
		bpf_emit(e, BPF_JMP32 | BPF_JNE | BPF_K, R2, 0, 0,
			 rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	}
	if (rule->major != DEVICE_ANY) {
		tests[test_count++] = e->count;
		bpf_emit(e, BPF_JMP32 | BPF_JNE | BPF_K, R4, 0, 0, (int32_t)rule->major);
	}
	if (rule->minor != DEVICE_ANY) {
		tests[test_count++] = e->count;
		bpf_emit(e, BPF_JMP32 | BPF_JNE | BPF_K, R5, 0, 0, (int32_t)rule->minor);
	}
	if (!rule->allow) {
		/* Skip the "no" unless an undecided access is denied. */
		bpf_emit(e, BPF_JMP32 | BPF_JSET | BPF_K, R3, 0, 1, (int32_t)rule->access);
		bpf_emit(e, BPF_JMP | BPF_JA, 0, 0, 2, 0);
		bpf_emit_return(e, 0);
	} else {
		bpf_emit(e, BPF_ALU | BPF_AND | BPF_K, R3, 0, 0,
			 (int32_t)(~rule->access & DEVICE_ACCESS_ALL));
		bpf_emit(e, BPF_JMP32 | BPF_JNE | BPF_K, R3, 0, 2, 0);
		bpf_emit_return(e, 1);
	}
	for (size_t i = 0; i < test_count; i++)
		bpf_emit_target(e, tests[i]);
}

int device_rules_to_bpf(struct arena *arena, const struct device_rules *rules,
			struct bpf_insn **ret, size_t *ret_count)
{
	if (rules->count > (BPF_MAXINSNS - MAX_PREFIX_INSNS) / MAX_INSNS_PER_RULE)
		return -E2BIG;
	struct bpf_code e = { .insn = arena_array(arena, struct bpf_insn,
						  rules->count * MAX_INSNS_PER_RULE +
							  MAX_PREFIX_INSNS) };
	if (!e.insn)
		return -ENOMEM;
	bpf_emit_load(&e, R2, R1, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	bpf_emit(&e, BPF_ALU | BPF_MOV | BPF_X, R3, R2, 0, 0);
	bpf_emit(&e, BPF_ALU | BPF_AND | BPF_K, R2, 0, 0, 0xffff);
	bpf_emit(&e, BPF_ALU | BPF_RSH | BPF_K, R3, 0, 0, 16);
	bpf_emit_load(&e, R4, R1, offsetof(struct bpf_cgroup_dev_ctx, major));
	bpf_emit_load(&e, R5, R1, offsetof(struct bpf_cgroup_dev_ctx, minor));
	for (size_t i = rules->count; i-- > 0;) {
		const struct device_rule *rule = &rules->list[i];
		/* No device has such a number, so nothing can match. */
		if (rule->access == 0 || rule->major > UINT32_MAX || rule->minor > UINT32_MAX)
			continue;
		emit_rule(&e, rule);
		if (rule->type == 'a' && rule->major == DEVICE_ANY && rule->minor == DEVICE_ANY &&
		    rule->access == DEVICE_ACCESS_ALL)
			break; /* nothing is undecided past it */
	}
	bpf_emit_return(&e, 0);
	*ret = e.insn;
	*ret_count = e.count;
	return 0;
}

static int detach(int cgroup_fd, int program_fd)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	return sys_bpf(BPF_PROG_DETACH, &attr);
}

/* Ids of the device programs attached to this very group. */
static int attached(int cgroup_fd, uint32_t ids[BPF_GROUP_MAX], size_t *ret_count)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = BPF_GROUP_MAX;
	int r = sys_bpf(BPF_PROG_QUERY, &attr);
	*ret_count = r < 0 ? 0 : attr.query.prog_cnt;
	return r;
}

static int program_by_id(uint32_t id)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	return sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

/* Rules that few containers share must not fill the machine with kept programs: one makes way for
 * the next. Those of a program that is in use elsewhere lose only the way to find it. */
#define MAX_KEPT 16

static void make_room(int mount_fd)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(mount_fd, "masu");
	char victim[64] = "";
	size_t count = 0;
	struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		if (str_after(entry->d_name, ".devices-") && count++ == 0)
			str_format(victim, sizeof(victim), "%s", entry->d_name);
	if (count >= MAX_KEPT)
		unlinkat(dirfd(dir), victim, AT_REMOVEDIR);
}

/* Two hashes, so that no two rule sets anyone writes share a name. Only root can make the group. */
#define SECOND_SEED 0x9e3779b97f4a7c15u

/* The program for @insns: the one kept, or a new one, which is then kept if that can be done. */
static int obtain(int mount_fd, const struct bpf_insn *insns, size_t count)
{
	char keeper[64];
	size_t size = count * sizeof(*insns);
	str_format(keeper, sizeof(keeper), "masu/.devices-%016llx%016llx",
		   (unsigned long long)hash_bytes(HASH_SEED, insns, size),
		   (unsigned long long)hash_bytes(SECOND_SEED, insns, size));
	uint32_t ids[BPF_GROUP_MAX];
	size_t kept = 0;
	_cleanup_close_ int dir = openat(mount_fd, keeper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && attached(dir, ids, &kept) == 0 && kept > 0) {
		int program = program_by_id(ids[0]);
		if (program >= 0)
			return program;
	}
	const struct bpf_code code = { (struct bpf_insn *)insns, count };
	int program = bpf_load(&device_kind, &code);
	if (program < 0)
		return program;
	/* Several at once attach the same program twice, which does no harm. */
	if (dir < 0)
		make_room(mount_fd);
	if (dir < 0 && fs_mkdirs(mount_fd, keeper, 0755) == 0)
		dir = openat(mount_fd, keeper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		bpf_attach(dir, &device_kind, program, -1);
	return program;
}

/*
 * All attached programs must agree, so an update has to take the earlier ones away: a single one is
 * replaced in one step, several (another manager's) are detached once the new one is there.
 */
static int replace(int cgroup_fd, int program_fd)
{
	uint32_t ids[BPF_GROUP_MAX];
	size_t count;
	int r = attached(cgroup_fd, ids, &count);
	if (r < 0)
		return r;
	if (count == 1) {
		_cleanup_close_ int old = program_by_id(ids[0]);
		if (old >= 0 && bpf_attach(cgroup_fd, &device_kind, program_fd, old) == 0)
			return 0;
	}
	r = bpf_attach(cgroup_fd, &device_kind, program_fd, -1);
	for (size_t i = 0; r == 0 && i < count; i++) {
		_cleanup_close_ int old = program_by_id(ids[i]);
		/* One that may not be opened is the security policy's, and can only restrict. */
		if (old >= 0)
			r = detach(cgroup_fd, old);
	}
	return r;
}

bool v2_has_device_program(struct cgroup *cgroup)
{
	uint32_t ids[BPF_GROUP_MAX];
	size_t count;
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	return tree->used && tree_open(tree) == 0 && attached(tree->dir_fd, ids, &count) == 0 &&
	       count > 0;
}

int v2_devices(struct cgroup *cgroup, const struct device_rules *rules, struct masu_error *err)
{
	struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	struct bpf_insn *insns;
	size_t count;
	int r = tree_open(tree);
	if (r == 0)
		r = device_rules_to_bpf(&cgroup->arena, rules, &insns, &count);
	if (r == -E2BIG)
		return error_set(err, r, "linux.resources.devices: %zu rules are too many",
				 rules->count);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s: devices", tree->mount, tree->path);
	_cleanup_close_ int program = obtain(tree->mount_fd, insns, count);
	r = program < 0		   ? program
	    : tree->depth_made > 0 ? bpf_attach(tree->dir_fd, &device_kind, program, -1)
				   : replace(tree->dir_fd, program);
	if (r < 0)
		return error_errno(err, r, "cgroup %s%s: device program", tree->mount, tree->path);
	return 0;
}
