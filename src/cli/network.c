/* `masu network`. */
#include "cli/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/inspect.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/volume.h"

/* ---- connect ---- */

struct connect_options {
	const char *ip, *ip6;
	int64_t gw_priority;
	struct cli_list alias, link, link_local_ip, driver_opt;
};

static const struct cli_option connect_options[] = {
	CLI_OPT(struct connect_options, alias, "alias", 0, CLI_LIST, "strings",
		"Add network-scoped alias for the container"),
	CLI_OPT(struct connect_options, driver_opt, "driver-opt", 0, CLI_LIST, "strings",
		"Driver options for the network (not supported)"),
	CLI_OPT(struct connect_options, gw_priority, "gw-priority", 0, CLI_INT, "int",
		"Highest gw-priority provides the default gateway"),
	CLI_OPT(struct connect_options, ip, "ip", 0, CLI_STRING, "string",
		"IPv4 address (e.g., \"172.30.100.104\")"),
	CLI_OPT(struct connect_options, ip6, "ip6", 0, CLI_STRING, "string",
		"IPv6 address (e.g., \"2001:db8::33\")"),
	CLI_OPT(struct connect_options, link, "link", 0, CLI_LIST, "list",
		"Add link to another container (not supported)"),
	CLI_OPT(struct connect_options, link_local_ip, "link-local-ip", 0, CLI_LIST, "strings",
		"Add a link-local address for the container (not supported)"),
};

static int check_connect(const struct connect_options *o, struct masu_error *err)
{
	struct in6_addr scratch;
	if (o->link.count)
		return error_set(err, -ENOTSUP,
				 "--link is not supported; containers of one network reach each "
				 "other by name, and by another with --alias");
	if (o->link_local_ip.count)
		return error_set(err, -ENOTSUP,
				 "--link-local-ip is not supported; use --ip or --ip6");
	if (o->driver_opt.count)
		return error_set(err, -ENOTSUP,
				 "--driver-opt is not supported; give -o to network create");
	if ((o->ip && inet_pton(AF_INET, o->ip, &scratch) != 1) ||
	    (o->ip6 && inet_pton(AF_INET6, o->ip6, &scratch) != 1))
		return error_set(err, -EINVAL, "invalid IP address: %.60s", o->ip ? o->ip : o->ip6);
	if (o->gw_priority < INT32_MIN || o->gw_priority > INT32_MAX)
		return error_set(err, -EINVAL, "invalid --gw-priority");
	return 0;
}

static int connect_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct connect_options *o = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	char id[65];
	const struct network_config network = { .name = argv[0],
						.ip = o->ip,
						.ip6 = o->ip6,
						.aliases = o->alias.items,
						.gw_priority = (int)o->gw_priority };
	int r = check_connect(o, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_resolve(&engine, argv[1], id, err);
	return r < 0 ? r : engine_network_attach(&engine, id, &network, err);
}

static const struct cli_command connect_verb = {
	.name = "connect",
	.synopsis = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Connect a container to a network",
	.options = connect_options,
	.option_count = ARRAY_SIZE(connect_options),
	.options_size = sizeof(struct connect_options),
	CLI_MORE(connect_run),
	.min_args = 2,
	.max_args = 2,
};

/* ---- disconnect ---- */

struct force_options {
	bool force;
};

static const struct cli_option disconnect_options[] = {
	CLI_OPT(struct force_options, force, "force", 'f', CLI_BOOL, NULL,
		"Force the container to disconnect from a network"),
};

static int disconnect_run(struct cli_context *context, void *pointer, int argc, char **argv,
			  struct masu_error *err)
{
	const struct force_options *o = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct network_leftovers found;
	char id[65];
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	r = engine_resolve(&engine, argv[1], id, err);
	/* What a container that is gone has left there. */
	if (r == -ENOENT && o->force)
		return network_check(engine.root_fd, engine.run_fd, argv[0], true, &found, err);
	return r < 0 ? r : engine_network_detach(&engine, id, argv[0], err);
}

static const struct cli_command disconnect_verb = {
	.name = "disconnect",
	.synopsis = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Disconnect a container from a network",
	.options = disconnect_options,
	.option_count = ARRAY_SIZE(disconnect_options),
	.options_size = sizeof(struct force_options),
	CLI_MORE(disconnect_run),
	.min_args = 2,
	.max_args = 2,
};

/* ---- inspect ---- */

struct inspect_options {
	const char *format;
	bool verbose;
};

static const struct cli_option inspect_options[] = {
	CLI_OPT(struct inspect_options, format, "format", 'f', CLI_STRING, "string",
		"Format output using a custom template: json, or a Go template"),
	CLI_OPT(struct inspect_options, verbose, "verbose", 'v', CLI_BOOL, NULL,
		"Verbose output for diagnostics (of swarm services, which do not exist here)"),
};

static int inspect_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct inspect_options *o = pointer;
	const struct inspect_request request = { .type = "network", .format = o->format };
	return inspect_objects(context, &request, argc, argv, err);
}

static const struct cli_command inspect_verb = {
	.name = "inspect",
	.synopsis = "[OPTIONS] NETWORK [NETWORK...]",
	.summary = "Display detailed information on one or more networks",
	.options = inspect_options,
	.option_count = ARRAY_SIZE(inspect_options),
	.options_size = sizeof(struct inspect_options),
	CLI_MORE(inspect_run),
	.min_args = 1,
	.max_args = -1,
};

/* ---- rm ---- */

static const struct cli_option rm_options[] = {
	CLI_OPT(struct force_options, force, "force", 'f', CLI_BOOL, NULL,
		"Do not error if the network does not exist"),
};

static int rm_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct force_options *o = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	int status = 0;
	int r = session_open(context, &engine, err);
	for (int i = 0; i < argc && r == 0; i++) {
		struct masu_error why = { 0 };
		int removed = engine_network_remove(&engine, argv[i], &why);
		if (removed == 0) {
			puts(argv[i]);
		} else if (removed != -ENOENT || !o->force) {
			session_report(&why);
			status = 1;
		}
	}
	return r < 0 ? r : status;
}

static const struct cli_command rm_verb = {
	.name = "rm",
	.aliases = "remove",
	.synopsis = "[OPTIONS] NETWORK [NETWORK...]",
	.summary = "Remove one or more networks",
	.options = rm_options,
	.option_count = ARRAY_SIZE(rm_options),
	.options_size = sizeof(struct force_options),
	CLI_MORE(rm_run),
	.min_args = 1,
	.max_args = -1,
};

/* clang-format off */
static const struct cli_command *const verbs[] = {
	&connect_verb,
	&network_create_command,
	&disconnect_verb,
	&inspect_verb,
	&network_ls_command,
	&network_prune_command,
	&rm_verb,
	NULL,
};
/* clang-format on */

const struct cli_command network_command = {
	.name = "network",
	.synopsis = "COMMAND",
	.summary = "Manage networks",
	.subcommands = verbs,
};
