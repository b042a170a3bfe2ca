/*
 * Control groups: one ops table, three layouts.
 *   v2       /sys/fs/cgroup is cgroup2
 *   v1       named hierarchies under /sys/fs/cgroup
 *   hybrid   v1 controllers plus a cgroup2 tree without controllers (systemd's "unified")
 * and two managers: cgroupfs (masu makes the directories) and systemd (a transient scope is asked
 * for through libexec/masu/masu-systemd; only that manager starts a helper).
 *
 * Cost rules (DESIGN budgets): a group is joined by CLONE_INTO_CGROUP on v2 and, on v1, by the new
 * process itself writing "0" to `tasks`, which takes no threadgroup lock and so waits for no RCU
 * grace period; only hierarchies whose controllers are asked for are joined where
 * CGROUP_LAZY is set (the engine), all of them where a peer runtime would (masu oci).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "oci/runtime_spec.h"

enum cgroup_layout { CGROUP_V1, CGROUP_V2, CGROUP_HYBRID };
enum cgroup_manager { CGROUP_CGROUPFS, CGROUP_SYSTEMD };

#define CGROUP_LAZY 1u /* make and join only the v1 hierarchies that a limit needs */

struct cgroup; /* one container's group(s) in all hierarchies */

struct cgroup_request {
	enum cgroup_manager manager;
	unsigned flags;
	const char *path; /* linux.cgroupsPath: "/a/b", "a/b" (below the caller's own group) or
			     "slice:prefix:name" for systemd; NULL: "/masu/<id>" */
	const char *id;
	const struct oci_resources *resources; /* limits to apply; may be absent */
	const struct oci_pair *annotations;    /* org.systemd.property.*, run.oci.systemd.* */
	size_t annotation_count;
	bool rootless;
	/* Owner of the delegated group with a user namespace; (uid_t)-1: keep. */
	uid_t owner_uid;
	gid_t owner_gid;
};

/*
 * Makes the directories and writes the limits (before any process is inside). On failure nothing is
 * left. Freed with cgroup_close(), which leaves the group in place.
 */
int cgroup_create(const struct cgroup_request *request, struct cgroup **ret,
		  struct masu_error *err);

/* Opens an existing group from what cgroup_save() wrote. */
int cgroup_open(const struct json *saved, struct cgroup **ret, struct masu_error *err);
/* Writes the group's paths as a JSON value into the state record. */
void cgroup_save(const struct cgroup *cgroup, struct json_writer *w);
void cgroup_close(struct cgroup *cgroup);

/* Fd of the cgroup2 directory for CLONE_INTO_CGROUP, or -1 where there is no cgroup2 tree. Owned by
 * @cgroup. */
int cgroup_clone_fd(const struct cgroup *cgroup);

/*
 * Called in the new process, before it leaves the host's mount namespace and while it is single
 * threaded: joins every hierarchy that clone3 did not. Async-signal-safe (prepared fds, write(2)).
 */
int cgroup_join_self(const struct cgroup *cgroup, struct masu_error *err);

/*
 * Called by the parent once the pid is known, for what a child cannot do itself (systemd scope).
 * A no-op with the cgroupfs manager.
 */
int cgroup_attach(struct cgroup *cgroup, pid_t pid, struct masu_error *err);

/* Replaces limits of a live group (`update`); device rules replace the earlier program. */
int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources,
		  struct masu_error *err);

/* Freezer, synchronous: returns when the state is reached (waits on cgroup.events / freezer.state).
 */
int cgroup_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err);
int cgroup_is_frozen(struct cgroup *cgroup, bool *ret);

/* Every process in the group and below; *ret in the arena, count in *ret_count. */
int cgroup_pids(struct cgroup *cgroup, struct arena *arena, pid_t **ret, size_t *ret_count,
		struct masu_error *err);

/* SIGKILL (cgroup.kill where there is one) or @sig to all processes. */
int cgroup_kill(struct cgroup *cgroup, int sig, struct masu_error *err);

/*
 * Removes the group and everything below in all hierarchies. Processes that are still dying are
 * waited for on cgroup.events, not slept for; -EBUSY where live ones remain.
 */
int cgroup_remove(struct cgroup *cgroup, struct masu_error *err);

/* True where an OOM kill happened in the group or below (memory.events / memory.oom_control /
 * kmsg-free). */
int cgroup_oom_killed(struct cgroup *cgroup, bool *ret);

/*
 * The mounts that a container's "cgroup" mount needs (spec: mount type "cgroup"): called in the
 * container's mount namespace by exec/native with the target directory's fd. @ns: a cgroup
 * namespace is in use, so cgroup2 is mounted anew, else the group's own directories are bound.
 */
int cgroup_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
		 struct masu_error *err);

enum cgroup_layout cgroup_layout(void);
const char *cgroup_layout_name(enum cgroup_layout layout);

static inline void cgroup_closep(struct cgroup **cgroup)
{
	cgroup_close(*cgroup);
}
#define _cleanup_cgroup_ __attribute__((cleanup(cgroup_closep)))
