/* Filters from compiler or cache into the kernel; the compiler is the real masu-seccomp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/seccomp.h"
#include "sys/fs.h"

#define DOCKER_CAPS UINT64_C(0xa80425fb)

struct fixture {
	char dir[64], cache[96];
	struct arena arena;
	struct masu_error err;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	strcpy(f->dir, "/tmp/masu-seccomp-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/a/cache", f->dir);
	arena_init(&f->arena, 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	fs_remove_tree(AT_FDCWD, f->dir);
	arena_free(&f->arena);
	free(f);
	return 0;
}

static void configure(const char *cache, const char *compiler)
{
	const struct seccomp_environment environment = { .cache_dir = cache, .compiler = compiler };
	seccomp_configure(&environment);
}

static struct oci_seccomp section(const char *text)
{
	return (struct oci_seccomp) { .present = true, .source = text, .source_len = strlen(text) };
}

static struct seccomp_filter *prepare(struct fixture *f, const struct oci_seccomp *s)
{
	struct seccomp_filter *filter = NULL;
	if (seccomp_prepare(&f->arena, s, &filter, &f->err) < 0)
		fail_msg("%s", f->err.message);
	return filter;
}

/* Loads the filter in a child that then runs @probe; the child's exit status. */
static int under(const struct seccomp_filter *filter, int (*probe)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int listener = -1;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    seccomp_enter(filter, &listener, NULL) < 0 ||
		    seccomp_has_listener(filter) != (listener >= 0))
			_exit(99);
		_exit(probe());
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int probe_default_policy(void)
{
	if (syscall(SYS_mount, "x", "/", "x", 0, NULL) == 0 || errno != EPERM)
		return 1;
	if (socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 2;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return 3;
	if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
		return 4;
	if (personality(0xffffffff) < 0)
		return 5;
	if (personality(ADDR_NO_RANDOMIZE) >= 0 || errno != EPERM)
		return 6;
	if (syscall(4000) >= 0 || errno != ENOSYS)
		return 7;
	return getpid() > 0 ? 0 : 8;
}

static void test_default_policy_in_the_kernel(void **state)
{
	struct fixture *f = *state;
	const char *text;
	size_t len;
	configure(f->cache, MASU_SECCOMP);
	assert_int_equal(seccomp_default_section(&f->arena, DOCKER_CAPS, &text, &len, &f->err), 0);
	struct oci_seccomp s = { .present = true, .source = text, .source_len = len };
	assert_int_equal(under(prepare(f, &s), probe_default_policy), 0);
	/* and once more, from the cache: without a compiler that works */
	struct stat st;
	assert_int_equal(stat(f->cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(under(prepare(f, &s), probe_default_policy), 0);
}

static int probe_getppid(void)
{
	return syscall(SYS_getppid) < 0 ? errno : 0;
}

static const char refuse_getppid[] =
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getppid\"],"
	"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77}]}";

/* Path of the only file in the cache. */
static void cache_entry(struct fixture *f, char *path, size_t size)
{
	_cleanup_closedir_ DIR *dir = opendir(f->cache);
	unsigned found = 0;
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.') {
			snprintf(path, size, "%s/%s", f->cache, entry->d_name);
			found++;
		}
	assert_int_equal(found, 1);
}

static void overwrite(const char *path, off_t at, const void *data, size_t len)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, data, len, at), (ssize_t)len);
}

/* The instruction that returns the errno, which shows which copy was loaded. */
static off_t find_errno(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint32_t word;
	for (off_t at = 0; pread(fd, &word, 4, at) == 4; at += 4)
		if (word == (SECCOMP_RET_ERRNO | 77))
			return at;
	fail_msg("no such instruction");
	return 0;
}

static void test_cache_is_used_and_checked(void **state)
{
	struct fixture *f = *state;
	struct oci_seccomp s = section(refuse_getppid);
	char path[512];
	configure(f->cache, MASU_SECCOMP);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
	cache_entry(f, path, sizeof(path));
	uint32_t changed = SECCOMP_RET_ERRNO | 78;
	off_t at = find_errno(path);
	overwrite(path, at, &changed, sizeof(changed));
	assert_int_equal(under(prepare(f, &s), probe_getppid), 78); /* so it is what is loaded */

	/* Writable by others: not believed, and made anew. */
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* Another section of the same hash: the text decides. */
	overwrite(path, at, &changed, sizeof(changed));
	assert_int_equal(stat(path, &st), 0);
	overwrite(path, st.st_size - 1, "]", 1);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);

	/* Cut short, and of another compiler. */
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
	overwrite(path, at, &changed, sizeof(changed));
	overwrite(path, 24, "\1\2\3", 3);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
}

static void test_works_without_a_cache(void **state)
{
	struct fixture *f = *state;
	struct oci_seccomp s = section(refuse_getppid);
	configure(NULL, MASU_SECCOMP);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
	configure("/proc/no/such", MASU_SECCOMP);
	assert_int_equal(under(prepare(f, &s), probe_getppid), 77);
}

static void test_absent_section_is_no_filter(void **state)
{
	struct fixture *f = *state;
	struct oci_seccomp s = { 0 };
	assert_null(prepare(f, &s));
	assert_false(seccomp_has_listener(NULL));
}

static int probe_write_allowed(void)
{
	return write(STDERR_FILENO, "", 0) == 0 ? 0 : 1;
}

static void test_flags_and_listener(void **state)
{
	struct fixture *f = *state;
	static const char text[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getppid\"],"
		"\"action\":\"SCMP_ACT_NOTIFY\"}],\"listenerPath\":\"/x\"}";
	struct oci_seccomp s = section(text);
	struct seccomp_filter *filter = NULL;
	configure(f->cache, MASU_SECCOMP);
	assert_int_equal(seccomp_prepare(&f->arena, &s, &filter, &f->err), -EINVAL);
	assert_non_null(strstr(f->err.message, "listenerPath"));
	s.listener_path = "/x";
	s.flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
		  SECCOMP_FILTER_FLAG_SPEC_ALLOW | 1u << 5 /* WAIT_KILLABLE_RECV */;
	filter = prepare(f, &s);
	assert_true(seccomp_has_listener(filter));
	assert_int_equal(under(filter, probe_write_allowed), 0);

	struct oci_seccomp plain = section(refuse_getppid);
	plain.flags = s.flags;
	filter = prepare(f, &plain);
	assert_false(seccomp_has_listener(filter));
	assert_int_equal(under(filter, probe_getppid), 77);
}

static void test_errors_say_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct seccomp_filter *filter = NULL;
	struct oci_seccomp s = section("{\"defaultAction\":\"SCMP_ACT_PANIC\"}");
	configure(f->cache, MASU_SECCOMP);
	assert_int_equal(seccomp_prepare(&f->arena, &s, &filter, &f->err), -EINVAL);
	assert_string_equal(f->err.message,
			    "seccomp: defaultAction: unknown action \"SCMP_ACT_PANIC\"");
	configure(f->cache, "/no/such/masu-seccomp");
	assert_int_equal(seccomp_prepare(&f->arena, &s, &filter, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.message, "/no/such/masu-seccomp"));
	configure(f->cache, "/bin/false");
	assert_true(seccomp_prepare(&f->arena, &s, &filter, &f->err) < 0);
	configure(f->cache, "/bin/true");
	assert_int_equal(seccomp_prepare(&f->arena, &s, &filter, &f->err), -EPROTO);
	assert_null(filter);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_default_policy_in_the_kernel), TEST(test_cache_is_used_and_checked),
		TEST(test_works_without_a_cache),	 TEST(test_absent_section_is_no_filter),
		TEST(test_flags_and_listener),		 TEST(test_errors_say_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
