#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/network.h"

static void tell(struct engine *engine, const struct container *container, const char *before)
{
	char old[NAME_MAX + 2];
	const struct oci_pair attribute = { "oldName", old };
	snprintf(old, sizeof(old), "/%s", before);
	event_container(engine, container, "rename", &attribute, 1);
}

/* Under the container's lock. */
static int rename_locked(struct engine *engine, struct arena *arena, struct container *container,
			 const char *name, struct masu_error *err)
{
	struct masu_error why = { 0 };
	const char *before = container->name;
	int r = lifecycle_check(container, VERB_CHANGE, err);
	if (r < 0)
		return r;
	if (streq(before, name))
		return error_set(err, -EINVAL,
				 "Renaming a container with the same name as its current name");
	r = name_change_begin(engine, before, name, container->id, err);
	if (r < 0) {
		error_wrap(err, "Error when allocating new name");
		return r;
	}
	/* What waits for the start knows itself by the old name. */
	r = container_unpark(container, err);
	container->name = name;
	if (r == 0)
		r = store_replace_record(container, err);
	if (r == 0 && engine_network_rename(engine, arena, container, &why) < 0)
		log_warn("%s", why.message);
	name_change_end(engine, r < 0 ? before : name, container->id);
	monitor_reload(container); /* it finds out by itself otherwise, only later */
	if (r == 0)
		tell(engine, container, before);
	return r;
}

/* A container with --rm goes without asking for the lock: then the name is to be free again. */
static int check_still_there(struct engine *engine, const char *id, const char *name,
			     struct masu_error *err)
{
	char path[CONTAINER_PATH_MAX];
	if (faccessat(engine->root_fd, store_path(id, path), F_OK, 0) == 0)
		return 0;
	name_release(engine, name, id);
	return error_set(err, -ENOENT, "No such container: %s", id);
}

int engine_rename(struct engine *engine, const char *id, const char *name, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int lock = -1;
	struct container container;
	if (name[0] == '/')
		name++;
	if (!name[0])
		return error_set(err, -EINVAL, "Neither old nor new names may be empty");
	arena_init(&arena, 0);
	int r = container_load_locked(engine, &arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	r = rename_locked(engine, &arena, &container, name, err);
	container_close(&container);
	return r < 0 ? r : check_still_there(engine, id, name, err);
}
