/* What a writer asks its parent to do, because the writer may not (see writer.h). */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Carries out the marks in @marks_fd on the layer in @target_fd. The paths are the writer's words:
 * they are opened beneath the layer, without following links, and only directories are touched.
 */
int marks_apply(int marks_fd, int target_fd, const int *below, size_t below_count,
		struct masu_error *err);

/*
 * The same for an index: the marks are those of erofs_write(), and what they name is changed in the
 * file @index_fd, which nobody has mounted yet.
 */
int marks_apply_index(int marks_fd, int index_fd, const int *below, size_t below_count,
		      struct masu_error *err);
