/* `masu version` and `masu info`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/session.h"
#include "image/image.h"

struct format_options {
	const char *format;
};

static const struct cli_option format_options[] = {
	CLI_OPT(struct format_options, format, "format", 'f', CLI_STRING, "string",
		"Format output using a custom template: json, or a Go template"),
};

static int print_object(struct arena *arena, const char *format, struct buf *text,
			struct masu_error *err)
{
	const struct json *object;
	char *kept = buf_error(text) ? NULL : arena_strdup(arena, buf_str(text));
	int r = kept ? json_parse(arena, kept, text->len, &object, err)
		     : error_set(err, -ENOMEM, "out of memory");
	return r < 0 ? r : format_object(arena, format, object, err);
}

static void put_version(struct json_writer *w, const char *key, const struct utsname *host)
{
	json_key(w, key);
	json_begin_object(w);
	json_field_string(w, "Version", MASU_VERSION);
	json_field_string(w, "Os", "linux");
	json_field_string(w, "Arch", host->machine);
	json_field_string(w, "KernelVersion", host->release);
	json_end_object(w);
}

static int version_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct format_options *options = pointer;
	struct utsname host;
	if (uname(&host) < 0)
		return error_errno(err, -errno, "uname");
	if (options->format) {
		_cleanup_buf_ struct buf text;
		struct json_writer w;
		buf_init(&text, 0);
		json_writer_init(&w, &text, false);
		json_begin_object(&w);
		/* There is no daemon: what docker calls the server is this program too. */
		put_version(&w, "Client", &host);
		put_version(&w, "Server", &host);
		json_end_object(&w);
		return print_object(context->arena, options->format, &text, err);
	}
	printf("masu (daemonless)\n Version:           %s\n OCI runtime spec:  1.2.0\n"
	       " OS/Arch:           linux/%s\n Kernel Version:    %s\n",
	       MASU_VERSION, host.machine, host.release);
	return 0;
}

const struct cli_command version_command = {
	.name = "version",
	.synopsis = "[OPTIONS]",
	.summary = "Show the masu version information",
	.options = format_options,
	.option_count = ARRAY_SIZE(format_options),
	.options_size = sizeof(struct format_options),
	.run = version_run,
};

struct counts {
	size_t running, paused, stopped, all, images;
};

static int count_objects(struct cli_context *context, struct engine *engine, struct counts *ret,
			 struct masu_error *err)
{
	struct container *list;
	struct image *images;
	int r = engine_list(engine, context->arena, true, &list, &ret->all, err);
	if (r == 0)
		r = image_list(engine->root_fd, context->arena, &images, &ret->images, err);
	for (size_t i = 0; r == 0 && i < ret->all; i++) {
		if (list[i].status == CONTAINER_RUNNING)
			ret->running++;
		else if (list[i].status == CONTAINER_PAUSED)
			ret->paused++;
		else
			ret->stopped++;
	}
	return r;
}

static int info_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct format_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct counts counts = { 0 };
	struct json_writer w;
	struct utsname host;
	buf_init(&text, 0);
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = count_objects(context, &engine, &counts, err);
	if (r < 0)
		return r;
	if (uname(&host) < 0)
		return error_errno(err, -errno, "uname");
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_u64(&w, "Containers", counts.all);
	json_field_u64(&w, "ContainersRunning", counts.running);
	json_field_u64(&w, "ContainersPaused", counts.paused);
	json_field_u64(&w, "ContainersStopped", counts.stopped);
	json_field_u64(&w, "Images", counts.images);
	json_field_string(&w, "Driver", engine.storage_driver);
	json_field_string(&w, "ServerVersion", MASU_VERSION);
	json_field_string(&w, "KernelVersion", host.release);
	json_field_string(&w, "Architecture", host.machine);
	json_field_string(&w, "OSType", "linux");
	json_field_string(&w, "Name", host.nodename);
	json_field_string(&w, "DockerRootDir", engine.root);
	json_end_object(&w);
	return print_object(
		context->arena,
		options->format
			? options->format
			: "Containers: {{.Containers}}\n Running: {{.ContainersRunning}}\n"
			  " Paused: {{.ContainersPaused}}\n Stopped: {{.ContainersStopped}}\n"
			  "Images: {{.Images}}\nVersion: {{.ServerVersion}}\n"
			  "Storage Driver: {{.Driver}}\nKernel Version: {{.KernelVersion}}\n"
			  "Architecture: {{.Architecture}}\nName: {{.Name}}\n"
			  "Root Dir: {{.DockerRootDir}}",
		&text, err);
}

const struct cli_command info_command = {
	.name = "info",
	.synopsis = "[OPTIONS]",
	.summary = "Display system-wide information",
	.options = format_options,
	.option_count = ARRAY_SIZE(format_options),
	.options_size = sizeof(struct format_options),
	.run = info_run,
};
