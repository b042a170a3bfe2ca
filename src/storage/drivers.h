/* The drivers, for the table in storage.c. */
#pragma once

#include "storage/storage.h"

extern const struct storage_ops aufs_ops;
extern const struct storage_ops btrfs_ops;
extern const struct storage_ops devicemapper_ops;
extern const struct storage_ops erofs_ops;
extern const struct storage_ops fuse_overlayfs_ops;
extern const struct storage_ops overlay_ops;
extern const struct storage_ops vfs_ops;
