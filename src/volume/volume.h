/*
 * Named volumes: <root>/volumes/<name>/ with volume.json and _data/. The driver is "local".
 * Removing moves to the trash; whoever is done with his reply empties that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/runtime_spec.h"

struct volume {
	const char *name, *driver, *created, *mountpoint;
	struct oci_pair *labels, *options;
	size_t label_count, option_count;
	bool anonymous;
	bool snapshot; /* it is one of a volume (snapshot.h) and is never written to */
	/*
	 * The id of the container with which it comes to be: as long as that does not exist, the
	 * volume was never finished. NULL: it is by itself.
	 */
	const char *import;
};

enum volume_kind {
	VOLUME_DIRECTORY, /* its own _data */
	VOLUME_BIND,	  /* another directory of this machine */
	VOLUME_TMPFS	  /* memory, of each container that runs its own */
};

/* Where a volume's files are. */
struct volume_source {
	enum volume_kind kind;
	const char *device; /* VOLUME_BIND: the directory */
	bool recursive;	    /* VOLUME_BIND: with what is mounted in it */
	const char **words; /* mount options, NULL-terminated */
	uint64_t size;	    /* VOLUME_DIRECTORY: bytes that it may hold; 0: no limit */
};

/* What the volume's options say, in the arena; those that are not supported are refused by name. */
int volume_source(struct arena *arena, const struct volume *volume, struct volume_source *ret,
		  struct masu_error *err);

/* Where the files of a volume or "VOLUME@SNAPSHOT" are below the root; -ENAMETOOLONG. */
int volume_data_path(const char *name, char *ret, size_t size);

/*
 * Makes the volume (durable), or finds the one that exists; of many that ask for one name at once
 * one makes it. *ret_made: this call did. A snapshot is only found.
 */
int volume_ensure(int root_fd, const char *root, struct arena *arena, const struct volume *request,
		  struct volume *ret, bool *ret_made, struct masu_error *err);
/*
 * Makes a volume of which nobody knows before @fill has filled its data directory. Durable, except
 * for what @fill does. -EEXIST.
 */
typedef int (*volume_fill)(void *data, int data_fd, struct masu_error *err);
int volume_make_filled(int root_fd, const char *root, struct arena *arena,
		       const struct volume *request, volume_fill fill, void *data,
		       struct volume *ret, struct masu_error *err);
/*
 * -ENOENT: "no such volume". *ret_fd (may be NULL): its _data directory. "VOLUME@SNAPSHOT" is the
 * volume with the snapshot's files (snapshot.h).
 */
int volume_open(int root_fd, const char *root, struct arena *arena, const char *name,
		struct volume *ret, int *ret_fd, struct masu_error *err);
/* Durable. That no container refers to it is the engine's to check. -ENOENT: "no such volume". */
int volume_remove(int root_fd, const char *name, struct masu_error *err);
/* A volume in one of masu's roots. */
struct volume_place {
	int root_fd;
	const char *root, *name;
};
/*
 * Moves the volume, with its snapshots, labels and limit; within a filesystem by one rename, else
 * by a copy. Durable. Killed at any moment it is whole at @from, at @to, or at both. A volume that
 * was made for one container is from now on somebody's. That no container refers to it is the
 * engine's to see to. -EEXIST where @to is taken.
 */
int volume_move(const struct volume_place *from, const struct volume_place *to, struct arena *arena,
		struct masu_error *err);
/*
 * Removes what killed moves into this root left there, with @dry only counts it: how many, or
 * -errno. What is being moved stays.
 */
int volume_sweep_moves(int root_fd, bool dry);
/* The container of volume->import exists: from now on the volume is by itself. Durable. */
int volume_settle(int root_fd, const char *root, struct arena *arena, const char *name,
		  struct masu_error *err);
int volume_list(int root_fd, const char *root, struct arena *arena, struct volume **ret,
		size_t *ret_count, struct masu_error *err);
/*
 * Docker's copy-up: where the volume is empty, fills it with what the image has at the mount point
 * (owner, mode, times, extended attributes; special files too) and takes over the directory's own.
 * @volume_dir (-1: none) keeps the mark by which a killed copy is begun anew.
 */
int volume_copy_up(int source_fd, int data_fd, int volume_dir, struct masu_error *err);
