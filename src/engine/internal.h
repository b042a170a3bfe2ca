/* What the files of src/engine share beyond the container's files (store.h). */
#pragma once

#include "base/str.h"
#include "cgroup/cgroup.h"
#include "engine/engine.h"
#include "engine/store.h"
#include "exec/exec.h"
#include "network/network.h"
#include "storage/storage.h"

/* The storage driver, opened on first use. */
int engine_storage(struct engine *engine, const struct storage_ops **ret_ops, struct storage **ret,
		   struct masu_error *err);
/* The one that the container has: another one only where a migration did not come to its end. */
int container_storage(struct engine *engine, const struct container *container,
		      const struct storage_ops **ret_ops, struct storage **ret,
		      struct masu_error *err);

/* What a driver is asked for this container, without flags; it points into @container. */
struct storage_mount_request container_layers(const struct container *container);

/* "<runroot>/containers/<id>", for a driver that has something to keep there. */
int container_state_dir(const struct engine *engine, struct arena *arena,
			const struct container *container, const char **ret,
			struct masu_error *err);

/* 125 for every failure that has no exit status of its own. */
int engine_failure(struct masu_error *err, int r);

/*
 * Loads a container and holds its lock until *ret_lock is closed. The lock first, the truth after
 * it: whoever had it may have changed what there is.
 */
int container_load_locked(struct engine *engine, struct arena *arena, const char *id,
			  struct container *ret, int *ret_lock, struct masu_error *err);

/* SIGKILL to the container's init and the wait for its recorded end; fine where it has none. */
int container_force_end(struct engine *engine, const char *id, struct masu_error *err);

/* Waits until the end is recorded, for who does not tell what it was; a container that is removed
 * by itself is gone then. */
int container_await_end(struct engine *engine, const char *id, struct masu_error *err);

/* Ends what create prepared (park.c) and waits for it to be taken down; else does nothing. */
int container_unpark(const struct container *container, struct masu_error *err);

/* ---- precopy.c ---- */

/* Files of the image, and all those in directories of it, into the new container's writable layer.
 */
int container_precopy(const struct storage_ops *ops, struct storage *storage,
		      const struct storage_mount_request *request, const char *const *paths,
		      struct masu_error *err);

/* ---- pause.c ---- */

/* Whether a running container is paused: "<prefix>" leads from @dir to its live directory, @live is
 * its live.json. One system call where it was never paused. */
int container_is_frozen(int dir, const char *prefix, const struct json *live, bool *ret,
			struct masu_error *err);
/* The monitor's part of engine_hold(): its caller has hung up. Takes no lock, waits for nobody. */
void container_end_hold(struct engine *engine, const char *id);
/* Lets a paused container go on; one that is not paused is fine. */
int container_thaw(struct engine *engine, const char *id, struct masu_error *err);

/* ---- user.c: users and groups as the container's own files name them ---- */

struct user_identity {
	uint32_t uid, gid;
	uint32_t *groups; /* supplementary, in the arena */
	size_t group_count;
};

/*
 * Resolves Docker's "user[:group]" (names or numbers; "" is root) by /etc/passwd and /etc/group
 * inside @root_fd, and adds the groups of --group-add. Files that are no regular files, too big or
 * damaged count as absent, so only numbers work then.
 */
int user_resolve(struct arena *arena, int root_fd, const char *user, const char *const *group_add,
		 struct user_identity *ret, struct masu_error *err);

/* ---- spec*.c: the OCI runtime spec of a container ---- */

struct spec_context {
	struct engine *engine;
	struct arena *arena;
	const struct container *container;
	int root_fd; /* of the container's root, mounted; -1 where only exec needs it */
	const char *hosts, *hostname, *resolv_conf;	/* files to bind over /etc; NULL: none */
	const char *join_network, *join_pid, *join_ipc; /* namespace paths; NULL: own or host's */
};

int spec_build(const struct spec_context *context, struct oci_spec *ret, struct masu_error *err);

int spec_process(const struct spec_context *context, struct oci_process *ret,
		 struct masu_error *err);
/* Environment of a process: Docker's defaults, the configured variables, then @more. HOME is the
 * exec driver's: it knows the container's own passwd file. */
char **spec_environment(struct arena *arena, const struct container_config *config,
			const char *hostname, bool tty, char *const *more);
/* What --cap-add, --cap-drop and --privileged come to, as a bounding set. */
int spec_capabilities(const struct container_config *config, uint64_t *ret, struct masu_error *err);
int spec_namespaces(const struct spec_context *context, struct oci_spec *spec,
		    struct masu_error *err);
/* The cgroup's path, limits and device rules. */
int spec_cgroup(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err);
int spec_mounts(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err);
int spec_devices(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err);
int spec_resources(const struct spec_context *context, struct oci_spec *spec,
		   struct masu_error *err);
/* The paths that are hidden and those that cannot be written; false: the container is free of that.
 */
bool spec_protected_paths(const struct container_config *config, const char *const **ret_masked,
			  const char *const **ret_readonly);
/* The configuration's published ports as `update` wants them; they are not published yet. */
int update_ports(struct arena *arena, struct container *container,
		 const struct container_update *update, struct masu_error *err);
/* Memory and swap together, 0: no limit. */
int64_t spec_memory_swap(const struct container_config *config);
#define SHM_DEFAULT_BYTES (64 << 20)
int spec_security(const struct spec_context *context, struct oci_spec *spec,
		  struct masu_error *err);
/* Whether the container gets the filter that masu brings, and no profile of its own or none. */
bool spec_filter_is_default(const struct container_config *config);
const char *container_hostname(const struct container *container);

#define INIT_PATH_RELATIVE "sbin/docker-init"
#define INIT_PATH	   "/" INIT_PATH_RELATIVE /* where --init puts masu-init; Docker's place */

/* ---- etc_files.c ---- */

/*
 * Writes hostname, hosts and resolv.conf into the container's directory, as docker would for its
 * kind of network. hosts is rewritten in place once the address is known (etc_hosts_write()):
 * by then it is bound into the container.
 */
int etc_files_write(const struct container *container, struct masu_error *err);
int etc_hosts_write(const struct container *container, struct masu_error *err);
/* Writes once more what comes from the host's files. */
int etc_files_refresh(const struct container *container, struct masu_error *err);

/* "container:<id>" resolved: the id in @ret and true; false where @mode is not of that form. */
bool mode_container(const char *mode, const char **ret);
static inline bool mode_host(const char *mode)
{
	return mode && streq(mode, "host");
}
