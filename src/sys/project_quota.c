#include "sys/project_quota.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/syscalls.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

#define BLOCK	 1024u /* QIF_DQBLKSIZE: what limits are counted in */
#define ID_TRIES 64

static int quota_call(int fd, int command, uint32_t project, void *data)
{
	return (int)sys_ret(syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, data));
}

/* Counting alone (ext4's feature without the mount option) would let everything through. */
int project_quota_check(int fd, struct masu_error *err)
{
	struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };
	int r = quota_call(fd, Q_XGETQSTATV, 0, &state);
	if (r == -EPERM)
		return error_errno(err, r, "project quotas");
	/* A filesystem without quotas says that too; a file that is none, only the kernel. */
	if (r == -ENOSYS && quota_call(-1, Q_XGETQSTATV, 0, &state) == -ENOSYS &&
	    access("/proc/sys/fs/quota", F_OK) == 0)
		return error_set(err, -EOPNOTSUPP,
				 "project quotas need quotactl_fd(2): Linux 5.14 or later");
	if (r < 0 || !(state.qs_flags & FS_QUOTA_PDQ_ENFD))
		return error_set(err, -EOPNOTSUPP,
				 "the filesystem has no project quotas in force; it takes XFS, or "
				 "ext4 with the features \"project\" and \"quota\", mounted with "
				 "the option prjquota");
	return 0;
}

static bool unused(const struct if_dqblk *quota)
{
	return !quota->dqb_curspace && !quota->dqb_curinodes && !quota->dqb_bhardlimit &&
	       !quota->dqb_bsoftlimit && !quota->dqb_ihardlimit && !quota->dqb_isoftlimit;
}

/*
 * A number at random, since others (Docker counts from 1) give numbers on the same filesystem and
 * there is no place to agree; one that is in use or has a limit is somebody's.
 */
static int find_unused(int fd, uint32_t *ret)
{
	for (int i = 0; i < ID_TRIES; i++) {
		struct if_dqblk quota = { 0 };
		uint32_t id;
		if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
			return -EIO;
		id &= INT32_MAX;
		if (id < 1u << 20) /* where people and Docker number theirs */
			continue;
		int r = quota_call(fd, Q_GETQUOTA, id, &quota);
		if (r < 0 && r != -ENOENT && r != -ESRCH)
			return r;
		if (r < 0 || unused(&quota)) {
			*ret = id;
			return 0;
		}
	}
	return -EBUSY;
}

static int set_limit(int fd, uint32_t project, uint64_t bytes)
{
	struct if_dqblk quota = {
		.dqb_bhardlimit = bytes / BLOCK + (bytes % BLOCK != 0),
		.dqb_valid = QIF_BLIMITS,
	};
	return quota_call(fd, Q_SETQUOTA, project, &quota);
}

static int join_project(int fd, uint32_t project)
{
	struct fsxattr attributes;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -errno;
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) < 0 ? -errno : 0;
}

int project_quota_clear(int dir_fd)
{
	struct fsxattr attributes;
	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attributes) < 0 || !attributes.fsx_projid ||
	    !(attributes.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return 0;
	return set_limit(dir_fd, attributes.fsx_projid, 0);
}

int project_quota_obey(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	const uint32_t bit = CAP_TO_MASK(CAP_SYS_RESOURCE);
	int r = (int)sys_ret(syscall(SYS_capget, &header, sets));
	if (r < 0 || !(sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & bit))
		return r;
	sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~bit;
	sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].permitted &= ~bit;
	sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].inheritable &= ~bit;
	return (int)sys_ret(syscall(SYS_capset, &header, sets));
}

int project_quota_set(int dir_fd, uint64_t bytes, struct masu_error *err)
{
	uint32_t project = 0;
	int r = project_quota_check(dir_fd, err);
	if (r < 0)
		return r;
	r = project_quota_clear(dir_fd);
	if (r == 0)
		r = find_unused(dir_fd, &project);
	if (r == 0) /* first: a number that nothing has yet harms nobody if this dies now */
		r = set_limit(dir_fd, project, bytes);
	if (r == 0) {
		r = join_project(dir_fd, project);
		if (r < 0)
			set_limit(dir_fd, project, 0);
	}
	return r < 0 ? error_errno(err, r, "project quota of %llu bytes", (unsigned long long)bytes)
		     : 0;
}
