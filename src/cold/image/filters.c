#include "cold/image/filters.h"

#include <dlfcn.h>
#include <errno.h>

#include "base/fault.h"
#include "base/str.h"

#define LIBRARY "libarchive.so.13"

static struct filters filters;
static void *library;

static const struct {
	const char *name;
	void *slot;
} symbols[] = {
	{ "archive_read_new", &filters.read_new },
	{ "archive_read_free", &filters.read_free },
	{ "archive_read_support_filter_xz", &filters.xz },
	{ "archive_read_support_filter_lzma", &filters.lzma },
	{ "archive_read_support_filter_bzip2", &filters.bzip2 },
	{ "archive_read_support_filter_lz4", &filters.lz4 },
	{ "archive_read_support_format_raw", &filters.raw },
	{ "archive_read_open", &filters.open },
	{ "archive_read_next_header", &filters.next_header },
	{ "archive_read_data_block", &filters.data_block },
	{ "archive_error_string", &filters.error_string },
	{ "archive_set_error", &filters.set_error },
};

int filters_load(const struct filters **ret, struct masu_error *err)
{
	if (!library) {
		void *opened = fault_allocation() ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
		if (!opened)
			return error_set(err, -ENOPKG,
					 "xz, bzip2, lzma and lz4 need " LIBRARY
					 " (the Debian package libarchive13)");
		for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
			/* POSIX has this cast work (dlsym(3)); the C standard does not know it. */
			*(void **)symbols[i].slot = dlsym(opened, symbols[i].name);
			if (!*(void **)symbols[i].slot) {
				dlclose(opened);
				return error_set(err, -ENOPKG, LIBRARY ": has no %s",
						 symbols[i].name);
			}
		}
		library = opened;
	}
	*ret = &filters;
	return 0;
}
