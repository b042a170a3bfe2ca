#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/images.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/network.h"
#include "engine/volumes.h"
#include "state/record.h"
#include "state/trash.h"
#include "sys/fs.h"
#include "sys/proc.h"

/* Under the lock, with the container not running. */
static int remove_locked(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
			 struct masu_error *err)
{
	struct container container;
	int r = store_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	/* Its end could not be written, on a full disk. */
	if (container.status == CONTAINER_RUNNING && !container.pid && !container.monitor_pid)
		container.status = CONTAINER_EXITED;
	r = lifecycle_check(&container, VERB_REMOVE, err);
	/* With the lock held nobody can start it any more. */
	if (r == 0)
		r = container_unpark(&container, err);
	/* Its monitor may have been killed only now: what plugins made is undone by nobody else. */
	if (r == 0 && str_after(engine_network_name(&container.config), "cni:"))
		engine_network_disconnect(engine, &container, NULL);
	if (r == 0) {
		/* Before the record is gone that says which they are. */
		if (flags & ENGINE_REMOVE_VOLUMES)
			volumes_remove_anonymous(engine, &container);
		r = container_discard(engine, arena, &container, err);
		if (r == 0)
			container_let_go(engine, &container);
	}
	if (r == 0)
		store_remove_run(engine, id);
	container_close(&container);
	return r;
}

static int sync_removal(struct engine *engine, struct masu_error *err)
{
	_cleanup_close_ int fd =
		openat(engine->root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fs_fsync_dir(fd);
	return r < 0 ? error_errno(err, r, "%s/containers", engine->root) : 0;
}

int engine_remove(struct engine *engine, const char *id, unsigned flags, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	bool force = flags & ENGINE_REMOVE_FORCE;
	arena_init(&arena, 0);
	int r = engine_load(engine, &arena, id, &container, err);
	if (r < 0)
		return r;
	bool alive = container.pid || container.monitor_pid;
	bool auto_remove = container.config.auto_remove;
	bool parked = alive && container.status == CONTAINER_CREATED;
	r = lifecycle_check(&container, force ? VERB_REMOVE_FORCE : VERB_REMOVE, err);
	if (r == 0 && alive && !parked)
		r = container_force_end(engine, id, err);
	/* Its monitor has removed it, unless it was told to keep it: a killed `restart`. */
	bool by_itself = alive && !parked && auto_remove;
	_cleanup_close_ int lock =
		r < 0 ? -1 : record_lock(container.dir_fd, RECORD_LOCK_EXCLUSIVE, err);
	container_close(&container);
	if (r < 0)
		return r;
	if (lock < 0)
		r = lock == -ENOENT ? error_set(err, lock, "No such container: %s", id) : lock;
	else
		r = remove_locked(engine, &arena, id, flags, err);
	if (r == -ENOENT && by_itself) {
		if (err)
			error_clear(err);
		return 0;
	}
	return r == 0 ? sync_removal(engine, err) : r;
}

void engine_tidy_behind(struct engine *engine)
{
	int kept[] = { engine->root_fd, engine->run_fd };
	pid_t pid = fork();
	if (pid > 0)
		return;
	if (pid == 0)
		proc_go_behind(kept, ARRAY_SIZE(kept));
	recover_unfinished(engine);
	engine_images_collect_behind(engine);
	trash_empty(engine->root_fd, 0);
	if (pid == 0)
		_exit(EXIT_SUCCESS);
}
