#include "engine/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/store.h"
#include "engine/trim.h"
#include "sys/fs.h"

#define DEFAULT_MAX_SIZE (10u << 20)
#define DEFAULT_MAX_FILE 3
#define MAX_FILE_MAX	 1000
#define BATCH_MAX	 (2u * LOG_RECORD_MAX)

static int parse_option(const struct oci_pair *option, struct log_options *ret,
			struct masu_error *err)
{
	if (streq(option->key, "max-size")) {
		if (streq(option->value, "-1")) {
			ret->max_size = 0;
			return 0;
		}
		if (str_to_bytes(option->value, &ret->max_size) == 0 && ret->max_size > 0)
			return 0;
	} else if (streq(option->key, "max-file")) {
		uint32_t count;
		if (str_to_u32(option->value, &count) == 0 && count >= 1 && count <= MAX_FILE_MAX) {
			ret->max_file = count;
			return 0;
		}
	} else {
		return error_set(err, -EINVAL,
				 "unknown log opt '%s' for json-file log driver (max-size and "
				 "max-file are supported)",
				 option->key);
	}
	return error_set(err, -EINVAL, "invalid value \"%s\" for log opt '%s'", option->value,
			 option->key);
}

int log_options_parse(const char *driver, const struct oci_pair *options, size_t count,
		      struct log_options *ret, struct masu_error *err)
{
	struct log_options parsed = { DEFAULT_MAX_SIZE, DEFAULT_MAX_FILE };
	if (driver && !streq(driver, "json-file") && !streq(driver, "none"))
		return error_set(err, -ENOTSUP,
				 "log driver \"%s\" is not supported (json-file and none are)",
				 driver);
	for (size_t i = 0; i < count; i++) {
		if (driver && streq(driver, "none"))
			return error_set(err, -EINVAL, "unknown log opt '%s' for none log driver",
					 options[i].key);
		int r = parse_option(&options[i], &parsed, err);
		if (r < 0)
			return r;
	}
	*ret = parsed;
	return 0;
}

int log_writer_open(struct log_writer *writer, int dir_fd, const char *id, bool enabled,
		    const struct log_options *options, struct masu_error *err)
{
	struct stat st = { 0 };
	*writer = (struct log_writer) { .dir_fd = dir_fd, .fd = -1, .options = *options };
	if (!enabled)
		return 0;
	snprintf(writer->name, sizeof(writer->name), "%s-json.log", id);
	writer->fd = openat(dir_fd, writer->name,
			    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (writer->fd < 0 || fstat(writer->fd, &st) < 0)
		return error_errno(err, -errno, "container %.12s: cannot open its log", id);
	writer->size = (uint64_t)st.st_size;
	return 0;
}

void log_writer_close(struct log_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	writer->fd = -1;
}

/* Length of the UTF-8 sequence at @s, 0 where it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t len = s[0] < 0x80		    ? 1
		     : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
		     : (s[0] & 0xf0) == 0xe0	    ? 3
		     : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
						    : 0;
	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static char *put_text(char *out, const char *text)
{
	size_t len = strlen(text);
	memcpy(out, text, len);
	return out + len;
}

/* Escapes as Docker's writer does: \n, \r, quotes and backslashes short, the rest of the control
 * characters and < > & as \u00xx, invalid bytes as U+FFFD. */
static char *put_escaped(char *out, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = data[i];
		size_t sequence = utf8_length(data + i, len - i);
		if (sequence == 0) {
			out = put_text(out, "\\ufffd");
			i++;
			continue;
		}
		if (c == '"' || c == '\\') {
			*out++ = '\\';
			*out++ = (char)c;
		} else if (c == '\n' || c == '\r') {
			*out++ = '\\';
			*out++ = c == '\n' ? 'n' : 'r';
		} else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
			static const char digits[] = "0123456789abcdef";
			out = put_text(out, "\\u00");
			*out++ = digits[c >> 4];
			*out++ = digits[c & 15];
		} else {
			memcpy(out, data + i, sequence);
			out += sequence;
		}
		i += sequence;
	}
	return out;
}

size_t log_record_format(char *ret, int number, const char *data, size_t len, const char *time)
{
	char *out = put_text(ret, "{\"log\":\"");
	out = put_escaped(out, (const unsigned char *)data, len);
	out = put_text(out, number == 2 ? "\",\"stream\":\"stderr\",\"time\":\""
					: "\",\"stream\":\"stdout\",\"time\":\"");
	out = put_text(out, time);
	out = put_text(out, "\"}\n");
	return (size_t)(out - ret);
}

/* name -> name.1 -> … -> name.(max_file - 1); the oldest falls out. With a single file it is
 * emptied. */
static void rotate(struct log_writer *writer)
{
	char older[96], newer[96];
	close(writer->fd);
	for (unsigned i = writer->options.max_file - 1; i > 0; i--) {
		snprintf(older, sizeof(older), "%s.%u", writer->name, i);
		if (i > 1)
			snprintf(newer, sizeof(newer), "%s.%u", writer->name, i - 1);
		else
			snprintf(newer, sizeof(newer), "%s", writer->name);
		renameat(writer->dir_fd, newer, writer->dir_fd, older);
	}
	writer->fd = openat(writer->dir_fd, writer->name,
			    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	writer->size = 0;
}

/* Records on their way to the file: one monitor has one log. */
static struct {
	size_t len;
	uint64_t records;
	char data[BATCH_MAX];
} batch;

static void flush_batch(struct log_writer *writer)
{
	if (batch.len == 0)
		return;
	if (writer->fd >= 0 && fs_write_all(writer->fd, batch.data, batch.len) == 0)
		writer->size += batch.len;
	else
		writer->dropped += batch.records;
	batch.len = 0;
	batch.records = 0;
}

static void put_record(struct log_writer *writer, int number, const char *data, size_t len)
{
	char time[TIME_TEXT_SIZE];
	if (batch.len > BATCH_MAX - LOG_RECORD_MAX)
		flush_batch(writer);
	char *record = batch.data + batch.len;
	size_t size = log_record_format(record, number, data, len, time_now_text(time));
	uint64_t before = writer->size + batch.len;
	if (writer->options.max_size && before && before + size > writer->options.max_size) {
		flush_batch(writer);
		rotate(writer);
		memmove(batch.data, record, size);
	}
	batch.len += size;
	batch.records++;
}

void log_writer_trim(void)
{
	trim_range(&batch, sizeof(batch));
}

static void end_line(struct log_writer *writer, struct log_stream *stream, int number)
{
	if (stream->len)
		put_record(writer, number, stream->line, stream->len);
	stream->len = 0;
}

void log_writer_put(struct log_writer *writer, struct log_stream *stream, int number,
		    const char *data, size_t len)
{
	if (writer->fd < 0 && !writer->name[0])
		return;
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) + 1 : len;
		/* A whole line that nothing came before needs no copy. */
		if (newline && stream->len == 0 && part <= LOG_LINE_MAX) {
			put_record(writer, number, data, part);
		} else {
			size_t room = LOG_LINE_MAX - stream->len;
			bool whole = newline && part <= room;
			if (part > room)
				part = room;
			memcpy(stream->line + stream->len, data, part);
			stream->len += part;
			if (whole || stream->len == LOG_LINE_MAX)
				end_line(writer, stream, number);
		}
		data += part;
		len -= part;
	}
	flush_batch(writer);
}

void log_writer_finish(struct log_writer *writer, struct log_stream *stream, int number)
{
	end_line(writer, stream, number);
	flush_batch(writer);
}
