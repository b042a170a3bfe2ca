/* Output becomes records: one a line, or several for a long one. */
#include <string.h>

#include "engine/log_writer.h"

static void put_line(struct log *log, struct log_stream *stream, int number)
{
	const struct log_record record = {
		.stream = number, .time = stream->time, .data = stream->line, .len = stream->len
	};
	if (stream->len)
		log->ops->put(log, &record);
	stream->len = 0;
}

void log_lines_end(struct log *log, struct log_stream *stream, int number)
{
	put_line(log, stream, number);
	stream->skip = false;
}

/* What belongs to a line that was begun before. Returns how much of @data it was. */
static size_t add_to_line(struct log *log, struct log_stream *stream, int number, uint64_t time,
			  const char *data, size_t len)
{
	const char *newline = memchr(data, '\n', len);
	size_t part = newline ? (size_t)(newline - data) + 1 : len;
	size_t room = LOG_LINE_MAX - stream->len;
	bool whole = newline && part <= room;
	if (part > room)
		part = room;
	if (stream->len == 0)
		stream->time = time;
	memcpy(stream->line + stream->len, data, part);
	stream->len += part;
	if (whole || stream->len == LOG_LINE_MAX)
		put_line(log, stream, number);
	return part;
}

void log_lines_put(struct log *log, struct log_stream *stream, int number, uint64_t time,
		   const char *data, size_t len)
{
	const char *end = data + len;
	if (stream->skip) {
		const char *newline = memchr(data, '\n', len);
		stream->skip = !newline;
		data = newline ? newline + 1 : end;
	}
	while (data < end) {
		const char *newline = stream->len ? NULL : memchr(data, '\n', (size_t)(end - data));
		size_t part = newline ? (size_t)(newline - data) + 1 : 0;
		/* A whole line that nothing came before needs no copy. */
		if (newline && part <= LOG_LINE_MAX) {
			const struct log_record record = {
				.stream = number, .time = time, .data = data, .len = part
			};
			log->ops->put(log, &record);
			data += part;
		} else {
			data += add_to_line(log, stream, number, time, data, (size_t)(end - data));
		}
	}
}
