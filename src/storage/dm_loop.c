#include "storage/dm_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define TRIES 64 /* others take free numbers, too */

/* Number @number, which is a device of its own only once it is opened. */
static int open_loop(unsigned number)
{
	char path[32];
	struct stat st;
	str_format(path, sizeof(path), "/dev/loop%u", number);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC); /* lint: ok */
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISBLK(st.st_mode) ? take_fd(&fd) : -ENXIO;
}

int dm_loop_attach(int fd, int *ret_fd, dev_t *ret_dev)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC); /* lint: ok */
	const struct loop_config config = {
		.fd = (uint32_t)fd,
		/* Not twice in memory, where the filesystem below can do that. */
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
	};
	struct stat st;
	if (control < 0)
		return -errno;
	for (int tries = 0; tries < TRIES; tries++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return -errno;
		_cleanup_close_ int loop = open_loop((unsigned)number);
		if (loop < 0)
			return loop;
		if (ioctl(loop, LOOP_CONFIGURE, &config) < 0) {
			if (errno == EBUSY)
				continue;
			return -errno;
		}
		if (fstat(loop, &st) < 0)
			return -errno;
		*ret_dev = st.st_rdev;
		*ret_fd = take_fd(&loop);
		return 0;
	}
	return -EBUSY;
}

int dm_loop_resize(dev_t dev)
{
	_cleanup_close_ int loop = open_loop(minor(dev));
	if (loop < 0)
		return loop;
	return ioctl(loop, LOOP_SET_CAPACITY) < 0 ? -errno : 0;
}

int dm_block_size(int fd, uint64_t *ret)
{
	return ioctl(fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
}
