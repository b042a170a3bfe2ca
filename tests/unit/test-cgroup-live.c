/*
 * Groups on this machine's own cgroup filesystems, below /masu-test-<pid>. Needs root; the tests
 * that need a layout the machine has not are skipped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static char parent_path[64];

static struct cgroup *make(const char *name, unsigned flags, const struct oci_resources *resources)
{
	char path[128];
	str_format(path, sizeof(path), "%s/%s", parent_path, name);
	struct cgroup_request request = {
		.flags = flags,
		.path = path,
		.id = name,
		.resources = resources,
		.owner_uid = (uid_t)-1,
		.owner_gid = (gid_t)-1,
	};
	struct cgroup *cgroup = NULL;
	struct masu_error err = { 0 };
	if (cgroup_create(&request, &cgroup, &err) < 0)
		fail_msg("%s", err.message);
	return cgroup;
}

/* Has the machine, as it looks now, this controller? Else the test says nothing: cmocka's skip() is
 * a failure in TAP. */
static bool have(enum controller c)
{
	struct cgroup *cgroup = cgroup_new();
	struct masu_error err = { 0 };
	assert_int_equal(cgroup_detect_self(cgroup, &err), 0);
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, c);
	bool there = tree && tree_locate(cgroup, tree) == 0;
	cgroup_close(cgroup);
	return there;
}

/* A process that has joined the groups, as exec/native does it, and then runs @body and exits. */
static pid_t spawn(struct cgroup *cgroup, int (*body)(void))
{
	int fd = cgroup_clone_fd(cgroup), joined[2];
	struct clone_args args = { .exit_signal = SIGCHLD };
	if (fd >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)fd;
	}
	assert_int_equal(pipe2(joined, O_CLOEXEC), 0);
	pid_t pid = sys_clone3(&args);
	assert_true(pid >= 0);
	if (pid == 0) {
		/* A failed test must not leave it behind, with the runner's pipe open. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == 1)
			_exit(98);
		struct masu_error err = { 0 };
		if (cgroup_join_self(cgroup, &err) < 0) {
			dprintf(2, "%s\n", err.message);
			_exit(99);
		}
		close(joined[0]);
		close(joined[1]);
		_exit(body());
	}
	char byte;
	close(joined[1]);
	assert_int_equal(read(joined[0], &byte, 1), 0);
	close(joined[0]);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int sleep_long(void)
{
	while (pause() < 0)
		;
	return 0;
}

static int return_zero(void)
{
	return 0;
}

static void remove_group(struct cgroup *cgroup)
{
	struct masu_error err = { 0 };
	if (cgroup_remove(cgroup, &err) < 0)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		char path[PATH_MAX];
		str_format(path, sizeof(path), "%s%s", cgroup->trees[i].mount,
			   cgroup->trees[i].path);
		assert_int_equal(access(path, F_OK), -1);
	}
	cgroup_close(cgroup);
}

static void read_in(struct cgroup *cgroup, enum controller c, const char *file, char *ret,
		    size_t size)
{
	struct cgroup_tree *tree = cgroup_tree_of(cgroup, c);
	assert_non_null(tree);
	assert_int_equal(tree_open(tree), 0);
	assert_int_equal(fs_read_small(tree->dir_fd, file, ret, size), 0);
}

static size_t expected_groups;

/* A hierarchy that somebody has mounted elsewhere is listed too, and not joined. */
static int is_in_own_groups(void)
{
	char text[16384];
	size_t count = 0;
	if (fs_read_small(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		return 1;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		count += strstr(line, parent_path) != NULL;
	return count == expected_groups ? 0 : 2;
}

static void expect_groups(const struct cgroup *cgroup)
{
	expected_groups = 0;
	for (size_t i = 0; i < cgroup->tree_count; i++)
		expected_groups += cgroup->trees[i].used;
	assert_true(expected_groups > 0);
}

static void test_every_hierarchy_is_joined_and_removed(void **state)
{
	struct cgroup *cgroup = make("all", 0, NULL);
	expect_groups(cgroup);
	assert_int_equal(wait_for(spawn(cgroup, is_in_own_groups)), 0);
	remove_group(cgroup);
}

static void test_lazy_joins_what_limits_need(void **state)
{
	if (!have(CTL_PIDS))
		return;
	struct oci_resources r = { .present = true, .pids_limit = { true, 10 } };
	struct cgroup *cgroup = make("lazy", CGROUP_LAZY, &r);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		bool expected = tree->v2 || tree->controllers & CTL_BIT(CTL_PIDS);
		if (cgroup->layout == CGROUP_HYBRID)
			assert_int_equal(tree->used, expected);
	}
	char text[32];
	read_in(cgroup, CTL_PIDS, "pids.max", text, sizeof(text));
	assert_string_equal(text, "10");
	remove_group(cgroup);
}

static void test_limits_move_both_ways(void **state)
{
	if (!have(CTL_MEMORY))
		return;
	if (!have(CTL_CPU))
		return;
	struct oci_resources r = { .present = true };
	r.memory.limit = (struct oci_i64) { true, 64 << 20 };
	r.memory.swap = (struct oci_i64) { true, 128 << 20 };
	r.cpu.quota = (struct oci_i64) { true, 50000 };
	r.cpu.period = (struct oci_i64) { true, 100000 };
	struct cgroup *cgroup = make("limits", 0, &r);
	struct masu_error err = { 0 };
	bool v2 = cgroup_tree_of(cgroup, CTL_MEMORY)->v2;
	static const int64_t steps[][2] = {
		{ 256 << 20, 512 << 20 }, { 32 << 20, 40 << 20 }, { 1 << 30, 1 << 30 }, { -1, -1 },
		{ 64 << 20, 64 << 20 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		r.memory.limit.value = steps[i][0];
		r.memory.swap.value = steps[i][1];
		r.cpu.period.value = i % 2 ? 100000 : 10000;
		r.cpu.quota.value = i % 2 ? 200000 : 5000;
		if (cgroup_update(cgroup, &r, &err) < 0)
			fail_msg("step %zu: %s", i, err.message);
		char text[32];
		uint64_t value;
		if (v2)
			continue; /* nothing there depends on an order */
		read_in(cgroup, CTL_MEMORY, "memory.limit_in_bytes", text, sizeof(text));
		assert_int_equal(str_to_u64(text, &value), 0);
		if (steps[i][0] > 0)
			assert_true(value == (uint64_t)steps[i][0]);
		else
			assert_true(value > (uint64_t)1 << 60);
		read_in(cgroup, CTL_CPU, "cpu.cfs_quota_us", text, sizeof(text));
		assert_string_equal(text, i % 2 ? "200000" : "5000");
	}
	remove_group(cgroup);
}

static void test_missing_controller_is_named(void **state)
{
	struct oci_resources r = { .present = true };
	r.network.class_id = (struct oci_i64) { true, 5 };
	struct cgroup_request request = {
		.path = parent_path, .id = "x", .resources = &r, .owner_uid = (uid_t)-1
	};
	struct cgroup *cgroup = NULL;
	struct masu_error err = { 0 };
	int result = cgroup_create(&request, &cgroup, &err);
	if (result == 0) { /* this machine has net_cls */
		remove_group(cgroup);
		return;
	}
	assert_int_equal(result, -ENOTSUP);
	assert_non_null(strstr(err.message, "network.classID"));
	assert_null(cgroup);
}

static void test_live_group_is_refused_leftover_adopted(void **state)
{
	struct cgroup *cgroup = make("again", 0, NULL);
	pid_t pid = spawn(cgroup, sleep_long);
	char path[128];
	str_format(path, sizeof(path), "%s/again", parent_path);
	struct cgroup_request request = { .path = path, .id = "again", .owner_uid = (uid_t)-1 };
	struct cgroup *second = NULL;
	struct masu_error err = { 0 };
	assert_int_equal(cgroup_create(&request, &second, &err), -EBUSY);
	assert_non_null(strstr(err.message, "again"));
	/* Removing it is refused as well, naming the process. */
	error_clear(&err);
	assert_int_equal(cgroup_remove(cgroup, &err), -EBUSY);
	char number[16];
	str_format(number, sizeof(number), "%d", pid);
	assert_non_null(strstr(err.message, number));
	assert_int_equal(cgroup_kill(cgroup, SIGKILL, &err), 0);
	/* Killed but not reaped: the empty group is there for the taking. */
	assert_int_equal(cgroup->ops->wait_empty(cgroup, &err), 0);
	assert_int_equal(cgroup_create(&request, &second, &err), 0);
	assert_int_equal(wait_for(pid), 128 + SIGKILL);
	cgroup_close(cgroup);
	remove_group(second);
}

static void test_freeze_is_synchronous(void **state)
{
	for (int lazy = 0; lazy < 2; lazy++) {
		struct cgroup *cgroup = make("frozen", lazy ? CGROUP_LAZY : 0, NULL);
		struct masu_error err = { 0 };
		pid_t pid = spawn(cgroup, sleep_long);
		bool frozen;
		assert_int_equal(cgroup_is_frozen(cgroup, &frozen), 0);
		assert_false(frozen);
		if (cgroup_freeze(cgroup, true, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(cgroup_is_frozen(cgroup, &frozen), 0);
		assert_true(frozen);
		/* A frozen container can be killed and removed. */
		assert_int_equal(cgroup_kill(cgroup, SIGKILL, &err), 0);
		assert_int_equal(wait_for(pid), 128 + SIGKILL);
		remove_group(cgroup);
	}
}

static void test_v1_freezer(void **state)
{
	struct cgroup *cgroup = make("v1frozen", 0, NULL);
	struct masu_error err = { 0 };
	struct cgroup_tree *freezer = cgroup_tree_of(cgroup, CTL_FREEZER);
	pid_t pid = spawn(cgroup, sleep_long);
	if (freezer) {
		bool frozen = false;
		assert_int_equal(v1_freeze(cgroup, true, &err), 0);
		assert_int_equal(v1_is_frozen(cgroup, &frozen), 0);
		assert_true(frozen);
		assert_int_equal(v1_freeze(cgroup, false, &err), 0);
		assert_int_equal(v1_kill_all(cgroup, &err), 0);
		assert_int_equal(v1_wait_empty(cgroup, &err), 0);
	} else {
		assert_int_equal(cgroup_kill(cgroup, SIGKILL, &err), 0);
	}
	assert_int_equal(wait_for(pid), 128 + SIGKILL);
	remove_group(cgroup);
}

/* HOSTILE 38 at this level: a bomb is held to its limit and one kill ends all of it. */
static int fork_bomb(void)
{
	while (fork() >= 0 || errno == EAGAIN)
		sched_yield();
	return 1;
}

static void test_fork_bomb(void **state)
{
	if (!have(CTL_PIDS))
		return;
	struct oci_resources r = { .present = true, .pids_limit = { true, 64 } };
	for (int variant = 0; variant < 2; variant++) {
		struct cgroup *cgroup = make("bomb", 0, &r);
		struct masu_error err = { 0 };
		pid_t pid = spawn(cgroup, fork_bomb);
		struct cgroup_stats stats = { 0 };
		for (int i = 0; i < 2000 && stats.pids < 64; i++) {
			assert_int_equal(cgroup_stats(cgroup, &stats, &err), 0);
			usleep(1000);
		}
		assert_int_equal(stats.pids, 64);
		assert_int_equal(stats.pids_limit, 64);
		int killed = variant && cgroup_tree_of(cgroup, CTL_FREEZER)
				     ? v1_kill_all(cgroup, &err)
				     : cgroup_kill(cgroup, SIGKILL, &err);
		if (killed < 0)
			fail_msg("%s", err.message);
		/* The children are nobody's to wait for here, so removal has to wait by itself. */
		remove_group(cgroup);
		assert_int_equal(wait_for(pid), 128 + SIGKILL);
	}
}

static int child_eats_memory(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		for (;;) {
			char *p = malloc(1 << 20);
			if (p)
				memset(p, 1, 1 << 20);
		}
	}
	int status;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
}

/* HOSTILE 39: only a child was killed, its parent lives on. */
static void test_oom_is_seen(void **state)
{
	if (!have(CTL_MEMORY))
		return;
	struct oci_resources r = { .present = true };
	r.memory.limit = (struct oci_i64) { true, 32 << 20 };
	r.memory.swap = (struct oci_i64) { true, 32 << 20 };
	struct cgroup *cgroup = make("oom", CGROUP_LAZY, &r);
	bool killed;
	assert_int_equal(cgroup_oom_killed(cgroup, &killed), 0);
	assert_false(killed);
	assert_int_equal(wait_for(spawn(cgroup, child_eats_memory)), 0);
	assert_int_equal(cgroup_oom_killed(cgroup, &killed), 0);
	assert_true(killed);
	remove_group(cgroup);
}

/* Exit status: one bit for each of null, kmsg and a made node (c 1:11) that could be opened. */
static int open_devices(void)
{
	char path[64];
	int result = 0;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	result |= fd >= 0 ? 1 : 0;
	str_format(path, sizeof(path), "/dev/shm/masu-test-%d", getpid());
	if (mknod(path, S_IFCHR | 0600, makedev(1, 11)) == 0) {
		result |= 2;
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		result |= fd >= 0 ? 4 : 0;
		unlink(path);
	}
	return result;
}

static void test_devices_are_denied(void **state)
{
	static struct oci_device_rule kmsg = { .allow = true,
					       .type = 'c',
					       .has_major = true,
					       .has_minor = true,
					       .major = 1,
					       .minor = 11,
					       .read = true };
	static struct oci_device_rule all = {
		.allow = true, .type = 'a', .read = true, .write = true, .mknod = true
	};
	/* What v1 cannot say: on a hybrid machine the program takes over. */
	static struct oci_device_rule hole[2] = {
		{ .allow = true, .type = 'c', .read = true, .write = true },
		{ .allow = false,
		  .type = 'c',
		  .has_major = true,
		  .has_minor = true,
		  .major = 1,
		  .minor = 11,
		  .read = true },
	};
	for (int lazy = 0; lazy < 2; lazy++) {
		unsigned flags = lazy ? CGROUP_LAZY : 0;
		struct oci_resources r = { .present = true };
		struct cgroup *cgroup = make("dev", flags, &r);
		assert_int_equal(wait_for(spawn(cgroup, open_devices)), 3);
		/* `update` replaces the rules of the live group. */
		struct masu_error err = { 0 };
		r.devices = &kmsg;
		r.device_count = 1;
		if (cgroup_update(cgroup, &r, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(wait_for(spawn(cgroup, open_devices)), 7);
		r.devices = hole;
		r.device_count = 2;
		if (cgroup->layout != CGROUP_V1) {
			if (cgroup_update(cgroup, &r, &err) < 0)
				fail_msg("%s", err.message);
			assert_int_equal(wait_for(spawn(cgroup, open_devices)), 3);
		}
		r.devices = &all;
		r.device_count = 1;
		if (cgroup_update(cgroup, &r, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(wait_for(spawn(cgroup, open_devices)), 7);
		remove_group(cgroup);
	}
}

/* However many rule sets there are, few programs are kept. */
static void test_kept_device_programs_are_few(void **state)
{
	size_t kept = 0;
	for (int minor = 1; minor <= 20; minor++) {
		struct oci_device_rule rule = { .allow = true,
						.type = 'c',
						.has_major = true,
						.has_minor = true,
						.major = 77,
						.minor = minor,
						.read = true };
		struct oci_resources r = { .present = true, .devices = &rule, .device_count = 1 };
		struct cgroup *cgroup = make("kept", CGROUP_LAZY, &r);
		int unified = cgroup->unified;
		if (unified >= 0 && minor == 20) {
			int fd = openat(cgroup->trees[unified].mount_fd, "masu",
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			_cleanup_closedir_ DIR *dir = fdopendir(fd);
			struct dirent *entry;
			assert_non_null(dir);
			while ((entry = readdir(dir)))
				kept += str_after(entry->d_name, ".devices-") != NULL;
			assert_true(kept >= 1 && kept <= 18); /* some other test may be at it */
		}
		remove_group(cgroup);
	}
}

static void test_saved_group_is_opened_again(void **state)
{
	struct cgroup *cgroup = make("saved", 0, NULL);
	expect_groups(cgroup);
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	struct json_writer w;
	json_writer_init(&w, &text, false);
	cgroup_save(cgroup, &w);
	pid_t pid = spawn(cgroup, sleep_long);
	cgroup_close(cgroup);
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	const struct json *document;
	struct masu_error err = { 0 };
	assert_int_equal(json_parse(&arena, text.data, text.len, &document, &err), 0);
	if (cgroup_open(document, &cgroup, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(wait_for(spawn(cgroup, is_in_own_groups)), 0);
	assert_int_equal(cgroup_select(cgroup, NULL, pid, &err), 0);
	assert_int_equal(wait_for(spawn(cgroup, is_in_own_groups)), 0);
	pid_t *pids;
	size_t count;
	assert_int_equal(cgroup_pids(cgroup, &arena, &pids, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_int_equal(pids[0], pid);
	assert_int_equal(cgroup_kill(cgroup, SIGTERM, &err), 0);
	assert_int_equal(wait_for(pid), 128 + SIGTERM);
	remove_group(cgroup);
}

static int make_parent(void **state)
{
	str_format(parent_path, sizeof(parent_path), "/masu-test-%d", getpid());
	return 0;
}

static int remove_parent(void **state)
{
	struct cgroup *cgroup = cgroup_new();
	struct masu_error err = { 0 };
	if (!cgroup || cgroup_detect_self(cgroup, &err) < 0)
		return -1;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		cgroup->trees[i].path = parent_path;
		tree_locate(cgroup, &cgroup->trees[i]);
		group_rmdir(&cgroup->trees[i]);
	}
	cgroup_close(cgroup);
	return 0;
}

/* subtree_control along the path, with the one controller that a hybrid machine may leave to v2. */
static void test_controllers_are_enabled_along_the_path(void **state)
{
	struct oci_resources r = { .present = true };
	if (!have(CTL_HUGETLB))
		return;
	r.hugepages = calloc(1, sizeof(*r.hugepages));
	r.hugepages[0].page_size = "2MB";
	r.hugepages[0].limit = 4 << 20;
	r.hugepage_count = 1;
	struct cgroup *cgroup = make("deep/er", CGROUP_LAZY, &r);
	char text[32];
	bool v2 = cgroup_tree_of(cgroup, CTL_HUGETLB)->v2;
	read_in(cgroup, CTL_HUGETLB, v2 ? "hugetlb.2MB.max" : "hugetlb.2MB.limit_in_bytes", text,
		sizeof(text));
	assert_string_equal(text, "4194304");
	assert_int_equal(wait_for(spawn(cgroup, return_zero)), 0);
	remove_group(cgroup);
	/* unified reaches the same file, and names what is not in the cgroup2 tree */
	struct oci_pair pair = { "hugetlb.2MB.max", "2097152" };
	struct oci_resources unified = { .present = true, .unified = &pair, .unified_count = 1 };
	if (v2) {
		cgroup = make("unified", 0, &unified);
		read_in(cgroup, CTL_HUGETLB, "hugetlb.2MB.max", text, sizeof(text));
		assert_string_equal(text, "2097152");
		remove_group(cgroup);
	}
	pair.key = "nothing.max";
	struct cgroup_request request = {
		.path = parent_path, .id = "x", .resources = &unified, .owner_uid = (uid_t)-1
	};
	struct masu_error err = { 0 };
	assert_true(cgroup_create(&request, &cgroup, &err) < 0);
	assert_non_null(strstr(err.message, "nothing.max"));
	free(r.hugepages);
}

/* ---- the container's mount ---- */

static struct cgroup *mounted;
static bool mount_in_ns, mount_rw;

static bool has(const char *dir, const char *name)
{
	char path[PATH_MAX];
	return str_format(path, sizeof(path), "%s/%s", dir, name) == 0 && access(path, F_OK) == 0;
}

/* In the container's process: mounts on a fresh directory and looks around. */
static int look_at_mount(void)
{
	static const char target[] = "/mnt";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", target, "tmpfs", 0, NULL) < 0)
		return 1;
	if (mount_in_ns && unshare(CLONE_NEWCGROUP) < 0)
		return 2;
	struct oci_mount request = { .destination = "/sys/fs/cgroup",
				     .type = "cgroup",
				     .attr_set = MOUNT_ATTR_NOSUID };
	_cleanup_close_ int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct masu_error err = { 0 };
	if (cgroup_mount(mounted, fd, &request, mount_in_ns, mount_rw, &err) < 0) {
		dprintf(2, "%s\n", err.message);
		return 3;
	}
	for (size_t i = 0; i < mounted->tree_count; i++) {
		const struct cgroup_tree *tree = &mounted->trees[i];
		char dir[PATH_MAX], text[64], pid[16];
		if (!tree->used)
			continue;
		bool alone = mounted->layout == CGROUP_V2;
		str_format(dir, sizeof(dir), "%s%s%s", target, alone ? "" : "/",
			   alone ? "" : tree->name);
		str_format(pid, sizeof(pid), "%d", getpid());
		/* It is this process's own group, and not the hierarchy's root. */
		int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dirfd < 0 || fs_read_small(dirfd, "cgroup.procs", text, sizeof(text)) < 0 ||
		    !strstr(text, pid))
			return 4;
		if (has(dir, "release_agent") || (tree->v2 && !has(dir, "cgroup.events")))
			return 5;
		/* Read-only, unless told. */
		if ((mkdirat(dirfd, "child", 0755) == 0) != mount_rw)
			return 6;
		close(dirfd);
	}
	if (mounted->layout != CGROUP_V2 && !mount_rw && mkdir("/mnt/x", 0755) == 0)
		return 7;
	return 0;
}

static void test_mount_shows_the_own_group_only(void **state)
{
	for (int variant = 0; variant < 4; variant++) {
		mount_in_ns = variant & 1;
		mount_rw = variant & 2;
		mounted = make("mounted", 0, NULL);
		assert_int_equal(wait_for(spawn(mounted, look_at_mount)), 0);
		remove_group(mounted); /* and what a writable mount let be made below */
	}
}

static void test_layout_is(void **state)
{
	struct cgroup *cgroup = cgroup_new();
	struct masu_error err = { 0 };
	assert_int_equal(cgroup_detect_self(cgroup, &err), 0);
	assert_int_equal(cgroup->layout, *(enum cgroup_layout *)*state);
	assert_int_equal(cgroup_layout(), cgroup->layout);
	cgroup_close(cgroup);
}

static int run_all(enum cgroup_layout layout)
{
	static enum cgroup_layout expected;
	expected = layout;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_layout_is, &expected),
		cmocka_unit_test(test_every_hierarchy_is_joined_and_removed),
		cmocka_unit_test(test_lazy_joins_what_limits_need),
		cmocka_unit_test(test_limits_move_both_ways),
		cmocka_unit_test(test_missing_controller_is_named),
		cmocka_unit_test(test_live_group_is_refused_leftover_adopted),
		cmocka_unit_test(test_freeze_is_synchronous),
		cmocka_unit_test(test_v1_freezer),
		cmocka_unit_test(test_fork_bomb),
		cmocka_unit_test(test_oom_is_seen),
		cmocka_unit_test(test_devices_are_denied),
		cmocka_unit_test(test_kept_device_programs_are_few),
		cmocka_unit_test(test_saved_group_is_opened_again),
		cmocka_unit_test(test_controllers_are_enabled_along_the_path),
		cmocka_unit_test(test_mount_shows_the_own_group_only),
	};
	return cmocka_run_group_tests_name(cgroup_layout_name(layout), tests, make_parent,
					   remove_parent);
}

/* A hybrid machine has the other two in it, in a mount namespace of our own. */
static int change_layout(enum cgroup_layout wanted)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    umount2("/sys/fs/cgroup/unified", MNT_DETACH) < 0)
		return -errno;
	if (wanted == CGROUP_V2 && mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
		return -errno;
	return 0;
}

/* Usage: test-cgroup-live [v1|v2]: on that layout, where the machine is hybrid. */
int main(int argc, char **argv)
{
	struct masu_error err = { 0 };
	struct cgroup *probe = cgroup_new();
	bool usable = geteuid() == 0 && probe && cgroup_detect_self(probe, &err) == 0 &&
		      probe->tree_count > 0;
	cgroup_close(probe);
	enum cgroup_layout layout = cgroup_layout();
	if (argc > 1) {
		usable = usable && layout == CGROUP_HYBRID;
		layout = streq(argv[1], "v1") ? CGROUP_V1 : CGROUP_V2;
	}
	if (!usable) {
		printf("1..0 # SKIP needs root and a cgroup filesystem of this layout\n");
		return 0;
	}
	if (argc > 1 && change_layout(layout) < 0)
		return 1;
	return run_all(layout);
}
