/* Variables, labels and other KEY=VALUE lists, on the command line and in files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/parse.h"
#include "sys/fs.h"

#define LINE_FILE_MAX (1u << 20)

static int no_memory(struct masu_error *err)
{
	return error_set(err, -ENOMEM, "out of memory");
}

/* ---- line-delimited files ---- */

typedef int (*line_fn)(struct arena *arena, const char *name, const char *value,
		       struct cli_list *list);

/* True where the whole of @line is valid UTF-8. */
static bool is_utf8(const char *line)
{
	while (*line) {
		size_t len = (unsigned char)*line < 0x80 ? 1 : str_utf8_length(line, strlen(line));
		if (len == 0)
			return false;
		line += len;
	}
	return true;
}

static int bad_file(struct masu_error *err, const char *kind, const char *path, const char *what,
		    const char *detail)
{
	return error_set(err, -EINVAL, "invalid %s file (%.200s): %s%s%s%s", kind, path, what,
			 *detail ? " '" : "", detail, *detail ? "'" : "");
}

static int read_line(struct arena *arena, const char *kind, const char *path, char *line,
		     line_fn fn, struct cli_list *list, struct masu_error *err)
{
	size_t len = strlen(line);
	if (len && line[len - 1] == '\r')
		line[len - 1] = '\0';
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return 0;
	if (!is_utf8(line))
		return bad_file(err, kind, path, "contains invalid utf8 bytes", "");
	char *equals = strchr(line, '=');
	if (equals)
		*equals = '\0';
	if (!*line)
		return bad_file(err, kind, path, "no variable name on line", equals + 1);
	if (strpbrk(line, " \t"))
		return bad_file(err, kind, path, "contains whitespaces: variable", line);
	return fn(arena, line, equals ? equals + 1 : NULL, list) < 0 ? no_memory(err) : 0;
}

/* docker's format: NAME=VALUE or NAME a line, "#" begins a comment line, a BOM is skipped. */
static int read_lines(struct arena *arena, const char *kind, const char *path, line_fn fn,
		      struct cli_list *list, struct masu_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = fs_read_at(AT_FDCWD, path, LINE_FILE_MAX, &text);
	if (r < 0)
		return error_errno(err, r, "open %.200s", path);
	if (text.len && memchr(text.data, '\0', text.len))
		return bad_file(err, kind, path, "contains a NUL byte", "");
	char *copy = arena_strdup(arena, buf_str(&text));
	if (!copy)
		return no_memory(err);
	if (str_after(copy, "\xef\xbb\xbf"))
		copy += 3;
	while (copy && r == 0) {
		char *line = copy;
		copy = strchr(copy, '\n');
		if (copy)
			*copy++ = '\0';
		r = read_line(arena, kind, path, line, fn, list, err);
	}
	return r;
}

/* ---- environment ---- */

static int add_variable(struct arena *arena, const char *name, const char *value,
			struct cli_list *list)
{
	char *variable = arena_printf(arena, "%s=%s", name, value);
	return variable ? cli_list_add(arena, list, variable) : -ENOMEM;
}

static int environment_line(struct arena *arena, const char *name, const char *value,
			    struct cli_list *list)
{
	if (!value)
		value = getenv(name);
	return value ? add_variable(arena, name, value, list) : 0;
}

int parse_environment(struct arena *arena, const struct cli_list *files,
		      const struct cli_list *values, char ***ret, struct masu_error *err)
{
	struct cli_list env = { 0 };
	int r = 0;
	for (size_t i = 0; i < files->count && r == 0; i++)
		r = read_lines(arena, "env", files->items[i], environment_line, &env, err);
	for (size_t i = 0; i < values->count && r == 0; i++) {
		const char *value = values->items[i];
		if (!*value || *value == '=')
			return parse_refuse(err, "-e, --env", value,
					    "invalid environment variable: %.200s", value);
		const char *inherited = strchr(value, '=') ? NULL : getenv(value);
		r = inherited ? add_variable(arena, value, inherited, &env)
			      : cli_list_add(arena, &env, value);
		if (r < 0)
			return no_memory(err);
	}
	if (r == 0)
		*ret = (char **)env.items;
	return r;
}

/* ---- pairs ---- */

struct ordered_pair {
	struct oci_pair pair;
	size_t index;
};

static int compare_pairs(const void *a, const void *b)
{
	const struct ordered_pair *x = a, *y = b;
	int order = strcmp(x->pair.key, y->pair.key);
	return order ? order : x->index < y->index ? -1 : 1;
}

/* NAME[=VALUE] strings as pairs, sorted by name as docker shows them; the last of equals stays. */
static int to_pairs(struct arena *arena, const struct cli_list *list, struct oci_pair **ret,
		    size_t *ret_count)
{
	struct ordered_pair *sorted = arena_array(arena, struct ordered_pair, list->count + 1);
	struct oci_pair *pairs = arena_array(arena, struct oci_pair, list->count + 1);
	size_t count = 0;
	if (!sorted || !pairs)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		const char *item = list->items[i], *equals = strchr(item, '=');
		sorted[i].index = i;
		sorted[i].pair.value = equals ? equals + 1 : "";
		sorted[i].pair.key =
			equals ? arena_strndup(arena, item, (size_t)(equals - item)) : item;
		if (!sorted[i].pair.key)
			return -ENOMEM;
	}
	qsort(sorted, list->count, sizeof(*sorted), compare_pairs);
	for (size_t i = 0; i < list->count; i++)
		if (i + 1 == list->count || !streq(sorted[i].pair.key, sorted[i + 1].pair.key))
			pairs[count++] = sorted[i].pair;
	*ret = pairs;
	*ret_count = count;
	return 0;
}

static int label_line(struct arena *arena, const char *name, const char *value,
		      struct cli_list *list)
{
	return add_variable(arena, name, value ? value : "", list);
}

int parse_labels(struct arena *arena, const struct cli_list *files, const struct cli_list *values,
		 struct oci_pair **ret, size_t *ret_count, struct masu_error *err)
{
	struct cli_list labels = { 0 };
	int r = 0;
	for (size_t i = 0; i < files->count && r == 0; i++)
		r = read_lines(arena, "label", files->items[i], label_line, &labels, err);
	for (size_t i = 0; i < values->count && r == 0; i++) {
		const char *value = values->items[i];
		if (!*value || *value == '=')
			return parse_refuse(err, "-l, --label", value,
					    "invalid label '%.200s': empty name", value);
		r = cli_list_add(arena, &labels, value);
	}
	if (r == 0)
		r = to_pairs(arena, &labels, ret, ret_count);
	return r == -ENOMEM ? no_memory(err) : r;
}

int parse_pairs(struct arena *arena, const char *flag, const struct cli_list *values,
		struct oci_pair **ret, size_t *ret_count, struct masu_error *err)
{
	for (size_t i = 0; i < values->count; i++) {
		const char *value = values->items[i];
		if (*value == '=' || !strchr(value, '='))
			return parse_refuse(err, flag, value, "must be formatted as key=value");
	}
	return to_pairs(arena, values, ret, ret_count) < 0 ? no_memory(err) : 0;
}

static bool sysctl_allowed(const char *setting)
{
	static const char *const names[] = {
		"kernel.msgmax=", "kernel.msgmnb=", "kernel.msgmni=", "kernel.sem=",
		"kernel.shmall=", "kernel.shmmax=", "kernel.shmmni=", "kernel.shm_rmid_forced=",
	};
	if (!strchr(setting, '='))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_after(setting, names[i]))
			return true;
	return str_after(setting, "net.") || str_after(setting, "fs.mqueue.");
}

int parse_sysctls(struct arena *arena, const struct cli_list *values, struct oci_pair **ret,
		  size_t *ret_count, struct masu_error *err)
{
	for (size_t i = 0; i < values->count; i++)
		if (!sysctl_allowed(values->items[i]))
			return parse_refuse(err, "--sysctl", values->items[i],
					    "sysctl '%.200s' is not allowed", values->items[i]);
	return to_pairs(arena, values, ret, ret_count) < 0 ? no_memory(err) : 0;
}
