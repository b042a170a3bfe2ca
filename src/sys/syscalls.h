/*
 * System calls that musl 1.2.3 or glibc 2.36 do not wrap, one thin inline function each: same
 * arguments as the kernel's, result or -errno (never errno). Numbers and structures that the build
 * machine's kernel headers may lack are defined here; they are ABI (include/uapi in the kernel
 * tree).
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x00000200
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 0x4
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef PIDFD_SELF
#define PIDFD_SELF -10000
#endif

/* linux/pidfd.h since 6.13; the exit code since 6.15. */
#define SYS_PIDFD_INFO_EXIT (1ULL << 3)
struct sys_pidfd_info {
	uint64_t mask, cgroup_id;
	uint32_t pid, tgid, ppid, uid[4], gid[4];
	int32_t exit_code; /* as wait(2) has it */
};
#define SYS_PIDFD_GET_INFO _IOWR(0xFF, 11, struct sys_pidfd_info)

/* Turns a libc-style result into the kernel's: the value, or -errno. */
static inline long sys_ret(long r)
{
	return r < 0 ? -errno : r;
}

static inline int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode,
			      uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	return (int)sys_ret(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

/* clone3(2) without a new stack: returns twice like fork(). The caller fills @args. */
static inline pid_t sys_clone3(struct clone_args *args)
{
	return (pid_t)sys_ret(syscall(SYS_clone3, args, sizeof(*args)));
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)sys_ret(syscall(SYS_close_range, first, last, flags));
}

static inline int sys_pidfd_open(pid_t pid, unsigned flags)
{
	return (int)sys_ret(syscall(SYS_pidfd_open, pid, flags));
}

static inline int sys_pidfd_send_signal(int pidfd, int sig)
{
	return (int)sys_ret(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0));
}

static inline int sys_pidfd_getfd(int pidfd, int targetfd)
{
	return (int)sys_ret(syscall(SYS_pidfd_getfd, pidfd, targetfd, 0));
}

/* struct statx is in <linux/stat.h>, which programs that ask for a birth include themselves. */
struct statx;
static inline int sys_statx(int dirfd, const char *path, int flags, unsigned mask,
			    struct statx *ret)
{
	return (int)sys_ret(syscall(SYS_statx, dirfd, path, flags, mask, ret));
}

static inline int sys_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)sys_ret(syscall(SYS_open_tree, dirfd, path, flags | O_CLOEXEC));
}

static inline int sys_move_mount(int from_fd, const char *from, int to_fd, const char *to,
				 unsigned flags)
{
	return (int)sys_ret(syscall(SYS_move_mount, from_fd, from, to_fd, to, flags));
}

static inline int sys_mount_setattr(int dirfd, const char *path, unsigned flags,
				    struct mount_attr *attr)
{
	return (int)sys_ret(syscall(SYS_mount_setattr, dirfd, path, flags, attr, sizeof(*attr)));
}

static inline int sys_fsopen(const char *fs, unsigned flags)
{
	return (int)sys_ret(syscall(SYS_fsopen, fs, flags | FSOPEN_CLOEXEC));
}

static inline int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
	return (int)sys_ret(syscall(SYS_fsconfig, fd, cmd, key, value, aux));
}

/* A detached mount of the configured superblock; @attrs are MOUNT_ATTR_*. */
static inline int sys_fsmount(int fsfd, unsigned flags, unsigned attrs)
{
	return (int)sys_ret(syscall(SYS_fsmount, fsfd, flags | FSMOUNT_CLOEXEC, attrs));
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)sys_ret(syscall(SYS_pivot_root, new_root, put_old));
}

static inline int sys_execveat(int dirfd, const char *path, char *const argv[], char *const envp[],
			       int flags)
{
	return (int)sys_ret(syscall(SYS_execveat, dirfd, path, argv, envp, flags));
}

static inline int sys_renameat2(int olddir, const char *old, int newdir, const char *new,
				unsigned flags)
{
	return (int)sys_ret(syscall(SYS_renameat2, olddir, old, newdir, new, flags));
}
