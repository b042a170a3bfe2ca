/* Of `masu ps`: one container's line, its ports, and filters. */
#pragma once

#include "cli/command.h"
#include "cli/format.h"
#include "engine/engine.h"
#include "json/json.h"

struct ps_filters;
struct ps_image;

/* ---- ps_row.c ---- */

/* What is the same for all lines. */
struct ps_view {
	struct engine *engine;
	struct arena *arena; /* of the rows; what a container is read into is not kept */
	bool truncate;
	uint32_t fields; /* which of ps_headings[] are wanted */
	int64_t now;
	struct buf text;	 /* of one field */
	struct ps_image *images; /* names that were looked up */
};

/* The fields that @format can reach: all where it takes the row as a whole. */
void ps_view_init(struct ps_view *view, struct engine *engine, struct arena *arena, bool truncate,
		  const char *format);
void ps_view_free(struct ps_view *view);
extern const struct format_heading ps_headings[];

/* The object that docker's templates and JSON see of a container; its Size is not measured. */
int ps_row(struct ps_view *view, const struct container *container, struct json_builder *ret,
	   struct masu_error *err);
/* Sets the Size of a row that ps_row() made, by a walk over the writable layer. */
int ps_row_size(struct ps_view *view, const char *id, const struct json *row,
		struct masu_error *err);

/* "none", "starting", "healthy" or "unhealthy". */
const char *ps_health(const struct container *container);

/* ---- ps_ports.c ---- */

/* Docker's ports: "0.0.0.0:8080->80/tcp, 53/udp". */
void ps_ports(const struct container *container, struct buf *out);

/* ---- ps_filter.c ---- */

/* Refuses filters and values that are not known. What they name is looked up here, once. */
int ps_filters_parse(struct engine *engine, struct arena *arena, const struct cli_list *list,
		     struct ps_filters **ret, struct masu_error *err);
/* Whether containers that do not run are asked for. */
bool ps_filters_want_all(const struct ps_filters *filters);
bool ps_filters_match(const struct ps_filters *filters, const struct container *container);
