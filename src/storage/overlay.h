/* Shared by the overlay driver's two halves: layers (overlay_layer.c) and roots (overlay.c). */
#pragma once

#include <time.h>

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

/*
 * overlay_layer.c keeps the layers of all drivers. Of those that keep whole trees (whole.h) a
 * layer's files are in root/, made of diff/ by @finish before the commit; *ret_total is what they
 * take.
 */
#define OVERLAY_ROOT "root"
struct storage_total {
	uint64_t bytes, inodes;
};
struct storage {
	int root_fd;   /* the caller's */
	int layers_fd; /* <root>/layers/<driver> */
	int (*finish)(struct storage *s, const struct storage_layer *layer, int staged_fd,
		      struct storage_total *ret_total, struct masu_error *err); /* or NULL */
	const struct whole_ops *whole;
	/* Opens the files of a place (whole.h) that are not in its root/; or NULL. */
	int (*open_tree)(struct storage *s, int place, bool layer, int *ret_fd);
	void *driver;	   /* the driver's own, or NULL */
	bool opaque_files; /* a directory may be opaque by a file, too (fuse_overlayfs.c) */
	/* All layers up to @top as one mounted tree, if there is one (erofs.c); or NULL. */
	int (*merged)(struct storage *s, const char *top, int *ret_fd);
};

/* Opens <root>/layers/<driver>, making it where it is missing. */
int overlay_open_layers(int root_fd, const char *path, struct storage **ret,
			struct masu_error *err);
void overlay_close(struct storage *s);

bool overlay_supported(int root_fd, const char **reason);
int overlay_create(struct storage *s, const struct storage_mount_request *r,
		   struct masu_error *err);
int overlay_remove(struct storage *s, const char *container_id, int container_fd,
		   struct masu_error *err);
int overlay_usage(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		  struct masu_error *err);
int overlay_paths(const char *root, const char *container_id, const char *const *chain_ids,
		  struct arena *arena, struct storage_paths *ret);

/* True for 64 lower-case hex digits: everything else would be a path of somebody's choosing. */
bool overlay_chain_id_valid(const char *chain_id);

int overlay_layer_prepare(struct storage *s, const char *parent, int *ret_fd,
			  char ret_staging[STORAGE_STAGING_MAX], struct masu_error *err);
int overlay_layer_commit(struct storage *s, const struct storage_layer *layer, const char *staging,
			 struct masu_error *err);
int overlay_layer_seal(struct storage *s, const struct storage_layer *layer, const char *staging,
		       struct masu_error *err);
int overlay_layer_settle(struct storage *s);
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
/* Of a driver that keeps whole trees. */
int overlay_layer_total(struct storage *s, const char *chain_id, struct storage_total *ret);
int overlay_layer_list(struct storage *s, struct arena *arena, const char ***ret);
int overlay_layer_remove(struct storage *s, const char *chain_id, struct masu_error *err);
int overlay_layer_restore(struct storage *s, const char *chain_id);

/*
 * A detached read-only mount of an index and its tar. -ENODEV or -ENOTBLK: not on this kernel;
 * -EUCLEAN: that is no index.
 */
int overlay_erofs_mount(int index_fd, int tar_fd, int *ret_fd);
/* Whether it reads the tar around the page cache: where the filesystem below can do that and the
 * tar is not in memory anyway. */
bool overlay_erofs_direct(int tar_fd);
/*
 * The mounted root of a layer that is kept as its tar, as an O_PATH descriptor. -ENOENT where there
 * is no such layer or it is kept as a directory.
 */
int overlay_erofs_open(struct storage *s, const char *chain_id, int *ret_fd);
/* The same of any directory below the layers' with tar, index and fs/. */
int overlay_erofs_open_at(struct storage *s, const char *path, int *ret_fd);
/* As a directory to look into, without leaving a mount. @layer_fd: the layer's directory. */
int overlay_erofs_look(int layer_fd, int *ret_fd);
/* Against those who mount it: the layer's directory, locked; -ENOENT where it has gone. */
int overlay_erofs_lock(struct storage *s, const char *chain_id);
void overlay_erofs_detach(int layer_fd);

/* The files of the writable layer, below a container's directory. */
#define OVERLAY_UPPER "overlay/upper"

/* Two trees to compare: a writable layer with what is below it, or two whole trees. */
/* What fuse-overlayfs puts into an opaque directory besides the attribute. */
#define OVERLAY_OPAQUE_FILE   ".wh..wh..opq"
#define OVERLAY_OPAQUE_DEVICE ".wh..opq"
struct overlay_comparison {
	struct storage *storage;
	const struct storage_mount_request *request;
	int upper, lower; /* lower -1: there is none */
	bool hidden;	  /* what is not in @upper is gone */
	/* What was touched later counts as changed; NULL: only what looks different does. */
	const struct timespec *since;
};
int overlay_compare(const struct overlay_comparison *c, struct arena *arena,
		    struct storage_change **ret, size_t *ret_count, struct masu_error *err);
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
/* The same below the root; -EINVAL: not a chain id. */
int overlay_trash_path(const char *chain_id, char ret[160]);

/* clang-format off */
/* What drivers share that keep layers and containers as overlay does. */
#define OVERLAY_FAMILY_OPS                                                                         \
	.family = "overlay",                                                                       \
	.within_container = true,                                                                  \
	.close = overlay_close,                                                                    \
	.layer_prepare = overlay_layer_prepare,                                                    \
	.layer_commit = overlay_layer_commit,                                                      \
	.layer_seal = overlay_layer_seal,                                                          \
	.layer_settle = overlay_layer_settle,                                                      \
	.layer_indexed = overlay_layer_indexed,                                                    \
	.layer_try = overlay_layer_try,                                                            \
	.layer_format = overlay_layer_format,                                                      \
	.layer_file = overlay_layer_file,                                                          \
	.layer_abort = overlay_layer_abort,                                                        \
	.layer_open = overlay_layer_open,                                                          \
	.layer_sweep = overlay_layer_sweep,                                                        \
	.layer_exists = overlay_layer_exists,                                                      \
	.layer_size = overlay_layer_size,                                                          \
	.layer_list = overlay_layer_list,                                                          \
	.layer_remove = overlay_layer_remove,                                                      \
	.layer_restore = overlay_layer_restore,                                                    \
	.create = overlay_create,                                                                  \
	.remove = overlay_remove,                                                                  \
	.changes = overlay_changes,                                                                \
	.paths = overlay_paths,                                                                    \
	.usage = overlay_usage
/* clang-format on */
