/*
 * Pausing. Whether a container is paused is what the kernel's freezer says; a file "paused" in its
 * live directory only says that it is worth asking. The file is there before the group is frozen
 * and until after it is thawed, so whoever is killed in between leaves nothing that is untrue, and
 * live.json stays the monitor's alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/protocol.h"
#include "sys/fs.h"

#define MARKER "paused"
#define HELD   "held" /* what the marker says where engine_hold() made it */

int container_is_frozen(int dir, const char *prefix, const struct json *live, bool *ret,
			struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	*ret = false;
	snprintf(path, sizeof(path), "%s" MARKER, prefix);
	if (faccessat(dir, path, F_OK, 0) < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "%s", path);
	const struct json *saved = json_get(live, "Cgroup");
	if (!saved)
		return 0;
	int r = cgroup_open(saved, &cgroup, err);
	if (r == 0 && (r = cgroup_is_frozen(cgroup, ret)) < 0)
		error_errno(err, r, "cannot read whether the container is frozen");
	return r;
}

static int freeze(const struct container *container, bool frozen, struct masu_error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	const struct json *saved = json_get(container->live, "Cgroup");
	if (!saved)
		return error_set(err, -ENOTSUP, "container %s has no cgroup and cannot be paused",
				 container->name);
	int r = cgroup_open(saved, &cgroup, err);
	return r < 0 ? r : cgroup_freeze(cgroup, frozen, err);
}

static int pause_as(struct engine *engine, const struct container *container, const char *word,
		    struct masu_error *err)
{
	int r = lifecycle_check(container, VERB_PAUSE, err);
	if (r < 0)
		return r;
	/* Closed when it is frozen: that is what engine_wait_for() is woken by. */
	_cleanup_close_ int marker =
		openat(container->run_fd, MARKER,
		       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (marker < 0)
		return error_errno(err, -errno, "cannot mark container %s as paused",
				   container->name);
	r = fs_write_all(marker, word, strlen(word));
	r = r < 0 ? error_errno(err, r, "cannot mark container %s as paused", container->name)
		  : freeze(container, true, err);
	if (r < 0)
		unlinkat(container->run_fd, MARKER, 0);
	else
		event_container(engine, container, "pause", NULL, 0);
	return r;
}

static int pause_locked(struct engine *engine, const struct container *container,
			struct masu_error *err)
{
	return pause_as(engine, container, "", err);
}

static int hold_locked(struct engine *engine, const struct container *container,
		       struct masu_error *err)
{
	return pause_as(engine, container, HELD, err);
}

static int thaw(struct engine *engine, const struct container *container, struct masu_error *err)
{
	int r = freeze(container, false, err);
	if (r < 0)
		return r;
	unlinkat(container->run_fd, MARKER, 0);
	event_container(engine, container, "unpause", NULL, 0);
	return 0;
}

static int unpause_locked(struct engine *engine, const struct container *container,
			  struct masu_error *err)
{
	int r = lifecycle_check(container, VERB_UNPAUSE, err);
	return r < 0 ? r : thaw(engine, container, err);
}

static int change(struct engine *engine, const char *id,
		  int (*fn)(struct engine *engine, const struct container *container,
			    struct masu_error *err),
		  struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int lock = -1;
	struct container container;
	arena_init(&arena, 0);
	int r = container_load_locked(engine, &arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	r = fn(engine, &container, err);
	container_close(&container);
	return r;
}

int engine_pause(struct engine *engine, const char *id, struct masu_error *err)
{
	return change(engine, id, pause_locked, err);
}

int engine_unpause(struct engine *engine, const char *id, struct masu_error *err)
{
	return change(engine, id, unpause_locked, err);
}

/* Whoever pauses it at this moment is waited for: he holds the lock until it is frozen. */
static int thaw_paused(struct engine *engine, const struct container *container,
		       struct masu_error *err)
{
	return container->status == CONTAINER_PAUSED ? thaw(engine, container, err) : 0;
}

int container_thaw(struct engine *engine, const char *id, struct masu_error *err)
{
	return change(engine, id, thaw_paused, err);
}

/* ---- held: paused until somebody hangs up ---- */

static bool is_held(const struct container *container)
{
	char word[16];
	return container->run_fd >= 0 &&
	       fs_read_small(container->run_fd, MARKER, word, sizeof(word)) == 0 &&
	       streq(word, HELD);
}

void container_end_hold(struct engine *engine, const char *id)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	arena_init(&arena, 0);
	if (store_load(engine, &arena, id, &container, NULL) < 0)
		return;
	if (is_held(&container))
		thaw(engine, &container, NULL);
	container_close(&container);
}

int engine_hold(struct engine *engine, const char *id, int *ret_fd, struct masu_error *err)
{
	struct ctl_message message = { .type = CTL_HOLD };
	_cleanup_close_ int control = -1;
	int r = monitor_connect_id(engine, id, &control);
	if (r == 0)
		r = ctl_send(control, &message, -1);
	if (r == 0)
		r = ctl_receive(control, &message, NULL);
	if (r < 0 || message.type != CTL_OK)
		cleanup_close(&control); /* no monitor: then it is only let go if we live */
	r = change(engine, id, hold_locked, err);
	if (r == 0)
		*ret_fd = take_fd(&control);
	return r;
}

void engine_end_hold(struct engine *engine, const char *id, int fd)
{
	struct ctl_message message;
	if (fd < 0) {
		container_end_hold(engine, id);
		return;
	}
	/* The monitor hangs up when it has let go. */
	shutdown(fd, SHUT_WR);
	while (ctl_receive(fd, &message, NULL) == 0)
		;
	close(fd);
}
