/* The overlay driver on a directory in /tmp: layers, roots, the trash. Needs root to mount. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/trash.h"
#include "storage/aufs.h"
#include "storage/config.h"
#include "storage/storage.h"
#include "sys/fs.h"

#define CHAIN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHAIN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
	char path[64];
	int root_fd, container_fd;
	const struct storage_ops *ops;
	struct storage *storage;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	str_format(f->path, sizeof(f->path), "/tmp/masu-storage-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->root_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs_mkdirs(f->root_fd, "containers/c1", 0700) < 0)
		return -1;
	f->container_fd = openat(f->root_fd, "containers/c1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->ops = storage_driver("overlay");
	*state = f;
	return f->ops->open(f->root_fd, &f->storage, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	f->ops->close(f->storage);
	close(f->container_fd);
	close(f->root_fd);
	int r = fs_remove_tree(AT_FDCWD, f->path);
	free(f);
	return r;
}

static void write_file(int dirfd, const char *name, const char *text)
{
	assert_int_equal(fs_write_atomic(dirfd, name, text, strlen(text), 0644, false), 0);
}

static void make_layer(struct fixture *f, const char *chain, const char *parent, const char *name)
{
	char staging[STORAGE_STAGING_MAX];
	struct masu_error err = { 0 };
	_cleanup_close_ int fd = -1;
	assert_int_equal(f->ops->layer_prepare(f->storage, parent, &fd, staging, &err), 0);
	write_file(fd, name, name);
	assert_int_equal(
		f->ops->layer_commit(
			f->storage,
			&(struct storage_layer) { .chain_id = chain, .parent = parent, .size = 7 },
			staging, &err),
		0);
}

static bool exists(struct fixture *f, const char *chain)
{
	bool ret = false;
	assert_int_equal(f->ops->layer_exists(f->storage, chain, &ret), 0);
	return ret;
}

static void test_names_are_exact(void **state)
{
	assert_non_null(storage_driver("overlay"));
	assert_null(storage_driver("overlay2"));
	assert_null(storage_driver("over"));
	assert_null(storage_driver(""));
	assert_string_equal(storage_driver_names()[0], "overlay");
}

static void test_config_is_read_as_written(void **state)
{
	struct fixture *f = *state;
	struct storage_config config = { 0 }, read;
	struct masu_error err = { 0 };
	char value[32];
	/* A root that has something in it has overlay. */
	assert_int_equal(storage_choose(f->root_fd, "vfs", &config, &err), -EEXIST);
	assert_int_equal(fs_remove_tree(f->root_fd, "containers"), 0);
	assert_int_equal(storage_config_read(f->root_fd, &read, NULL), 0);
	assert_false(read.recorded);
	assert_string_equal(read.driver, "overlay");
	assert_int_equal(storage_choose(f->root_fd, "nonsense", &read, &err), -EINVAL);
	assert_int_equal(storage_choose(f->root_fd, "vfs", &config, NULL), 0);
	assert_int_equal(storage_config_read(f->root_fd, &read, NULL), 0);
	assert_true(read.recorded);
	assert_string_equal(read.driver, "vfs");
	assert_string_equal(read.reason, "it was asked for");
	assert_int_equal(storage_choose(f->root_fd, NULL, &read, NULL), 0);
	assert_string_equal(read.driver, "vfs");
	assert_int_equal(storage_choose(f->root_fd, "overlay", &read, &err), -EEXIST);
	assert_non_null(strstr(err.message, "migrate overlay"));
	str_format(config.options, sizeof(config.options), "a=1\nlonger=two words\nb=");
	assert_int_equal(storage_config_write(f->root_fd, &config, NULL), 0);
	assert_int_equal(storage_config_read(f->root_fd, &read, NULL), 0);
	assert_true(storage_config_option(&read, "longer", value, sizeof(value)));
	assert_string_equal(value, "two words");
	assert_true(storage_config_option(&read, "b", value, sizeof(value)));
	assert_string_equal(value, "");
	assert_false(storage_config_option(&read, "long", value, sizeof(value)));
	write_file(f->root_fd, STORAGE_CONFIG, "{");
	assert_int_equal(storage_config_read(f->root_fd, &read, &err), -EBADMSG);
}

static void test_aufs_options_and_marks(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf options, many;
	const int layers[] = { 7, 8, 9 };
	int all[128];
	struct stat st;
	buf_init(&options, 0);
	buf_init(&many, 0);
	/* The writable branch, then the layers from the top. */
	assert_int_equal(aufs_options(5, layers, 3, &options), 0);
	assert_string_equal(buf_str(&options),
			    "br:/proc/self/fd/5=rw:/proc/self/fd/7=ro+wh:/proc/self/fd/8=ro+wh:"
			    "/proc/self/fd/9=ro+wh,xino=/dev/shm/.aufs.xino,dio,udba=none");
	for (int i = 0; i < 128; i++)
		all[i] = 100 + i;
	assert_int_equal(aufs_options(-1, all, 128, &many), 0);
	assert_int_equal(fs_mkdirs(f->root_fd, "tree/opaque", 0755), 0);
	_cleanup_close_ int tree = openat(f->root_fd, "tree", O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int opaque = openat(tree, "opaque", O_RDONLY | O_DIRECTORY);
	assert_int_equal(mknodat(opaque, "gone", S_IFCHR, 0), 0);
	assert_int_equal(fsetxattr(opaque, "trusted.overlay.opaque", "y", 1, 0), 0);
	write_file(tree, "stays", "x");
	assert_int_equal(aufs_convert(tree), 0);
	assert_int_equal(fstatat(opaque, "gone", &st, 0), -1);
	assert_int_equal(fstatat(opaque, ".wh.gone", &st, 0), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fstatat(opaque, ".wh..wh..opq", &st, 0), 0);
	assert_int_equal(fgetxattr(opaque, "trusted.overlay.opaque", NULL, 0), -1);
	assert_int_equal(fstatat(tree, "stays", &st, 0), 0);
}

static void test_layers_live_and_die(void **state)
{
	struct fixture *f = *state;
	uint64_t size = 0;
	assert_false(exists(f, CHAIN_A));
	make_layer(f, CHAIN_A, NULL, "a");
	assert_true(exists(f, CHAIN_A));
	assert_int_equal(f->ops->layer_size(f->storage, CHAIN_A, &size), 0);
	assert_int_equal(size, 7);
	make_layer(f, CHAIN_A, NULL, "a"); /* the same again is no error */
	assert_int_equal(f->ops->layer_remove(f->storage, CHAIN_A, NULL), 0);
	assert_false(exists(f, CHAIN_A));
	assert_int_equal(f->ops->layer_restore(f->storage, CHAIN_A), 0);
	assert_true(exists(f, CHAIN_A));
	assert_int_equal(f->ops->layer_remove(f->storage, CHAIN_A, NULL), 0);
	assert_int_equal(trash_empty(f->root_fd, 0), 0);
	assert_int_equal(f->ops->layer_restore(f->storage, CHAIN_A), -ENOENT);
}

static void test_only_chain_ids_are_names(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "", "..", "a/b", CHAIN_A "a",
					   "../../../../../../../../../../../../../../../../../"
					   "../../../../xx" };
	bool ret;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char staging[STORAGE_STAGING_MAX];
		int fd;
		assert_int_equal(f->ops->layer_exists(f->storage, bad[i], &ret), -EINVAL);
		assert_int_equal(f->ops->layer_remove(f->storage, bad[i], NULL), -EINVAL);
		assert_int_equal(f->ops->layer_prepare(f->storage, bad[i], &fd, staging, NULL),
				 -EINVAL);
	}
}

static void test_sweep_spares_the_living(void **state)
{
	struct fixture *f = *state;
	char alive[STORAGE_STAGING_MAX], dead[STORAGE_STAGING_MAX], path[256];
	int alive_fd = -1, dead_fd = -1;
	assert_int_equal(f->ops->layer_prepare(f->storage, NULL, &alive_fd, alive, NULL), 0);
	assert_int_equal(f->ops->layer_prepare(f->storage, NULL, &dead_fd, dead, NULL), 0);
	close(dead_fd);
	assert_int_equal(f->ops->layer_sweep(f->storage), 0);
	str_format(path, sizeof(path), "layers/overlay/.staging/%s", dead);
	assert_int_equal(faccessat(f->root_fd, path, F_OK, 0), -1);
	assert_int_equal(f->ops->layer_commit(f->storage,
					      &(struct storage_layer) { .chain_id = CHAIN_A },
					      alive, NULL),
			 0);
	close(alive_fd);
}

static int mount_c1(struct fixture *f, const char *const *chains, size_t count, unsigned flags,
		    struct masu_error *err)
{
	struct storage_mount_request r = { .container_id = "c1",
					   .container_fd = f->container_fd,
					   .chain_ids = chains,
					   .chain_count = count,
					   .flags = flags };
	int fd = -1;
	int result = flags & STORAGE_READONLY ? 0 : f->ops->create(f->storage, &r, err);
	if (result == 0 || result == -EEXIST)
		result = f->ops->mount(f->storage, &r, &fd, err);
	return result < 0 ? result : fd;
}

static void test_roots(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	struct stat st;
	uint64_t bytes, inodes;
	char path[128];
	static const char *const chains[] = { CHAIN_A, CHAIN_B };
	if (geteuid() != 0)
		skip();
	str_format(path, sizeof(path), "%s/containers/c1/overlay", f->path);
	make_layer(f, CHAIN_A, NULL, "a");
	make_layer(f, CHAIN_B, CHAIN_A, "b");
	assert_int_equal(fchmodat(f->root_fd, "layers/overlay/" CHAIN_B "/diff", 01751, 0), 0);
	_cleanup_close_ int fd = mount_c1(f, chains, 2, STORAGE_VOLATILE, &err);
	if (fd == -EPERM)
		skip();
	assert_string_equal(err.message, "");
	assert_int_equal(faccessat(fd, "a", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "b", F_OK, 0), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01751);
	write_file(fd, "new", "12345");
	assert_int_equal(linkat(fd, "new", fd, "second", 0), 0);
	assert_int_equal(f->ops->usage(f->storage, f->container_fd, &bytes, &inodes, &err), 0);
	assert_int_equal(bytes, 5); /* one file of two names */
	assert_int_equal(inodes, 2);
	close(take_fd(&fd));
	/* Not after the machine went down, unless who says so takes the kernel's mark away. */
	assert_int_equal(setxattr(path, "trusted.masu.boot", "another", 7, 0), 0);
	assert_int_equal(mount_c1(f, chains, 2, STORAGE_VOLATILE, &err), -ESTALE);
	assert_non_null(strstr(err.message, "went down"));
	assert_int_equal(fs_remove_tree(f->container_fd, "overlay/work/work/incompat"), 0);
	fd = mount_c1(f, chains, 2, STORAGE_VOLATILE, &err);
	assert_true(fd >= 0);
	close(take_fd(&fd));
	/* A second mount of a volatile layer works, which overlay itself refuses. */
	fd = mount_c1(f, chains, 2, STORAGE_VOLATILE, &err);
	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "new", F_OK, 0), 0);
	assert_int_equal(f->ops->remove(f->storage, "c1", f->container_fd, &err), 0);
	assert_int_equal(f->ops->remove(f->storage, "c1", f->container_fd, &err), 0);
	assert_int_equal(faccessat(f->root_fd, "trash/c1/upper/new", F_OK, 0), 0);
	close(take_fd(&fd));
	assert_int_equal(trash_empty(f->root_fd, 0), 0);
	assert_int_equal(faccessat(f->root_fd, "trash/c1", F_OK, 0), -1);
}

static void test_roots_of_no_and_many_layers(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	static char names[STORAGE_MAX_LAYERS][65];
	const char *chains[STORAGE_MAX_LAYERS + 1] = { NULL };
	if (geteuid() != 0)
		skip();
	int fd = mount_c1(f, NULL, 0, 0, &err);
	if (fd == -EPERM)
		skip();
	assert_true(fd >= 0);
	close(fd);
	for (unsigned i = 0; i < STORAGE_MAX_LAYERS; i++) {
		char path[128];
		str_format(names[i], sizeof(names[i]), "%064x", i + 1);
		str_format(path, sizeof(path), "layers/overlay/%s/diff", names[i]);
		assert_int_equal(fs_mkdirs(f->root_fd, path, 0755), 0);
		chains[i] = names[i];
	}
	fd = mount_c1(f, chains, STORAGE_MAX_LAYERS, 0, &err);
	assert_string_equal(err.message, "container c1: writable layer: File exists");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(mount_c1(f, chains, STORAGE_MAX_LAYERS + 1, STORAGE_READONLY, &err),
			 -E2BIG);
	fd = mount_c1(f, chains, 1, STORAGE_READONLY, &err);
	assert_true(fd >= 0);
	assert_int_equal(openat(fd, "x", O_CREAT | O_WRONLY, 0600), -1);
	assert_int_equal(errno, EROFS);
	close(fd);
	chains[0] = CHAIN_A;
	assert_int_equal(mount_c1(f, chains, 3, STORAGE_READONLY, &err), -ENOENT);
}

/* Kernels before 6.8 know no lowerdir+: all layers go into one option, which is short. */
static void test_roots_on_older_kernels(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	static char names[STORAGE_MAX_LAYERS][65];
	const char *chains[STORAGE_MAX_LAYERS];
	char before[256], after[256];
	if (geteuid() != 0)
		skip();
	for (unsigned i = 0; i < STORAGE_MAX_LAYERS; i++) {
		char path[128];
		str_format(names[i], sizeof(names[i]), "%064x", i + 1);
		str_format(path, sizeof(path), "layers/overlay/%s/diff/%u", names[i], i);
		assert_int_equal(fs_mkdirs(f->root_fd, path, 0755), 0);
		chains[i] = names[i];
	}
	setenv("MASU_TEST_WITHOUT", "overlay-append", 1);
	assert_non_null(getcwd(before, sizeof(before)));
	int fd = mount_c1(f, chains, 60, 0, &err);
	assert_string_equal(err.message, "");
	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "0", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "59", F_OK, 0), 0);
	close(fd);
	assert_int_equal(mount_c1(f, chains, STORAGE_MAX_LAYERS, STORAGE_READONLY, &err), -E2BIG);
	assert_non_null(strstr(err.message, "too many for this kernel"));
	assert_non_null(getcwd(after, sizeof(after)));
	assert_string_equal(before, after);
	fd = mount_c1(f, NULL, 0, 0, &err);
	assert_true(fd >= 0);
	close(fd);
	unsetenv("MASU_TEST_WITHOUT");
}

static void test_trash_is_bounded_and_deep(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(trash_empty(f->root_fd, 0), 0);
	assert_int_equal(fs_mkdirs(f->root_fd, "trash/x/y", 0700), 0);
	_cleanup_close_ int dir = openat(f->root_fd, "trash/x", O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < 20; i++) {
		char name[16];
		str_format(name, sizeof(name), "f%u", i);
		write_file(dir, name, "");
	}
	assert_int_equal(trash_empty(f->root_fd, 5), 0);
	assert_int_equal(faccessat(f->root_fd, "trash/x", F_OK, 0), 0);
	int at = dup(dir);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	/* Somebody else is at it: nothing to do, no error. */
	_cleanup_close_ int trash = openat(f->root_fd, "trash", O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(trash, LOCK_EX), 0);
	assert_int_equal(trash_empty(f->root_fd, 0), 0);
	assert_int_equal(faccessat(f->root_fd, "trash/x", F_OK, 0), 0);
	assert_int_equal(flock(trash, LOCK_UN), 0);
	assert_int_equal(trash_empty(f->root_fd, 0), 0);
	assert_int_equal(unlinkat(f->root_fd, "trash", AT_REMOVEDIR), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_exact),
		cmocka_unit_test_setup_teardown(test_config_is_read_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_aufs_options_and_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers_live_and_die, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_chain_ids_are_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep_spares_the_living, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots_of_no_and_many_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots_on_older_kernels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trash_is_bounded_and_deep, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
