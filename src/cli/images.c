/* `masu images`: what is in the image store. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/images.h"
#include "image/image.h"
#include "json/json.h"
#include "state/record.h"

struct images_options {
	bool all, digests, no_trunc, quiet;
	const char *format;
	struct cli_list filter;
};

static const struct cli_option options[] = {
	CLI_OPT(struct images_options, all, "all", 'a', CLI_BOOL, NULL,
		"Show all images (masu has no intermediate ones)"),
	CLI_OPT(struct images_options, digests, "digests", 0, CLI_BOOL, NULL, "Show digests"),
	CLI_OPT(struct images_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Filter output based on conditions provided"),
	CLI_OPT(struct images_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
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

static const struct format_heading headings[] = {
	{ "Containers", "CONTAINERS" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedSince", "CREATED" },
	{ "Digest", "DIGEST" },
	{ "ID", "IMAGE ID" },
	{ "Repository", "REPOSITORY" },
	{ "SharedSize", "SHARED SIZE" },
	{ "Size", "SIZE" },
	{ "Tag", "TAG" },
	{ "UniqueSize", "UNIQUE SIZE" },
	{ "VirtualSize", "SIZE" },
	{ 0 },
};

/* "2024-01-31 12:00:00 +0000 UTC" */
static const char *local_time(struct arena *arena, int64_t seconds)
{
	char text[64];
	time_t when = (time_t)seconds;
	struct tm tm;
	if (!localtime_r(&when, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm) == 0)
		return "";
	return arena_strdup(arena, text);
}

/* What templates see of an image, in docker's words. */
static const struct json *make_row(struct arena *arena, const struct image *image,
				   const struct images_options *o)
{
	char size[HUMAN_MAX], since[HUMAN_MAX];
	struct json_builder row;
	int64_t created;
	const char *at = "", *ago = "N/A";
	if (time_parse_rfc3339(image->created, &created) == 0) {
		at = local_time(arena, created);
		ago = arena_printf(arena, "%s ago", human_duration(time(NULL) - created, since));
	}
	const char *bytes = arena_strdup(arena, human_size(image->size, size));
	const char *id = o->no_trunc ? image->id
				     : arena_printf(arena, "%.12s", image->id + strlen("sha256:"));
	json_builder_init(&row, arena, JSON_OBJECT);
	json_build_string(&row, "Containers", "N/A");
	json_build_string(&row, "CreatedAt", at);
	json_build_string(&row, "CreatedSince", ago);
	json_build_string(&row, "Digest", image->remote_digest);
	json_build_string(&row, "ID", id);
	json_build_string(&row, "Repository", image_shown_repository(arena, image->reference));
	json_build_string(&row, "SharedSize", "N/A");
	json_build_string(&row, "Size", bytes);
	json_build_string(&row, "Tag", image_shown_tag(arena, image->reference));
	json_build_string(&row, "UniqueSize", "N/A");
	json_build_string(&row, "VirtualSize", bytes);
	return row.value;
}

/* ---- filters ---- */

static const char *const filter_names[] = { "before", "dangling", "label", "reference", "since" };

/* Docker's pattern: of the repository, or of it with its tag. */
static bool reference_matches(struct arena *arena, const struct image *image, const char *pattern)
{
	struct image_reference parsed;
	if (!image->reference || image_reference_parse(arena, image->reference, &parsed, NULL) < 0)
		return false;
	const char *name = image_reference_familiar(arena, &parsed);
	const char *full = image_reference_familiar_full(arena, &parsed);
	return (name && fnmatch(pattern, name, FNM_PATHNAME) == 0) ||
	       (full && fnmatch(pattern, full, FNM_PATHNAME) == 0);
}

static bool label_matches(const struct image *image, const char *wanted)
{
	size_t len = strcspn(wanted, "=");
	for (size_t i = 0; i < image->config.label_count; i++)
		if (strlen(image->config.labels[i].key) == len &&
		    memcmp(image->config.labels[i].key, wanted, len) == 0 &&
		    (!wanted[len] || streq(image->config.labels[i].value, wanted + len + 1)))
			return true;
	return false;
}

/* Newer or older than another image. */
static int order_matches(int root_fd, struct arena *arena, const struct image *image,
			 const char *other, bool since, bool *ret, struct masu_error *err)
{
	struct image found;
	int64_t created, bound;
	int r = image_find(root_fd, arena, other, &found, err);
	if (r < 0)
		return r;
	*ret = time_parse_rfc3339(image->created, &created) == 0 &&
	       time_parse_rfc3339(found.created, &bound) == 0 &&
	       (since ? created > bound : created < bound);
	return 0;
}

static int filter_matches(int root_fd, struct arena *arena, const struct image *image,
			  const char *key, const char *value, bool *ret, struct masu_error *err)
{
	if (streq(key, "dangling")) {
		if (!streq(value, "true") && !streq(value, "false") && !streq(value, "1") &&
		    !streq(value, "0"))
			return error_set(err, -EINVAL, "invalid filter 'dangling=%.100s'", value);
		*ret = (*value == 't' || *value == '1') == !image->reference;
	} else if (streq(key, "label")) {
		*ret = label_matches(image, value);
	} else if (streq(key, "reference")) {
		*ret = reference_matches(arena, image, value);
	} else {
		return order_matches(root_fd, arena, image, value, streq(key, "since"), ret, err);
	}
	return 0;
}

/* Several references: one is enough; all else must be true. */
static int filters_match(int root_fd, struct arena *arena, const struct cli_list *filters,
			 const struct image *image, bool *ret, struct masu_error *err)
{
	bool references = false, referenced = false;
	*ret = true;
	for (size_t i = 0; i < filters->count; i++) {
		const char *value = NULL, *key = NULL;
		bool matched;
		for (size_t k = 0; k < ARRAY_SIZE(filter_names) && !value; k++) {
			const char *rest = str_after(filters->items[i], filter_names[k]);
			if (rest && *rest == '=') {
				key = filter_names[k];
				value = rest + 1;
			}
		}
		if (!value)
			return error_set(err, -EINVAL, "invalid filter '%.100s'",
					 filters->items[i]);
		int r = filter_matches(root_fd, arena, image, key, value, &matched, err);
		if (r < 0)
			return r;
		if (streq(key, "reference")) {
			references = true;
			referenced |= matched;
		} else {
			*ret &= matched;
		}
	}
	*ret &= !references || referenced;
	return 0;
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

static int print_images(struct arena *arena, int root_fd, const struct images_options *o,
			const char *name, const struct image *images, size_t count,
			struct masu_error *err)
{
	static const char plain[] =
		"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
	static const char with_digest[] = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t"
					  "{{.CreatedSince}}\t{{.Size}}";
	const struct json **rows = arena_array(arena, const struct json *, count + 1);
	size_t shown = 0;
	if (!rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		bool named, matched;
		int r = wanted(arena, name, &images[i], &named, err);
		if (r == 0)
			r = filters_match(root_fd, arena, &o->filter, &images[i], &matched, err);
		if (r < 0)
			return r;
		if (!named || !matched)
			continue;
		rows[shown] = make_row(arena, &images[i], o);
		if (!rows[shown++])
			return error_set(err, -ENOMEM, "out of memory");
	}
	return format_rows(arena, o->quiet ? "{{.ID}}" : o->format,
			   o->digests ? with_digest : plain, headings, rows, shown, err);
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
		r = print_images(context->arena, root_fd, data, argc > 0 ? argv[0] : NULL, images,
				 count, err);
	return r;
}

#define IMAGES_COMMAND(command_name, other_names)                                                  \
	{                                                                                          \
		.name = command_name, .aliases = other_names,                                      \
		.synopsis = "[OPTIONS] [REPOSITORY[:TAG]]", .summary = "List images",              \
		.options = options, .option_count = ARRAY_SIZE(options),                           \
		.options_size = sizeof(struct images_options), CLI_MORE(run), .max_args = 1,       \
	}

const struct cli_command images_command = IMAGES_COMMAND("images", NULL);
const struct cli_command image_ls_command = IMAGES_COMMAND("ls", "list");
