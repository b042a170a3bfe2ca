/* `masu network create`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/network.h"
#include "cli/parse.h"
#include "cli/session.h"

struct create_options {
	const char *driver, *ipam_driver, *scope;
	bool ipv6, internal, attachable;
	struct cli_list subnet, gateway, ip_range, aux_address, opt, label;
};

static const struct cli_option options[] = {
	CLI_OPT(struct create_options, attachable, "attachable", 0, CLI_BOOL, NULL,
		"Enable manual container attachment (always possible here)"),
	CLI_OPT(struct create_options, aux_address, "aux-address", 0, CLI_LIST, "map",
		"Auxiliary IPv4 or IPv6 addresses that no container gets (NAME=ADDRESS)"),
	CLI_OPT(struct create_options, driver, "driver", 'd', CLI_STRING, "string",
		"Driver to manage the network: bridge (the default), routed, macvlan or ipvlan"),
	CLI_OPT(struct create_options, gateway, "gateway", 0, CLI_LIST, "strings",
		"IPv4 or IPv6 gateway for the subnet"),
	CLI_OPT(struct create_options, internal, "internal", 0, CLI_BOOL, NULL,
		"Restrict external access to the network"),
	CLI_OPT(struct create_options, ip_range, "ip-range", 0, CLI_LIST, "strings",
		"Allocate container addresses from a sub-range"),
	CLI_OPT(struct create_options, ipam_driver, "ipam-driver", 0, CLI_STRING, "string",
		"IP address management driver: default"),
	CLI_OPT(struct create_options, ipv6, "ipv6", 0, CLI_BOOL, NULL,
		"Enable IPv6 networking, with a random prefix unless --subnet names one"),
	CLI_OPT(struct create_options, label, "label", 0, CLI_LIST, "list",
		"Set metadata on a network"),
	CLI_OPT(struct create_options, opt, "opt", 'o', CLI_LIST, "map",
		"Set driver specific options"),
	CLI_OPT(struct create_options, scope, "scope", 0, CLI_STRING, "string",
		"Control the network's scope: local"),
	CLI_OPT(struct create_options, subnet, "subnet", 0, CLI_LIST, "strings",
		"Subnet in CIDR format that represents a network segment"),
};

static int take_pairs(struct arena *arena, const struct oci_pair *from, size_t count,
		      const struct network_pair **ret)
{
	struct network_pair *pairs = arena_array(arena, struct network_pair, count + 1);
	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		pairs[i] = (struct network_pair) { from[i].key, from[i].value };
	*ret = pairs;
	return 0;
}

static int parse_pair_list(struct arena *arena, const char *flag, const struct cli_list *list,
			   const struct network_pair **ret, size_t *ret_count,
			   struct masu_error *err)
{
	struct oci_pair *pairs;
	const struct cli_list none = { 0 };
	int r = streq(flag, "--label") ? parse_labels(arena, &none, list, &pairs, ret_count, err)
				       : parse_pairs(arena, flag, list, &pairs, ret_count, err);
	if (r == 0 && take_pairs(arena, pairs, *ret_count, ret) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

static int check(const struct create_options *o, struct masu_error *err)
{
	if (o->ipam_driver && !streq(o->ipam_driver, "default"))
		return error_set(err, -ENOTSUP,
				 "--ipam-driver %.60s is not supported; \"default\" is",
				 o->ipam_driver);
	if (o->scope && !streq(o->scope, "local"))
		return error_set(err, -ENOTSUP, "--scope %.60s is not supported; \"local\" is",
				 o->scope);
	if ((o->ip_range.count || o->gateway.count) && !o->subnet.count)
		return error_set(err, -EINVAL,
				 "every ip-range or gateway must have a corresponding subnet");
	return 0;
}

static int create_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct create_options *o = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	char id[65];
	struct network_create request = { .name = argv[0],
					  .driver = o->driver,
					  .ipv6 = o->ipv6,
					  .internal = o->internal,
					  .attachable = o->attachable,
					  .subnets = o->subnet.items,
					  .gateways = o->gateway.items,
					  .ranges = o->ip_range.items };
	int r = check(o, err);
	if (r == 0)
		r = parse_pair_list(context->arena, "--aux-address", &o->aux_address,
				    &request.reserved, &request.reserved_count, err);
	if (r == 0)
		r = parse_pair_list(context->arena, "--opt", &o->opt, &request.options,
				    &request.option_count, err);
	if (r == 0)
		r = parse_pair_list(context->arena, "--label", &o->label, &request.labels,
				    &request.label_count, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_network_create(&engine, &request, id, err);
	if (r == 0)
		puts(id);
	return r;
}

const struct cli_command network_create_command = {
	.name = "create",
	.synopsis = "[OPTIONS] NETWORK",
	.summary = "Create a network",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.options_size = sizeof(struct create_options),
	CLI_MORE(create_run),
	.min_args = 1,
	.max_args = 1,
};
