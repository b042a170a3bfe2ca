/* What `masu storage bench` measures below a directory. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct measured {
	double write, read; /* MB/s of one file, written with an fsync and read from the disk */
	double random_read, fsync; /* 4 KiB operations a second, from the disk and to it */
	double storm;  /* files a second that are found, looked at, opened and read from */
	double append; /* ms of the first byte appended to the biggest file */
	uint64_t files, biggest; /* of the tree, and bytes of its biggest file */
};

/*
 * A container's root as the kernel alone makes it: an overlay mount of the directories in @lower
 * (topmost first, separated by colons) and two that are made in directory @dir, which is unmounted
 * at once.
 */
int storage_kernel_root(int dir, const char *lower);

/* Below directory @fd, which has the files of an image; makes and removes a file of @size bytes. */
int storage_measure(int fd, uint64_t size, struct measured *ret, struct masu_error *err);
