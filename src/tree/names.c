/* Which names and attributes travel with a tree. Pure: touches nothing. */
#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "base/fault.h"
#include "base/str.h"
#include "tree/maxima.h"
#include "tree/tree.h"

int tree_clean_path(struct arena *arena, const char *path, const char **ret, const char **reason)
{
	size_t len = strlen(path), at = 0, depth = 0;
	*reason = "its name is too long";
	if (len > LIMIT_PATH)
		return -E2BIG;
	char *clean = arena_alloc(arena, len + 1);
	*reason = "out of memory";
	if (!clean)
		return -ENOMEM;
	while (*path) {
		size_t part = strcspn(path, "/");
		bool dot = part == 1 && path[0] == '.';
		*reason = "its name has \"..\" in it, which could lead out of the directory";
		if (part == 2 && path[0] == '.' && path[1] == '.' && !fault_without("image-names"))
			return -EBADMSG;
		*reason = "a component of its name is too long";
		if (part > LIMIT_COMPONENT)
			return -E2BIG;
		if (part && !dot) {
			*reason = "it lies too deep";
			if (++depth > LIMIT_DEPTH)
				return -E2BIG;
			if (at)
				clean[at++] = '/';
			memcpy(clean + at, path, part);
			at += part;
		}
		path += part + (path[part] == '/');
	}
	clean[at] = '\0';
	*ret = clean;
	return 0;
}

/* struct vfs_cap_data of revision 2 or 3, <linux/capability.h>. */
bool tree_capability_valid(const void *value, size_t len)
{
	uint32_t magic;
	if (len < sizeof(magic))
		return false;
	memcpy(&magic, value, sizeof(magic));
	magic = le32toh(magic);
	if (magic & ~(VFS_CAP_REVISION_MASK | VFS_CAP_FLAGS_EFFECTIVE))
		return false;
	return ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_2 && len == XATTR_CAPS_SZ_2) ||
	       ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_3 && len == XATTR_CAPS_SZ_3);
}

bool tree_xattr_wanted(const char *name)
{
	if (fault_without("image-xattrs"))
		return true;
	if (str_after(name, "user.overlay.") || str_after(name, "user.fuseoverlayfs."))
		return false;
	return str_after(name, "user.") || streq(name, "security.capability") ||
	       streq(name, "system.posix_acl_access") || streq(name, "system.posix_acl_default");
}

int tree_begin(struct tree_sink *sink, const struct tar_entry *entry, struct masu_error *err)
{
	sink->bytes += TAR_BLOCK + (entry->size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	return sink->begin(sink, entry, err);
}
