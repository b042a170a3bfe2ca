/*
 * The `journald` driver: one datagram a record to systemd-journald's native socket, fields as
 * docker names them. Protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/log_driver.h"
#include "sys/fs.h"
#include "sys/unix_socket.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define ID_SHORT       "12"
#define TEXT_MAX       512
#define PARTS	       4

/* The pieces of a line that is longer than a record. */
struct partial {
	uint64_t id;	  /* when it began */
	unsigned ordinal; /* 0: none is open */
};

static struct partial partials[2];

/* "KEY=value\n", or with the value's length where it has more than one line. */
static void put_field(struct buf *out, const char *key, const char *value)
{
	uint64_t len = strlen(value);
	unsigned char size[8];
	if (!strchr(value, '\n')) {
		buf_printf(out, "%s=%s\n", key, value);
		return;
	}
	for (unsigned i = 0; i < sizeof(size); i++)
		size[i] = (unsigned char)(len >> (8 * i));
	buf_printf(out, "%s\n", key);
	buf_append(out, size, sizeof(size));
	buf_printf(out, "%s\n", value);
}

/* Upper case, digits and underscores, and no underscore in front; NULL where nothing is left. */
static const char *field_name(struct arena *arena, const char *key)
{
	char *name = arena_strdup(arena, key), *out = name;
	for (const char *p = key; name && *p; p++) {
		char c = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			c = '_';
		if (c != '_' || out > name)
			*out++ = c;
	}
	if (!name || out == name)
		return NULL;
	*out = '\0';
	return name;
}

/* The fields that are the same in all records. */
static int make_fields(struct arena *arena, struct log *log, const struct container *container,
		       struct buf *out, struct masu_error *err)
{
	struct oci_pair *pairs;
	size_t count;
	const char *tag;
	int r = log_tag(arena, log->options.tag, "{{.ID}}", container, &tag, err);
	if (r == 0)
		r = log_attrs_collect(arena, &log->options, container, false, &pairs, &count, err);
	if (r < 0)
		return r;
	buf_printf(out, "CONTAINER_ID=%." ID_SHORT "s\n", container->id);
	put_field(out, "CONTAINER_ID_FULL", container->id);
	put_field(out, "CONTAINER_NAME", container->name);
	put_field(out, "CONTAINER_TAG", tag);
	put_field(out, "SYSLOG_IDENTIFIER", tag);
	put_field(out, "IMAGE_NAME", container->config.image ? container->config.image : "");
	for (size_t i = 0; i < count; i++) {
		const char *name = field_name(arena, pairs[i].key);
		if (name)
			put_field(out, name, pairs[i].value);
	}
	return buf_error(out) ? error_errno(err, buf_error(out), "the log's attributes") : 0;
}

static int journald_open(struct log *log, const struct container *container, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_buf_ struct buf fields;
	arena_init(&arena, 0);
	buf_init(&fields, LOG_ATTRS_MAX);
	int r = make_fields(&arena, log, container, &fields, err);
	if (r < 0)
		return r;
	r = unix_connect(AT_FDCWD, JOURNAL_SOCKET, SOCK_DGRAM, &log->fd);
	if (r < 0)
		return error_errno(err, r, "journald is not enabled on this host: %s",
				   JOURNAL_SOCKET);
	memset(partials, 0, sizeof(partials));
	log->attrs_len = fields.len;
	log->attrs = buf_steal(&fields);
	return 0;
}

/* What does not fit into a datagram is handed over as a sealed file. */
static int send_file(int fd, const struct iovec *parts)
{
	_cleanup_close_ int file = memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file < 0 || writev(file, parts, PARTS) < 0 ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return unix_send_fd(fd, NULL, 0, file);
}

static int send_parts(struct log *log, struct iovec *parts)
{
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };
	for (bool again = false;; again = true) {
		ssize_t sent = sendmsg(log->fd, &message, MSG_NOSIGNAL);
		if (sent >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno == EMSGSIZE)
			return send_file(log->fd, parts);
		/* It was started anew: another socket is in its place. */
		if (again || (errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET))
			return -errno;
		cleanup_close(&log->fd);
		int r = unix_connect(AT_FDCWD, JOURNAL_SOCKET, SOCK_DGRAM, &log->fd);
		if (r < 0)
			return r;
	}
}

static int put_partial(char *out, size_t size, struct partial *partial,
		       const struct log_record *record, bool ends)
{
	out[0] = '\0';
	if (!partial->ordinal && ends)
		return 0;
	if (!partial->ordinal)
		partial->id = record->time;
	int len = snprintf(out, size,
			   "%sCONTAINER_PARTIAL_ID=%016llx\nCONTAINER_PARTIAL_ORDINAL=%u\n"
			   "CONTAINER_PARTIAL_LAST=%s\n",
			   ends ? "" : "CONTAINER_PARTIAL_MESSAGE=true\n",
			   (unsigned long long)partial->id, ++partial->ordinal,
			   ends ? "true" : "false");
	if (ends)
		partial->ordinal = 0;
	return len;
}

static void journald_put(struct log *log, const struct log_record *record)
{
	char head[TEXT_MAX], tail[TEXT_MAX], time[LOG_TIME_SIZE];
	bool ends = record->len && record->data[record->len - 1] == '\n';
	size_t len = record->len - ends;
	log_time_text(record->time, time);
	tail[0] = '\n';
	int tail_len = 1 + put_partial(tail + 1, sizeof(tail) - 1, &partials[record->stream == 2],
				       record, ends);
	int head_len = snprintf(head, sizeof(head), "PRIORITY=%d\nSYSLOG_TIMESTAMP=%s\nMESSAGE=",
				record->stream == 2 ? 3 : 6, time);
	struct iovec parts[PARTS] = {
		{ log->attrs, log->attrs_len },
		{ head, (size_t)head_len },
		{ (void *)record->data, len },
		{ tail, (size_t)tail_len },
	};
	if (send_parts(log, parts) < 0) {
		log->failed++;
		log->lost++;
	}
}

static void journald_flush(struct log *log)
{
}

static const char *const journald_options[] = { "labels",    "labels-regex", "env",
						"env-regex", "tag",	     NULL };

const struct log_ops log_journald = {
	.name = "journald",
	.options = journald_options,
	.max_file = 1,
	.open = journald_open,
	.put = journald_put,
	.flush = journald_flush,
};
