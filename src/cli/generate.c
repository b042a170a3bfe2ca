/* `masu generate systemd`: a unit for a single container, with podman's options. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "sys/fs.h"

#define STOP_MARGIN 60 /* seconds systemd waits longer than masu does */

struct unit_options {
	bool files, name, no_header;
	const char *restart_policy, *prefix, *separator;
	int64_t restart_sec, start_timeout, stop_timeout;
	struct cli_list after, requires, wants, env;
};

#define OPT(field, name, letter, kind, metavar, help)                                              \
	CLI_OPT(struct unit_options, field, name, letter, kind, metavar, help)

static const struct cli_option unit_options[] = {
	OPT(after, "after", 0, CLI_LIST, "list", "Add dependencies order to the unit"),
	OPT(prefix, "container-prefix", 0, CLI_STRING, "string",
	    "Prefix of the unit's name (default \"container\")"),
	OPT(env, "env", 'e', CLI_LIST, "list", "Set environment variables of the unit's commands"),
	OPT(files, "files", 'f', CLI_BOOL, NULL,
	    "Write a .service file instead of printing to stdout"),
	OPT(name, "name", 'n', CLI_BOOL, NULL, "Use the container's name instead of its ID"),
	OPT(no_header, "no-header", 0, CLI_BOOL, NULL, "Skip the header with version information"),
	OPT(requires, "requires", 0, CLI_LIST, "list",
	    "Similar to --wants, but declares stronger requirement dependencies"),
	OPT(restart_policy, "restart-policy", 0, CLI_STRING, "string",
	    "Systemd restart policy (default \"on-failure\")"),
	OPT(restart_sec, "restart-sec", 0, CLI_INT, "int",
	    "Seconds to sleep before restarting the service"),
	OPT(separator, "separator", 0, CLI_STRING, "string",
	    "Separator between prefix and name or ID (default \"-\")"),
	OPT(start_timeout, "start-timeout", 0, CLI_INT, "int",
	    "Seconds to wait until the container has started"),
	OPT(stop_timeout, "stop-timeout", 0, CLI_INT, "int",
	    "Seconds to wait for the container to stop before it is killed (default: the "
	    "container's)"),
	OPT(stop_timeout, "time", 't', CLI_INT, "int", "The same as --stop-timeout"),
	OPT(wants, "wants", 0, CLI_LIST, "list", "Add (weak) requirement dependencies to the unit"),
};

static void unit_defaults(void *pointer)
{
	struct unit_options *options = pointer;
	options->restart_policy = "on-failure";
	options->prefix = "container";
	options->separator = "-";
	options->restart_sec = options->start_timeout = options->stop_timeout = -1;
}

static int check_options(const struct unit_options *o, struct masu_error *err)
{
	static const char *const policies[] = { "no",	       "on-success",  "on-failure",
						"on-abnormal", "on-watchdog", "on-abort",
						"always" };
	const struct cli_list *const lists[] = { &o->after, &o->requires, &o->wants, &o->env };
	bool known = false;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		known |= streq(o->restart_policy, policies[i]);
	if (!known)
		return error_set(err, -EINVAL, "%.100s is not a valid restart policy",
				 o->restart_policy);
	/* A line more would be a setting that nobody asked for. */
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t k = 0; k < lists[i]->count; k++)
			if (strpbrk(lists[i]->items[k], "\n\r"))
				return error_set(err, -EINVAL,
						 "a unit's settings may not contain line breaks");
	if (strpbrk(o->prefix, "/\n\r ") || strpbrk(o->separator, "/\n\r "))
		return error_set(err, -EINVAL,
				 "--container-prefix and --separator may not contain slashes and "
				 "blanks");
	return 0;
}

/*
 * One word as systemd reads it, in quotes where it needs them: systemd.syntax(7), QUOTING. In a
 * command line "$" has a meaning, too: systemd.service(5), COMMAND LINES.
 */
static void put_word(struct buf *out, const char *word, bool command)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:=@,+-";
	bool quoted = !*word || word[strspn(word, plain)];
	if (quoted)
		buf_putc(out, '"');
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			buf_putc(out, '\\');
		else if (*word == '%' || (*word == '$' && command))
			buf_putc(out, *word);
		buf_putc(out, *word);
	}
	if (quoted)
		buf_putc(out, '"');
}

static void put_argument(struct buf *out, const char *word)
{
	buf_putc(out, ' ');
	put_word(out, word, true);
}

static void put_command(struct buf *out, const struct cli_context *context,
			const struct engine *engine, const char *setting)
{
	buf_printf(out, "%s=", setting);
	put_word(out, context->self_path, true);
	put_argument(out, "--root");
	put_argument(out, engine->root);
	put_argument(out, "--runroot");
	put_argument(out, engine->runroot);
}

static void put_list(struct buf *out, const char *setting, const struct cli_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		buf_printf(out, "%s=%s\n", setting, list->items[i]);
}

static void put_unit_section(struct buf *out, const struct unit_options *o,
			     const struct engine *engine, const char *unit)
{
	buf_printf(out,
		   "[Unit]\nDescription=masu %s\nDocumentation=man:masu-generate-systemd(1)\n"
		   "Wants=network-online.target\nAfter=network-online.target\nRequiresMountsFor=",
		   unit);
	put_word(out, engine->root, false);
	buf_putc(out, ' ');
	put_word(out, engine->runroot, false);
	buf_putc(out, '\n');
	put_list(out, "After", &o->after);
	put_list(out, "Wants", &o->wants);
	put_list(out, "Requires", &o->requires);
}

static void put_service_section(struct buf *out, const struct cli_context *context,
				const struct engine *engine, const struct unit_options *o,
				const struct container *container, const char *who)
{
	char timeout[24];
	int64_t stop = o->stop_timeout >= 0		     ? o->stop_timeout
		       : container->config.stop_timeout >= 0 ? container->config.stop_timeout
							     : 10;
	buf_puts(out, "\n[Service]\nType=exec\n");
	for (size_t i = 0; i < o->env.count; i++) {
		buf_puts(out, "Environment=");
		put_word(out, o->env.items[i], false);
		buf_putc(out, '\n');
	}
	buf_printf(out, "Restart=%s\n", o->restart_policy);
	if (o->restart_sec >= 0)
		buf_printf(out, "RestartSec=%lld\n", (long long)o->restart_sec);
	if (o->start_timeout >= 0)
		buf_printf(out, "TimeoutStartSec=%lld\n", (long long)o->start_timeout);
	buf_printf(out, "TimeoutStopSec=%lld\n", (long long)stop + STOP_MARGIN);
	put_command(out, context, engine, "ExecStart");
	put_argument(out, "start");
	put_argument(out, "--attach");
	put_argument(out, who);
	buf_putc(out, '\n');
	put_command(out, context, engine, "ExecStop");
	snprintf(timeout, sizeof(timeout), "%lld", (long long)stop);
	put_argument(out, "stop");
	put_argument(out, "--timeout");
	put_argument(out, timeout);
	put_argument(out, who);
	/* The monitor is a process of the service; it goes by itself, after its container. */
	buf_puts(out, "\nSuccessExitStatus=143\nKillMode=process\n"
		      "\n[Install]\nWantedBy=multi-user.target\n");
}

static int write_file(const char *unit, const struct buf *text, struct masu_error *err)
{
	char cwd[PATH_MAX];
	int r = fs_write_atomic(AT_FDCWD, unit, buf_str(text), text->len, 0644, false);
	if (r < 0)
		return error_errno(err, r, "%.255s", unit);
	printf("%s/%s\n", getcwd(cwd, sizeof(cwd)) ? cwd : ".", unit);
	return 0;
}

static int systemd_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct unit_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct container container;
	char id[65], unit[NAME_MAX + 1];
	buf_init(&text, 1u << 20);
	int r = check_options(options, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_resolve(&engine, argv[0], id, err);
	if (r == 0)
		r = engine_load(&engine, context->arena, id, &container, err);
	if (r < 0)
		return r;
	container_close(&container);
	const char *who = options->name ? container.name : container.id;
	if (container.config.restart != RESTART_NO)
		return error_set(
			err, -EINVAL,
			"container %s has a restart policy of its own, and two would start "
			"it; `masu update --restart no %s` leaves it to systemd",
			container.name, container.name);
	if (str_format(unit, sizeof(unit), "%s%s%s.service", options->prefix, options->separator,
		       who) < 0)
		return error_set(err, -ENAMETOOLONG, "the unit's name is too long");
	if (!options->no_header)
		buf_printf(&text, "# %s\n# autogenerated by masu %s\n\n", unit, MASU_VERSION);
	put_unit_section(&text, options, &engine, unit);
	put_service_section(&text, context, &engine, options, &container, who);
	if (buf_error(&text))
		return error_set(err, -ENOMEM, "out of memory");
	if (options->files)
		return write_file(unit, &text, err);
	fputs(buf_str(&text), stdout);
	return 0;
}

static const struct cli_command systemd_command = {
	.name = "systemd",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Generate a systemd unit for a container",
	.options = unit_options,
	.option_count = ARRAY_SIZE(unit_options),
	.options_size = sizeof(struct unit_options),
	.defaults = unit_defaults,
	CLI_MORE(systemd_run),
	.min_args = 1,
	.max_args = 1,
};

static const struct cli_command *const generate_verbs[] = { &systemd_command, NULL };

const struct cli_command generate_command = {
	.name = "generate",
	.synopsis = "COMMAND",
	.summary = "Generate units from containers",
	.subcommands = generate_verbs,
};
