#include "base/fault.h"

#ifdef MASU_FAULTS
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

bool fault_allocation(void)
{
	static const char note[] = "fault: an allocation fails\n";
	static long left = -1;
	if (left < 0) {
		const char *number = getenv("MASU_TEST_FAIL_ALLOCATION");
		left = number ? atol(number) : 0;
	}
	if (left == 0 || --left > 0)
		return false;
	return write(STDERR_FILENO, note, sizeof(note) - 1) > 0;
}
#else
typedef int fault_is_for_debug_builds; /* ISO C wants a declaration in every file */
#endif
