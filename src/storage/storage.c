/* The table of drivers. */
#include "storage/storage.h"

#include "base/str.h"
#include "storage/drivers.h"

static const struct storage_ops *const drivers[] = {
	&overlay_ops,
};

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
