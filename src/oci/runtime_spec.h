/*
 * The OCI runtime specification's config.json (1.2.x, Linux) as C structures.
 *
 * Everything lives in the arena it was parsed into. Strings are NUL-terminated. "has_*" tells an
 * absent number from zero. Enumerations and names (capabilities, namespaces, rlimits, scheduler
 * policies, mount options) are resolved by the parser, so that what masu does not know is refused
 * by name before anything is made. Field order follows config.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

struct oci_id_mapping {
	uint32_t container_id, host_id, size;
};

struct oci_id_map {
	struct oci_id_mapping *uid;
	size_t uid_count;
	struct oci_id_mapping *gid;
	size_t gid_count;
};

struct oci_pair {
	const char *key, *value;
};

struct oci_mount {
	const char *destination; /* absolute; a relative one (deprecated) was prefixed with "/" */
	const char *type;	 /* NULL: none given */
	const char *source;	 /* NULL: none given; relative ones are relative to the bundle */
	/* Options, resolved: */
	bool bind, recursive_bind;	       /* bind is set for "rbind" and type "bind" too */
	uint64_t attr_set, attr_clear;	       /* MOUNT_ATTR_* asked for on this mount */
	uint64_t rec_attr_set, rec_attr_clear; /* the "r…" options: recursively (rro, rnosuid, …) */
	unsigned long
		propagation; /* MS_SHARED|MS_PRIVATE|MS_SLAVE|MS_UNBINDABLE [|MS_REC], 0: none */
	unsigned long
		sb_flags; /* superblock flags: MS_SYNCHRONOUS, MS_DIRSYNC, MS_RDONLY ("ro") … */
	bool remount;
	bool copy_up;	   /* tmpcopyup */
	bool copy_symlink; /* "copy-symlink" (crun) is refused unless source is a symlink */
	bool idmap, idmap_recursive;	       /* "idmap"/"ridmap", or mappings present */
	bool source_nofollow, target_nofollow; /* "src-nofollow", "dest-nofollow" (crun) */
	struct oci_id_map mappings;
	const char *data; /* remaining options, comma-joined for fsconfig; "" when none */
	bool optional;	  /* masu's own: a missing source is no error ("optional" is not OCI) */
	int source_fd;	  /* masu's own: what is mounted, where @source only names it; 0: none */
};

enum oci_namespace {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT
};

struct oci_ns {
	bool present;	  /* listed in the spec: a new one, or the one at path */
	const char *path; /* NULL: a new one */
};

struct oci_device {
	const char *path;
	char type; /* 'c' (also for 'u'), 'b', 'p' */
	int64_t major, minor;
	bool has_mode;
	uint32_t mode; /* permission bits; default 0666 */
	uint32_t uid, gid;
};

struct oci_device_rule {
	bool allow;
	char type; /* 'a', 'c', 'b' */
	bool has_major, has_minor;
	int64_t major, minor; /* absent or -1: any */
	bool read, write, mknod;
};

struct oci_rlimit {
	int resource; /* RLIMIT_* */
	const char *name;
	uint64_t soft, hard;
};

#define OCI_CAP_BIT(n) (UINT64_C(1) << (n))
struct oci_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient; /* bit n: capability n */
};

struct oci_hook {
	const char *path; /* absolute */
	char **args;	  /* argv, NULL-terminated, argv[0] included; NULL when absent */
	char **env;	  /* NULL-terminated, NULL when absent */
	bool has_timeout;
	int timeout; /* seconds, > 0 */
};

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_COUNT
};

struct oci_hooks {
	struct oci_hook *list;
	size_t count;
};

struct oci_scheduler {
	bool present;
	uint32_t policy; /* SCHED_* */
	int32_t nice, priority;
	uint64_t flags;			    /* SCHED_FLAG_* */
	uint64_t runtime, deadline, period; /* nanoseconds */
};

struct oci_process {
	bool present;
	bool terminal;
	bool has_console_size;
	unsigned console_height, console_width;
	uint32_t uid, gid;
	bool has_umask;
	uint32_t umask;
	uint32_t *additional_gids;
	size_t additional_gid_count;
	char **args; /* NULL-terminated */
	char **env;  /* NULL-terminated; NULL when absent */
	const char *cwd;
	bool has_capabilities;
	struct oci_capabilities capabilities;
	struct oci_rlimit *rlimits;
	size_t rlimit_count;
	bool no_new_privileges;
	const char *apparmor_profile, *selinux_label;
	bool has_oom_score_adj;
	int oom_score_adj;
	struct oci_scheduler scheduler;
	bool has_io_priority;
	int io_priority_class, io_priority; /* IOPRIO_CLASS_*, 0..7 */
	const char *cpu_affinity_initial, *cpu_affinity_final;
};

struct oci_blkio_device {
	int64_t major, minor;
	bool has_weight, has_leaf_weight;
	uint16_t weight, leaf_weight;
	uint64_t rate;
};
struct oci_blkio_list {
	struct oci_blkio_device *list;
	size_t count;
};

/* A number that may be absent. */
struct oci_i64 {
	bool set;
	int64_t value;
};

struct oci_resources {
	bool present;
	struct oci_device_rule *devices;
	size_t device_count;
	struct {
		struct oci_i64 limit, reservation, swap, kernel, kernel_tcp, swappiness;
		bool has_disable_oom_killer, disable_oom_killer;
		bool has_use_hierarchy, use_hierarchy, check_before_update;
	} memory; /* bytes; -1: unlimited */
	struct {
		struct oci_i64 shares, quota, burst, period, realtime_runtime, realtime_period,
			idle;
		const char *cpus, *mems;
	} cpu;			   /* microseconds */
	struct oci_i64 pids_limit; /* -1: unlimited; 0 is a limit of none */
	struct {
		bool present;
		struct oci_i64 weight, leaf_weight;
		struct oci_blkio_list weight_device, read_bps, write_bps, read_iops, write_iops;
	} blkio;
	struct oci_hugepage_limit {
		const char *page_size; /* "2MB" */
		uint64_t limit;
	} * hugepages;
	size_t hugepage_count;
	struct {
		struct oci_i64 class_id;
		struct oci_network_priority {
			const char *name;
			uint32_t priority;
		} * priorities;
		size_t priority_count;
	} network;
	struct oci_rdma_limit {
		const char *name;
		struct oci_i64 handles, objects;
	} * rdma;
	size_t rdma_count;
	struct oci_pair *unified;
	size_t unified_count;
};

struct oci_seccomp {
	bool present;
	/* The section's own text: what the filter cache is keyed by and what masu-seccomp compiles.
	 */
	const char *source;
	size_t source_len;
	unsigned flags; /* SECCOMP_FILTER_FLAG_* of seccomp(2) */
	const char *listener_path, *listener_metadata;
};

struct oci_time_offset {
	bool set;
	int64_t secs;
	uint32_t nanosecs;
};

struct oci_spec {
	const char *version;
	struct oci_process process;
	bool has_root;
	const char *root_path; /* as written; relative to the bundle */
	bool root_readonly;
	const char *hostname, *domainname; /* NULL when absent */
	struct oci_mount *mounts;
	size_t mount_count;
	struct oci_hooks hooks[OCI_HOOK_COUNT];
	struct oci_pair *annotations;
	size_t annotation_count;
	/* linux */
	struct oci_ns namespaces[OCI_NS_COUNT];
	struct oci_id_map id_map;
	struct oci_time_offset monotonic, boottime;
	struct oci_device *devices;
	size_t device_count;
	struct oci_net_device {
		const char *name, *new_name; /* new_name NULL: keep */
	} * net_devices;
	size_t net_device_count;
	const char *cgroups_path; /* NULL when absent */
	struct oci_resources resources;
	const char *intel_rdt_closid, *intel_rdt_l3, *intel_rdt_membw;
	char **intel_rdt_schemata;
	bool has_intel_rdt, intel_rdt_monitoring;
	struct oci_pair *sysctl;
	size_t sysctl_count;
	struct oci_seccomp seccomp;
	unsigned long rootfs_propagation;      /* MS_*, 0 when absent */
	char **masked_paths, **readonly_paths; /* NULL-terminated, NULL when absent */
	const char *mount_label;
	bool has_personality;
	unsigned long personality; /* PER_* | flags for personality(2) */
	struct {
		bool present;
		int mode; /* MPOL_* with MPOL_F_* or-ed in */
		const char *nodes;
	} memory_policy;
	/* The document itself, for what is passed on verbatim (features, state, podman's
	 * annotations). */
	const struct json *document;
};

/*
 * Parses and validates a config.json. Unknown members are ignored as the spec asks; an unknown
 * value in a member that masu acts on is refused, the message naming the member by its path
 * ("process.capabilities.bounding[3]: unknown capability \"CAP_X\""), except where the spec or runc
 * tolerate it (capabilities unknown to the kernel: dropped with a warning).
 * @text must stay alive as long as *ret is used.
 */
int oci_spec_parse(struct arena *arena, const char *text, size_t len, struct oci_spec *ret,
		   struct masu_error *err);

/* Reads @bundle/config.json and parses it; the text is kept in the arena. */
int oci_spec_load(struct arena *arena, int bundle_fd, struct oci_spec *ret, struct masu_error *err);

/* A process document alone ("exec --process FILE", spec's `process` object). */
int oci_process_parse(struct arena *arena, const char *text, size_t len, struct oci_process *ret,
		      struct masu_error *err);

/* linux.resources alone ("update --resources FILE"). */
int oci_resources_parse(struct arena *arena, const char *text, size_t len,
			struct oci_resources *ret, struct masu_error *err);

/*
 * Resolves mount options in the OCI/fstab spelling ("nosuid", "rbind", "rro", "mode=1777" …) into
 * @mount. Also what the engine uses for --mount/-v options. Unknown ones are collected in data.
 */
int oci_mount_options(struct arena *arena, const char *const *options, size_t count,
		      struct oci_mount *mount, struct masu_error *err);

/* The mount options that are known, for `features`: NULL past the last; a name with two rows
 * follows itself. */
const char *oci_mount_option_name(size_t index);

/* Writes a spec as config.json (what the engine builds and `masu oci spec` prints). */
void oci_spec_write(struct json_writer *w, const struct oci_spec *spec);
/* A process document alone. */
void oci_process_write(struct json_writer *w, const struct oci_process *process);

/* Names both ways; NULL or -1 where unknown. Capability names with or without "CAP_", any case. */
const char *oci_capability_name(unsigned cap);
int oci_capability_number(const char *name);
const char *oci_namespace_name(enum oci_namespace ns); /* "pid", "network", … as in the spec */
int oci_namespace_number(const char *name);
unsigned long oci_namespace_clone_flag(enum oci_namespace ns);
int oci_rlimit_number(const char *name);   /* "RLIMIT_NOFILE" or "nofile" */
const char *oci_rlimit_name(int resource); /* "RLIMIT_NOFILE" */
