/* The end of a container, by its monitor or, where that was killed, by whoever looks next. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/network.h"
#include "engine/volumes.h"
#include "state/record.h"
#include "state/trash.h"
#include "sys/fs.h"
#include "sys/proc.h"

#define STATUS_UNKNOWN 255
#define TRASH_BOUND    256 /* entries deleted on the way; the rest is for whoever is idle */

int container_cgroup_create(const struct container *container, const struct oci_spec *spec,
			    struct cgroup **ret, struct masu_error *err)
{
	struct oci_resources resources = spec->resources;
	if (exec_driver_bounds_memory(container->config.runtime))
		memset(&resources.memory, 0, sizeof(resources.memory));
	const struct cgroup_request request = {
		.manager = CGROUP_CGROUPFS,
		/* lxcfs asks each hierarchy what the container uses, and another runtime makes a
		 * group in each, which is to go with the container. */
		.flags = container->config.proc_limits || container->config.runtime ? 0
										    : CGROUP_LAZY,
		.path = spec->cgroups_path,
		.id = container->id,
		.resources = &resources,
		.owner_uid = (uid_t)-1,
		.owner_gid = (gid_t)-1,
	};
	return cgroup_create(&request, ret, err);
}

int container_state_dir(const struct engine *engine, struct arena *arena,
			const struct container *container, const char **ret, struct masu_error *err)
{
	*ret = arena_printf(arena, "%s/containers/%s", engine->runroot, container->id);
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* Where the driver is not in this program, its monitor is gone, and with that what it had. */
static void forget(struct engine *engine, struct arena *arena, const struct container *container)
{
	const struct exec_ops *driver = exec_driver(container->config.runtime);
	const char *state_dir;
	if (driver && driver->forget &&
	    container_state_dir(engine, arena, container, &state_dir, NULL) == 0)
		driver->forget(container->config.runtime, container->id, state_dir);
}

int container_cleanup(struct engine *engine, struct arena *arena, struct container *container,
		      struct cgroup *cgroup, struct masu_error *err)
{
	forget(engine, arena, container);
	int result = engine_network_disconnect(engine, container, err);
	if (cgroup) {
		/* With a pid namespace of its own nothing outlives its init. */
		int r = container->config.pid_mode && container->config.pid_mode[0]
				? cgroup_kill(cgroup, SIGKILL, err)
				: 0;
		if (r == 0)
			r = cgroup_remove(cgroup, err);
		if (r == -EBUSY && (r = cgroup_kill(cgroup, SIGKILL, err)) == 0)
			r = cgroup_remove(cgroup, err);
		if (r < 0)
			result = r;
	}
	container->endpoint_count = 0;
	return result;
}

int container_drop_layer(struct engine *engine, const struct container *container,
			 struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	int r = engine_storage(engine, &ops, &storage, err);
	if (r == 0 && (!ops->within_container || container->config.storage_option_count))
		r = ops->remove(storage, container->id, container->dir_fd, err);
	return r;
}

int container_discard(struct engine *engine, struct arena *arena, struct container *container,
		      struct masu_error *err)
{
	if (container->config.auto_remove)
		volumes_remove_anonymous(engine, container);
	/* One rename, and it is gone; its name goes next, by container_let_go(). */
	int r = store_discard(engine, container->id, err);
	if (r == 0)
		r = container_drop_layer(engine, container, err);
	if (r == 0)
		event_container(engine, container, "destroy", NULL, 0);
	return r;
}

void container_let_go(struct engine *engine, const struct container *container)
{
	name_release(engine, container->name, container->id);
	store_abandon(engine, container->id);
}

int container_cgroup_open(struct engine *engine, struct arena *arena,
			  const struct container *container, struct cgroup **ret,
			  struct masu_error *err)
{
	const struct json *saved = json_get(container->live, "Cgroup");
	const struct spec_context context = {
		.engine = engine, .arena = arena, .container = container, .root_fd = -1
	};
	struct oci_spec spec = { 0 };
	*ret = NULL;
	if (saved)
		return container_cgroup_live(container, ret, err);
	if (container->run_fd < 0)
		return 0;
	int r = spec_cgroup(&context, &spec, err);
	return r < 0 ? r : container_cgroup_create(container, &spec, ret, err);
}

/* The monitor may have written the end before it was killed. */
static bool end_recorded(const struct container *container)
{
	return container->status != CONTAINER_RUNNING && container->status != CONTAINER_PAUSED;
}

static int record_unknown_end(struct container *container, struct masu_error *err)
{
	char finished[TIME_TEXT_SIZE];
	if (container->status == CONTAINER_RESTARTING) {
		container->status = CONTAINER_EXITED;
		container->error = "its monitor was killed before it could start it again";
		return store_write_state(container, true, err);
	}
	if (end_recorded(container))
		return 0;
	container->status = CONTAINER_EXITED;
	container->exit_code = STATUS_UNKNOWN;
	container->error = "its monitor was killed: the exit status is not known";
	container->finished = time_now_text(finished);
	int r = store_write_state(container, true, err);
	container->finished = TIME_TEXT_NEVER;
	return r;
}

/* A parked container was prepared, not started. */
static bool was_started(const struct container *container)
{
	const char *status;
	return json_string(json_get(container->live, "Status"), &status) &&
	       !streq(status, container_status_name(CONTAINER_CREATED));
}

int recover_container(struct engine *engine, struct arena *arena, struct container *container,
		      bool *ret_gone, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct container now;
	/* Held: somebody is starting or removing it, or repairs it already. */
	_cleanup_close_ int lock = record_try_lock(container->dir_fd, RECORD_LOCK_EXCLUSIVE);
	if (lock < 0)
		return lock == -EWOULDBLOCK || lock == -ENOENT ? 0 : lock;
	int r = store_load(engine, arena, container->id, &now, err);
	if (r < 0)
		return r;
	if (now.monitor_pid || now.pid) {
		container_close(container);
		*container = now;
		return 0;
	}
	log_debug("container %.12s: cleaning up after a monitor that is gone", now.id);
	bool goes = now.config.auto_remove && was_started(&now);
	bool untold = goes || !end_recorded(&now), full = false;
	if (untold)
		event_died(engine, &now, STATUS_UNKNOWN);
	r = container_cgroup_open(engine, arena, &now, &cgroup, err);
	if (r == 0)
		r = container_cleanup(engine, arena, &now, cgroup, err);
	engine_network_drop_orphans(engine, &now);
	if (r == 0 && untold)
		event_released(engine, &now);
	if (r == 0 && goes) {
		r = container_discard(engine, arena, &now, err);
		*ret_gone = r == 0;
		if (r == 0)
			container_let_go(engine, &now);
		trash_empty(engine->root_fd, TRASH_BOUND);
	} else if (r == 0) {
		r = record_unknown_end(&now, err);
		full = r == -ENOSPC || r == -EDQUOT;
	}
	/* The next look finds the same; removing it, which makes room, must be possible. */
	if (full && err)
		error_clear(err);
	if (full)
		r = 0;
	else if (r == 0)
		store_remove_run(engine, now.id);
	if (r < 0) {
		container_close(&now);
		return r;
	}
	container_close(container);
	*container = now;
	return 0;
}

static void abandon_unlocked(struct engine *engine, struct arena *arena, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	const struct storage_ops *ops;
	struct storage *storage;
	_cleanup_close_ int dir = openat(engine->root_fd, store_making_path(id, path),
					 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lock = dir < 0 ? -1 : record_try_lock(dir, RECORD_LOCK_EXCLUSIVE);
	/* Locked: it is being made. */
	if (lock < 0 || engine_storage(engine, &ops, &storage, NULL) < 0)
		return;
	/* There may be no record that says which; and as long as a name is left, so is this. */
	name_release_all(engine, id);
	store_abandon(engine, id);
	if (!ops->within_container)
		ops->remove(storage, id, dir, NULL);
	trash_empty(engine->root_fd, TRASH_BOUND);
}

/* Live files whose container is gone: its monitor was killed after it had discarded it. */
static void remove_orphan(struct engine *engine, struct arena *arena, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	const struct json *live;
	uint64_t start = 0;
	int64_t pid = 0;
	if (faccessat(engine->root_fd, store_path(id, path), F_OK, 0) == 0 || errno != ENOENT)
		return;
	_cleanup_close_ int dir = openat(engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : record_read(dir, "live.json", arena, &live, NULL);
	if (error_is_shortage(r))
		return;
	if (r == 0) {
		json_i64(json_get(live, "MonitorPid"), &pid);
		json_u64(json_get(live, "MonitorStartTime"), &start);
	}
	if (pid <= 0 || pid > INT32_MAX || proc_is_alive((pid_t)pid, start) == 0)
		store_remove_run(engine, id);
}

/* Calls @fn for each id that has a directory below @path. */
static void for_each_id(struct engine *engine, int root_fd, const char *path,
			void (*fn)(struct engine *engine, struct arena *arena, const char *id))
{
	_cleanup_arena_ struct arena arena;
	const char **ids;
	size_t count = 0;
	arena_init(&arena, 0);
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || record_list(dir, &arena, &ids, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (strlen(ids[i]) == ID_LENGTH && id_prefix_valid(ids[i]))
			fn(engine, &arena, ids[i]);
}

/* What killed removals left of live directories. */
static void remove_gone(struct engine *engine)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(engine->run_fd, "containers");
	struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		if (str_after(entry->d_name, STORE_GONE))
			fs_remove_tree(dirfd(dir), entry->d_name);
}

void recover_unfinished(struct engine *engine)
{
	remove_gone(engine);
	for_each_id(engine, engine->root_fd, "containers/.new", abandon_unlocked);
	for_each_id(engine, engine->run_fd, "containers", remove_orphan);
}
