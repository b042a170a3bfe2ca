#include "cold/image/erofs_write.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/fuzzing.h"
#include "base/str.h"
#include "cold/image/erofs_format.h"
#include "sys/fs.h"

#define BUFFER_SIZE FUZZING_OR(8192u, 256u << 10)
#define COPY_SIZE   FUZZING_OR(4096u, 64u << 10)
/* A file with holes has this many chunks, and so many more for each of its pieces. */
#define CHUNKS_MIN	 8u
#define CHUNKS_PER_PIECE 64u
#define CHUNK_BITS_MIN	 12

static const char opaque_name[] = "overlay.opaque";
#define OPAQUE_SIZE 20u /* of its entry: head, name, one byte, and up to a multiple of 4 */

struct layout {
	struct erofs_tree *tree;
	int index_fd, tar_fd;
	uint64_t inodes_end; /* in bytes of the index */
	uint64_t next_block; /* the first that is free */
	uint32_t inodes;
	/* Sequential writing. */
	uint8_t *buffer;
	size_t used;
	uint64_t at; /* of buffer in the index */
};

/* ---- sizes ---- */

static size_t xattrs_size(const struct erofs_node *node)
{
	size_t len = (node->xattrs ? node->xattrs->len : 0) +
		     (node->flags & EROFS_NODE_OPAQUE ? OPAQUE_SIZE : 0);
	return len ? sizeof(struct erofs_xattr_header) + len : 0;
}

static unsigned chunk_bits(const struct erofs_node *node)
{
	unsigned bits = EROFS_BLOCK_BITS;
	uint64_t most = 1;
	if (node->flags & EROFS_NODE_PIECES) {
		bits = CHUNK_BITS_MIN;
		most = CHUNKS_MIN + (uint64_t)CHUNKS_PER_PIECE * node->extents->count;
	}
	while (((node->size - 1) >> bits) >= most && bits < EROFS_BLOCK_BITS + EROFS_CHUNK_BITS)
		bits++;
	return bits;
}

static uint64_t chunk_count(const struct erofs_node *node)
{
	return S_ISREG(node->mode) && node->size ? ((node->size - 1) >> chunk_bits(node)) + 1 : 0;
}

/* ---- directories ---- */

struct listing {
	const struct layout *layout;
	const struct erofs_node *node;
	uint32_t next; /* of the node's names */
	unsigned dots; /* of "." and ".." so many are out */
};

struct listed {
	const char *text;
	size_t len;
	const struct erofs_node *node;
};

static const struct erofs_node *parent_of(const struct erofs_tree *t, const struct erofs_node *node)
{
	return node->name == EROFS_NONE ? node : &t->nodes[t->names[node->name].parent];
}

/* The next name in the order of bytes; "." and ".." have their place among them. */
static bool next_name(struct listing *l, struct listed *ret)
{
	static const char dots[] = "..";
	const struct erofs_tree *t = l->layout->tree;
	const struct erofs_name *name = NULL;
	if (l->next < l->node->names.count)
		name = &t->names[t->order[l->node->names.first + l->next]];
	if (l->dots < 2) {
		size_t len = l->dots + 1;
		size_t common = name && name->len < len ? name->len : len;
		int order = name ? memcmp(dots, name->text, common) : -1;
		if (order < 0 || (order == 0 && len < name->len)) {
			*ret = (struct listed) { dots, len,
						 l->dots ? parent_of(t, l->node) : l->node };
			l->dots++;
			return true;
		}
	}
	if (!name)
		return false;
	l->next++;
	*ret = (struct listed) { name->text, name->len, &t->nodes[name->node] };
	return true;
}

/* How many of the coming names one block takes, and what it then has in bytes. */
static size_t measure_block(struct listing *l, size_t *ret_bytes)
{
	struct listed entry;
	size_t count = 0, bytes = 0;
	for (struct listing before = *l; next_name(l, &entry); before = *l) {
		size_t more = sizeof(struct erofs_dirent) + entry.len;
		if (bytes + more > EROFS_BLOCK) {
			*l = before;
			break;
		}
		bytes += more;
		count++;
	}
	*ret_bytes = bytes;
	return count;
}

static uint64_t directory_size(const struct layout *layout, const struct erofs_node *node)
{
	struct listing l = { .layout = layout, .node = node };
	uint64_t blocks = 0;
	size_t bytes = 0, last;
	while (measure_block(&l, &last)) {
		blocks++;
		bytes = last;
	}
	return (blocks - 1) * EROFS_BLOCK + bytes;
}

static uint8_t type_of(const struct erofs_node *node)
{
	switch (node->mode & S_IFMT) {
	case S_IFREG:
		return EROFS_REGULAR;
	case S_IFDIR:
		return EROFS_DIRECTORY;
	case S_IFCHR:
		return EROFS_CHARACTER;
	case S_IFBLK:
		return EROFS_BLOCK_DEVICE;
	case S_IFIFO:
		return EROFS_FIFO;
	default:
		return EROFS_SYMLINK;
	}
}

/* One block; what it has in bytes. */
static size_t fill_block(struct listing *l, uint8_t block[EROFS_BLOCK])
{
	struct listing ahead = *l;
	struct listed entry;
	size_t bytes, count = measure_block(&ahead, &bytes);
	size_t name_at = count * sizeof(struct erofs_dirent);
	memset(block, 0, EROFS_BLOCK);
	for (size_t i = 0; i < count && next_name(l, &entry); i++) {
		const struct erofs_dirent dirent = { .inode = htole64(entry.node->inode),
						     .name_offset = htole16((uint16_t)name_at),
						     .type = type_of(entry.node) };
		memcpy(block + i * sizeof(dirent), &dirent, sizeof(dirent));
		memcpy(block + name_at, entry.text, entry.len);
		name_at += entry.len;
	}
	return count ? bytes : 0;
}

/* ---- where everything goes ---- */

static bool is_inline(const struct erofs_node *node)
{
	return (S_ISDIR(node->mode) || S_ISLNK(node->mode)) &&
	       sizeof(struct erofs_inode) + xattrs_size(node) + node->size <= EROFS_BLOCK;
}

static uint64_t align(uint64_t at, uint64_t to)
{
	return (at + to - 1) / to * to;
}

/* Behind the inode, its attributes and what is inline or its table of chunks. */
static uint64_t inode_size(const struct erofs_node *node)
{
	uint64_t size = sizeof(struct erofs_inode) + xattrs_size(node);
	if (is_inline(node))
		return size + node->size;
	uint64_t chunks = chunk_count(node);
	return chunks ? align(size, sizeof(struct erofs_chunk)) +
				chunks * sizeof(struct erofs_chunk)
		      : size;
}

static int place_inode(struct layout *l, struct erofs_node *node)
{
	if (S_ISDIR(node->mode))
		node->size = directory_size(l, node);
	uint64_t size = inode_size(node), at = align(l->inodes_end, EROFS_SLOT);
	/* What is inline may not cross the end of a block. */
	if (is_inline(node) && at % EROFS_BLOCK + size > EROFS_BLOCK)
		at = align(at, EROFS_BLOCK);
	node->inode = (uint32_t)((at - EROFS_META_BLOCK * EROFS_BLOCK) / EROFS_SLOT);
	l->inodes_end = at + size;
	l->inodes++;
	return l->inodes_end > EROFS_INODES_LIMIT ? -EOVERFLOW : 0;
}

static int place_blocks(struct layout *l, struct erofs_node *node)
{
	if (!(S_ISDIR(node->mode) || S_ISLNK(node->mode)) || is_inline(node))
		return 0;
	node->block = (uint32_t)l->next_block;
	l->next_block += align(node->size, EROFS_BLOCK) / EROFS_BLOCK;
	return l->next_block > UINT32_MAX / 2 ? -EOVERFLOW : 0;
}

static int place_all(struct layout *l)
{
	struct erofs_tree *t = l->tree;
	int r = 0;
	/* Not number 0, which readers of directories take for no file. */
	l->inodes_end = EROFS_META_BLOCK * EROFS_BLOCK + EROFS_SLOT;
	for (uint32_t i = 0; i < t->node_count && r == 0; i++)
		if (t->nodes[i].flags & EROFS_NODE_ALIVE)
			r = place_inode(l, &t->nodes[i]);
	l->next_block = align(l->inodes_end, EROFS_BLOCK) / EROFS_BLOCK;
	for (uint32_t i = 0; i < t->node_count && r == 0; i++)
		if (t->nodes[i].flags & EROFS_NODE_ALIVE)
			r = place_blocks(l, &t->nodes[i]);
	return r;
}

/* ---- writing ---- */

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
	const uint8_t *p = data;
	while (len > 0) {
		ssize_t done = pwrite(fd, p, len, (off_t)at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		at += (uint64_t)done;
		len -= (size_t)done;
	}
	return 0;
}

static int flush(struct layout *l)
{
	int r = write_at(l->index_fd, l->buffer, l->used, l->at);
	l->at += l->used;
	l->used = 0;
	return r;
}

static int put(struct layout *l, const void *data, size_t len)
{
	const uint8_t *p = data;
	int r = 0;
	while (len > 0 && r == 0) {
		size_t part = BUFFER_SIZE - l->used < len ? BUFFER_SIZE - l->used : len;
		memcpy(l->buffer + l->used, p, part);
		l->used += part;
		p += part;
		len -= part;
		if (l->used == BUFFER_SIZE)
			r = flush(l);
	}
	return r;
}

/* Zeroes up to @to, which is a few hundred bytes ahead at most. */
static int put_zeroes(struct layout *l, uint64_t to)
{
	static const uint8_t zeroes[EROFS_BLOCK];
	int r = 0;
	while (l->at + l->used < to && r == 0) {
		uint64_t len = to - l->at - l->used;
		r = put(l, zeroes, len < sizeof(zeroes) ? len : sizeof(zeroes));
	}
	return r;
}

static int put_xattrs(struct layout *l, const struct erofs_node *node)
{
	const struct erofs_xattr_header header = { 0 };
	struct {
		struct erofs_xattr head;
		char text[OPAQUE_SIZE - sizeof(struct erofs_xattr)];
	} opaque = { .head = { .name_len = sizeof(opaque_name) - 1,
			       .prefix = EROFS_XATTR_TRUSTED,
			       .value_len = htole16(1) } };
	if (!xattrs_size(node))
		return 0;
	memcpy(opaque.text, opaque_name, sizeof(opaque_name) - 1);
	opaque.text[sizeof(opaque_name) - 1] = 'y';
	int r = put(l, &header, sizeof(header));
	if (r == 0 && (node->flags & EROFS_NODE_OPAQUE))
		r = put(l, &opaque, sizeof(opaque));
	if (r == 0 && node->xattrs)
		r = put(l, node->xattrs->data, node->xattrs->len);
	return r;
}

static int put_directory(struct layout *l, const struct erofs_node *node)
{
	uint8_t block[EROFS_BLOCK];
	struct listing listing = { .layout = l, .node = node };
	bool small = is_inline(node);
	size_t bytes;
	int r = 0;
	while (r == 0 && (bytes = fill_block(&listing, block)))
		r = put(l, block, small ? bytes : sizeof(block));
	return r;
}

static int put_payload(struct layout *l, const struct erofs_node *node)
{
	return S_ISDIR(node->mode) ? put_directory(l, node) : put(l, node->target, node->size);
}

/* ---- content ---- */

static int read_tar(struct layout *l, uint8_t *buffer, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t got = pread(l->tar_fd, buffer, len, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		buffer += got;
		at += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

static int copy_range(struct layout *l, uint64_t from, uint64_t to, uint64_t len)
{
	uint8_t buffer[COPY_SIZE];
	int r = 0;
	while (len > 0 && r == 0) {
		size_t part = len < sizeof(buffer) ? (size_t)len : sizeof(buffer);
		r = read_tar(l, buffer, part, from);
		if (r == 0)
			r = write_at(l->index_fd, buffer, part, to);
		from += part;
		to += part;
		len -= part;
	}
	return r;
}

/* What of the file a chunk has; the pieces before *first end before it. */
struct chunk {
	uint64_t begin, end;
	uint32_t *first;
};

/* A chunk that lies in the tar as a whole, at blocks of its own. */
static bool chunk_in_tar(const struct erofs_node *node, const struct chunk *c, uint64_t *ret)
{
	const struct frame_extent *x = &node->extents->items[*c->first];
	*ret = x->at + (c->begin - x->offset);
	return x->offset <= c->begin && x->offset + x->len >= c->end &&
	       (c->end - c->begin) % EROFS_BLOCK == 0 && *ret % EROFS_BLOCK == 0;
}

static int copy_chunk(struct layout *l, const struct erofs_node *node, const struct chunk *c,
		      struct erofs_chunk *ret)
{
	const struct erofs_extents *all = node->extents;
	uint64_t base = l->next_block * EROFS_BLOCK;
	int r = 0;
	*ret = (struct erofs_chunk) { .block = htole32((uint32_t)l->next_block) };
	for (uint32_t i = *c->first; i < all->count && all->items[i].offset < c->end && r == 0;
	     i++) {
		const struct frame_extent *x = &all->items[i];
		uint64_t begin = x->offset > c->begin ? x->offset : c->begin;
		uint64_t end = x->offset + x->len < c->end ? x->offset + x->len : c->end;
		r = copy_range(l, x->at + (begin - x->offset), base + (begin - c->begin),
			       end - begin);
	}
	l->next_block += align(c->end - c->begin, EROFS_BLOCK) / EROFS_BLOCK;
	return l->next_block > UINT32_MAX / 2 ? -EOVERFLOW : r;
}

static int place_chunk(struct layout *l, const struct erofs_node *node, const struct chunk *c,
		       struct erofs_chunk *ret)
{
	uint64_t at;
	const struct erofs_extents *all = node->extents;
	while (*c->first < all->count &&
	       all->items[*c->first].offset + all->items[*c->first].len <= c->begin)
		++*c->first;
	*ret = (struct erofs_chunk) { .block = htole32(EROFS_CHUNK_HOLE) };
	if (*c->first == all->count || all->items[*c->first].offset >= c->end)
		return 0;
	if (!chunk_in_tar(node, c, &at))
		return copy_chunk(l, node, c, ret);
	*ret = (struct erofs_chunk) { .device = htole16(EROFS_CHUNK_DEVICE),
				      .block = htole32((uint32_t)(at / EROFS_BLOCK)) };
	return 0;
}

static int put_chunks(struct layout *l, const struct erofs_node *node)
{
	uint64_t count = chunk_count(node), size = 1ull << chunk_bits(node);
	uint32_t first = 0;
	int r = 0;
	for (uint64_t i = 0; i < count && r == 0; i++) {
		struct erofs_chunk entry = {
			.device = htole16(EROFS_CHUNK_DEVICE),
			.block = htole32((uint32_t)((node->at + i * size) / EROFS_BLOCK)),
		};
		uint64_t end = (i + 1) * size < node->size ? (i + 1) * size : node->size;
		if (node->flags & EROFS_NODE_PIECES)
			r = place_chunk(l, node, &(struct chunk) { i * size, end, &first }, &entry);
		if (r == 0)
			r = put(l, &entry, sizeof(entry));
	}
	return r;
}

/* ---- the parts of the file ---- */

static int put_inode(struct layout *l, const struct erofs_node *node)
{
	bool chunks = chunk_count(node) > 0, device = S_ISCHR(node->mode) || S_ISBLK(node->mode);
	size_t xattrs = xattrs_size(node);
	uint32_t data = node->block;
	if (chunks)
		data = EROFS_CHUNK_TABLE | (chunk_bits(node) - EROFS_BLOCK_BITS);
	else if (device)
		data = node->device;
	const struct erofs_inode inode = {
		.format = htole16(chunks	    ? EROFS_CHUNKED
				  : is_inline(node) ? EROFS_INLINE
						    : EROFS_PLAIN),
		.xattr_words = htole16(
			xattrs ? (uint16_t)((xattrs - sizeof(struct erofs_xattr_header)) / 4 + 1)
			       : 0),
		.mode = htole16(node->mode),
		.size = htole64(node->size),
		.data = htole32(data),
		.ino = htole32(node->inode),
		.uid = htole32(node->uid),
		.gid = htole32(node->gid),
		.mtime = (int64_t)htole64((uint64_t)node->mtime),
		.mtime_ns = htole32(node->mtime_ns),
		.links = htole32(node->links),
	};
	uint64_t at = EROFS_META_BLOCK * EROFS_BLOCK + (uint64_t)node->inode * EROFS_SLOT;
	int r = put_zeroes(l, at);
	if (r == 0)
		r = put(l, &inode, sizeof(inode));
	if (r == 0)
		r = put_xattrs(l, node);
	if (r == 0 && is_inline(node))
		return put_payload(l, node);
	if (r == 0 && chunks)
		r = put_zeroes(l, align(at + sizeof(inode) + xattrs, sizeof(struct erofs_chunk)));
	return r == 0 && chunks ? put_chunks(l, node) : r;
}

static int write_nodes(struct layout *l)
{
	const struct erofs_tree *t = l->tree;
	int r = 0;
	l->at = EROFS_META_BLOCK * EROFS_BLOCK;
	uint64_t blocks_at = align(l->inodes_end, EROFS_BLOCK);
	for (uint32_t i = 0; i < t->node_count && r == 0; i++)
		if (t->nodes[i].flags & EROFS_NODE_ALIVE)
			r = put_inode(l, &t->nodes[i]);
	if (r == 0)
		r = put_zeroes(l, blocks_at);
	for (uint32_t i = 0; i < t->node_count && r == 0; i++) {
		const struct erofs_node *node = &t->nodes[i];
		if (!(node->flags & EROFS_NODE_ALIVE) || !node->block)
			continue;
		r = put_payload(l, node);
		if (r == 0)
			r = put_zeroes(l, align(l->at + l->used, EROFS_BLOCK));
	}
	return r < 0 ? r : flush(l);
}

static int write_super(const struct layout *l)
{
	const struct erofs_tree *t = l->tree;
	off_t tar_size = lseek(l->tar_fd, 0, SEEK_END);
	if (tar_size < 0)
		return -errno;
	struct erofs_super super = {
		.magic = htole32(EROFS_MAGIC),
		.compat = htole32(EROFS_COMPAT_MTIME),
		.block_bits = EROFS_BLOCK_BITS,
		.root = htole16((uint16_t)t->nodes[0].inode),
		.inodes = htole64(l->inodes),
		.build_time = htole64((uint64_t)t->now.tv_sec),
		.build_time_ns = htole32((uint32_t)t->now.tv_nsec),
		.blocks = htole32((uint32_t)l->next_block),
		.meta_block = htole32(EROFS_META_BLOCK),
		.incompat = htole32(EROFS_INCOMPAT_CHUNKED | EROFS_INCOMPAT_DEVICES),
		.devices = htole16(1),
		.device_slot = htole16(EROFS_DEVICE_OFFSET / sizeof(struct erofs_device)),
	};
	const struct erofs_device device = {
		.blocks = htole32((uint32_t)(align((uint64_t)tar_size, EROFS_BLOCK) / EROFS_BLOCK)),
	};
	memcpy(super.uuid, t->uuid, sizeof(super.uuid));
	int r = write_at(l->index_fd, &super, sizeof(super), EROFS_SUPER_OFFSET);
	if (r == 0)
		r = write_at(l->index_fd, &device, sizeof(device), EROFS_DEVICE_OFFSET);
	if (r == 0 && ftruncate(l->index_fd, (off_t)(l->next_block * EROFS_BLOCK)) < 0)
		r = -errno;
	return r;
}

/* ---- marks ---- */

static int put_path(const struct erofs_tree *t, const struct erofs_node *node, struct buf *out)
{
	uint32_t chain[LIMIT_DEPTH];
	size_t depth = 0;
	for (; node->name != EROFS_NONE; node = &t->nodes[t->names[node->name].parent]) {
		if (depth == LIMIT_DEPTH)
			return -EPROTO;
		chain[depth++] = node->name;
	}
	int r = 0;
	while (depth-- > 0 && r == 0)
		r = buf_printf(out, "%.*s%s", (int)t->names[chain[depth]].len,
			       t->names[chain[depth]].text, depth ? "/" : "");
	return r;
}

static int write_marks(const struct erofs_tree *t, int fd)
{
	_cleanup_buf_ struct buf out;
	int r = 0;
	buf_init(&out, 64u << 20);
	if (t->nodes[0].flags & EROFS_NODE_OPAQUE)
		r = buf_append(&out, "o", 2);
	for (uint32_t i = 0; i < t->node_count && r == 0; i++) {
		const struct erofs_node *node = &t->nodes[i];
		const uint8_t wanted = EROFS_NODE_ALIVE | EROFS_NODE_IMPLIED;
		if ((node->flags & (wanted | EROFS_NODE_TOLD)) != wanted)
			continue;
		r = buf_printf(&out, "i%016llx",
			       (unsigned long long)(EROFS_META_BLOCK * EROFS_BLOCK +
						    (uint64_t)node->inode * EROFS_SLOT));
		if (r == 0)
			r = put_path(t, node, &out);
		if (r == 0)
			r = buf_append(&out, "", 1);
	}
	return r < 0 ? r : fs_write_all(fd, buf_str(&out), out.len);
}

int erofs_write(struct erofs_tree *tree, int index_fd, int tar_fd, int marks_fd,
		struct masu_error *err)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	struct layout l = {
		.tree = tree, .index_fd = index_fd, .tar_fd = tar_fd, .buffer = buffer
	};
	if (!buffer)
		return error_set(err, -ENOMEM, "out of memory");
	int r = place_all(&l);
	if (r == 0 && fault_without("index-room") && tree->xattrs.used)
		r = -EOVERFLOW;
	if (r == 0)
		r = write_nodes(&l);
	if (r == 0)
		r = write_super(&l);
	if (r == 0)
		r = write_marks(tree, marks_fd);
	if (r == -EOVERFLOW)
		return error_set(err, r,
				 "the layer's index would be too big; use --layer-format=dir");
	return r < 0 ? error_errno(err, r, "index of the layer") : 0;
}
