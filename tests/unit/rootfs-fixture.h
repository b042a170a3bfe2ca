/*
 * What the tests of the container's filesystem view share: a bundle in /tmp, a specification built
 * by hand, and a run of the real thing in new namespaces, looked at from inside. Needs root; the
 * machine's own mounts are out of reach because fixture_main() starts by leaving them.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "exec/native/rootfs.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)

static int host_proc = -1;

struct fixture {
	char dir[64]; /* holds rootfs/ and whatever a test puts beside it */
	struct arena arena;
	struct oci_mount mounts[16];
	struct oci_device devices[4];
	struct oci_spec spec;
	struct exec_request request;
	uint64_t flags;
	const char *id_map; /* what the parent writes with a user namespace */
	int join_ns; /* a mount namespace that the child joins instead of having its own; -1 */
	struct masu_error err;
};

/* In the child: a failed check is one line on stderr and exit status 1. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so in the container: %s (errno %s)\n",         \
				__FILE__, __LINE__, #condition, strerror(errno));                  \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static __attribute__((unused)) struct oci_mount *
add_mount(struct fixture *f, const char *type, const char *source, const char *destination)
{
	struct oci_mount *mount = &f->mounts[f->spec.mount_count++];
	assert_true(f->spec.mount_count <= ARRAY_SIZE(f->mounts));
	*mount = (struct oci_mount) { .type = type,
				      .source = source,
				      .destination = destination,
				      .data = "",
				      .bind = type && streq(type, "bind") };
	return mount;
}

static __attribute__((unused)) void add_default_mounts(struct fixture *f)
{
	add_mount(f, "proc", "proc", "/proc");
	struct oci_mount *m = add_mount(f, "tmpfs", "tmpfs", "/dev");
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME;
	m->data = "mode=755,size=65536k";
	m = add_mount(f, "devpts", "devpts", "/dev/pts");
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	m->data = "newinstance,ptmxmode=0666,mode=0620";
	m = add_mount(f, "tmpfs", "shm", "/dev/shm");
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV;
	m->data = "mode=1777,size=65536k";
	m = add_mount(f, "mqueue", "mqueue", "/dev/mqueue");
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV;
	m = add_mount(f, "sysfs", "sysfs", "/sys");
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY;
}

static __attribute__((unused)) const char *path_in(struct fixture *f, const char *name)
{
	const char *path = arena_printf(&f->arena, "%s/%s", f->dir, name);
	assert_non_null(path);
	return path;
}

static __attribute__((unused)) void make_dir(struct fixture *f, const char *name)
{
	assert_int_equal(fs_mkdirs(AT_FDCWD, path_in(f, name), 0755), 0);
}

static __attribute__((unused)) void make_file(struct fixture *f, const char *name, const char *text)
{
	int fd = open(path_in(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static __attribute__((unused)) int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	arena_init(&f->arena, 0);
	strcpy(f->dir, "/tmp/masu-rootfs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	make_dir(f, "rootfs/etc");
	f->spec.has_root = true;
	f->spec.root_path = "rootfs";
	f->spec.mounts = f->mounts;
	f->spec.devices = f->devices;
	f->spec.process.present = true;
	f->spec.process.cwd = "/";
	f->request = (struct exec_request) {
		.id = "test",
		.bundle = f->dir,
		.bundle_fd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.spec = &f->spec,
		.rootfs_fd = -1,
		.network_ns_fd = -1,
		.stdio = { -1, -1, -1 },
	};
	f->flags = NAMESPACES;
	f->id_map = "0 100000 65536\n";
	f->join_ns = -1;
	*state = f;
	return 0;
}

static __attribute__((unused)) int teardown(void **state)
{
	struct fixture *f = *state;
	close(f->request.bundle_fd);
	/* What a failed test left mounted. */
	umount2(path_in(f, "dir"), MNT_DETACH);
	umount2(path_in(f, "rootfs"), MNT_DETACH);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir), 0);
	arena_free(&f->arena);
	free(f);
	return 0;
}

typedef void (*check_fn)(struct rootfs *rootfs, struct fixture *f);

static __attribute__((unused)) int child_main(struct fixture *f, struct rootfs *rootfs,
					      check_fn before, check_fn check)
{
	struct rootfs_context context = {
		.user_ns = f->flags & CLONE_NEWUSER,
		.cgroup_ns = f->flags & CLONE_NEWCGROUP,
		.own_network_ns = f->flags & CLONE_NEWNET,
		.mount_ns = f->flags & CLONE_NEWNS,
	};
	struct masu_error err = { 0 };
	int r = rootfs_mount(rootfs, &context, &err);
	if (r == 0 && before)
		before(rootfs, f);
	if (r == 0)
		r = rootfs_enter(rootfs, &err);
	if (r == 0)
		r = rootfs_finish(rootfs, &err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err.message);
		return 2;
	}
	if (check)
		check(rootfs, f);
	return 0;
}

/* 0: all well, 1: a check failed, 2: refused (with the message on stderr), 3: by prepare. */
static __attribute__((unused)) int run(struct fixture *f, check_fn before, check_fn check)
{
	struct rootfs *rootfs;
	int ready[2];
	if (rootfs_prepare(&f->arena, &f->request, &rootfs, &f->err) < 0) {
		fprintf(stderr, "%s\n", f->err.message);
		return 3;
	}
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	struct clone_args args = { .flags = f->flags, .exit_signal = SIGCHLD };
	pid_t pid = sys_clone3(&args);
	assert_true(pid >= 0);
	if (pid == 0) {
		char byte;
		close(ready[1]);
		/* With a user namespace: once the parent has mapped it. */
		while (read(ready[0], &byte, 1) > 0)
			;
		if (f->flags & CLONE_NEWUSER && (setresgid(0, 0, 0) || setresuid(0, 0, 0)))
			_exit(4);
		if (f->join_ns >= 0 && setns(f->join_ns, CLONE_NEWNS) < 0)
			_exit(4);
		_exit(child_main(f, rootfs, before, check));
	}
	if (f->flags & CLONE_NEWUSER) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
		assert_int_equal(fs_write_at(AT_FDCWD, path, f->id_map), 0);
		snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
		if (geteuid() != 0)
			assert_int_equal(fs_write_at(AT_FDCWD, path, "deny"), 0);
		snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
		assert_int_equal(fs_write_at(AT_FDCWD, path, f->id_map), 0);
	}
	close(ready[0]);
	close(ready[1]);
	rootfs_close(rootfs);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The line of mountinfo for @path (the topmost), without id and device numbers; "" when none. */
static __attribute__((unused)) const char *mount_line(const char *path)
{
	static char found[512];
	char line[1024], point[256];
	/* By the host's procfs, so that a container without one can be looked at too. */
	FILE *file = fdopen(openat(host_proc, "self/mountinfo", O_RDONLY | O_CLOEXEC), "r");
	CHECK(file);
	found[0] = '\0';
	int at = 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*d %*d %*s %*s %n%255s", &at, point) == 1 && streq(point, path))
			snprintf(found, sizeof(found), "%s", line + at);
	fclose(file);
	return found;
}

static __attribute__((unused)) bool has_option(const char *path, const char *option)
{
	char options[256], pattern[64];
	if (sscanf(mount_line(path), "%*s %253s", options + 1) != 1)
		return false;
	options[0] = ',';
	strcat(options, ",");
	snprintf(pattern, sizeof(pattern), ",%s,", option);
	return strstr(options, pattern);
}

static __attribute__((unused)) bool is_device(const char *path, mode_t type, unsigned major_,
					      unsigned minor_, mode_t mode)
{
	struct stat st;
	return lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == type &&
	       (st.st_mode & 07777) == mode && st.st_rdev == makedev(major_, minor_);
}

static __attribute__((unused)) bool is_link(const char *path, const char *text)
{
	char buffer[128];
	ssize_t len = readlink(path, buffer, sizeof(buffer) - 1);
	if (len < 0)
		return false;
	buffer[len] = '\0';
	return streq(buffer, text);
}

static __attribute__((unused)) bool is_type(const char *path, long magic)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && (long)fs.f_type == magic;
}

static __attribute__((unused)) int fixture_main(const struct CMUnitTest *tests, size_t count)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	host_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	if (unshare(CLONE_NEWNS) < 0 || sys_mount_setattr(AT_FDCWD, "/", 0x8000, &attr) < 0) {
		perror("leave the machine's mounts");
		return 1;
	}
	return _cmocka_run_group_tests("rootfs", tests, count, NULL, NULL);
}

#define TEST(name)	    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FIXTURE_MAIN(tests) fixture_main(tests, ARRAY_SIZE(tests))
