#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/internal.h"
#include "exec/native/seccomp.h"
#include "state/record.h"

static char *path_join(const char *a, const char *b)
{
	size_t size = strlen(a) + strlen(b) + 2;
	char *path = malloc(size);
	if (path)
		str_format(path, size, "%s/%s", a, b);
	return path;
}

/* The strings live as long as the program: the seccomp module keeps the pointers. */
static int configure_seccomp(const char *root, const char *libexec, struct masu_error *err)
{
	static struct seccomp_environment environment;
	if (environment.cache_dir)
		return 0;
	environment.cache_dir = path_join(root, "cache/seccomp");
	environment.compiler = path_join(libexec, "masu-seccomp");
	if (!environment.cache_dir || !environment.compiler)
		return error_set(err, -ENOMEM, "out of memory");
	seccomp_configure(&environment);
	return 0;
}

int engine_open(const char *root, const char *runroot, const char *libexec, const char *self_path,
		struct engine *ret, struct masu_error *err)
{
	_cleanup_close_ int root_fd = -1;
	_cleanup_close_ int run_fd = -1;
	if (root[0] != '/' || runroot[0] != '/')
		return error_set(err, -EINVAL, "%s: --root and --runroot must be absolute paths",
				 root[0] != '/' ? root : runroot);
	struct storage_config storage;
	int r = state_open_root(root, &root_fd, err);
	if (r == 0)
		r = state_open_runroot(runroot, &run_fd, err);
	if (r == 0)
		r = configure_seccomp(root, libexec, err);
	if (r == 0)
		r = storage_config_read(root_fd, &storage, err);
	if (r < 0)
		return engine_failure(err, r);
	*ret = (struct engine) { .root_fd = take_fd(&root_fd),
				 .run_fd = take_fd(&run_fd),
				 .root = root,
				 .runroot = runroot,
				 .libexec = libexec,
				 .self_path = self_path,
				 .storage_leaving = *storage.leaving };
	memcpy(ret->storage_driver, storage.driver, sizeof(ret->storage_driver));
	return 0;
}

void engine_close(struct engine *engine)
{
	const struct storage_ops *ops = storage_driver(engine->storage_driver);
	if (ops && engine->storage)
		ops->close(engine->storage);
	engine->storage = NULL;
	if (engine->other_storage)
		engine->other_ops->close(engine->other_storage);
	engine->other_storage = NULL;
	if (engine->volumes_held)
		cleanup_close(&engine->volumes_fd);
	engine->volumes_held = 0;
	cleanup_close(&engine->root_fd);
	cleanup_close(&engine->run_fd);
}

static int open_storage(const struct engine *engine, const char *driver,
			const struct storage_ops **ret_ops, struct storage **storage,
			struct masu_error *err)
{
	const struct storage_ops *ops = storage_driver(driver);
	if (!ops)
		return error_set(err, -EINVAL, "unknown storage driver \"%s\"", driver);
	int r = *storage ? 0 : ops->open(engine->root_fd, storage, err);
	if (r == 0)
		*ret_ops = ops;
	return r;
}

int engine_storage(struct engine *engine, const struct storage_ops **ret_ops, struct storage **ret,
		   struct masu_error *err)
{
	int r = open_storage(engine, engine->storage_driver, ret_ops, &engine->storage, err);
	if (r == 0)
		*ret = engine->storage;
	return r;
}

struct storage_mount_request container_layers(const struct container *container)
{
	return (struct storage_mount_request) {
		.container_id = container->id,
		.container_fd = container->dir_fd,
		.chain_ids = container->chain_ids,
		.chain_count = strv_length((char *const *)container->chain_ids),
	};
}

int container_storage(struct engine *engine, const struct container *container,
		      const struct storage_ops **ret_ops, struct storage **ret,
		      struct masu_error *err)
{
	if (streq(container->storage_driver, engine->storage_driver))
		return engine_storage(engine, ret_ops, ret, err);
	if (engine->other_storage && !streq(engine->other_ops->name, container->storage_driver)) {
		engine->other_ops->close(engine->other_storage);
		engine->other_storage = NULL;
	}
	int r = open_storage(engine, container->storage_driver, &engine->other_ops,
			     &engine->other_storage, err);
	if (r < 0)
		return r;
	*ret_ops = engine->other_ops;
	*ret = engine->other_storage;
	return 0;
}

int engine_failure(struct masu_error *err, int r)
{
	if (r < 0 && err && !err->exit_status)
		err->exit_status = 125;
	return r;
}

static bool container_exists(struct engine *engine, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	return faccessat(engine->root_fd, store_path(id, path), F_OK, 0) == 0;
}

static int resolve_prefix(struct engine *engine, const char *prefix, char ret_id[65],
			  struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const char **ids;
	size_t count, found = 0;
	arena_init(&arena, 0);
	_cleanup_close_ int dir =
		openat(engine->root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, -ENOENT, "No such container: %s", prefix);
	int r = record_list(dir, &arena, &ids, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (!str_after(ids[i], prefix) || strlen(ids[i]) != ID_LENGTH ||
		    !container_exists(engine, ids[i]))
			continue;
		memcpy(ret_id, ids[i], ID_LENGTH + 1);
		found++;
	}
	if (found == 1)
		return 0;
	if (found == 0)
		return error_set(err, -ENOENT, "No such container: %s", prefix);
	return error_set(err, -EINVAL, "Multiple IDs found with provided prefix: %s", prefix);
}

int engine_resolve(struct engine *engine, const char *name_or_id, char ret_id[65],
		   struct masu_error *err)
{
	const char *name = name_or_id[0] == '/' ? name_or_id + 1 : name_or_id;
	if (strlen(name) == ID_LENGTH && id_prefix_valid(name) && container_exists(engine, name)) {
		memcpy(ret_id, name, ID_LENGTH + 1);
		return 0;
	}
	if (name_lookup(engine, name, ret_id) == 0) {
		if (container_exists(engine, ret_id))
			return 0;
		name_drop_stale(engine, name);
	}
	if (!id_prefix_valid(name))
		return error_set(err, -ENOENT, "No such container: %.255s", name);
	return resolve_prefix(engine, name, ret_id, err);
}

int engine_load(struct engine *engine, struct arena *arena, const char *id, struct container *ret,
		struct masu_error *err)
{
	struct container container;
	bool gone = false;
	int r = store_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	bool claims_life = container.run_fd >= 0 || container.status == CONTAINER_RUNNING ||
			   container.status == CONTAINER_PAUSED ||
			   container.status == CONTAINER_RESTARTING;
	if (claims_life && !container.monitor_pid && !container.pid) {
		r = recover_container(engine, arena, &container, &gone, err);
		if (r < 0 || gone)
			container_close(&container);
		if (r < 0)
			return r;
		if (gone)
			return error_set(err, -ENOENT, "No such container: %s", id);
	}
	*ret = container;
	return 0;
}
