/* A container's configuration as an OCI runtime spec: Docker's defaults, then what was asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "engine/internal.h"

bool mode_container(const char *mode, const char **ret)
{
	const char *id = mode ? str_after(mode, "container:") : NULL;
	if (id && ret)
		*ret = id;
	return id != NULL;
}

/* Docker: the short id, or the host's name for a container in the host's network. */
const char *container_hostname(const struct container *container)
{
	static char host[sizeof(((struct utsname *)0)->nodename)];
	static char short_id[13];
	struct utsname names;
	if (container->config.hostname && container->config.hostname[0])
		return container->config.hostname;
	if (mode_host(container->config.network) && uname(&names) == 0) {
		memcpy(host, names.nodename, sizeof(host));
		return host;
	}
	snprintf(short_id, sizeof(short_id), "%.12s", container->id);
	return short_id;
}

static void namespace_set(struct oci_spec *spec, enum oci_namespace ns, const char *mode,
			  const char *join)
{
	spec->namespaces[ns].present = !mode_host(mode);
	spec->namespaces[ns].path = join;
}

int spec_namespaces(const struct spec_context *context, struct oci_spec *spec,
		    struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	if (config->userns_mode && config->userns_mode[0] && !mode_host(config->userns_mode))
		return error_set(err, -EINVAL, "--userns %s: only \"host\" is supported",
				 config->userns_mode);
	spec->namespaces[OCI_NS_MOUNT].present = true;
	namespace_set(spec, OCI_NS_PID, config->pid_mode, context->join_pid);
	namespace_set(spec, OCI_NS_IPC, config->ipc_mode, context->join_ipc);
	namespace_set(spec, OCI_NS_UTS, config->uts_mode, NULL);
	namespace_set(spec, OCI_NS_NETWORK, config->network, context->join_network);
	namespace_set(spec, OCI_NS_CGROUP, config->cgroupns_mode, NULL);
	return 0;
}

static char *cgroup_path(struct arena *arena, const struct container *container)
{
	const char *parent = container->config.cgroup_parent;
	if (!parent || !*parent)
		parent = "/masu";
	size_t len = strlen(parent);
	return arena_printf(arena, "%s%s%s", parent, parent[len - 1] == '/' ? "" : "/",
			    container->id);
}

int spec_cgroup(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err)
{
	spec->cgroups_path = cgroup_path(context->arena, context->container);
	if (!spec->cgroups_path)
		return error_set(err, -ENOMEM, "out of memory");
	int r = spec_devices(context, spec, err);
	return r < 0 ? r : spec_resources(context, spec, err);
}

int spec_build(const struct spec_context *context, struct oci_spec *ret, struct masu_error *err)
{
	const struct container *container = context->container;
	struct oci_spec spec = {
		.version = "1.2.0",
		.has_root = true,
		.root_path = "rootfs",
		.root_readonly = container->config.readonly_rootfs,
		.rootfs_propagation = MS_PRIVATE | MS_REC,
		.annotations = container->config.annotations,
		.annotation_count = container->config.annotation_count,
	};
	if (!mode_host(container->config.uts_mode)) {
		spec.hostname = container_hostname(container);
		if (container->config.domainname && container->config.domainname[0])
			spec.domainname = container->config.domainname;
	}
	int r = spec_process(context, &spec.process, err);
	if (r == 0)
		r = spec_namespaces(context, &spec, err);
	if (r == 0)
		r = spec_cgroup(context, &spec, err);
	if (r == 0)
		r = spec_mounts(context, &spec, err);
	if (r == 0)
		r = spec_security(context, &spec, err);
	if (r == 0)
		*ret = spec;
	return r;
}
