/*
 * The files of a log as one stream of records, oldest first, while somebody may be writing and
 * rotating them. The way from one file to the next is found by inode, never by name alone: a file
 * that is being read keeps its inode, and its successor is whatever stands in front of it.
 */
#pragma once

#include "engine/log_driver.h"

struct log_reader {
	int dir_fd; /* borrowed */
	char name[96];
	unsigned max_file;
	const struct log_codec *codec;
	int fd;		     /* the file that is being read, -1: none yet */
	uint64_t generation; /* of that file */
	uint64_t missing;    /* files that were gone before they were read; the caller resets it */
	size_t at, len;	     /* what is left of the buffer */
	char *buffer;
};

/* @dir_fd stays the caller's. -ENOMEM. */
int log_reader_open(struct log_reader *reader, int dir_fd, const char *name,
		    const struct log_options *options);
void log_reader_close(struct log_reader *reader);

/* Goes to where the last @lines lines begin; -1: to the oldest record. */
int log_reader_seek(struct log_reader *reader, int64_t lines);
/* The next record: 1. 0: nothing more is there now; what is no record has been passed over. */
int log_reader_next(struct log_reader *reader, struct log_entry *ret);
