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

/* As much as there is room for, unless it ends: what is compressed at once shapes the result, and
 * the same layer must give the same bytes however its writer was scheduled. */
static ssize_t fill(int fd, uint8_t *buffer)
{
	size_t len = 0;
	while (len < BUFFER_SIZE) {
		ssize_t got = read(fd, buffer + len, BUFFER_SIZE - len);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		len += got > 0 ? (size_t)got : 0;
	}
	return (ssize_t)len;
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
		got = fill(in, e->in);
		if (got < 0)
			return error_errno(err, (int)got, "reading the layer");
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
