/* `masu events --filter`: docker's filters, with docker's ideas of what matches. */
#pragma once

#include "cli/command.h"
#include "json/json.h"

/* "invalid filter" for a name that is not known or a filter without a value. */
int event_filters_check(const struct cli_list *filters, struct masu_error *err);

/*
 * Several values of one name: one of them is enough; labels must all be there. Containers, volumes,
 * networks and daemons match by the beginning of id or name, images by id, or name with or without
 * tag, "event=exec_create", "exec_start" and "health_status" by the beginning of the action.
 */
bool event_filters_match(const struct cli_list *filters, const struct json *event);
