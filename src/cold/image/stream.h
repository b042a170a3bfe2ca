/*
 * A file or pipe as a stream of uncompressed bytes. What it is compressed with is told by its first
 * bytes: gzip (isa-l), zstd (libzstd), xz, bzip2, lzma and lz4 (libarchive's filters), or nothing.
 * What comes out is hashed on the way and bounded (maxima.h). Makes no system call but read(2) and
 * those of malloc after stream_open(), nor in it after stream_prepare().
 */
#pragma once

#include <openssl/evp.h>

#include "tree/source.h"

enum stream_kind { STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD, STREAM_OTHER };

struct stream;

/*
 * For a process that goes into a box before it opens the stream: reads the first bytes of @fd, and
 * where they need a library that is not loaded, loads it. stream_open() of @fd goes on from there.
 */
int stream_prepare(int fd, struct masu_error *err);

/* @sha256 (may be NULL) is fed with everything that comes out; it stays the caller's. */
int stream_open(int fd, EVP_MD_CTX *sha256, struct stream **ret, struct masu_error *err);
void stream_close(struct stream *stream);
/* Everything that comes out is written to @fd, too, before it is seen. */
void stream_copy_to(struct stream *stream, int fd);
struct source *stream_source(struct stream *stream);
enum stream_kind stream_kind(const struct stream *stream);

/* By the first bytes of a file of at least @len bytes. */
enum stream_kind stream_detect(const uint8_t *magic, size_t len);
