/*
 * The maxima for what comes from outside. They are far above real images and far below what hurts:
 * a layer that passes one is refused by name.
 */
#pragma once

#include "tree/maxima.h"

#define LIMIT_ENTRIES  2000000u	      /* files and directories of one layer */
#define LIMIT_UNPACKED (256ull << 30) /* bytes of one uncompressed layer or archive */

/*
 * A compressed stream may grow by this factor once LIMIT_RATIO_FROM bytes came out of it. Deflate
 * reaches 1032 with nothing but zeroes, real layers 2 to 10.
 */
#define LIMIT_RATIO	 200u
#define LIMIT_RATIO_FROM (1ull << 28)
