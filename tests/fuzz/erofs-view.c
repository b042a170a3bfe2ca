#include "erofs-view.h"

#include <endian.h>
#include <string.h>
#include <sys/stat.h>

#include "cold/image/erofs_format.h"

static uint64_t inode_at(uint32_t inode)
{
	return EROFS_META_BLOCK * EROFS_BLOCK + (uint64_t)inode * EROFS_SLOT;
}

static const uint8_t *payload(const struct erofs_view *view, uint32_t number,
			      const struct erofs_inode *inode)
{
	uint64_t at = inode_at(number) + sizeof(*inode);
	if (le16toh(inode->format) != EROFS_INLINE)
		return view->data + (uint64_t)le32toh(inode->data) * EROFS_BLOCK;
	if (inode->xattr_words)
		at += sizeof(struct erofs_xattr_header) + (le16toh(inode->xattr_words) - 1u) * 4u;
	return view->data + at;
}

uint32_t erofs_root(const struct erofs_view *view)
{
	struct erofs_super super;
	memcpy(&super, view->data + EROFS_SUPER_OFFSET, sizeof(super));
	return le16toh(super.root);
}

static uint32_t find_in_block(const uint8_t *block, size_t len, const char *name)
{
	struct erofs_dirent dirent, next;
	memcpy(&dirent, block, sizeof(dirent));
	size_t count = le16toh(dirent.name_offset) / sizeof(dirent);
	for (size_t i = 0; i < count; i++) {
		memcpy(&dirent, block + i * sizeof(dirent), sizeof(dirent));
		size_t at = le16toh(dirent.name_offset), end;
		if (i + 1 < count) {
			memcpy(&next, block + (i + 1) * sizeof(next), sizeof(next));
			end = le16toh(next.name_offset);
		} else {
			end = at + strnlen((const char *)block + at, len - at);
		}
		if (end - at == strlen(name) && memcmp(block + at, name, end - at) == 0)
			return (uint32_t)le64toh(dirent.inode);
	}
	return 0;
}

uint32_t erofs_find(const struct erofs_view *view, uint32_t directory, const char *name)
{
	struct erofs_inode inode;
	memcpy(&inode, view->data + inode_at(directory), sizeof(inode));
	const uint8_t *data = payload(view, directory, &inode);
	uint64_t size = le64toh(inode.size);
	uint32_t found = 0;
	for (uint64_t at = 0; at < size && !found; at += EROFS_BLOCK)
		found = find_in_block(data + at, size - at < EROFS_BLOCK ? size - at : EROFS_BLOCK,
				      name);
	return found;
}

void erofs_look(const struct erofs_view *view, uint32_t number, struct erofs_file *ret)
{
	struct erofs_inode inode;
	static const char opaque[] = "overlay.opaquey";
	memcpy(&inode, view->data + inode_at(number), sizeof(inode));
	*ret = (struct erofs_file) {
		.mode = le16toh(inode.mode),
		.uid = le32toh(inode.uid),
		.gid = le32toh(inode.gid),
		.links = le32toh(inode.links),
		.device = le32toh(inode.data),
		.size = le64toh(inode.size),
		.mtime = (int64_t)le64toh((uint64_t)inode.mtime),
		.mtime_ns = le32toh(inode.mtime_ns),
	};
	if (S_ISLNK(ret->mode))
		ret->target = (const char *)payload(view, number, &inode);
	if (inode.xattr_words)
		ret->opaque = memmem(view->data + inode_at(number) + sizeof(inode),
				     le16toh(inode.xattr_words) * 4u + 8u, opaque,
				     sizeof(opaque) - 1) != NULL;
}
