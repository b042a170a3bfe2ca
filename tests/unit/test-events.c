/* The event log: Docker's documents, one line each, by many writers at once, bounded. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/system/event_filter.h"
#include "json/json.h"
#include "state/event_log.h"
#include "state/event_reader.h"
#include "sys/fs.h"

#define WRITERS	      6
#define WRITER_EVENTS 1400 /* all of them: more than one file holds, less than two */
#define ROUNDS	      5

static char dir[64];
static int dir_fd;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/masu-events-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	close(dir_fd);
	return fs_remove_tree(AT_FDCWD, dir);
}

static void read_log(const char *name, struct buf *ret)
{
	buf_init(ret, 4 * EVENT_LOG_SIZE);
	assert_int_equal(fs_read_at(dir_fd, name, 4 * EVENT_LOG_SIZE, ret), 0);
}

static void test_a_line_is_dockers_document(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf text;
	const struct oci_pair attributes[] = {
		{ "zone", "a\"b\n" },
		{ "image", "label loses" },
		{ "image", "busybox:local" },
		{ "name", "web" },
	};
	const struct event event = { "container", "die", "abc", attributes, 4 };
	const struct json *line;
	assert_int_equal(event_log_append(dir_fd, &event, 1), 0);
	read_log(EVENT_LOG_NAME, &text);
	static const char start[] =
		"{\"status\":\"die\",\"id\":\"abc\",\"from\":\"busybox:local\",\"Type\":"
		"\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":{"
		"\"image\":\"busybox:local\",\"name\":\"web\",\"zone\":\"a\\\"b\\n\"}},"
		"\"scope\":\"local\",\"time\":";
	assert_memory_equal(buf_str(&text), start, sizeof(start) - 1);
	assert_string_equal(strchr(buf_str(&text), '\n'), "\n");
	assert_int_equal(json_parse(&arena, text.data, text.len, &line, NULL), 0);
	int64_t seconds, ns;
	assert_true(json_i64(json_get(line, "time"), &seconds));
	assert_true(json_i64(json_get(line, "timeNano"), &ns));
	assert_int_equal(ns / 1000000000, seconds);
}

static void test_networks_have_no_status(void **state)
{
	_cleanup_buf_ struct buf text;
	const struct event event = { "network", "connect", "bridge", NULL, 0 };
	assert_int_equal(event_log_append(dir_fd, &event, 1), 0);
	read_log(EVENT_LOG_NAME, &text);
	static const char start[] = "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{"
				    "\"ID\":\"bridge\",\"Attributes\":{}},\"scope\":";
	assert_memory_equal(buf_str(&text), start, sizeof(start) - 1);
}

static void test_many_attributes_are_sorted(void **state)
{
	_cleanup_buf_ struct buf text;
	struct oci_pair attributes[200];
	char keys[200][8];
	for (int i = 0; i < 200; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%03d", (i * 77) % 200);
		attributes[i] = (struct oci_pair) { keys[i], NULL };
	}
	const struct event event = { "volume", "create", "v", attributes, 200 };
	assert_int_equal(event_log_append(dir_fd, &event, 1), 0);
	read_log(EVENT_LOG_NAME, &text);
	const char *at = buf_str(&text);
	for (int i = 0; i < 200; i++) {
		char key[16];
		snprintf(key, sizeof(key), "\"k%03d\":\"\"", i);
		at = strstr(at, key);
		assert_non_null(at);
	}
}

static void test_too_long_an_event_is_refused(void **state)
{
	_cleanup_free_ char *label = calloc(1, EVENT_LINE_MAX + 1);
	assert_non_null(label);
	memset(label, 'x', EVENT_LINE_MAX);
	const struct oci_pair attributes[] = { { "label", label } };
	const struct event event = { "container", "create", "abc", attributes, 1 };
	assert_int_equal(event_log_append(dir_fd, &event, 1), -E2BIG);
	assert_int_equal(faccessat(dir_fd, EVENT_LOG_NAME, F_OK, 0), -1);
}

static void test_a_log_that_is_no_file_is_an_error_and_no_hang(void **state)
{
	const struct event event = { "container", "create", "abc", NULL, 0 };
	assert_int_equal(mkfifoat(dir_fd, EVENT_LOG_NAME, 0600), 0);
	assert_int_equal(event_log_append(dir_fd, &event, 1), -ENXIO);
	assert_int_equal(unlinkat(dir_fd, EVENT_LOG_NAME, 0), 0);
	assert_int_equal(symlinkat("/dev/null", dir_fd, EVENT_LOG_NAME), 0);
	assert_int_equal(event_log_append(dir_fd, &event, 1), -ELOOP);
}

static void write_many(unsigned writer)
{
	char number[16], name[16], padding[200] = "";
	memset(padding, 'p', sizeof(padding) - 1);
	const struct oci_pair attributes[] = { { "number", number },
					       { "padding", padding },
					       { "writer", name } };
	const struct event event = { "container", "start", "abc", attributes, 3 };
	snprintf(name, sizeof(name), "%u", writer);
	for (unsigned i = 0; i < WRITER_EVENTS; i++) {
		snprintf(number, sizeof(number), "%u", i);
		if (event_log_append(dir_fd, &event, 1) < 0)
			_exit(1);
	}
	_exit(0);
}

static uint64_t attribute(const struct json *line, const char *key)
{
	uint64_t value;
	const char *text;
	const struct json *attributes = json_get(json_get(line, "Actor"), "Attributes");
	assert_true(json_string(json_get(attributes, key), &text));
	assert_int_equal(str_to_u64(text, &value), 0);
	return value;
}

/* Each line is whole, and each writer's are in order, none missing. */
static void check_lines(const char *name, uint64_t next[WRITERS])
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf text;
	read_log(name, &text);
	/* While one renames the full log the others go on in it, for as long as that takes. */
	assert_true(text.len < EVENT_LOG_HARD_MAX);
	const char *line = buf_str(&text), *end;
	while ((end = strchr(line, '\n'))) {
		const struct json *event;
		arena_reset(&arena);
		assert_int_equal(json_parse(&arena, line, (size_t)(end - line), &event, NULL), 0);
		uint64_t writer = attribute(event, "writer"), number = attribute(event, "number");
		assert_true(writer < WRITERS);
		assert_int_equal(number, next[writer]++);
		line = end + 1;
	}
	assert_string_equal(line, "");
}

static void write_and_check(void)
{
	uint64_t next[WRITERS] = { 0 };
	pid_t pids[WRITERS];
	for (unsigned i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			write_many(i);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	check_lines(EVENT_LOG_OLD_NAME, next);
	check_lines(EVENT_LOG_NAME, next);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(next[i], WRITER_EVENTS);
}

static void test_writers_at_once_lose_nothing_when_the_log_rotates(void **state)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		write_and_check();
		assert_int_equal(unlinkat(dir_fd, EVENT_LOG_NAME, 0), 0);
		assert_int_equal(unlinkat(dir_fd, EVENT_LOG_OLD_NAME, 0), 0);
	}
}

/* Somebody holds the lock of the full log and does not let go. */
static void test_a_log_that_cannot_be_rotated_stays_bounded(void **state)
{
	const struct event event = { "container", "create", "abc", NULL, 0 };
	struct stat st;
	_cleanup_close_ int fd = openat(dir_fd, EVENT_LOG_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(ftruncate(fd, EVENT_LOG_SIZE), 0);
	assert_int_equal(event_log_append(dir_fd, &event, 1), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > EVENT_LOG_SIZE);
	assert_int_equal(ftruncate(fd, EVENT_LOG_HARD_MAX), 0);
	assert_int_equal(event_log_append(dir_fd, &event, 1), -EFBIG);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_int_equal(event_log_append(dir_fd, &event, 1), 0);
	assert_int_equal(fstatat(dir_fd, EVENT_LOG_NAME, &st, 0), 0);
	assert_true(st.st_size < 1024);
}

struct follower {
	uint64_t next[WRITERS];
	uint64_t seen;
};

static int follow_one(void *opaque, const struct json *event, const char *line, size_t len)
{
	struct follower *follower = opaque;
	uint64_t writer = attribute(event, "writer"), number = attribute(event, "number");
	assert_true(writer < WRITERS);
	assert_int_equal(number, follower->next[writer]++);
	assert_int_equal(strlen(line), len);
	follower->seen++;
	return 0;
}

/* The log is rotated several times under a reader that keeps up. */
static void test_following_loses_nothing_when_the_log_rotates(void **state)
{
	_cleanup_event_reader_ struct event_reader *reader = NULL;
	struct follower follower = { 0 };
	assert_int_equal(event_reader_open(dir_fd, true, &reader, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t wanted = (round + 1) * WRITERS * WRITER_EVENTS;
		memset(follower.next, 0, sizeof(follower.next));
		for (unsigned i = 0; i < WRITERS; i++)
			if (fork() == 0)
				write_many(i);
		while (follower.seen < wanted) {
			struct pollfd poll_fd = { .fd = event_reader_fd(reader), .events = POLLIN };
			assert_int_equal(poll(&poll_fd, 1, 10000), 1);
			assert_int_equal(event_reader_drain(reader, follow_one, &follower), 0);
		}
		for (unsigned i = 0; i < WRITERS; i++)
			assert_true(wait(NULL) > 0);
	}
	assert_int_equal(event_reader_drain(reader, follow_one, &follower), 0);
	assert_int_equal(follower.seen, ROUNDS * WRITERS * WRITER_EVENTS);
}

static int collect_ids(void *opaque, const struct json *event, const char *line, size_t len)
{
	const char *id;
	assert_true(json_string(json_get(json_get(event, "Actor"), "ID"), &id));
	buf_puts(opaque, id);
	buf_putc(opaque, ' ');
	return 0;
}

static void append_text(const char *name, const char *text)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_reading_survives_what_is_damaged(void **state)
{
	_cleanup_event_reader_ struct event_reader *reader = NULL;
	_cleanup_buf_ struct buf ids = { 0 };
	const struct oci_pair tricky = { "status", "x" };
	const struct event one = { "container", "start", "one", &tricky, 1 };
	const struct event two = { "network", "connect", "two", NULL, 0 };
	append_text(EVENT_LOG_OLD_NAME,
		    "{\"Type\":\"image\",\"Actor\":{\"ID\":\"zero\"}}\n\n[]x\n");
	append_text(EVENT_LOG_NAME, "{\"status\":\"start\",\"id\":\"cut");
	assert_int_equal(event_log_append(dir_fd, &one, 1), 0);
	append_text(EVENT_LOG_NAME, "\n{\"Type\":\"netw");
	assert_int_equal(event_log_append(dir_fd, &two, 1), 0);
	append_text(EVENT_LOG_NAME, "{\"Type\":\"network\",\"Actor\":{\"ID\":\"thr");
	assert_int_equal(event_reader_open(dir_fd, false, &reader, NULL), 0);
	assert_int_equal(event_reader_drain(reader, collect_ids, &ids), 0);
	assert_string_equal(buf_str(&ids), "zero one two ");
	append_text(EVENT_LOG_NAME, "ee\"}}\n");
	assert_int_equal(event_reader_drain(reader, collect_ids, &ids), 0);
	assert_string_equal(buf_str(&ids), "zero one two three ");
}

static bool filter_matches(const char *event_text, size_t count, const char *const *items)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct cli_list filters = { 0 };
	const struct json *event;
	struct masu_error err = { 0 };
	for (size_t i = 0; i < count; i++)
		assert_int_equal(cli_list_add(&arena, &filters, items[i]), 0);
	assert_int_equal(event_filters_check(&filters, &err), 0);
	assert_int_equal(json_parse(&arena, event_text, strlen(event_text), &event, &err), 0);
	return event_filters_match(&filters, event);
}

#define MATCHES(event, ...)                                                                        \
	filter_matches(event, sizeof((const char *[]) { __VA_ARGS__ }) / sizeof(char *),           \
		       (const char *[]) { __VA_ARGS__ })

static void test_filters_match_as_dockers(void **state)
{
	static const char container[] = "{\"Type\":\"container\",\"Action\":\"exec_start: "
					"ls\",\"Actor\":{\"ID\":\"abcdef\","
					"\"Attributes\":{\"image\":\"host:5000/"
					"box:1\",\"name\":\"web\",\"tier\":\"front\"}},"
					"\"scope\":\"local\"}";
	static const char network[] =
		"{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"web\","
		"\"Attributes\":{\"name\":\"web\"}},\"scope\":\"local\"}";
	assert_true(MATCHES(container, "container=web"));
	assert_true(MATCHES(container, "container=we"));
	assert_true(MATCHES(container, "container=abc"));
	assert_true(MATCHES(container, "container=other", "container=web"));
	assert_false(MATCHES(container, "container=other"));
	assert_false(MATCHES(network, "container=web"));
	assert_true(MATCHES(network, "network=web"));
	assert_true(MATCHES(container, "event=exec_start"));
	assert_true(MATCHES(container, "event=exec_start: ls"));
	assert_false(MATCHES(container, "event=exec"));
	assert_true(MATCHES(container, "event=die", "event=exec_start"));
	assert_true(MATCHES(container, "image=host:5000/box"));
	assert_true(MATCHES(container, "image=host:5000/box:1"));
	assert_false(MATCHES(container, "image=host"));
	assert_false(MATCHES(container, "image=host:5000/bo"));
	assert_true(MATCHES(container, "label=tier"));
	assert_true(MATCHES(container, "label=tier=front", "label=name=web"));
	assert_false(MATCHES(container, "label=tier=front", "label=other"));
	assert_false(MATCHES(container, "label=tier=fron"));
	assert_true(MATCHES(container, "type=container", "scope=local"));
	assert_false(MATCHES(container, "type=container", "scope=swarm"));
	assert_true(MATCHES(container, "type=network", "type=container"));
}

static void test_unknown_filters_are_refused(void **state)
{
	static const char *const wrong[] = { "colour=red", "container", "", "=x",
					     "types=container" };
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct masu_error err = { 0 };
		const struct cli_list filters = { (const char **)&wrong[i], 1 };
		assert_int_equal(event_filters_check(&filters, &err), -EINVAL);
		assert_non_null(strstr(err.message, "invalid filter"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_line_is_dockers_document, setup, teardown),
		cmocka_unit_test_setup_teardown(test_networks_have_no_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_attributes_are_sorted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long_an_event_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_is_no_file_is_an_error_and_no_hang,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_writers_at_once_lose_nothing_when_the_log_rotates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_rotated_stays_bounded,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_following_loses_nothing_when_the_log_rotates,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_reading_survives_what_is_damaged, setup,
						teardown),
		cmocka_unit_test(test_filters_match_as_dockers),
		cmocka_unit_test(test_unknown_filters_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
