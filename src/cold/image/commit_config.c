/* The config of a committed image: the container's own, as docker takes it over. */
#include <errno.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "cold/image/commit.h"
#include "json/json.h"

static int out_of_memory(struct masu_error *err)
{
	return error_set(err, -ENOMEM, "out of memory");
}

/* Adds @text, which may be NULL where memory was gone, unless it is there. */
static int add_once(const char **list, size_t *count, const char *text)
{
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < *count; i++)
		if (streq(list[i], text))
			return 0;
	list[(*count)++] = text;
	return 0;
}

static int take_ports(struct config_builder *c, const struct container_config *config)
{
	static const char *const protocols[] = {
		[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
	};
	size_t count = 0, exposed = strv_length((char *const *)config->expose);
	const char **list = arena_array(c->arena, const char *, exposed + config->port_count + 1);
	int r = list ? 0 : -ENOMEM;
	for (size_t i = 0; i < exposed && r == 0; i++)
		r = add_once(list, &count, config->expose[i]);
	for (size_t i = 0; i < config->port_count && r == 0; i++)
		r = add_once(list, &count,
			     arena_printf(c->arena, "%u/%s", config->ports[i].container_port,
					  protocols[config->ports[i].protocol]));
	c->config.exposed_ports = count ? list : NULL;
	return r;
}

static bool is_anonymous(const struct mount_config *mount)
{
	return mount->kind == MOUNT_VOLUME && mount->source && id_prefix_valid(mount->source) &&
	       strlen(mount->source) == ID_LENGTH;
}

/* The image's, those that were given without a name, and all whose data the image has. */
static int take_volumes(const struct commit *commit, struct config_builder *c)
{
	const struct container_config *config = &commit->snapshot.container.config;
	const char **own = commit->base.config.volumes;
	size_t count = 0, inherited = strv_length((char *const *)own);
	const char **list =
		arena_array(c->arena, const char *, inherited + config->mount_count + 1);
	int r = list ? 0 : -ENOMEM;
	for (size_t i = 0; i < inherited && r == 0; i++)
		r = add_once(list, &count, own[i]);
	for (size_t i = 0; i < config->mount_count && r == 0; i++) {
		const struct mount_config *mount = &config->mounts[i];
		bool included = commit->options->include_volumes && mount->kind == MOUNT_VOLUME;
		if (included || is_anonymous(mount))
			r = add_once(list, &count, mount->target);
	}
	c->config.volumes = count ? list : NULL;
	return r;
}

/* [{"path":"/data","volume":"name","layer":"sha256:…"}] */
static int volumes_label(const struct commit *commit, const char **ret)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	json_writer_init(&w, &out, false);
	json_begin_array(&w);
	for (size_t i = 0; i < commit->layer_count; i++) {
		const struct commit_layer *layer = &commit->layers[i];
		if (!layer->volume)
			continue;
		const char *path = arena_printf(commit->arena, "/%s", layer->volume->path);
		if (!path)
			return -ENOMEM;
		json_begin_object(&w);
		json_field_string(&w, "path", path);
		json_field_string(&w, "volume", layer->volume->name);
		json_field_string(&w, "layer", layer->diff_id);
		json_end_object(&w);
	}
	json_end_array(&w);
	*ret = buf_error(&out) ? NULL : arena_strdup(commit->arena, buf_str(&out));
	return *ret ? 0 : -ENOMEM;
}

static int take_labels(const struct commit *commit, struct config_builder *c)
{
	const struct container_config *config = &commit->snapshot.container.config;
	struct oci_label *labels = arena_array(c->arena, struct oci_label, config->label_count + 1);
	size_t count = 0;
	bool volumes = commit->snapshot.volume_count > 0;
	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < config->label_count; i++)
		if (!volumes || !streq(config->labels[i].key, VOLUMES_LABEL))
			labels[count++] = (struct oci_label) { config->labels[i].key,
							       config->labels[i].value };
	int r = 0;
	if (volumes) {
		labels[count].key = VOLUMES_LABEL;
		r = volumes_label(commit, &labels[count++].value);
	}
	c->config.labels = labels;
	c->config.label_count = count;
	return r;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* ONBUILD is for the first image on top, which this is: it does not go on. */
static int take_config(const struct commit *commit, struct config_builder *c)
{
	const struct container_config *config = &commit->snapshot.container.config;
	struct image_config *image = &c->config;
	const char *variant = NULL;
	image_config_init(c, commit->arena);
	image->user = or_empty(config->user);
	image->working_dir = or_empty(config->working_dir);
	image->stop_signal = or_empty(config->stop_signal);
	image->env = config->env;
	image->cmd = config->cmd;
	image->entrypoint = config->entrypoint;
	if (image->entrypoint && (!image->entrypoint[0] || !*image->entrypoint[0]))
		image->entrypoint = NULL;
	image->healthcheck = config->healthcheck;
	image->shell = config->shell;
	c->architecture = commit->base.architecture;
	c->os = commit->base.os;
	json_string(json_get(commit->base_config, "variant"), &variant);
	c->variant = variant;
	int r = take_ports(c, config);
	if (r == 0)
		r = take_volumes(commit, c);
	return r < 0 ? r : take_labels(commit, c);
}

/* What docker calls the step: the container's command. */
static const char *command_text(struct arena *arena, char *const *cmd)
{
	const char *text = "";
	for (; cmd && *cmd && text; cmd++)
		text = arena_printf(arena, "%s%s%s", text, *text ? " " : "", *cmd);
	return text;
}

static int take_steps(const struct commit *commit, struct config_builder *c)
{
	struct config_step *steps = arena_array(c->arena, struct config_step,
						commit->layer_count + 2),
			   *at = steps;
	if (!steps)
		return -ENOMEM;
	*at++ = (struct config_step) {
		.created_by = command_text(c->arena, commit->snapshot.container.config.cmd),
		.comment = commit->options->message,
		.empty_layer = commit->unchanged,
	};
	if (!steps->created_by)
		return -ENOMEM;
	for (size_t i = 0; i < commit->layer_count; i++) {
		const struct snapshot_volume *volume = commit->layers[i].volume;
		if (!volume)
			continue;
		at->created_by =
			arena_printf(c->arena, "volume %s at /%s", volume->name, volume->path);
		if (!at++->created_by)
			return -ENOMEM;
	}
	c->steps = steps;
	c->step_count = (size_t)(at - steps);
	c->base_history = json_get(commit->base_config, "history");
	c->author = commit->options->author;
	return 0;
}

int commit_write_config(struct commit *commit, struct built_image *image, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct config_builder config;
	const struct cli_list *changes = &commit->options->change;
	const char **diff_ids = arena_array(commit->arena, const char *, image->layer_count + 1);
	buf_init(&text, IMAGE_MAX_DOCUMENT);
	if (!diff_ids || take_config(commit, &config) < 0 || take_steps(commit, &config) < 0)
		return out_of_memory(err);
	for (size_t i = 0; i < changes->count; i++) {
		int r = image_config_change(&config, changes->items[i], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < image->layer_count; i++)
		diff_ids[i] = image->layers[i].diff_id;
	int r = image_config_time(commit->arena, &config.created);
	if (r == 0)
		r = image_config_write(&config, diff_ids, image->layer_count, &text);
	if (r < 0)
		return error_errno(err, r, "config");
	return staging_store_bytes(&commit->builder->staging, text.data, text.len, &image->config,
				   err);
}
