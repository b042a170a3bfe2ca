/*
 * Local manifest lists: what `masu manifest` puts together before it is pushed. Each is a directory
 * images/.masu/lists/<hash of its name>/ that is an image layout by itself: index.json is the list,
 * an OCI index whose descriptors say in the annotation "masu.source" where their manifests came
 * from, and blobs/sha256/ has those manifests. Their layers stay where they are: in the registry,
 * or in the store.
 */
#pragma once

#include "image/image.h"

#define LIST_MEMBERS_MAX 256

struct list_member {
	const char *source; /* the reference that it was named by, full form */
	const char *digest, *media_type;
	uint64_t size;
	const char *os, *architecture, *variant, *os_version; /* "": not known */
	const char **os_features;			      /* NULL-terminated */
};

struct manifest_list {
	struct arena *arena;
	const char *name; /* full form, with a tag */
	struct list_member members[LIST_MEMBERS_MAX];
	size_t count;
};

/* The full form of a list's name, which has a tag and no digest. */
int manifest_list_name(struct arena *arena, const char *text, const char **ret,
		       struct masu_error *err);
bool manifest_list_exists(int root_fd, const char *name);
/* -ENOENT with docker's message. @name: full form, kept. */
int manifest_list_load(int root_fd, struct arena *arena, const char *name,
		       struct manifest_list *ret, struct masu_error *err);
/* Atomic and durable; under image_store_lock(). The members' manifests must be kept before. */
int manifest_list_save(int root_fd, const struct manifest_list *list, struct masu_error *err);
int manifest_list_remove(int root_fd, const char *name, struct masu_error *err);

/* Keeps, and reads again, the manifest of a member. */
int manifest_list_keep(int root_fd, const char *name, const char *digest, const char *text,
		       size_t len, struct masu_error *err);
int manifest_list_read(int root_fd, struct arena *arena, const char *name, const char *digest,
		       const char **ret_text, size_t *ret_len, struct masu_error *err);

/* The member that @text names: by its digest, or by the reference it was added with; or NULL. */
struct list_member *manifest_list_member(struct manifest_list *list, const char *text);
/* @member is added, or takes the place of the one with its source or digest. */
int manifest_list_put(struct manifest_list *list, const struct list_member *member,
		      struct masu_error *err);

/*
 * The list as a registry gets it: Docker's kind where the first manifest is Docker's, else OCI's.
 * *ret_type (may be NULL) is its media type.
 */
int manifest_list_write(const struct manifest_list *list, bool sources, struct buf *out,
			const char **ret_type);
