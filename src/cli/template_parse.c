/* Parsing text and blocks: what stands outside of the braces, and the words that begin and end
 * blocks. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

enum block_end { BLOCK_TEXT_END, BLOCK_END, BLOCK_ELSE };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct node *node_new(struct template_parser *p, enum node_kind kind)
{
	struct node *node = arena_new(p->arena, struct node);
	if (node)
		node->kind = kind;
	else
		error_set(p->err, -ENOMEM, "out of memory");
	return node;
}

/* A comment fills its action, braces and all. */
static int skip_comment(struct template_parser *p)
{
	const char *end = strstr(p->at, "*/");
	if (!end)
		return template_parse_error(p, "unclosed comment");
	end += 2;
	if (is_blank(*end) && end[1] == '-' && end[2] == '}' && end[3] == '}')
		p->at = end + 4;
	else if (end[0] == '}' && end[1] == '}')
		p->at = end + 2;
	else
		return template_parse_error(p, "comment ends before closing delimiter");
	return 0;
}

/* After an action that ends in " -}}". */
static void trim_after(struct template_parser *p)
{
	if (p->at - p->text >= 4 && p->at[-3] == '-' && is_blank(p->at[-4]))
		while (is_blank(*p->at))
			p->at++;
}

/* Text up to the next action; behind its "{{". 0: there is none. */
static int parse_text(struct template_parser *p, struct node ***tail)
{
	const char *start = p->at, *open = strstr(start, "{{");
	const char *end = open ? open : start + strlen(start);
	p->at = open ? open + 2 : end;
	if (open && p->at[0] == '-' && is_blank(p->at[1])) {
		p->at++;
		while (end > start && is_blank(end[-1]))
			end--;
		while (is_blank(*p->at))
			p->at++;
	}
	if (end > start) {
		struct node *node = node_new(p, NODE_TEXT);
		if (!node)
			return -ENOMEM;
		node->text = (struct span) { start, (size_t)(end - start) };
		**tail = node;
		*tail = &node->next;
	}
	return open != NULL;
}

static int parse_list(struct template_parser *p, struct node **ret, enum block_end *ret_end);

static const char *const names[] = {
	[NODE_IF] = "if", [NODE_WITH] = "with", [NODE_RANGE] = "range"
};

static int parse_block(struct template_parser *p, enum node_kind kind, struct node **ret);

/* What follows {{else}}: "{{else if …}}" is a block of its own that shares the end. */
static int parse_else(struct template_parser *p, enum node_kind kind, struct node *node)
{
	enum block_end end;
	template_skip_blanks(p);
	struct span word = template_peek_word(p);
	if (kind != NODE_RANGE && span_is(word, names[kind])) {
		p->at += word.len;
		return parse_block(p, kind, &node->otherwise);
	}
	int r = template_parse_close(p, "else");
	if (r == 0) {
		trim_after(p);
		r = parse_list(p, &node->otherwise, &end);
	}
	if (r < 0)
		return r;
	if (end == BLOCK_ELSE)
		return template_parse_error(p, "expected end; found {{else}}");
	return end == BLOCK_END ? 0 : template_parse_error(p, "unexpected EOF");
}

/* {{if}}, {{with}} and {{range}}, to their {{end}}; variables of the block end with it. */
static int parse_block(struct template_parser *p, enum node_kind kind, struct node **ret)
{
	enum block_end end = BLOCK_TEXT_END;
	size_t kept = p->variable_count;
	struct node *node = node_new(p, kind);
	if (!node)
		return -ENOMEM;
	if (++p->depth > TEMPLATE_MAX_DEPTH)
		return template_parse_error(p, "nested too deeply");
	int r = template_parse_pipeline(p, names[kind], &node->pipeline);
	if (r == 0) {
		trim_after(p);
		p->loops += kind == NODE_RANGE;
		r = parse_list(p, &node->body, &end);
		p->loops -= kind == NODE_RANGE;
	}
	if (r == 0 && end == BLOCK_ELSE)
		r = parse_else(p, kind, node);
	else if (r == 0 && end == BLOCK_TEXT_END)
		r = template_parse_error(p, "unexpected EOF");
	p->depth--;
	p->variable_count = kept;
	*ret = node;
	return r;
}

/* The first that is not empty counts. */
static int add_definition(struct template_parser *p, const char *name, struct node *nodes)
{
	bool empty = true;
	for (const struct node *node = nodes; node && empty; node = node->next) {
		size_t blanks = 0;
		while (blanks < node->text.len && is_blank(node->text.at[blanks]))
			blanks++;
		empty = node->kind == NODE_TEXT && blanks == node->text.len;
	}
	struct definition **at = &p->template->definitions;
	while (*at && !streq((*at)->name, name))
		at = &(*at)->next;
	if (*at && empty)
		return 0;
	if (*at && (*at)->nodes)
		return template_parse_error(p, "template: multiple definition of template \"%s\"",
					    name);
	if (!*at)
		*at = arena_new(p->arena, struct definition);
	if (!*at)
		return error_set(p->err, -ENOMEM, "out of memory");
	(*at)->name = name;
	(*at)->nodes = empty ? NULL : nodes;
	return 0;
}

/* The body of a definition knows nothing of what is around it. */
static int parse_body(struct template_parser *p, const char *context, const char *name)
{
	struct template_parser inner = *p;
	struct node *nodes;
	enum block_end end;
	if (++inner.depth > TEMPLATE_MAX_DEPTH)
		return template_parse_error(p, "nested too deeply");
	inner.loops = inner.variable_count = 0;
	trim_after(&inner);
	int r = parse_list(&inner, &nodes, &end);
	p->at = inner.at;
	if (r < 0)
		return r;
	if (end == BLOCK_ELSE)
		return template_parse_error(p, "unexpected {{else}} in %s", context);
	if (end == BLOCK_TEXT_END)
		return template_parse_error(p, "unexpected EOF");
	return add_definition(p, name, nodes);
}

static int parse_define(struct template_parser *p)
{
	const char *name;
	struct span source;
	int r = template_parse_name(p, "define clause", &source, &name);
	if (r == 0)
		r = template_parse_close(p, "define clause");
	return r < 0 ? r : parse_body(p, "define clause", name);
}

/* {{template "name" pipeline}}, and {{block}}, which is one with its definition behind it. */
static int parse_template(struct template_parser *p, bool block, struct node **ret)
{
	const char *context = block ? "block clause" : "template clause";
	struct node *node = *ret = node_new(p, NODE_TEMPLATE);
	if (!node)
		return -ENOMEM;
	int r = template_parse_name(p, context, &node->text, &node->name);
	if (r == 0)
		r = block ? template_parse_pipeline(p, context, &node->pipeline)
			  : template_parse_argument(p, context, &node->pipeline);
	return r < 0 || !block ? r : parse_body(p, context, node->name);
}

static int parse_jump(struct template_parser *p, enum node_kind kind, const char *word,
		      struct node **ret)
{
	if (!p->loops)
		return template_parse_error(p, "{{%s}} outside {{range}}", word);
	*ret = node_new(p, kind);
	return *ret ? template_parse_close(p, word) : -ENOMEM;
}

static int parse_output(struct template_parser *p, struct node **ret)
{
	*ret = node_new(p, NODE_ACTION);
	return *ret ? template_parse_pipeline(p, "command", &(*ret)->pipeline) : -ENOMEM;
}

/* One action, behind its braces. *ret_end: it ended the block. */
static int parse_action(struct template_parser *p, struct node **ret, enum block_end *ret_end)
{
	*ret = NULL;
	*ret_end = BLOCK_TEXT_END;
	if (str_after(p->at, "/*"))
		return skip_comment(p);
	template_skip_blanks(p);
	struct span word = template_peek_word(p);
	if (span_is(word, "define") && p->depth == 0) {
		p->at += word.len;
		return parse_define(p);
	}
	if (span_is(word, "template") || span_is(word, "block")) {
		p->at += word.len;
		return parse_template(p, span_is(word, "block"), ret);
	}
	for (enum node_kind kind = NODE_IF; kind <= NODE_RANGE; kind++)
		if (span_is(word, names[kind])) {
			p->at += word.len;
			return parse_block(p, kind, ret);
		}
	if (!span_is(word, "end") && !span_is(word, "else") && !span_is(word, "break") &&
	    !span_is(word, "continue"))
		return parse_output(p, ret);
	p->at += word.len;
	if (span_is(word, "break"))
		return parse_jump(p, NODE_BREAK, "break", ret);
	if (span_is(word, "continue"))
		return parse_jump(p, NODE_CONTINUE, "continue", ret);
	*ret_end = span_is(word, "end") ? BLOCK_END : BLOCK_ELSE;
	/* What follows "else" is for parse_else(). */
	return *ret_end == BLOCK_END ? template_parse_close(p, "end") : 0;
}

static int parse_list(struct template_parser *p, struct node **ret, enum block_end *ret_end)
{
	struct node **tail = ret;
	*ret = NULL;
	for (;;) {
		struct node *node;
		int r = parse_text(p, &tail);
		*ret_end = BLOCK_TEXT_END;
		if (r <= 0)
			return r;
		r = parse_action(p, &node, ret_end);
		if (r < 0)
			return r;
		if (*ret_end != BLOCK_ELSE)
			trim_after(p);
		if (*ret_end != BLOCK_TEXT_END)
			return 0;
		if (!node)
			continue;
		*tail = node;
		tail = &node->next;
	}
}

int template_parse(struct arena *arena, const char *text, struct template **ret,
		   struct masu_error *err)
{
	struct template_parser parser = { .arena = arena, .text = text, .at = text, .err = err };
	struct template *t = arena_new(arena, struct template);
	enum block_end end;
	if (!t)
		return error_set(err, -ENOMEM, "out of memory");
	t->text = text;
	parser.template = t;
	int r = parse_list(&parser, &t->nodes, &end);
	if (r == 0 && end != BLOCK_TEXT_END)
		r = template_parse_error(&parser, "unexpected {{%s}}",
					 end == BLOCK_END ? "end" : "else");
	if (r == 0)
		*ret = t;
	return r;
}
