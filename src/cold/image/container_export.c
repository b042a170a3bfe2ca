/*
 * `masu container export --with-volumes`: everything that a stopped container is, as one archive.
 * The container cannot be started while it is read, nor its volumes be changed by others that run:
 * they stand still.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/container_archive.h"
#include "cli/output_file.h"
#include "cli/session.h"
#include "cold/image/container_archive.h"
#include "cold/image/save.h"
#include "cold/image/staged_tree.h"
#include "cold/image/verbs.h"
#include "cold/image/volume_limit.h"
#include "engine/snapshot.h"
#include "engine/volume_users.h"
#include "image/store.h"
#include "tree/tar_write.h"
#include "volume/snapshot.h"

/* Of the tar without an entry. */
#define EMPTY_TAR "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

struct exporting {
	struct engine engine;
	struct arena *arena;
	struct snapshot snapshot;
	struct staging staging;
	struct container_archive archive;
	struct staged_blob *blobs;
	size_t blob_count;
	int images_fd;
};

struct reading {
	struct exporting *x;
	const char *volume; /* NULL: what the container changed */
};

static int tell(void *data, int out, struct masu_error *err)
{
	const struct reading *reading = data;
	struct exporting *x = reading->x;
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	if (reading->volume)
		return volume_export_sorted(x->engine.root_fd, x->engine.root, x->arena,
					    reading->volume, out, err);
	int r = tar_writer_new(out, &writer, err);
	return r < 0 ? r : snapshot_changes(&x->snapshot, tar_writer_sink(writer), err);
}

static int stage(struct exporting *x, const char *volume, struct container_tree *ret,
		 struct masu_error *err)
{
	struct reading reading = { .x = x, .volume = volume };
	struct staged_blob *blob = &x->blobs[x->blob_count];
	uint64_t bytes;
	int r = staged_tree(&x->staging, tell, &reading, blob, ret->tar, &bytes, err);
	if (r < 0)
		return r;
	memcpy(ret->digest, blob->digest, sizeof(ret->digest));
	x->blob_count++;
	return 0;
}

static int stage_volume(struct exporting *x, const char *name, struct masu_error *err)
{
	struct volume_users users = { 0 };
	struct volume found;
	struct container_volume *volume = &x->archive.volumes[x->archive.volume_count];
	for (size_t i = 0; i < x->archive.volume_count; i++)
		if (streq(x->archive.volumes[i].name, name))
			return 0; /* mounted twice */
	if (strchr(name, '@'))
		return error_set(err, -EOPNOTSUPP,
				 "the snapshot %s is mounted in it, which cannot travel; mount a "
				 "clone of it",
				 name);
	if (x->archive.volume_count == CONTAINER_VOLUMES_MAX)
		return error_set(err, -E2BIG, "more than %d volumes", CONTAINER_VOLUMES_MAX);
	_cleanup_close_ int data = -1;
	int r = volume_open_data(x->engine.root_fd, x->engine.root, x->arena, name, &found, &data,
				 err);
	if (r == 0)
		r = volume_users_pause(&x->engine, x->arena, name, &users, err);
	if (r == 0)
		r = stage(x, name, &volume->tree, err);
	volume_users_resume(&x->engine, &users);
	if (r < 0)
		return r;
	volume->name = found.name;
	volume->anonymous = found.anonymous;
	volume->labels = found.labels;
	volume->label_count = found.label_count;
	volume->limit = volume_limit_of(x->arena, &found);
	x->archive.volume_count++;
	return 0;
}

static int stage_all(struct exporting *x, struct masu_error *err)
{
	const struct container_config *config = &x->snapshot.container.config;
	x->blobs = arena_array(x->arena, struct staged_blob, config->mount_count + 1);
	x->archive.volumes =
		arena_array(x->arena, struct container_volume, config->mount_count + 1);
	if (!x->blobs || !x->archive.volumes)
		return error_set(err, -ENOMEM, "out of memory");
	int r = stage(x, NULL, &x->archive.changes, err);
	if (r == 0) {
		x->archive.changed = !streq(x->archive.changes.tar, EMPTY_TAR);
		x->blob_count = x->archive.changed;
	}
	for (size_t i = 0; i < config->mount_count && r == 0; i++)
		if (config->mounts[i].kind == MOUNT_VOLUME)
			r = stage_volume(x, config->mounts[i].source, err);
	return r;
}

static int read_container(struct exporting *x, const char *id, struct masu_error *err)
{
	int r = engine_volumes_lock(&x->engine, false, err);
	if (r < 0)
		return r;
	r = snapshot_open(&x->engine, x->arena, id, 0, &x->snapshot, err);
	if (r == 0 && container_is_alive(&x->snapshot.container))
		r = error_set(err, -EBUSY, "it runs; stop it first");
	if (r == 0)
		r = stage_all(x, err);
	if (r == 0)
		r = snapshot_end(&x->snapshot, err);
	engine_volumes_unlock(&x->engine);
	return r;
}

/* Its name in the store, if that is still the container's image; else its id. */
static const char *image_name(struct exporting *x)
{
	struct image image;
	const char *name = x->snapshot.container.config.image;
	const char *id = x->snapshot.container.image_id;
	if (name && image_find(x->engine.root_fd, x->arena, name, &image, NULL) == 0 &&
	    streq(image.id, id))
		return name;
	return id;
}

static int write_to(void *data, int fd, struct masu_error *err)
{
	struct exporting *x = data;
	_cleanup_buf_ struct buf document;
	const char *image = image_name(x);
	buf_init(&document, IMAGE_MAX_DOCUMENT);
	x->archive.record = x->snapshot.container.record;
	x->archive.image_id = x->snapshot.container.image_id;
	int r = container_archive_write(&x->archive, &document);
	if (r < 0)
		return error_errno(err, r, CONTAINER_DOCUMENT);
	const struct save_more more = { .staging = &x->staging,
					.blobs = x->blobs,
					.count = x->blob_count,
					.name = CONTAINER_DOCUMENT,
					.document = &document };
	return save_image(x->arena, x->images_fd, image, &more, fd, err);
}

int container_export_run(struct cli_context *context, void *data, int argc, char **argv,
			 struct masu_error *err)
{
	const struct container_export_options *o = data;
	struct exporting x = { .engine = ENGINE_CLOSED,
			       .arena = context->arena,
			       .snapshot = SNAPSHOT_CLOSED,
			       .staging = { .fd = -1 },
			       .images_fd = -1 };
	char id[65];
	if (!o->output && isatty(STDOUT_FILENO))
		return error_set(err, -EINVAL,
				 "cowardly refusing to save to a terminal. Use the -o flag or "
				 "redirect");
	int r = session_resolve(context, argv[0], &x.engine, id, err);
	if (r == 0)
		r = staging_open(x.engine.root_fd, &x.staging, err);
	if (r == 0) {
		x.images_fd =
			openat(x.engine.root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = x.images_fd < 0 ? error_errno(err, -errno, "images") : 0;
	}
	if (r == 0)
		r = read_container(&x, id, err);
	if (r == 0)
		r = output_write(x.arena, o->output, write_to, &x, err);
	snapshot_close(&x.snapshot);
	cleanup_close(&x.images_fd);
	staging_close(&x.staging);
	engine_close(&x.engine);
	return r < 0 ? error_wrap(err, "container %s", argv[0]) : 0;
}
