/*
 * `masu volume pull`: a volume out of a registry. Everything is fetched into staging and hashed
 * before the volume is begun; its files are made by the unpacker, which can reach nothing else, and
 * the volume is there when the whole archive was what its config says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/volume_registry.h"
#include "cold/image/unpack.h"
#include "cold/image/verbs.h"
#include "cold/image/volume_artifact.h"
#include "cold/image/volume_limit.h"
#include "engine/events.h"
#include "image/store.h"
#include "state/trash.h"
#include "sys/project_quota.h"
#include "volume/volume.h"

#define CHUNK_MAX    (128ull << 20)
#define COPY_AT_ONCE (1u << 20)

struct pulling {
	struct engine engine;
	struct arena *arena;
	struct staging staging;
	struct remote remote;
	struct volume_artifact artifact;
	struct volume_config config;
	struct staged_blob *blobs;
	struct oci_pair *options; /* that were asked for */
	size_t option_count;
};

/* ---- from the registry ---- */

static int fetch_documents(struct pulling *p, char ret_digest[DIGEST_MAX], struct masu_error *err)
{
	struct remote_document manifest, config;
	const struct image_reference *reference = &p->remote.reference;
	int r = remote_get(&p->remote, "manifests",
			   reference->digest ? reference->digest : reference->tag,
			   MEDIA_TYPE_MANIFEST, &manifest, err);
	if (r == 0)
		r = volume_manifest_read(p->arena, manifest.text, manifest.len, &p->artifact, err);
	if (r == 0)
		r = remote_get_blob(&p->remote, p->artifact.config.digest, p->artifact.config.size,
				    &config, err);
	if (r == 0)
		r = volume_config_read(p->arena, config.text, config.len, &p->config, err);
	if (r < 0)
		return error_wrap(err, "%s", image_reference_familiar_full(p->arena, reference));
	memcpy(ret_digest, manifest.digest, DIGEST_MAX);
	return 0;
}

static int begin_chunk(struct pulling *p, size_t i, struct masu_error *err)
{
	struct fetch_request request;
	const struct volume_chunk *chunk = &p->artifact.chunks[i];
	if (chunk->size > CHUNK_MAX)
		return error_set(err, -EFBIG, "%s: a chunk of more than %llu bytes", chunk->digest,
				 CHUNK_MAX);
	int r = fetch_request_init(&request, FETCH_BLOB, p->remote.reference.path, "blobs",
				   chunk->digest, false);
	if (r < 0)
		return error_errno(err, r, "%s", chunk->digest);
	str_format(request.digest, sizeof(request.digest), "%s", chunk->digest);
	request.id = (uint32_t)i;
	request.size = chunk->size;
	_cleanup_close_ int fd = staging_create(&p->staging, &p->blobs[i], err);
	return fd < 0 ? fd : fetcher_send(p->remote.fetcher, &request, fd, -1, err);
}

/* What the fetcher wrote is hashed here once more, whatever it says. */
static int check_chunk(struct pulling *p, size_t i, struct masu_error *err)
{
	char digest[DIGEST_MAX];
	_cleanup_close_ int fd = staging_read(&p->staging, &p->blobs[i]);
	int r = fd < 0 ? fd : hasher_file(fd, digest);
	if (r < 0)
		return error_errno(err, r, "images: staging");
	if (!streq(digest, p->artifact.chunks[i].digest))
		return error_set(err, -EBADMSG, "%s: the registry sent %s in its place",
				 p->artifact.chunks[i].digest, digest);
	return 0;
}

static int take_reply(struct pulling *p, size_t *left, struct masu_error *err)
{
	struct fetch_reply reply;
	int r = fetcher_receive(p->remote.fetcher, &reply, err);
	if (r < 0)
		return r;
	if (reply.code < 0)
		return error_set(err, reply.code, "%s", reply.message);
	if (reply.id >= p->artifact.count)
		return error_set(err, -EPROTO, "the fetcher sends nonsense");
	if (reply.type != FETCH_DONE)
		return 0;
	(*left)--;
	return check_chunk(p, reply.id, err);
}

static int fetch_chunks(struct pulling *p, struct masu_error *err)
{
	size_t count = p->artifact.count, left = count, begun = 0;
	int r = 0;
	p->blobs = arena_array(p->arena, struct staged_blob, count);
	if (!p->blobs)
		return error_set(err, -ENOMEM, "out of memory");
	while (left > 0 && r == 0) {
		if (begun < count && begun - (count - left) < FETCH_PARALLEL)
			r = begin_chunk(p, begun++, err);
		else
			r = take_reply(p, &left, err);
	}
	return r;
}

/* ---- the volume ---- */

/* All chunks one after the other: that is the archive. */
static int tell_chunks(void *data, int out, struct masu_error *err)
{
	struct pulling *p = data;
	for (size_t i = 0; i < p->artifact.count; i++) {
		_cleanup_close_ int fd = staging_read(&p->staging, &p->blobs[i]);
		ssize_t sent;
		if (fd < 0)
			return error_errno(err, fd, "images: staging");
		do
			sent = sendfile(out, fd, NULL, COPY_AT_ONCE);
		while (sent > 0 || (sent < 0 && errno == EINTR));
		if (sent < 0)
			return error_errno(err, -errno, "the chunks have no reader");
	}
	return 0;
}

static int fill(void *data, int data_fd, struct masu_error *err)
{
	struct pulling *p = data;
	struct decoder_process *producer;
	struct unpacking *unpacking;
	struct unpacked_layer unpacked;
	const struct unpack_target target = {
		.directory_fd = data_fd, .tar_fd = -1, .index_fd = -1, .plain = true
	};
	int stream;
	int r = producer_start(tell_chunks, p, &producer, &stream, err);
	if (r < 0)
		return r;
	r = unpack_begin(stream, &target, &unpacking, err);
	close(stream);
	if (r == 0)
		r = unpack_end(unpacking, NULL, 0, &unpacked, err);
	r = decoder_finish(producer, r, err);
	if (r == 0 && !streq(unpacked.diff_id, p->config.tar))
		r = error_set(err, -EBADMSG, "the chunks make %s, and not %s", unpacked.diff_id,
			      p->config.tar);
	return r == 0 && syncfs(data_fd) < 0 ? error_errno(err, -errno, "syncfs") : r;
}

static int make_volume(struct pulling *p, const char *name, struct masu_error *err)
{
	struct volume made;
	struct volume request = { .name = name,
				  .labels = p->config.labels,
				  .label_count = p->config.label_count,
				  .options = p->options,
				  .option_count = p->option_count };
	int r = p->option_count ? 0
				: volume_limit_keep(p->engine.root_fd, p->arena, p->config.limit,
						    &request, err);
	if (r == 0)
		r = engine_volumes_lock(&p->engine, false, err);
	if (r < 0)
		return r;
	r = volume_make_filled(p->engine.root_fd, p->engine.root, p->arena, &request, fill, p,
			       &made, err);
	engine_volumes_unlock(&p->engine);
	return r;
}

/* Before anything is fetched; volume_make_filled() decides. */
static int check_is_free(struct pulling *p, const char *name, struct masu_error *err)
{
	struct volume there;
	if (!name_valid(name))
		return error_set(err, -EINVAL, "\"%.200s\" is no name for a volume", name);
	if (volume_open(p->engine.root_fd, p->engine.root, p->arena, name, &there, NULL, NULL) == 0)
		return error_set(err, -EEXIST,
				 "a volume named %s exists already; pull it under another name",
				 name);
	return 0;
}

/* Before anything is fetched, as well: of the options only a size is one of masu's own volume. */
static int read_options(struct pulling *p, const struct volume_pull_options *o,
			struct masu_error *err)
{
	int r = parse_pairs(p->arena, "--opt", &o->opt, &p->options, &p->option_count, err);
	for (size_t i = 0; r == 0 && i < p->option_count; i++)
		if (!streq(p->options[i].key, "size"))
			r = error_set(err, -EINVAL,
				      "volume pull: invalid option: \"%.100s\"; it takes size=",
				      p->options[i].key);
	const struct volume asked = { .options = p->options, .option_count = p->option_count };
	struct volume_source source;
	if (r == 0)
		r = volume_source(p->arena, &asked, &source, err);
	if (r == 0 && source.size)
		r = project_quota_check(p->engine.root_fd, err);
	return r;
}

static int pull(struct pulling *p, const char *name, bool quiet, struct masu_error *err)
{
	char digest[DIGEST_MAX];
	int r = name ? check_is_free(p, name, err) : 0;
	if (r == 0)
		r = fetch_documents(p, digest, err);
	if (r == 0 && !name) {
		name = p->config.name;
		r = check_is_free(p, name, err);
	}
	if (r == 0)
		r = fetch_chunks(p, err);
	if (r == 0)
		r = make_volume(p, name, err);
	if (r < 0)
		return r;
	if (!quiet)
		fprintf(stderr, "Digest: %s\n", digest);
	printf("%s\n", name);
	fflush(stdout);
	event_volume(&p->engine, name, "create");
	return 0;
}

int volume_pull_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err)
{
	const struct volume_pull_options *o = data;
	struct image_reference reference;
	struct pulling p = { .engine = ENGINE_CLOSED,
			     .arena = context->arena,
			     .staging = { .fd = -1 } };
	int r = image_reference_parse(context->arena, argv[0], &reference, err);
	if (r == 0)
		r = session_open(context, &p.engine, err);
	if (r == 0)
		r = read_options(&p, o, err);
	if (r == 0)
		r = staging_open(p.engine.root_fd, &p.staging, err);
	if (r == 0)
		r = remote_open(context->arena, &reference, false, &p.remote, err);
	if (r == 0)
		r = pull(&p, argc > 1 ? argv[1] : NULL, o->quiet, err);
	remote_close(&p.remote);
	staging_close(&p.staging);
	if (p.engine.root_fd >= 0)
		trash_empty(p.engine.root_fd, 0);
	engine_close(&p.engine);
	return r;
}

static const struct cli_command volume_push = { VOLUME_PUSH_COMMAND, VOLUME_PUSH_OPTIONS,
						.run = volume_push_run };
static const struct cli_command volume_pull = { VOLUME_PULL_COMMAND, VOLUME_PULL_OPTIONS,
						.run = volume_pull_run };
static const struct cli_command *const verbs[] = { &volume_pull, &volume_push, NULL };

const struct cli_command volume_registry_command = {
	.name = "volume",
	.synopsis = "COMMAND",
	.summary = "Manage volumes",
	.subcommands = verbs,
};
