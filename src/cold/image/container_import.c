/*
 * `masu container import`: a container out of an archive that `export --with-volumes` wrote. The
 * archive is somebody else's: it is taken apart, read and unpacked in the boxes that images are.
 *
 * Nothing is there before all of it is: the container is made where nobody looks, then the volumes,
 * whose records name it and count for nothing as long as it does not exist; with one rename(2) it
 * does, and so do they.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/container_archive.h"
#include "cli/session.h"
#include "cold/image/archive.h"
#include "cold/image/build.h"
#include "cold/image/container_archive.h"
#include "cold/image/load.h"
#include "cold/image/unpack.h"
#include "cold/image/verbs.h"
#include "cold/image/volume_limit.h"
#include "engine/events.h"
#include "engine/import.h"
#include "image/store.h"
#include "state/trash.h"
#include "volume/volume.h"

struct importing {
	struct engine engine;
	struct arena *arena;
	struct image_builder builder;
	struct archive files;
	struct archive_image *image;
	struct container_archive archive;
	struct engine_import import;
	struct container container;
	size_t next; /* volume that is made */
};

/* ---- reading ---- */

static int read_archive(struct importing *m, int fd, struct masu_error *err)
{
	struct archive_plan plan = { 0 };
	m->files = (struct archive) { .arena = m->arena, .staging = &m->builder.staging };
	int r = archive_read(&m->files, fd, err);
	if (r < 0)
		return r;
	const struct archive_member *document = archive_find(&m->files, CONTAINER_DOCUMENT);
	if (!document || !document->document)
		return error_set(err, -EBADMSG,
				 "no container's archive: it has no " CONTAINER_DOCUMENT
				 "; images are loaded with `masu load`");
	r = container_archive_read(m->arena, document->document, document->document_len,
				   &m->archive, err);
	if (r == 0)
		r = archive_plan(&m->files, &plan, err);
	m->image = plan.images;
	if (r == 0 &&
	    (plan.count != 1 || !streq(m->image->config->blob.digest, m->archive.image_id)))
		r = error_set(err, -EBADMSG, "the archive's image is not the container's");
	return r;
}

/* The blob that has this digest, which was computed when the archive was taken apart. */
static int find_blob(const struct importing *m, const char *digest, int *ret_fd,
		     struct masu_error *err)
{
	char path[128];
	str_format(path, sizeof(path), IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
	const struct archive_member *member = archive_find(&m->files, path);
	if (!member || !streq(member->blob.digest, digest))
		return error_set(err, -EBADMSG, "%s: missing or damaged", path);
	int fd = staging_read(&m->builder.staging, &member->blob);
	if (fd < 0)
		return error_errno(err, fd, "images: staging");
	*ret_fd = fd;
	return 0;
}

/* Every blob that is named is there, before anything is made. */
static int check_blobs(const struct importing *m, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i <= m->archive.volume_count; i++) {
		_cleanup_close_ int fd = -1;
		if (i < m->archive.volume_count)
			r = find_blob(m, m->archive.volumes[i].tree.digest, &fd, err);
		else if (m->archive.changed)
			r = find_blob(m, m->archive.changes.digest, &fd, err);
	}
	return r;
}

/* Volumes that are mounted and not in the archive would be empty ones. */
static int check_volumes(const struct importing *m, struct masu_error *err)
{
	const struct container_config *config = &m->container.config;
	for (size_t i = 0; i < config->mount_count; i++) {
		bool found = config->mounts[i].kind != MOUNT_VOLUME;
		for (size_t k = 0; k < m->archive.volume_count && !found; k++)
			found = streq(m->archive.volumes[k].name, config->mounts[i].source);
		if (!found)
			return error_set(err, -EBADMSG, "volume %s is not in the archive",
					 config->mounts[i].source);
	}
	return 0;
}

/* ---- making ---- */

static int unpack_tree(const struct importing *m, const struct container_tree *tree, int directory,
		       bool onto, struct masu_error *err)
{
	struct unpacked_layer unpacked;
	_cleanup_close_ int fd = -1;
	const struct unpack_target target = { .directory_fd = directory,
					      .tar_fd = -1,
					      .index_fd = -1,
					      .plain = !onto,
					      .onto = onto };
	int r = find_blob(m, tree->digest, &fd, err);
	if (r == 0)
		r = unpack_layer(fd, &target, NULL, 0, &unpacked, err);
	if (r == 0 && !streq(unpacked.diff_id, tree->tar))
		r = error_set(err, -EBADMSG, "%s is not %s uncompressed", tree->digest, tree->tar);
	return r;
}

static int fill_root(void *data, int root_fd, struct masu_error *err)
{
	const struct importing *m = data;
	int r = m->archive.changed ? unpack_tree(m, &m->archive.changes, root_fd, true, err) : 0;
	return r < 0 ? error_wrap(err, "what the container changed") : 0;
}

static int fill_volume(void *data, int data_fd, struct masu_error *err)
{
	const struct importing *m = data;
	const struct container_volume *volume = &m->archive.volumes[m->next];
	int r = unpack_tree(m, &volume->tree, data_fd, false, err);
	if (r == 0 && syncfs(data_fd) < 0)
		r = error_errno(err, -errno, "syncfs");
	return r < 0 ? error_wrap(err, "volume %s", volume->name) : 0;
}

static int make_volumes(struct importing *m, struct masu_error *err)
{
	int r;
	for (m->next = 0; m->next < m->archive.volume_count; m->next++) {
		struct volume made;
		const struct container_volume *volume = &m->archive.volumes[m->next];
		struct volume request = { .name = volume->name,
					  .labels = volume->labels,
					  .label_count = volume->label_count,
					  .anonymous = volume->anonymous,
					  .import = m->container.id };
		r = volume_limit_keep(m->engine.root_fd, m->arena, volume->limit, &request, err);
		if (r < 0)
			return r;
		r = volume_make_filled(m->engine.root_fd, m->engine.root, m->arena, &request,
				       fill_volume, m, &made, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whoever is killed in here leaves volumes that say which container they came with. */
static int settle_volumes(struct importing *m, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < m->archive.volume_count; i++)
		r = volume_settle(m->engine.root_fd, m->engine.root, m->arena,
				  m->archive.volumes[i].name, err);
	return r;
}

static int make_container(struct importing *m, struct masu_error *err)
{
	_cleanup_close_ int lock = -1;
	int r = import_begin(&m->engine, &m->import, &m->container, &lock, err);
	if (r < 0)
		return r;
	/* One that fails takes itself away. */
	r = make_volumes(m, err);
	if (r == 0)
		r = import_publish(&m->engine, &m->container, err);
	if (r < 0) {
		import_abandon(&m->engine, &m->container);
		while (m->next-- > 0)
			volume_remove(m->engine.root_fd, m->archive.volumes[m->next].name, NULL);
		return r;
	}
	return settle_volumes(m, err);
}

/* The image gets those of its names that nobody has here. */
static void keep_free_names(struct importing *m)
{
	struct image image;
	size_t kept = 0;
	for (size_t i = 0; m->image->references[i]; i++)
		if (image_find(m->engine.root_fd, m->arena, m->image->references[i], &image, NULL) <
		    0)
			m->image->references[kept++] = m->image->references[i];
	m->image->references[kept] = NULL;
}

static int load_image(struct importing *m, struct masu_error *err)
{
	struct image image;
	struct built_image *built;
	if (image_find(m->engine.root_fd, m->arena, m->archive.image_id, &image, NULL) < 0) {
		keep_free_names(m);
		int r = load_images(&m->builder, m->image, 1, &built, err);
		if (r == 0)
			r = image_find(m->engine.root_fd, m->arena, m->archive.image_id, &image,
				       err);
		if (r < 0)
			return r;
	}
	m->import.chain_ids = image.chain_ids;
	m->container.chain_ids = image.chain_ids;
	return 0;
}

static int import(struct importing *m, const struct container_import_options *o, int fd,
		  struct masu_error *err)
{
	const char *left = "";
	int r = read_archive(m, fd, err);
	if (r < 0)
		return r;
	m->import = (struct engine_import) { .record = m->archive.record,
					     .name = o->name,
					     .image_id = m->archive.image_id,
					     .trust = o->trust,
					     .fill = fill_root,
					     .data = m };
	r = check_blobs(m, err);
	if (r == 0)
		r = engine_volumes_lock(&m->engine, true, err);
	if (r < 0)
		return r;
	r = import_config(&m->engine, m->arena, &m->import, &m->container, &left, err);
	if (r == 0)
		r = check_volumes(m, err);
	if (r == 0)
		r = load_image(m, err);
	if (r == 0)
		r = make_container(m, err);
	engine_volumes_unlock(&m->engine);
	if (r < 0)
		return r;
	if (*left)
		log_warn("not carried over: %s", left);
	printf("%s\n", m->container.id);
	fflush(stdout);
	return 0;
}

int container_import_run(struct cli_context *context, void *data, int argc, char **argv,
			 struct masu_error *err)
{
	const struct container_import_options *o = data;
	struct importing m = { .engine = ENGINE_CLOSED,
			       .arena = context->arena,
			       .container = { .dir_fd = -1, .run_fd = -1 } };
	_cleanup_close_ int file = -1;
	bool from_stdin = argc == 0 || streq(argv[0], "-");
	if (from_stdin && isatty(STDIN_FILENO))
		return error_set(err, -EINVAL,
				 "stdin is a terminal; name a file or redirect an archive");
	if (!from_stdin && (file = open(argv[0], O_RDONLY | O_CLOEXEC)) < 0)
		return error_errno(err, -errno, "%s", argv[0]);
	int r = session_open(context, &m.engine, err);
	if (r == 0)
		r = image_builder_open(m.engine.root_fd, context->storage_driver, context->arena,
				       &m.builder, err);
	if (r == 0) {
		/* A new root has its driver from now on. */
		str_format(m.engine.storage_driver, sizeof(m.engine.storage_driver), "%s",
			   m.builder.ops->name);
		r = import(&m, o, from_stdin ? STDIN_FILENO : file, err);
		image_builder_close(&m.builder);
	}
	container_close(&m.container);
	if (m.engine.root_fd >= 0)
		trash_empty(m.engine.root_fd, 0);
	engine_close(&m.engine);
	return r < 0 ? error_wrap(err, "container import") : 0;
}

static const struct cli_command export = { CONTAINER_EXPORT_COMMAND, CONTAINER_EXPORT_OPTIONS,
					   .run = container_export_run };
static const struct cli_command import_verb = { CONTAINER_IMPORT_COMMAND, CONTAINER_IMPORT_OPTIONS,
						.run = container_import_run };
static const struct cli_command *const verbs[] = { &export, &import_verb, NULL };

const struct cli_command container_archive_command = {
	.name = "container",
	.synopsis = "COMMAND",
	.summary = "Manage containers",
	.subcommands = verbs,
};
