/* Seccomp, masked paths, --security-opt, --sysctl. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "engine/internal.h"
#include "exec/native/seccomp.h"

static const char *const masked_paths[] = {
	"/proc/asound",
	"/proc/acpi",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
	NULL,
};

static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

struct security {
	bool no_new_privileges;
	bool system_paths_unconfined;
	const char *seccomp; /* NULL: the default; "unconfined"; or a profile's text */
	const char *apparmor;
};

/* Docker accepts both "name=value" and "name:value". */
static const char *option_value(const char *option, const char *name)
{
	const char *rest = str_after(option, name);
	return rest && (*rest == '=' || *rest == ':') ? rest + 1 : NULL;
}

static int parse_no_new_privileges(const char *option, struct security *security,
				   struct masu_error *err)
{
	const char *value = option_value(option, "no-new-privileges");
	if (!value || streq(value, "true"))
		security->no_new_privileges = true;
	else if (streq(value, "false"))
		security->no_new_privileges = false;
	else
		return error_set(err, -EINVAL, "invalid --security-opt: \"%s\"", option);
	return 0;
}

static int parse_option(const char *option, struct security *security, struct masu_error *err)
{
	const char *value;
	if (str_after(option, "no-new-privileges"))
		return parse_no_new_privileges(option, security, err);
	if ((value = option_value(option, "seccomp"))) {
		security->seccomp =
			streq(value, "builtin") || streq(value, "default") ? NULL : value;
		return 0;
	}
	if ((value = option_value(option, "systempaths")) && streq(value, "unconfined")) {
		security->system_paths_unconfined = true;
		return 0;
	}
	if ((value = option_value(option, "apparmor"))) {
		security->apparmor = streq(value, "unconfined") ? NULL : value;
		return 0;
	}
	if ((value = option_value(option, "label")) && streq(value, "disable"))
		return 0;
	if (value && str_after(option, "label"))
		return error_set(err, -ENOTSUP,
				 "--security-opt %s: SELinux labels other than "
				 "\"disable\" are not supported",
				 option);
	return error_set(err, -EINVAL, "invalid --security-opt 2: \"%s\"", option);
}

static int parse_options(const struct container_config *config, struct security *ret,
			 struct masu_error *err)
{
	struct security security = { 0 };
	if (config->privileged) {
		security.seccomp = "unconfined";
		security.system_paths_unconfined = true;
	}
	for (const char **option = config->security_opt; option && *option; option++) {
		int r = parse_option(*option, &security, err);
		if (r < 0)
			return r;
	}
	*ret = security;
	return 0;
}

bool spec_protected_paths(const struct container_config *config, const char *const **ret_masked,
			  const char *const **ret_readonly)
{
	struct security security;
	if (parse_options(config, &security, NULL) < 0 || security.system_paths_unconfined)
		return false;
	*ret_masked = masked_paths;
	*ret_readonly = readonly_paths;
	return true;
}

bool spec_filter_is_default(const struct container_config *config)
{
	struct security security;
	return parse_options(config, &security, NULL) == 0 && !security.seccomp;
}

static int set_seccomp(const struct spec_context *context, const struct security *security,
		       struct oci_spec *spec, struct masu_error *err)
{
	if (security->seccomp && streq(security->seccomp, "unconfined"))
		return 0;
	spec->seccomp.present = true;
	if (!security->seccomp)
		return seccomp_default_section(context->arena, spec->process.capabilities.bounding,
					       &spec->seccomp.source, &spec->seccomp.source_len,
					       err);
	spec->seccomp.source = security->seccomp;
	spec->seccomp.source_len = strlen(security->seccomp);
	return 0;
}

/* Only what belongs to a namespace the container has to itself; all else would change the host. */
static int check_sysctl(const char *name, const struct oci_spec *spec, struct masu_error *err)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",
					   "kernel.msgmni", "kernel.sem",
					   "kernel.shmall", "kernel.shmmax",
					   "kernel.shmmni", "kernel.shm_rmid_forced" };
	const struct oci_ns *ns = spec->namespaces;
	bool own_ipc = ns[OCI_NS_IPC].present && !ns[OCI_NS_IPC].path;
	bool own_network = ns[OCI_NS_NETWORK].present && !ns[OCI_NS_NETWORK].path;
	if (str_after(name, "net."))
		return own_network ? 0
				   : error_set(err, -EINVAL,
					       "sysctl \"%s\" is not allowed without "
					       "a network namespace of its own",
					       name);
	bool is_ipc = str_after(name, "fs.mqueue.") != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
		is_ipc |= streq(name, ipc[i]);
	if (is_ipc && own_ipc)
		return 0;
	if (is_ipc)
		return error_set(err, -EINVAL,
				 "sysctl \"%s\" is not allowed without an IPC "
				 "namespace of its own",
				 name);
	if (streq(name, "kernel.domainname") && ns[OCI_NS_UTS].present)
		return 0;
	return error_set(err, -EINVAL, "sysctl \"%s\" is not in a separate kernel namespace", name);
}

/* As docker: without these an unprivileged user can neither ping nor serve a port below 1024. */
static const struct oci_pair default_sysctls[] = {
	{ "net.ipv4.ip_unprivileged_port_start", "0" },
	{ "net.ipv4.ping_group_range", "0 2147483647" },
};

static bool sysctl_given(const struct container_config *config, const char *name)
{
	for (size_t i = 0; i < config->sysctl_count; i++)
		if (streq(config->sysctls[i].key, name))
			return true;
	return false;
}

static int set_sysctls(const struct spec_context *context, struct oci_spec *spec,
		       struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	const struct oci_ns *network = &spec->namespaces[OCI_NS_NETWORK];
	spec->sysctl = arena_array(context->arena, struct oci_pair,
				   config->sysctl_count + ARRAY_SIZE(default_sysctls));
	if (!spec->sysctl)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->sysctl_count; i++) {
		int r = check_sysctl(config->sysctls[i].key, spec, err);
		if (r < 0)
			return r;
		spec->sysctl[spec->sysctl_count++] = config->sysctls[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(default_sysctls); i++)
		if (network->present && !network->path && !config->privileged &&
		    !sysctl_given(config, default_sysctls[i].key))
			spec->sysctl[spec->sysctl_count++] = default_sysctls[i];
	return 0;
}

int spec_security(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err)
{
	struct security security;
	int r = parse_options(&context->container->config, &security, err);
	if (r == 0)
		r = set_seccomp(context, &security, spec, err);
	if (r == 0)
		r = set_sysctls(context, spec, err);
	if (r < 0)
		return r;
	spec->process.no_new_privileges = security.no_new_privileges;
	spec->process.apparmor_profile = security.apparmor;
	if (!security.system_paths_unconfined) {
		spec->masked_paths = (char **)masked_paths;
		spec->readonly_paths = (char **)readonly_paths;
	}
	return 0;
}
