/*
 * --format: the part of Go's text/template that docker's users write, over a JSON value.
 *
 *   {{.A.B}} {{index .Labels "x"}} {{json .}} {{range .L}}…{{else}}…{{end}} {{if …}} {{with …}}
 *   {{range $k, $v := .M}} {{$x := …}} {{- trim -}}, comments, pipelines, parentheses, and
 *   and eq ge gt index join json le len lower lt ne not or print printf println slice split title
 *   truncate upper
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

/* Appends to @out. A member that an object does not have is an error, as in docker. */
int template_render(struct arena *arena, const char *text, const struct json *data, struct buf *out,
		    struct masu_error *err);
