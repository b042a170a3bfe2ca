/*
 * The decoder: turns a compressed tar into frames for the writer. Runs in its own process after
 * sandbox_decoder(): it can read its input, write to the pipe and take memory, nothing else.
 */
#pragma once

#include <openssl/evp.h>

#include "cold/image/frame.h"

/* What a worker process tells its parent, in shared memory. The parent takes it for hostile. */
struct worker_report {
	int code; /* negative errno; 0: fine */
	bool finished;
	char message[MASU_ERROR_MAX];
	uint8_t sha256[32];	 /* decoder: of the uncompressed stream */
	uint64_t bytes, entries; /* writer: size of the regular files, number of entries */
};

/*
 * Everything @out gets is one layer's frames, for a writer (writer.h). @sha256: a context ready for
 * update; NULL: nobody wants to know.
 */
int decode_layer(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		 struct masu_error *err);

/* The same of a tree of files that is no layer, in which no name means a whiteout. */
int decode_tree(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		struct masu_error *err);

/* The same for an indexer (indexer.h). The tar goes to @tar_fd; -1: it is there already. */
int decode_indexed(int in, int out, int tar_fd, EVP_MD_CTX *sha256, struct worker_report *report,
		   struct masu_error *err);

/*
 * An archive of files (docker save, oci-archive): the regular files and symlinks of the tar as they
 * are named, no whiteouts, no metadata.
 */
int decode_archive(int in, int out, struct masu_error *err);

/* Only uncompresses, for what OCI has no media type for (xz, bzip2, lz4). */
int decode_plain(int in, int out, struct masu_error *err);
