/*
 * Reading tar archives: v7, ustar, GNU (long names, base-256 numbers, sparse files) and PAX
 * (POSIX.1-2017 pax(1), GNU tar's manual for the sparse formats, star's SCHILY.xattr).
 *
 * The reader says what the archive says and judges only whether that is a tar archive within its
 * maxima; what may be unpacked where is others' business. Names are bytes: no character set is
 * assumed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "tree/source.h"

#define TAR_BLOCK	  512u
#define TAR_MAX_EXTENSION (1u << 20) /* bytes of a PAX header or a GNU long name */
#define TAR_MAX_XATTRS	  256
#define TAR_MAX_SPARSE	  65536	       /* regions of one file */
#define TAR_MAX_FILE	  (1ull << 43) /* bytes of one file, holes included */

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCK_DEVICE,
	TAR_DIRECTORY,
	TAR_FIFO
};

struct tar_xattr {
	const char *name;
	const char *value;
	size_t len;
};

struct tar_region {
	uint64_t offset, len;
};

/* All memory is the reader's, valid until the next tar_next(). */
struct tar_entry {
	enum tar_type type;
	const char *path, *link; /* NUL-terminated, without NUL inside; link "" when none */
	uint32_t mode;		 /* 07777 */
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime;
	uint32_t mtime_ns;
	uint64_t size; /* of the file, holes included */
	struct tar_xattr *xattrs;
	size_t xattr_count;
	/* For a writer: where a file with holes has data; NULL: everywhere. */
	const struct tar_region *regions;
	size_t region_count;
};

struct tar {
	struct source *source;
	struct arena arena; /* of the current entry */
	struct tar_entry entry;
	uint64_t stored, padding; /* bytes of the current file that are still to come */
	struct tar_region *regions;
	size_t region_count, region_at;
	uint64_t region_done;
	uint64_t offset; /* of what comes next; while an entry is current, of its content */
	bool unpadded;	 /* after tar_next(): the content before is not filled up with zeroes */
};

void tar_init(struct tar *tar, struct source *source);
void tar_free(struct tar *tar);

/*
 * The next entry: *ret, or NULL at the end of the archive. -EBADMSG with a message that names the
 * entry where this is not a tar archive, -E2BIG past a maximum.
 */
int tar_next(struct tar *tar, const struct tar_entry **ret, struct masu_error *err);

/*
 * The next piece of the current file's content and where in the file it belongs; *ret_len 0 at its
 * end. The rest is skipped by the next tar_next().
 */
int tar_data(struct tar *tar, const uint8_t **ret, size_t *ret_len, uint64_t *ret_offset,
	     struct masu_error *err);
