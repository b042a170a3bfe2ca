/* Expressions: operands, pipelines and functions. Every value is a JSON value. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

#define MAX_ARGS 16

static const struct json null_value = { .type = JSON_NULL };
static const struct json true_value = { .type = JSON_TRUE };
static const struct json false_value = { .type = JSON_FALSE };
/* What Go prints for a key that a map does not have. */
static const struct json no_value = { .type = JSON_STRING, .text = "<no value>", .text_len = 10 };

static const struct json *make(struct template *t, enum json_type type, const char *text)
{
	struct json *value = text ? arena_new(t->arena, struct json) : NULL;
	if (!value) {
		error_set(t->err, -ENOMEM, "out of memory");
		return NULL;
	}
	value->type = type;
	value->text = text;
	value->text_len = (uint32_t)strlen(text);
	return value;
}

static const struct json *make_string(struct template *t, const char *text)
{
	return make(t, JSON_STRING, text);
}

bool template_truth(const struct json *value)
{
	switch (value->type) {
	case JSON_TRUE:
		return true;
	case JSON_NUMBER:
		return !streq(value->text, "0");
	case JSON_STRING:
		return value->text_len > 0;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return value->count > 0;
	default:
		return false;
	}
}

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(const struct json *const *)a)->key, (*(const struct json *const *)b)->key);
}

static int print_children(struct template *t, const struct json *value, struct buf *out)
{
	bool object = value->type == JSON_OBJECT;
	const struct json **items = arena_array(t->arena, const struct json *, value->count + 1);
	size_t n = 0;
	if (!items)
		return error_set(t->err, -ENOMEM, "out of memory");
	json_foreach (item, value)
		items[n++] = item;
	if (object)
		qsort(items, n, sizeof(*items), compare_members);
	buf_puts(out, object ? "map[" : "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(out, ' ');
		if (object)
			buf_printf(out, "%s:", items[i]->key);
		int r = template_print(t, items[i], out);
		if (r < 0)
			return r;
	}
	buf_putc(out, ']');
	return 0;
}

int template_print(struct template *t, const struct json *value, struct buf *out)
{
	switch (value->type) {
	case JSON_NULL:
		buf_puts(out, "<nil>");
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_puts(out, value->type == JSON_TRUE ? "true" : "false");
		return 0;
	case JSON_NUMBER:
	case JSON_STRING:
		buf_append(out, value->text, value->text_len);
		return 0;
	default:
		return print_children(t, value, out);
	}
}

/* ---- functions ---- */

struct call {
	struct template *t;
	const char *name;
	const struct json *args[MAX_ARGS];
	size_t count;
};

typedef const struct json *(*function)(struct call *c);

static const struct json *failed(struct call *c, const char *what)
{
	template_error(c->t, "error calling %s: %s", c->name, what);
	return NULL;
}

static const struct json *finish(struct call *c, struct buf *text)
{
	const char *copy = buf_error(text) ? NULL : arena_strdup(c->t->arena, buf_str(text));
	buf_free(text);
	return make_string(c->t, copy);
}

static const struct json *call_json(struct call *c)
{
	struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	json_put_value(&w, c->args[0]);
	return finish(c, &text);
}

static const struct json *call_join(struct call *c)
{
	struct buf text;
	buf_init(&text, 0);
	if (c->args[1]->type != JSON_STRING)
		return failed(c, "the separator must be a string");
	json_foreach (item, c->args[0]) {
		if (item != c->args[0]->child)
			buf_puts(&text, c->args[1]->text);
		if (template_print(c->t, item, &text) < 0)
			return NULL;
	}
	return finish(c, &text);
}

static const struct json *call_split(struct call *c)
{
	const char *text = c->args[0]->text, *separator = c->args[1]->text;
	struct json *list = arena_new(c->t->arena, struct json);
	if (!list || !text || !separator || !*separator)
		return failed(c, "needs a string and a separator");
	list->type = JSON_ARRAY;
	const struct json **tail = &list->child;
	for (bool last = false; !last; list->count++) {
		const char *next = strstr(text, separator);
		last = !next;
		size_t len = next ? (size_t)(next - text) : strlen(text);
		struct json *item =
			(struct json *)make_string(c->t, arena_strndup(c->t->arena, text, len));
		if (!item)
			return NULL;
		*tail = item;
		tail = &item->next;
		text += len + strlen(separator);
	}
	return list;
}

static const struct json *change_case(struct call *c, char first, char last, bool words)
{
	if (c->args[0]->type != JSON_STRING)
		return failed(c, "needs a string");
	char *copy = arena_strdup(c->t->arena, c->args[0]->text);
	for (char *p = copy; p && *p; p++)
		if (*p >= first && *p <= last && (!words || p == copy || p[-1] == ' '))
			*p ^= 0x20;
	return make_string(c->t, copy);
}

static const struct json *call_lower(struct call *c)
{
	return change_case(c, 'A', 'Z', false);
}

static const struct json *call_upper(struct call *c)
{
	return change_case(c, 'a', 'z', false);
}

static const struct json *call_title(struct call *c)
{
	return change_case(c, 'a', 'z', true);
}

static const struct json *call_len(struct call *c)
{
	const struct json *value = c->args[0];
	bool container = value->type == JSON_ARRAY || value->type == JSON_OBJECT;
	return make(c->t, JSON_NUMBER,
		    arena_printf(c->t->arena, "%u", container ? value->count : value->text_len));
}

static const struct json *member_at(const struct json *value, const struct json *key)
{
	int64_t number;
	if (value->type == JSON_OBJECT && key->type == JSON_STRING) {
		const struct json *member = json_get(value, key->text);
		return member ? member : &no_value;
	}
	if (value->type != JSON_ARRAY || !json_i64(key, &number))
		return NULL;
	json_foreach (item, value)
		if (number-- == 0)
			return item;
	return NULL;
}

static const struct json *call_index(struct call *c)
{
	const struct json *value = c->args[0];
	for (size_t i = 1; i < c->count && value; i++)
		value = member_at(value, c->args[i]);
	return value ? value : failed(c, "index out of range or of the wrong type");
}

/* slice S FROM TO, and truncate S LENGTH */
static const struct json *call_slice(struct call *c)
{
	bool truncate = streq(c->name, "truncate");
	int64_t from = 0, to = c->args[0]->text_len;
	bool valid = c->args[0]->type == JSON_STRING &&
		     json_i64(c->args[1], truncate ? &to : &from) &&
		     (c->count < 3 || json_i64(c->args[2], &to));
	if (truncate && to > c->args[0]->text_len)
		to = c->args[0]->text_len;
	if (!valid || from < 0 || to < from || to > c->args[0]->text_len)
		return failed(c, "index out of range");
	return make_string(
		c->t, arena_strndup(c->t->arena, c->args[0]->text + from, (size_t)(to - from)));
}

static const struct json *call_print(struct call *c)
{
	struct buf text;
	buf_init(&text, 0);
	for (size_t i = 0; i < c->count; i++) {
		if (i && !streq(c->name, "print"))
			buf_putc(&text, ' ');
		if (template_print(c->t, c->args[i], &text) < 0)
			return NULL;
	}
	if (streq(c->name, "println"))
		buf_putc(&text, '\n');
	return finish(c, &text);
}

/* The verbs s, v, d and q. */
static const struct json *call_printf(struct call *c)
{
	struct buf text;
	size_t next = 1;
	buf_init(&text, 0);
	if (c->args[0]->type != JSON_STRING)
		return failed(c, "needs a format");
	for (const char *p = c->args[0]->text; *p; p++) {
		if (*p != '%' || p[1] == '%') {
			buf_putc(&text, *p);
			p += *p == '%';
			continue;
		}
		if (!*++p || !strchr("svdq", *p) || next >= c->count) {
			buf_free(&text);
			return failed(c, "only %s, %v, %d and %q are known, one for each argument");
		}
		if (*p == 'q')
			buf_putc(&text, '"');
		if (template_print(c->t, c->args[next++], &text) < 0)
			return NULL;
		if (*p == 'q')
			buf_putc(&text, '"');
	}
	return finish(c, &text);
}

static int compare(const struct json *a, const struct json *b, bool *ret_comparable)
{
	int64_t x, y;
	*ret_comparable = true;
	if (json_i64(a, &x) && json_i64(b, &y))
		return x < y ? -1 : x > y;
	if (a->type == JSON_STRING && b->type == JSON_STRING)
		return strcmp(a->text, b->text);
	bool simple = a->type <= JSON_TRUE && b->type <= JSON_TRUE;
	*ret_comparable = simple;
	return a->type == b->type ? 0 : 1;
}

static const struct json *call_compare(struct call *c)
{
	bool comparable, result = false;
	int order = compare(c->args[0], c->args[1], &comparable);
	if (streq(c->name, "eq")) {
		result = comparable && order == 0;
		for (size_t i = 2; i < c->count && !result; i++)
			result = compare(c->args[0], c->args[i], &comparable) == 0 && comparable;
		return result ? &true_value : &false_value;
	}
	if (streq(c->name, "ne"))
		return !comparable || order ? &true_value : &false_value;
	if (!comparable)
		return failed(c, "incompatible types for comparison");
	result = c->name[0] == 'l' ? order < 0 : order > 0;
	if (c->name[1] == 'e' && order == 0)
		result = true;
	return result ? &true_value : &false_value;
}

static const struct json *call_logic(struct call *c)
{
	if (streq(c->name, "not"))
		return template_truth(c->args[0]) ? &false_value : &true_value;
	bool until = streq(c->name, "or");
	for (size_t i = 0; i + 1 < c->count; i++)
		if (template_truth(c->args[i]) == until)
			return c->args[i];
	return c->args[c->count - 1];
}

static const struct {
	const char *name;
	function fn;
	size_t min, max;
} functions[] = {
	{ "and", call_logic, 1, MAX_ARGS },
	{ "eq", call_compare, 2, MAX_ARGS },
	{ "ge", call_compare, 2, 2 },
	{ "gt", call_compare, 2, 2 },
	{ "index", call_index, 1, MAX_ARGS },
	{ "join", call_join, 2, 2 },
	{ "json", call_json, 1, 1 },
	{ "le", call_compare, 2, 2 },
	{ "len", call_len, 1, 1 },
	{ "lower", call_lower, 1, 1 },
	{ "lt", call_compare, 2, 2 },
	{ "ne", call_compare, 2, 2 },
	{ "not", call_logic, 1, 1 },
	{ "or", call_logic, 1, MAX_ARGS },
	{ "print", call_print, 0, MAX_ARGS },
	{ "printf", call_printf, 1, MAX_ARGS },
	{ "println", call_print, 0, MAX_ARGS },
	{ "slice", call_slice, 2, 3 },
	{ "split", call_split, 2, 2 },
	{ "title", call_title, 1, 1 },
	{ "truncate", call_slice, 2, 2 },
	{ "upper", call_upper, 1, 1 },
};

/* ---- operands ---- */

static size_t word_length(const struct template_expr *e)
{
	size_t len = 0;
	while (e->at + len < e->end && name_char_valid(e->at[len]) && !strchr(".-", e->at[len]))
		len++;
	return len;
}

/* The keys of these are data: one that is missing prints "<no value>", not an error. */
static bool is_map(const struct json *object)
{
	static const char *const names[] = { "Labels",	     "Annotations", "Ports",
					     "Networks",     "Sysctls",	    "Tmpfs",
					     "Options",	     "Volumes",	    "ExposedPorts",
					     "PortBindings", "StorageOpt",  "Label",
					     "Attributes" };
	for (size_t i = 0; object->key && i < ARRAY_SIZE(names); i++)
		if (streq(object->key, names[i]))
			return true;
	return false;
}

/* ".A.B" behind a value. */
static int parse_fields(struct template_expr *e, const struct json **value)
{
	while (e->at < e->end && *e->at == '.') {
		e->at++;
		size_t len = word_length(e);
		char *name = arena_strndup(e->t->arena, e->at, len);
		if (!name)
			return error_set(e->t->err, -ENOMEM, "out of memory");
		if (len == 0)
			return template_error(e->t, "unexpected <.>");
		e->at += len;
		const struct json *member = json_get(*value, name);
		bool lenient = (*value)->type == JSON_NULL || *value == &no_value || is_map(*value);
		if (!member && !lenient)
			return template_error(e->t, "map has no entry for key \"%.100s\"", name);
		*value = member ? member : &no_value;
	}
	return 0;
}

static int parse_quoted(struct template_expr *e, const struct json **ret)
{
	char quote = *e->at++;
	char *text = arena_alloc(e->t->arena, (size_t)(e->end - e->at) + 1), *out = text;
	if (!text)
		return error_set(e->t->err, -ENOMEM, "out of memory");
	while (e->at < e->end && *e->at != quote) {
		if (*e->at == '\\' && quote == '"' && e->at + 1 < e->end) {
			e->at++;
			*out++ = *e->at == 'n' ? '\n' : *e->at == 't' ? '\t' : *e->at;
		} else {
			*out++ = *e->at;
		}
		e->at++;
	}
	if (e->at >= e->end)
		return template_error(e->t, "unterminated quoted string");
	e->at++;
	*ret = make_string(e->t, text);
	return *ret ? 0 : -ENOMEM;
}

static int parse_variable(struct template_expr *e, const struct json **ret)
{
	const char *name = e->at++;
	size_t len = word_length(e) + 1;
	e->at = name + len;
	*ret = len == 1 ? e->t->root : NULL;
	for (size_t i = 0; i < e->t->variable_count; i++) {
		const struct template_variable *variable = &e->t->variables[i];
		if (variable->len == len && memcmp(variable->name, name, len) == 0)
			*ret = variable->value;
	}
	if (!*ret)
		return template_error(e->t, "undefined variable \"%.*s\"", (int)len, name);
	return parse_fields(e, ret);
}

static int parse_parenthesis(struct template_expr *e, const struct json **ret)
{
	e->at++;
	int r = template_eval(e, ret);
	if (r < 0)
		return r;
	if (e->at >= e->end || *e->at != ')')
		return template_error(e->t, "unclosed left paren");
	e->at++;
	return parse_fields(e, ret);
}

static int parse_number(struct template_expr *e, const struct json **ret)
{
	size_t len = 1;
	while (e->at + len < e->end && e->at[len] >= '0' && e->at[len] <= '9')
		len++;
	*ret = make(e->t, JSON_NUMBER, arena_strndup(e->t->arena, e->at, len));
	e->at += len;
	return *ret ? 0 : -ENOMEM;
}

/* Any operand but a function's name. 0: there is none here. */
static int parse_operand(struct template_expr *e, const struct json **ret)
{
	char c = e->at < e->end ? *e->at : '\0';
	int r = 0;
	if (c == '.') {
		*ret = e->dot;
		if (e->at + 1 < e->end && name_char_valid(e->at[1]) && !strchr(".-", e->at[1]))
			r = parse_fields(e, ret);
		else
			e->at++;
	} else if (c == '$') {
		r = parse_variable(e, ret);
	} else if (c == '(') {
		r = parse_parenthesis(e, ret);
	} else if (c == '"' || c == '`') {
		r = parse_quoted(e, ret);
	} else if ((c >= '0' && c <= '9') || c == '-') {
		r = parse_number(e, ret);
	} else {
		static const struct {
			const char *word;
			const struct json *value;
		} constants[] = { { "true", &true_value },
				  { "false", &false_value },
				  { "nil", &null_value } };
		size_t len = word_length(e);
		for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
			if (strlen(constants[i].word) != len ||
			    memcmp(e->at, constants[i].word, len))
				continue;
			e->at += len;
			*ret = constants[i].value;
			return 1;
		}
		return 0;
	}
	return r < 0 ? r : 1;
}

static int parse_arguments(struct template_expr *e, struct call *call)
{
	for (;;) {
		template_skip_blanks(e);
		if (e->at >= e->end || *e->at == '|' || *e->at == ')')
			return 0;
		if (call->count == MAX_ARGS)
			return template_error(e->t, "too many arguments");
		int r = parse_operand(e, &call->args[call->count]);
		if (r == 0)
			return template_error(e->t, "unexpected \"%.20s\" in operand", e->at);
		if (r < 0)
			return r;
		call->count++;
	}
}

static int call_function(struct template_expr *e, const char *name, size_t len,
			 const struct json *piped, const struct json **ret)
{
	struct call call = { .t = e->t };
	size_t at = 0;
	while (at < ARRAY_SIZE(functions) &&
	       (strlen(functions[at].name) != len || memcmp(functions[at].name, name, len) != 0))
		at++;
	if (at == ARRAY_SIZE(functions))
		return template_error(e->t, "function \"%.*s\" not defined", (int)len, name);
	call.name = functions[at].name;
	int r = parse_arguments(e, &call);
	if (r < 0)
		return r;
	if (piped && call.count < MAX_ARGS)
		call.args[call.count++] = piped;
	if (call.count < functions[at].min || call.count > functions[at].max)
		return template_error(e->t, "wrong number of args for %s", call.name);
	*ret = functions[at].fn(&call);
	return *ret ? 0 : e->t->err && e->t->err->code ? e->t->err->code : -EINVAL;
}

/* One command of a pipeline: a function with arguments, or a value ("Label" takes a key). */
static int eval_command(struct template_expr *e, const struct json *piped, const struct json **ret)
{
	template_skip_blanks(e);
	int r = parse_operand(e, ret);
	if (r < 0)
		return r;
	if (r == 0) {
		const char *name = e->at;
		size_t len = word_length(e);
		if (len == 0)
			return template_error(e->t, "missing value for command");
		e->at += len;
		return call_function(e, name, len, piped, ret);
	}
	struct call call = { .t = e->t, .name = "index", .args = { *ret }, .count = 1 };
	r = parse_arguments(e, &call);
	if (r < 0 || (call.count == 1 && !piped))
		return r;
	if (piped || (*ret)->type != JSON_OBJECT)
		return template_error(e->t, "can't give argument to non-function");
	*ret = call_index(&call);
	return *ret ? 0 : -EINVAL;
}

int template_eval(struct template_expr *e, const struct json **ret)
{
	const struct json *value = NULL;
	if (++e->depth > TEMPLATE_MAX_DEPTH)
		return template_error(e->t, "nested too deeply");
	for (;;) {
		int r = eval_command(e, value, &value);
		if (r < 0)
			return r;
		template_skip_blanks(e);
		if (e->at >= e->end || *e->at != '|')
			break;
		e->at++;
	}
	e->depth--;
	*ret = value;
	return 0;
}
