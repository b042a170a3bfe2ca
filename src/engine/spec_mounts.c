/*
 * The mounts: Docker's defaults, the files under /etc, then binds, volumes and tmpfs, shallow
 * targets before deep ones. A mount of the user's replaces the default one at the same place.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/proc_view.h"
#include "engine/volumes.h"
#include "sys/fs.h"

#define FIXED_MOUNTS 11 /* seven defaults, three files under /etc, init */

struct default_mount {
	const char *destination, *type, *options[8];
};

static const struct default_mount default_mounts[] = {
	{ "/proc", "proc", { "nosuid", "noexec", "nodev" } },
	{ "/dev", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
	{ "/dev/pts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
	{ "/sys", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
	{ "/sys/fs/cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
	{ "/dev/mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
	{ "/dev/shm", "tmpfs", { "nosuid", "noexec", "nodev", "mode=1777" } },
};

static bool user_mounts_over(const struct container_config *config, const char *destination)
{
	for (size_t i = 0; i < config->mount_count; i++) {
		const char *target = config->mounts[i].target;
		if (streq(target, destination))
			return true;
		/* Who brings a /dev of his own gets it without ours below. */
		if (streq(target, "/dev") && str_after(destination, "/dev/"))
			return true;
	}
	return false;
}

static bool is_writable_when_privileged(const char *destination)
{
	return streq(destination, "/sys") || streq(destination, "/sys/fs/cgroup");
}

static int add_default(const struct spec_context *context, const struct default_mount *from,
		       struct oci_spec *spec, struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	const char *options[ARRAY_SIZE(from->options) + 1];
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(from->options) && from->options[i]; i++)
		options[count++] = config->privileged && streq(from->options[i], "ro") &&
						   is_writable_when_privileged(from->destination)
					   ? "rw" /* said aloud: cgroup mounts are else read-only */
					   : from->options[i];
	if (streq(from->destination, "/dev/shm")) {
		int64_t size = config->shm_size ? config->shm_size : SHM_DEFAULT_BYTES;
		options[count++] = arena_printf(context->arena, "size=%lld", (long long)size);
		if (!options[count - 1])
			return error_set(err, -ENOMEM, "out of memory");
	}
	struct oci_mount *mount = &spec->mounts[spec->mount_count++];
	mount->destination = from->destination;
	mount->type = from->type;
	mount->source = from->type;
	return oci_mount_options(context->arena, options, count, mount, err);
}

static int add_bind(const struct spec_context *context, const char *source, const char *destination,
		    const char *propagation, bool recursive, bool readonly, struct oci_spec *spec,
		    struct masu_error *err)
{
	const char *options[] = { recursive ? "rbind" : "bind", propagation,
				  readonly ? "ro" : "rw" };
	struct oci_mount *mount = &spec->mounts[spec->mount_count++];
	mount->destination = destination;
	mount->type = "bind";
	mount->source = source;
	return oci_mount_options(context->arena, options, ARRAY_SIZE(options), mount, err);
}

/* --tmpfs's own words, and the fields of --mount type=tmpfs. */
static int add_tmpfs(const struct spec_context *context, const struct mount_config *from,
		     struct oci_spec *spec, struct masu_error *err)
{
	const char *options[64] = { "noexec", "nosuid", "nodev" };
	size_t count = 3;
	char *words = arena_strdup(context->arena, from->tmpfs_options ? from->tmpfs_options : "");
	char *save = NULL;
	if (!words)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *word = strtok_r(words, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (count + 4 > ARRAY_SIZE(options))
			return error_set(err, -E2BIG, "--tmpfs %s: too many options", from->target);
		options[count++] = word;
	}
	if (from->tmpfs_size)
		options[count++] =
			arena_printf(context->arena, "size=%lld", (long long)from->tmpfs_size);
	if (from->tmpfs_mode)
		options[count++] = arena_printf(context->arena, "mode=%o", from->tmpfs_mode);
	if (from->readonly)
		options[count++] = "ro";
	struct oci_mount *mount = &spec->mounts[spec->mount_count++];
	mount->destination = from->target;
	mount->type = "tmpfs";
	mount->source = "tmpfs";
	return oci_mount_options(context->arena, options, count, mount, err);
}

/* A volume that is made of memory: filled from the image like any other. */
static int add_memory_volume(const struct spec_context *context, const struct mount_config *from,
			     const struct volume_source *source, struct oci_spec *spec,
			     struct masu_error *err)
{
	const char *options[64];
	size_t count = 0;
	for (const char **word = source->words; *word && count + 2 < ARRAY_SIZE(options); word++)
		options[count++] = *word;
	if (!from->nocopy)
		options[count++] = "tmpcopyup";
	if (from->readonly)
		options[count++] = "ro";
	int r = volumes_check_memory(context->engine, context->arena, context->container->id,
				     from->source, err);
	if (r < 0)
		return r;
	struct oci_mount *mount = &spec->mounts[spec->mount_count++];
	mount->destination = from->target;
	mount->type = "tmpfs";
	mount->source = "tmpfs";
	return oci_mount_options(context->arena, options, count, mount, err);
}

/* It is mounted by descriptor, as the volume's other users may change what is in it; the bundle
 * gets the path it has now. */
static int take_subpath(const struct spec_context *context, const struct mount_config *from,
			const struct volume_source *source, struct oci_mount *mount,
			struct masu_error *err)
{
	char link[FS_PROC_FD_MAX], path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int r = volumes_open_subpath(from, source, O_PATH, &fd, err);
	if (r < 0)
		return r;
	ssize_t len = readlink(fs_proc_fd(fd, link), path, sizeof(path));
	if (len < 0)
		return error_errno(err, -errno, "volume %s: its part %s", from->source,
				   from->subpath);
	mount->source = arena_strndup(context->arena, path, (size_t)len);
	if (!mount->source)
		return error_set(err, -ENOMEM, "out of memory");
	mount->source_fd = take_fd(&fd);
	return 0;
}

static int add_user_mount(const struct spec_context *context, const struct mount_config *from,
			  struct oci_spec *spec, struct masu_error *err)
{
	const char *options[64];
	struct volume_source source;
	size_t count = 0;
	if (from->kind == MOUNT_TMPFS)
		return add_tmpfs(context, from, spec, err);
	int r = volumes_source(context->engine, context->arena, from, &source, err);
	if (r < 0)
		return r;
	if (source.kind == VOLUME_TMPFS && !from->subpath)
		return add_memory_volume(context, from, &source, spec, err);
	options[count++] = source.recursive ? "rbind" : "bind";
	options[count++] = from->propagation ? from->propagation : "rprivate";
	for (const char **word = source.words; *word && count + 1 < ARRAY_SIZE(options); word++)
		options[count++] = *word;
	/* As docker since 25: what is mounted below is read-only as well, unless said otherwise. */
	if (from->readonly)
		options[count++] =
			source.recursive && !streq_null(from->recursive, "writable") ? "rro" : "ro";
	struct oci_mount *mount = &spec->mounts[spec->mount_count++];
	mount->destination = from->target;
	mount->type = "bind";
	mount->source = source.device;
	if (from->subpath) {
		r = take_subpath(context, from, &source, mount, err);
		if (r < 0)
			return r;
	}
	return oci_mount_options(context->arena, options, count, mount, err);
}

static int add_user_mounts(const struct spec_context *context, struct oci_spec *spec,
			   struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	const struct mount_config **sorted;
	int r = volumes_by_depth(context->arena, config, &sorted, err);
	for (size_t i = 0; r == 0 && i < config->mount_count; i++) {
		r = add_user_mount(context, sorted[i], spec, err);
		if (r < 0)
			return error_wrap(err, "mount %s", sorted[i]->target);
	}
	return r;
}

static int add_etc_files(const struct spec_context *context, struct oci_spec *spec,
			 struct masu_error *err)
{
	const struct {
		const char *source, *destination;
	} files[] = { { context->resolv_conf, "/etc/resolv.conf" },
		      { context->hostname, "/etc/hostname" },
		      { context->hosts, "/etc/hosts" } };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (!files[i].source ||
		    user_mounts_over(&context->container->config, files[i].destination))
			continue;
		int r = add_bind(context, files[i].source, files[i].destination, "rprivate", true,
				 false, spec, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int spec_mounts(const struct spec_context *context, struct oci_spec *spec, struct masu_error *err)
{
	const struct container_config *config = &context->container->config;
	spec->mounts = arena_array(context->arena, struct oci_mount,
				   config->mount_count + FIXED_MOUNTS + PROC_VIEW_MOUNTS_MAX);
	if (!spec->mounts)
		return error_set(err, -ENOMEM, "out of memory");
	bool no_shm = config->ipc_mode && streq(config->ipc_mode, "none");
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(default_mounts) && r == 0; i++) {
		const char *destination = default_mounts[i].destination;
		if (user_mounts_over(config, destination) ||
		    (no_shm && streq(destination, "/dev/shm")))
			continue;
		/* A mount of mqueue shows the queues of whatever ipc namespace makes it. */
		if (mode_host(config->ipc_mode) && streq(destination, "/dev/shm"))
			r = add_bind(context, destination, destination, "rprivate", true, false,
				     spec, err);
		else
			r = add_default(context, &default_mounts[i], spec, err);
	}
	if (r == 0)
		r = proc_view_mounts(context, spec, err);
	if (r == 0)
		r = add_etc_files(context, spec, err);
	if (r == 0)
		r = add_user_mounts(context, spec, err);
	if (r == 0 && config->init) {
		const char *init =
			arena_printf(context->arena, "%s/masu-init", context->engine->libexec);
		r = init ? add_bind(context, init, INIT_PATH, "rprivate", false, true, spec, err)
			 : error_set(err, -ENOMEM, "out of memory");
	}
	return r;
}
