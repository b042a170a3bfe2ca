/*
 * Content-defined chunks: a stream is cut where its own bytes say so, so that what is inserted or
 * changed in one place leaves all chunks but those around it as they were. A gear hash, cut with a
 * stricter condition before the wanted size than behind it (Xia et al., "FastCDC", USENIX ATC
 * 2016).
 *
 * Where it cuts is for ever: another table or other masks would make every volume that is pushed
 * anew. tests/unit/test-chunk.c holds it fast.
 */
#pragma once

#include <openssl/evp.h>

#include "cold/image/decoder.h"

#define CHUNK_AVERAGE_MIN (1u << 20)
#define CHUNK_AVERAGE_MAX (16u << 20)
#define CHUNK_FACTOR	  4 /* a chunk has at least average/4 and at most average*4 bytes */

/* The size of chunks, a power of two within the limits, for a stream of about @bytes. */
uint32_t chunk_average(uint64_t bytes);

/*
 * The length of the first chunk of @data. At most average * CHUNK_FACTOR bytes are looked at; fewer
 * than that only at the end of the stream.
 */
size_t chunk_cut(uint32_t average, const uint8_t *data, size_t len);

/* What chunk_pack() tells before the bytes of each chunk. */
struct chunk_header {
	uint32_t raw, packed; /* bytes of the stream, and those that follow */
};
#define CHUNK_PACKED_MAX (CHUNK_AVERAGE_MAX * CHUNK_FACTOR + (1u << 20))

struct chunk_job {
	uint32_t average;
};

/*
 * Reads a stream from @in to its end and tells @out of each chunk, as one or two zstd frames. All
 * of them one after the other are a zstd file of the stream. @sha256 and report->bytes: of what
 * went in. For a process in the decoder's sandbox.
 */
int chunk_pack(const struct chunk_job *job, int in, int out, EVP_MD_CTX *sha256,
	       struct worker_report *report, struct masu_error *err);
