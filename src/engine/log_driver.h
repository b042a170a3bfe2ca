/*
 * Log drivers: where a container's output is kept. A driver is one table of operations; the options
 * they share (rotation, attributes, buffering) are parsed once, here. The monitor's side is
 * log_writer.h; `masu logs` reads back through log_codec.
 *
 * Nothing in here allocates after log_open(): records are written by a thread (log_writer.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/engine.h"

/* A line of output that is longer becomes several records, of which only the last ends in \n. */
#define LOG_LINE_MAX	16384
#define LOG_ATTRS_MAX	32768 /* of a container, as they stand in a record */
#define LOG_TIME_SIZE	36    /* RFC 3339 in UTC with nine digits of a second, and NUL */
#define LOG_TIME_LENGTH 30    /* of it, until the year 10000 */

struct log_record {
	int stream;    /* 1 stdout, 2 stderr */
	uint64_t time; /* nanoseconds since 1970 */
	const char *data;
	size_t len;
};

struct log_ops;
struct log_options {
	const struct log_ops *ops;
	uint64_t max_size; /* bytes, 0: no bound */
	unsigned max_file; /* files in all, at least 1 */
	bool non_blocking;
	uint64_t buffer_size; /* of output that waits to be written */
	/* What goes with each record; borrowed, NULL: nothing. */
	const char *labels, *labels_regex, *env, *env_regex, *tag;
	const char *syslog_address, *syslog_facility, *syslog_format; /* as they were given */
};

/* An open log. */
struct log {
	const struct log_ops *ops;
	struct log_options options; /* the strings are not valid beyond log_open() */
	int dir_fd;		    /* the container's directory; its own */
	char name[96];		    /* of the file; "": the driver has none */
	int fd;			    /* -1: none */
	uint64_t size;		    /* of the file */
	uint64_t failed; /* records that could not be written and have not been told of */
	uint64_t lost;	 /* all of them */
	char *attrs;	 /* as the driver puts them into each record; NULL: none */
	size_t attrs_len;
};

/* What a file of the driver's looks like to a reader. */
struct log_codec {
	/*
	 * The record at the beginning of @data, which is changed in the process. Returns its length
	 * in the file; 0: it is not whole yet. What is no record is passed over with ret->data
	 * NULL.
	 */
	size_t (*decode)(char *data, size_t len, struct log_entry *ret);
	/* Where the last *lines lines of a file begin; *lines becomes what it lacked. 0 or -errno.
	 */
	int (*seek_tail)(int fd, off_t size, int64_t *lines, off_t *ret);
};

struct log_ops {
	const char *name;
	const char *suffix;	    /* of its file "<id><suffix>"; NULL: no file */
	const char *const *options; /* those it takes besides `mode` and `max-buffer-size` */
	uint64_t max_size;	    /* defaults */
	unsigned max_file;
	/* Checks options that only it has; NULL: there are none. */
	int (*check)(const struct log_options *options, struct masu_error *err);
	int (*open)(struct log *log, const struct container *container, struct masu_error *err);
	/* One record, which may be kept until the flush. */
	void (*put)(struct log *log, const struct log_record *record);
	void (*flush)(struct log *log);
	/* Gives the memory of its buffers, which are empty, back until it is needed again. NULL: it
	 * has none. */
	void (*rest)(struct log *log);
	const struct log_codec *codec; /* NULL: it cannot be read back */
};

extern const struct log_ops log_json_file, log_local, log_journald, log_syslog, log_none;

/* The driver of that name, NULL is json-file; NULL where there is none. */
const struct log_ops *log_driver_find(const char *name);
/* The name of the file a container's log is kept in, or "" where its driver has none. */
const char *log_file_name(const char *driver, const char *id, char ret[96]);

/* Checks driver and options by name; messages are docker's. */
int log_options_parse(const char *driver, const struct oci_pair *options, size_t count,
		      struct log_options *ret, struct masu_error *err);

/* Opens or goes on with the log of @container. */
int log_open(struct log *log, const struct log_options *options, const struct container *container,
	     struct masu_error *err);
void log_close(struct log *log);

/*
 * memcpy(3) for a line: what is a call of an instruction that is slow to begin in a small libc is
 * half the time of a record.
 */
static inline void log_copy(char *to, const char *from, size_t len)
{
	size_t done = 0;
	for (; len - done >= sizeof(uint64_t); done += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, from + done, sizeof(word));
		__asm__("" : "+r"(word)); /* or compilers make that call of the loop again */
		memcpy(to + done, &word, sizeof(word));
	}
	for (; done < len; done++)
		to[done] = from[done];
}

/* "2026-01-02T03:04:05.000000006Z"; remembers the last second, so one thread at a time. */
void log_time_text(uint64_t time, char ret[LOG_TIME_SIZE]);
uint64_t log_time_now(void);

/* ---- log_attrs.c ---- */

/*
 * The labels and variables of a container that its options choose, sorted by key and each once, as
 * docker's ExtraAttributes(); with @tag also "tag" where it is asked for. In the arena.
 */
int log_attrs_collect(struct arena *arena, const struct log_options *options,
		      const struct container *container, bool tag, struct oci_pair **ret,
		      size_t *ret_count, struct masu_error *err);
/* The tag, made of its template; @fallback is the template where there is none. */
int log_tag(struct arena *arena, const char *template, const char *fallback,
	    const struct container *container, const char **ret, struct masu_error *err);
/* Checks template and regular expressions without a container. */
int log_attrs_check(const struct log_options *options, struct masu_error *err);

/* ---- log_file.c: a file that rotates ---- */

int log_file_open(struct log *log, const struct container *container, struct masu_error *err);
/* Room for a record of at most @max bytes among those that wait for the flush. */
char *log_file_reserve(struct log *log, size_t max);
/* It is there and has @len bytes. */
void log_file_commit(struct log *log, size_t len);
void log_file_flush(struct log *log);
void log_file_rest(struct log *log);
/* What the log's file is called after @index rotations: "name", "name.1" … */
#define LOG_ROTATED_NAME_MAX 112
const char *log_rotated_name(const char *name, unsigned index, char ret[LOG_ROTATED_NAME_MAX]);
/* Which file of the log this is, counted from the first, which is 0; by this a reader knows how
 * many were rotated away before it got to them. 0 also where the filesystem cannot say. */
uint64_t log_file_generation(int fd);

/*
 * Where the last *lines lines of a file begin, which is read backwards by windows; *lines becomes
 * what it lacks. @find looks through one window, at whose ends the file may end, for records that
 * are whole in it: the offset where those lines begin, or 0, with *lines as many less and how far
 * back it went.
 */
#define LOG_TAIL_WINDOW (256u << 10) /* more than the longest record */
typedef size_t (*log_find_fn)(const char *window, size_t len, bool at_end, bool from_start,
			      int64_t *lines, size_t *ret_first);
int log_file_seek_tail(int fd, off_t size, log_find_fn find, int64_t *lines, off_t *ret);

/* ---- log_json.c ---- */

/* Escapes as docker's writer does. Writes at most 6 * @len bytes and a word of 8. */
char *log_json_escape(char *out, const char *data, size_t len);
