/*
 * Roots that want out (HOSTILE, class table): each class is tried against the real thing, and once
 * more with its defence taken out (base/fault.h), where it has to succeed. A test that cannot fail
 * proves nothing.
 */
#include "rootfs-fixture.h"

/* As run(), with one defence gone. */
static int run_without(struct fixture *f, const char *defence, check_fn before, check_fn check)
{
	assert_int_equal(setenv("MASU_TEST_WITHOUT", defence, 1), 0);
	int r = run(f, before, check);
	unsetenv("MASU_TEST_WITHOUT");
	return r;
}

static void make_link(struct fixture *f, const char *name, const char *text)
{
	assert_int_equal(symlink(text, path_in(f, name)), 0);
}

static bool exists(struct fixture *f, const char *name)
{
	struct stat st;
	return lstat(path_in(f, name), &st) == 0;
}

static bool file_says(const char *path, const char *text)
{
	char buffer[256];
	return fs_read_small(AT_FDCWD, path, buffer, sizeof(buffer)) == 0 && streq(buffer, text);
}

/* --- links where mounts go (CVE-2019-19921, CVE-2021-30465, CVE-2023-27561) --- */

static void test_proc_sys_and_dev_must_be_real_directories(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *type, *path;
	} mounts[] = { { "proc", "/proc" },	    { "sysfs", "/sys" }, { "tmpfs", "/dev" },
		       { "mqueue", "/dev/mqueue" }, { "bind", "/proc" }, { "tmpfs", "/sys" } };
	make_dir(f, "rootfs/evil/mqueue");
	make_dir(f, "dir");
	make_link(f, "rootfs/proc", "evil");
	make_link(f, "rootfs/sys", "/evil");
	make_link(f, "rootfs/dev", "../../../../../../evil");
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		f->spec.mount_count = 0;
		add_mount(f, mounts[i].type, "dir", mounts[i].path);
		assert_int_equal(run(f, NULL, NULL), 2);
	}
	/* Without a mount on it, /dev is filled in the root: also only where it is one. */
	f->spec.mount_count = 0;
	assert_int_equal(run(f, NULL, NULL), 2);
	assert_false(exists(f, "rootfs/evil/null"));
	assert_int_equal(run_without(f, "no-symlinks", NULL, NULL), 0);
	assert_true(exists(f, "rootfs/evil/null"));
}

static void bind_below_links(struct fixture *f)
{
	make_dir(f, "dir");
	make_dir(f, "outside");
	make_link(f, "rootfs/absolute", path_in(f, "outside"));
	make_link(f, "rootfs/relative", "../outside");
	make_link(f, "rootfs/parents", "../../../../../../../../../etc");
	add_mount(f, "bind", "dir", "/absolute/one");
	add_mount(f, "bind", "dir", "/relative/two");
	add_mount(f, "bind", "dir", "/parents/three");
	add_mount(f, "tmpfs", "tmpfs", "/absolute/../absolute/four");
}

static void check_inside(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(*mount_line("/etc/three"));
	CHECK(*mount_line("/outside/two"));
	CHECK(*mount_line(arena_printf(&f->arena, "%s/outside/one", f->dir)));
}

static void test_links_at_targets_stay_in_the_root(void **state)
{
	struct fixture *f = *state;
	bind_below_links(f);
	assert_int_equal(run(f, NULL, check_inside), 0);
	assert_false(exists(f, "outside/one") || exists(f, "outside/two"));
	assert_false(exists(f, "outside/four") || access("/etc/three", F_OK) == 0);
	f->spec.mount_count = 1; /* the machine's own tree is left alone without the defence */
	run_without(f, "in-root", NULL, NULL);
	assert_true(exists(f, "outside/one"));
}

/* Swaps rootfs/a (a directory) and rootfs/b (a link to outside) until it is killed. */
static pid_t start_racer(struct fixture *f)
{
	make_dir(f, "dir");
	make_dir(f, "outside/x");
	make_dir(f, "rootfs/a");
	make_link(f, "rootfs/b", path_in(f, "outside"));
	const char *a = path_in(f, "rootfs/a"), *b = path_in(f, "rootfs/b");
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		for (;;)
			sys_renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	}
	return pid;
}

static void stop_racer(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* How many of @tries opens of the mount point /a/x led to the directory outside. */
static unsigned race(struct fixture *f, unsigned tries)
{
	struct stat outside, st;
	unsigned escapes = 0;
	_cleanup_close_ int root = open(path_in(f, "rootfs"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	assert_int_equal(stat(path_in(f, "outside/x"), &outside), 0);
	for (unsigned i = 0; i < tries; i++) {
		int fd = fs_target_in(root, "/a/x", false, 0755);
		if (fd < 0)
			continue;
		assert_int_equal(fstat(fd, &st), 0);
		escapes += st.st_ino == outside.st_ino && st.st_dev == outside.st_dev;
		close(fd);
	}
	return escapes;
}

static void test_rename_racer_wins_nothing(void **state)
{
	struct fixture *f = *state;
	pid_t racer = start_racer(f);
	unsigned escapes = race(f, 100000);
	setenv("MASU_TEST_WITHOUT", "in-root", 1);
	/* On a busy machine the racer may not run beside one round; it need win only once. */
	unsigned without = 0;
	for (int round = 0; round < 100 && without == 0; round++)
		without = race(f, 10000);
	unsetenv("MASU_TEST_WITHOUT");
	/* The whole of it a few times too: a mount point made below the moving directory. */
	assert_int_equal(rmdir(path_in(f, "outside/x")), 0);
	add_mount(f, "bind", "dir", "/a/x/y");
	add_mount(f, "tmpfs", "tmpfs", "/b/z");
	for (int i = 0; i < 50; i++)
		run(f, NULL, NULL);
	stop_racer(racer);
	assert_int_equal(escapes, 0);
	assert_true(without > 0);
	assert_false(exists(f, "outside/x") || exists(f, "outside/z"));
}

/* --- what covers masked paths is the null device (CVE-2025-31133) --- */

static void null_is_a_link(struct rootfs *rootfs, struct fixture *f)
{
	int root = rootfs_fd(rootfs);
	CHECK(unlinkat(root, "dev/null", 0) == 0);
	CHECK(symlinkat("/etc/secret", root, "dev/null") == 0);
}

static void null_is_a_file(struct rootfs *rootfs, struct fixture *f)
{
	int root = rootfs_fd(rootfs);
	CHECK(unlinkat(root, "dev/null", 0) == 0);
	CHECK(mknodat(root, "dev/null", S_IFREG | 0666, 0) == 0);
}

static void null_is_another_device(struct rootfs *rootfs, struct fixture *f)
{
	int root = rootfs_fd(rootfs);
	CHECK(unlinkat(root, "dev/null", 0) == 0);
	CHECK(mknodat(root, "dev/null", S_IFCHR | 0666, makedev(1, 5)) == 0);
}

static void null_is_gone(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(unlinkat(rootfs_fd(rootfs), "dev/null", 0) == 0);
}

static void check_mask_shows_secret(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(file_says("/proc/meminfo", "secret"));
}

static void test_a_replaced_null_device_masks_nothing(void **state)
{
	struct fixture *f = *state;
	static const check_fn replaced[] = { null_is_a_link, null_is_a_file, null_is_another_device,
					     null_is_gone };
	char meminfo[] = "/proc/meminfo", *masked[] = { meminfo, NULL };
	make_file(f, "rootfs/etc/secret", "secret");
	add_default_mounts(f);
	f->spec.masked_paths = masked;
	for (size_t i = 0; i < ARRAY_SIZE(replaced); i++)
		assert_int_equal(run(f, replaced[i], NULL), 2);
	assert_int_equal(run_without(f, "null-check", null_is_a_link, check_mask_shows_secret), 0);
	/* In the image itself such a thing is replaced before anything uses it. */
	f->spec.mount_count = 1;
	make_dir(f, "rootfs/dev");
	make_link(f, "rootfs/dev/null", "/etc/secret");
	make_file(f, "rootfs/dev/zero", "not a device");
	assert_int_equal(run(f, NULL, NULL), 0);
	assert_true(is_device(path_in(f, "rootfs/dev/null"), S_IFCHR, 1, 3, 0666));
	assert_true(is_device(path_in(f, "rootfs/dev/zero"), S_IFCHR, 1, 5, 0666));
	assert_true(file_says(path_in(f, "rootfs/etc/secret"), "secret"));
}

/* --- the console (CVE-2025-52565) --- */

static int open_pty(struct rootfs *rootfs)
{
	int master = fs_open_in(rootfs_fd(rootfs), "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0), zero = 0;
	CHECK(master >= 0 && ioctl(master, TIOCSPTLCK, &zero) == 0);
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	return slave;
}

static void bind_pty(struct rootfs *rootfs, struct fixture *f)
{
	struct masu_error err = { 0 };
	if (rootfs_bind_console(rootfs, open_pty(rootfs), &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		_exit(5);
	}
}

static void bind_pty_over_link(struct rootfs *rootfs, struct fixture *f)
{
	/* An absolute link would lead to the host's file here, before the root is entered. */
	CHECK(symlinkat("../etc/secret", rootfs_fd(rootfs), "dev/console") == 0);
	bind_pty(rootfs, f);
}

static void bind_a_file(struct rootfs *rootfs, struct fixture *f)
{
	struct masu_error err = { 0 };
	int fd = fs_open_in(rootfs_fd(rootfs), "/etc/secret", O_RDWR, 0);
	CHECK(fd >= 0);
	if (rootfs_bind_console(rootfs, fd, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		_exit(5);
	}
}

static void bind_another_device(struct rootfs *rootfs, struct fixture *f)
{
	struct masu_error err = { 0 };
	int fd = fs_open_in(rootfs_fd(rootfs), "/dev/null", O_RDWR, 0);
	CHECK(fd >= 0);
	if (rootfs_bind_console(rootfs, fd, &err) < 0)
		_exit(5);
}

static void check_console(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(is_type("/dev/console", DEVPTS_SUPER_MAGIC));
	CHECK(stat("/dev/console", &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 136);
}

static void check_secret_is_covered(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(is_type("/etc/secret", DEVPTS_SUPER_MAGIC));
}

static void test_console_is_a_pty_at_a_real_path(void **state)
{
	struct fixture *f = *state;
	make_file(f, "rootfs/etc/secret", "secret");
	add_default_mounts(f);
	assert_int_equal(run(f, bind_pty, check_console), 0);
	assert_int_equal(run(f, bind_pty_over_link, NULL), 5);
	assert_int_equal(
		run_without(f, "console-link", bind_pty_over_link, check_secret_is_covered), 0);
	assert_int_equal(run(f, bind_a_file, NULL), 5);
	assert_int_equal(run(f, bind_another_device, NULL), 5);
	assert_int_equal(run_without(f, "console-check", bind_another_device, NULL), 0);
}

/* --- devices --- */

static void check_devices(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(is_device("/dev/fuse", S_IFCHR, 10, 229, 0640));
	CHECK(stat("/dev/fuse", &st) == 0 && st.st_uid == 3 && st.st_gid == 4);
	CHECK(is_device("/dev/net/disk", S_IFBLK, 7, 200, 0666));
	CHECK(stat("/some/pipe", &st) == 0 && S_ISFIFO(st.st_mode));
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0600));
}

static void test_devices_of_the_specification(void **state)
{
	struct fixture *f = *state;
	add_default_mounts(f);
	f->devices[0] = (struct oci_device) { "/dev/fuse", 'c', 10, 229, true, 0640, 3, 4 };
	f->devices[1] = (struct oci_device) { "/dev/net/disk", 'b', 7, 200, false, 0, 0, 0 };
	f->devices[2] = (struct oci_device) { "/some/pipe", 'p', 0, 0, false, 0, 0, 0 };
	f->devices[3] = (struct oci_device) { "/dev/null", 'c', 1, 3, true, 0600, 0, 0 };
	f->spec.device_count = 4;
	assert_int_equal(run(f, NULL, check_devices), 0);
	f->spec.device_count = 1;
	f->devices[0] = (struct oci_device) { "/dev/x", 'c', 1, -1, false, 0, 0, 0 };
	assert_int_equal(run(f, NULL, NULL), 3);
	f->devices[0] = (struct oci_device) { "/dev/..", 'c', 1, 3, false, 0, 0, 0 };
	assert_int_equal(run(f, NULL, NULL), 2);
	/* Below a link the node is made where the link leads inside the root. */
	make_dir(f, "outside");
	make_dir(f, "rootfs/dev");
	make_link(f, "rootfs/dev/net", path_in(f, "outside"));
	f->spec.mount_count = 1;
	f->devices[0] = (struct oci_device) { "/dev/net/tun", 'c', 10, 200, false, 0, 0, 0 };
	assert_int_equal(run(f, NULL, NULL), 0);
	assert_false(exists(f, "outside/tun"));
	run_without(f, "in-root", NULL, NULL);
	assert_true(exists(f, "outside/tun"));
}

/* --- the way back to the host's tree --- */

/* All that CAP_SYS_ADMIN and CAP_SYS_CHROOT can do: climb out, and ask the namespace for its root.
 */
static void check_host_is_out_of_reach(struct rootfs *rootfs, struct fixture *f)
{
	int ns = openat(host_proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
	CHECK(ns >= 0 && mkdir("/etc/jail", 0755) == 0);
	CHECK(chroot("/etc/jail") == 0);
	for (int i = 0; i < 20; i++)
		CHECK(chdir("..") == 0);
	CHECK(chroot(".") == 0 && access(f->dir, F_OK) < 0 && access("/etc/jail", F_OK) == 0);
	CHECK(rmdir("/etc/jail") == 0);
	CHECK(setns(ns, CLONE_NEWNS) == 0 && access(f->dir, F_OK) < 0);
	umount2("/", MNT_DETACH);
	CHECK(setns(ns, CLONE_NEWNS) == 0 && access(f->dir, F_OK) < 0);
}

static void test_the_old_root_is_out_of_reach(void **state)
{
	struct fixture *f = *state;
	add_mount(f, "proc", "proc", "/proc");
	assert_int_equal(run(f, NULL, check_host_is_out_of_reach), 0);
	assert_int_equal(run_without(f, "old-root-gone", NULL, check_host_is_out_of_reach), 1);
	rmdir(path_in(f, "rootfs/etc/jail"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_proc_sys_and_dev_must_be_real_directories),
		TEST(test_links_at_targets_stay_in_the_root),
		TEST(test_rename_racer_wins_nothing),
		TEST(test_a_replaced_null_device_masks_nothing),
		TEST(test_console_is_a_pty_at_a_real_path),
		TEST(test_devices_of_the_specification),
		TEST(test_the_old_root_is_out_of_reach),
	};
	return FIXTURE_MAIN(tests);
}
