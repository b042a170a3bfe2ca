/* The container's root at a path, for makers that cannot be given a mount by descriptor. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * In a process of its own, which is to become or start the maker: a mount namespace that follows
 * the host's, and in it the detached mount @rootfs_fd at @path, an empty directory that is made
 * where it is missing. Nobody else sees it, and it goes with the process.
 */
int root_attach(int rootfs_fd, const char *path, struct masu_error *err);

/*
 * What the bind mount @mount binds, as a detached tree with the attributes it is to have. Opened in
 * the mount namespace that the caller is in. @driver: its name, for what it cannot do.
 */
int root_source(const struct oci_mount *mount, const char *driver, int *ret_tree,
		struct masu_error *err);
