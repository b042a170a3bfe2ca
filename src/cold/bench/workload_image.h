/* The workloads about images; their rows are in workload_start.c. */
#pragma once

#include "cold/bench/workload.h"

int image_unpack(struct sample *sample, struct masu_error *err);
int image_pull(struct sample *sample, struct masu_error *err);
int image_build_prepare(struct place *place, const struct settings *settings,
			struct masu_error *err);
int image_build(struct sample *sample, struct masu_error *err);
