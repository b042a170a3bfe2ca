/*
 * Which devices there will be, and the parent's part of them. In a user namespace no node can be
 * made: the parent makes them all on a tmpfs of its own, with the owners and modes asked for, and
 * clones each for the child to attach. A parent that may not do that either leaves the host's
 * nodes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/syscalls.h"

/* config-linux.md, "Default Devices". */
static const struct device default_devices[ROOTFS_DEFAULT_DEVICES] = {
	{ "/dev/null", 'c', 1, 3, 0666, 0, 0, -1 },   { "/dev/zero", 'c', 1, 5, 0666, 0, 0, -1 },
	{ "/dev/full", 'c', 1, 7, 0666, 0, 0, -1 },   { "/dev/tty", 'c', 5, 0, 0666, 0, 0, -1 },
	{ "/dev/random", 'c', 1, 8, 0666, 0, 0, -1 }, { "/dev/urandom", 'c', 1, 9, 0666, 0, 0, -1 },
};

mode_t device_node_type(const struct device *device)
{
	return device->type == 'b' ? S_IFBLK : device->type == 'p' ? S_IFIFO : S_IFCHR;
}

bool device_is_node(const struct stat *st, const struct device *device)
{
	if ((st->st_mode & S_IFMT) != device_node_type(device))
		return false;
	return device->type == 'p' || st->st_rdev == makedev(device->major, device->minor);
}

int device_clone_host(struct device *device, struct masu_error *err)
{
	struct stat st;
	_cleanup_close_ int fd = -1;
	int r = bind_clone_path(device->path, false, &fd);
	if (r == 0)
		r = mount_set_attributes(fd, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0);
	if (r < 0)
		return error_errno(err, r, "device %s: the host's", device->path);
	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "device %s: the host's", device->path);
	if (!device_is_node(&st, device))
		return error_set(
			err, -EINVAL,
			"device %s: the host's is another one, and a user namespace cannot "
			"make %c %u:%u itself",
			device->path, device->type, device->major, device->minor);
	device->tree_fd = take_fd(&fd);
	return 0;
}

/* The host's id for @id in the container; what is not mapped stays the host's root's. */
static uint32_t host_id(const struct oci_id_mapping *map, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++)
		if (id >= map[i].container_id && id - map[i].container_id < map[i].size)
			return map[i].host_id + (id - map[i].container_id);
	return 0;
}

static int make_host_node(const struct oci_id_map *map, int dir, const char *name,
			  struct device *device)
{
	if (mknodat(dir, name, device_node_type(device) | device->mode,
		    makedev(device->major, device->minor)) < 0)
		return -errno;
	if (fchownat(dir, name, host_id(map->uid, map->uid_count, device->uid),
		     host_id(map->gid, map->gid_count, device->gid), AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* The caller's umask took from the mode. */
	if (fchmodat(dir, name, device->mode, 0) < 0)
		return -errno;
	int fd = sys_open_tree(dir, name, OPEN_TREE_CLONE);
	if (fd < 0)
		return fd;
	device->tree_fd = fd;
	return 0;
}

/* -EPERM without the privilege, -EINVAL before Linux 6.15, which clones nothing detached. */
static int make_host_nodes(struct rootfs *rootfs)
{
	int r = filesystem_new("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &rootfs->nodes_fd);
	for (size_t i = 0; r == 0 && i < rootfs->device_count; i++) {
		char name[24];
		str_format(name, sizeof(name), "%zu", i);
		if (rootfs->devices[i].type != 'p')
			r = make_host_node(&rootfs->spec->id_map, rootfs->nodes_fd, name,
					   &rootfs->devices[i]);
	}
	return r;
}

static int clone_host_nodes(struct rootfs *rootfs, struct masu_error *err)
{
	for (size_t i = 0; i < rootfs->device_count; i++) {
		struct device *device = &rootfs->devices[i];
		if (device->type == 'p' || device->tree_fd >= 0)
			continue;
		int r = device_clone_host(device, err);
		if (r == -EPERM) {
			error_clear(err); /* no privileges here: the child clones */
			return 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static bool number_fits(int64_t n, uint32_t max)
{
	return n >= 0 && n <= (int64_t)max;
}

static int read_device(const struct oci_device *from, struct device *to, struct masu_error *err)
{
	/* dev_t has 12 bits for the major and 20 for the minor number. */
	if (from->type != 'p' &&
	    (!number_fits(from->major, 0xfff) || !number_fits(from->minor, 0xfffff)))
		return error_set(err, -EINVAL, "device %s: no such number %lld:%lld", from->path,
				 (long long)from->major, (long long)from->minor);
	*to = (struct device) {
		.path = from->path,
		.type = from->type,
		.major = (uint32_t)from->major,
		.minor = (uint32_t)from->minor,
		.mode = from->has_mode ? from->mode & 07777 : 0666,
		.uid = from->uid,
		.gid = from->gid,
		.tree_fd = -1,
	};
	return 0;
}

int devices_prepare(struct rootfs *rootfs, struct masu_error *err)
{
	const struct oci_spec *spec = rootfs->spec;
	for (size_t i = 0; i < spec->device_count; i++) {
		int r = read_device(&spec->devices[i], &rootfs->devices[i], err);
		if (r < 0)
			return r;
	}
	memcpy(rootfs->devices + spec->device_count, default_devices, sizeof(default_devices));
	rootfs->device_count = spec->device_count + ROOTFS_DEFAULT_DEVICES;
	if (!spec->namespaces[OCI_NS_USER].present)
		return 0;
	int r = make_host_nodes(rootfs);
	if (r == -EPERM || r == -EINVAL)
		return clone_host_nodes(rootfs, err);
	return r < 0 ? error_errno(err, r, "devices: make the nodes") : 0;
}
