/*
 * A container that was made elsewhere: its record, and what it changed in its root. For
 * `container import`, whose archive is somebody else's: what it says is checked here as what a user
 * types is for `create`.
 */
#pragma once

#include "engine/engine.h"

struct engine_import {
	const struct json *record; /* container.json as it was there */
	const char *name;	   /* NULL: the record's */
	const char *image_id;
	const char **chain_ids; /* of the image, which is in the store */
	bool trust;		/* it may have what gives it the machine */
	/* Makes what the container changed in its root, which @root_fd is: mounted, and seen by
	 * nobody else. */
	int (*fill)(void *data, int root_fd, struct masu_error *err);
	void *data;
};

/*
 * What the container is to be here, checked: import_config() alone changes nothing. In @ret: the
 * configuration without what cannot travel, which *ret_left lists in one line ("": nothing).
 * -EPERM names what would give it the machine where it is not trusted; -EEXIST where there is a
 * container or a volume of its names.
 */
int import_config(struct engine *engine, struct arena *arena, const struct engine_import *import,
		  struct container *ret, const char **ret_left, struct masu_error *err);

/*
 * Makes it in a place where nobody looks, durably; then import_publish(), with which it is there,
 * or import_abandon(). A caller that is killed in between leaves what the next command removes.
 */
int import_begin(struct engine *engine, const struct engine_import *import,
		 struct container *container, int *ret_lock, struct masu_error *err);
int import_publish(struct engine *engine, const struct container *container,
		   struct masu_error *err);
void import_abandon(struct engine *engine, const struct container *container);
