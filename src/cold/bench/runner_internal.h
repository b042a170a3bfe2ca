/* Shared by the files of runner. */
#pragma once

#include "cold/bench/runner.h"

bool runner_wants(const struct runner *runner, const struct workload *workload);
bool runner_takes(const struct runner *runner, const struct workload *workload, size_t column);
/* Why a column cannot be had on this machine, or NULL. Tries it the first time. */
const char *runner_column_lacks(struct runner *runner, size_t column);
