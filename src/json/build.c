/* Trees that are made rather than parsed. */
#include "json/json.h"

#include <string.h>

struct json *json_new(struct arena *arena, enum json_type type)
{
	struct json *value = arena_new(arena, struct json);
	if (value)
		value->type = type;
	return value;
}

void json_builder_init(struct json_builder *builder, struct arena *arena, enum json_type type)
{
	*builder = (struct json_builder) { .arena = arena, .value = json_new(arena, type) };
	if (builder->value)
		builder->tail = &builder->value->child;
}

struct json *json_build(struct json_builder *builder, const char *key, enum json_type type)
{
	struct json *child = builder->value ? json_new(builder->arena, type) : NULL;
	if (!child) {
		builder->value = NULL;
		return NULL;
	}
	child->key = key;
	*builder->tail = child;
	builder->tail = &child->next;
	builder->value->count++;
	return child;
}

void json_build_text(struct json_builder *builder, const char *key, enum json_type type,
		     const char *text)
{
	struct json *child = text ? json_build(builder, key, type) : NULL;
	if (!child) {
		builder->value = NULL;
		return;
	}
	child->text = text;
	child->text_len = (uint32_t)strlen(text);
}

void json_build_string(struct json_builder *builder, const char *key, const char *text)
{
	json_build_text(builder, key, JSON_STRING, text);
}
