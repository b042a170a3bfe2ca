#include "cold/image/erofs_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/str.h"
#include "cold/image/erofs_format.h"

#define TEXTS_LIMIT   (80u << 20)
#define XATTRS_LIMIT  (48u << 20)
#define EXTENTS_LIMIT (48u << 20)
#define FIRST_ROOM    1024u

static int fail(int code, const char *path, struct masu_error *err)
{
	return error_errno(err, code, "entry \"%.200s\"", path);
}

static int no_room(const char *path, const char *what, struct masu_error *err)
{
	return error_set(err, -EOVERFLOW,
			 "entry \"%.200s\": the layer has too many %s for one index", path, what);
}

/* ---- nodes and names ---- */

static bool is_directory(const struct erofs_node *node)
{
	return S_ISDIR(node->mode);
}

static bool is_whiteout(const struct erofs_node *node)
{
	return S_ISCHR(node->mode) && node->device == 0;
}

/* mremap(2) makes the growth of big arrays cheap, also where nothing else is allowed. */
static int grow(void **array, uint32_t count, uint32_t *room, size_t item)
{
	if (count < *room)
		return 0;
	uint32_t wanted = *room ? *room + *room / 2 : FIRST_ROOM;
	void *grown = reallocarray(*array, wanted, item);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

static int add_node(struct erofs_tree *t, uint32_t mode, uint32_t *ret)
{
	int r = grow((void **)&t->nodes, t->node_count, &t->node_room, sizeof(*t->nodes));
	if (r < 0)
		return r;
	t->nodes[t->node_count] = (struct erofs_node) {
		.mode = (uint16_t)mode,
		.mtime = t->now.tv_sec,
		.mtime_ns = (uint32_t)t->now.tv_nsec,
		.name = EROFS_NONE,
	};
	*ret = t->node_count++;
	return 0;
}

static uint32_t bucket(const struct erofs_tree *t, uint32_t parent, const char *text, size_t len)
{
	uint64_t hash = hash_bytes(t->seed ^ parent * 0x9e3779b97f4a7c15u, text, len);
	return (uint32_t)(hash ^ hash >> 32) & (t->table_size - 1);
}

static uint32_t find_name(const struct erofs_tree *t, uint32_t parent, const char *text, size_t len)
{
	uint32_t i = t->table[bucket(t, parent, text, len)];
	while (i != EROFS_NONE && !(t->names[i].parent == parent && t->names[i].len == len &&
				    memcmp(t->names[i].text, text, len) == 0))
		i = t->names[i].next;
	return i;
}

static int resize_table(struct erofs_tree *t, uint32_t size)
{
	free(t->table);
	t->table = malloc(size * sizeof(*t->table));
	if (!t->table)
		return -ENOMEM;
	memset(t->table, 0xff, size * sizeof(*t->table));
	t->table_size = size;
	for (uint32_t i = 0; i < t->name_count; i++) {
		struct erofs_name *name = &t->names[i];
		uint32_t *at = &t->table[bucket(t, name->parent, name->text, name->len)];
		name->next = *at;
		*at = i;
	}
	return 0;
}

static int add_name(struct erofs_tree *t, uint32_t parent, const char *text, size_t len,
		    uint32_t node)
{
	int r = grow((void **)&t->names, t->name_count, &t->name_room, sizeof(*t->names));
	if (r == 0 && t->name_count == t->table_size)
		r = resize_table(t, t->table_size * 2);
	if (r < 0)
		return r;
	uint32_t *at = &t->table[bucket(t, parent, text, len)];
	struct erofs_name *name = &t->names[t->name_count];
	*name = (struct erofs_name) { .text = arena_strndup(&t->texts, text, len),
				      .parent = parent,
				      .node = node,
				      .next = *at,
				      .len = (uint8_t)len };
	if (!name->text)
		return -ENOMEM;
	if (is_directory(&t->nodes[node]))
		t->nodes[node].name = t->name_count;
	*at = t->name_count++;
	return 0;
}

/* A name gets another node; what is below the old one is reached no more. */
static void set_node(struct erofs_tree *t, uint32_t name, uint32_t node)
{
	t->names[name].node = node;
	if (node != EROFS_NONE && is_directory(&t->nodes[node]))
		t->nodes[node].name = name;
}

int erofs_tree_new(const uint8_t random[16], struct timespec now, struct erofs_tree **ret)
{
	uint32_t root;
	struct erofs_tree *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	memcpy(t->uuid, random, sizeof(t->uuid));
	memcpy(&t->seed, random, sizeof(t->seed));
	t->now = now;
	t->file = EROFS_NONE;
	arena_init(&t->texts, TEXTS_LIMIT);
	arena_init(&t->xattrs, XATTRS_LIMIT);
	arena_init(&t->extents, EXTENTS_LIMIT);
	int r = resize_table(t, FIRST_ROOM);
	if (r == 0)
		r = add_node(t, S_IFDIR | 0755, &root);
	if (r < 0) {
		erofs_tree_free(t);
		return r;
	}
	t->nodes[root].flags = EROFS_NODE_IMPLIED;
	*ret = t;
	return 0;
}

void erofs_tree_free(struct erofs_tree *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t->names);
	free(t->table);
	free(t->order);
	free(t->pending);
	arena_free(&t->texts);
	arena_free(&t->xattrs);
	arena_free(&t->extents);
	free(t);
}

/* ---- paths ---- */

/* The component at the beginning of @path; 0 at its end. -EPROTO: not what a decoder sends. */
static int component(const char *path, size_t *ret)
{
	size_t len = strcspn(path, "/");
	if ((*path && len == 0) || len > LIMIT_COMPONENT || (len == 1 && *path == '.') ||
	    (len == 2 && path[0] == '.' && path[1] == '.') ||
	    (path[len] == '/' && path[len + 1] == '\0'))
		return -EPROTO;
	*ret = len;
	return 0;
}

/* @name in the directory @parent becomes a directory: see make_parent() in writer.c. */
static int make_parent(struct erofs_tree *t, uint32_t parent, const char *path, size_t at,
		       size_t len, uint32_t *ret, struct masu_error *err)
{
	int shown = (int)(at + len < 200 ? at + len : 200);
	uint32_t node, name = find_name(t, parent, path + at, len);
	bool taken = name != EROFS_NONE && t->names[name].node != EROFS_NONE;
	if (taken) {
		*ret = t->names[name].node;
		const struct erofs_node *there = &t->nodes[*ret];
		if (is_directory(there))
			return 0;
		if (S_ISLNK(there->mode))
			return error_set(err, -ELOOP,
					 "entry below \"%.*s\": that is a symlink, which is not "
					 "followed",
					 shown, path);
		if (!is_whiteout(there))
			return error_set(err, -ENOTDIR,
					 "entry below \"%.*s\": that is not a directory", shown,
					 path);
	}
	int r = add_node(t, S_IFDIR | 0755, &node);
	if (r == 0 && name == EROFS_NONE)
		r = add_name(t, parent, path + at, len, node);
	else if (r == 0)
		set_node(t, name, node);
	if (r < 0)
		return no_room(path, "entries", err);
	/* In the place of a whiteout of this layer it hides what is below. */
	if (taken)
		t->names[t->nodes[node].name].opaque = true;
	else
		t->nodes[node].flags |= EROFS_NODE_IMPLIED;
	*ret = node;
	return 0;
}

/* The directory of the first @len bytes of @path, made where it is missing. */
static int enter_directory(struct erofs_tree *t, const char *path, size_t len, uint32_t *ret,
			   struct masu_error *err)
{
	uint32_t at_node = 0;
	if (len == t->parent_len && memcmp(path, t->parent_path, len) == 0) {
		*ret = t->parent;
		return 0;
	}
	for (size_t at = 0; at < len;) {
		size_t part;
		int r = component(path + at, &part);
		if (r < 0)
			return fail(r, path, err);
		r = make_parent(t, at_node, path, at, part, &at_node, err);
		if (r < 0)
			return r;
		at += part + 1;
	}
	memcpy(t->parent_path, path, len);
	t->parent_len = len;
	*ret = t->parent = at_node;
	return 0;
}

/* A hard link's target: nothing is made, and no link is followed on the way. */
static int find_target(const struct erofs_tree *t, const char *path, uint32_t *ret)
{
	uint32_t node = 0;
	while (*path) {
		size_t len;
		int r = component(path, &len);
		if (r < 0)
			return r;
		/* As openat2(2) has it: a link is no directory, and one on the way is not followed.
		 */
		if (!is_directory(&t->nodes[node]))
			return S_ISLNK(t->nodes[node].mode) && path[len] ? -ELOOP : -ENOTDIR;
		uint32_t name = find_name(t, node, path, len);
		if (name == EROFS_NONE || t->names[name].node == EROFS_NONE)
			return -ENOENT;
		node = t->names[name].node;
		path += len + (path[len] == '/');
	}
	*ret = node;
	return is_directory(&t->nodes[node]) ? -EPERM : 0;
}

/* ---- entries ---- */

static int set_attributes(struct erofs_tree *t, uint32_t at, const struct frame_entry *e,
			  struct masu_error *err)
{
	struct erofs_node *node = &t->nodes[at];
	node->mode =
		(uint16_t)((node->mode & S_IFMT) | (S_ISLNK(node->mode) ? 0777 : e->mode & 07777));
	node->uid = e->uid;
	node->gid = e->gid;
	node->mtime = e->mtime;
	node->mtime_ns = e->mtime_ns;
	if (e->xattr_count == 0 || !(S_ISREG(node->mode) || S_ISDIR(node->mode)))
		return 0;
	return erofs_xattrs_merge(&t->xattrs, node->xattrs, e, &node->mode, &node->xattrs, err);
}

/* As Linux encodes device numbers in 32 bits (new_encode_dev()). */
static int encode_device(const struct frame_entry *e, uint32_t *ret)
{
	if (e->major > 0xfff || e->minor > 0xfffff)
		return -EINVAL;
	*ret = (e->minor & 0xff) | e->major << 8 | (e->minor & ~0xffu) << 12;
	return 0;
}

static int fill_node(struct erofs_tree *t, uint32_t at, const struct frame_entry *e,
		     struct masu_error *err)
{
	struct erofs_node *node = &t->nodes[at];
	int r = 0;
	if (e->kind == FRAME_SYMLINK) {
		node->size = strlen(e->link);
		node->target = arena_strdup(&t->texts, e->link);
		if (!node->target)
			return no_room(e->path, "names", err);
		if (node->size == 0)
			r = -ENOENT;
	} else if (e->kind == FRAME_CHAR || e->kind == FRAME_BLOCK) {
		r = encode_device(e, &node->device);
	} else if (e->kind == FRAME_FILE) {
		node->size = e->size;
		t->file = at;
	}
	return r < 0 ? fail(r, e->path, err) : set_attributes(t, at, e, err);
}

/* The node that the entry makes, which has no name yet. */
static int make_node(struct erofs_tree *t, const struct frame_entry *e, uint32_t *ret,
		     struct masu_error *err)
{
	static const uint32_t types[] = {
		[FRAME_FILE] = S_IFREG,	 [FRAME_SYMLINK] = S_IFLNK,   [FRAME_CHAR] = S_IFCHR,
		[FRAME_BLOCK] = S_IFBLK, [FRAME_DIRECTORY] = S_IFDIR, [FRAME_FIFO] = S_IFIFO,
	};
	if (e->kind == FRAME_HARDLINK) {
		int r = find_target(t, e->link, ret);
		return r < 0 ? fail(r, e->path, err) : 0;
	}
	if (add_node(t, types[e->kind], ret) < 0)
		return no_room(e->path, "entries", err);
	return fill_node(t, *ret, e, err);
}

/* A name that comes again replaces what was there; a directory keeps its content. */
static int replace(struct erofs_tree *t, uint32_t name, const struct frame_entry *e,
		   struct masu_error *err)
{
	uint32_t node = t->names[name].node;
	bool was_whiteout = is_whiteout(&t->nodes[node]);
	if (e->kind == FRAME_HARDLINK && streq(e->path, e->link))
		return 0;
	if (e->kind == FRAME_DIRECTORY && is_directory(&t->nodes[node])) {
		t->nodes[node].flags |= EROFS_NODE_TOLD;
		return set_attributes(t, node, e, err);
	}
	/* As linkat(2): the target comes first, and may still be lost with what is replaced. */
	uint32_t target;
	int r = e->kind == FRAME_HARDLINK ? find_target(t, e->link, &target) : 0;
	if (r < 0 && r != -EPERM)
		return fail(r, e->path, err);
	if (is_directory(&t->nodes[node]))
		t->parent_len = SIZE_MAX; /* it may have been below */
	set_node(t, name, EROFS_NONE);
	r = make_node(t, e, &node, err);
	if (r < 0)
		return r;
	set_node(t, name, node);
	if (was_whiteout && e->kind == FRAME_DIRECTORY)
		t->names[name].opaque = true;
	return 0;
}

static int add_whiteout(struct erofs_tree *t, uint32_t parent, const char *text, uint32_t name,
			const struct frame_entry *e, struct masu_error *err)
{
	uint32_t node;
	if (name != EROFS_NONE && t->names[name].node != EROFS_NONE) {
		/* What this layer itself has under the name stays and hides the rest as it is. */
		t->names[name].opaque |= is_directory(&t->nodes[t->names[name].node]);
		return 0;
	}
	int r = add_node(t, S_IFCHR | 0600, &node);
	if (r == 0 && name == EROFS_NONE)
		r = add_name(t, parent, text, strlen(text), node);
	else if (r == 0)
		set_node(t, name, node);
	return r < 0 ? no_room(e->path, "entries", err) : 0;
}

static int add_entry(struct erofs_tree *t, const struct frame_entry *e, struct masu_error *err)
{
	const char *slash = strrchr(e->path, '/');
	const char *text = slash ? slash + 1 : e->path;
	uint32_t parent, node;
	size_t len;
	int r = component(text, &len);
	if (r < 0 || len == 0 || slash == e->path || (slash && slash[-1] == '/'))
		return fail(-EPROTO, e->path, err);
	r = enter_directory(t, e->path, slash ? (size_t)(slash - e->path) : 0, &parent, err);
	if (r < 0)
		return r;
	uint32_t name = find_name(t, parent, text, len);
	if (e->kind == FRAME_WHITEOUT)
		return add_whiteout(t, parent, text, name, e, err);
	if (name != EROFS_NONE && t->names[name].node != EROFS_NONE)
		return replace(t, name, e, err);
	r = make_node(t, e, &node, err);
	if (r < 0)
		return r;
	if (name != EROFS_NONE)
		set_node(t, name, node);
	else if (add_name(t, parent, text, len, node) < 0)
		return no_room(e->path, "entries", err);
	return 0;
}

static int make_opaque(struct erofs_tree *t, const char *path, struct masu_error *err)
{
	uint32_t node;
	int r = enter_directory(t, path, strlen(path), &node, err);
	if (r < 0)
		return r;
	if (node == 0)
		t->nodes[0].flags |= EROFS_NODE_OPAQUE;
	else
		t->names[t->nodes[node].name].opaque = true;
	return 0;
}

/* ---- content ---- */

int erofs_tree_extent(struct erofs_tree *t, const struct frame_extent *x, struct masu_error *err)
{
	struct erofs_extents *pending = t->pending;
	uint32_t count = pending ? pending->count : 0;
	uint64_t end = 0;
	if (count)
		end = pending->items[count - 1].offset + pending->items[count - 1].len;
	if (t->file == EROFS_NONE || x->len == 0 || x->offset < end ||
	    x->offset > t->nodes[t->file].size || x->len > t->nodes[t->file].size - x->offset ||
	    x->at > LIMIT_UNPACKED || x->len > LIMIT_UNPACKED)
		return error_set(err, -EPROTO, "content that belongs to no file");
	if (count == t->pending_room) {
		uint32_t room = count ? count * 2 : 16;
		pending = realloc(pending, sizeof(*pending) + room * sizeof(*x));
		if (!pending)
			return error_set(err, -ENOMEM, "out of memory");
		t->pending = pending;
		t->pending_room = room;
	}
	pending->items[count] = *x;
	pending->count = count + 1;
	return 0;
}

void erofs_tree_unpadded(struct erofs_tree *t)
{
	t->unpadded = t->file != EROFS_NONE;
}

int erofs_tree_finish_file(struct erofs_tree *t, struct masu_error *err)
{
	if (t->file == EROFS_NONE)
		return 0;
	struct erofs_node *node = &t->nodes[t->file];
	const struct erofs_extents *pending = t->pending;
	uint32_t count = pending ? pending->count : 0;
	bool one = count == 1 && !t->unpadded && pending->items[0].len == node->size &&
		   pending->items[0].at % EROFS_BLOCK == 0;
	t->file = EROFS_NONE;
	t->unpadded = false;
	if (node->size == 0)
		return 0;
	if (one) {
		node->at = pending->items[0].at;
	} else {
		struct erofs_extents *kept =
			arena_alloc(&t->extents, sizeof(*kept) + count * sizeof(kept->items[0]));
		if (!kept)
			return error_set(err, -EOVERFLOW,
					 "the layer has too many files with holes for one index");
		kept->count = count;
		if (count)
			memcpy(kept->items, pending->items, count * sizeof(kept->items[0]));
		node->extents = kept;
		node->flags |= EROFS_NODE_PIECES;
	}
	if (t->pending)
		t->pending->count = 0;
	return 0;
}

int erofs_tree_entry(struct erofs_tree *t, const struct frame_entry *e, struct masu_error *err)
{
	int r = erofs_tree_finish_file(t, err);
	if (r < 0)
		return r;
	if (++t->entries > LIMIT_ENTRIES)
		return error_set(err, -E2BIG, "more than %u entries", LIMIT_ENTRIES);
	if (e->kind == FRAME_OPAQUE)
		return make_opaque(t, e->path, err);
	if (*e->path)
		return add_entry(t, e, err);
	t->nodes[0].flags |= EROFS_NODE_TOLD;
	return e->kind == FRAME_DIRECTORY ? set_attributes(t, 0, e, err) : fail(-EPROTO, "/", err);
}
