/* The cheapest search tree over ranges of numbers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define TREE_MAX_RANGES 2048u

struct tree {
	size_t count;
	uint16_t *split; /* [first * count + last]: the last range of the left half */
};

/*
 * Over @count ranges, searched @weights[i] times: the tree with the fewest comparisons in total.
 * -E2BIG past TREE_MAX_RANGES, -ENOMEM.
 */
int tree_build(struct arena *arena, const uint32_t *weights, size_t count, struct tree *ret);

static inline size_t tree_split(const struct tree *tree, size_t first, size_t last)
{
	return tree->split[first * tree->count + last];
}
