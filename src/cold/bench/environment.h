/* What a reader has to know about the machine to believe the figures. */
#pragma once

#include "cold/bench/model.h"
#include "cold/bench/workload.h"

/* Adds facts to the model; what cannot be found out is left out. @scratch: where data lies. */
int environment_capture(struct model *model, const char *scratch);
/* Bytes of the largest cache that the CPU's cores share, 0: unknown. */
size_t environment_last_cache(void);
/* Microseconds in which something waited for a CPU, since boot (PSI); -1: the kernel does not say.
 */
double environment_stalled(void);
