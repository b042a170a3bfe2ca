/*
 * Limits on what is below a directory, by the project ids of ext4 and XFS: everything that is made
 * below the directory belongs to its project, and statfs(2) there tells the project's limit.
 *
 * A process with CAP_SYS_RESOURCE is not held by the limit on ext4 (quotactl(2)).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * Gives the directory a project of its own with this many bytes, rounded up to 1 KiB. What is in
 * the directory already is not counted; one that it had is given up. -EOPNOTSUPP where the
 * filesystem counts no projects or does not hold them to their limits (@err says how to mount it),
 * or where the kernel is older than 5.14.
 */
int project_quota_set(int dir_fd, uint64_t bytes, struct masu_error *err);

/* As project_quota_set() would say: 0, or -EOPNOTSUPP with the reason. */
int project_quota_check(int fd, struct masu_error *err);

/*
 * From now on limits hold this process, too: it gives up CAP_SYS_RESOURCE, for good. For one that
 * writes what others send into a place that has a limit.
 */
int project_quota_obey(void);

/*
 * Takes the limit of the directory's project away, so that its number may be used again: for one
 * that is about to be deleted. 0 where it has none.
 */
int project_quota_clear(int dir_fd);
