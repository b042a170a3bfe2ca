/* Drawings in an HTML page: points with intervals on a common axis of speeds. Colours are classes
 * of the page's style sheet, so that they follow light and dark. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Text as HTML: &, <, > and quotes are escaped. */
void html_text(struct buf *out, const char *text);

struct svg_point {
	const char *label;     /* at the left */
	const char *value;     /* at the right */
	double at, low, high;  /* speed; low 0 and high infinite: no interval */
	double paper;	       /* what the paper had, 0: nothing */
	const double *samples; /* shown small; NULL: none */
	size_t sample_count;
	bool different, emulated;
};

/* One plot of at most SVG_POINTS_MAX lines, with 1 marked: @description is read out to those who do
 * not see it. */
#define SVG_POINTS_MAX 64
void svg_plot(struct buf *out, const char *description, const struct svg_point *points,
	      size_t count);
