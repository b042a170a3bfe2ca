/* One 512-byte tar header, and the PAX records that may precede it. For tar.c. */
#pragma once

#include "tree/tar.h"

struct tar_header {
	char type; /* the type flag */
	const char *path, *link;
	uint64_t size;
	uint32_t mode, uid, gid, major, minor;
	int64_t mtime;
	bool gnu; /* GNU's own magic: no name prefix, sparse map in the header */
};

/* What extended headers said about the next entry; absent: has_* false or NULL. */
struct tar_extension {
	const char *path, *link;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size;
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	struct tar_xattr *xattrs;
	size_t xattr_count;
	/* GNU.sparse.*, formats 0.0, 0.1 and 1.0 */
	unsigned sparse_major, sparse_minor;
	bool has_sparse_version, has_sparse_size;
	const char *sparse_name;
	uint64_t sparse_size;
	struct tar_region *regions;
	size_t region_count;
	bool region_open; /* an offset without its number of bytes yet (format 0.0) */
};

/* True for a block of zeroes. */
bool tar_block_is_zero(const uint8_t block[TAR_BLOCK]);

/* Strings are copied into the arena. -EBADMSG: no tar header. */
int tar_header_parse(const uint8_t block[TAR_BLOCK], struct arena *arena, struct tar_header *ret,
		     struct masu_error *err);

/* A number field: octal, or GNU's base-256. */
int tar_number(const uint8_t *field, size_t len, int64_t *ret);

/* The records of one PAX extended header; @text is writable and NUL-terminated at @len. */
int tar_pax_parse(char *text, size_t len, struct arena *arena, struct tar_extension *ret,
		  struct masu_error *err);

/* Appends a region; checks order and maxima. */
int tar_region_add(struct arena *arena, struct tar_extension *x, uint64_t offset, uint64_t len);
