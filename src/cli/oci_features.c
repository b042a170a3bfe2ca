/* `masu oci features` (features.md): what this build recognises, whatever the host can do. */
#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "sys/fs.h"

static void put_list(struct json_writer *w, const char *key, const char *const *items)
{
	json_key(w, key);
	json_begin_array(w);
	for (; *items; items++)
		json_put_string(w, *items);
	json_end_array(w);
}

static void put_enabled(struct json_writer *w, const char *key, bool enabled)
{
	json_key(w, key);
	json_begin_object(w);
	json_field_bool(w, "enabled", enabled);
	json_end_object(w);
}

static void put_mount_options(struct json_writer *w)
{
	const char *name, *last = "";
	json_key(w, "mountOptions");
	json_begin_array(w);
	for (size_t i = 0; (name = oci_mount_option_name(i)); i++) {
		if (!streq(name, last))
			json_put_string(w, name);
		last = name;
	}
	json_end_array(w);
}

static void put_seccomp(struct json_writer *w)
{
	static const char *const actions[] = { "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
					       "SCMP_ACT_KILL",	       "SCMP_ACT_KILL_PROCESS",
					       "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
					       "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
					       "SCMP_ACT_TRAP",	       NULL };
	static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
						 "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
						 "SCMP_CMP_NE", NULL };
	static const char *const archs[] = { "SCMP_ARCH_AARCH64",   "SCMP_ARCH_ARM",
					     "SCMP_ARCH_MIPS",	    "SCMP_ARCH_MIPS64",
					     "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
					     "SCMP_ARCH_MIPSEL64",  "SCMP_ARCH_MIPSEL64N32",
					     "SCMP_ARCH_PARISC",    "SCMP_ARCH_PARISC64",
					     "SCMP_ARCH_PPC",	    "SCMP_ARCH_PPC64",
					     "SCMP_ARCH_PPC64LE",   "SCMP_ARCH_RISCV64",
					     "SCMP_ARCH_S390",	    "SCMP_ARCH_S390X",
					     "SCMP_ARCH_X32",	    "SCMP_ARCH_X86",
					     "SCMP_ARCH_X86_64",    NULL };
	static const char *const flags[] = { "SECCOMP_FILTER_FLAG_TSYNC",
					     "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
					     "SECCOMP_FILTER_FLAG_LOG",
					     "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };
	json_key(w, "seccomp");
	json_begin_object(w);
	json_field_bool(w, "enabled", true);
	put_list(w, "actions", actions);
	put_list(w, "operators", operators);
	put_list(w, "archs", archs);
	put_list(w, "knownFlags", flags);
	put_list(w, "supportedFlags", flags);
	json_end_object(w);
}

static void put_capabilities(struct json_writer *w)
{
	const char *name;
	json_key(w, "capabilities");
	json_begin_array(w);
	for (unsigned cap = 0; (name = oci_capability_name(cap)); cap++)
		json_put_string(w, name);
	json_end_array(w);
}

static void put_cgroup(struct json_writer *w)
{
	json_key(w, "cgroup");
	json_begin_object(w);
	json_field_bool(w, "v1", true);
	json_field_bool(w, "v2", true);
	json_field_bool(w, "systemd", true);
	json_field_bool(w, "systemdUser", false);
	json_field_bool(w, "rdma", true);
	json_end_object(w);
}

static void put_memory_policy(struct json_writer *w)
{
	static const char *const modes[] = { "MPOL_DEFAULT",	"MPOL_BIND",
					     "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
					     "MPOL_PREFERRED",	"MPOL_PREFERRED_MANY",
					     "MPOL_LOCAL",	NULL };
	static const char *const flags[] = { "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
					     "MPOL_F_STATIC_NODES", NULL };
	json_key(w, "memoryPolicy");
	json_begin_object(w);
	put_list(w, "modes", modes);
	put_list(w, "flags", flags);
	json_end_object(w);
}

static void put_linux(struct json_writer *w)
{
	json_key(w, "linux");
	json_begin_object(w);
	json_key(w, "namespaces");
	json_begin_array(w);
	for (int ns = 0; ns < OCI_NS_COUNT; ns++)
		json_put_string(w, oci_namespace_name((enum oci_namespace)ns));
	json_end_array(w);
	put_capabilities(w);
	put_cgroup(w);
	put_seccomp(w);
	put_enabled(w, "apparmor", true);
	put_enabled(w, "selinux", true);
	put_enabled(w, "intelRdt", false);
	put_memory_policy(w);
	json_key(w, "mountExtensions");
	json_begin_object(w);
	put_enabled(w, "idmap", true);
	json_end_object(w);
	put_enabled(w, "netDevices", true);
	json_end_object(w);
}

static int features_run(struct cli_context *context, void *options, int argc, char **argv,
			struct masu_error *err)
{
	static const char *const hooks[] = { "prestart",
					     "createRuntime",
					     "createContainer",
					     "startContainer",
					     "poststart",
					     "poststop",
					     NULL };
	static const char *const unsafe[] = { "org.systemd.property.", NULL };
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, true);
	json_begin_object(&w);
	json_field_string(&w, "ociVersionMin", "1.0.0");
	json_field_string(&w, "ociVersionMax", "1.2.1");
	put_list(&w, "hooks", hooks);
	put_mount_options(&w);
	put_linux(&w);
	json_key(&w, "annotations");
	json_begin_object(&w);
	json_field_string(&w, "io.masu.version", MASU_VERSION);
	json_end_object(&w);
	put_list(&w, "potentiallyUnsafeConfigAnnotations", unsafe);
	json_end_object(&w);
	buf_putc(&text, '\n');
	int r = buf_error(&text);
	if (r == 0)
		r = fs_write_all(STDOUT_FILENO, text.data, text.len);
	return r < 0 ? error_errno(err, r, "stdout") : 0;
}

const struct cli_command oci_features_command = {
	.name = "features",
	.synopsis = "",
	.summary = "Print what this runtime supports, as the specification's features document",
	CLI_MORE(features_run),
};
