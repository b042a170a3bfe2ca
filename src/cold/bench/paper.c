/*
 * The figures of Felter, Ferreira, Rajamony, Rubio: "An Updated Performance Comparison of Virtual
 * Machines and Linux Containers", IBM RC25482, 2014, as recomputed from the authors' published raw
 * logs; those marked as quoted are from the text. Each beside ours.
 */
#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "cold/bench/report_internal.h"
#include "cold/bench/svg.h"

/* One configuration of the paper and the columns of ours that answer to it, the first with figures
 * counts. */
struct paper_way {
	const char *label;
	double value; /* in the paper's unit; 0: the paper has none */
	const char *columns[3];
	bool quoted;
};

struct paper_figure {
	const char *section, *title, *unit;
	bool lower; /* is better */
	double native;
	struct paper_way ways[3];
	struct {
		const char *workload, *metric;
	} ours[2];	 /* the first that was measured */
	const char *why; /* they may differ */
};

#define VM(value)                                                                                  \
	"KVM", value,                                                                              \
	{                                                                                          \
		"vm"                                                                               \
	}

static const struct paper_figure figures[] = {
	{ "Compression",
	  "PXZ",
	  "",
	  false,
	  1,
	  { { "KVM", 0.78, { "vm" }, true } },
	  { { "xz", "rate" } },
	  "Quoted from the text: 22 % slower, 18 % tuned. Ours is xz -T0: pxz went into xz." },
	{ "Linpack",
	  "Linpack",
	  "GFLOPS",
	  false,
	  290.8,
	  { { "Docker", 290.9, { "container" } }, { "KVM", 241.3, { "vm" }, true } },
	  { { "hpcc", "hpl" }, { "linpack", "gflops" } },
	  "Theirs was Intel's library on 16 cores, which adapted itself to the topology that KVM "
	  "hid "
	  "(284.2 when tuned); ours runs on one core." },
	{ "STREAM",
	  "copy",
	  "GB/s",
	  false,
	  41.3,
	  { { "Docker", 41.2, { "container" } }, { VM(40.1) } },
	  { { "stream", "copy" } },
	  NULL },
	{ "STREAM",
	  "scale",
	  "GB/s",
	  false,
	  41.2,
	  { { "Docker", 41.2, { "container" } }, { VM(40.0) } },
	  { { "stream", "scale" } },
	  NULL },
	{ "STREAM",
	  "add",
	  "GB/s",
	  false,
	  45.8,
	  { { "Docker", 45.6, { "container" } }, { VM(45.0) } },
	  { { "stream", "add" } },
	  NULL },
	{ "STREAM",
	  "triad",
	  "GB/s",
	  false,
	  45.6,
	  { { "Docker", 45.6, { "container" } }, { VM(45.0) } },
	  { { "stream", "triad" } },
	  NULL },
	{ "RandomAccess",
	  "one socket",
	  "GUPS",
	  false,
	  .0458,
	  { { "Docker", .0457, { "container" } }, { VM(.0394) } },
	  { { "gups", "gups" } },
	  "Page tables in two dimensions are what a virtual machine pays here." },
	{ "Network bandwidth",
	  "out",
	  "Gb/s",
	  false,
	  9.35,
	  { { "Docker, NAT", 9.33, { "nat" } }, { VM(9.29) } },
	  { { "nuttcp", "out" }, { "iperf3", "out" } },
	  "Theirs was limited by a 10 Gb/s wire, ours by the CPU: the cable is a pair of virtual "
	  "interfaces, so what the path costs shows as bandwidth." },
	{ "Network bandwidth",
	  "in",
	  "Gb/s",
	  false,
	  9.34,
	  { { "Docker, NAT", 9.32, { "nat" } }, { VM(9.26) } },
	  { { "nuttcp", "in" }, { "iperf3", "in" } },
	  NULL },
	{ "Network latency",
	  "TCP request and answer",
	  "µs",
	  true,
	  37.6,
	  { { "Docker, NAT", 0, { "nat" } }, { "direct port", 0, { "direct" } }, { VM(67.9) } },
	  { { "latency", "tcp-p50" } },
	  "The raw data have no run with NAT; the text says that it about doubles the latency. "
	  "Docker of "
	  "2014 had a proxy and iptables rules in the path, masu has one nf_tables lookup, or none "
	  "with a direct port." },
	{ "Network latency",
	  "UDP request and answer",
	  "µs",
	  true,
	  36.0,
	  { { "Docker, NAT", 0, { "nat" } }, { "direct port", 0, { "direct" } }, { VM(64.0) } },
	  { { "latency", "udp-p50" } },
	  NULL },
	{ "Block I/O",
	  "sequential read",
	  "MB/s",
	  false,
	  807,
	  { { "Docker, volume", 807, { "volume", "container" } }, { VM(802) } },
	  { { "fio", "seq-read" } },
	  NULL },
	{ "Block I/O",
	  "sequential write",
	  "MB/s",
	  false,
	  751,
	  { { "Docker, volume", 752, { "volume", "container" } }, { VM(740) } },
	  { { "fio", "seq-write" } },
	  NULL },
	{ "Block I/O",
	  "random read, 4 KiB",
	  "kIOPS",
	  false,
	  84.0,
	  { { "Docker, volume", 84.1, { "volume", "container" } }, { VM(46.2) } },
	  { { "fio", "rand-read" } },
	  "Every request leaves the virtual machine." },
	{ "Block I/O",
	  "random write, 4 KiB",
	  "kIOPS",
	  false,
	  112.0,
	  { { "Docker, volume", 112.0, { "volume", "container" } }, { VM(59.3) } },
	  { { "fio", "rand-write" } },
	  NULL },
	{ "Block I/O",
	  "random 70/30",
	  "kIOPS",
	  false,
	  104.6,
	  { { "Docker, volume", 104.5, { "volume", "container" } }, { VM(50.7) } },
	  { { "fio", "mixed" } },
	  NULL },
	{ "Redis",
	  "GET, 1 client",
	  "k/s",
	  false,
	  16.2,
	  { { "Docker, host", 16.1, { "container" } },
	    { "Docker, NAT", 13.1, { "nat" } },
	    { VM(8.3) } },
	  { { "redis", "get1" } },
	  NULL },
	{ "Redis",
	  "GET, 10 clients",
	  "k/s",
	  false,
	  106,
	  { { "Docker, host", 110, { "container" } },
	    { "Docker, NAT", 69, { "nat" } },
	    { VM(57) } },
	  { { "redis", "get10" } },
	  NULL },
	{ "Redis",
	  "GET, 50 clients",
	  "k/s",
	  false,
	  105,
	  { { "Docker, host", 107, { "container" } },
	    { "Docker, NAT", 79, { "nat" } },
	    { VM(93) } },
	  { { "redis", "get50" } },
	  "NAT cost a third then; the translation is one lookup now, and none with a direct "
	  "port." },
	{ "MySQL",
	  "OLTP read-only",
	  "tps",
	  false,
	  13370,
	  { { "host, volume", 13132, { "volume" } },
	    { "NAT, AUFS", 11469, { "nat", "container" } },
	    { "KVM, qcow", 5623, { "vm" } } },
	  { { "mysql", "read" } },
	  "Their layers were AUFS, ours are overlayfs, in which a file that the container made is "
	  "the "
	  "file system's own. Theirs is the peak over 10 to 180 threads." },
};

static const struct model_row *row_of(const struct model *model, const struct paper_figure *figure)
{
	for (size_t i = 0; i < ARRAY_SIZE(figure->ours) && figure->ours[i].workload; i++) {
		struct model_row *row = model_row_find(
			(struct model *)model, figure->ours[i].workload, figure->ours[i].metric);
		if (row && model_baseline(model, row) >= 0)
			return row;
	}
	return NULL;
}

static int column_of(const struct model *model, const struct model_row *row,
		     const struct paper_way *way)
{
	for (size_t i = 0; row && i < ARRAY_SIZE(way->columns) && way->columns[i]; i++) {
		int column = model_column_index(model, way->columns[i]);
		if (column >= 0 && row->cells[column].count)
			return column;
	}
	return -1;
}

/* "0.78* / 0.95~", with a dash for what there is not. */
static void speed_pair(double paper, const char *paper_mark, double ours, const char *our_mark,
		       char ret[MODEL_TEXT_MAX])
{
	char left[16] = "–", right[16] = "–";
	if (paper > 0)
		snprintf(left, sizeof(left), "%.2f%s", paper, paper_mark);
	if (ours > 0)
		snprintf(right, sizeof(right), "%.2f%s", ours, our_mark);
	snprintf(ret, MODEL_TEXT_MAX, "%s / %s", left, right);
}

static void put_figure(const struct model *model, const struct paper_figure *figure,
		       struct buf *out)
{
	const struct model_row *row = row_of(model, figure);
	struct svg_point points[ARRAY_SIZE(figure->ways)];
	char texts[ARRAY_SIZE(figure->ways)][MODEL_TEXT_MAX], description[200];
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(figure->ways) && figure->ways[i].label; i++) {
		const struct paper_way *way = &figure->ways[i];
		int column = column_of(model, row, way);
		struct stats_ratio ratio = { 0 };
		enum model_verdict verdict =
			column < 0 ? MODEL_EMPTY : model_judge(model, row, column, &ratio);
		double paper = way->value <= 0 ? 0
			       : figure->lower ? figure->native / way->value
					       : way->value / figure->native;
		bool emulated = column >= 0 && model->columns[column].emulated;
		speed_pair(paper, way->quoted ? "*" : "", ratio.ratio, emulated ? "~" : "",
			   texts[count]);
		points[count] = (struct svg_point) {
			.label = way->label,
			.value = texts[count],
			.at = ratio.ratio,
			.low = ratio.low,
			.high = ratio.high,
			.paper = paper,
			.different = verdict == MODEL_FASTER || verdict == MODEL_SLOWER,
			.emulated = emulated,
		};
		count++;
	}
	snprintf(description, sizeof(description), "%s, %s: speed by native, the paper's and ours",
		 figure->section, figure->title);
	svg_plot(out, description, points, count);
}

static void put_native(const struct model *model, const struct paper_figure *figure,
		       struct buf *out)
{
	char text[MODEL_TEXT_MAX];
	const struct model_row *row = row_of(model, figure);
	buf_puts(out, "<h3>");
	html_text(out, figure->section);
	buf_puts(out, ": ");
	html_text(out, figure->title);
	buf_puts(out, "</h3>\n<p class=\"soft\">native: ");
	if (*figure->unit)
		html_text(out, model_value_text(figure->native, figure->unit, text));
	else
		buf_puts(out, "not given");
	buf_puts(out, " there, ");
	if (row) {
		const struct model_cell *cell = &row->cells[model_baseline(model, row)];
		html_text(out, model_value_text(stats_median(cell->values, cell->count), row->unit,
						text));
		buf_puts(out, " here");
	} else {
		buf_puts(out, "not measured here");
	}
	buf_puts(out, ".");
	if (figure->why) {
		buf_putc(out, ' ');
		html_text(out, figure->why);
	}
	buf_puts(out, "</p>\n");
}

void report_paper(const struct model *model, struct buf *out)
{
	buf_puts(out,
		 "<section><h2>The paper, figure by figure</h2>\n<p class=\"soft\">IBM "
		 "RC25482 (2014) asked "
		 "what containers and virtual machines cost against none. Speed by native, "
		 "<span class=\"key\" style=\"background:var(--paper);border-radius:0;"
		 "transform:rotate(45deg)\">&nbsp;</span> theirs and "
		 "<span class=\"key\" style=\"background:var(--same)\">&nbsp;</span> ours; at the "
		 "right theirs / "
		 "ours. *: quoted from the text; ~: software emulation.</p>\n");
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		put_native(model, &figures[i], out);
		put_figure(model, &figures[i], out);
	}
	buf_puts(out, "</section>\n");
}
