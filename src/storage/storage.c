/*
 * The table of drivers. The hot program has overlay alone: who finds that its root has another one
 * hands over to masu-more (cli/session.c).
 */
#include "storage/storage.h"

#include "base/str.h"
#include "storage/drivers.h"

/* clang-format off */
static const struct storage_ops *const drivers[] = {
	&overlay_ops,
#ifndef MASU_HOT
	&aufs_ops,
	&btrfs_ops,
	&devicemapper_ops,
	&erofs_ops,
	&fuse_overlayfs_ops,
	&vfs_ops,
#endif
};
/* clang-format on */

const struct storage_ops *storage_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (streq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

const char *const *storage_driver_names(void)
{
	static const char *names[ARRAY_SIZE(drivers) + 1];
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		names[i] = drivers[i]->name;
	return names;
}
