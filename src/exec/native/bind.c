#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define PROPAGATION_TYPES ((unsigned long)(MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE))

int mount_set_attributes(int fd, bool recursive, uint64_t set, uint64_t clear,
			 unsigned long propagation)
{
	struct mount_attr attr = { .attr_set = set,
				   .attr_clr = clear,
				   .propagation = propagation & PROPAGATION_TYPES };
	/* The atime mode is one field: mount_setattr(2) wants it cleared as a whole. */
	if ((set | clear) & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	return sys_mount_setattr(fd, "", (unsigned)AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0),
				 &attr);
}

int bind_clone_path(const char *path, bool recursive, int *ret_fd)
{
	_cleanup_close_ int fd =
		sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0));
	if (fd < 0)
		return fd;
	int r = mount_set_attributes(fd, recursive, 0, 0, MS_PRIVATE);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

/*
 * The attributes of one bind mount, in as few calls as they need: what is recursive (and the
 * propagation) in one, what concerns the top alone in a second one where that differs.
 */
static int set_bind_attributes(const struct rootfs *rootfs, const struct oci_mount *mount, int fd)
{
	unsigned long propagation = mount->propagation;
	if (!(propagation & PROPAGATION_TYPES))
		propagation = rootfs->propagation | MS_REC;
	bool everywhere = mount->recursive_bind;
	uint64_t set = mount->rec_attr_set, clear = mount->rec_attr_clear, top = mount->attr_set;
	if (mount_readonly_is_late(rootfs, mount))
		top &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	bool top_differs = (top & ~set) || (mount->attr_clear & ~clear);
	bool one_call = !everywhere || (!top_differs && (propagation & MS_REC));
	if (one_call)
		return mount_set_attributes(fd, everywhere, set | top, clear | mount->attr_clear,
					    propagation);
	/*
	 * Without MS_REC the propagation is the top's alone, but what is below must not stay a peer
	 * of the host's either. Slaves stay slaves, because private cannot go back; only "shared"
	 * asks for peers.
	 */
	unsigned long below = propagation;
	if (!(propagation & MS_REC))
		below = propagation & MS_SHARED	 ? 0
			: propagation & MS_SLAVE ? MS_SLAVE
						 : MS_PRIVATE;
	int r = mount_set_attributes(fd, true, set, clear, below);
	if (r < 0)
		return r;
	return mount_set_attributes(fd, false, set | top, clear | mount->attr_clear, propagation);
}

static int set_idmap(const struct rootfs *rootfs, const struct oci_mount *mount, int fd,
		     struct masu_error *err)
{
	if (!mount->idmap && !mount->idmap_recursive)
		return 0;
	const struct oci_ns *user = &rootfs->spec->namespaces[OCI_NS_USER];
	const struct oci_id_map *map = &mount->mappings;
	_cleanup_close_ int userns = -1;
	if (!map->uid_count && !map->gid_count) {
		if (!user->present)
			return error_set(err, -EINVAL,
					 "mount %s: idmap needs uidMappings and gidMappings, or a "
					 "user namespace to take them from",
					 mount->destination);
		if (user->path) {
			/* lint: ok, the administrator's path */
			userns = open(user->path, O_RDONLY | O_CLOEXEC);
			if (userns < 0)
				return error_errno(err, -errno, "mount %s: user namespace %s",
						   mount->destination, user->path);
		}
		map = &rootfs->spec->id_map;
	}
	if (userns < 0) {
		int r = idmap_namespace(map, &userns, err);
		if (r < 0)
			return error_wrap(err, "mount %s", mount->destination);
	}
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	int r = sys_mount_setattr(
		fd, "", (unsigned)AT_EMPTY_PATH | (mount->idmap_recursive ? AT_RECURSIVE : 0),
		&attr);
	if (r == -EINVAL)
		return error_set(err, r,
				 "mount %s: the filesystem of %s does not support id-mapped mounts",
				 mount->destination, mount->source);
	return r < 0 ? error_errno(err, r, "mount %s: idmap", mount->destination) : 0;
}

int bind_clone(const struct rootfs *rootfs, const struct oci_mount *mount, bool in_child,
	       int *ret_fd, struct masu_error *err)
{
	const char *source = mount->source;
	char absolute[PATH_MAX];
	int dir = AT_FDCWD;
	if (!source || !*source)
		return error_set(err, -EINVAL, "mount %s: a bind mount needs a source",
				 mount->destination);
	/* mount(2) ignores data with MS_BIND, so specifications have come to carry some. */
	if (mount->data && *mount->data)
		log_warn("mount %s: a bind mount has no option \"%s\"", mount->destination,
			 mount->data);
	unsigned flags = OPEN_TREE_CLONE | (mount->recursive_bind ? AT_RECURSIVE : 0) |
			 (unsigned)(mount->source_nofollow ? AT_SYMLINK_NOFOLLOW : 0);
	if (mount->source_fd && !in_child) {
		dir = mount->source_fd;
		source = "";
		flags |= AT_EMPTY_PATH;
	} else if (*source != '/' && in_child) {
		/* bundle_fd belongs to the parent's mount namespace, which cannot be cloned from.
		 */
		int r = str_format(absolute, sizeof(absolute), "%s/%s", rootfs->request->bundle,
				   source);
		if (r < 0)
			return error_errno(err, r, "mount %s: %s", mount->destination, source);
		source = absolute;
	} else if (*source != '/') {
		dir = rootfs->request->bundle_fd;
	}
	_cleanup_close_ int fd = sys_open_tree(dir, source, flags);
	if (fd < 0)
		return error_errno(err, fd, "mount %s: %s", mount->destination, mount->source);
	int r = set_idmap(rootfs, mount, fd, err);
	if (r < 0)
		return r;
	r = set_bind_attributes(rootfs, mount, fd);
	if (r < 0)
		return error_errno(err, r, "mount %s: set attributes of %s", mount->destination,
				   mount->source);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* copy-symlink: *ret is the link's text where the source is one, else it stays NULL. */
static int read_source_link(struct rootfs *rootfs, const struct oci_mount *mount, const char **ret,
			    struct masu_error *err)
{
	char text[PATH_MAX];
	int dir = *mount->source == '/' ? AT_FDCWD : rootfs->request->bundle_fd;
	ssize_t len = readlinkat(dir, mount->source, text, sizeof(text) - 1);
	if (len < 0 && errno == EINVAL)
		return 0;
	if (len < 0)
		return error_errno(err, -errno, "mount %s: %s", mount->destination, mount->source);
	char *copy = arena_strndup(rootfs->arena, text, (size_t)len);
	if (!copy)
		return error_errno(err, -ENOMEM, "mount %s", mount->destination);
	*ret = copy;
	return 0;
}

const char *bind_fallback(const struct oci_mount *mount)
{
	if (!mount->type)
		return NULL;
	if (streq(mount->type, "sysfs"))
		return "/sys";
	if (streq(mount->type, "proc"))
		return "/proc";
	return streq(mount->type, "mqueue") ? "/dev/mqueue" : NULL;
}

/*
 * A user namespace may mount sysfs, proc and mqueue only with a network, pid or ipc namespace that
 * it owns. Where that is in doubt a clone of the host's directory is kept at hand.
 */
static bool fallback_may_be_needed(const struct rootfs *rootfs, const struct oci_mount *mount)
{
	const struct oci_ns *ns = rootfs->spec->namespaces;
	if (!ns[OCI_NS_USER].present || !bind_fallback(mount))
		return false;
	enum oci_namespace owner = streq(mount->type, "sysfs")	? OCI_NS_NETWORK
				   : streq(mount->type, "proc") ? OCI_NS_PID
								: OCI_NS_IPC;
	bool joined =
		ns[owner].path || (owner == OCI_NS_NETWORK && rootfs->request->network_ns_fd >= 0);
	return !ns[owner].present || joined;
}

/*
 * The kernel lists mounts in the order they were made, clones included, and the specification's is
 * kept where the child makes them all, one after the other. Its mounts are slaves of the host's by
 * then, as under runc: "slave" is what it should be, "shared" a peer group that follows the host's.
 * Only with a shared root a shared bind is to be the host's peer, and is cloned here, as is one
 * whose source the child might not be allowed to clone or might see differently.
 */
static bool cloned_in_order(const struct rootfs *rootfs, const struct oci_mount *mount)
{
	const struct oci_ns *ns = rootfs->spec->namespaces;
	bool peer = mount->propagation & rootfs->spec->rootfs_propagation & MS_SHARED;
	return rootfs->request->mounts_in_order && !peer && mount->source && !mount->source_fd &&
	       !str_after(mount->source, "/proc/") && !mount->idmap && !mount->idmap_recursive &&
	       ns[OCI_NS_MOUNT].present && !ns[OCI_NS_MOUNT].path && !ns[OCI_NS_USER].present;
}

int bind_prepare(struct rootfs *rootfs, size_t index, struct masu_error *err)
{
	const struct oci_mount *mount = &rootfs->spec->mounts[index];
	struct mount_source *source = &rootfs->sources[index];
	source->is_dir = true;
	if (!mount->bind) {
		/* Without privileges here the child tries by itself, so a failure says nothing. */
		if (fallback_may_be_needed(rootfs, mount))
			(void)bind_clone_path(bind_fallback(mount), true, &source->tree_fd);
		return 0;
	}
	if (mount->remount)
		return 0;
	int r = 0;
	if (mount->copy_symlink && mount->source) {
		r = read_source_link(rootfs, mount, &source->link, err);
		if (r < 0 || source->link)
			return r;
	}
	if (cloned_in_order(rootfs, mount) && !mount->optional)
		return 0;
	r = bind_clone(rootfs, mount, false, &source->tree_fd, err);
	if (r == -ENOENT && mount->optional) {
		error_clear(err);
		source->skip = true;
		return 0;
	}
	if (r == -EPERM) {
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	struct stat st;
	if (fstat(source->tree_fd, &st) < 0)
		return error_errno(err, -errno, "mount %s: %s", mount->destination, mount->source);
	source->is_dir = S_ISDIR(st.st_mode);
	return 0;
}
