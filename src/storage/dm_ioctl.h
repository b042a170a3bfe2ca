/*
 * The device mapper's own interface, /dev/mapper/control (<linux/dm-ioctl.h>; Linux,
 * Documentation/admin-guide/device-mapper). No libdevmapper: one ioctl each.
 */
#pragma once

#include <linux/dm-ioctl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DM_CONTROL     "/dev/mapper/control"
#define DM_NAME_SIZE   64  /* of the names that masu gives */
#define DM_PARAMS_MAX  512 /* of a table's line or a message, with its end */
#define DM_REQUEST_MAX 16384
#define DM_NODE_MAX    24 /* "/dev/dm-<minor>" */

struct dm_request {
	union {
		struct dm_ioctl header;
		unsigned char bytes[DM_REQUEST_MAX];
	};
};

/*
 * Which device is meant: by @name, or by @dev where @name is NULL. -EINVAL: what is given does not
 * fit.
 */
struct dm_target {
	const char *name;
	dev_t dev;
};

int dm_request_init(struct dm_request *request, const struct dm_target *target, unsigned flags);
/* A table of one line. */
int dm_request_table(struct dm_request *request, uint64_t sectors, const char *type,
		     const char *params);
int dm_request_message(struct dm_request *request, const char *message);
/* The first line of what DM_TABLE_STATUS answered; NULL where that has none of type @type. */
const char *dm_request_line(struct dm_request *request, const char *type, uint64_t *ret_sectors);

/* As the kernel encodes a device number in dm_ioctl.dev (huge_encode_dev). */
uint64_t dm_encode_dev(dev_t dev);
dev_t dm_decode_dev(uint64_t dev);

/* -ENOENT, -ENODEV, -EACCES: there is no device mapper for us. */
int dm_open_control(void);
/* Whether the kernel has this target, as a module that it can load or by itself. */
int dm_has_target(int control, const char *type);

/* What follows is 0 or -errno of the ioctl; -ENXIO: there is no such device. */
int dm_create(int control, const char *name);
int dm_load(int control, const struct dm_target *target, uint64_t sectors, const char *type,
	    const char *params, bool readonly);
int dm_resume(int control, const struct dm_target *target);
/* Now, or (@when_unused) as soon as nobody has it open. */
int dm_remove(int control, const struct dm_target *target, bool when_unused);
/* *ret_live: it has a table that works. */
int dm_status(int control, const struct dm_target *target, dev_t *ret_dev, bool *ret_live);
/* 1: it is there and works, *ret_dev; 0: it has been made, without a table. */
int dm_find_or_create(int control, const struct dm_target *target, dev_t *ret_dev);
/* The status line of its one target of @type (or, @table, its table's); ret of DM_PARAMS_MAX. */
int dm_line(int control, const struct dm_target *target, const char *type, bool table,
	    uint64_t *ret_sectors, char *ret);
int dm_message(int control, const struct dm_target *target, const char *message);

/* Whether somebody has one open whose name begins with @prefix, but for @besides: 1 or 0. */
int dm_any_open(int control, const char *prefix, const char *besides);

/* The device as a block device; @flags as for open(2). */
const char *dm_node(dev_t dev, char ret[DM_NODE_MAX]);
int dm_open_node(dev_t dev, int flags);
