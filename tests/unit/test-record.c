/* Records on disk: whole or absent, locked, listed, swept. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "state/record.h"
#include "sys/fs.h"

static char root[64];
static int root_fd;

static int setup(void **state)
{
	struct masu_error err = { 0 };
	snprintf(root, sizeof(root), "/tmp/masu-record-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	char path[128];
	snprintf(path, sizeof(path), "%s/a/b", root);
	return state_open_root(path, &root_fd, &err);
}

static int teardown(void **state)
{
	close(root_fd);
	return fs_remove_tree(AT_FDCWD, root);
}

static void write_text(const char *name, const char *text, bool durable)
{
	_cleanup_buf_ struct buf document = { 0 };
	struct masu_error err = { 0 };
	buf_puts(&document, text);
	assert_int_equal(record_write(root_fd, name, &document, durable, &err), 0);
}

static void test_root_has_its_folders(void **state)
{
	struct stat st;
	assert_int_equal(fstatat(root_fd, "containers", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(root_fd, "trash", &st, 0), 0);
	assert_int_equal(fstat(root_fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	char path[128];
	int fd;
	struct masu_error err = { 0 };
	snprintf(path, sizeof(path), "%s/a/b", root);
	assert_int_equal(state_open_root(path, &fd, &err), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/run", root);
	assert_int_equal(state_open_runroot(path, &fd, &err), 0);
	assert_int_equal(fstatat(fd, "containers", &st, 0), 0);
	close(fd);
	assert_int_equal(state_open_root("/dev/null", &fd, &err), -ENOTDIR);
	assert_non_null(strstr(err.message, "/dev/null"));
}

static void test_write_and_read(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *record = NULL;
	struct masu_error err = { 0 };
	assert_int_equal(record_read(root_fd, "r.json", &arena, &record, &err), -ENOENT);
	assert_string_equal(err.message, "");
	write_text("r.json", "{\"a\":1}", true);
	write_text("r.json", "{\"a\":2}", false);
	assert_int_equal(record_read(root_fd, "r.json", &arena, &record, &err), 0);
	assert_string_equal(json_get(record, "a")->text, "2");
	struct stat st;
	assert_int_equal(fstatat(root_fd, "r.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	write_text("r.json", "{\"a\":", false);
	assert_int_equal(record_read(root_fd, "r.json", &arena, &record, &err), -EINVAL);
	assert_non_null(strstr(err.message, "r.json: JSON line 1"));
	/* Never blocks on what is no file. */
	assert_int_equal(mkfifoat(root_fd, "fifo", 0600), 0);
	assert_int_equal(record_read(root_fd, "fifo", &arena, &record, &err), -EINVAL);
	unlinkat(root_fd, "fifo", 0);
	/* A document that failed to build is not written. */
	_cleanup_buf_ struct buf broken;
	buf_init(&broken, 4);
	buf_puts(&broken, "12345");
	assert_int_equal(record_write(root_fd, "broken", &broken, false, &err), -E2BIG);
	assert_int_equal(record_read(root_fd, "broken", &arena, &record, &err), -ENOENT);
}

static void test_locks(void **state)
{
	struct masu_error err = { 0 };
	_cleanup_close_ int shared = record_lock(root_fd, RECORD_LOCK_SHARED, &err);
	assert_true(shared >= 0);
	_cleanup_close_ int second = record_try_lock(root_fd, RECORD_LOCK_SHARED);
	assert_true(second >= 0);
	assert_int_equal(record_try_lock(root_fd, RECORD_LOCK_EXCLUSIVE), -EWOULDBLOCK);
	close(take_fd(&shared));
	close(take_fd(&second));
	_cleanup_close_ int exclusive = record_try_lock(root_fd, RECORD_LOCK_EXCLUSIVE);
	assert_true(exclusive >= 0);
	assert_int_equal(record_try_lock(root_fd, RECORD_LOCK_SHARED), -EWOULDBLOCK);
}

static void test_list(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct masu_error err = { 0 };
	const char **names;
	size_t count;
	_cleanup_close_ int dir = openat(root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(record_list(dir, &arena, &names, &count, &err), 0);
	assert_int_equal(count, 0);
	assert_null(names[0]);
	for (int i = 99; i >= 0; i--) {
		char name[8];
		snprintf(name, sizeof(name), "c%02d", i);
		assert_int_equal(mkdirat(dir, name, 0700), 0);
	}
	mkdirat(dir, ".hidden", 0700);
	close(openat(dir, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(symlinkat("c00", dir, "link"), 0);
	assert_int_equal(record_list(dir, &arena, &names, &count, &err), 0);
	assert_int_equal(count, 100);
	assert_string_equal(names[0], "c00");
	assert_string_equal(names[99], "c99");
	assert_null(names[100]);
}

static void test_sweep(void **state)
{
	static const char *const files[] = { ".tmp-old", ".tmp-new", "old" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		close(openat(root_fd, files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	struct timespec old[2] = { { .tv_sec = time(NULL) - 3600 },
				   { .tv_sec = time(NULL) - 3600 } };
	utimensat(root_fd, ".tmp-old", old, 0);
	utimensat(root_fd, "old", old, 0);
	assert_int_equal(record_sweep(root_fd, RECORD_SWEEP_AGE), 0);
	assert_int_equal(faccessat(root_fd, ".tmp-old", F_OK, 0), -1);
	assert_int_equal(faccessat(root_fd, ".tmp-new", F_OK, 0), 0);
	assert_int_equal(faccessat(root_fd, "old", F_OK, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_has_its_folders),
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_sweep),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
