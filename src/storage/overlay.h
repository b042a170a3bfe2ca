/* Shared by the overlay driver's two halves: layers (overlay_layer.c) and roots (overlay.c). */
#pragma once

#include "storage/storage.h"

#define OVERLAY_DIR	"layers/overlay"
#define OVERLAY_STAGING ".staging"
#define OVERLAY_EMPTY	".empty" /* the lower layer of an image that has none */
#define OVERLAY_RECORD	"layer.json"
#define OVERLAY_DIFF	"diff"

struct storage {
	int root_fd;   /* the caller's */
	int layers_fd; /* <root>/layers/overlay */
};

/* True for 64 lower-case hex digits: everything else would be a path of somebody's choosing. */
bool overlay_chain_id_valid(const char *chain_id);

int overlay_layer_prepare(struct storage *s, const char *parent, int *ret_fd,
			  char ret_staging[STORAGE_STAGING_MAX], struct masu_error *err);
int overlay_layer_commit(struct storage *s, const char *chain_id, const char *parent_chain_id,
			 const char *staging, uint64_t size, struct masu_error *err);
int overlay_layer_abort(struct storage *s, const char *staging);
int overlay_layer_open(struct storage *s, const char *name, int *ret_fd);
int overlay_layer_sweep(struct storage *s);
int overlay_layer_exists(struct storage *s, const char *chain_id, bool *ret);
int overlay_layer_size(struct storage *s, const char *chain_id, uint64_t *ret);
int overlay_layer_list(struct storage *s, struct arena *arena, const char ***ret);
int overlay_layer_remove(struct storage *s, const char *chain_id, struct masu_error *err);
int overlay_layer_restore(struct storage *s, const char *chain_id);

/* The files of the writable layer, below a container's directory. */
#define OVERLAY_UPPER "overlay/upper"

int overlay_changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		    struct storage_change **ret, size_t *ret_count, struct masu_error *err);
int overlay_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		  struct masu_error *err);

/* The name of a removed layer in <root>/trash; @ret of 128 bytes. */
int overlay_trash_name(const char *chain_id, char ret[128]);
