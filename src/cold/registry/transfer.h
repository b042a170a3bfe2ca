/*
 * One request in the fetcher's process, through all its attempts: endpoints in turn, a token where
 * one is asked for, again after a cut (from where it was cut) or a 429. Private to the fetcher.
 */
#pragma once

#include "cold/image/staging.h"
#include "cold/registry/challenge.h"
#include "cold/registry/fetch.h"
#include "cold/registry/libcurl.h"

#define TRANSFER_BODY_MAX    8192  /* of an error's body, for its message */
#define TRANSFER_PENDING_MAX 65536 /* libcurl hands over 16 KiB at once */
#define TRANSFER_URL_MAX     4096

struct session;

/* An UPLOAD's way (distribution spec, "Pushing blobs"); upload.c. */
enum upload_step {
	UPLOAD_CHECK, /* HEAD: is it there */
	UPLOAD_START, /* POST: a place to send it to, or a mount */
	UPLOAD_WHOLE, /* PUT of all of it */
	UPLOAD_ASK,   /* GET of the place: how much has come */
	UPLOAD_PART,  /* PATCH of what comes next */
	UPLOAD_CLOSE  /* PUT of nothing: that was all */
};

struct transfer {
	struct fetch_request request;
	int file, pipe; /* -1: none */
	CURL *easy;	/* while it runs */
	struct curl_slist *headers;
	unsigned endpoint, attempt; /* attempts at this endpoint */
	unsigned answered;	    /* challenges in a row that were answered */
	long retry_after_ms;	    /* the server's wish, 0: none */
	int64_t due_ms;		    /* when the next attempt begins; 0: now */
	/* What has come. */
	uint64_t bytes;	   /* of the wanted content, over all attempts */
	uint64_t begun_at; /* bytes when this attempt began */
	uint64_t skip;	   /* bytes to drop: the server ignored Range */
	bool ranged;	   /* this attempt asked for the rest only */
	uint64_t reported; /* bytes in the last FETCH_PROGRESS */
	struct hasher *hasher;
	char pending[TRANSFER_PENDING_MAX]; /* for the pipe, which is full */
	size_t pending_len, pending_at;
	bool paused, pipe_gone;
	bool mirrored;	/* the beginning of it came from a mirror that was left */
	bool restarted; /* something else went into the pipe */
	/* The answer. */
	char media_type[FETCH_TYPE_MAX];
	char challenge[CHALLENGE_VALUE_MAX * 2];
	char location[TRANSFER_URL_MAX / 2];
	char range[64], digest[FETCH_DIGEST_MAX], least_part[24];
	char link[FETCH_PATH_MAX + 64];
	bool subject;
	uint64_t length;	      /* Content-Length */
	char reason[CURL_ERROR_SIZE]; /* why there is none, libcurl's words */
	long proxy_status;	      /* to CONNECT; 0: no proxy was asked */
	char body[TRANSFER_BODY_MAX];
	size_t body_len, unwanted; /* bytes of headers and of a body that is no content */
	int failure;		   /* of writing what came, negative errno */
	/* What is sent. */
	char path[FETCH_PATH_MAX];     /* of the request, as this endpoint calls it */
	char url[TRANSFER_URL_MAX];    /* of this attempt */
	char target[TRANSFER_URL_MAX]; /* where the registry wants it; "": the path */
	bool foreign;		       /* the target is another host's: no credentials */
	bool mountable;		       /* request.from is worth a try */
	bool sent;		       /* something of the blob has gone out */
	unsigned redirects;
	char scope[FETCH_PATH_MAX]; /* of this attempt */
	unsigned token;		    /* the token's number that this attempt has, 0: none */
	struct token_request *asks; /* whose answer is waited for; NULL: none */
	enum upload_step step;
	uint64_t part;		  /* bytes at once, 0: all that is left */
	uint64_t end;		  /* where this attempt stops */
	uint64_t confirmed, best; /* bytes that have come, by the registry's word; the most ever */
	struct transfer *next;
};

enum transfer_next {
	TRANSFER_DONE,	/* reply is final */
	TRANSFER_AGAIN, /* begin again, at due_ms */
	TRANSFER_ASKS	/* when asks is answered: transfer_answered() */
};

/* Makes the easy handle of the next attempt. 0 or -errno. */
int transfer_begin(struct session *session, struct transfer *t);
/* What follows from the end of an attempt; fills *reply for TRANSFER_DONE. */
enum transfer_next transfer_end(struct session *session, struct transfer *t, CURLcode result,
				struct fetch_reply *reply);
/* What follows from the answer to t->asks: @code and @err are token_end()'s. */
enum transfer_next transfer_answered(struct session *session, struct transfer *t, int code,
				     const struct masu_error *err, struct fetch_reply *reply);
/* Gives the pipe what waits for it; unpauses. False: there is still something. */
bool transfer_flush(struct transfer *t);
/* What came is not what it should be: it is forgotten, and the pipe gets no more. 0 or -errno. */
int transfer_restart(struct transfer *t);
void transfer_free(struct transfer *t);

/* ---- session.c: what the fetcher knows of its registry ---- */

#define SESSION_TOKENS_MAX 16
#define SESSION_BASIC	   UINT32_MAX /* in place of a token's number: what is known */

struct session {
	const struct registry *registry;
	struct session_token {
		char scope[FETCH_PATH_MAX];
		unsigned endpoint;
		char *token; /* NULL: slot is free */
		int64_t expires_ms;
		unsigned number; /* never used twice */
	} tokens[SESSION_TOKENS_MAX];
	unsigned numbers;
	bool basic[REGISTRY_ENDPOINTS_MAX]; /* the endpoint asked for what is sent as it is known */
	bool gone[REGISTRY_ENDPOINTS_MAX];  /* nobody answered there */
	/* Refresh tokens that the endpoint's token server gave; NULL: none. */
	char *refresh[REGISTRY_ENDPOINTS_MAX];
	struct token_request *asking; /* under way */
};

/* Options that every request to @endpoint has. @url is copied. */
void session_prepare(CURL *easy, const struct registry_endpoint *endpoint, const char *url);
/*
 * For a request whose server could not be verified: whether it is worth another try, with all the
 * system's authorities, which the request then has, and every later one.
 */
bool session_believe_more(const struct session *session, CURL *easy);
/*
 * Puts the credentials that @endpoint wants for @scope on the request. The number of the token that
 * it got, or SESSION_BASIC; 0: none.
 */
unsigned session_authorize(struct session *session, CURL *easy, unsigned endpoint,
			   const char *scope);
/* What the next request would get. */
unsigned session_token(struct session *session, unsigned endpoint, const char *scope);
/* Keeps a token that is good for @life_s seconds. */
void session_keep(struct session *session, unsigned endpoint, const char *scope, const char *text,
		  int64_t life_s);
void session_free(struct session *session);
