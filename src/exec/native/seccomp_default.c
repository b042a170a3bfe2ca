/*
 * Docker's default system call policy, from its documentation and the behaviour of its profile:
 * everything is refused with EPERM but what is listed here. Grouped by what a call is for, and,
 * where a capability makes it allowed, by that capability. docs/seccomp.md tells the differences.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "base/str.h"
#include "exec/native/seccomp.h"

/* A JSON string and a comma. */
#define Q(name) "\"" #name "\","

/* clang-format off */
/* Files, directories, links, attributes. */
static const char files[] =
	Q(access) Q(chdir) Q(chmod) Q(chown) Q(chown32) Q(close) Q(close_range)
	Q(copy_file_range) Q(creat) Q(dup) Q(dup2) Q(dup3) Q(faccessat) Q(faccessat2)
	Q(fadvise64) Q(fadvise64_64) Q(fallocate) Q(fchdir) Q(fchmod) Q(fchmodat) Q(fchmodat2)
	Q(fchown) Q(fchown32) Q(fchownat) Q(fcntl) Q(fcntl64) Q(fdatasync) Q(fgetxattr)
	Q(flistxattr) Q(flock) Q(fremovexattr) Q(fsetxattr) Q(fstat) Q(fstat64) Q(fstatat64)
	Q(fstatfs) Q(fstatfs64) Q(fsync) Q(ftruncate) Q(ftruncate64) Q(futimesat) Q(getcwd)
	Q(getdents) Q(getdents64) Q(getxattr) Q(getxattrat) Q(ioctl) Q(lchown) Q(lchown32)
	Q(lgetxattr) Q(link) Q(linkat) Q(listxattr) Q(listxattrat) Q(llistxattr) Q(lremovexattr)
	Q(lseek) Q(_llseek) Q(lsetxattr) Q(lstat) Q(lstat64) Q(mkdir) Q(mkdirat) Q(mknod)
	Q(mknodat) Q(name_to_handle_at) Q(newfstatat) Q(open) Q(openat) Q(openat2) Q(pread64)
	Q(preadv) Q(preadv2) Q(pwrite64) Q(pwritev) Q(pwritev2) Q(read) Q(readahead) Q(readlink)
	Q(readlinkat) Q(readv) Q(removexattr) Q(removexattrat) Q(rename) Q(renameat) Q(renameat2)
	Q(rmdir) Q(sendfile) Q(sendfile64) Q(setxattr) Q(setxattrat) Q(splice) Q(stat) Q(stat64)
	Q(statfs) Q(statfs64) Q(statx) Q(symlink) Q(symlinkat) Q(sync) Q(sync_file_range)
	Q(syncfs) Q(tee) Q(truncate) Q(truncate64) Q(umask) Q(unlink) Q(unlinkat) Q(utime)
	Q(utimensat) Q(utimensat_time64) Q(utimes) Q(vmsplice) Q(write) Q(writev);

/* Waiting for descriptors; notification; asynchronous input and output. */
static const char events[] =
	Q(epoll_create) Q(epoll_create1) Q(epoll_ctl) Q(epoll_ctl_old) Q(epoll_pwait)
	Q(epoll_pwait2) Q(epoll_wait) Q(epoll_wait_old) Q(eventfd) Q(eventfd2) Q(fanotify_mark)
	Q(inotify_add_watch) Q(inotify_init) Q(inotify_init1) Q(inotify_rm_watch) Q(io_cancel)
	Q(io_destroy) Q(io_getevents) Q(io_pgetevents) Q(io_pgetevents_time64) Q(io_setup)
	Q(io_submit) Q(pipe) Q(pipe2) Q(poll) Q(ppoll) Q(ppoll_time64) Q(pselect6)
	Q(pselect6_time64) Q(select) Q(_newselect) Q(signalfd) Q(signalfd4);

/* Memory. */
static const char memory[] =
	Q(brk) Q(cachestat) Q(get_thread_area) Q(madvise) Q(map_shadow_stack) Q(membarrier)
	Q(memfd_create) Q(memfd_secret) Q(mincore) Q(mlock) Q(mlock2) Q(mlockall) Q(mmap)
	Q(mmap2) Q(mprotect) Q(mremap) Q(mseal) Q(msync) Q(munlock) Q(munlockall) Q(munmap)
	Q(pkey_alloc) Q(pkey_free) Q(pkey_mprotect) Q(remap_file_pages);

/* Processes, threads, scheduling, signals. */
static const char processes[] =
	Q(alarm) Q(execve) Q(execveat) Q(exit) Q(exit_group) Q(fork) Q(futex) Q(futex_requeue)
	Q(futex_time64) Q(futex_wait) Q(futex_waitv) Q(futex_wake) Q(get_robust_list) Q(getcpu)
	Q(getpgid) Q(getpgrp) Q(getpid) Q(getppid) Q(getpriority) Q(getrlimit) Q(getrusage)
	Q(getsid) Q(gettid) Q(ioprio_get) Q(ioprio_set) Q(kill) Q(nanosleep) Q(pause)
	Q(pidfd_open) Q(pidfd_send_signal) Q(prctl) Q(prlimit64) Q(process_mrelease)
	Q(restart_syscall) Q(rseq) Q(rt_sigaction) Q(rt_sigpending) Q(rt_sigprocmask)
	Q(rt_sigqueueinfo) Q(rt_sigreturn) Q(rt_sigsuspend) Q(rt_sigtimedwait)
	Q(rt_sigtimedwait_time64) Q(rt_tgsigqueueinfo) Q(sched_get_priority_max)
	Q(sched_get_priority_min) Q(sched_getaffinity) Q(sched_getattr) Q(sched_getparam)
	Q(sched_getscheduler) Q(sched_rr_get_interval) Q(sched_rr_get_interval_time64)
	Q(sched_setaffinity) Q(sched_setattr) Q(sched_setparam) Q(sched_setscheduler)
	Q(sched_yield) Q(set_robust_list) Q(set_thread_area) Q(set_tid_address) Q(setpgid)
	Q(setpriority) Q(setrlimit) Q(setsid) Q(sigaltstack) Q(sigprocmask) Q(sigreturn)
	Q(tgkill) Q(tkill) Q(ugetrlimit) Q(vfork) Q(wait4) Q(waitid) Q(waitpid);

/* Who the process is; what it may still give up. */
static const char identities[] =
	Q(capget) Q(capset) Q(getegid) Q(getegid32) Q(geteuid) Q(geteuid32) Q(getgid) Q(getgid32)
	Q(getgroups) Q(getgroups32) Q(getresgid) Q(getresgid32) Q(getresuid) Q(getresuid32)
	Q(getuid) Q(getuid32) Q(landlock_add_rule) Q(landlock_create_ruleset)
	Q(landlock_restrict_self) Q(seccomp) Q(setfsgid) Q(setfsgid32) Q(setfsuid) Q(setfsuid32)
	Q(setgid) Q(setgid32) Q(setgroups) Q(setgroups32) Q(setregid) Q(setregid32) Q(setresgid)
	Q(setresgid32) Q(setresuid) Q(setresuid32) Q(setreuid) Q(setreuid32) Q(setuid)
	Q(setuid32);

/* Clocks and timers. */
static const char clocks[] =
	Q(adjtimex) Q(clock_adjtime) Q(clock_adjtime64) Q(clock_getres) Q(clock_getres_time64)
	Q(clock_gettime) Q(clock_gettime64) Q(clock_nanosleep) Q(clock_nanosleep_time64)
	Q(getitimer) Q(gettimeofday) Q(setitimer) Q(time) Q(timer_create) Q(timer_delete)
	Q(timer_getoverrun) Q(timer_gettime) Q(timer_gettime64) Q(timer_settime)
	Q(timer_settime64) Q(timerfd_create) Q(timerfd_gettime) Q(timerfd_gettime64)
	Q(timerfd_settime) Q(timerfd_settime64) Q(times);

/* Sockets; socket(2) itself is below. */
static const char sockets[] =
	Q(accept) Q(accept4) Q(bind) Q(connect) Q(getpeername) Q(getsockname) Q(getsockopt)
	Q(listen) Q(recv) Q(recvfrom) Q(recvmmsg) Q(recvmmsg_time64) Q(recvmsg) Q(send)
	Q(sendmmsg) Q(sendmsg) Q(sendto) Q(setsockopt) Q(shutdown) Q(socketcall) Q(socketpair);

/* System V and POSIX message passing. */
static const char ipc[] =
	Q(ipc) Q(mq_getsetattr) Q(mq_notify) Q(mq_open) Q(mq_timedreceive)
	Q(mq_timedreceive_time64) Q(mq_timedsend) Q(mq_timedsend_time64) Q(mq_unlink) Q(msgctl)
	Q(msgget) Q(msgrcv) Q(msgsnd) Q(semctl) Q(semget) Q(semop) Q(semtimedop)
	Q(semtimedop_time64) Q(shmat) Q(shmctl) Q(shmdt) Q(shmget);

/* What the machine says about itself. */
static const char machine[] =
	Q(getrandom) Q(listmount) Q(statmount) Q(sysinfo) Q(uname) Q(uretprobe) Q(riscv_hwprobe);

/* Looking into other processes, which ptrace(2)'s own rules guard well enough since Linux 4.8. */
static const char tracing[] = Q(process_vm_readv) Q(process_vm_writev) Q(ptrace);

#if defined(__x86_64__)
#define ARCHITECTURES Q(SCMP_ARCH_X86_64) Q(SCMP_ARCH_X86) "\"SCMP_ARCH_X32\""
static const char machine_only[] = Q(arch_prctl) Q(modify_ldt);
#elif defined(__aarch64__)
#define ARCHITECTURES Q(SCMP_ARCH_AARCH64) "\"SCMP_ARCH_ARM\""
static const char machine_only[] = Q(arm_fadvise64_64) Q(arm_sync_file_range) Q(breakpoint)
	Q(cacheflush) Q(set_tls) Q(sync_file_range2);
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURES "\"SCMP_ARCH_RISCV64\""
static const char machine_only[] = Q(riscv_flush_icache);
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCHITECTURES "\"SCMP_ARCH_PPC64LE\""
static const char machine_only[] = Q(swapcontext) Q(sync_file_range2);
#elif defined(__s390x__)
#define ARCHITECTURES Q(SCMP_ARCH_S390X) "\"SCMP_ARCH_S390\""
static const char machine_only[] = Q(s390_pci_mmio_read) Q(s390_pci_mmio_write)
	Q(s390_runtime_instr);
#else
#error "the default seccomp policy does not know this architecture"
#endif

/* What a capability in the bounding set makes allowed. */
static const struct {
	unsigned capability;
	const char *names;
} by_capability[] = {
	{ CAP_DAC_READ_SEARCH, Q(open_by_handle_at) },
	{ CAP_SYS_ADMIN,
	  Q(bpf) Q(clone) Q(clone3) Q(fanotify_init) Q(fsconfig) Q(fsmount) Q(fsopen) Q(fspick)
	  Q(lookup_dcookie) Q(lsm_get_self_attr) Q(lsm_list_modules) Q(lsm_set_self_attr) Q(mount)
	  Q(mount_setattr) Q(move_mount) Q(open_tree) Q(perf_event_open) Q(quotactl)
	  Q(quotactl_fd) Q(setdomainname) Q(sethostname) Q(setns) Q(syslog) Q(umount) Q(umount2)
	  Q(unshare) },
	{ CAP_SYS_BOOT, Q(reboot) },
	{ CAP_SYS_CHROOT, Q(chroot) },
	{ CAP_SYS_MODULE, Q(delete_module) Q(finit_module) Q(init_module) },
	{ CAP_SYS_PACCT, Q(acct) },
	{ CAP_SYS_PTRACE, Q(kcmp) Q(pidfd_getfd) Q(process_madvise) },
	{ CAP_SYS_RAWIO, Q(ioperm) Q(iopl) },
	{ CAP_SYS_TIME, Q(clock_settime) Q(clock_settime64) Q(settimeofday) Q(stime) },
	{ CAP_SYS_TTY_CONFIG, Q(vhangup) },
	{ CAP_SYS_NICE, Q(get_mempolicy) Q(mbind) Q(set_mempolicy) Q(set_mempolicy_home_node) },
	{ CAP_SYSLOG, Q(syslog) },
	{ CAP_BPF, Q(bpf) },
	{ CAP_PERFMON, Q(perf_event_open) },
};

/*
 * Address families. The kernel looks at the low 32 bits of the argument only, so the rules do as
 * well: every family below 64 but AF_ALG (38: a large and little used part of the kernel) and
 * AF_VSOCK (40: reaches the hypervisor), as aligned blocks.
 */
#define MASKED(index, mask, value)                                                                 \
	"\"args\":[{\"index\":" #index ",\"value\":" #mask ",\"valueTwo\":" #value                 \
	",\"op\":\"SCMP_CMP_MASKED_EQ\"}]"
#define ALLOW_MASKED(name, index, mask, value)                                                     \
	",{\"names\":[\"" #name "\"],\"action\":\"SCMP_ACT_ALLOW\"," MASKED(index, mask, value) "}"
static const char families[] =
	ALLOW_MASKED(socket, 0, 4294967264, 0)	/* 0..31 */
	ALLOW_MASKED(socket, 0, 4294967292, 32) /* 32..35 */
	ALLOW_MASKED(socket, 0, 4294967294, 36) /* 36, 37 */
	ALLOW_MASKED(socket, 0, 4294967295, 39)
	ALLOW_MASKED(socket, 0, 4294967295, 41)
	ALLOW_MASKED(socket, 0, 4294967294, 42)	 /* 42, 43 */
	ALLOW_MASKED(socket, 0, 4294967292, 44)	 /* 44..47 */
	ALLOW_MASKED(socket, 0, 4294967280, 48); /* 48..63, none as yet */

/* personality(2): Linux, 32-bit Linux, both with the old uname, and the question what it is. */
#define ALLOW_PERSONALITY(value)                                                                   \
	",{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"      \
	"\"value\":" #value ",\"op\":\"SCMP_CMP_EQ\"}]}"
static const char personalities[] = ALLOW_PERSONALITY(0) ALLOW_PERSONALITY(8)
	ALLOW_PERSONALITY(131072) ALLOW_PERSONALITY(131080) ALLOW_PERSONALITY(4294967295);

/*
 * Without CAP_SYS_ADMIN no new namespaces: 0x7e020000 is CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}.
 * clone3(2)'s flags are in memory where a filter cannot look; ENOSYS makes libc use clone(2).
 */
#ifdef __s390x__ /* the first two arguments are swapped */
#define CLONE_FLAGS_INDEX 1
#else
#define CLONE_FLAGS_INDEX 0
#endif
#define ALLOW_CLONE(index) ALLOW_MASKED(clone, index, 2114060288, 0)
static const char namespaces[] = ALLOW_CLONE(CLONE_FLAGS_INDEX)
	",{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}";

static const char opening[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"architectures\":["
	ARCHITECTURES "],\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[";
/* clang-format on */

static const struct {
	const char *names;
	size_t len;
} always[] = {
#define GROUP(array)                                                                               \
	{                                                                                          \
		array, sizeof(array) - 1                                                           \
	}
	GROUP(files),	   GROUP(events),  GROUP(memory),	GROUP(processes),
	GROUP(identities), GROUP(clocks),  GROUP(sockets),	GROUP(ipc),
	GROUP(machine),	   GROUP(tracing), GROUP(machine_only),
};

static char *append(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

int seccomp_default_section(struct arena *arena, uint64_t bounding, const char **ret,
			    size_t *ret_len, struct masu_error *err)
{
	bool admin = bounding & UINT64_C(1) << CAP_SYS_ADMIN;
	size_t size =
		sizeof(opening) + sizeof(families) + sizeof(personalities) + sizeof(namespaces) + 8;
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		size += always[i].len;
	for (size_t i = 0; i < ARRAY_SIZE(by_capability); i++)
		size += strlen(by_capability[i].names);
	char *text = arena_alloc(arena, size);
	if (!text)
		return error_set(err, -ENOMEM, "seccomp: out of memory");
	char *end = append(text, opening, sizeof(opening) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		end = append(end, always[i].names, always[i].len);
	for (size_t i = 0; i < ARRAY_SIZE(by_capability); i++)
		if (bounding & UINT64_C(1) << by_capability[i].capability)
			end = append(end, by_capability[i].names, strlen(by_capability[i].names));
	end = append(end - 1, "]}", 2); /* over the last comma */
	end = append(end, families, sizeof(families) - 1);
	end = append(end, personalities, sizeof(personalities) - 1);
	if (!admin)
		end = append(end, namespaces, sizeof(namespaces) - 1);
	end = append(end, "]}", 2);
	*ret_len = (size_t)(end - text);
	*ret = text;
	return 0;
}
