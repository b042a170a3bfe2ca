#include "base/fault.h"

#ifdef MASU_FAULTS
#include <stdlib.h>
#include <string.h>

bool fault_without(const char *defence)
{
	const char *list = getenv("MASU_TEST_WITHOUT");
	size_t len = strlen(defence);
	while (list && *list) {
		size_t item = strcspn(list, ",");
		if (item == len && memcmp(list, defence, len) == 0)
			return true;
		list += item;
		list += *list == ',';
	}
	return false;
}
#else
typedef int fault_is_for_debug_builds; /* ISO C wants a declaration in every file */
#endif
