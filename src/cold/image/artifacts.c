#include "cold/image/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "image/store.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define PAGES_MAX   16
#define STAGED	    "artifacts"
#define COPY_SIZE   (1u << 20)
#define HEX(digest) ((digest) + strlen("sha256:"))

/* "sha256-<hex>": where a registry without the referrers API keeps the list. */
static void referrers_tag(const char *subject, char ret[96])
{
	str_format(ret, 96, "sha256-%s", HEX(subject));
}

/* ---- pull ---- */

/* All pages of the list, or the tag's one. *ret_count 0: nothing is attached. */
static int fetch_lists(const struct artifact_place *p, struct artifacts_text *ret,
		       size_t *ret_count, struct masu_error *err)
{
	char tag[96];
	struct remote_document page;
	referrers_tag(p->subject, tag);
	int r = remote_get(p->remote, "referrers", p->subject, MEDIA_TYPE_INDEX, &page, err);
	if (r == -ENOENT)
		r = remote_get(p->remote, "manifests", tag, MEDIA_TYPE_INDEX, &page, err);
	*ret_count = 0;
	if (r == -ENOENT) {
		if (err)
			error_clear(err);
		return 0;
	}
	while (r == 0) {
		ret[(*ret_count)++] = (struct artifacts_text) { page.text, page.len };
		if (!page.next[0])
			break;
		if (*ret_count == PAGES_MAX)
			return error_set(err, -E2BIG, "artifacts: a list without an end");
		r = remote_get_path(p->remote, page.next, MEDIA_TYPE_INDEX, &page, err);
	}
	return r;
}

static int write_blob(const struct artifact_place *p, const char *digest, const char *text,
		      size_t len, struct masu_error *err)
{
	char path[128];
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", HEX(digest));
	_cleanup_close_ int fd =
		r < 0 ? r : openat(p->fd, path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, -errno, "images: staging");
	r = fs_write_all(fd, text, len);
	return r < 0 ? error_errno(err, r, "images: staging") : 0;
}

/* What the fetcher wrote is hashed here once more, whatever it says. */
static int check_file(int fd, const struct artifact_blob *blob, struct masu_error *err)
{
	struct hasher *hasher;
	char actual[DIGEST_MAX];
	uint64_t size = 0;
	ssize_t got;
	_cleanup_free_ char *buffer = malloc(COPY_SIZE);
	if (!buffer || lseek(fd, 0, SEEK_SET) < 0 || hasher_new(&hasher) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	while ((got = read(fd, buffer, COPY_SIZE)) > 0) {
		hasher_update(hasher, buffer, (size_t)got);
		size += (uint64_t)got;
	}
	int r = hasher_finish(hasher, actual);
	if (r < 0 || got < 0 || size != blob->size || !streq(actual, blob->digest))
		return error_set(err, -EBADMSG, "%s: the registry sent something else",
				 blob->digest);
	return 0;
}

static int fetch_blob(const struct artifact_place *p, const struct artifact_blob *blob,
		      struct masu_error *err)
{
	char path[128];
	struct fetch_request request;
	struct fetch_reply reply;
	if (blob->size > ARTIFACT_BLOB_LIMIT)
		return error_set(err, -EFBIG, "%s: more than %llu bytes of an artifact",
				 blob->digest, ARTIFACT_BLOB_LIMIT);
	int r = fetch_request_init(&request, FETCH_BLOB, p->remote->reference.path, "blobs",
				   blob->digest, false);
	if (r == 0)
		r = str_format(request.digest, sizeof(request.digest), "%s", blob->digest);
	if (r == 0)
		r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", HEX(blob->digest));
	if (r < 0)
		return error_errno(err, r, "%s", blob->digest);
	request.size = blob->size;
	if (faccessat(p->fd, path, F_OK, 0) == 0)
		return 0; /* artifacts share the empty config */
	_cleanup_close_ int fd = openat(p->fd, path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, -errno, "images: staging");
	r = fetcher_call(p->remote->fetcher, &request, fd, &reply, err);
	return r < 0 ? r : check_file(fd, blob, err);
}

int artifact_keep(const struct artifact_place *p, const struct remote_document *manifest,
		  const char *subject, struct masu_error *err)
{
	struct artifact_blob blobs[ARTIFACT_BLOBS_MAX];
	size_t count = 0;
	int r = artifact_blobs(p->remote->arena, manifest->text, manifest->len, subject, blobs,
			       &count, err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = fetch_blob(p, &blobs[i], err);
	return r < 0 ? r : write_blob(p, manifest->digest, manifest->text, manifest->len, err);
}

static int fetch_artifact(const struct artifact_place *p, const struct artifact_blob *artifact,
			  struct masu_error *err)
{
	struct remote_document manifest;
	int r = remote_get(p->remote, "manifests", artifact->digest, MEDIA_TYPE_MANIFEST, &manifest,
			   err);
	if (r == 0)
		r = artifact_keep(p, &manifest, p->subject, err);
	return r < 0 ? error_wrap(err, "artifact %.19s", artifact->digest) : 0;
}

int artifacts_finish(int fd, const struct buf *index, struct masu_error *err)
{
	int r = fs_write_atomic(fd, "index.json", index->data, index->len, 0644, false);
	if (r == 0)
		r = fs_write_atomic(fd, "oci-layout", IMAGES_LAYOUT, strlen(IMAGES_LAYOUT), 0644,
				    false);
	return r < 0 ? error_errno(err, r, "images: staging") : 0;
}

static int fetch_all(const struct artifact_place *p, size_t *ret_count, struct masu_error *err)
{
	struct artifacts_text lists[PAGES_MAX];
	struct artifact_blob artifacts[ARTIFACTS_MAX];
	size_t pages = 0, count = 0, tags = 0;
	_cleanup_buf_ struct buf index;
	buf_init(&index, IMAGE_MAX_DOCUMENT);
	int r = fetch_lists(p, lists, &pages, err);
	if (r == 0)
		r = artifacts_merge(lists, pages, &index, err);
	if (r == 0)
		r = artifacts_list(p->remote->arena, buf_str(&index), index.len, artifacts, &count,
				   err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = fetch_artifact(p, &artifacts[i], err);
	if (r == 0)
		r = artifact_tags_pull(p, &tags, err);
	if (r < 0)
		return r;
	*ret_count = count + tags;
	return artifacts_finish(p->fd, &index, err);
}

int artifacts_publish(const struct staging *staging, const char *subject, bool any,
		      struct masu_error *err)
{
	char blob[128];
	_cleanup_close_ int images_fd = -1;
	int r = image_store_lock(staging->root_fd, &images_fd, err);
	if (r == 0)
		r = fs_mkdirs(staging->root_fd, ARTIFACTS_DIR, 0700);
	if (r == 0)
		r = str_format(blob, sizeof(blob), IMAGES_BLOBS "/%s", HEX(subject));
	_cleanup_close_ int dir =
		r < 0 ? r
		      : openat(staging->root_fd, ARTIFACTS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, r < 0 ? r : -errno, "images: artifacts");
	if (faccessat(images_fd, blob, F_OK, 0) < 0)
		return 0;
	if (any && syncfs(dir) < 0)
		return error_errno(err, -errno, "images: artifacts");
	/* What was there goes with the staging directory. */
	r = sys_renameat2(staging->fd, STAGED, dir, HEX(subject), RENAME_EXCHANGE);
	if (r == -ENOENT && any)
		r = renameat(staging->fd, STAGED, dir, HEX(subject)) < 0 ? -errno : 0;
	else if (r == 0 && !any)
		r = fs_remove_tree(dir, HEX(subject));
	if (r == 0)
		r = fs_fsync_dir(dir);
	return r < 0 && r != -ENOENT ? error_errno(err, r, "images: artifacts") : 0;
}

int artifacts_stage(const struct staging *staging, struct masu_error *err)
{
	/* Of another image, whose place this was exchanged with. */
	int r = fs_remove_tree(staging->fd, STAGED);
	if (r == 0)
		r = fs_mkdirs(staging->fd, STAGED "/" IMAGES_BLOBS, 0755);
	int fd = r < 0 ? r : openat(staging->fd, STAGED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_errno(err, r < 0 ? r : -errno, "images: staging") : fd;
}

int artifacts_pull(struct staging *staging, struct arena *arena,
		   const struct image_reference *reference, const char *subject, size_t *ret_count,
		   struct masu_error *err)
{
	_cleanup_remote_ struct remote remote = { 0 };
	struct artifact_place p = { .remote = &remote, .subject = subject };
	_cleanup_close_ int fd = artifacts_stage(staging, err);
	if (fd < 0)
		return fd;
	p.fd = fd;
	int r = remote_open(arena, reference, false, &remote, err);
	if (r == 0)
		r = fetch_all(&p, ret_count, err);
	return r < 0 ? r : artifacts_publish(staging, subject, *ret_count > 0, err);
}

/* ---- push ---- */

int artifact_read(int dir, struct arena *arena, const char *digest, char **ret_text,
		  size_t *ret_len, struct masu_error *err)
{
	char path[128], hex[SHA256_HEX + 1];
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", HEX(digest));
	if (r == 0)
		r = fs_read_arena(dir, path, IMAGE_MAX_DOCUMENT, arena, ret_text, ret_len);
	if (r < 0)
		return error_errno(err, r, "artifact %.19s", digest);
	sha256_hex(*ret_text, *ret_len, hex);
	if (!streq(hex, HEX(digest)))
		return error_set(err, -EBADMSG, "artifact %.19s is damaged; pull it again", digest);
	return 0;
}

static int send_blob(const struct artifact_place *p, const struct artifact_blob *blob,
		     struct masu_error *err)
{
	char path[128];
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", HEX(blob->digest));
	_cleanup_close_ int fd =
		r < 0 ? -1 : openat(p->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "artifacts: %s", blob->digest);
	return remote_put_blob(p->remote, blob->digest, fd, blob->size, err);
}

int artifact_send_blobs(const struct artifact_place *p, const char *text, size_t len,
			const char *subject, struct masu_error *err)
{
	size_t count = 0;
	struct artifact_blob blobs[ARTIFACT_BLOBS_MAX];
	int r = artifact_blobs(p->remote->arena, text, len, subject, blobs, &count, err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = send_blob(p, &blobs[i], err);
	return r;
}

static int send_artifact(const struct artifact_place *p, const struct artifact_blob *artifact,
			 bool *ret_listed, struct masu_error *err)
{
	char *text, digest[DIGEST_MAX];
	size_t len;
	int r = artifact_read(p->fd, p->remote->arena, artifact->digest, &text, &len, err);
	if (r == 0)
		r = artifact_send_blobs(p, text, len, p->subject, err);
	return r < 0 ? r
		     : remote_put_manifest(p->remote, NULL, MEDIA_TYPE_MANIFEST, text, len, digest,
					   ret_listed, err);
}

/* The referrers tag schema (distribution spec): the list is a tag that the client keeps. */
static int send_list(const struct artifact_place *p, const char *index, size_t len,
		     struct masu_error *err)
{
	char tag[96], digest[DIGEST_MAX];
	struct remote_document there;
	struct artifacts_text texts[2];
	size_t count = 0;
	_cleanup_buf_ struct buf merged;
	buf_init(&merged, IMAGE_MAX_DOCUMENT);
	referrers_tag(p->subject, tag);
	int r = remote_get(p->remote, "manifests", tag, MEDIA_TYPE_INDEX, &there, err);
	if (r == 0)
		texts[count++] = (struct artifacts_text) { there.text, there.len };
	if (r < 0 && r != -ENOENT)
		return r;
	if (r < 0 && err)
		error_clear(err);
	texts[count++] = (struct artifacts_text) { index, len };
	r = artifacts_merge(texts, count, &merged, err);
	return r < 0 ? r
		     : remote_put_manifest(p->remote, tag, MEDIA_TYPE_INDEX, merged.data,
					   merged.len, digest, NULL, err);
}

int artifacts_push(int root_fd, struct remote *remote, const char *subject, size_t *ret_count,
		   struct masu_error *err)
{
	char path[256], *index;
	size_t len, count = 0, tags = 0;
	bool all_listed = true;
	struct artifact_blob artifacts[ARTIFACTS_MAX];
	*ret_count = 0;
	str_format(path, sizeof(path), ARTIFACTS_DIR "/%s", HEX(subject));
	_cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "images: artifacts");
	const struct artifact_place p = { .remote = remote, .subject = subject, .fd = fd };
	int r = fs_read_arena(fd, "index.json", IMAGE_MAX_DOCUMENT, remote->arena, &index, &len);
	if (r == -ENOENT)
		return 0; /* the rest of one that went with its image, which is back */
	if (r < 0)
		return error_errno(err, r, "images: artifacts");
	r = artifacts_list(remote->arena, index, len, artifacts, &count, err);
	for (size_t i = 0; i < count && r == 0; i++) {
		bool listed;
		r = send_artifact(&p, &artifacts[i], &listed, err);
		if (r < 0)
			return error_wrap(err, "artifact %.19s", artifacts[i].digest);
		all_listed &= listed;
	}
	if (r == 0 && !all_listed)
		r = send_list(&p, index, len, err);
	if (r == 0)
		r = artifact_tags_push(&p, &tags, err);
	*ret_count = count + tags;
	return r;
}

/* ---- save ---- */

/* -ENOENT: there are none. */
static int open_kept(int images_fd, struct arena *arena, const char *subject, int *ret_fd,
		     char **ret_index, size_t *ret_len)
{
	char path[256];
	int r = str_format(path, sizeof(path), IMAGES_PRIVATE "/artifacts/%s", HEX(subject));
	_cleanup_close_ int fd =
		r < 0 ? -1 : openat(images_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return r < 0 ? r : -errno;
	r = fs_read_arena(fd, "index.json", IMAGE_MAX_DOCUMENT, arena, ret_index, ret_len);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

int artifacts_kept(int images_fd, struct arena *arena, const char *subject,
		   struct artifacts_kept *ret, struct masu_error *err)
{
	struct artifact_blob artifacts[ARTIFACTS_MAX];
	struct artifacts_kept kept = { .fd = -1 };
	size_t count = 0, more;
	char *text;
	size_t len;
	_cleanup_close_ int fd = -1;
	int r = open_kept(images_fd, arena, subject, &fd, &text, &kept.index.len);
	if (r == -ENOENT) {
		*ret = kept;
		return 0;
	}
	if (r < 0)
		return error_errno(err, r, "images: artifacts");
	kept.index.text = text;
	r = artifacts_list(arena, kept.index.text, kept.index.len, artifacts, &count, err);
	if (r == 0 && count == 0) { /* only cosign's tags are kept */
		*ret = (struct artifacts_kept) { .fd = -1 };
		return 0;
	}
	kept.blobs = arena_array(arena, struct artifact_blob, count * (ARTIFACT_BLOBS_MAX + 1) + 1);
	if (r == 0 && !kept.blobs)
		r = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++) {
		r = artifact_read(fd, arena, artifacts[i].digest, &text, &len, err);
		if (r == 0)
			r = artifact_blobs(arena, text, len, subject, kept.blobs + kept.count,
					   &more, err);
		kept.count += r == 0 ? more : 0;
		kept.blobs[kept.count++] = artifacts[i];
	}
	if (r < 0)
		return r;
	kept.fd = take_fd(&fd);
	*ret = kept;
	return 0;
}
