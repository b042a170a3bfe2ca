#include "storage/export.h"

#include "base/str.h"

storage_exporter storage_exporter_of(const char *driver)
{
	return streq(driver, "overlay") ? overlay_export : NULL;
}
