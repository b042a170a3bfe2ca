/*
 * Removing a container whose record cannot be read. What is known of it besides its id is what its
 * monitor wrote when it made it: live.json.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "state/record.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define END_TIMEOUT_MS 5000

bool engine_is_damaged(int r)
{
	return r == -EBADMSG || r == -EINVAL || r == -E2BIG || r == -EFBIG;
}

/* A pidfd of the process that live.json names; -1: it is gone. */
static int open_recorded(const struct json *live, const char *pid_key, const char *start_key)
{
	char now[BOOT_ID_SIZE];
	const char *boot = "";
	uint64_t start = 0;
	int64_t pid = 0;
	json_string(json_get(live, "BootId"), &boot);
	json_i64(json_get(live, pid_key), &pid);
	json_u64(json_get(live, start_key), &start);
	if (pid <= 0 || pid > INT32_MAX || proc_boot_id(now) < 0 || !streq(boot, now))
		return -1;
	int fd = proc_open((pid_t)pid, start);
	return fd < 0 ? -1 : fd;
}

static bool has_ended(int pidfd, int timeout_ms)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	return pidfd < 0 || poll(&ended, 1, timeout_ms) > 0;
}

/* Its process first: a monitor that lives then takes down by itself what it had. */
static int end_processes(const struct json *live, struct masu_error *err)
{
	_cleanup_close_ int process = open_recorded(live, "Pid", "StartTime");
	_cleanup_close_ int monitor = open_recorded(live, "MonitorPid", "MonitorStartTime");
	if (process >= 0)
		sys_pidfd_send_signal(process, SIGKILL);
	if (!has_ended(monitor, process < 0 ? 0 : END_TIMEOUT_MS))
		sys_pidfd_send_signal(monitor, SIGKILL);
	if (has_ended(process, END_TIMEOUT_MS) && has_ended(monitor, END_TIMEOUT_MS))
		return 0;
	return error_set(err, -EBUSY, "its processes do not end");
}

static int take_down(struct engine *engine, struct arena *arena, struct container *container,
		     struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	const struct json *endpoints = json_get(container->live, "Endpoints");
	const struct json *saved = json_get(container->live, "Cgroup");
	size_t count = endpoints ? endpoints->count : 0;
	container->endpoints = arena_array(arena, struct network_endpoint, count);
	if (!container->endpoints)
		return error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, endpoints)
		if (network_endpoint_load(arena, item,
					  &container->endpoints[container->endpoint_count],
					  NULL) == 0)
			container->endpoint_count++;
	/* It may be gone, with the boot that it was of. */
	if (saved && cgroup_open(saved, &cgroup, NULL) < 0)
		cgroup = NULL;
	return container_cleanup(engine, arena, container, cgroup, err);
}

int engine_remove_damaged(struct engine *engine, struct arena *arena, const char *id,
			  struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	struct container container = { .name = id, .dir_fd = -1, .run_fd = -1 };
	memcpy(container.id, id, sizeof(container.id));
	struct container whole;
	int r = store_load(engine, arena, id, &whole, err);
	if (r == 0)
		container_close(&whole);
	if (r == 0 || !engine_is_damaged(r))
		return r == 0 ? error_set(err, -EBUSY, "container %s: its record is whole", id) : r;
	_cleanup_close_ int dir =
		openat(engine->root_fd, store_path(id, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, -ENOENT, "No such container: %s", id);
	_cleanup_close_ int run = openat(engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run >= 0 && record_read(run, "live.json", arena, &container.live, NULL) < 0)
		container.live = NULL;
	r = end_processes(container.live, err);
	if (r < 0)
		return r;
	_cleanup_close_ int lock = record_lock(dir, RECORD_LOCK_EXCLUSIVE, err);
	if (lock < 0)
		return lock;
	container.dir_fd = dir;
	r = take_down(engine, arena, &container, err);
	if (r == 0)
		r = container_discard(engine, arena, &container, err);
	if (r < 0)
		return r;
	/* Nobody can say which name it had. */
	name_release_all(engine, id);
	store_abandon(engine, id);
	store_remove_run(engine, id);
	return 0;
}
