#include "engine/import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/validate.h"
#include "tree/tree.h"
#include "volume/volume.h"

#define TIME_MAX 40
#define LEFT_MAX 4096

/* ---- what does not travel ---- */

struct leaving {
	struct buf list;
	struct container_config *config;
};

static void leave(struct leaving *l, const char *what, const char *value)
{
	buf_printf(&l->list, "%s%s%s%.200s", l->list.len ? ", " : "", what, value ? " " : "",
		   value ? value : "");
}

/* Binds name a place of the other machine; the rest stays in its order. */
static void leave_binds(struct leaving *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->config->mount_count; i++) {
		const struct mount_config *mount = &l->config->mounts[i];
		if (mount->kind == MOUNT_BIND)
			leave(l, "bind", mount->source);
		else
			l->config->mounts[kept++] = *mount;
	}
	l->config->mount_count = kept;
}

static void leave_mode(struct leaving *l, const char *what, const char **mode)
{
	if (*mode && str_after(*mode, "container:")) {
		leave(l, what, *mode);
		*mode = NULL;
	}
}

static void leave_what_is_the_machines(struct leaving *l)
{
	struct container_config *c = l->config;
	leave_binds(l);
	for (size_t i = 0; i < c->device_count; i++)
		leave(l, "device", c->devices[i].host);
	c->device_count = 0;
	if (c->cgroup_parent)
		leave(l, "cgroup parent", c->cgroup_parent);
	c->cgroup_parent = NULL;
	if (c->runtime && !streq(c->runtime, "native"))
		leave(l, "runtime", c->runtime);
	c->runtime = NULL;
	if (c->log_driver && !streq(c->log_driver, "json-file") && !streq(c->log_driver, "local") &&
	    !streq(c->log_driver, "none")) {
		leave(l, "log driver", c->log_driver);
		c->log_driver = NULL;
		c->log_option_count = 0;
	}
	if (c->blkio_device_count)
		leave(l, "limits of block devices", NULL);
	c->blkio_device_count = 0;
	leave_mode(l, "network", &c->network);
	c->network_options = NULL;
	leave_mode(l, "ipc", &c->ipc_mode);
	leave_mode(l, "pid", &c->pid_mode);
	/* What these brought is among the mounts, and what they copied among the changes. */
	c->volumes_from = NULL;
	c->precopy = NULL;
}

/* ---- what would give it the machine ---- */

static int distrust(const struct container_config *c, struct masu_error *err)
{
	const struct {
		const char *what;
		bool has;
	} list[] = {
		{ "--privileged", c->privileged },
		{ "--cap-add", c->cap_add && c->cap_add[0] },
		{ "--security-opt", c->security_opt && c->security_opt[0] },
		{ "--device-cgroup-rule", c->device_cgroup_rules && c->device_cgroup_rules[0] },
		{ "--network host", streq_null(c->network, "host") },
		{ "--ipc host", streq_null(c->ipc_mode, "host") },
		{ "--pid host", streq_null(c->pid_mode, "host") },
		{ "--uts host", streq_null(c->uts_mode, "host") },
		{ "--userns host", streq_null(c->userns_mode, "host") },
		{ "--cgroupns host", streq_null(c->cgroupns_mode, "host") },
	};
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (list[i].has)
			return error_set(err, -EPERM,
					 "the container was made with %s, which gives it this "
					 "machine; import it with --trust if you know where the "
					 "archive comes from",
					 list[i].what);
	return 0;
}

/* ---- the record ---- */

static bool is_clean_target(struct arena *arena, const char *target)
{
	const char *clean, *reason;
	return target && target[0] == '/' && target[1] &&
	       tree_clean_path(arena, target, &clean, &reason) == 0 && *clean &&
	       streq(clean, target + 1);
}

static int check_mounts(struct engine *engine, struct arena *arena,
			const struct container_config *c, struct masu_error *err)
{
	struct volume there;
	for (size_t i = 0; i < c->mount_count; i++) {
		const struct mount_config *mount = &c->mounts[i];
		if (!is_clean_target(arena, mount->target))
			return error_set(err, -EINVAL, "invalid mount target \"%.200s\"",
					 mount->target ? mount->target : "");
		if (mount->kind != MOUNT_VOLUME)
			continue;
		if (!mount->source || !name_valid(mount->source))
			return error_set(err, -EINVAL,
					 "the volume at %.200s has no name that can travel; a "
					 "snapshot is cloned first",
					 mount->target);
		if (volume_open(engine->root_fd, engine->root, arena, mount->source, &there, NULL,
				NULL) == 0)
			return error_set(err, -EEXIST,
					 "a volume named %s exists already; remove or rename it",
					 mount->source);
	}
	return 0;
}

/* The name, the time of creation and the image, which the record has beside the configuration. */
static int read_rest(struct arena *arena, const struct engine_import *import,
		     struct container *container, struct masu_error *err)
{
	const char *created = "", *name = import->name, *image = "";
	json_string(json_get(import->record, "Created"), &created);
	json_string(json_get(import->record, "Image"), &image);
	if (!name && !json_string(json_get(import->record, "Name"), &name))
		name = "";
	if (!streq(image, import->image_id))
		return error_set(err, -EBADMSG, "the archive's image is not the container's");
	int64_t seconds;
	if (strlen(created) > TIME_MAX || time_parse_rfc3339(created, &seconds) < 0)
		return error_set(err, -EBADMSG, "the container's time of creation is none");
	container->config.name = name;
	container->name = name;
	container->created = created;
	container->image_id = import->image_id;
	container->chain_ids = import->chain_ids;
	container->args = container_args(arena, &container->config);
	return container->args && container->args[0]
		       ? 0
		       : error_set(err, -EBADMSG, "the container has no command");
}

/*
 * Written again it must be the same text: what the reader passes over (a member that it does not
 * know, or in another place) would otherwise be lost without a word.
 */
static int check_is_ours(const struct engine_import *import, const struct container_config *config,
			 const char *key,
			 void (*write)(struct json_writer *, const struct container_config *),
			 struct masu_error *err)
{
	_cleanup_buf_ struct buf theirs, ours;
	const struct json *object = json_get(import->record, key);
	struct json_writer w;
	buf_init(&theirs, 0);
	buf_init(&ours, 0);
	if (object) {
		json_writer_init(&w, &theirs, false);
		json_put_value(&w, object);
	}
	json_writer_init(&w, &ours, false);
	json_begin_object(&w);
	write(&w, config);
	json_end_object(&w);
	if (buf_error(&theirs) < 0 || buf_error(&ours) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	if (streq(buf_str(&theirs), buf_str(&ours)))
		return 0;
	return error_set(err, -EBADMSG,
			 "the container's \"%s\" is not as masu writes it; was it exported by a "
			 "newer version?",
			 key);
}

static int check_name(struct engine *engine, const char *name, struct masu_error *err)
{
	char id[65], path[CONTAINER_PATH_MAX];
	if (!name_valid(name))
		return error_set(err, -EINVAL, "\"%.200s\" is no name for a container", name);
	/* What a killed creation left of a name is free: name_claim(). */
	if (name_lookup(engine, name, id) == 0 &&
	    faccessat(engine->root_fd, store_path(id, path), F_OK, 0) == 0)
		return error_set(err, -EEXIST,
				 "a container named %s exists already; import it with --name",
				 name);
	return 0;
}

int import_config(struct engine *engine, struct arena *arena, const struct engine_import *import,
		  struct container *ret, const char **ret_left, struct masu_error *err)
{
	struct container container = { .dir_fd = -1,
				       .run_fd = -1,
				       .error = "",
				       .started = TIME_TEXT_NEVER,
				       .finished = TIME_TEXT_NEVER };
	struct leaving leaving = { .config = &container.config };
	buf_init(&leaving.list, LEFT_MAX);
	int r = config_read(arena, import->record, &container.config, err);
	if (r == 0)
		r = check_is_ours(import, &container.config, "Config", config_write, err);
	if (r == 0)
		r = check_is_ours(import, &container.config, "HostConfig", host_config_write, err);
	if (r == 0) {
		leave_what_is_the_machines(&leaving);
		r = import->trust ? 0 : distrust(&container.config, err);
	}
	if (r == 0)
		r = read_rest(arena, import, &container, err);
	if (r == 0)
		r = check_name(engine, container.name, err);
	if (r == 0)
		r = check_mounts(engine, arena, &container.config, err);
	if (r == 0)
		r = config_validate(engine, arena, &container.config, err);
	const char *left = r < 0 ? NULL : arena_strdup(arena, buf_str(&leaving.list));
	buf_free(&leaving.list);
	if (r < 0 || !left)
		return r < 0 ? r : error_set(err, -ENOMEM, "out of memory");
	*ret = container;
	*ret_left = left;
	return 0;
}

/* ---- making it ---- */

static int make_root(struct engine *engine, const struct engine_import *import,
		     const struct container *container, struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	struct storage_mount_request request = container_layers(container);
	_cleanup_close_ int mounted = -1, root = -1;
	int r = config_storage_size(&container->config, &request.size, err);
	if (r == 0)
		r = engine_storage(engine, &ops, &storage, err);
	if (r == 0)
		r = ops->create(storage, &request, err);
	if (r == 0)
		r = ops->mount(storage, &request, &mounted, err);
	if (r == 0) {
		root = openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = root < 0 ? error_errno(err, -errno, "container's root") : 0;
	}
	if (r == 0)
		r = import->fill(import->data, root, err);
	return r == 0 && syncfs(root) < 0 ? error_errno(err, -errno, "syncfs") : r;
}

int import_begin(struct engine *engine, const struct engine_import *import,
		 struct container *container, int *ret_lock, struct masu_error *err)
{
	_cleanup_close_ int lock = -1;
	container->storage_driver = engine->storage_driver;
	int r = id_random(container->id);
	if (r < 0)
		return error_errno(err, r, "cannot choose an id");
	r = store_make(engine, container->id, &container->dir_fd, &lock, err);
	if (r < 0)
		return r;
	r = name_claim(engine, container->name, container->id, err);
	if (r == 0)
		r = make_root(engine, import, container, err);
	if (r == 0)
		r = store_write_record(container, true, err);
	if (r < 0) {
		import_abandon(engine, container);
		return r;
	}
	*ret_lock = take_fd(&lock);
	return 0;
}

int import_publish(struct engine *engine, const struct container *container, struct masu_error *err)
{
	int r = store_publish(engine, container, err);
	if (r == 0)
		r = store_sync(engine, container, err);
	if (r == 0)
		event_container(engine, container, "create", NULL, 0);
	return r;
}

void import_abandon(struct engine *engine, const struct container *container)
{
	/* It may have come to its place, and then could not be made durable. */
	store_discard(engine, container->id, NULL);
	name_release(engine, container->name, container->id);
	container_drop_layer(engine, container, NULL);
	store_abandon(engine, container->id);
}
