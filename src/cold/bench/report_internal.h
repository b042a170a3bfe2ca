/* The parts of the report. */
#pragma once

#include "cold/bench/model.h"

/* sentences.c: what matters on this machine, as list items. */
void report_sentences(const struct model *model, struct buf *out);
/* paper.c: the figures of IBM RC25482, ours beside them. */
void report_paper(const struct model *model, struct buf *out);
/* report.c: a speed as people say it: "21 % slower", "1.8 times as fast". */
const char *report_speed_text(double speed, char ret[MODEL_TEXT_MAX]);
