/*
 * Docker's json-file format: one JSON object a line,
 * {"log":"text\n","stream":"stdout","attrs":{…},"time":"RFC 3339"}, and its way back. Both are
 * the measure of how fast a container may print and `masu logs` reads, so they go by words of eight
 * bytes and take each byte once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/words.h"
#include "engine/log_driver.h"
#include "engine/trim.h"
#include "json/json.h"

#define SUFFIX_MAX   (LOG_ATTRS_MAX + 128)
#define RECORD_BEGIN "{\"log\":\""
#define STREAM_BEGIN "\",\"stream\":\""
#define TIME_BEGIN   "\",\"time\":\""

/* ---- writing ---- */

/* What cannot stand in a string as it is: controls, quotes, backslashes, < > & and all that is not
 * ASCII, which must be looked at. */
static inline uint64_t special_bytes(uint64_t word)
{
	return (word & HIGH_BITS) | bytes_below(word, 0x20) | bytes_equal(word, '"') |
	       bytes_equal(word, '\\') | bytes_equal(word, '&') |
	       bytes_equal(word & ~EACH(2), '<'); /* and >, which differs in that bit */
}

static char *put_text(char *out, const char *text)
{
	size_t len = strlen(text);
	memcpy(out, text, len);
	return out + len;
}

/* One character that is no plain ASCII one; *data moves behind it. */
static char *put_special(char *out, const char **data, size_t left)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char c = (unsigned char)**data;
	size_t len = 1;
	if (c >= 0x80) {
		len = str_utf8_length(*data, left);
		if (len == 0) {
			out = put_text(out, "\\ufffd");
			len = 1;
		} else if (len == 3 && memcmp(*data, "\xe2\x80", 2) == 0 &&
			   ((unsigned char)(*data)[2] & 0xfe) == 0xa8) {
			/* Ends of a line to JavaScript; U+2028 and U+2029. */
			out = put_text(out, (*data)[2] & 1 ? "\\u2029" : "\\u2028");
		} else {
			memcpy(out, *data, len);
			out += len;
		}
	} else if (c == '"' || c == '\\') {
		*out++ = '\\';
		*out++ = (char)c;
	} else if (c == '\n' || c == '\r') {
		*out++ = '\\';
		*out++ = c == '\n' ? 'n' : 'r';
	} else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
		out = put_text(out, "\\u00");
		*out++ = digits[c >> 4];
		*out++ = digits[c & 15];
	} else {
		*out++ = (char)c;
	}
	*data += len;
	return out;
}

char *log_json_escape(char *out, const char *data, size_t len)
{
	const char *end = data + len;
	while (end - data >= 8) {
		uint64_t word = load_word(data);
		uint64_t special = special_bytes(word);
		memcpy(out, &word, sizeof(word));
		if (!special) {
			out += 8;
			data += 8;
			continue;
		}
		out += first_byte(special);
		data += first_byte(special);
		out = put_special(out, &data, (size_t)(end - data));
	}
	while (data < end)
		out = put_special(out, &data, (size_t)(end - data));
	return out;
}

/* What follows the text. The same for all records of one read(2), so it is kept. */
static union {
	struct {
		uint64_t time;
		int stream; /* 0: none is there */
		size_t len;
		char text[SUFFIX_MAX];
	};
	char pages[(SUFFIX_MAX / 4096 + 2) * 4096];
} suffix __attribute__((aligned(4096)));

static void make_suffix(const struct log *log, const struct log_record *record)
{
	char time[LOG_TIME_SIZE], *out;
	log_time_text(record->time, time);
	out = put_text(suffix.text,
		       record->stream == 2 ? STREAM_BEGIN "stderr\"" : STREAM_BEGIN "stdout\"");
	if (log->attrs) {
		out = put_text(out, ",\"attrs\":");
		memcpy(out, log->attrs, log->attrs_len);
		out += log->attrs_len;
	}
	out = put_text(put_text(put_text(out, ",\"time\":\""), time), "\"}\n");
	suffix.time = record->time;
	suffix.stream = record->stream;
	suffix.len = (size_t)(out - suffix.text);
}

static void json_put(struct log *log, const struct log_record *record)
{
	if (suffix.time != record->time || suffix.stream != record->stream)
		make_suffix(log, record);
	char *start = log_file_reserve(log, record->len * 6 + suffix.len + 32);
	char *out = start;
	memcpy(out, RECORD_BEGIN, sizeof(RECORD_BEGIN) - 1);
	out = log_json_escape(out + sizeof(RECORD_BEGIN) - 1, record->data, record->len);
	log_copy(out, suffix.text, suffix.len);
	log_file_commit(log, (size_t)(out - start) + suffix.len);
}

static void json_rest(struct log *log)
{
	trim_range(&suffix, sizeof(suffix));
	log_file_rest(log);
}

/* The attributes as they stand in each record. */
static int keep_attrs(struct log *log, const struct oci_pair *pairs, size_t count,
		      struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, LOG_ATTRS_MAX / 6); /* as long as it may become when it is escaped */
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	for (size_t i = 0; i < count; i++)
		json_field_string(&w, pairs[i].key, pairs[i].value);
	json_end_object(&w);
	if (buf_error(&text))
		return error_errno(err, buf_error(&text), "the log's attributes");
	log->attrs_len = text.len;
	log->attrs = buf_steal(&text);
	return 0;
}

/* A writer that was killed may have left a part of a record: what follows is not to be part of it.
 */
static void end_fragment(struct log *log)
{
	char last = '\n';
	_cleanup_close_ int fd =
		log->size ? openat(log->dir_fd, log->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd >= 0 && pread(fd, &last, 1, (off_t)log->size - 1) == 1 && last != '\n' &&
	    write(log->fd, "\n", 1) == 1)
		log->size++;
}

static int json_open(struct log *log, const struct container *container, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct oci_pair *pairs;
	size_t count;
	arena_init(&arena, 0);
	suffix.stream = 0;
	int r = log_attrs_collect(&arena, &log->options, container, true, &pairs, &count, err);
	if (r == 0 && count)
		r = keep_attrs(log, pairs, count, err);
	if (r == 0)
		r = log_file_open(log, container, err);
	if (r == 0)
		end_fragment(log);
	return r;
}

/* ---- reading ---- */

static int hex_value(const char *p)
{
	int value = 0;
	for (int i = 0; i < 4; i++) {
		int c = p[i] | 0x20;
		if (p[i] >= '0' && p[i] <= '9')
			value = value * 16 + p[i] - '0';
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + c - 'a' + 10;
		else
			return -1;
	}
	return value;
}

static char *put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* "\uXXXX" at @in, of which @left bytes are there, or a pair of them. Returns its length, 0 where
 * it is none. */
static size_t take_unicode(const char *in, size_t left, char **out)
{
	int high = left >= 6 ? hex_value(in + 2) : -1, low;
	if (high < 0)
		return 0;
	if (high < 0xd800 || high > 0xdfff) {
		*out = put_utf8(*out, (unsigned)high);
		return 6;
	}
	if (left < 12 || in[6] != '\\' || in[7] != 'u')
		return 0;
	low = hex_value(in + 8);
	if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return 0;
	*out = put_utf8(*out,
			0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
	return 12;
}

static size_t take_escape(const char *in, size_t left, char **out)
{
	static const char from[] = "nr\"\\tbf/", to[] = "\n\r\"\\\t\b\f/";
	if (left >= 2 && in[1] == 'u')
		return take_unicode(in, left, out);
	const char *found = left >= 2 && in[1] ? strchr(from, in[1]) : NULL;
	if (!found)
		return 0;
	*(*out)++ = to[found - from];
	return 2;
}

/*
 * The end of the string that begins at @in, unescaped in place from @in on; *ret_len is its length
 * then. NULL: it does not end before @end, or is none.
 */
static char *take_string(char *in, const char *end, size_t *ret_len)
{
	char *start = in, *out = in;
	for (;;) {
		/* As far as nothing is escaped. Where nothing was yet, nothing moves. */
		while (end - in >= 8) {
			uint64_t word = load_word(in);
			uint64_t special = bytes_equal(word, '"') | bytes_equal(word, '\\');
			if (special)
				break;
			if (out != in)
				memcpy(out, &word, sizeof(word));
			in += 8;
			out += 8;
		}
		while (in < end && *in != '"' && *in != '\\')
			*out++ = *in++;
		if (in == end)
			return NULL;
		if (*in == '"') {
			*ret_len = (size_t)(out - start);
			return in;
		}
		size_t len = take_escape(in, (size_t)(end - in), &out);
		if (len == 0)
			return NULL;
		in += len;
	}
}

/* Behind the object or string at @p; NULL: it does not end. */
static const char *skip_value(const char *p, const char *end)
{
	unsigned depth = 0;
	for (bool quoted = false; p < end; p++) {
		if (quoted && *p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '{')
			depth++;
		else if (!quoted && *p == '}')
			depth--;
		if (!quoted && depth == 0)
			return p < end ? p + 1 : NULL;
	}
	return NULL;
}

static bool is_text(const char *p, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(p, text, len) == 0;
}

/* The members behind the text, in any order, up to the end of the record. */
static bool take_members(const char *p, const char *end, struct log_entry *ret)
{
	while (end - p > 2 && p[0] == ',' && p[1] == '"') {
		const char *key = p + 1, *colon = memchr(key, ':', (size_t)(end - key));
		const char *value = colon ? colon + 1 : end;
		p = value < end && (*value == '"' || *value == '{') ? skip_value(value, end) : NULL;
		if (!p)
			return false;
		size_t key_len = (size_t)(colon - key), len = (size_t)(p - value);
		if (is_text(key, key_len, "\"time\"") && *value == '"') {
			ret->time = value + 1;
			ret->time_len = len - 2;
		} else if (is_text(key, key_len, "\"attrs\"") && *value == '{') {
			ret->attrs = value;
			ret->attrs_len = len;
		} else if (is_text(key, key_len, "\"stream\"")) {
			ret->stream = is_text(value, len, "\"stderr\"") ? 2 : 1;
		}
	}
	return end - p == 1 && *p == '}' && ret->time && ret->stream;
}

/* What this program writes without attributes: fixed places. @p is the quote behind the text. */
static bool take_usual(const char *p, const char *end, struct log_entry *ret)
{
	enum {
		STREAM_AT = sizeof(STREAM_BEGIN) - 1,
		TIME_AT = STREAM_AT + 6 + sizeof(TIME_BEGIN) - 1,
		TIME_LENGTH = 30,
		TOTAL = TIME_AT + TIME_LENGTH + 3
	};
	if (end - p != TOTAL || memcmp(p, STREAM_BEGIN "std", STREAM_AT + 3) != 0 ||
	    memcmp(p + STREAM_AT + 6, TIME_BEGIN, sizeof(TIME_BEGIN) - 1) != 0 ||
	    memcmp(p + TIME_AT + TIME_LENGTH, "\"}\n", 3) != 0)
		return false;
	ret->stream = p[STREAM_AT + 3] == 'e' ? 2 : 1;
	ret->time = p + TIME_AT;
	ret->time_len = TIME_LENGTH;
	return true;
}

/* A record whose members stand in another order than docker's. */
static void take_any(char *line, size_t len, struct log_entry *ret)
{
	static struct arena arena;
	const struct json *record, *log;
	const char *text, *stream, *time;
	arena_reset(&arena);
	arena.limit = 4u << 20;
	if (json_parse_flags(&arena, line, len, JSON_ALLOW_NUL, &record, NULL) < 0)
		return;
	log = json_get(record, "log");
	if (!json_string(log, &text) || !json_string(json_get(record, "stream"), &stream) ||
	    !json_string(json_get(record, "time"), &time))
		return;
	const struct json *attrs = json_get(record, "attrs");
	*ret = (struct log_entry) { .stream = streq(stream, "stderr") ? 2 : 1,
				    .time = time,
				    .time_len = strlen(time),
				    .attrs = attrs ? attrs->source : NULL,
				    .attrs_len = attrs ? attrs->source_len : 0,
				    .data = text,
				    .len = log->text_len };
}

static size_t json_decode(char *data, size_t len, struct log_entry *ret)
{
	char *text = data + sizeof(RECORD_BEGIN) - 1;
	struct log_entry entry = { 0 };
	*ret = entry;
	/* Nothing is changed before the record is known to be whole. */
	const char *newline = memchr(data, '\n', len);
	if (!newline)
		return 0;
	size_t consumed = (size_t)(newline - data) + 1;
	if (consumed < sizeof(RECORD_BEGIN) ||
	    memcmp(data, RECORD_BEGIN, sizeof(RECORD_BEGIN) - 1) != 0) {
		take_any(data, consumed - 1, ret);
		return consumed;
	}
	const char *quote = take_string(text, newline, &entry.len);
	if (!quote)
		return consumed;
	entry.data = text;
	if (take_usual(quote, newline + 1, &entry) || take_members(quote + 1, newline, &entry))
		*ret = entry;
	return consumed;
}

/* True where the line of output ends with the record at @record. */
static bool ends_line(const char *record, size_t len)
{
	const char *quote = memmem(record, len, STREAM_BEGIN, sizeof(STREAM_BEGIN) - 1);
	size_t backslashes = 0;
	if (!quote || quote < record + 2 || quote[-1] != 'n')
		return !quote; /* of another shape: a line of its own */
	for (const char *p = quote - 2; p >= record && *p == '\\'; p--)
		backslashes++;
	return backslashes & 1;
}

/*
 * Goes back through the records in @window that are whole in it, i.e. from its first boundary on;
 * *ret_first becomes that boundary. Returns the offset where the last *lines lines begin, 0 where
 * they are not all in it.
 */
static size_t tail_in_window(const char *window, size_t len, bool at_end, bool from_start,
			     int64_t *lines, size_t *ret_first)
{
	const char *first = from_start ? NULL : memchr(window, '\n', len);
	size_t begin = from_start ? 0 : first ? (size_t)(first - window) + 1 : len;
	size_t end = len;
	while (end > begin) {
		const char *before = memrchr(window + begin, '\n', end - begin - 1);
		size_t start = before ? (size_t)(before - window) + 1 : begin;
		bool last = at_end && end == len;
		if (!last && ends_line(window + start, end - start) && --*lines == 0)
			return end;
		end = start;
	}
	/* A window without a boundary is passed over. */
	*ret_first = begin < len ? begin : 0;
	return 0;
}

static int json_seek_tail(int fd, off_t size, int64_t *lines, off_t *ret)
{
	return log_file_seek_tail(fd, size, tail_in_window, lines, ret);
}

static const struct log_codec json_codec = { .decode = json_decode, .seek_tail = json_seek_tail };
static const char *const json_options[] = { "max-size", "max-file",  "compress",
					    "labels",	"env",	     "labels-regex",
					    "tag",	"env-regex", NULL };

const struct log_ops log_json_file = {
	.name = "json-file",
	.suffix = "-json.log",
	.options = json_options,
	.max_size = 10u << 20,
	.max_file = 3,
	.open = json_open,
	.put = json_put,
	.flush = log_file_flush,
	.rest = json_rest,
	.codec = &json_codec,
};
