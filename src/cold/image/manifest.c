/* `masu manifest`: lists of images for several platforms, with docker's verbs and podman's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/manifest_options.h"
#include "cold/image/manifest_remote.h"
#include "cold/image/verbs.h"
#include "image/store.h"

/* An edit of the list @text: the store, locked, and the list as it is or, with @new, empty. */
struct edit {
	struct manifest_task task;
	int root_fd, images_fd;
	struct manifest_list list;
};

static void edit_close(struct edit *edit)
{
	cleanup_close(&edit->images_fd);
	cleanup_close(&edit->root_fd);
}
#define _cleanup_edit_ _cleanup_(edit_close)

static int edit_open(struct cli_context *context, const struct manifest_options *o,
		     const char *text, struct edit *ret, struct masu_error *err)
{
	*ret = (struct edit) { .root_fd = -1, .images_fd = -1 };
	ret->list.arena = context->arena;
	int r = manifest_list_name(context->arena, text, &ret->list.name, err);
	if (r == 0)
		r = open_root(context, &ret->root_fd, err);
	ret->task = (struct manifest_task) { .arena = context->arena,
					     .root_fd = ret->root_fd,
					     .insecure = o && o->insecure };
	return r;
}

/* Registries are asked before; what follows is quick. */
static int edit_lock(struct edit *edit, bool must_exist, struct masu_error *err)
{
	int r = image_store_lock(edit->root_fd, &edit->images_fd, err);
	if (r == 0 && (must_exist || manifest_list_exists(edit->root_fd, edit->list.name)))
		r = manifest_list_load(edit->root_fd, edit->task.arena, edit->list.name,
				       &edit->list, err);
	return r;
}

static const char *shown(struct arena *arena, const char *full)
{
	struct image_reference reference;
	const char *text = NULL;
	if (image_reference_parse(arena, full, &reference, NULL) == 0)
		text = image_reference_familiar_full(arena, &reference);
	return text ? text : full;
}

static void apply_platform(const struct manifest_options *o, struct list_member *member)
{
	if (o->architecture)
		member->architecture = o->architecture;
	if (o->os)
		member->os = o->os;
	if (o->os_version)
		member->os_version = o->os_version;
	if (o->variant)
		member->variant = o->variant;
	if (o->os_features.count)
		member->os_features = o->os_features.items;
}

/* create and add: finds @names, keeps their manifests, and puts them in. */
static int put_members(struct edit *edit, const struct manifest_options *o, char **names,
		       size_t count, bool must_exist, struct masu_error *err)
{
	struct found_manifest *found =
		arena_array(edit->task.arena, struct found_manifest, count + 1);
	int r = found ? 0 : error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++) {
		r = manifest_find(&edit->task, names[i], &found[i], err);
		if (r == 0)
			apply_platform(o, &found[i].member);
	}
	if (r == 0)
		r = edit_lock(edit, must_exist, err);
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct list_member *member = &found[i].member;
		r = manifest_list_put(&edit->list, member, err);
		if (r == 0)
			r = manifest_list_keep(edit->root_fd, edit->list.name, member->digest,
					       found[i].text, found[i].len, err);
	}
	return r < 0 ? r : manifest_list_save(edit->root_fd, &edit->list, err);
}

static int create_run(struct cli_context *context, void *data, int argc, char **argv,
		      struct masu_error *err)
{
	const struct manifest_options *o = data;
	_cleanup_edit_ struct edit edit;
	int r = edit_open(context, o, argv[0], &edit, err);
	if (r == 0 && !o->amend && manifest_list_exists(edit.root_fd, edit.list.name))
		r = error_set(err, -EEXIST,
			      "refusing to amend an existing manifest list with no --amend flag");
	if (r == 0)
		r = put_members(&edit, o, argv + 1, (size_t)argc - 1, false, err);
	if (r == 0)
		printf("Created manifest list %s\n", edit.list.name);
	return r;
}

static int add_run(struct cli_context *context, void *data, int argc, char **argv,
		   struct masu_error *err)
{
	const struct manifest_options *o = data;
	_cleanup_edit_ struct edit edit;
	int r = edit_open(context, o, argv[0], &edit, err);
	if (r == 0 && !manifest_list_exists(edit.root_fd, edit.list.name))
		r = error_set(err, -ENOENT, "No such manifest: %s", edit.list.name);
	if (r == 0)
		r = put_members(&edit, o, argv + 1, (size_t)argc - 1, true, err);
	if (r == 0)
		printf("%s\n", edit.list.name);
	return r;
}

static int annotate_run(struct cli_context *context, void *data, int argc, char **argv,
			struct masu_error *err)
{
	(void)argc;
	const struct manifest_options *o = data;
	struct list_member *member = NULL;
	_cleanup_edit_ struct edit edit;
	int r = edit_open(context, o, argv[0], &edit, err);
	if (r == 0)
		r = edit_lock(&edit, true, err);
	if (r < 0)
		return r;
	member = manifest_list_member(&edit.list, argv[1]);
	if (!member)
		return error_set(err, -ENOENT, "manifest for image %.200s does not exist in %s",
				 argv[1], shown(context->arena, edit.list.name));
	apply_platform(o, member);
	return manifest_list_save(edit.root_fd, &edit.list, err);
}

static int exists_run(struct cli_context *context, void *data, int argc, char **argv,
		      struct masu_error *err)
{
	(void)data;
	(void)argc;
	_cleanup_edit_ struct edit edit;
	int r = edit_open(context, NULL, argv[0], &edit, err);
	return r < 0 ? r : manifest_list_exists(edit.root_fd, edit.list.name) ? 0 : 1;
}

static int rm_run(struct cli_context *context, void *data, int argc, char **argv,
		  struct masu_error *err)
{
	(void)data;
	int result = 0;
	for (int i = 0; i < argc; i++) {
		struct masu_error own = { 0 };
		_cleanup_edit_ struct edit edit;
		int r = edit_open(context, NULL, argv[i], &edit, &own);
		if (r == 0)
			r = edit_lock(&edit, true, &own);
		if (r == 0)
			r = manifest_list_remove(edit.root_fd, edit.list.name, &own);
		if (r < 0 && result < 0)
			fprintf(stderr, "masu: %s\n", err->message);
		if (r < 0) {
			*err = own;
			result = r;
		}
	}
	return result;
}

/* ---- push ---- */

static int check_platforms(const struct manifest_list *list, struct masu_error *err)
{
	if (list->count == 0)
		return error_set(err, -EINVAL, "manifest list %s is empty; see: masu manifest add",
				 list->name);
	for (size_t i = 0; i < list->count; i++)
		if (!*list->members[i].os || !*list->members[i].architecture)
			return error_set(err, -EINVAL,
					 "manifest %s must have an OS and Architecture to be "
					 "pushed to a registry; see: masu manifest annotate",
					 list->members[i].source);
	return 0;
}

static int send_list(struct edit *edit, struct remote *remote, char ret_digest[DIGEST_MAX],
		     struct masu_error *err)
{
	const char *type;
	_cleanup_buf_ struct buf text;
	struct manifest_list *list = &edit->list;
	buf_init(&text, IMAGE_MAX_DOCUMENT);
	int r = check_platforms(list, err);
	for (size_t i = 0; i < list->count && r == 0; i++) {
		bool sent;
		r = manifest_send(&edit->task, remote, list, &list->members[i], &sent, err);
		if (r == 0 && sent)
			printf("Pushed ref %s/%s@%s with digest: %s\n", remote->reference.domain,
			       remote->reference.path, list->members[i].digest,
			       list->members[i].digest);
	}
	if (r < 0)
		return r;
	r = manifest_list_write(list, false, &text, &type);
	if (r < 0)
		return error_errno(err, r, "manifest list %s", list->name);
	/* The same bytes as docker's, which end with the brace. */
	return remote_put_manifest(remote, remote->reference.tag, type, text.data, text.len - 1,
				   ret_digest, NULL, err);
}

static int push_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err)
{
	(void)argc;
	const struct manifest_options *o = data;
	char digest[DIGEST_MAX];
	struct image_reference reference;
	_cleanup_remote_ struct remote remote = { 0 };
	_cleanup_edit_ struct edit edit;
	int r = edit_open(context, o, argv[0], &edit, err);
	if (r == 0)
		r = manifest_list_load(edit.root_fd, context->arena, edit.list.name, &edit.list,
				       err);
	if (r == 0)
		r = image_reference_parse(context->arena, edit.list.name, &reference, err);
	if (r == 0)
		r = manifest_open_remote(&edit.task, &reference, true, &remote, err);
	if (r == 0)
		r = send_list(&edit, &remote, digest, err);
	if (r < 0)
		return r;
	printf("%s\n", digest);
	if (o->purge)
		r = manifest_list_remove(edit.root_fd, edit.list.name, err);
	return r;
}

/* ---- the group ---- */

static const struct cli_command add = { MANIFEST_ADD_COMMAND, .run = add_run };
static const struct cli_command annotate = { MANIFEST_ANNOTATE_COMMAND, .run = annotate_run };
static const struct cli_command create = { MANIFEST_CREATE_COMMAND, .run = create_run };
static const struct cli_command exists = { MANIFEST_EXISTS_COMMAND, .run = exists_run };
static const struct cli_command inspect = { MANIFEST_INSPECT_COMMAND, .run = manifest_inspect };
static const struct cli_command push = { MANIFEST_PUSH_COMMAND, .run = push_run };
static const struct cli_command rm = { MANIFEST_RM_COMMAND, .run = rm_run };
static const struct cli_command *const verbs[] = { &add,     &annotate, &create, &exists,
						   &inspect, &push,	&rm,	 NULL };

const struct cli_command manifest_command = { MANIFEST_COMMAND, .subcommands = verbs };
