/*
 * `masu oci`: the OCI runtime command line, with runc's flags so that it can stand in for it.
 *
 * A container is a directory <root>/<id>/ (root: --root, default <runroot>/oci):
 *   config.json  the specification as it was at creation
 *   state.json   what else is known (struct oci_container)
 *   gate.sock    where a created container waits for `start`
 * The directory's mode tells how far creation came: 0710 while it is made or belongs to a
 * foreground `run`, 0700 once it was acknowledged. Whatever a killed create or run left is thereby
 * recognised, and removed by the next one that wants the same id. flock(2) on the directory orders
 * those who change it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "cli/command.h"
#include "json/json.h"
#include "oci/runtime_spec.h"

/* The global flags, and what follows from them. */
struct oci_runtime {
	struct cli_context *cli;
	struct arena *arena;
	const char *root;
	int root_fd;	     /* -1 until oci_open_root() */
	const char *libexec; /* NULL: unknown */
	const char *log_path, *log_format;
	bool systemd, cgroups_disabled;
	bool rootless;
};
extern struct oci_runtime oci_runtime;

enum oci_status { OCI_CREATING, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
const char *oci_status_name(enum oci_status status);

struct oci_container {
	const char *id;
	int dir_fd; /* holds the lock where one was taken */
	const char *bundle, *rootfs, *created, *owner, *version;
	pid_t pid; /* 0: not yet */
	uint64_t start_time;
	char boot_id[40];
	pid_t runner; /* of a foreground run, else 0 */
	uint64_t runner_start;
	bool systemd, cgroups_disabled;
	const char *cgroups_path;	/* of the spec; what the group is found by before */
	const struct json *cgroup;	/* cgroup_save()'s value is on record, NULL: none */
	const struct json *annotations; /* of the spec, NULL: none */
	const struct oci_spec *spec;	/* by oci_container_spec() */
	bool committed;
	bool begun; /* its process was made, so its hooks may have run */
};

/* ---- oci_state.c ---- */

bool oci_id_valid(const char *id);
int oci_open_root(bool create, struct masu_error *err);

/*
 * Makes the directory of a new container and locks it, after removing what a killed creation of the
 * same id left. -EEXIST where there is a container of that id.
 */
int oci_claim(const char *id, struct oci_container *ret, struct masu_error *err);

/* Loads a container; @lock waits for and takes its lock. -ENOENT: "container does not exist". */
int oci_load(const char *id, bool lock, struct oci_container *ret, struct masu_error *err);

/* The specification as of creation; kept in @container. */
int oci_container_spec(struct oci_container *container, struct masu_error *err);

/* Writes state.json. @cgroup: what to record, or NULL to keep what was read. */
int oci_save(const struct oci_container *container, const struct cgroup *cgroup,
	     struct masu_error *err);

/* From now on the container exists for everybody. */
int oci_commit(struct oci_container *container, struct masu_error *err);
/* Releases the lock and the directory's fd. */
void oci_container_close(struct oci_container *container);
#define _cleanup_oci_container_ __attribute__((cleanup(oci_container_close)))

/* What the processes and the freezer say now. */
int oci_status(const struct oci_container *container, enum oci_status *ret, struct masu_error *err);

/* A pidfd of the container's live init, or -ESRCH. */
int oci_pidfd(const struct oci_container *container);

/* Opens the container's group; *ret NULL where it has none. */
int oci_cgroup(const struct oci_container *container, struct cgroup **ret, struct masu_error *err);

/* Names of all containers on record, sorted. */
int oci_list_ids(const char ***ret, size_t *ret_count, struct masu_error *err);

/* The members of state.json that both `state` and `list` print. */
void oci_put_state(struct json_writer *w, const struct oci_container *container,
		   enum oci_status status);

/* ---- oci_remove.c ---- */

/*
 * Ends what is left of a container and removes everything: processes (with @force also live ones,
 * else -EBUSY), groups, poststop hooks run, directory. @known: its opened group, or NULL.
 */
int oci_remove(struct oci_container *container, struct cgroup *known, bool force,
	       struct masu_error *err);

/* ---- helpers of several verbs ---- */

/* Replaces @path by the pid, atomically for a reader (podman and containerd poll it). */
int oci_write_pid_file(const char *path, pid_t pid, struct masu_error *err);

/* --preserve-fds and $LISTEN_FDS: how many fds from 3 on are handed on; they must be open. */
int oci_count_fds(int64_t preserve, int *ret_total, int *ret_listen, struct masu_error *err);

/*
 * Stays with a foreground process: forwards signals and (with @console_fd >= 0) terminal bytes and
 * sizes until it ends. The status to exit with: its own, or 128 + signal.
 */
int oci_foreground(pid_t pid, int pidfd, int console_fd, struct masu_error *err);

/* Blocks what oci_foreground() will forward; before the process is made. */
void oci_foreground_prepare(bool subreaper);

extern const struct cli_command oci_create_command, oci_run_command, oci_start_command,
	oci_state_command, oci_kill_command, oci_delete_command, oci_exec_command, oci_ps_command,
	oci_pause_command, oci_resume_command, oci_update_command, oci_features_command,
	oci_spec_command, oci_list_command;
