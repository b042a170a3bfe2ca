/* `masu images`: what is in the image store. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/images.h"
#include "image/image.h"
#include "json/json.h"
#include "state/record.h"

struct images_options {
	bool all, digests, no_trunc, quiet;
	const char *format;
};

static const struct cli_option options[] = {
	CLI_OPT(struct images_options, all, "all", 'a', CLI_BOOL, NULL,
		"Show all images (masu has no intermediate ones)"),
	CLI_OPT(struct images_options, digests, "digests", 0, CLI_BOOL, NULL, "Show digests"),
	CLI_OPT(struct images_options, format, "format", 0, CLI_STRING, "string",
		"Output as 'table' (default) or 'json', one document a line"),
	CLI_OPT(struct images_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Don't truncate output"),
	CLI_OPT(struct images_options, quiet, "quiet", 'q', CLI_BOOL, NULL, "Only show image IDs"),
};

static bool parse_full(struct arena *arena, const char *reference, struct image_reference *ret)
{
	return reference && image_reference_parse(arena, reference, ret, NULL) == 0;
}

const char *image_shown_repository(struct arena *arena, const char *reference)
{
	struct image_reference parsed;
	const char *text = parse_full(arena, reference, &parsed)
				   ? image_reference_familiar(arena, &parsed)
				   : NULL;
	return text ? text : "<none>";
}

const char *image_shown_tag(struct arena *arena, const char *reference)
{
	struct image_reference parsed;
	return parse_full(arena, reference, &parsed) && parsed.tag ? parsed.tag : "<none>";
}

/* One line of output, in docker's words. */
struct row {
	const char *id, *repository, *tag, *digest, *created_at, *created_since, *size;
};

static const char *shown_id(struct arena *arena, const struct image *image, bool whole)
{
	return whole ? image->id : arena_printf(arena, "%.12s", image->id + strlen("sha256:"));
}

static int make_row(struct arena *arena, const struct image *image, const struct images_options *o,
		    struct row *ret)
{
	char size[HUMAN_MAX], since[HUMAN_MAX];
	int64_t created;
	const char *ago = "N/A";
	if (time_parse_rfc3339(image->created, &created) == 0)
		ago = arena_printf(arena, "%s ago", human_duration(time(NULL) - created, since));
	*ret = (struct row) {
		.id = shown_id(arena, image, o->no_trunc),
		.repository = image_shown_repository(arena, image->reference),
		.tag = image_shown_tag(arena, image->reference),
		.digest = image->manifest_digest,
		.created_at = image->created,
		.created_since = ago,
		.size = arena_strdup(arena, human_size(image->size, size)),
	};
	return ret->id && ret->created_since && ret->size ? 0 : -ENOMEM;
}

static void print_json(const struct row *row)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, 0);
	json_writer_init(&w, &out, false);
	json_begin_object(&w);
	json_field_string(&w, "CreatedAt", row->created_at);
	json_field_string(&w, "CreatedSince", row->created_since);
	json_field_string(&w, "Digest", row->digest);
	json_field_string(&w, "ID", row->id);
	json_field_string(&w, "Repository", row->repository);
	json_field_string(&w, "Size", row->size);
	json_field_string(&w, "Tag", row->tag);
	json_end_object(&w);
	printf("%s\n", buf_str(&out));
}

static int add_table_row(struct table *table, const struct row *row, bool digests)
{
	const char *cells[7];
	size_t at = 0;
	cells[at++] = row->repository;
	cells[at++] = row->tag;
	if (digests)
		cells[at++] = row->digest;
	cells[at++] = row->id;
	cells[at++] = row->created_since;
	cells[at++] = row->size;
	return table_row(table, cells);
}

/* "busybox" shows all its tags, "busybox:local" one; a name that matches nothing shows nothing. */
static int wanted(struct arena *arena, const char *filter, const struct image *image, bool *ret,
		  struct masu_error *err)
{
	struct image_reference want, have;
	*ret = true;
	if (!filter)
		return 0;
	int r = image_reference_parse(arena, filter, &want, err);
	if (r < 0)
		return r;
	const char *slash = strrchr(filter, '/');
	bool any_tag = !strchr(slash ? slash : filter, ':');
	*ret = parse_full(arena, image->reference, &have) && streq(want.domain, have.domain) &&
	       streq(want.path, have.path) && (any_tag || streq_null(want.tag, have.tag));
	return 0;
}

static int print_images(struct arena *arena, const struct images_options *o, const char *filter,
			const struct image *images, size_t count, struct masu_error *err)
{
	static const char *const plain[] = { "REPOSITORY", "TAG",  "IMAGE ID",
					     "CREATED",	   "SIZE", NULL };
	static const char *const with_digest[] = { "REPOSITORY", "TAG",	 "DIGEST", "IMAGE ID",
						   "CREATED",	 "SIZE", NULL };
	bool json = o->format && streq(o->format, "json");
	if (o->format && !json && !streq(o->format, "table"))
		return error_set(err, -EINVAL, "--format %s: only table and json are supported",
				 o->format);
	_cleanup_table_ struct table *table = table_new(o->digests ? with_digest : plain);
	if (!table)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct row row;
		bool shown;
		int r = wanted(arena, filter, &images[i], &shown, err);
		if (r < 0)
			return r;
		if (!shown)
			continue;
		r = make_row(arena, &images[i], o, &row);
		if (r == 0 && o->quiet)
			printf("%s\n", row.id);
		else if (r == 0 && json)
			print_json(&row);
		else if (r == 0)
			r = add_table_row(table, &row, o->digests);
		if (r < 0)
			return error_set(err, r, "out of memory");
	}
	if (!o->quiet && !json)
		table_print(table, stdout, 0);
	return 0;
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	struct image *images;
	size_t count;
	_cleanup_close_ int root_fd = -1;
	int r = state_open_root(context->root, &root_fd, err);
	if (r == 0)
		r = image_list(root_fd, context->arena, &images, &count, err);
	if (r == 0)
		r = print_images(context->arena, data, argc > 0 ? argv[0] : NULL, images, count,
				 err);
	return r;
}

#define IMAGES_COMMAND(command_name)                                                               \
	{                                                                                          \
		.name = command_name, .synopsis = "[OPTIONS] [REPOSITORY[:TAG]]",                  \
		.summary = "List images", .options = options, .option_count = ARRAY_SIZE(options), \
		.options_size = sizeof(struct images_options), CLI_MORE(run), .max_args = 1,       \
	}

const struct cli_command images_command = IMAGES_COMMAND("images");
const struct cli_command image_ls_command = IMAGES_COMMAND("ls");
