/* The report: one HTML file with drawings in it, which needs no network, no script and no other
 * file. */
#pragma once

#include "cold/bench/model.h"

int report_write(const struct model *model, struct buf *ret);
