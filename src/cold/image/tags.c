#include "cold/image/tags.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cold/image/unpack.h"
#include "image/store.h"
#include "json/json.h"

#define PAGE_MEMORY (64u << 20)

int tags_describe(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct tags_page *page = opaque;
	const struct json *document;
	arena_init(&arena, PAGE_MEMORY);
	int r = json_parse(&arena, page->text, page->len, &document, err);
	if (r < 0)
		return error_wrap(err, "list of tags");
	const struct json *tags = json_get(document, "tags");
	if (!tags || (tags->type != JSON_ARRAY && tags->type != JSON_NULL))
		return error_set(err, -EBADMSG, "the registry's list of tags holds none");
	json_foreach (item, tags) {
		const char *tag;
		if (!json_string(item, &tag) || !image_tag_valid(tag))
			return error_set(err, -EBADMSG, "the registry lists a tag that is none");
		buf_printf(out, "%s\n", tag);
	}
	return buf_error(out);
}

struct collector {
	struct arena *arena;
	const char **tags;
	size_t count, capacity;
};

static int add(struct collector *c, const char *tag)
{
	if (c->count + 1 >= c->capacity) {
		size_t capacity = c->capacity ? c->capacity * 2 : 64;
		const char **grown = arena_array(c->arena, const char *, capacity);
		if (!grown)
			return -ENOMEM;
		if (c->count)
			memcpy(grown, c->tags, c->count * sizeof(*grown));
		c->tags = grown;
		c->capacity = capacity;
	}
	c->tags[c->count++] = tag;
	return 0;
}

static int take_page(struct collector *c, const struct remote_document *document,
		     struct masu_error *err)
{
	_cleanup_buf_ struct buf lines;
	struct tags_page page = { document->text, document->len };
	char *save = NULL;
	buf_init(&lines, 2 * FETCH_DOCUMENT_MAX);
	int r = sandboxed_run(tags_describe, &page, FETCH_DOCUMENT_MAX, &lines, err);
	char *text = r == 0 ? arena_strdup(c->arena, buf_str(&lines)) : NULL;
	if (r == 0 && !text)
		r = error_set(err, -ENOMEM, "out of memory");
	for (char *tag = text ? strtok_r(text, "\n", &save) : NULL; tag && r == 0;
	     tag = strtok_r(NULL, "\n", &save)) {
		if (!image_tag_valid(tag))
			r = error_set(err, -EPROTO, "the decoder's answer about the tags");
		else if (c->count == IMAGE_MAX_TAGS)
			r = error_set(err, -E2BIG, "more than %d tags", IMAGE_MAX_TAGS);
		else if (add(c, tag) < 0)
			r = error_set(err, -ENOMEM, "out of memory");
	}
	return r;
}

/* A next page is one of this list. */
static bool is_own_page(const struct remote *remote, const char *path)
{
	const char *rest = str_after(path, "/v2/");
	rest = rest ? str_after(rest, remote->reference.path) : NULL;
	rest = rest ? str_after(rest, "/tags/list") : NULL;
	return rest && (*rest == '?' || !*rest);
}

int remote_tags(struct remote *remote, const char ***ret, size_t *ret_count, struct masu_error *err)
{
	struct collector c = { .arena = remote->arena };
	struct remote_document page;
	int r = remote_get(remote, "tags", "list", "application/json", &page, err);
	while (r == 0) {
		size_t before = c.count;
		r = take_page(&c, &page, err);
		if (r < 0 || !page.next[0])
			break;
		if (!is_own_page(remote, page.next))
			return error_set(err, -EBADMSG,
					 "%s: the list of tags goes on somewhere else",
					 remote->reference.path);
		if (c.count == before)
			return error_set(err, -ELOOP, "%s: the list of tags has no end",
					 remote->reference.path);
		r = remote_get_path(remote, page.next, "application/json", &page, err);
	}
	if (r == 0 && add(&c, NULL) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	*ret = c.tags;
	*ret_count = c.count - 1;
	return 0;
}
