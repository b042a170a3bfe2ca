#include "archive.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "tree/tar.h"

#define MAX_ENTRIES 64

/* The bytes of the input, one after the other; 0 when they are used up. */
struct input {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static const char *const components[] = {
	"a",	"b",	 "c",	   ".",	   "..",     "",     ".wh.a",	  ".wh.b", ".wh..wh..opq",
	".wh.", ".wh.c", "canary", "root", ".wh...", "file", ".wh..wh.x",
};

static const char *outside_path;

static void append_path(struct buf *out, struct input *in)
{
	uint8_t head = take(in);
	if (head == 0xff) {
		buf_append(out, outside_path, strlen(outside_path));
		return;
	}
	if (head & 0x80)
		buf_append(out, "/", 1);
	for (unsigned i = 0; i <= (head & 3u); i++) {
		const char *name = components[take(in) % ARRAY_SIZE(components)];
		if (i)
			buf_append(out, "/", 1);
		buf_append(out, name, strlen(name));
	}
	if (head & 0x40)
		buf_append(out, "/", 1);
}

static void octal(char *field, size_t size, uint64_t value)
{
	snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static void append_header(struct buf *out, char type, const char *path, const char *link,
			  unsigned mode, uint64_t size)
{
	char block[TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	snprintf(block, 100, "%s", path);
	octal(block + 100, 8, mode);
	octal(block + 108, 8, 1000);
	octal(block + 116, 8, 1000);
	octal(block + 124, 12, size);
	octal(block + 136, 12, 1700000000);
	memset(block + 148, ' ', 8);
	block[156] = type;
	snprintf(block + 157, 100, "%s", link);
	memcpy(block + 257, "ustar\00000", 8);
	octal(block + 329, 8, 0);
	octal(block + 337, 8, 0);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (uint8_t)block[i];
	octal(block + 148, 7, sum);
	buf_append(out, block, sizeof(block));
}

static void append_content(struct buf *out, const char *text, size_t len)
{
	static const char zeros[TAR_BLOCK];
	buf_append(out, text, len);
	buf_append(out, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* A PAX header that gives the next entry its name, or an extended attribute. */
static void append_pax(struct buf *out, struct input *in)
{
	static const char *const keys[] = { "path",
					    "linkpath",
					    "SCHILY.xattr.user.a",
					    "SCHILY.xattr.trusted.overlay.opaque",
					    "SCHILY.xattr.security.capability",
					    "size" };
	_cleanup_buf_ struct buf value = { 0 };
	char record[600];
	buf_init(&value, 4096);
	const char *key = keys[take(in) % ARRAY_SIZE(keys)];
	append_path(&value, in);
	/* The length counts itself: "NN key=value\n". */
	size_t len = strlen(key) + value.len + 3;
	len += len + 2 > 99 ? 3 : 2;
	snprintf(record, sizeof(record), "%zu %s=%.*s\n", len, key, (int)value.len,
		 value.data ? value.data : "");
	append_header(out, 'x', "pax", "", 0644, strlen(record));
	append_content(out, record, strlen(record));
}

static void append_entry(struct buf *out, struct input *in)
{
	static const char types[] = "0123456x";
	_cleanup_buf_ struct buf path = { 0 }, link = { 0 };
	buf_init(&path, 4096);
	buf_init(&link, 4096);
	uint8_t head = take(in);
	char type = types[head % (sizeof(types) - 1)];
	if (type == 'x') {
		append_pax(out, in);
		return;
	}
	append_path(&path, in);
	if (type == '1' || type == '2')
		append_path(&link, in);
	buf_append(&path, "", 1);
	buf_append(&link, "", 1);
	size_t size = type == '0' && head & 0x80 ? 7 : 0;
	append_header(out, type, path.data, link.data, head & 0x40 ? 04777 : 0600, size);
	append_content(out, "content", size);
}

void archive_from_input(const uint8_t *data, size_t size, const char *outside, struct buf *ret)
{
	struct input in = { data, size };
	static const char end[2 * TAR_BLOCK];
	outside_path = outside;
	for (int i = 0; i < MAX_ENTRIES && in.left; i++)
		append_entry(ret, &in);
	append_content(ret, end, sizeof(end));
	FUZZ_CHECK(buf_error(ret) == 0);
}
