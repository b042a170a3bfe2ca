#include "cold/image/erofs_check.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "cold/image/erofs_format.h"

#define INODES_AT (EROFS_META_BLOCK * EROFS_BLOCK)

struct checker {
	const struct erofs_view *view;
	struct masu_error *err;
	uint8_t *seen; /* a bit an inode */
	uint32_t slots, root;
	uint32_t *queue; /* directories that are found: each with its parent behind it */
	size_t queued, room;
	uint64_t links;	   /* of what is no directory: counted and … */
	uint64_t promised; /* … in their inodes */
	struct erofs_found found;
};

/* An inode in the machine's own byte order, and where what belongs to it lies. */
struct node {
	uint16_t format, mode;
	uint32_t links, data, subdirectories;
	uint64_t size, xattrs_at, xattrs_len, behind; /* behind: the first byte after the xattrs */
};

static int wrong(struct checker *c, uint32_t inode, const char *what)
{
	return error_set(c->err, -EUCLEAN, "index of the layer: inode %u: %s", inode, what);
}

static uint64_t inode_offset(uint32_t inode)
{
	return INODES_AT + (uint64_t)inode * EROFS_SLOT;
}

static bool within(const struct erofs_view *view, uint64_t at, uint64_t len)
{
	return at <= view->len && len <= view->len - at;
}

/* ---- inodes ---- */

static int read_node(struct checker *c, uint32_t number, struct node *ret)
{
	struct erofs_inode raw;
	uint64_t at = inode_offset(number);
	if (!within(c->view, at, sizeof(raw)))
		return wrong(c, number, "not in the index");
	memcpy(&raw, c->view->data + at, sizeof(raw));
	uint16_t words = le16toh(raw.xattr_words);
	*ret = (struct node) {
		.format = le16toh(raw.format),
		.mode = le16toh(raw.mode),
		.links = le32toh(raw.links),
		.data = le32toh(raw.data),
		.size = le64toh(raw.size),
		.xattrs_at = at + sizeof(raw) + sizeof(struct erofs_xattr_header),
		.xattrs_len = words ? (words - 1u) * 4u : 0,
	};
	ret->behind = at + sizeof(raw) +
		      (words ? sizeof(struct erofs_xattr_header) + ret->xattrs_len : 0);
	if (words == 1 || !within(c->view, ret->behind, 0))
		return wrong(c, number, "its attributes are not in the index");
	if (le32toh(raw.mtime_ns) > 999999999 || le32toh(raw.uid) == UINT32_MAX ||
	    le32toh(raw.gid) == UINT32_MAX || ret->links == 0)
		return wrong(c, number, "its owner, time or link count is none");
	return 0;
}

static int check_xattrs(struct checker *c, uint32_t number, const struct node *node)
{
	struct erofs_xattr_header header;
	uint64_t left = node->xattrs_len, at = node->xattrs_at;
	if (left == 0)
		return 0;
	memcpy(&header, c->view->data + at - sizeof(header), sizeof(header));
	if (header.filter || header.shared)
		return wrong(c, number, "shared attributes");
	while (left > 0) {
		struct erofs_xattr head;
		if (left < sizeof(head))
			return wrong(c, number, "its attributes are cut off");
		memcpy(&head, c->view->data + at, sizeof(head));
		uint64_t size = (sizeof(head) + head.name_len + le16toh(head.value_len) + 3u) &
				~(uint64_t)3;
		bool known = head.prefix == EROFS_XATTR_USER ||
			     head.prefix == EROFS_XATTR_ACL_ACCESS ||
			     head.prefix == EROFS_XATTR_ACL_DEFAULT ||
			     head.prefix == EROFS_XATTR_SECURITY ||
			     (head.prefix == EROFS_XATTR_TRUSTED && S_ISDIR(node->mode));
		if (!known || size > left)
			return wrong(c, number, "an attribute that is none");
		at += size;
		left -= size;
	}
	return 0;
}

static int check_chunks(struct checker *c, uint32_t number, const struct node *node)
{
	uint64_t tar_blocks = (c->view->tar_len + EROFS_BLOCK - 1) / EROFS_BLOCK;
	unsigned bits = EROFS_BLOCK_BITS + (node->data & EROFS_CHUNK_BITS);
	if ((node->data & ~EROFS_CHUNK_BITS) != EROFS_CHUNK_TABLE || node->size == 0)
		return wrong(c, number, "its content has another form");
	uint64_t count = ((node->size - 1) >> bits) + 1, at = (node->behind + 7) & ~(uint64_t)7;
	if (count > c->view->len / sizeof(struct erofs_chunk) ||
	    !within(c->view, at, count * sizeof(struct erofs_chunk)))
		return wrong(c, number, "its content has no place");
	for (uint64_t i = 0; i < count; i++) {
		struct erofs_chunk chunk;
		memcpy(&chunk, c->view->data + at + i * sizeof(chunk), sizeof(chunk));
		uint64_t block = le32toh(chunk.block), end = (i + 1) << bits;
		uint64_t len = (end < node->size ? end : node->size) - (i << bits);
		uint64_t blocks = (len + EROFS_BLOCK - 1) / EROFS_BLOCK;
		bool tar = le16toh(chunk.device) == EROFS_CHUNK_DEVICE;
		uint64_t most = tar ? tar_blocks : c->view->len / EROFS_BLOCK;
		if (block == EROFS_CHUNK_HOLE && !tar)
			continue;
		if (chunk.advise || le16toh(chunk.device) > EROFS_CHUNK_DEVICE || block > most ||
		    blocks > most - block)
			return wrong(c, number, "its content is not in the tar");
	}
	return 0;
}

/* Where content that is in the index itself begins; 0: nowhere. */
static uint64_t payload_at(const struct checker *c, const struct node *node)
{
	uint64_t at =
		node->format == EROFS_INLINE ? node->behind : (uint64_t)node->data * EROFS_BLOCK;
	bool fits = node->size > 0 && within(c->view, at, node->size);
	if (node->format == EROFS_INLINE)
		fits = fits && at % EROFS_BLOCK + node->size <= EROFS_BLOCK;
	else
		fits = fits && node->format == EROFS_PLAIN && at > INODES_AT;
	return fits ? at : 0;
}

static int check_other(struct checker *c, uint32_t number, const struct node *node)
{
	switch (node->mode & S_IFMT) {
	case S_IFREG:
		c->found.bytes += node->size;
		if (node->format == EROFS_CHUNKED)
			return check_chunks(c, number, node);
		return node->format == EROFS_PLAIN && node->size == 0
			       ? 0
			       : wrong(c, number, "its content has another form");
	case S_IFLNK:
		return payload_at(c, node) && node->size < 4096
			       ? 0
			       : wrong(c, number, "its target has no place");
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		return node->format == EROFS_PLAIN && node->size == 0
			       ? 0
			       : wrong(c, number, "a node with content");
	default:
		return wrong(c, number, "of no type");
	}
}

/* ---- directories ---- */

static int enqueue(struct checker *c, uint32_t inode, uint32_t parent)
{
	if (c->queued == c->room) {
		size_t room = c->room ? c->room * 2 : 1024;
		uint32_t *grown = reallocarray(c->queue, room, 2 * sizeof(*grown));
		if (!grown)
			return error_set(c->err, -ENOMEM, "out of memory");
		c->queue = grown;
		c->room = room;
	}
	c->queue[2 * c->queued] = inode;
	c->queue[2 * c->queued++ + 1] = parent;
	return 0;
}

static bool mark_seen(struct checker *c, uint32_t inode)
{
	uint8_t bit = (uint8_t)(1u << inode % 8);
	bool was = c->seen[inode / 8] & bit;
	c->seen[inode / 8] |= bit;
	return was;
}

static uint8_t type_of(uint16_t mode)
{
	static const uint8_t types[16] = {
		[S_IFREG >> 12] = EROFS_REGULAR,   [S_IFDIR >> 12] = EROFS_DIRECTORY,
		[S_IFCHR >> 12] = EROFS_CHARACTER, [S_IFBLK >> 12] = EROFS_BLOCK_DEVICE,
		[S_IFIFO >> 12] = EROFS_FIFO,	   [S_IFLNK >> 12] = EROFS_SYMLINK
	};
	return types[mode >> 12];
}

/* A name of a directory, the last one before it, and what it may be followed by. */
struct listed {
	const uint8_t *name;
	size_t len;
};

static bool comes_after(const struct listed *a, const struct listed *b)
{
	size_t common = a->len < b->len ? a->len : b->len;
	int order = common ? memcmp(a->name, b->name, common) : 0;
	return order ? order > 0 : a->len > b->len;
}

struct directory {
	uint32_t number, parent;
	struct node node;
	struct listed last;
	unsigned dots;
};

static int check_child(struct checker *c, struct directory *d, uint32_t number, uint8_t type)
{
	struct node node;
	int r = number < c->slots ? read_node(c, number, &node)
				  : wrong(c, d->number, "a name that leads nowhere");
	if (r < 0)
		return r;
	if (type_of(node.mode) != type || type == 0)
		return wrong(c, number, "listed as another type");
	c->found.names++;
	bool again = mark_seen(c, number), directory = S_ISDIR(node.mode);
	c->links += !directory;
	d->node.subdirectories += directory;
	if (again)
		return directory ? wrong(c, number, "a directory with two names") : 0;
	c->found.inodes++;
	r = check_xattrs(c, number, &node);
	if (r < 0)
		return r;
	if (directory)
		return enqueue(c, number, d->number);
	c->promised += node.links;
	return check_other(c, number, &node);
}

static int check_name(struct checker *c, struct directory *d, const struct listed *name,
		      uint64_t inode, uint8_t type)
{
	if (name->len == 0 || name->len > 255 || memchr(name->name, '/', name->len) ||
	    memchr(name->name, '\0', name->len) || !comes_after(name, &d->last))
		return wrong(c, d->number, "a name that is none, or not in its place");
	d->last = *name;
	if (inode > UINT32_MAX)
		return wrong(c, d->number, "a name that leads nowhere");
	if (memcmp(name->name, "..", name->len < 2 ? name->len : 2) == 0 && name->len <= 2) {
		d->dots++;
		return inode == (name->len == 1 ? d->number : d->parent) && type == EROFS_DIRECTORY
			       ? 0
			       : wrong(c, d->number, "\".\" or \"..\" leads elsewhere");
	}
	return check_child(c, d, (uint32_t)inode, type);
}

/* A block, or the end of a directory: @len bytes. */
static int check_block(struct checker *c, struct directory *d, const uint8_t *block, size_t len)
{
	struct erofs_dirent dirent;
	size_t count = 0, end;
	if (len >= sizeof(dirent)) {
		memcpy(&dirent, block, sizeof(dirent));
		count = le16toh(dirent.name_offset) / sizeof(dirent);
	}
	if (count == 0 || count * sizeof(dirent) != le16toh(dirent.name_offset) ||
	    count * sizeof(dirent) >= len)
		return wrong(c, d->number, "a directory without names");
	for (size_t i = 0; i < count; i++) {
		struct erofs_dirent next;
		memcpy(&dirent, block + i * sizeof(dirent), sizeof(dirent));
		size_t at = le16toh(dirent.name_offset);
		end = len;
		if (i + 1 < count) {
			memcpy(&next, block + (i + 1) * sizeof(next), sizeof(next));
			end = le16toh(next.name_offset);
		} else if (at < len) {
			end = at + strnlen((const char *)block + at, len - at);
		}
		if (at < count * sizeof(dirent) || end > len || end <= at)
			return wrong(c, d->number, "a name out of its block");
		const struct listed name = { block + at, end - at };
		int r = check_name(c, d, &name, le64toh(dirent.inode), dirent.type);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_directory(struct checker *c, uint32_t number, uint32_t parent)
{
	struct directory d = { .number = number, .parent = parent };
	int r = read_node(c, number, &d.node);
	if (r < 0)
		return r;
	uint64_t at = payload_at(c, &d.node);
	if (!S_ISDIR(d.node.mode) || !at)
		return wrong(c, number, "a directory that has no place");
	for (uint64_t done = 0; done < d.node.size && r == 0; done += EROFS_BLOCK) {
		uint64_t left = d.node.size - done;
		r = check_block(c, &d, c->view->data + at + done,
				left < EROFS_BLOCK ? (size_t)left : EROFS_BLOCK);
	}
	if (r == 0 && (d.dots != 2 || d.node.links != d.node.subdirectories + 2))
		r = wrong(c, number, "a directory whose links are not counted");
	return r;
}

/* ---- the whole ---- */

static int check_super(struct checker *c)
{
	struct erofs_super super;
	if (!within(c->view, 0, INODES_AT + sizeof(struct erofs_inode)))
		return error_set(c->err, -EUCLEAN, "index of the layer: cut off");
	memcpy(&super, c->view->data + EROFS_SUPER_OFFSET, sizeof(super));
	if (le32toh(super.magic) != EROFS_MAGIC || le32toh(super.compat) != EROFS_COMPAT_MTIME ||
	    super.block_bits != EROFS_BLOCK_BITS || super.extra_slots || super.directory_bits ||
	    le32toh(super.meta_block) != EROFS_META_BLOCK || super.xattr_block ||
	    le32toh(super.incompat) != (EROFS_INCOMPAT_CHUNKED | EROFS_INCOMPAT_DEVICES) ||
	    super.algorithms || le16toh(super.devices) != 1 || super.prefix_count ||
	    super.packed_inode ||
	    le16toh(super.device_slot) != EROFS_DEVICE_OFFSET / sizeof(struct erofs_device) ||
	    super.volume[0])
		return error_set(c->err, -EUCLEAN, "index of the layer: its head is another one");
	c->root = le16toh(super.root);
	uint64_t room = c->view->len - INODES_AT;
	c->slots = (uint32_t)((room < EROFS_INODES_LIMIT ? room : EROFS_INODES_LIMIT) / EROFS_SLOT);
	if (c->root >= c->slots)
		return wrong(c, c->root, "not in the index");
	return 0;
}

static int check_all(struct checker *c)
{
	struct node root;
	int r = read_node(c, c->root, &root);
	if (r == 0)
		r = check_xattrs(c, c->root, &root);
	if (r < 0)
		return r;
	mark_seen(c, c->root);
	c->found.inodes++;
	r = enqueue(c, c->root, c->root);
	for (size_t i = 0; i < c->queued && r == 0; i++)
		r = check_directory(c, c->queue[2 * i], c->queue[2 * i + 1]);
	if (r == 0 && c->links != c->promised)
		r = error_set(c->err, -EUCLEAN, "index of the layer: links are not counted");
	return r;
}

int erofs_check(const struct erofs_view *view, struct erofs_found *ret, struct masu_error *err)
{
	struct checker c = { .view = view, .err = err };
	int r = check_super(&c);
	if (r < 0)
		return r;
	_cleanup_free_ uint8_t *seen = calloc(c.slots / 8 + 1, 1);
	if (!seen)
		return error_set(err, -ENOMEM, "out of memory");
	c.seen = seen;
	r = check_all(&c);
	free(c.queue);
	if (r == 0)
		*ret = c.found;
	return r;
}
