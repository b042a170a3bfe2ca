/* The container's filesystem view as a whole: the ordinary container and what differs by namespace.
 */
#include "rootfs-fixture.h"

static void check_defaults(struct rootfs *rootfs, struct fixture *f)
{
	char cwd[64];
	CHECK(getcwd(cwd, sizeof(cwd)) && streq(cwd, "/"));
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0666));
	CHECK(is_device("/dev/zero", S_IFCHR, 1, 5, 0666));
	CHECK(is_device("/dev/full", S_IFCHR, 1, 7, 0666));
	CHECK(is_device("/dev/random", S_IFCHR, 1, 8, 0666));
	CHECK(is_device("/dev/urandom", S_IFCHR, 1, 9, 0666));
	CHECK(is_device("/dev/tty", S_IFCHR, 5, 0, 0666));
	CHECK(is_link("/dev/fd", "/proc/self/fd"));
	CHECK(is_link("/dev/stdin", "/proc/self/fd/0"));
	CHECK(is_link("/dev/stdout", "/proc/self/fd/1"));
	CHECK(is_link("/dev/stderr", "/proc/self/fd/2"));
	CHECK(is_link("/dev/core", "/proc/kcore"));
	CHECK(is_link("/dev/ptmx", "pts/ptmx"));
	CHECK(is_type("/proc", PROC_SUPER_MAGIC) && is_type("/sys", SYSFS_MAGIC));
	CHECK(is_type("/dev", TMPFS_MAGIC) && is_type("/dev/shm", TMPFS_MAGIC));
	CHECK(is_type("/dev/pts", DEVPTS_SUPER_MAGIC) && is_type("/dev/mqueue", 0x19800202));
	CHECK(has_option("/sys", "ro") && has_option("/sys", "nosuid"));
	CHECK(has_option("/dev", "rw") && !has_option("/dev", "relatime"));
	CHECK(has_option("/dev/shm", "nodev") && has_option("/dev/shm", "relatime"));
	/* The process list is our own, and the host's tree is gone. */
	CHECK(access("/proc/2", F_OK) < 0 && access("/tmp", F_OK) < 0);
	CHECK(is_device("/dev/core", 0, 0, 0, 0) == false);
	CHECK(close(open("/etc/written", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
}

static void test_default_container(void **state)
{
	struct fixture *f = *state;
	add_default_mounts(f);
	assert_int_equal(run(f, NULL, check_defaults), 0);
	/* Nothing of it stays in this namespace, and the root was really the bundle's. */
	assert_int_equal(access(path_in(f, "rootfs/etc/written"), F_OK), 0);
	assert_int_not_equal(access(path_in(f, "rootfs/proc/self"), F_OK), 0);
}

static void test_no_pivot(void **state)
{
	struct fixture *f = *state;
	add_default_mounts(f);
	f->request.no_pivot = true;
	assert_int_equal(run(f, NULL, check_defaults), 0);
}

static void check_no_mount_ns(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0666));
	CHECK(is_type("/proc", PROC_SUPER_MAGIC));
	CHECK(access("/data/file", F_OK) == 0);
	CHECK(access("/proc/acpi/event", F_OK) < 0);
	/* The tree is held by being somebody's root, not by the fds that exec closes. */
	CHECK(sys_close_range(3, ~0u, 0) == 0);
	CHECK(is_type("/proc", PROC_SUPER_MAGIC) && access("/data/file", F_OK) == 0);
	CHECK(access("/tmp", F_OK) < 0);
}

static void test_without_mount_namespace(void **state)
{
	struct fixture *f = *state;
	static char acpi[] = "/proc/acpi", kcore[] = "/proc/kcore";
	static char *masked[] = { acpi, kcore, NULL };
	make_dir(f, "source");
	make_file(f, "source/file", "x");
	add_mount(f, "proc", "proc", "/proc");
	add_mount(f, "bind", "source", "/data")->recursive_bind = true;
	f->spec.masked_paths = masked;
	f->flags &= ~(uint64_t)CLONE_NEWNS;
	assert_int_equal(run(f, NULL, check_no_mount_ns), 0);
	assert_string_equal(mount_line(path_in(f, "rootfs/data")), "");
}

static void user_namespace(struct fixture *f)
{
	static const struct oci_id_mapping map = { 0, 100000, 65536 };
	f->flags |= CLONE_NEWUSER;
	for (size_t i = 0; i < OCI_NS_COUNT; i++)
		f->spec.namespaces[i].present = i != OCI_NS_TIME;
	f->spec.id_map = (struct oci_id_map) { (struct oci_id_mapping *)&map, 1,
					       (struct oci_id_mapping *)&map, 1 };
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chown(path_in(f, "rootfs"), 100000, 100000), 0);
}

static void test_user_namespace(void **state)
{
	struct fixture *f = *state;
	user_namespace(f);
	add_default_mounts(f);
	assert_int_equal(run(f, NULL, check_defaults), 1); /* /etc is not the container's root's */
	assert_int_equal(chown(path_in(f, "rootfs/etc"), 100000, 100000), 0);
	assert_int_equal(run(f, NULL, check_defaults), 0);
}

static void check_user_ns_devices(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(is_device("/dev/some", S_IFCHR, 1, 5, 0640) &&
	      is_device("/opt/disk", S_IFBLK, 7, 250, 0666));
	CHECK(stat("/dev/some", &st) == 0 && st.st_uid == 3 && st.st_gid == 4);
	CHECK(stat("/dev/null", &st) == 0 && st.st_uid == 0 && st.st_gid == 0);
	CHECK(has_option("/dev/null", "nosuid") && has_option("/dev/null", "noexec"));
	int fd = open("/dev/some", O_RDONLY | O_CLOEXEC);
	char byte = 1;
	CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 0);
}

/* No node can be made there, and yet number, mode and owner are as asked for. */
static void test_devices_in_a_user_namespace(void **state)
{
	struct fixture *f = *state;
	user_namespace(f);
	add_default_mounts(f);
	f->devices[0] = (struct oci_device) { "/dev/some", 'c', 1, 5, true, 0640, 3, 4 };
	f->devices[1] = (struct oci_device) { "/opt/disk/", 'b', 7, 250, false, 0, 0, 0 };
	f->spec.device_count = 2;
	assert_int_equal(run(f, NULL, check_user_ns_devices), 0);
}

static void check_user_ns_host_net(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(is_type("/sys", SYSFS_MAGIC) && has_option("/sys", "ro"));
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0666) && *mount_line("/dev/null"));
	/* Also what the host has mounted below it. */
	CHECK(!*mount_line("/sys/fs/cgroup") || has_option("/sys/fs/cgroup", "ro"));
}

static void test_user_namespace_on_host_network_binds_sys(void **state)
{
	struct fixture *f = *state;
	user_namespace(f);
	add_default_mounts(f);
	f->flags &= ~(uint64_t)CLONE_NEWNET;
	f->spec.namespaces[OCI_NS_NETWORK].present = false;
	assert_int_equal(run(f, NULL, check_user_ns_host_net), 0);
}

/* Another container's mount namespace: its root and its mounts stay as they are. */
static void test_joined_mount_namespace(void **state)
{
	struct fixture *f = *state;
	static char meminfo[] = "/proc/meminfo";
	static char *masked[] = { meminfo, NULL };
	char path[64], byte;
	int ready[2];
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ready[0]);
		if (unshare(CLONE_NEWNS) < 0)
			_exit(1);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	f->spec.namespaces[OCI_NS_MOUNT].path = path;
	f->join_ns = open(path, O_RDONLY | O_CLOEXEC);
	make_dir(f, "source");
	make_file(f, "source/file", "x");
	add_mount(f, "proc", "proc", "/proc");
	add_mount(f, "bind", "source", "/data");
	f->spec.masked_paths = masked;
	f->flags &= ~(uint64_t)CLONE_NEWNS;
	assert_int_equal(run(f, NULL, check_no_mount_ns), 0);
	close(f->join_ns);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void check_rootless(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0666) && *mount_line("/dev/null"));
	CHECK(is_device("/dev/zero", S_IFCHR, 1, 5, 0666) && is_link("/dev/fd", "/proc/self/fd"));
	CHECK(is_type("/proc", PROC_SUPER_MAGIC) && is_type("/sys", SYSFS_MAGIC));
	CHECK(stat("/data/file", &st) == 0 && st.st_uid == 0);
	CHECK(has_option("/data", "ro") && access("/tmp", F_OK) < 0);
	CHECK(stat("/proc/meminfo", &st) == 0 && S_ISCHR(st.st_mode));
}

/* A caller without privileges may clone nothing: the new user namespace's root does. */
static void test_rootless(void **state)
{
	struct fixture *f = *state;
	static char meminfo[] = "/proc/meminfo";
	static char *masked[] = { meminfo, NULL };
	static const char *const own[] = { "", "rootfs", "rootfs/etc", "source", "source/file" };
	user_namespace(f);
	make_dir(f, "source");
	make_file(f, "source/file", "x");
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		assert_int_equal(chown(path_in(f, own[i]), 1000, 1000), 0);
	add_default_mounts(f);
	add_mount(f, "bind", "source", "/data")->attr_set = MOUNT_ATTR_RDONLY;
	f->spec.masked_paths = masked;
	f->id_map = "0 1000 1\n";
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000))
			_exit(9);
		/* /proc/PID is root's otherwise. */
		prctl(PR_SET_DUMPABLE, 1);
		_exit(run(f, NULL, check_rootless));
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void check_host_cgroups(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(*mount_line("/sys/fs/cgroup") && has_option("/sys/fs/cgroup", "ro"));
	CHECK(!*mount_line("/sys/fs/cgroup/memory") || has_option("/sys/fs/cgroup/memory", "ro"));
}

static void test_cgroup_mount_without_a_group(void **state)
{
	struct fixture *f = *state;
	add_default_mounts(f);
	add_mount(f, "cgroup", "cgroup", "/sys/fs/cgroup");
	assert_int_equal(run(f, NULL, check_host_cgroups), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_default_container),
		TEST(test_no_pivot),
		TEST(test_without_mount_namespace),
		TEST(test_user_namespace),
		TEST(test_devices_in_a_user_namespace),
		TEST(test_user_namespace_on_host_network_binds_sys),
		TEST(test_joined_mount_namespace),
		TEST(test_rootless),
		TEST(test_cgroup_mount_without_a_group),
	};
	return FIXTURE_MAIN(tests);
}
