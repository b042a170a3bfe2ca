/* Named volumes: <root>/volumes/<name>/ with volume.json and _data/. */
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
};

/* Makes the volume (durable), or opens the one that exists. *ret_fd: its _data directory. @fresh:
 * new and empty. */
int volume_ensure(int root_fd, const char *root, struct arena *arena, const struct volume *request,
		  struct volume *ret, int *ret_fd, bool *fresh, struct masu_error *err);
int volume_open(int root_fd, const char *root, struct arena *arena, const char *name,
		struct volume *ret, int *ret_fd, struct masu_error *err);
/* -EBUSY where a container refers to it (the engine checks that), -ENOENT: "no such volume". */
int volume_remove(int root_fd, const char *name, struct masu_error *err);
int volume_list(int root_fd, const char *root, struct arena *arena, struct volume **ret,
		size_t *ret_count, struct masu_error *err);
/* Docker's copy-up: fills an empty volume with what the image has at the mount point (owner, mode,
 * xattrs). */
int volume_copy_up(int source_dir_fd, int volume_fd, struct masu_error *err);
