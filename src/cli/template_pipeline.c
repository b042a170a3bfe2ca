/* Parsing what stands between the braces: operands, commands, pipelines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

static int no_memory(const struct template_parser *p)
{
	return error_set(p->err, -ENOMEM, "out of memory");
}

static int peek_token(struct template_parser *p, struct token *ret)
{
	const char *at = p->at;
	int r = template_next_token(p, ret);
	if (r == 0)
		p->at = at;
	return r;
}

static int peek_past_blanks(struct template_parser *p, struct token *ret)
{
	template_skip_blanks(p);
	return peek_token(p, ret);
}

static bool is_keyword(struct span word)
{
	static const char *const keywords[] = { "block", "break", "continue", "define",	  "else",
						"end",	 "if",	  "range",    "template", "with" };
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (span_is(word, keywords[i]))
			return true;
	return false;
}

static int unexpected(struct template_parser *p, const struct token *token, const char *context)
{
	int len = (int)token->text.len;
	if (token->kind == TOKEN_END)
		return template_parse_error(p, "unclosed action");

	if (token->kind == TOKEN_CLOSE)
		return template_parse_error(p, "unexpected \"}}\" in %s", context);
	if (token->kind == TOKEN_DOT || (token->kind == TOKEN_WORD && is_keyword(token->text)))
		return template_parse_error(p, "unexpected <%.*s> in %s", len, token->text.at,
					    context);
	if (len > 10)
		return template_parse_error(p, "unexpected \"%.10s\"... in %s", token->text.at,
					    context);
	return template_parse_error(p, "unexpected \"%.*s\" in %s", len, token->text.at, context);
}

int template_parse_close(struct template_parser *p, const char *context)
{
	struct token token;
	int r = peek_past_blanks(p, &token);
	if (r < 0)
		return r;
	if (token.kind != TOKEN_CLOSE)
		return unexpected(p, &token, context);
	return template_next_token(p, &token);
}

/* ---- operands ---- */

/* "\x41", "\u0041": @c is behind the letter. What follows, or NULL. */
static const char *hex_escape(const char *c, size_t digits, char **out)
{
	char text[8];
	char *end;
	snprintf(text, sizeof(text), "%.*s", (int)digits, c);
	unsigned long value = strtoul(text, &end, 16);
	if (strlen(text) != digits || *end || value == 0 || value > 0x7f)
		return NULL; /* other characters are written as they are */
	*(*out)++ = (char)value;
	return c + digits;
}

static const char *escape(const char *c, char **out)
{
	static const char from[] = "abfnrtv\\\"'", to[] = "\a\b\f\n\r\t\v\\\"'";
	const char *known = *c ? strchr(from, *c) : NULL;
	if (known) {
		*(*out)++ = to[known - from];
		return c + 1;
	}
	return *c == 'x' ? hex_escape(c + 1, 2, out) : *c == 'u' ? hex_escape(c + 1, 4, out) : NULL;
}

/* Decodes what stands between quotes; that is never longer. */
static int unquote(struct template_parser *p, struct span text, const char **ret)
{
	char *copy = arena_strndup(p->arena, text.at + 1, text.len - 2), *out = copy;
	const char *end = text.at + text.len - 1;
	if (!copy)
		return no_memory(p);
	for (const char *c = text.at + 1; c && c < end;) {
		if (*c != '\\' || *text.at == '`')
			*out++ = *c++;
		else if (!(c = escape(c + 1, &out)))
			return template_parse_error(p, "invalid syntax");
	}
	*out = '\0';
	*ret = copy;
	return 0;
}

static const struct json *make_value(struct template_parser *p, enum json_type type,
				     const char *text)
{
	return template_make(p->arena, type, text, p->err);
}

/* 0x1f, 0o17, 017, 0b11, 1_000. */
static bool based_number(const char *text, int64_t *ret)
{
	static const struct {
		const char *prefix;
		int base;
	} bases[] = { { "0x", 16 }, { "0X", 16 }, { "0o", 8 }, { "0O", 8 },
		      { "0b", 2 },  { "0B", 2 },  { "0", 8 },  { "", 10 } };
	char plain[72], *end;
	size_t len = 0;
	bool negative = *text == '-';
	for (const char *from = text + (negative || *text == '+'); *from; from++)
		if (*from != '_' && len < sizeof(plain) - 1)
			plain[len++] = *from;
	plain[len] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		const char *digits = str_after(plain, bases[i].prefix);
		if (!digits || !*digits || (bases[i].base == 10 && !strchr(text, '_')))
			continue;
		long long number = strtoll(digits, &end, bases[i].base);
		*ret = negative ? -number : number;
		return !*end;
	}
	return false;
}

/* Decimal digits, with sign, fraction and exponent; 0x…; a character is its number. */
static int number_value(struct template_parser *p, struct span text, const struct json **ret)
{
	char *copy = arena_strndup(p->arena, text.at, text.len), *end = NULL;
	const char *digits = copy;
	int64_t number;
	if (!copy)
		return no_memory(p);
	if (*copy == '\'') {
		const char *character;
		int r = unquote(p, text, &character);
		if (r < 0)
			return r;
		if (strlen(character) != 1)
			return template_parse_error(p, "malformed character constant: %s", copy);
		digits = arena_printf(p->arena, "%d", *character);
	} else if (based_number(copy, &number)) {
		digits = arena_printf(p->arena, "%lld", (long long)number);
	} else if (str_to_i64(copy + (*copy == '+'), &number) == 0) {
		digits = arena_printf(p->arena, "%lld", (long long)number);
	} else {
		double value = strtod(copy, &end);
		if (!end || *end || strspn(copy, "+-0123456789.eE") != text.len)
			digits = NULL;
		else if (value >= -1e15 && value <= 1e15 && value == (double)(int64_t)value)
			digits = arena_printf(p->arena, "%lld", (long long)value);
	}
	if (!digits)
		return template_parse_error(p, "bad number syntax: \"%.*s\"",
					    (int)strspn(copy, "+-.0123456789") + 1, copy);
	*ret = make_value(p, JSON_NUMBER, digits);
	return *ret ? 0 : -ENOMEM;
}

static int word_operand(struct template_parser *p, struct operand *operand)
{
	static const struct {
		const char *word;
		const struct json *value;
	} constants[] = { { "true", &template_true }, { "false", &template_false } };
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++)
		if (span_is(operand->source, constants[i].word)) {
			operand->kind = OPERAND_VALUE;
			operand->value = constants[i].value;
			return 0;
		}
	if (span_is(operand->source, "nil")) {
		operand->kind = OPERAND_NIL;
		return 0;
	}
	operand->kind = OPERAND_FUNCTION;
	operand->function = template_function_find(operand->source);
	return operand->function
		       ? 0
		       : template_parse_error(p, "function \"%.*s\" not defined",
					      (int)operand->source.len, operand->source.at);
}

static int variable_operand(struct template_parser *p, struct operand *operand)
{
	operand->kind = OPERAND_VARIABLE;
	operand->name = operand->source;
	for (size_t i = 0; i < p->variable_count; i++)
		if (p->variables[i].len == operand->name.len &&
		    memcmp(p->variables[i].at, operand->name.at, operand->name.len) == 0)
			return 0;
	return operand->name.len == 1
		       ? 0
		       : template_parse_error(p, "undefined variable \"%.*s\"",
					      (int)operand->name.len, operand->name.at);
}

static int parse_within(struct template_parser *p, const char *context, enum token_kind end,
			struct pipeline **ret);

static int parenthesis_operand(struct template_parser *p, struct operand *operand)
{
	operand->kind = OPERAND_PIPELINE;
	if (++p->depth > TEMPLATE_MAX_DEPTH)
		return template_parse_error(p, "nested too deeply");
	int r = parse_within(p, "parenthesized pipeline", TOKEN_RIGHT, &operand->pipeline);
	p->depth--;
	operand->source.len = (size_t)(p->at - operand->source.at);
	return r;
}

/* What may stand alone. 0: @token begins none. */
static int parse_term(struct template_parser *p, const struct token *token, struct operand *operand)
{
	const char *text;
	int r = 0;
	*operand = (struct operand) { .source = token->text, .position = token->text.at };
	switch (token->kind) {
	case TOKEN_WORD:
		if (is_keyword(token->text))
			return 0;
		r = word_operand(p, operand);
		break;
	case TOKEN_DOT:
	case TOKEN_FIELD:
		operand->kind = OPERAND_DOT;
		break;
	case TOKEN_VARIABLE:
		r = variable_operand(p, operand);
		break;
	case TOKEN_NUMBER:
		operand->kind = OPERAND_VALUE;
		r = number_value(p, token->text, &operand->value);
		break;
	case TOKEN_STRING:
	case TOKEN_RAW_STRING:
		operand->kind = OPERAND_VALUE;
		r = unquote(p, token->text, &text);
		if (r == 0)
			operand->value = make_value(p, JSON_STRING, text);
		if (r == 0 && !operand->value)
			r = -ENOMEM;
		break;
	case TOKEN_LEFT:
		r = parenthesis_operand(p, operand);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

#define MAX_FIELDS 32

/* ".A.B" behind a term; of a term that begins with a field, that is the first. */
static int parse_fields(struct template_parser *p, const struct token *first,
			struct operand *operand)
{
	const char *names[MAX_FIELDS + 1];
	size_t count = 0;
	struct token token = *first;
	if (first->kind != TOKEN_FIELD) {
		int r = peek_token(p, &token);
		if (r < 0 || token.kind != TOKEN_FIELD)
			return r;
		if (operand->kind == OPERAND_VALUE || operand->kind == OPERAND_NIL ||
		    operand->kind == OPERAND_DOT)
			return template_parse_error(p, "unexpected . after term \"%.*s\"",
						    (int)operand->source.len, operand->source.at);
		template_next_token(p, &token);
	}
	for (;;) {
		if (count == MAX_FIELDS)
			return template_parse_error(p, "nested too deeply");
		names[count] = arena_strndup(p->arena, token.text.at + 1, token.text.len - 1);
		if (!names[count++])
			return no_memory(p);
		int r = peek_token(p, &token);
		if (r < 0)
			return r;
		if (token.kind != TOKEN_FIELD)
			break;
		if (count == 1 || operand->position == operand->source.at)
			operand->position = token.text.at;
		template_next_token(p, &token);
	}
	operand->fields = arena_array(p->arena, const char *, count + 1);
	if (!operand->fields)
		return no_memory(p);
	memcpy(operand->fields, names, count * sizeof(*names));
	operand->source.len = (size_t)(p->at - operand->source.at);
	return 0;
}

/* 1 and *ret; 0: there is none here, and nothing was taken. */
static int parse_operand(struct template_parser *p, struct operand **ret)
{
	const char *at = p->at;
	struct token token;
	struct operand *operand = arena_new(p->arena, struct operand);
	if (!operand)
		return no_memory(p);
	int r = template_next_token(p, &token);
	if (r == 0)
		r = parse_term(p, &token, operand);
	if (r == 0)
		p->at = at;
	if (r <= 0)
		return r;
	r = parse_fields(p, &token, operand);
	if (r < 0)
		return r;
	*ret = operand;
	return 1;
}

/* ---- commands and pipelines ---- */

static int parse_command(struct template_parser *p, struct command **ret)
{
	struct command *command = arena_new(p->arena, struct command);
	struct operand **tail = command ? &command->args : NULL;
	struct token token;
	if (!command)
		return no_memory(p);
	command->source.at = p->at;
	for (size_t count = 0;; count++) {
		template_skip_blanks(p);
		if (count == TEMPLATE_MAX_ARGS)
			return template_parse_error(p, "too many arguments");
		int r = parse_operand(p, tail);
		if (r < 0)
			return r;
		if (r == 1) {
			tail = &(*tail)->next;
			command->source.len = (size_t)(p->at - command->source.at);
		}
		const char *before = p->at;
		r = template_next_token(p, &token);
		if (r < 0)
			return r;
		if (token.kind == TOKEN_SPACE)
			continue;
		if (token.kind == TOKEN_CLOSE || token.kind == TOKEN_RIGHT)
			p->at = before;
		else if (token.kind != TOKEN_PIPE)
			return unexpected(p, &token, "operand");
		break;
	}
	*ret = command;
	return 0;
}

static int declare(struct template_parser *p, struct pipeline *pipeline, struct span name)
{
	if (p->variable_count == TEMPLATE_MAX_VARIABLES)
		return template_parse_error(p, "too many variables");
	pipeline->variables[pipeline->variable_count++] = name;
	p->variables[p->variable_count++] = name;
	return 0;
}

/* "$x :=", "$x =", "$k, $v :=" in front of a pipeline; without them nothing is taken. */
static int parse_declaration(struct template_parser *p, const char *context,
			     struct pipeline *pipeline)
{
	for (;;) {
		struct token variable, token;
		int r = peek_past_blanks(p, &variable);
		if (r < 0)
			return r;
		const char *before = p->at;
		if (variable.kind != TOKEN_VARIABLE)
			return pipeline->variable_count
				       ? template_parse_error(p,
							      "range can only initialize variables")
				       : 0;
		template_next_token(p, &variable);
		r = peek_past_blanks(p, &token);
		if (r < 0)
			return r;
		bool comma = token.kind == TOKEN_COMMA;
		if (!comma && token.kind != TOKEN_DECLARE && token.kind != TOKEN_ASSIGN) {
			p->at = before;
			return 0;
		}
		template_next_token(p, &token);
		if (comma && (!streq(context, "range") || pipeline->variable_count))
			return template_parse_error(p, "too many declarations in %s", context);
		pipeline->assigns = token.kind == TOKEN_ASSIGN;
		r = declare(p, pipeline, variable.text);
		if (r < 0 || !comma)
			return r;
	}
}

static bool executable(const struct operand *operand)
{
	if (operand->fields)
		return true;
	return operand->kind == OPERAND_FUNCTION || operand->kind == OPERAND_VARIABLE ||
	       operand->kind == OPERAND_PIPELINE;
}

static int check_stages(struct template_parser *p, const struct pipeline *pipeline)
{
	unsigned stage = 1;
	for (const struct command *c = pipeline->commands; c; c = c->next, stage++) {
		if (!c->args)
			return template_parse_error(p, "empty command");
		if (stage > 1 && !executable(c->args))
			return template_parse_error(
				p, "non executable command in pipeline stage %u", stage);
	}
	return 0;
}

static int parse_within(struct template_parser *p, const char *context, enum token_kind end,
			struct pipeline **ret)
{
	struct pipeline *pipeline = arena_new(p->arena, struct pipeline);
	struct command **tail = pipeline ? &pipeline->commands : NULL;
	struct token token;
	if (!pipeline)
		return no_memory(p);
	template_skip_blanks(p);
	pipeline->source.at = p->at;
	int r = parse_declaration(p, context, pipeline);
	while (r == 0) {
		r = peek_past_blanks(p, &token);
		if (r < 0)
			return r;
		if (token.kind == end)
			break;
		if (token.kind == TOKEN_CLOSE && end == TOKEN_RIGHT)
			return template_parse_error(p, "unclosed left paren");
		if (token.kind == TOKEN_RIGHT)
			return template_parse_error(p, "unexpected right paren");
		if (token.kind == TOKEN_END || token.kind == TOKEN_OTHER ||
		    token.kind == TOKEN_CLOSE || token.kind == TOKEN_PIPE ||
		    token.kind == TOKEN_COMMA || token.kind == TOKEN_DECLARE ||
		    token.kind == TOKEN_ASSIGN ||
		    (token.kind == TOKEN_WORD && is_keyword(token.text)))
			return unexpected(p, &token, context);
		r = parse_command(p, tail);
		if (r == 0)
			tail = &(*tail)->next;
	}
	if (r < 0)
		return r;
	pipeline->source.len = (size_t)(p->at - pipeline->source.at);
	template_next_token(p, &token);
	if (!pipeline->commands)
		return template_parse_error(p, "missing value for %s", context);
	*ret = pipeline;
	return check_stages(p, pipeline);
}

int template_parse_pipeline(struct template_parser *p, const char *context, struct pipeline **ret)
{
	return parse_within(p, context, TOKEN_CLOSE, ret);
}

int template_parse_argument(struct template_parser *p, const char *context, struct pipeline **ret)
{
	struct token token;
	int r = peek_past_blanks(p, &token);
	*ret = NULL;
	if (r < 0)
		return r;
	return token.kind == TOKEN_CLOSE ? template_next_token(p, &token)
					 : template_parse_pipeline(p, context, ret);
}

int template_parse_name(struct template_parser *p, const char *context, struct span *ret_source,
			const char **ret)
{
	struct token token;
	int r = peek_past_blanks(p, &token);
	if (r < 0)
		return r;
	if (token.kind != TOKEN_STRING && token.kind != TOKEN_RAW_STRING)
		return unexpected(p, &token, context);
	template_next_token(p, &token);
	*ret_source = token.text;
	return unquote(p, token.text, ret);
}
