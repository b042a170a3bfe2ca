/*
 * masu-seccomp: reads an OCI linux.seccomp section on stdin, writes the compiled filter (struct
 * seccomp_answer and its instructions) to stdout, or one line saying what is wrong to stderr.
 *
 * The section is not trusted, so it is parsed only after the program has given up its privileges
 * and all system calls but those that parsing takes.
 */
#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "cold/seccomp/compile.h"
#include "exec/native/seccomp_blob.h"
#include "sys/fs.h"

#define NOBODY	     65534
#define MEMORY_LIMIT (256u << 20)
#define ARENA_LIMIT  (160u << 20)
#define CPU_SECONDS  5u

#ifdef __SANITIZE_ADDRESS__
/* The leak checker opens /proc and traces the program, which its confinement does not allow. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int set_limit(int resource, rlim_t value)
{
	struct rlimit limit = { .rlim_cur = value, .rlim_max = value };
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int limit_resources(void)
{
	int r = set_limit(RLIMIT_CPU, CPU_SECONDS);
	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_FSIZE, 1u << 20);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is larger than any limit */
	if (r == 0)
		r = set_limit(RLIMIT_AS, MEMORY_LIMIT);
#endif
	return r;
}

static int drop_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (geteuid() != 0)
		return 0;
	/* In a user namespace without these ids there is nothing more to drop to. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL)
		return -errno;
	return setresuid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL ? -errno : 0;
}

/* Memory, the three streams and the way out; anything else ends the program. */
static int forbid_system_calls(void)
{
#ifdef __SANITIZE_ADDRESS__ /* the sanitizers' own calls are many */
	return 0;
#else
#define PERMIT(name)                                                                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),                                     \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter program[] = {
		/* First the architecture: a number means another call elsewhere. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		PERMIT(read),
		PERMIT(write),
		PERMIT(writev),
		PERMIT(lseek),
		PERMIT(brk),
		PERMIT(mmap),
		PERMIT(munmap),
		PERMIT(mremap),
		PERMIT(madvise),
		PERMIT(sysinfo), /* glibc's qsort(3) */
		PERMIT(getrandom),
		PERMIT(rt_sigreturn),
		PERMIT(exit_group),
#ifdef SYS_newfstatat
		PERMIT(newfstatat),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog fprog = { .len = ARRAY_SIZE(program), .filter = program };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) < 0 ? -errno : 0;
#endif
}

static int read_section(struct buf *ret)
{
	ssize_t n;
	do {
		int r = buf_reserve(ret, 64u << 10);
		if (r < 0)
			return r;
		n = read(STDIN_FILENO, ret->data + ret->len, 64u << 10);
		if (n > 0)
			ret->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/* Before the filter: this asks the kernel, the rest only reads and writes. */
static bool kernel_has_x32(void)
{
#ifdef __x86_64__
	return syscall(0x40000000 | SYS_getppid) >= 0; /* asm/unistd.h __X32_SYSCALL_BIT */
#else
	return false;
#endif
}

static int compile(struct arena *arena, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, SECCOMP_MAX_SECTION + (64u << 10));
	struct seccomp_machine machine = { .no_x32 = !kernel_has_x32() };
	int r = limit_resources();
	if (r == 0)
		r = drop_privileges();
	if (r == 0)
		r = forbid_system_calls();
	if (r < 0)
		return error_errno(err, r, "masu-seccomp: cannot confine itself");
	r = read_section(&text);
	if (r < 0)
		return error_errno(err, r, "seccomp: cannot read the section");
	struct seccomp_program program;
	r = seccomp_compile(arena, &machine, buf_str(&text), text.len, &program, err);
	if (r < 0)
		return r;
	struct seccomp_answer answer = { .magic = SECCOMP_ANSWER_MAGIC,
					 .notify = program.notify,
					 .insn_count = (uint32_t)program.count };
	r = fs_write_all(STDOUT_FILENO, &answer, sizeof(answer));
	if (r == 0)
		r = fs_write_all(STDOUT_FILENO, program.insns,
				 program.count * sizeof(*program.insns));
	return r < 0 ? error_errno(err, r, "seccomp: cannot write the filter") : 0;
}

int main(void)
{
	_cleanup_arena_ struct arena arena;
	struct masu_error err = { 0 };
	arena_init(&arena, ARENA_LIMIT);
	if (compile(&arena, &err) == 0)
		return 0;
	char line[MASU_ERROR_MAX + 2];
	snprintf(line, sizeof(line), "%s\n", err.message);
	return fs_write_all(STDERR_FILENO, line, strlen(line)) < 0 ? 2 : 1;
}
