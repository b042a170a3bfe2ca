/*
 * Groups that a running container joined after its live.json was written, which is its monitor's
 * alone: a file "joined" in its live directory, made before the first such group, has whoever opens
 * the container's group look what there is in the other hierarchies.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/internal.h"

#define MARKER "joined"

bool container_has_joined(const struct container *container)
{
	return container->run_fd >= 0 && faccessat(container->run_fd, MARKER, F_OK, 0) == 0;
}

int container_mark_joined(const struct container *container, struct masu_error *err)
{
	_cleanup_close_ int marker = openat(container->run_fd, MARKER,
					    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return marker < 0 ? error_errno(err, -errno, "container %s: cannot mark what it joins",
					container->name)
			  : 0;
}

int container_cgroup_live(const struct container *container, struct cgroup **ret,
			  struct masu_error *err)
{
	const struct json *saved = json_get(container->live, "Cgroup");
	*ret = NULL;
	if (!saved)
		return 0;
	int r = cgroup_open(saved, ret, err);
	if (r == 0 && container_has_joined(container))
		cgroup_rediscover(*ret);
	return r;
}
