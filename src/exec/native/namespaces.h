/*
 * Which namespaces a process gets, and how: new ones by clone3 flags, existing ones by setns().
 *
 * Exceptions that the kernel forces:
 *   cgroup  is unshared by the child after it joined its group, so that the group is its root;
 *   time    with offsets is unshared by the child, written, then entered;
 *   pid     by path is entered by the parent for its next child (and left again);
 *   user    together with any namespace by path needs one more process: the paths are joined with
 *           the host's privileges before the user namespace is entered.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

struct namespaces {
	unsigned long clone_flags; /* for clone3: CLONE_NEW* */
	bool new_cgroup, new_time_offsets;
	bool own[OCI_NS_COUNT]; /* not the caller's: a new one, or a path that leads elsewhere */
	bool new_network;	/* to bring the loopback up in */
	int fds[OCI_NS_COUNT];	/* opened paths, -1: none */
	bool joins;		/* any of fds but pid */
	bool new_user, user;	/* a new one; any */
	bool intermediate;	/* the extra process is needed */
};

/*
 * Parent: reads the spec, opens the paths (each must be a namespace of its kind). @network_ns_fd
 * replaces the spec's network namespace unless it is -1 (borrowed: a duplicate is kept).
 */
int namespaces_open(const struct oci_spec *spec, int network_ns_fd, struct namespaces *ret,
		    struct masu_error *err);
void namespaces_close(struct namespaces *ns);

/* Enters every opened path but pid and user. */
int namespaces_join(const struct namespaces *ns, struct masu_error *err);

/* Makes the parent's next child be born in the pid namespace at @fd; @ret_own brings back
 * its own. */
int namespaces_enter_pid(int fd, int *ret_own, struct masu_error *err);
void namespaces_leave_pid(int *own);

/* Brings "lo" up in the caller's network namespace. */
int namespaces_loopback_up(struct masu_error *err);

/* "monotonic 1 0\nboottime …": what /proc/PID/timens_offsets takes. */
int namespaces_time_offsets(const struct oci_spec *spec, char *dst, size_t size);
