/* Of `masu ps`: one container's line, and filters. */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"
#include "json/json.h"

struct ps_wanted {
	bool truncate;
	bool size;	   /* costs a walk over the writable layer */
	bool label_object; /* for {{.Label "key"}} */
};

/* The object that docker's templates and JSON see of a container. */
int ps_row(struct arena *arena, struct engine *engine, const struct container *container,
	   const struct ps_wanted *want, const struct json **ret, struct masu_error *err);

/* Docker's published ports: "0.0.0.0:8080->80/tcp, 53/udp". */
void ps_ports(const struct container *container, struct buf *out);

/* Refuses filters that are not known. */
int ps_filters_check(const struct cli_list *filters, struct masu_error *err);
/* @all: the whole list, for "before" and "since". */
bool ps_filters_match(const struct cli_list *filters, const struct container *all, size_t count,
		      const struct container *container);
