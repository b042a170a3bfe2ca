/* The container's root at a path, for makers that cannot be given a mount by descriptor. */
#pragma once

#include "base/error.h"

/*
 * In a process of its own, which is to become or start the maker: a mount namespace that follows
 * the host's, and in it the detached mount @rootfs_fd at @path, an empty directory that is made
 * where it is missing. Nobody else sees it, and it goes with the process.
 */
int root_attach(int rootfs_fd, const char *path, struct masu_error *err);
