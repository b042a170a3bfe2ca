/* The blobs of a push: asked for, mounted or sent, several at once. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/push.h"

static int open_blob(const struct push *push, struct push_blob *blob, struct masu_error *err)
{
	char path[128];
	struct stat st;
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s",
			   blob->digest + strlen("sha256:"));
	if (r < 0)
		return error_errno(err, r, "%s", blob->digest);
	blob->fd = openat(push->images_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (blob->fd < 0 || fstat(blob->fd, &st) < 0)
		return error_errno(err, -errno, "images/%s", path);
	if ((uint64_t)st.st_size != blob->size)
		return error_set(err, -EBADMSG,
				 "images/%s: damaged, it has %llu bytes instead of %llu; load or "
				 "pull the image again",
				 path, (unsigned long long)st.st_size,
				 (unsigned long long)blob->size);
	return 0;
}

static int send_blob(struct push *push, size_t i, struct masu_error *err)
{
	struct fetch_request request;
	struct push_blob *blob = &push->blobs[i];
	int r = fetch_request_init(&request, FETCH_UPLOAD, push->remote.reference.path, "blobs",
				   blob->digest, true);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", blob->digest);
	if (r == 0 && blob->from)
		r = str_format(request.from, sizeof(request.from), "%s", blob->from);
	if (r < 0)
		return error_errno(err, r, "%s", push->remote.reference.path);
	request.id = (uint32_t)i;
	request.size = blob->size;
	return fetcher_send(push->remote.fetcher, &request, blob->fd, -1, err);
}

static int blob_done(struct push *push, struct push_blob *blob, const struct fetch_reply *reply,
		     struct masu_error *err)
{
	if (reply->code < 0)
		return error_set(err, reply->code, "%s", reply->message);
	blob->phase = reply->upload == FETCH_PRESENT   ? PUSH_PRESENT
		      : reply->upload == FETCH_MOUNTED ? PUSH_MOUNTED
						       : PUSH_SENT;
	blob->bytes = blob->size;
	cleanup_close(&blob->fd);
	return 0;
}

static int take_reply(struct push *push, size_t *left, struct masu_error *err)
{
	struct fetch_reply reply;
	int r = fetcher_receive(push->remote.fetcher, &reply, err);
	if (r < 0)
		return r;
	/* One without a request is the fetcher's own failure. */
	if (reply.code < 0 && reply.id >= push->count)
		return error_set(err, reply.code, "%s", reply.message);
	if (reply.id >= push->count || push->blobs[reply.id].phase > PUSH_SENDING)
		return error_set(err, -EPROTO, "the fetcher sends nonsense");
	struct push_blob *blob = &push->blobs[reply.id];
	blob->bytes = reply.bytes;
	blob->phase = PUSH_SENDING;
	if (reply.type == FETCH_DONE) {
		r = blob_done(push, blob, &reply, err);
		(*left)--;
	}
	if (r == 0 && reply.id < push->shown)
		progress_change(&push->progress, reply.id);
	return r;
}

int push_blobs(struct push *push, struct masu_error *err)
{
	size_t left = push->count, sent = 0;
	int r = 0;
	for (size_t i = 0; i < push->count; i++)
		push->blobs[i].fd = -1;
	for (size_t i = 0; i < push->count && r == 0; i++)
		r = open_blob(push, &push->blobs[i], err);
	/* The fetcher's socket holds a few requests; more would wait for each other. */
	while (left > 0 && r == 0) {
		if (sent < push->count && sent - (push->count - left) < FETCH_PARALLEL)
			r = send_blob(push, sent++, err);
		else
			r = take_reply(push, &left, err);
	}
	for (size_t i = 0; i < push->count; i++)
		cleanup_close(&push->blobs[i].fd);
	return r;
}
