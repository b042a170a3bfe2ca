/*
 * `masu volume push`: what is in a volume, cut into chunks, to a registry. The volume stands still
 * only while it is read into staging; chunks that the repository has are not sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "cli/session.h"
#include "cli/volume_registry.h"
#include "cold/image/chunk.h"
#include "cold/image/unpack.h"
#include "cold/image/verbs.h"
#include "cold/image/volume_artifact.h"
#include "cold/image/volume_limit.h"
#include "engine/events.h"
#include "engine/volume_users.h"
#include "image/store.h"
#include "storage/usage.h"
#include "sys/fs.h"
#include "volume/snapshot.h"

struct pushing {
	struct engine engine;
	struct arena *arena;
	const char *from; /* "VOLUME[@SNAPSHOT]" */
	struct volume volume;
	struct staging staging;
	struct volume_artifact artifact;
	struct staged_blob *blobs; /* of the chunks */
	size_t capacity;
	char tar[DIGEST_MAX];
	uint64_t bytes;
	size_t sent;
	uint64_t sent_bytes;
};

/* ---- into staging ---- */

static int tell_files(void *data, int out, struct masu_error *err)
{
	struct pushing *p = data;
	return volume_export_sorted(p->engine.root_fd, p->engine.root, p->arena, p->from, out, err);
}

static int grow(struct pushing *p)
{
	size_t capacity = p->capacity ? p->capacity * 2 : 64;
	struct volume_chunk *chunks = arena_array(p->arena, struct volume_chunk, capacity);
	struct staged_blob *blobs = arena_array(p->arena, struct staged_blob, capacity);
	if (!chunks || !blobs)
		return -ENOMEM;
	if (p->artifact.count) {
		memcpy(chunks, p->artifact.chunks, p->artifact.count * sizeof(*chunks));
		memcpy(blobs, p->blobs, p->artifact.count * sizeof(*blobs));
	}
	p->artifact.chunks = chunks;
	p->blobs = blobs;
	p->capacity = capacity;
	return 0;
}

static int store(struct pushing *p, const void *data, size_t len, struct masu_error *err)
{
	struct hasher *hasher;
	struct staged_blob blob = { .size = len };
	if (p->artifact.count == VOLUME_CHUNKS_MAX)
		return error_set(err, -EFBIG,
				 "volume %s: more than %d chunks, which no manifest has room for",
				 p->from, VOLUME_CHUNKS_MAX);
	if ((p->artifact.count == p->capacity && grow(p) < 0) || hasher_new(&hasher) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	hasher_update(hasher, data, len);
	int r = hasher_finish(hasher, blob.digest);
	if (r < 0)
		return error_errno(err, r, "SHA-256");
	_cleanup_close_ int fd = staging_create(&p->staging, &blob, err);
	if (fd < 0)
		return fd;
	r = fs_write_all(fd, data, len);
	if (r < 0)
		return error_errno(err, r, "images: staging");
	struct volume_chunk *chunk = &p->artifact.chunks[p->artifact.count];
	memcpy(chunk->digest, blob.digest, sizeof(chunk->digest));
	chunk->size = len;
	p->blobs[p->artifact.count++] = blob;
	return 0;
}

/* 1: all of it; 0: the end; -EPIPE: in the middle of something. */
static int read_all(int fd, void *to, size_t len)
{
	ssize_t got = fs_read_full(fd, to, len);
	return got < 0 ? (int)got : (size_t)got == len ? 1 : got ? -EPIPE : 0;
}

static int store_all(struct pushing *p, int fd, struct masu_error *err)
{
	struct chunk_header header;
	_cleanup_free_ void *buffer = malloc(CHUNK_PACKED_MAX);
	int r;
	if (!buffer)
		return error_set(err, -ENOMEM, "out of memory");
	while ((r = read_all(fd, &header, sizeof(header))) == 1) {
		if (header.packed == 0 || header.packed > CHUNK_PACKED_MAX)
			return error_set(err, -EPROTO, "the chunker's output");
		r = read_all(fd, buffer, header.packed);
		if (r == 1)
			r = store(p, buffer, header.packed, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? error_errno(err, r, "the chunker's output") : 0;
}

static int stage(struct pushing *p, uint32_t average, struct masu_error *err)
{
	struct decoder_process *producer, *chunker;
	int tar, chunks;
	int r = producer_start(tell_files, p, &producer, &tar, err);
	if (r < 0)
		return r;
	r = chunker_start(average, tar, &chunker, &chunks, err);
	close(tar);
	if (r == 0) {
		r = store_all(p, chunks, err);
		close(chunks);
		r = encoder_finish(chunker, r, p->tar, &p->bytes, err);
	}
	return decoder_finish(producer, r, err);
}

/* The files' size decides the size of the chunks. */
static int measure(struct pushing *p, uint32_t *ret, struct masu_error *err)
{
	uint64_t bytes, inodes;
	_cleanup_close_ int data = -1;
	int r = volume_open_data(p->engine.root_fd, p->engine.root, p->arena, p->from, &p->volume,
				 &data, err);
	if (r < 0)
		return r;
	r = storage_usage(data, ".", &bytes, &inodes);
	if (r < 0)
		return error_errno(err, r, "volume %s", p->from);
	*ret = chunk_average(bytes);
	return 0;
}

/* With the volumes locked, and what writes to it standing still where asked for. */
static int read_volume(struct pushing *p, bool pause, struct masu_error *err)
{
	struct volume_users users = { 0 };
	const char *volume, *snapshot;
	uint32_t average = 0;
	int r = volume_reference(p->arena, p->from, &volume, &snapshot, err);
	if (r == 0)
		r = engine_volumes_lock(&p->engine, false, err);
	if (r < 0)
		return r;
	if (pause && !snapshot)
		r = volume_users_pause(&p->engine, p->arena, volume, &users, err);
	if (r == 0)
		r = measure(p, &average, err);
	if (r == 0)
		r = stage(p, average, err);
	volume_users_resume(&p->engine, &users);
	engine_volumes_unlock(&p->engine);
	return r;
}

/* ---- to the registry ---- */

static int send_chunk(struct pushing *p, struct remote *remote, size_t i, struct masu_error *err)
{
	struct fetch_request request;
	_cleanup_close_ int fd = staging_read(&p->staging, &p->blobs[i]);
	if (fd < 0)
		return error_errno(err, fd, "images: staging");
	int r = fetch_request_init(&request, FETCH_UPLOAD, remote->reference.path, "blobs",
				   p->blobs[i].digest, true);
	if (r < 0)
		return error_errno(err, r, "%s", remote->reference.path);
	str_format(request.digest, sizeof(request.digest), "%s", p->blobs[i].digest);
	request.id = (uint32_t)i;
	request.size = p->blobs[i].size;
	return fetcher_send(remote->fetcher, &request, fd, -1, err);
}

static int take_reply(struct pushing *p, struct remote *remote, size_t *left,
		      struct masu_error *err)
{
	struct fetch_reply reply;
	int r = fetcher_receive(remote->fetcher, &reply, err);
	if (r < 0)
		return r;
	if (reply.code < 0)
		return error_set(err, reply.code, "%s", reply.message);
	if (reply.id >= p->artifact.count)
		return error_set(err, -EPROTO, "the fetcher sends nonsense");
	if (reply.type != FETCH_DONE)
		return 0;
	(*left)--;
	if (reply.upload == FETCH_UPLOADED) {
		p->sent++;
		p->sent_bytes += p->blobs[reply.id].size;
	}
	return 0;
}

static int send_chunks(struct pushing *p, struct remote *remote, struct masu_error *err)
{
	size_t count = p->artifact.count, left = count, sent = 0;
	int r = 0;
	/* The fetcher's socket holds a few requests; more would wait for each other. */
	while (left > 0 && r == 0) {
		if (sent < count && sent - (count - left) < FETCH_PARALLEL)
			r = send_chunk(p, remote, sent++, err);
		else
			r = take_reply(p, remote, &left, err);
	}
	return r;
}

static int send_documents(struct pushing *p, struct remote *remote, char ret_digest[DIGEST_MAX],
			  struct masu_error *err)
{
	_cleanup_buf_ struct buf config, manifest;
	const struct volume_config facts = { .name = p->volume.name,
					     .tar = p->tar,
					     .size = p->bytes,
					     .limit = volume_limit_of(p->arena, &p->volume),
					     .labels = p->volume.labels,
					     .label_count = p->volume.label_count };
	char *name = arena_strndup(p->arena, facts.name, strcspn(facts.name, "@"));
	buf_init(&config, FETCH_DOCUMENT_MAX);
	buf_init(&manifest, FETCH_DOCUMENT_MAX);
	int r = name ? 0 : -ENOMEM;
	if (r == 0) {
		struct volume_config named = facts;
		named.name = name;
		r = volume_config_write(&named, &config);
	}
	if (r < 0)
		return error_errno(err, r, "volume %s: its config", p->from);
	p->artifact.config.size = config.len;
	r = remote_put_bytes(remote, config.data, config.len, p->artifact.config.digest, err);
	if (r < 0)
		return r;
	r = volume_manifest_write(&p->artifact, name, &manifest);
	if (r < 0)
		return error_errno(err, r, "volume %s: its manifest", p->from);
	return remote_put_manifest(remote, remote->reference.tag, MEDIA_TYPE_MANIFEST,
				   manifest.data, manifest.len, ret_digest, NULL, err);
}

static int push(struct pushing *p, const struct image_reference *reference, bool quiet,
		struct masu_error *err)
{
	_cleanup_remote_ struct remote remote = { 0 };
	char digest[DIGEST_MAX], sent[HUMAN_MAX];
	int r = remote_open(p->arena, reference, true, &remote, err);
	if (r == 0)
		r = send_chunks(p, &remote, err);
	if (r == 0)
		r = send_documents(p, &remote, digest, err);
	if (r < 0)
		return r;
	if (!quiet)
		printf("%s: %zu chunks, %zu of them sent (%s)\n%s: digest: %s\n", p->from,
		       p->artifact.count, p->sent, human_size(p->sent_bytes, sent), reference->tag,
		       digest);
	else
		printf("%s\n", digest);
	fflush(stdout);
	return 0;
}

int volume_push_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err)
{
	const struct volume_push_options *o = data;
	struct image_reference reference;
	struct pushing p = { .engine = ENGINE_CLOSED,
			     .arena = context->arena,
			     .from = argv[0],
			     .staging = { .fd = -1 } };
	int r = image_reference_parse(context->arena, argv[1], &reference, err);
	if (r == 0 && reference.digest)
		r = error_set(err, -EINVAL, "cannot push a digest reference");
	if (r == 0)
		r = session_open(context, &p.engine, err);
	if (r == 0)
		r = staging_open(p.engine.root_fd, &p.staging, err);
	if (r == 0)
		r = read_volume(&p, o->pause, err);
	if (r == 0)
		r = push(&p, &reference, o->quiet, err);
	if (r == 0)
		event_volume(&p.engine, p.volume.name, "push");
	staging_close(&p.staging);
	engine_close(&p.engine);
	return r;
}
