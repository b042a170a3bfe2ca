/* Cutting what stands between the braces into words. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

static size_t word_length(const char *p)
{
	size_t len = 0;
	while (is_word(p[len]))
		len++;
	return len;
}

int template_parse_error(const struct template_parser *p, const char *fmt, ...)
{
	char what[MASU_ERROR_MAX / 2];
	unsigned line = 1;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (const char *c = p->text; c < p->at; c++)
		line += *c == '\n';
	return error_set(p->err, -EINVAL, "template: :%u: %s", line, what);
}

/* Of a string: up to its closing quote; 0: there is none. */
static size_t quoted_length(const char *p)
{
	char quote = *p;
	for (size_t len = 1; p[len] && (quote == '`' || p[len] != '\n'); len++) {
		if (p[len] == quote)
			return len + 1;
		if (p[len] == '\\' && quote != '`' && p[len + 1])
			len++;
	}
	return 0;
}

static size_t number_length(const char *p)
{
	size_t len = *p == '+' || *p == '-';
	for (; is_word(p[len]) || p[len] == '.'; len++)
		if ((p[len] == 'e' || p[len] == 'E') && (p[len + 1] == '+' || p[len + 1] == '-') &&
		    !str_after(p, "0x"))
			len++;
	return len;
}

static size_t close_length(const char *p)
{
	if (p[0] == '}' && p[1] == '}')
		return 2;
	return is_blank(p[0]) && p[1] == '-' && p[2] == '}' && p[3] == '}' ? 4 : 0;
}

static size_t simple_token(const char *p, enum token_kind *ret)
{
	static const struct {
		char c;
		enum token_kind kind;
	} simple[] = { { '|', TOKEN_PIPE },
		       { '(', TOKEN_LEFT },
		       { ')', TOKEN_RIGHT },
		       { ',', TOKEN_COMMA },
		       { '=', TOKEN_ASSIGN } };
	for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
		if (*p == simple[i].c) {
			*ret = simple[i].kind;
			return 1;
		}
	*ret = TOKEN_OTHER;
	return 1;
}

/* What may follow a name. */
static int check_terminator(const struct template_parser *p)
{
	char c = *p->at;
	if (!c || is_blank(c) || strchr(".,|:)(", c) || close_length(p->at))
		return 0;
	return template_parse_error(p, "bad character U+%04X '%c'", (unsigned char)c, c);
}

/* -EINVAL where the text cannot be cut here at all. */
int template_next_token(struct template_parser *p, struct token *ret)
{
	const char *at = p->at;
	struct token token = { TOKEN_OTHER, { at, 1 } };
	if (!*at) {
		token = (struct token) { TOKEN_END, { at, 0 } };
	} else if (close_length(at)) {
		token = (struct token) { TOKEN_CLOSE, { at, close_length(at) } };
	} else if (is_blank(*at)) {
		token.kind = TOKEN_SPACE;
		while (is_blank(at[token.text.len]) && !close_length(at + token.text.len))
			token.text.len++;
	} else if (*at == '"' || *at == '`' || *at == '\'') {
		token.kind = *at == '`'	  ? TOKEN_RAW_STRING
			     : *at == '"' ? TOKEN_STRING
					  : TOKEN_NUMBER;
		token.text.len = quoted_length(at);
		if (!token.text.len)
			return template_parse_error(p, "%s",
						    *at == '"' ? "unterminated quoted string"
						    : *at == '`'
							    ? "unterminated raw quoted string"
							    : "unterminated character constant");
	} else if (*at == '.' && (is_word(at[1]) && !(at[1] >= '0' && at[1] <= '9'))) {
		token = (struct token) { TOKEN_FIELD, { at, 1 + word_length(at + 1) } };
	} else if (*at == '.' && !(at[1] >= '0' && at[1] <= '9')) {
		token.kind = TOKEN_DOT;
	} else if (*at == '$') {
		token = (struct token) { TOKEN_VARIABLE, { at, 1 + word_length(at + 1) } };
	} else if ((*at >= '0' && *at <= '9') || *at == '+' || *at == '-' || *at == '.') {
		token = (struct token) { TOKEN_NUMBER, { at, number_length(at) } };
	} else if (is_word(*at)) {
		token = (struct token) { TOKEN_WORD, { at, word_length(at) } };
	} else if (at[0] == ':' && at[1] == '=') {
		token = (struct token) { TOKEN_DECLARE, { at, 2 } };
	} else {
		token.text.len = simple_token(at, &token.kind);
	}
	p->at += token.text.len;
	*ret = token;
	if (token.kind == TOKEN_DOT || token.kind == TOKEN_FIELD || token.kind == TOKEN_VARIABLE ||
	    token.kind == TOKEN_WORD)
		return check_terminator(p);
	return 0;
}

void template_skip_blanks(struct template_parser *p)
{
	while (is_blank(*p->at) && !close_length(p->at))
		p->at++;
}

struct span template_peek_word(const struct template_parser *p)
{
	return (struct span) { p->at, word_length(p->at) };
}
