/* `masu oci`: global flags, dispatch, and errors where runc's callers look for them. */
#include "cli/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/sealed.h"
#include "exec/native/seccomp.h"
#include "json/json.h"
#include "sys/fs.h"

struct oci_runtime oci_runtime = { .root_fd = -1 };

struct oci_options {
	const char *root, *log, *log_format, *rootless, *cgroup_manager;
	bool debug, systemd_cgroup, version;
};

static const struct cli_option global_options[] = {
	CLI_OPT(struct oci_options, root, "root", 0, CLI_STRING, "dir",
		"Where the state of containers is kept (default /run/masu/oci)"),
	CLI_OPT(struct oci_options, log, "log", 0, CLI_STRING, "file",
		"Append messages to this file as well"),
	CLI_OPT(struct oci_options, log_format, "log-format", 0, CLI_STRING, "text|json",
		"How lines of --log look"),
	CLI_OPT(struct oci_options, debug, "debug", 0, CLI_BOOL, NULL, "Log what is done"),
	CLI_OPT(struct oci_options, systemd_cgroup, "systemd-cgroup", 0, CLI_BOOL, NULL,
		"Let systemd make the cgroup; cgroupsPath is slice:prefix:name"),
	CLI_OPT(struct oci_options, cgroup_manager, "cgroup-manager", 0, CLI_STRING, "manager",
		"cgroupfs, systemd or disabled"),
	CLI_OPT(struct oci_options, rootless, "rootless", 0, CLI_STRING, "true|false|auto",
		"Whether cgroup permission errors are ignored"),
	CLI_OPT(struct oci_options, version, "version", 'v', CLI_BOOL, NULL,
		"Print the version and quit"),
};

static const struct cli_command *const verbs[] = {
	&oci_create_command,   &oci_delete_command, &oci_exec_command,
	&oci_features_command, &oci_kill_command,   &oci_list_command,
	&oci_pause_command,    &oci_ps_command,	    &oci_resume_command,
	&oci_run_command,      &oci_spec_command,   &oci_start_command,
	&oci_state_command,    &oci_update_command, NULL,
};

static int oci_main(struct cli_context *context, void *options, int argc, char **argv,
		    struct masu_error *err);

const struct cli_command oci_command = {
	.name = "oci",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "OCI runtime commands, as runc has them",
	.options = global_options,
	.option_count = ARRAY_SIZE(global_options),
	.options_size = sizeof(struct oci_options),
	.run = oci_main,
	.subcommands = verbs,
	.max_args = -1,
	.stop_at_positional = true,
};

static void print_version(void)
{
	printf("masu version %s\nspec: 1.2.1\n", MASU_VERSION);
}

static void append_log(const char *message)
{
	_cleanup_close_ int fd = open(oci_runtime.log_path,
				      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return;
	log_configure(LOG_LEVEL_WARN,
		      oci_runtime.log_format && streq(oci_runtime.log_format, "json")
			      ? LOG_FORMAT_JSON
			      : LOG_FORMAT_TEXT,
		      fd);
	log_message(LOG_LEVEL_ERROR, "%s", message);
	log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, STDERR_FILENO);
}

/* One line to stderr and, for podman, containerd and conmon, the same to --log. */
static int report(const struct cli_command *command, const struct masu_error *err)
{
	const char *message = err->message[0] ? err->message : strerror(-err->code);
	fprintf(stderr, "masu: %s\n", message);
	if (oci_runtime.log_path)
		append_log(message);
	if (err->exit_status)
		return err->exit_status;
	return command && command->failure_status ? command->failure_status : 1;
}

static int set_manager(const struct oci_options *options, struct masu_error *err)
{
	const char *manager = options->cgroup_manager;
	oci_runtime.systemd = options->systemd_cgroup;
	if (!manager || streq(manager, "cgroupfs"))
		return 0;
	if (streq(manager, "systemd"))
		oci_runtime.systemd = true;
	else if (streq(manager, "disabled"))
		oci_runtime.cgroups_disabled = true;
	else
		return error_set(err, -EINVAL,
				 "--cgroup-manager: \"%s\" is none of cgroupfs, systemd, disabled",
				 manager);
	return 0;
}

static int set_log(const struct oci_options *options, struct masu_error *err)
{
	const char *format = options->log_format;
	if (format && !streq(format, "text") && !streq(format, "json"))
		return error_set(err, -EINVAL, "--log-format: \"%s\" is neither text nor json",
				 format);
	/* runc's default is /dev/stderr; that is where messages go anyway. */
	bool file = options->log && *options->log && !streq(options->log, "/dev/stderr");
	oci_runtime.log_path = file ? options->log : NULL;
	oci_runtime.log_format = format;
	if (options->debug)
		log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, STDERR_FILENO);
	return 0;
}

static int set_runtime(struct cli_context *context, const struct oci_options *options,
		       struct masu_error *err)
{
	oci_runtime.cli = context;
	oci_runtime.arena = context->arena;
	oci_runtime.root = options->root ? options->root
					 : arena_printf(context->arena, "%s/oci", context->runroot);
	const char *rootless = options->rootless;
	if (rootless && !streq(rootless, "true") && !streq(rootless, "false") &&
	    !streq(rootless, "auto"))
		return error_set(err, -EINVAL, "--rootless: \"%s\" is none of true, false, auto",
				 rootless);
	oci_runtime.rootless = rootless && streq(rootless, "true");
	char libexec[PATH_MAX] = "";
	if (cli_libexec_dir(context, libexec, sizeof(libexec)) == 0)
		oci_runtime.libexec = arena_strdup(context->arena, libexec);
	/* One cache with the engine: the filters of both are the same. */
	const struct seccomp_environment seccomp = {
		.cache_dir = arena_printf(context->arena, "%s/cache/seccomp", context->root),
		.compiler = arena_printf(context->arena, "%s/masu-seccomp", libexec),
	};
	seccomp_configure(&seccomp);
	int r = set_log(options, err);
	if (r == 0)
		r = set_manager(options, err);
	return r;
}

/* Rootless containers are not supported; what only prints needs no privilege. */
static int check_user(const struct cli_command *command, struct masu_error *err)
{
	if (geteuid() == 0 || command == &oci_features_command || command == &oci_spec_command)
		return 0;
	return error_set(err, -EPERM, "masu oci %s: needs to be root", command->name);
}

static const struct cli_command *find_verb(const char *name)
{
	for (const struct cli_command *const *verb = verbs; *verb; verb++)
		if (streq((*verb)->name, name))
			return *verb;
	return NULL;
}

static int check_count(const struct cli_command *command, int argc, struct masu_error *err)
{
	if (argc >= command->min_args && (command->max_args < 0 || argc <= command->max_args))
		return 0;
	return error_set(err, -EINVAL, "\"%s\" takes: %s", command->name, command->synopsis);
}

static int run_verb(struct cli_context *context, const struct cli_command *command, int argc,
		    char **argv, struct masu_error *err)
{
	char path[64];
	void *options = arena_alloc(context->arena, command->options_size + 1);
	if (!options)
		return error_set(err, -ENOMEM, "out of memory");
	if (command->defaults)
		command->defaults(options);
	bool help = false;
	int count;
	char **positional;
	str_format(path, sizeof(path), "masu oci %s", command->name);
	int r = cli_parse(context->arena, command, path, argc, argv, options, &count, &positional,
			  &help, err);
	if (help) {
		cli_help(command, path);
		return 0;
	}
	if (r == 0)
		r = check_count(command, count, err);
	if (r < 0)
		return error_exit_status(err, 1);
	if (command->enters_container) {
		r = sealed_ensure(context->self_path, context->argv, err);
		if (r < 0)
			return r;
	}
	r = command->run(context, options, count, positional, err);
	if (r < 0 && !error_is_set(err))
		error_errno(err, r, "%s", command->name);
	return r;
}

static int oci_main(struct cli_context *context, void *opaque, int argc, char **argv,
		    struct masu_error *err)
{
	const struct oci_options *options = opaque;
	if (options->version) {
		print_version();
		return 0;
	}
	if (argc == 0 || streq(argv[0], "help")) {
		cli_help(&oci_command, "masu oci");
		return 0;
	}
	const struct cli_command *command = find_verb(argv[0]);
	struct masu_error failure = { 0 };
	int r = command ? set_runtime(context, options, &failure)
			: error_set(&failure, -EINVAL,
				    "\"%s\" is not a command; see masu oci --help", argv[0]);
	if (r == 0)
		r = check_user(command, &failure);
	if (r == 0)
		r = command->more ? cli_exec_more(context, &failure)
				  : run_verb(context, command, argc - 1, argv + 1, &failure);
	return r < 0 ? report(command, &failure) : r;
}
