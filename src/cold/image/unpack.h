/*
 * Running decoder and writer as separate, sandboxed processes. What they report is checked before
 * it is used; what they leave behind lies in staging.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/image.h"

/* Where a layer goes. */
struct unpack_target {
	int directory_fd; /* its files, or -1 … */
	/* … and its tar with an index (indexer.h). The descriptors stay open until the end. */
	int tar_fd, index_fd;
	bool tar_is_there;  /* tar_fd is the very file that is read */
	bool plain;	    /* no layer but a tree of files: no name means a whiteout */
	bool onto;	    /* directory_fd is a mounted root in which the layer happens */
	const char *digest; /* of what is read, which is a tar that the caller hashed; or NULL */
};

struct unpacked_layer {
	char diff_id[DIGEST_MAX]; /* digest of the uncompressed tar */
	uint64_t size;		  /* bytes of its regular files */
	uint64_t entries;
};

/*
 * Unpacks the layer in the file @blob_fd (from its beginning) to @target.
 * @below: the files of the @below_count layers under it, lowest first, whose directories an archive
 * that does not mention them keeps as they are.
 */
int unpack_layer(int blob_fd, const struct unpack_target *target, const int *below,
		 size_t below_count, struct unpacked_layer *ret, struct masu_error *err);

/*
 * The same in two halves, so that layers are unpacked while they come and several at once: the blob
 * is read from @in_fd (a pipe), from where it is; @in_fd may be closed after unpack_begin().
 * unpack_end() waits and frees; unpack_abort() stops and frees.
 */
struct unpacking;
int unpack_begin(int in_fd, const struct unpack_target *target, struct unpacking **ret,
		 struct masu_error *err);
int unpack_end(struct unpacking *unpacking, const int *below, size_t below_count,
	       struct unpacked_layer *ret, struct masu_error *err);
void unpack_abort(struct unpacking *unpacking);

/* What a decoder for an archive of files or for a stream is doing, while its output is read. */
struct decoder_process;
enum decoder_mode { DECODER_ARCHIVE, DECODER_PLAIN };

/* Starts a decoder on @in_fd; its output comes from *ret_fd, which the caller closes. */
int decoder_start(enum decoder_mode mode, int in_fd, struct decoder_process **ret, int *ret_fd,
		  struct masu_error *err);
/*
 * Waits for it. @failure: the caller's own failure, 0 for none. Returns the decoder's failure with
 * its message where that is the cause of the caller's.
 */
int decoder_finish(struct decoder_process *process, int failure, struct masu_error *err);

/*
 * Starts a process that compresses what comes through @in_fd with gzip, in the decoder's sandbox;
 * its output comes from *ret_fd, which the caller closes. encoder_finish() is decoder_finish(), and
 * tells digest and size of what went in.
 */
int encoder_start(int in_fd, struct decoder_process **ret, int *ret_fd, struct masu_error *err);
int encoder_finish(struct decoder_process *process, int failure, char ret_digest[DIGEST_MAX],
		   uint64_t *ret_bytes, struct masu_error *err);

/* The same for chunk_pack() (chunk.h), also ended by encoder_finish(). */
int chunker_start(uint32_t average, int in_fd, struct decoder_process **ret, int *ret_fd,
		  struct masu_error *err);

/*
 * Runs @job in a process of its own, with all that the caller has open and may do; what it writes
 * to @out comes from *ret_fd. It dies with the caller. To be ended by decoder_finish().
 */
typedef int (*producer_job)(void *data, int out, struct masu_error *err);
int producer_start(producer_job job, void *data, struct decoder_process **ret, int *ret_fd,
		   struct masu_error *err);

/*
 * Runs @job in a process of its own that can do nothing but compute and write to its output (see
 * sandbox_decoder()); the output, at most @limit bytes, is appended to *ret. The job sees the
 * caller's memory as it is now; what it changes there is lost.
 */
typedef int (*sandboxed_job)(void *data, struct buf *out, struct masu_error *err);
int sandboxed_run(sandboxed_job job, void *data, size_t limit, struct buf *ret,
		  struct masu_error *err);
