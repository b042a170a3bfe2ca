#include "cold/bench/svg.h"

#include <math.h>
#include <stdio.h>

/* Of a drawing that is as wide as a phone and grows with the page. */
#define WIDTH 460
#define LEFT  118
#define RIGHT 372
#define LINE  24
#define TOP   8

void html_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_puts(out, "&amp;");
		else if (*text == '<')
			buf_puts(out, "&lt;");
		else if (*text == '>')
			buf_puts(out, "&gt;");
		else if (*text == '"')
			buf_puts(out, "&quot;");
		else if ((unsigned char)*text >= ' ')
			buf_putc(out, *text);
	}
}

struct axis {
	double from, to;
};

static void widen(struct axis *axis, double value)
{
	if (!isfinite(value) || value <= 0)
		return;
	axis->from = value < axis->from ? value : axis->from;
	axis->to = value > axis->to ? value : axis->to;
}

/* By logarithm: half as fast is as far from 1 as twice as fast. */
static double place_of(const struct axis *axis, double value)
{
	double part = (log(value) - log(axis->from)) / (log(axis->to) - log(axis->from));
	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return LEFT + part * (RIGHT - LEFT);
}

static struct axis axis_of(const struct svg_point *points, size_t count)
{
	struct axis axis = { .from = 0.9, .to = 1.1 };
	for (size_t i = 0; i < count; i++) {
		widen(&axis, points[i].at);
		widen(&axis, points[i].paper);
		if (points[i].low > 0 && isfinite(points[i].high)) {
			/* A whisker may leave the drawing; what it belongs to may not. */
			widen(&axis, fmax(points[i].low, points[i].at / 2));
			widen(&axis, fmin(points[i].high, points[i].at * 2));
		}
	}
	axis.from *= 0.97;
	axis.to *= 1.03;
	return axis;
}

static void scale(struct buf *out, const struct axis *axis, double bottom)
{
	static const double ticks[] = { 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9,
					1,     1.1,  1.25, 1.5,	 2,   5,   10,	20,  100 };
	double last = -100;
	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		if (ticks[i] < axis->from || ticks[i] > axis->to)
			continue;
		double x = place_of(axis, ticks[i]);
		if (ticks[i] != 1 && x - last < 30)
			continue;
		last = x;
		buf_printf(out,
			   "<line class=\"%s\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/>"
			   "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">%g</text>\n",
			   ticks[i] == 1 ? "one" : "grid", x, TOP, x, bottom, x, bottom + 14,
			   ticks[i]);
	}
}

static void draw_point(struct buf *out, const struct axis *axis, const struct svg_point *point,
		       double y)
{
	const char *kind = point->emulated ? "emulated" : point->different ? "different" : "same";
	buf_printf(out, "<text class=\"name\" x=\"%d\" y=\"%.1f\">", LEFT - 8, y + 4);
	html_text(out, point->label);
	buf_puts(out, "</text>\n");
	for (size_t i = 0; i < point->sample_count; i++)
		if (point->samples[i] > 0)
			buf_printf(out,
				   "<circle class=\"sample\" cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\"/>",
				   place_of(axis, point->samples[i]), y + 6);
	if (point->paper > 0) {
		double x = place_of(axis, point->paper);
		buf_printf(out, "<path class=\"paper\" d=\"M%.1f %.1fl5 5l-5 5l-5 -5z\"/>\n", x,
			   y - 10);
	}
	if (point->at > 0) {
		if (point->low > 0 && isfinite(point->high))
			buf_printf(out,
				   "<line class=\"whisker %s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
				   "y2=\"%.1f\"/>",
				   kind, place_of(axis, point->low), y, place_of(axis, point->high),
				   y);
		buf_printf(out, "<circle class=\"point %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n",
			   kind, place_of(axis, point->at), y);
	}
	buf_printf(out, "<text class=\"value\" x=\"%d\" y=\"%.1f\">", RIGHT + 8, y + 4);
	html_text(out, point->value);
	buf_puts(out, "</text>\n");
}

void svg_plot(struct buf *out, const char *description, const struct svg_point *points,
	      size_t count)
{
	struct axis axis = axis_of(points, count);
	double bottom = TOP + (double)count * LINE;
	buf_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"", WIDTH,
		   bottom + 20);
	html_text(out, description);
	buf_puts(out, "\">\n");
	scale(out, &axis, bottom);
	for (size_t i = 0; i < count; i++)
		draw_point(out, &axis, &points[i], TOP + ((double)i + 0.5) * LINE);
	buf_puts(out, "</svg>\n");
}
