#include "cold/image/chunk.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "sys/fs.h"

#define LEVEL	    1
#define CHUNKS_LIKE 8192 /* from here on larger ones instead of more */
/*
 * The decoder takes a stream that grows by too much for a bomb (LIMIT_RATIO). A chunk of zeroes
 * would be one; it is filled up with a frame that decoders skip. There is only one such chunk to a
 * volume, however many zeroes it has: they all have one digest.
 */
#define RATIO_MAX  128
#define SKIP_MAGIC 0x184d2a50u /* RFC 8878, 3.1.2 */
#define SKIP_FRAME 8

/* Numbers without a pattern, the same everywhere: splitmix64 (Steele, Lea, Flood 2014). */
static void fill_gear(uint64_t gear[256])
{
	uint64_t state = 0x6d617375766f6c75; /* "masuvolu" */
	for (unsigned i = 0; i < 256; i++) {
		uint64_t z = state += 0x9e3779b97f4a7c15;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
		gear[i] = z ^ (z >> 31);
	}
}

static const uint64_t *gear_table(void)
{
	static uint64_t gear[256];
	if (gear[0] == 0)
		fill_gear(gear);
	return gear;
}

uint32_t chunk_average(uint64_t bytes)
{
	uint32_t average = CHUNK_AVERAGE_MIN;
	while (average < CHUNK_AVERAGE_MAX && bytes / average > CHUNKS_LIKE)
		average *= 2;
	return average;
}

/* The @bits highest bits: there the last 64 bytes have all been mixed in. */
static uint64_t mask_of(unsigned bits)
{
	return ~0ull << (64 - bits);
}

size_t chunk_cut(uint32_t average, const uint8_t *data, size_t len)
{
	const uint64_t *gear = gear_table();
	unsigned bits = (unsigned)__builtin_ctz(average);
	uint64_t strict = mask_of(bits + 1), lax = mask_of(bits - 1), hash = 0;
	size_t most = (size_t)average * CHUNK_FACTOR, least = average / CHUNK_FACTOR;
	size_t end = len < most ? len : most, wanted = average < end ? average : end;
	size_t at = least;
	for (; at < wanted; at++) {
		hash = (hash << 1) + gear[data[at]];
		if (!(hash & strict))
			return at + 1;
	}
	for (; at < end; at++) {
		hash = (hash << 1) + gear[data[at]];
		if (!(hash & lax))
			return at + 1;
	}
	return end;
}

struct packer {
	ZSTD_CCtx *zstd;
	uint8_t *in, *out;
	size_t in_size, in_len, out_size;
};

static void packer_free(struct packer *p)
{
	ZSTD_freeCCtx(p->zstd);
	free(p->in);
	free(p->out);
}

static int packer_init(struct packer *p, uint32_t average)
{
	size_t most = (size_t)average * CHUNK_FACTOR;
	*p = (struct packer) { .zstd = ZSTD_createCCtx(), .in_size = 2 * most };
	p->out_size = sizeof(struct chunk_header) + ZSTD_compressBound(most) + SKIP_FRAME +
		      most / RATIO_MAX;
	p->in = malloc(p->in_size);
	p->out = malloc(p->out_size);
	if (!p->zstd || !p->in || !p->out ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, LEVEL)))
		return -ENOMEM;
	return 0;
}

/* A frame to skip behind @packed bytes, where they are too few for @raw; their number then. */
static size_t fill_up(uint8_t *at, size_t packed, size_t raw)
{
	size_t least = raw / RATIO_MAX;
	if (packed + SKIP_FRAME >= least)
		return packed;
	uint32_t pad = (uint32_t)(least - packed - SKIP_FRAME);
	const uint32_t words[2] = { htole32(SKIP_MAGIC), htole32(pad) };
	memcpy(at + packed, words, SKIP_FRAME);
	memset(at + packed + SKIP_FRAME, 0, pad);
	return least;
}

static int put(struct packer *p, size_t raw, int out, struct masu_error *err)
{
	uint8_t *to = p->out + sizeof(struct chunk_header);
	size_t packed =
		ZSTD_compress2(p->zstd, to, p->out_size - sizeof(struct chunk_header), p->in, raw);
	if (ZSTD_isError(packed))
		return error_set(err, -EIO, "compressing the volume failed");
	packed = fill_up(to, packed, raw);
	const struct chunk_header header = { (uint32_t)raw, (uint32_t)packed };
	memcpy(p->out, &header, sizeof(header));
	int r = fs_write_all(out, p->out, sizeof(header) + packed);
	p->in_len -= raw;
	memmove(p->in, p->in + raw, p->in_len);
	return r < 0 ? error_errno(err, r, "the chunks have no reader") : 0;
}

/* Reads until there is room for no more; *ret_end: that was all. */
static int fill(struct packer *p, int in, EVP_MD_CTX *sha256, bool *ret_end, struct masu_error *err)
{
	while (p->in_len < p->in_size) {
		ssize_t got = read(in, p->in + p->in_len, p->in_size - p->in_len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, -errno, "reading the volume");
		if (got == 0) {
			*ret_end = true;
			return 0;
		}
		if (EVP_DigestUpdate(sha256, p->in + p->in_len, (size_t)got) != 1)
			return error_set(err, -EIO, "SHA-256 failed");
		p->in_len += (size_t)got;
	}
	return 0;
}

int chunk_pack(const struct chunk_job *job, int in, int out, EVP_MD_CTX *sha256,
	       struct worker_report *report, struct masu_error *err)
{
	_cleanup_(packer_free)
	struct packer p;
	unsigned len = sizeof(report->sha256);
	bool end = false;
	int r = packer_init(&p, job->average);
	if (r < 0)
		return error_set(err, r, "out of memory");
	size_t most = (size_t)job->average * CHUNK_FACTOR;
	while (r == 0 && (!end || p.in_len)) {
		if (!end && p.in_len < most)
			r = fill(&p, in, sha256, &end, err);
		size_t raw = r < 0 || !p.in_len ? 0 : chunk_cut(job->average, p.in, p.in_len);
		report->bytes += raw;
		if (raw)
			r = put(&p, raw, out, err);
	}
	if (r == 0 && EVP_DigestFinal_ex(sha256, report->sha256, &len) != 1)
		r = error_set(err, -EIO, "SHA-256 failed");
	return r;
}
