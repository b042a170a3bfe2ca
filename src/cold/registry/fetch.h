/*
 * The fetcher: a process of its own that talks to one registry, in a box that has the network and
 * no files (sandbox_fetcher()). Its master hands it requests with the descriptors to write to or
 * read from, and takes its answers for hostile. Distribution spec 1.1; Docker's token
 * authentication.
 *
 * It verifies nothing for its master but counts and hashes what it passes on: manifests and configs
 * the master hashes itself, a layer's content the decoder does (its diff_id).
 *
 * Reading goes to mirrors first; who writes leaves them out (registry_drop_mirrors()). An UPLOAD
 * asks first (HEAD), mounts where it may, sends the blob in one PUT, and after a cut asks how much
 * has come and sends the rest; where the registry does not know, or refuses a body of that size, it
 * begins again or goes on in parts.
 */
#pragma once

#include <stdbool.h>
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
	/* GET /v2/: is this a registry, are these credentials good. With a file it is a login's: a
	 * refresh token that the token server gives for the password is written there. */
	FETCH_PING,
	/* GET path, at most FETCH_DOCUMENT_MAX bytes; a mirror that sends another than @digest is
	 * passed over, which of the last one is for the caller to see */
	FETCH_DOCUMENT,
	FETCH_BLOB,   /* GET path: exactly @size bytes of @digest */
	FETCH_EXISTS, /* HEAD path: status 404 is an answer too, code 0 */
	/* @size bytes of @digest from file to the blob's path, however that takes; without a file
	 * only what takes no sending */
	FETCH_UPLOAD,
	FETCH_PUT /* PUT path of @size bytes of @type from file: a manifest */
};

struct fetch_request {
	uint32_t id; /* the master's own; comes back in the answer */
	uint32_t kind;
	uint64_t size;
	char digest[FETCH_DIGEST_MAX]; /* "" where it is not known */
	char path[FETCH_PATH_MAX];     /* "/v2/library/busybox/manifests/latest" */
	char scope[FETCH_PATH_MAX];    /* "repository:library/busybox:pull"; "": none */
	/* Content-Type of a PUT, Accept of a DOCUMENT; "": accept every image document */
	char type[FETCH_TYPE_MAX];
	/* UPLOAD: another repository of the registry that may have the blob; "": none */
	char from[FETCH_PATH_MAX / 4];
};

enum fetch_reply_type { FETCH_PROGRESS = 1, FETCH_DONE };

enum fetch_upload { /* how an UPLOAD ended */
		    FETCH_UPLOADED,
		    FETCH_PRESENT, /* the repository had it, nothing was sent */
		    FETCH_MOUNTED  /* the registry took it from @from, nothing was sent */
};

struct fetch_reply {
	uint32_t id, type;
	int32_t code;	 /* negative errno, 0: fine */
	int32_t status;	 /* HTTP, 0: none came */
	uint32_t upload; /* enum fetch_upload */
	/* A mirror sent something else first: it went into the pipe, which was closed, and the file
	 * has what was asked for. */
	bool restarted;
	bool subject;	/* PUT: the registry lists the manifest as its subject's referrer */
	uint64_t bytes; /* so far; EXISTS: Content-Length */
	char media_type[FETCH_TYPE_MAX];
	char digest[FETCH_DIGEST_MAX]; /* of what was received; EXISTS: what the registry says */
	char link[FETCH_PATH_MAX]; /* DOCUMENT: path of the list's next page; "": it is the last;
				      without "/": elsewhere */
	char message[MASU_ERROR_MAX];
};

/*
 * Fills a request for /v2/@repository/@collection/@name ("manifests", "blobs", "referrers";
 * "tags" and "list"), with the scope for reading or, with @push, for both. -ENAMETOOLONG.
 */
int fetch_request_init(struct fetch_request *ret, enum fetch_kind kind, const char *repository,
		       const char *collection, const char *name, bool push);

struct fetcher;

/*
 * Starts the process, which loads its libraries while the caller goes on: early is good. @registry
 * stays the caller's until fetcher_close().
 */
int fetcher_open(const struct registry *registry, struct fetcher **ret, struct masu_error *err);
/* Nothing more will be asked: it ends, whatever it does, while the caller goes on. */
void fetcher_stop(struct fetcher *fetcher);
/* The same, and waits for its end. */
void fetcher_close(struct fetcher *fetcher);
static inline void fetcher_closep(struct fetcher **fetcher)
{
	if (*fetcher)
		fetcher_close(*fetcher);
}
#define _cleanup_fetcher_ __attribute__((cleanup(fetcher_closep)))

/*
 * Queues a request. @file: what a GET is written to, or an UPLOAD or PUT is read from, from the
 * beginning; -1: none. @pipe: gets the same bytes as file while they come (a decoder's input), -1:
 * none. Both are duplicated.
 */
int fetcher_send(struct fetcher *fetcher, const struct fetch_request *request, int file, int pipe,
		 struct masu_error *err);
/* Waits for the next reply. The strings in it are terminated and free of control characters. */
int fetcher_receive(struct fetcher *fetcher, struct fetch_reply *ret, struct masu_error *err);

/* One request and its end: for small things. 0 with reply->code 0, or the failure. */
int fetcher_call(struct fetcher *fetcher, const struct fetch_request *request, int file,
		 struct fetch_reply *ret, struct masu_error *err);
