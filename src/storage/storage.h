/*
 * Storage drivers: layers on disk and a container's root made of them. One table, exact-match
 * lookup; a NULL slot means "this driver cannot", which the caller says to the user by name.
 *
 * On disk: <root>/layers/<driver>/<chain-id>/ with a record that says it is complete;
 * <root>/containers/<id>/ holds what a driver keeps for a container's writable layer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct storage; /* an opened driver on one masu root */

struct storage_ops;

#define STORAGE_VOLATILE 1u /* no fsync on the way: for containers that are thrown away (--rm) */
#define STORAGE_READONLY 2u

struct storage_mount_request {
	const char *container_id;
	int container_fd;	      /* <root>/containers/<id> */
	const char *const *chain_ids; /* lowest layer first, 64 hex digits each */
	size_t chain_count;
	unsigned flags;
	const char *mount_label; /* SELinux, NULL: none */
};

struct storage_ops {
	const char *name;
	/* Whether the driver works on this root; *reason (static) says why not. */
	bool (*supported)(int root_fd, const char **reason);
	int (*open)(int root_fd, struct storage **ret, struct masu_error *err);
	void (*close)(struct storage *storage);
	/* Layers. prepare gives a directory fd in staging to unpack into; commit makes it the layer
	 * (syncfs, rename, fsync, record); abort removes it. exists checks the record. */
	int (*layer_prepare)(struct storage *s, const char *chain_id, const char *parent_chain_id,
			     int *ret_fd, char ret_staging[256], struct masu_error *err);
	int (*layer_commit)(struct storage *s, const char *chain_id, const char *parent_chain_id,
			    const char *staging, uint64_t size, struct masu_error *err);
	int (*layer_abort)(struct storage *s, const char *staging);
	int (*layer_exists)(struct storage *s, const char *chain_id, bool *ret);
	int (*layer_remove)(struct storage *s, const char *chain_id, struct masu_error *err);
	/* Container roots. create makes the writable layer's place; mount returns a detached mount.
	 */
	int (*create)(struct storage *s, const struct storage_mount_request *r,
		      struct masu_error *err);
	int (*mount)(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		     struct masu_error *err);
	/* Moves the writable layer out of the way (trash) and deletes it behind the caller's back.
	 */
	int (*remove)(struct storage *s, const char *container_id, int container_fd,
		      struct masu_error *err);
	/* Bytes and inodes of the writable layer. */
	int (*usage)(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		     struct masu_error *err);
};

const struct storage_ops *storage_driver(const char *name);
const char *const *storage_driver_names(void);

/* Empties <root>/trash; bounded by @max_entries (0: all). Safe beside other processes. */
int storage_trash_empty(int root_fd, size_t max_entries);
