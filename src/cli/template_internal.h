/* Between template.c (text and blocks) and template_expr.c (what stands between the braces). */
#pragma once

#include "cli/template.h"

#define TEMPLATE_MAX_DEPTH     32
#define TEMPLATE_MAX_VARIABLES 32

struct template_variable {
	const char *name;
	size_t len;
	const struct json *value;
};

struct template
{
	struct arena *arena;
	const char *text, *at; /* what is left to do */
	struct buf *out;
	const struct json *root;
	struct template_variable variables[TEMPLATE_MAX_VARIABLES];
	size_t variable_count;
	unsigned depth;
	struct masu_error *err;
};

/* Of one action: the text between the braces, trimmed. */
struct template_expr {
	struct template *t;
	const char *at, *end;
	const struct json *dot;
	unsigned depth;
};

/* Evaluates the pipeline up to the end of the action or a closing parenthesis. */
int template_eval(struct template_expr *e, const struct json **ret);
bool template_truth(const struct json *value);
/* As Go prints it: strings bare, lists [a b], objects map[k:v]. */
int template_print(struct template *t, const struct json *value, struct buf *out);
int template_error(const struct template *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void template_skip_blanks(struct template_expr *e);
