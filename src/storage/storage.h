/*
 * Storage drivers: layers on disk and a container's root made of them. One table, exact-match
 * lookup; a NULL slot means "this driver cannot", which the caller says to the user by name.
 *
 * On disk: <root>/layers/<driver>/<chain-id>/ holds one complete layer: it gets that name by
 * rename(2) only after everything in it is on the disk, so a layer that has the name is whole.
 * <root>/containers/<id>/<driver>/ is a container's writable layer; <root>/trash/ is what was
 * removed and waits to be deleted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

#define STORAGE_CHAIN_ID_LENGTH 64
#define STORAGE_MAX_LAYERS	128 /* docker's limit; the kernel's is 500 */
#define STORAGE_STAGING_MAX	64

struct storage; /* an opened driver on one masu root */

struct storage_ops;

#define STORAGE_VOLATILE 1u /* no fsync on the way: for containers that are thrown away (--rm) */
/* Nothing can be written, not even by masu, and no create() is needed: looking into an image. */
#define STORAGE_READONLY 2u

/* How a layer lies on the disk. What is in it is the same to a container. */
enum storage_format {
	STORAGE_DIRECTORY, /* its files are files */
	STORAGE_EROFS	   /* its uncompressed tar, and an EROFS index over it */
};

/* A layer that is ready to be committed. */
struct storage_layer {
	const char *chain_id, *parent; /* parent: NULL for the lowest */
	uint64_t size;		       /* bytes of its regular files */
	/* STORAGE_EROFS: "sha256:..." of both files; NULL otherwise. */
	const char *tar_digest, *index_digest;
	bool sealed; /* layer_seal() has been called, and the filesystem synced since */
};

/* The files of a STORAGE_EROFS layer in staging. */
struct storage_indexed {
	int tar_fd, index_fd; /* tar_fd: for writing, unless … */
	bool linked;	      /* … it is the file that the caller had */
	bool open;
};

struct storage_mount_request {
	const char *container_id;
	int container_fd;	      /* <root>/containers/<id>; -1 with STORAGE_READONLY */
	const char *const *chain_ids; /* lowest layer first, 64 hex digits each */
	size_t chain_count;
	unsigned flags;
	const char *mount_label; /* SELinux, NULL: none */
	uint64_t size;		 /* create(): bytes that may be written; 0: no limit */
};

/* One difference between a container's root and its image. */
struct storage_change {
	char kind;	  /* 'A'dded, 'C'hanged or 'D'eleted, as docker prints them */
	bool only_inside; /* a directory that is told for what is in it alone */
	const char *path; /* absolute */
};

struct storage_paths {
	const char *lower; /* topmost layer first, separated by colons */
	const char *upper, *work;
};

/* What a driver's devices take their blocks from. */
struct storage_pool {
	char name[256], filesystem[8];
	uint64_t data_used, data_total, metadata_used, metadata_total; /* bytes */
};

/* What is wrong besides the layers. @mended: repair does that, and @result is how it went. */
typedef void (*storage_fault)(void *opaque, const char *what, const char *remedy, bool mended,
			      int result);

struct storage_ops {
	const char *name;
	/* Drivers of one family keep layers and containers alike and in the same place; NULL:
	 * alone. */
	const char *family;
	/* A container's writable layer is all in its directory: who moves that away needs no
	 * remove(), unless there is a limit on its size. */
	bool within_container;
	/* What layer_open() gives of a committed layer has the files of those below, too. */
	bool whole_layers;
	/* Whether the driver works on this root; *reason (static) says why not. */
	bool (*supported)(int root_fd, const char **reason);
	/*
	 * The root gets this driver, for good when its record says so: @options (KEY=VALUE, one a
	 * line) are the driver's own. NULL slot: it has none, and needs nothing. May start
	 * programs.
	 */
	int (*setup)(int root_fd, const char *options, struct masu_error *err);
	/* The root has another driver now, and nothing of this one's any more. May be NULL. */
	int (*retire)(struct storage *s, struct masu_error *err);
	/* @root_fd must stay open as long as the storage. */
	int (*open)(int root_fd, struct storage **ret, struct masu_error *err);
	void (*close)(struct storage *storage);
	/*
	 * Layers. prepare gives a directory fd in staging to unpack into, which locks the staging
	 * directory as long as any copy of it is open. @parent: NULL for the lowest layer, the
	 * chain id of a layer that exists, whose root the directory then looks like, or the
	 * staging name of one that is not committed yet.
	 * commit makes it the layer (syncfs, rename, fsync): what it acknowledged survives power
	 * loss; where the layer has appeared meanwhile, the staged one is dropped and that is
	 * success. abort removes it; sweep removes what killed processes left in staging.
	 */
	int (*layer_prepare)(struct storage *s, const char *parent, int *ret_fd,
			     char ret_staging[STORAGE_STAGING_MAX], struct masu_error *err);
	int (*layer_commit)(struct storage *s, const struct storage_layer *layer,
			    const char *staging, struct masu_error *err);
	/*
	 * Several layers with one sync: layer_seal() for each, which writes what commit would; the
	 * caller's syncfs(2); layer_commit() for each with layer->sealed, which only gives the
	 * name; and layer_settle(), which makes the names durable. NULL slots: one by one.
	 */
	int (*layer_seal)(struct storage *s, const struct storage_layer *layer, const char *staging,
			  struct masu_error *err);
	int (*layer_settle)(struct storage *s);
	/*
	 * What prepare made becomes a place for a layer that is kept as its tar: two files in the
	 * place of the directory. @tar_fd: a file that is the uncompressed tar already and gets a
	 * second name, where that can be; -1: none. NULL slot: the driver has no such layers.
	 */
	int (*layer_indexed)(struct storage *s, const char *staging, int tar_fd,
			     struct storage_indexed *ret, struct masu_error *err);
	/* Whether the kernel mounts an index with its tar from where these files are: 0 or -errno.
	 */
	int (*layer_try)(int index_fd, int tar_fd);
	/*
	 * How a layer is kept, and for STORAGE_EROFS what its files must hash to. Everything in
	 * the arena.
	 */
	int (*layer_format)(struct storage *s, const char *chain_id, struct arena *arena,
			    enum storage_format *ret, struct storage_layer *ret_layer);
	/* A file of a STORAGE_EROFS layer, to be hashed. */
	int (*layer_file)(struct storage *s, const char *chain_id, bool index, int *ret_fd);
	int (*layer_abort)(struct storage *s, const char *staging);
	/*
	 * Makes a staged STORAGE_EROFS layer, which has all that the layers up to @chain_id have,
	 * what containers on that are mounted of, in one piece. *ret_there of layer_merged(): it
	 * has one. NULL slots: the driver does not do that.
	 */
	int (*layer_merge)(struct storage *s, const char *chain_id, const char *staging);
	int (*layer_merged)(struct storage *s, const char *chain_id, bool *ret_there);
	/* The files of a layer (a chain id) or of a staged one, as a directory to look into. */
	int (*layer_open)(struct storage *s, const char *name, int *ret_fd);
	int (*layer_sweep)(struct storage *s);
	int (*layer_exists)(struct storage *s, const char *chain_id, bool *ret);
	/* *ret_fault (static): what is wrong with a layer's files, NULL where nothing is. NULL
	 * slot: they are those that layer_size() tells the bytes of. */
	int (*layer_verify)(struct storage *s, const char *chain_id, const char **ret_fault);
	/* Bytes of the unpacked files, as given to commit. */
	int (*layer_size)(struct storage *s, const char *chain_id, uint64_t *ret);
	/* Chain ids of all layers, in no order, NULL-terminated, in the arena. */
	int (*layer_list)(struct storage *s, struct arena *arena, const char ***ret);
	/* Moves the layer to the trash; restore brings it back as long as nobody emptied that. */
	int (*layer_remove)(struct storage *s, const char *chain_id, struct masu_error *err);
	int (*layer_restore)(struct storage *s, const char *chain_id);
	/*
	 * Container roots. create makes the writable layer's place (-EEXIST where there is one);
	 * mount returns a detached mount (fsmount(2)), -ENOENT where a layer is missing.
	 */
	int (*create)(struct storage *s, const struct storage_mount_request *r,
		      struct masu_error *err);
	int (*mount)(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		     struct masu_error *err);
	/*
	 * Moves the writable layer to the trash, one rename(2), and gives up its limit; it may
	 * still be mounted. Deleting is trash_empty()'s. A container without a writable layer is
	 * success.
	 */
	int (*remove)(struct storage *s, const char *container_id, int container_fd,
		      struct masu_error *err);
	/* Before another driver of the family gets the container; NULL slot: nothing is to be done.
	 */
	int (*leave)(int container_fd, struct masu_error *err);
	/*
	 * What is different in the container from its layers: sorted, a directory before what is
	 * in it; one in which something is different counts as changed.
	 */
	int (*changes)(struct storage *s, const struct storage_mount_request *r,
		       struct arena *arena, struct storage_change **ret, size_t *ret_count,
		       struct masu_error *err);
	/* Where people find a container's layers; everything in the arena. */
	int (*paths)(const char *root, const char *container_id, const char *const *chain_ids,
		     struct arena *arena, struct storage_paths *ret);
	/* Bytes and inodes of the writable layer. */
	int (*usage)(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		     struct masu_error *err);
	/* NULL slots: it keeps everything in the root's filesystem, where there is no more to see.
	 */
	int (*pool)(struct storage *s, struct storage_pool *ret, struct masu_error *err);
	int (*check)(struct storage *s, bool repair, storage_fault fault, void *opaque,
		     struct masu_error *err);
};

/* The driver of exactly this name, or NULL. */
const struct storage_ops *storage_driver(const char *name);
/* NULL-terminated. */
const char *const *storage_driver_names(void);
