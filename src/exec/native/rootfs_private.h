/*
 * What the files behind rootfs.h share. Each file is one concern of the container's view:
 *   rootfs.c     the order of things: prepare, mount, finish
 *   mount.c      one entry of `mounts`: its target and its kind
 *   bind.c       bind mounts: clones of the host's trees, attributes, propagation
 *   filesystem.c new filesystems by fsopen(2): proc, tmpfs, overlay …
 *   idmap.c      user namespaces for idmapped mounts
 *   copyup.c     tmpcopyup
 *   nodes.c      the devices there will be; the nodes that a user namespace cannot make
 *   devices.c    /dev: nodes, links, console
 *   mask.c       masked and read-only paths
 *   enter.c      pivot_root and its alternatives
 *
 * Fds made by the parent are never closed or replaced by the child: with CLONE_VM the structure is
 * one and the tables are two. What the child opens is in `child` and closes by exec.
 */
#pragma once

#include <linux/mount.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"
#include "exec/exec.h"
#include "exec/native/rootfs.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* What the parent prepared for one entry of spec->mounts. */
struct mount_source {
	int tree_fd; /* detached tree, ready to attach; -1: none, or the child has to clone it */
	bool is_dir;
	bool skip;	  /* optional, and the source is missing */
	const char *link; /* copy-symlink: the text of the link to make instead of a mount */
};

struct device {
	const char *path;
	char type; /* 'c', 'b', 'p' */
	uint32_t major, minor, mode, uid, gid;
	int tree_fd; /* parent's clone of the host's node, where nodes cannot be made; else -1 */
};

#define ROOTFS_DEFAULT_DEVICES 6

struct rootfs {
	struct arena *arena;
	const struct exec_request *request;
	const struct oci_spec *spec;
	const char *mount_label; /* SELinux, NULL: none */
	int root_fd;   /* the root's detached mount, or -1: the child clones it from root_path */
	bool root_own; /* root_fd is ours to close, not the caller's */
	const char *root_path;	      /* absolute; NULL where the caller gave the mount */
	unsigned long propagation;    /* of the root and of mounts that ask for none */
	struct mount_source *sources; /* one for each of spec->mounts */
	struct device *devices;	      /* the spec's, then the default ones */
	size_t device_count;
	int nodes_fd; /* the tmpfs that the parent made the nodes on; -1: none */
	struct {
		struct rootfs_context context;
		int root_fd;	   /* the root: what "/" will be */
		int dev_fd;	   /* its /dev, a real directory; -1: none opened yet */
		bool own_proc;	   /* a procfs was mounted on /proc */
		bool fresh_dev;	   /* /dev is a tmpfs that we made: nothing of others is in it */
		bool host_dev;	   /* /dev is bound from outside: not ours to fill */
		int *readonly_fds; /* mounts that become read-only at the end */
		size_t readonly_count;
	} child;
};

/* mount.c: attaches spec->mounts[@index]. */
int mount_entry(struct rootfs *rootfs, size_t index, struct masu_error *err);
/* Attaches the detached @tree_fd over the O_PATH fd @target_fd. 0 or -errno. */
int mount_attach(int tree_fd, int target_fd);

/* bind.c */
/*
 * Clones the source of bind mount @mount with its attributes, propagation and id mapping. Called by
 * the parent, and by the child (@in_child) for what an unprivileged parent may not clone.
 */
int bind_clone(const struct rootfs *rootfs, const struct oci_mount *mount, bool in_child,
	       int *ret_fd, struct masu_error *err);
/* The parent's part for one mount entry, whatever its kind. */
int bind_prepare(struct rootfs *rootfs, size_t index, struct masu_error *err);
/* The host's directory to bind where this type of filesystem may not be mounted; NULL: none. */
const char *bind_fallback(const struct oci_mount *mount);
/* A clone of @path (with all below where @recursive) that propagates nothing. */
int bind_clone_path(const char *path, bool recursive, int *ret_fd);
/* mount_setattr(2) on the mount @fd itself, or with all below it. Clears the atime bits it sets. */
int mount_set_attributes(int fd, bool recursive, uint64_t set, uint64_t clear,
			 unsigned long propagation);
/* mount.c */
/* True where read-only @mount must stay writable until everything below it is in place. */
bool mount_readonly_is_late(const struct rootfs *rootfs, const struct oci_mount *mount);
/* Remembers @fd (taken over) for rootfs_finish(). */
void mount_readonly_later(struct rootfs *rootfs, int fd);

/* filesystem.c */
/*
 * A detached mount of a new filesystem for @mount, with @mode for its root unless that is < 0, and
 * read-only (where @mount says so) only if @readonly. -EPERM, without a message, where this user
 * namespace may not mount it.
 */
int filesystem_open(const struct oci_mount *mount, int mode, const char *label, bool readonly,
		    int *ret_fd, struct masu_error *err);
/* True where only mount(2) takes these options; filesystem_mount2() then does it. */
bool filesystem_needs_mount2(const struct oci_mount *mount);
int filesystem_mount2(const struct oci_mount *mount, int target_fd, bool readonly,
		      struct masu_error *err);
/* Applies options to a mounted filesystem's superblock ("remount" without bind). */
int filesystem_reconfigure(const struct oci_mount *mount, int target_fd, struct masu_error *err);
/* A detached, empty, read-only tmpfs or a plain procfs. */
int filesystem_new(const char *type, uint64_t attributes, int *ret_fd);

/* idmap.c: a user namespace with these mappings, as an fd. */
int idmap_namespace(const struct oci_id_map *map, int *ret_fd, struct masu_error *err);

/* copyup.c: copies what is in directory @from_fd into directory @to_fd. */
int copy_up(int from_fd, int to_fd, struct masu_error *err);

/* nodes.c */
int devices_prepare(struct rootfs *rootfs, struct masu_error *err);
mode_t device_node_type(const struct device *device); /* S_IFCHR, S_IFBLK or S_IFIFO */
bool device_is_node(const struct stat *st, const struct device *device);
/* Clones the host's node of that path, checked to be the same one, into device->tree_fd. */
int device_clone_host(struct device *device, struct masu_error *err);

/* devices.c */
int devices_create(struct rootfs *rootfs, struct masu_error *err);
/* Opens (or makes) the root's /dev as a real directory. */
int devices_open_dir(struct rootfs *rootfs, struct masu_error *err);

/* mask.c */
int mask_paths(struct rootfs *rootfs, struct masu_error *err);
int readonly_paths(struct rootfs *rootfs, struct masu_error *err);

/* enter.c */
int enter_root(struct rootfs *rootfs, struct masu_error *err);

/* Opens @path in the root as a real directory, made when missing: for /proc, /sys, /dev. */
int rootfs_real_dir(int root_fd, const char *path, struct masu_error *err);
