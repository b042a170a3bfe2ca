/*
 * Creating: image and options become one configuration; then, in this order, a directory in the
 * making with its lock, the name, the writable layer, the volumes, container.json, and the
 * directory moves to its place, with which the container exists. What dies before leaves a
 * directory in the making that nobody lists and whose name the next one may take. A record is
 * synced before it is in its place, so none is there in part; that it is there is synced while the
 * container's monitor already works, and before the reply.
 */
#include "engine/create.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "base/trace.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/network.h"
#include "engine/start.h"
#include "engine/validate.h"
#include "engine/volumes.h"
#include "state/trash.h"
#include "sys/fs.h"

/* NAME of "NAME=value". */
static bool same_variable(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");
	return strncmp(a, b, len) == 0 && (b[len] == '=' || b[len] == '\0');
}

/* The image's variables that the options do not set, then those of the options. */
static int merge_env(struct arena *arena, char *const *image, struct container_config *config)
{
	size_t count = 0;
	char **env = arena_array(arena, char *, strv_length(image) + strv_length(config->env) + 1);
	if (!env)
		return -ENOMEM;
	for (; image && *image; image++) {
		bool set = false;
		for (char **own = config->env; own && *own && !set; own++)
			set = same_variable(*image, *own);
		if (!set)
			env[count++] = *image;
	}
	for (char **own = config->env; own && *own; own++)
		env[count++] = *own;
	config->env = env;
	return 0;
}

static const char *label_value(const struct container_config *config, const char *key)
{
	for (size_t i = 0; i < config->label_count; i++)
		if (streq(config->labels[i].key, key))
			return config->labels[i].value;
	return NULL;
}

static int merge_labels(struct arena *arena, const struct image_config *image,
			struct container_config *config)
{
	struct oci_pair *labels =
		arena_array(arena, struct oci_pair, image->label_count + config->label_count);
	size_t count = 0;
	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < image->label_count; i++)
		if (!label_value(config, image->labels[i].key))
			labels[count++] =
				(struct oci_pair) { image->labels[i].key, image->labels[i].value };
	for (size_t i = 0; i < config->label_count; i++)
		labels[count++] = config->labels[i];
	config->labels = labels;
	config->label_count = count;
	return 0;
}

static const char *either(const char *own, const char *image)
{
	return own && *own ? own : image && *image ? image : NULL;
}

static int merge_expose(struct arena *arena, const char *const *image,
			struct container_config *config)
{
	size_t count = strv_length((char *const *)config->expose);
	const char **expose =
		arena_array(arena, const char *, count + strv_length((char *const *)image) + 1);
	if (!expose)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		expose[i] = config->expose[i];
	for (; image && *image; image++)
		if (!strv_contains(expose, *image))
			expose[count++] = *image;
	config->expose = count ? expose : NULL;
	return 0;
}

/* docker: the image's command is for the image's entrypoint; who brings his own brings both. */
static void merge_command(const struct image_config *image, struct container_config *config)
{
	if (!config->entrypoint_set || !config->entrypoint) {
		config->entrypoint = image->entrypoint;
		if (!config->cmd_set)
			config->cmd = image->cmd;
	}
}

/* What the options leave open is the image's. */
static void merge_healthcheck(const struct image_config *image, struct container_config *config)
{
	static char *const none[] = { (char *)"NONE", NULL };
	struct image_healthcheck *check = &config->healthcheck;
	const struct image_healthcheck *given = &image->healthcheck;
	if (config->no_healthcheck) {
		*check = (struct image_healthcheck) { .present = true, .test = (char **)none };
		return;
	}
	if (!check->present) {
		*check = *given;
		return;
	}
	if (!check->test)
		check->test = given->test;
	if (!check->interval_ns)
		check->interval_ns = given->interval_ns;
	if (!check->timeout_ns)
		check->timeout_ns = given->timeout_ns;
	if (!check->start_period_ns)
		check->start_period_ns = given->start_period_ns;
	if (!check->start_interval_ns)
		check->start_interval_ns = given->start_interval_ns;
	if (!check->retries)
		check->retries = given->retries;
}

static int merge_image(struct arena *arena, const struct image_config *image,
		       struct container_config *config, struct masu_error *err)
{
	merge_command(image, config);
	config->user = either(config->user, image->user);
	config->working_dir = either(config->working_dir, image->working_dir);
	config->stop_signal = either(config->stop_signal, image->stop_signal);
	merge_healthcheck(image, config);
	config->shell = image->shell;
	if (merge_env(arena, image->env, config) < 0 || merge_labels(arena, image, config) < 0 ||
	    merge_expose(arena, image->exposed_ports, config) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int make_layer(struct engine *engine, const struct container *container,
		      struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	struct storage_mount_request request = container_layers(container);
	request.flags = container->config.auto_remove ? STORAGE_VOLATILE : 0;
	int r = config_storage_size(&container->config, &request.size, err);
	if (r == 0)
		r = engine_storage(engine, &ops, &storage, err);
	if (r == 0)
		r = ops->create(storage, &request, err);
	if (r == 0 && container->config.precopy && container->config.precopy[0])
		r = container_precopy(ops, storage, &request, container->config.precopy, err);
	return r;
}

static int claim_name(struct engine *engine, struct arena *arena, struct container *container,
		      struct masu_error *err)
{
	char random[64];
	if (container->config.name) {
		container->name = container->config.name;
		return name_claim(engine, container->name, container->id, err);
	}
	int r = name_claim_random(engine, container->id, random, err);
	if (r == 0 && !(container->name = arena_strdup(arena, random)))
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

static int make_container(struct engine *engine, struct arena *arena,
			  const char *const *image_volumes, struct container *container,
			  struct masu_error *err)
{
	bool durable = !container->config.auto_remove;
	int r = claim_name(engine, arena, container, err);
	if (r == 0)
		r = make_layer(engine, container, err);
	if (r == 0)
		r = volumes_prepare(engine, arena, image_volumes, &container->config, err);
	trace_mark("layer and name");
	if (r == 0)
		r = store_write_record(container, durable, err);
	if (r == 0)
		r = store_publish(engine, container, err);
	engine_volumes_unlock(engine);
	trace_mark("record written");
	return r;
}

static void undo(struct engine *engine, const struct container *container)
{
	/* It may have come to its place, and then could not be made durable. */
	store_discard(engine, container->id, NULL);
	/* As long as it is being made, nobody takes its name over. */
	if (container->name)
		name_release(engine, container->name, container->id);
	volumes_remove_anonymous(engine, container);
	container_drop_layer(engine, container, NULL);
	store_abandon(engine, container->id);
	trash_empty(engine->root_fd, 64);
}

int container_create(struct engine *engine, struct arena *arena,
		     const struct container_config *config, struct container *ret, int *ret_lock,
		     struct masu_error *err)
{
	struct image image;
	char created[TIME_TEXT_SIZE];
	struct container container = { .config = *config,
				       .dir_fd = -1,
				       .run_fd = -1,
				       .error = "",
				       .started = TIME_TEXT_NEVER,
				       .finished = TIME_TEXT_NEVER };
	_cleanup_close_ int lock = -1;
	int r = image_find(engine->root_fd, arena, config->image, &image, err);
	trace_mark("image found");
	if (r == 0)
		r = merge_image(arena, &image.config, &container.config, err);
	if (r == 0)
		r = config_validate(engine, arena, &container.config, err);
	if (r < 0)
		return r;
	container.args = container_args(arena, &container.config);
	container.image_id = arena_strdup(arena, image.id);
	container.created = arena_strdup(arena, time_now_text(created));
	container.chain_ids = image.chain_ids;
	container.storage_driver = engine->storage_driver;
	if (!container.args || !container.image_id || !container.created)
		return error_set(err, -ENOMEM, "out of memory");
	if (!container.args[0])
		return error_set(err, -EINVAL, "no command specified");
	r = id_random(container.id);
	if (r < 0)
		return error_errno(err, r, "cannot choose an id");
	r = store_make(engine, container.id, &container.dir_fd, &lock, err);
	if (r == 0)
		r = make_container(engine, arena, image.config.volumes, &container, err);
	if (r < 0) {
		undo(engine, &container);
		container_close(&container);
		return r;
	}
	event_container(engine, &container, "create", NULL, 0);
	*ret = container;
	*ret_lock = take_fd(&lock);
	return 0;
}

static void remove_again(struct engine *engine, const char *id)
{
	if (engine_remove(engine, id, ENGINE_REMOVE_FORCE, NULL) == 0)
		trash_empty(engine->root_fd, 64);
}

/* Waits for the disk; a container whose record may not survive does not stay. */
static int make_durable(struct engine *engine, const struct container *container,
			struct masu_error *err)
{
	int r = container->config.auto_remove ? 0 : store_sync(engine, container, err);
	trace_mark("synced");
	return r;
}

int engine_create(struct engine *engine, struct arena *arena, const struct container_config *config,
		  char ret_id[65], struct masu_error *err)
{
	struct container container;
	int lock;
	int r = container_create(engine, arena, config, &container, &lock, err);
	if (r < 0)
		return engine_failure(err, r);
	memcpy(ret_id, container.id, sizeof(container.id));
	supervise_park(engine, arena, &container, lock);
	close(lock);
	r = make_durable(engine, &container, err);
	container_close(&container);
	if (r < 0)
		remove_again(engine, ret_id);
	return engine_failure(err, r);
}

int engine_run(struct engine *engine, struct arena *arena, const struct container_config *config,
	       struct engine_attach *attach, char ret_id[65], struct masu_error *err)
{
	struct container container;
	struct supervision supervision;
	int lock;
	if (attach)
		attach->control_fd = attach->stream_fd = -1;
	int r = container_create(engine, arena, config, &container, &lock, err);
	if (r < 0)
		return engine_failure(err, r);
	memcpy(ret_id, container.id, sizeof(container.id));
	r = supervise_fork(engine, arena, &container, lock, attach, &supervision, err);
	int durable = make_durable(engine, &container, r == 0 ? err : NULL);
	if (r == 0)
		r = supervise_await(&supervision, attach, durable == 0 ? err : NULL);
	container_close(&container);
	/* Where it did not come to a monitor nobody else removes what --rm promises to. */
	if (durable < 0 || (r < 0 && config->auto_remove))
		remove_again(engine, ret_id);
	return engine_failure(err, durable < 0 ? durable : r);
}
