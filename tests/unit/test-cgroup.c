/* What of src/cgroup needs no kernel: paths, conversions, device rules, detection, plans. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/bpf.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static struct arena arena;

static void test_paths(void **state)
{
	static const struct {
		const char *path, *clean; /* NULL: refused */
	} cases[] = {
		{ "/a/b", "/a/b" },
		{ "a//b/", "/a/b" },
		{ "./a/./b", "/a/b" },
		{ "/", NULL },
		{ "", NULL },
		{ "..", NULL },
		{ "/a/../b", NULL },
		{ "/a/..", NULL },
		{ "/a/...", "/a/..." },
		{ "/a\nb", NULL },
		{ "/a/b..c", "/a/b..c" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct masu_error err = { 0 };
		const char *clean = NULL;
		int r = path_clean(&arena, cases[i].path, &clean, &err);
		if (cases[i].clean) {
			assert_int_equal(r, 0);
			assert_string_equal(clean, cases[i].clean);
		} else {
			assert_true(r < 0);
			assert_true(error_is_set(&err));
		}
	}
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	longest[299] = '\0';
	const char *clean;
	assert_int_equal(path_clean(&arena, longest, &clean, NULL), -ENAMETOOLONG);
	assert_int_equal(path_join(&arena, "/", "x/y", &clean, NULL), 0);
	assert_string_equal(clean, "/x/y");
	assert_int_equal(path_join(&arena, "/own", "x", &clean, NULL), 0);
	assert_string_equal(clean, "/own/x");
}

static void test_systemd_names(void **state)
{
	static const struct {
		const char *spec, *unit, *slice, *path;
	} cases[] = {
		{ NULL, "masu-c1.scope", "system.slice", "/system.slice/masu-c1.scope" },
		{ "machine.slice:libpod:abc", "libpod-abc.scope", "machine.slice",
		  "/machine.slice/libpod-abc.scope" },
		{ "a-b-c.slice:p:n", "p-n.scope", "a-b-c.slice",
		  "/a.slice/a-b.slice/a-b-c.slice/p-n.scope" },
		{ ":p:n", "p-n.scope", "system.slice", "/system.slice/p-n.scope" },
		{ "-.slice::n", "n.scope", "-.slice", "/n.scope" },
		{ "x.slice:p:x-y.slice", "x-y.slice", "x.slice", "/x.slice/x-y.slice" },
		{ "/a/b", NULL, NULL, NULL },
		{ "a:b", NULL, NULL, NULL },
		{ "a.slice:b:c:d", NULL, NULL, NULL },
		{ "a--b.slice:p:n", NULL, NULL, NULL },
		{ "-a.slice:p:n", NULL, NULL, NULL },
		{ "a:p:n", NULL, NULL, NULL },
		{ "a.slice:p:../x", NULL, NULL, NULL },
		{ "a/b.slice:p:x", NULL, NULL, NULL },
		{ ".slice:p:x", NULL, NULL, NULL },
		{ "a.slice:p:", NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *unit = NULL, *slice = NULL, *path = NULL;
		struct masu_error err = { 0 };
		int r = path_systemd(&arena, cases[i].spec, "c1", false, &unit, &slice, &path,
				     &err);
		if (!cases[i].unit) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(unit, cases[i].unit);
		assert_string_equal(slice, cases[i].slice);
		assert_string_equal(path, cases[i].path);
	}
}

static void test_weights(void **state)
{
	assert_int_equal(cpu_weight_from_shares(0), 1);
	assert_int_equal(cpu_weight_from_shares(2), 1);
	assert_int_equal(cpu_weight_from_shares(1024), 100);
	assert_int_equal(cpu_weight_from_shares(262144), 10000);
	assert_int_equal(cpu_weight_from_shares(1000000), 10000);
	/* crun's and runc's published examples */
	assert_int_equal(cpu_weight_from_shares(3), 2);
	assert_int_equal(cpu_weight_from_shares(512), 59);
	assert_int_equal(cpu_weight_from_shares(2048), 174);
	uint64_t last = 0;
	for (uint64_t s = 2; s <= 262144; s++) {
		uint64_t w = cpu_weight_from_shares(s);
		assert_true(w >= last && w >= 1 && w <= 10000);
		last = w;
		double l = log2((double)s);
		if (s > 2 && s != 1024 && s < 262144)
			assert_int_equal(w, ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34)));
	}
	assert_int_equal(io_weight_from_blkio(10), 1);
	assert_int_equal(io_weight_from_blkio(1000), 10000);
	assert_int_equal(io_weight_from_blkio(500), 4950);
}

/* ---- device rules: the BPF program and the v1 exceptions against the reference ---- */

/* Runs what devices_bpf.c emits, and nothing else: an unknown instruction fails the test. */
static int interpret(const struct bpf_insn *insn, size_t count,
		     const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = { 0 };
	for (size_t pc = 0, steps = 0; pc < count && steps < 100000; pc++, steps++) {
		const struct bpf_insn *i = &insn[pc];
		uint32_t *dst = (uint32_t *)&reg[i->dst_reg], value = 0;
		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			memcpy(&value, (const char *)ctx + i->off, sizeof(value));
			reg[i->dst_reg] = value;
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			reg[i->dst_reg] = (uint32_t)reg[i->src_reg];
			break;
		case BPF_ALU | BPF_MOV | BPF_K:
			reg[i->dst_reg] = (uint32_t)i->imm;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			reg[i->dst_reg] = *dst & (uint32_t)i->imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			reg[i->dst_reg] = *dst >> i->imm;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			if (*dst != (uint32_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP32 | BPF_JSET | BPF_K:
			if (*dst & (uint32_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP | BPF_JA:
			pc += (size_t)i->off;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)reg[0];
		default:
			fail_msg("instruction %zu: unknown code 0x%x", pc, i->code);
		}
	}
	fail_msg("the program does not end");
	return -1;
}

/* What the v1 controller answers (security/device_cgroup.c, devcgroup_check_permission). */
static bool v1_permits(const struct device_exceptions *set, char type, int64_t major, int64_t minor,
		       unsigned access)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct device_rule *e = &set->list[i];
		if (e->type != type || (e->major != DEVICE_ANY && e->major != major) ||
		    (e->minor != DEVICE_ANY && e->minor != minor))
			continue;
		if (set->allow ? (access & e->access) != 0 : (access & ~e->access) == 0)
			return !set->allow;
	}
	return set->allow;
}

static struct device_rule random_rule(void)
{
	static const int64_t numbers[] = { DEVICE_ANY, 1, 2, 3 };
	return (struct device_rule) {
		.allow = rand() % 2,
		.type = "abc"[rand() % 3],
		.major = numbers[rand() % 4],
		.minor = numbers[rand() % 4],
		.access = (unsigned)(rand() % 8),
	};
}

static void check_rules(const struct device_rules *rules, size_t *ret_v1)
{
	struct bpf_insn *insns;
	size_t count;
	assert_int_equal(device_rules_to_bpf(&arena, rules, &insns, &count), 0);
	struct device_exceptions set;
	bool v1 = device_rules_to_v1(&arena, rules, &set, NULL) == 0;
	*ret_v1 += v1;
	for (int64_t major = 0; major < 5; major++)
		for (int64_t minor = 0; minor < 5; minor++)
			for (int block = 0; block < 2; block++)
				for (unsigned access = 1; access < 8; access++) {
					char type = block ? 'b' : 'c';
					bool expected = device_rules_permit(rules, type, major,
									    minor, access);
					struct bpf_cgroup_dev_ctx ctx = {
						.access_type =
							access << 16 | (block ? BPF_DEVCG_DEV_BLOCK
									      : BPF_DEVCG_DEV_CHAR),
						.major = (uint32_t)major,
						.minor = (uint32_t)minor,
					};
					assert_int_equal(interpret(insns, count, &ctx), expected);
					/* One kind of access at a time: v1 wants a single
					 * exception to cover all of them. */
					if (v1 && (access & (access - 1)) == 0)
						assert_int_equal(v1_permits(&set, type, major,
									    minor, access),
								 expected);
				}
}

static void test_device_programs_mean_the_rules(void **state)
{
	srand(7);
	size_t v1 = 0;
	for (int round = 0; round < 3000; round++) {
		struct device_rule list[12];
		struct device_rules rules = { .list = list };
		list[rules.count++] = (struct device_rule) { round % 2, 'a', DEVICE_ANY, DEVICE_ANY,
							     DEVICE_ACCESS_ALL };
		for (int n = rand() % 11; n > 0; n--)
			list[rules.count++] = random_rule();
		check_rules(&rules, &v1);
		arena_free(&arena);
	}
	/* Most short lists can be said on v1 too, or the comparison says nothing. */
	assert_true(v1 > 500);
}

static void test_default_devices(void **state)
{
	struct oci_resources none = { .present = true };
	struct device_rules rules;
	assert_int_equal(device_rules_build(&arena, &none, &rules), 0);
	assert_true(device_rules_permit(&rules, 'c', 1, 3, DEVICE_ACCESS_ALL));
	assert_true(device_rules_permit(&rules, 'c', 136, 77, DEVICE_ACCESS_ALL));
	assert_true(device_rules_permit(&rules, 'c', 10, 200, DEVICE_ACCESS_ALL));
	assert_true(device_rules_permit(&rules, 'b', 8, 0, DEVICE_ACCESS_MKNOD));
	assert_false(device_rules_permit(&rules, 'b', 8, 0, DEVICE_ACCESS_READ));
	assert_false(device_rules_permit(&rules, 'c', 1, 1, DEVICE_ACCESS_READ));  /* mem */
	assert_false(device_rules_permit(&rules, 'c', 5, 1, DEVICE_ACCESS_WRITE)); /* console */
	assert_false(device_rules_allow_all(&rules));
	struct oci_device_rule all = {
		.allow = true, .type = 'a', .read = true, .write = true, .mknod = true
	};
	struct oci_resources any = { .present = true, .devices = &all, .device_count = 1 };
	assert_int_equal(device_rules_build(&arena, &any, &rules), 0);
	assert_true(device_rules_allow_all(&rules));
	size_t v1 = 0;
	check_rules(&rules, &v1);
	assert_int_equal(v1, 1);
}

static void test_hole_is_refused_on_v1(void **state)
{
	struct oci_device_rule hole[] = {
		{ .allow = true, .type = 'c', .read = true },
		{ .allow = false,
		  .type = 'c',
		  .has_major = true,
		  .has_minor = true,
		  .major = 1,
		  .minor = 1,
		  .read = true },
	};
	struct oci_resources r = { .present = true, .devices = hole, .device_count = 2 };
	struct device_rules rules;
	struct device_exceptions set;
	struct masu_error err = { 0 };
	assert_int_equal(device_rules_build(&arena, &r, &rules), 0);
	assert_int_equal(device_rules_to_v1(&arena, &rules, &set, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.message, "c 1:1 r"));
}

/* ---- limits ---- */

/* The plan as "file=value;" in order; a refusal as its message. */
static const char *plan_text(bool v2, const struct oci_resources *r)
{
	struct plan plan;
	struct masu_error err = { 0 };
	plan_init(&plan, &arena);
	unsigned every = ~0u;
	int result = resources_validate(r, &err);
	if (result == 0)
		result = v2 ? v2_plan(&plan, every, r, &err)
			    : v1_plan(&plan, every & ~CTL_BIT(CTL_CORE), r, &err);
	if (result < 0)
		return arena_strdup(&arena, err.message);
	const char *text = "";
	for (struct plan_write *w = plan.first; w; w = w->next)
		text = arena_printf(&arena, "%s%s=%s;", text, w->file, w->value);
	return text;
}

#define N(v)                                                                                       \
	(struct oci_i64)                                                                           \
	{                                                                                          \
		true, v                                                                            \
	}

static void test_memory_limits(void **state)
{
	struct oci_resources r = { .present = true };
	r.memory.limit = N(100);
	r.memory.swap = N(300);
	r.memory.reservation = N(50);
	assert_string_equal(plan_text(false, &r), "memory.limit_in_bytes=100;"
						  "memory.memsw.limit_in_bytes=300;"
						  "memory.soft_limit_in_bytes=50;");
	assert_string_equal(plan_text(true, &r),
			    "memory.swap.max=200;memory.max=100;memory.low=50;");
	r.memory.swap = N(100);
	r.memory.reservation = (struct oci_i64) { 0 };
	assert_string_equal(plan_text(true, &r), "memory.swap.max=0;memory.max=100;");
	r.memory.swap = N(-1);
	assert_string_equal(plan_text(true, &r), "memory.swap.max=max;memory.max=100;");
	r.memory.limit = N(-1);
	r.memory.swap = (struct oci_i64) { 0 };
	assert_string_equal(plan_text(true, &r), "memory.swap.max=max;memory.max=max;");
	assert_string_equal(plan_text(false, &r),
			    "memory.limit_in_bytes=-1;memory.memsw.limit_in_bytes=-1;");
	r.memory.swap = N(500);
	assert_string_equal(plan_text(true, &r), "memory.swap.max=500;memory.max=max;");
	r.memory.limit = N(1000);
	assert_non_null(strstr(plan_text(true, &r), "memory.swap"));
	assert_non_null(strstr(plan_text(false, &r), "memory.swap"));
	/* swap without a limit cannot be converted; v1's kernel judges it itself */
	r.memory.limit = (struct oci_i64) { 0 };
	assert_non_null(strstr(plan_text(true, &r), "needs memory.limit"));
	/* 0 is "unset" */
	r.memory.swap = N(0);
	r.memory.limit = N(0);
	assert_string_equal(plan_text(true, &r), "");
	assert_string_equal(plan_text(false, &r), "");
}

static void test_v1_only_limits_are_refused_on_v2(void **state)
{
	struct oci_resources r = { .present = true };
	r.memory.swappiness = N(10);
	assert_non_null(strstr(plan_text(true, &r), "memory.swappiness has no counterpart"));
	assert_string_equal(plan_text(false, &r), "memory.swappiness=10;");
	r = (struct oci_resources) { .present = true };
	r.memory.has_disable_oom_killer = r.memory.disable_oom_killer = true;
	assert_non_null(strstr(plan_text(true, &r), "disableOOMKiller"));
	r.memory.disable_oom_killer = false;
	assert_string_equal(plan_text(true, &r), "");
	r = (struct oci_resources) { .present = true };
	r.memory.kernel_tcp = N(5);
	assert_non_null(strstr(plan_text(true, &r), "kernelTCP"));
	r.memory.kernel_tcp = N(-1);
	assert_string_equal(plan_text(true, &r), "");
	r = (struct oci_resources) { .present = true };
	r.cpu.realtime_runtime = N(5);
	assert_non_null(strstr(plan_text(true, &r), "realtimeRuntime"));
	r = (struct oci_resources) { .present = true };
	r.network.class_id = N(5);
	assert_non_null(strstr(plan_text(true, &r), "network.classID"));
	assert_string_equal(plan_text(false, &r), "net_cls.classid=5;");
	r = (struct oci_resources) { .present = true };
	r.blkio.leaf_weight = N(5);
	assert_non_null(strstr(plan_text(true, &r), "leafWeight"));
	r = (struct oci_resources) { .present = true };
	r.memory.swappiness = N(101);
	assert_non_null(strstr(plan_text(false, &r), "0..100"));
}

static void test_cpu_limits(void **state)
{
	struct oci_resources r = { .present = true };
	r.cpu.shares = N(1024);
	r.cpu.quota = N(50000);
	assert_string_equal(plan_text(false, &r), "cpu.shares=1024;cpu.cfs_quota_us=50000;");
	assert_string_equal(plan_text(true, &r), "cpu.weight=100;cpu.max=50000 100000;");
	r.cpu.quota = N(-1);
	r.cpu.period = N(20000);
	assert_string_equal(plan_text(true, &r), "cpu.weight=100;cpu.max=max 20000;");
	r.cpu.burst = N(1000);
	r.cpu.cpus = "0-1";
	r.cpu.mems = "0";
	assert_string_equal(plan_text(true, &r),
			    "cpu.weight=100;cpu.max.burst=1000;cpu.max=max 20000;"
			    "cpuset.cpus=0-1;cpuset.mems=0;");
	r = (struct oci_resources) { .present = true };
	r.cpu.idle = N(1);
	r.cpu.shares = N(5);
	assert_string_equal(plan_text(true, &r), "cpu.idle=1;");
	r.cpu.burst = N(20);
	r.cpu.quota = N(10);
	assert_non_null(strstr(plan_text(true, &r), "cpu.burst"));
}

static void test_other_limits(void **state)
{
	struct oci_resources r = { .present = true };
	r.pids_limit = N(0);
	assert_string_equal(plan_text(true, &r), "pids.max=1;");
	r.pids_limit = N(-1);
	assert_string_equal(plan_text(false, &r), "pids.max=max;");
	r = (struct oci_resources) { .present = true };
	struct oci_blkio_device devices[] = {
		{ .major = 8, .minor = 0, .has_weight = true, .weight = 500, .rate = 1048576 },
		{ .major = 8, .minor = 16, .has_weight = true, .weight = 10, .rate = 0 },
	};
	r.blkio.weight = N(10);
	r.blkio.weight_device = (struct oci_blkio_list) { devices, 1 };
	r.blkio.read_bps = (struct oci_blkio_list) { devices, 2 };
	assert_string_equal(plan_text(true, &r), "io.bfq.weight=10;io.bfq.weight=8:0 500;"
						 "io.max=8:0 rbps=1048576;io.max=8:16 rbps=max;");
	assert_string_equal(plan_text(false, &r), "blkio.weight=10;blkio.weight_device=8:0 500;"
						  "blkio.throttle.read_bps_device=8:0 1048576;"
						  "blkio.throttle.read_bps_device=8:16 0;");
	r = (struct oci_resources) { .present = true };
	r.hugepages = arena_alloc(&arena, sizeof(*r.hugepages));
	r.hugepages[0].page_size = "2MB";
	r.hugepages[0].limit = 4194304;
	r.hugepage_count = 1;
	assert_string_equal(plan_text(true, &r),
			    "hugetlb.2MB.max=4194304;hugetlb.2MB.rsvd.max=4194304;");
	r.hugepages[0].page_size = "2MB/../..";
	assert_non_null(strstr(plan_text(true, &r), "pageSize"));
	r = (struct oci_resources) { .present = true };
	r.rdma = arena_alloc(&arena, sizeof(*r.rdma));
	r.rdma[0].name = "mlx5_1";
	r.rdma[0].objects = N(7);
	r.rdma_count = 1;
	assert_string_equal(plan_text(true, &r), "rdma.max=mlx5_1 hca_object=7;");
}

static void test_unified(void **state)
{
	struct oci_pair pairs[] = { { "memory.high", "1000" }, { "future.knob", "a\nb" } };
	struct oci_resources r = { .present = true, .unified = pairs, .unified_count = 2 };
	assert_string_equal(plan_text(true, &r), "memory.high=1000;future.knob=a\nb;");
	struct plan plan;
	struct masu_error err = { 0 };
	plan_init(&plan, &arena);
	assert_int_equal(v1_plan(&plan, ~0u, &r, &err), -ENOTSUP);
	pairs[0].key = "../x.y";
	assert_non_null(strstr(plan_text(true, &r), "controller.parameter"));
	pairs[0].key = "nodot";
	assert_non_null(strstr(plan_text(true, &r), "controller.parameter"));
}

static void test_who_may_write_the_mount(void **state)
{
	struct oci_mount mount = { .destination = "/sys/fs/cgroup", .type = "cgroup" };
	struct oci_id_mapping ids[] = { { 0, 100000, 1000 }, { 1000, 1000, 1 } };
	struct oci_spec spec = { .mounts = &mount, .mount_count = 1, .id_map = { ids, 2, ids, 2 } };
	uid_t uid;
	gid_t gid;
	spec.process.has_capabilities = true;
	assert_false(cgroup_mount_writable(&spec, &mount));
	spec.process.capabilities.effective = OCI_CAP_BIT(21); /* CAP_SYS_ADMIN */
	assert_true(cgroup_mount_writable(&spec, &mount));
	mount.attr_set = MOUNT_ATTR_RDONLY;
	assert_false(cgroup_mount_writable(&spec, &mount));
	mount.attr_set = 0;
	mount.attr_clear = MOUNT_ATTR_RDONLY;
	spec.process.capabilities.effective = 0;
	assert_true(cgroup_mount_writable(&spec, &mount));
	cgroup_owner(&spec, &uid, &gid);
	assert_int_equal(uid, (uid_t)-1); /* the host's user namespace */
	spec.namespaces[OCI_NS_USER].present = spec.namespaces[OCI_NS_CGROUP].present = true;
	spec.process.uid = 5;
	spec.process.gid = 1000;
	cgroup_owner(&spec, &uid, &gid);
	assert_int_equal(uid, 100005);
	assert_int_equal(gid, 1000);
	spec.process.uid = 1001; /* not mapped */
	cgroup_owner(&spec, &uid, &gid);
	assert_int_equal(uid, (uid_t)-1);
	spec.process.uid = 5;
	mount.attr_set = MOUNT_ATTR_RDONLY;
	cgroup_owner(&spec, &uid, &gid);
	assert_int_equal(uid, (uid_t)-1);
	mount.attr_set = 0;
	spec.namespaces[OCI_NS_CGROUP].path = "/proc/1/ns/cgroup";
	cgroup_owner(&spec, &uid, &gid);
	assert_int_equal(uid, (uid_t)-1);
}

/* ---- detection and the v2 files on a tree of plain files ---- */

static char tree_dir[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void put(const char *file, const char *text)
{
	char path[256];
	str_format(path, sizeof(path), "%s/%s", tree_dir, file);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void expect(const char *file, const char *text)
{
	char path[256], content[256];
	str_format(path, sizeof(path), "%s/%s", tree_dir, file);
	assert_int_equal(fs_read_small(AT_FDCWD, path, content, sizeof(content)), 0);
	assert_string_equal(content, text);
}

/* A v2 machine whose group "/g" exists with the files that a kernel would have made. */
static struct cgroup *fake_v2(void)
{
	static const char *const files[] = { "memory.max",     "memory.swap.max", "memory.low",
					     "memory.current", "cpu.max",	  "cpu.weight",
					     "io.max",	       "io.weight",	  "pids.max",
					     "cgroup.procs" };
	char path[256];
	str_format(path, sizeof(path), "%s/g", tree_dir);
	assert_int_equal(mkdir(path, 0755), 0);
	put("cgroup.subtree_control", "");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		str_format(path, sizeof(path), "g/%s", files[i]);
		put(path, "");
	}
	put("g/cgroup.controllers", "");
	struct cgroup *cgroup = cgroup_new();
	assert_non_null(cgroup);
	cgroup->layout = CGROUP_V2;
	cgroup->ops = &v2_ops;
	cgroup->unified = 0;
	cgroup->tree_count = 1;
	cgroup->trees[0] = (struct cgroup_tree) {
		.v2 = true,
		.located = true,
		.list = "cpu io memory pids",
		.controllers = controllers_parse("cpu io memory pids") | CTL_BIT(CTL_CORE),
		.name = "unified",
		.mount = tree_dir,
		.own = "/",
		.mount_fd = open(tree_dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.dir_fd = -1,
		.join_fd = -1,
	};
	return cgroup;
}

static int make_tree(void **state)
{
	str_format(tree_dir, sizeof(tree_dir), "/tmp/masu-cgroup-XXXXXX");
	return mkdtemp(tree_dir) ? 0 : -1;
}

static int drop_tree(void **state)
{
	return nftw(tree_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_v2_files(void **state)
{
	struct cgroup *cgroup = fake_v2();
	struct oci_resources r = { .present = true, .pids_limit = N(64) };
	r.memory.limit = N(1000);
	r.memory.swap = N(1000);
	r.cpu.shares = N(1024);
	r.blkio.weight = N(1000); /* no io.bfq.weight here: converted for io.weight */
	struct cgroup_request request = { .path = "/g",
					  .id = "g",
					  .resources = &r,
					  .rootless = true, /* no device program */
					  .owner_uid = (uid_t)-1 };
	struct masu_error err = { 0 };
	if (cgroup_create_in(cgroup, &request, &err) < 0)
		fail_msg("%s", err.message);
	expect("cgroup.subtree_control", "+cpu +memory +pids +io");
	expect("g/memory.max", "1000");
	expect("g/memory.swap.max", "0");
	expect("g/cpu.weight", "100");
	expect("g/io.weight", "10000");
	expect("g/pids.max", "64");
	/* checkBeforeUpdate stands in for the refusal that v1's kernel would give. */
	put("g/memory.current", "900");
	r = (struct oci_resources) { .present = true };
	r.memory.limit = N(800);
	r.memory.check_before_update = true;
	assert_int_equal(cgroup_update(cgroup, &r, &err), -EBUSY);
	expect("g/memory.max", "1000");
	r.memory.check_before_update = false;
	error_clear(&err);
	if (cgroup_update(cgroup, &r, &err) < 0)
		fail_msg("%s", err.message);
	expect("g/memory.max", "8000"); /* plain files keep what a shorter write leaves */
	/* a controller that is not there is named, before anything is written */
	r = (struct oci_resources) { .present = true };
	r.cpu.cpus = "0";
	r.memory.limit = N(5);
	assert_int_equal(cgroup_update(cgroup, &r, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "cpuset"));
	expect("g/memory.max", "8000");
	cgroup_close(cgroup);
}

static void test_live_process_in_existing_group(void **state)
{
	struct cgroup *cgroup = fake_v2();
	put("g/cgroup.procs", "1234\n");
	struct cgroup_request request = {
		.path = "/g", .id = "g", .rootless = true, .owner_uid = (uid_t)-1
	};
	struct masu_error err = { 0 };
	assert_int_equal(cgroup_create_in(cgroup, &request, &err), -EBUSY);
	assert_non_null(strstr(err.message, "/g has processes"));
	put("g/cgroup.procs", "");
	put("g/cgroup.freeze", "1\n");
	error_clear(&err);
	assert_int_equal(cgroup_create_in(cgroup, &request, &err), -EBUSY);
	assert_non_null(strstr(err.message, "frozen"));
	cgroup_close(cgroup);
}

static void test_detection(void **state)
{
	struct cgroup *cgroup = cgroup_new();
	struct masu_error err = { 0 };
	/* On plain directories nothing is a hierarchy's root; names and own groups are known. */
	assert_int_equal(cgroup_detect(cgroup, tree_dir,
				       "4:memory:/process_api/abc\n3:cpu,cpuacct:/\n"
				       "2:name=systemd:/user.slice\n1:rdma:/\n0::/u\n",
				       &err),
			 0);
	assert_int_equal(cgroup->layout, CGROUP_V1);
	assert_int_equal(cgroup->unified, -1);
	assert_int_equal(cgroup->tree_count, 4);
	assert_string_equal(cgroup_tree_of(cgroup, CTL_MEMORY)->own, "/process_api/abc");
	assert_ptr_equal(cgroup_tree_of(cgroup, CTL_CPU), cgroup_tree_of(cgroup, CTL_CPUACCT));
	assert_string_equal(cgroup_tree_of(cgroup, CTL_CPU)->name, "cpu,cpuacct");
	assert_string_equal(cgroup_tree_of(cgroup, CTL_SYSTEMD)->name, "systemd");
	assert_int_equal(tree_locate(cgroup, cgroup_tree_of(cgroup, CTL_RDMA)), -ENOENT);
	cgroup_close(cgroup);
	cgroup = cgroup_new();
	assert_int_equal(cgroup_detect(cgroup, tree_dir, "junk\n", &err), -EINVAL);
	cgroup_close(cgroup);
}

static void test_relative_path_is_below_the_callers_groups(void **state)
{
	struct cgroup *cgroup = fake_v2();
	cgroup->trees[0].own = "/own/group";
	struct cgroup_request request = {
		.path = "a/b", .id = "g", .rootless = true, .owner_uid = (uid_t)-1
	};
	struct masu_error err = { 0 };
	if (cgroup_create_in(cgroup, &request, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(cgroup->trees[0].path, "/own/group/a/b");
	request.path = "../../x";
	assert_int_equal(cgroup_create_in(cgroup, &request, &err), -EINVAL);
	cgroup_close(cgroup);
}

static int set_up(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int tear_down(void **state)
{
	arena_free(&arena);
	return 0;
}

#define TEST(f)	     cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, make_tree, drop_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_paths),
		TEST(test_systemd_names),
		TEST(test_weights),
		TEST(test_device_programs_mean_the_rules),
		TEST(test_default_devices),
		TEST(test_hole_is_refused_on_v1),
		TEST(test_memory_limits),
		TEST(test_v1_only_limits_are_refused_on_v2),
		TEST(test_cpu_limits),
		TEST(test_other_limits),
		TEST(test_unified),
		TEST(test_who_may_write_the_mount),
		TREE_TEST(test_v2_files),
		TREE_TEST(test_live_process_in_existing_group),
		TREE_TEST(test_detection),
		TREE_TEST(test_relative_path_is_below_the_callers_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
