/* Every kind of mount and every option of one, seen from inside the container. */
#include "rootfs-fixture.h"

static char *strings[8];

/* A NULL-terminated list of writable copies, as the specification has them. */
static char **list(struct fixture *f, const char *a, const char *b, const char *c)
{
	const char *const from[] = { a, b, c };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		if (from[i])
			strings[n++] = arena_strdup(&f->arena, from[i]);
	strings[n] = NULL;
	return strings;
}

static bool file_says(const char *path, const char *text)
{
	char buffer[256];
	return fs_read_small(AT_FDCWD, path, buffer, sizeof(buffer)) == 0 && streq(buffer, text);
}

/* --- binds --- */

static void check_targets(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(file_says("/new/dir/file", "dir"));
	CHECK(file_says("/new/name", "file"));
	CHECK(file_says("/etc/resolv", "file"));
	CHECK(file_says("/real/sub/file", "dir"));
	CHECK(access("/missing", F_OK) < 0);
	CHECK(is_link("/linked", "dir/file"));
	/* As Debian's images have it: a link to what only a running system has. */
	CHECK(file_says("/run/systemd/resolve/stub", "file") && file_says("/etc/dangling", "file"));
	CHECK(file_says("/run/late/dir/file", "dir"));
}

static void test_bind_targets_are_made(void **state)
{
	struct fixture *f = *state;
	make_dir(f, "dir");
	make_file(f, "dir/file", "dir");
	make_file(f, "file", "file");
	make_file(f, "rootfs/etc/resolv", "covered");
	make_dir(f, "rootfs/real");
	assert_int_equal(symlink("/real", path_in(f, "rootfs/link")), 0);
	assert_int_equal(symlink("dir/file", path_in(f, "symlink")), 0);
	add_mount(f, "bind", "dir", "/new/dir"); /* relative to the bundle */
	add_mount(f, "bind", path_in(f, "file"), "/new/name");
	add_mount(f, "bind", path_in(f, "file"), "/etc/resolv");
	add_mount(f, "bind", "dir", "/link/sub"); /* an absolute link stays in the root */
	assert_int_equal(symlink("../run/systemd/resolve/stub", path_in(f, "rootfs/etc/dangling")),
			 0);
	assert_int_equal(symlink("late", path_in(f, "rootfs/loop")), 0);
	assert_int_equal(symlink("/run/late", path_in(f, "rootfs/late")), 0);
	add_mount(f, "bind", "file", "/etc/dangling");
	add_mount(f, "bind", "dir", "/loop/dir");
	add_mount(f, "bind", "not-there", "/missing")->optional = true;
	add_mount(f, "bind", "symlink", "/linked")->copy_symlink = true;
	assert_int_equal(run(f, NULL, check_targets), 0);
	f->spec.mount_count = 0;
	add_mount(f, "bind", "not-there", "/missing");
	assert_int_equal(run(f, NULL, NULL), 3);
	assert_non_null(strstr(f->err.message, "mount /missing"));
	f->spec.mount_count = 0;
	assert_int_equal(symlink("two", path_in(f, "rootfs/one")), 0);
	assert_int_equal(symlink("one", path_in(f, "rootfs/two")), 0);
	add_mount(f, "bind", "dir", "/one/x");
	assert_int_equal(run(f, NULL, NULL), 2);
	f->spec.mount_count = 0;
	add_mount(f, "bind", "file", "/etc"); /* a file does not go over a directory */
	assert_int_equal(run(f, NULL, NULL), 2);
	f->spec.mount_count = 0;
	/* Data means nothing to a bind mount: a warning, as mount(2) has always ignored it. */
	add_mount(f, "bind", "dir", "/etc")->data = "size=1";
	assert_int_equal(run(f, NULL, NULL), 0);
}

static void mount_tmpfs(struct fixture *f, const char *name, unsigned long propagation)
{
	make_dir(f, name);
	assert_int_equal(mount("tmpfs", path_in(f, name), "tmpfs", 0, NULL), 0);
	if (propagation)
		assert_int_equal(mount(NULL, path_in(f, name), NULL, propagation, NULL), 0);
}

static void check_attributes(struct rootfs *rootfs, struct fixture *f)
{
	static const char *const all[] = { "ro", "nosuid", "nodev", "noexec", "noatime" };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		CHECK(has_option("/top", all[i]));
		CHECK(has_option("/deep", all[i]) && has_option("/deep/sub", all[i]));
		CHECK(!has_option("/top/sub", all[i]) && !has_option("/mixed/sub", all[i]));
	}
	CHECK(has_option("/top", "nosymfollow") && has_option("/deep/sub", "nosymfollow"));
	CHECK(has_option("/top", "nodiratime"));
	CHECK(has_option("/top/sub", "rw") && has_option("/mixed", "ro"));
	CHECK(has_option("/mixed/sub", "rw"));
	CHECK(!*mount_line("/flat/sub"));
	CHECK(has_option("/undone", "rw") && !has_option("/undone", "nosuid"));
}

static void test_bind_attributes(void **state)
{
	struct fixture *f = *state;
	uint64_t all = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
		       MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME | MOUNT_ATTR_NOSYMFOLLOW |
		       MOUNT_ATTR_NODIRATIME;
	mount_tmpfs(f, "dir", 0);
	mount_tmpfs(f, "dir/sub", 0);
	struct oci_mount *m = add_mount(f, "bind", "dir", "/top");
	m->recursive_bind = true;
	m->attr_set = all;
	m->attr_clear = MOUNT_ATTR__ATIME;
	m = add_mount(f, "bind", "dir", "/deep");
	m->recursive_bind = true;
	m->rec_attr_set = all;
	m->rec_attr_clear = MOUNT_ATTR__ATIME;
	m = add_mount(f, "bind", "dir", "/mixed");
	m->recursive_bind = true;
	m->attr_set = MOUNT_ATTR_RDONLY;
	m->propagation = MS_PRIVATE | MS_REC;
	add_mount(f, "bind", "dir", "/flat");
	m = add_mount(f, "bind", "dir", "/undone");
	m->attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
	add_mount(f, NULL, NULL, "/undone")->remount = true;
	f->mounts[f->spec.mount_count - 1].attr_clear = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
	assert_int_equal(run(f, NULL, check_attributes), 0);
}

static void check_propagation(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(*mount_line("/none") && !strstr(mount_line("/none"), "shared:") &&
	      !strstr(mount_line("/none"), "master:"));
	CHECK(strstr(mount_line("/slave"), "master:") && !strstr(mount_line("/slave"), "shared:"));
	CHECK(strstr(mount_line("/slave/sub"), "master:"));
	CHECK(strstr(mount_line("/shared"), "shared:"));
	CHECK(strstr(mount_line("/top-slave"), "master:"));
	CHECK(!strstr(mount_line("/top-private/sub"), "master:") &&
	      !strstr(mount_line("/top-private/sub"), "shared:"));
	CHECK(strstr(mount_line("/unbindable"), "unbindable"));
	CHECK(strstr(mount_line("/tmp"), "shared:"));
}

static void test_propagation_of_mounts(void **state)
{
	struct fixture *f = *state;
	mount_tmpfs(f, "dir", MS_SHARED);
	mount_tmpfs(f, "dir/sub", MS_SHARED);
	add_mount(f, "bind", "dir", "/none")->recursive_bind = true;
	struct oci_mount *m = add_mount(f, "bind", "dir", "/slave");
	m->recursive_bind = true;
	m->propagation = MS_SLAVE | MS_REC;
	m = add_mount(f, "bind", "dir", "/shared");
	m->propagation = MS_SHARED;
	m = add_mount(f, "bind", "dir", "/top-slave");
	m->recursive_bind = true;
	m->propagation = MS_SLAVE;
	m = add_mount(f, "bind", "dir", "/top-private");
	m->recursive_bind = true;
	m->propagation = MS_PRIVATE;
	m = add_mount(f, "bind", "dir", "/unbindable");
	m->propagation = MS_UNBINDABLE;
	add_mount(f, "tmpfs", "tmpfs", "/tmp")->propagation = MS_SHARED;
	assert_int_equal(run(f, NULL, check_propagation), 0);
}

/* --- id mappings --- */

static void check_idmap(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(stat("/mapped/file", &st) == 0 && st.st_uid == 7000 && st.st_gid == 8000);
	CHECK(stat("/mapped/sub", &st) == 0 && st.st_uid == 0);
	CHECK(stat("/deep/sub/file", &st) == 0 && st.st_uid == 7000 && st.st_gid == 8000);
	CHECK(stat("/plain/file", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1000);
}

static void test_idmapped_binds(void **state)
{
	struct fixture *f = *state;
	struct oci_id_mapping uid[] = { { 1000, 7000, 10 } }, gid[] = { { 1000, 8000, 10 } };
	mount_tmpfs(f, "dir", 0);
	make_file(f, "dir/file", "");
	mount_tmpfs(f, "dir/sub", 0);
	make_file(f, "dir/sub/file", "");
	assert_int_equal(chown(path_in(f, "dir/file"), 1000, 1000), 0);
	assert_int_equal(chown(path_in(f, "dir/sub/file"), 1000, 1000), 0);
	struct oci_mount *m = add_mount(f, "bind", "dir", "/mapped");
	m->recursive_bind = m->idmap = true;
	m->mappings = (struct oci_id_map) { uid, 1, gid, 1 };
	m = add_mount(f, "bind", "dir", "/deep");
	m->recursive_bind = m->idmap = m->idmap_recursive = true;
	m->mappings = (struct oci_id_map) { uid, 1, gid, 1 };
	add_mount(f, "bind", "dir", "/plain");
	assert_int_equal(run(f, NULL, check_idmap), 0);
	f->spec.mount_count = 0;
	add_mount(f, "bind", "dir", "/mapped")->idmap = true; /* no mappings, no user namespace */
	assert_int_equal(run(f, NULL, NULL), 3);
}

/* --- new filesystems --- */

static void check_tmpfs(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	struct statfs fs;
	CHECK(stat("/sized", &st) == 0 && (st.st_mode & 07777) == 01770);
	CHECK(st.st_uid == 5 && st.st_gid == 6);
	CHECK(statfs("/sized", &fs) == 0 && fs.f_blocks * (uint64_t)fs.f_bsize == 65536);
	CHECK(fs.f_files == 32);
	CHECK(stat("/covers", &st) == 0 && (st.st_mode & 07777) == 02711);
	CHECK(strstr(mount_line("/sized"), " tmpfs named rw"));
	CHECK(has_option("/readonly", "ro") && has_option("/readonly/a/b", "rw"));
	CHECK(mkdir("/readonly/c", 0755) < 0 && errno == EROFS);
	CHECK(mkdir("/readonly/a/b/c", 0755) == 0);
	CHECK(has_option("/empty", "ro"));
	CHECK(has_option("/resized", "ro") && strstr(mount_line("/resized"), "size=128k"));
}

static void test_tmpfs_options(void **state)
{
	struct fixture *f = *state;
	make_dir(f, "rootfs/covers");
	assert_int_equal(chmod(path_in(f, "rootfs/covers"), 02711), 0);
	add_mount(f, "tmpfs", "named", "/sized")->data =
		"size=65536,mode=1770,nr_inodes=32,uid=5,gid=6";
	add_mount(f, "tmpfs", NULL, "/covers");
	/* Read-only, and yet something has to be made in it first. */
	add_mount(f, "tmpfs", "tmpfs", "/readonly")->attr_set = MOUNT_ATTR_RDONLY;
	add_mount(f, "tmpfs", "tmpfs", "/readonly/a/b");
	add_mount(f, "tmpfs", "tmpfs", "/empty")->attr_set = MOUNT_ATTR_RDONLY;
	add_mount(f, "tmpfs", "tmpfs", "/resized")->data = "size=64k";
	struct oci_mount *m = add_mount(f, "tmpfs", "tmpfs", "/resized");
	m->remount = true;
	m->data = "size=128k";
	m->sb_flags = MS_RDONLY;
	m->attr_set = MOUNT_ATTR_RDONLY;
	assert_int_equal(run(f, NULL, check_tmpfs), 0);
}

static void check_copy_up(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(is_type("/var", TMPFS_MAGIC) && has_option("/var", "ro"));
	CHECK(file_says("/var/file", "content"));
	CHECK(stat("/var/file", &st) == 0 && (st.st_mode & 07777) == 04750 && st.st_uid == 12);
	CHECK(st.st_mtime == 1000000000);
	CHECK(stat("/var/lib/deep", &st) == 0 && S_ISDIR(st.st_mode) &&
	      (st.st_mode & 07777) == 0711);
	CHECK(is_link("/var/link", "/etc/passwd"));
	CHECK(stat("/var/fifo", &st) == 0 && S_ISFIFO(st.st_mode));
}

static void test_tmpcopyup(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	make_dir(f, "rootfs/var/lib/deep");
	make_file(f, "rootfs/var/file", "content");
	assert_int_equal(chown(path_in(f, "rootfs/var/file"), 12, 13), 0);
	assert_int_equal(chmod(path_in(f, "rootfs/var/file"), 04750), 0);
	assert_int_equal(chmod(path_in(f, "rootfs/var/lib/deep"), 0711), 0);
	assert_int_equal(utimensat(AT_FDCWD, path_in(f, "rootfs/var/file"), times, 0), 0);
	assert_int_equal(symlink("/etc/passwd", path_in(f, "rootfs/var/link")), 0);
	assert_int_equal(mkfifo(path_in(f, "rootfs/var/fifo"), 0600), 0);
	struct oci_mount *m = add_mount(f, "tmpfs", "tmpfs", "/var");
	m->copy_up = true;
	m->attr_set = MOUNT_ATTR_RDONLY;
	assert_int_equal(run(f, NULL, check_copy_up), 0);
	/* The tmpfs's size bounds the copy. */
	m->data = "nr_inodes=3";
	assert_int_equal(run(f, NULL, NULL), 2);
	m->data = "";
	m->type = "ramfs";
	assert_int_equal(run(f, NULL, NULL), 2);
}

static void check_overlay(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(is_type("/merged", OVERLAYFS_SUPER_MAGIC) && is_type("/long", OVERLAYFS_SUPER_MAGIC));
	CHECK(file_says("/merged/file", "lower") && file_says("/long/file", "lower"));
	CHECK(has_option("/long", "ro") && has_option("/long", "nosuid"));
	CHECK(access("/merged/written", F_OK) < 0);
	CHECK(close(open("/merged/written", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
}

static void test_other_filesystems(void **state)
{
	struct fixture *f = *state;
	make_dir(f, "lower");
	make_dir(f, "upper");
	make_dir(f, "work");
	make_file(f, "lower/file", "lower");
	/* Longer than fsconfig(2) takes in one piece. */
	char *lower = arena_alloc(&f->arena, 2048);
	strcpy(lower, "lowerdir=");
	for (int i = 0; i < 12; i++) {
		char name[16];
		snprintf(name, sizeof(name), "lower-%d", i);
		make_dir(f, name);
		strcat(strcat(lower, path_in(f, name)), ":");
	}
	strcat(lower, path_in(f, "lower"));
	add_mount(f, "overlay", "overlay", "/merged")->data =
		arena_printf(&f->arena, "lowerdir=%s,upperdir=%s,workdir=%s", path_in(f, "lower"),
			     path_in(f, "upper"), path_in(f, "work"));
	struct oci_mount *m = add_mount(f, "overlay", "overlay", "/long");
	m->data = lower;
	m->attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY;
	assert_int_equal(run(f, NULL, check_overlay), 0);
	assert_int_equal(access(path_in(f, "upper/written"), F_OK), 0);
	static const struct {
		const char *type, *data;
	} refused[] = { { "nosuchfs", "" },
			{ "tmpfs", "size=x" },
			{ "tmpfs", "bogus" },
			{ NULL, "" },
			{ "none", "" } };
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		f->spec.mount_count = 0;
		add_mount(f, refused[i].type, "x", "/merged")->data = refused[i].data;
		assert_int_equal(run(f, NULL, NULL), 2);
	}
}

static void check_new_root(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(is_type("/", TMPFS_MAGIC) && access("/etc", F_OK) < 0);
	CHECK(is_type("/proc", PROC_SUPER_MAGIC));
	CHECK(is_device("/dev/null", S_IFCHR, 1, 3, 0666));
	CHECK(has_option("/", "ro"));
}

static void test_a_mount_replaces_the_root(void **state)
{
	struct fixture *f = *state;
	add_mount(f, "tmpfs", "tmpfs", "/")->attr_set = MOUNT_ATTR_RDONLY;
	add_mount(f, "proc", "proc", "/proc");
	assert_int_equal(run(f, NULL, check_new_root), 0);
}

/* --- the root itself --- */

static void check_readonly_root(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(has_option("/", "ro") && mkdir("/x", 0755) < 0 && errno == EROFS);
	CHECK(mkdir("/dev/x", 0755) == 0);
	CHECK(!strstr(mount_line("/"), "shared:") && !strstr(mount_line("/"), "master:"));
}

static void check_slave_root(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(strstr(mount_line("/"), "master:") && !strstr(mount_line("/"), "shared:"));
}

static void check_shared_root(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(strstr(mount_line("/"), "shared:") && !strstr(mount_line("/"), "master:"));
}

static void check_unbindable_root(struct rootfs *rootfs, struct fixture *f)
{
	CHECK(strstr(mount_line("/"), "unbindable"));
}

static void test_root_flags_and_propagation(void **state)
{
	struct fixture *f = *state;
	add_default_mounts(f);
	f->spec.root_readonly = true;
	assert_int_equal(run(f, NULL, check_readonly_root), 0);
	f->spec.root_readonly = false;
	mount_tmpfs(f, "rootfs", MS_SHARED);
	f->spec.rootfs_propagation = MS_SLAVE | MS_REC;
	assert_int_equal(run(f, NULL, check_slave_root), 0);
	f->spec.rootfs_propagation = MS_SHARED | MS_REC;
	assert_int_equal(run(f, NULL, check_shared_root), 0);
	f->spec.rootfs_propagation = MS_UNBINDABLE;
	assert_int_equal(run(f, NULL, check_unbindable_root), 0);
	f->spec.rootfs_propagation = MS_PRIVATE;
	f->spec.root_readonly = true;
	assert_int_equal(run(f, NULL, check_readonly_root), 0);
}

static void test_root_given_as_a_detached_mount(void **state)
{
	struct fixture *f = *state;
	int fsfd = sys_fsopen("tmpfs", 0);
	assert_int_equal(sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	f->request.rootfs_fd = sys_fsmount(fsfd, 0, 0);
	assert_true(f->request.rootfs_fd >= 0);
	f->spec.root_path = NULL;
	add_mount(f, "proc", "proc", "/proc");
	assert_int_equal(run(f, NULL, NULL), 0);
	close(fsfd);
	close(f->request.rootfs_fd);
	f->request.rootfs_fd = -1;
	assert_int_equal(run(f, NULL, NULL), 3); /* neither a mount nor a path */
}

/* --- masked and read-only paths --- */

static void check_masks(struct rootfs *rootfs, struct fixture *f)
{
	struct stat st;
	CHECK(stat("/etc/secret", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
	CHECK(stat("/proc/meminfo", &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(has_option("/proc/meminfo", "ro") && has_option("/etc/secret", "ro"));
	CHECK(is_type("/etc/dir", TMPFS_MAGIC) && has_option("/etc/dir", "ro"));
	CHECK(access("/etc/dir/file", F_OK) < 0);
	CHECK(is_type("/proc/fs", TMPFS_MAGIC) && has_option("/proc/fs", "ro"));
	CHECK(is_type("/proc/sys", PROC_SUPER_MAGIC) && has_option("/proc/sys", "ro"));
	CHECK(open("/proc/sys/kernel/hostname", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS);
	CHECK(has_option("/proc", "rw"));
}

static void test_masked_and_readonly_paths(void **state)
{
	struct fixture *f = *state;
	char secret[] = "/etc/secret", dir[] = "/etc/dir", meminfo[] = "/proc/meminfo",
	     fs[] = "/proc/fs", absent[] = "/no/such", odd[] = "/etc/secret/below";
	char *masked[] = { secret, dir, meminfo, fs, absent, odd, NULL };
	make_dir(f, "rootfs/etc/dir");
	make_file(f, "rootfs/etc/dir/file", "");
	make_file(f, "rootfs/etc/secret", "secret");
	add_default_mounts(f);
	f->spec.masked_paths = masked;
	f->spec.readonly_paths = list(f, "/proc/sys", "/no/such", NULL);
	assert_int_equal(run(f, NULL, check_masks), 0);
	/* Also where no /dev is mounted: the null device is then made in the root. */
	memmove(f->mounts + 1, f->mounts + 5, sizeof(f->mounts[0]));
	f->spec.mount_count = 2;
	assert_int_equal(run(f, NULL, check_masks), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bind_targets_are_made),
		TEST(test_bind_attributes),
		TEST(test_propagation_of_mounts),
		TEST(test_idmapped_binds),
		TEST(test_tmpfs_options),
		TEST(test_tmpcopyup),
		TEST(test_other_filesystems),
		TEST(test_a_mount_replaces_the_root),
		TEST(test_root_flags_and_propagation),
		TEST(test_root_given_as_a_detached_mount),
		TEST(test_masked_and_readonly_paths),
	};
	return FIXTURE_MAIN(tests);
}
