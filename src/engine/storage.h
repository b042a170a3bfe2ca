/* The storage of a root as a whole: `masu storage`. */
#pragma once

#include "engine/engine.h"

typedef void (*storage_progress)(void *opaque, const char *what, const char *name);

/*
 * Gives the root another driver, all its layers and containers with it; -EBUSY while a container
 * runs. What a killed one has left undone the next one with the same driver does. Layers are
 * unpacked again from their blobs; a container is copied into a root of its new driver and has it
 * from the moment its record says so. On failure images and containers are whole, some with the one
 * driver and some with the other, which all verbs understand. @options: as in storage_set_up(); one
 * that goes on has those that it began with.
 */
int engine_storage_migrate(struct engine *engine, const char *driver, const char *options,
			   storage_progress progress, void *opaque, struct masu_error *err);

/* Saves the image from its blobs and loads it: layers that are there are kept, others made. */
int engine_unpack_again(struct engine *engine, const char *image, bool as_directory);
