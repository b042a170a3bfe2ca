/*
 * --format: Go's text/template, as docker and podman have it, over a JSON value.
 *
 *   {{.A.B}} {{index .Labels "x"}} {{json .}} {{range .L}}…{{else}}…{{end}} {{if …}} {{with …}}
 *   {{range $k, $v := .M}} {{$x := …}} {{$x = …}} {{break}} {{- trim -}}, comments, pipelines,
 *   parentheses, {{define "x"}} {{template "x" …}} {{block "x" …}}, and the functions of
 *   template_functions.c
 *
 * Values have no methods. Messages are text/template's own.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

struct template;

/* Parses once what is run often. Everything is in @arena, and @text must live as long. */
int template_parse(struct arena *arena, const char *text, struct template **ret,
		   struct masu_error *err);

/* For a table's first line, over its headings: functions that change a text leave it as it is. */
#define TEMPLATE_HEADINGS 1u

/* Appends to @out. A member that an object does not have is an error, as in docker; a key that a
 * map does not have prints "<no value>". */
int template_run(const struct template *t, struct arena *arena, const struct json *data,
		 unsigned flags, struct buf *out, struct masu_error *err);

/* Both. */
int template_render(struct arena *arena, const char *text, const struct json *data, struct buf *out,
		    struct masu_error *err);
