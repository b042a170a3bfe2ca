/* What is in a directory, in an order that is the same each time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int fs_names(int fd, struct arena *arena, const char ***ret, size_t *ret_count)
{
	size_t count = 0, capacity = 64;
	const char **names = arena_array(arena, const char *, capacity);
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fd, ".");
	struct dirent *entry;
	if (!dir || !names)
		return !dir ? -errno : -ENOMEM;
	while ((errno = 0, entry = readdir(dir))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		if (count + 1 == capacity) {
			const char **grown = arena_array(arena, const char *, capacity * 2);
			if (!grown)
				return -ENOMEM;
			memcpy(grown, names, count * sizeof(*names));
			names = grown;
			capacity *= 2;
		}
		names[count] = arena_strdup(arena, entry->d_name);
		if (!names[count++])
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	qsort(names, count, sizeof(*names), by_name);
	names[count] = NULL;
	*ret = names;
	*ret_count = count;
	return 0;
}
