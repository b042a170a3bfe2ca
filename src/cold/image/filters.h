/*
 * libarchive's filters xz, bzip2, lzma and lz4, loaded when a stream needs one: with what it brings
 * along (libxml2, ICU, the C++ runtime) it takes longer to load than a pull of an image that is
 * there has time for.
 */
#pragma once

#include <archive.h>

#include "base/error.h"

struct filters {
	__typeof__(archive_read_new) *read_new;
	__typeof__(archive_read_free) *read_free;
	__typeof__(archive_read_support_filter_xz) *xz;
	__typeof__(archive_read_support_filter_lzma) *lzma;
	__typeof__(archive_read_support_filter_bzip2) *bzip2;
	__typeof__(archive_read_support_filter_lz4) *lz4;
	__typeof__(archive_read_support_format_raw) *raw;
	__typeof__(archive_read_open) *open;
	__typeof__(archive_read_next_header) *next_header;
	__typeof__(archive_read_data_block) *data_block;
	__typeof__(archive_error_string) *error_string;
	__typeof__(archive_set_error) *set_error;
};

/* The same ones each time; opens files the first time, so not for a box. */
int filters_load(const struct filters **ret, struct masu_error *err);
