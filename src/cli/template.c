#include "cli/template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

enum block_end { BLOCK_TEXT_END, BLOCK_END, BLOCK_ELSE };

/* What ended a block; for else the rest of its action ("if …" or nothing). */
struct block {
	enum block_end end;
	const char *rest, *rest_end;
};

int template_error(const struct template *t, const char *fmt, ...)
{
	char what[MASU_ERROR_MAX / 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	error_set(t->err, -EINVAL, "template parsing error: %s", what);
	return -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void template_skip_blanks(struct template_expr *e)
{
	while (e->at < e->end && is_blank(*e->at))
		e->at++;
}

/* The "}}" of an action that begins at @p, beyond strings; NULL: there is none. */
static const char *action_end(const char *p)
{
	if (str_after(p, "/*")) {
		p = strstr(p, "*/");
		return p ? strstr(p, "}}") : NULL;
	}
	for (; *p; p++) {
		if (p[0] == '}' && p[1] == '}')
			return p;
		if (*p == '"' || *p == '`') {
			char quote = *p;
			for (p++; *p && *p != quote; p++)
				if (*p == '\\' && quote == '"' && p[1])
					p++;
			if (!*p)
				return NULL;
		}
	}
	return NULL;
}

/*
 * Text up to the next action, then the action: its trimmed content in [*ret, *ret_end). 0: the text
 * is over.
 */
static int next_action(struct template *t, bool active, const char **ret, const char **ret_end)
{
	const char *open = strstr(t->at, "{{");
	const char *text_end = open ? open : t->at + strlen(t->at);
	const char *p = open ? open + 2 : NULL;
	if (p && p[0] == '-' && is_blank(p[1])) {
		p++;
		while (text_end > t->at && is_blank(text_end[-1]))
			text_end--;
	}
	if (active)
		buf_append(t->out, t->at, (size_t)(text_end - t->at));
	if (!open)
		return 0;
	while (is_blank(*p))
		p++;
	const char *close = action_end(p), *end = close;
	if (!close)
		return template_error(t, "unclosed action");
	t->at = close + 2;
	if (end - p >= 2 && end[-1] == '-' && is_blank(end[-2])) {
		end--;
		while (is_blank(*t->at))
			t->at++;
	}
	while (end > p && is_blank(end[-1]))
		end--;
	*ret = p;
	*ret_end = end;
	return 1;
}

/* Where the action begins with the word, what follows it. */
static const char *keyword(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(end - at) < len || memcmp(at, word, len) != 0)
		return NULL;
	at += len;
	if (at < end && !is_blank(*at) && *at != '(' && *at != '.' && *at != '$')
		return NULL;
	return at;
}

static int run_block(struct template *t, const struct json *dot, bool active, struct block *ret);

static int evaluate(struct template *t, const struct json *dot, const char *at, const char *end,
		    const struct json **ret)
{
	struct template_expr e = { .t = t, .at = at, .end = end, .dot = dot };
	int r = template_eval(&e, ret);
	if (r == 0 && e.at < e.end)
		return template_error(t, "unexpected \"%.20s\"", e.at);
	return r;
}

static int expect_end(struct template *t, const struct block *block)
{
	return block->end == BLOCK_END ? 0 : template_error(t, "unexpected EOF or {{else}}");
}

/* {{if}} and {{with}}, which differ in the dot; "else if" comes back here. */
static int run_if(struct template *t, const struct json *dot, bool active, bool with,
		  const char *at, const char *end)
{
	const struct json *value = NULL;
	struct block block;
	int r = active ? evaluate(t, dot, at, end, &value) : 0;
	if (r < 0)
		return r;
	bool taken = active && template_truth(value);
	r = run_block(t, with && taken ? value : dot, taken, &block);
	if (r < 0 || block.end == BLOCK_END)
		return r;
	if (block.end == BLOCK_TEXT_END)
		return template_error(t, "unexpected EOF");
	bool otherwise = active && !taken;
	const char *chained = keyword(block.rest, block.rest_end, with ? "with" : "if");
	if (chained)
		return run_if(t, dot, otherwise, with, chained, block.rest_end);
	r = run_block(t, dot, otherwise, &block);
	return r < 0 ? r : expect_end(t, &block);
}

static int set_variable(struct template *t, const char *name, size_t len, const struct json *value)
{
	if (t->variable_count == TEMPLATE_MAX_VARIABLES)
		return template_error(t, "too many variables");
	t->variables[t->variable_count++] = (struct template_variable) { name, len, value };
	return 0;
}

static size_t variable_length(const char *at, const char *end)
{
	size_t len = at < end && *at == '$';
	while (len && at + len < end && (name_char_valid(at[len]) && !strchr(".-", at[len])))
		len++;
	return len;
}

struct range {
	const char *names[2]; /* "$k", "$v" */
	size_t lens[2];
	size_t count;
};

/* "$k, $v :=" in front of the pipeline. */
static const char *range_variables(const char *at, const char *end, struct range *ret)
{
	const char *p = at;
	struct range range = { 0 };
	while (range.count < 2) {
		while (p < end && is_blank(*p))
			p++;
		size_t len = variable_length(p, end);
		if (len < 2)
			return at;
		range.names[range.count] = p;
		range.lens[range.count++] = len;
		p += len;
		while (p < end && is_blank(*p))
			p++;
		if (p < end && *p == ',') {
			p++;
			continue;
		}
		break;
	}
	if (end - p < 2 || p[0] != ':' || p[1] != '=')
		return at;
	*ret = range;
	return p + 2;
}

static int range_item(struct template *t, const struct range *range, const struct json *item,
		      size_t index, struct block *block)
{
	size_t kept = t->variable_count;
	struct json *key = arena_new(t->arena, struct json);
	if (!key)
		return error_set(t->err, -ENOMEM, "out of memory");
	key->type = item->key ? JSON_STRING : JSON_NUMBER;
	key->text = item->key ? item->key : arena_printf(t->arena, "%zu", index);
	key->text_len = key->text ? (uint32_t)strlen(key->text) : 0;
	int r = 0;
	if (range->count == 2)
		r = set_variable(t, range->names[0], range->lens[0], key);
	if (r == 0 && range->count)
		r = set_variable(t, range->names[range->count - 1], range->lens[range->count - 1],
				 item);
	if (r == 0)
		r = run_block(t, item, true, block);
	t->variable_count = kept;
	return r;
}

static int run_range(struct template *t, const struct json *dot, bool active, const char *at,
		     const char *end)
{
	const struct json *list = NULL;
	struct range range = { 0 };
	struct block block = { 0 };
	at = range_variables(at, end, &range);
	int r = active ? evaluate(t, dot, at, end, &list) : 0;
	const char *body = t->at;
	size_t n = 0;
	bool iterable = list && (list->type == JSON_ARRAY || list->type == JSON_OBJECT);
	if (r == 0 && active && list && !iterable && list->type != JSON_NULL)
		return template_error(t, "range can't iterate over a value of this type");
	json_foreach (item, iterable ? list : NULL) {
		t->at = body;
		r = r == 0 ? range_item(t, &range, item, n++, &block) : r;
	}
	if (r == 0 && n == 0)
		r = run_block(t, dot, false, &block);
	if (r == 0 && block.end == BLOCK_ELSE)
		r = run_block(t, dot, active && n == 0, &block);
	return r < 0 ? r : expect_end(t, &block);
}

static int run_output(struct template *t, const struct json *dot, const char *at, const char *end)
{
	const struct json *value;
	int r = evaluate(t, dot, at, end, &value);
	return r < 0 ? r : template_print(t, value, t->out);
}

/* "$x := pipeline" */
static int run_assignment(struct template *t, const struct json *dot, const char *at,
			  const char *end)
{
	const struct json *value;
	struct range name = { 0 };
	const char *pipeline = range_variables(at, end, &name);
	int r = evaluate(t, dot, pipeline, end, &value);
	return r < 0 ? r : set_variable(t, name.names[0], name.lens[0], value);
}

static int run_action(struct template *t, const struct json *dot, bool active, const char *at,
		      const char *end)
{
	const char *rest;
	struct range assigned = { 0 };
	if ((rest = keyword(at, end, "if")))
		return run_if(t, dot, active, false, rest, end);
	if ((rest = keyword(at, end, "with")))
		return run_if(t, dot, active, true, rest, end);
	if ((rest = keyword(at, end, "range")))
		return run_range(t, dot, active, rest, end);
	if (!active || str_after(at, "/*"))
		return 0;
	if (range_variables(at, end, &assigned) != at && assigned.count == 1)
		return run_assignment(t, dot, at, end);
	return run_output(t, dot, at, end);
}

static int run_block(struct template *t, const struct json *dot, bool active, struct block *ret)
{
	const char *at = NULL, *end = NULL, *rest;
	int r;
	if (++t->depth > TEMPLATE_MAX_DEPTH)
		return template_error(t, "nested too deeply");
	while ((r = next_action(t, active, &at, &end)) > 0) {
		if (keyword(at, end, "end")) {
			ret->end = BLOCK_END;
			break;
		}
		if ((rest = keyword(at, end, "else"))) {
			while (rest < end && is_blank(*rest))
				rest++;
			*ret = (struct block) { BLOCK_ELSE, rest, end };
			break;
		}
		r = run_action(t, dot, active, at, end);
		if (r < 0)
			return r;
	}
	if (r == 0)
		ret->end = BLOCK_TEXT_END;
	t->depth--;
	return r < 0 ? r : 0;
}

int template_render(struct arena *arena, const char *text, const struct json *data, struct buf *out,
		    struct masu_error *err)
{
	struct template t = {
		.arena = arena, .text = text, .at = text, .out = out, .root = data, .err = err
	};
	struct block block;
	int r = run_block(&t, data, true, &block);
	if (r == 0 && block.end != BLOCK_TEXT_END)
		r = template_error(&t, "unexpected {{%s}}",
				   block.end == BLOCK_END ? "end" : "else");
	if (r == 0 && buf_error(out) < 0)
		return error_errno(err, buf_error(out), "template");
	return r;
}
