#include "cold/image/decoder.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "cold/image/policy.h"
#include "cold/image/stream.h"
#include "tree/tar.h"
#include "sys/fs.h"

static int send_failed(int code, struct masu_error *err)
{
	return error_errno(err, code, "the unpacker is gone");
}

/* The content of the current entry, if it has one. */
static int send_content(struct tar *tar, struct frame_channel *out, struct masu_error *err)
{
	for (;;) {
		const uint8_t *data;
		size_t len;
		uint64_t offset;
		int r = tar_data(tar, &data, &len, &offset, err);
		if (r < 0 || len == 0)
			return r;
		r = frame_send_data(out, data, len, offset);
		if (r < 0)
			return send_failed(r, err);
	}
}

/* Where in the tar the content of the current entry is; pieces that follow each other are one. */
static int send_extents(struct tar *tar, struct frame_channel *out, struct masu_error *err)
{
	struct frame_extent extent = { 0 };
	for (;;) {
		const uint8_t *data;
		size_t len;
		uint64_t offset, at = tar->offset;
		int r = tar_data(tar, &data, &len, &offset, err);
		if (r < 0)
			return r;
		if (len && extent.len && offset == extent.offset + extent.len) {
			extent.len += len;
			continue;
		}
		if (extent.len && frame_send_extent(out, &extent) < 0)
			return send_failed(-EPIPE, err);
		if (len == 0)
			return 0;
		extent = (struct frame_extent) { offset, len, at };
	}
}

/* An entry of a layer, and what @content tells of a file. */
static int send_layer(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
		      struct frame_channel *out, bool whiteouts,
		      int (*content)(struct tar *, struct frame_channel *, struct masu_error *),
		      struct masu_error *err)
{
	struct frame_entry frame;
	bool skip;
	int r = policy_entry(arena, entry, whiteouts, &frame, &skip, err);
	if (r < 0 || skip)
		return r;
	r = frame_send_entry(out, &frame);
	if (r < 0)
		return send_failed(r, err);
	return frame.kind == FRAME_FILE ? content(tar, out, err) : 0;
}

static int send_entry(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
		      struct frame_channel *out, struct masu_error *err)
{
	return send_layer(tar, entry, arena, out, true, send_content, err);
}

static int send_indexed(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
			struct frame_channel *out, struct masu_error *err)
{
	return send_layer(tar, entry, arena, out, true, send_extents, err);
}

static int send_file(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
		     struct frame_channel *out, struct masu_error *err)
{
	return send_layer(tar, entry, arena, out, false, send_content, err);
}

/* In an archive of files only files and links between them count. */
static int send_member(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
		       struct frame_channel *out, struct masu_error *err)
{
	const char *reason;
	struct frame_entry frame = { .size = entry->size, .link = "" };
	int r = tree_clean_path(arena, entry->path, &frame.path, &reason);
	if (r < 0)
		return error_set(err, r, "entry \"%.200s\": %s", entry->path, reason);
	if (entry->type == TAR_FILE)
		frame.kind = FRAME_FILE;
	else if (entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK)
		frame.kind = entry->type == TAR_SYMLINK ? FRAME_SYMLINK : FRAME_HARDLINK;
	else
		return 0;
	if (strlen(entry->link) > LIMIT_PATH)
		return error_set(err, -E2BIG, "entry \"%.200s\": too long a link", entry->path);
	frame.link = entry->link;
	r = frame_send_entry(out, &frame);
	if (r < 0)
		return send_failed(r, err);
	return frame.kind == FRAME_FILE ? send_content(tar, out, err) : 0;
}

typedef int (*entry_sender)(struct tar *tar, const struct tar_entry *entry, struct arena *arena,
			    struct frame_channel *out, struct masu_error *err);

static int send_tar(struct source *source, struct frame_channel *out, entry_sender send,
		    struct masu_error *err)
{
	struct tar tar;
	_cleanup_arena_ struct arena arena;
	uint64_t entries = 0;
	arena_init(&arena, 16u << 20);
	tar_init(&tar, source);
	int r;
	for (;;) {
		const struct tar_entry *entry;
		r = tar_next(&tar, &entry, err);
		if (r == 0 && send == send_indexed && tar.unpadded)
			r = frame_send_unpadded(out);
		if (r < 0 || !entry)
			break;
		if (++entries > LIMIT_ENTRIES) {
			r = error_set(err, -E2BIG, "more than %u entries; that is refused",
				      LIMIT_ENTRIES);
			break;
		}
		r = send(&tar, entry, &arena, out, err);
		if (r < 0)
			break;
		arena_reset(&arena);
	}
	tar_free(&tar);
	/* What follows the end of the archive belongs to the digest. */
	return r < 0 ? r : source_drain(source, err);
}

static int decode(int in, int out, int copy, EVP_MD_CTX *sha256, entry_sender send,
		  struct masu_error *err)
{
	struct stream *stream;
	struct frame_channel *channel;
	int r = frame_channel_new(out, &channel);
	if (r < 0)
		return error_set(err, r, "out of memory");
	r = stream_open(in, sha256, &stream, err);
	if (r == 0) {
		stream_copy_to(stream, copy);
		r = send_tar(stream_source(stream), channel, send, err);
		if (r == 0 && frame_send_done(channel) < 0)
			r = send_failed(-EPIPE, err);
		stream_close(stream);
	}
	frame_channel_free(channel);
	return r;
}

static int report_digest(EVP_MD_CTX *sha256, struct worker_report *report, struct masu_error *err)
{
	unsigned len = sizeof(report->sha256);
	if (sha256 && EVP_DigestFinal_ex(sha256, report->sha256, &len) != 1)
		return error_set(err, -EIO, "SHA-256 failed");
	return 0;
}

int decode_layer(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		 struct masu_error *err)
{
	int r = decode(in, out, -1, sha256, send_entry, err);
	return r < 0 ? r : report_digest(sha256, report, err);
}

int decode_tree(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		struct masu_error *err)
{
	int r = decode(in, out, -1, sha256, send_file, err);
	return r < 0 ? r : report_digest(sha256, report, err);
}

int decode_indexed(int in, int out, int tar_fd, EVP_MD_CTX *sha256, struct worker_report *report,
		   struct masu_error *err)
{
	int r = decode(in, out, tar_fd, sha256, send_indexed, err);
	return r < 0 ? r : report_digest(sha256, report, err);
}

int decode_archive(int in, int out, struct masu_error *err)
{
	return decode(in, out, -1, NULL, send_member, err);
}

int decode_plain(int in, int out, struct masu_error *err)
{
	struct stream *stream;
	int r = stream_open(in, NULL, &stream, err);
	if (r < 0)
		return r;
	struct source *source = stream_source(stream);
	for (;;) {
		const uint8_t *data;
		size_t len;
		r = source->peek(source, &data, &len, err);
		if (r < 0 || len == 0)
			break;
		r = fs_write_all(out, data, len);
		if (r < 0) {
			send_failed(r, err);
			break;
		}
		source->consume(source, len);
	}
	stream_close(stream);
	return r;
}
