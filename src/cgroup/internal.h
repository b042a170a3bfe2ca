/*
 * What the files of src/cgroup share; nobody else includes it.
 *
 * A "tree" is one mounted hierarchy: the cgroup2 tree, or one v1 hierarchy with its (co-mounted)
 * controllers. A container's struct cgroup lists the trees of the machine and marks those it has a
 * group in. Limits are first turned into a plan, a list of file writes tagged with the controller
 * they belong to (pure functions: v1_plan(), v2_plan()), then carried out by plan_apply().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cgroup/cgroup.h"

enum controller {
	CTL_CPU,
	CTL_CPUACCT,
	CTL_CPUSET,
	CTL_MEMORY,
	CTL_PIDS,
	CTL_IO, /* "blkio" on v1 */
	CTL_DEVICES,
	CTL_FREEZER,
	CTL_HUGETLB,
	CTL_NET_CLS,
	CTL_NET_PRIO,
	CTL_RDMA,
	CTL_PERF,
	CTL_MISC,
	CTL_SYSTEMD, /* the named hierarchy "name=systemd": no controller, but joined as one */
	CTL_OTHER,   /* a controller or named hierarchy this table does not know */
	CTL_CORE,    /* cgroup.* files of cgroup2: always there */
	CTL_COUNT
};
#define CTL_BIT(c) (1u << (c))

/* The controller's name in /proc/self/cgroup (v1) and cgroup.controllers (v2). */
const char *controller_name(enum controller c, bool v2);
/* CTL_OTHER where the name is unknown. */
enum controller controller_parse(const char *name, size_t len);
/* The CTL_BIT()s of a list as /proc/self/cgroup (commas) or cgroup.controllers (blanks) has it. */
unsigned controllers_parse(const char *list);

struct cgroup_tree {
	bool v2;
	bool located;	      /* mount and own are checked, see tree_locate() */
	bool used;	      /* the container has a group here */
	bool made;	      /* or adopted by this cgroup_create(): undone when it fails */
	unsigned controllers; /* CTL_BIT()s; on cgroup2 those in the root's cgroup.controllers */
	const char *list;     /* the controllers' names as the kernel gives them */
	const char *name;     /* v1: the list without "name="; "unified" */
	const char *mount;    /* absolute */
	const char *own;      /* the caller's own group below the mount, "/…" */
	const char *path;     /* the container's group below the mount, "/a/b" */
	int mount_fd;	      /* O_PATH, -1 until needed */
	int dir_fd;	      /* of the group, -1 until needed */
	int join_fd;	      /* v1 `tasks`, v2 `cgroup.procs`, prepared for the joining child */
	size_t depth_made;    /* path components this cgroup_create() made, 0: it existed */
};

#define CGROUP_MAX_TREES 32

struct cgroup_ops;
struct device_rules;

struct cgroup {
	struct arena arena;
	enum cgroup_layout layout;
	enum cgroup_manager manager;
	const struct cgroup_ops *ops;
	unsigned flags;
	bool rootless;
	bool own_path; /* the default path was used: leftovers there are masu's own */
	bool cloned;   /* the caller uses CLONE_INTO_CGROUP: no write to the cgroup2 tree needed */
	struct buf mountinfo; /* read at most once */
	const char *relative; /* path below the caller's own groups, NULL: an absolute one */
	struct cgroup_tree trees[CGROUP_MAX_TREES];
	size_t tree_count;
	int unified; /* index of the cgroup2 tree, -1: none */
	uid_t owner_uid;
	gid_t owner_gid;
	/* systemd manager */
	const char *unit, *slice, *libexec;
	struct cgroup_request request; /* what cgroup_attach() needs of it; pointers are borrowed */
	bool shared; /* the manager makes groups too, and the process is inside: no leftover check
		      */
};

/* What differs between the layouts. Every slot is filled. cgroup.c calls none where the container
 * has no group at all. */
struct cgroup_ops {
	const char *name;
	/* Puts device rules in force, in place of any earlier ones. Makes the group it needs. */
	int (*devices)(struct cgroup *cgroup, const struct device_rules *rules,
		       struct masu_error *err);
	int (*freeze)(struct cgroup *cgroup, bool freeze, struct masu_error *err);
	int (*is_frozen)(struct cgroup *cgroup, bool *ret);
	/* SIGKILL to every process at once, those being forked included. */
	int (*kill_all)(struct cgroup *cgroup, struct masu_error *err);
	/* Waits until no process is left; -ETIMEDOUT, or -EBUSY where live ones remain. */
	int (*wait_empty)(struct cgroup *cgroup, struct masu_error *err);
	int (*oom_killed)(struct cgroup *cgroup, bool *ret);
	int (*stats)(struct cgroup *cgroup, struct cgroup_stats *ret);
	int (*mount)(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount,
		     bool ns, bool writable, struct masu_error *err);
};
extern const struct cgroup_ops v1_ops, v2_ops, hybrid_ops;

/* ---- detect.c ---- */

/*
 * Fills layout, ops and trees from @proc_cgroup (text of /proc/self/cgroup) and what is mounted
 * at @mount_root. Of the v1 trees only the names are known then: tree_locate() finds one when it is
 * needed.
 */
int cgroup_detect(struct cgroup *cgroup, const char *mount_root, const char *proc_cgroup,
		  struct masu_error *err);
/* The same for this process and /sys/fs/cgroup. */
int cgroup_detect_self(struct cgroup *cgroup, struct masu_error *err);
const struct cgroup_ops *cgroup_layout_ops(enum cgroup_layout layout);
/* Finds where @tree is mounted and corrects own (and path) accordingly; -ENOENT: nowhere. */
int tree_locate(struct cgroup *cgroup, struct cgroup_tree *tree);
/* The tree that hosts a controller, or NULL. */
struct cgroup_tree *cgroup_tree_of(struct cgroup *cgroup, enum controller c);
/* Some used tree to list processes in: cgroup2 before v1. NULL where nothing is used. */
struct cgroup_tree *cgroup_main_tree(struct cgroup *cgroup);
/* Opens what a group opened from a record has not opened yet. */
int tree_open(struct cgroup_tree *tree);

/* ---- path.c ---- */

/* A cgroupsPath cleaned into "/a/b"; refused: "..", an empty or root path, over-long parts. */
int path_clean(struct arena *arena, const char *path, const char **ret, struct masu_error *err);
/* @base (clean, "/" allowed) + "/" + @path, cleaned. */
int path_join(struct arena *arena, const char *base, const char *path, const char **ret,
	      struct masu_error *err);
/* "slice:prefix:name" (or NULL: defaults) -> unit name, slice, and the unit's group path. */
int path_systemd(struct arena *arena, const char *spec, const char *id, bool rootless,
		 const char **ret_unit, const char **ret_slice, const char **ret_path,
		 struct masu_error *err);
/* "a-b.slice" -> "/a.slice/a-b.slice"; "-.slice" -> "". */
int path_slice(struct arena *arena, const char *slice, const char **ret, struct masu_error *err);

/* ---- group.c: directories ---- */

/* Makes the group in one tree, see cgroup_create() about leftovers. */
int group_make(struct cgroup *cgroup, struct cgroup_tree *tree, struct masu_error *err);
/* Removes what group_make() made. */
void group_undo(struct cgroup_tree *tree);
/* Enables @controllers for the group along the cgroup2 path; only of the @required ones a failure
 * is one. */
int group_enable_controllers(struct cgroup *cgroup, unsigned controllers, unsigned required,
			     struct masu_error *err);
/* rmdir of the group and all below. -EBUSY where a process is inside. */
int group_rmdir(struct cgroup_tree *tree);
/* v1 cpuset: fills empty cpuset.cpus and cpuset.mems from the parents, top down. */
int group_init_cpuset(struct cgroup_tree *tree);
int group_chown(struct cgroup_tree *tree, uid_t uid, gid_t gid);

/* ---- join.c ---- */

/* Makes the groups of the @needed controllers that the container is not in yet, and moves all its
 * processes in. */
int cgroup_join_missing(struct cgroup *cgroup, unsigned needed, struct masu_error *err);

/* ---- plan.c ---- */

#define WRITE_RETRY 1u /* on -EINVAL once more after the others: values that bound each other */
#define WRITE_OPTIONAL                                                                             \
	2u		  /* a missing file is no error: the value says no more than its absence   \
			   */
#define WRITE_LINES    4u /* one write(2) a line */
#define WRITE_OBSOLETE 8u /* a kernel that has retired the knob refuses it: warn */

struct plan_write {
	struct plan_write *next;
	enum controller controller;
	unsigned flags;
	const char *member; /* of linux.resources, for messages */
	const char *file, *value;
	const char *alt_file, *alt_value; /* where @file does not exist; NULL: none */
	bool done;
};

struct plan {
	struct arena *arena;
	struct plan_write *first, **last;
	unsigned needed; /* CTL_BIT()s of the writes that are not optional */
	int error;	 /* -ENOMEM, sticky */
};

void plan_init(struct plan *plan, struct arena *arena);
struct plan_write *plan_add(struct plan *plan, enum controller c, unsigned flags,
			    const char *member, const char *file, const char *value);
struct plan_write *plan_number(struct plan *plan, enum controller c, unsigned flags,
			       const char *member, const char *file, int64_t value);
/* -ENOTSUP naming the first write whose controller the machine lacks. */
int plan_check(struct cgroup *cgroup, const struct plan *plan, struct masu_error *err);
int plan_apply(struct cgroup *cgroup, struct plan *plan, struct masu_error *err);
/* Builds the plan for all of @r, each controller in the spelling of the tree that hosts it. */
int plan_resources(struct cgroup *cgroup, const struct oci_resources *r, struct plan *plan,
		   struct masu_error *err);

/* v1.c, v2.c: @controllers says whose limits to emit. */
int v1_plan(struct plan *plan, unsigned controllers, const struct oci_resources *r,
	    struct masu_error *err);
int v2_plan(struct plan *plan, unsigned controllers, const struct oci_resources *r,
	    struct masu_error *err);
/* Checks that hold for both (combinations the kernel would refuse without saying why). */
int resources_validate(const struct oci_resources *r, struct masu_error *err);
/* Written alike on v1 and v2. */
void plan_pids(struct plan *plan, const struct oci_resources *r);
/* @file: what the limit's file is called on this version. */
void plan_hugetlb(struct plan *plan, const struct oci_resources *r, const char *file);
void plan_rdma(struct plan *plan, const struct oci_resources *r);
uint64_t cpu_weight_from_shares(uint64_t shares);
uint64_t io_weight_from_blkio(uint64_t weight);
/* memory.checkBeforeUpdate: -EBUSY where the new limit is below what is used now. */
int v2_check_usage(struct cgroup *cgroup, const struct oci_resources *r, struct masu_error *err);

/* ---- devices.c ---- */

#define DEVICE_ACCESS_MKNOD 1u /* BPF_DEVCG_ACC_*: the same bits */
#define DEVICE_ACCESS_READ  2u
#define DEVICE_ACCESS_WRITE 4u
#define DEVICE_ACCESS_ALL   7u
#define DEVICE_ANY	    (-1)

struct device_rule {
	bool allow;
	char type; /* 'a', 'b', 'c' */
	int64_t major, minor;
	unsigned access;
};
struct device_rules {
	struct device_rule *list; /* in order; for each access the last match decides */
	size_t count;
};

/* The spec's rules between "deny everything" and the devices every container has. */
int device_rules_build(struct arena *arena, const struct oci_resources *resources,
		       struct device_rules *ret);
/* True where they allow everything: nothing needs to be put in force. */
bool device_rules_allow_all(const struct device_rules *rules);
/* The decision the rules stand for; the reference for both implementations. */
bool device_rules_permit(const struct device_rules *rules, char type, int64_t major, int64_t minor,
			 unsigned access);

/* devices_v1.c: a default and exceptions from it, the only thing the v1 controller knows.
 * -EOPNOTSUPP where the rules cannot be said that way. */
struct device_exceptions {
	bool allow; /* what holds where no exception matches */
	struct device_rule *list;
	size_t count;
};
int device_rules_to_v1(struct arena *arena, const struct device_rules *rules,
		       struct device_exceptions *ret, struct masu_error *err);
int v1_devices(struct cgroup *cgroup, const struct device_rules *rules, struct masu_error *err);
/* Puts @set in force, with the processes frozen where the group is older than this call. */
int v1_put_exceptions(struct cgroup *cgroup, const struct device_exceptions *set,
		      struct masu_error *err);

/* devices_bpf.c */
struct bpf_insn;
int device_rules_to_bpf(struct arena *arena, const struct device_rules *rules,
			struct bpf_insn **ret, size_t *ret_count);
int v2_devices(struct cgroup *cgroup, const struct device_rules *rules, struct masu_error *err);
bool v2_has_device_program(struct cgroup *cgroup);

/* ---- the rest of the v1 and v2 tables, shared with hybrid ---- */
int v1_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err);
int v1_is_frozen(struct cgroup *cgroup, bool *ret);
int v1_kill_all(struct cgroup *cgroup, struct masu_error *err);
int v1_wait_empty(struct cgroup *cgroup, struct masu_error *err);
int v1_oom_killed(struct cgroup *cgroup, bool *ret);
int v1_stats(struct cgroup *cgroup, struct cgroup_stats *ret);
int v1_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
	     bool writable, struct masu_error *err);
int v2_freeze(struct cgroup *cgroup, bool freeze, struct masu_error *err);
int v2_is_frozen(struct cgroup *cgroup, bool *ret);
int v2_kill_all(struct cgroup *cgroup, struct masu_error *err);
int v2_wait_empty(struct cgroup *cgroup, struct masu_error *err);
int v2_oom_killed(struct cgroup *cgroup, bool *ret);
int v2_stats(struct cgroup *cgroup, struct cgroup_stats *ret);
int v2_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
	     bool writable, struct masu_error *err);

/* ---- stats.c ---- */
int stats_count_tasks(struct cgroup *cgroup, struct cgroup_stats *ret);

/* ---- process.c ---- */

/* Processes of one tree's group and all below. */
int tree_pids(struct cgroup_tree *tree, struct arena *arena, pid_t **ret, size_t *ret_count);
/* @sig to each process, by pidfd and only while it is still in the group. */
int tree_signal(struct cgroup_tree *tree, int sig, struct masu_error *err);
/* Waits for processes that are dying; -EBUSY, naming one, where there are others. */
int tree_wait_empty(struct cgroup_tree *tree, struct masu_error *err);
/* True where the process is on its way out: a zombie, exiting, or SIGKILL pending. */
bool process_is_dying(pid_t pid);

/* Waits until @key of an open cgroup.events has @value, by POLLPRI. A group that is removed
 * meanwhile counts as being there. -ETIMEDOUT. */
int cgroup_wait_event(int events_fd, const char *key, uint64_t value, int64_t timeout_ms);

/* Reads "key value" lines: the value of @key, or -ENOENT. */
int text_keyed(const char *text, const char *key, uint64_t *ret);
/* Calls @visit for the group's directory and each one below; stops at the first non-zero. */
int tree_walk(struct cgroup_tree *tree, int (*visit)(int dir_fd, void *opaque), void *opaque);

/* ---- cgroup.c ---- */
struct cgroup *cgroup_new(void);
/* cgroup_create() on what cgroup_detect() found. */
int cgroup_create_in(struct cgroup *cgroup, const struct cgroup_request *request,
		     struct masu_error *err);
/* Makes the groups, puts device rules and limits in force; undoes all of it on failure. */
int cgroup_set_up(struct cgroup *cgroup, const struct oci_resources *resources,
		  struct masu_error *err);

/* ---- systemd.c: the systemd manager's calls of libexec/masu/masu-systemd ---- */

/* Names the unit and checks what can be checked before there is a process. */
int systemd_prepare(struct cgroup *cgroup, const struct cgroup_request *request,
		    struct masu_error *err);
int systemd_start(struct cgroup *cgroup, pid_t pid, struct masu_error *err);
int systemd_stop(struct cgroup *cgroup, struct masu_error *err);
int systemd_update(struct cgroup *cgroup, const struct oci_resources *r, struct masu_error *err);

/* ---- systemd_properties.c ---- */

/* Limits (and the devices, always when @starting) as unit properties: a JSON array of {"name",
 * "type", "value"}, types as in D-Bus. */
void systemd_properties(struct cgroup *cgroup, const struct oci_resources *r, bool starting,
			struct json_writer *w);
