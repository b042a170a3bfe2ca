/* `masu generate systemd`: a unit for a single container, with podman's options. */
#include "cli/generate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/recreate.h"
#include "cli/session.h"
#include "cli/unit_text.h"
#include "sys/fs.h"

#define STOP_MARGIN 60 /* seconds systemd waits longer than masu does */

static const struct cli_option systemd_options[] = {
	UNIT_AFTER,
	UNIT_OPT(prefix, "container-prefix", 0, CLI_STRING, "string",
		 "Prefix of the unit's name (default \"container\")"),
	UNIT_ENV,
	UNIT_OPT(files, "files", 'f', CLI_BOOL, NULL,
		 "Write a .service file instead of printing to stdout"),
	UNIT_OPT(name, "name", 'n', CLI_BOOL, NULL, "Use the container's name instead of its ID"),
	UNIT_OPT(new, "new", 0, CLI_BOOL, NULL,
		 "Make a new container at every start, and remove it at its end"),
	UNIT_NO_HEADER,
	UNIT_REQUIRES,
	UNIT_RESTART_POLICY,
	UNIT_RESTART_SEC,
	UNIT_OPT(separator, "separator", 0, CLI_STRING, "string",
		 "Separator between prefix and name or ID (default \"-\")"),
	UNIT_START_TIMEOUT,
	UNIT_STOP_TIMEOUT,
	UNIT_WANTS,
};

void unit_defaults(void *pointer)
{
	struct unit_options *options = pointer;
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
	bool known = !o->restart_policy;
	for (size_t i = 0; o->restart_policy && i < ARRAY_SIZE(policies); i++)
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

/* ---- what every unit has ---- */

int unit_open(struct cli_context *context, const struct unit_options *options, const char *name,
	      struct engine *engine, struct container *ret, struct masu_error *err)
{
	int r = check_options(options, err);
	if (r == 0)
		r = session_container(context, name, engine, ret, err);
	return r;
}

static void put_list(struct buf *out, const char *setting, const struct cli_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		buf_printf(out, "%s=%s\n", setting, list->items[i]);
}

void unit_put_dependencies(struct buf *out, const struct unit_options *o)
{
	buf_puts(out, "Wants=network-online.target\nAfter=network-online.target\n");
	put_list(out, "After", &o->after);
	put_list(out, "Wants", &o->wants);
	put_list(out, "Requires", &o->requires);
}

int64_t unit_stop_seconds(const struct unit_options *o, const struct container *container)
{
	if (o->stop_timeout >= 0)
		return o->stop_timeout;
	return container->config.stop_timeout >= 0 ? container->config.stop_timeout : 10;
}

static const char *restart_of(const struct container *container)
{
	enum restart_policy policy = container->config.restart;
	return policy == RESTART_NO || policy == RESTART_ON_FAILURE ? "on-failure" : "always";
}

void unit_put_policy(struct buf *out, const struct unit_options *o,
		     const struct container *container)
{
	for (size_t i = 0; i < o->env.count; i++) {
		buf_puts(out, "Environment=");
		unit_word(out, o->env.items[i], false);
		buf_putc(out, '\n');
	}
	buf_printf(out, "Restart=%s\n",
		   o->restart_policy ? o->restart_policy : restart_of(container));
	if (o->restart_sec >= 0)
		buf_printf(out, "RestartSec=%lld\n", (long long)o->restart_sec);
	if (o->start_timeout >= 0)
		buf_printf(out, "TimeoutStartSec=%lld\n", (long long)o->start_timeout);
	buf_printf(out, "TimeoutStopSec=%lld\n",
		   (long long)unit_stop_seconds(o, container) + STOP_MARGIN);
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

int unit_publish(const struct unit_options *options, const char *file, const struct buf *text,
		 struct masu_error *err)
{
	if (buf_error(text))
		return error_set(err, -ENOMEM, "out of memory");
	if (options->files)
		return write_file(file, text, err);
	fputs(buf_str(text), stdout);
	return 0;
}

/* ---- systemd ---- */

struct service {
	struct cli_context *context;
	const struct engine *engine;
	const struct unit_options *options;
	const struct container *container;
	const char *who;	      /* its name or id */
	const struct recreate *again; /* --new: what makes it */
	struct buf *out;
};

static void put_argument(struct buf *out, const char *word)
{
	buf_putc(out, ' ');
	unit_word(out, word, true);
}

/* The beginning of a command, and the words behind it, NULL-terminated. */
static void put_command(const struct service *s, const char *setting, const char *const *words)
{
	buf_printf(s->out, "%s=", setting);
	unit_word(s->out, s->context->self_path, true);
	put_argument(s->out, "--root");
	put_argument(s->out, s->engine->root);
	put_argument(s->out, "--runroot");
	put_argument(s->out, s->engine->runroot);
	for (; *words; words++)
		put_argument(s->out, *words);
}

/* What systemd does instead is not said to the container. */
static bool is_of_the_unit(const char *flag)
{
	static const char *const flags[] = { "-d", "-a", "--rm", "--restart" };
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (streq(flag, flags[i]))
			return true;
	return false;
}

/* Made first and then started, rather than run: so it has the stdin of a detached container, which
 * with -i stays open. */
static void put_create(const struct service *s)
{
	static const char *const words[] = { "create", "--rm", NULL };
	put_command(s, "ExecStartPre", words);
	for (size_t i = 0; i < s->again->option_count; i++) {
		const struct recreate_option *option = &s->again->options[i];
		if (is_of_the_unit(option->flag))
			continue;
		buf_printf(s->out, " \\\n\t%s", option->flag);
		if (option->value)
			put_argument(s->out, option->value);
	}
	buf_puts(s->out, " \\\n\t");
	unit_word(s->out, s->again->image, true);
	for (const char *const *word = s->again->command; *word; word++)
		put_argument(s->out, *word);
	buf_putc(s->out, '\n');
}

static void put_unit_section(const struct service *s, const char *unit)
{
	buf_printf(s->out,
		   "[Unit]\nDescription=masu %s\nDocumentation=man:masu-generate-systemd(1)\n"
		   "RequiresMountsFor=",
		   unit);
	unit_word(s->out, s->engine->root, false);
	buf_putc(s->out, ' ');
	unit_word(s->out, s->engine->runroot, false);
	buf_putc(s->out, '\n');
	unit_put_dependencies(s->out, s->options);
}

static void put_service_section(const struct service *s)
{
	char timeout[24];
	const char *const remove[] = { "rm", "--force", "--ignore", s->who, NULL };
	const char *const start[] = { "start", "--attach", s->who, NULL };
	const char *const stop[] = { "stop", "--timeout", timeout, s->who, NULL };
	const char *const stop_new[] = { "stop", "--ignore", "--timeout", timeout, s->who, NULL };
	snprintf(timeout, sizeof(timeout), "%lld",
		 (long long)unit_stop_seconds(s->options, s->container));
	buf_puts(s->out, "\n[Service]\nType=exec\n");
	unit_put_policy(s->out, s->options, s->container);
	if (s->again) {
		put_command(s, "ExecStartPre", remove);
		buf_putc(s->out, '\n');
		put_create(s);
	}
	put_command(s, "ExecStart", start);
	buf_putc(s->out, '\n');
	put_command(s, "ExecStop", s->again ? stop_new : stop);
	/* The monitor is a process of the service; it goes by itself, after its container. */
	buf_puts(s->out, "\nSuccessExitStatus=143\nKillMode=process\n"
			 "\n[Install]\nWantedBy=multi-user.target\n");
}

static int systemd_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct unit_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct container container;
	struct recreate again;
	struct service service = { context, &engine, options, &container, .out = &text };
	char unit[NAME_MAX + 1];
	buf_init(&text, 1u << 20);
	int r = unit_open(context, options, argv[0], &engine, &container, err);
	if (r < 0)
		return r;
	const char *id = options->name ? container.name : container.id;
	if (options->new) {
		r = recreate_options(&engine, context->arena, &container, &again, err);
		if (r < 0)
			return r;
		service.again = &again;
	} else if (container.config.restart != RESTART_NO) {
		return error_set(
			err, -EINVAL,
			"container %s has a restart policy of its own, and two would start "
			"it; `masu update --restart no %s` leaves it to systemd, and --new does",
			container.name, container.name);
	}
	/* A new container has another id. */
	service.who = options->new ? container.name : id;
	if (str_format(unit, sizeof(unit), "%s%s%s.service", options->prefix, options->separator,
		       id) < 0)
		return error_set(err, -ENAMETOOLONG, "the unit's name is too long");
	if (!options->no_header)
		buf_printf(&text, "# %s\n# autogenerated by masu %s\n\n", unit, MASU_VERSION);
	put_unit_section(&service, unit);
	put_service_section(&service);
	return unit_publish(options, unit, &text, err);
}

static const struct cli_command systemd_command = {
	.name = "systemd",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Generate a systemd unit for a container",
	.options = systemd_options,
	.option_count = ARRAY_SIZE(systemd_options),
	.options_size = sizeof(struct unit_options),
	.defaults = unit_defaults,
	CLI_MORE(systemd_run),
	.min_args = 1,
	.max_args = 1,
};

static const struct cli_command *const generate_verbs[] = { &generate_quadlet_command,
							    &systemd_command, NULL };

const struct cli_command generate_command = {
	.name = "generate",
	.synopsis = "COMMAND",
	.summary = "Generate units from containers",
	.subcommands = generate_verbs,
};
