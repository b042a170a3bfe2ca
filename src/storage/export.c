#include "storage/export.h"

#include "base/str.h"
#include "storage/copyups.h"

storage_exporter storage_exporter_of(const char *driver)
{
	static const struct {
		const char *driver;
		storage_exporter exporter;
	} exporters[] = {
		{ "overlay", overlay_export },
#ifndef MASU_HOT
		{ "aufs", aufs_export },
		{ "btrfs", whole_export },
		{ "devicemapper", whole_export },
		{ "erofs", overlay_export },
		{ "fuse-overlayfs", overlay_export },
		{ "vfs", whole_export },
#endif
	};
	for (size_t i = 0; i < ARRAY_SIZE(exporters); i++)
		if (streq(exporters[i].driver, driver))
			return exporters[i].exporter;
	return NULL;
}

storage_copyups storage_copyups_of(const char *driver)
{
	return storage_exporter_of(driver) == overlay_export ? overlay_copyups : NULL;
}
