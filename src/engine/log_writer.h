/*
 * The container's log in the format of Docker's json-file driver: one JSON object a line,
 * {"log":"text\n","stream":"stdout","time":"RFC 3339"}; a line of output longer than
 * LOG_LINE_MAX becomes several records, only the last of which ends in \n.
 *
 * Never fails towards the container: what cannot be written (disk full) is counted and dropped.
 * Unlike docker's default it is bounded: max-size 10m, max-file 3.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

#define LOG_LINE_MAX 16384

struct log_options {
	uint64_t max_size; /* bytes, 0: no bound */
	unsigned max_file; /* files in all, at least 1 */
};

/* Checks driver and options by name; driver NULL is json-file. */
int log_options_parse(const char *driver, const struct oci_pair *options, size_t count,
		      struct log_options *ret, struct masu_error *err);

struct log_stream {
	char line[LOG_LINE_MAX]; /* the unfinished line */
	size_t len;
};

struct log_writer {
	int dir_fd;    /* the container's directory; borrowed */
	char name[80]; /* "<id>-json.log" */
	int fd;	       /* -1: driver "none" */
	uint64_t size;
	struct log_options options;
	uint64_t dropped; /* records */
};

/* Opens or goes on with the log. @enabled false: everything is dropped silently. */
int log_writer_open(struct log_writer *writer, int dir_fd, const char *id, bool enabled,
		    const struct log_options *options, struct masu_error *err);
/* Output of stream 1 or 2. One write(2) for all records of one call, as far as they fit a buffer.
 */
void log_writer_put(struct log_writer *writer, struct log_stream *stream, int number,
		    const char *data, size_t len);
/* Writes unfinished lines; at the end of the container. */
void log_writer_finish(struct log_writer *writer, struct log_stream *stream, int number);
void log_writer_close(struct log_writer *writer);
/* Gives the memory of the buffer back, until it is needed again. */
void log_writer_trim(void);

/* One record as it is in the file; @ret must hold LOG_RECORD_MAX bytes. Returns its length. */
#define LOG_RECORD_MAX (LOG_LINE_MAX * 6 + 128)
size_t log_record_format(char *ret, int number, const char *data, size_t len, const char *time);
