#include "exec/native/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "sys/syscalls.h"

#define FIRST_FD  3
#define EXTRA_MAX 512

static int move_up(int *fd, int lowest)
{
	if (*fd < 0 || *fd >= lowest)
		return 0;
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, lowest);
	if (moved < 0)
		return -errno;
	close(*fd);
	*fd = moved;
	return 0;
}

/* Two steps, so that a target is never a source that is still needed. */
static int place(const int *extra, int count)
{
	int raised[EXTRA_MAX], r = 0, made = 0;
	for (; made < count && r == 0; made++) {
		raised[made] = fcntl(extra[made], F_DUPFD_CLOEXEC, FIRST_FD + count);
		if (raised[made] < 0)
			r = -errno;
	}
	for (int i = 0; i < count && r == 0; i++)
		if (dup2(raised[i], FIRST_FD + i) < 0)
			r = -errno;
	return r; /* the raised copies are close-on-exec */
}

int fds_arrange(const int *extra, int count, int *const keep[], size_t keep_count,
		struct masu_error *err)
{
	int r = count < 0 || count > EXTRA_MAX ? -E2BIG : 0;
	if (extra)
		for (size_t i = 0; i < keep_count && r == 0; i++)
			r = move_up(keep[i], FIRST_FD + count);
	if (r == 0 && extra)
		r = place(extra, count);
	if (r == 0 && !fault_without("close-fds"))
		r = sys_close_range((unsigned)(FIRST_FD + count), ~0u, CLOSE_RANGE_CLOEXEC);
	return r < 0 ? error_errno(err, r, "cannot arrange the preserved file descriptors") : 0;
}
