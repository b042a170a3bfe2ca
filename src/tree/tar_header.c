#include "tree/tar_header.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

/* Offsets in the header block: POSIX.1-1988 ustar, tar(5). */
enum {
	AT_NAME = 0,
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_LINK = 157,
	AT_MAGIC = 257,
	AT_MAJOR = 329,
	AT_MINOR = 337,
	AT_PREFIX = 345,
	AT_STAR = 508
};

bool tar_block_is_zero(const uint8_t block[TAR_BLOCK])
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

/* Base-256: the first bit set, the rest a big-endian two's complement number. */
static int binary_number(const uint8_t *field, size_t len, int64_t *ret)
{
	bool negative = field[0] & 0x40;
	uint64_t value = negative ? UINT64_MAX : 0;
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = field[i];
		if (i == 0)
			byte = negative ? byte | 0x80 : byte & 0x7f;
		if ((value >> 55) != (negative ? 0x1ff : 0))
			return -ERANGE;
		value = value << 8 | byte;
	}
	*ret = (int64_t)value;
	return 0;
}

int tar_number(const uint8_t *field, size_t len, int64_t *ret)
{
	uint64_t value = 0;
	size_t at = 0;
	if (len && (field[0] & 0x80))
		return binary_number(field, len, ret);
	while (at < len && field[at] == ' ')
		at++;
	for (; at < len && field[at] >= '0' && field[at] <= '7'; at++) {
		if (value >> 60)
			return -ERANGE;
		value = value << 3 | (uint64_t)(field[at] - '0');
	}
	for (; at < len; at++)
		if (field[at] != ' ' && field[at] != 0)
			return -EINVAL;
	*ret = (int64_t)value;
	return 0;
}

/* Old tars summed signed characters; both sums are accepted. */
static bool checksum_matches(const uint8_t block[TAR_BLOCK])
{
	int64_t stored, plain = 0, with_sign = 0;
	if (tar_number(block + AT_CHECKSUM, 8, &stored) < 0)
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t byte = i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : block[i];
		plain += byte;
		with_sign += (int8_t)byte;
	}
	return stored == plain || stored == with_sign;
}

static const char *field_text(struct arena *arena, const uint8_t *field, size_t size)
{
	return arena_strndup(arena, (const char *)field, strnlen((const char *)field, size));
}

static const char *header_path(const uint8_t *block, struct arena *arena, bool ustar)
{
	const char *name = field_text(arena, block + AT_NAME, 100);
	if (!name || !ustar || !block[AT_PREFIX])
		return name;
	/* star keeps times where ustar's prefix ends. */
	bool star = memcmp(block + AT_STAR, "tar", 4) == 0;
	const char *prefix = field_text(arena, block + AT_PREFIX, star ? 131 : 155);
	return prefix ? arena_printf(arena, "%s/%s", prefix, name) : NULL;
}

static int id_field(const uint8_t *field, uint32_t *ret)
{
	int64_t value;
	int r = tar_number(field, 8, &value);
	/* 2^32 - 1 means "leave as it is" to chown(2). */
	if (r < 0 || value < 0 || value >= UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

static int parse_numbers(const uint8_t *block, struct tar_header *header)
{
	int64_t mode, size, major = 0, minor = 0;
	if (tar_number(block + AT_MODE, 8, &mode) < 0 || mode < 0 ||
	    id_field(block + AT_UID, &header->uid) < 0 ||
	    id_field(block + AT_GID, &header->gid) < 0 ||
	    tar_number(block + AT_SIZE, 12, &size) < 0 || size < 0 ||
	    tar_number(block + AT_MTIME, 12, &header->mtime) < 0)
		return -ERANGE;
	bool device = header->type == '3' || header->type == '4';
	if (device && (tar_number(block + AT_MAJOR, 8, &major) < 0 ||
		       tar_number(block + AT_MINOR, 8, &minor) < 0 || major < 0 || minor < 0 ||
		       major > 0xfff || minor > 0xfffff))
		return -ERANGE;
	header->mode = (uint32_t)mode & 07777;
	header->size = (uint64_t)size;
	header->major = (uint32_t)major;
	header->minor = (uint32_t)minor;
	return 0;
}

int tar_header_parse(const uint8_t block[TAR_BLOCK], struct arena *arena, struct tar_header *ret,
		     struct masu_error *err)
{
	struct tar_header header = { .type = (char)block[AT_TYPE] };
	if (!checksum_matches(block))
		return error_set(err, -EBADMSG,
				 "not a tar archive, or a damaged one (checksum of "
				 "a header)");
	header.gnu = memcmp(block + AT_MAGIC, "ustar  ", 8) == 0;
	bool ustar = memcmp(block + AT_MAGIC, "ustar", 6) == 0;
	header.path = header_path(block, arena, ustar);
	header.link = field_text(arena, block + AT_LINK, 100);
	if (!header.path || !header.link)
		return error_set(err, -ENOMEM, "out of memory");
	if (parse_numbers(block, &header) < 0)
		return error_set(err, -EBADMSG,
				 "entry \"%.200s\": mode, owner, size, time or device is no number "
				 "or out of range",
				 header.path);
	*ret = header;
	return 0;
}

/* "1350244992.023960108", also negative; more digits than nanoseconds are cut. */
static int parse_time(const char *text, int64_t *ret_seconds, uint32_t *ret_ns)
{
	char whole[32];
	size_t len = strcspn(text, ".");
	uint32_t ns = 0, unit = 100000000;
	int64_t seconds;
	if (len == 0 || len >= sizeof(whole))
		return -EINVAL;
	memcpy(whole, text, len);
	whole[len] = '\0';
	if (str_to_i64(whole, &seconds) < 0)
		return -EINVAL;
	for (const char *p = text + len; *p && *++p;) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		ns += (uint32_t)(*p - '0') * unit;
		unit /= 10;
	}
	if (whole[0] == '-' && ns) {
		seconds--;
		ns = 1000000000 - ns;
	}
	*ret_seconds = seconds;
	*ret_ns = ns;
	return 0;
}

static int parse_id(const char *text, uint32_t *ret)
{
	uint32_t value;
	if (str_to_u32(text, &value) < 0 || value == UINT32_MAX)
		return -EINVAL;
	*ret = value;
	return 0;
}

int tar_region_add(struct arena *arena, struct tar_extension *x, uint64_t offset, uint64_t len)
{
	uint64_t end;
	if (x->region_count >= TAR_MAX_SPARSE)
		return -E2BIG;
	if (__builtin_add_overflow(offset, len, &end) || end > TAR_MAX_FILE)
		return -ERANGE;
	if (x->region_count) {
		const struct tar_region *last = &x->regions[x->region_count - 1];
		if (offset < last->offset + last->len)
			return -EINVAL;
	}
	/* Grown at powers of two. */
	if ((x->region_count & (x->region_count - 1)) == 0) {
		size_t capacity = x->region_count ? x->region_count * 2 : 1;
		struct tar_region *grown = arena_array(arena, struct tar_region, capacity);
		if (!grown)
			return -ENOMEM;
		if (x->region_count)
			memcpy(grown, x->regions, x->region_count * sizeof(*grown));
		x->regions = grown;
	}
	x->regions[x->region_count++] = (struct tar_region) { offset, len };
	return 0;
}

/* GNU.sparse.map: "offset,bytes,offset,bytes,…" */
static int parse_map(char *text, struct arena *arena, struct tar_extension *x)
{
	uint64_t pair[2];
	unsigned at = 0;
	x->region_count = 0;
	for (char *p = text; *p;) {
		size_t len = strcspn(p, ",");
		bool last = !p[len];
		p[len] = '\0';
		if (str_to_u64(p, &pair[at++]) < 0)
			return -EINVAL;
		if (at == 2) {
			int r = tar_region_add(arena, x, pair[0], pair[1]);
			if (r < 0)
				return r;
			at = 0;
		}
		p += len + (last ? 0 : 1);
	}
	return at ? -EINVAL : 0;
}

static int sparse_record(const char *key, char *value, struct arena *arena, struct tar_extension *x)
{
	uint64_t number = 0;
	if (streq(key, "name")) {
		x->sparse_name = value;
		return 0;
	}
	if (streq(key, "map"))
		return parse_map(value, arena, x);
	if (str_to_u64(value, &number) < 0)
		return -EINVAL;
	if (streq(key, "major") || streq(key, "minor")) {
		*(key[1] == 'a' ? &x->sparse_major : &x->sparse_minor) =
			number > 99 ? 99 : (unsigned)number;
		x->has_sparse_version = true;
	} else if (streq(key, "size") || streq(key, "realsize")) {
		x->sparse_size = number;
		x->has_sparse_size = true;
	} else if (streq(key, "offset")) {
		if (x->region_open)
			return -EINVAL;
		x->region_open = true;
		return tar_region_add(arena, x, number, 0);
	} else if (streq(key, "numbytes")) {
		if (!x->region_open)
			return -EINVAL;
		x->region_open = false;
		/* Added again with its length, so that the maxima are checked. */
		return tar_region_add(arena, x, x->regions[--x->region_count].offset, number);
	}
	return 0;
}

static int xattr_record(const char *name, char *value, size_t len, struct arena *arena,
			struct tar_extension *x)
{
	if (!x->xattrs)
		x->xattrs = arena_array(arena, struct tar_xattr, TAR_MAX_XATTRS);
	if (!x->xattrs)
		return -ENOMEM;
	size_t at = 0;
	while (at < x->xattr_count && !streq(x->xattrs[at].name, name))
		at++;
	if (at == TAR_MAX_XATTRS)
		return -E2BIG;
	x->xattrs[at] = (struct tar_xattr) { .name = name, .value = value, .len = len };
	if (at == x->xattr_count)
		x->xattr_count++;
	return 0;
}

/* One "key=value"; @len bytes of value, NUL-terminated. Unknown keys are none of our business. */
static int pax_record(const char *key, char *value, size_t len, struct arena *arena,
		      struct tar_extension *x)
{
	const char *rest = str_after(key, "SCHILY.xattr.");
	if (rest)
		return *rest ? xattr_record(rest, value, len, arena, x) : -EINVAL;
	rest = str_after(key, "GNU.sparse.");
	bool text = rest || streq(key, "path") || streq(key, "linkpath") || streq(key, "size") ||
		    streq(key, "uid") || streq(key, "gid") || streq(key, "mtime");
	if (!text)
		return 0;
	if (strlen(value) != len)
		return -EINVAL;
	if (rest)
		return sparse_record(rest, value, arena, x);
	if (streq(key, "path")) /* an empty value takes an earlier one back */
		x->path = len ? value : NULL;
	else if (streq(key, "linkpath"))
		x->link = len ? value : NULL;
	else if (streq(key, "size"))
		return (x->has_size = len > 0) ? str_to_u64(value, &x->size) : 0;
	else if (streq(key, "uid"))
		return (x->has_uid = len > 0) ? parse_id(value, &x->uid) : 0;
	else if (streq(key, "gid"))
		return (x->has_gid = len > 0) ? parse_id(value, &x->gid) : 0;
	else
		return (x->has_mtime = len > 0) ? parse_time(value, &x->mtime, &x->mtime_ns) : 0;
	return 0;
}

/* "<length> <key>=<value>\n", where the length counts all of it. */
int tar_pax_parse(char *text, size_t len, struct arena *arena, struct tar_extension *ret,
		  struct masu_error *err)
{
	size_t at = 0;
	while (at < len) {
		size_t digits = strspn(text + at, "0123456789");
		uint64_t size = 0;
		if (digits == 0 || digits > 7 || text[at + digits] != ' ')
			return error_set(err, -EBADMSG, "a PAX record without a length");
		text[at + digits] = '\0';
		str_to_u64(text + at, &size);
		char *key = text + at + digits + 1;
		if (size > len - at || size < digits + 4 || text[at + size - 1] != '\n')
			return error_set(err, -EBADMSG, "a PAX record with a wrong length");
		char *end = text + at + size - 1;
		*end = '\0';
		char *equals = memchr(key, '=', (size_t)(end - key));
		if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key)))
			return error_set(err, -EBADMSG, "a PAX record without a key");
		*equals = '\0';
		int r = pax_record(key, equals + 1, (size_t)(end - equals - 1), arena, ret);
		if (r == -ENOMEM)
			return error_set(err, r, "out of memory");
		if (r < 0)
			return error_set(err, r == -E2BIG ? r : -EBADMSG,
					 "PAX record \"%.100s\": not a valid value, or too many",
					 key);
		at += (size_t)size;
	}
	return 0;
}
