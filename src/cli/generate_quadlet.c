/* `masu generate quadlet`: the .container file that podman's systemd generator reads. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/recreate.h"
#include "cli/session.h"
#include "cli/unit_text.h"

static const struct cli_option quadlet_options[] = {
	UNIT_AFTER,
	UNIT_ENV,
	UNIT_OPT(files, "files", 'f', CLI_BOOL, NULL,
		 "Write a .container file instead of printing to stdout"),
	UNIT_NO_HEADER,
	UNIT_REQUIRES,
	UNIT_RESTART_POLICY,
	UNIT_RESTART_SEC,
	UNIT_START_TIMEOUT,
	UNIT_STOP_TIMEOUT,
	UNIT_WANTS,
};

/* How a setting of podman-systemd.unit(5) is read. */
enum quadlet_kind {
	QUADLET_VALUE, /* the rest of the line */
	QUADLET_WORD,  /* words, so the value is quoted */
	QUADLET_TRUE,  /* a flag */
};

static const struct {
	const char *flag, *key;
	enum quadlet_kind kind;
} settings[] = {
	{ "--add-host", "AddHost", QUADLET_VALUE },
	{ "--annotation", "Annotation", QUADLET_WORD },
	{ "--cap-add", "AddCapability", QUADLET_WORD },
	{ "--cap-drop", "DropCapability", QUADLET_WORD },
	{ "--device", "AddDevice", QUADLET_VALUE },
	{ "--dns", "DNS", QUADLET_VALUE },
	{ "--dns-option", "DNSOption", QUADLET_VALUE },
	{ "--dns-search", "DNSSearch", QUADLET_VALUE },
	{ "--entrypoint", "Entrypoint", QUADLET_VALUE },
	{ "--env", "Environment", QUADLET_WORD },
	{ "--expose", "ExposeHostPort", QUADLET_VALUE },
	{ "--group-add", "GroupAdd", QUADLET_VALUE },
	{ "--health-cmd", "HealthCmd", QUADLET_VALUE },
	{ "--health-interval", "HealthInterval", QUADLET_VALUE },
	{ "--health-on-failure", "HealthOnFailure", QUADLET_VALUE },
	{ "--health-retries", "HealthRetries", QUADLET_VALUE },
	{ "--health-start-period", "HealthStartPeriod", QUADLET_VALUE },
	{ "--health-timeout", "HealthTimeout", QUADLET_VALUE },
	{ "--hostname", "HostName", QUADLET_VALUE },
	{ "--init", "RunInit", QUADLET_TRUE },
	{ "--ip", "IP", QUADLET_VALUE },
	{ "--ip6", "IP6", QUADLET_VALUE },
	{ "--label", "Label", QUADLET_WORD },
	{ "--log-driver", "LogDriver", QUADLET_VALUE },
	{ "--log-opt", "LogOpt", QUADLET_VALUE },
	{ "--mount", "Mount", QUADLET_VALUE },
	{ "--name", "ContainerName", QUADLET_VALUE },
	{ "--network", "Network", QUADLET_VALUE },
	{ "--network-alias", "NetworkAlias", QUADLET_VALUE },
	{ "--pids-limit", "PidsLimit", QUADLET_VALUE },
	{ "--publish", "PublishPort", QUADLET_VALUE },
	{ "--read-only", "ReadOnly", QUADLET_TRUE },
	{ "--shm-size", "ShmSize", QUADLET_VALUE },
	{ "--stop-signal", "StopSignal", QUADLET_VALUE },
	{ "--stop-timeout", "StopTimeout", QUADLET_VALUE },
	{ "--sysctl", "Sysctl", QUADLET_WORD },
	{ "--tmpfs", "Tmpfs", QUADLET_VALUE },
	{ "--ulimit", "Ulimit", QUADLET_VALUE },
	{ "--user", "User", QUADLET_VALUE },
	{ "--volume", "Volume", QUADLET_VALUE },
	{ "--workdir", "WorkingDir", QUADLET_VALUE },
};

/* The unit says these. */
static const char *const of_the_unit[] = { "-a", "-d", "--restart", "--rm" };
/* Podman has no such option. */
static const char *const of_masu[] = { "--domainname", "--health-start-interval", "--kernel-memory",
				       "--proc=limits", "--runtime" };

static bool is_one_of(const char *const *list, size_t count, const char *flag)
{
	for (size_t i = 0; i < count; i++)
		if (streq(list[i], flag))
			return true;
	return false;
}

/* An option that quadlet has no setting for is one of `podman run`'s. */
static void put_podman_argument(struct buf *out, const struct recreate_option *option)
{
	buf_printf(out, "PodmanArgs=%s", option->flag);
	if (option->value) {
		buf_putc(out, ' ');
		unit_word(out, option->value, true);
	}
	buf_putc(out, '\n');
}

static void put_option(struct buf *out, const struct recreate_option *option)
{
	size_t i = 0;
	while (i < ARRAY_SIZE(settings) && !streq(settings[i].flag, option->flag))
		i++;
	if (i == ARRAY_SIZE(settings) ||
	    (settings[i].kind == QUADLET_VALUE && !unit_value_plain(option->value))) {
		put_podman_argument(out, option);
		return;
	}
	buf_printf(out, "%s=", settings[i].key);
	if (settings[i].kind == QUADLET_TRUE)
		buf_puts(out, "true");
	else if (settings[i].kind == QUADLET_WORD)
		unit_word(out, option->value, true);
	else
		unit_value(out, option->value, true);
	buf_putc(out, '\n');
}

static int put_container(struct buf *out, const struct recreate *again, struct masu_error *err)
{
	buf_puts(out, "\n[Container]\nImage=");
	unit_value(out, again->image, true);
	buf_putc(out, '\n');
	for (size_t i = 0; i < again->option_count; i++) {
		const struct recreate_option *option = &again->options[i];
		if (is_one_of(of_the_unit, ARRAY_SIZE(of_the_unit), option->flag))
			continue;
		if (is_one_of(of_masu, ARRAY_SIZE(of_masu), option->flag))
			return error_set(err, -EINVAL,
					 "the container has %s, which podman has not; "
					 "`masu generate systemd --new` writes a unit with it",
					 option->flag);
		put_option(out, option);
	}
	if (*again->command)
		buf_puts(out, "Exec=");
	for (const char *const *word = again->command; *word; word++) {
		unit_word(out, *word, true);
		buf_putc(out, word[1] ? ' ' : '\n');
	}
	return 0;
}

static int quadlet_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct unit_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct container container;
	struct recreate again;
	char file[NAME_MAX + 1];
	buf_init(&text, 1u << 20);
	int r = unit_open(context, options, argv[0], &engine, &container, err);
	if (r == 0)
		r = recreate_options(&engine, context->arena, &container, &again, err);
	if (r == 0 && str_format(file, sizeof(file), "%s.container", container.name) < 0)
		r = error_set(err, -ENAMETOOLONG, "the unit's name is too long");
	if (r < 0)
		return r;
	if (!options->no_header)
		buf_printf(&text, "# %s\n# autogenerated by masu %s\n\n", file, MASU_VERSION);
	buf_printf(&text, "[Unit]\nDescription=Container %s\n", container.name);
	unit_put_dependencies(&text, options);
	r = put_container(&text, &again, err);
	if (r < 0)
		return r;
	buf_puts(&text, "\n[Service]\n");
	unit_put_policy(&text, options, &container);
	buf_puts(&text, "\n[Install]\nWantedBy=multi-user.target\n");
	return unit_publish(options, file, &text, err);
}

const struct cli_command generate_quadlet_command = {
	.name = "quadlet",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Generate a podman quadlet file for a container",
	.options = quadlet_options,
	.option_count = ARRAY_SIZE(quadlet_options),
	.options_size = sizeof(struct unit_options),
	.defaults = unit_defaults,
	CLI_MORE(quadlet_run),
	.min_args = 1,
	.max_args = 1,
};
