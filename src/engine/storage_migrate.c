#include "engine/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "engine/copy.h"
#include "state/record.h"
#include "state/trash.h"
#include "storage/apply.h"
#include "storage/export.h"
#include "sys/fs.h"

struct migration {
	struct engine *engine;
	struct storage_config config;
	const struct storage_ops *from, *to;
	struct storage *from_storage, *to_storage;
	storage_progress progress;
	void *opaque;
	size_t left; /* containers that could not be moved */
};

/* ---- images ---- */

static pid_t start_helper(struct engine *engine, const char *const *argv, int in, int out)
{
	char program[4096];
	if (str_format(program, sizeof(program), "%s/masu-image", engine->libexec) < 0)
		return -1;
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	setenv("MASU_ROOT", engine->root, 1);
	setenv("MASU_RUNROOT", engine->runroot, 1);
	unsetenv("MASU_STORAGE_DRIVER");
	execv(program, (char *const *)argv);
	_exit(127);
}

static bool succeeded(pid_t pid)
{
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

int engine_unpack_again(struct engine *engine, const char *name, bool as_directory)
{
	int ends[2];
	const char *const saving[] = { "save", name, NULL };
	const char *const loading[] = { "load", "-q", as_directory ? "--layer-format=dir" : NULL,
					NULL };
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid_t save = start_helper(engine, saving, -1, ends[1]);
	pid_t load = start_helper(engine, loading, ends[0], -1);
	close(ends[0]);
	close(ends[1]);
	bool saved = succeeded(save), loaded = succeeded(load);
	return saved && loaded ? 0 : -EIO;
}

/* Drivers of one family keep the same layers in the same place. */
static bool same_layers(const struct migration *m)
{
	return m->from->family && m->to->family && streq(m->from->family, m->to->family);
}

static int layers_are_there(struct migration *m, const struct image *image, bool *ret)
{
	*ret = true;
	for (size_t i = 0; i < image->layer_count && *ret; i++) {
		int r = m->to->layer_exists(m->to_storage, image->chain_ids[i], ret);
		if (r < 0)
			return r;
	}
	return 0;
}

static int move_images(struct migration *m, struct arena *arena, struct masu_error *err)
{
	struct image *images;
	size_t count;
	int r = image_list(m->engine->root_fd, arena, &images, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		bool there;
		if (i > 0 && streq(images[i].id, images[i - 1].id)) /* by another name */
			continue;
		r = layers_are_there(m, &images[i], &there);
		if (r < 0)
			return error_errno(err, r, "layers of image %.19s", images[i].id);
		if (there && !m->to->layer_merge)
			continue;
		m->progress(m->opaque, "image", images[i].id);
		r = engine_unpack_again(m->engine, images[i].id, false);
		if (r < 0)
			return error_set(err, r,
					 "image %.19s: its layers could not be made; run masu "
					 "system check, then this again",
					 images[i].id);
	}
	return r;
}

/* ---- containers ---- */

/* A detached mount's descriptor alone cannot be synced. */
static int sync_root(int root, struct masu_error *err)
{
	_cleanup_close_ int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || syncfs(fd) < 0 ? error_errno(err, -errno, "syncfs") : 0;
}

/* What the container changed, told by the one driver and made again on the other's root. */
static int copy_changes(struct migration *m, const struct storage_mount_request *request,
			struct masu_error *err)
{
	_cleanup_tree_applier_ struct tree_applier *applier = NULL;
	const struct storage_export_request export = { .layers = *request,
						       .made = engine_made_paths };
	storage_exporter exporter = storage_exporter_of(m->from->name);
	_cleanup_close_ int root = -1;
	if (!exporter)
		return error_set(err, -ENOTSUP, "storage driver %s cannot tell changes",
				 m->from->name);
	int r = m->to->remove(m->to_storage, request->container_id, request->container_fd, err);
	if (r == 0)
		r = m->to->create(m->to_storage, request, err);
	if (r == 0)
		r = m->to->mount(m->to_storage, request, &root, err);
	if (r == 0)
		r = tree_applier_new(root, &applier, err);
	if (r == 0)
		r = exporter(m->from_storage, &export, tree_applier_sink(applier), err);
	return r < 0 ? r : sync_root(root, err);
}

static int move_locked(struct migration *m, struct arena *arena, struct container *container,
		       struct masu_error *err)
{
	struct storage_mount_request request = container_layers(container);
	if (streq(container->storage_driver, m->to->name)) /* … and what was left of the other */
		return same_layers(m) ? 0
				      : m->from->remove(m->from_storage, container->id,
							container->dir_fd, err);
	m->progress(m->opaque, "container", container->name);
	int r = 0;
	for (size_t i = 0; i < container->config.storage_option_count; i++)
		if (streq(container->config.storage_options[i].key, "size"))
			str_to_bytes(container->config.storage_options[i].value, &request.size);
	if (!same_layers(m))
		r = copy_changes(m, &request, err);
	else if (m->from->leave)
		r = m->from->leave(container->dir_fd, err);
	container->storage_driver = m->to->name;
	if (r == 0)
		r = store_replace_record(container, err);
	if (r == 0 && fs_fsync_dir(container->dir_fd) < 0)
		r = error_errno(err, -errno, "container.json");
	if (r == 0 && !same_layers(m))
		r = m->from->remove(m->from_storage, container->id, container->dir_fd, err);
	return r;
}

static int move_container(struct migration *m, struct arena *arena, const char *id,
			  struct masu_error *err)
{
	struct container container;
	int lock;
	int r = container_load_locked(m->engine, arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	r = container_unpark(&container, err);
	if (r == 0 && container_is_alive(&container))
		r = error_set(err, -EBUSY, "container %s runs; stop it first", container.name);
	if (r == 0)
		r = move_locked(m, arena, &container, err);
	container_close(&container);
	close(lock);
	return r < 0 ? error_wrap(err, "container %.12s", id) : 0;
}

struct listing {
	struct arena *arena;
	const char **ids;
	size_t count, capacity;
};

static int check_container(void *opaque, struct arena *arena, const struct container *container,
			   struct masu_error *err)
{
	struct listing *list = opaque;
	if (container_is_alive(container))
		return error_set(err, -EBUSY,
				 "container %s runs; stop all containers before their root gets "
				 "another storage driver",
				 container->name);
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		const char **ids = arena_array(list->arena, const char *, capacity);
		if (!ids)
			return error_set(err, -ENOMEM, "out of memory");
		if (list->count)
			memcpy(ids, list->ids, list->count * sizeof(*ids));
		list->ids = ids;
		list->capacity = capacity;
	}
	list->ids[list->count] = arena_strdup(list->arena, container->id);
	return list->ids[list->count++] ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- all of it ---- */

static int remove_layers(struct migration *m, struct arena *arena, struct masu_error *err)
{
	const char **chain_ids;
	if (same_layers(m))
		return 0;
	int r = m->from->layer_list(m->from_storage, arena, &chain_ids);
	if (r < 0)
		return error_errno(err, r, "layers of %s", m->from->name);
	for (; r == 0 && *chain_ids; chain_ids++)
		r = m->from->layer_remove(m->from_storage, *chain_ids, err);
	return r;
}

static int begin(struct migration *m, const char *driver, const char *options,
		 struct masu_error *err)
{
	const char *reason = "it does not work here";
	struct storage_config *config = &m->config;
	int r = storage_config_read(m->engine->root_fd, config, err);
	if (r < 0)
		return r;
	m->to = storage_driver(driver);
	if (!m->to)
		return error_set(err, -EINVAL, "storage driver \"%.64s\": unknown", driver);
	if (*config->leaving && !streq(config->driver, driver))
		return error_set(err, -EEXIST,
				 "a migration from %s to %s did not come to its end; run \"masu "
				 "storage migrate %s\" first",
				 config->leaving, config->driver, config->driver);
	m->from = storage_driver(*config->leaving ? config->leaving : config->driver);
	if (!m->from)
		return error_set(err, -EINVAL, "storage driver \"%s\": unknown", config->driver);
	if (!m->to->supported(m->engine->root_fd, &reason))
		return error_set(err, -EOPNOTSUPP, "storage driver %s: %s", driver, reason);
	if (m->from == m->to)
		return 0;
	bool goes_on = *config->leaving;
	str_format(config->leaving, sizeof(config->leaving), "%s", m->from->name);
	str_format(config->driver, sizeof(config->driver), "%s", m->to->name);
	str_format(config->reason, sizeof(config->reason), "it was migrated to, from %s",
		   m->from->name);
	if (!goes_on)
		r = storage_set_up(m->engine->root_fd, options, config, err);
	if (r == 0)
		r = storage_config_write(m->engine->root_fd, config, err);
	if (r == 0)
		r = m->from->open(m->engine->root_fd, &m->from_storage, err);
	if (r == 0)
		r = m->to->open(m->engine->root_fd, &m->to_storage, err);
	return r;
}

static int move_all(struct migration *m, struct arena *arena, const struct listing *list,
		    struct masu_error *err)
{
	int r = move_images(m, arena, err);
	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = move_container(m, arena, list->ids[i], err);
	if (r == 0)
		r = remove_layers(m, arena, err);
	if (r == 0 && m->from->retire)
		r = m->from->retire(m->from_storage, err);
	m->config.leaving[0] = '\0';
	return r < 0 ? r : storage_config_write(m->engine->root_fd, &m->config, err);
}

int engine_storage_migrate(struct engine *engine, const char *driver, const char *options,
			   storage_progress progress, void *opaque, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct migration m = { .engine = engine, .progress = progress, .opaque = opaque };
	struct listing list = { .arena = &arena };
	arena_init(&arena, 1u << 30);
	_cleanup_close_ int lock = openat(engine->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -EBUSY, "%s: another migration is at work", engine->root);
	int r = engine_each(engine, true, check_container, &list, err);
	if (r == 0)
		r = begin(&m, driver, options, err);
	if (r == 0 && m.from != m.to)
		r = move_all(&m, &arena, &list, err);
	if (m.from_storage)
		m.from->close(m.from_storage);
	if (m.to_storage)
		m.to->close(m.to_storage);
	return r;
}
