/* The layers of a pull: fetched, verified, decompressed and unpacked at once, several at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "cold/image/flusher.h"
#include "cold/image/pull.h"
#include "image/store.h"
#include "sys/fs.h"

#define DOWNLOADS    IMAGES_DIR "/" IMAGES_PRIVATE "/downloads"
#define PIPE_SIZE    (1 << 20)
#define PATH_SIZE    128
#define SHA256_CHARS (sizeof("sha256:") - 1)

/* ---- one download of a blob at a time on this machine ---- */

static int download_path(const char *digest, char ret[PATH_SIZE])
{
	return str_format(ret, PATH_SIZE, DOWNLOADS "/%s", digest + SHA256_CHARS);
}

/* Waits until nobody else fetches this blob. */
static int lock_download(int root_fd, const char *digest, int *ret_fd)
{
	char path[PATH_SIZE];
	struct stat opened, named;
	int r = download_path(digest, path);
	while (r == 0) {
		_cleanup_close_ int fd = openat(root_fd, path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &opened) < 0)
			return -errno;
		/* Whoever had it takes the file away when it is done. */
		if (fstatat(root_fd, path, &named, 0) == 0 && named.st_ino == opened.st_ino) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
	}
	return r;
}

void pull_unlock(struct pull *pull)
{
	char path[PATH_SIZE];
	for (size_t i = 0; i < pull->layer_count; i++) {
		struct pull_layer *layer = &pull->layers[i];
		if (layer->lock_fd >= 0 && download_path(layer->blob.digest, path) == 0)
			unlinkat(pull->builder->root_fd, path, 0);
		cleanup_close(&layer->lock_fd);
	}
}

static int stored_path(const char *digest, char ret[PATH_SIZE])
{
	return str_format(ret, PATH_SIZE, IMAGES_DIR "/" IMAGES_BLOBS "/%s", digest + SHA256_CHARS);
}

static bool blob_is_stored(const struct pull *pull, const char *digest)
{
	char path[PATH_SIZE];
	return !pull->distrust && stored_path(digest, path) == 0 &&
	       faccessat(pull->builder->root_fd, path, F_OK, 0) == 0;
}

static int by_digest(const void *a, const void *b)
{
	const struct pull_layer *const *left = a, *const *right = b;
	int order = strcmp((*left)->blob.digest, (*right)->blob.digest);
	return order ? order : *left < *right ? -1 : 1;
}

/*
 * Locks what is to be fetched, in one order everywhere, so that pulls that share layers wait for
 * each other and never in a circle. What another pull has brought meanwhile is then in the store.
 */
static int lock_downloads(struct pull *pull, struct masu_error *err)
{
	struct pull_layer **sorted =
		arena_array(pull->arena, struct pull_layer *, pull->layer_count + 1);
	int root_fd = pull->builder->root_fd;
	if (!sorted)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < pull->layer_count; i++)
		sorted[i] = &pull->layers[i];
	qsort(sorted, pull->layer_count, sizeof(*sorted), by_digest);
	int r = fs_mkdirs(root_fd, DOWNLOADS, 0700);
	for (size_t i = 0; i < pull->layer_count && r == 0; i++) {
		const char *digest = sorted[i]->blob.digest;
		bool again = i > 0 && streq(sorted[i - 1]->blob.digest, digest);
		if (!again && !blob_is_stored(pull, digest))
			r = lock_download(root_fd, digest, &sorted[i]->lock_fd);
	}
	return r < 0 ? error_errno(err, r, "images: downloads") : 0;
}

/* ---- one layer ---- */

struct flow {
	struct pull *pull;
	struct built_image *image;
	struct flusher *flusher;
	uint64_t bytes; /* that have come, of all layers */
	size_t begun, ended;
	unsigned in_flight;
};

static int begin_stored(struct flow *flow, size_t i, struct masu_error *err)
{
	char path[PATH_SIZE];
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	stored_path(layer->blob.digest, path);
	_cleanup_close_ int fd = openat(pull->builder->root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "%s", path);
	layer->stored = true;
	int r = image_layer_begin(pull->builder, flow->image->layers, i, pull->diff_ids[i], fd,
				  layer, err);
	if (r == 0)
		pull->layers[i].phase = layer->unpacking ? PULL_UNPACKING : PULL_EXISTS;
	return r;
}

static int request_blob(struct flow *flow, size_t i, int file, int pipe, struct masu_error *err)
{
	struct pull *pull = flow->pull;
	const struct remote_blob *blob = &pull->layers[i].blob;
	struct fetch_request request = { .id = (uint32_t)i,
					 .kind = FETCH_BLOB,
					 .size = blob->size };
	str_format(request.digest, sizeof(request.digest), "%s", blob->digest);
	str_format(request.path, sizeof(request.path), "/v2/%s/blobs/%s", pull->reference.path,
		   blob->digest);
	str_format(request.scope, sizeof(request.scope), "repository:%s:pull",
		   pull->reference.path);
	int r = fetcher_send(pull->fetcher, &request, file, pipe, err);
	if (r == 0) {
		pull->layers[i].phase = PULL_FETCHING;
		flow->in_flight++;
	}
	return r;
}

static int begin_fetched(struct flow *flow, size_t i, struct masu_error *err)
{
	int ends[2];
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	_cleanup_close_ int file = staging_create(&pull->builder->staging, &layer->blob, err);
	if (file < 0)
		return file;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "pipe");
	_cleanup_close_ int reader = ends[0], writer = ends[1];
	fcntl(writer, F_SETPIPE_SZ, PIPE_SIZE); /* only speed */
	int r = image_layer_begin(pull->builder, flow->image->layers, i, pull->diff_ids[i], reader,
				  layer, err);
	/* Where the layer's files are there and only its blob is not, nobody reads the pipe. */
	if (r == 0)
		r = request_blob(flow, i, file, layer->unpacking ? writer : -1, err);
	return r;
}

/* The same blob twice in one image is fetched once. */
static bool is_repeated(const struct pull *pull, size_t i, size_t *ret_first)
{
	for (size_t k = 0; k < i; k++) {
		if (!streq(pull->layers[k].blob.digest, pull->layers[i].blob.digest))
			continue;
		*ret_first = k;
		return true;
	}
	return false;
}

static int begin_layer(struct flow *flow, size_t i, struct masu_error *err)
{
	size_t first;
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	const struct remote_blob *blob = &pull->layers[i].blob;
	layer->blob.size = blob->size;
	str_format(layer->blob.digest, sizeof(layer->blob.digest), "%s", blob->digest);
	layer->media_type = blob->media_type;
	if (is_repeated(pull, i, &first))
		return 0; /* when the first one is there: end_layer() */
	int r = blob_is_stored(pull, blob->digest) ? begin_stored(flow, i, err)
						   : begin_fetched(flow, i, err);
	progress_change(&pull->progress, i);
	return r;
}

/* From its blob, which is in staging. */
static int build_staged(struct flow *flow, size_t i, struct masu_error *err)
{
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	int r = image_blob_media_type(pull->builder, &layer->blob, &layer->media_type, err);
	if (r == 0 && !layer->media_type)
		layer->media_type = "";
	return r < 0 ? r
		     : image_build_layer(pull->builder, flow->image->layers, i, pull->diff_ids[i],
					 layer, err);
}

/* What is being unpacked; where that is too much for an index, once more as a directory. */
static int end_unpacking(struct flow *flow, size_t i, struct masu_error *err)
{
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	int r = image_layer_end(pull->builder, flow->image->layers, i, pull->diff_ids[i], layer,
				err);
	if (!image_layer_falls_back(pull->builder, layer, r))
		return r;
	if (!layer->stored)
		return build_staged(flow, i, err);
	r = begin_stored(flow, i, err);
	return r < 0 ? r : end_unpacking(flow, i, err);
}

/* A repeated layer is unpacked from the file that the first one left. */
static int end_repeated(struct flow *flow, size_t i, size_t first, struct masu_error *err)
{
	struct built_layer *layer = &flow->image->layers[i];
	layer->blob = flow->image->layers[first].blob;
	layer->stored = flow->image->layers[first].stored;
	if (layer->stored) {
		int r = begin_stored(flow, i, err);
		return r < 0 ? r : end_unpacking(flow, i, err);
	}
	return build_staged(flow, i, err);
}

static int end_layer(struct flow *flow, size_t i, struct masu_error *err)
{
	size_t first;
	int r = 0;
	struct pull *pull = flow->pull;
	struct built_layer *layer = &flow->image->layers[i];
	if (is_repeated(pull, i, &first)) {
		r = end_repeated(flow, i, first, err);
	} else if (pull->layers[i].refetched) {
		image_layer_abort(pull->builder, layer);
		r = build_staged(flow, i, err);
	} else if (layer->unpacking) {
		r = end_unpacking(flow, i, err);
	} else if (!layer->stored) {
		/* Files that were there already: what has come must be what they are made of. */
		r = build_staged(flow, i, err);
	}
	if (r == -EBADMSG && layer->stored && !pull->distrust) {
		pull->distrust = true; /* the store's copy is damaged: get another */
		return -EAGAIN;
	}
	if (r < 0)
		return error_wrap(err, "layer %.19s", pull->layers[i].blob.digest);
	if (pull->layers[i].phase != PULL_EXISTS)
		pull->layers[i].phase = PULL_COMPLETE;
	progress_change(&pull->progress, i);
	return 0;
}

/* ---- all of them ---- */

static int take_reply(struct flow *flow, struct masu_error *err)
{
	struct fetch_reply reply;
	struct pull *pull = flow->pull;
	int r = fetcher_receive(pull->fetcher, &reply, err);
	if (r < 0)
		return r;
	if (reply.id >= flow->begun)
		return error_set(err, -EPROTO, "the fetcher sends nonsense");
	struct pull_layer *layer = &pull->layers[reply.id];
	if (reply.bytes > layer->bytes)
		flow->bytes += reply.bytes - layer->bytes;
	flusher_tell(flow->flusher, flow->bytes);
	layer->bytes = reply.bytes;
	if (reply.type == FETCH_DONE) {
		if (reply.code < 0)
			return error_set(err, reply.code, "%s", reply.message);
		flow->in_flight--;
		layer->refetched = reply.restarted;
		layer->phase = PULL_UNPACKING;
		trace_mark("layer fetched");
	}
	progress_change(&pull->progress, reply.id);
	return 0;
}

static bool is_fetched(const struct pull *pull, size_t i)
{
	return pull->layers[i].phase != PULL_FETCHING;
}

static int flow_run(struct flow *flow, struct masu_error *err)
{
	const size_t count = flow->pull->layer_count;
	int r = 0;
	while (flow->ended < count && r == 0) {
		while (flow->begun < count && flow->in_flight < FETCH_PARALLEL && r == 0)
			r = begin_layer(flow, flow->begun++, err);
		if (r == 0 && flow->ended < flow->begun && is_fetched(flow->pull, flow->ended)) {
			r = end_layer(flow, flow->ended++, err);
			trace_mark("layer unpacked");
		} else if (r == 0 && flow->in_flight > 0)
			r = take_reply(flow, err);
	}
	return r;
}

int pull_layers(struct pull *pull, struct built_image *image, struct masu_error *err)
{
	struct flow flow = { .pull = pull, .image = image };
	for (size_t i = 0; i < pull->layer_count; i++) {
		pull->layers[i].lock_fd = -1;
		image->layers[i].lock_fd = -1;
	}
	int r = lock_downloads(pull, err);
	if (r < 0)
		return r;
	trace_mark("downloads locked");
	_cleanup_flusher_ struct flusher *flusher = flusher_start(pull->builder->root_fd);
	flow.flusher = flusher;
	return flow_run(&flow, err);
}
