/*
 * Asking a token server (distribution's token and oauth2 authentication specifications). A request
 * is one of the loop's own: the others go on meanwhile, and those that want the same wait for the
 * one that is under way. Private to the fetcher.
 */
#pragma once

#include "base/buf.h"
#include "cold/registry/transfer.h"

struct token_request {
	CURL *easy;
	bool running; /* the loop has it */
	unsigned endpoint;
	char scope[FETCH_PATH_MAX];
	struct challenge challenge;
	bool trusted; /* the credentials are sent */
	bool offline; /* a refresh token is wanted, for a login that lasts */
	struct buf answer;
	size_t headers; /* bytes */
	char reason[CURL_ERROR_SIZE];
	struct token_request *next;
};

/*
 * Gets what @t's challenge asks for: a token from the token server, or the decision for Basic. 0:
 * begin again; 1: when t->asks is answered; -EACCES with a message where there are no credentials
 * or they are refused.
 */
int token_ask(struct session *session, struct transfer *t, struct masu_error *err);
/* The request that @easy belongs to, NULL: none. */
struct token_request *token_find(const struct session *session, const CURL *easy);
/*
 * Its end: keeps the token, and a new refresh token. -EACCES: refused; -EAGAIN: worth another
 * attempt. The request stays until token_free().
 */
int token_end(struct session *session, struct token_request *request, CURLcode result,
	      struct masu_error *err);
void token_free(struct session *session, struct token_request *request);
void token_free_all(struct session *session);
