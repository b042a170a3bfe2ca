/* `masu image inspect` and `masu history`: what an image's documents say, in docker's form. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/images.h"
#include "image/store.h"
#include "json/json.h"
#include "state/record.h"

/* An image, its config document and all its names. */
struct inspected {
	struct image image;
	const struct json *config;
	const char **names; /* familiar forms, NULL-terminated */
};

static int read_config(int images_fd, struct arena *arena, const char *digest,
		       const struct json **ret, struct masu_error *err)
{
	const char *text;
	size_t len;
	int r = image_blob_read(images_fd, arena, digest, IMAGE_MAX_DOCUMENT, &text, &len, err);
	return r < 0 ? r : json_parse(arena, text, len, ret, err);
}

static int collect_names(struct arena *arena, const struct image_index *index, const char *digest,
			 const char ***ret)
{
	const char **names = arena_array(arena, const char *, index->count + 1);
	size_t count = 0;
	for (size_t i = 0; names && i < index->count; i++) {
		const struct image_entry *entry = &index->entries[i];
		struct image_reference reference;
		if (entry->reference && streq(entry->digest, digest) &&
		    image_reference_parse(arena, entry->reference, &reference, NULL) == 0)
			names[count++] = image_reference_familiar_full(arena, &reference);
	}
	*ret = names;
	return names ? 0 : -ENOMEM;
}

static int inspect(const char *root, struct arena *arena, const char *name, struct inspected *ret,
		   struct masu_error *err)
{
	struct image_index index;
	const struct image_entry *entry;
	_cleanup_close_ int root_fd = -1;
	int r = state_open_root(root, &root_fd, err);
	if (r < 0)
		return r;
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0)
		return error_errno(err, -errno, "images");
	r = image_index_load(images_fd, arena, &index, err);
	if (r == 0)
		r = image_index_find(images_fd, &index, name, &entry, err);
	if (r == 0)
		r = image_load(images_fd, arena, entry, &ret->image, NULL, err);
	if (r == 0)
		r = read_config(images_fd, arena, ret->image.id, &ret->config, err);
	if (r == 0 && collect_names(arena, &index, entry->digest, &ret->names) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

static void put_strings(struct json_writer *w, const char *key, const char *const *list)
{
	json_key(w, key);
	json_begin_array(w);
	for (; list && *list; list++)
		json_put_string(w, *list);
	json_end_array(w);
}

static void write_repo_digests(struct json_writer *w, struct arena *arena,
			       const struct inspected *i)
{
	json_key(w, "RepoDigests");
	json_begin_array(w);
	for (const char *const *name = i->names; *name; name++)
		json_put_string(w,
				arena_printf(arena, "%s@%s", image_shown_repository(arena, *name),
					     i->image.manifest_digest));
	json_end_array(w);
}

static void write_rootfs(struct json_writer *w, const struct image *image)
{
	json_key(w, "RootFS");
	json_begin_object(w);
	json_field_string(w, "Type", "layers");
	put_strings(w, "Layers", image->diff_ids);
	json_end_object(w);
}

static void write_inspect(struct json_writer *w, struct arena *arena, const struct inspected *i)
{
	const struct json *config = json_get(i->config, "config");
	const char *author = "";
	json_string(json_get(i->config, "author"), &author);
	json_begin_object(w);
	json_field_string(w, "Id", i->image.id);
	put_strings(w, "RepoTags", i->names);
	write_repo_digests(w, arena, i);
	json_field_string(w, "Created", i->image.created);
	json_field_string(w, "Author", author);
	json_key(w, "Config");
	if (config)
		json_put_value(w, config);
	else
		json_put_null(w);
	json_field_string(w, "Architecture", i->image.architecture);
	json_field_string(w, "Os", i->image.os);
	json_field_u64(w, "Size", i->image.size);
	write_rootfs(w, &i->image);
	json_end_object(w);
}

static int run_inspect(struct cli_context *context, void *data, int argc, char **argv,
		       struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	int status = 0;
	buf_init(&out, 0);
	json_writer_init(&w, &out, true);
	json_begin_array(&w);
	for (int i = 0; i < argc; i++) {
		struct inspected inspected;
		struct masu_error why = { 0 };
		if (inspect(context->root, context->arena, argv[i], &inspected, &why) == 0) {
			write_inspect(&w, context->arena, &inspected);
			continue;
		}
		fprintf(stderr, "masu: %s\n", why.message);
		status = 1;
	}
	json_end_array(&w);
	if (buf_error(&out) < 0)
		return error_errno(err, buf_error(&out), "inspect");
	fputs(buf_str(&out), stdout);
	if (!str_ends_with(buf_str(&out), "\n"))
		putchar('\n');
	return status;
}

const struct cli_command image_inspect_command = {
	.name = "inspect",
	.synopsis = "IMAGE [IMAGE...]",
	.summary = "Display detailed information on one or more images",
	.run = run_inspect,
	.min_args = 1,
	.max_args = -1,
};

struct history_options {
	bool no_trunc;
};

static const struct cli_option history_options[] = {
	CLI_OPT(struct history_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Don't truncate output"),
};

static int history_row(struct arena *arena, struct table *table, const struct json *item,
		       bool no_trunc)
{
	const char *created = "", *by = "", *comment = "";
	char since[HUMAN_MAX];
	int64_t seconds;
	json_string(json_get(item, "created"), &created);
	json_string(json_get(item, "created_by"), &by);
	json_string(json_get(item, "comment"), &comment);
	const char *ago = "N/A";
	if (time_parse_rfc3339(created, &seconds) == 0)
		ago = arena_printf(arena, "%s ago", human_duration(time(NULL) - seconds, since));
	if (!no_trunc && strlen(by) > 45)
		by = arena_printf(arena, "%.44s…", by);
	const char *cells[] = { ago, by, comment, NULL };
	return ago && by ? table_row(table, cells) : -ENOMEM;
}

/* Newest first, as docker shows it. */
static int run_history(struct cli_context *context, void *data, int argc, char **argv,
		       struct masu_error *err)
{
	static const char *const headings[] = { "CREATED", "CREATED BY", "COMMENT", NULL };
	const struct history_options *o = data;
	struct arena *arena = context->arena;
	struct inspected inspected;
	int r = inspect(context->root, arena, argv[0], &inspected, err);
	if (r < 0)
		return r;
	const struct json *history = json_get(inspected.config, "history");
	size_t count = history ? history->count : 0, at = count;
	const struct json **items = arena_array(arena, const struct json *, count + 1);
	_cleanup_table_ struct table *table = table_new(headings);
	if (!items || !table)
		return error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, history) {
		items[--at] = item;
	}
	for (size_t i = 0; i < count; i++)
		if (history_row(arena, table, items[i], o->no_trunc) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	table_print(table, stdout, 0);
	return 0;
}

const struct cli_command history_command = {
	.name = "history",
	.synopsis = "[OPTIONS] IMAGE",
	.summary = "Show the history of an image",
	.options = history_options,
	.option_count = ARRAY_SIZE(history_options),
	.options_size = sizeof(struct history_options),
	.run = run_history,
	.min_args = 1,
	.max_args = 1,
};
