/* The parser and the writer that work from the tables. */
#include "oci/field.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/str.h"

#define PATH_TEXT_MAX 256

static size_t path_append(const struct oci_path *path, char *ret, size_t size)
{
	size_t used = path->parent ? path_append(path->parent, ret, size) : 0;
	if (used + 1 >= size)
		return used;
	int n = path->key ? snprintf(ret + used, size - used, "%s%.64s", used ? "." : "", path->key)
			  : snprintf(ret + used, size - used, "[%zu]", path->index);
	used += n < 0 ? 0 : (size_t)n;
	return used < size ? used : size - 1;
}

void oci_path_format(const struct oci_path *path, char *ret, size_t size)
{
	ret[0] = '\0';
	if (path)
		path_append(path, ret, size);
}

void oci_report(const struct oci_parser *parser, const struct oci_path *path, const char *fmt, ...)
{
	char where[PATH_TEXT_MAX], what[MASU_ERROR_MAX / 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	oci_path_format(path, where, sizeof(where));
	error_set(parser->err, -EINVAL, "%s%s%s", where, *where ? ": " : "", what);
}

int oci_no_memory(const struct oci_parser *parser)
{
	return error_set(parser->err, -ENOMEM, "out of memory for a container specification");
}

const struct oci_name *oci_name_find(const struct oci_name *names, const char *name)
{
	for (; names->name; names++)
		if (streq(names->name, name))
			return names;
	return NULL;
}

/* Integers of any size, by value. */
static void store_int(void *target, size_t size, uint64_t value)
{
	uint16_t u16 = (uint16_t)value;
	uint32_t u32 = (uint32_t)value;
	memcpy(target, size == 2 ? (void *)&u16 : size == 4 ? (void *)&u32 : (void *)&value, size);
}

static int64_t load_int(const void *source, size_t size, bool is_signed)
{
	uint16_t u16;
	uint32_t u32;
	int64_t i64;
	switch (size) {
	case 2:
		memcpy(&u16, source, sizeof(u16));
		return is_signed ? (int64_t)(int16_t)u16 : (int64_t)u16;
	case 4:
		memcpy(&u32, source, sizeof(u32));
		return is_signed ? (int64_t)(int32_t)u32 : (int64_t)u32;
	default:
		memcpy(&i64, source, sizeof(i64));
		return i64;
	}
}

static int parse_string(const struct oci_parser *p, const struct oci_path *path,
			const struct json *value, const struct oci_field *field, void *target)
{
	const char *text;
	if (!json_string(value, &text))
		return oci_refuse(p, path, "expected a string");
	if (field->required && !*text)
		return oci_refuse(p, path, "must not be empty");
	if (field->kind == OCI_ABSOLUTE && *text && *text != '/')
		return oci_refuse(p, path, "\"%.200s\" is not an absolute path", text);
	*(const char **)target = *text ? text : NULL;
	return 0;
}

int oci_strings_parse(const struct oci_parser *p, const struct oci_path *path,
		      const struct json *value, char ***ret)
{
	if (value->type != JSON_ARRAY)
		return oci_refuse(p, path, "expected an array of strings");
	char **list = arena_array(p->arena, char *, (size_t)value->count + 1);
	if (!list)
		return oci_no_memory(p);
	size_t n = 0;
	json_foreach (item, value) {
		struct oci_path at = { .parent = path, .index = n };
		if (item->type != JSON_STRING)
			return oci_refuse(p, &at, "expected a string");
		list[n++] = (char *)item->text;
	}
	*ret = list;
	return 0;
}

static int parse_i64(const struct oci_parser *p, const struct oci_path *path,
		     const struct json *value, const struct oci_field *field, int64_t *ret)
{
	int64_t number;
	if (value->type != JSON_NUMBER)
		return oci_refuse(p, path, "expected a number");
	if (!json_i64(value, &number) ||
	    ((number < field->min || number > field->max) && !fault_without("number-range")))
		return oci_refuse(p, path, "%.40s is not an integer between %lld and %lld",
				  value->text, (long long)field->min, (long long)field->max);
	*ret = number;
	return 0;
}

static int parse_ids(const struct oci_parser *p, const struct oci_path *path,
		     const struct json *value, const struct oci_field *field, void *object)
{
	if (value->type != JSON_ARRAY)
		return oci_refuse(p, path, "expected an array of numbers");
	uint32_t *ids = arena_array(p->arena, uint32_t, (size_t)value->count + 1);
	if (!ids)
		return oci_no_memory(p);
	size_t n = 0;
	json_foreach (item, value) {
		struct oci_path at = { .parent = path, .index = n };
		int64_t id;
		int r = parse_i64(p, &at, item, field, &id);
		if (r < 0)
			return r;
		ids[n++] = (uint32_t)id;
	}
	*(uint32_t **)((char *)object + field->offset) = ids;
	*(size_t *)((char *)object + field->count) = n;
	return 0;
}

static int parse_enum(const struct oci_parser *p, const struct oci_path *path,
		      const struct json *value, const struct oci_field *field, void *target)
{
	const char *text;
	if (!json_string(value, &text))
		return oci_refuse(p, path, "expected a string");
	if (!*text && !field->required)
		return 0;
	const struct oci_name *name = oci_name_find(field->names, text);
	if (!name)
		return oci_refuse(p, path, "unknown value \"%.200s\"", text);
	store_int(target, field->size, name->value);
	return 0;
}

static int parse_flags(const struct oci_parser *p, const struct oci_path *path,
		       const struct json *value, const struct oci_field *field, void *target)
{
	char **list;
	int r = oci_strings_parse(p, path, value, &list);
	if (r < 0)
		return r;
	uint64_t bits = (uint64_t)load_int(target, field->size, false);
	for (size_t i = 0; list[i]; i++) {
		struct oci_path at = { .parent = path, .index = i };
		const struct oci_name *name = oci_name_find(field->names, list[i]);
		if (!name)
			return oci_refuse(p, &at, "unknown value \"%.200s\"", list[i]);
		bits |= name->value;
	}
	store_int(target, field->size, bits);
	return 0;
}

/* OCI_LIST from an array, OCI_KEYED from an object. */
static int parse_list(const struct oci_parser *p, const struct oci_path *path,
		      const struct json *value, const struct oci_field *field, void *object)
{
	bool keyed = field->kind == OCI_KEYED;
	if (value->type != (keyed ? JSON_OBJECT : JSON_ARRAY))
		return oci_refuse(p, path, keyed ? "expected an object" : "expected an array");
	char *list = arena_calloc(p->arena, (size_t)value->count + 1, field->table->size);
	if (!list)
		return oci_no_memory(p);
	size_t n = 0;
	json_foreach (item, value) {
		struct oci_path at = { .parent = path, .key = item->key, .index = n };
		void *element = list + n++ * field->table->size;
		if (keyed)
			*(const char **)element = item->key;
		int r = oci_table_parse(p, &at, item, field->table, element);
		if (r < 0)
			return r;
	}
	*(void **)((char *)object + field->offset) = list;
	*(size_t *)((char *)object + field->count) = n;
	return 0;
}

static int parse_map(const struct oci_parser *p, const struct oci_path *path,
		     const struct json *value, const struct oci_field *field, void *object)
{
	if (value->type != JSON_OBJECT)
		return oci_refuse(p, path, "expected an object");
	struct oci_pair *pairs = arena_array(p->arena, struct oci_pair, (size_t)value->count + 1);
	if (!pairs)
		return oci_no_memory(p);
	size_t n = 0;
	json_foreach (item, value) {
		struct oci_path at = { .parent = path, .key = item->key };
		if (item->type != JSON_STRING)
			return oci_refuse(p, &at, "expected a string");
		if (!*item->key)
			return oci_refuse(p, path, "empty key");
		pairs[n++] = (struct oci_pair) { item->key, item->text };
	}
	*(struct oci_pair **)((char *)object + field->offset) = pairs;
	*(size_t *)((char *)object + field->count) = n;
	return 0;
}

static int parse_number(const struct oci_parser *p, const struct oci_path *path,
			const struct json *value, const struct oci_field *field, void *target)
{
	int64_t number;
	if (field->kind == OCI_U64) {
		if (!json_u64(value, target))
			return oci_refuse(p, path, "expected an integer of 64 bits, not negative");
		return 0;
	}
	int r = parse_i64(p, path, value, field, &number);
	if (r < 0)
		return r;
	if (field->kind == OCI_OPTIONAL_INT)
		*(struct oci_i64 *)target = (struct oci_i64) { .set = true, .value = number };
	else
		store_int(target, field->size, (uint64_t)number);
	return 0;
}

int oci_field_parse(const struct oci_parser *p, const struct oci_path *path,
		    const struct json *value, const struct oci_field *field, void *object)
{
	void *target = (char *)object + field->offset;
	switch (field->kind) {
	case OCI_STRING:
	case OCI_ABSOLUTE:
		return parse_string(p, path, value, field, target);
	case OCI_STRINGS:
		return oci_strings_parse(p, path, value, target);
	case OCI_BOOL:
		return json_bool(value, target) ? 0 : oci_refuse(p, path, "expected true or false");
	case OCI_INT:
	case OCI_U64:
	case OCI_OPTIONAL_INT:
		return parse_number(p, path, value, field, target);
	case OCI_IDS:
		return parse_ids(p, path, value, field, object);
	case OCI_ENUM:
		return parse_enum(p, path, value, field, target);
	case OCI_FLAGS:
		return parse_flags(p, path, value, field, target);
	case OCI_OBJECT:
		return oci_table_parse(p, path, value, field->table, target);
	case OCI_LIST:
	case OCI_KEYED:
		return parse_list(p, path, value, field, object);
	case OCI_MAP:
		return parse_map(p, path, value, field, object);
	case OCI_CUSTOM:
		return field->parse(p, path, value, object);
	}
	return -EINVAL;
}

int oci_table_parse(const struct oci_parser *p, const struct oci_path *path,
		    const struct json *value, const struct oci_table *table, void *object)
{
	if (value->type != JSON_OBJECT)
		return oci_refuse(p, path, "expected an object");
	for (size_t i = 0; i < table->count; i++) {
		const struct oci_field *field = &table->fields[i];
		const struct json *member = json_get(value, field->name);
		struct oci_path at = { .parent = path, .key = field->name };
		/* As every Go program writes them, null is the same as absent. */
		if (!member || member->type == JSON_NULL) {
			if (field->required)
				return oci_refuse(p, &at, "missing");
			continue;
		}
		int r = oci_field_parse(p, &at, member, field, object);
		if (r < 0)
			return r;
		if (field->has)
			*((bool *)object + field->has - 1) = true;
	}
	return table->check ? table->check(p, path, object) : 0;
}

/* ---- writer ---- */

static bool table_present(const struct oci_table *table, const void *object);

static bool field_present(const struct oci_field *field, const void *object)
{
	const void *source = (const char *)object + field->offset;
	if (field->always)
		return true;
	if (field->has)
		return *((const bool *)object + field->has - 1);
	switch (field->kind) {
	case OCI_STRING:
	case OCI_ABSOLUTE:
	case OCI_STRINGS:
		return *(void *const *)source != NULL;
	case OCI_BOOL:
		return *(const bool *)source;
	case OCI_INT:
	case OCI_U64:
	case OCI_ENUM:
	case OCI_FLAGS:
		return load_int(source, field->size, false) != 0;
	case OCI_OPTIONAL_INT:
		return ((const struct oci_i64 *)source)->set;
	case OCI_IDS:
	case OCI_LIST:
	case OCI_KEYED:
	case OCI_MAP:
		return *(const size_t *)((const char *)object + field->count) > 0;
	case OCI_OBJECT:
		return table_present(field->table, source);
	case OCI_CUSTOM:
		return true;
	}
	return false;
}

static bool table_present(const struct oci_table *table, const void *object)
{
	for (size_t i = 0; i < table->count; i++)
		if (field_present(&table->fields[i], object))
			return true;
	return false;
}

static void write_enum(struct json_writer *w, const struct oci_field *field, const void *source)
{
	uint64_t mask = field->mask ? field->mask : UINT64_MAX;
	uint64_t value = (uint64_t)load_int(source, field->size, false) & mask;
	for (const struct oci_name *name = field->names; name->name; name++) {
		if (name->value == value) {
			json_field_string(w, field->name, name->name);
			return;
		}
	}
}

static void write_flags(struct json_writer *w, const struct oci_field *field, const void *source)
{
	uint64_t value = (uint64_t)load_int(source, field->size, false);
	bool any = false;
	for (const struct oci_name *name = field->names; name->name; name++) {
		if (!(value & name->value))
			continue;
		if (!any) {
			json_key(w, field->name);
			json_begin_array(w);
			any = true;
		}
		json_put_string(w, name->name);
	}
	if (any)
		json_end_array(w);
}

static void write_strings(struct json_writer *w, char *const *list)
{
	json_begin_array(w);
	for (size_t i = 0; list[i]; i++)
		json_put_string(w, list[i]);
	json_end_array(w);
}

static void write_pairs(struct json_writer *w, const struct oci_pair *pairs, size_t count)
{
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		json_field_string(w, pairs[i].key, pairs[i].value);
	json_end_object(w);
}

static void write_ids(struct json_writer *w, const uint32_t *ids, size_t count)
{
	json_begin_array(w);
	for (size_t i = 0; i < count; i++)
		json_put_u64(w, ids[i]);
	json_end_array(w);
}

static void write_object(struct json_writer *w, const struct oci_table *table, const void *object)
{
	json_begin_object(w);
	oci_table_write(w, table, object);
	json_end_object(w);
}

static void write_list(struct json_writer *w, const struct oci_field *field, const char *list,
		       size_t count)
{
	if (field->kind == OCI_KEYED)
		json_begin_object(w);
	else
		json_begin_array(w);
	for (size_t i = 0; i < count; i++) {
		const char *element = list + i * field->table->size;
		if (field->kind == OCI_KEYED)
			json_key(w, *(const char *const *)element);
		write_object(w, field->table, element);
	}
	if (field->kind == OCI_KEYED)
		json_end_object(w);
	else
		json_end_array(w);
}

static void write_value(struct json_writer *w, const struct oci_field *field, const void *object)
{
	const void *source = (const char *)object + field->offset;
	size_t count = field->count ? *(const size_t *)((const char *)object + field->count) : 0;
	json_key(w, field->name);
	switch (field->kind) {
	case OCI_STRINGS:
		write_strings(w, *(char *const *const *)source);
		break;
	case OCI_BOOL:
		json_put_bool(w, *(const bool *)source);
		break;
	case OCI_INT:
		json_put_i64(w, load_int(source, field->size, field->min < 0));
		break;
	case OCI_U64:
		json_put_u64(w, *(const uint64_t *)source);
		break;
	case OCI_OPTIONAL_INT:
		json_put_i64(w, ((const struct oci_i64 *)source)->value);
		break;
	case OCI_IDS:
		write_ids(w, *(uint32_t *const *)source, count);
		break;
	case OCI_LIST:
	case OCI_KEYED:
		write_list(w, field, *(char *const *)source, count);
		break;
	case OCI_MAP:
		write_pairs(w, *(struct oci_pair *const *)source, count);
		break;
	case OCI_OBJECT:
		write_object(w, field->table, source);
		break;
	default:
		json_put_string(w, *(const char *const *)source);
	}
}

void oci_table_write(struct json_writer *w, const struct oci_table *table, const void *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct oci_field *field = &table->fields[i];
		const void *source = (const char *)object + field->offset;
		if (!field_present(field, object))
			continue;
		if (field->kind == OCI_CUSTOM)
			field->write(w, field->name, object);
		else if (field->kind == OCI_ENUM)
			write_enum(w, field, source);
		else if (field->kind == OCI_FLAGS)
			write_flags(w, field, source);
		else
			write_value(w, field, object);
	}
}
