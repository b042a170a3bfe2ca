/* What `ps` shows of a container: one function a field. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/ps.h"
#include "image/image.h"

#define SHORT_ID	12
#define COMMAND_COLUMNS 20
#define MOUNT_COLUMNS	15
#define ELLIPSIS	"\xe2\x80\xa6"

static void put_ago(const struct ps_view *view, const char *rfc3339, struct buf *out)
{
	char text[HUMAN_MAX];
	int64_t then;
	if (rfc3339 && time_parse_rfc3339(rfc3339, &then) == 0)
		buf_puts(out, human_duration(view->now - then, text));
}

const char *ps_health(const struct container *container)
{
	return container->health ? container->health : "none";
}

static void put_up(const struct ps_view *view, const struct container *container, struct buf *out)
{
	const char *health = ps_health(container);
	buf_puts(out, "Up ");
	put_ago(view, container->started, out);
	if (container->status == CONTAINER_PAUSED)
		buf_puts(out, " (Paused)");
	else if (streq(health, "starting"))
		buf_puts(out, " (health: starting)");
	else if (!streq(health, "none"))
		buf_printf(out, " (%s)", health);
}

static void put_status(struct ps_view *view, const struct container *container, struct buf *out)
{
	switch (container->status) {
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED:
		put_up(view, container, out);
		break;
	case CONTAINER_RESTARTING:
	case CONTAINER_EXITED:
		buf_printf(out, "%s (%d) ",
			   container->status == CONTAINER_EXITED ? "Exited" : "Restarting",
			   container->exit_code);
		put_ago(view, container->finished, out);
		buf_puts(out, " ago");
		break;
	case CONTAINER_CREATED:
		buf_puts(out, "Created");
		break;
	case CONTAINER_REMOVING:
		buf_puts(out, "Removal In Progress");
		break;
	case CONTAINER_DEAD:
		buf_puts(out, "Dead");
		break;
	}
}

/* Where it is wanted, it is measured when all lines are known: ps_row_size(). */
static void put_size(struct ps_view *view, const struct container *container, struct buf *out)
{
	buf_puts(out, "0B");
}

static void put_state(struct ps_view *view, const struct container *container, struct buf *out)
{
	buf_puts(out, container_status_name(container->status));
}

/* Where a text of more than @columns characters is cut to get an ellipsis; NULL: it is not. */
static const char *cut_at(const char *text, size_t columns)
{
	const char *p = text, *cut = NULL;
	for (size_t n = 0; *p; n++) {
		if (n + 1 == columns)
			cut = p;
		if (n == columns)
			return cut;
		do
			p++;
		while (((unsigned char)*p & 0xc0) == 0x80);
	}
	return NULL;
}

static void put_truncated(const char *text, bool truncate, size_t columns, struct buf *out)
{
	const char *cut = truncate ? cut_at(text, columns) : NULL;
	buf_append(out, text, cut ? (size_t)(cut - text) : strlen(text));
	if (cut)
		buf_puts(out, ELLIPSIS);
}

/* Go's strconv.Quote, of text that is UTF-8. */
static void put_quoted(const char *text, size_t len, struct buf *out)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
	for (const char *p = text; p < text + len; p++) {
		const char *escape = strchr(from, *p);
		if (escape)
			buf_printf(out, "\\%c", to[escape - from]);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*p);
		else
			buf_putc(out, *p);
	}
}

/* Docker puts arguments with blanks in single quotes, cuts the line, and quotes the whole. */
static void put_command(struct ps_view *view, const struct container *container, struct buf *out)
{
	_cleanup_buf_ struct buf words;
	buf_init(&words, 0);
	for (size_t i = 0; container->args && container->args[i]; i++) {
		bool blanks = i && strchr(container->args[i], ' ');
		if (i)
			buf_putc(&words, ' ');
		if (blanks)
			buf_putc(&words, '\'');
		buf_puts(&words, container->args[i]);
		if (blanks)
			buf_putc(&words, '\'');
	}
	const char *text = buf_str(&words);
	const char *cut = view->truncate ? cut_at(text, COMMAND_COLUMNS) : NULL;
	buf_putc(out, '"');
	put_quoted(text, cut ? (size_t)(cut - text) : strlen(text), out);
	buf_puts(out, cut ? ELLIPSIS "\"" : "\"");
}

static bool first_with_source(const struct container_config *config, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (streq_null(config->mounts[i].source, config->mounts[at].source))
			return false;
	return true;
}

static void put_mounts(struct ps_view *view, const struct container *container, struct buf *out)
{
	const struct container_config *config = &container->config;
	for (size_t i = 0; i < config->mount_count; i++) {
		const struct mount_config *mount = &config->mounts[i];
		if (mount->kind == MOUNT_TMPFS || !first_with_source(config, i))
			continue;
		if (out->len)
			buf_putc(out, ',');
		put_truncated(mount->source ? mount->source : "", view->truncate, MOUNT_COLUMNS,
			      out);
	}
}

static void put_local_volumes(struct ps_view *view, const struct container *container,
			      struct buf *out)
{
	unsigned volumes = 0;
	for (size_t i = 0; i < container->config.mount_count; i++)
		volumes += container->config.mounts[i].kind == MOUNT_VOLUME;
	buf_printf(out, "%u", volumes);
}

static void put_labels(struct ps_view *view, const struct container *container, struct buf *out)
{
	for (size_t i = 0; i < container->config.label_count; i++)
		buf_printf(out, "%s%s=%s", i ? "," : "", container->config.labels[i].key,
			   container->config.labels[i].value);
}

static void put_created_at(struct ps_view *view, const struct container *container, struct buf *out)
{
	int64_t seconds;
	char text[64];
	struct tm tm;
	if (time_parse_rfc3339(container->created, &seconds) < 0)
		return;
	time_t when = (time_t)seconds;
	if (localtime_r(&when, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm))
		buf_puts(out, text);
}

static void put_running_for(struct ps_view *view, const struct container *container,
			    struct buf *out)
{
	put_ago(view, container->created, out);
	buf_puts(out, " ago");
}

static void put_id(struct ps_view *view, const struct container *container, struct buf *out)
{
	buf_append(out, container->id, view->truncate ? SHORT_ID : strlen(container->id));
}

/* What a container's image was called, and what that leads to now. */
struct ps_image {
	const char *name, *id; /* id "": it leads nowhere */
	struct ps_image *next;
};

static const char *image_id_now(struct ps_view *view, const char *name)
{
	struct image image;
	for (const struct ps_image *known = view->images; known; known = known->next)
		if (streq(known->name, name))
			return known->id;
	struct ps_image *added = arena_new(view->arena, struct ps_image);
	if (!added)
		return "";
	bool found = image_find(view->engine->root_fd, view->arena, name, &image, NULL) == 0;
	*added = (struct ps_image) { .name = arena_strdup(view->arena, name),
				     .id = found ? arena_strdup(view->arena, image.id) : "",
				     .next = view->images };
	if (!added->name || !added->id)
		return "";
	view->images = added;
	return added->id;
}

/* The name it was made from, as long as that is the same image; else the image's id. */
static void put_image(struct ps_view *view, const struct container *container, struct buf *out)
{
	const char *name = container->config.image, *id = container->image_id;
	const char *digits = str_after(id, "sha256:");
	if (name && streq(image_id_now(view, name), id) &&
	    !(view->truncate && digits && strncmp(digits, name, SHORT_ID) == 0)) {
		const char *digest = view->truncate ? strchr(name, '@') : NULL;
		buf_append(out, name, digest ? (size_t)(digest - name) : strlen(name));
	} else if (view->truncate && digits) {
		buf_append(out, digits, strnlen(digits, SHORT_ID));
	} else {
		buf_puts(out, id);
	}
}

static void put_names(struct ps_view *view, const struct container *container, struct buf *out)
{
	buf_puts(out, container->name);
}

static void put_networks(struct ps_view *view, const struct container *container, struct buf *out)
{
	const struct container_config *config = &container->config;
	const char *network = config->network ? config->network : "bridge";
	if (!config->networks && !str_after(network, "container:"))
		buf_puts(out, network);
	for (size_t i = 0; i < config->network_count; i++)
		buf_printf(out, "%s%s", i ? "," : "", config->networks[i].name);
}

static void put_ports(struct ps_view *view, const struct container *container, struct buf *out)
{
	ps_ports(container, out);
}

typedef void (*put_fn)(struct ps_view *view, const struct container *container, struct buf *out);

/* In docker's (alphabetical) order; NULL: not by one of these functions. */
const struct format_heading ps_headings[] = {
	{ "Command", "COMMAND" },
	{ "CreatedAt", "CREATED AT" },
	{ "ID", "CONTAINER ID" },
	{ "Image", "IMAGE" },
	{ "Label", "LABEL" },
	{ "Labels", "LABELS" },
	{ "LocalVolumes", "LOCAL VOLUMES" },
	{ "Mounts", "MOUNTS" },
	{ "Names", "NAMES" },
	{ "Networks", "NETWORKS" },
	{ "Ports", "PORTS" },
	{ "RunningFor", "CREATED" },
	{ "Size", "SIZE" },
	{ "State", "STATE" },
	{ "Status", "STATUS" },
	{ 0 },
};
static const put_fn put[] = {
	put_command, put_created_at,	put_id,	    put_image, NULL,
	put_labels,  put_local_volumes, put_mounts, put_names, put_networks,
	put_ports,   put_running_for,	put_size,   put_state, put_status,
};
static_assert(ARRAY_SIZE(put) + 1 == ARRAY_SIZE(ps_headings), "one function a heading");

/* For {{.Label "key"}}, which is a function in docker. */
static void put_label_object(struct arena *arena, const struct container *container,
			     struct json_builder *row)
{
	struct json_builder labels;
	json_builder_init(&labels, arena, JSON_OBJECT);
	for (size_t i = 0; i < container->config.label_count; i++)
		json_build_string(&labels, arena_strdup(arena, container->config.labels[i].key),
				  arena_strdup(arena, container->config.labels[i].value));
	struct json *member = json_build(row, "Label", JSON_OBJECT);
	if (member && labels.value) {
		member->child = labels.value->child;
		member->count = labels.value->count;
	} else {
		row->value = NULL;
	}
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The whole row: {{json .}}, {{.}}, {{$}}. */
static bool takes_whole(const char *format)
{
	for (const char *p = strpbrk(format, ".$"); p; p = strpbrk(p + 1, ".$"))
		if (!is_letter(p[1]) && !(*p == '$' && p[1] == '.'))
			return true;
	return streq(format, "json");
}

void ps_view_init(struct ps_view *view, struct engine *engine, struct arena *arena, bool truncate,
		  const char *format)
{
	bool whole = takes_whole(format);
	*view = (struct ps_view) {
		.engine = engine, .arena = arena, .truncate = truncate, .now = time(NULL)
	};
	buf_init(&view->text, 0);
	for (size_t i = 0; ps_headings[i].key; i++)
		if (whole ? !streq(ps_headings[i].key, "Label")
			  : strstr(format, ps_headings[i].key) != NULL)
			view->fields |= 1u << i;
}

void ps_view_free(struct ps_view *view)
{
	buf_free(&view->text);
}

int ps_row(struct ps_view *view, const struct container *container, struct json_builder *ret,
	   struct masu_error *err)
{
	struct buf *text = &view->text;
	buf_reset(text);
	json_builder_init(ret, view->arena, JSON_OBJECT);
	for (size_t i = 0; ps_headings[i].key; i++) {
		if (!(view->fields & 1u << i))
			continue;
		if (streq(ps_headings[i].key, "Label"))
			put_label_object(view->arena, container, ret);
		if (!put[i])
			continue;
		put[i](view, container, text);
		json_build_string(ret, ps_headings[i].key,
				  arena_strdup(view->arena, buf_str(text)));
		if (buf_error(text))
			break;
		buf_reset(text);
	}
	return ret->value && !buf_error(text) ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int ps_row_size(struct ps_view *view, const char *id, const struct json *row,
		struct masu_error *err)
{
	char written[HUMAN_MAX], all[HUMAN_MAX];
	struct container container;
	uint64_t writable, total;
	int r = engine_load(view->engine, view->arena, id, &container, err);
	if (r < 0)
		return r;
	container_close(&container);
	r = engine_size(view->engine, view->arena, &container, &writable, &total, err);
	if (r < 0)
		return r;
	const char *text = arena_printf(view->arena, "%s (virtual %s)",
					human_size(writable, written), human_size(total, all));
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	/* ps_row() made it: it may be changed. */
	struct json *size = (struct json *)json_get(row, "Size");
	if (size) {
		size->text = text;
		size->text_len = (uint32_t)strlen(text);
	}
	return 0;
}
