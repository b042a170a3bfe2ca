/* A tree of files as a gzipped tar in staging: of a commit, and of a container that travels. */
#pragma once

#include "cold/image/staging.h"
#include "cold/image/unpack.h"

/*
 * What @tell writes, a tar archive, is compressed in the encoder's box and stored. @ret_tar: digest
 * of what it wrote, @ret_bytes: how much.
 */
int staged_tree(struct staging *staging, producer_job tell, void *data, struct staged_blob *ret,
		char ret_tar[DIGEST_MAX], uint64_t *ret_bytes, struct masu_error *err);
