#include "cold/registry/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "base/trace.h"
#include "cold/registry/token.h"

#define PROGRESS_MS  100
#define CONNECTIONS  8L
#define WAIT_FDS_MAX (FETCH_PARALLEL + 1)
#define WAIT_LONG_MS 60000

struct loop {
	int socket;
	CURLM *multi;
	struct session session;
	struct transfer *waiting, **waiting_tail; /* not begun, in order */
	struct transfer *active[FETCH_PARALLEL];
	int64_t progress_ms; /* of the last report */
	bool hung_up;
};

/* ---- requests ---- */

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool is_valid(const struct fetch_request *request)
{
	return terminated(request->digest, sizeof(request->digest)) &&
	       terminated(request->path, sizeof(request->path)) &&
	       terminated(request->scope, sizeof(request->scope)) &&
	       terminated(request->type, sizeof(request->type)) &&
	       terminated(request->from, sizeof(request->from)) && request->path[0] == '/';
}

static void take_fds(struct msghdr *message, int fds[2])
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return;
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), (count < 2 ? count : 2) * sizeof(int));
}

/* The descriptors that come are those the request has, in the order file, pipe. */
static int receive(struct loop *loop)
{
	struct transfer *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec part = { &t->request, sizeof(t->request) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fds[2] = { -1, -1 };
	ssize_t n = recvmsg(loop->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n > 0)
		take_fds(&message, fds);
	t->file = fds[0];
	t->pipe = fds[1];
	if (n != sizeof(t->request) || !is_valid(&t->request)) {
		int r = n < 0 ? -errno : -EPIPE;
		transfer_free(t);
		return r;
	}
	t->mountable = t->request.from[0] != '\0';
	if (t->pipe >= 0)
		fcntl(t->pipe, F_SETFL, O_NONBLOCK | O_WRONLY);
	*loop->waiting_tail = t;
	loop->waiting_tail = &t->next;
	return 0;
}

/* ---- replies ---- */

static void reply(struct loop *loop, const struct fetch_reply *message)
{
	if (send(loop->socket, message, sizeof(*message), MSG_NOSIGNAL) < 0)
		loop->hung_up = true;
}

static void report_progress(struct loop *loop)
{
	int64_t now = clock_ms();
	if (now - loop->progress_ms < PROGRESS_MS)
		return;
	loop->progress_ms = now;
	for (size_t i = 0; i < FETCH_PARALLEL; i++) {
		struct transfer *t = loop->active[i];
		if (!t || t->bytes == t->reported)
			continue;
		const struct fetch_reply message = { .id = t->request.id,
						     .type = FETCH_PROGRESS,
						     .bytes = t->bytes };
		t->reported = t->bytes;
		reply(loop, &message);
	}
}

/* ---- transfers ---- */

static void finish(struct loop *loop, size_t slot, const struct fetch_reply *message)
{
	reply(loop, message);
	transfer_free(loop->active[slot]);
	loop->active[slot] = NULL;
}

static void begin(struct loop *loop, size_t slot)
{
	struct transfer *t = loop->active[slot];
	int r = transfer_begin(&loop->session, t);
	if (r == 0 && libcurl.multi_add_handle(loop->multi, t->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r == 0)
		return;
	struct fetch_reply failed = { .id = t->request.id, .type = FETCH_DONE, .code = r };
	str_format(failed.message, sizeof(failed.message), "%s", strerror(-r));
	finish(loop, slot, &failed);
}

/* Fills free places from the queue and begins what is due; the time until the next is. */
static int begin_due(struct loop *loop)
{
	int64_t now = clock_ms(), wait = WAIT_LONG_MS;
	for (size_t i = 0; i < FETCH_PARALLEL; i++) {
		struct transfer *t = loop->active[i];
		if (!t && loop->waiting) {
			t = loop->active[i] = loop->waiting;
			loop->waiting = t->next;
			if (!loop->waiting)
				loop->waiting_tail = &loop->waiting;
		}
		if (!t || t->easy || t->asks)
			continue;
		if (t->due_ms <= now)
			begin(loop, i);
		else if (t->due_ms - now < wait)
			wait = t->due_ms - now;
	}
	return (int)wait;
}

/* What waits for the token goes on, or fails with it. */
static void end_token(struct loop *loop, struct token_request *request, CURLcode result)
{
	struct fetch_reply message;
	struct masu_error err = { 0 };
	int r = token_end(&loop->session, request, result, &err);
	for (size_t i = 0; i < FETCH_PARALLEL; i++) {
		struct transfer *t = loop->active[i];
		if (t && t->asks == request &&
		    transfer_answered(&loop->session, t, r, &err, &message) == TRANSFER_DONE)
			finish(loop, i, &message);
	}
	if (request->running)
		libcurl.multi_remove_handle(loop->multi, request->easy);
	token_free(&loop->session, request);
}

/* Hands new token requests to libcurl. */
static void begin_tokens(struct loop *loop)
{
	struct token_request *next;
	for (struct token_request *request = loop->session.asking; request; request = next) {
		next = request->next;
		if (request->running)
			continue;
		request->running = libcurl.multi_add_handle(loop->multi, request->easy) == CURLM_OK;
		if (!request->running)
			end_token(loop, request, CURLE_OUT_OF_MEMORY);
	}
}

static void end_one(struct loop *loop, CURL *easy, CURLcode result)
{
	struct fetch_reply message;
	struct token_request *request = token_find(&loop->session, easy);
	if (request) {
		end_token(loop, request, result);
		return;
	}
	for (size_t i = 0; i < FETCH_PARALLEL; i++) {
		struct transfer *t = loop->active[i];
		if (!t || t->easy != easy)
			continue;
		libcurl.multi_remove_handle(loop->multi, easy);
		if (transfer_end(&loop->session, t, result, &message) != TRANSFER_DONE)
			continue;
		/* Its end is only told once the pipe has everything, too. */
		while (!transfer_flush(t)) {
			struct pollfd pipe = { .fd = t->pipe, .events = POLLOUT };
			poll(&pipe, 1, -1);
		}
		finish(loop, i, &message);
	}
}

/* Nothing has been sent or has come yet. */
static bool again_with_bundle(struct loop *loop, CURL *easy, CURLcode result)
{
	if (result != CURLE_PEER_FAILED_VERIFICATION || !session_believe_more(&loop->session, easy))
		return false;
	libcurl.multi_remove_handle(loop->multi, easy);
	return libcurl.multi_add_handle(loop->multi, easy) == CURLM_OK;
}

static bool end_done(struct loop *loop)
{
	int left;
	bool any = false;
	CURLMsg *message;
	while ((message = libcurl.multi_info_read(loop->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		if (again_with_bundle(loop, message->easy_handle, message->data.result))
			return true;
		end_one(loop, message->easy_handle, message->data.result);
		any = true;
	}
	return any;
}

static void flush_paused(struct loop *loop)
{
	for (size_t i = 0; i < FETCH_PARALLEL; i++)
		if (loop->active[i] && loop->active[i]->pending_len)
			transfer_flush(loop->active[i]);
}

static void wait_for_something(struct loop *loop, int timeout)
{
	struct curl_waitfd fds[WAIT_FDS_MAX] = { { .fd = loop->socket,
						   .events = CURL_WAIT_POLLIN } };
	unsigned count = 1;
	for (size_t i = 0; i < FETCH_PARALLEL; i++)
		if (loop->active[i] && loop->active[i]->pending_len)
			fds[count++] = (struct curl_waitfd) { .fd = loop->active[i]->pipe,
							      .events = CURL_WAIT_POLLOUT };
	libcurl.multi_poll(loop->multi, fds, count, timeout, NULL);
}

int fetch_loop(int socket, const struct registry *registry)
{
	struct loop loop = { .socket = socket, .session = { .registry = registry } };
	int running = 0;
	loop.waiting_tail = &loop.waiting;
	if (libcurl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && !fault_allocation())
		loop.multi = libcurl.multi_init();
	if (!loop.multi)
		return -ENOMEM;
	trace_mark("ready");
	libcurl.multi_setopt(loop.multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS);
	while (!loop.hung_up) {
		int r;
		while ((r = receive(&loop)) == 0)
			;
		if (r != -EAGAIN && r != -EINTR)
			break;
		int timeout = begin_due(&loop);
		begin_tokens(&loop);
		libcurl.multi_perform(loop.multi, &running);
		report_progress(&loop);
		if (end_done(&loop))
			continue;
		flush_paused(&loop);
		wait_for_something(&loop, timeout);
	}
	return 0;
}
