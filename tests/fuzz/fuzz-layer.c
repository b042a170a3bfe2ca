/*
 * A layer's tar through reader and policy: whatever the bytes, what would go to the unpacker is
 * within its bounds and stays in its directory.
 */
#include <string.h>

#include "base/str.h"
#include "cold/image/policy.h"
#include "tree/tar.h"
#include "fuzz.h"

struct memory_source {
	struct source source;
	const uint8_t *data;
	size_t left, piece; /* shown at most @piece bytes at a time, to cross every boundary */
};

static int memory_peek(struct source *s, const uint8_t **ret, size_t *ret_len,
		       struct masu_error *err)
{
	struct memory_source *m = (struct memory_source *)s;
	*ret = m->data;
	*ret_len = m->left < m->piece ? m->left : m->piece;
	return 0;
}

static void memory_consume(struct source *s, size_t len)
{
	struct memory_source *m = (struct memory_source *)s;
	FUZZ_CHECK(len <= m->left);
	m->data += len;
	m->left -= len;
}

static void check_path(const char *path)
{
	FUZZ_CHECK(strlen(path) <= LIMIT_PATH && *path != '/');
	while (*path) {
		size_t part = strcspn(path, "/");
		FUZZ_CHECK(part > 0 && part <= LIMIT_COMPONENT);
		FUZZ_CHECK(!(part == 1 && path[0] == '.'));
		FUZZ_CHECK(!(part == 2 && path[0] == '.' && path[1] == '.'));
		FUZZ_CHECK(path[part] == '\0' || path[part + 1] != '\0');
		path += part + (path[part] == '/');
	}
}

static void check_frame(const struct frame_entry *frame)
{
	check_path(frame->path);
	FUZZ_CHECK(*frame->path || frame->kind == FRAME_DIRECTORY || frame->kind == FRAME_OPAQUE);
	FUZZ_CHECK(strlen(frame->link) <= LIMIT_PATH && frame->mode <= 07777);
	FUZZ_CHECK(frame->uid != UINT32_MAX && frame->gid != UINT32_MAX);
	FUZZ_CHECK(frame->mtime_ns < 1000000000 && frame->xattr_count <= FRAME_MAX_XATTRS);
	if (frame->kind == FRAME_HARDLINK)
		check_path(frame->link);
	for (size_t i = 0; i < frame->xattr_count; i++) {
		const struct frame_xattr *x = &frame->xattrs[i];
		FUZZ_CHECK(x->len <= LIMIT_XATTR_VALUE && strlen(x->name) <= LIMIT_XATTR_NAME);
		FUZZ_CHECK(!str_after(x->name, "trusted.") && !str_after(x->name, "user.overlay."));
	}
}

/* Content comes in order, within the file, and as much as the archive stores. */
static int check_content(struct tar *tar, uint64_t size, struct masu_error *err)
{
	uint64_t end = 0;
	for (;;) {
		const uint8_t *data;
		size_t len;
		uint64_t offset;
		int r = tar_data(tar, &data, &len, &offset, err);
		if (r < 0 || len == 0)
			return r;
		FUZZ_CHECK(offset >= end && offset <= size && len <= size - offset);
		end = offset + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct masu_error err = { 0 };
	struct tar tar;
	struct memory_source memory = {
		.source = { memory_peek, memory_consume },
		.data = data,
		.left = size,
		.piece = size % 7 ? 1000 : 3,
	};
	tar_init(&tar, &memory.source);
	for (;;) {
		const struct tar_entry *entry;
		struct frame_entry frame;
		bool skip = false;
		int r = tar_next(&tar, &entry, &err);
		if (r < 0 || !entry)
			break;
		arena_reset(&arena);
		r = policy_entry(&arena, entry, true, &frame, &skip, &err);
		if (r == 0 && !skip) {
			check_frame(&frame);
			if (frame.kind == FRAME_FILE && check_content(&tar, frame.size, &err) < 0)
				break;
		}
		FUZZ_CHECK(r == 0 || err.message[0]);
	}
	tar_free(&tar);
	return 0;
}
