/* Files into and out of a container, and what it changed. */
#pragma once

#include "engine/engine.h"
#include "storage/copyups.h"

struct engine_copy_request {
	const char *id;
	const char *container; /* what the user calls it, for messages */
	bool from_container;
	/* Docker's SRC_PATH and DEST_PATH, as typed. The host's one may be "-": a tar archive on
	 * @stream_fd. */
	const char *source, *destination;
	int stream_fd;
	bool keep_owner;  /* -a */
	bool follow_link; /* -L: a link that SRC_PATH is */
};

/*
 * Copies by docker's rules (docs/volumes.md); *ret_bytes: what the copy takes as a tar archive.
 * The container may run or not; what it does meanwhile leads the copy neither out of it nor out of
 * the destination.
 */
int engine_copy(struct engine *engine, struct arena *arena,
		const struct engine_copy_request *request, uint64_t *ret_bytes,
		struct masu_error *err);

/* The container's root as a tar archive on @fd, without what is mounted in it. */
int engine_export(struct engine *engine, struct arena *arena, const char *id, int fd,
		  struct masu_error *err);

/*
 * Where masu itself makes something to mount on, relative to the root, NULL-terminated. In docker
 * these are in a layer below the container's, so it tells of no such change either.
 */
extern const char *const engine_made_paths[];

/* What is different in the container from its image, in docker's order. */
int engine_diff(struct engine *engine, struct arena *arena, const char *id,
		struct storage_change **ret, size_t *ret_count, struct masu_error *err);

/* Which of its image's files it has a copy of by now. */
int engine_copyups(struct engine *engine, struct arena *arena, const char *id,
		   struct storage_copyup **ret, size_t *ret_count, struct masu_error *err);

/* ---- the rules alone (copy_rules.c), for the engine and for the table that tests them ---- */

struct copy_path {
	const char *clean; /* absolute, without "." and ".." */
	const char *name;  /* its last component; "" of "/" */
	bool is_directory; /* says so itself: ends in "/" or "/." */
	bool contents;	   /* ends in "/.": what is in it, not itself */
};

/* @text relative to @base. -ENOMEM or -ENAMETOOLONG. */
int copy_path_parse(struct arena *arena, const char *text, const char *base, struct copy_path *ret);

struct copy_plan {
	bool into;	  /* below the destination; else beside it, in its parent */
	const char *name; /* what the source is called there; "": what is in it goes there */
};

/* Docker's table of what goes where; a refusal with its words. */
int copy_decide(const struct copy_path *source, bool source_is_directory,
		const struct copy_path *destination, bool exists, bool destination_is_directory,
		struct copy_plan *ret, struct masu_error *err);
