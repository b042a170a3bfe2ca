/* `masu manifest inspect`: documents as a registry, or a local list, has them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/manifest_options.h"
#include "cold/image/manifest_remote.h"
#include "cold/image/verbs.h"
#include "image/store.h"

static int print_indented(const char *text, size_t len, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	int r = manifest_indent(text, len, &out, err);
	if (r == 0)
		fputs(buf_str(&out), stdout);
	return r;
}

static int put_base64(struct json_writer *w, struct arena *arena, const char *text, size_t len)
{
	char *out = arena_alloc(arena, (len + 2) / 3 * 4 + 1);
	if (!out)
		return -ENOMEM;
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	json_field_string(w, "Raw", out);
	return 0;
}

/* One image as docker's --verbose has it. @text is a registry's: whole and checked in the box. */
static int put_verbose(struct json_writer *w, struct arena *arena, const struct list_member *m,
		       const char *text, size_t len, struct masu_error *err)
{
	_cleanup_buf_ struct buf checked;
	bool docker = streq(m->media_type, MEDIA_TYPE_DOCKER_MANIFEST);
	buf_init(&checked, 0);
	int r = manifest_indent(text, len, &checked, err);
	if (r < 0)
		return r;
	json_begin_object(w);
	json_field_string(w, "Ref", m->source);
	json_key(w, "Descriptor");
	json_begin_object(w);
	json_field_string(w, "mediaType", m->media_type);
	json_field_string(w, "digest", m->digest);
	json_field_u64(w, "size", m->size);
	json_key(w, "platform");
	json_begin_object(w);
	json_field_string(w, "architecture", m->architecture);
	json_field_string(w, "os", m->os);
	if (*m->variant)
		json_field_string(w, "variant", m->variant);
	json_end_object(w);
	json_end_object(w);
	r = put_base64(w, arena, text, len);
	json_key(w, docker ? "SchemaV2Manifest" : "OCIManifest");
	json_put_raw(w, buf_str(&checked), checked.len);
	json_end_object(w);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int print_verbose_list(const struct manifest_task *task, const struct manifest_list *list,
			      struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	int r = 0;
	buf_init(&out, 0);
	json_writer_init(&w, &out, false);
	json_begin_array(&w);
	for (size_t i = 0; i < list->count && r == 0; i++) {
		const struct list_member *member = &list->members[i];
		const char *text;
		size_t len;
		r = manifest_list_read(task->root_fd, task->arena, list->name, member->digest,
				       &text, &len, err);
		if (r == 0)
			r = put_verbose(&w, task->arena, member, text, len, err);
	}
	json_end_array(&w);
	return r < 0 ? r : print_indented(buf_str(&out), out.len, err);
}

static int inspect_list(const struct manifest_task *task, const char *name, bool verbose,
			struct masu_error *err)
{
	struct manifest_list list;
	_cleanup_buf_ struct buf text;
	buf_init(&text, IMAGE_MAX_DOCUMENT);
	int r = manifest_list_load(task->root_fd, task->arena, name, &list, err);
	if (r < 0)
		return r;
	if (verbose)
		return print_verbose_list(task, &list, err);
	r = manifest_list_write(&list, false, &text, NULL);
	if (r < 0)
		return error_errno(err, r, "manifest list %s", name);
	fputs(buf_str(&text), stdout); /* as it will be pushed, like docker */
	return 0;
}

static int inspect_member(const struct manifest_task *task, const char *name,
			  const char *member_name, bool verbose, struct masu_error *err)
{
	struct manifest_list list;
	const char *text;
	size_t len;
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, 0);
	int r = manifest_list_load(task->root_fd, task->arena, name, &list, err);
	if (r < 0)
		return r;
	const struct list_member *member = manifest_list_member(&list, member_name);
	if (!member)
		return error_set(err, -ENOENT, "No such manifest: %.200s in %s", member_name, name);
	r = manifest_list_read(task->root_fd, task->arena, name, member->digest, &text, &len, err);
	if (r < 0 || !verbose)
		return r < 0 ? r : print_indented(text, len, err);
	json_writer_init(&w, &out, false);
	r = put_verbose(&w, task->arena, member, text, len, err);
	return r < 0 ? r : print_indented(buf_str(&out), out.len, err);
}

static int inspect_remote(const struct manifest_task *task, const char *text, bool verbose,
			  struct masu_error *err)
{
	struct image_reference reference;
	struct remote_document document;
	struct found_manifest found;
	_cleanup_remote_ struct remote remote = { 0 };
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, 0);
	int r = image_reference_parse(task->arena, text, &reference, err);
	if (r == 0 && !verbose) {
		r = manifest_open_remote(task, &reference, false, &remote, err);
		if (r == 0)
			r = remote_get(&remote, "manifests",
				       reference.digest ? reference.digest : reference.tag, "",
				       &document, err);
		if (r == -ENOENT)
			return error_set(err, r, "no such manifest: %.200s", text);
		return r < 0 ? r : print_indented(document.text, document.len, err);
	}
	if (r == 0)
		r = manifest_find(task, text, &found, err);
	if (r < 0)
		return r;
	json_writer_init(&w, &out, false);
	r = put_verbose(&w, task->arena, &found.member, found.text, found.len, err);
	return r < 0 ? r : print_indented(buf_str(&out), out.len, err);
}

int manifest_inspect(struct cli_context *context, void *data, int argc, char **argv,
		     struct masu_error *err)
{
	const struct manifest_options *o = data;
	const char *name = NULL;
	_cleanup_close_ int root_fd = -1;
	int r = open_root(context, &root_fd, err);
	if (r < 0)
		return r;
	const struct manifest_task task = { context->arena, root_fd, o->insecure };
	/* A digest names no list. */
	if (manifest_list_name(context->arena, argv[0], &name, NULL) < 0 ||
	    !manifest_list_exists(root_fd, name))
		name = NULL;
	if (argc == 2 && !name)
		return error_set(err, -ENOENT, "No such manifest: %.200s", argv[0]);
	if (argc == 2)
		return inspect_member(&task, name, argv[1], o->verbose, err);
	return name ? inspect_list(&task, name, o->verbose, err)
		    : inspect_remote(&task, argv[0], o->verbose, err);
}
