/* The "hooks" section. */
#include <limits.h>

#include "oci/field.h"

static const struct oci_field hook_fields[] = {
	{ "path", OCI_ABSOLUTE, .required = true, OCI_AT(struct oci_hook, path) },
	{ "args", OCI_STRINGS, OCI_AT(struct oci_hook, args) },
	{ "env", OCI_STRINGS, OCI_AT(struct oci_hook, env) },
	{ "timeout", OCI_INT, OCI_AT(struct oci_hook, timeout),
	  OCI_HAS(struct oci_hook, has_timeout), OCI_RANGE(1, INT_MAX) },
};
static const struct oci_table hook_table = OCI_TABLE(struct oci_hook, hook_fields);

#define HOOK(hook_name, kind)                                                                      \
	{                                                                                          \
		hook_name, OCI_LIST, OCI_AT(struct oci_spec, hooks[kind].list),                    \
			OCI_COUNT(struct oci_spec, hooks[kind].count), .table = &hook_table        \
	}
static const struct oci_field hooks_fields[] = {
	HOOK("prestart", OCI_HOOK_PRESTART),
	HOOK("createRuntime", OCI_HOOK_CREATE_RUNTIME),
	HOOK("createContainer", OCI_HOOK_CREATE_CONTAINER),
	HOOK("startContainer", OCI_HOOK_START_CONTAINER),
	HOOK("poststart", OCI_HOOK_POSTSTART),
	HOOK("poststop", OCI_HOOK_POSTSTOP),
};
const struct oci_table oci_hooks_table = OCI_TABLE(struct oci_spec, hooks_fields);
