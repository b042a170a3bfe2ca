/* `masu system df`: what takes how much of the disk. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/images.h"
#include "cli/ps.h"
#include "cli/session.h"
#include "cold/system/verbs.h"
#include "engine/disk_usage.h"

/* One list of output: its rows as the templates see them. */
struct rows {
	struct arena *arena;
	const struct json **list;
	size_t count;
};

static int rows_init(struct rows *rows, struct arena *arena, size_t room, struct masu_error *err)
{
	*rows = (struct rows) { .arena = arena };
	rows->list = arena_array(arena, const struct json *, room + 1);
	return rows->list ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static void row_begin(struct json_writer *w, struct buf *text)
{
	buf_init(text, 0);
	json_writer_init(w, text, false);
	json_begin_object(w);
}

static int row_end(struct rows *rows, struct json_writer *w, struct buf *text,
		   struct masu_error *err)
{
	json_end_object(w);
	char *kept = buf_error(text) ? NULL : arena_strdup(rows->arena, buf_str(text));
	int r = kept ? json_parse(rows->arena, kept, text->len, &rows->list[rows->count], err)
		     : error_set(err, -ENOMEM, "out of memory");
	buf_free(text);
	if (r == 0)
		rows->count++;
	return r;
}

static void put_size(struct json_writer *w, const char *key, uint64_t bytes)
{
	char text[HUMAN_MAX];
	json_field_string(w, key, human_size(bytes, text));
}

static void put_number(struct json_writer *w, const char *key, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	json_field_string(w, key, text);
}

/* ---- the summary ---- */

static const struct format_heading summary_headings[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" },	      { "Active", "ACTIVE" },
	{ "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" }, { 0 },
};

static int summary_row(struct rows *rows, const char *type, const struct disk_usage_sum *sum,
		       bool percent, struct masu_error *err)
{
	struct buf text;
	struct json_writer w;
	char size[HUMAN_MAX], reclaimable[HUMAN_MAX + 8];
	human_size_long(sum->reclaimable, size);
	snprintf(reclaimable, sizeof(reclaimable), "%s", size);
	if (percent && sum->bytes)
		snprintf(reclaimable, sizeof(reclaimable), "%s (%u%%)", size,
			 (unsigned)((double)sum->reclaimable * 100 / (double)sum->bytes));
	row_begin(&w, &text);
	put_number(&w, "Active", sum->active);
	json_field_string(&w, "Reclaimable", reclaimable);
	json_field_string(&w, "Size", human_size_long(sum->bytes, size));
	put_number(&w, "TotalCount", sum->count);
	json_field_string(&w, "Type", type);
	return row_end(rows, &w, &text, err);
}

static int print_summary(struct arena *arena, const struct disk_usage *usage, const char *format,
			 struct masu_error *err)
{
	static const char columns[] =
		"{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
	static const struct disk_usage_sum none;
	struct rows rows;
	int r = rows_init(&rows, arena, 4, err);
	if (r == 0)
		r = summary_row(&rows, "Images", &usage->image_sum, true, err);
	if (r == 0)
		r = summary_row(&rows, "Containers", &usage->container_sum, true, err);
	if (r == 0)
		r = summary_row(&rows, "Local Volumes", &usage->volume_sum, true, err);
	/* Docker's scripts expect the line; there is no build cache that it could tell of. */
	if (r == 0)
		r = summary_row(&rows, "Build Cache", &none, false, err);
	return r < 0 ? r
		     : format_rows(arena, format, columns, summary_headings, rows.list, rows.count,
				   err);
}

/* ---- -v ---- */

static const struct format_heading image_headings[] = {
	{ "Repository", "REPOSITORY" },
	{ "Tag", "TAG" },
	{ "ID", "IMAGE ID" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "Size", "SIZE" },
	{ "VirtualSize", "SIZE" },
	{ "SharedSize", "SHARED SIZE" },
	{ "UniqueSize", "UNIQUE SIZE" },
	{ "Containers", "CONTAINERS" },
	{ 0 },
};
static const char image_columns[] =
	"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t"
	"{{.UniqueSize}}\t{{.Containers}}";

static int image_row(struct rows *rows, const struct disk_usage_image *from, struct masu_error *err)
{
	const struct image *image = &from->image;
	char since[HUMAN_MAX], ago[HUMAN_MAX + 8] = "N/A", id[16];
	struct buf text;
	struct json_writer w;
	int64_t created;
	if (time_parse_rfc3339(image->created, &created) == 0)
		snprintf(ago, sizeof(ago), "%s ago", human_duration(time(NULL) - created, since));
	snprintf(id, sizeof(id), "%.12s", image->id + strlen("sha256:"));
	row_begin(&w, &text);
	put_number(&w, "Containers", from->containers);
	json_field_string(&w, "CreatedAt", image->created);
	json_field_string(&w, "CreatedSince", ago);
	json_field_string(&w, "ID", id);
	json_field_string(&w, "Repository", image_shown_repository(rows->arena, image->reference));
	put_size(&w, "SharedSize", from->shared);
	put_size(&w, "Size", from->bytes);
	json_field_string(&w, "Tag", image_shown_tag(rows->arena, image->reference));
	put_size(&w, "UniqueSize", from->bytes - from->shared);
	put_size(&w, "VirtualSize", from->bytes);
	return row_end(rows, &w, &text, err);
}

static const char container_columns[] =
	"{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t"
	"{{.Status}}\t{{.Names}}";

static int container_row(struct rows *rows, struct ps_view *view,
			 const struct disk_usage_container *from, struct masu_error *err)
{
	struct json_builder row;
	struct buf text;
	struct json_writer w;
	int r = ps_row(view, &from->container, &row, err);
	if (r < 0)
		return r;
	row_begin(&w, &text);
	json_foreach (field, row.value) {
		json_key(&w, field->key);
		if (streq(field->key, "Size")) {
			char size[HUMAN_MAX];
			json_put_string(&w, human_size(from->bytes, size));
		} else {
			json_put_value(&w, field);
		}
	}
	return row_end(rows, &w, &text, err);
}

static const struct format_heading volume_headings[] = {
	{ "Name", "VOLUME NAME" }, { "Links", "LINKS" }, { "Size", "SIZE" }, { 0 }
};
static const char volume_columns[] = "{{.Name}}\t{{.Links}}\t{{.Size}}";

static int volume_row(struct rows *rows, const struct disk_usage_volume *from,
		      struct masu_error *err)
{
	const struct volume *volume = &from->volume;
	struct buf text;
	struct json_writer w;
	row_begin(&w, &text);
	json_field_string(&w, "Driver", volume->driver);
	json_key(&w, "Labels");
	json_begin_object(&w);
	for (size_t i = 0; i < volume->label_count; i++)
		json_field_string(&w, volume->labels[i].key, volume->labels[i].value);
	json_end_object(&w);
	put_number(&w, "Links", from->containers);
	json_field_string(&w, "Mountpoint", volume->mountpoint);
	json_field_string(&w, "Name", volume->name);
	json_field_string(&w, "Scope", "local");
	put_size(&w, "Size", from->bytes);
	return row_end(rows, &w, &text, err);
}

struct detail {
	struct rows images, containers, volumes;
};

static int make_detail(struct engine *engine, struct arena *arena, const struct disk_usage *usage,
		       struct detail *ret, struct masu_error *err)
{
	struct ps_view view;
	ps_view_init(&view, engine, arena, true, "{{json .}}");
	int r = rows_init(&ret->images, arena, usage->image_sum.count, err);
	if (r == 0)
		r = rows_init(&ret->containers, arena, usage->container_sum.count, err);
	if (r == 0)
		r = rows_init(&ret->volumes, arena, usage->volume_sum.count, err);
	for (size_t i = 0; r == 0 && i < usage->image_sum.count; i++)
		r = image_row(&ret->images, &usage->images[i], err);
	for (size_t i = 0; r == 0 && i < usage->container_sum.count; i++)
		r = container_row(&ret->containers, &view, &usage->containers[i], err);
	for (size_t i = 0; r == 0 && i < usage->volume_sum.count; i++)
		r = volume_row(&ret->volumes, &usage->volumes[i], err);
	return r;
}

static void put_rows(struct json_writer *w, const char *key, const struct rows *rows)
{
	json_key(w, key);
	json_begin_array(w);
	for (size_t i = 0; rows && i < rows->count; i++)
		json_put_value(w, rows->list[i]);
	json_end_array(w);
}

/* With a format everything is one object. */
static int print_detail_formatted(struct arena *arena, const struct detail *detail,
				  const char *format, struct masu_error *err)
{
	struct rows whole;
	struct buf text;
	struct json_writer w;
	int r = rows_init(&whole, arena, 1, err);
	if (r < 0)
		return r;
	row_begin(&w, &text);
	put_rows(&w, "Images", &detail->images);
	put_rows(&w, "Containers", &detail->containers);
	put_rows(&w, "Volumes", &detail->volumes);
	put_rows(&w, "BuildCache", NULL);
	r = row_end(&whole, &w, &text, err);
	return r < 0 ? r : format_object(arena, format, whole.list[0], err);
}

static int print_detail(struct arena *arena, const struct detail *detail, struct masu_error *err)
{
	printf("Images space usage:\n\n");
	int r = format_rows(arena, NULL, image_columns, image_headings, detail->images.list,
			    detail->images.count, err);
	if (r == 0) {
		printf("\nContainers space usage:\n\n");
		r = format_rows(arena, NULL, container_columns, ps_headings,
				detail->containers.list, detail->containers.count, err);
	}
	if (r == 0) {
		printf("\nLocal Volumes space usage:\n\n");
		r = format_rows(arena, NULL, volume_columns, volume_headings, detail->volumes.list,
				detail->volumes.count, err);
	}
	if (r == 0)
		printf("\nBuild cache usage: 0B\n");
	return r;
}

static int df_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct df_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const char *format = options->format;
	struct disk_usage usage;
	struct detail detail;
	if (options->verbose && format && str_after(format, "table"))
		return error_set(err, -EINVAL, "--verbose with a table: give no --format");
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_disk_usage(&engine, context->arena, &usage, err);
	if (r < 0)
		return r;
	if (!options->verbose)
		return print_summary(context->arena, &usage, format, err);
	r = make_detail(&engine, context->arena, &usage, &detail, err);
	if (r < 0)
		return r;
	return format ? print_detail_formatted(context->arena, &detail, format, err)
		      : print_detail(context->arena, &detail, err);
}

const struct cli_command system_df_command = { SYSTEM_DF_COMMAND, .run = df_run };
