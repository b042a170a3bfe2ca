/* Names of architectures and system calls, and the calls that go through another one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True for the names of runtime-spec's config-linux.md ("SCMP_ARCH_X86_64"). */
bool arch_name_known(const char *name);
/* libseccomp's SCMP_ARCH_* value, 0 where this libseccomp does not know it. */
uint32_t arch_from_name(const char *name);

/*
 * True where @name can also be reached through socketcall(2) or ipc(2), with the value of its first
 * argument (linux/net.h SYS_*, linux/ipc.h).
 */
bool multiplexed_call(const char *name, const char **ret_through, unsigned *ret_call);
