/* The process: arguments, environment, user, capabilities, limits. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/str.h"
#include "engine/internal.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Docker's fourteen. */
static const uint64_t default_capabilities =
	OCI_CAP_BIT(CAP_CHOWN) | OCI_CAP_BIT(CAP_DAC_OVERRIDE) | OCI_CAP_BIT(CAP_FSETID) |
	OCI_CAP_BIT(CAP_FOWNER) | OCI_CAP_BIT(CAP_MKNOD) | OCI_CAP_BIT(CAP_NET_RAW) |
	OCI_CAP_BIT(CAP_SETGID) | OCI_CAP_BIT(CAP_SETUID) | OCI_CAP_BIT(CAP_SETFCAP) |
	OCI_CAP_BIT(CAP_SETPCAP) | OCI_CAP_BIT(CAP_NET_BIND_SERVICE) | OCI_CAP_BIT(CAP_SYS_CHROOT) |
	OCI_CAP_BIT(CAP_KILL) | OCI_CAP_BIT(CAP_AUDIT_WRITE);

/* All that masu itself may pass on: nobody can give what he does not have. */
static uint64_t all_capabilities(void)
{
	uint64_t all = 0;
	for (unsigned cap = 0; cap < 64; cap++) {
		int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (held < 0)
			break;
		if (held)
			all |= OCI_CAP_BIT(cap);
	}
	return all;
}

static int capability_list(const char *const *names, const char *option, uint64_t *ret_set,
			   bool *ret_all, struct masu_error *err)
{
	*ret_set = 0;
	*ret_all = false;
	for (; names && *names; names++) {
		if (strcasecmp(*names, "ALL") == 0) {
			*ret_all = true;
			continue;
		}
		int cap = oci_capability_number(*names);
		if (cap < 0)
			return error_set(err, -EINVAL, "invalid %s: unknown capability: \"%s\"",
					 option, *names);
		*ret_set |= OCI_CAP_BIT(cap);
	}
	return 0;
}

int spec_capabilities(const struct container_config *config, uint64_t *ret, struct masu_error *err)
{
	uint64_t add = 0, drop = 0;
	bool add_all = false, drop_all = false;
	int r = capability_list(config->cap_add, "CapAdd", &add, &add_all, err);
	if (r == 0)
		r = capability_list(config->cap_drop, "CapDrop", &drop, &drop_all, err);
	if (r < 0)
		return r;
	if (config->privileged)
		*ret = all_capabilities();
	else if (add_all)
		*ret = all_capabilities() & ~drop;
	else
		*ret = ((drop_all ? 0 : default_capabilities) & ~drop) | add;
	return 0;
}

/* Length of "NAME" in "NAME=value". */
static size_t name_length(const char *variable)
{
	return strcspn(variable, "=");
}

/* Replaces the variable of the same name, else appends; "NAME" without "=" removes it. */
static void environment_set(char **env, size_t *count, char *variable)
{
	size_t len = name_length(variable);
	bool removes = variable[len] == '\0';
	for (size_t i = 0; i < *count; i++) {
		if (name_length(env[i]) != len || memcmp(env[i], variable, len) != 0)
			continue;
		if (!removes) {
			env[i] = variable;
			return;
		}
		memmove(&env[i], &env[i + 1], (--*count - i) * sizeof(*env));
		return;
	}
	if (!removes)
		env[(*count)++] = variable;
}

char **spec_environment(struct arena *arena, const struct container_config *config,
			const char *hostname, bool tty, char *const *more)
{
	size_t count = 0;
	char **env = arena_array(arena, char *, strv_length(config->env) + strv_length(more) + 4);
	char *host = arena_printf(arena, "HOSTNAME=%s", hostname);
	if (!env || !host)
		return NULL;
	env[count++] = (char *)DEFAULT_PATH;
	env[count++] = host;
	if (tty)
		env[count++] = (char *)"TERM=xterm";
	for (char *const *variable = config->env; variable && *variable; variable++)
		environment_set(env, &count, *variable);
	for (char *const *variable = more; variable && *variable; variable++)
		environment_set(env, &count, *variable);
	env[count] = NULL;
	return env;
}

/* With --init the container's pid 1 is masu-init, bound in by spec_mounts(). */
static char **process_args(struct arena *arena, const struct container *container)
{
	size_t count = strv_length((char *const *)container->args);
	size_t skip = container->config.init ? 2 : 0;
	char **args = arena_array(arena, char *, count + skip + 1);
	if (!args)
		return NULL;
	if (skip) {
		args[0] = (char *)INIT_PATH;
		args[1] = (char *)"--";
	}
	memcpy(args + skip, container->args, count * sizeof(*args));
	return args;
}

/* A limit above our own needs CAP_SYS_RESOURCE; without it the container gets what there is. */
static void clamp_limit(struct oci_rlimit *limit)
{
	struct rlimit own;
	if (getrlimit(limit->resource, &own) < 0 || own.rlim_max == RLIM_INFINITY ||
	    limit->hard <= own.rlim_max || prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1)
		return;
	log_warn("--ulimit %s: the hard limit here is %llu, and raising it needs CAP_SYS_RESOURCE",
		 limit->name, (unsigned long long)own.rlim_max);
	limit->hard = own.rlim_max;
	if (limit->soft > limit->hard)
		limit->soft = limit->hard;
}

static int process_limits(struct arena *arena, const struct container_config *config,
			  struct oci_process *process)
{
	process->rlimits = arena_array(arena, struct oci_rlimit, config->ulimit_count);
	if (!process->rlimits)
		return -ENOMEM;
	for (size_t i = 0; i < config->ulimit_count; i++) {
		process->rlimits[i] = config->ulimits[i];
		process->rlimits[i].name =
			arena_printf(arena, "RLIMIT_%s", config->ulimits[i].name);
		if (!process->rlimits[i].name)
			return -ENOMEM;
		for (char *c = (char *)process->rlimits[i].name; *c; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		clamp_limit(&process->rlimits[i]);
	}
	process->rlimit_count = config->ulimit_count;
	return 0;
}

int spec_process(const struct spec_context *context, struct oci_process *ret,
		 struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	struct arena *arena = context->arena;
	struct user_identity user;
	uint64_t capabilities;
	int r = user_resolve(arena, context->root_fd, config->user, config->group_add, &user, err);
	if (r == 0)
		r = spec_capabilities(config, &capabilities, err);
	if (r < 0)
		return r;
	struct oci_process process = {
		.present = true,
		.terminal = config->tty,
		.uid = user.uid,
		.gid = user.gid,
		.additional_gids = user.groups,
		.additional_gid_count = user.group_count,
		.args = process_args(arena, context->container),
		.env = spec_environment(arena, config, container_hostname(context->container),
					config->tty, NULL),
		.cwd = config->working_dir && config->working_dir[0] ? config->working_dir : "/",
		.has_capabilities = true,
		.capabilities = { .bounding = capabilities,
				  .effective = capabilities,
				  .permitted = capabilities },
		.has_oom_score_adj = config->oom_score_adj != 0,
		.oom_score_adj = config->oom_score_adj,
	};
	if (!process.args || !process.env || process_limits(arena, config, &process) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = process;
	return 0;
}
