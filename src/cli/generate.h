/* What `masu generate systemd` and `masu generate quadlet` share. */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"

struct unit_options {
	bool files, name, new, no_header;
	const char *restart_policy; /* NULL: what suits the container */
	const char *prefix, *separator;
	int64_t restart_sec, start_timeout, stop_timeout; /* seconds; -1: not said */
	struct cli_list after, requires, wants, env;
};

#define UNIT_OPT(field, name, letter, kind, metavar, help)                                         \
	CLI_OPT(struct unit_options, field, name, letter, kind, metavar, help)
#define UNIT_AFTER                                                                                 \
	UNIT_OPT(after, "after", 0, CLI_LIST, "list", "Add dependencies order to the unit")
#define UNIT_ENV                                                                                   \
	UNIT_OPT(env, "env", 'e', CLI_LIST, "list",                                                \
		 "Set environment variables of the unit's commands")
#define UNIT_NO_HEADER                                                                             \
	UNIT_OPT(no_header, "no-header", 0, CLI_BOOL, NULL,                                        \
		 "Skip the header with version information")
#define UNIT_REQUIRES                                                                              \
	UNIT_OPT(requires, "requires", 0, CLI_LIST, "list",                                        \
		 "Similar to --wants, but declares stronger requirement dependencies")
#define UNIT_RESTART_POLICY                                                                        \
	UNIT_OPT(restart_policy, "restart-policy", 0, CLI_STRING, "string",                        \
		 "Systemd restart policy (default \"on-failure\", of a new container its own)")
#define UNIT_RESTART_SEC                                                                           \
	UNIT_OPT(restart_sec, "restart-sec", 0, CLI_INT, "int",                                    \
		 "Seconds to sleep before restarting the service")
#define UNIT_START_TIMEOUT                                                                         \
	UNIT_OPT(start_timeout, "start-timeout", 0, CLI_INT, "int",                                \
		 "Seconds to wait until the container has started")
#define UNIT_STOP_TIMEOUT                                                                          \
	UNIT_OPT(stop_timeout, "stop-timeout", 0, CLI_INT, "int",                                  \
		 "Seconds to wait for the container to stop before it is killed (default: the "    \
		 "container's)"),                                                                  \
		UNIT_OPT(stop_timeout, "time", 't', CLI_INT, "int", "The same as --stop-timeout")
#define UNIT_WANTS                                                                                 \
	UNIT_OPT(wants, "wants", 0, CLI_LIST, "list",                                              \
		 "Add (weak) requirement dependencies to the unit")

void unit_defaults(void *options);

/* Checks the options, and loads the container that @name is. */
int unit_open(struct cli_context *context, const struct unit_options *options, const char *name,
	      struct engine *engine, struct container *ret, struct masu_error *err);

/* Seconds that the container is given to stop. */
int64_t unit_stop_seconds(const struct unit_options *options, const struct container *container);

/* Appends "After=", "Wants=", "Requires=" as asked for; Restart= and the timeouts; Environment=. */
void unit_put_dependencies(struct buf *out, const struct unit_options *options);
void unit_put_policy(struct buf *out, const struct unit_options *options,
		     const struct container *container);

/* Prints the text, or with --files writes it to a file of this name and prints where. */
int unit_publish(const struct unit_options *options, const char *file, const struct buf *text,
		 struct masu_error *err);

extern const struct cli_command generate_quadlet_command;
