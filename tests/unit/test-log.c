/* The log: records of each driver and their way back, rotation, losses, attributes. Oracles: json-c
 * for what is JSON, a plain reader for what begins where, POSIX for regular expressions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <sys/stat.h>
#include <unistd.h>

/* json-c's types get other names here, ours are the same words. */
#define json_type json_c_type
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_type
#undef json_bool

#include "base/cleanup.h"
#include "base/regex.h"
#include "base/str.h"
#include "engine/log_driver.h"
#include "engine/log_reader.h"
#include "engine/log_writer.h"
#include "sys/fs.h"

#define CONTAINER_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define JSON_LOG     CONTAINER_ID "-json.log"

struct fixture {
	char root[64];
	struct container container;
	struct arena arena;
	struct log log;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->root, "/tmp/masu-log-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	arena_init(&f->arena, 0);
	f->container = (struct container) { .id = CONTAINER_ID, .name = "web", .run_fd = -1 };
	f->container.image_id = "sha256:fedcba9876543210";
	f->container.config.image = "busybox:local";
	f->container.dir_fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->log.fd = f->log.dir_fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	log_close(&f->log);
	close(f->container.dir_fd);
	arena_free(&f->arena);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->root), 0);
	free(f);
	return 0;
}

static struct log *open_log(struct fixture *f, const char *driver, const struct oci_pair *options,
			    size_t count)
{
	struct log_options parsed;
	struct masu_error err = { 0 };
	log_close(&f->log);
	assert_int_equal(log_options_parse(driver, options, count, &parsed, &err), 0);
	assert_int_equal(log_open(&f->log, &parsed, &f->container, &err), 0);
	return &f->log;
}

static void put(struct log *log, int stream, const char *data, size_t len)
{
	static uint64_t time = UINT64_C(1700000000123456789);
	const struct log_record record = {
		.stream = stream, .time = time++, .data = data, .len = len
	};
	log->ops->put(log, &record);
}

static void put_text(struct log *log, int stream, const char *text)
{
	put(log, stream, text, strlen(text));
}

static char *content(struct fixture *f, const char *name, size_t *ret_len)
{
	char *data;
	assert_int_equal(
		fs_read_arena(f->container.dir_fd, name, 64u << 20, &f->arena, &data, ret_len), 0);
	return data;
}

static void open_reader(struct fixture *f, struct log_reader *reader, int64_t lines)
{
	assert_int_equal(log_reader_open(reader, f->container.dir_fd, f->log.name, &f->log.options),
			 0);
	assert_int_equal(log_reader_seek(reader, lines), 0);
}

/* ---- json-file ---- */

static void test_json_is_dockers(void **state)
{
	struct fixture *f = *state;
	static const char text[] =
		"a\"\\\t<&>\x1b\xc3\xa4\xff\xe2\x80\xa8\xe2\x80\xa9 plain text\r\n";
	size_t len;
	struct log *log = open_log(f, NULL, NULL, 0);
	put(log, 2, text, sizeof(text) - 1);
	log->ops->flush(log);
	assert_string_equal(content(f, JSON_LOG, &len),
			    "{\"log\":\"a\\\"\\\\\\u0009\\u003c\\u0026\\u003e\\u001b\xc3\xa4\\ufffd"
			    "\\u2028\\u2029 plain text\\r\\n\",\"stream\":\"stderr\","
			    "\"time\":\"2023-11-14T22:13:20.123456789Z\"}\n");
}

static struct json_object *parse_line(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object = json_tokener_parse_ex(tokener, line, (int)len);
	assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
	json_tokener_free(tokener);
	return object;
}

/* Whatever is printed: json-c reads what our own reader reads; what is UTF-8 comes back as it was.
 */
static void test_json_round_trip(void **state)
{
	struct fixture *f = *state;
	static const char *const pieces[] = { "x",
					      "\"",
					      "\\",
					      "\n",
					      "\r",
					      "\t",
					      "\x01",
					      "<",
					      ">",
					      "&",
					      "\x7f",
					      "\xc3\xa4",
					      "plain text of some length",
					      "\xe2\x80\xa8",
					      "\xf0\x9f\x98\x80" };
	struct log *log = open_log(f, "json-file", NULL, 0);
	unsigned seed = 7;
	char *texts[300];
	size_t lengths[300], len;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		texts[i] = arena_alloc(&f->arena, 4096);
		lengths[i] = 0;
		for (int n = rand_r(&seed) % 60; n >= 0; n--) {
			const char *piece = pieces[(size_t)rand_r(&seed) % ARRAY_SIZE(pieces)];
			memcpy(texts[i] + lengths[i], piece, strlen(piece));
			lengths[i] += strlen(piece);
		}
		put(log, 1 + (int)i % 2, texts[i], lengths[i]);
	}
	log->ops->flush(log);
	char *data = content(f, JSON_LOG, &len);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct log_entry entry;
		struct json_object *log_text;
		const char *newline = memchr(data, '\n', len);
		struct json_object *object = parse_line(data, (size_t)(newline - data));
		assert_true(json_object_object_get_ex(object, "log", &log_text));
		assert_int_equal(json_object_get_string_len(log_text), lengths[i]);
		assert_memory_equal(json_object_get_string(log_text), texts[i], lengths[i]);
		size_t used = log->ops->codec->decode(data, len, &entry);
		assert_int_equal(used, newline - data + 1);
		assert_int_equal(entry.len, lengths[i]);
		assert_memory_equal(entry.data, texts[i], lengths[i]);
		assert_int_equal(entry.stream, 1 + i % 2);
		assert_int_equal(entry.time_len, 30);
		json_object_put(object);
		data += used;
		len -= used;
	}
	assert_int_equal(len, 0);
}

/* Records that others wrote, and what is none. */
static void test_json_of_others(void **state)
{
	static const struct {
		const char *line, *data, *time;
		int stream;
	} cases[] = {
		{ "{\"log\":\"a\\tb\\u00e4\\ud83d\\ude00\\/"
		  "\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}",
		  "a\tb\xc3\xa4\xf0\x9f\x98\x80/", "2026-01-01T00:00:00Z", 1 },
		{ "{\"log\":\"x\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"}\\\"\",\"b\":\"2\"},"
		  "\"time\":\"T\"}",
		  "x", "T", 2 },
		{ "{\"log\":\"x\",\"time\":\"T\",\"stream\":\"stderr\"}", "x", "T", 2 },
		{ "{\"time\":\"T\", \"stream\":\"stdout\", \"log\":\"other\\n\"}", "other\n", "T",
		  1 },
		{ "{\"log\":\"\",\"stream\":\"stdout\",\"time\":\"T\"}", "", "T", 1 },
		{ "{\"log\":\"lone \\ud800\",\"stream\":\"stdout\",\"time\":\"T\"}" },
		{ "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"T\"" },
		{ "{\"log\":\"x\",\"stream\":\"stdout\"}" },
		{ "{\"log\":\"x\\q\",\"stream\":\"stdout\",\"time\":\"T\"}" },
		{ "{\"log\":\"" },
		{ "{\"log\":\"cut" },
		{ "" },
		{ "[1]" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[256];
		struct log_entry entry;
		size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", cases[i].line);
		assert_int_equal(log_json_file.codec->decode(line, len - 1, &entry), 0);
		assert_int_equal(log_json_file.codec->decode(line, len, &entry), len);
		if (!cases[i].data) {
			assert_null(entry.data);
			continue;
		}
		assert_non_null(entry.data);
		assert_int_equal(entry.len, strlen(cases[i].data));
		assert_memory_equal(entry.data, cases[i].data, entry.len);
		assert_int_equal(entry.time_len, strlen(cases[i].time));
		assert_int_equal(entry.stream, cases[i].stream);
	}
}

static void test_json_goes_on_after_a_fragment(void **state)
{
	struct fixture *f = *state;
	struct log_reader reader;
	struct log_entry entry;
	_cleanup_close_ int fd =
		openat(f->container.dir_fd, JSON_LOG, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "{\"log\":\"cut", 11), 11);
	struct log *log = open_log(f, NULL, NULL, 0);
	put_text(log, 1, "next\n");
	log->ops->flush(log);
	open_reader(f, &reader, -1);
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	assert_memory_equal(entry.data, "next\n", 5);
	assert_int_equal(log_reader_next(&reader, &entry), 0);
	log_reader_close(&reader);
}

/* ---- local ---- */

static void test_local_round_trip(void **state)
{
	struct fixture *f = *state;
	static char big[LOG_LINE_MAX];
	struct log_reader reader;
	struct log_entry entry;
	struct log *log = open_log(f, "local", NULL, 0);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7);
	put_text(log, 1, "one\n");
	put(log, 2, big, sizeof(big));
	put_text(log, 2, "");
	put_text(log, 1, "last");
	log->ops->flush(log);
	open_reader(f, &reader, -1);
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	assert_int_equal(entry.len, 4);
	assert_int_equal(entry.time_len, 30);
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	assert_int_equal(entry.stream, 2);
	assert_int_equal(entry.len, sizeof(big));
	assert_memory_equal(entry.data, big, sizeof(big));
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	assert_int_equal(entry.len, 0);
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	assert_memory_equal(entry.data, "last", 4);
	assert_int_equal(log_reader_next(&reader, &entry), 0);
	log_reader_close(&reader);
}

/* Cut and overwritten anywhere: what is whole before and behind is still read. */
static void test_local_damaged(void **state)
{
	struct fixture *f = *state;
	size_t len;
	struct log *log = open_log(f, "local", NULL, 0);
	for (int i = 0; i < 20; i++)
		put_text(log, 1, "some line\n");
	log->ops->flush(log);
	const char *data = content(f, CONTAINER_ID "-local.log", &len);
	const size_t record = len / 20;
	for (size_t from = 0; from < 3 * record; from++) {
		for (size_t gap = 1; gap < 2 * record; gap += 7) {
			char *copy = malloc(len - gap);
			size_t rest = len - gap, at = 0, found = 0, used;
			struct log_entry entry;
			memcpy(copy, data, from);
			memcpy(copy + from, data + from + gap, rest - from);
			while ((used = log_local.codec->decode(copy + at, rest - at, &entry)) > 0) {
				found += entry.data && entry.len == 10;
				at += used;
			}
			assert_true(found >= (len - from - gap) / record);
			free(copy);
		}
	}
}

/* ---- where the last lines begin ---- */

static void check_tail(struct fixture *f, const char *driver)
{
	static char longer[LOG_LINE_MAX];
	struct log_reader reader;
	struct log_entry entry;
	const struct oci_pair options[] = { { "max-size", "300k" }, { "max-file", "4" } };
	struct log *log = open_log(f, driver, options, 2);
	unsigned seed = 3;
	memset(longer, 'l', sizeof(longer));
	for (int i = 0; i < 8000; i++) {
		char text[64];
		snprintf(text, sizeof(text), "line %d with \\n\n", i);
		if (rand_r(&seed) % 100 == 0) /* the line's first part */
			put(log, 1, longer, sizeof(longer) - (size_t)(rand_r(&seed) % 1000));
		put_text(log, 1, text);
	}
	log->ops->flush(log);
	static const int64_t counts[] = { 1, 2, 3, 10, 99, 1000, 2500 };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		int64_t lines = 0;
		bool begun = false;
		open_reader(f, &reader, counts[i]);
		while (log_reader_next(&reader, &entry) == 1) {
			char text[64];
			bool ends = entry.len && entry.data[entry.len - 1] == '\n';
			snprintf(text, sizeof(text), "line %d with \\n\n",
				 (int)(8000 - counts[i] + lines));
			if (ends)
				assert_memory_equal(entry.data, text, strlen(text));
			lines += ends;
			begun = !ends;
		}
		assert_false(begun);
		assert_int_equal(lines, counts[i]);
		log_reader_close(&reader);
	}
	open_reader(f, &reader, 0);
	assert_int_equal(log_reader_next(&reader, &entry), 0);
	put_text(log, 1, "new\n");
	log->ops->flush(log);
	assert_int_equal(log_reader_next(&reader, &entry), 1);
	log_reader_close(&reader);
}

static void test_json_tail(void **state)
{
	check_tail(*state, "json-file");
}

static void test_local_tail(void **state)
{
	check_tail(*state, "local");
}

/* ---- rotation ---- */

static size_t count_lines(struct fixture *f, const char *name)
{
	size_t len, lines = 0;
	if (faccessat(f->container.dir_fd, name, F_OK, 0) < 0)
		return 0;
	const char *data = content(f, name, &len);
	for (size_t i = 0; i < len; i++)
		lines += data[i] == '\n';
	return lines;
}

static void test_lines_and_rotation(void **state)
{
	struct fixture *f = *state;
	static char big[LOG_LINE_MAX + 10], space[LOG_LINE_MAX];
	struct log_stream stream = { .line = space };
	const struct oci_pair options[] = { { "max-size", "60000b" }, { "max-file", "2" } };
	struct stat st;
	struct log *log = open_log(f, NULL, options, 2);
	log_lines_put(log, &stream, 1, 1, "ab", 2);
	log->ops->flush(log);
	assert_int_equal(count_lines(f, JSON_LOG), 0);
	log_lines_put(log, &stream, 1, 2, "c\nd\ne", 5);
	log->ops->flush(log);
	assert_int_equal(count_lines(f, JSON_LOG), 2);
	log_lines_end(log, &stream, 1);
	log->ops->flush(log);
	assert_int_equal(count_lines(f, JSON_LOG), 3);
	/* Longer than a record: two of them, in order. */
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	log_lines_put(log, &stream, 1, 3, big, sizeof(big));
	log->ops->flush(log);
	assert_int_equal(count_lines(f, JSON_LOG), 5);
	for (int i = 0; i < 8; i++)
		log_lines_put(log, &stream, 1, 4, big, sizeof(big));
	log->ops->flush(log);
	assert_int_equal(fstatat(f->container.dir_fd, JSON_LOG ".1", &st, 0), 0);
	assert_true(st.st_size <= 60000);
	assert_int_equal(fstatat(f->container.dir_fd, JSON_LOG ".2", &st, 0), -1);
	_cleanup_close_ int fd = openat(f->container.dir_fd, JSON_LOG, O_RDONLY | O_CLOEXEC);
	assert_true(log_file_generation(fd) > 0);
}

/* A reader in the middle of a log that rotates sees every line once, or says that it missed some.
 */
static void check_follow(struct fixture *f, const char *max_file, bool slow)
{
	const struct oci_pair options[] = { { "max-size", "2k" }, { "max-file", max_file } };
	struct log_reader reader;
	struct log_entry entry;
	struct log *log = open_log(f, "json-file", options, 2);
	int written = 0, next = 0;
	uint64_t missing = 0;
	open_reader(f, &reader, -1);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < (slow ? 100 : 5); i++) {
			char text[32];
			snprintf(text, sizeof(text), "%d\n", written++);
			put_text(log, 1, text);
			if (i % 3 == 0)
				log->ops->flush(log);
		}
		log->ops->flush(log);
		while (log_reader_next(&reader, &entry) == 1) {
			int number = atoi(entry.data);
			assert_true(number == next || (reader.missing && number > next));
			missing += reader.missing;
			reader.missing = 0;
			next = number + 1;
		}
		assert_int_equal(next, written);
	}
	assert_int_equal(missing > 0, slow);
	log_reader_close(&reader);
}

static void test_follow_rotation(void **state)
{
	check_follow(*state, "3", false);
}

static void test_follow_single_file(void **state)
{
	check_follow(*state, "1", false);
}

static void test_follow_too_slowly(void **state)
{
	check_follow(*state, "3", true);
}

/* ---- the writer's thread ---- */

static void commit(struct log_writer *writer, int stream, const char *text, size_t len)
{
	size_t room;
	char *data;
	while (!(data = log_writer_reserve(writer, &room))) {
		struct pollfd ready = { log_writer_wait_fd(writer), POLLIN, 0 };
		assert_int_equal(poll(&ready, 1, 10000), 1);
		log_writer_ready(writer);
	}
	assert_true(len <= room);
	memcpy(data, text, len);
	log_writer_commit(writer, stream, len);
}

static struct log_writer *open_writer(struct fixture *f, struct oci_pair *options, size_t count)
{
	struct log_writer *writer = calloc(1, sizeof(*writer));
	struct masu_error err = { 0 };
	f->container.config.log_options = options;
	f->container.config.log_option_count = count;
	assert_int_equal(log_writer_open(writer, &f->container, &err), 0);
	return writer;
}

/* More than the ring holds, in pieces of all sizes, through several lives of the thread. */
static void test_writer_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct oci_pair options[] = { { "max-size", "-1" } };
	struct log_writer *writer = open_writer(f, options, 1);
	unsigned seed = 1;
	size_t lines = 0, len;
	for (int i = 0; i < 3000; i++) {
		static char text[32768];
		size_t size = 1 + (size_t)rand_r(&seed) % (i % 100 ? 900 : sizeof(text) - 1);
		memset(text, 'a' + i % 26, size);
		text[size - 1] = '\n';
		commit(writer, 1, text, size);
		lines += 1 + (size > LOG_LINE_MAX);
		if (i % 500 == 0)
			log_writer_rest(writer);
	}
	log_writer_finish(writer);
	log_writer_close(writer);
	free(writer);
	assert_int_equal(count_lines(f, JSON_LOG), lines);
	const char *data = content(f, JSON_LOG, &len);
	json_object_put(parse_line(data, strcspn(data, "\n")));
	assert_int_equal(log_dropped_read(&f->container), 0);
}

/* A little output and an end: no thread, and it is there all the same. */
static void test_writer_without_thread(void **state)
{
	struct fixture *f = *state;
	struct log_writer *writer = open_writer(f, NULL, 0);
	commit(writer, 1, "one\n", 4);
	assert_true(writer->put_off);
	assert_false(writer->running);
	log_writer_finish(writer);
	assert_false(writer->put_off);
	assert_int_equal(count_lines(f, JSON_LOG), 1);
	/* With more of it there is one. */
	commit(writer, 1, "two\n", 4);
	commit(writer, 2, "three", 5);
	assert_true(writer->running);
	log_writer_finish(writer);
	assert_int_equal(count_lines(f, JSON_LOG), 3);
	commit(writer, 1, "four\n", 5);
	assert_false(log_writer_rest(writer) && writer->put_off);
	log_writer_finish(writer);
	assert_int_equal(count_lines(f, JSON_LOG), 4);
	log_writer_close(writer);
	free(writer);
}

/* A pipe for a disk: one that nobody reads is one that has stalled. */
static int stall_disk(struct fixture *f)
{
	assert_int_equal(mkfifoat(f->container.dir_fd, JSON_LOG, 0600), 0);
	int fd = openat(f->container.dir_fd, JSON_LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Reads what comes until the writer has closed; counts lines, and those that @lost notes tell of.
 */
struct drain {
	int fd;
	size_t lines, lost, notes;
};

static void *drain_disk(void *opaque)
{
	struct drain *drain = opaque;
	FILE *file = fdopen(drain->fd, "r");
	static char line[1 << 20];
	fcntl(drain->fd, F_SETFL, 0);
	while (fgets(line, sizeof(line), file)) {
		size_t lost;
		if (sscanf(line, "{\"log\":\"masu: %zu lines are missing here", &lost) == 1) {
			drain->lost += lost;
			drain->notes++;
		} else {
			drain->lines++;
		}
	}
	fclose(file);
	return NULL;
}

static void check_stalled(struct fixture *f, struct oci_pair *options, size_t count)
{
	static char text[1000];
	struct drain drain = { .fd = stall_disk(f) };
	struct log_writer *writer = open_writer(f, options, count);
	size_t room, written = 0;
	pthread_t thread;
	memset(text, 'x', sizeof(text));
	text[99] = text[499] = text[999] = '\n';
	for (int i = 0; i < 5000; i++) {
		char *data = log_writer_reserve(writer, &room);
		if (!data) {
			log_writer_stalled(writer); /* it was waited for long enough */
			data = log_writer_reserve(writer, &room);
		}
		assert_non_null(data);
		memcpy(data, text, sizeof(text));
		log_writer_commit(writer, 1, sizeof(text));
		written += 3;
	}
	assert_false(log_writer_rest(writer));
	assert_int_equal(pthread_create(&thread, NULL, drain_disk, &drain), 0);
	for (int i = 0; i < 1000; i++) {
		commit(writer, 1, text, sizeof(text));
		written += 3;
		usleep(10);
	}
	log_writer_finish(writer);
	log_writer_close(writer);
	free(writer);
	pthread_join(thread, NULL);
	assert_true(drain.notes >= 1);
	assert_true(drain.lost > 1000);
	assert_int_equal(drain.lines + drain.lost, written);
	assert_int_equal(log_dropped_read(&f->container), drain.lost);
}

static void test_stalled_disk(void **state)
{
	check_stalled(*state, NULL, 0);
}

static void test_stalled_disk_non_blocking(void **state)
{
	struct oci_pair options[] = { { "mode", "non-blocking" }, { "max-buffer-size", "300k" } };
	check_stalled(*state, options, 2);
}

/* ---- options and attributes ---- */

static void test_options(void **state)
{
	static const struct {
		const char *driver, *key, *value, *message;
	} bad[] = {
		{ "json-file", "max-file", "0", "max-file" },
		{ "json-file", "max-size", "0", "max-size" },
		{ "json-file", "compress", "true", "compress=false" },
		{ "json-file", "odd", "x", "unknown log opt 'odd' for json-file" },
		{ "json-file", "mode", "maybe", "logging mode not supported: maybe" },
		{ "json-file", "max-buffer-size", "1m", "only supported with" },
		{ "json-file", "tag", "{{.Nope}}", "{{.Nope}}" },
		{ "json-file", "env-regex", "a{2}", "a{2}" },
		{ "local", "tag", "x", "unknown log opt 'tag' for local" },
		{ "journald", "max-size", "1m", "unknown log opt 'max-size' for journald" },
		{ "none", "max-size", "1m", "unknown log opt 'max-size' for none" },
		{ "gelf", "tag", "x", "\"gelf\" is not supported" },
		{ "syslog", "max-size", "1m", "unknown log opt 'max-size' for syslog" },
		{ "syslog", "syslog-facility", "local8", "invalid syslog facility" },
		{ "syslog", "syslog-facility", "24", "invalid syslog facility" },
		{ "syslog", "syslog-format", "rfc1", "Invalid syslog format" },
		{ "syslog", "syslog-address", "localhost", "unsupported scheme: ''" },
		{ "syslog", "syslog-address", "tcp+tls://1.2.3.4",
		  "unsupported scheme: 'tcp+tls'" },
		{ "syslog", "syslog-address", "unix://relative", "invalid syslog-address" },
		{ "syslog", "syslog-address", "udp://logs.example.com:514", "is no IP address" },
		{ "syslog", "syslog-address", "udp://1.2.3.4:0", "invalid syslog-address" },
		{ "syslog", "syslog-address", "udp://1.2.3.4:65536", "invalid syslog-address" },
		{ "syslog", "syslog-address", "udp://[::1", "invalid syslog-address" },
		{ "syslog", "syslog-address", "udp://[::1]x", "invalid syslog-address" },
		{ "syslog", "syslog-address", "udp://", "is no IP address" },
		{ "json-file", "syslog-format", "rfc3164", "unknown log opt 'syslog-format'" },
	};
	const struct oci_pair good[] = { { "max-size", "1k" },
					 { "max-file", "5" },
					 { "mode", "non-blocking" },
					 { "max-buffer-size", "4m" },
					 { "compress", "false" } };
	struct log_options o;
	struct masu_error err = { 0 };
	assert_int_equal(log_options_parse(NULL, NULL, 0, &o, &err), 0);
	assert_int_equal(o.max_size, 10 << 20);
	assert_int_equal(o.max_file, 3);
	assert_int_equal(log_options_parse("local", NULL, 0, &o, &err), 0);
	assert_int_equal(o.max_size, 20 << 20);
	assert_int_equal(o.max_file, 5);
	assert_int_equal(log_options_parse("json-file", good, ARRAY_SIZE(good), &o, &err), 0);
	assert_int_equal(o.max_size, 1024);
	assert_int_equal(o.max_file, 5);
	assert_true(o.non_blocking);
	assert_int_equal(o.buffer_size, 4 << 20);
	static const char *const addresses[] = { "udp://1.2.3.4",      "tcp://127.0.0.1:601",
						 "tcp://[::1]:514",    "udp://[fe80::1]",
						 "udp://localhost:1",  "unix:///run/x",
						 "unixgram:///dev/log" };
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		const struct oci_pair option = { "syslog-address", addresses[i] };
		assert_int_equal(log_options_parse("syslog", &option, 1, &o, &err), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct oci_pair option = { bad[i].key, bad[i].value };
		error_clear(&err);
		assert_true(log_options_parse(bad[i].driver, &option, 1, &o, &err) < 0);
		assert_non_null(strstr(err.message, bad[i].message));
	}
}

static void test_attributes(void **state)
{
	struct fixture *f = *state;
	struct oci_pair labels[] = { { "team", "a<b" }, { "other", "x" }, { "tier", "web" } };
	static char path[] = "PATH=/bin", lang[] = "LANG=C", all[] = "LC_ALL=de",
		    none[] = "NOVALUE";
	char *env[] = { path, lang, all, none, NULL };
	const struct oci_pair options[] = { { "labels", "team,absent" },
					    { "labels-regex", "^ti" },
					    { "env", "LANG,NOVALUE" },
					    { "env-regex", "^LC_" },
					    { "tag", "{{.Name}}/{{ .ID }}/{{.ImageName}}" } };
	struct log_entry entry;
	size_t len;
	f->container.config.labels = labels;
	f->container.config.label_count = 3;
	f->container.config.env = env;
	struct log *log = open_log(f, "json-file", options, ARRAY_SIZE(options));
	put_text(log, 1, "hello\n");
	log->ops->flush(log);
	char *data = content(f, JSON_LOG, &len);
	struct json_object *object = parse_line(data, len - 1), *attrs;
	assert_true(json_object_object_get_ex(object, "attrs", &attrs));
	assert_string_equal(json_object_to_json_string_ext(
				    attrs, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			    "{\"LANG\":\"C\",\"LC_ALL\":\"de\",\"tag\":\"web/0123456789ab/"
			    "busybox:local\",\"team\":\"a<b\",\"tier\":\"web\"}");
	json_object_put(object);
	assert_int_equal(log->ops->codec->decode(data, len, &entry), len);
	assert_int_equal(entry.attrs[0], '{');
	assert_int_equal(entry.len, 6);
}

static void test_regex(void **state)
{
	static const char *const expressions[] = {
		"",	   "a",	       "^a",	    "a$",   "^a$",     "a*",	  "^a+$",
		"^(ab)*$", "a|b",      "^(a|bc)+$", "a.c",  "[a-c]+$", "^[^a]*$", "^a?b?c?$",
		"(a|)b",   "x(y|z)*w", "[]a]",	    "[a-]", "^(a*)*$", "a\\.c",	  "\\[",
	};
	static const char *const texts[] = { "",     "a",   "b",   "ab",  "abc", "aaa",
					     "abab", "bca", "a.c", "axc", "xw",	 "xyzw",
					     "-",    "]",   "[",   "ba" };
	static struct regex regex;
	for (size_t i = 0; i < ARRAY_SIZE(expressions); i++) {
		regex_t oracle;
		assert_int_equal(regcomp(&oracle, expressions[i], REG_EXTENDED | REG_NOSUB), 0);
		assert_int_equal(regex_compile(expressions[i], &regex), 0);
		for (size_t j = 0; j < ARRAY_SIZE(texts); j++)
			assert_int_equal(regex_matches(&regex, texts[j]),
					 regexec(&oracle, texts[j], 0, NULL, 0) == 0);
		regfree(&oracle);
	}
	assert_int_equal(regex_compile("^\\w+\\s\\d[\\D]$", &regex), 0);
	assert_true(regex_matches(&regex, "aB_9 1x"));
	assert_false(regex_matches(&regex, "aB_9 11"));
	static const char *const refused[] = { "(", ")",     "a{2}", "(?i)a",	    "[a",
					       "*", "[z-a]", "\\q",  "[[:alpha:]]", "a\\" };
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(regex_compile(refused[i], &regex), -EINVAL);
	char longer[400];
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(regex_compile(longer, &regex), -E2BIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json_is_dockers),
		TEST(test_json_round_trip),
		TEST(test_json_of_others),
		TEST(test_json_goes_on_after_a_fragment),
		TEST(test_local_round_trip),
		TEST(test_local_damaged),
		TEST(test_json_tail),
		TEST(test_local_tail),
		TEST(test_lines_and_rotation),
		TEST(test_follow_rotation),
		TEST(test_follow_single_file),
		TEST(test_follow_too_slowly),
		TEST(test_writer_loses_nothing),
		TEST(test_writer_without_thread),
		TEST(test_stalled_disk),
		TEST(test_stalled_disk_non_blocking),
		TEST(test_options),
		TEST(test_attributes),
		TEST(test_regex),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
