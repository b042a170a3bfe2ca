/* `masu oci spec`: a config.json to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "sys/fs.h"

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct cli_option spec_options[] = {
	CLI_OPT(struct spec_options, bundle, "bundle", 'b', CLI_STRING, "dir",
		"Where to write config.json (default: the working directory)"),
	CLI_OPT(struct spec_options, rootless, "rootless", 0, CLI_BOOL, NULL,
		"For a user namespace that maps root to the caller"),
};

static void put_strings(struct json_writer *w, const char *key, const char *const *items)
{
	json_key(w, key);
	json_begin_array(w);
	for (; *items; items++)
		json_put_string(w, *items);
	json_end_array(w);
}

static void put_capabilities(struct json_writer *w)
{
	static const char *const names[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE",
					     NULL };
	json_key(w, "capabilities");
	json_begin_object(w);
	put_strings(w, "bounding", names);
	put_strings(w, "effective", names);
	put_strings(w, "permitted", names);
	json_end_object(w);
}

static void put_process(struct json_writer *w)
{
	static const char *const args[] = { "sh", NULL };
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
		NULL
	};
	json_key(w, "process");
	json_begin_object(w);
	json_field_bool(w, "terminal", true);
	json_key(w, "user");
	json_begin_object(w);
	json_field_i64(w, "uid", 0);
	json_field_i64(w, "gid", 0);
	json_end_object(w);
	put_strings(w, "args", args);
	put_strings(w, "env", env);
	json_field_string(w, "cwd", "/");
	put_capabilities(w);
	json_field_bool(w, "noNewPrivileges", true);
	json_end_object(w);
}

struct mount_text {
	const char *destination, *type, *source;
	const char *options[8];
};

static void put_mounts(struct json_writer *w, bool rootless)
{
	static const struct mount_text mounts[] = {
		{ "/proc", "proc", "proc", { 0 } },
		{ "/dev",
		  "tmpfs",
		  "tmpfs",
		  { "nosuid", "strictatime", "mode=755", "size=65536k" } },
		{ "/dev/pts",
		  "devpts",
		  "devpts",
		  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
		{ "/dev/shm",
		  "tmpfs",
		  "shm",
		  { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
		{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
		{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
		{ "/sys/fs/cgroup",
		  "cgroup",
		  "cgroup",
		  { "nosuid", "noexec", "nodev", "relatime", "ro" } },
	};
	json_key(w, "mounts");
	json_begin_array(w);
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		const struct mount_text *mount = &mounts[i];
		const char *options[ARRAY_SIZE(mount->options) + 1] = { 0 };
		size_t used = 0;
		/* gid 5 is not mapped where only root is. */
		for (size_t k = 0; mount->options[k]; k++)
			if (!rootless || !streq(mount->options[k], "gid=5"))
				options[used++] = mount->options[k];
		json_begin_object(w);
		json_field_string(w, "destination", mount->destination);
		json_field_string(w, "type", mount->type);
		json_field_string(w, "source", mount->source);
		if (used)
			put_strings(w, "options", options);
		json_end_object(w);
	}
	json_end_array(w);
}

static void put_map(struct json_writer *w, const char *key, uint32_t id)
{
	json_key(w, key);
	json_begin_array(w);
	json_begin_object(w);
	json_field_i64(w, "containerID", 0);
	json_field_i64(w, "hostID", id);
	json_field_i64(w, "size", 1);
	json_end_object(w);
	json_end_array(w);
}

static void put_linux(struct json_writer *w, bool rootless)
{
	static const char *const namespaces[] = { "pid",   "network", "ipc", "uts",
						  "mount", "cgroup",  NULL };
	static const char *const masked[] = { "/proc/acpi",
					      "/proc/asound",
					      "/proc/kcore",
					      "/proc/keys",
					      "/proc/latency_stats",
					      "/proc/timer_list",
					      "/proc/timer_stats",
					      "/proc/sched_debug",
					      "/sys/firmware",
					      "/proc/scsi",
					      "/sys/devices/virtual/powercap",
					      NULL };
	static const char *const readonly[] = { "/proc/bus",	       "/proc/fs",
						"/proc/irq",	       "/proc/sys",
						"/proc/sysrq-trigger", NULL };
	json_key(w, "linux");
	json_begin_object(w);
	if (rootless) {
		put_map(w, "uidMappings", geteuid());
		put_map(w, "gidMappings", getegid());
	}
	json_key(w, "namespaces");
	json_begin_array(w);
	for (const char *const *type = namespaces; *type; type++) {
		/* Without privilege the host's network stays: nothing could be connected. */
		json_begin_object(w);
		json_field_string(w, "type", rootless && streq(*type, "network") ? "user" : *type);
		json_end_object(w);
	}
	json_end_array(w);
	put_strings(w, "maskedPaths", masked);
	put_strings(w, "readonlyPaths", readonly);
	json_end_object(w);
}

static int spec_run(struct cli_context *context, void *opaque, int argc, char **argv,
		    struct masu_error *err)
{
	const struct spec_options *options = opaque;
	const char *bundle = options->bundle ? options->bundle : ".";
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, true);
	json_begin_object(&w);
	json_field_string(&w, "ociVersion", "1.2.1");
	put_process(&w);
	json_key(&w, "root");
	json_begin_object(&w);
	json_field_string(&w, "path", "rootfs");
	json_field_bool(&w, "readonly", true);
	json_end_object(&w);
	json_field_string(&w, "hostname", "masu");
	put_mounts(&w, options->rootless);
	put_linux(&w, options->rootless);
	json_end_object(&w);
	buf_putc(&text, '\n');
	if (buf_error(&text))
		return error_set(err, -ENOMEM, "out of memory");
	_cleanup_close_ int dir = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, -errno, "bundle %s", bundle);
	_cleanup_close_ int fd =
		openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, -EEXIST,
				 "File config.json exists. Remove it first: it is not overwritten");
	int r = fd < 0 ? -errno : fs_write_all(fd, text.data, text.len);
	return r < 0 ? error_errno(err, r, "cannot write config.json") : 0;
}

const struct cli_command oci_spec_command = {
	.name = "spec",
	.synopsis = "[OPTIONS]",
	.summary = "Write a config.json to begin with",
	.options = spec_options,
	.option_count = ARRAY_SIZE(spec_options),
	.options_size = sizeof(struct spec_options),
	CLI_MORE(spec_run),
};
