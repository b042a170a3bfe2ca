/*
 * Objects on disk: one directory an object, small JSON records in it, one lock an object.
 * A record appears whole or not at all (temp, fsync, rename, fsync dir). Locks are flock(2) on a
 * "lock" file in the object's directory, so they vanish with their holder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

#define RECORD_MAX_BYTES (8u << 20)

/*
 * Opens (making it if needed, 0700) the state root with its standard folders: images, layers,
 * containers, volumes, networks, cache, trash. *ret_fd is a readable directory fd.
 */
int state_open_root(const char *path, int *ret_fd, struct masu_error *err);
/* The same for the directory of live state: containers, networks. */
int state_open_runroot(const char *path, int *ret_fd, struct masu_error *err);

/* Replaces <dir>/<name>; durable: see fs_write_atomic(). */
int record_write(int dirfd, const char *name, const struct buf *document, bool durable,
		 struct masu_error *err);

/*
 * Reads and parses <dir>/<name>; the text is kept in the arena too. Where there is no such record
 * -ENOENT is returned and *err left alone.
 */
int record_read(int dirfd, const char *name, struct arena *arena, const struct json **ret,
		struct masu_error *err);

enum record_lock_mode { RECORD_LOCK_SHARED, RECORD_LOCK_EXCLUSIVE };

/*
 * Takes the object's lock, waiting for it; the returned fd holds it until closed. -ENOENT (without
 * a message) where the object was removed meanwhile.
 */
int record_lock(int dirfd, enum record_lock_mode mode, struct masu_error *err);
/* As above without waiting: -EWOULDBLOCK. */
int record_try_lock(int dirfd, enum record_lock_mode mode);

/* Names of the sub-directories of @dirfd, sorted, without those that begin with a dot. */
int record_list(int dirfd, struct arena *arena, const char ***ret, size_t *ret_count,
		struct masu_error *err);

/*
 * Removes the ".tmp-*" files that killed writers left in @dirfd and that are at least @min_age
 * seconds old. 0 only under a lock that every writer in the directory takes; else give a writer its
 * time.
 */
#define RECORD_SWEEP_AGE 60u
int record_sweep(int dirfd, unsigned min_age);
