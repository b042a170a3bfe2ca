#include "cold/seccomp/tree.h"

#include <errno.h>

/*
 * Dynamic programming over intervals, with Knuth's bound on where the best split can be (D. Knuth,
 * Optimum binary search trees, 1971; it holds for leaf weights too): O(count^2).
 */
int tree_build(struct arena *arena, const uint32_t *weights, size_t count, struct tree *ret)
{
	if (count > TREE_MAX_RANGES)
		return -E2BIG;
	uint32_t *sum = arena_array(arena, uint32_t, count + 1);
	uint32_t *cost = arena_array(arena, uint32_t, count * count);
	uint16_t *split = arena_array(arena, uint16_t, count * count);
	if (!sum || !cost || !split)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		sum[i + 1] = sum[i] + weights[i];
		split[i * count + i] = (uint16_t)i;
	}
	for (size_t span = 1; span < count; span++) {
		for (size_t first = 0; first + span < count; first++) {
			size_t last = first + span, best = first;
			size_t low = split[first * count + last - 1];
			size_t high = split[(first + 1) * count + last];
			uint32_t least = UINT32_MAX;
			for (size_t k = low; k <= high && k < last; k++) {
				uint32_t c = cost[first * count + k] + cost[(k + 1) * count + last];
				if (c < least) {
					least = c;
					best = k;
				}
			}
			cost[first * count + last] = least + sum[last + 1] - sum[first];
			split[first * count + last] = (uint16_t)best;
		}
	}
	ret->count = count;
	ret->split = split;
	return 0;
}
