#include "tree/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define BUFFER_SIZE (256u << 10)
#define NAME_MEMORY (1u << 20)

struct fd_source {
	struct source source; /* first: the functions below cast */
	int fd;
	size_t at, len;
	uint8_t buffer[BUFFER_SIZE];
};

static int fd_peek(struct source *source, const uint8_t **ret, size_t *ret_len,
		   struct masu_error *err)
{
	struct fd_source *s = (struct fd_source *)source;
	while (s->at == s->len) {
		ssize_t got = read(s->fd, s->buffer, BUFFER_SIZE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, -errno, "reading the archive");
		s->at = 0;
		s->len = (size_t)got;
		if (got == 0)
			break;
	}
	*ret = s->buffer + s->at;
	*ret_len = s->len - s->at;
	return 0;
}

static void fd_consume(struct source *source, size_t len)
{
	((struct fd_source *)source)->at += len;
}

static const char *compression_of(const uint8_t *data, size_t len)
{
	static const struct {
		const char *magic, *name;
		size_t len;
	} kinds[] = {
		{ "\x1f\x8b", "gzip", 2 },
		{ "BZh", "bzip2", 3 },
		{ "\xfd"
		  "7zXZ",
		  "xz", 5 },
		{ "\x28\xb5\x2f\xfd", "zstd", 4 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (len >= kinds[i].len && memcmp(data, kinds[i].magic, kinds[i].len) == 0)
			return kinds[i].name;
	return NULL;
}

static int refuse_compressed(struct source *source, struct masu_error *err)
{
	const uint8_t *data;
	size_t len;
	int r = source->peek(source, &data, &len, err);
	const char *name = r < 0 ? NULL : compression_of(data, len);
	return name ? error_set(
			      err, -EOPNOTSUPP,
			      "the archive is compressed; uncompress it on the way, as in: %s -dc "
			      "FILE | masu cp - CONTAINER:DIRECTORY",
			      name)
		    : r;
}

static int refuse(const struct tar_entry *e, int code, const char *reason, struct masu_error *err)
{
	return error_set(err, code, "entry \"%.200s\": %s", e->path, reason);
}

static int clean_entry(struct arena *arena, const struct tar_entry *from, struct tar_entry *ret,
		       struct masu_error *err)
{
	const char *reason;
	*ret = *from;
	int r = tree_clean_path(arena, from->path, &ret->path, &reason);
	if (r < 0)
		return refuse(from, r, reason, err);
	if (from->type == TAR_HARDLINK &&
	    (tree_clean_path(arena, from->link, &ret->link, &reason) < 0 || !*ret->link))
		return refuse(from, -EBADMSG, "a hard link to what is not in the archive", err);
	if (from->type == TAR_SYMLINK && !*from->link)
		return refuse(from, -EBADMSG, "a symbolic link to nothing", err);
	return 0;
}

static int pass_entry(struct tar *tar, struct arena *arena, const struct tar_entry *from,
		      struct tree_sink *sink, struct masu_error *err)
{
	struct tar_entry entry;
	const uint8_t *data;
	size_t len = 1;
	uint64_t offset = 0;
	arena_reset(arena);
	int r = clean_entry(arena, from, &entry, err);
	if (r == 0)
		r = tree_begin(sink, &entry, err);
	while (r == 0 && len > 0) {
		r = tar_data(tar, &data, &len, &offset, err);
		if (r == 0 && len > 0)
			r = sink->data(sink, data, len, offset, err);
	}
	return r < 0 ? r : sink->end(sink, err);
}

int tree_unpack(int fd, struct tree_sink *sink, struct masu_error *err)
{
	struct arena arena;
	struct tar tar;
	const struct tar_entry *entry;
	struct fd_source *source = malloc(sizeof(*source));
	if (!source)
		return error_set(err, -ENOMEM, "out of memory");
	source->source = (struct source) { .peek = fd_peek, .consume = fd_consume };
	source->fd = fd;
	source->at = source->len = 0;
	arena_init(&arena, NAME_MEMORY);
	tar_init(&tar, &source->source);
	int r = refuse_compressed(&source->source, err);
	while (r == 0 && (r = tar_next(&tar, &entry, err)) == 0 && entry)
		r = pass_entry(&tar, &arena, entry, sink, err);
	if (r == 0)
		r = sink->finish(sink, err);
	/* The rest of the last record, so that whoever writes it is not told that nobody reads. */
	if (r == 0)
		r = source_drain(&source->source, err);
	tar_free(&tar);
	arena_free(&arena);
	free(source);
	return r;
}
