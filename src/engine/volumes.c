#include "engine/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/volume_users.h"
#include "sys/fs.h"
#include "volume/volume.h"

#define MOUNTS_MAX 1024

static bool target_taken(const struct container_config *config, const char *target)
{
	for (size_t i = 0; i < config->mount_count; i++)
		if (streq(config->mounts[i].target, target))
			return true;
	return false;
}

static int grow(struct arena *arena, struct container_config *config, size_t more,
		struct masu_error *err)
{
	if (config->mount_count + more > MOUNTS_MAX)
		return error_set(err, -E2BIG, "more than %d mounts", MOUNTS_MAX);
	struct mount_config *mounts =
		arena_array(arena, struct mount_config, config->mount_count + more);
	if (!mounts)
		return error_set(err, -ENOMEM, "out of memory");
	if (config->mount_count)
		memcpy(mounts, config->mounts, config->mount_count * sizeof(*mounts));
	config->mounts = mounts;
	return 0;
}

/* "ro" or "rw", and SELinux's "z" or "Z" where there is no SELinux to do anything. */
static int volumes_from_mode(char *mode, bool *ret_readonly, struct masu_error *err)
{
	char *save = NULL;
	*ret_readonly = false;
	for (char *word = strtok_r(mode, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (streq(word, "ro"))
			*ret_readonly = true;
		else if ((streq(word, "z") || streq(word, "Z")) &&
			 access("/sys/fs/selinux/enforce", F_OK) == 0)
			return error_set(err, -ENOTSUP,
					 "volumes-from: SELinux relabelling (%s) is not supported",
					 word);
		else if (!streq(word, "rw") && !streq(word, "z") && !streq(word, "Z"))
			return error_set(err, -EINVAL, "invalid mode for volumes-from: %.64s",
					 word);
	}
	return 0;
}

/* "name[:mode]" */
static int add_volumes_from(struct engine *engine, struct arena *arena, const char *text,
			    struct container_config *config, struct masu_error *err)
{
	struct container other;
	char id[65];
	bool readonly = false;
	char *name = arena_strdup(arena, text);
	if (!name)
		return error_set(err, -ENOMEM, "out of memory");
	char *mode = strchr(name, ':');
	if (mode)
		*mode++ = '\0';
	int r = mode ? volumes_from_mode(mode, &readonly, err) : 0;
	if (r == 0)
		r = engine_resolve(engine, name, id, err);
	if (r == 0)
		r = store_load(engine, arena, id, &other, err);
	if (r < 0)
		return r;
	container_close(&other);
	r = grow(arena, config, other.config.mount_count, err);
	for (size_t i = 0; r == 0 && i < other.config.mount_count; i++) {
		struct mount_config mount = other.config.mounts[i];
		if (mount.kind == MOUNT_TMPFS || target_taken(config, mount.target))
			continue;
		mount.readonly |= readonly;
		/* What has become of it there is what it is. */
		mount.nocopy |= !streq(other.started, TIME_TEXT_NEVER);
		config->mounts[config->mount_count++] = mount;
	}
	return r;
}

static int add_image_volumes(struct arena *arena, const char *const *volumes,
			     struct container_config *config, struct masu_error *err)
{
	int r = grow(arena, config, strv_length((char *const *)volumes), err);
	for (; r == 0 && volumes && *volumes; volumes++) {
		if ((*volumes)[0] != '/')
			return error_set(err, -EINVAL,
					 "the image's volume \"%.255s\" is not an absolute path",
					 *volumes);
		if (!target_taken(config, *volumes))
			config->mounts[config->mount_count++] =
				(struct mount_config) { .kind = MOUNT_VOLUME, .target = *volumes };
	}
	return r;
}

static int ensure_volume(struct engine *engine, struct arena *arena, struct mount_config *mount,
			 struct masu_error *err)
{
	struct volume volume;
	bool made;
	bool anonymous = !mount->source;
	char id[ID_LENGTH + 1];
	if (anonymous) {
		if (id_random(id) < 0 || !(mount->source = arena_strdup(arena, id)))
			return error_set(err, -ENOMEM, "cannot name a volume");
	}
	const struct volume request = {
		.name = mount->source,
		.driver = mount->volume_driver,
		.labels = mount->volume_labels,
		.label_count = mount->volume_label_count,
		.options = mount->volume_options,
		.option_count = mount->volume_option_count,
		.anonymous = anonymous,
	};
	int r = volume_ensure(engine->root_fd, engine->root, arena, &request, &volume, &made, err);
	if (r == 0) { /* also of one that was there before: who parks must know */
		mount->volume_options = volume.options;
		mount->volume_option_count = volume.option_count;
		mount->readonly |= volume.snapshot;
		mount->nocopy |= volume.snapshot;
	}
	if (r == 0 && made)
		event_volume(engine, mount->source, "create");
	return r;
}

static int check_bind(struct mount_config *mount, struct masu_error *err)
{
	struct stat st;
	if (!mount->source || mount->source[0] != '/')
		return error_set(err, -EINVAL,
				 "invalid mount config for type \"bind\": invalid "
				 "mount path: '%.255s' mount path must be absolute",
				 mount->source ? mount->source : "");
	if (stat(mount->source, &st) == 0)
		return 0;
	if (errno != ENOENT || !(mount->create_source || mount->create_mountpoint))
		return error_set(err, -errno,
				 "invalid mount config for type \"bind\": bind source "
				 "path does not exist: %.255s",
				 mount->source);
	int r = fs_mkdirs(AT_FDCWD, mount->source, 0755);
	return r < 0 ? error_errno(err, r, "error while creating mount source path '%.255s'",
				   mount->source)
		     : 0;
}

static int check_target(const struct container_config *config, size_t at, struct masu_error *err)
{
	const char *target = config->mounts[at].target;
	if (!target || target[0] != '/' || streq(target, "/"))
		return error_set(err, -EINVAL,
				 "invalid mount config: destination can't be '%.255s'",
				 target ? target : "");
	for (size_t i = 0; i < at; i++)
		if (streq(config->mounts[i].target, target))
			return error_set(err, -EINVAL, "Duplicate mount point: %.255s", target);
	return 0;
}

int engine_volumes_lock(struct engine *engine, bool exclusive, struct masu_error *err)
{
	if (fault_without("volumes-lock"))
		return 0;
	if (engine->volumes_held++ > 0)
		return 0;
	_cleanup_close_ int fd =
		openat(engine->root_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : -EINTR;
	while (fd >= 0 && r == -EINTR)
		r = flock(fd, exclusive ? LOCK_EX : LOCK_SH) < 0 ? -errno : 0;
	if (r < 0) {
		engine->volumes_held = 0;
		return error_errno(err, r, "%s/volumes: cannot lock", engine->root);
	}
	engine->volumes_fd = take_fd(&fd);
	return 0;
}

void engine_volumes_unlock(struct engine *engine)
{
	if (engine->volumes_held > 0 && --engine->volumes_held == 0)
		cleanup_close(&engine->volumes_fd);
}

static bool needs_volumes(const struct container_config *config, const char *const *image_volumes)
{
	bool any = (config->volumes_from && *config->volumes_from) ||
		   (image_volumes && *image_volumes);
	for (size_t i = 0; !any && i < config->mount_count; i++)
		any = config->mounts[i].kind == MOUNT_VOLUME;
	return any;
}

static int depth(const char *path)
{
	int slashes = 0;
	for (; *path; path++)
		slashes += *path == '/' && path[1] && path[1] != '/';
	return slashes;
}

static int by_depth(const void *a, const void *b)
{
	const struct mount_config *const *left = a, *const *right = b;
	int d = depth((*left)->target) - depth((*right)->target);
	/* qsort is not stable; the places in the list decide between equals. */
	return d ? d : *left < *right ? -1 : 1;
}

int volumes_by_depth(struct arena *arena, const struct container_config *config,
		     const struct mount_config ***ret, struct masu_error *err)
{
	const struct mount_config **sorted =
		arena_array(arena, const struct mount_config *, config->mount_count + 1);
	if (!sorted)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->mount_count; i++)
		sorted[i] = &config->mounts[i];
	qsort(sorted, config->mount_count, sizeof(*sorted), by_depth);
	*ret = sorted;
	return 0;
}

int volumes_source(struct engine *engine, struct arena *arena, const struct mount_config *mount,
		   struct volume_source *ret, struct masu_error *err)
{
	static const char *none[] = { NULL };
	struct volume volume;
	if (mount->kind == MOUNT_BIND) {
		*ret = (struct volume_source) { .kind = VOLUME_BIND,
						.device = mount->source,
						.recursive = !mount->nonrecursive,
						.words = none };
		return 0;
	}
	int r = volume_open(engine->root_fd, engine->root, arena, mount->source, &volume, NULL,
			    err);
	if (r == 0)
		r = volume_source(arena, &volume, ret, err);
	if (r == 0 && ret->kind == VOLUME_DIRECTORY) {
		ret->device = volume.mountpoint;
		ret->recursive = true;
	}
	return r;
}

int volumes_open_subpath(const struct mount_config *mount, const struct volume_source *source,
			 int flags, int *ret_fd, struct masu_error *err)
{
	/* Of memory, which is empty yet, there is no part. */
	_cleanup_close_ int base = -1;
	int fd = -ENOENT;
	if (source->kind != VOLUME_TMPFS) {
		base = open(source->device, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (base >= 0 && fault_without("subpath-beneath"))
			fd = openat(base, mount->subpath, flags | O_CLOEXEC);
		else
			fd = base < 0 ? -errno : fs_open_beneath(base, mount->subpath, flags);
	}
	if (fd == -EXDEV)
		return error_set(err, fd,
				 "path concatenation escapes the base directory, base: %s, "
				 "subpath: %s",
				 source->device, mount->subpath);
	if (fd < 0)
		return error_errno(err, fd, "cannot access path %s/%s of volume %s",
				   source->device ? source->device : "", mount->subpath,
				   mount->source);
	*ret_fd = fd;
	return 0;
}

int volumes_prepare(struct engine *engine, struct arena *arena, const char *const *image_volumes,
		    struct container_config *config, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < config->mount_count; i++)
		r = check_target(config, i, err);
	if (r == 0 && needs_volumes(config, image_volumes))
		r = engine_volumes_lock(engine, false, err);
	for (const char **from = config->volumes_from; r == 0 && from && *from; from++)
		r = add_volumes_from(engine, arena, *from, config, err);
	if (r == 0 && image_volumes && *image_volumes)
		r = add_image_volumes(arena, image_volumes, config, err);
	for (size_t i = 0; r == 0 && i < config->mount_count; i++) {
		struct mount_config *mount = &config->mounts[i];
		if (mount->kind == MOUNT_VOLUME)
			r = ensure_volume(engine, arena, mount, err);
		else if (mount->kind == MOUNT_BIND)
			r = check_bind(mount, err);
	}
	return r;
}

static int populate(struct engine *engine, const struct mount_config *mount, int rootfs_fd,
		    struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int own = -1;
	struct volume volume;
	struct volume_source from;
	arena_init(&arena, 0);
	int r = volume_open(engine->root_fd, engine->root, &arena, mount->source, &volume, &own,
			    err);
	if (r == 0)
		r = volume_source(&arena, &volume, &from, err);
	if (r < 0 || from.kind == VOLUME_TMPFS) /* filled when it is mounted */
		return r;
	_cleanup_close_ int source =
		fs_open_in(rootfs_fd, mount->target, O_RDONLY | O_DIRECTORY, 0);
	if (source < 0) /* the image has no directory there: nothing to copy */
		return 0;
	if (mount->subpath) {
		_cleanup_close_ int part = -1;
		if (from.kind == VOLUME_DIRECTORY)
			from.device = volume.mountpoint;
		/* That it is not there is told when it is mounted. */
		if (volumes_open_subpath(mount, &from, O_RDONLY | O_DIRECTORY, &part, NULL) < 0)
			return 0;
		return volume_copy_up(source, part, -1, err);
	}
	_cleanup_close_ int dir = openat(own, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from.kind == VOLUME_DIRECTORY)
		return volume_copy_up(source, own, dir, err);
	_cleanup_close_ int device = open(from.device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (device < 0)
		return error_errno(err, -errno, "volume %s: %.300s", mount->source, from.device);
	return volume_copy_up(source, device, dir, err);
}

int volumes_populate(struct engine *engine, const struct container *container, int rootfs_fd,
		     struct masu_error *err)
{
	/* Only before it runs for the first time: what was deleted since stays deleted. */
	if (!streq(container->started, TIME_TEXT_NEVER))
		return 0;
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		if (mount->kind != MOUNT_VOLUME || mount->nocopy)
			continue;
		int r = populate(engine, mount, rootfs_fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Another container, running or not, that mounts the volume. */
static bool used_elsewhere(const struct container *all, size_t count, const char *id,
			   const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!streq(all[i].id, id) && volume_is_mounted_by(&all[i], name))
			return true;
	return false;
}

int volumes_check_memory(struct engine *engine, struct arena *arena, const char *id,
			 const char *name, struct masu_error *err)
{
	struct container *live = NULL;
	size_t count = 0;
	int r = engine_list(engine, arena, false, &live, &count, err);
	if (r == 0 && used_elsewhere(live, count, id, name))
		r = error_set(err, -EBUSY,
			      "volume %s is a tmpfs that another running container uses; it cannot "
			      "be shared",
			      name);
	for (size_t i = 0; i < count; i++)
		container_close(&live[i]);
	return r;
}

static bool is_anonymous(struct engine *engine, struct arena *arena, const char *name)
{
	struct volume volume;
	return strlen(name) == ID_LENGTH && id_prefix_valid(name) &&
	       volume_open(engine->root_fd, engine->root, arena, name, &volume, NULL, NULL) == 0 &&
	       volume.anonymous;
}

static void remove_told(struct engine *engine, const char *name)
{
	if (volume_remove(engine->root_fd, name, NULL) == 0)
		event_volume(engine, name, "destroy");
}

void volumes_remove_anonymous(struct engine *engine, const struct container *container)
{
	_cleanup_arena_ struct arena arena;
	struct container *all = NULL;
	size_t count = 0;
	bool listed = false;
	arena_init(&arena, 0);
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		if (mount->kind != MOUNT_VOLUME || !mount->source ||
		    !is_anonymous(engine, &arena, mount->source))
			continue;
		/* What cannot be looked into keeps them: `volume prune` is for that. */
		if (!listed && engine_volumes_lock(engine, true, NULL) < 0)
			return;
		if (!listed && engine_list(engine, &arena, true, &all, &count, NULL) < 0) {
			engine_volumes_unlock(engine);
			return;
		}
		listed = true;
		if (!used_elsewhere(all, count, container->id, mount->source))
			remove_told(engine, mount->source);
	}
	for (size_t i = 0; i < count; i++)
		container_close(&all[i]);
	if (listed)
		engine_volumes_unlock(engine);
}
