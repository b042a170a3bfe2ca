#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/cni/cni.h"
#include "sys/fs.h"

#define DIRECTORY "/etc/cni/net.d"

static const char *directory(void)
{
	const char *path = getenv("NETCONFPATH");
	return path && *path ? path : DIRECTORY;
}

static bool is_config(const char *name)
{
	return name[0] != '.' && (str_ends_with(name, ".conflist") ||
				  str_ends_with(name, ".conf") || str_ends_with(name, ".json"));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A single plugin's file as a list of one. */
static const struct json *as_list(struct arena *arena, const struct json *document)
{
	struct json_builder list, plugins;
	const char *text;
	if (json_get(document, "plugins"))
		return document;
	json_builder_init(&list, arena, JSON_OBJECT);
	if (json_string(json_get(document, "cniVersion"), &text))
		json_build_string(&list, "cniVersion", text);
	if (json_string(json_get(document, "name"), &text))
		json_build_string(&list, "name", text);
	struct json *array = json_build(&list, "plugins", JSON_ARRAY);
	if (!array)
		return NULL;
	plugins = (struct json_builder) { arena, array, &array->child };
	struct json *copy = json_build(&plugins, NULL, JSON_OBJECT);
	if (!copy)
		return NULL;
	copy->child = document->child;
	copy->count = document->count;
	return list.value;
}

/* 1: that is the network. */
static int read_one(struct arena *arena, int dir, const char *file, const char *name,
		    const struct json **ret, struct masu_error *err)
{
	const struct json *document;
	const char *found;
	char *text;
	size_t len;
	int r = fs_read_arena(dir, file, CNI_CONFIG_MAX, arena, &text, &len);
	if (r < 0)
		return error_errno(err, r, "%s/%s", directory(), file);
	/* Somebody else's mistake must not hide the others. */
	if (json_parse(arena, text, len, &document, err) < 0) {
		error_clear(err);
		return 0;
	}
	if (!json_string(json_get(document, "name"), &found) || !streq(found, name))
		return 0;
	*ret = as_list(arena, document);
	return *ret ? 1 : error_set(err, -ENOMEM, "out of memory");
}

static int check_list(const struct json *config, const char *name, struct masu_error *err)
{
	static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", NULL };
	const struct json *plugins = json_get(config, "plugins");
	const char *text;
	if (!json_string(json_get(config, "cniVersion"), &text) || !strv_contains(versions, text))
		return error_set(
			err, -ENOTSUP,
			"CNI network %s: its cniVersion is none of 0.3.0, 0.3.1, 0.4.0 and "
			"1.0.0",
			name);
	if (!plugins || plugins->type != JSON_ARRAY || !plugins->count ||
	    plugins->count > CNI_PLUGINS_MAX)
		return error_set(err, -EINVAL, "CNI network %s: it has no plugins, or more than %d",
				 name, CNI_PLUGINS_MAX);
	json_foreach (plugin, plugins)
		if (!json_string(json_get(plugin, "type"), &text) || !*text || strchr(text, '/') ||
		    text[0] == '.')
			return error_set(err, -EINVAL,
					 "CNI network %s: a plugin without a valid type", name);
	return 0;
}

int cni_config_find(struct arena *arena, const char *name, const struct json **ret,
		    struct masu_error *err)
{
	_cleanup_closedir_ DIR *dir = opendir(directory());
	const char **files = arena_array(arena, const char *, CNI_FILES_MAX);
	size_t count = 0;
	struct dirent *entry;
	int r = 0;
	if (!files)
		return error_set(err, -ENOMEM, "out of memory");
	while (dir && count < CNI_FILES_MAX && (entry = readdir(dir)))
		if (is_config(entry->d_name) &&
		    !(files[count++] = arena_strdup(arena, entry->d_name)))
			return error_set(err, -ENOMEM, "out of memory");
	qsort(files, count, sizeof(*files), by_name);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_one(arena, dirfd(dir), files[i], name, ret, err);
	if (r < 0)
		return r;
	return r ? check_list(*ret, name, err)
		 : error_set(err, -ENOENT, "CNI network %s not found: no file of %s has that name",
			     name, directory());
}

bool cni_config_takes(const struct json *config, const char *capability)
{
	bool takes = false;
	json_foreach (plugin, json_get(config, "plugins"))
		if (!takes)
			json_bool(json_get(json_get(plugin, "capabilities"), capability), &takes);
	return takes;
}
