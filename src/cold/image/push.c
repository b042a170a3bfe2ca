/* `masu push`: images to a registry (distribution spec 1.1, "Push"). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/image_options.h"
#include "cold/image/artifacts.h"
#include "cold/image/push.h"
#include "cold/image/verbs.h"

/* What was known of the name at the registry is no longer so: it names the manifest now. */
static int note_pushed(struct push *push, int root_fd, const struct image_entry *entry,
		       const char *digest, struct masu_error *err)
{
	struct image_index index;
	_cleanup_close_ int images_fd = -1;
	if (streq(image_entry_remote(entry), digest))
		return 0;
	int r = image_store_lock(root_fd, &images_fd, err);
	if (r == 0)
		r = image_index_load(images_fd, push->arena, &index, err);
	const struct image_entry *now = r < 0 ? NULL : image_index_get(&index, entry->reference);
	if (!now || !streq(now->digest, entry->digest))
		return r; /* somebody named something else so meanwhile */
	struct image_entry changed = *now;
	bool own = streq(digest, now->original ? now->original : now->digest);
	changed.remote = own ? NULL : digest;
	if (image_index_put(&index, &changed) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return image_index_save(images_fd, &index, err);
}

static void tell(const struct cli_context *context, struct push *push,
		 const struct image_entry *entry)
{
	struct image image;
	const struct image_reference *reference = &push->remote.reference;
	if (image_load(push->images_fd, push->arena, entry, &image, NULL, NULL) == 0)
		image_event_named(context->runroot, "push", &image,
				  image_reference_familiar_full(push->arena, reference),
				  image_reference_familiar(push->arena, reference));
}

/* Of the image that now has the name: of an index nothing is kept here. */
static int push_artifacts(struct push *push, int root_fd, const char *digest,
			  struct masu_error *err)
{
	size_t count;
	int r = artifacts_push(root_fd, &push->remote, digest, &count, err);
	if (r == 0 && !push->quiet)
		printf("Artifacts: %zu of %s\n", count, push->remote.reference.tag);
	return r;
}

static int push_entry(const struct cli_context *context, struct push *push, int root_fd,
		      const struct image_entry *entry, struct masu_error *err)
{
	char digest[DIGEST_MAX];
	uint64_t size;
	const char *tag = push->remote.reference.tag;
	int r = push_manifest(push, entry->original ? entry->original : entry->digest, tag, digest,
			      &size, err);
	if (r < 0)
		return r;
	if (!push->quiet)
		printf("%s: digest: %s size: %llu\n", tag, digest, (unsigned long long)size);
	fflush(stdout);
	tell(context, push, entry);
	r = push->artifacts ? push_artifacts(push, root_fd, digest, err) : 0;
	return r < 0 ? r : note_pushed(push, root_fd, entry, digest, err);
}

static int by_reference(const void *a, const void *b)
{
	const struct image_entry *left = a, *right = b;
	return strcmp(left->reference, right->reference);
}

/* The images that the repository names here: with @tag NULL all, else that one. */
static int find_entries(struct push *push, const char *tag, struct image_entry **ret,
			size_t *ret_count, struct masu_error *err)
{
	const struct image_reference *own = &push->remote.reference;
	struct image_entry *found =
		arena_array(push->arena, struct image_entry, push->index.count + 1);
	size_t count = 0, others = 0;
	if (!found)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < push->index.count; i++) {
		const struct image_entry *entry = &push->index.entries[i];
		struct image_reference other;
		if (!entry->reference ||
		    image_reference_parse(push->arena, entry->reference, &other, NULL) < 0 ||
		    !streq(other.domain, own->domain) || !streq(other.path, own->path) ||
		    !other.tag || other.digest)
			continue;
		others++;
		if (!tag || streq(other.tag, tag))
			found[count++] = *entry;
	}
	if (others == 0)
		return error_set(err, -ENOENT, "An image does not exist locally with the tag: %s",
				 image_reference_familiar(push->arena, own));
	if (count == 0)
		return error_set(err, -ENOENT, "tag does not exist: %s",
				 image_reference_familiar_full(push->arena, own));
	qsort(found, count, sizeof(*found), by_reference);
	*ret = found;
	*ret_count = count;
	return 0;
}

static int push_all(const struct cli_context *context, struct push *push, int root_fd, bool all,
		    struct masu_error *err)
{
	struct image_entry *entries = NULL;
	size_t count = 0;
	int r = find_entries(push, all ? NULL : push->remote.reference.tag, &entries, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct image_reference reference;
		r = image_reference_parse(push->arena, entries[i].reference, &reference, err);
		push->remote.reference.tag = reference.tag;
		if (r == 0)
			r = push_entry(context, push, root_fd, &entries[i], err);
	}
	return r;
}

/* A store that is not there is an empty one. */
static int open_store(struct push *push, int root_fd, struct masu_error *err)
{
	push->index.arena = push->arena;
	push->images_fd = openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (push->images_fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "images");
	return image_index_load(push->images_fd, push->arena, &push->index, err);
}

static int run_push(const struct cli_context *context, const struct push_options *o,
		    const struct image_reference *reference, struct masu_error *err)
{
	_cleanup_close_ int root_fd = -1;
	_cleanup_close_ int images_fd = -1;
	_cleanup_remote_ struct remote remote = { 0 };
	struct push push = { .arena = context->arena,
			     .images_fd = -1,
			     .quiet = o->quiet,
			     .artifacts = o->artifacts,
			     .platform = o->platform };
	int r = open_root(context, &root_fd, err);
	if (r == 0)
		r = open_store(&push, root_fd, err);
	images_fd = push.images_fd;
	if (r == 0)
		r = remote_open(context->arena, reference, true, &remote, err);
	if (r < 0)
		return r;
	push.remote = remote;
	if (!o->quiet)
		printf("The push refers to repository [%s/%s]\n", reference->domain,
		       reference->path);
	r = push_all(context, &push, root_fd, o->all_tags, err);
	if (r == 0 && o->quiet)
		printf("%s\n", image_reference_full(context->arena, reference));
	return r;
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	const struct push_options *o = data;
	struct image_reference reference;
	struct platform platform;
	int r = image_reference_parse(context->arena, argv[0], &reference, err);
	if (r == 0 && o->platform)
		r = platform_parse(context->arena, o->platform, &platform, err);
	if (r < 0)
		return r;
	bool named = image_reference_has_tag(argv[0]);
	if (o->all_tags && (named || reference.digest))
		return error_set(err, -EINVAL, "tag can't be used with --all-tags/-a");
	if (reference.digest)
		return error_set(err, -EINVAL, "cannot push a digest reference");
	if (o->all_tags)
		reference.tag = NULL;
	else if (!named && !o->quiet)
		printf("Using default tag: %s\n", reference.tag);
	r = run_push(context, o, &reference, err);
	fflush(stdout);
	return r;
}

const struct cli_command push_command = { PUSH_COMMAND, .run = run };
