/*
 * Trees of files on their way: `cp`, `export`, a volume's first content. Who has a tree (walk.h: a
 * directory, unpack.h: an archive) tells a sink what is in it, entry for entry; the sink makes it
 * again (make.h: below a directory, tar_write.h: as an archive).
 *
 * Where the tree is a container's, somebody changes it meanwhile and means harm: no side follows a
 * link, and everything is reached through directories that are open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "tree/tar.h"

struct tree_sink {
	/*
	 * begin: the next entry; its path is clean and relative, "" is the top. data and copy: the
	 * content of the file that began, ascending; what is left out is a hole or, at the end of
	 * a file that shrank, zeroes. copy takes it out of @fd (NULL: data is called instead) and
	 * says in *ret_copied how much was there. end: of every entry that began; until then its
	 * memory stays. All return 0 or -errno with a message.
	 */
	int (*begin)(struct tree_sink *sink, const struct tar_entry *entry, struct masu_error *err);
	int (*data)(struct tree_sink *sink, const void *data, size_t len, uint64_t offset,
		    struct masu_error *err);
	int (*copy)(struct tree_sink *sink, int fd, uint64_t offset, uint64_t len,
		    uint64_t *ret_copied, struct masu_error *err);
	int (*end)(struct tree_sink *sink, struct masu_error *err);
	/* After the last entry. */
	int (*finish)(struct tree_sink *sink, struct masu_error *err);
	bool wants_regions; /* of files with holes, before their content */
	uint64_t bytes;	    /* that the tree takes as a tar archive, without extended headers */
};

/* What every source does with an entry: begin, and the bytes are counted. */
int tree_begin(struct tree_sink *sink, const struct tar_entry *entry, struct masu_error *err);

/* A clean relative path; "" for the top. The reason of a refusal goes to *reason (static). */
int tree_clean_path(struct arena *arena, const char *path, const char **ret, const char **reason);

/*
 * True for the extended attributes that travel: user.*, security.capability, POSIX ACLs. The others
 * (trusted.*, above all trusted.overlay.*; other security.*) belong to the host.
 */
bool tree_xattr_wanted(const char *name);
/* True for a security.capability that the kernel would take. */
bool tree_capability_valid(const void *value, size_t len);
