/* What `docker cp` makes of its two paths; see the reference of docker's command. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "engine/copy.h"

/* Lexically, as docker does: "a/../b" is "b", whatever "a" is. */
static void append_clean(char *clean, size_t *used, const char *path)
{
	while (*path) {
		size_t part = strcspn(path, "/");
		bool up = part == 2 && path[0] == '.' && path[1] == '.';
		if (up) {
			while (*used > 0 && clean[--*used] != '/')
				;
		} else if (part && !(part == 1 && path[0] == '.')) {
			clean[(*used)++] = '/';
			memcpy(clean + *used, path, part);
			*used += part;
		}
		path += part + (path[part] == '/');
	}
}

int copy_path_parse(struct arena *arena, const char *text, const char *base, struct copy_path *ret)
{
	size_t len = strlen(text), used = 0;
	if (len + strlen(base) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	char *clean = arena_alloc(arena, len + strlen(base) + 3);
	if (!clean)
		return -ENOMEM;
	if (*text != '/')
		append_clean(clean, &used, base);
	append_clean(clean, &used, text);
	const char *name = clean;
	if (used == 0)
		clean[used++] = '/';
	clean[used] = '\0';
	name = strrchr(clean, '/') + 1;
	bool contents = streq(text, ".") || str_ends_with(text, "/.");
	*ret = (struct copy_path) {
		.clean = clean,
		.name = name,
		.is_directory = contents || str_ends_with(text, "/"),
		.contents = contents,
	};
	return 0;
}

int copy_decide(const struct copy_path *source, bool source_is_directory,
		const struct copy_path *destination, bool exists, bool destination_is_directory,
		struct copy_plan *ret, struct masu_error *err)
{
	if (source->is_directory && !source_is_directory)
		return error_set(err, -ENOTDIR, "%.300s: not a directory", source->clean);
	if (exists && destination_is_directory) {
		*ret = (struct copy_plan) { true, source->contents ? "" : source->name };
		return 0;
	}
	if (exists && source_is_directory)
		return error_set(err, -ENOTDIR,
				 "cannot copy directory \"%.300s\" to file \"%.300s\"",
				 source->clean, destination->clean);
	if (exists && destination->is_directory)
		return error_set(err, -ENOTDIR, "%.300s: not a directory", destination->clean);
	if (!source_is_directory && destination->is_directory)
		return error_set(err, -ENOENT, "%.300s: no such directory", destination->clean);
	*ret = (struct copy_plan) { false, destination->name };
	return 0;
}
