/*
 * The pool of the devicemapper driver. <root>/devicemapper/:
 *   pool.json            what was decided when the root got this driver (dm_text.h)
 *   data, metadata       the pool's files, where it has no devices
 *   ids/<number>         one (empty) file for each device that masu has made in the pool
 *   doomed/<number>      or is deleting
 *   lock                 held while the pool is set up, taken into use or made larger
 *
 * The pool is in the kernel as long as it is used: who opens a pool that is not there makes it, and
 * who closes it takes it away, unless others have it open or one of its devices is mounted. The
 * last of those to go may leave it behind, for the next one to find.
 */
#pragma once

#include "storage/dm_text.h"

#define DM_OWN_DIR	"devicemapper"
#define DM_POOL_RECORD	"pool.json"
#define DM_IDS		"ids"
#define DM_DOOMED	"doomed"
#define DM_LOCK		"lock"
#define DM_DATA		"data"
#define DM_METADATA	"metadata"
#define DM_FREE_OF_FULL "remove containers and images that are not needed"

struct dm_pool {
	int root_fd;		 /* the caller's */
	int dir_fd;		 /* <root>/devicemapper */
	int ids_fd;		 /* its ids/ */
	int control;		 /* /dev/mapper/control */
	int node;		 /* the pool's block device: keeps it */
	dev_t dev;		 /* … and its number */
	char name[DM_NAME_SIZE]; /* what its devices' names begin with */
	struct dm_pool_record record;
};

#define DM_POOL_CLOSED                                                                             \
	(struct dm_pool)                                                                           \
	{                                                                                          \
		.root_fd = -1, .dir_fd = -1, .ids_fd = -1, .control = -1, .node = -1               \
	}

/* With what the record says. @root_fd must stay open. */
int dm_pool_open(int root_fd, struct dm_pool *ret, struct masu_error *err);
void dm_pool_close(struct dm_pool *pool);

/* The steps of it, for who sets one up: directory and names; then the pool itself. */
int dm_pool_prepare(int root_fd, struct dm_pool *ret, struct masu_error *err);
int dm_pool_activate(struct dm_pool *pool, struct masu_error *err);

int dm_pool_status(const struct dm_pool *pool, struct dm_pool_status *ret, uint64_t *ret_block,
		   struct masu_error *err);
int dm_pool_message(const struct dm_pool *pool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Before something is made that may take @bytes: -ENOSPC where the pool has not as much, or less
 * than dm.min_free_space would be left. A pool in files is made larger first when it is as full as
 * dm.thinp_autoextend_threshold.
 */
int dm_pool_room(struct dm_pool *pool, uint64_t bytes, struct masu_error *err);
