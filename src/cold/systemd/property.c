/*
 * Unit properties. masu's own come typed; those of annotations
 * ("org.systemd.property.TimeoutStopUSec": "uint64 5000000") are written in GVariant's text format,
 * of which the part that unit properties need is read here: booleans, strings, integers of all
 * sizes, and arrays of strings.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/systemd/systemd.h"

#define USEC_PER_SEC 1000000u

static int append_bytes(sd_bus_message *m, const struct json *value)
{
	uint8_t *bytes = calloc(value->count + 1, 1);
	if (!bytes)
		return -ENOMEM;
	size_t count = 0;
	int r = 0;
	json_foreach (item, value) {
		uint64_t byte;
		if (!json_u64(item, &byte) || byte > UINT8_MAX)
			r = -EINVAL;
		else
			bytes[count++] = (uint8_t)byte;
	}
	if (r == 0)
		r = sd_bus_message_append_array(m, 'y', bytes, count);
	free(bytes);
	return r;
}

/* [["/dev/null", "rwm"], …] as a(ss). */
static int append_pairs(sd_bus_message *m, const struct json *value)
{
	int r = sd_bus_message_open_container(m, 'a', "(ss)");
	json_foreach (item, value) {
		const char *a, *b;
		if (r < 0)
			break;
		r = item->count == 2 && json_string(item->child, &a) &&
				    json_string(item->child->next, &b)
			    ? sd_bus_message_append(m, "(ss)", a, b)
			    : -EINVAL;
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const char *type, const struct json *value)
{
	uint64_t number;
	bool flag;
	const char *text;
	if (streq(type, "t") && json_u64(value, &number))
		return sd_bus_message_append(m, "t", number);
	if (streq(type, "b") && json_bool(value, &flag))
		return sd_bus_message_append(m, "b", (int)flag);
	if (streq(type, "s") && json_string(value, &text))
		return sd_bus_message_append(m, "s", text);
	if (streq(type, "ay") && value && value->type == JSON_ARRAY)
		return append_bytes(m, value);
	if (streq(type, "a(ss)") && value && value->type == JSON_ARRAY)
		return append_pairs(m, value);
	return -EINVAL;
}

/* Opens "(sv)" around a value of @type. */
static int begin(sd_bus_message *m, const char *name, const char *type)
{
	int r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	return r < 0 ? r : sd_bus_message_open_container(m, 'v', type);
}

static int end(sd_bus_message *m)
{
	int r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int property_append(sd_bus_message *m, const struct json *property, struct masu_error *err)
{
	const char *name, *type;
	if (!json_string(json_get(property, "name"), &name) ||
	    !json_string(json_get(property, "type"), &type))
		return error_set(err, -EINVAL, "request: a property without name or type");
	int r = begin(m, name, type);
	if (r >= 0)
		r = append_value(m, type, json_get(property, "value"));
	if (r >= 0)
		r = end(m);
	return r < 0 ? error_errno(err, r, "property %s of type %s", name, type) : 0;
}

/* ---- the text format ---- */

struct integer_type {
	const char *keyword, *signature;
	int64_t min;
	uint64_t max;
};
static const struct integer_type integer_types[] = {
	{ "byte", "y", 0, UINT8_MAX },	  { "int16", "n", INT16_MIN, INT16_MAX },
	{ "uint16", "q", 0, UINT16_MAX }, { "int32", "i", INT32_MIN, INT32_MAX },
	{ "uint32", "u", 0, UINT32_MAX }, { "int64", "x", INT64_MIN, INT64_MAX },
	{ "uint64", "t", 0, UINT64_MAX },
};

/* One number in range, as the 64 bits of its value. */
static int parse_integer(const struct integer_type *type, const char *text, uint64_t *ret)
{
	int64_t negative;
	if (text[0] == '-') {
		if (str_to_i64(text, &negative) < 0 || negative < type->min)
			return -ERANGE;
		*ret = (uint64_t)negative;
		return 0;
	}
	return str_to_u64(text, ret) < 0 || *ret > type->max ? -ERANGE : 0;
}

static int append_integer(sd_bus_message *m, const char *signature, uint64_t value)
{
	switch (signature[0]) {
	case 'y':
		return sd_bus_message_append(m, "y", (uint8_t)value);
	case 'n':
		return sd_bus_message_append(m, "n", (int16_t)value);
	case 'q':
		return sd_bus_message_append(m, "q", (uint16_t)value);
	case 'i':
		return sd_bus_message_append(m, "i", (int32_t)value);
	case 'u':
		return sd_bus_message_append(m, "u", (uint32_t)value);
	case 'x':
		return sd_bus_message_append(m, "x", (int64_t)value);
	default:
		return sd_bus_message_append(m, "t", value);
	}
}

/* A quoted string at *p into @ret (as large as the text), *p after it. Backslash takes the next. */
static int parse_string(const char **p, char *ret)
{
	char quote = **p;
	const char *from = *p + 1;
	if (quote != '\'' && quote != '"')
		return -EINVAL;
	while (*from && *from != quote) {
		if (*from == '\\' && from[1])
			from++;
		*ret++ = *from++;
	}
	if (*from != quote)
		return -EINVAL;
	*ret = '\0';
	*p = from + 1;
	return 0;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t");
}

static int append_strings(sd_bus_message *m, const char *text, char *scratch)
{
	int r = sd_bus_message_open_container(m, 'a', "s");
	const char *p = skip_blanks(text + 1);
	while (r >= 0 && *p != ']') {
		r = parse_string(&p, scratch);
		if (r >= 0)
			r = sd_bus_message_append(m, "s", scratch);
		p = skip_blanks(p);
		if (*p == ',')
			p = skip_blanks(p + 1);
		else if (*p != ']')
			r = r < 0 ? r : -EINVAL;
	}
	if (r >= 0 && *skip_blanks(p + 1))
		r = -EINVAL;
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The integer type a text names, and its number; a bare number is an int32, as in GVariant. */
static const struct integer_type *integer_of(const char *text, const char **ret_number)
{
	for (size_t i = 0; i < ARRAY_SIZE(integer_types); i++) {
		const char *rest = str_after(text, integer_types[i].keyword);
		if (rest && (*rest == ' ' || *rest == '\t')) {
			*ret_number = skip_blanks(rest);
			return &integer_types[i];
		}
	}
	*ret_number = text;
	return &integer_types[3];
}

static int append_text(sd_bus_message *m, const char *name, const char *text, char *scratch)
{
	int r;
	if (streq(text, "true") || streq(text, "false")) {
		r = begin(m, name, "b");
		if (r >= 0)
			r = sd_bus_message_append(m, "b", (int)streq(text, "true"));
	} else if (*text == '\'' || *text == '"') {
		const char *p = text;
		r = parse_string(&p, scratch);
		if (r >= 0)
			r = *skip_blanks(p) ? -EINVAL : begin(m, name, "s");
		if (r >= 0)
			r = sd_bus_message_append(m, "s", scratch);
	} else if (*text == '[') {
		r = begin(m, name, "as");
		if (r >= 0)
			r = append_strings(m, text, scratch);
	} else {
		const char *number;
		const struct integer_type *type = integer_of(text, &number);
		uint64_t value;
		size_t len = strlen(name);
		bool seconds = str_ends_with(name, "Sec") && !str_ends_with(name, "USec") &&
			       islower((unsigned char)name[len - 4]);
		r = parse_integer(type, number, &value);
		if (r < 0)
			return r;
		/* D-Bus knows "TimeoutStopUSec" where unit files have "TimeoutStopSec". */
		char longer[256];
		if (seconds) {
			if (value > UINT64_MAX / USEC_PER_SEC)
				return -ERANGE;
			r = str_format(longer, sizeof(longer), "%.*sUSec", (int)(len - 3), name);
			if (r < 0)
				return r;
			name = longer;
			type = &integer_types[6];
			value *= USEC_PER_SEC;
		}
		r = begin(m, name, type->signature);
		if (r >= 0)
			r = append_integer(m, type->signature, value);
	}
	return r < 0 ? r : end(m);
}

int property_append_annotation(sd_bus_message *m, const char *key, const char *text,
			       struct masu_error *err)
{
	const char *name = str_after(key, "org.systemd.property.");
	if (!name || strlen(name) < 3 ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")])
		return error_set(err, -EINVAL, "annotation %s: not the name of a unit property",
				 key);
	char *scratch = calloc(strlen(text) + 1, 1);
	if (!scratch)
		return error_set(err, -ENOMEM, "out of memory");
	int r = append_text(m, name, skip_blanks(text), scratch);
	free(scratch);
	if (r < 0)
		return error_set(
			err, r,
			"annotation %s: \"%s\" is not a boolean, string, integer or array of "
			"strings in GVariant's text format",
			key, text);
	return 0;
}
