/*
 * What of a tar entry goes into a layer, and as what: image-spec layer.md (whiteouts), and masu's
 * rules for names and extended attributes. Pure: looks at the entry, touches nothing.
 *
 * - Leading "/" and "./" are dropped; a name or hard link target with ".." is refused.
 * - ".wh.NAME" hides NAME, ".wh..wh..opq" hides everything below its directory, other names that
 *   begin with ".wh..wh." are aufs' own and are left out. ".wh.", ".wh.." and ".wh..." are refused.
 * - Extended attributes: user.*, security.capability in a valid form, POSIX ACLs. The others
 *   (trusted.*, above all trusted.overlay.*; other security.*) belong to the host and are dropped.
 */
#pragma once

#include "base/arena.h"
#include "cold/image/frame.h"
#include "tree/tar.h"
#include "tree/tree.h"

/*
 * @whiteouts: false where it is no layer, and ".wh." begins a name like any other. *ret_skip: the
 * entry is to be left out. Strings are in the arena or the entry. -EBADMSG or -E2BIG with a message
 * that names the entry.
 */
int policy_entry(struct arena *arena, const struct tar_entry *entry, bool whiteouts,
		 struct frame_entry *ret, bool *ret_skip, struct masu_error *err);
