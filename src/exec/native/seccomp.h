/*
 * Seccomp filters: compiled once by libexec/masu/masu-seccomp (libseccomp, binary-tree optimised),
 * kept as BPF blobs in a root-only cache, loaded as they are on the hot path.
 *
 * Cache: <root>/cache/seccomp/<hash>.bpf holds the section's full text (compared byte by byte, so a
 * hash collision cannot load the wrong filter), the libseccomp and kernel ABI version, and the
 * program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/runtime_spec.h"

struct seccomp_filter; /* a program ready to load; memory in the arena or mapped from the cache */

/* Where the cache and the compiler are; set once by the program's start. */
struct seccomp_environment {
	const char *
		cache_dir; /* absolute; made 0700 when missing; NULL: no cache, compile each time */
	const char *compiler; /* absolute path of masu-seccomp */
};
void seccomp_configure(const struct seccomp_environment *environment);

/* Parent side: finds or compiles the filter. *ret NULL where @section is absent. */
int seccomp_prepare(struct arena *arena, const struct oci_seccomp *section,
		    struct seccomp_filter **ret, struct masu_error *err);

/* For a child that is another program: the filter to a file, and back. */
int seccomp_export(const struct seccomp_filter *filter, int fd);
int seccomp_import(struct arena *arena, int fd, const struct oci_seccomp *section,
		   struct seccomp_filter **ret, struct masu_error *err);

/*
 * Child side: installs it with seccomp(2) and the section's flags. With a listener the notify fd is
 * returned in *ret_listener, else -1. Needs no_new_privs or CAP_SYS_ADMIN.
 */
int seccomp_enter(const struct seccomp_filter *filter, int *ret_listener, struct masu_error *err);
bool seccomp_has_listener(const struct seccomp_filter *filter);

/*
 * Docker's default policy for a container with the given bounding capabilities, as an OCI
 * `linux.seccomp` section in JSON text. Static or in @arena. The text depends on nothing else, so
 * its filter is compiled once a machine.
 */
int seccomp_default_section(struct arena *arena, uint64_t bounding, const char **ret,
			    size_t *ret_len, struct masu_error *err);
