/*
 * What the devicemapper driver reads and writes as text: tables and status lines of the targets
 * `thin-pool` and `thin` (Linux, Documentation/admin-guide/device-mapper/thin-provisioning.rst),
 * its options, and the records of the pool and of devices.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "storage/dm_ioctl.h"

#define DM_SECTOR	512
#define DM_THIN_ID_MAX	((1u << 24) - 1) /* the kernel's */
#define DM_PATH_MAX	256
#define DM_MKFS_ARG_MAX 512
#define DM_RECORD_MAX	48

/* Docker's names of options, and its defaults, as far as they are known here. */
struct dm_options {
	char thinpool[DM_PATH_MAX];		       /* dm.thinpooldev */
	char data[DM_PATH_MAX], metadata[DM_PATH_MAX]; /* dm.datadev, dm.metadatadev */
	uint64_t loop_data_size, loop_metadata_size;   /* dm.loopdatasize, dm.loopmetadatasize */
	uint64_t base_size;			       /* dm.basesize */
	uint64_t block_size;			       /* dm.blocksize */
	char fs[8];				       /* dm.fs: ext4 or xfs */
	unsigned min_free;			       /* dm.min_free_space: percent of the pool */
	unsigned extend_at, extend_by;		       /* dm.thinp_autoextend_threshold, _percent */
	char mkfs_arg[DM_MKFS_ARG_MAX];		       /* dm.mkfsarg: words with blanks between */
};

/* @options: KEY=VALUE, one a line. -EINVAL names what is wrong, or unknown. */
int dm_options_parse(const char *options, struct dm_options *ret, struct masu_error *err);

/* <root>/devicemapper/pool.json: what was decided when the root got this driver. */
struct dm_pool_record {
	struct dm_options options;
	uint32_t base_id; /* the device with the empty filesystem that all others descend from */
	/* The pool's own transaction id: a pool with another one is not the one that the records
	 * are about. */
	uint64_t token;
};
int dm_pool_record_write(const struct dm_pool_record *record, struct buf *ret);
int dm_pool_record_parse(const char *text, size_t len, struct dm_pool_record *ret);

/* "device" in the place of a layer or container. */
struct dm_device_record {
	uint32_t id;
	uint64_t sectors;
};
int dm_device_record_write(const struct dm_device_record *record, char ret[DM_RECORD_MAX]);
int dm_device_record_parse(const char *text, struct dm_device_record *ret);

struct dm_pool_table {
	dev_t metadata, data;
	uint64_t block_sectors, low_water_blocks;
};
int dm_pool_table_write(const struct dm_pool_table *table, char ret[DM_PARAMS_MAX]);
/* As far as masu wrote it. */
int dm_pool_table_parse(const char *params, struct dm_pool_table *ret);
int dm_thin_table_write(dev_t pool, uint32_t id, char ret[DM_PARAMS_MAX]);

enum dm_pool_mode {
	DM_POOL_WRITE,
	DM_POOL_OUT_OF_SPACE,
	DM_POOL_READ_ONLY,
	DM_POOL_FAILED,
};
struct dm_pool_status {
	enum dm_pool_mode mode;
	bool needs_check;
	uint64_t transaction_id;
	uint64_t metadata_used, metadata_total; /* blocks of 4 KiB */
	uint64_t data_used, data_total;		/* blocks of the pool */
};
int dm_pool_status_parse(const char *line, struct dm_pool_status *ret);

/* Whether @used of @total leaves less than @percent of it free, or nothing. */
bool dm_is_short(uint64_t used, uint64_t total, unsigned percent);
