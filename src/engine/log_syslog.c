/*
 * The `syslog` driver: a message a record to a syslog server, in the formats that docker's driver
 * has (RFC 3164, RFC 5424, and what syslog(3) writes to /dev/log). Host names are not looked up:
 * that would wait for other machines before a container starts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/log_driver.h"
#include "sys/unix_socket.h"

#define HEAD_MAX	1024
#define PATH_LENGTH	108
#define HOST_MAX	64 /* of a name: HOST_NAME_MAX */
#define PORT_DEFAULT	514
#define FACILITY_DAEMON 3
#define NS_PER_SECOND	UINT64_C(1000000000)
/* A server that takes longer for a message loses it, and those of as long after that. */
#define PATIENCE_S 1

enum format { FORMAT_LOCAL, FORMAT_RFC3164, FORMAT_RFC5424, FORMAT_RFC5424_MICRO };

struct target {
	enum format format;
	int facility, type;
	char path[PATH_LENGTH]; /* of a local socket; "": where those of this machine are */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address; /* family 0: a local one */
};

/* One monitor has one log. */
static struct target target;
static char hostname[HOST_MAX + 1];
static uint64_t down_until;

/* ---- options ---- */

static int parse_facility(const char *text, int *ret, struct masu_error *err)
{
	/* By their numbers; NULL: has no name. */
	static const char *const names[] = { "kern",	 "user",   "mail",   "daemon", "auth",
					     "syslog",	 "lpr",	   "news",   "uucp",   "cron",
					     "authpriv", "ftp",	   NULL,     NULL,     NULL,
					     NULL,	 "local0", "local1", "local2", "local3",
					     "local4",	 "local5", "local6", "local7" };
	uint32_t number;
	*ret = FACILITY_DAEMON;
	if (!text)
		return 0;
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		if (names[i] && streq(names[i], text)) {
			*ret = i;
			return 0;
		}
	if (str_to_u32(text, &number) < 0 || number >= ARRAY_SIZE(names))
		return error_set(err, -EINVAL, "invalid syslog facility");
	*ret = (int)number;
	return 0;
}

static int parse_format(const char *text, enum format *ret, struct masu_error *err)
{
	static const char *const names[] = { "", "rfc3164", "rfc5424", "rfc5424micro" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(text ? text : "", names[i])) {
			*ret = (enum format)i;
			return 0;
		}
	return error_set(err, -EINVAL, "Invalid syslog format");
}

/* "1.2.3.4", "1.2.3.4:514", "[::1]:514". */
static int parse_host(const char *text, struct target *ret, struct masu_error *err)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *colon = strrchr(text, ':');
	bool bracketed = *text == '[';
	size_t len = bracketed ? strcspn(text + 1, "]")
		     : colon   ? (size_t)(colon - text)
			       : strlen(text);
	const char *rest = text + len + (bracketed ? 2 : 0);
	uint32_t port = PORT_DEFAULT;
	if ((bracketed && text[len + 1] != ']') || (*rest && *rest != ':') ||
	    (*rest == ':' && (str_to_u32(rest + 1, &port) < 0 || port == 0 || port > UINT16_MAX)))
		return error_set(err, -EINVAL, "invalid syslog-address: %.128s", text);
	str_format(host, sizeof(host), "%.*s", (int)len, text + bracketed);
	if (inet_pton(AF_INET, streq(host, "localhost") ? "127.0.0.1" : host,
		      &ret->address.v4.sin_addr) == 1) {
		ret->address.v4.sin_family = AF_INET;
		ret->address.v4.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, host, &ret->address.v6.sin6_addr) == 1) {
		ret->address.v6.sin6_family = AF_INET6;
		ret->address.v6.sin6_port = htons((uint16_t)port);
	} else {
		return error_set(err, -EINVAL,
				 "syslog-address: %.128s is no IP address; names are not looked up",
				 host);
	}
	return 0;
}

static int parse_address(const char *text, struct target *ret, struct masu_error *err)
{
	static const struct {
		const char *scheme;
		int type;
		bool local;
	} schemes[] = { { "unix", SOCK_STREAM, true },
			{ "unixgram", SOCK_DGRAM, true },
			{ "udp", SOCK_DGRAM, false },
			{ "tcp", SOCK_STREAM, false } };
	const char *rest = text ? strstr(text, "://") : NULL;
	int len = rest ? (int)(rest - text) : 0;
	if (!text)
		return 0;
	for (size_t i = 0; rest && i < ARRAY_SIZE(schemes); i++) {
		if ((int)strlen(schemes[i].scheme) != len ||
		    strncmp(text, schemes[i].scheme, (size_t)len) != 0)
			continue;
		ret->type = schemes[i].type;
		if (!schemes[i].local)
			return parse_host(rest + 3, ret, err);
		if (rest[3] == '/' && str_format(ret->path, PATH_LENGTH, "%s", rest + 3) >= 0)
			return 0;
		return error_set(err, -EINVAL, "invalid syslog-address: %.128s", text);
	}
	return error_set(err, -EINVAL,
			 "unsupported scheme: '%.*s' (unix, unixgram, udp and tcp are)",
			 len > 32 ? 32 : len, text);
}

static int parse(const struct log_options *options, struct target *ret, struct masu_error *err)
{
	*ret = (struct target) { 0 };
	int r = parse_address(options->syslog_address, ret, err);
	if (r == 0)
		r = parse_facility(options->syslog_facility, &ret->facility, err);
	if (r == 0)
		r = parse_format(options->syslog_format, &ret->format, err);
	return r;
}

static int syslog_check(const struct log_options *options, struct masu_error *err)
{
	struct target checked;
	return parse(options, &checked, err);
}

/* ---- the connection ---- */

/* The daemon of this machine, which on most takes datagrams. */
static int connect_local(int *ret_fd)
{
	static const char *const paths[] = { "/dev/log", "/var/run/syslog", "/var/run/log" };
	int r = -ENOENT;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(paths); i++) {
		int type = i < ARRAY_SIZE(paths) ? SOCK_DGRAM : SOCK_STREAM;
		r = unix_connect(AT_FDCWD, paths[i % ARRAY_SIZE(paths)], type, ret_fd);
		if (r == 0)
			break;
	}
	return r;
}

static int connect_to(const struct target *to, int *ret_fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	_cleanup_close_ int fd = -1;
	int r = 0;
	if (to->address.any.sa_family) {
		fd = socket(to->address.any.sa_family, to->type | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
	} else {
		r = *to->path ? unix_connect(AT_FDCWD, to->path, to->type, &fd)
			      : connect_local(&fd);
	}
	/* connect(2) waits no longer than that, either. */
	if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		r = -errno;
	if (r == 0 && to->address.any.sa_family &&
	    connect(fd, &to->address.any, sizeof(to->address)) < 0)
		r = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static int syslog_open(struct log *log, const struct container *container, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const char *tag;
	arena_init(&arena, 0);
	int r = parse(&log->options, &target, err);
	if (r == 0)
		r = log_tag(&arena, log->options.tag, "{{.ID}}", container, &tag, err);
	if (r < 0)
		return r;
	log->attrs = strdup(tag);
	if (!log->attrs)
		return error_set(err, -ENOMEM, "out of memory");
	if (gethostname(hostname, sizeof(hostname)) < 0)
		return error_errno(err, -errno, "this machine's name");
	down_until = 0;
	tzset(); /* reads a file, once */
	r = connect_to(&target, &log->fd);
	return r < 0 ? error_errno(err, r, "failed to initialize logging driver: syslog at %s",
				   log->options.syslog_address ? log->options.syslog_address
							       : "/dev/log")
		     : 0;
}

/* ---- messages ---- */

/* RFC 5424 has a date with its zone. */
static void put_date(char *ret, size_t size, uint64_t time)
{
	char date[24], zone[8], fraction[8] = "";
	time_t seconds = (time_t)(time / NS_PER_SECOND);
	struct tm tm;
	localtime_r(&seconds, &tm);
	if (target.format < FORMAT_RFC5424) {
		strftime(ret, size, "%b %e %H:%M:%S", &tm);
		return;
	}
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	if (target.format == FORMAT_RFC5424_MICRO)
		snprintf(fraction, sizeof(fraction), ".%06u",
			 (unsigned)(time % NS_PER_SECOND / 1000));
	if (tm.tm_gmtoff == 0)
		snprintf(ret, size, "%s%sZ", date, fraction);
	else
		snprintf(ret, size, "%s%s%.3s:%s", date, fraction, zone, zone + 3);
}

static size_t put_head(char *ret, size_t size, const char *tag, const struct log_record *record)
{
	char date[40];
	int priority = target.facility << 3 | (record->stream == 2 ? 3 : 6), len = 0;
	put_date(date, sizeof(date), record->time);
	switch (target.format) {
	case FORMAT_LOCAL:
		len = snprintf(ret, size, "<%d>%s %s[%d]: ", priority, date, tag, getpid());
		break;
	case FORMAT_RFC3164:
		len = snprintf(ret, size, "<%d>%s %s %s[%d]: ", priority, date, hostname, tag,
			       getpid());
		break;
	case FORMAT_RFC5424:
	case FORMAT_RFC5424_MICRO:
		len = snprintf(ret, size, "<%d>1 %s %s %s %d %s - ", priority, date, hostname, tag,
			       getpid(), tag);
		break;
	}
	return len < (int)size ? (size_t)len : size - 1;
}

/* A part of a message cannot be taken back: then it is another connection. */
static bool send_all(int fd, const struct msghdr *message, size_t len)
{
	ssize_t sent;
	do
		sent = sendmsg(fd, message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)len;
}

/* A connection that broke is made anew, once a message. */
static bool deliver(struct log *log, const struct msghdr *message, size_t len)
{
	if (log->fd >= 0 && send_all(log->fd, message, len))
		return true;
	if (log_time_now() < down_until)
		return false;
	cleanup_close(&log->fd);
	if (connect_to(&target, &log->fd) == 0 && send_all(log->fd, message, len))
		return true;
	cleanup_close(&log->fd);
	down_until = log_time_now() + PATIENCE_S * NS_PER_SECOND;
	return false;
}

static void syslog_put(struct log *log, const struct log_record *record)
{
	char head[HEAD_MAX];
	size_t len = record->len - (record->len && record->data[record->len - 1] == '\n');
	if (len == 0)
		return;
	size_t head_len = put_head(head, sizeof(head), log->attrs, record);
	struct iovec parts[] = { { head, head_len },
				 { (void *)record->data, len },
				 { (void *)"\n", 1 } };
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };
	if (!deliver(log, &message, head_len + len + 1)) {
		log->failed++;
		log->lost++;
	}
}

static void syslog_flush(struct log *log)
{
}

static const char *const syslog_options[] = { "syslog-address",
					      "syslog-facility",
					      "syslog-format",
					      "labels",
					      "labels-regex",
					      "env",
					      "env-regex",
					      "tag",
					      NULL };

const struct log_ops log_syslog = {
	.name = "syslog",
	.options = syslog_options,
	.max_file = 1,
	.check = syslog_check,
	.open = syslog_open,
	.put = syslog_put,
	.flush = syslog_flush,
};
