/* What the template's files share: the tree that template_parse.c makes and template.c runs. */
#pragma once

#include "cli/template.h"

#define TEMPLATE_MAX_DEPTH     32	  /* blocks and parentheses within each other */
#define TEMPLATE_MAX_VARIABLES 128	  /* at one time */
#define TEMPLATE_MAX_STEPS     (1u << 18) /* items of ranges and calls of templates */
#define TEMPLATE_MAX_ARGS      32	  /* of one call */

/* A piece of the template's text. */
struct span {
	const char *at;
	size_t len;
};

static inline bool span_is(struct span span, const char *text)
{
	return strlen(text) == span.len && memcmp(span.at, text, span.len) == 0;
}

enum operand_kind {
	OPERAND_DOT,
	OPERAND_NIL,
	OPERAND_VALUE,	  /* a constant */
	OPERAND_VARIABLE, /* "$" or "$x" */
	OPERAND_FUNCTION,
	OPERAND_PIPELINE /* in parentheses */
};

/* ".A.B", "$x.A", "(…).A", a constant, a function's name. */
struct operand {
	enum operand_kind kind;
	struct span source;
	const char
		*position; /* where messages say it is: text/template counts from the last field */
	const struct json *value;
	struct span name; /* of a variable */
	const struct template_function *function;
	struct pipeline *pipeline;
	const char **fields; /* names that are looked up in it, NULL-terminated; or NULL */
	struct operand *next;
};

struct command {
	struct span source;
	struct operand *args; /* the first says what it is */
	struct command *next;
};

struct pipeline {
	struct span source;
	struct span variables[2];
	size_t variable_count;
	bool assigns; /* "=" rather than ":=" */
	struct command *commands;
};

enum node_kind {
	NODE_TEXT,
	NODE_ACTION,
	NODE_IF,
	NODE_WITH,
	NODE_RANGE,
	NODE_BREAK,
	NODE_CONTINUE,
	NODE_TEMPLATE
};

struct node {
	enum node_kind kind;
	struct span text; /* NODE_TEMPLATE: its name as it is written */
	const char *name;
	struct pipeline *pipeline;
	struct node *body, *otherwise;
	struct node *next;
};

/* {{define}} or {{block}}. */
struct definition {
	const char *name;
	struct node *nodes;
	struct definition *next;
};

struct template
{
	const char *text;
	struct node *nodes;
	struct definition *definitions;
};

struct template_variable {
	struct span name;
	const struct json *value;
};

/* One execution. */
struct template_run {
	const struct template *t;
	struct arena *arena;
	struct buf *out;
	unsigned flags, depth, steps;
	const char *name; /* of what is running; "": the template itself */
	struct template_variable variables[TEMPLATE_MAX_VARIABLES];
	size_t variable_count, variable_first; /* those before belong to who called */
	struct masu_error *err;
};

/* ---- template_token.c ---- */

enum token_kind {
	TOKEN_END,   /* of the text */
	TOKEN_CLOSE, /* "}}" or " -}}" */
	TOKEN_SPACE,
	TOKEN_PIPE,
	TOKEN_LEFT,
	TOKEN_RIGHT,
	TOKEN_COMMA,
	TOKEN_DECLARE,
	TOKEN_ASSIGN,
	TOKEN_DOT,
	TOKEN_FIELD, /* ".Name" */
	TOKEN_VARIABLE,
	TOKEN_WORD,
	TOKEN_NUMBER,
	TOKEN_STRING,
	TOKEN_RAW_STRING,
	TOKEN_OTHER
};

struct token {
	enum token_kind kind;
	struct span text;
};

/* Tokens come one at a time; who looks ahead takes @at back. */
struct template_parser {
	struct arena *arena;
	const char *text, *at;
	unsigned depth;
	size_t loops; /* ranges around this place */
	struct span variables[TEMPLATE_MAX_VARIABLES];
	size_t variable_count;
	struct template *template;
	struct masu_error *err;
};

/* "template: :LINE: …" */
int template_parse_error(const struct template_parser *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* -EINVAL where the text cannot be cut here at all. */
int template_next_token(struct template_parser *p, struct token *ret);
/* The word at the parser's place, without taking it. */
struct span template_peek_word(const struct template_parser *p);
void template_skip_blanks(struct template_parser *p);

/* ---- template_pipeline.c: what stands between the braces ---- */

/* @context is for messages: "command", "if", "range", "with". Ends behind the "}}". */
int template_parse_pipeline(struct template_parser *p, const char *context, struct pipeline **ret);
/* The same, or "}}" alone: then *ret is NULL. */
int template_parse_argument(struct template_parser *p, const char *context, struct pipeline **ret);
/* A template's name, in quotes. */
int template_parse_name(struct template_parser *p, const char *context, struct span *ret_source,
			const char **ret);
/* What must follow a keyword that stands alone: blanks and "}}". */
int template_parse_close(struct template_parser *p, const char *context);
/* ---- template_functions.c ---- */

struct template_call {
	struct template_run *run;
	struct span source;
	const struct template_function *function;
	const struct json *args[TEMPLATE_MAX_ARGS];
	const struct operand *operands[TEMPLATE_MAX_ARGS]; /* where they stand; NULL: piped */
	size_t count;
};

struct template_function {
	const char *name;
	const struct json *(*fn)(struct template_call *call); /* NULL: it failed */
	size_t min, max;
	bool keeps_headings; /* with TEMPLATE_HEADINGS: gives back its first argument */
};

const struct template_function *template_function_find(struct span name);
const struct json *template_index(struct template_call *call);

/* ---- template_value.c ---- */

/* What a key that is not there gives; distinct from null. */
extern const struct json template_no_value;
extern const struct json template_true, template_false;

/* A new value in the arena; @text NULL counts as memory gone. NULL: *err is set. */
const struct json *template_make(struct arena *arena, enum json_type type, const char *text,
				 struct masu_error *err);
bool template_truth(const struct json *value);
/* As Go prints it: strings bare, lists [a b], maps map[k:v] by their keys, structures {a b}. */
int template_print(struct arena *arena, const struct json *value, struct buf *out);
/* Members by key, as Go goes through maps; items in their order. NULL: memory is gone. */
const struct json **template_sorted(struct arena *arena, const struct json *value);
/* What a member that Docker leaves out where it is empty is in its structures; else NULL. */
const struct json *template_optional(const struct json *object, const char *name);
/* Whether the object's keys are data (labels, networks), not the members of a structure. */
bool template_is_map(const struct json *object);
/* Go's name for its type, for messages. */
const char *template_type_name(const struct json *value);
/* fmt.Sprintf. @args: what follows the format. */
int template_format(struct arena *arena, const char *format, const struct json *const *args,
		    size_t count, struct buf *out);

/* ---- template.c ---- */

/* "template: :LINE:COLUMN: executing "" at <…>: …" */
int template_run_error(struct template_run *run, const char *position, struct span source,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
