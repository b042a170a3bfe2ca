#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	enum log_level minimum;
	enum log_format format;
	int fd;
} config = { LOG_LEVEL_WARN, LOG_FORMAT_TEXT, STDERR_FILENO };

static const char *const level_names[] = { "debug", "info", "warning", "error" };

void log_configure(enum log_level minimum, enum log_format format, int fd)
{
	config.minimum = minimum;
	config.format = format;
	config.fd = fd;
}

bool log_enabled(enum log_level level)
{
	return level >= config.minimum;
}

/* Escapes @text as the inside of a JSON string into @out; what does not fit is cut. */
static void json_escape(const char *text, char *out, size_t size)
{
	size_t used = 0;
	for (; *text && used + 7 < size; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\') {
			out[used++] = '\\';
			out[used++] = (char)c;
		} else if (c < 0x20) {
			used += (size_t)snprintf(out + used, size - used, "\\u%04x", c);
		} else {
			out[used++] = (char)c;
		}
	}
	out[used] = '\0';
}

void log_message(enum log_level level, const char *fmt, ...)
{
	if (!log_enabled(level))
		return;
	int saved = errno;
	char text[1024], line[2300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	int len;
	if (config.format == LOG_FORMAT_JSON) {
		char escaped[2048], stamp[40];
		struct timespec now;
		struct tm tm;
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
		json_escape(text, escaped, sizeof(escaped));
		len = snprintf(line, sizeof(line),
			       "{\"level\":\"%s\",\"msg\":\"%s\",\"time\":\"%s.%09ldZ\"}\n",
			       level_names[level], escaped, stamp, now.tv_nsec);
	} else {
		len = snprintf(line, sizeof(line), "masu: %s: %s\n", level_names[level], text);
	}
	if (len >= (int)sizeof(line))
		len = (int)sizeof(line) - 1;
	/* One write a line, so that lines of several processes do not mix; a lost line is not an
	 * error. */
	ssize_t written = write(config.fd, line, (size_t)len);
	(void)written;
	errno = saved;
}
