#include "cold/image/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"
#include "sys/syscalls.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14)
#endif

#define NOBODY	     65534
#define MEMORY_LIMIT (320u << 20) /* zstd's biggest window is 128 MiB */

/* What memory, input and output take, with what a sanitizer's runtime needs on top. */
static const int decoder_calls[] = {
	SCMP_SYS(read),		  SCMP_SYS(write),	  SCMP_SYS(mmap),
	SCMP_SYS(munmap),	  SCMP_SYS(mremap),	  SCMP_SYS(brk),
	SCMP_SYS(madvise),	  SCMP_SYS(rt_sigreturn), SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__
	SCMP_SYS(mprotect),	  SCMP_SYS(sigaltstack),  SCMP_SYS(getpid),
	SCMP_SYS(gettid),	  SCMP_SYS(futex),	  SCMP_SYS(sched_yield),
	SCMP_SYS(openat),	  SCMP_SYS(close),	  SCMP_SYS(readlink),
	SCMP_SYS(fstat),	  SCMP_SYS(newfstatat),	  SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(clone),	  SCMP_SYS(getrandom),
#endif
};

/* On top of those. */
static const int indexer_calls[] = { SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
				     SCMP_SYS(ftruncate) };

/* On top of the decoder's. Paths are confined by Landlock and the root. */
static const int writer_calls[] = {
	SCMP_SYS(openat),    SCMP_SYS(openat2),	  SCMP_SYS(close),	SCMP_SYS(pwrite64),
	SCMP_SYS(ftruncate), SCMP_SYS(fstat),	  SCMP_SYS(newfstatat), SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),   SCMP_SYS(symlinkat), SCMP_SYS(linkat),	SCMP_SYS(unlinkat),
	SCMP_SYS(fchown),    SCMP_SYS(fchownat),  SCMP_SYS(fchmod),	SCMP_SYS(fchmodat),
	SCMP_SYS(utimensat), SCMP_SYS(fsetxattr), SCMP_SYS(getdents64), SCMP_SYS(fcntl),
	SCMP_SYS(umask),     SCMP_SYS(lseek),
};

/* On top of the decoder's: sockets, names, and the thread that libcurl resolves names in. */
static const int fetcher_calls[] = {
	SCMP_SYS(socket),	SCMP_SYS(connect),	   SCMP_SYS(bind),
	SCMP_SYS(getsockname),	SCMP_SYS(getpeername),	   SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),	SCMP_SYS(sendto),	   SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),	SCMP_SYS(recvfrom),	   SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),	SCMP_SYS(shutdown),	   SCMP_SYS(socketpair),
	SCMP_SYS(poll),		SCMP_SYS(ppoll),	   SCMP_SYS(select),
	SCMP_SYS(pselect6),	SCMP_SYS(epoll_create1),   SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),	SCMP_SYS(epoll_pwait),	   SCMP_SYS(eventfd2),
	SCMP_SYS(pipe2),	SCMP_SYS(fcntl),	   SCMP_SYS(ioctl),
	SCMP_SYS(close),	SCMP_SYS(openat),	   SCMP_SYS(readv),
	SCMP_SYS(writev),	SCMP_SYS(pread64),	   SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),	SCMP_SYS(fstat),	   SCMP_SYS(newfstatat),
	SCMP_SYS(statx),	SCMP_SYS(access),	   SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),	SCMP_SYS(readlink),	   SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),	SCMP_SYS(mprotect),	   SCMP_SYS(clone),
	SCMP_SYS(clone3),	SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(futex),	SCMP_SYS(set_tid_address), SCMP_SYS(exit),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),  SCMP_SYS(sigaltstack),
	SCMP_SYS(getpid),	SCMP_SYS(gettid),	   SCMP_SYS(getuid),
	SCMP_SYS(geteuid),	SCMP_SYS(getgid),	   SCMP_SYS(getegid),
	SCMP_SYS(uname),	SCMP_SYS(clock_gettime),   SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),	SCMP_SYS(gettimeofday),	   SCMP_SYS(time),
	SCMP_SYS(getrandom),	SCMP_SYS(sched_yield),	   SCMP_SYS(sched_getaffinity),
	SCMP_SYS(prlimit64),	SCMP_SYS(sysinfo),	   SCMP_SYS(restart_syscall),
	SCMP_SYS(prctl),	SCMP_SYS(tgkill),
};

static const int writer_capabilities[] = { CAP_CHOWN,	     CAP_FOWNER, CAP_FSETID,
					   CAP_DAC_OVERRIDE, CAP_MKNOD,	 CAP_SETFCAP };

static int box_error(struct masu_error *err, int code, const char *what)
{
	return error_errno(err, code, "sandbox: %s", what);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes everything but @fds and stderr. */
static int keep_only(const int *fds, size_t count)
{
	int sorted[9] = { STDERR_FILENO };
	if (count + 1 > ARRAY_SIZE(sorted))
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		sorted[i + 1] = fds[i];
	qsort(sorted, count + 1, sizeof(*sorted), compare_ints);
	unsigned next = 0;
	for (size_t i = 0; i <= count; i++) {
		if ((unsigned)sorted[i] > next)
			sys_close_range(next, (unsigned)sorted[i] - 1, 0);
		next = (unsigned)sorted[i] + 1;
	}
	return sys_close_range(next, ~0u, 0);
}

static int set_capabilities(const int *keep, size_t count)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	for (size_t i = 0; i < count; i++) {
		data[keep[i] / 32].permitted |= 1u << (keep[i] % 32);
		data[keep[i] / 32].effective |= 1u << (keep[i] % 32);
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return (int)sys_ret(syscall(SYS_capset, &header, data));
}

/* A sanitizer's shadow memory is no use of memory. */
static int limit_memory(struct masu_error *err)
{
#ifndef __SANITIZE_ADDRESS__
	struct rlimit memory;
	if (getrlimit(RLIMIT_DATA, &memory) < 0)
		return box_error(err, -errno, "limits");
	/* Never up: who started masu may have set a lower one. */
	if (memory.rlim_max > MEMORY_LIMIT)
		memory.rlim_max = MEMORY_LIMIT;
	if (memory.rlim_cur > memory.rlim_max)
		memory.rlim_cur = memory.rlim_max;
	if (setrlimit(RLIMIT_DATA, &memory) < 0)
		return box_error(err, -errno, "limits");
#endif
	return 0;
}

static int common(const int *fds, size_t count, bool threads, struct masu_error *err)
{
	const struct rlimit none = { 0, 0 };
	int r = keep_only(fds, count);
	if (r < 0)
		return box_error(err, r, "closing files");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    (!threads && setrlimit(RLIMIT_NPROC, &none) < 0))
		return box_error(err, -errno, "limits");
	return limit_memory(err);
}

static int add_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int load_filter(const int *more, size_t more_count, struct masu_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return box_error(err, -ENOMEM, "seccomp");
	int r = add_calls(filter, decoder_calls, ARRAY_SIZE(decoder_calls));
	if (r == 0)
		r = add_calls(filter, more, more_count);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? box_error(err, r, "seccomp") : 0;
}

/* Nobody, without capabilities and for good. */
static int become_nobody(struct masu_error *err)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return box_error(err, -errno, "giving up the identity");
	int r = set_capabilities(NULL, 0);
	if (r < 0)
		return box_error(err, r, "capabilities");
	/* Changing the identity makes a process dumpable or forgets its parent's death again. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return box_error(err, -errno, "limits");
	return 0;
}

int sandbox_decoder(const int *fds, size_t count, struct masu_error *err)
{
	int r = common(fds, count, false, err);
	if (r == 0)
		r = become_nobody(err);
	return r < 0 ? r : load_filter(NULL, 0, err);
}

int sandbox_indexer(const int *fds, size_t count, struct masu_error *err)
{
	int r = common(fds, count, false, err);
	if (r == 0)
		r = become_nobody(err);
	return r < 0 ? r : load_filter(indexer_calls, ARRAY_SIZE(indexer_calls), err);
}

/* The ABI of Landlock, 0: this kernel has none. */
static int landlock_abi(void)
{
	int abi = (int)sys_ret(
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION));
	return abi < 0 ? 0 : abi;
}

static int landlock_new(uint64_t handled)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
	return (int)sys_ret(syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0));
}

static int landlock_allow(int ruleset, int beneath, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = beneath };
	return (int)sys_ret(
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
}

static int landlock_enter(int ruleset)
{
	return (int)sys_ret(syscall(SYS_landlock_restrict_self, ruleset, 0));
}

/* What is forbidden everywhere and what may be done to files below the writer's directory. */
static uint64_t writer_rights(int abi)
{
	uint64_t below = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
			 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_FIFO |
			 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
	if (abi >= 2)
		below |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		below |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return below;
}

/* Everything Landlock knows is forbidden but what is allowed below @root. */
static int confine(int root, struct masu_error *err)
{
	int abi = landlock_abi();
	if (abi == 0) {
		log_warn("this kernel has no Landlock; the unpacker is confined by chroot only");
		return 0;
	}
	/* Without REFER a link to another directory is refused; kernels before 5.19 do so
	 * whatever one asks for. */
	if (abi < 2)
		return 0;
	uint64_t below = writer_rights(abi);
	_cleanup_close_ int ruleset =
		landlock_new(below | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
			     LANDLOCK_ACCESS_FS_MAKE_SOCK);
	if (ruleset < 0)
		return box_error(err, ruleset, "landlock");
	int r = landlock_allow(ruleset, root, below);
	if (r == 0)
		r = landlock_enter(ruleset);
	return r < 0 ? box_error(err, r, "landlock") : 0;
}

/* What resolving names and checking certificates reads, and nothing else; nothing is written. */
static int confine_to_names(struct masu_error *err)
{
	static const char *const readable[] = {
		"/etc",
		"/usr/lib",
		"/usr/share/ca-certificates",
		"/usr/local/share/ca-certificates",
		"/lib",
		"/lib64",
		"/run/systemd/resolve",
		"/run/resolvconf",
	};
	int abi = landlock_abi();
	if (abi == 0) {
		log_warn("this kernel has no Landlock; the fetcher sees the files that everybody "
			 "may "
			 "read");
		return 0;
	}
	const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	_cleanup_close_ int ruleset =
		landlock_new(writer_rights(abi) | reading | LANDLOCK_ACCESS_FS_EXECUTE |
			     LANDLOCK_ACCESS_FS_MAKE_SOCK);
	int r = ruleset < 0 ? ruleset : 0;
	for (size_t i = 0; i < ARRAY_SIZE(readable) && r == 0; i++) {
		_cleanup_close_ int fd = open(readable[i], O_PATH | O_CLOEXEC);
		if (fd >= 0)
			r = landlock_allow(ruleset, fd, reading);
	}
	if (r == 0)
		r = landlock_enter(ruleset);
	return r < 0 ? box_error(err, r, "landlock") : 0;
}

int sandbox_fetcher(const int *fds, size_t count, struct masu_error *err)
{
	int r = common(fds, count, true, err);
	if (r == 0)
		r = confine_to_names(err);
	if (r == 0)
		r = become_nobody(err);
	return r < 0 ? r : load_filter(fetcher_calls, ARRAY_SIZE(fetcher_calls), err);
}

int sandbox_writer(int root, const int *fds, size_t count, struct masu_error *err)
{
	int r = common(fds, count, false, err);
	if (r < 0 || fault_without("image-sandbox"))
		return r;
	if (fchdir(root) < 0 || chroot(".") < 0)
		return box_error(err, -errno, "chroot");
	r = confine(root, err);
	if (r < 0)
		return r;
	r = set_capabilities(writer_capabilities, ARRAY_SIZE(writer_capabilities));
	if (r < 0)
		return box_error(err, r, "capabilities");
	return load_filter(writer_calls, ARRAY_SIZE(writer_calls), err);
}
