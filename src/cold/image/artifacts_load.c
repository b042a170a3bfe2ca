/* What an archive has that is attached to images: beside what is kept for them already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cold/image/archive.h"
#include "cold/image/artifacts.h"
#include "image/store.h"
#include "sys/fs.h"

struct loader {
	struct arena *arena;
	struct staging *staging;
	const struct archive *archive;
	const struct archive_plan *plan;
	const char *subject;
	int images_fd, fd; /* fd: the layout that is made */
};

static int blob_path(const char *digest, char ret[128])
{
	return str_format(ret, 128, IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
}

static int link_blob(const struct loader *l, int from, const char *name, const char *digest)
{
	char path[128];
	int r = blob_path(digest, path);
	if (r == 0 && linkat(from, name, l->fd, path, 0) < 0 && errno != EEXIST)
		r = -errno;
	return r;
}

/* From staging; one that an image has, too, may have gone into the store. */
static int link_member(const struct loader *l, const struct archive_member *member,
		       struct masu_error *err)
{
	char path[128];
	int r = link_blob(l, l->staging->fd, member->blob.name, member->blob.digest);
	if (r == -ENOENT && blob_path(member->blob.digest, path) == 0)
		r = link_blob(l, l->images_fd, path, member->blob.digest);
	return r < 0 ? error_errno(err, r, "artifact's blob %.19s", member->blob.digest) : 0;
}

static int link_artifact(const struct loader *l, const struct archive_artifact *artifact,
			 struct masu_error *err)
{
	int r = link_member(l, artifact->manifest, err);
	for (size_t i = 0; i < artifact->blob_count && r == 0; i++)
		r = link_member(l, artifact->blobs[i], err);
	return r;
}

static int link_kept(const struct loader *l, const struct artifacts_kept *kept,
		     struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < kept->count && r == 0; i++) {
		char path[128];
		r = blob_path(kept->blobs[i].digest, path);
		if (r == 0)
			r = link_blob(l, kept->fd, path, kept->blobs[i].digest);
	}
	return r < 0 ? error_errno(err, r, "images: artifacts") : 0;
}

/* Of the archive's list what is attached to the subject, and of what is kept all. */
static int write_list(const struct loader *l, const struct artifacts_kept *kept,
		      const char *const *digests, size_t *ret_count, struct masu_error *err)
{
	_cleanup_buf_ struct buf own;
	_cleanup_buf_ struct buf all;
	struct artifact_blob artifacts[ARTIFACTS_MAX];
	const struct archive_member *index = archive_find(l->archive, "index.json");
	buf_init(&own, IMAGE_MAX_DOCUMENT);
	buf_init(&all, IMAGE_MAX_DOCUMENT);
	if (!index || !index->document)
		return error_set(err, -EBADMSG, "the archive has no index.json");
	const struct artifacts_text from = { index->document, index->document_len };
	int r = artifacts_select(&from, digests, &own, err);
	const struct artifacts_text lists[] = { { buf_str(&own), own.len }, kept->index };
	if (r == 0)
		r = artifacts_merge(lists, kept->count ? 2 : 1, &all, err);
	if (r == 0)
		r = artifacts_list(l->arena, buf_str(&all), all.len, artifacts, ret_count, err);
	return r < 0 ? r : artifacts_finish(l->fd, &all, err);
}

static int load_subject(struct loader *l, size_t *ret_count, struct masu_error *err)
{
	struct artifacts_kept kept;
	size_t count = 0;
	const char **digests = arena_array(l->arena, const char *, l->plan->artifact_count + 1);
	if (!digests)
		return error_set(err, -ENOMEM, "out of memory");
	int r = artifacts_kept(l->images_fd, l->arena, l->subject, &kept, err);
	if (r < 0)
		return r;
	_cleanup_close_ int kept_fd = kept.fd;
	_cleanup_close_ int fd = artifacts_stage(l->staging, err);
	if (fd < 0)
		return fd;
	l->fd = fd;
	r = kept_fd < 0 ? 0 : link_kept(l, &kept, err);
	for (size_t i = 0; i < l->plan->artifact_count && r == 0; i++) {
		const struct archive_artifact *artifact = &l->plan->artifacts[i];
		if (!streq_null(artifact->subject, l->subject))
			continue;
		digests[count++] = artifact->manifest->blob.digest;
		r = link_artifact(l, artifact, err);
	}
	if (r == 0)
		r = write_list(l, &kept, digests, ret_count, err);
	return r < 0 ? r : artifacts_publish(l->staging, l->subject, true, err);
}

/* Whether the store has what it is attached to; else it has no place here. */
static bool has_place(const struct loader *l, const struct archive_artifact *artifact)
{
	char path[128];
	return artifact->subject && blob_path(artifact->subject, path) == 0 &&
	       faccessat(l->images_fd, path, F_OK, 0) == 0;
}

static bool is_first(const struct archive_plan *plan, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (streq_null(plan->artifacts[i].subject, plan->artifacts[at].subject))
			return false;
	return true;
}

int artifacts_load(struct staging *staging, const struct archive *archive,
		   const struct archive_plan *plan, bool quiet, struct masu_error *err)
{
	size_t placed = 0, count = 0;
	_cleanup_close_ int images_fd =
		openat(staging->root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct loader l = { .arena = archive->arena,
			    .staging = staging,
			    .archive = archive,
			    .plan = plan,
			    .images_fd = images_fd };
	for (size_t i = 0; i < plan->artifact_count; i++) {
		const struct archive_artifact *artifact = &plan->artifacts[i];
		if (!has_place(&l, artifact)) {
			log_warn(
				"load: artifact %.19s (%s) is attached to nothing that is here, "
				"and left out; the store keeps images and what is attached to them",
				artifact->manifest->blob.digest, artifact->type);
			continue;
		}
		placed++;
		if (!is_first(plan, i))
			continue;
		l.subject = artifact->subject;
		int r = load_subject(&l, &count, err);
		if (r < 0)
			return error_wrap(err, "what is attached to %.19s", l.subject);
		if (!quiet)
			printf("Artifacts: %zu of %s\n", count, l.subject);
	}
	if (plan->artifact_count && !placed && !plan->count)
		return error_set(err, -EOPNOTSUPP,
				 "the archive has no image, only artifacts that are attached to "
				 "nothing here");
	return 0;
}
