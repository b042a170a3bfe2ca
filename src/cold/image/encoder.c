#include "cold/image/encoder.h"

#include <errno.h>
#include <isa-l.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/fs.h"

#define BUFFER_SIZE (1u << 20)

struct encoder {
	struct isal_zstream stream;
	uint8_t level[ISAL_DEF_LVL1_DEFAULT]; /* memory that the level takes */
	uint8_t in[BUFFER_SIZE], out[BUFFER_SIZE];
};

/* Compresses what is in the stream; with @last, all that is left. */
static int compress_some(struct encoder *e, int out, bool last, struct masu_error *err)
{
	e->stream.end_of_stream = last;
	do {
		e->stream.next_out = e->out;
		e->stream.avail_out = BUFFER_SIZE;
		if (isal_deflate(&e->stream) != COMP_OK)
			return error_set(err, -EIO, "compressing the layer failed");
		int r = fs_write_all(out, e->out, BUFFER_SIZE - e->stream.avail_out);
		if (r < 0)
			return error_errno(err, r, "the compressed layer has no reader");
	} while (e->stream.avail_out == 0);
	return 0;
}

int encode_gzip(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		struct masu_error *err)
{
	unsigned len = sizeof(report->sha256);
	_cleanup_free_ struct encoder *e = malloc(sizeof(*e));
	ssize_t got;
	int r = 0;
	if (!e)
		return error_set(err, -ENOMEM, "out of memory");
	isal_deflate_init(&e->stream);
	e->stream.gzip_flag = IGZIP_GZIP;
	e->stream.level = 1;
	e->stream.level_buf = e->level;
	e->stream.level_buf_size = sizeof(e->level);
	do {
		got = read(in, e->in, BUFFER_SIZE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, -errno, "reading the layer");
		if (got > 0 && EVP_DigestUpdate(sha256, e->in, (size_t)got) != 1)
			return error_set(err, -EIO, "SHA-256 failed");
		report->bytes += (uint64_t)got;
		e->stream.next_in = e->in;
		e->stream.avail_in = (uint32_t)got;
		r = compress_some(e, out, got == 0, err);
	} while (got != 0 && r == 0);
	if (r == 0 && EVP_DigestFinal_ex(sha256, report->sha256, &len) != 1)
		r = error_set(err, -EIO, "SHA-256 failed");
	return r;
}
