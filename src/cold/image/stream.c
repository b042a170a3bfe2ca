#include "cold/image/stream.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fuzzing.h"
#include "base/str.h"
#include "cold/image/filters.h"
#include "cold/image/maxima.h"
#include "sys/fs.h"

#define MAGIC_SIZE  6
#define INPUT_SIZE  FUZZING_OR(1024u, 256u << 10)
#define OUTPUT_SIZE FUZZING_OR(4096u, 256u << 10)

struct stream {
	struct source source; /* first: the functions below cast */
	int fd, copy;	      /* copy: -1 where nobody wants one */
	enum stream_kind kind;
	bool input_end, finished;
	size_t in_at, in_len;	/* unread part of in */
	size_t out_at, out_len; /* unread part of what window shows */
	const uint8_t *window;
	uint64_t total_in, total_out;
	EVP_MD_CTX *sha256;
	struct inflate_state *gzip;
	ZSTD_DCtx *zstd;
	size_t zstd_hint; /* 0: between frames */
	const struct filters *filters;
	struct archive *archive;
	uint8_t in[INPUT_SIZE], out[OUTPUT_SIZE];
};

/* The beginning of a stream that stream_prepare() has read. */
static struct {
	int fd;
	size_t len;
	uint8_t data[MAGIC_SIZE];
} head = { .fd = -1 };

enum stream_kind stream_detect(const uint8_t *magic, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
		enum stream_kind kind;
	} kinds[] = {
		{ "\x1f\x8b", 2, STREAM_GZIP },
		{ "\x28\xb5\x2f\xfd", 4, STREAM_ZSTD },
		{ "\xfd"
		  "7zXZ\0",
		  6, STREAM_OTHER },
		{ "BZh", 3, STREAM_OTHER },
		{ "\x04\x22\x4d\x18", 4, STREAM_OTHER }, /* lz4 */
		{ "\x5d\0\0", 3, STREAM_OTHER },	 /* lzma */
	};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (len >= kinds[i].len && memcmp(magic, kinds[i].magic, kinds[i].len) == 0)
			return kinds[i].kind;
	return STREAM_PLAIN;
}

/* Reads on where the input buffer is used up. in_len stays 0 at the end. */
static int fill_input(struct stream *s, struct masu_error *err)
{
	if (s->in_at < s->in_len || s->input_end)
		return 0;
	ssize_t got;
	do
		got = read(s->fd, s->in, INPUT_SIZE);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_errno(err, -errno, "reading the archive");
	s->in_at = 0;
	s->in_len = (size_t)got;
	s->total_in += (uint64_t)got;
	s->input_end = got == 0;
	return 0;
}

static int damaged(struct masu_error *err, const char *what)
{
	return error_set(err, -EBADMSG, "the %s data is damaged or cut off", what);
}

static int fill_plain(struct stream *s, struct masu_error *err)
{
	int r = fill_input(s, err);
	if (r < 0)
		return r;
	s->window = s->in + s->in_at;
	s->out_len = s->in_len - s->in_at;
	s->in_at = s->in_len;
	s->finished = s->out_len == 0;
	return 0;
}

/* A gzip file is one or more members, one after the other (RFC 1952). */
static int fill_gzip(struct stream *s, struct masu_error *err)
{
	struct inflate_state *z = s->gzip;
	z->next_out = s->out;
	z->avail_out = OUTPUT_SIZE;
	while (z->avail_out == OUTPUT_SIZE) {
		int r = fill_input(s, err);
		if (r < 0)
			return r;
		bool member_end = z->block_state == ISAL_BLOCK_FINISH;
		if (s->input_end && !member_end)
			return damaged(err, "gzip");
		if (s->input_end) {
			s->finished = true;
			break;
		}
		if (member_end) {
			isal_inflate_reset(z);
			z->crc_flag = ISAL_GZIP;
		}
		z->next_in = s->in + s->in_at;
		z->avail_in = (uint32_t)(s->in_len - s->in_at);
		if (isal_inflate(z) < 0)
			return damaged(err, "gzip");
		s->in_at = s->in_len - z->avail_in;
	}
	s->out_len = OUTPUT_SIZE - z->avail_out;
	return 0;
}

static int fill_zstd(struct stream *s, struct masu_error *err)
{
	ZSTD_outBuffer out = { s->out, OUTPUT_SIZE, 0 };
	while (out.pos == 0) {
		int r = fill_input(s, err);
		if (r < 0)
			return r;
		if (s->input_end && s->zstd_hint != 0)
			return damaged(err, "zstd");
		if (s->input_end) {
			s->finished = true;
			break;
		}
		ZSTD_inBuffer in = { s->in, s->in_len, s->in_at };
		s->zstd_hint = ZSTD_decompressStream(s->zstd, &out, &in);
		if (ZSTD_isError(s->zstd_hint))
			return damaged(err, "zstd");
		s->in_at = in.pos;
	}
	s->out_len = out.pos;
	return 0;
}

static la_ssize_t archive_input(struct archive *archive, void *data, const void **ret)
{
	struct stream *s = data;
	struct masu_error err = { 0 };
	if (fill_input(s, &err) < 0) {
		s->filters->set_error(archive, -err.code, "%s", err.message);
		return -1;
	}
	*ret = s->in + s->in_at;
	size_t len = s->in_len - s->in_at;
	s->in_at = s->in_len;
	return s->input_end ? 0 : (la_ssize_t)len;
}

static int fill_other(struct stream *s, struct masu_error *err)
{
	const void *block;
	la_int64_t offset;
	size_t len = 0;
	int r = s->filters->data_block(s->archive, &block, &len, &offset);
	if (r == ARCHIVE_EOF) {
		s->finished = true;
		return 0;
	}
	if (r != ARCHIVE_OK)
		return error_set(err, -EBADMSG, "the compressed data is damaged or cut off: %s",
				 s->filters->error_string(s->archive));
	s->window = block;
	s->out_len = len;
	return 0;
}

static int check_limits(const struct stream *s, struct masu_error *err)
{
	if (s->total_out > LIMIT_UNPACKED)
		return error_set(err, -EFBIG, "more than %llu GiB uncompressed; that is refused",
				 LIMIT_UNPACKED >> 30);
	if (s->kind != STREAM_PLAIN && s->total_out > LIMIT_RATIO_FROM &&
	    s->total_out / LIMIT_RATIO > s->total_in)
		return error_set(err, -EFBIG,
				 "the data grows more than %u times when uncompressed, like a "
				 "decompression bomb; that is refused",
				 LIMIT_RATIO);
	return 0;
}

static int fill(struct stream *s, struct masu_error *err)
{
	static int (*const fillers[])(struct stream *, struct masu_error *) = {
		[STREAM_PLAIN] = fill_plain,
		[STREAM_GZIP] = fill_gzip,
		[STREAM_ZSTD] = fill_zstd,
		[STREAM_OTHER] = fill_other,
	};
	s->window = s->out;
	s->out_at = s->out_len = 0;
	int r = fillers[s->kind](s, err);
	if (r < 0)
		return r;
	s->total_out += s->out_len;
	if (s->sha256 && s->out_len && EVP_DigestUpdate(s->sha256, s->window, s->out_len) != 1)
		return error_set(err, -EIO, "SHA-256 failed");
	r = check_limits(s, err);
	if (r == 0 && s->copy >= 0 && s->out_len) {
		r = fs_write_all(s->copy, s->window, s->out_len);
		if (r < 0)
			return error_errno(err, r, "writing the uncompressed layer");
	}
	return r;
}

static int stream_peek(struct source *source, const uint8_t **ret, size_t *ret_len,
		       struct masu_error *err)
{
	struct stream *s = (struct stream *)source;
	while (s->out_at == s->out_len && !s->finished) {
		int r = fill(s, err);
		if (r < 0)
			return r;
	}
	*ret = s->window + s->out_at;
	*ret_len = s->out_len - s->out_at;
	return 0;
}

static void stream_consume(struct source *source, size_t len)
{
	((struct stream *)source)->out_at += len;
}

static int open_other(struct stream *s, struct masu_error *err)
{
	struct archive_entry *entry;
	int r = filters_load(&s->filters, err);
	if (r < 0)
		return r;
	const struct filters *f = s->filters;
	s->archive = f->read_new();
	if (!s->archive)
		return error_set(err, -ENOMEM, "out of memory");
	/* Only filters that are linked in: others would start programs. */
	f->xz(s->archive);
	f->lzma(s->archive);
	f->bzip2(s->archive);
	f->lz4(s->archive);
	f->raw(s->archive);
	if (f->open(s->archive, s, NULL, archive_input, NULL) != ARCHIVE_OK ||
	    f->next_header(s->archive, &entry) != ARCHIVE_OK)
		return error_set(err, -EBADMSG, "the compressed data is damaged or cut off: %s",
				 f->error_string(s->archive));
	return 0;
}

static int open_decoder(struct stream *s, struct masu_error *err)
{
	switch (s->kind) {
	case STREAM_PLAIN:
		return 0;
	case STREAM_GZIP:
		s->gzip = malloc(sizeof(*s->gzip));
		if (!s->gzip)
			break;
		isal_inflate_init(s->gzip);
		s->gzip->crc_flag = ISAL_GZIP;
		return 0;
	case STREAM_ZSTD:
		s->zstd = ZSTD_createDCtx();
		if (!s->zstd)
			break;
		s->zstd_hint = 1;
		return 0;
	case STREAM_OTHER:
		return open_other(s, err);
	}
	return error_set(err, -ENOMEM, "out of memory");
}

/* Enough bytes to tell the compression, also from a pipe that gives one at a time. */
static int read_magic(int fd, uint8_t *data, size_t size, size_t *len, struct masu_error *err)
{
	while (*len < MAGIC_SIZE) {
		ssize_t got = read(fd, data + *len, size - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, -errno, "reading the archive");
		if (got == 0)
			break;
		*len += (size_t)got;
	}
	return 0;
}

static int begin(struct stream *s, struct masu_error *err)
{
	if (head.fd == s->fd) {
		memcpy(s->in, head.data, head.len);
		s->in_len = head.len;
		head.fd = -1;
	}
	int r = read_magic(s->fd, s->in, INPUT_SIZE, &s->in_len, err);
	s->total_in = s->in_len;
	s->input_end = s->in_len == 0;
	s->kind = stream_detect(s->in, s->in_len);
	return r;
}

int stream_prepare(int fd, struct masu_error *err)
{
	const struct filters *filters;
	head.len = 0;
	int r = read_magic(fd, head.data, sizeof(head.data), &head.len, err);
	head.fd = r < 0 ? -1 : fd;
	if (r == 0 && stream_detect(head.data, head.len) == STREAM_OTHER)
		r = filters_load(&filters, err);
	return r;
}

int stream_open(int fd, EVP_MD_CTX *sha256, struct stream **ret, struct masu_error *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	s->source = (struct source) { .peek = stream_peek, .consume = stream_consume };
	s->fd = fd;
	s->copy = -1;
	s->sha256 = sha256;
	int r = begin(s, err);
	if (r == 0)
		r = open_decoder(s, err);
	if (r < 0) {
		stream_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	free(s->gzip);
	ZSTD_freeDCtx(s->zstd);
	if (s->archive)
		s->filters->read_free(s->archive);
	free(s);
}

void stream_copy_to(struct stream *s, int fd)
{
	s->copy = fd;
}

struct source *stream_source(struct stream *s)
{
	return &s->source;
}

enum stream_kind stream_kind(const struct stream *s)
{
	return s->kind;
}
