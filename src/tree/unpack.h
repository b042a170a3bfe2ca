/* A tar archive as the source of a tree. */
#pragma once

#include "tree/tree.h"

/*
 * Tells @sink every entry of the uncompressed tar that @fd reads, up to its end: names are made
 * clean, those with ".." refused. Compressed data is refused by name. Calls sink->finish().
 */
int tree_unpack(int fd, struct tree_sink *sink, struct masu_error *err);
