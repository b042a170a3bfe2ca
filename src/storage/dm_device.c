#include "storage/dm_device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define TRIES 1000 /* against a device that goes while it is opened */

/* ---- numbers ---- */

static int random_id(uint32_t *ret)
{
	uint32_t value = 0;
	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		return -EIO;
	*ret = value & DM_THIN_ID_MAX;
	return 0;
}

static const char *id_path(const char *dir, uint32_t id, char ret[32])
{
	str_format(ret, 32, "%s/%" PRIu32, dir, id);
	return ret;
}

/* A number that no device of masu's has, recorded for good. */
static int reserve(struct dm_pool *pool, uint32_t *ret)
{
	char path[32];
	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t id = 0;
		int r = random_id(&id);
		if (r < 0)
			return r;
		if (faccessat(pool->dir_fd, id_path(DM_DOOMED, id, path), F_OK, 0) == 0)
			continue;
		int fd = openat(pool->dir_fd, id_path(DM_IDS, id, path),
				O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return -errno;
		close(fd);
		r = fs_fsync_dir(pool->ids_fd);
		if (r == 0)
			*ret = id;
		return r;
	}
	return -EBUSY;
}

static void forget(struct dm_pool *pool, uint32_t id)
{
	char path[32];
	unlinkat(pool->dir_fd, id_path(DM_IDS, id, path), 0);
}

static int move_id(struct dm_pool *pool, const char *from, const char *to, uint32_t id)
{
	char old[32], new[32];
	return renameat(pool->dir_fd, id_path(from, id, old), pool->dir_fd, id_path(to, id, new)) <
			       0
		       ? -errno
		       : 0;
}

int dm_device_doom(struct dm_pool *pool, uint32_t id)
{
	int r = move_id(pool, DM_IDS, DM_DOOMED, id);
	if (r != -ENOENT)
		return r;
	if (mkdirat(pool->dir_fd, DM_DOOMED, 0700) < 0 && errno != EEXIST)
		return -errno;
	return move_id(pool, DM_IDS, DM_DOOMED, id);
}

int dm_device_spare(struct dm_pool *pool, uint32_t id)
{
	return move_id(pool, DM_DOOMED, DM_IDS, id);
}

/* ---- making ---- */

/* Tells the pool to make one, by a message of which the number is the first argument. */
static int create_one(struct dm_pool *pool, const struct dm_device_record *origin, uint32_t *ret,
		      struct masu_error *err)
{
	for (int tries = 0; tries < 16; tries++) {
		uint32_t id = 0;
		int r = reserve(pool, &id);
		if (r < 0)
			return error_errno(err, r, DM_OWN_DIR "/" DM_IDS);
		r = origin ? dm_pool_message(pool, "create_snap %" PRIu32 " %" PRIu32, id,
					     origin->id)
			   : dm_pool_message(pool, "create_thin %" PRIu32, id);
		if (r == 0) {
			*ret = id;
			return 0;
		}
		forget(pool, id);
		/* Of somebody else, in a pool that is not masu's alone. */
		if (r != -EEXIST)
			return error_errno(err, r,
					   "storage driver devicemapper: %s (dmesg says why)",
					   origin ? "snapshot" : "new device");
	}
	return error_errno(err, -EBUSY, "storage driver devicemapper: no free device number");
}

int dm_device_make_empty(struct dm_pool *pool, uint64_t sectors, struct dm_device_record *ret,
			 struct masu_error *err)
{
	struct dm_device_record record = { .sectors = sectors };
	int r = create_one(pool, NULL, &record.id, err);
	if (r == 0)
		*ret = record;
	return r;
}

int dm_device_read(int dir, struct dm_device_record *ret)
{
	char text[DM_RECORD_MAX];
	int r = fs_read_small(dir, DM_DEVICE, text, sizeof(text));
	return r < 0 ? r : dm_device_record_parse(text, ret);
}

static int write_record(int dir, const struct dm_device_record *record)
{
	char text[DM_RECORD_MAX];
	int r = dm_device_record_write(record, text);
	return r < 0 ? r : fs_write_atomic(dir, DM_DEVICE, text, strlen(text), 0600, false);
}

int dm_device_make(struct dm_pool *pool, int dir, int from, struct masu_error *err)
{
	struct dm_device_record origin = { .id = pool->record.base_id,
					   .sectors = pool->record.options.base_size / DM_SECTOR };
	struct dm_device_record record;
	/* Until the place says whose it is, nobody must take it for lost. */
	_cleanup_close_ int making = openat(pool->ids_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = making < 0 || flock(making, LOCK_SH) < 0 ? -errno : 0;
	if (r == 0 && from >= 0)
		r = dm_device_read(from, &origin);
	if (r < 0)
		return error_errno(err, r, "storage driver devicemapper: the device below");
	record.sectors = origin.sectors;
	r = create_one(pool, &origin, &record.id, err);
	if (r < 0)
		return r;
	r = write_record(dir, &record);
	if (r < 0)
		dm_device_doom(pool, record.id);
	return r < 0 ? error_errno(err, r, DM_DEVICE) : 0;
}

/* ---- into the kernel ---- */

static int device_name(const struct dm_pool *pool, uint32_t id, char ret[DM_NAME_SIZE])
{
	return str_format(ret, DM_NAME_SIZE, "%s-%" PRIu32, pool->name, id);
}

/* Nobody else is at this device. It may be there, and about to go. */
static int activate(struct dm_pool *pool, const struct dm_device_record *device, const char *name,
		    dev_t *ret_dev)
{
	const struct dm_target target = { .name = name };
	char params[DM_PARAMS_MAX];
	bool live;
	int r = dm_find_or_create(pool->control, &target, ret_dev);
	if (r != 0)
		return r < 0 ? r : 0;
	r = dm_thin_table_write(pool->dev, device->id, params);
	if (r == 0)
		r = dm_load(pool->control, &target, device->sectors, "thin", params, false);
	if (r == 0)
		r = dm_resume(pool->control, &target);
	if (r == 0)
		r = dm_status(pool->control, &target, ret_dev, &live);
	if (r < 0)
		dm_remove(pool->control, &target, false);
	return r;
}

/* The device is on its way out, and comes again. */
static bool is_going(int r)
{
	return r == -ENXIO || r == -EBUSY || r == -ENOENT || r == -ENODEV;
}

int dm_device_open(struct dm_pool *pool, const struct dm_device_record *device, int flags,
		   int *ret_fd, dev_t *ret_dev)
{
	char name[DM_NAME_SIZE];
	int r = device_name(pool, device->id, name);
	for (int tries = 0; r == 0 && tries < TRIES; tries++) {
		r = activate(pool, device, name, ret_dev);
		if (r == 0)
			r = dm_open_node(*ret_dev, flags);
		if (r >= 0) {
			*ret_fd = r;
			return 0;
		}
		/* With O_EXCL somebody has it mounted. */
		if (!is_going(r) || (r == -EBUSY && (flags & O_EXCL)))
			return r;
		if (tries + 1 < TRIES)
			r = 0;
	}
	return r;
}

/* Out of the kernel: now, or when the last one who has it open has closed it. */
static void release(struct dm_pool *pool, const struct dm_device_record *device)
{
	char name[DM_NAME_SIZE];
	const struct dm_target target = { .name = name };
	if (device_name(pool, device->id, name) == 0)
		dm_remove(pool->control, &target, true);
}

void dm_device_close(struct dm_pool *pool, const struct dm_device_record *device, int *fd)
{
	cleanup_close(fd);
	release(pool, device);
}

/* ---- mounting ---- */

static int mount_node(const struct dm_pool *pool, dev_t dev, bool readonly, int *ret_fd)
{
	const char *fs = pool->record.options.fs;
	char node[DM_NODE_MAX];
	bool xfs = streq(fs, "xfs");
	_cleanup_close_ int context = sys_fsopen(fs, FSOPEN_CLOEXEC);
	int r = context < 0 ? context
			    : sys_fsconfig(context, FSCONFIG_SET_STRING, "source",
					   dm_node(dev, node), 0);
	/* What is deleted goes back to the pool. */
	if (r == 0 && !readonly)
		r = sys_fsconfig(context, FSCONFIG_SET_FLAG, "discard", NULL, 0);
	/* All descend from one; and tables that nothing is in need not be written. */
	if (r == 0)
		r = sys_fsconfig(context, FSCONFIG_SET_FLAG, xfs ? "nouuid" : "noinit_itable", NULL,
				 0);
	if (r == 0 && readonly)
		r = sys_fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	if (r == 0)
		r = sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r == 0)
		r = sys_fsmount(context, FSMOUNT_CLOEXEC, readonly ? MOUNT_ATTR_RDONLY : 0);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

/* The record, locked: who makes a device appear is alone. */
static int lock_place(int dir)
{
	_cleanup_close_ int fd = openat(dir, DM_DEVICE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return -errno;
	return take_fd(&fd);
}

static int mount_place(struct dm_pool *pool, int dir, bool readonly, int *ret_fd)
{
	struct dm_device_record device;
	dev_t dev;
	_cleanup_close_ int node = -1;
	_cleanup_close_ int lock = lock_place(dir);
	int r = lock < 0 ? lock : dm_device_read(dir, &device);
	/* Open, so that it stays until it is mounted. */
	if (r == 0)
		r = dm_device_open(pool, &device, O_RDONLY, &node, &dev);
	if (r < 0)
		return r;
	r = mount_node(pool, dev, readonly, ret_fd);
	dm_device_close(pool, &device, &node);
	return r;
}

int dm_device_mount(struct dm_pool *pool, int dir, bool readonly, int *ret_fd,
		    struct masu_error *err)
{
	int r = mount_place(pool, dir, readonly, ret_fd);
	return r < 0 ? error_errno(err, r,
				   "storage driver devicemapper: %s of the device (dmesg says why)",
				   pool->record.options.fs)
		     : 0;
}

int dm_device_look(struct dm_pool *pool, int dir, bool readonly, int *ret_fd)
{
	_cleanup_close_ int mount = -1;
	int r = mount_place(pool, dir, readonly, &mount);
	if (r < 0)
		return r;
	int fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* ---- larger ---- */

/* Not in any header of the kernel's for programs (fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h). */
#define RESIZE_EXT4 _IOW('f', 16, uint64_t)
struct xfs_growth {
	uint64_t blocks;
	uint32_t imaxpct;
};
#define RESIZE_XFS _IOW('X', 110, struct xfs_growth)

/* For when its place is gone, and all of it is given back. */
static int note_length(const struct dm_pool *pool, const struct dm_device_record *device)
{
	char path[32], text[DM_RECORD_MAX];
	int r = dm_device_record_write(device, text);
	id_path(DM_IDS, device->id, path);
	return r < 0 ? r : fs_write_at(pool->dir_fd, path, text);
}

static int grow_filesystem(const struct dm_pool *pool, int root, uint64_t bytes)
{
	struct statfs fs;
	if (fstatfs(root, &fs) < 0)
		return -errno;
	uint64_t blocks = bytes / (uint64_t)fs.f_bsize;
	if (!streq(pool->record.options.fs, "xfs"))
		return ioctl(root, RESIZE_EXT4, &blocks) < 0 ? -errno : 0;
	/* What part of it inodes may take stays as mkfs.xfs chooses it. */
	const struct xfs_growth growth = { .blocks = blocks, .imaxpct = 25 };
	return ioctl(root, RESIZE_XFS, &growth) < 0 ? -errno : 0;
}

int dm_device_grow(struct dm_pool *pool, int dir, uint64_t bytes, struct masu_error *err)
{
	struct dm_device_record device;
	_cleanup_close_ int root = -1;
	int r = dm_device_read(dir, &device);
	if (r < 0)
		return error_errno(err, r, DM_DEVICE);
	if (bytes < device.sectors * DM_SECTOR) {
		char size[HUMAN_MAX];
		return error_set(err, -EINVAL,
				 "--storage-opt size: a container's filesystem on storage driver "
				 "devicemapper has at least %s, which dm.basesize says",
				 human_binary(device.sectors * DM_SECTOR, size));
	}
	if (bytes / DM_SECTOR == device.sectors)
		return 0;
	device.sectors = bytes / DM_SECTOR;
	r = note_length(pool, &device);
	if (r == 0)
		r = write_record(dir, &device);
	if (r == 0)
		r = dm_device_look(pool, dir, false, &root);
	if (r == 0)
		r = grow_filesystem(pool, root, bytes);
	return r < 0 ? error_errno(err, r, "--storage-opt size: %s", pool->record.options.fs) : 0;
}
