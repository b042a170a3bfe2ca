/*
 * Where an image is put together before anybody sees it: <root>/images/.masu/staging/<random>/,
 * locked as long as its maker lives. A killed one is swept by the next command that makes one.
 */
#pragma once

#include <stdint.h>

#include "image/image.h"

struct staging {
	int root_fd; /* the caller's */
	int fd;	     /* the directory, locked */
	char name[40];
	unsigned next; /* number of the next file */
};

/* A file in staging whose content is known. */
struct staged_blob {
	char name[16]; /* in the staging directory */
	char digest[DIGEST_MAX];
	uint64_t size;
};

/* Sweeps what killed processes left and makes a directory of one's own. */
int staging_open(int root_fd, struct staging *ret, struct masu_error *err);
/* Removes it with what is in it. Safe on one that was never opened (fd -1). */
void staging_close(struct staging *staging);
#define _cleanup_staging_ __attribute__((cleanup(staging_close)))

/* A new empty file; *ret_blob gets its name. Returns its fd (read and write) or -errno. */
int staging_create(struct staging *staging, struct staged_blob *ret_blob, struct masu_error *err);

/* Copies everything that @fd still has into a new file and hashes it. */
int staging_store(struct staging *staging, int fd, struct staged_blob *ret, struct masu_error *err);
int staging_store_bytes(struct staging *staging, const void *data, size_t len,
			struct staged_blob *ret, struct masu_error *err);

/*
 * Where the store has a blob of that digest with these very bytes, the staged file becomes another
 * name of it: then nothing is written twice, and publishing leaves the store's own alone. A damaged
 * one is not the same, and neither is one that cannot be read. Needs no lock: what is removed
 * meanwhile is published again.
 */
void staging_reuse(struct staging *staging, const struct staged_blob *blob);

/* Opens a staged file for reading. */
int staging_read(const struct staging *staging, const struct staged_blob *blob);

/* An incremental SHA-256 for bulk data: OpenSSL's, which uses the CPU's own instructions. */
struct hasher;
int hasher_new(struct hasher **ret);
void hasher_update(struct hasher *hasher, const void *data, size_t len);
/* "sha256:…"; frees the hasher. */
int hasher_finish(struct hasher *hasher, char ret_digest[DIGEST_MAX]);
/* Of what @fd still has. */
int hasher_file(int fd, char ret_digest[DIGEST_MAX]);
void hasher_free(struct hasher *hasher);
