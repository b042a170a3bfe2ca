/* Records, names, volumes, what killed commands left in the root and the runroot. */
#include "engine/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/check_internal.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "state/record.h"
#include "state/trash.h"
#include "volume/volume.h"

#define TEXT_MAX  1200
#define SETTLE_NS 300000000

static void report(struct check *check, struct check_finding *finding, const char *what, va_list ap)
	__attribute__((format(printf, 3, 0)));
static void report(struct check *check, struct check_finding *finding, const char *what, va_list ap)
{
	char text[TEXT_MAX];
	vsnprintf(text, sizeof(text), what, ap);
	finding->what = text;
	check->left += !check->repair || !finding->mendable || finding->result < 0;
	check->report(check->opaque, finding);
}

void check_found(struct check *check, const char *where, const char *remedy, const char *what, ...)
{
	struct check_finding finding = { .where = where, .remedy = remedy };
	va_list ap;
	va_start(ap, what);
	report(check, &finding, what, ap);
	va_end(ap);
}

void check_mended(struct check *check, const char *where, const char *remedy, int result,
		  const char *what, ...)
{
	struct check_finding finding = {
		.where = where, .remedy = remedy, .mendable = true, .result = result
	};
	va_list ap;
	va_start(ap, what);
	report(check, &finding, what, ap);
	va_end(ap);
}

const struct container *check_container(const struct check *check, const char *id)
{
	for (size_t i = 0; i < check->container_count; i++)
		if (streq(check->containers[i].id, id))
			return &check->containers[i];
	return NULL;
}

/* The names of the directories in <root_fd>/@path; none where that is missing. */
static int list(struct check *check, int root_fd, const char *path, const char ***ret,
		size_t *ret_count, struct masu_error *err)
{
	_cleanup_close_ int dir = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_count = 0;
	if (dir < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "%s", path);
	return record_list(dir, &check->arena, ret, ret_count, err);
}

static bool exists(int dirfd, const char *path)
{
	return faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_id(const char *name)
{
	return strlen(name) == ID_LENGTH && id_prefix_valid(name);
}

/* Whatever is in a directory, but files that begin with a dot. */
struct entries {
	struct arena *arena;
	const char **list;
	size_t count, capacity;
};

static int entries_add(struct entries *entries, const char *name)
{
	if (entries->count == entries->capacity) {
		size_t capacity = entries->capacity ? entries->capacity * 2 : 64;
		const char **grown = arena_array(entries->arena, const char *, capacity);
		if (!grown)
			return -ENOMEM;
		if (entries->count)
			memcpy(grown, entries->list, entries->count * sizeof(*grown));
		entries->list = grown;
		entries->capacity = capacity;
	}
	entries->list[entries->count] = arena_strdup(entries->arena, name);
	return entries->list[entries->count++] ? 0 : -ENOMEM;
}

static int entries_read(struct entries *entries, int root_fd, const char *path)
{
	int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r = dir ? 0 : -ENOMEM;
	if (!dir)
		close(fd);
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = entries_add(entries, entry->d_name);
	return r;
}

/* What monitors do behind their reply, letting go of names and deleting, gets the time that it
 * takes: what is still there then was left by one that is gone. */
static void settle(size_t suspects)
{
	const struct timespec time = { .tv_nsec = SETTLE_NS };
	if (suspects)
		nanosleep(&time, NULL);
}

/* ---- containers ---- */

static bool claims_life(const struct container *container)
{
	return container->run_fd >= 0 || container->status == CONTAINER_RUNNING ||
	       container->status == CONTAINER_PAUSED;
}

/* Nobody is starting, changing or removing it. */
static bool is_idle(struct engine *engine, const char *path)
{
	_cleanup_close_ int dir = openat(engine->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lock = dir < 0 ? -1 : record_try_lock(dir, RECORD_LOCK_EXCLUSIVE);
	return lock >= 0;
}

static int end_container(struct check *check, const char *id)
{
	struct container container;
	int r = engine_load(check->engine, &check->arena, id, &container, NULL);
	if (r == 0)
		container_close(&container);
	return r == -ENOENT ? 0 : r;
}

static void check_life(struct check *check, const char *path, const struct container *container)
{
	bool alive = container->monitor_pid || container->pid;
	if (!claims_life(container) || alive || !is_idle(check->engine, path))
		return;
	check_mended(check, path, "its end is recorded and what it had is taken down",
		     check->repair ? end_container(check, container->id) : 0,
		     "container %s is said to run, and neither it nor its monitor does",
		     container->name);
}

static void check_name(struct check *check, const char *path, const struct container *container)
{
	char id[ID_LENGTH + 1];
	if (name_lookup(check->engine, container->name, id) == 0 && streq(id, container->id))
		return;
	if (!is_idle(check->engine, path))
		return;
	check_mended(check, path, "the name is linked again",
		     check->repair ? name_claim(check->engine, container->name, container->id, NULL)
				   : 0,
		     "the name %s does not lead to it", container->name);
}

static void check_mounts_of(struct check *check, const char *path,
			    const struct container *container)
{
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		char volume[600];
		if (mount->kind != MOUNT_VOLUME || !mount->source ||
		    volume_data_path(mount->source, volume, sizeof(volume)) < 0)
			continue;
		if (exists(check->engine->root_fd, volume))
			continue;
		/* A container that removes itself begins with its volumes. */
		settle(1);
		if (exists(check->engine->root_fd, path))
			check_found(check, path, "make the volume, or remove the container",
				    "its volume %s is missing", mount->source);
	}
}

/* Then nothing is in it that was not in its image. */
static bool never_started(const struct check *check, const char *path)
{
	char state[CONTAINER_PATH_MAX + 16];
	return str_format(state, sizeof(state), "%s/state.json", path) == 0 &&
	       !exists(check->engine->root_fd, state);
}

static int check_one(struct check *check, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	struct masu_error why = { 0 };
	struct container *container = &check->containers[check->container_count];
	store_path(id, path);
	if (!is_id(id)) {
		check_found(check, path, "look what it is and remove it", "it is no container");
		return 0;
	}
	int r = store_load(check->engine, &check->arena, id, container, &why);
	if (r < 0) {
		if (error_is_shortage(r))
			return r;
		/* Removed since it was listed. */
		if (r == -ENOENT && !exists(check->engine->root_fd, path))
			return 0;
		check->containers_known = false;
		if (engine_is_damaged(r) && never_started(check, path)) {
			check_mended(check, path, "it is removed: it was never started",
				     check->repair ? engine_remove_damaged(check->engine,
									   &check->arena, id, NULL)
						   : 0,
				     "its record cannot be read: %s", why.message);
			return 0;
		}
		check_found(check, path, "masu rm -f it, or put the record back from a backup",
			    "its record cannot be read: %s", why.message);
		return 0;
	}
	check_life(check, path, container);
	check_name(check, path, container);
	check_mounts_of(check, path, container);
	container_close(container);
	check->container_count++;
	return 0;
}

static int check_containers(struct check *check, struct masu_error *err)
{
	const char **ids;
	size_t count;
	int r = list(check, check->engine->root_fd, "containers", &ids, &count, err);
	if (r < 0)
		return r;
	check->containers = arena_array(&check->arena, struct container, count + 1);
	if (!check->containers)
		return error_set(err, -ENOMEM, "out of memory");
	check->containers_known = true;
	for (size_t i = 0; i < count; i++) {
		r = check_one(check, ids[i]);
		if (r < 0)
			return error_errno(err, r, "container %.12s", ids[i]);
	}
	return 0;
}

/* ---- what commands that were killed left ---- */

static int check_unfinished(struct check *check, struct masu_error *err)
{
	const char **ids;
	size_t count;
	int r = list(check, check->engine->root_fd, "containers/.new", &ids, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char path[CONTAINER_PATH_MAX];
		if (!is_id(ids[i]) || !is_idle(check->engine, store_making_path(ids[i], path)))
			continue;
		/* Made a moment ago, it is not locked yet. */
		settle(1);
		if (!is_idle(check->engine, path))
			continue;
		if (check->repair)
			recover_unfinished(check->engine);
		check_mended(check, path, "it is removed",
			     check->repair && exists(check->engine->root_fd, path) ? -EBUSY : 0,
			     "a container that was never finished");
	}
	return r;
}

/* Its monitor lives: it is on its way out. */
static bool monitor_lives(struct check *check, const char *path)
{
	const struct json *live;
	uint64_t start = 0, now;
	int64_t pid = 0;
	_cleanup_close_ int dir =
		openat(check->engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || record_read(dir, "live.json", &check->arena, &live, NULL) < 0)
		return false;
	json_i64(json_get(live, "MonitorPid"), &pid);
	json_u64(json_get(live, "MonitorStartTime"), &start);
	return pid > 0 && pid <= INT32_MAX && proc_start_time((pid_t)pid, &now) == 0 &&
	       now == start;
}

static int check_runroot(struct check *check, struct masu_error *err)
{
	const char **ids;
	size_t count;
	int r = list(check, check->engine->run_fd, "containers", &ids, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char path[CONTAINER_PATH_MAX];
		if (!is_id(ids[i]) || exists(check->engine->root_fd, store_path(ids[i], path)) ||
		    monitor_lives(check, path) || !exists(check->engine->run_fd, path))
			continue;
		if (check->repair)
			recover_unfinished(check->engine);
		check_mended(check, path, "they are removed",
			     check->repair && exists(check->engine->run_fd, path) ? -EBUSY : 0,
			     "live files in %s of a container that is gone",
			     check->engine->runroot);
	}
	return r;
}

/* The container that a name leads to, where there is none by that id. */
static bool name_is_stale(struct check *check, const char *name, char ret_id[ID_LENGTH + 1])
{
	char place[CONTAINER_PATH_MAX], making[CONTAINER_PATH_MAX];
	if (name_lookup(check->engine, name, ret_id) < 0 || !is_id(ret_id))
		return false;
	/* In this order: who is made moves from the one to the other. */
	return !exists(check->engine->root_fd, store_making_path(ret_id, making)) &&
	       !exists(check->engine->root_fd, store_path(ret_id, place));
}

static void check_stale_name(struct check *check, const char *name)
{
	char id[ID_LENGTH + 1], path[300];
	if (!name_is_stale(check, name, id) || str_format(path, sizeof(path), "names/%s", name) < 0)
		return;
	if (check->repair)
		name_drop_stale(check->engine, name);
	check_mended(check, path, "the name is let go",
		     check->repair && name_is_stale(check, name, id) ? -EBUSY : 0,
		     "it leads to container %.12s, which there is not", id);
}

static int check_names(struct check *check, struct masu_error *err)
{
	struct entries names = { .arena = &check->arena };
	char id[ID_LENGTH + 1];
	size_t stale = 0;
	int r = entries_read(&names, check->engine->root_fd, "names");
	if (r < 0)
		return error_errno(err, r, "names");
	for (size_t i = 0; i < names.count; i++)
		if (name_valid(names.list[i]) && name_is_stale(check, names.list[i], id))
			names.list[stale++] = names.list[i];
	settle(stale);
	for (size_t i = 0; i < stale; i++)
		check_stale_name(check, names.list[i]);
	return 0;
}

/* ---- volumes, trash ---- */

static int check_moves(struct check *check)
{
	int left = volume_sweep_moves(check->engine->root_fd, true);
	int r = left > 0 && check->repair ? volume_sweep_moves(check->engine->root_fd, false) : 0;
	if (left > 0)
		check_mended(check, "volumes/.moving", "they are removed", r < 0 ? r : 0,
			     "%d copies of volumes whose move to here was killed", left);
	return left < 0 ? left : 0;
}

static int check_volumes(struct check *check, struct masu_error *err)
{
	const char **names;
	size_t count;
	int r = check_moves(check);
	if (r < 0)
		return error_errno(err, r, "volumes/.moving");
	r = list(check, check->engine->root_fd, "volumes", &names, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char path[300];
		struct volume volume;
		struct masu_error why = { 0 };
		_cleanup_close_ int data = -1;
		if (str_format(path, sizeof(path), "volumes/%s", names[i]) < 0)
			continue;
		int opened = volume_open(check->engine->root_fd, check->engine->root, &check->arena,
					 names[i], &volume, &data, &why);
		if (opened == 0 || !is_idle(check->engine, path))
			continue;
		if (opened == -ENOENT)
			check_found(check, path, "masu volume create it, or remove the directory",
				    "a volume that was never finished");
		else
			check_found(check, path, "put volume.json back from a backup",
				    "the volume cannot be read: %s", why.message);
	}
	return r;
}

static size_t count_left(const struct entries *entries, int fd)
{
	size_t left = 0;
	for (size_t i = 0; i < entries->count; i++)
		left += exists(fd, entries->list[i]);
	return left;
}

/* Somebody deletes: he holds the lock. */
static bool is_being_emptied(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return true;
	flock(fd, LOCK_UN);
	return false;
}

static int check_trash(struct check *check, struct masu_error *err)
{
	struct entries entries = { .arena = &check->arena };
	_cleanup_close_ int fd =
		openat(check->engine->root_fd, "trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "trash");
	int r = entries_read(&entries, check->engine->root_fd, "trash");
	if (r < 0)
		return error_errno(err, r, "trash");
	settle(entries.count);
	size_t count = count_left(&entries, fd);
	if (count == 0 || is_being_emptied(fd))
		return 0;
	if (check->repair) {
		r = trash_empty(check->engine->root_fd, 0);
		if (r == 0 && count_left(&entries, fd))
			r = -ENOTEMPTY;
	}
	check_mended(check, "trash", "it is emptied", r, "%zu removed things are not deleted yet",
		     count);
	return 0;
}

int engine_check(struct engine *engine, bool repair, check_hash hash, check_report report_to,
		 void *opaque, size_t *ret_left, struct masu_error *err)
{
	struct check check = { .engine = engine,
			       .repair = repair,
			       .hash = hash,
			       .report = report_to,
			       .opaque = opaque };
	arena_init(&check.arena, 1u << 30);
	int r = check_containers(&check, err);
	if (r == 0)
		r = check_unfinished(&check, err);
	if (r == 0)
		r = check_runroot(&check, err);
	if (r == 0)
		r = check_names(&check, err);
	if (r == 0)
		r = check_volumes(&check, err);
	if (r == 0)
		r = check_images(&check, err);
	if (r == 0)
		r = check_kernel(&check, err);
	/* Last: repairs fill it. */
	if (r == 0)
		r = check_trash(&check, err);
	arena_free(&check.arena);
	if (r == 0)
		*ret_left = check.left;
	return r;
}
