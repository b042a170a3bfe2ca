#include "cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"

int output_write(struct arena *arena, const char *path, output_writer write, void *data,
		 struct masu_error *err)
{
	if (!path && isatty(STDOUT_FILENO))
		return error_set(err, -EINVAL,
				 "cowardly refusing to save to a terminal. Use the -o flag or "
				 "redirect");
	if (!path)
		return write(data, STDOUT_FILENO, err);
	const char *temporary = arena_printf(arena, "%s.masu-%d", path, (int)getpid());
	if (!temporary)
		return error_set(err, -ENOMEM, "out of memory");
	_cleanup_close_ int fd =
		open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, -errno, "%s", path);
	int r = write(data, fd, err);
	if (r == 0 && rename(temporary, path) < 0)
		r = error_errno(err, -errno, "%s", path);
	if (r < 0)
		unlink(temporary);
	return r;
}
