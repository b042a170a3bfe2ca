/* What the files of the check share. */
#pragma once

#include "engine/check.h"
#include "engine/internal.h"

struct check {
	struct engine *engine;
	struct arena arena;
	bool repair;
	check_hash hash;
	check_report report;
	void *opaque;
	size_t left;
	/* Every container's record, without open files; not whole where one cannot be read. */
	struct container *containers;
	size_t container_count;
	bool containers_known;
};

/* Reports something that only the user can mend. */
void check_found(struct check *check, const char *where, const char *remedy, const char *what, ...)
	__attribute__((format(printf, 4, 5)));
/* Reports something that --repair mends, with what came of it (0 without --repair). */
void check_mended(struct check *check, const char *where, const char *remedy, int result,
		  const char *what, ...) __attribute__((format(printf, 5, 6)));

const struct container *check_container(const struct check *check, const char *id);

/* check_images.c: blobs, images, layers */
int check_images(struct check *check, struct masu_error *err);
/* check_kernel.c: mounts, cgroups, networks */
int check_kernel(struct check *check, struct masu_error *err);
