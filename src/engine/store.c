#include "engine/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/health.h"
#include "engine/internal.h"
#include "engine/log_driver.h"
#include "state/record.h"
#include "state/trash.h"
#include "storage/storage.h"
#include "sys/fs.h"
#include "sys/proc.h"

#define MAKE_TRIES 64 /* others may take it several times in a row */

const char *store_path(const char *id, char ret[CONTAINER_PATH_MAX])
{
	snprintf(ret, CONTAINER_PATH_MAX, "containers/%s", id);
	return ret;
}

const char *store_making_path(const char *id, char ret[CONTAINER_PATH_MAX])
{
	snprintf(ret, CONTAINER_PATH_MAX, "containers/.new/%s", id);
	return ret;
}

const char *time_now_text(char ret[TIME_TEXT_SIZE])
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t len = strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + len, TIME_TEXT_SIZE - len, ".%09ldZ", now.tv_nsec);
	return ret;
}

const char **container_args(struct arena *arena, const struct container_config *config)
{
	size_t entrypoint = strv_length(config->entrypoint), cmd = strv_length(config->cmd);
	const char **args = arena_array(arena, const char *, entrypoint + cmd + 1);
	if (!args)
		return NULL;
	/* {""} is how an entrypoint is cleared. */
	if (entrypoint == 1 && !config->entrypoint[0][0])
		entrypoint = 0;
	for (size_t i = 0; i < entrypoint; i++)
		args[i] = config->entrypoint[i];
	for (size_t i = 0; i < cmd; i++)
		args[entrypoint + i] = config->cmd[i];
	return args;
}

/* mkdir of a path below @parent, and of that the first time. */
static int make_directory(int root_fd, const char *parent, const char *path)
{
	if (mkdirat(root_fd, path, 0700) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	int r = fs_mkdirs(root_fd, parent, 0700);
	return r < 0 ? r : mkdirat(root_fd, path, 0700) < 0 ? -errno : 0;
}

/* One try: -ENOENT where somebody took the directory for an abandoned one before it was locked. */
static int make_locked(struct engine *engine, const char *path, int *ret_dir, int *ret_lock)
{
	int r = make_directory(engine->root_fd, "containers/.new", path);
	if (r < 0)
		return r;
	_cleanup_close_ int dir = openat(engine->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	_cleanup_close_ int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, NULL);
	if (lock < 0)
		return lock;
	if (faccessat(engine->root_fd, path, F_OK, 0) < 0)
		return -errno;
	*ret_dir = take_fd(&dir);
	*ret_lock = take_fd(&lock);
	return 0;
}

int store_make(struct engine *engine, const char *id, int *ret_dir, int *ret_lock,
	       struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	int r = -ENOENT;
	store_making_path(id, path);
	for (int tries = 0; r == -ENOENT && tries < MAKE_TRIES; tries++)
		r = make_locked(engine, path, ret_dir, ret_lock);
	return r < 0 ? error_errno(err, r, "cannot make %s/%s", engine->root, path) : 0;
}

int store_publish(struct engine *engine, const struct container *container, struct masu_error *err)
{
	char from[CONTAINER_PATH_MAX], to[CONTAINER_PATH_MAX];
	if (renameat(engine->root_fd, store_making_path(container->id, from), engine->root_fd,
		     store_path(container->id, to)) < 0)
		return error_errno(err, -errno, "cannot make %s/%s", engine->root, to);
	return 0;
}

void store_abandon(struct engine *engine, const char *id)
{
	char path[CONTAINER_PATH_MAX], trash[CONTAINER_PATH_MAX];
	snprintf(trash, sizeof(trash), "container-%s", id);
	trash_move(engine->root_fd, engine->root_fd, store_making_path(id, path), trash);
}

int store_lock_layer(const struct container *container, int *ret_fd, struct masu_error *err)
{
	if (*ret_fd >= 0)
		return 0;
	_cleanup_close_ int fd = openat(container->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	while (r == 0 && flock(fd, LOCK_EX) < 0)
		r = errno == EINTR ? 0 : -errno;
	if (r < 0)
		return error_errno(err, r, "cannot lock the container's layer");
	*ret_fd = take_fd(&fd);
	return 0;
}

int store_open_run(struct engine *engine, struct container *container, struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	int r = make_directory(engine->run_fd, "containers", store_path(container->id, path));
	if (r < 0 && r != -EEXIST)
		return error_errno(err, r, "cannot make %s/%s", engine->runroot, path);
	if (container->run_fd >= 0)
		close(container->run_fd);
	container->run_fd = openat(engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (container->run_fd < 0)
		return error_errno(err, -errno, "cannot open %s/%s", engine->runroot, path);
	return 0;
}

/*
 * At once for whoever looks: between the parts of a removal that takes its time the container would
 * be over, and a start would make its files in a directory that is about to go.
 */
void store_remove_run(struct engine *engine, const char *id)
{
	static const char *const files[] = { "live.json", "ctl.sock" };
	char path[CONTAINER_PATH_MAX], gone[CONTAINER_PATH_MAX + 16], file[CONTAINER_PATH_MAX + 32];
	store_path(id, path);
	snprintf(gone, sizeof(gone), "containers/" STORE_GONE "%s", id);
	if (renameat(engine->run_fd, path, engine->run_fd, gone) < 0) {
		/* What a killed removal left is in the way. */
		if (errno == ENOENT || fs_remove_tree(engine->run_fd, gone) < 0 ||
		    renameat(engine->run_fd, path, engine->run_fd, gone) < 0)
			return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(file, sizeof(file), "%s/%s", gone, files[i]);
		unlinkat(engine->run_fd, file, 0);
	}
	if (unlinkat(engine->run_fd, gone, AT_REMOVEDIR) < 0 && errno != ENOENT)
		fs_remove_tree(engine->run_fd, gone);
}

static void layers_write(struct json_writer *w, const char *const *chain_ids)
{
	json_key(w, "Layers");
	json_put_strings(w, chain_ids);
}

static int sync_file(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int store_write_record(const struct container *container, bool durable, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, RECORD_MAX_BYTES);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Id", container->id);
	json_field_string(&w, "Name", container->name);
	json_field_string(&w, "Created", container->created);
	json_field_string(&w, "Image", container->image_id);
	json_field_string(&w, "Driver", container->storage_driver);
	layers_write(&w, container->chain_ids);
	json_key(&w, "Config");
	json_begin_object(&w);
	config_write(&w, &container->config);
	json_end_object(&w);
	json_key(&w, "HostConfig");
	json_begin_object(&w);
	host_config_write(&w, &container->config);
	json_end_object(&w);
	if (container->config.networks) {
		json_key(&w, "Networks");
		networks_config_write(&w, &container->config);
	}
	json_key(&w, "Mounts");
	mounts_write(&w, &container->config);
	json_end_object(&w);
	/* Nobody reads it before the directory is in its place, so no temporary file is needed. */
	int r = buf_error(&text);
	if (r == 0)
		r = fs_rewrite(container->dir_fd, "container.json", buf_str(&text), text.len, 0600);
	if (r == 0 && durable)
		r = sync_file(container->dir_fd, "container.json");
	return r < 0 ? error_errno(err, r, "container %.12s: cannot write its record",
				   container->id)
		     : 0;
}

int store_sync(struct engine *engine, const struct container *container, struct masu_error *err)
{
	/* On a filesystem with one log the first takes the others with it. */
	static const char *const parents[] = { "containers", "names" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parents); i++)
		r = sync_file(engine->root_fd, parents[i]);
	if (r == 0)
		r = fs_fsync_dir(container->dir_fd);
	return r < 0 ? error_errno(err, r, "container %.12s: cannot sync its record", container->id)
		     : 0;
}

int store_replace_record(const struct container *container, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	bool named = false;
	buf_init(&text, RECORD_MAX_BYTES);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_foreach (member, container->record) {
		if (streq(member->key, "Networks"))
			continue;
		json_key(&w, member->key);
		if (streq(member->key, "Name")) {
			json_put_string(&w, container->name);
		} else if (streq(member->key, "Driver")) {
			json_put_string(&w, container->storage_driver);
			named = true;
		} else if (streq(member->key, "HostConfig")) {
			json_begin_object(&w);
			host_config_write(&w, &container->config);
			json_end_object(&w);
		} else {
			json_put_value(&w, member);
		}
	}
	/* Records of before there were others do not say that it is overlay. */
	if (!named && !streq(container->storage_driver, "overlay"))
		json_field_string(&w, "Driver", container->storage_driver);
	if (container->config.networks) {
		json_key(&w, "Networks");
		networks_config_write(&w, &container->config);
	}
	json_end_object(&w);
	return record_write(container->dir_fd, "container.json", &text,
			    !container->config.auto_remove, err);
}

int store_write_state(const struct container *container, bool durable, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 65536);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Status", container_status_name(container->status));
	json_field_i64(&w, "ExitCode", container->exit_code);
	json_field_bool(&w, "OOMKilled", container->oom_killed);
	json_field_bool(&w, "Dead", container->dead);
	json_field_string(&w, "Error", container->error);
	json_field_string(&w, "StartedAt", container->started);
	json_field_string(&w, "FinishedAt", container->finished);
	json_field_i64(&w, "RestartCount", container->restart_count);
	if (container->manually_stopped)
		json_field_bool(&w, "ManuallyStopped", true);
	json_end_object(&w);
	return record_write(container->dir_fd, "state.json", &text, durable, err);
}

void store_sync_state(const struct container *container)
{
	if (sync_file(container->dir_fd, "state.json") == 0)
		(void)fs_fsync_dir(container->dir_fd);
}

/* It does not change while a process lives. */
static int boot_id(const char **ret, struct masu_error *err)
{
	static char id[BOOT_ID_SIZE];
	int r = *id ? 0 : proc_boot_id(id);
	*ret = id;
	/* Without it a record would say of what runs that it does not, or be taken to. */
	return r < 0 ? error_errno(err, r, "cannot read the boot's id") : 0;
}

static void endpoints_write(struct json_writer *w, const struct container *container)
{
	json_key(w, "Endpoints");
	json_begin_array(w);
	for (size_t i = 0; i < container->endpoint_count; i++)
		network_endpoint_save(&container->endpoints[i], w);
	json_end_array(w);
}

int store_write_live(const struct container *container, uint64_t monitor_start_time,
		     const struct cgroup *cgroup, struct masu_error *err)
{
	const char *boot;
	int r = boot_id(&boot, err);
	if (r < 0)
		return r;
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 1u << 20);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "BootId", boot);
	json_field_string(&w, "Status", container_status_name(container->status));
	json_field_i64(&w, "Pid", container->pid);
	json_field_u64(&w, "StartTime", container->pid_start_time);
	json_field_i64(&w, "MonitorPid", container->monitor_pid);
	json_field_u64(&w, "MonitorStartTime", monitor_start_time);
	json_field_string(&w, "StartedAt", container->started);
	if (cgroup) {
		json_key(&w, "Cgroup");
		cgroup_save(cgroup, &w);
	}
	endpoints_write(&w, container);
	json_end_object(&w);
	return record_write(container->run_fd, "live.json", &text, false, err);
}

int store_replace_endpoints(const struct container *container, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 1u << 20);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_foreach (member, container->live) {
		if (streq(member->key, "Endpoints"))
			continue;
		json_key(&w, member->key);
		json_put_value(&w, member);
	}
	endpoints_write(&w, container);
	json_end_object(&w);
	return record_write(container->run_fd, "live.json", &text, false, err);
}

static enum container_status status_from_name(const char *name)
{
	for (int status = CONTAINER_CREATED; status <= CONTAINER_DEAD; status++)
		if (streq(name, container_status_name((enum container_status)status)))
			return (enum container_status)status;
	return CONTAINER_DEAD;
}

static void state_read(const struct json *state, struct container *container)
{
	const char *status = "created";
	int64_t number = 0;
	json_string(json_get(state, "Status"), &status);
	container->status = status_from_name(status);
	json_i64(json_get(state, "ExitCode"), &number);
	container->exit_code = (int)number;
	json_bool(json_get(state, "OOMKilled"), &container->oom_killed);
	json_bool(json_get(state, "Dead"), &container->dead);
	json_bool(json_get(state, "ManuallyStopped"), &container->manually_stopped);
	json_string(json_get(state, "Error"), &container->error);
	json_string(json_get(state, "StartedAt"), &container->started);
	json_string(json_get(state, "FinishedAt"), &container->finished);
	number = 0;
	json_i64(json_get(state, "RestartCount"), &number);
	container->restart_count = (int)number;
}

static pid_t recorded_pid(const struct json *live, const char *pid_key, const char *start_key,
			  uint64_t *ret_start)
{
	int64_t pid = 0;
	*ret_start = 0;
	json_i64(json_get(live, pid_key), &pid);
	json_u64(json_get(live, start_key), ret_start);
	return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* A process of this boot: *ret_pid where it is alive, else 0. */
static int alive(const struct json *live, const char *pid_key, const char *start_key,
		 pid_t *ret_pid, uint64_t *ret_start, struct masu_error *err)
{
	pid_t pid = recorded_pid(live, pid_key, start_key, ret_start);
	*ret_pid = 0;
	if (!pid)
		return 0;
	int r = proc_is_alive(pid, *ret_start);
	if (r < 0)
		return error_errno(err, r, "cannot see whether process %d runs", (int)pid);
	if (r == 1)
		*ret_pid = pid;
	return 0;
}

static int endpoints_read(struct arena *arena, const struct json *array,
			  struct container *container, struct masu_error *err)
{
	size_t count = array ? array->count : 0, n = 0;
	container->endpoints = arena_array(arena, struct network_endpoint, count);
	if (!container->endpoints)
		return error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, array) {
		int r = network_endpoint_load(arena, item, &container->endpoints[n++], err);
		if (r < 0)
			return r;
	}
	container->endpoint_count = count;
	return 0;
}

/*
 * What live.json says is true only in its own boot and for processes that still are who they were.
 * A process that ended while its monitor lives counts as running until the monitor has recorded
 * the end.
 */
static int live_read(struct arena *arena, struct container *container, bool listed,
		     struct masu_error *err)
{
	const char *boot, *saved_boot = "", *status = "running";
	uint64_t monitor_start;
	const struct json *live = container->live;
	json_string(json_get(live, "BootId"), &saved_boot);
	int r = endpoints_read(arena, json_get(live, "Endpoints"), container, err);
	if (r < 0)
		return r;
	r = boot_id(&boot, err);
	if (r < 0 || !streq(boot, saved_boot))
		return r;
	r = alive(live, "MonitorPid", "MonitorStartTime", &container->monitor_pid, &monitor_start,
		  err);
	if (r == 0 && listed && container->monitor_pid)
		container->pid = recorded_pid(live, "Pid", "StartTime", &container->pid_start_time);
	else if (r == 0)
		r = alive(live, "Pid", "StartTime", &container->pid, &container->pid_start_time,
			  err);
	if (r < 0)
		return r;
	json_string(json_get(live, "Status"), &status);
	if (container->pid || container->monitor_pid) {
		container->status = status_from_name(status);
		/* What waits for its next start shows how it ended. */
		if (container->status != CONTAINER_CREATED &&
		    container->status != CONTAINER_RESTARTING) {
			container->exit_code = 0;
			container->oom_killed = false;
			container->error = "";
			container->finished = TIME_TEXT_NEVER;
		}
		json_string(json_get(live, "StartedAt"), &container->started);
	}
	return 0;
}

static int record_read_into(struct arena *arena, struct container *container,
			    struct masu_error *err)
{
	const struct json *record = container->record;
	int r = config_read(arena, record, &container->config, err);
	if (r < 0)
		return r;
	json_string(json_get(record, "Name"), &container->name);
	json_string(json_get(record, "Image"), &container->image_id);
	json_string(json_get(record, "Created"), &container->created);
	container->storage_driver = "overlay";
	json_string(json_get(record, "Driver"), &container->storage_driver);
	container->chain_ids = json_strings(arena, json_get(record, "Layers"));
	container->args = container_args(arena, &container->config);
	if (!container->name || !container->image_id || !container->created ||
	    !container->chain_ids || !container->args)
		return error_set(err, -EBADMSG,
				 "containers/%s/container.json is damaged; remove the container",
				 container->id);
	return 0;
}

static const char *log_path(struct engine *engine, struct arena *arena,
			    const struct container *container)
{
	char name[96];
	if (!*log_file_name(container->config.log_driver, container->id, name))
		return "";
	return arena_printf(arena, "%s/containers/%s/%s", engine->root, container->id, name);
}

/* Reads "<prefix><name>" below @dir. */
static int read_file(int dir, const char *prefix, const char *name, struct arena *arena,
		     const struct json **ret, struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	size_t len = strlen(prefix);
	memcpy(path, prefix, len);
	memcpy(path + len, name, strlen(name) + 1);
	return record_read(dir, path, arena, ret, err);
}

static int kept_read(int dir, const char *prefix, struct arena *arena, struct container *container,
		     struct masu_error *err)
{
	const struct json *state;
	int r = read_file(dir, prefix, "container.json", arena, &container->record, err);
	if (r == -ENOENT)
		return error_set(err, r, "No such container: %s", container->id);
	if (r == 0)
		r = record_read_into(arena, container, err);
	if (r < 0)
		return r;
	r = read_file(dir, prefix, "state.json", arena, &state, err);
	if (r == 0)
		state_read(state, container);
	/* It is replaced as a whole, but not always synced: what is no document is what a power cut
	 * left of one, and the container does not run. */
	return r == -ENOENT || r == -EINVAL ? 0 : r;
}

static int live_file_read(int dir, const char *prefix, struct arena *arena,
			  struct container *container, bool listed, struct masu_error *err)
{
	int r = read_file(dir, prefix, "live.json", arena, &container->live, err);
	/* On a disk a power cut may leave an empty one: nothing of that boot runs any more. */
	if (r == -EINVAL) {
		if (err)
			error_clear(err);
		return 0;
	}
	if (r == 0)
		r = live_read(arena, container, listed, err);
	bool frozen = false;
	if (r == 0 && container->status == CONTAINER_RUNNING && container->pid)
		r = container_is_frozen(dir, prefix, container->live, &frozen, err);
	if (frozen)
		container->status = CONTAINER_PAUSED;
	if (r == 0)
		r = health_read_status(dir, prefix, arena, container, err);
	return r == -ENOENT ? 0 : r;
}

static struct container unread(const char *id)
{
	struct container container = { .dir_fd = -1,
				       .run_fd = -1,
				       .error = "",
				       .finished = TIME_TEXT_NEVER,
				       .started = TIME_TEXT_NEVER };
	memcpy(container.id, id, sizeof(container.id));
	return container;
}

int store_load(struct engine *engine, struct arena *arena, const char *id, struct container *ret,
	       struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	if (strlen(id) != ID_LENGTH || !id_prefix_valid(id))
		return error_set(err, -ENOENT, "No such container: %s", id);
	struct container c = unread(id);
	_cleanup_close_ int dir =
		openat(engine->root_fd, store_path(id, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return error_set(err, -ENOENT, "No such container: %s", id);
	if (dir < 0)
		return error_errno(err, -errno, "%s/%s", engine->root, path);
	int r = kept_read(dir, "", arena, &c, err);
	if (r < 0)
		return r;
	_cleanup_close_ int run = openat(engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Not to be seen is not the same as not to be there. */
	if (run < 0 && errno != ENOENT)
		return error_errno(err, -errno, "%s/%s", engine->runroot, path);
	if (run >= 0)
		r = live_file_read(run, "", arena, &c, false, err);
	if (r < 0)
		return r;
	c.log_path = log_path(engine, arena, &c);
	c.dir_fd = take_fd(&dir);
	c.run_fd = take_fd(&run);
	*ret = c;
	return 0;
}

int store_load_listed(const struct store_listing *listing, struct arena *arena, const char *id,
		      bool live, struct container *ret, struct masu_error *err)
{
	char prefix[ID_LENGTH + 2];
	struct container c = unread(id);
	memcpy(prefix, id, ID_LENGTH);
	memcpy(prefix + ID_LENGTH, "/", 2);
	int r = kept_read(listing->records, prefix, arena, &c, err);
	if (r == 0 && live)
		r = live_file_read(listing->live, prefix, arena, &c, true, err);
	if (r < 0)
		return r;
	c.log_path = "";
	*ret = c;
	return 0;
}

void container_close(struct container *container)
{
	cleanup_close(&container->dir_fd);
	cleanup_close(&container->run_fd);
}

int store_discard(struct engine *engine, const char *id, struct masu_error *err)
{
	char from[CONTAINER_PATH_MAX], to[CONTAINER_PATH_MAX];
	store_path(id, from);
	store_making_path(id, to);
	for (int tries = 0; tries < 2; tries++) {
		if (renameat(engine->root_fd, from, engine->root_fd, to) == 0 ||
		    (errno == ENOENT && faccessat(engine->root_fd, from, F_OK, 0) < 0))
			return 0;
		if (errno != ENOENT || fs_mkdirs(engine->root_fd, "containers/.new", 0700) < 0)
			break;
	}
	return error_errno(err, -errno, "cannot move %s/%s aside", engine->root, from);
}
