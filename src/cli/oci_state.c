/* Where `masu oci` keeps its containers: directories, records, and the truth about processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "state/record.h"
#include "sys/fs.h"
#include "sys/proc.h"

#define STATE_FILE     "state.json"
#define CONFIG_FILE    "config.json"
#define MODE_UNSETTLED 0710
#define MODE_COMMITTED 0700

static const char *const status_names[] = { "creating", "created", "running", "paused", "stopped" };

const char *oci_status_name(enum oci_status status)
{
	return status_names[status];
}

/* runc's rule: letters, digits, '_', '+', '-', '.'. */
bool oci_id_valid(const char *id)
{
	size_t len = strlen(id);
	if (len == 0 || len > 255 || streq(id, ".") || streq(id, ".."))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!name_char_valid(id[i]) && id[i] != '+')
			return false;
	return true;
}

int oci_open_root(bool create, struct masu_error *err)
{
	struct oci_runtime *runtime = &oci_runtime;
	if (runtime->root_fd >= 0)
		return 0;
	int fd = open(runtime->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && create) {
		int r = fs_mkdirs(AT_FDCWD, runtime->root, 0700);
		if (r < 0)
			return error_errno(err, r, "cannot make %s", runtime->root);
		fd = open(runtime->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return error_errno(err, -errno, "cannot open %s", runtime->root);
	runtime->root_fd = fd;
	return 0;
}

static int open_dir(const char *id)
{
	int fd = openat(oci_runtime.root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Waits for the lock; -ENOENT where whoever held it removed the directory. */
static int lock_dir(int fd)
{
	struct stat st;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink == 0 ? -ENOENT : 0;
}

static const char *string_of(const struct json *record, const char *key)
{
	const char *value = NULL;
	json_string(json_get(record, key), &value);
	return value;
}

static void read_record(const struct json *record, struct oci_container *ret)
{
	int64_t pid = 0, runner = 0;
	ret->bundle = string_of(record, "bundle");
	ret->rootfs = string_of(record, "rootfs");
	ret->created = string_of(record, "created");
	ret->owner = string_of(record, "owner");
	ret->version = string_of(record, "ociVersion");
	ret->cgroups_path = string_of(record, "cgroupsPath");
	ret->cgroup = json_get(record, "cgroup");
	ret->annotations = json_get(record, "annotations");
	const char *boot = string_of(record, "bootId");
	if (boot)
		str_format(ret->boot_id, sizeof(ret->boot_id), "%s", boot);
	json_i64(json_get(record, "pid"), &pid);
	json_u64(json_get(record, "startTime"), &ret->start_time);
	json_i64(json_get(record, "runner"), &runner);
	json_u64(json_get(record, "runnerStartTime"), &ret->runner_start);
	json_bool(json_get(record, "systemd"), &ret->systemd);
	json_bool(json_get(record, "cgroupsDisabled"), &ret->cgroups_disabled);
	ret->pid = (pid_t)pid;
	ret->begun = pid > 0;
	ret->runner = (pid_t)runner;
}

/* Reads state.json of the opened directory. -ENOENT: creation did not come that far. */
static int read_container(struct oci_container *container, struct masu_error *err)
{
	const struct json *record;
	struct stat st;
	int r = record_read(container->dir_fd, STATE_FILE, oci_runtime.arena, &record, err);
	if (r < 0)
		return r;
	read_record(record, container);
	if (!container->bundle || !container->version)
		return error_set(err, -EINVAL, "%s of container %s is damaged; remove %s/%s",
				 STATE_FILE, container->id, oci_runtime.root, container->id);
	if (fstat(container->dir_fd, &st) < 0)
		return error_errno(err, -errno, "container %s", container->id);
	container->committed = (st.st_mode & 07777) == MODE_COMMITTED;
	return 0;
}

void oci_container_close(struct oci_container *container)
{
	if (container->dir_fd < 0)
		return;
	/* Explicitly: the container's process shares the open file description until it execs. */
	(void)flock(container->dir_fd, LOCK_UN);
	cleanup_close(&container->dir_fd);
}

/*
 * The directory of @id is there already. Removes it where its creator is gone and what it left has
 * no owner: -EAGAIN to try again, -EEXIST where it is a container.
 */
static int settle_existing(const char *id, struct masu_error *err)
{
	_cleanup_oci_container_ struct oci_container old = { .id = id, .dir_fd = open_dir(id) };
	if (old.dir_fd < 0)
		return old.dir_fd == -ENOENT ? -EAGAIN
					     : error_errno(err, old.dir_fd, "container %s", id);
	int r = lock_dir(old.dir_fd);
	if (r < 0)
		return r == -ENOENT ? -EAGAIN : error_errno(err, r, "container %s", id);
	r = read_container(&old, err);
	if (r == -ENOENT) {
		/* Killed before the intent was on record: nothing else exists yet. */
		r = fs_remove_tree(oci_runtime.root_fd, id);
		return r < 0 ? error_errno(err, r, "cannot remove %s", id) : -EAGAIN;
	}
	if (r < 0)
		return r;
	struct proc_stat stat;
	bool taken = old.committed;
	if (!taken && old.runner > 0)
		taken = proc_is_alive(old.runner, old.runner_start) != 0;
	/* A foreground run that was killed leaves its container running: that one is in use. */
	if (!taken && old.pid > 0 && proc_read_stat(old.pid, &stat) == 0)
		taken = stat.start_time == old.start_time && !proc_has_ended(&stat) &&
			!proc_has_not_execed(&stat);
	if (taken)
		return error_set(err, -EEXIST, "container with id exists: %s", id);
	r = oci_remove(&old, NULL, true, err);
	return r < 0 ? r : -EAGAIN;
}

int oci_claim(const char *id, struct oci_container *ret, struct masu_error *err)
{
	if (!oci_id_valid(id))
		return error_set(err, -EINVAL,
				 "invalid container id \"%.80s\": use 1 to 255 of [A-Za-z0-9_+.-]",
				 id);
	int r = oci_open_root(true, err);
	for (int tries = 0; r == 0 && tries < 100; tries++) {
		if (mkdirat(oci_runtime.root_fd, id, MODE_UNSETTLED) == 0) {
			_cleanup_close_ int fd = open_dir(id);
			r = fd < 0 ? fd : lock_dir(fd);
			/* Between mkdir and flock another claim may have taken it for a leftover.
			 */
			if (r == -ENOENT) {
				r = 0;
				continue;
			}
			/* The umask may have taken bits that tell how far creation came. */
			if (r == 0 && fchmod(fd, MODE_UNSETTLED) < 0)
				r = -errno;
			if (r < 0)
				return error_errno(err, r, "container %s", id);
			*ret = (struct oci_container) { .id = id, .dir_fd = take_fd(&fd) };
			return 0;
		}
		if (errno != EEXIST)
			return error_errno(err, -errno, "cannot make %s/%s", oci_runtime.root, id);
		r = settle_existing(id, err);
		if (r == -EAGAIN)
			r = 0;
	}
	return r < 0 ? r
		     : error_set(err, -EBUSY, "container %s: created and removed by others", id);
}

int oci_load(const char *id, bool lock, struct oci_container *ret, struct masu_error *err)
{
	struct oci_container container = { .id = id, .dir_fd = -1 };
	int r = -ENOENT;
	if (oci_id_valid(id) && (r = oci_open_root(false, err)) == 0)
		r = container.dir_fd = open_dir(id);
	if (r >= 0 && lock)
		r = lock_dir(container.dir_fd);
	if (r >= 0)
		r = read_container(&container, err);
	if (r == -ENOENT) {
		oci_container_close(&container);
		return error_set(err, r, "container \"%.255s\" does not exist", id);
	}
	if (r < 0) {
		oci_container_close(&container);
		return error_is_set(err) ? r : error_errno(err, r, "container %s", id);
	}
	*ret = container;
	return 0;
}

int oci_container_spec(struct oci_container *container, struct masu_error *err)
{
	if (container->spec)
		return 0;
	struct oci_spec *spec = arena_new(oci_runtime.arena, struct oci_spec);
	if (!spec)
		return error_set(err, -ENOMEM, "out of memory");
	int r = oci_spec_load(oci_runtime.arena, container->dir_fd, spec, err);
	if (r == 0)
		container->spec = spec;
	return r;
}

static void put_annotations(struct json_writer *w, const struct oci_container *container)
{
	if (container->annotations) {
		json_key(w, "annotations");
		json_put_value(w, container->annotations);
	} else if (container->spec && container->spec->annotation_count) {
		json_key(w, "annotations");
		json_begin_object(w);
		for (size_t i = 0; i < container->spec->annotation_count; i++)
			json_field_string(w, container->spec->annotations[i].key,
					  container->spec->annotations[i].value);
		json_end_object(w);
	}
}

int oci_save(const struct oci_container *container, const struct cgroup *cgroup,
	     struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, RECORD_MAX_BYTES);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "ociVersion", container->version);
	json_field_string(&w, "id", container->id);
	json_field_i64(&w, "pid", container->pid);
	json_field_u64(&w, "startTime", container->start_time);
	json_field_string(&w, "bootId", container->boot_id);
	json_field_string(&w, "bundle", container->bundle);
	json_field_string(&w, "rootfs", container->rootfs);
	json_field_string(&w, "created", container->created);
	json_field_string(&w, "owner", container->owner);
	json_field_i64(&w, "runner", container->runner);
	json_field_u64(&w, "runnerStartTime", container->runner_start);
	json_field_bool(&w, "systemd", container->systemd);
	json_field_bool(&w, "cgroupsDisabled", container->cgroups_disabled);
	if (container->cgroups_path)
		json_field_string(&w, "cgroupsPath", container->cgroups_path);
	if (cgroup || container->cgroup) {
		json_key(&w, "cgroup");
		if (cgroup)
			cgroup_save(cgroup, &w);
		else
			json_put_value(&w, container->cgroup);
	}
	put_annotations(&w, container);
	json_end_object(&w);
	return record_write(container->dir_fd, STATE_FILE, &text, false, err);
}

int oci_commit(struct oci_container *container, struct masu_error *err)
{
	if (fchmod(container->dir_fd, MODE_COMMITTED) < 0)
		return error_errno(err, -errno, "container %s", container->id);
	container->committed = true;
	return 0;
}

/* The init's stat where it is the process on record and lives; else -ESRCH. */
static int live_stat(const struct oci_container *container, struct proc_stat *ret)
{
	char boot[BOOT_ID_SIZE];
	if (container->pid <= 0)
		return -ESRCH;
	int r = proc_read_stat(container->pid, ret);
	if (r < 0)
		return r;
	if (proc_has_ended(ret) || ret->start_time != container->start_time)
		return -ESRCH;
	/* Ticks since boot repeat after one. */
	if (proc_boot_id(boot) == 0 && !streq(boot, container->boot_id))
		return -ESRCH;
	return 0;
}

int oci_status(const struct oci_container *container, enum oci_status *ret, struct masu_error *err)
{
	struct proc_stat stat;
	int r = live_stat(container, &stat);
	if (r == -ESRCH) {
		*ret = OCI_STOPPED;
		return 0;
	}
	if (r < 0)
		return error_errno(err, r, "container %s: process %d", container->id,
				   (int)container->pid);
	if (proc_has_not_execed(&stat)) {
		*ret = container->committed ? OCI_CREATED : OCI_CREATING;
		return 0;
	}
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	bool frozen = false;
	r = oci_cgroup(container, &cgroup, err);
	if (r == 0 && cgroup)
		(void)cgroup_is_frozen(cgroup, &frozen);
	*ret = frozen ? OCI_PAUSED : OCI_RUNNING;
	return r;
}

int oci_pidfd(const struct oci_container *container)
{
	struct proc_stat stat;
	int r = live_stat(container, &stat);
	return r < 0 ? r : proc_open(container->pid, container->start_time);
}

int oci_cgroup(const struct oci_container *container, struct cgroup **ret, struct masu_error *err)
{
	*ret = NULL;
	if (!container->cgroup)
		return 0;
	int r = cgroup_open(container->cgroup, ret, err);
	return r < 0 ? error_wrap(err, "container %s", container->id) : 0;
}

int oci_list_ids(const char ***ret, size_t *ret_count, struct masu_error *err)
{
	int r = oci_open_root(false, err);
	if (r == -ENOENT) {
		error_clear(err);
		*ret_count = 0;
		return 0;
	}
	return r < 0 ? r : record_list(oci_runtime.root_fd, oci_runtime.arena, ret, ret_count, err);
}

void oci_put_state(struct json_writer *w, const struct oci_container *container,
		   enum oci_status status)
{
	json_begin_object(w);
	json_field_string(w, "ociVersion", container->version);
	json_field_string(w, "id", container->id);
	json_field_i64(w, "pid", status == OCI_STOPPED ? 0 : container->pid);
	json_field_string(w, "status", oci_status_name(status));
	json_field_string(w, "bundle", container->bundle);
	json_field_string(w, "rootfs", container->rootfs ? container->rootfs : "");
	json_field_string(w, "created", container->created ? container->created : "");
	put_annotations(w, container);
	json_field_string(w, "owner", container->owner ? container->owner : "");
	json_end_object(w);
}
