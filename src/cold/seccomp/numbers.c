#include "cold/seccomp/numbers.h"

#include <ctype.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/seccomp/policy.h"

static const char *const arch_names[] = {
	"x86",	   "x86_64",	  "x32",    "arm",	"aarch64",     "mips",
	"mips64",  "mips64n32",	  "mipsel", "mipsel64", "mipsel64n32", "ppc",
	"ppc64",   "ppc64le",	  "s390",   "s390x",	"parisc",      "parisc64",
	"riscv64", "loongarch64", "m68k",   "sh",	"sheb",
};

/* "SCMP_ARCH_X86_64" -> "x86_64", which is what libseccomp resolves. */
static const char *arch_short_name(const char *name)
{
	char lower[32];
	const char *upper = str_after(name, "SCMP_ARCH_");
	size_t i = 0;
	if (!upper)
		return NULL;
	for (; upper[i] && i < sizeof(lower) - 1; i++) {
		if (islower((unsigned char)upper[i]))
			return NULL;
		lower[i] = (char)tolower((unsigned char)upper[i]);
	}
	lower[i] = '\0';
	for (size_t k = 0; k < ARRAY_SIZE(arch_names); k++)
		if (streq(lower, arch_names[k]))
			return arch_names[k];
	return NULL;
}

bool arch_name_known(const char *name)
{
	return arch_short_name(name) != NULL;
}

uint32_t arch_from_name(const char *name)
{
	const char *lower = arch_short_name(name);
	return lower ? seccomp_arch_resolve_name(lower) : 0;
}

/* Debian 12's libseccomp ends at 450; since 424 a call has the same number everywhere. */
static const struct {
	const char *name;
	unsigned nr;
} newer[] = {
	{ "cachestat", 451 },	      { "fchmodat2", 452 },	   { "map_shadow_stack", 453 },
	{ "futex_wake", 454 },	      { "futex_wait", 455 },	   { "futex_requeue", 456 },
	{ "statmount", 457 },	      { "listmount", 458 },	   { "lsm_get_self_attr", 459 },
	{ "lsm_set_self_attr", 460 }, { "lsm_list_modules", 461 }, { "mseal", 462 },
	{ "setxattrat", 463 },	      { "getxattrat", 464 },	   { "listxattrat", 465 },
	{ "removexattrat", 466 },     { "open_tree_attr", 467 },   { "file_getattr", 468 },
	{ "file_setattr", 469 },      { "listns", 470 },
};

/* Where an architecture's own numbers begin (asm/unistd.h __NR_Linux, __X32_SYSCALL_BIT). */
static unsigned arch_first_number(uint32_t scmp_arch)
{
	switch (scmp_arch) {
	case SCMP_ARCH_X32:
		return 0x40000000;
	case SCMP_ARCH_MIPS:
	case SCMP_ARCH_MIPSEL:
		return 4000;
	case SCMP_ARCH_MIPS64:
	case SCMP_ARCH_MIPSEL64:
		return 5000;
	case SCMP_ARCH_MIPS64N32:
	case SCMP_ARCH_MIPSEL64N32:
		return 6000;
	default:
		return 0;
	}
}

static const struct {
	const char *name, *through;
	unsigned call;
} multiplexed[] = {
	{ "socket", "socketcall", 1 },
	{ "bind", "socketcall", 2 },
	{ "connect", "socketcall", 3 },
	{ "listen", "socketcall", 4 },
	{ "accept", "socketcall", 5 },
	{ "getsockname", "socketcall", 6 },
	{ "getpeername", "socketcall", 7 },
	{ "socketpair", "socketcall", 8 },
	{ "send", "socketcall", 9 },
	{ "recv", "socketcall", 10 },
	{ "sendto", "socketcall", 11 },
	{ "recvfrom", "socketcall", 12 },
	{ "shutdown", "socketcall", 13 },
	{ "setsockopt", "socketcall", 14 },
	{ "getsockopt", "socketcall", 15 },
	{ "sendmsg", "socketcall", 16 },
	{ "recvmsg", "socketcall", 17 },
	{ "accept4", "socketcall", 18 },
	{ "recvmmsg", "socketcall", 19 },
	{ "sendmmsg", "socketcall", 20 },
	{ "semop", "ipc", 1 },
	{ "semget", "ipc", 2 },
	{ "semctl", "ipc", 3 },
	{ "semtimedop", "ipc", 4 },
	{ "msgsnd", "ipc", 11 },
	{ "msgrcv", "ipc", 12 },
	{ "msgget", "ipc", 13 },
	{ "msgctl", "ipc", 14 },
	{ "shmat", "ipc", 21 },
	{ "shmdt", "ipc", 22 },
	{ "shmget", "ipc", 23 },
	{ "shmctl", "ipc", 24 },
};

static int multiplexed_index(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(multiplexed); i++)
		if (streq(name, multiplexed[i].name))
			return (int)i;
	return -1;
}

bool multiplexed_call(const char *name, const char **ret_through, unsigned *ret_call)
{
	int i = multiplexed_index(name);
	if (i < 0)
		return false;
	*ret_through = multiplexed[i].through;
	*ret_call = multiplexed[i].call;
	return true;
}

/* The numbers that these calls have of their own on one architecture, -1 where they have none. */
struct direct_numbers {
	uint32_t scmp_arch;
	int nr[ARRAY_SIZE(multiplexed)];
};

static void find_direct_numbers(struct direct_numbers *direct, uint32_t scmp_arch)
{
	int first = (int)arch_first_number(scmp_arch);
	direct->scmp_arch = scmp_arch;
	for (size_t i = 0; i < ARRAY_SIZE(multiplexed); i++)
		direct->nr[i] = -1;
	for (int nr = first; nr < first + 512; nr++) {
		_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(scmp_arch, nr);
		int i = name ? multiplexed_index(name) : -1;
		if (i >= 0)
			direct->nr[i] = nr;
	}
}

/*
 * Where an architecture has socketcall(2) or ipc(2), libseccomp resolves the calls behind them to
 * made-up negative numbers even where they have one of their own; the other direction tells it.
 */
static int direct_number(uint32_t scmp_arch, const char *name)
{
	static struct direct_numbers known[8];
	static size_t count;
	int index = multiplexed_index(name);
	if (index < 0)
		return -1;
	size_t i = 0;
	while (i < count && known[i].scmp_arch != scmp_arch)
		i++;
	if (i == ARRAY_SIZE(known))
		i--;
	if (i >= count || known[i].scmp_arch != scmp_arch) {
		find_direct_numbers(&known[i], scmp_arch);
		count = i + 1;
	}
	return known[i].nr[index];
}

int64_t policy_syscall_number(uint32_t scmp_arch, const char *name)
{
	int nr = seccomp_syscall_resolve_name_arch(scmp_arch, name);
	if (nr >= 0)
		return nr;
	if (nr != __NR_SCMP_ERROR)
		return direct_number(scmp_arch, name);
	if (scmp_arch == SCMP_ARCH_X86_64 && streq(name, "uretprobe"))
		return 335;
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++)
		if (streq(name, newer[i].name))
			return (int64_t)arch_first_number(scmp_arch) + newer[i].nr;
	return -1;
}
