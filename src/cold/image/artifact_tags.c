/*
 * What cosign keeps beside an image: signatures, attestations and bills of materials under tags
 * that are made of its digest (cosign's SIGNATURE_SPEC.md, "Storage", and the like for the others).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "cold/image/artifacts.h"
#include "cold/image/signature.h"
#include "image/store.h"
#include "sys/fs.h"

#define TAGS_DIR    "tags"
#define HEX(digest) ((digest) + strlen("sha256:"))

static const struct kind {
	const char *suffix;
	bool grows; /* each layer stands for itself */
} kinds[] = { { "sig", true }, { "att", true }, { "sbom", false } };

bool artifact_tag_valid(const char *tag)
{
	const char *hex = str_after(tag, "sha256-");
	if (!hex || strspn(hex, "0123456789abcdef") != SHA256_HEX || hex[SHA256_HEX] != '.')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(hex + SHA256_HEX + 1, kinds[i].suffix))
			return true;
	return false;
}

static void tag_of(const struct artifact_place *p, const struct kind *kind, char ret[96])
{
	str_format(ret, 96, "sha256-%s.%s", HEX(p->subject), kind->suffix);
}

/* *ret_there: whether the tag is there. */
static int get(const struct artifact_place *p, const struct kind *kind, struct remote_document *ret,
	       bool *ret_there, struct masu_error *err)
{
	char tag[96];
	tag_of(p, kind, tag);
	int r = remote_get(p->remote, "manifests", tag, "", ret, err);
	*ret_there = r == 0;
	if (r == -ENOENT && err)
		error_clear(err);
	return r == -ENOENT ? 0 : r;
}

/* ---- pull ---- */

static int pull_one(const struct artifact_place *p, int tags, const struct kind *kind,
		    bool *ret_there, struct masu_error *err)
{
	struct remote_document manifest;
	int r = get(p, kind, &manifest, ret_there, err);
	if (r < 0 || !*ret_there)
		return r;
	r = artifact_keep(p, &manifest, NULL, err);
	if (r < 0)
		return error_wrap(err, "its tag .%s", kind->suffix);
	r = fs_write_atomic(tags, kind->suffix, manifest.digest, strlen(manifest.digest), 0644,
			    false);
	return r < 0 ? error_errno(err, r, "images: staging") : 0;
}

int artifact_tags_pull(const struct artifact_place *p, size_t *ret_count, struct masu_error *err)
{
	int r = fs_mkdirs(p->fd, TAGS_DIR, 0755);
	_cleanup_close_ int tags =
		r < 0 ? -1 : openat(p->fd, TAGS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tags < 0)
		return error_errno(err, r < 0 ? r : -errno, "images: staging");
	*ret_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
		bool there = false;
		r = pull_one(p, tags, &kinds[i], &there, err);
		*ret_count += there;
	}
	return r;
}

/* ---- push ---- */

static bool has(const struct signature *list, size_t count, const struct signature *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (streq(list[i].digest, wanted->digest) && streq(list[i].text, wanted->text))
			return true;
	return false;
}

/*
 * What is to be under the tag where @there is already: *ret is @own where that has all of it, both
 * together where each has something of its own, or "there is nothing to do" (text NULL).
 */
static int unite(const struct artifact_place *p, const struct remote_document *there,
		 const struct remote_document *own, struct buf *out, struct remote_document *ret,
		 struct masu_error *err)
{
	char digest[DIGEST_MAX];
	struct signature *theirs, *ours;
	size_t their_count, our_count, count, shared = 0;
	_cleanup_buf_ struct buf config;
	struct arena *arena = p->remote->arena;
	buf_init(&config, IMAGE_MAX_DOCUMENT);
	*ret = (struct remote_document) { 0 };
	int r = signatures_read(arena, there->text, there->len, &theirs, &their_count, err);
	if (r == 0)
		r = signatures_read(arena, own->text, own->len, &ours, &our_count, err);
	if (r < 0)
		return r;
	struct signature *all = arena_array(arena, struct signature, their_count + our_count + 1);
	if (!all)
		return error_set(err, -ENOMEM, "out of memory");
	for (count = 0; count < their_count; count++) {
		all[count] = theirs[count];
		shared += has(ours, our_count, &theirs[count]);
	}
	for (size_t i = 0; i < our_count; i++)
		if (!has(theirs, their_count, &ours[i]))
			all[count++] = ours[i];
	if (count == their_count)
		return 0;
	if (shared == their_count) {
		*ret = *own;
		return 0;
	}
	r = signatures_config(all, count, &config);
	if (r < 0)
		return error_errno(err, r, "signatures");
	r = remote_put_bytes(p->remote, config.data, config.len, digest, err);
	struct signatures_manifest manifest = { .old = there->text,
						.old_len = there->len,
						.more = own->text,
						.more_len = own->len,
						.config_digest = digest,
						.config_size = config.len };
	if (r == 0)
		r = signatures_write(&manifest, out, err);
	ret->text = out->data;
	ret->len = out->len;
	return r;
}

static int push_one(const struct artifact_place *p, const struct kind *kind, const char *digest,
		    struct masu_error *err)
{
	char tag[96], put[DIGEST_MAX], *text;
	bool is_there;
	struct remote_document there, own = { 0 }, wanted;
	_cleanup_buf_ struct buf united;
	buf_init(&united, IMAGE_MAX_DOCUMENT);
	tag_of(p, kind, tag);
	int r = artifact_read(p->fd, p->remote->arena, digest, &text, &own.len, err);
	if (r == 0)
		r = get(p, kind, &there, &is_there, err);
	if (r < 0 || (is_there && (!kind->grows || streq(there.digest, digest))))
		return r;
	own.text = text;
	wanted = own;
	r = artifact_send_blobs(p, own.text, own.len, NULL, err);
	if (r == 0 && is_there)
		r = unite(p, &there, &own, &united, &wanted, err);
	if (r < 0 || !wanted.text)
		return r;
	return remote_put_manifest(p->remote, tag, MEDIA_TYPE_MANIFEST, wanted.text, wanted.len,
				   put, NULL, err);
}

int artifact_tags_push(const struct artifact_place *p, size_t *ret_count, struct masu_error *err)
{
	*ret_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[32], *digest;
		size_t len;
		str_format(path, sizeof(path), TAGS_DIR "/%s", kinds[i].suffix);
		int r = fs_read_arena(p->fd, path, DIGEST_MAX, p->remote->arena, &digest, &len);
		if (r == -ENOENT)
			continue;
		if (r < 0 || !image_digest_valid(digest))
			return error_errno(err, r < 0 ? r : -EBADMSG, "artifacts: %s", path);
		r = push_one(p, &kinds[i], digest, err);
		if (r < 0)
			return error_wrap(err, "its tag .%s", kinds[i].suffix);
		++*ret_count;
	}
	return 0;
}
