#include "storage/export.h"

#include "base/str.h"
#include "storage/copyups.h"

storage_exporter storage_exporter_of(const char *driver)
{
	return streq(driver, "overlay") ? overlay_export : NULL;
}

storage_copyups storage_copyups_of(const char *driver)
{
	return streq(driver, "overlay") ? overlay_copyups : NULL;
}
