/*
 * Drivers that keep a whole tree for each layer and each container:
 * layers/<driver>/<chain-id>/root/ has the files of the layer and of all below it,
 * containers/<id>/<driver>/root/ is a container's root. How a tree is made from another one is the
 * driver's (struct whole_ops); all else is here.
 */
#pragma once

#include "storage/overlay.h"

struct whole_ops {
	const char *name;   /* of the driver, and of its directory in a container's */
	const char *layers; /* "layers/<driver>" */
	/*
	 * Makes the tree of place (directory) @dir: a copy of that of place @from, or an empty one
	 * (-1). It is root/ in the place, unless there is a look().
	 */
	int (*make)(struct storage *s, int dir, int from, struct masu_error *err);
	/* The tree of a place to look into, and as a detached mount. @layer: of a committed layer,
	 * which nobody writes to. NULL: it is root/. */
	int (*look)(struct storage *s, int place, bool layer, int *ret_fd);
	int (*attach)(struct storage *s, int place, bool layer, int *ret_fd,
		      struct masu_error *err);
	/* Whether so many bytes more can be kept, besides what a tree itself takes; may be NULL. */
	int (*room)(struct storage *s, uint64_t bytes, struct masu_error *err);
	/* A layer's tree @root is complete; NULL: nothing is to be done. */
	int (*seal)(int root, struct masu_error *err);
	/*
	 * What may be written to a container, whose directory @dir is: before its tree is made,
	 * @bytes of which the tree takes some, or after, @bytes besides. One slot is NULL.
	 */
	int (*limit_all)(int dir, uint64_t bytes, struct masu_error *err);
	int (*limit)(struct storage *s, int dir, uint64_t bytes, struct masu_error *err);
	/* Gives up what limit_all() took; may be NULL. */
	void (*unlimit)(int dir);
};

int whole_open(const struct whole_ops *whole, int root_fd, struct storage **ret,
	       struct masu_error *err);

/* The slots of struct storage_ops. */
int whole_layer_verify(struct storage *s, const char *chain_id, const char **ret_fault);
int whole_create(struct storage *s, const struct storage_mount_request *r, struct masu_error *err);
int whole_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		struct masu_error *err);
int whole_remove(struct storage *s, const char *container_id, int container_fd,
		 struct masu_error *err);
int whole_changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		  struct storage_change **ret, size_t *ret_count, struct masu_error *err);
int whole_usage(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		struct masu_error *err);
int whole_paths(const struct whole_ops *whole, const char *root, const char *container_id,
		const char *const *chain_ids, struct arena *arena, struct storage_paths *ret);

/* The tree of a place, to look into. */
int whole_open_place(struct storage *s, int place, bool layer, int *ret_fd);
/* Opens a container's root; *ret_since: when it was made. */
int whole_open_container(struct storage *s, int container_fd, int *ret_fd,
			 struct timespec *ret_since);

/* What is in @upper and not as in @lower (-1: nothing), as a layer; @since: see overlay_compare().
 */
struct storage_export_request;
struct tree_sink;
int whole_tell(struct storage *s, const struct storage_export_request *request, int upper,
	       int lower, const struct timespec *since, struct tree_sink *sink,
	       struct masu_error *err);

/* Everything in the tree @from, which lies still, into @to. Blocks are shared where that can be. */
int whole_copy(int from, int to, struct masu_error *err);

/* clang-format off */
#define WHOLE_LAYER_OPS                                                                            \
	.whole_layers = true,                                                                      \
	.within_container = true,                                                                  \
	.close = overlay_close,                                                                    \
	.layer_prepare = overlay_layer_prepare,                                                    \
	.layer_commit = overlay_layer_commit,                                                      \
	.layer_abort = overlay_layer_abort,                                                        \
	.layer_open = overlay_layer_open,                                                          \
	.layer_sweep = overlay_layer_sweep,                                                        \
	.layer_exists = overlay_layer_exists,                                                      \
	.layer_size = overlay_layer_size,                                                          \
	.layer_list = overlay_layer_list,                                                          \
	.layer_remove = overlay_layer_remove,                                                      \
	.layer_restore = overlay_layer_restore,                                                    \
	.layer_verify = whole_layer_verify,                                                        \
	.create = whole_create,                                                                    \
	.mount = whole_mount,                                                                      \
	.remove = whole_remove,                                                                    \
	.changes = whole_changes,                                                                  \
	.usage = whole_usage
/* clang-format on */
