/* What an attempt's end means: done, failed and why, or again. Private to the fetcher. */
#pragma once

#include "cold/registry/transfer.h"

/* As transfer_end(). @status 0: no answer came. */
enum transfer_next answer_judge(struct session *session, struct transfer *t, CURLcode result,
				long status, struct fetch_reply *reply);

/* TRANSFER_DONE with the failure. */
enum transfer_next answer_fail(struct fetch_reply *reply, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
