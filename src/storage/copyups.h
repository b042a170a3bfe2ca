/*
 * Which of its image's files a container has in its writable layer by now, and what that cost. A
 * table by itself beside storage_ops: only `diff --copyups` and `inspect --io` need it.
 */
#pragma once

#include "storage/storage.h"

struct storage_copyup {
	const char *path; /* absolute, as it is called now */
	uint64_t size;	  /* of the file now */
	/*
	 * Of its content that was taken over: the image's file's size where that is still called
	 * the same, else the file's own; 0 where only the metadata is in the writable layer.
	 */
	uint64_t bytes;
	uint64_t shared; /* of the file, on the disk only once (a reflink) with whatever else */
	bool metadata_only;
	/*
	 * Between the birth of the copy and its last change, both as the filesystem noted them: at
	 * most this long it took. @took_exact: nothing has been written to it since, so that the
	 * last change is the end of the copying itself. -1: the filesystem notes no births.
	 */
	int64_t took_ns;
	bool took_exact;
};

/*
 * Regular files alone, in the order of their paths; in the arena. One that has several names in
 * its layer is told of only as long as it is metadata_only: no driver notes more.
 */
typedef int (*storage_copyups)(struct storage *s, const struct storage_mount_request *request,
			       struct arena *arena, struct storage_copyup **ret, size_t *ret_count,
			       struct masu_error *err);

/* Of the driver of exactly this name; NULL: it copies nothing up. */
storage_copyups storage_copyups_of(const char *driver);

int overlay_copyups(struct storage *s, const struct storage_mount_request *request,
		    struct arena *arena, struct storage_copyup **ret, size_t *ret_count,
		    struct masu_error *err);
