/* Shared by the files of runner. */
#pragma once

#include "cold/bench/runner.h"

bool runner_wants(const struct runner *runner, const struct workload *workload);
bool runner_takes(const struct runner *runner, const struct workload *workload, size_t column);
/* Why a workload cannot run anywhere: a program that is not installed, or NULL. */
const char *runner_workload_lacks(struct runner *runner, const struct workload *workload);
/* The same of a peer's columns. */
const char *runner_peer_lacks(struct runner *runner, const struct configuration *configuration);
/* Shorter ones say nothing. */
#define SHORTEST_LOAD 0.1
/* runner_plan.c: seconds for the rounds that each cell gets in any case. */
double runner_least_seconds(const struct runner *runner, const struct workload *workload);
/* How much of the time that is left the workload of that number gets, from 0 to 1. */
double runner_part_of_time(const struct runner *runner, size_t at);
/* Why a column cannot be had on this machine, or NULL. Tries it the first time. */
const char *runner_column_lacks(struct runner *runner, size_t column);
