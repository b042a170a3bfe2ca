/*
 * The files of a layer as a tree in memory: what the writer (writer.h) would have made on disk from
 * the same frames, by the same rules and with the same refusals. Who has it can write it down as an
 * EROFS index (erofs_write.h). Files have no content here, only where in the tar it lies.
 *
 * 2,000,000 entries take less than 300 MiB; nothing grows with the content.
 */
#pragma once

#include <time.h>

#include "base/arena.h"
#include "cold/image/frame.h"

#define EROFS_NONE UINT32_MAX

/* Extended attributes as they lie behind an inode, without the header. */
struct erofs_xattrs {
	uint32_t len;
	uint8_t data[];
};

struct erofs_extents {
	uint32_t count;
	struct frame_extent items[];
};

#define EROFS_NODE_ALIVE   1u /* has a name that leads to it; after erofs_tree_settle() */
#define EROFS_NODE_IMPLIED 2u /* a directory that was made because something in it came … */
#define EROFS_NODE_TOLD	   4u /* … and had an entry of its own after all */
#define EROFS_NODE_OPAQUE  8u
#define EROFS_NODE_PIECES  16u /* a file that is not one piece of the tar: extents count */

struct erofs_node {
	uint64_t size; /* of a file; of others, what they take in the index */
	int64_t mtime;
	union {
		uint64_t at;			     /* a file: where in the tar */
		const struct erofs_extents *extents; /* a file with EROFS_NODE_PIECES */
		const char *target;		     /* a symlink */
		uint32_t device;		     /* as the kernel encodes it */
		struct {
			uint32_t first, count; /* a directory: its names in order */
		} names;
	};
	const struct erofs_xattrs *xattrs;
	uint32_t mtime_ns, uid, gid, links;
	uint32_t name;	/* a directory: its own, EROFS_NONE for the root */
	uint32_t inode; /* number in the index, EROFS_SLOT bytes each */
	uint32_t block; /* of the index where its data begins */
	uint16_t mode;
	uint8_t flags;
};

struct erofs_name {
	const char *text;
	uint32_t parent, node, next;
	uint8_t len;
	bool opaque; /* whatever directory has the name at the end */
};

/* Node 0 is the root. A node that is no directory may have several names. */
struct erofs_tree {
	struct erofs_node *nodes;
	struct erofs_name *names;
	uint32_t *table, *order; /* first name of each hash; all names sorted, by settle */
	uint32_t node_count, name_count, node_room, name_room, table_size, order_count;
	uint64_t seed, bytes, entries;
	uint8_t uuid[16];    /* overlay tells layers apart by it */
	struct timespec now; /* of what the archive says nothing about */
	struct arena texts, xattrs, extents;
	/* The last file, whose extents are still coming. */
	uint32_t file;
	struct erofs_extents *pending;
	uint32_t pending_room;
	bool unpadded;
	/* The last entry's directory: entries of one come one after the other. */
	uint32_t parent;
	size_t parent_len;
	char parent_path[LIMIT_PATH + 1];
};

int erofs_tree_new(const uint8_t random[16], struct timespec now, struct erofs_tree **ret);
void erofs_tree_free(struct erofs_tree *tree);

/* The next entry. -errno with a message that names it. */
int erofs_tree_entry(struct erofs_tree *tree, const struct frame_entry *entry,
		     struct masu_error *err);
/* The next piece of the last entry's content; ascending. */
int erofs_tree_extent(struct erofs_tree *tree, const struct frame_extent *extent,
		      struct masu_error *err);
/*
 * In the tar the last file's content is not filled up with zeroes to a whole block: what a program
 * that maps the file would see there is the archive's, or an error where the tar ends.
 */
void erofs_tree_unpadded(struct erofs_tree *tree);

/* The last file's extents are all there. What follows calls it. */
int erofs_tree_finish_file(struct erofs_tree *tree, struct masu_error *err);

/* After the last entry: what is alive, link counts, and the names of every directory in order. */
int erofs_tree_settle(struct erofs_tree *tree, struct masu_error *err);

/* The extended attributes that @entry adds to those of @old (NULL: none) and what they make of
 * *mode. -errno with a message. */
int erofs_xattrs_merge(struct arena *arena, const struct erofs_xattrs *old,
		       const struct frame_entry *entry, uint16_t *mode,
		       const struct erofs_xattrs **ret, struct masu_error *err);
