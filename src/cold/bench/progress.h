/* One line about where the run is: redrawn on a terminal, else once a workload. */
#pragma once

#include "cold/bench/runner.h"

/* @part of @parts of the workload @what are done. */
void progress_show(struct runner *runner, const char *what, const char *which, unsigned part,
		   unsigned parts);
/* Takes the line away. */
void progress_end(struct runner *runner);
