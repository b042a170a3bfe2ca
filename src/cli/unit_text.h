/* systemd's syntax, for what `masu generate` writes. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/*
 * Appends one word as systemd reads it, in quotes where it needs them: systemd.syntax(7), QUOTING.
 * In a command line (and in what becomes one) "$" has a meaning, too: systemd.service(5), COMMAND
 * LINES.
 */
void unit_word(struct buf *out, const char *word, bool command);

/* Whether @text can be the value of a setting that is not split into words. */
bool unit_value_plain(const char *text);
/* Appends such a value: only "%" and, for commands, "$" have a meaning in it. */
void unit_value(struct buf *out, const char *text, bool command);
