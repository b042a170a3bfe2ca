/*
 * Archives for the targets that unpack. The input is not the archive but a list of entries in few
 * bytes each, over few names, so that most inputs are archives whose entries meet: links to what
 * lies outside, files below links, directories over files, whiteouts over everything.
 */
#pragma once

#include "base/buf.h"

/* @outside: an absolute path that names and links may have. */
void archive_from_input(const uint8_t *data, size_t size, const char *outside, struct buf *ret);
