#include "tree/tar.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "tree/tar_header.h"

#define ARENA_LIMIT	    (16u << 20)
#define EXTENSIONS_IN_A_ROW 16 /* x, L, K … before one entry */

void tar_init(struct tar *tar, struct source *source)
{
	*tar = (struct tar) { .source = source };
	arena_init(&tar->arena, ARENA_LIMIT);
}

void tar_free(struct tar *tar)
{
	arena_free(&tar->arena);
}

static int cut_off(const struct tar *tar, struct masu_error *err)
{
	return error_set(err, -EBADMSG, "the archive is cut off after %llu bytes",
			 (unsigned long long)tar->offset);
}

/* A whole block; *ret_got is 0 at a clean end of the stream. */
static int read_block(struct tar *tar, uint8_t block[TAR_BLOCK], size_t *ret_got,
		      struct masu_error *err)
{
	int r = source_read(tar->source, block, TAR_BLOCK, ret_got, err);
	if (r == 0 && *ret_got != 0 && *ret_got != TAR_BLOCK)
		return cut_off(tar, err);
	tar->offset += *ret_got;
	return r;
}

static int skip(struct tar *tar, uint64_t len, struct masu_error *err)
{
	int r = source_skip(tar->source, len, err);
	tar->offset += len;
	return r;
}

/* Some writers (umoci) end after the last file's content, without padding and end marker. */
static int skip_padding(struct tar *tar, struct masu_error *err)
{
	uint8_t block[TAR_BLOCK];
	size_t got;
	int r = source_read(tar->source, block, (size_t)tar->padding, &got, err);
	tar->offset += tar->padding;
	tar->unpadded = got < tar->padding;
	for (size_t i = 0; r == 0 && i < got; i++)
		tar->unpadded |= block[i] != 0;
	return r;
}

/* The body of an extension, NUL-terminated, in the arena. */
static int read_body(struct tar *tar, uint64_t size, char **ret, struct masu_error *err)
{
	size_t got;
	if (size > TAR_MAX_EXTENSION)
		return error_set(err, -E2BIG,
				 "an extended header of %llu bytes; at most %u are "
				 "allowed",
				 (unsigned long long)size, TAR_MAX_EXTENSION);
	char *body = arena_alloc(&tar->arena, (size_t)size + 1);
	if (!body)
		return error_set(err, -ENOMEM, "out of memory");
	int r = source_read(tar->source, body, (size_t)size, &got, err);
	if (r < 0)
		return r;
	if (got != size)
		return cut_off(tar, err);
	tar->offset += size;
	r = skip(tar, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, err);
	if (r == 0)
		*ret = body;
	return r;
}

/* Takes in one extended header; *ret_is_extension says whether this was one. */
static int read_extension(struct tar *tar, const struct tar_header *header, struct tar_extension *x,
			  bool *ret_is_extension, struct masu_error *err)
{
	char *body = NULL;
	*ret_is_extension = header->type && strchr("xXgLKV", header->type) != NULL;
	if (!*ret_is_extension)
		return 0;
	int r = read_body(tar, header->size, &body, err);
	if (r < 0)
		return r;
	switch (header->type) {
	case 'L':
		x->path = body;
		return 0;
	case 'K':
		x->link = body;
		return 0;
	case 'x':
	case 'X':
		return tar_pax_parse(body, (size_t)header->size, &tar->arena, x, err);
	default: /* a global header (git archive's commit id) or a volume's name: no entry's */
		return 0;
	}
}

static int entry_type(const struct tar_header *header, const char *path, enum tar_type *ret)
{
	switch (header->type) {
	case '\0':
	case '0':
	case '7':
		/* v7 had no directories: a name that ends in a slash was one */
		*ret = header->type != '7' && str_ends_with(path, "/") ? TAR_DIRECTORY : TAR_FILE;
		return 0;
	case 'S':
		*ret = TAR_FILE;
		return 0;
	case '1':
		*ret = TAR_HARDLINK;
		return 0;
	case '2':
		*ret = TAR_SYMLINK;
		return 0;
	case '3':
		*ret = TAR_CHAR;
		return 0;
	case '4':
		*ret = TAR_BLOCK_DEVICE;
		return 0;
	case '5':
		*ret = TAR_DIRECTORY;
		return 0;
	case '6':
		*ret = TAR_FIFO;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int sparse_error(const struct tar *tar, struct masu_error *err)
{
	return error_set(err, -EBADMSG, "entry \"%.200s\": its map of holes is wrong",
			 tar->entry.path);
}

/* GNU's old format: pairs of 12-byte numbers, an empty one ends the map. */
static int add_old_regions(struct tar *tar, const uint8_t *at, unsigned count,
			   struct tar_extension *x)
{
	for (unsigned i = 0; i < count && at[i * 24]; i++) {
		int64_t offset, len;
		if (tar_number(at + i * 24, 12, &offset) < 0 ||
		    tar_number(at + i * 24 + 12, 12, &len) < 0 || offset < 0 || len < 0)
			return -EINVAL;
		int r = tar_region_add(&tar->arena, x, (uint64_t)offset, (uint64_t)len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_old_sparse(struct tar *tar, const uint8_t *header, struct tar_extension *x,
			   struct masu_error *err)
{
	uint8_t block[TAR_BLOCK];
	int64_t size;
	size_t got;
	bool more = header[482];
	if (tar_number(header + 483, 12, &size) < 0 || size < 0 ||
	    add_old_regions(tar, header + 386, 4, x) < 0)
		return sparse_error(tar, err);
	while (more) {
		int r = read_block(tar, block, &got, err);
		if (r < 0)
			return r;
		if (got == 0)
			return cut_off(tar, err);
		if (add_old_regions(tar, block, 21, x) < 0)
			return sparse_error(tar, err);
		more = block[504];
	}
	x->sparse_size = (uint64_t)size;
	return 0;
}

/* One decimal number and its newline from the map in front of the data (format 1.0). */
static int read_map_number(struct tar *tar, uint64_t *consumed, uint64_t *ret,
			   struct masu_error *err)
{
	uint64_t value = 0;
	for (unsigned digits = 0; digits < 21; digits++) {
		char c;
		size_t got;
		int r = source_read(tar->source, &c, 1, &got, err);
		if (r < 0)
			return r;
		if (got == 0)
			return cut_off(tar, err);
		++*consumed;
		if (c == '\n' && digits > 0) {
			*ret = value;
			return 0;
		}
		if (c < '0' || c > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
			break;
	}
	return sparse_error(tar, err);
}

static int read_sparse_1_0(struct tar *tar, struct tar_extension *x, struct masu_error *err)
{
	uint64_t consumed = 0, count, offset, len;
	int r = read_map_number(tar, &consumed, &count, err);
	if (r == 0 && count > TAR_MAX_SPARSE)
		return error_set(err, -E2BIG, "entry \"%.200s\": more than %d regions of data",
				 tar->entry.path, TAR_MAX_SPARSE);
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		r = read_map_number(tar, &consumed, &offset, err);
		if (r == 0)
			r = read_map_number(tar, &consumed, &len, err);
		if (r == 0 && tar_region_add(&tar->arena, x, offset, len) < 0)
			return sparse_error(tar, err);
	}
	if (r < 0)
		return r;
	uint64_t rest = (TAR_BLOCK - consumed % TAR_BLOCK) % TAR_BLOCK;
	if (consumed + rest > tar->stored)
		return sparse_error(tar, err);
	tar->offset += consumed;
	tar->stored -= consumed + rest;
	return skip(tar, rest, err);
}

/* The map is known: does it fit the file and the stored bytes? */
static int use_regions(struct tar *tar, const struct tar_extension *x, struct masu_error *err)
{
	uint64_t total = 0;
	if (x->region_open || x->sparse_size > TAR_MAX_FILE)
		return sparse_error(tar, err);
	for (size_t i = 0; i < x->region_count; i++)
		total += x->regions[i].len;
	const struct tar_region *last =
		x->region_count ? &x->regions[x->region_count - 1] : &(struct tar_region) { 0 };
	if (total != tar->stored || last->offset + last->len > x->sparse_size)
		return sparse_error(tar, err);
	tar->regions = x->regions;
	tar->region_count = x->region_count;
	tar->entry.size = x->sparse_size;
	return 0;
}

static int set_sparse(struct tar *tar, const struct tar_header *header, const uint8_t *block,
		      struct tar_extension *x, struct masu_error *err)
{
	int r = 0;
	if (header->type == 'S') {
		r = read_old_sparse(tar, block, x, err);
	} else if (x->has_sparse_version && x->sparse_major == 1 && x->sparse_minor == 0) {
		r = read_sparse_1_0(tar, x, err);
	} else if (x->has_sparse_version && x->sparse_major != 0) {
		return error_set(err, -EOPNOTSUPP, "entry \"%.200s\": sparse format %u.%u",
				 tar->entry.path, x->sparse_major, x->sparse_minor);
	} else if (!x->has_sparse_size || (!x->region_count && !x->has_sparse_version)) {
		return 0; /* an ordinary file */
	}
	return r < 0 ? r : use_regions(tar, x, err);
}

/* Combines header and extensions into the entry; the later word wins. */
static int fill_entry(struct tar *tar, const struct tar_header *header,
		      const struct tar_extension *x, struct masu_error *err)
{
	struct tar_entry *e = &tar->entry;
	*e = (struct tar_entry) {
		.path = x->sparse_name ? x->sparse_name
			: x->path      ? x->path
				       : header->path,
		.link = x->link ? x->link : header->link,
		.mode = header->mode,
		.uid = x->has_uid ? x->uid : header->uid,
		.gid = x->has_gid ? x->gid : header->gid,
		.major = header->major,
		.minor = header->minor,
		.mtime = x->has_mtime ? x->mtime : header->mtime,
		.mtime_ns = x->has_mtime ? x->mtime_ns : 0,
		.xattrs = x->xattrs,
		.xattr_count = x->xattr_count,
	};
	if (entry_type(header, e->path, &e->type) < 0)
		return error_set(err, -EBADMSG, "entry \"%.200s\": type '%c' is not supported",
				 e->path, header->type);
	/* Only files have content, whatever the size field of the others says. */
	uint64_t size = x->has_size ? x->size : header->size;
	if (size > TAR_MAX_FILE)
		return error_set(err, -E2BIG, "entry \"%.200s\": %llu bytes is too big", e->path,
				 (unsigned long long)size);
	tar->stored = e->type == TAR_FILE ? size : 0;
	e->size = tar->stored;
	return 0;
}

/* Reads up to the header that an entry begins with; *ret_type_block is that block. */
static int read_headers(struct tar *tar, struct tar_header *header, struct tar_extension *x,
			uint8_t block[TAR_BLOCK], bool *ret_end, struct masu_error *err)
{
	for (unsigned i = 0; i < EXTENSIONS_IN_A_ROW; i++) {
		size_t got;
		bool extension = false;
		int r = read_block(tar, block, &got, err);
		if (r < 0)
			return r;
		*ret_end = got == 0 || tar_block_is_zero(block);
		if (*ret_end)
			return i ? cut_off(tar, err) : 0;
		r = tar_header_parse(block, &tar->arena, header, err);
		if (r == 0)
			r = read_extension(tar, header, x, &extension, err);
		if (r < 0)
			return r;
		if (!extension)
			return 0;
	}
	return error_set(err, -EBADMSG, "more than %d extended headers for one entry",
			 EXTENSIONS_IN_A_ROW);
}

int tar_next(struct tar *tar, const struct tar_entry **ret, struct masu_error *err)
{
	struct tar_header header;
	struct tar_extension x = { 0 };
	uint8_t block[TAR_BLOCK];
	bool end = false;
	int r = skip(tar, tar->stored, err);
	if (r == 0)
		r = skip_padding(tar, err);
	if (r < 0)
		return r;
	arena_reset(&tar->arena);
	tar->stored = tar->padding = 0;
	tar->regions = NULL;
	tar->region_count = tar->region_at = 0;
	tar->region_done = 0;
	r = read_headers(tar, &header, &x, block, &end, err);
	if (r < 0)
		return r;
	if (end) {
		*ret = NULL;
		return 0;
	}
	r = fill_entry(tar, &header, &x, err);
	if (r < 0)
		return r;
	tar->padding = (TAR_BLOCK - tar->stored % TAR_BLOCK) % TAR_BLOCK;
	r = set_sparse(tar, &header, block, &x, err);
	if (r == 0)
		*ret = &tar->entry;
	return r;
}

int tar_data(struct tar *tar, const uint8_t **ret, size_t *ret_len, uint64_t *ret_offset,
	     struct masu_error *err)
{
	const uint8_t *data;
	size_t len;
	*ret_len = 0;
	if (tar->stored == 0)
		return 0;
	int r = tar->source->peek(tar->source, &data, &len, err);
	if (r < 0)
		return r;
	if (len == 0)
		return cut_off(tar, err);
	if (len > tar->stored)
		len = (size_t)tar->stored;
	*ret_offset = tar->entry.size - tar->stored;
	if (tar->region_count) {
		while (tar->region_done == tar->regions[tar->region_at].len) {
			tar->region_at++;
			tar->region_done = 0;
		}
		const struct tar_region *region = &tar->regions[tar->region_at];
		if (len > region->len - tar->region_done)
			len = (size_t)(region->len - tar->region_done);
		*ret_offset = region->offset + tar->region_done;
		tar->region_done += len;
	}
	/* Consumed first: the bytes stay where they are until the next peek. */
	tar->source->consume(tar->source, len);
	tar->stored -= len;
	tar->offset += len;
	*ret = data;
	*ret_len = len;
	return 0;
}
