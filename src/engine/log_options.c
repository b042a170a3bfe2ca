/* The table of log drivers, their options, and what all of them share. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/log_driver.h"

#define MAX_FILE_MAX   1000
#define BUFFER_DEFAULT (1u << 20)
#define BUFFER_MIN     (256u << 10)
#define BUFFER_MAX     (1u << 30)
#define NS_PER_SECOND  UINT64_C(1000000000)

static const struct log_ops *const drivers[] = { &log_json_file, &log_local, &log_journald,
						 &log_syslog, &log_none };

const struct log_ops *log_driver_find(const char *name)
{
	if (!name || !*name)
		return &log_json_file;
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (streq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

const char *log_file_name(const char *driver, const char *id, char ret[96])
{
	const struct log_ops *ops = log_driver_find(driver);
	ret[0] = '\0';
	if (ops && ops->suffix)
		str_format(ret, 96, "%s%s", id, ops->suffix);
	return ret;
}

static int invalid(const struct oci_pair *option, const char *why, struct masu_error *err)
{
	return error_set(err, -EINVAL, "invalid value \"%.128s\" for log opt '%s'%s%s",
			 option->value, option->key, *why ? ": " : "", why);
}

static int parse_max_size(const struct oci_pair *option, struct log_options *ret,
			  struct masu_error *err)
{
	uint64_t size = 0;
	if (!streq(option->value, "-1") && (str_to_bytes(option->value, &size) < 0 || size == 0))
		return invalid(option, "", err);
	ret->max_size = size;
	return 0;
}

static int parse_max_file(const struct oci_pair *option, struct log_options *ret,
			  struct masu_error *err)
{
	uint32_t count;
	if (str_to_u32(option->value, &count) < 0 || count < 1 || count > MAX_FILE_MAX)
		return invalid(option, "", err);
	ret->max_file = count;
	return 0;
}

/* Compressing is work that would hold up the log; there is no process to leave it to, and no place
 * in the program for what `logs` would read it back with. */
static int parse_compress(const struct oci_pair *option, struct log_options *ret,
			  struct masu_error *err)
{
	if (streq(option->value, "false") || streq(option->value, "0"))
		return 0;
	return invalid(option, "rotated files are not compressed; use compress=false", err);
}

static int parse_mode(const struct oci_pair *option, struct log_options *ret,
		      struct masu_error *err)
{
	ret->non_blocking = streq(option->value, "non-blocking");
	if (ret->non_blocking || streq(option->value, "blocking"))
		return 0;
	return error_set(err, -EINVAL, "logger: logging mode not supported: %.128s", option->value);
}

static int parse_buffer(const struct oci_pair *option, struct log_options *ret,
			struct masu_error *err)
{
	uint64_t size;
	if (str_to_bytes(option->value, &size) < 0 || size == 0 || size > BUFFER_MAX)
		return error_set(err, -EINVAL, "error parsing option max-buffer-size: %.128s",
				 option->value);
	ret->buffer_size = size < BUFFER_MIN ? BUFFER_MIN : size;
	return 0;
}

#define TEXT(name, field)                                                                          \
	{                                                                                          \
		name, false, NULL, offsetof(struct log_options, field)                             \
	}

static const struct {
	const char *name;
	bool all; /* every driver that keeps anything has it */
	/* NULL: a text, which is kept at @offset. */
	int (*parse)(const struct oci_pair *option, struct log_options *ret,
		     struct masu_error *err);
	size_t offset;
} option_table[] = {
	{ "max-size", false, parse_max_size, 0 },
	{ "max-file", false, parse_max_file, 0 },
	{ "compress", false, parse_compress, 0 },
	{ "mode", true, parse_mode, 0 },
	{ "max-buffer-size", true, parse_buffer, 0 },
	TEXT("labels", labels),
	TEXT("labels-regex", labels_regex),
	TEXT("env", env),
	TEXT("env-regex", env_regex),
	TEXT("tag", tag),
	TEXT("syslog-address", syslog_address),
	TEXT("syslog-facility", syslog_facility),
	TEXT("syslog-format", syslog_format),
};

static bool takes(const struct log_ops *ops, const char *name, bool all)
{
	if (all)
		return ops != &log_none;
	for (const char *const *option = ops->options; option && *option; option++)
		if (streq(*option, name))
			return true;
	return false;
}

static int parse_option(const struct oci_pair *option, struct log_options *ret,
			struct masu_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		if (!streq(option_table[i].name, option->key) ||
		    !takes(ret->ops, option->key, option_table[i].all))
			continue;
		if (option_table[i].parse)
			return option_table[i].parse(option, ret, err);
		const char **text = (const char **)((char *)ret + option_table[i].offset);
		*text = *option->value ? option->value : NULL;
		return 0;
	}
	return error_set(err, -EINVAL, "unknown log opt '%.128s' for %s log driver", option->key,
			 ret->ops->name);
}

int log_options_parse(const char *driver, const struct oci_pair *options, size_t count,
		      struct log_options *ret, struct masu_error *err)
{
	struct log_options parsed = { .ops = log_driver_find(driver) };
	bool buffer = false;
	if (!parsed.ops)
		return error_set(err, -ENOTSUP,
				 "log driver \"%.128s\" is not supported (json-file, local, "
				 "journald, syslog and none are)",
				 driver);
	parsed.max_size = parsed.ops->max_size;
	parsed.max_file = parsed.ops->max_file;
	parsed.buffer_size = BUFFER_DEFAULT;
	for (size_t i = 0; i < count; i++) {
		int r = parse_option(&options[i], &parsed, err);
		if (r < 0)
			return r;
		buffer |= streq(options[i].key, "max-buffer-size");
	}
	if (buffer && !parsed.non_blocking)
		return error_set(err, -EINVAL,
				 "logger: max-buffer-size option is only supported with "
				 "'mode=non-blocking'");
	int r = log_attrs_check(&parsed, err);
	if (r == 0 && parsed.ops->check)
		r = parsed.ops->check(&parsed, err);
	if (r == 0)
		*ret = parsed;
	return r;
}

int log_open(struct log *log, const struct log_options *options, const struct container *container,
	     struct masu_error *err)
{
	*log = (struct log) { .ops = options->ops, .options = *options, .dir_fd = -1, .fd = -1 };
	/* Its own: the container's may be closed and opened again while the log stays. */
	log->dir_fd = fcntl(container->dir_fd, F_DUPFD_CLOEXEC, 3);
	int r = log->dir_fd < 0 ? error_errno(err, -errno, "cannot open the log")
				: log->ops->open(log, container, err);
	if (r < 0)
		log_close(log);
	return r;
}

void log_close(struct log *log)
{
	cleanup_close(&log->fd);
	cleanup_close(&log->dir_fd);
	free(log->attrs);
	log->attrs = NULL;
}

uint64_t log_time_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void log_time_text(uint64_t time, char ret[LOG_TIME_SIZE])
{
	static char text[LOG_TIME_SIZE];
	static uint64_t second = UINT64_MAX;
	if (time / NS_PER_SECOND != second) {
		struct tm tm;
		time_t seconds = (time_t)(time / NS_PER_SECOND);
		gmtime_r(&seconds, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000000000Z", &tm);
		second = time / NS_PER_SECOND;
	}
	uint64_t rest = time % NS_PER_SECOND;
	for (char *digit = text + 28; digit > text + 19; digit--, rest /= 10)
		*digit = (char)('0' + rest % 10);
	memcpy(ret, text, sizeof(text));
}

/* ---- none ---- */

static int none_open(struct log *log, const struct container *container, struct masu_error *err)
{
	return 0;
}

static void none_put(struct log *log, const struct log_record *record)
{
}

static void none_flush(struct log *log)
{
}

const struct log_ops log_none = {
	.name = "none", .max_file = 1, .open = none_open, .put = none_put, .flush = none_flush
};
