#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* fsconfig(2) takes keys and values of at most 255 bytes, mount(2) a page for all of them. */
#define FSCONFIG_MAX 256

#ifndef FSPICK_CLOEXEC
#define FSPICK_CLOEXEC 0x1
#endif
#ifndef FSPICK_EMPTY_PATH
#define FSPICK_EMPTY_PATH 0x8
#endif

/* Superblock flags that fsconfig(2) knows by name (fs/fs_context.c, common_set_sb_flag). */
static const struct {
	unsigned long flag;
	const char *key;
} superblock_flags[] = {
	{ MS_SYNCHRONOUS, "sync" },
	{ MS_DIRSYNC, "dirsync" },
	{ MS_LAZYTIME, "lazytime" },
	{ MS_MANDLOCK, "mand" },
};

/*
 * Copies the next comma-separated option of *@rest; "\," does not separate (overlay writes a comma
 * in a path like that and undoes it itself). 1, 0 at the end, -E2BIG.
 */
static int next_option(const char **rest, char option[2 * FSCONFIG_MAX])
{
	const char *p = *rest;
	while (*p == ',')
		p++;
	size_t len = 0;
	while (p[len] && p[len] != ',')
		len += p[len] == '\\' && p[len + 1] ? 2 : 1;
	if (len == 0)
		return 0;
	if (len >= 2 * FSCONFIG_MAX)
		return -E2BIG;
	memcpy(option, p, len);
	option[len] = '\0';
	*rest = p + len;
	return 1;
}

static int configure_option(int fsfd, char *option)
{
	char *value = strchr(option, '=');
	if (!value)
		return sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, option, NULL, 0);
	*value++ = '\0';
	return sys_fsconfig(fsfd, FSCONFIG_SET_STRING, option, value, 0);
}

/* The kernel says on the fs fd what it did not like: "e tmpfs: Bad value for 'size'". */
static int config_error(int fsfd, int code, const struct oci_mount *mount, const char *what,
			struct masu_error *err)
{
	char text[256];
	ssize_t len = read(fsfd, text, sizeof(text) - 1);
	if (len <= 2)
		return error_errno(err, code, "mount %s: %s: %s", mount->destination, mount->type,
				   what);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, code, "mount %s: %s: %s (%s)", mount->destination, mount->type, what,
			 text + 2);
}

static int configure(int fsfd, const struct oci_mount *mount, struct masu_error *err)
{
	char option[2 * FSCONFIG_MAX];
	const char *rest = mount->data ? mount->data : "";
	int r;
	while ((r = next_option(&rest, option)) > 0) {
		r = configure_option(fsfd, option);
		if (r < 0)
			return config_error(fsfd, r, mount, option, err);
	}
	if (r < 0)
		return error_errno(err, r, "mount %s: option too long", mount->destination);
	for (size_t i = 0; i < ARRAY_SIZE(superblock_flags); i++) {
		if (!(mount->sb_flags & superblock_flags[i].flag))
			continue;
		r = sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, superblock_flags[i].key, NULL, 0);
		if (r < 0)
			return config_error(fsfd, r, mount, superblock_flags[i].key, err);
	}
	return 0;
}

/* On filesystems without a device "ro" belongs to the mount; a disk must not even be replayed. */
static bool is_memory_filesystem(const char *type)
{
	static const char *const types[] = { "tmpfs",  "proc",	  "sysfs", "devpts",
					     "mqueue", "cgroup2", "ramfs" };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (streq(type, types[i]))
			return true;
	return false;
}

static bool takes_label(const char *type)
{
	return !streq(type, "proc") && !streq(type, "sysfs") && !streq(type, "cgroup2");
}

int filesystem_open(const struct oci_mount *mount, int mode, const char *label, bool readonly,
		    int *ret_fd, struct masu_error *err)
{
	_cleanup_close_ int fsfd = sys_fsopen(mount->type, 0);
	if (fsfd == -EPERM)
		return fsfd;
	if (fsfd == -ENODEV)
		return error_set(err, fsfd,
				 "mount %s: this kernel has no filesystem type \"%s\" (see "
				 "/proc/filesystems)",
				 mount->destination, mount->type);
	if (fsfd < 0)
		return error_errno(err, fsfd, "mount %s: %s", mount->destination, mount->type);
	int r = sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "source",
			     mount->source ? mount->source : mount->type, 0);
	if (r < 0)
		return config_error(fsfd, r, mount, "source", err);
	r = configure(fsfd, mount, err);
	if (r < 0)
		return r;
	if (mode >= 0) {
		char text[16];
		snprintf(text, sizeof(text), "%o", (unsigned)mode);
		r = sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "mode", text, 0);
	}
	if (r == 0 && label && *label && takes_label(mount->type))
		r = sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "context", label, 0);
	bool wants_readonly = readonly && mount->attr_set & MOUNT_ATTR_RDONLY;
	if (r == 0 && wants_readonly && !is_memory_filesystem(mount->type))
		r = sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	if (r == 0)
		r = sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r == -EPERM)
		return r;
	if (r < 0)
		return config_error(fsfd, r, mount, "create", err);
	uint64_t attributes = mount->attr_set;
	if (!wants_readonly)
		attributes &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	int fd = sys_fsmount(fsfd, 0, (unsigned)attributes);
	if (fd == -EPERM)
		return fd;
	if (fd < 0)
		return config_error(fsfd, fd, mount, "mount", err);
	*ret_fd = fd;
	return 0;
}

int filesystem_new(const char *type, uint64_t attributes, int *ret_fd)
{
	_cleanup_close_ int fsfd = sys_fsopen(type, 0);
	if (fsfd < 0)
		return fsfd;
	int r = sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "source", type, 0);
	if (r == 0)
		r = sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r < 0)
		return r;
	int fd = sys_fsmount(fsfd, 0, (unsigned)attributes);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int filesystem_reconfigure(const struct oci_mount *mount, int target_fd, struct masu_error *err)
{
	_cleanup_close_ int fsfd = (int)sys_ret(
		syscall(SYS_fspick, target_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
	if (fsfd < 0)
		return error_errno(err, fsfd, "remount %s", mount->destination);
	int r = configure(fsfd, mount, err);
	if (r < 0)
		return r;
	bool readonly = mount->sb_flags & MS_RDONLY;
	r = sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, readonly ? "ro" : "rw", NULL, 0);
	if (r == 0)
		r = sys_fsconfig(fsfd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	return r < 0 ? config_error(fsfd, r, mount, "reconfigure", err) : 0;
}

bool filesystem_needs_mount2(const struct oci_mount *mount)
{
	size_t at = 0;
	if (mount->sb_flags & MS_I_VERSION)
		return true;
	if (mount->source && strlen(mount->source) >= FSCONFIG_MAX)
		return true;
	/* One option that does not fit sends all of them the old way. */
	for (const char *p = mount->data ? mount->data : ""; *p; p++) {
		at = *p == ',' ? 0 : at + 1;
		if (at >= FSCONFIG_MAX)
			return true;
	}
	return false;
}

static unsigned long classic_flags(uint64_t attributes)
{
	static const struct {
		uint64_t attribute;
		unsigned long flag;
	} flags[] = {
		{ MOUNT_ATTR_RDONLY, MS_RDONLY },
		{ MOUNT_ATTR_NOSUID, MS_NOSUID },
		{ MOUNT_ATTR_NODEV, MS_NODEV },
		{ MOUNT_ATTR_NOEXEC, MS_NOEXEC },
		{ MOUNT_ATTR_NOATIME, MS_NOATIME },
		{ MOUNT_ATTR_STRICTATIME, MS_STRICTATIME },
		{ MOUNT_ATTR_NODIRATIME, MS_NODIRATIME },
		{ MOUNT_ATTR_NOSYMFOLLOW, 256 /* MS_NOSYMFOLLOW */ },
	};
	unsigned long result = 0;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (attributes & flags[i].attribute)
			result |= flags[i].flag;
	return result;
}

int filesystem_mount2(const struct oci_mount *entry, int target_fd, bool readonly,
		      struct masu_error *err)
{
	/* The fd is the target; the path only says so to a call that takes none. */
	char path[FS_PROC_FD_MAX];
	unsigned long flags = classic_flags(entry->attr_set) | entry->sb_flags;
	if (!readonly)
		flags &= ~(unsigned long)MS_RDONLY;
	/* lint: ok, the target is a descriptor */
	if (mount(entry->source ? entry->source : entry->type, fs_proc_fd(target_fd, path),
		  entry->type, flags, entry->data) < 0)
		return error_errno(err, -errno, "mount %s: %s", entry->destination, entry->type);
	return 0;
}
