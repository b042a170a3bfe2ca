/* The kernel's lists of numbers ("0-3,5"): CPUs and memory nodes. */
#pragma once

/* Numbers below this. */
#define CPULIST_MAX 8192

/* 1 where every number of @list is in @available, 0 where one is not, -EINVAL where @list is no
 * list. */
int cpulist_within(const char *list, const char *available);
