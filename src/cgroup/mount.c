/*
 * The "cgroup" mount of a container.
 *   v2            cgroup2 mounted anew, which in a cgroup namespace shows the container's own part;
 *                 without one the container's own group is bound
 *   v1, hybrid    a tmpfs with one directory a hierarchy, the container's own group bound on each;
 *                 a cgroup namespace shows such a bind as "/", just as a new mount would
 * Everything goes by fd, so nothing in the rootfs is looked up by name.
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/syscalls.h"

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x00000001
#endif

static int refuse_options(const struct oci_mount *mount, struct masu_error *err)
{
	if (mount->data && *mount->data)
		return error_set(err, -EINVAL, "cgroup: unknown option \"%s\"", mount->data);
	return 0;
}

bool cgroup_mount_writable(const struct oci_spec *spec, const struct oci_mount *mount)
{
	if ((mount->attr_set | mount->rec_attr_set) & MOUNT_ATTR_RDONLY)
		return false;
	if ((mount->attr_clear | mount->rec_attr_clear) & MOUNT_ATTR_RDONLY)
		return true;
	return spec->process.has_capabilities &&
	       spec->process.capabilities.effective & OCI_CAP_BIT(CAP_SYS_ADMIN);
}

static bool map_id(const struct oci_id_mapping *map, size_t count, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < count; i++)
		if (id >= map[i].container_id && id - map[i].container_id < map[i].size) {
			*ret = map[i].host_id + (id - map[i].container_id);
			return true;
		}
	return false;
}

void cgroup_owner(const struct oci_spec *spec, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct oci_ns *ns = &spec->namespaces[OCI_NS_CGROUP];
	bool writable = false;
	*ret_uid = (uid_t)-1;
	*ret_gid = (gid_t)-1;
	for (size_t i = 0; i < spec->mount_count; i++) {
		const struct oci_mount *mount = &spec->mounts[i];
		if (mount->type && streq(mount->type, "cgroup") &&
		    streq(mount->destination, "/sys/fs/cgroup"))
			writable = cgroup_mount_writable(spec, mount);
	}
	uint32_t uid, gid;
	if (writable && ns->present && !ns->path && spec->namespaces[OCI_NS_USER].present &&
	    map_id(spec->id_map.uid, spec->id_map.uid_count, spec->process.uid, &uid) &&
	    map_id(spec->id_map.gid, spec->id_map.gid_count, spec->process.gid, &gid)) {
		*ret_uid = uid;
		*ret_gid = gid;
	}
}

static int set_attributes(int mount_fd, const struct oci_mount *mount, bool writable)
{
	struct mount_attr attr = {
		.attr_set = mount->attr_set | mount->rec_attr_set,
		.attr_clr = mount->attr_clear | mount->rec_attr_clear,
		.propagation = mount->propagation ? mount->propagation & ~(unsigned long)MS_REC
						  : MS_PRIVATE,
	};
	if (!writable)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (fault_without("cgroup-readonly"))
		attr.attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	attr.attr_clr &= ~attr.attr_set;
	return sys_mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr);
}

/* A detached copy of the mount at a host path. */
static int clone_path(const char *path, const struct oci_mount *mount, bool writable)
{
	_cleanup_close_ int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
	if (fd < 0)
		return fd;
	int r = set_attributes(fd, mount, writable);
	return r < 0 ? r : take_fd(&fd);
}

static int clone_group(const struct cgroup_tree *tree, const struct oci_mount *mount, bool writable)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s%s", tree->mount, tree->path);
	return r < 0 ? r : clone_path(path, mount, writable);
}

static int new_cgroup2(const struct oci_mount *mount, bool writable)
{
	_cleanup_close_ int context = sys_fsopen("cgroup2", 0);
	if (context < 0)
		return context;
	int r = sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = sys_fsmount(context, 0, 0);
	if (fd < 0)
		return fd;
	r = set_attributes(fd, mount, writable);
	return r < 0 ? r : take_fd(&fd);
}

static int attach_at(int mount_fd, int dir_fd, const char *name)
{
	return sys_move_mount(mount_fd, "", dir_fd, name,
			      MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH));
}

int v2_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
	     bool writable, struct masu_error *err)
{
	int r = refuse_options(mount, err);
	if (r < 0)
		return r;
	const struct cgroup_tree *tree = &cgroup->trees[cgroup->unified];
	_cleanup_close_ int fd = -1;
	if (ns)
		fd = new_cgroup2(mount, writable);
	/* EPERM: in a user namespace that does not own the cgroup namespace. */
	if (!ns || fd == -EPERM)
		fd = tree->used ? clone_group(tree, mount, writable)
				: clone_path(tree->mount, mount, writable);
	r = fd < 0 ? fd : attach_at(fd, target_fd, "");
	return r < 0 ? error_errno(err, r, "cgroup2") : 0;
}

static int new_tmpfs(void)
{
	_cleanup_close_ int context = sys_fsopen("tmpfs", 0);
	if (context < 0)
		return context;
	int r = sys_fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0);
	if (r == 0)
		r = sys_fsconfig(context, FSCONFIG_SET_STRING, "size", "1m", 0);
	if (r == 0)
		r = sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return r < 0 ? r
		     : sys_fsmount(context, 0,
				   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* "cpu" -> "cpu,cpuacct" for each controller of a co-mount: the names that programs look for. */
static int link_controllers(int tmpfs, const char *list)
{
	if (!strchr(list, ','))
		return 0;
	for (const char *p = list; *p;) {
		char name[NAME_MAX + 1];
		size_t len = strcspn(p, ",");
		int r = str_format(name, sizeof(name), "%.*s", (int)len, p);
		if (r == 0 && symlinkat(list, tmpfs, name) < 0)
			r = -errno;
		if (r < 0)
			return r;
		p += len + (p[len] == ',');
	}
	return 0;
}

static int mount_tree(int tmpfs, const struct cgroup_tree *tree, const struct oci_mount *mount,
		      bool writable)
{
	_cleanup_close_ int fd = clone_group(tree, mount, writable);
	if (fd < 0)
		return fd;
	if (mkdirat(tmpfs, tree->name, 0755) < 0)
		return -errno;
	int r = attach_at(fd, tmpfs, tree->name);
	return r < 0 || tree->v2 ? r : link_controllers(tmpfs, tree->name);
}

int v1_mount(const struct cgroup *cgroup, int target_fd, const struct oci_mount *mount, bool ns,
	     bool writable, struct masu_error *err)
{
	int r = refuse_options(mount, err);
	if (r < 0)
		return r;
	_cleanup_close_ int tmpfs = new_tmpfs();
	/* Attached before it is filled: kernels before 6.15 mount nothing on a detached tree. */
	r = tmpfs < 0 ? tmpfs : attach_at(tmpfs, target_fd, "");
	if (r < 0)
		return error_errno(err, r, "tmpfs for cgroups");
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];
		r = tree->used ? mount_tree(tmpfs, tree, mount, writable) : 0;
		if (r < 0)
			return error_errno(err, r, "cgroup %s%s", tree->mount, tree->path);
	}
	r = set_attributes(tmpfs, mount, writable);
	return r < 0 ? error_errno(err, r, "attributes") : 0;
}
