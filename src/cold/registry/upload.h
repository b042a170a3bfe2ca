/*
 * Sending: the steps of an UPLOAD, and the places other than the request's own that a registry may
 * name. A place at another host is used without credentials and client certificate. Private to the
 * fetcher.
 */
#pragma once

#include "cold/registry/transfer.h"

/* Whether the request sends something. */
static inline bool upload_sends(const struct transfer *t)
{
	return t->request.kind == FETCH_UPLOAD || t->request.kind == FETCH_PUT;
}

/* The URL of the next attempt, into t->url; its scope, into t->scope. */
int upload_address(struct transfer *t, const struct registry_endpoint *at);
/* Method, headers and body of the next attempt. */
int upload_prepare(struct transfer *t);

/*
 * What a complete answer means; true: *ret says it. False: it means what it means for every
 * request (401, 429, 5xx, a refusal).
 */
bool upload_judge(const struct session *session, struct transfer *t, long status,
		  struct fetch_reply *reply, enum transfer_next *ret);
/* A redirect that is followed here and not by libcurl; *reply where it is refused. */
enum transfer_next upload_redirected(struct transfer *t, long status, const char *base,
				     struct fetch_reply *reply);
/* After a cut: the step that finds out how much has come, or the first. */
void upload_retreat(struct transfer *t);
