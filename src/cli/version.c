/* `masu version`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"

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
	CLI_MORE(version_run),
};
