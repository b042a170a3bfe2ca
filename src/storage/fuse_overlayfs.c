/*
 * The fuse-overlayfs driver: Debian's program of that name in the place of the kernel's overlay,
 * for kernels and roots that have none. It is a process by its nature: one for each mounted
 * container, started when the root is mounted; it goes when that is, whoever holds it last. Layers
 * and containers lie as with overlay.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "storage/drivers.h"
#include "storage/overlay.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define OPTIONS_MAX 65536
#define MAX_DEPTH   512
#define MESSAGE_MAX 512
#define PLACE	    "overlay/merged" /* where it is mounted for as long as it takes to move it */

static const char *find_program(void)
{
	static const char *const places[] = { "/usr/bin/fuse-overlayfs",
					      "/usr/local/bin/fuse-overlayfs",
					      "/bin/fuse-overlayfs" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

static bool supported(int root_fd, const char **reason)
{
	if (!find_program())
		*reason = "the program fuse-overlayfs is not installed";
	else if (access("/dev/fuse", R_OK | W_OK) < 0)
		*reason = "there is no /dev/fuse; load the module fuse";
	else if (fs_is_type(root_fd, OVERLAYFS_SUPER_MAGIC) || fs_is_type(root_fd, NFS_SUPER_MAGIC))
		*reason = "the filesystem of --root cannot hold what hides a name (a device 0:0)";
	else
		return true;
	return false;
}

static int open_fuse(int root_fd, struct storage **ret, struct masu_error *err)
{
	int r = overlay_open_layers(root_fd, OVERLAY_DIR, ret, err);
	if (r == 0)
		(*ret)->opaque_files = true;
	return r;
}

/* The program marks opaque directories by two files, where the kernel takes an attribute alone. */
static int settle(int fd, unsigned depth)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	struct stat st;
	size_t count;
	arena_init(&arena, 256u << 20);
	int r = depth > MAX_DEPTH ? -ELOOP : fs_names(fd, &arena, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (streq(names[i], OVERLAY_OPAQUE_FILE) ||
		    streq(names[i], OVERLAY_OPAQUE_DEVICE)) {
			if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ||
			    unlinkat(fd, names[i], 0) < 0)
				return -errno;
			continue;
		}
		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode))
			continue;
		_cleanup_close_ int below =
			openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = below < 0 ? -errno : settle(below, depth + 1);
	}
	return r;
}

static int leave(int container_fd, struct masu_error *err)
{
	_cleanup_close_ int upper = openat(container_fd, OVERLAY_UPPER,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = upper < 0 ? -errno : settle(upper, 0);
	return r < 0 ? error_errno(err, r, "writable layer") : 0;
}

/* What is named by an open file is kept open in @fds, which the program inherits. */
static int add_lower(struct storage *s, const char *chain_id, struct buf *options, int *fds,
		     size_t *count)
{
	char path[128];
	int r = str_format(path, sizeof(path), "%s/" OVERLAY_DIFF, chain_id), fd;
	if (r < 0 || !overlay_chain_id_valid(chain_id))
		return -EBADMSG;
	fd = openat(s->layers_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		r = overlay_erofs_open(s, chain_id, &fd);
	if (fd < 0)
		return r < 0 ? r : -errno;
	fds[(*count)++] = fd;
	return buf_printf(options, "%s/proc/self/fd/%d", *count > 1 ? ":" : "", fd);
}

static int write_options(struct storage *s, const struct storage_mount_request *r,
			 struct buf *options, int *fds, size_t *count)
{
	int result = buf_printf(options, "lowerdir=");
	for (size_t i = r->chain_count; i-- > 0 && result == 0;)
		result = add_lower(s, r->chain_ids[i], options, fds, count);
	if (result == 0 && r->chain_count == 0) {
		if (mkdirat(s->layers_fd, OVERLAY_EMPTY, 0755) < 0 && errno != EEXIST)
			return -errno;
		fds[*count] = openat(s->layers_fd, OVERLAY_EMPTY, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[*count] < 0)
			return -errno;
		result = buf_printf(options, "/proc/self/fd/%d", fds[(*count)++]);
	}
	if (result == 0)
		result = buf_printf(options,
				    ",upperdir=/proc/self/fd/%d/" OVERLAY_UPPER
				    ",workdir=/proc/self/fd/%d/overlay/work%s",
				    r->container_fd, r->container_fd,
				    r->flags & STORAGE_VOLATILE ? ",volatile" : "");
	return result;
}

/* In the child: what it needs stays open, and it belongs to no terminal. */
static _Noreturn void become(const char *program, const char *options, const char *place, int out,
			     const int *fds, size_t count, int container_fd)
{
	const char *const argv[] = { program, "-o", options, place, NULL };
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* lint: ok */
	sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < count; i++)
		fcntl(fds[i], F_SETFD, 0);
	fcntl(container_fd, F_SETFD, 0);
	setsid();
	if (dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(out, STDERR_FILENO) >= 0)
		execv(program, (char *const *)argv);
	_exit(127);
}

/* What it said of its failure, in one line. */
static void read_message(int fd, char ret[MESSAGE_MAX])
{
	size_t len = 0;
	ssize_t got;
	while (len < MESSAGE_MAX - 1 && (got = read(fd, ret + len, MESSAGE_MAX - 1 - len)) > 0)
		len += (size_t)got;
	ret[len] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* Returns when it is mounted: then what was started has left its child behind. */
static int start(const char *options, const char *place, const int *fds, size_t count,
		 const struct storage_mount_request *r, struct masu_error *err)
{
	int ends[2], status = 0;
	char message[MESSAGE_MAX] = "";
	const char *program = find_program();
	if (!program)
		return error_set(err, -ENOENT, "fuse-overlayfs is not installed");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "fuse-overlayfs");
	pid_t pid = fork();
	if (pid == 0)
		become(program, options, place, ends[1], fds, count, r->container_fd);
	int code = pid < 0 ? -errno : 0;
	close(ends[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	bool ok = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!ok && code == 0)
		read_message(ends[0], message);
	close(ends[0]);
	if (ok)
		return 0;
	return error_set(err, code < 0 ? code : -EIO, "container %.12s: fuse-overlayfs: %s",
			 r->container_id, *message ? message : "it failed without a word");
}

static int mount_writable(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
			  struct masu_error *err)
{
	_cleanup_buf_ struct buf options;
	char place[FS_PROC_FD_MAX + sizeof(PLACE) + 1], proc[FS_PROC_FD_MAX];
	int fds[STORAGE_MAX_LAYERS + 1];
	size_t count = 0;
	if (r->chain_count > STORAGE_MAX_LAYERS)
		return error_set(err, -E2BIG, "container %.12s: %zu layers; at most %d are allowed",
				 r->container_id, r->chain_count, STORAGE_MAX_LAYERS);
	buf_init(&options, OPTIONS_MAX);
	str_format(place, sizeof(place), "%s/" PLACE, fs_proc_fd(r->container_fd, proc));
	int result = write_options(s, r, &options, fds, &count);
	if (result == 0 && mkdirat(r->container_fd, PLACE, 0700) < 0 && errno != EEXIST)
		result = -errno;
	if (result < 0)
		error_errno(err, result, "container %.12s: fuse-overlayfs: layers",
			    r->container_id);
	else
		result = start(buf_str(&options), place, fds, count, r, err);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	if (result < 0)
		return result;
	const struct mount_attr attr = { .attr_clr = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
					 .propagation = MS_PRIVATE };
	result = fs_take_off(place, &attr, ret_fd);
	return result < 0 ? error_errno(err, result, "container %.12s: fuse-overlayfs",
					r->container_id)
			  : 0;
}

/* Looking into layers needs no process where the kernel has overlay. */
static int mount_fuse(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		      struct masu_error *err)
{
	return r->flags & STORAGE_READONLY ? overlay_mount(s, r, ret_fd, err)
					   : mount_writable(s, r, ret_fd, err);
}

const struct storage_ops fuse_overlayfs_ops = {
	.name = "fuse-overlayfs",
	.supported = supported,
	.open = open_fuse,
	.mount = mount_fuse,
	.leave = leave,
	OVERLAY_FAMILY_OPS,
};
