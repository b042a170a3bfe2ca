#include "tree/tar_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "sys/fs.h"

#define BUFFER_SIZE   (256u << 10)
#define DIRECT_MIN    (64u << 10) /* smaller pieces go through the buffer */
#define COPY_CHUNK    (1u << 30)
#define OCTAL_ID_MAX  07777777u
#define OCTAL_11_MAX  077777777777ull
#define RECORDS_LIMIT (8u << 20)
/* What readers that do not know the format call such a file. */
#define SPARSE_PREFIX "GNUSparseFile.0/"

struct tar_writer {
	struct tree_sink sink; /* first: the functions below cast */
	int fd;
	size_t used;
	const struct tar_entry *entry;
	size_t region;	   /* of the entry's */
	uint64_t position; /* in the file, up to which its content was written */
	uint64_t padding;
	struct buf records, map;
	char buffer[BUFFER_SIZE];
};

static int flush(struct tar_writer *w, struct masu_error *err)
{
	int r = fs_write_all(w->fd, w->buffer, w->used);
	w->used = 0;
	return r < 0 ? error_errno(err, r, "writing the archive") : 0;
}

static int put(struct tar_writer *w, const void *data, size_t len, struct masu_error *err)
{
	while (len > 0) {
		if (w->used == BUFFER_SIZE) {
			int r = flush(w, err);
			if (r < 0)
				return r;
		}
		size_t part = len < BUFFER_SIZE - w->used ? len : BUFFER_SIZE - w->used;
		memcpy(w->buffer + w->used, data, part);
		w->used += part;
		data = (const char *)data + part;
		len -= part;
	}
	return 0;
}

static int put_zeroes(struct tar_writer *w, uint64_t len, struct masu_error *err)
{
	static const char zeroes[8192];
	int r = 0;
	while (r == 0 && len > 0) {
		size_t part = len < sizeof(zeroes) ? (size_t)len : sizeof(zeroes);
		r = put(w, zeroes, part, err);
		len -= part;
	}
	return r;
}

static uint64_t padding_of(uint64_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* ---- headers ---- */

static char type_flag(enum tar_type type)
{
	static const char flags[] = {
		[TAR_FILE] = '0', [TAR_HARDLINK] = '1',	    [TAR_SYMLINK] = '2',
		[TAR_CHAR] = '3', [TAR_BLOCK_DEVICE] = '4', [TAR_DIRECTORY] = '5',
		[TAR_FIFO] = '6',
	};
	return flags[type];
}

/* What does not fit stands in the PAX records before, and is 0 or cut here. */
static void octal(char *field, size_t digits, uint64_t value)
{
	for (size_t i = digits; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static int put_header(struct tar_writer *w, char type, const char *path, const struct tar_entry *e,
		      uint64_t size, struct masu_error *err)
{
	char block[TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	size_t len = strlen(path);
	memcpy(block, path, len < 100 ? len : 100);
	octal(block + 100, 7, e->mode);
	octal(block + 108, 7, e->uid <= OCTAL_ID_MAX ? e->uid : 0);
	octal(block + 116, 7, e->gid <= OCTAL_ID_MAX ? e->gid : 0);
	octal(block + 124, 11, size <= OCTAL_11_MAX ? size : 0);
	octal(block + 136, 11, e->mtime < 0 ? 0 : (uint64_t)e->mtime);
	memset(block + 148, ' ', 8);
	block[156] = type;
	if (type == '1' || type == '2') {
		len = strlen(e->link);
		memcpy(block + 157, e->link, len < 100 ? len : 100);
	}
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	octal(block + 329, 7, e->major);
	octal(block + 337, 7, e->minor);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	octal(block + 148, 6, sum);
	block[154] = '\0';
	return put(w, block, sizeof(block), err);
}

/* "<length> <key>=<value>\n", where the length counts its own digits. */
static void add_record(struct buf *records, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(key) + len + 3, total = rest, before;
	char digits[24];
	do {
		before = total;
		total = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", before);
	} while (total != before);
	buf_printf(records, "%zu %s=", total, key);
	buf_append(records, value, len);
	buf_putc(records, '\n');
}

static void add_number(struct buf *records, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_record(records, key, text, strlen(text));
}

static void add_mtime(struct buf *records, const struct tar_entry *e)
{
	char text[48];
	int64_t seconds = e->mtime;
	uint32_t ns = e->mtime_ns;
	bool negative = seconds < 0;
	/* Before 1970 the fraction counts the other way: -1.5 is two seconds down, half one up. */
	if (negative && ns) {
		seconds++;
		ns = 1000000000 - ns;
	}
	snprintf(text, sizeof(text), "%s%lld.%09u", negative ? "-" : "",
		 (long long)(negative ? -seconds : seconds), ns);
	add_record(records, "mtime", text, strlen(text));
}

static void add_xattrs(struct buf *records, const struct tar_entry *e)
{
	char key[sizeof("SCHILY.xattr.") + 256];
	for (size_t i = 0; i < e->xattr_count; i++)
		if (str_format(key, sizeof(key), "SCHILY.xattr.%s", e->xattrs[i].name) == 0)
			add_record(records, key, e->xattrs[i].value, e->xattrs[i].len);
}

static void add_sparse(struct buf *records, const char *path, uint64_t size)
{
	add_record(records, "GNU.sparse.major", "1", 1);
	add_record(records, "GNU.sparse.minor", "0", 1);
	add_record(records, "GNU.sparse.name", path, strlen(path));
	add_number(records, "GNU.sparse.realsize", size);
}

/* The map in front of the data: the number of regions, then of each offset and length. */
static uint64_t make_map(struct tar_writer *w, const struct tar_entry *e)
{
	uint64_t data = 0;
	buf_reset(&w->map);
	buf_printf(&w->map, "%zu\n", e->region_count);
	for (size_t i = 0; i < e->region_count; i++) {
		buf_printf(&w->map, "%llu\n%llu\n", (unsigned long long)e->regions[i].offset,
			   (unsigned long long)e->regions[i].len);
		data += e->regions[i].len;
	}
	return data;
}

static int put_records(struct tar_writer *w, const struct tar_entry *e, struct masu_error *err)
{
	const struct tar_entry plain = { .mode = 0644 };
	if (buf_error(&w->records) < 0)
		return error_errno(err, buf_error(&w->records), "%.300s", e->path);
	if (w->records.len == 0)
		return 0;
	int r = put_header(w, 'x', "PaxHeaders/entry", &plain, w->records.len, err);
	if (r == 0)
		r = put(w, w->records.data, w->records.len, err);
	return r < 0 ? r : put_zeroes(w, padding_of(w->records.len), err);
}

/* The name as it stands in the archive: directories end in a slash, the top is "./". */
static int archive_name(const struct tar_entry *e, const char *prefix, char *ret, size_t size)
{
	return str_format(ret, size, "%s%s%s", prefix, *e->path ? e->path : ".",
			  e->type == TAR_DIRECTORY ? "/" : "");
}

static int writer_begin(struct tree_sink *sink, const struct tar_entry *e, struct masu_error *err)
{
	struct tar_writer *w = (struct tar_writer *)sink;
	char name[4096 + sizeof(SPARSE_PREFIX) + 2];
	uint64_t stored = e->size;
	bool sparse = e->type == TAR_FILE && e->regions;
	if (archive_name(e, sparse ? SPARSE_PREFIX : "", name, sizeof(name)) < 0)
		return error_set(err, -ENAMETOOLONG, "%.300s: too long a name", e->path);
	w->entry = e;
	w->region = 0;
	w->position = 0;
	buf_reset(&w->records);
	if (strlen(name) > 100 && !sparse)
		add_record(&w->records, "path", name, strlen(name));
	if (strlen(e->link) > 100)
		add_record(&w->records, "linkpath", e->link, strlen(e->link));
	if (e->uid > OCTAL_ID_MAX)
		add_number(&w->records, "uid", e->uid);
	if (e->gid > OCTAL_ID_MAX)
		add_number(&w->records, "gid", e->gid);
	if (e->mtime < 0 || e->mtime_ns || (uint64_t)e->mtime > OCTAL_11_MAX)
		add_mtime(&w->records, e);
	add_xattrs(&w->records, e);
	if (sparse) {
		add_sparse(&w->records, e->path, e->size);
		stored = make_map(w, e);
		stored += w->map.len + padding_of(w->map.len);
	}
	if (stored > OCTAL_11_MAX)
		add_number(&w->records, "size", stored);
	w->padding = padding_of(stored);
	int r = put_records(w, e, err);
	if (r == 0)
		r = put_header(w, type_flag(e->type), name, e, stored, err);
	if (r == 0 && sparse && (r = buf_error(&w->map)) < 0)
		return error_errno(err, r, "%.300s", e->path);
	if (r == 0 && sparse)
		r = put(w, w->map.data, w->map.len, err);
	return r == 0 && sparse ? put_zeroes(w, padding_of(w->map.len), err) : r;
}

/* ---- content ---- */

static int writer_data(struct tree_sink *sink, const void *data, size_t len, uint64_t offset,
		       struct masu_error *err)
{
	struct tar_writer *w = (struct tar_writer *)sink;
	w->position = offset + len;
	return put(w, data, len, err);
}

/* A piece goes from file to archive inside the kernel where it takes that. */
static ssize_t copy_some(struct tar_writer *w, int fd, off_t from, size_t len,
			 struct masu_error *err)
{
	if (len >= DIRECT_MIN) {
		if (flush(w, err) < 0)
			return err ? err->code : -EIO;
		ssize_t sent = sendfile(w->fd, fd, &from, len < COPY_CHUNK ? len : COPY_CHUNK);
		if (sent >= 0 || errno != EINVAL)
			return sent < 0 ? -errno : sent;
	}
	if (w->used == BUFFER_SIZE && flush(w, err) < 0)
		return err ? err->code : -EIO;
	size_t room = BUFFER_SIZE - w->used;
	ssize_t got = pread(fd, w->buffer + w->used, len < room ? len : room, from);
	if (got > 0)
		w->used += (size_t)got;
	return got < 0 ? -errno : got;
}

static int writer_copy(struct tree_sink *sink, int fd, uint64_t offset, uint64_t len,
		       uint64_t *ret_copied, struct masu_error *err)
{
	struct tar_writer *w = (struct tar_writer *)sink;
	uint64_t done = 0;
	while (done < len) {
		size_t want = len - done < COPY_CHUNK ? (size_t)(len - done) : COPY_CHUNK;
		ssize_t got = copy_some(w, fd, (off_t)(offset + done), want, err);
		if (got == -EINTR)
			continue;
		if (got < 0)
			return err && error_is_set(err)
				       ? err->code
				       : error_errno(err, (int)got, "%.300s", w->entry->path);
		if (got == 0)
			break;
		done += (uint64_t)got;
	}
	w->position = offset + done;
	*ret_copied = done;
	return 0;
}

/* A file that shrank since its header was written is filled up, as tar(1) does. */
static int writer_end(struct tree_sink *sink, struct masu_error *err)
{
	struct tar_writer *w = (struct tar_writer *)sink;
	const struct tar_entry *e = w->entry;
	uint64_t missing = 0;
	if (e->type != TAR_FILE)
		return 0;
	if (!e->regions)
		missing = e->size - w->position;
	for (size_t i = 0; e->regions && i < e->region_count; i++) {
		const struct tar_region *region = &e->regions[i];
		uint64_t end = region->offset + region->len;
		if (w->position < end)
			missing +=
				end - (w->position > region->offset ? w->position : region->offset);
	}
	int r = put_zeroes(w, missing, err);
	return r < 0 ? r : put_zeroes(w, w->padding, err);
}

static int writer_finish(struct tree_sink *sink, struct masu_error *err)
{
	struct tar_writer *w = (struct tar_writer *)sink;
	int r = put_zeroes(w, 2 * TAR_BLOCK, err);
	return r < 0 ? r : flush(w, err);
}

int tar_writer_new(int fd, struct tar_writer **ret, struct masu_error *err)
{
	struct tar_writer *w = malloc(sizeof(*w));
	if (!w)
		return error_set(err, -ENOMEM, "out of memory");
	*w = (struct tar_writer) {
		.sink = { .begin = writer_begin,
			  .data = writer_data,
			  .copy = writer_copy,
			  .end = writer_end,
			  .finish = writer_finish,
			  .wants_regions = true },
		.fd = fd,
	};
	buf_init(&w->records, RECORDS_LIMIT);
	buf_init(&w->map, RECORDS_LIMIT);
	*ret = w;
	return 0;
}

struct tree_sink *tar_writer_sink(struct tar_writer *w)
{
	return &w->sink;
}

void tar_writer_free(struct tar_writer *w)
{
	buf_free(&w->records);
	buf_free(&w->map);
	free(w);
}
