/*
 * libcurl, loaded by the fetcher's process alone: with the thirty libraries that Debian links it
 * with it takes longer to load than masu-image takes for everything else, and the master works
 * meanwhile. What sends or fetches nothing never loads it.
 */
#pragma once

#include <curl/curl.h>

#include "base/error.h"

/* Its functions by their names, without "curl_"; those of libcurl_load(). */
extern struct libcurl {
	__typeof__(curl_easy_cleanup) *easy_cleanup;
	__typeof__(curl_easy_escape) *easy_escape;
	__typeof__(curl_easy_getinfo) *easy_getinfo;
	__typeof__(curl_easy_init) *easy_init;
	__typeof__(curl_easy_pause) *easy_pause;
	__typeof__(curl_easy_setopt) *easy_setopt;
	__typeof__(curl_easy_strerror) *easy_strerror;
	__typeof__(curl_free) *free;
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_multi_add_handle) *multi_add_handle;
	__typeof__(curl_multi_info_read) *multi_info_read;
	__typeof__(curl_multi_init) *multi_init;
	__typeof__(curl_multi_perform) *multi_perform;
	__typeof__(curl_multi_poll) *multi_poll;
	__typeof__(curl_multi_remove_handle) *multi_remove_handle;
	__typeof__(curl_multi_setopt) *multi_setopt;
	__typeof__(curl_slist_append) *slist_append;
	__typeof__(curl_slist_free_all) *slist_free_all;
	__typeof__(curl_url) *url;
	__typeof__(curl_url_cleanup) *url_cleanup;
	__typeof__(curl_url_get) *url_get;
	__typeof__(curl_url_set) *url_set;
	__typeof__(curl_version_info) *version_info;
} libcurl;

/* Before anything above; opens files, so before the box is closed. -ENOPKG: it is not there. */
int libcurl_load(struct masu_error *err);
