/* What the seccomp tests compare masu's compiler with: an interpreter for classic BPF as seccomp(2)
 * runs it, libseccomp's own linear filter, and the section evaluated rule by rule. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "cold/seccomp/compile.h"

/* The action; aborts the test where the kernel would have refused the program. */
uint32_t oracle_run(const struct seccomp_program *program, const struct seccomp_data *data);

/* Compiles the section with libseccomp, unoptimised. */
struct seccomp_program oracle_libseccomp(struct arena *arena, const char *section, size_t len);

/* The rules of @section applied as cold/seccomp/policy.h says; names resolved by libseccomp. */
uint32_t oracle_rules(const char *section, size_t len, const struct seccomp_data *data);

/* The name of a system call into @ret, for messages. */
const char *oracle_name(uint32_t scmp_arch, int nr, char *ret, size_t size);
