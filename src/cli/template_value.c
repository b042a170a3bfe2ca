/* Values of templates: JSON, looked at as Go would. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

const struct json template_no_value = { .type = JSON_NULL };
const struct json template_true = { .type = JSON_TRUE };
const struct json template_false = { .type = JSON_FALSE };

const struct json *template_make(struct arena *arena, enum json_type type, const char *text,
				 struct masu_error *err)
{
	struct json *value = text ? json_new(arena, type) : NULL;
	if (!value) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	value->text = text;
	value->text_len = (uint32_t)strlen(text);
	return value;
}

bool template_truth(const struct json *value)
{
	switch (value->type) {
	case JSON_TRUE:
		return true;
	case JSON_NUMBER:
		return strspn(value->text, "-0.") < value->text_len;
	case JSON_STRING:
		return value->text_len > 0;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return value->count > 0;
	default:
		return false;
	}
}

static bool key_in(const struct json *value, const char *const *names, size_t count)
{
	for (size_t i = 0; value->key && i < count; i++)
		if (streq(value->key, names[i]))
			return true;
	return false;
}

/* Whose "Config" is a log driver's options: all are texts, which a container's configuration is
 * not. */
static bool is_options(const struct json *object)
{
	bool texts = object->type == JSON_OBJECT && object->key && streq(object->key, "Config");
	json_foreach (member, texts ? object : NULL)
		texts = texts && member->type == JSON_STRING;
	return texts;
}

bool template_is_map(const struct json *object)
{
	static const char *const names[] = { "Annotations", "DriverOpts",   "ExposedPorts",

					     "Label",	    "Labels",	    "Networks",
					     "Options",	    "PortBindings", "Ports",

					     "Status",	    "StorageOpt",   "Sysctls",
					     "Tmpfs",	    "Volumes",	    "Containers",
					     "Data",	    "Attributes" };
	return object == &template_no_value || key_in(object, names, ARRAY_SIZE(names)) ||
	       is_options(object);
}

/* Docker's pointers: their null is "<nil>". Other null members are lists and maps without content.
 */
static bool is_pointer(const struct json *value)
{
	static const char *const names[] = { "Health",	   "Healthcheck",      "IPAMConfig",
					     "Init",	   "MemorySwappiness", "OomKillDisable",
					     "PidsLimit",  "StopTimeout",      "SizeRw",
					     "SizeRootFs", "UsageData",	       "ClusterVolume" };
	return key_in(value, names, ARRAY_SIZE(names));
}

const struct json *template_optional(const struct json *object, const char *name)
{
	static const struct json empty = { .type = JSON_STRING, .text = "" };
	static const struct json members[] = {
#define OPTIONAL(member) { .type = JSON_NULL, .key = member }
		OPTIONAL("ArgsEscaped"), OPTIONAL("DeviceRequests"), OPTIONAL("ExposedPorts"),
		OPTIONAL("Health"),	 OPTIONAL("Healthcheck"),    OPTIONAL("IPAMConfig"),
		OPTIONAL("Init"),	 OPTIONAL("MacAddress"),     OPTIONAL("MemorySwappiness"),
		OPTIONAL("Mounts"),	 OPTIONAL("Runtime"),	     OPTIONAL("Shell"),
		OPTIONAL("SizeRootFs"),	 OPTIONAL("SizeRw"),	     OPTIONAL("StopSignal"),
		OPTIONAL("StopTimeout"), OPTIONAL("StorageOpt"),     OPTIONAL("Sysctls"),
		OPTIONAL("Tmpfs"),	 OPTIONAL("UsageData"),	     OPTIONAL("Volumes"),
#undef OPTIONAL
	};
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (streq(members[i].key, name))
			return &members[i];
	/* Of a mount: only volumes have them. */
	if ((streq(name, "Name") || streq(name, "Driver")) && json_get(object, "Destination"))
		return &empty;
	return NULL;
}

static int print_null(const struct json *value, struct buf *out)
{
	if (value == &template_no_value)
		return buf_puts(out, "<no value>");
	if (!value->key || is_pointer(value))
		return buf_puts(out, "<nil>");
	return buf_puts(out, template_is_map(value) ? "map[]" : "[]");
}

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(const struct json *const *)a)->key, (*(const struct json *const *)b)->key);
}

static const struct json **children(struct arena *arena, const struct json *value)
{
	const struct json **items =
		arena_array(arena, const struct json *, (size_t)value->count + 1);
	size_t n = 0;
	if (items)
		json_foreach (item, value)
			items[n++] = item;
	return items;
}

const struct json **template_sorted(struct arena *arena, const struct json *value)
{
	const struct json **items = children(arena, value);
	if (items && value->type == JSON_OBJECT && value->count)
		qsort(items, value->count, sizeof(*items), compare_members);
	return items;
}

/* "{a b}": a structure's members as they come; "map[k:a l:b]" and "[a b]". */
static int print_children(struct arena *arena, const struct json *value, struct buf *out)
{
	bool object = value->type == JSON_OBJECT, structure = object && !template_is_map(value);
	const struct json **items =
		structure ? children(arena, value) : template_sorted(arena, value);
	if (!items)
		return -ENOMEM;
	buf_puts(out, structure ? "{" : object ? "map[" : "[");
	for (size_t i = 0; items[i]; i++) {
		if (i)
			buf_putc(out, ' ');
		if (object && !structure)
			buf_printf(out, "%s:", items[i]->key);
		int r = template_print(arena, items[i], out);
		if (r < 0)
			return r;
	}
	return buf_putc(out, structure ? '}' : ']');
}

int template_print(struct arena *arena, const struct json *value, struct buf *out)
{
	switch (value->type) {
	case JSON_NULL:
		return print_null(value, out);
	case JSON_TRUE:
		return buf_puts(out, "true");
	case JSON_FALSE:
		return buf_puts(out, "false");
	case JSON_NUMBER:
	case JSON_STRING:
		return buf_append(out, value->text, value->text_len);
	default:
		return print_children(arena, value, out);
	}
}

const char *template_type_name(const struct json *value)
{
	switch (value->type) {
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_NUMBER:
		return strpbrk(value->text, ".eE") ? "float64" : "int";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "[]interface {}";
	case JSON_OBJECT:
		return "map[string]interface {}";
	default:
		return "nil";
	}
}

/* ---- fmt.Sprintf ---- */

struct verb {
	char flags[8]; /* for C's printf */
	bool minus, zero, sharp, plus;
	int width, precision; /* -1: none */
	char letter;
};

/* "%-20.3s": @p is behind the "%". What follows it. */
static const char *parse_verb(const char *p, struct verb *ret)
{
	struct verb verb = { .width = -1, .precision = -1 };
	for (; *p && strchr("-+# 0", *p); p++) {
		verb.minus |= *p == '-';
		verb.zero |= *p == '0';
		verb.sharp |= *p == '#';
		verb.plus |= *p == '+';
		if (!strchr(verb.flags, *p))
			verb.flags[strlen(verb.flags)] = *p;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		verb.width = (verb.width < 0 ? 0 : verb.width) * 10 + (*p - '0');
	if (*p == '.')
		for (p++, verb.precision = 0; *p >= '0' && *p <= '9'; p++)
			verb.precision = verb.precision * 10 + (*p - '0');
	/* Nobody's columns are wider; hostile ones would be. */
	if (verb.width > 4096)
		verb.width = 4096;
	if (verb.precision > 4096)
		verb.precision = 4096;
	verb.letter = *p;
	*ret = verb;
	return *p ? p + 1 : p;
}

static size_t characters(const char *text, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

static void put_padded(const struct verb *verb, const char *text, size_t len, struct buf *out)
{
	size_t width = verb->width > 0 ? (size_t)verb->width : 0, used = characters(text, len);
	for (size_t i = used; !verb->minus && i < width; i++)
		buf_putc(out, verb->zero ? '0' : ' ');
	buf_append(out, text, len);
	for (size_t i = used; verb->minus && i < width; i++)
		buf_putc(out, ' ');
}

static void put_bad_verb(struct arena *arena, const struct verb *verb, const struct json *value,
			 struct buf *out)
{
	buf_printf(out, "%%!%c(%s=", verb->letter, template_type_name(value));
	template_print(arena, value, out);
	buf_putc(out, ')');
}

static void put_quoted(const char *text, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_put_string(&w, text);
}

static void put_hex(const char *text, size_t len, bool upper, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		buf_printf(out, upper ? "%02X" : "%02x", (unsigned char)text[i]);
}

/* s, v, q, x and X of anything that prints as text. */
static void put_text(struct arena *arena, const struct verb *verb, const struct json *value,
		     struct buf *out)
{
	_cleanup_buf_ struct buf plain, shown;
	buf_init(&plain, 0);
	buf_init(&shown, 0);
	template_print(arena, value, &plain);
	const char *text = buf_str(&plain);
	size_t len = plain.len;
	if (verb->precision >= 0 && verb->letter != 'x' && verb->letter != 'X') {
		size_t n = 0, keep = 0;
		while (keep < len && (n < (size_t)verb->precision ||
				      ((unsigned char)text[keep] & 0xc0) == 0x80)) {
			n += ((unsigned char)text[keep] & 0xc0) != 0x80;
			if (n > (size_t)verb->precision)
				break;
			keep++;
		}
		plain.data[keep] = '\0';
		len = keep;
	}
	if (verb->letter == 'q' ||
	    (verb->letter == 'v' && verb->sharp && value->type == JSON_STRING))
		put_quoted(text, &shown);
	else if (verb->letter == 'x' || verb->letter == 'X')
		put_hex(text, len, verb->letter == 'X', &shown);
	else
		buf_append(&shown, text, len);
	put_padded(verb, buf_str(&shown), shown.len, out);
}

static void put_binary(const struct verb *verb, int64_t number, struct buf *out)
{
	char digits[80], *p = digits + sizeof(digits);
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
	*--p = '\0';
	do
		*--p = (char)('0' + left % 2);
	while (left /= 2);
	if (number < 0)
		*--p = '-';
	put_padded(verb, p, strlen(p), out);
}

static bool put_number(const struct verb *verb, const struct json *value, struct buf *out)
{
	char format[24];
	int64_t number;
	bool integer = json_i64(value, &number);
	if (strchr("dxXoc", verb->letter) && integer) {
		/* Each piece is ours: flags from a fixed set, numbers, a letter from a fixed set.
		 */
		str_format(format, sizeof(format), "%%%s*.*ll%c", verb->flags,
			   verb->letter == 'c' ? 'd' : verb->letter);
		if (verb->letter == 'c') {
			if (number < 1 || number > 126)
				return false;
			const char c = (char)number;
			put_padded(verb, &c, 1, out);
			return true;
		}
	} else if (strchr("feEgGF", verb->letter)) {
		str_format(format, sizeof(format), "%%%s*.*%c", verb->flags, verb->letter);
	} else if (verb->letter == 'U' && integer && number >= 0) {
		str_format(format, sizeof(format), "U+%04llX", (unsigned long long)number);
		put_padded(verb, format, strlen(format), out);
		return true;
	} else if (verb->letter == 'b' && integer) {
		put_binary(verb, number, out);
		return true;
	} else {
		return false;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	int width = verb->width < 0 ? 0 : verb->width;
	if (strchr("feEgGF", verb->letter))
		buf_printf(out, format, width, verb->precision, strtod(value->text, NULL));
	else
		buf_printf(out, format, width, verb->precision, (long long)number);
#pragma GCC diagnostic pop
	return true;
}

static void put_verb(struct arena *arena, const struct verb *verb, const struct json *value,
		     struct buf *out)
{
	bool is_bool = value->type == JSON_TRUE || value->type == JSON_FALSE;
	bool is_text = value->type == JSON_STRING;
	if (verb->letter == 'v' || (verb->letter == 't' && is_bool) ||
	    (strchr("sq", verb->letter) && value->type != JSON_NUMBER && !is_bool) ||
	    (strchr("xX", verb->letter) && is_text)) {
		put_text(arena, verb, value, out);
		return;
	}
	if (verb->letter == 'T') {
		const char *name = template_type_name(value);
		put_padded(verb, name, strlen(name), out);
		return;
	}
	if (value->type != JSON_NUMBER || !put_number(verb, value, out))
		put_bad_verb(arena, verb, value, out);
}

int template_format(struct arena *arena, const char *format, const struct json *const *args,
		    size_t count, struct buf *out)
{
	size_t next = 0;
	for (const char *p = format; *p;) {
		struct verb verb;
		if (*p != '%') {
			buf_putc(out, *p++);
			continue;
		}
		p = parse_verb(p + 1, &verb);
		if (verb.letter == '%')
			buf_putc(out, '%');
		else if (!verb.letter)
			buf_puts(out, "%!(NOVERB)");
		else if (next >= count)
			buf_printf(out, "%%!%c(MISSING)", verb.letter);
		else
			put_verb(arena, &verb, args[next++], out);
	}
	for (size_t i = next; i < count; i++) {
		buf_printf(out, "%s%s=", i == next ? "%!(EXTRA " : ", ",
			   template_type_name(args[i]));
		template_print(arena, args[i], out);
	}
	if (next < count)
		buf_putc(out, ')');
	return buf_error(out);
}
