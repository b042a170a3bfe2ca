/* `masu inspect`, `masu container inspect`, and what the other groups' `inspect` is made of. */
#include "cli/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cli/volume.h"

/* Members of a closed object are added in front of its end. */
static int add_sizes(struct engine *engine, struct arena *arena, const char *id, struct buf *out,
		     struct masu_error *err)
{
	struct container container;
	uint64_t writable, total;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	container_close(&container);
	r = engine_size(engine, arena, &container, &writable, &total, err);
	if (r == 0 && out->len && out->data[out->len - 1] == '}') {
		out->len--;
		buf_printf(out, ",\"SizeRw\":%llu,\"SizeRootFs\":%llu}",
			   (unsigned long long)writable, (unsigned long long)total);
	}
	return r;
}

static int add_copyups(struct engine *engine, struct arena *arena, const char *id, struct buf *out,
		       struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	int r = copyups_write(engine, arena, id, &w, err);
	if (r == 0 && out->len && out->data[out->len - 1] == '}') {
		out->len--;
		buf_printf(out, ",\"CopyUps\":%s}", buf_str(&text));
		r = buf_error(&text);
	}
	return r;
}

static int container_write(struct engine *engine, struct arena *arena, const char *name,
			   const struct inspect_request *request, struct json_writer *w,
			   struct masu_error *err)
{
	char id[65];
	int r = engine_resolve(engine, name, id, err);
	if (r == 0)
		r = engine_inspect(engine, arena, id, w, err);
	if (r == 0 && request->size)
		r = add_sizes(engine, arena, id, w->out, err);
	if (r == 0 && request->io)
		r = add_copyups(engine, arena, id, w->out, err);
	return r;
}

static int image_write(struct engine *engine, struct arena *arena, const char *name,
		       const struct inspect_request *request, struct json_writer *w,
		       struct masu_error *err)
{
	return image_inspect_write(engine, arena, name, w, err);
}

static int network_write(struct engine *engine, struct arena *arena, const char *name,
			 const struct inspect_request *request, struct json_writer *w,
			 struct masu_error *err)
{
	return engine_inspect_network(engine, arena, name, w, err);
}

static int volume_write(struct engine *engine, struct arena *arena, const char *name,
			const struct inspect_request *request, struct json_writer *w,
			struct masu_error *err)
{
	return volume_inspect_write(engine, arena, name, w, err);
}

/* In docker's order of looking a name up. */
static const struct {
	const char *type;
	int (*write)(struct engine *engine, struct arena *arena, const char *name,
		     const struct inspect_request *request, struct json_writer *w,
		     struct masu_error *err);
} kinds[] = {
	{ "container", container_write },
	{ "image", image_write },
	{ "network", network_write },
	{ "volume", volume_write },
};

/* Another type may have it: it is not there, or cannot be the name of an image or volume. A prefix
 * of several containers is looked for no further. */
static bool is_elsewhere(size_t kind, int r)
{
	return r == -ENOENT || (r == -EINVAL && kind > 0);
}

static int inspect_one(struct engine *engine, struct arena *arena, const char *name,
		       const struct inspect_request *request, const struct json **ret,
		       struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	bool elsewhere = true;
	int r = -ENOENT;
	buf_init(&text, 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && elsewhere; i++) {
		struct json_writer w;
		if (request->type && !streq(request->type, kinds[i].type))
			continue;
		buf_reset(&text);
		json_writer_init(&w, &text, false);
		*err = (struct masu_error) { 0 };
		r = kinds[i].write(engine, arena, name, request, &w, err);
		elsewhere = is_elsewhere(i, r);
	}
	if (elsewhere && !request->type)
		return error_set(err, -ENOENT, "No such object: %.200s", name);
	if (r < 0)
		return r;
	return json_parse_written(arena, &text, ret, err);
}

int inspect_print(struct arena *arena, const char *format, const struct json *const *objects,
		  size_t count, struct masu_error *err)
{
	if (format)
		return format_objects(arena, format, objects, count, err);
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, true);
	w.indent_width = 4;
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		json_put_value(&w, objects[i]);
	json_end_array(&w);
	fputs(buf_str(&text), stdout);
	return buf_error(&text) ? error_errno(err, buf_error(&text), "inspect") : 0;
}

static int check_type(const char *type, struct masu_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!type || streq(type, kinds[i].type))
			return 0;
	return error_set(err, -EINVAL,
			 "unknown type: \"%.100s\": must be one of \"container\", \"image\", "
			 "\"network\", \"volume\"",
			 type);
}

int inspect_objects(struct cli_context *context, const struct inspect_request *request, int argc,
		    char **argv, struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const struct json **objects =
		arena_array(context->arena, const struct json *, (size_t)argc);
	struct masu_error *errors = arena_array(context->arena, struct masu_error, (size_t)argc);
	size_t found = 0, missing = 0;
	int r = check_type(request->type, err);
	if (r == 0)
		r = objects && errors ? session_open(context, &engine, err)
				      : error_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		if (inspect_one(&engine, context->arena, argv[i], request, &objects[found],
				&errors[missing]) == 0)
			found++;
		else
			missing++;
	}
	r = inspect_print(context->arena, request->format, objects, found, err);
	for (size_t i = 0; i < missing; i++)
		session_report(&errors[i]);
	return r < 0 ? r : missing ? 1 : 0;
}

/* ---- the verbs ---- */

#define FORMAT_OPTION                                                                              \
	CLI_OPT(struct inspect_request, format, "format", 'f', CLI_STRING, "string",               \
		"Format output using a custom template: json, or a Go template")
#define SIZE_OPTION                                                                                \
	CLI_OPT(struct inspect_request, size, "size", 's', CLI_BOOL, NULL,                         \
		"Display total file sizes if the type is container")
#define IO_OPTION                                                                                  \
	CLI_OPT(struct inspect_request, io, "io", 0, CLI_BOOL, NULL,                               \
		"Display which files were copied up if the type is container (see diff "           \
		"--copyups)")

static const struct cli_option inspect_options[] = {
	FORMAT_OPTION,
	SIZE_OPTION,
	IO_OPTION,
	CLI_OPT(struct inspect_request, type, "type", 0, CLI_STRING, "string",
		"Only inspect objects of the given type"),
};
static const struct cli_option container_inspect_options[] = { FORMAT_OPTION, SIZE_OPTION,
							       IO_OPTION };

static int inspect_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	return inspect_objects(context, pointer, argc, argv, err);
}

static int container_inspect_run(struct cli_context *context, void *pointer, int argc, char **argv,
				 struct masu_error *err)
{
	struct inspect_request *request = pointer;
	request->type = "container";
	return inspect_objects(context, request, argc, argv, err);
}

const struct cli_command inspect_command = {
	.name = "inspect",
	.synopsis = "[OPTIONS] NAME|ID [NAME|ID...]",
	.summary = "Return low-level information on containers, images, networks and volumes",
	.options = inspect_options,
	.option_count = ARRAY_SIZE(inspect_options),
	.options_size = sizeof(struct inspect_request),
	CLI_MORE(inspect_run),
	.min_args = 1,
	.max_args = -1,
};

const struct cli_command container_inspect_command = {
	.name = "inspect",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Display detailed information on one or more containers",
	.options = container_inspect_options,
	.option_count = ARRAY_SIZE(container_inspect_options),
	.options_size = sizeof(struct inspect_request),
	CLI_MORE(container_inspect_run),
	.min_args = 1,
	.max_args = -1,
};
