/*
 * The indexer: the writer of a layer that is kept as its tar. It makes no files; from the decoder's
 * frames it builds the tree that the writer (writer.h) would have made, and writes that down as an
 * EROFS index. Runs in its own process after sandbox_indexer(): it can read its input and the tar,
 * write to the index and the marks, and take memory.
 */
#pragma once

#include <time.h>

#include "cold/image/decoder.h"

struct index_job {
	int in;		     /* frames, until FRAME_DONE */
	int index_fd;	     /* empty */
	int tar_fd;	     /* whole when FRAME_DONE comes */
	int marks_fd;	     /* for erofs_write() */
	uint8_t random[16];  /* seeds the tree and is the filesystem's UUID */
	struct timespec now; /* reading clocks may be a system call, which is forbidden */
};

int index_layer(const struct index_job *job, struct worker_report *report, struct masu_error *err);
