#include "engine/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/copy.h"
#include "engine/internal.h"
#include "engine/view.h"
#include "engine/volumes.h"
#include "storage/export.h"
#include "sys/fs.h"
#include "tree/walk.h"

#define WHITEOUT	".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* ---- volumes ---- */

/*
 * Where @target is below the container's root, without links: what an image has below a link is
 * refused by everybody. What does not exist keeps its name below what does.
 */
static int real_path(struct arena *arena, int root_fd, const char *target, const char **ret)
{
	char path[PATH_MAX], proc[FS_PROC_FD_MAX], found[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s", target);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = fs_open_in(root_fd, path, O_PATH, 0);
	while (fd == -ENOENT && *path) {
		*strrchr(path, '/') = '\0';
		fd = fs_open_in(root_fd, *path ? path : "/", O_PATH, 0);
	}
	if (fd < 0)
		return fd;
	ssize_t len = readlink(fs_proc_fd(fd, proc), found, sizeof(found) - 1);
	if (len <= 0 || found[0] != '/')
		return len < 0 ? -errno : -EINVAL;
	found[len] = '\0';
	const char *rest = target + strlen(path), *reason;
	const char *joined = arena_printf(arena, "%s/%s", found, rest);
	return joined ? tree_clean_path(arena, joined, ret, &reason) : -ENOMEM;
}

/* One volume into the list, or among those that are in memory. */
static int add_volume(struct snapshot *s, const struct mount_config *mount, int root_fd,
		      struct masu_error *err)
{
	struct volume_source source;
	int r = volumes_source(s->engine, s->arena, mount, &source, err);
	if (r < 0)
		return r;
	if (!source.device) {
		s->in_memory[s->in_memory_count++] = mount->source;
		return 0;
	}
	struct snapshot_volume *volume = &s->volumes[s->volume_count];
	volume->name = mount->source;
	r = real_path(s->arena, root_fd, mount->target, &volume->path);
	if (r == 0 && !*volume->path)
		r = -EINVAL;
	if (r == 0 && mount->subpath) {
		r = volumes_open_subpath(mount, &source, O_RDONLY | O_DIRECTORY, &volume->fd, err);
		if (r < 0)
			return r;
	} else if (r == 0) {
		volume->fd = open(source.device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = volume->fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return error_errno(err, r, "volume %s at %.300s", mount->source, mount->target);
	s->volume_count++;
	return 0;
}

static int add_volumes(struct snapshot *s, int root_fd, struct masu_error *err)
{
	const struct mount_config **sorted;
	const struct container_config *config = &s->container.config;
	int r = volumes_by_depth(s->arena, config, &sorted, err);
	s->volumes = arena_array(s->arena, struct snapshot_volume, config->mount_count + 1);
	s->in_memory = arena_array(s->arena, const char *, config->mount_count + 1);
	if (r == 0 && (!s->volumes || !s->in_memory))
		r = error_set(err, -ENOMEM, "out of memory");
	/* Of one that never ran they are still as empty as they were made. */
	if (r == 0 && s->lock_fd >= 0)
		r = volumes_populate(s->engine, &s->container, root_fd, err);
	for (size_t i = 0; i < config->mount_count && r == 0; i++)
		if (sorted[i]->kind == MOUNT_VOLUME)
			r = add_volume(s, sorted[i], root_fd, err);
	return r;
}

/* ---- holding still ---- */

static int hold(struct snapshot *s, const char *id, struct masu_error *err)
{
	struct container now;
	int r = engine_hold(s->engine, id, &s->hold_fd, err);
	if (r == 0) {
		s->held = true;
		return 0;
	}
	/* It may have ended, or have been paused, since it was looked at. */
	if (engine_load(s->engine, s->arena, id, &now, NULL) < 0)
		return r;
	container_close(&now);
	if (now.status != CONTAINER_RUNNING)
		return 0;
	return error_wrap(err, "cannot pause the container (--pause=false reads it while it runs)");
}

int snapshot_open(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
		  struct snapshot *ret, struct masu_error *err)
{
	_cleanup_snapshot_ struct snapshot s = SNAPSHOT_CLOSED;
	_cleanup_container_view_ struct container_view view = CONTAINER_VIEW_CLOSED;
	s.engine = engine;
	s.arena = arena;
	int r = engine_load(engine, arena, id, &s.container, err);
	if (r < 0)
		return r;
	if ((flags & SNAPSHOT_PAUSE) && s.container.status == CONTAINER_RUNNING)
		r = hold(&s, id, err);
	if (r == 0)
		r = container_view_open(engine, arena, id, 0, &view, err);
	if (r < 0)
		return r;
	s.lock_fd = take_fd(&view.lock_fd);
	s.layer_fd = take_fd(&view.layer_fd);
	r = flags & SNAPSHOT_VOLUMES ? add_volumes(&s, view.root_fd, err) : 0;
	if (r < 0)
		return r;
	*ret = s;
	s = (struct snapshot)SNAPSHOT_CLOSED;
	return 0;
}

static void let_go(struct snapshot *s)
{
	if (s->held)
		engine_end_hold(s->engine, s->container.id, take_fd(&s->hold_fd));
	s->held = false;
	cleanup_close(&s->lock_fd);
	cleanup_close(&s->layer_fd);
}

int snapshot_end(struct snapshot *s, struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	struct stat read_from, named;
	/* Who removes a container first moves it from its place. */
	bool there =
		fstat(s->container.dir_fd, &read_from) == 0 &&
		fstatat(s->engine->root_fd, store_path(s->container.id, path), &named, 0) == 0 &&
		read_from.st_ino == named.st_ino;
	let_go(s);
	return there ? 0
		     : error_set(err, -ENOENT, "container %s was removed while it was read",
				 s->container.name);
}

void snapshot_close(struct snapshot *s)
{
	let_go(s);
	for (size_t i = 0; i < s->volume_count; i++)
		cleanup_close(&s->volumes[i].fd);
	s->volume_count = 0;
	container_close(&s->container);
}

/* ---- reading ---- */

int snapshot_changes(struct snapshot *s, struct tree_sink *sink, struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	const struct storage_export_request request = {
		.layers = container_layers(&s->container),
		.made = engine_made_paths,
	};
	int r = container_storage(s->engine, &s->container, &ops, &storage, err);
	if (r < 0)
		return r;
	storage_exporter export = storage_exporter_of(ops->name);
	if (!export)
		return error_set(err, -ENOTSUP, "storage driver %s cannot tell changes", ops->name);
	return export(storage, &request, sink, err);
}

struct volume_reading {
	struct tree_sink *sink;
	const char *path;
};

/* What means something in a layer cannot be a file in it. */
static int choose(void *data, int fd, const struct stat *st, struct tar_entry *entry,
		  enum tree_choice *ret, struct masu_error *err)
{
	const char *slash = strrchr(entry->path, '/');
	bool marker = str_after(slash ? slash + 1 : entry->path, WHITEOUT) != NULL;
	if (marker || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)))
		return error_set(err, -EINVAL, "%.300s: an image cannot have %s", entry->path,
				 marker ? "a name that begins with \"" WHITEOUT "\"; rename it"
					: "a device 0:0; remove it");
	return 0;
}

/* First in the volume's own directory: what the layers below have there is not the volume's. */
static int entered(void *data, int fd, const struct tar_entry *entry, struct masu_error *err)
{
	struct volume_reading *reading = data;
	char path[PATH_MAX];
	struct tar_entry marker = { .type = TAR_FILE, .path = path, .link = "", .mode = 0600 };
	if (!streq(entry->path, reading->path))
		return 0;
	if (str_format(path, sizeof(path), "%s/" WHITEOUT_OPAQUE, entry->path) < 0)
		return error_set(err, -ENAMETOOLONG, "%.300s", entry->path);
	int r = tree_begin(reading->sink, &marker, err);
	return r < 0 ? r : reading->sink->end(reading->sink, err);
}

int snapshot_volume(struct snapshot *s, const struct snapshot_volume *volume,
		    struct tree_sink *sink, struct masu_error *err)
{
	struct volume_reading reading = { .sink = sink, .path = volume->path };
	const struct tree_walk_hooks hooks = { .data = &reading,
					       .choose = choose,
					       .entered = entered };
	const struct tree_walk_options walk = { .name = volume->path,
						.sorted = true,
						.hooks = &hooks };
	int r = tree_scan(volume->fd, &walk, sink, err);
	return r < 0 ? error_wrap(err, "volume %s", volume->name) : 0;
}
