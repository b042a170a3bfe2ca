#include "storage/dm_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "json/json.h"

#define GIB (UINT64_C(1) << 30)

/* dm-thin's own bounds (drivers/md/dm-thin.c). */
#define BLOCK_MIN    (64u << 10)
#define BLOCK_MAX    (1u << 30)
#define METADATA_MAX (UINT64_C(16) * GIB)
#define METADATA_MIN (UINT64_C(2) << 20)
#define DATA_MIN     (UINT64_C(32) << 20)
/* The device mapper takes more, no filesystem of a container needs it. */
#define SIZE_MAX_HERE (UINT64_C(64) << 40)
#define EXT4_MIN      (UINT64_C(16) << 20)
#define XFS_MIN	      (UINT64_C(300) << 20) /* mkfs.xfs(8) refuses less */

static const struct dm_options defaults = {
	.loop_data_size = 100 * GIB,
	.loop_metadata_size = 2 * GIB,
	.base_size = 10 * GIB,
	.block_size = BLOCK_MIN,
	.fs = "ext4",
	.min_free = 10,
	.extend_at = 80,
	.extend_by = 20,
};

/* ---- options ---- */

enum kind { PATH, SIZE, PERCENT, FILESYSTEM, WORDS };

#define AT(member, kind_)                                                                          \
	.kind = (kind_), .offset = offsetof(struct dm_options, member),                            \
	.size = sizeof(((struct dm_options *)NULL)->member)

static const struct known {
	const char *name;
	enum kind kind;
	size_t offset, size;
	uint64_t min, max;
} known[] = {
	{ "dm.basesize", AT(base_size, SIZE), EXT4_MIN, SIZE_MAX_HERE },
	{ "dm.blocksize", AT(block_size, SIZE), BLOCK_MIN, BLOCK_MAX },
	{ "dm.datadev", AT(data, PATH) },
	{ "dm.fs", AT(fs, FILESYSTEM) },
	{ "dm.loopdatasize", AT(loop_data_size, SIZE), DATA_MIN, SIZE_MAX_HERE },
	{ "dm.loopmetadatasize", AT(loop_metadata_size, SIZE), METADATA_MIN, METADATA_MAX },
	{ "dm.metadatadev", AT(metadata, PATH) },
	{ "dm.min_free_space", AT(min_free, PERCENT), 0, 100 },
	{ "dm.mkfsarg", AT(mkfs_arg, WORDS) },
	{ "dm.thinp_autoextend_percent", AT(extend_by, PERCENT), 0, 100 },
	{ "dm.thinp_autoextend_threshold", AT(extend_at, PERCENT), 0, 100 },
	{ "dm.thinpooldev", AT(thinpool, PATH) },
};

static const struct known *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0)
			return &known[i];
	return NULL;
}

static int unknown(const char *name, size_t len, struct masu_error *err)
{
	_cleanup_buf_ struct buf names;
	buf_init(&names, 1024);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		buf_printf(&names, "%s%s", i ? ", " : "", known[i].name);
	return error_set(err, -EINVAL,
			 "--storage-opt: \"%.*s\" is not supported by storage driver "
			 "devicemapper; there are %s",
			 (int)(len < 64 ? len : 64), name,
			 buf_error(&names) ? "others" : buf_str(&names));
}

static int wrong(const char *name, const char *value, const char *what, struct masu_error *err)
{
	return error_set(err, -EINVAL, "--storage-opt %s: \"%.64s\" is not %s", name, value, what);
}

static int take_number(const struct known *k, const char *value, void *ret, struct masu_error *err)
{
	char text[32];
	uint64_t number;
	size_t len = strlen(value);
	bool percent = k->kind == PERCENT;
	if (len >= sizeof(text))
		return wrong(k->name, value, "a number", err);
	memcpy(text, value, len + 1);
	if (percent && len && text[len - 1] == '%')
		text[len - 1] = '\0';
	int r = percent ? str_to_u64(text, &number) : str_to_bytes(text, &number);
	if (r < 0)
		return wrong(k->name, value, percent ? "a percentage" : "a size", err);
	if (number < k->min || number > k->max)
		return error_set(err, -EINVAL,
				 "--storage-opt %s: \"%s\" is not between %" PRIu64 " and %" PRIu64,
				 k->name, value, k->min, k->max);
	if (percent)
		*(unsigned *)ret = (unsigned)number;
	else
		*(uint64_t *)ret = number;
	return 0;
}

static int take(const struct known *k, const char *value, struct dm_options *ret,
		struct masu_error *err)
{
	void *at = (char *)ret + k->offset;
	if (k->kind == SIZE || k->kind == PERCENT)
		return take_number(k, value, at, err);
	if (k->kind == FILESYSTEM && !streq(value, "ext4") && !streq(value, "xfs"))
		return wrong(k->name, value, "a filesystem that it knows: ext4 or xfs", err);
	if (k->kind == PATH && *value != '/')
		return wrong(k->name, value, "an absolute path", err);
	if (str_format(at, k->size, "%s", value) < 0)
		return wrong(k->name, value, "short enough", err);
	return 0;
}

static int settle(const struct dm_options *o, struct masu_error *err)
{
	if (!*o->data != !*o->metadata)
		return error_set(err, -EINVAL,
				 "--storage-opt: dm.datadev and dm.metadatadev are given both or "
				 "not at all");
	if (*o->data && *o->thinpool)
		return error_set(err, -EINVAL,
				 "--storage-opt: dm.thinpooldev is a whole pool; dm.datadev and "
				 "dm.metadatadev cannot be given with it");
	if (o->block_size % BLOCK_MIN || o->base_size % DM_SECTOR)
		return error_set(err, -EINVAL,
				 "--storage-opt: dm.blocksize is a multiple of 64k, dm.basesize "
				 "one of 512");
	if (streq(o->fs, "xfs") && o->base_size < XFS_MIN)
		return error_set(err, -EINVAL,
				 "--storage-opt dm.basesize: xfs takes at least 300m");
	return 0;
}

int dm_options_parse(const char *options, struct dm_options *ret, struct masu_error *err)
{
	struct dm_options parsed = defaults;
	char value[DM_MKFS_ARG_MAX];
	while (*options) {
		size_t line = strcspn(options, "\n"), name = strcspn(options, "=\n");
		const struct known *k = find(options, name);
		if (!k)
			return unknown(options, name, err);
		if (name == line || str_format(value, sizeof(value), "%.*s", (int)(line - name - 1),
					       options + name + 1) < 0)
			return error_set(err, -EINVAL, "--storage-opt %s: KEY=VALUE is expected",
					 k->name);
		int r = take(k, value, &parsed, err);
		if (r < 0)
			return r;
		options += line + (options[line] == '\n');
	}
	int r = settle(&parsed, err);
	if (r == 0)
		*ret = parsed;
	return r;
}

/* ---- records ---- */

int dm_pool_record_write(const struct dm_pool_record *record, struct buf *ret)
{
	struct json_writer w;
	json_writer_init(&w, ret, true);
	json_begin_object(&w);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *at = (const char *)&record->options + known[i].offset;
		if (known[i].kind == SIZE)
			json_field_u64(&w, known[i].name, *(const uint64_t *)at);
		else if (known[i].kind == PERCENT)
			json_field_u64(&w, known[i].name, *(const unsigned *)at);
		else
			json_field_string(&w, known[i].name, at);
	}
	json_field_u64(&w, "base", record->base_id);
	json_field_u64(&w, "token", record->token);
	json_end_object(&w);
	return buf_error(ret);
}

static int read_option(const struct json *object, const struct known *k, struct dm_options *ret)
{
	const struct json *value = json_get(object, k->name);
	void *at = (char *)ret + k->offset;
	const char *text;
	uint64_t number;
	if (k->kind != SIZE && k->kind != PERCENT)
		return json_string(value, &text) && str_format(at, k->size, "%s", text) == 0
			       ? 0
			       : -EBADMSG;
	if (!json_u64(value, &number) || number > k->max)
		return -EBADMSG;
	if (k->kind == SIZE)
		*(uint64_t *)at = number;
	else
		*(unsigned *)at = (unsigned)number;
	return 0;
}

int dm_pool_record_parse(const char *text, size_t len, struct dm_pool_record *ret)
{
	struct dm_pool_record record = { .options = defaults };
	_cleanup_arena_ struct arena arena;
	const struct json *object;
	uint64_t base;
	arena_init(&arena, 1u << 20);
	int r = json_parse(&arena, text, len, &object, NULL);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++)
		r = read_option(object, &known[i], &record.options);
	if (r < 0 || !json_u64(json_get(object, "base"), &base) || base > DM_THIN_ID_MAX ||
	    !json_u64(json_get(object, "token"), &record.token) || !record.token)
		return -EBADMSG;
	record.base_id = (uint32_t)base;
	*ret = record;
	return 0;
}

int dm_device_record_write(const struct dm_device_record *record, char ret[DM_RECORD_MAX])
{
	return str_format(ret, DM_RECORD_MAX, "%" PRIu32 " %" PRIu64 "\n", record->id,
			  record->sectors);
}

int dm_device_record_parse(const char *text, struct dm_device_record *ret)
{
	struct dm_device_record record;
	int end = 0;
	if (sscanf(text, "%8" SCNu32 " %18" SCNu64 "%n", &record.id, &record.sectors, &end) != 2 ||
	    (text[end] && !streq(text + end, "\n")) || record.id > DM_THIN_ID_MAX ||
	    !record.sectors || record.sectors > SIZE_MAX_HERE / DM_SECTOR)
		return -EBADMSG;
	*ret = record;
	return 0;
}

/* ---- tables and status lines ---- */

int dm_pool_table_write(const struct dm_pool_table *table, char ret[DM_PARAMS_MAX])
{
	return str_format(ret, DM_PARAMS_MAX,
			  "%u:%u %u:%u %" PRIu64 " %" PRIu64
			  " 2 skip_block_zeroing error_if_no_space",
			  major(table->metadata), minor(table->metadata), major(table->data),
			  minor(table->data), table->block_sectors, table->low_water_blocks);
}

int dm_pool_table_parse(const char *params, struct dm_pool_table *ret)
{
	unsigned m[4];
	struct dm_pool_table table;
	if (sscanf(params, "%u:%u %u:%u %" SCNu64 " %" SCNu64, &m[0], &m[1], &m[2], &m[3],
		   &table.block_sectors, &table.low_water_blocks) != 6 ||
	    !table.block_sectors)
		return -EBADMSG;
	table.metadata = makedev(m[0], m[1]);
	table.data = makedev(m[2], m[3]);
	*ret = table;
	return 0;
}

int dm_thin_table_write(dev_t pool, uint32_t id, char ret[DM_PARAMS_MAX])
{
	return str_format(ret, DM_PARAMS_MAX, "%u:%u %" PRIu32, major(pool), minor(pool), id);
}

int dm_pool_status_parse(const char *line, struct dm_pool_status *ret)
{
	struct dm_pool_status status = { 0 };
	char held[32] = "", mode[32] = "";
	if (str_after(line, "Fail")) {
		*ret = (struct dm_pool_status) { .mode = DM_POOL_FAILED };
		return 0;
	}
	if (sscanf(line, "%" SCNu64 " %" SCNu64 "/%" SCNu64 " %" SCNu64 "/%" SCNu64 " %31s %31s",
		   &status.transaction_id, &status.metadata_used, &status.metadata_total,
		   &status.data_used, &status.data_total, held, mode) != 7)
		return -EBADMSG;
	if (streq(mode, "ro"))
		status.mode = DM_POOL_READ_ONLY;
	else if (streq(mode, "out_of_data_space"))
		status.mode = DM_POOL_OUT_OF_SPACE;
	else if (!streq(mode, "rw"))
		return -EBADMSG;
	status.needs_check = strstr(line, " needs_check") != NULL;
	*ret = status;
	return 0;
}

bool dm_is_short(uint64_t used, uint64_t total, unsigned percent)
{
	uint64_t left = used < total ? total - used : 0;
	return left == 0 || left * 100 < total * percent;
}
