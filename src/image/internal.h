/* Shared by the files of this module only. */
#pragma once

#include "image/store.h"

#define IMAGES_RESOLVED "resolved"

/* Reads a whole document of at most IMAGE_MAX_DOCUMENT bytes into the arena. */
int image_document_read(int dirfd, const char *path, struct arena *arena, const char **ret_text,
			size_t *ret_len);

/* A JSON array of strings as a NULL-terminated list; NULL for null or absent. -EINVAL, -ENOMEM. */
int image_json_strings(struct arena *arena, const struct json *array, const char ***ret);

/*
 * The cache of resolved names: everything image_find() answers, in one file a name, valid as long
 * as index.json is the same file with the same size and change time.
 */
#define IMAGE_STAMP_MAX 80
/* Identifies one state of index.json. */
int image_index_stamp(int root_fd, char ret[IMAGE_STAMP_MAX]);
int image_resolved_read(int root_fd, struct arena *arena, const char *name, struct image *ret);
void image_resolved_write(int root_fd, const char *stamp, const char *name,
			  const struct image *image, const struct json *config_document);
/* Forgets all of it. */
void image_resolved_clear(int images_fd);

/* As image_load(), and hands out the config document. */
int image_load_document(int images_fd, struct arena *arena, const struct image_entry *entry,
			struct image *ret, struct image_manifest *ret_manifest,
			const struct json **ret_config, struct masu_error *err);
