/*
 * What the decoder tells the writer, through a pipe: one frame an entry, then its content. The
 * writer takes every length for hostile: the decoder has parsed somebody's archive.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cold/image/maxima.h"

enum frame_type {
	FRAME_ENTRY = 1,
	FRAME_DATA,
	FRAME_DONE,
	/* In the place of FRAME_DATA, for a writer that has the tar itself. */
	FRAME_EXTENT,
	FRAME_UNPADDED /* the last file's content is not filled up with zeroes to a whole block */
};

enum frame_kind {
	FRAME_FILE,
	FRAME_HARDLINK,
	FRAME_SYMLINK,
	FRAME_CHAR,
	FRAME_BLOCK,
	FRAME_DIRECTORY,
	FRAME_FIFO,
	FRAME_WHITEOUT, /* path is hidden in the layers below */
	FRAME_OPAQUE	/* everything in the directory path is hidden in the layers below */
};

#define FRAME_MAX_XATTRS 256
#define FRAME_MAX_DATA	 (1u << 20)

struct frame_header {
	uint32_t type, len; /* bytes that follow */
	uint64_t offset;    /* FRAME_DATA: where in the file */
};

struct frame_xattr {
	const char *name;
	const void *value;
	size_t len;
};

/* Paths are relative, clean, without "..": "" is the layer's root. */
struct frame_entry {
	enum frame_kind kind;
	uint32_t mode, uid, gid, major, minor, mtime_ns;
	int64_t mtime;
	uint64_t size;
	const char *path, *link;
	size_t xattr_count;
	struct frame_xattr *xattrs;
};

/* Where in the tar a piece of a file lies. */
struct frame_extent {
	uint64_t offset, len; /* in the file */
	uint64_t at;	      /* in the tar */
};

/* One end of the pipe with its buffer. Of no more than one direction. */
struct frame_channel;

int frame_channel_new(int fd, struct frame_channel **ret);
void frame_channel_free(struct frame_channel *channel);

/* Sending. -EPIPE where the writer is gone: it has said why. */
int frame_send_entry(struct frame_channel *channel, const struct frame_entry *entry);
int frame_send_data(struct frame_channel *channel, const void *data, size_t len, uint64_t offset);
int frame_send_extent(struct frame_channel *channel, const struct frame_extent *extent);
int frame_send_unpadded(struct frame_channel *channel);
/* The end, and everything is flushed. */
int frame_send_done(struct frame_channel *channel);

/*
 * Receiving: the next frame. For FRAME_ENTRY *ret_entry is filled, for FRAME_DATA and FRAME_EXTENT
 * *ret_data (the latter: the struct, not aligned); both are valid until the next call. -EPIPE where
 * the stream ends before FRAME_DONE, -EPROTO where a frame is not what it should be.
 */
struct frame_data {
	const uint8_t *data;
	size_t len;
	uint64_t offset;
};
int frame_receive(struct frame_channel *channel, enum frame_type *ret_type,
		  struct frame_entry *ret_entry, struct frame_data *ret_data);
