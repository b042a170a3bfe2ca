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
	/*
	 * linux.cgroupsPath: "/a/b", "a/b" (below the caller's own group of each hierarchy) or
	 * "slice:prefix:name" for systemd. NULL: "/masu/<id>", "system.slice:masu:<id>"; rootless:
	 * below the caller's own group, "user.slice:masu:<id>". ".." and "/" are refused.
	 */
	const char *path;
	const char *id;
	const struct oci_resources *resources; /* limits to apply; may be absent */
	const struct oci_pair *annotations;    /* org.systemd.property.*, run.oci.systemd.* */
	size_t annotation_count;
	bool rootless;
	/* Owner of the delegated group with a user namespace; (uid_t)-1: keep. */
	uid_t owner_uid;
	gid_t owner_gid;
	const char *libexec; /* directory of masu-systemd; only the systemd manager needs it */
};

/*
 * Makes the directories and writes the limits (before any process is inside). On failure nothing is
 * left. Freed with cgroup_close(), which leaves the group in place.
 *
 * A group of that name that exists already: -EBUSY where a process is inside or it is frozen. An
 * empty one at the default path is a crash's leftover and made anew; one at a path that was asked
 * for may have been prepared by its owner and is kept with its settings.
 *
 * With the systemd manager nothing is made yet: a scope needs its first process, so the work is
 * done by cgroup_attach(), until which @request's resources and annotations must stay alive.
 *
 * A rootless caller that may not make groups, asked for no path and no limits: no group is made and
 * all further calls succeed doing nothing.
 */
int cgroup_create(const struct cgroup_request *request, struct cgroup **ret,
		  struct masu_error *err);

/* Opens an existing group from what cgroup_save() wrote. */
int cgroup_open(const struct json *saved, struct cgroup **ret, struct masu_error *err);
/* Writes the group's paths as a JSON value into the state record. */
void cgroup_save(const struct cgroup *cgroup, struct json_writer *w);
void cgroup_close(struct cgroup *cgroup);

/*
 * Prepares an opened group (cgroup_open()) for one more process to join: `exec`. @subgroup: a group
 * below it that must exist ("a/b", or "controller:a/b" for one v1 controller), NULL: its own. On
 * cgroup2 a container whose init has moved into a group of its own below (systemd in a container)
 * takes no process in the upper one, so the new process goes where @init_pid is.
 */
int cgroup_select(struct cgroup *cgroup, const char *subgroup, pid_t init_pid,
		  struct masu_error *err);

/*
 * Fd of the cgroup2 directory for CLONE_INTO_CGROUP, or -1 where there is none to clone into. Owned
 * by @cgroup. A caller that has asked is taken to use it: cgroup_join_self() then leaves the
 * cgroup2 tree out.
 *
 * A cgroup namespace takes the groups its creator is in at that moment as its roots, and clone3()
 * makes namespaces before it enters the group: so unshare(CLONE_NEWCGROUP) in the child, after
 * cgroup_join_self() (and after the parent's cgroup_attach() with the systemd manager).
 */
int cgroup_clone_fd(struct cgroup *cgroup);

/*
 * Called in the new process, before it leaves the host's mount namespace and while it is single
 * threaded: joins every hierarchy that clone3 did not. Async-signal-safe (prepared fds, write(2)).
 * Where cgroup_awaits_attach(), the parent has moved it already, and only the groups' names are
 * taken over into the child's copy of @cgroup.
 */
int cgroup_join_self(struct cgroup *cgroup, struct masu_error *err);

/* True where cgroup_attach() is what puts the process into its groups: then the child waits for the
 * parent's cgroup_attach() before cgroup_join_self() and before it unshares a cgroup namespace. */
bool cgroup_awaits_attach(const struct cgroup *cgroup);

/*
 * Called by the parent once the pid is known, for what a child cannot do itself (systemd scope).
 * A no-op with the cgroupfs manager.
 */
int cgroup_attach(struct cgroup *cgroup, pid_t pid, struct masu_error *err);

/* Replaces limits of a live group (`update`); device rules replace the earlier program. */
int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources,
		  struct masu_error *err);

/*
 * Whether @resources need hierarchies that a CGROUP_LAZY group has not joined yet, which
 * cgroup_update() will then do (*ret), and whether memory's is one of them (*ret_memory: what is in
 * use already is not charged to it). A caller whose record does not tell notes that first, and who
 * opens the group from the record calls cgroup_rediscover(), so that groups are found that were
 * joined since it was written, whoever was killed in between.
 */
int cgroup_missing(struct cgroup *cgroup, const struct oci_resources *resources, bool *ret,
		   bool *ret_memory, struct masu_error *err);
void cgroup_rediscover(struct cgroup *cgroup);
/* Moves processes that joined before that into the rediscovered groups. */
int cgroup_gather(struct cgroup *cgroup, struct masu_error *err);

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

/* How long processes waited for something they lacked (Documentation/accounting/psi.rst): for some
 * of them, and for all at once. */
struct cgroup_pressure {
	uint64_t some_us, full_us;   /* in all */
	unsigned some_avg, full_avg; /* of the last ten seconds, hundredths of a percent */
};

/* What `stats` shows. Counters grow; a value whose controller the group has not is 0, *has_ false.
 * The number of tasks is always there, and pressure where there is a cgroup2 group. */
struct cgroup_stats {
	uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_ns;
	bool has_cpu, has_memory, has_pids, has_io, has_pressure;
	struct cgroup_pressure cpu_pressure, memory_pressure, io_pressure;
	uint64_t memory_usage, memory_peak,
		memory_limit;	       /* limit: UINT64_MAX where there is none */
	uint64_t memory_inactive_file; /* page cache that would be given back first */
	uint64_t swap_usage;
	uint64_t oom_kills;
	uint64_t pids, pids_limit; /* limit as above */
	uint64_t io_read_bytes, io_write_bytes, io_reads, io_writes;
};
int cgroup_stats(struct cgroup *cgroup, struct cgroup_stats *ret, struct masu_error *err);

/*
 * The mounts that a container's "cgroup" mount needs (spec: mount type "cgroup"): called in the
 * container's mount namespace by exec/native with the target directory's fd, while the host's
 * /sys/fs/cgroup can still be reached and after cgroup_join_self(). @ns: a cgroup namespace is in
 * use, so cgroup2 is mounted anew, else the group's own directories are bound. @writable:
 * cgroup_mount_writable().
 */
int cgroup_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
		 bool writable, struct masu_error *err);

/*
 * Whether a container may write to its "cgroup" mount: where it says "rw", or says nothing and the
 * process has CAP_SYS_ADMIN, with which it could remount it (dockerd's --privileged only leaves the
 * "ro" out). Else read-only: what can write to a v1 hierarchy may reach a release_agent
 * (CVE-2022-0492).
 */
bool cgroup_mount_writable(const struct oci_spec *spec, const struct oci_mount *mount);

/*
 * Who owns the container's group, for owner_uid and owner_gid: the host's ids of the process's user
 * where the group is the container's to use (a new cgroup namespace, user namespace maps and a
 * writable mount at /sys/fs/cgroup: config-linux.md, "Cgroup ownership"), else -1.
 */
void cgroup_owner(const struct oci_spec *spec, uid_t *ret_uid, gid_t *ret_gid);

enum cgroup_layout cgroup_layout(void);
const char *cgroup_layout_name(enum cgroup_layout layout);

static inline void cgroup_closep(struct cgroup **cgroup)
{
	cgroup_close(*cgroup);
}
#define _cleanup_cgroup_ __attribute__((cleanup(cgroup_closep)))
