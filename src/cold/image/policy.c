#include "cold/image/policy.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define WHITEOUT	".wh."
#define WHITEOUT_META	".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

static int choose_xattrs(struct arena *arena, const struct tar_entry *entry,
			 struct frame_entry *ret, struct masu_error *err)
{
	size_t total = 0;
	if (entry->xattr_count == 0)
		return 0;
	ret->xattrs = arena_array(arena, struct frame_xattr, entry->xattr_count);
	if (!ret->xattrs)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];
		if (!tree_xattr_wanted(x->name))
			continue;
		total += strlen(x->name) + x->len;
		if (strlen(x->name) > LIMIT_XATTR_NAME || x->len > LIMIT_XATTR_VALUE ||
		    total > LIMIT_XATTRS_TOTAL || ret->xattr_count == FRAME_MAX_XATTRS)
			return error_set(err, -E2BIG,
					 "entry \"%.200s\": extended attribute %.100s is too big",
					 entry->path, x->name);
		if (streq(x->name, "security.capability") &&
		    !tree_capability_valid(x->value, x->len))
			return error_set(err, -EBADMSG,
					 "entry \"%.200s\": security.capability is not valid",
					 entry->path);
		ret->xattrs[ret->xattr_count++] =
			(struct frame_xattr) { .name = x->name, .value = x->value, .len = x->len };
	}
	return 0;
}

static int refuse(const struct tar_entry *entry, int code, const char *reason,
		  struct masu_error *err)
{
	return error_set(err, code, "entry \"%.200s\": %s", entry->path, reason);
}

/*
 * Turns ".wh." names into what they mean. A component in the middle of a path that looks like one
 * is aufs' own bookkeeping or nonsense.
 */
static int interpret_whiteout(struct arena *arena, const struct tar_entry *entry,
			      struct frame_entry *ret, bool *ret_skip, struct masu_error *err)
{
	const char *slash = strrchr(ret->path, '/');
	const char *name = slash ? slash + 1 : ret->path;
	size_t parent = slash ? (size_t)(slash - ret->path) : 0;
	*ret_skip = str_after(ret->path, WHITEOUT_META "plnk/") != NULL;
	const char *hidden = str_after(name, WHITEOUT);
	if (!hidden || *ret_skip)
		return 0;
	if (streq(name, WHITEOUT_OPAQUE)) {
		ret->kind = FRAME_OPAQUE;
		ret->path = arena_strndup(arena, ret->path, parent);
		return ret->path ? 0 : error_set(err, -ENOMEM, "out of memory");
	}
	if (str_after(name, WHITEOUT_META)) {
		*ret_skip = true;
		return 0;
	}
	if (!*hidden || streq(hidden, ".") || streq(hidden, ".."))
		return refuse(entry, -EBADMSG, "a whiteout of nothing", err);
	ret->kind = FRAME_WHITEOUT;
	ret->path =
		parent ? arena_printf(arena, "%.*s/%s", (int)parent, ret->path, hidden) : hidden;
	return ret->path ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static enum frame_kind kind_of(enum tar_type type)
{
	static const enum frame_kind kinds[] = {
		[TAR_FILE] = FRAME_FILE,	  [TAR_HARDLINK] = FRAME_HARDLINK,
		[TAR_SYMLINK] = FRAME_SYMLINK,	  [TAR_CHAR] = FRAME_CHAR,
		[TAR_BLOCK_DEVICE] = FRAME_BLOCK, [TAR_DIRECTORY] = FRAME_DIRECTORY,
		[TAR_FIFO] = FRAME_FIFO,
	};
	return kinds[type];
}

static int check_link(struct arena *arena, const struct tar_entry *entry, struct frame_entry *ret,
		      struct masu_error *err)
{
	const char *reason;
	if (ret->kind == FRAME_SYMLINK) {
		if (!*entry->link || strlen(entry->link) > LIMIT_PATH)
			return refuse(entry, -EBADMSG, "a symlink to nothing, or too long a target",
				      err);
		ret->link = entry->link;
	} else if (ret->kind == FRAME_HARDLINK) {
		int r = tree_clean_path(arena, entry->link, &ret->link, &reason);
		if (r < 0 || !*ret->link)
			return error_set(err, r < 0 ? r : -EBADMSG,
					 "entry \"%.200s\": hard link to \"%.200s\", which is not "
					 "in the layer",
					 entry->path, entry->link);
	}
	return 0;
}

int policy_entry(struct arena *arena, const struct tar_entry *entry, bool whiteouts,
		 struct frame_entry *ret, bool *ret_skip, struct masu_error *err)
{
	const char *reason;
	struct frame_entry frame = {
		.kind = kind_of(entry->type),
		.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.major = entry->major,
		.minor = entry->minor,
		.mtime = entry->mtime,
		.mtime_ns = entry->mtime_ns,
		.size = entry->size,
		.link = "",
	};
	int r = tree_clean_path(arena, entry->path, &frame.path, &reason);
	if (r < 0)
		return refuse(entry, r, reason, err);
	if (!*frame.path && frame.kind != FRAME_DIRECTORY)
		return refuse(entry, -EBADMSG, "the layer's root can only be a directory", err);
	*ret_skip = false;
	r = !whiteouts ? 0 : interpret_whiteout(arena, entry, &frame, ret_skip, err);
	if (r < 0 || *ret_skip)
		return r;
	r = check_link(arena, entry, &frame, err);
	if (r == 0 && frame.kind < FRAME_WHITEOUT)
		r = choose_xattrs(arena, entry, &frame, err);
	if (r == 0)
		*ret = frame;
	return r;
}
