/* The extended attributes of an index: what setxattr(2) would have made of them. */
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "cold/image/erofs_format.h"
#include "cold/image/erofs_tree.h"

/* xattr_words counts them with the header in 16 bits. */
#define ENTRIES_MAX ((UINT16_MAX - 1) * 4u)

/* The number of a name's prefix and the rest of the name; false for what has no place in a layer.
 */
static bool split_name(const char *name, uint8_t *ret_prefix, const char **ret_rest)
{
	static const struct {
		const char *prefix;
		uint8_t number;
	} prefixes[] = {
		{ "user.", EROFS_XATTR_USER },
		{ "system.posix_acl_access", EROFS_XATTR_ACL_ACCESS },
		{ "system.posix_acl_default", EROFS_XATTR_ACL_DEFAULT },
		{ "security.capability", EROFS_XATTR_SECURITY },
	};
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		const char *rest = str_after(name, prefixes[i].prefix);
		if (!rest || (prefixes[i].number == EROFS_XATTR_USER) == (*rest == '\0'))
			continue;
		*ret_prefix = prefixes[i].number;
		*ret_rest = *rest ? rest : "";
		if (prefixes[i].number == EROFS_XATTR_SECURITY)
			*ret_rest = name + strlen("security.");
		return prefixes[i].number == EROFS_XATTR_USER || !*rest;
	}
	return false;
}

/* ---- ACLs ---- */

/* The order of the parts (posix_acl_valid() in the kernel); 0: no such tag. */
static int acl_rank(uint16_t tag)
{
	static const uint16_t order[] = { ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ,
					  ACL_GROUP,	ACL_MASK, ACL_OTHER };
	for (int i = 0; i < (int)ARRAY_SIZE(order); i++)
		if (order[i] == tag)
			return i + 1;
	return 0;
}

struct acl {
	size_t count;
	bool extended;	  /* more than what a mode says */
	uint16_t bits[7]; /* permissions by rank */
	unsigned seen;	  /* bits by rank */
};

static int read_acl(const uint8_t *value, size_t len, struct acl *ret)
{
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry;
	int last = 0;
	*ret = (struct acl) { 0 };
	if (len < sizeof(header) || (len - sizeof(header)) % sizeof(entry))
		return -EINVAL;
	memcpy(&header, value, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	ret->count = (len - sizeof(header)) / sizeof(entry);
	for (size_t i = 0; i < ret->count; i++) {
		memcpy(&entry, value + sizeof(header) + i * sizeof(entry), sizeof(entry));
		uint16_t tag = le16toh(entry.e_tag), bits = le16toh(entry.e_perm);
		int rank = acl_rank(tag);
		bool named = tag == ACL_USER || tag == ACL_GROUP;
		if (rank == 0 || bits > 7 || rank < last || (rank == last && !named) ||
		    (named && le32toh(entry.e_id) == UINT32_MAX))
			return -EINVAL;
		last = rank;
		ret->bits[rank] = bits;
		ret->seen |= 1u << rank;
		ret->extended |= named || tag == ACL_MASK;
	}
	unsigned base = 1u << acl_rank(ACL_USER_OBJ) | 1u << acl_rank(ACL_GROUP_OBJ) |
			1u << acl_rank(ACL_OTHER);
	unsigned named = 1u << acl_rank(ACL_USER) | 1u << acl_rank(ACL_GROUP);
	if (ret->count && ((ret->seen & base) != base ||
			   ((ret->seen & named) && !(ret->seen & 1u << acl_rank(ACL_MASK)))))
		return -EINVAL;
	return 0;
}

/* An access ACL changes the mode, and is dropped where it says no more than that. */
static int apply_acl(uint8_t prefix, const struct frame_xattr *x, uint16_t *mode, bool *ret_keep)
{
	struct acl acl;
	int r = read_acl(x->value, x->len, &acl);
	if (r < 0)
		return r;
	*ret_keep = acl.count > 0;
	if (acl.count == 0)
		return 0;
	if (prefix == EROFS_XATTR_ACL_DEFAULT)
		return S_ISDIR(*mode) ? 0 : -EACCES;
	bool masked = acl.seen & 1u << acl_rank(ACL_MASK);
	uint16_t group = acl.bits[acl_rank(masked ? ACL_MASK : ACL_GROUP_OBJ)];
	*mode = (uint16_t)((*mode & ~0777) | acl.bits[acl_rank(ACL_USER_OBJ)] << 6 | group << 3 |
			   acl.bits[acl_rank(ACL_OTHER)]);
	*ret_keep = acl.extended;
	return 0;
}

/* ---- entries ---- */

static size_t entry_size(size_t name_len, size_t value_len)
{
	return (sizeof(struct erofs_xattr) + name_len + value_len + 3) & ~(size_t)3;
}

/* The size of the entry at @at, which is one of ours. */
static size_t size_at(const struct erofs_xattrs *set, size_t at)
{
	struct erofs_xattr head;
	memcpy(&head, set->data + at, sizeof(head));
	return entry_size(head.name_len, le16toh(head.value_len));
}

/* Takes the entry of that name out. */
static void drop(struct erofs_xattrs *set, uint8_t prefix, const char *rest)
{
	size_t len = strlen(rest);
	for (size_t at = 0; at < set->len;) {
		struct erofs_xattr head;
		size_t size = size_at(set, at);
		memcpy(&head, set->data + at, sizeof(head));
		if (head.prefix == prefix && head.name_len == len &&
		    memcmp(set->data + at + sizeof(head), rest, len) == 0) {
			memmove(set->data + at, set->data + at + size, set->len - at - size);
			set->len -= (uint32_t)size;
			return;
		}
		at += size;
	}
}

static void append(struct erofs_xattrs *set, uint8_t prefix, const char *rest, const void *value,
		   size_t len)
{
	size_t name_len = strlen(rest), size = entry_size(name_len, len);
	uint8_t *at = set->data + set->len;
	const struct erofs_xattr head = { .name_len = (uint8_t)name_len,
					  .prefix = prefix,
					  .value_len = htole16((uint16_t)len) };
	memset(at, 0, size);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), rest, name_len);
	if (len)
		memcpy(at + sizeof(head) + name_len, value, len);
	set->len += (uint32_t)size;
}

static int add(struct erofs_xattrs *set, const struct frame_xattr *x, uint16_t *mode)
{
	uint8_t prefix;
	const char *rest;
	bool keep = true;
	int r = 0;
	if (!split_name(x->name, &prefix, &rest))
		return -EPERM;
	if (x->len > UINT16_MAX)
		return -EOVERFLOW;
	if (prefix == EROFS_XATTR_ACL_ACCESS || prefix == EROFS_XATTR_ACL_DEFAULT)
		r = apply_acl(prefix, x, mode, &keep);
	if (r < 0)
		return r;
	drop(set, prefix, rest);
	if (keep)
		append(set, prefix, rest, x->value, x->len);
	return set->len > ENTRIES_MAX ? -EOVERFLOW : 0;
}

int erofs_xattrs_merge(struct arena *arena, const struct erofs_xattrs *old,
		       const struct frame_entry *entry, uint16_t *mode,
		       const struct erofs_xattrs **ret, struct masu_error *err)
{
	size_t room = old ? old->len : 0;
	for (size_t i = 0; i < entry->xattr_count; i++)
		room += entry_size(strlen(entry->xattrs[i].name), entry->xattrs[i].len);
	struct erofs_xattrs *set = arena_alloc(arena, sizeof(*set) + room);
	if (!set)
		return error_set(err, -EOVERFLOW,
				 "entry \"%.200s\": the layer has too many extended attributes for "
				 "one index",
				 entry->path);
	if (old) {
		set->len = old->len;
		memcpy(set->data, old->data, old->len);
	}
	for (size_t i = 0; i < entry->xattr_count; i++) {
		int r = add(set, &entry->xattrs[i], mode);
		if (r < 0)
			return error_errno(err, r, "entry \"%.200s\": extended attribute %.100s",
					   entry->path, entry->xattrs[i].name);
	}
	*ret = set;
	return 0;
}
