/*
 * A tar archive as the sink of a tree: PAX (POSIX.1-2017 pax(1)), so that long names, times with
 * nanoseconds and extended attributes (SCHILY.xattr.*) stay what they are; files with holes in
 * GNU's sparse format 1.0.
 */
#pragma once

#include "tree/tree.h"

struct tar_writer;

/* @fd stays the caller's. */
int tar_writer_new(int fd, struct tar_writer **ret, struct masu_error *err);
struct tree_sink *tar_writer_sink(struct tar_writer *writer);
void tar_writer_free(struct tar_writer *writer);
static inline void tar_writer_cleanup(struct tar_writer **writer)
{
	if (*writer)
		tar_writer_free(*writer);
}
#define _cleanup_tar_writer_ __attribute__((cleanup(tar_writer_cleanup)))
