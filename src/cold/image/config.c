#include "cold/image/config.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "json/json.h"

void image_config_init(struct config_builder *c, struct arena *arena)
{
	*c = (struct config_builder) {
		.arena = arena,
		.config = { .user = "", .working_dir = "", .stop_signal = "" },
		.created = "",
		.architecture = image_architecture(),
		.os = "linux",
	};
}

static void write_list(struct json_writer *w, const char *key, char *const *list)
{
	if (!list)
		return;
	json_key(w, key);
	json_begin_array(w);
	for (; *list; list++)
		json_put_string(w, *list);
	json_end_array(w);
}

/* {"80/tcp":{}} */
static void write_keys(struct json_writer *w, const char *key, const char *const *list)
{
	if (!list)
		return;
	json_key(w, key);
	json_begin_object(w);
	for (; *list; list++) {
		json_key(w, *list);
		json_begin_object(w);
		json_end_object(w);
	}
	json_end_object(w);
}

static void write_optional(struct json_writer *w, const char *key, const char *value)
{
	if (value && *value)
		json_field_string(w, key, value);
}

static void write_nonzero(struct json_writer *w, const char *key, int64_t value)
{
	if (value)
		json_field_i64(w, key, value);
}

static void write_healthcheck(struct json_writer *w, const struct image_healthcheck *check)
{
	if (!check->present)
		return;
	json_key(w, "Healthcheck");
	json_begin_object(w);
	write_list(w, "Test", check->test);
	write_nonzero(w, "Interval", check->interval_ns);
	write_nonzero(w, "Timeout", check->timeout_ns);
	write_nonzero(w, "StartPeriod", check->start_period_ns);
	write_nonzero(w, "StartInterval", check->start_interval_ns);
	write_nonzero(w, "Retries", check->retries);
	json_end_object(w);
}

static void write_container_config(struct json_writer *w, const struct config_builder *c)
{
	const struct image_config *config = &c->config;
	json_begin_object(w);
	write_optional(w, "User", config->user);
	write_keys(w, "ExposedPorts", config->exposed_ports);
	write_list(w, "Env", config->env);
	write_list(w, "Entrypoint", config->entrypoint);
	write_list(w, "Cmd", config->cmd);
	write_healthcheck(w, &config->healthcheck);
	write_keys(w, "Volumes", config->volumes);
	write_optional(w, "WorkingDir", config->working_dir);
	write_list(w, "OnBuild", (char *const *)c->on_build);
	if (config->label_count) {
		json_key(w, "Labels");
		json_begin_object(w);
		for (size_t i = 0; i < config->label_count; i++)
			json_field_string(w, config->labels[i].key, config->labels[i].value);
		json_end_object(w);
	}
	write_optional(w, "StopSignal", config->stop_signal);
	write_list(w, "Shell", config->shell);
	json_end_object(w);
}

static void write_rootfs(struct json_writer *w, const char *const *diff_ids, size_t count)
{
	json_begin_object(w);
	json_field_string(w, "type", "layers");
	json_key(w, "diff_ids");
	json_begin_array(w);
	for (size_t i = 0; i < count; i++)
		json_put_string(w, diff_ids[i]);
	json_end_array(w);
	json_end_object(w);
}

/* Readers count on an entry for each layer: an image that came without gets some. */
static void write_missing_history(struct json_writer *w, const struct config_builder *c,
				  size_t layer_count)
{
	size_t told = 0;
	bool empty;
	json_foreach (step, c->base_history) {
		empty = false;
		json_bool(json_get(step, "empty_layer"), &empty);
		told += !empty;
	}
	for (size_t i = 0; i < c->step_count; i++)
		told += !c->steps[i].empty_layer;
	for (; told < layer_count; told++) {
		json_begin_object(w);
		json_field_string(w, "created", c->created);
		json_end_object(w);
	}
}

static void write_history(struct json_writer *w, const struct config_builder *c, size_t layer_count)
{
	json_begin_array(w);
	write_missing_history(w, c, layer_count);
	json_foreach (step, c->base_history) {
		json_put_value(w, step);
	}
	for (size_t i = 0; i < c->step_count; i++) {
		const struct config_step *step = &c->steps[i];
		json_begin_object(w);
		json_field_string(w, "created", c->created);
		write_optional(w, "author", c->author);
		write_optional(w, "created_by", step->created_by);
		write_optional(w, "comment", step->comment);
		if (step->empty_layer)
			json_field_bool(w, "empty_layer", true);
		json_end_object(w);
	}
	json_end_array(w);
}

int image_config_write(const struct config_builder *c, const char *const *diff_ids,
		       size_t layer_count, struct buf *ret)
{
	struct json_writer w;
	json_writer_init(&w, ret, false);
	json_begin_object(&w);
	json_field_string(&w, "created", c->created);
	write_optional(&w, "author", c->author);
	json_field_string(&w, "architecture", c->architecture);
	write_optional(&w, "variant", c->variant);
	json_field_string(&w, "os", c->os);
	json_key(&w, "config");
	write_container_config(&w, c);
	json_key(&w, "rootfs");
	write_rootfs(&w, diff_ids, layer_count);
	json_key(&w, "history");
	write_history(&w, c, layer_count);
	json_end_object(&w);
	return buf_error(ret);
}

int image_config_time(struct arena *arena, const char **ret)
{
	struct timespec now;
	struct tm tm;
	char text[32];
	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &tm))
		return -errno;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	*ret = arena_printf(arena, "%s.%09ldZ", text, now.tv_nsec);
	return *ret ? 0 : -ENOMEM;
}
