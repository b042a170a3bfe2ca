/*
 * The `local` driver: a compact binary format of masu's own, about a third of what json-file takes.
 *
 *   0  magic   2 bytes  b5 6c
 *   2  stream  1        1 stdout, 2 stderr
 *   3  check   1        all 16 bytes of the head, combined by exclusive or, are zero
 *   4  length  4        of the text, little endian
 *   8  time    8        nanoseconds since 1970, little endian
 *  16  text
 *      length  4        again, by which a reader goes backwards
 *
 * What a killed writer or a full disk left of a record is passed over: a reader looks for the next
 * place where the head fits and the length behind the text is the one in front of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/log_driver.h"

#define HEAD	 16u
#define OVERHEAD (HEAD + 4u)
#define MAGIC	 "\xb5\x6c"

static void put_number(char *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (char)(value >> (8 * i));
}

static uint64_t get_number(const char *in, unsigned bytes)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)(unsigned char)in[i] << (8 * i);
	return value;
}

static char check_of(const char *head)
{
	uint64_t words[2];
	memcpy(words, head, HEAD);
	words[0] ^= words[1];
	words[0] ^= words[0] >> 32;
	words[0] ^= words[0] >> 16;
	return (char)(words[0] ^ words[0] >> 8);
}

static void local_put(struct log *log, const struct log_record *record)
{
	char *out = log_file_reserve(log, record->len + OVERHEAD);
	memcpy(out, MAGIC, 2);
	out[2] = (char)record->stream;
	put_number(out + 4, record->len, 4);
	put_number(out + 8, record->time, 8);
	out[3] = 0;
	out[3] = check_of(out);
	log_copy(out + HEAD, record->data, record->len);
	put_number(out + HEAD + record->len, record->len, 4);
	log_file_commit(log, record->len + OVERHEAD);
}

/* True where a head is at @p, of which HEAD bytes are there. */
static bool is_head(const char *p)
{
	return memcmp(p, MAGIC, 2) == 0 && (p[2] == 1 || p[2] == 2) && check_of(p) == 0 &&
	       get_number(p + 4, 4) <= LOG_LINE_MAX;
}

/* Bytes up to the next place where a record may begin; at least one. */
static size_t next_magic(const char *data, size_t len)
{
	const char *found = len > 1 ? memmem(data + 1, len - 1, MAGIC, 2) : NULL;
	if (found)
		return (size_t)(found - data);
	/* The first byte of it may be the last that is there. */
	return len > 1 && data[len - 1] == MAGIC[0] ? len - 1 : len;
}

static size_t local_decode(char *data, size_t len, struct log_entry *ret)
{
	static char time[LOG_TIME_SIZE];
	static uint64_t last; /* what one read(2) brought has one time */
	*ret = (struct log_entry) { 0 };
	if (len < HEAD)
		return 0;
	if (!is_head(data))
		return next_magic(data, len);
	size_t text = (size_t)get_number(data + 4, 4);
	if (len < text + OVERHEAD)
		return 0;
	if (get_number(data + HEAD + text, 4) != text)
		return next_magic(data, len);
	if (!time[0] || last != get_number(data + 8, 8))
		log_time_text(last = get_number(data + 8, 8), time);
	*ret = (struct log_entry) { .stream = data[2],
				    .time = time,
				    .time_len = LOG_TIME_LENGTH,
				    .data = data + HEAD,
				    .len = text };
	return text + OVERHEAD;
}

/* The length in the file of the record that ends at @end of @window; 0: none does. */
static size_t record_before(const char *window, size_t end)
{
	if (end < OVERHEAD)
		return 0;
	size_t text = (size_t)get_number(window + end - 4, 4);
	if (text > LOG_LINE_MAX || text + OVERHEAD > end)
		return 0;
	const char *head = window + end - text - OVERHEAD;
	return is_head(head) && get_number(head + 4, 4) == text ? text + OVERHEAD : 0;
}

/* Where the last *lines lines begin in a window, else 0; *ret_first: how far back it went. */
static size_t tail_in_window(const char *window, size_t len, bool at_end, bool from_start,
			     int64_t *lines, size_t *ret_first)
{
	size_t end = len;
	while (end > LOG_LINE_MAX + OVERHEAD || (end > 0 && from_start)) {
		size_t size = record_before(window, end);
		bool line = size && size > OVERHEAD && window[end - 5] == '\n';
		if (line && !(at_end && end == len) && --*lines == 0)
			return end;
		end -= size ? size : 1;
	}
	*ret_first = end;
	return 0;
}

static int local_seek_tail(int fd, off_t size, int64_t *lines, off_t *ret)
{
	return log_file_seek_tail(fd, size, tail_in_window, lines, ret);
}

static const struct log_codec local_codec = { .decode = local_decode,
					      .seek_tail = local_seek_tail };
static const char *const local_options[] = { "max-size", "max-file", "compress", NULL };

const struct log_ops log_local = {
	.name = "local",
	.suffix = "-local.log",
	.options = local_options,
	.max_size = 20u << 20,
	.max_file = 5,
	.open = log_file_open,
	.put = local_put,
	.flush = log_file_flush,
	.rest = log_file_rest,
	.codec = &local_codec,
};
