#include "cold/registry/libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/str.h"

#define LIBRARY "libcurl.so.4"

struct libcurl libcurl;

#define SYMBOL(name)                                                                               \
	{                                                                                          \
		"curl_" #name, &libcurl.name                                                       \
	}

static const struct {
	const char *name;
	void *slot;
} symbols[] = {
	SYMBOL(easy_cleanup),
	SYMBOL(easy_escape),
	SYMBOL(easy_getinfo),
	SYMBOL(easy_init),
	SYMBOL(easy_pause),
	SYMBOL(easy_setopt),
	SYMBOL(easy_strerror),
	SYMBOL(free),
	SYMBOL(global_init),
	SYMBOL(multi_add_handle),
	SYMBOL(multi_info_read),
	SYMBOL(multi_init),
	SYMBOL(multi_perform),
	SYMBOL(multi_poll),
	SYMBOL(multi_remove_handle),
	SYMBOL(multi_setopt),
	SYMBOL(slist_append),
	SYMBOL(slist_free_all),
	SYMBOL(url),
	SYMBOL(url_cleanup),
	SYMBOL(url_get),
	SYMBOL(url_set),
	SYMBOL(version_info),
};

int libcurl_load(struct masu_error *err)
{
	/* Debian's has GnuTLS with it, for RTMP alone, which sets itself up in a tenth of the time
	 * that all of them take (gnutls(3), "Initialization"). */
	setenv("GNUTLS_NO_IMPLICIT_INIT", "1", 1);
	void *opened = fault_allocation() ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!opened)
		return error_set(err, -ENOPKG,
				 "registries need " LIBRARY " (the Debian package libcurl4)");
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		/* POSIX has this cast work (dlsym(3)); the C standard does not know it. */
		*(void **)symbols[i].slot = dlsym(opened, symbols[i].name);
		if (!*(void **)symbols[i].slot)
			return error_set(err, -ENOPKG, LIBRARY ": has no %s", symbols[i].name);
	}
	return 0;
}
