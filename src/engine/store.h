/* The files of a container and the names that lead to it; only src/engine uses this. */
#pragma once

#include "cgroup/cgroup.h"
#include "engine/engine.h"

/* ---- names.c ---- */

/*
 * Makes @name lead to @id: -EEXIST with Docker's conflict message where it leads to a container
 * that exists or is being made; what a killed creation left of the name is taken over.
 */
int name_claim(struct engine *engine, const char *name, const char *id, struct masu_error *err);
/* Picks a free random name. */
int name_claim_random(struct engine *engine, const char *id, char ret_name[64],
		      struct masu_error *err);
/* Lets go of @name where it leads to @id, and of what a rename has made of it meanwhile. */
void name_release(struct engine *engine, const char *name, const char *id);
/* The same without knowing which name it is, at the price of a look at every name. */
void name_release_all(struct engine *engine, const char *id);
/* Removes a name whose container is neither there nor being made: a killed `rm` left it. */
void name_drop_stale(struct engine *engine, const char *name);
/*
 * A rename, by the holder of the container's lock: from begin to end the container answers to that
 * of both names which its record has; end makes that the only one. -EEXIST as name_claim().
 */
int name_change_begin(struct engine *engine, const char *from, const char *to, const char *id,
		      struct masu_error *err);
void name_change_end(struct engine *engine, const char *name, const char *id);
/* -ENOENT without a message where there is no such name. */
int name_lookup(struct engine *engine, const char *name, char ret_id[65]);

/* ---- store.c ---- */

#define CONTAINER_PATH_MAX 96 /* "containers/<id>" and a file below */

/* "containers/<id>" below a root. */
const char *store_path(const char *id, char ret[CONTAINER_PATH_MAX]);

/* "containers/.new/<id>": where a container is made before it exists. */
const char *store_making_path(const char *id, char ret[CONTAINER_PATH_MAX]);

/* Makes the directory of a container in the making and takes its lock. */
int store_make(struct engine *engine, const char *id, int *ret_dir, int *ret_lock,
	       struct masu_error *err);
/* Writes container.json into the directory in the making; @durable: its content is synced. */
int store_write_record(const struct container *container, bool durable, struct masu_error *err);
/* Replaces container.json of a container that exists by one with its present name, host
 * configuration and networks; all else stays as it was read. */
int store_replace_record(const struct container *container, struct masu_error *err);
/* Moves the directory to its place: from then on the container exists. */
int store_publish(struct engine *engine, const struct container *container, struct masu_error *err);
/* Syncs what leads to the record: its directory, the containers, the names. */
int store_sync(struct engine *engine, const struct container *container, struct masu_error *err);
/* Moves what is being made, or was discarded, into the trash. */
void store_abandon(struct engine *engine, const char *id);
/* Writes state.json from the container's fields. */
int store_write_state(const struct container *container, bool durable, struct masu_error *err);
/* Makes what it says survive a power cut, for who is about to tell it; a missing one is fine. */
void store_sync_state(const struct container *container);
/* Writes live.json: what is needed to find, end and clean up what runs. @monitor_start_time is of
 * container->monitor_pid. @cgroup may be NULL. */
int store_write_live(const struct container *container, uint64_t monitor_start_time,
		     const struct cgroup *cgroup, struct masu_error *err);
/* Writes live.json as it was read but for the networks that the container is connected to. */
int store_replace_endpoints(const struct container *container, struct masu_error *err);
/*
 * Waits until nobody has the writable layer mounted, and takes it for who is about to: twice it
 * must not be, and a monitor unmounts it only behind the reply that tells the end. *ret_fd holds it
 * until closed; where it is one already, it stays so.
 */
int store_lock_layer(const struct container *container, int *ret_fd, struct masu_error *err);
/* Makes and opens the container's directory below the runroot. */
int store_open_run(struct engine *engine, struct container *container, struct masu_error *err);
/* Removes it with all in it; a missing one is fine. */
void store_remove_run(struct engine *engine, const char *id);
#define STORE_GONE                                                                                 \
	".gone-" /* and the id: one that is being removed, or that a killed removal left */

/* Reads the three files and finds out what is alive, without repairing anything. -ENOENT: there is
 * no such container. */
int store_load(struct engine *engine, struct arena *arena, const char *id, struct container *ret,
	       struct masu_error *err);

/* Where a list of containers reads from: <root>/containers and <runroot>/containers. */
struct store_listing {
	struct engine *engine;
	int records, live;
};
/*
 * store_load() for one of many: by paths below two directories that are open already, so nothing of
 * the container is. @live: whether it has live files. @id is a directory's name there. Where the
 * monitor is alive, the pid is what it recorded.
 */
int store_load_listed(const struct store_listing *listing, struct arena *arena, const char *id,
		      bool live, struct container *ret, struct masu_error *err);

/*
 * Moves the container's directory to those in the making: it is gone from then on. There it stays
 * until its name is let go of, so that whoever is killed before leaves something to be found.
 */
int store_discard(struct engine *engine, const char *id, struct masu_error *err);

/* The program to run: entrypoint and command, one vector in the arena. */
const char **container_args(struct arena *arena, const struct container_config *config);

/* RFC 3339 in UTC with nanoseconds, as Docker writes times. */
#define TIME_TEXT_SIZE 36
const char *time_now_text(char ret[TIME_TEXT_SIZE]);
#define TIME_TEXT_NEVER "0001-01-01T00:00:00Z"

/* ---- recover.c ---- */

/* Puts right what a killed monitor left of a container that is not alive: records its end, removes
 * its cgroup, network and live files, and an auto_remove container as a whole (*ret_gone). */
int recover_container(struct engine *engine, struct arena *arena, struct container *container,
		      bool *ret_gone, struct masu_error *err);
/* Takes down the network and the cgroup of a container whose init has ended; @cgroup may be NULL.
 */
int container_cleanup(struct engine *engine, struct arena *arena, struct container *container,
		      struct cgroup *cgroup, struct masu_error *err);
/*
 * Removes the container as such: writable layer, directory; with auto_remove also its anonymous
 * volumes. The caller holds its lock, or is its monitor, and lets go of the name with
 * name_release(); that may wait, since a name that leads nowhere is free already.
 */
/* What of the writable layer is not gone with the container's directory. */
int container_drop_layer(struct engine *engine, const struct container *container,
			 struct masu_error *err);
int container_discard(struct engine *engine, struct arena *arena, struct container *container,
		      struct masu_error *err);
/* Lets go of a discarded container's name, then of its files. */
void container_let_go(struct engine *engine, const struct container *container);
/* The container's group, made from its spec's limits or, where it exists without processes, taken
 * over. */
int container_cgroup_create(const struct container *container, const struct oci_spec *spec,
			    struct cgroup **ret, struct masu_error *err);
/*
 * The group of a container with live files, as live.json names it. A monitor that was killed before
 * it wrote that may have made the group already: making it once more takes over what is there, in
 * the same hierarchies. *ret NULL where there is none.
 */
int container_cgroup_open(struct engine *engine, struct arena *arena,
			  const struct container *container, struct cgroup **ret,
			  struct masu_error *err);
/* ---- joined.c ---- */

/* The group of a container that runs, with what it has joined since its start. *ret NULL where it
 * has none. */
int container_cgroup_live(const struct container *container, struct cgroup **ret,
			  struct masu_error *err);
/* Whether there may be groups that live.json does not know, and noting it before one is made. */
bool container_has_joined(const struct container *container);
int container_mark_joined(const struct container *container, struct masu_error *err);

/* Removes what killed creations left in the making, and live files that killed removals left. */
void recover_unfinished(struct engine *engine);
