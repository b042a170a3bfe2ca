#include "exec/native/trap.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "base/str.h"
#include "exec/exec.h"
#include "sys/socket_calls.h"
#include "sys/syscalls.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define INSNS_MAX 48

struct program {
	struct sock_filter insns[INSNS_MAX];
	unsigned short count;
};

static void put(struct program *program, uint16_t code, uint32_t k, uint8_t on_false)
{
	program->insns[program->count++] =
		(struct sock_filter) { .code = code, .jf = on_false, .k = k };
}

static void put_load(struct program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0);
}

static void put_number(struct program *program, uint32_t number)
{
	put(program, BPF_JMP | BPF_JEQ | BPF_K, number, 1);
	put(program, BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF, 0);
}

/* The call is the low half of the first argument of socketcall(2). */
static void put_socketcall(struct program *program, uint32_t number, unsigned traps)
{
	size_t low = offsetof(struct seccomp_data, args[0]) +
		     (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
	size_t test = program->count;
	put(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0);
	put_load(program, low);
	if (traps & EXEC_TRAP_LISTEN)
		put_number(program, SOCKETCALL_LISTEN);
	if (traps & EXEC_TRAP_BIND)
		put_number(program, SOCKETCALL_BIND);
	put(program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0);
	program->insns[test].jf = (uint8_t)(program->count - test - 1);
}

static void put_interface(struct program *program, const struct socket_calls *at, unsigned traps)
{
	put_load(program, offsetof(struct seccomp_data, arch));
	size_t test = program->count;
	put(program, BPF_JMP | BPF_JEQ | BPF_K, at->arch, 0);
	put_load(program, offsetof(struct seccomp_data, nr));
	if (traps & EXEC_TRAP_LISTEN)
		put_number(program, at->listen);
	if (traps & EXEC_TRAP_BIND)
		put_number(program, at->bind);
	if (at->socketcall)
		put_socketcall(program, at->socketcall, traps);
	program->insns[test].jf = (uint8_t)(program->count - test - 1);
}

int trap_load(unsigned traps, int *ret_listener, struct masu_error *err)
{
	struct program program = { .count = 0 };
	for (size_t i = 0; i < ARRAY_SIZE(socket_calls); i++)
		put_interface(&program, &socket_calls[i], traps);
	put(&program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0);
	const struct sock_fprog loaded = { .len = program.count, .filter = program.insns };
	/* Killable: a signal while the call is being answered must not make it happen twice. */
	long r = sys_ret(
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			&loaded));
	if (r < 0)
		return error_errno(err, (int)r, "seccomp: cannot trap calls");
	*ret_listener = (int)r;
	return 0;
}
