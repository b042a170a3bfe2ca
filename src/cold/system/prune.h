/* Of the prune verbs: what is removed, and what is told of it (prune_objects.c). */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"

#define PRUNE_CONTAINERS 1u
#define PRUNE_IMAGES	 2u
#define PRUNE_VOLUMES	 4u
#define PRUNE_NETWORKS	 8u

struct prune_run {
	struct engine *engine;
	struct arena *arena;
	bool all_images;  /* not only those without a name */
	bool all_volumes; /* not only those without a name */
	bool has_until;
	int64_t until; /* nanoseconds since 1970: what was made later is kept */
	const struct cli_list *filters;
	uint64_t reclaimed; /* bytes */
};

/*
 * "until=" (not of volumes), "label=KEY[=VALUE]", "label!=KEY[=VALUE]", and of volumes "all=BOOL".
 * @kinds: PRUNE_*; a filter must be one of each. Fills run's filters. "invalid filter" else.
 */
int prune_filters_parse(struct arena *arena, const struct cli_list *filters, unsigned kinds,
			struct prune_run *run, struct masu_error *err);
/* Whether what was made then is old enough. */
bool prune_old_enough(const struct prune_run *run, const char *created);
bool prune_labels_match(const struct cli_list *filters, const struct oci_pair *labels,
			size_t count);

/* Each prints docker's list of what it removed and adds to run->reclaimed. What is in use, or has
 * come into use meanwhile, is kept. */
int prune_containers(struct prune_run *run, struct masu_error *err);
int prune_volumes(struct prune_run *run, struct masu_error *err);
int prune_networks(struct prune_run *run, struct masu_error *err);
int prune_images(struct prune_run *run, struct masu_error *err);
