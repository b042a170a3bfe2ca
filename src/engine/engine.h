/*
 * The engine: containers as Docker's users know them, on top of images, storage, networks, volumes,
 * cgroups and exec drivers. The command line and the API server call exactly this.
 *
 * There is no daemon. A container that runs has one monitor: a fork of the program that started it,
 * which holds the container's stdio, writes its log, waits for it by pidfd, records its end, and
 * serves <runroot>/containers/<id>/ctl.sock. Everything else is files:
 *   <root>/containers/<id>/      container.json (what it is, never changed by running it),
 *                                state.json (how it last started and ended), config.json (the OCI
 *                                bundle of the last start), hostname, hosts, resolv.conf, the log
 *   <root>/names/                one symlink a name -> id: exclusive creation decides who gets it
 *   <runroot>/containers/<id>/   live.json (pid, start time, monitor, cgroup, network), ctl.sock;
 *                                exists while there is a monitor or something to clean up
 * What a crash left is put right by whoever touches the object next (engine_load()).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "image/image.h"
#include "network/network.h"
#include "oci/runtime_spec.h"
#include "storage/config.h"
#include "storage/storage.h"

struct engine {
	int root_fd, run_fd;
	const char *root, *runroot; /* absolute */
	const char *libexec;	    /* directory of the cold programs */
	const char *self_path;
	char storage_driver[STORAGE_NAME_MAX]; /* that the root has */
	bool storage_leaving;		       /* containers may have another one */
	struct storage *storage;	       /* opened on first use */
	const struct storage_ops *other_ops;   /* … and of containers that have another */
	struct storage *other_storage;
	int volumes_fd; /* locked, where @volumes_held says how often */
	unsigned volumes_held;
};

/* Opens both roots, making them where missing. @ret is the caller's. */
int engine_open(const char *root, const char *runroot, const char *libexec, const char *self_path,
		struct engine *ret, struct masu_error *err);
void engine_close(struct engine *engine);

enum mount_kind { MOUNT_BIND, MOUNT_VOLUME, MOUNT_TMPFS };

struct mount_config {
	enum mount_kind kind;
	const char *source; /* absolute host path, or volume name (NULL: anonymous) */
	const char *target; /* absolute, clean */
	bool readonly;
	bool create_source; /* given by -v, which makes a missing host directory; --mount does not
			     */
	bool create_mountpoint; /* --mount bind-create-src: makes a missing host directory */
	bool nocopy;
	bool nonrecursive;
	const char *recursive;	 /* "writable", "readonly": --mount bind-recursive; NULL: default */
	const char *propagation; /* "rprivate" … ; NULL: default */
	int64_t tmpfs_size;	 /* bytes, 0: unlimited */
	uint32_t tmpfs_mode;	 /* 0: 01777 */
	const char *tmpfs_options; /* --tmpfs's own options, comma separated; NULL */
	const char *volume_driver;
	const char *subpath; /* of a volume: what of it is mounted; NULL: all */
	struct oci_pair *volume_options, *volume_labels;
	size_t volume_option_count, volume_label_count;
};

struct device_config {
	const char *host, *container, *permissions; /* "rwm" */
};

/* What is limited or weighed for one block device, by its host path. */
enum blkio_limit {
	BLKIO_WEIGHT,
	BLKIO_READ_BPS,
	BLKIO_WRITE_BPS,
	BLKIO_READ_IOPS,
	BLKIO_WRITE_IOPS,
	BLKIO_LIMIT_COUNT
};

struct blkio_device_config {
	enum blkio_limit limit;
	const char *path;
	uint64_t value; /* weight, or bytes or operations a second */
};

enum restart_policy { RESTART_NO, RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED };

/* One network that a container is connected to. */
struct network_config {
	const char *name, *ip, *ip6, *mac_address; /* NULL: chosen */
	const char **aliases;
	int gw_priority; /* the default route leads through the highest, of equals the first */
};
#define CONTAINER_NETWORKS_MAX 32

/*
 * What `create` is asked for: the image's configuration merged with the options, saved in
 * container.json under Docker's names (Config, HostConfig), so that inspect is a rewrite of it.
 * Absent strings are NULL, absent numbers 0, lists NULL-terminated or counted.
 */
struct container_config {
	const char *image; /* as typed */
	const char *name;  /* NULL: a random one */
	const char *hostname, *domainname, *user, *working_dir, *stop_signal, *mac_address;
	char **env, **cmd, **entrypoint; /* entrypoint NULL: the image's; {""}: none */
	bool entrypoint_set, cmd_set;
	struct oci_pair *labels;
	size_t label_count;
	bool tty, open_stdin, attach_stdin, attach_stdout, attach_stderr;
	bool stdin_once;  /* stdin ends with the first attached client (`run -i` sets it) */
	int stop_timeout; /* seconds; -1: default 10 */
	struct image_healthcheck healthcheck;
	bool no_healthcheck;
	const char *health_on_failure; /* "kill", "restart", "stop"; NULL: nothing */
	char **shell;		       /* the image's, for checks in its words; NULL: /bin/sh -c */
	/* HostConfig */
	struct mount_config *mounts;
	size_t mount_count;
	const char **volumes_from;
	const char **precopy; /* paths of the image that are copied up when the container is made */
	struct network_port *ports;
	size_t port_count;
	const char **expose;
	bool publish_all;
	const char *network; /* "bridge", "host", "none", "container:<id>", a user network; NULL:
				bridge */
	const char **network_options;	 /* "accel=sockmap" */
	struct network_config *networks; /* the first is @network; NULL: that alone, as it is */
	size_t network_count;
	const char **dns, **dns_options, **dns_search, **extra_hosts;
	const char *ipc_mode, *pid_mode, *uts_mode, *cgroupns_mode, *userns_mode;
	const char *cgroup_parent;
	const char *runtime; /* exec driver: "native" (NULL), "oci:crun" … */
	const char **cap_add, **cap_drop;
	bool privileged, readonly_rootfs, init, auto_remove;
	const char **security_opt;
	const char **group_add;
	struct device_config *devices;
	size_t device_count;
	const char **device_cgroup_rules;
	struct oci_pair *sysctls;
	size_t sysctl_count;
	struct oci_rlimit *ulimits;
	size_t ulimit_count;
	int64_t memory, memory_reservation, memory_swap, kernel_memory, shm_size; /* bytes */
	int64_t memory_swappiness;						  /* -1: unset */
	int64_t nano_cpus, cpu_shares, cpu_quota, cpu_period, cpu_rt_runtime, cpu_rt_period;
	const char *cpuset_cpus, *cpuset_mems;
	int64_t pids_limit, blkio_weight;
	struct blkio_device_config *blkio_devices;
	size_t blkio_device_count;
	bool oom_kill_disable;
	bool proc_limits; /* --proc=limits: /proc and /sys tell the limits, by lxcfs (proc_view.h)
			   */
	int oom_score_adj;
	enum restart_policy restart;
	int restart_max;
	const char *log_driver;
	struct oci_pair *log_options;
	size_t log_option_count;
	struct oci_pair *storage_options;
	size_t storage_option_count;
	struct oci_pair *annotations;
	size_t annotation_count;
};

enum container_status {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_RESTARTING,
	CONTAINER_REMOVING,
	CONTAINER_EXITED,
	CONTAINER_DEAD
};
const char *container_status_name(enum container_status status);

/* A container as loaded from disk, with the truth about its processes checked. */
struct container {
	char id[65];
	const char *name;
	const char *image_id; /* sha256:… */
	struct container_config config;
	const char **args;	/* what runs: entrypoint + cmd */
	const char **chain_ids; /* layers, lowest first */
	const char *storage_driver;
	int dir_fd, run_fd; /* its two directories; run_fd -1: never started since boot */
	enum container_status status;
	pid_t pid; /* init in the host's pid namespace, 0 when not running */
	uint64_t pid_start_time;
	pid_t monitor_pid; /* 0: none is alive */
	int exit_code;
	bool oom_killed, dead;
	bool manually_stopped;			  /* the last end was asked for: stop, kill */
	const char *error;			  /* of the last start, "" */
	const char *created, *started, *finished; /* RFC 3339 with nanoseconds */
	int restart_count;
	const char *health; /* "starting", "healthy", "unhealthy"; NULL: no check is made */
	struct network_endpoint *endpoints;
	size_t endpoint_count;
	const char *log_path;	   /* absolute; "" with the log driver "none", and in lists */
	const struct json *record; /* container.json as read */
	const struct json *live;   /* live.json as read, NULL where there is none */
};

/* Resolves a name, full id or unique prefix. -ENOENT: "No such container: x". */
int engine_resolve(struct engine *engine, const char *name_or_id, char ret_id[65],
		   struct masu_error *err);
/* Loads and, where a crash left it in an untrue state, repairs the record. */
int engine_load(struct engine *engine, struct arena *arena, const char *id, struct container *ret,
		struct masu_error *err);
void container_close(struct container *container);
/* All containers, newest first; only running ones unless @all. */
int engine_list(struct engine *engine, struct arena *arena, bool all, struct container **ret,
		size_t *ret_count, struct masu_error *err);
/*
 * The same for any number of containers: calls @fn for each, in no order. What it is given, the
 * arena included, is gone when it returns; a negative return ends the walk.
 */
typedef int (*engine_each_fn)(void *opaque, struct arena *arena, const struct container *container,
			      struct masu_error *err);
int engine_each(struct engine *engine, bool all, engine_each_fn fn, void *opaque,
		struct masu_error *err);
/*
 * A creation holds this lock shared from where it looks its volumes up until its record names them;
 * who removes volumes that no record names holds it exclusively from the look to the removal.
 * May be nested; blocks for as long as a creation takes.
 */
int engine_volumes_lock(struct engine *engine, bool exclusive, struct masu_error *err);
void engine_volumes_unlock(struct engine *engine);
/* Running, paused or restarting: what `ps` shows without -a. */
bool container_is_alive(const struct container *container);

/* Makes the record, the writable layer and the bundle. Durable unless auto_remove. */
int engine_create(struct engine *engine, struct arena *arena, const struct container_config *config,
		  char ret_id[65], struct masu_error *err);

/* The caller's side of an attachment: what the CLI relays. */
struct engine_attach {
	/* In: which streams; the terminal's size, 0: unknown. */
	bool stdin_, stdout_, stderr_;
	unsigned short rows, columns;
	/* Out: -1 where not attached. */
	int stream_fd; /* raw bytes with a tty, Docker's 8-byte-framed stream without: protocol.h */
	int control_fd; /* resize requests out, events in */
};

/*
 * Starts a created or exited container; returns when its program runs, or with why it does not
 * (err->exit_status 125, 126 or 127). With @attach non-NULL no byte of its output is lost and
 * control_fd reports the end; starting a running container is no error, then only attaches.
 */
int engine_start(struct engine *engine, struct arena *arena, const char *id,
		 struct engine_attach *attach, struct masu_error *err);
/*
 * engine_start() where that is only a message to the monitor that create left behind (park.c), so
 * that the caller forks nothing. 1: it is not parked, or no longer; nothing has happened.
 */
int engine_start_parked(struct engine *engine, const char *id, struct engine_attach *attach,
			struct masu_error *err);
/* engine_create() and engine_start() in one go, for `run`: what create knows is not read again.
 * @ret_id is filled as soon as the container exists, also where starting it failed. */
int engine_run(struct engine *engine, struct arena *arena, const struct container_config *config,
	       struct engine_attach *attach, char ret_id[65], struct masu_error *err);
int engine_attach(struct engine *engine, const char *id, struct engine_attach *attach,
		  struct masu_error *err);
/*
 * Blocks for the end of the container behind @control_fd (after all its output was sent to the
 * stream). With auto_remove the container is gone by then. *ret_status: its exit status.
 */
int engine_attach_wait(int control_fd, int *ret_status, struct masu_error *err);
/* Tells the terminal's new size. Errors are of no interest to a caller. */
int engine_attach_resize(int control_fd, unsigned short rows, unsigned short columns);
void engine_attach_close(struct engine_attach *attach);

/* Waits for the end (or the next end) of a container; *ret_status is its exit code, which is on
 * disk then. */
int engine_wait(struct engine *engine, const char *id, int *ret_status, struct masu_error *err);
/* Waits until a container is as asked for, or has been since the call. */
enum wait_condition {
	WAIT_NOT_RUNNING, /* at once where it does not run, also where it never has */
	WAIT_NEXT_EXIT,	  /* the next end, of a later start where it does not run now */
	WAIT_REMOVED,
	WAIT_RUNNING,
	WAIT_PAUSED,
	WAIT_HEALTHY,
	WAIT_UNHEALTHY,
	WAIT_CREATED /* it exists */
};
int engine_wait_for(struct engine *engine, const char *id, enum wait_condition condition,
		    int *ret_status, struct masu_error *err);

#define STOP_TIMEOUT_OWN INT32_MIN
struct stop_options {
	int timeout; /* seconds until SIGKILL, negative: never; STOP_TIMEOUT_OWN: the container's */
	int sig;     /* 0: the container's stop_signal */
	bool system; /* not by hand: `system start` starts again what the policy says */
	bool keep;   /* to start it again, so it is not removed although it was made with --rm */
};
int engine_kill(struct engine *engine, const char *id, int sig, struct masu_error *err);
int engine_stop(struct engine *engine, const char *id, const struct stop_options *options,
		struct masu_error *err);
#define ENGINE_REMOVE_FORCE   1u
#define ENGINE_REMOVE_VOLUMES 2u
/* A record that cannot be read, by what engine_load() and the like return. */
bool engine_is_damaged(int r);
/* Removes a container whose record cannot be read, whatever it does; its volumes stay. */
int engine_remove_damaged(struct engine *engine, struct arena *arena, const char *id,
			  struct masu_error *err);
/* What is removed is gone; its files are engine_tidy_behind()'s. */
int engine_remove(struct engine *engine, const char *id, unsigned flags, struct masu_error *err);
/*
 * Deletes the files of what was removed, and what killed commands left, in a process of its own:
 * freeing blocks waits for the disk, on some filesystems for each file. For the end of a command,
 * with its output written.
 */
void engine_tidy_behind(struct engine *engine);

/* One of several containers that a verb is for, and what became of it. */
struct engine_target {
	char id[65];
	int result; /* 0 or -errno, then with @err; set to an error before the call: left out */
	struct masu_error err;
};
/*
 * The same for several at once: all are sent their signal before any is waited for. @done (may be
 * NULL) is called with each index as soon as its result is there.
 */
typedef void (*engine_done_fn)(void *opaque, size_t index);
void engine_stop_all(struct engine *engine, const struct stop_options *options,
		     struct engine_target *targets, size_t count, engine_done_fn done,
		     void *opaque);
void engine_kill_all(struct engine *engine, int sig, struct engine_target *targets, size_t count);
void engine_remove_all(struct engine *engine, unsigned flags, struct engine_target *targets,
		       size_t count);

enum system_outcome {
	SYSTEM_STARTED,
	SYSTEM_RUNS,
	SYSTEM_UNSUPERVISED, /* it runs, but its monitor was killed */
	SYSTEM_FAILED	     /* with the error */
};
typedef void (*engine_system_fn)(void *opaque, const char *name, enum system_outcome outcome,
				 const struct masu_error *err);
/*
 * After the machine was down: puts right what that left of every container, starts those that their
 * restart policies promise, and tells of each that has a policy, or runs without a monitor.
 */
int engine_system_start(struct engine *engine, engine_system_fn fn, void *opaque,
			struct masu_error *err);

/* Freezes all processes of a running container, and lets them go on. */
int engine_pause(struct engine *engine, const char *id, struct masu_error *err);
int engine_unpause(struct engine *engine, const char *id, struct masu_error *err);
/*
 * Pauses a running container until engine_end_hold(), or until the caller is gone, however that
 * ends: its monitor lets it go when *ret_fd hangs up. Without a monitor *ret_fd is -1, and only the
 * caller can. Whoever unpauses it meanwhile has unpaused it.
 */
int engine_hold(struct engine *engine, const char *id, int *ret_fd, struct masu_error *err);
/* Closes @fd. When it returns the container goes on, unless somebody else paused it. */
void engine_end_hold(struct engine *engine, const char *id, int fd);
/* What a container uses, at one moment; counters grow. What cannot be told is not guessed: the has_
 * flag says so. All zero for a container that does not run. */
struct engine_stats {
	bool running;
	uint64_t taken_ns; /* CLOCK_MONOTONIC */
	bool has_cpu, has_memory, has_io, has_network, has_pressure;
	uint64_t cpu_ns;
	/* As docker counts: without the page cache that would be given back first. Where the
	 * container has no memory group it is what its processes hold (their proportional set size,
	 * so without page cache): memory_by_process. */
	uint64_t memory, memory_limit;
	bool memory_by_process;
	uint64_t tasks;
	uint64_t read_bytes, written_bytes;  /* block I/O */
	uint64_t received_bytes, sent_bytes; /* all interfaces of its network namespace but lo */
	uint64_t received_packets, sent_packets;
	struct engine_pressure {
		uint64_t some_us, full_us;   /* time waited, by some and by all of its tasks */
		unsigned some_avg, full_avg; /* of the last 10 s, hundredths of a percent */
	} cpu_pressure, memory_pressure, io_pressure;
};
int engine_stats(struct engine *engine, struct arena *arena, const char *id,
		 struct engine_stats *ret, struct masu_error *err);
/* Docker's CPU percentage: of the time of one CPU, between two readings. Hundredths of a percent.
 */
uint64_t engine_stats_cpu(const struct engine_stats *before, const struct engine_stats *now);

/* Text in columns, in the caller's arena. */
struct engine_table {
	const char *const *titles;
	size_t columns;
	const char ***rows;
	size_t count;
};
/* The processes of a running container as ps(1) shows them on the host; ps.h has the options,
 * NULL-terminated, that are understood. */
int engine_top(struct engine *engine, struct arena *arena, const char *id, char *const *ps_options,
	       struct engine_table *ret, struct masu_error *err);
/* What `update` changes. 0 and NULL: as it is. */
struct container_update {
	int64_t memory, memory_reservation, memory_swap, kernel_memory; /* bytes */
	int64_t nano_cpus, cpu_shares, cpu_quota, cpu_period, cpu_rt_runtime, cpu_rt_period;
	const char *cpuset_cpus, *cpuset_mems;
	int64_t blkio_weight;
	bool has_pids_limit, has_restart;
	int64_t pids_limit; /* 0 or less: none */
	enum restart_policy restart;
	int restart_max;
	const char **publish_add, **publish_rm; /* as `-p` takes them; NULL: none */
};
/*
 * Changes the limits, the published ports and the restart policy of a container, running or not;
 * durable. A limit that cannot be set leaves all as it was. *ret_warning: what a user should know
 * besides, or NULL.
 */
int engine_update(struct engine *engine, const char *id, const struct container_update *update,
		  const char **ret_warning, struct masu_error *err);
/* Gives a container another name, in one step for everybody who looks. Durable. */
int engine_rename(struct engine *engine, const char *id, const char *name, struct masu_error *err);

struct exec_config {
	char **args, **env;
	const char *user, *working_dir, *detach_keys;
	bool tty, open_stdin, detach, privileged;
};
/* What it fails with where masu-more has the container's exec driver, and nothing has been done. */
#define ENGINE_ELSEWHERE (-ENOEXEC)
/* Starts a process in a running container; the caller relays stdio through *ret and waits by pidfd.
 */
struct engine_exec {
	char id[65];
	struct container container; /* as it was; holds no files */
	pid_t pid;
	int pidfd, stdin_fd, stdout_fd, stderr_fd, console_fd;
};
int engine_exec(struct engine *engine, struct arena *arena, const char *id,
		const struct exec_config *config, struct engine_exec *ret, struct masu_error *err);
/* Waits for its end. */
int engine_exec_status(const struct engine_exec *exec, int *ret, struct masu_error *err);
/* To be called when it has ended with @status: tells `masu events`. */
void engine_exec_ended(struct engine *engine, const struct engine_exec *exec, int status);
/* The caller, whose signals are blocked from now on, goes and the process stays: somebody reads its
 * terminal, where it has one. */
void engine_exec_leave(struct engine *engine, const struct engine_exec *exec);
/* engine_exec() without stdio, in a process of its own that stays as the parent and tells the end.
 */
int engine_exec_behind(struct engine *engine, struct arena *arena, const char *id,
		       const struct exec_config *config, struct masu_error *err);

/* One piece of output from the log: a line, or a part of a long one. Valid during the call. */
struct log_entry {
	int stream;	  /* 1 stdout, 2 stderr */
	const char *time; /* RFC 3339 in UTC */
	size_t time_len;
	const char *attrs; /* JSON object of what --log-opt labels, env and tag chose; NULL: none */
	size_t attrs_len;
	const char *data; /* NULL: nothing more is there for now */
	size_t len;
};
/* A negative return ends the reading. */
typedef int (*engine_log_fn)(void *opaque, const struct log_entry *entry);
struct logs_config {
	bool follow;
	int64_t tail;		   /* last lines; -1: all */
	const char *since, *until; /* RFC 3339 in UTC, compared as text; NULL: no bound */
};
int engine_logs(struct engine *engine, struct arena *arena, const char *id,
		const struct logs_config *config, engine_log_fn fn, void *opaque,
		struct masu_error *err);

/* Bytes of the container's writable layer, and of it and its image together. */
int engine_size(struct engine *engine, struct arena *arena, const struct container *container,
		uint64_t *ret_writable, uint64_t *ret_total, struct masu_error *err);

/* ---- networks ---- */

/* Docker's documents of all networks, by name, in the arena; without their containers. */
int engine_network_list(struct engine *engine, struct arena *arena, const struct json ***ret,
			size_t *ret_count, struct masu_error *err);
/* The name of the network with this name, id or unique prefix of one, in the arena. -ENOENT. */
int engine_network_resolve(struct engine *engine, struct arena *arena, const char *name_or_id,
			   const char **ret, struct masu_error *err);
int engine_network_create(struct engine *engine, struct network_create *request, char ret_id[65],
			  struct masu_error *err);
/* -EBUSY: a container is connected to it. */
int engine_network_remove(struct engine *engine, const char *name_or_id, struct masu_error *err);
/* Connects a container, running or not, to one more network; durable. */
int engine_network_attach(struct engine *engine, const char *id,
			  const struct network_config *network, struct masu_error *err);
int engine_network_detach(struct engine *engine, const char *id, const char *network,
			  struct masu_error *err);

/* Docker's document of a network: a predefined one, or one that is defined. -ENOENT: neither. */
int engine_inspect_network(struct engine *engine, struct arena *arena, const char *name_or_id,
			   struct json_writer *w, struct masu_error *err);

/* Docker's inspect document of one container. */
int engine_inspect(struct engine *engine, struct arena *arena, const char *id,
		   struct json_writer *w, struct masu_error *err);
