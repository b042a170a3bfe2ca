/* `masu manifest` against registries: where members come from, and where a list goes. */
#pragma once

#include "cold/image/manifest_list.h"
#include "cold/registry/remote.h"

/* What the steps of a verb share. */
struct manifest_task {
	struct arena *arena;
	int root_fd;
	bool insecure; /* --insecure */
};

/* A manifest that was found, and its document. */
struct found_manifest {
	struct list_member member;
	const char *text;
	size_t len;
};

/*
 * Finds the manifest that @text names: in its registry, else, where that does not have it or does
 * not answer, as an image of the store. -EINVAL for a manifest list. The platform is its config's.
 */
int manifest_find(const struct manifest_task *task, const char *text, struct found_manifest *ret,
		  struct masu_error *err);

/* Opens the repository of @reference, insecurely where the task says so. */
int manifest_open_remote(const struct manifest_task *task, const struct image_reference *reference,
			 bool push, struct remote *ret, struct masu_error *err);

/*
 * Sends @member of @list, unless the repository has it: its blobs from the store, or mounted from
 * the repository of the same registry that it came from; then its manifest. *ret_sent: it was not
 * there yet.
 */
int manifest_send(const struct manifest_task *task, struct remote *remote,
		  const struct manifest_list *list, const struct list_member *member,
		  bool *ret_sent, struct masu_error *err);

/* @text of a registry as docker prints it: indented with tabs, by a process in a box. */
int manifest_indent(const char *text, size_t len, struct buf *ret, struct masu_error *err);
