/* Shared by the overlay driver's two halves: layers (overlay_layer.c) and roots (overlay.c). */
#pragma once

#include "storage/storage.h"

#define OVERLAY_DIR	"layers/overlay"
#define OVERLAY_STAGING ".staging"
#define OVERLAY_EMPTY	".empty" /* the lower layer of an image that has none */
#define OVERLAY_RECORD	"layer.json"
#define OVERLAY_DIFF	"diff"
/* A layer that is kept as its tar has these in the place of diff/. */
#define OVERLAY_FS    "fs"
#define OVERLAY_TAR   "tar"
#define OVERLAY_INDEX "index"

struct storage {
	int root_fd;   /* the caller's */
	int layers_fd; /* <root>/layers/overlay */
};

/* True for 64 lower-case hex digits: everything else would be a path of somebody's choosing. */
bool overlay_chain_id_valid(const char *chain_id);

int overlay_layer_prepare(struct storage *s, const char *parent, int *ret_fd,
			  char ret_staging[STORAGE_STAGING_MAX], struct masu_error *err);
int overlay_layer_commit(struct storage *s, const struct storage_layer *layer, const char *staging,
			 struct masu_error *err);
int overlay_layer_indexed(struct storage *s, const char *staging, int tar_fd,
			  struct storage_indexed *ret, struct masu_error *err);
int overlay_layer_try(int index_fd, int tar_fd);
int overlay_layer_format(struct storage *s, const char *chain_id, struct arena *arena,
			 enum storage_format *ret, struct storage_layer *ret_layer);
int overlay_layer_file(struct storage *s, const char *chain_id, bool index, int *ret_fd);
int overlay_layer_abort(struct storage *s, const char *staging);
int overlay_layer_open(struct storage *s, const char *name, int *ret_fd);
int overlay_layer_sweep(struct storage *s);
int overlay_layer_exists(struct storage *s, const char *chain_id, bool *ret);
int overlay_layer_size(struct storage *s, const char *chain_id, uint64_t *ret);
int overlay_layer_list(struct storage *s, struct arena *arena, const char ***ret);
int overlay_layer_remove(struct storage *s, const char *chain_id, struct masu_error *err);
int overlay_layer_restore(struct storage *s, const char *chain_id);

/*
 * A detached read-only mount of an index and its tar. -ENODEV or -ENOTBLK: not on this kernel;
 * -EUCLEAN: that is no index.
 */
int overlay_erofs_mount(int index_fd, int tar_fd, int *ret_fd);
/*
 * The mounted root of a layer that is kept as its tar, as an O_PATH descriptor. -ENOENT where there
 * is no such layer or it is kept as a directory.
 */
int overlay_erofs_open(struct storage *s, const char *chain_id, int *ret_fd);
/* As a directory to look into, without leaving a mount. @layer_fd: the layer's directory. */
int overlay_erofs_look(int layer_fd, int *ret_fd);
/* Against those who mount it: the layer's directory, locked; -ENOENT where it has gone. */
int overlay_erofs_lock(struct storage *s, const char *chain_id);
void overlay_erofs_detach(int layer_fd);

/* The files of the writable layer, below a container's directory. */
#define OVERLAY_UPPER "overlay/upper"

int overlay_changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		    struct storage_change **ret, size_t *ret_count, struct masu_error *err);
int overlay_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		  struct masu_error *err);

/* With STORAGE_READONLY: the writable layer comes first among those that are read. */
#define OVERLAY_MERGED (1u << 31)

/*
 * What a container sees, as a detached read-only mount beside its own: for files of the writable
 * layer whose content is in a layer, and directories whose content is under another name there. A
 * container that runs must be held still, or what is read may be neither old nor new.
 */
int overlay_merged(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		   struct masu_error *err);

/* Set by the kernel; what they mean: Documentation/filesystems/overlayfs.rst. */
#define OVERLAY_XATTR_METACOPY "trusted.overlay.metacopy"
#define OVERLAY_XATTR_REDIRECT "trusted.overlay.redirect"
#define OVERLAY_XATTR_ORIGIN   "trusted.overlay.origin"

/* Of what @name in @dir is itself; false where it cannot be told. */
bool overlay_has_xattr(int dir, const char *name, const char *xattr);

/* The name of a removed layer in <root>/trash; @ret of 128 bytes. */
int overlay_trash_name(const char *chain_id, char ret[128]);
