/*
 * The fetcher: a process of its own that talks to one registry, in a box that has the network and
 * no files (sandbox_fetcher()). Its master hands it requests with the descriptors to write to or
 * read from, and takes its answers for hostile. Distribution spec 1.1; Docker's token
 * authentication.
 *
 * It verifies nothing for its master but counts and hashes what it passes on: manifests and configs
 * the master hashes itself, a layer's content the decoder does (its diff_id).
 */
#pragma once

#include <stdint.h>

#include "cold/registry/registry.h"

#define FETCH_DIGEST_MAX 72
#define FETCH_PATH_MAX	 1024
#define FETCH_TYPE_MAX	 128
#define FETCH_DOCUMENT_MAX                                                                         \
	(4u << 20)	 /* bytes of a manifest: the distribution spec's own advice                \
			  */
#define FETCH_PARALLEL 4 /* transfers at once; the rest waits */

enum fetch_kind {
	FETCH_PING,	/* GET /v2/: is this a registry, are these credentials good */
	FETCH_DOCUMENT, /* GET path, at most FETCH_DOCUMENT_MAX bytes, any digest */
	FETCH_BLOB,	/* GET path: exactly @size bytes of @digest */
	FETCH_EXISTS,	/* HEAD path */
	FETCH_MOUNT,	/* POST path (…/blobs/uploads/?mount=…&from=…): answers 201 or 202 */
	FETCH_UPLOAD,	/* POST path, then PUT of @size bytes of @digest from file */
	FETCH_PUT,	/* PUT path of @size bytes of @type from file: a manifest */
	FETCH_DELETE	/* DELETE path */
};

struct fetch_request {
	uint32_t id; /* the master's own; comes back in the answer */
	uint32_t kind;
	uint64_t size;
	char digest[FETCH_DIGEST_MAX]; /* "" where it is not known */
	char path[FETCH_PATH_MAX];     /* "/v2/library/busybox/manifests/latest" */
	char scope[FETCH_PATH_MAX];    /* "repository:library/busybox:pull"; "": none */
	char type[FETCH_TYPE_MAX];     /* Content-Type of a PUT; "": accept every image document */
};

enum fetch_reply_type { FETCH_PROGRESS = 1, FETCH_DONE };

struct fetch_reply {
	uint32_t id, type;
	int32_t code;	/* negative errno, 0: fine */
	int32_t status; /* HTTP, 0: none came */
	uint64_t bytes; /* so far */
	char media_type[FETCH_TYPE_MAX];
	char digest[FETCH_DIGEST_MAX]; /* of what was received */
	char message[MASU_ERROR_MAX];
};

struct fetcher;

/* Starts the process. @registry stays the caller's until fetcher_close(). */
int fetcher_open(const struct registry *registry, struct fetcher **ret, struct masu_error *err);
/* Ends it, whatever it does. */
void fetcher_close(struct fetcher *fetcher);
static inline void fetcher_closep(struct fetcher **fetcher)
{
	if (*fetcher)
		fetcher_close(*fetcher);
}
#define _cleanup_fetcher_ __attribute__((cleanup(fetcher_closep)))

/*
 * Queues a request. @file: what a GET is written to, from the beginning, or a PUT is read from; -1:
 * none. @pipe: gets the same bytes as file while they come (a decoder's input), -1: none. Both are
 * duplicated.
 */
int fetcher_send(struct fetcher *fetcher, const struct fetch_request *request, int file, int pipe,
		 struct masu_error *err);
/* Waits for the next reply. The strings in it are terminated and free of control characters. */
int fetcher_receive(struct fetcher *fetcher, struct fetch_reply *ret, struct masu_error *err);

/* One request and its end: for small things. 0 with reply->code 0, or the failure. */
int fetcher_call(struct fetcher *fetcher, const struct fetch_request *request, int file,
		 struct fetch_reply *ret, struct masu_error *err);
