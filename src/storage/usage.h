/* How much a directory holds. */
#pragma once

#include <stdint.h>

/*
 * Sum of the sizes of the regular files below @name in @dirfd (a file with several names counts
 * once) and the number of files and directories, itself not counted. Never leaves the filesystem,
 * never follows a link.
 */
int storage_usage(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes);

/*
 * The same of a writable layer of overlay's, where files whose content is in a layer below count
 * nothing. Asks for extended attributes, which the unpacker's sandbox does not allow.
 */
int storage_usage_writable(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes);

/* What it takes on the disk, roughly: holes and directories as they are kept. */
int storage_usage_taken(int dirfd, const char *name, uint64_t *ret_taken);
