/*
 * The boxes of masu-image: what a decoder or writer could still do if its code were somebody
 * else's. Each probe runs in a child that enters the box first. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/sandbox.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define KILLED (-SIGSYS)

enum box { DECODER, INDEXER, WRITER };

static int pipe_fds[2], secret_fd, layer_fd, index_fd;
static char dir[64];

/* Runs @probe boxed; its return value as the status, or minus the signal that ended it. */
static int boxed(enum box box, int (*probe)(void))
{
	struct masu_error err = { 0 };
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const int fds[] = { pipe_fds[1], layer_fd }, files[] = { pipe_fds[1], index_fd };
		int r = box == WRITER	 ? sandbox_writer(layer_fd, fds, 2, &err)
			: box == INDEXER ? sandbox_indexer(files, 2, &err)
					 : sandbox_decoder(fds, 1, &err);
		_exit(r < 0 ? 99 : probe());
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int probe_nothing(void)
{
	return 0;
}

static int probe_write(void)
{
	return write(pipe_fds[1], "x", 1) == 1 ? 0 : errno;
}

static int probe_other_fd(void)
{
	char c;
	return read(secret_fd, &c, 1) < 0 ? errno : 0;
}

static int probe_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int probe_exec(void)
{
	execl("/bin/true", "true", NULL);
	return errno;
}

static int probe_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);
	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int probe_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL) < 0 ? errno : 0;
}

static int probe_setuid(void)
{
	return setuid(0) < 0 ? errno : 0;
}

static int probe_ptrace(void)
{
	return syscall(SYS_ptrace, 0, 0, 0, 0) < 0 ? errno : 0;
}

static int probe_rename(void)
{
	return syscall(SYS_rename, "/a", "/b") < 0 ? errno : 0;
}

/* Under a sanitizer, whose runtime reads files, opening is not refused by the filter. */
static int probe_open_raw(void)
{
	int fd = (int)syscall(SYS_open, "/etc/passwd", O_RDONLY);
	return fd < 0 ? errno : 0;
}

static int probe_open_outside(void)
{
	static const char *const ways[] = { "/etc/passwd", "../../../etc/passwd", "/../etc/passwd",
					    "/proc/self/root/etc/passwd" };
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (openat(AT_FDCWD, ways[i], O_RDONLY) >= 0)
			return 0;
	return errno;
}

/* Landlock: even a file of its own may not be read back. */
static int probe_read_inside(void)
{
	int fd = openat(layer_fd, "own", O_CREAT | O_WRONLY, 0600);
	if (fd < 0)
		return 98;
	close(fd);
	return openat(layer_fd, "own", O_RDONLY) < 0 ? errno : 0;
}

static int probe_make(void)
{
	if (mkdirat(layer_fd, "d", 0755) < 0 || mknodat(layer_fd, "null", S_IFCHR, 0x103) < 0 ||
	    fchownat(layer_fd, "d", 5, 6, 0) < 0 || symlinkat("x", layer_fd, "s") < 0)
		return errno;
	return 0;
}

static int probe_trusted(void)
{
	int fd = openat(layer_fd, ".", O_RDONLY | O_DIRECTORY);
	return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? errno : 0;
}

static int probe_above(void)
{
	int fd = sys_openat2(layer_fd, "..", O_RDONLY | O_DIRECTORY, 0, 0);
	struct stat above, own;
	if (fd < 0)
		return -fd;
	/* The root's parent is the root. */
	return fstat(fd, &above) == 0 && fstat(layer_fd, &own) == 0 && above.st_ino == own.st_ino
		       ? EACCES
		       : 0;
}

static int probe_write_index(void)
{
	return pwrite(index_fd, "index", 5, 4096) == 5 && lseek(index_fd, 0, SEEK_SET) == 0 ? 0
											    : errno;
}

static int probe_layer_fd(void)
{
	return mkdirat(layer_fd, "made", 0755) < 0 ? errno : 0;
}

static int probe_chown(void)
{
	return fchown(index_fd, 1, 1) < 0 ? errno : 0;
}

static int setup(void **state)
{
	if (geteuid() != 0)
		return 0;
	str_format(dir, sizeof(dir), "/tmp/masu-sandbox-XXXXXX");
	if (!mkdtemp(dir) || pipe(pipe_fds) < 0)
		return -1;
	layer_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	secret_fd = open("/etc/passwd", O_RDONLY);
	index_fd = memfd_create("index", MFD_CLOEXEC);
	return layer_fd < 0 || secret_fd < 0 || index_fd < 0;
}

static int teardown(void **state)
{
	return geteuid() == 0 ? fs_remove_tree(AT_FDCWD, dir) : 0;
}

static void test_decoder(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(boxed(DECODER, probe_nothing), 0);
	assert_int_equal(boxed(DECODER, probe_write), 0);
	assert_int_equal(boxed(DECODER, probe_other_fd), EBADF);
	assert_int_equal(boxed(DECODER, probe_open_raw), KILLED);
	assert_int_equal(boxed(DECODER, probe_socket), KILLED);
	assert_int_equal(boxed(DECODER, probe_exec), KILLED);
	assert_int_equal(boxed(DECODER, probe_fork), KILLED);
	assert_int_equal(boxed(DECODER, probe_mount), KILLED);
	assert_int_equal(boxed(DECODER, probe_setuid), KILLED);
	assert_int_equal(boxed(DECODER, probe_ptrace), KILLED);
	assert_int_equal(boxed(DECODER, probe_rename), KILLED);
}

/* Its files are written wherever it wants; nothing else is there, not even the layer's directory.
 */
static void test_indexer(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(boxed(INDEXER, probe_nothing), 0);
	assert_int_equal(boxed(INDEXER, probe_write), 0);
	assert_int_equal(boxed(INDEXER, probe_write_index), 0);
	assert_int_equal(boxed(INDEXER, probe_other_fd), EBADF);
	assert_int_equal(boxed(INDEXER, probe_layer_fd), KILLED);
	assert_int_equal(boxed(INDEXER, probe_make), KILLED);
	assert_int_equal(boxed(INDEXER, probe_chown), KILLED);
	assert_int_equal(boxed(INDEXER, probe_open_raw), KILLED);
	assert_int_equal(boxed(INDEXER, probe_above), KILLED);
	assert_int_equal(boxed(INDEXER, probe_socket), KILLED);
	assert_int_equal(boxed(INDEXER, probe_exec), KILLED);
	assert_int_equal(boxed(INDEXER, probe_fork), KILLED);
	assert_int_equal(boxed(INDEXER, probe_mount), KILLED);
	assert_int_equal(boxed(INDEXER, probe_setuid), KILLED);
	assert_int_equal(boxed(INDEXER, probe_ptrace), KILLED);
	assert_int_equal(boxed(INDEXER, probe_rename), KILLED);
}

static void test_writer(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(boxed(WRITER, probe_nothing), 0);
	assert_int_equal(boxed(WRITER, probe_make), 0);
	assert_int_equal(boxed(WRITER, probe_other_fd), EBADF);
	assert_true(boxed(WRITER, probe_open_outside) > 0);
	assert_int_equal(boxed(WRITER, probe_read_inside), EACCES);
	assert_int_equal(boxed(WRITER, probe_above), EACCES);
	assert_int_equal(boxed(WRITER, probe_trusted), EPERM);
	assert_int_equal(boxed(WRITER, probe_socket), KILLED);
	assert_int_equal(boxed(WRITER, probe_exec), KILLED);
	assert_int_equal(boxed(WRITER, probe_fork), KILLED);
	assert_int_equal(boxed(WRITER, probe_mount), KILLED);
	assert_int_equal(boxed(WRITER, probe_setuid), KILLED);
	assert_int_equal(boxed(WRITER, probe_ptrace), KILLED);
	assert_int_equal(boxed(WRITER, probe_rename), KILLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoder),
		cmocka_unit_test(test_indexer),
		cmocka_unit_test(test_writer),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
