#include "storage/dm_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "storage/dm_loop.h"
#include "sys/fs.h"

#define RECORD_LIMIT   16384
#define TRIES	       2000
#define LOW_WATER      1024 /* blocks; the kernel only tells, and nobody listens */
#define METADATA_BLOCK 4096

/* ---- opening ---- */

static int open_below(int dir, const char *name, int *ret)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int dm_pool_prepare(int root_fd, struct dm_pool *ret, struct masu_error *err)
{
	struct stat st;
	ret->root_fd = root_fd;
	ret->control = dm_open_control();
	if (ret->control < 0)
		return error_set(err, ret->control,
				 "storage driver devicemapper: %s cannot be opened; load the "
				 "module dm-mod",
				 DM_CONTROL);
	int r = open_below(root_fd, DM_OWN_DIR, &ret->dir_fd);
	if (r == 0)
		r = open_below(ret->dir_fd, DM_IDS, &ret->ids_fd);
	if (r == 0 && fstat(ret->dir_fd, &st) < 0)
		r = -errno;
	/* Like Docker's: no other root can have it at the same time. */
	if (r == 0)
		r = str_format(ret->name, sizeof(ret->name), "masu-%u:%u-%" PRIu64,
			       major(st.st_dev), minor(st.st_dev), (uint64_t)st.st_ino);
	return r < 0 ? error_errno(err, r, DM_OWN_DIR) : 0;
}

static int pool_name(const struct dm_pool *pool, char ret[DM_NAME_SIZE])
{
	return str_format(ret, DM_NAME_SIZE, "%s-pool", pool->name);
}

/*
 * The last one takes it out of the kernel, and waits until it is: two pools on the same files would
 * write over each other. Who wants to use it has the lock, and who does has it open (-EBUSY).
 */
static void take_away(struct dm_pool *pool)
{
	char name[DM_NAME_SIZE];
	const struct dm_target target = { .name = name };
	_cleanup_close_ int lock = openat(pool->dir_fd, DM_LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || pool_name(pool, name) < 0)
		return;
	/* A device that was mounted a moment ago is taken out by the kernel behind. */
	for (int tries = 0; tries < TRIES; tries++) {
		if (dm_remove(pool->control, &target, false) != -EBUSY ||
		    dm_any_open(pool->control, pool->name, name))
			return;
		sched_yield();
	}
}

void dm_pool_close(struct dm_pool *pool)
{
	bool own = pool->node >= 0 && !*pool->record.options.thinpool;
	cleanup_close(&pool->node);
	if (own)
		take_away(pool);
	cleanup_close(&pool->control);
	cleanup_close(&pool->ids_fd);
	cleanup_close(&pool->dir_fd);
}

static int read_record(struct dm_pool *pool, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, RECORD_LIMIT);
	int r = fs_read_at(pool->dir_fd, DM_POOL_RECORD, RECORD_LIMIT, &text);
	if (r == 0)
		r = dm_pool_record_parse(buf_str(&text), text.len, &pool->record);
	if (r == -ENOENT)
		return error_set(err, r,
				 "storage driver devicemapper: --root has no pool yet; it is made "
				 "with the first image, or by \"masu storage migrate "
				 "devicemapper\"");
	return r < 0 ? error_errno(err, r, DM_OWN_DIR "/" DM_POOL_RECORD) : 0;
}

/* ---- into the kernel ---- */

/* The file or device of data or metadata. */
static int attach(struct dm_pool *pool, const char *path, const char *file, int *ret_fd,
		  dev_t *ret_dev, struct masu_error *err)
{
	struct stat st;
	if (*path) {
		_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC); /* lint: ok */
		if (fd < 0 || fstat(fd, &st) < 0)
			return error_errno(err, -errno, "%s", path);
		if (!S_ISBLK(st.st_mode))
			return error_set(err, -ENOTBLK, "%s is no block device", path);
		*ret_dev = st.st_rdev;
		*ret_fd = take_fd(&fd);
		return 0;
	}
	_cleanup_close_ int fd = openat(pool->dir_fd, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : dm_loop_attach(fd, ret_fd, ret_dev);
	return r < 0 ? error_errno(err, r, DM_OWN_DIR "/%s: loop device", file) : 0;
}

static int load(struct dm_pool *pool, const struct dm_target *target, struct masu_error *err)
{
	const struct dm_options *o = &pool->record.options;
	struct dm_pool_table table = { .block_sectors = o->block_size / DM_SECTOR,
				       .low_water_blocks = LOW_WATER };
	_cleanup_close_ int metadata = -1, data = -1;
	char params[DM_PARAMS_MAX];
	uint64_t bytes;
	int r = attach(pool, o->metadata, DM_METADATA, &metadata, &table.metadata, err);
	if (r == 0)
		r = attach(pool, o->data, DM_DATA, &data, &table.data, err);
	if (r < 0)
		return r;
	r = dm_block_size(data, &bytes);
	if (r == 0)
		r = dm_pool_table_write(&table, params);
	if (r == 0)
		r = dm_load(pool->control, target, bytes / DM_SECTOR, "thin-pool", params, false);
	return r < 0 ? error_errno(err, r,
				   "storage driver devicemapper: the pool cannot be taken into "
				   "use (dmesg says why)")
		     : 0;
}

/* Under the lock: it is there, with a table, in the end. */
static int make(struct dm_pool *pool, const char *name, dev_t *ret_dev, struct masu_error *err)
{
	const struct dm_target target = { .name = name };
	bool live;
	int r = dm_find_or_create(pool->control, &target, ret_dev);
	if (r != 0)
		return r < 0 ? error_errno(err, r, "device mapper: %s", name) : 0;
	r = load(pool, &target, err);
	if (r == 0 && (r = dm_resume(pool->control, &target)) < 0)
		error_errno(err, r, "device mapper: %s (dmesg says why)", name);
	if (r == 0 && (r = dm_status(pool->control, &target, ret_dev, &live)) < 0)
		error_errno(err, r, "device mapper: %s", name);
	if (r < 0)
		dm_remove(pool->control, &target, false);
	return r;
}

static int use_own(struct dm_pool *pool, struct masu_error *err)
{
	char name[DM_NAME_SIZE];
	int r = pool_name(pool, name);
	if (r == 0)
		r = make(pool, name, &pool->dev, err);
	if (r < 0)
		return r;
	r = dm_open_node(pool->dev, O_RDONLY);
	if (r < 0)
		return error_errno(err, r,
				   "device mapper: %s does not appear in /dev, which has to be a "
				   "devtmpfs",
				   name);
	pool->node = r;
	return 0;
}

static int use_given(struct dm_pool *pool, struct masu_error *err)
{
	const char *path = pool->record.options.thinpool;
	struct stat st;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC); /* lint: ok */
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, -errno, "dm.thinpooldev %s", path);
	if (!S_ISBLK(st.st_mode))
		return error_set(err, -ENOTBLK, "dm.thinpooldev %s is no block device", path);
	pool->dev = st.st_rdev;
	pool->node = take_fd(&fd);
	return 0;
}

int dm_pool_activate(struct dm_pool *pool, struct masu_error *err)
{
	_cleanup_close_ int lock =
		openat(pool->dir_fd, DM_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return error_errno(err, -errno, DM_OWN_DIR "/" DM_LOCK);
	return *pool->record.options.thinpool ? use_given(pool, err) : use_own(pool, err);
}

/* That the records are about this pool. */
static int check_token(struct dm_pool *pool, struct masu_error *err)
{
	struct dm_pool_status status;
	uint64_t block;
	int r = dm_pool_status(pool, &status, &block, err);
	if (r < 0)
		return r;
	if (status.mode == DM_POOL_FAILED)
		return error_set(err, -EIO,
				 "storage driver devicemapper: the pool has failed; dmesg says "
				 "why, and thin_check of thin-provisioning-tools looks at its "
				 "metadata");
	/* Whoever set it up was killed in between. */
	if (status.transaction_id == 0 && status.mode == DM_POOL_WRITE)
		r = dm_pool_message(pool, "set_transaction_id 0 %" PRIu64, pool->record.token);
	else if (status.transaction_id != pool->record.token)
		return error_set(err, -EUCLEAN,
				 "storage driver devicemapper: the pool is another one than that "
				 "of " DM_OWN_DIR "/" DM_POOL_RECORD
				 " (its transaction id is %" PRIu64 ", not %" PRIu64
				 "); give the root its own pool back",
				 status.transaction_id, pool->record.token);
	return r < 0 ? error_errno(err, r, "device mapper: transaction id") : 0;
}

int dm_pool_open(int root_fd, struct dm_pool *ret, struct masu_error *err)
{
	struct dm_pool pool = DM_POOL_CLOSED;
	int r = dm_pool_prepare(root_fd, &pool, err);
	if (r == 0)
		r = read_record(&pool, err);
	if (r == 0)
		r = dm_pool_activate(&pool, err);
	if (r == 0)
		r = check_token(&pool, err);
	if (r < 0) {
		dm_pool_close(&pool);
		return r;
	}
	*ret = pool;
	return 0;
}

/* ---- looking at it, telling it something ---- */

int dm_pool_status(const struct dm_pool *pool, struct dm_pool_status *ret, uint64_t *ret_block,
		   struct masu_error *err)
{
	const struct dm_target target = { .dev = pool->dev };
	struct dm_pool_table table;
	char line[DM_PARAMS_MAX];
	uint64_t sectors;
	int r = dm_line(pool->control, &target, "thin-pool", true, &sectors, line);
	if (r == 0)
		r = dm_pool_table_parse(line, &table);
	if (r == 0)
		r = dm_line(pool->control, &target, "thin-pool", false, &sectors, line);
	if (r == 0)
		r = dm_pool_status_parse(line, ret);
	if (r == -ENODEV)
		return error_set(err, r, "storage driver devicemapper: %s is no thin pool",
				 *pool->record.options.thinpool ? pool->record.options.thinpool
								: pool->name);
	if (r < 0)
		return error_errno(err, r, "storage driver devicemapper: the pool's status");
	*ret_block = table.block_sectors * DM_SECTOR;
	return 0;
}

int dm_pool_message(const struct dm_pool *pool, const char *format, ...)
{
	const struct dm_target target = { .dev = pool->dev };
	char text[DM_PARAMS_MAX];
	va_list ap;
	va_start(ap, format);
	int len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(text))
		return -EINVAL;
	return dm_message(pool->control, &target, text);
}

/* ---- room ---- */

/*
 * Larger by the part that the options say. Only the file's end moves, so nothing is lost whenever
 * it stops: the next one takes the size that the file has.
 */
static int extend(struct dm_pool *pool, const struct dm_pool_status *status, uint64_t block)
{
	const struct dm_target target = { .dev = pool->dev };
	uint64_t more = status->data_total * pool->record.options.extend_by / 100, sectors;
	struct dm_pool_table table;
	struct statvfs below;
	struct stat st;
	char line[DM_PARAMS_MAX];
	_cleanup_close_ int lock =
		openat(pool->dir_fd, DM_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	_cleanup_close_ int file = openat(pool->dir_fd, DM_DATA, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0 || file < 0 || flock(lock, LOCK_EX) < 0 || fstat(file, &st) < 0 ||
	    fstatvfs(file, &below) < 0)
		return -errno;
	/* Somebody was faster. */
	if ((uint64_t)st.st_size / block > status->data_total)
		more = 0;
	/* A pool that is larger than what it lies on promises what is not there. */
	if (!more || more * block > (uint64_t)below.f_bavail * below.f_frsize)
		return more ? -ENOSPC : 0;
	if (ftruncate(file, st.st_size + (off_t)(more * block)) < 0)
		return -errno;
	int r = dm_line(pool->control, &target, "thin-pool", true, &sectors, line);
	if (r == 0)
		r = dm_pool_table_parse(line, &table);
	if (r == 0)
		r = dm_loop_resize(table.data);
	if (r == 0)
		r = dm_pool_table_write(&table, line);
	sectors = ((uint64_t)st.st_size + more * block) / DM_SECTOR;
	if (r == 0)
		r = dm_load(pool->control, &target, sectors, "thin-pool", line, false);
	return r < 0 ? r : dm_resume(pool->control, &target);
}

static int full(const struct dm_pool *pool, const struct dm_pool_status *status, uint64_t block,
		struct masu_error *err)
{
	char used[HUMAN_MAX], total[HUMAN_MAX];
	bool metadata = dm_is_short(status->metadata_used, status->metadata_total,
				    pool->record.options.min_free);
	uint64_t unit = metadata ? METADATA_BLOCK : block;
	return error_set(
		err, -ENOSPC,
		"storage driver devicemapper: no space left in the pool: %s of %s of its %s are "
		"used, and %u%% have to stay free (dm.min_free_space); " DM_FREE_OF_FULL
		" or make it larger",
		human_size(unit * (metadata ? status->metadata_used : status->data_used), used),
		human_size(unit * (metadata ? status->metadata_total : status->data_total), total),
		metadata ? "metadata" : "data", pool->record.options.min_free);
}

int dm_pool_room(struct dm_pool *pool, uint64_t bytes, struct masu_error *err)
{
	const struct dm_options *o = &pool->record.options;
	struct dm_pool_status status;
	uint64_t block;
	int r = dm_pool_status(pool, &status, &block, err);
	if (r < 0)
		return r;
	uint64_t wanted = status.data_used + bytes / block;
	if (!*o->thinpool && !*o->data && o->extend_by && o->extend_at < 100 &&
	    dm_is_short(wanted, status.data_total, 100 - o->extend_at)) {
		/* Where that cannot be, it may be enough as it is. */
		extend(pool, &status, block);
		r = dm_pool_status(pool, &status, &block, err);
	}
	if (r < 0)
		return r;
	if (status.mode == DM_POOL_READ_ONLY || status.mode == DM_POOL_FAILED)
		return error_set(err, -EROFS,
				 "storage driver devicemapper: the pool takes no changes any more; "
				 "dmesg says why, and thin_check of thin-provisioning-tools looks "
				 "at its metadata");
	if (dm_is_short(wanted, status.data_total, o->min_free) ||
	    dm_is_short(status.metadata_used, status.metadata_total, o->min_free))
		return full(pool, &status, block, err);
	return 0;
}
