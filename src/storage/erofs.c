/*
 * The erofs driver: overlay whose layers are one filesystem. Beside each image's topmost layer lies
 * layers/overlay/<chain-id>/merged/{tar,index,fs/}, a tar of all that the image's layers come to
 * and its index, which containers have as their only lower layer. Layers, containers and all else
 * are as with overlay, and where an image has no such thing (yet) its layers are mounted one by
 * one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/drivers.h"
#include "storage/overlay.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define MERGED "merged"

/* Mounting from files came with Linux 6.12. */
static bool kernel_is_new_enough(void)
{
	struct utsname host;
	unsigned major = 0, minor = 0;
	return uname(&host) == 0 && sscanf(host.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 12));
}

static bool supported(int root_fd, const char **reason)
{
	if (!overlay_supported(root_fd, reason))
		return false;
	_cleanup_close_ int fs = sys_fsopen("erofs", 0);
	if (fs < 0)
		*reason = "this kernel has no EROFS";
	else if (!kernel_is_new_enough())
		*reason = "this kernel does not mount EROFS from files; Linux 6.12 does";
	else if (fs_is_type(root_fd, TMPFS_MAGIC))
		*reason = "the kernel does not mount EROFS from files of a tmpfs; put --root on "
			  "ext4, xfs or btrfs";
	else
		return true;
	return false;
}

static int open_merged(struct storage *s, const char *top, int *ret_fd)
{
	char path[128];
	if (!overlay_chain_id_valid(top))
		return -EBADMSG;
	int r = str_format(path, sizeof(path), "%s/" MERGED, top);
	return r < 0 ? r : overlay_erofs_open_at(s, path, ret_fd);
}

static int open_erofs(int root_fd, struct storage **ret, struct masu_error *err)
{
	int r = overlay_open_layers(root_fd, OVERLAY_DIR, ret, err);
	if (r == 0)
		(*ret)->merged = open_merged;
	return r;
}

static int is_merged(struct storage *s, const char *chain_id, bool *ret_there)
{
	char path[128];
	if (!overlay_chain_id_valid(chain_id))
		return -EBADMSG;
	int r = str_format(path, sizeof(path), "%s/" MERGED "/" OVERLAY_INDEX, chain_id);
	if (r == 0)
		*ret_there = faccessat(s->layers_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return r;
}

static int merge(struct storage *s, const char *chain_id, const char *staging)
{
	char from[128], to[128];
	if (!overlay_chain_id_valid(chain_id))
		return -EBADMSG;
	int r = str_format(from, sizeof(from), OVERLAY_STAGING "/%s", staging);
	if (r == 0)
		r = str_format(to, sizeof(to), "%s/" MERGED, chain_id);
	if (r < 0)
		return r;
	_cleanup_close_ int layer =
		openat(s->layers_fd, chain_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (layer < 0 || syncfs(layer) < 0)
		return -errno;
	/* Somebody was faster with the same. */
	if (renameat(s->layers_fd, from, s->layers_fd, to) < 0)
		return errno == EEXIST || errno == ENOTEMPTY ? overlay_layer_abort(s, staging)
							     : -errno;
	return fs_fsync_dir(layer);
}

const struct storage_ops erofs_ops = {
	.name = "erofs",
	.supported = supported,
	.open = open_erofs,
	.mount = overlay_mount,
	.layer_merge = merge,
	.layer_merged = is_merged,
	OVERLAY_FAMILY_OPS,
};
