/*
 * The numbers of listen(2) and bind(2) on every interface to the kernel that this machine has:
 * the kernel's syscall tables, syscall(2). socketcall(2) carries both where there is one.
 */
#pragma once

#include <linux/audit.h>
#include <stdint.h>
#include <sys/syscall.h>

struct socket_calls {
	uint32_t arch;			   /* AUDIT_ARCH_* */
	uint32_t listen, bind, socketcall; /* socketcall 0: there is none */
	uint32_t word;			   /* bytes of an argument of socketcall(2) */
};

#define SOCKETCALL_BIND	  2
#define SOCKETCALL_LISTEN 4

static const struct socket_calls socket_calls[] = {
#if defined(__x86_64__)
	{ AUDIT_ARCH_X86_64, SYS_listen, SYS_bind, 0, 0 },
	{ AUDIT_ARCH_X86_64, 0x40000000 | SYS_listen, 0x40000000 | SYS_bind, 0, 0 }, /* x32 */
	{ AUDIT_ARCH_I386, 363, 361, 102, 4 },
#elif defined(__aarch64__)
	{ AUDIT_ARCH_AARCH64, SYS_listen, SYS_bind, 0, 0 },
	{ AUDIT_ARCH_ARM, 284, 282, 0, 0 },
#elif defined(__riscv) && __riscv_xlen == 64
	{ AUDIT_ARCH_RISCV64, SYS_listen, SYS_bind, 0, 0 },
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	{ AUDIT_ARCH_PPC64LE, SYS_listen, SYS_bind, SYS_socketcall, 8 },
#elif defined(__s390x__)
	{ AUDIT_ARCH_S390X, SYS_listen, SYS_bind, SYS_socketcall, 8 },
#endif
};
