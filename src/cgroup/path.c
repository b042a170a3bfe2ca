/* linux.cgroupsPath: what it may say and which group it names. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/internal.h"

#define PATH_LIMIT (PATH_MAX - 256) /* leaves room for the mount point and a file's name */

int path_clean(struct arena *arena, const char *path, const char **ret, struct masu_error *err)
{
	size_t len = strlen(path);
	if (len > PATH_LIMIT)
		return error_set(err, -ENAMETOOLONG, "cgroup path of %zu bytes is too long", len);
	char *out = arena_alloc(arena, len + 2), *to = out;
	if (!out)
		return error_set(err, -ENOMEM, "out of memory");
	for (const char *p = path; *p;) {
		p += strspn(p, "/");
		size_t part = strcspn(p, "/");
		if (part == 0 || (part == 1 && p[0] == '.')) {
			p += part;
			continue;
		}
		if (part == 2 && p[0] == '.' && p[1] == '.')
			return error_set(err, -EINVAL, "cgroup path \"%s\": \"..\" is refused",
					 path);
		if (part > NAME_MAX)
			return error_set(
				err, -ENAMETOOLONG,
				"cgroup path \"%.40s…\": a component is longer than %d bytes", path,
				NAME_MAX);
		if (memchr(p, '\n', part))
			return error_set(err, -EINVAL, "cgroup path with a newline is refused");
		*to++ = '/';
		memcpy(to, p, part);
		to += part;
		p += part;
	}
	*to = '\0';
	if (to == out)
		return error_set(err, -EINVAL,
				 "cgroup path \"%s\" is the root group; name one below it", path);
	*ret = out;
	return 0;
}

int path_join(struct arena *arena, const char *base, const char *path, const char **ret,
	      struct masu_error *err)
{
	const char *joined = arena_printf(arena, "%s/%s", base, path);
	if (!joined)
		return error_set(err, -ENOMEM, "out of memory");
	return path_clean(arena, joined, ret, err);
}

int path_slice(struct arena *arena, const char *slice, const char **ret, struct masu_error *err)
{
	size_t len = strlen(slice);
	if (!str_ends_with(slice, ".slice") || len == strlen(".slice") || strchr(slice, '/') ||
	    len > NAME_MAX)
		return error_set(err, -EINVAL, "systemd slice \"%s\": not a slice name", slice);
	size_t stem = len - strlen(".slice");
	if (stem == 1 && slice[0] == '-') {
		*ret = "";
		return 0;
	}
	/* systemd.slice(5): the dashes spell the hierarchy. */
	const char *path = "";
	for (size_t at = 0, start = 0; at <= stem; at++) {
		if (at < stem && slice[at] != '-')
			continue;
		if (at == start)
			return error_set(err, -EINVAL, "systemd slice \"%s\": an empty part",
					 slice);
		path = arena_printf(arena, "%s/%.*s.slice", path, (int)at, slice);
		if (!path)
			return error_set(err, -ENOMEM, "out of memory");
		start = at + 1;
	}
	*ret = path;
	return 0;
}

int path_systemd(struct arena *arena, const char *spec, const char *id, bool rootless,
		 const char **ret_unit, const char **ret_slice, const char **ret_path,
		 struct masu_error *err)
{
	const char *slice = rootless ? "user.slice" : "system.slice", *prefix = "masu", *name = id;
	if (spec && *spec) {
		const char *first = strchr(spec, ':');
		const char *second = first ? strchr(first + 1, ':') : NULL;
		if (!second || strchr(second + 1, ':'))
			return error_set(err, -EINVAL,
					 "cgroup path \"%s\": with the systemd manager it must be "
					 "\"slice:prefix:name\"",
					 spec);
		if (first != spec)
			slice = arena_strndup(arena, spec, (size_t)(first - spec));
		prefix = arena_strndup(arena, first + 1, (size_t)(second - first - 1));
		name = second + 1;
		if (!slice || !prefix)
			return error_set(err, -ENOMEM, "out of memory");
	}
	if (!*name || strchr(name, '/') || strchr(prefix, '/'))
		return error_set(err, -EINVAL, "cgroup path \"%s\": not a unit name",
				 spec ? spec : id);
	const char *unit = str_ends_with(name, ".slice") ? arena_strdup(arena, name)
			   : *prefix ? arena_printf(arena, "%s-%s.scope", prefix, name)
				     : arena_printf(arena, "%s.scope", name);
	const char *slice_path;
	int r = path_slice(arena, slice, &slice_path, err);
	if (r < 0)
		return r;
	if (unit && strlen(unit) > NAME_MAX)
		return error_set(err, -ENAMETOOLONG, "systemd unit name \"%.40s…\" is too long",
				 unit);
	const char *path = unit ? arena_printf(arena, "%s/%s", slice_path, unit) : NULL;
	if (!path)
		return error_set(err, -ENOMEM, "out of memory");
	*ret_unit = unit;
	*ret_slice = slice;
	*ret_path = path;
	return 0;
}
