#include "exec/native/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/fs.h"
#include "sys/unix_socket.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int console_open(int rootfd, const struct oci_process *process, int *ret_master, int *ret_slave,
		 struct masu_error *err)
{
	_cleanup_close_ int master =
		fs_open_in(rootfd, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	if (master < 0)
		return error_errno(err, master,
				   "process.terminal: /dev/pts/ptmx in the container (is a devpts "
				   "mounted at /dev/pts?)");
	if (!fs_is_type(master, DEVPTS_SUPER_MAGIC))
		return error_set(err, -EINVAL,
				 "process.terminal: /dev/pts in the container is not a devpts");
	int unlocked = 0;
	if (fcntl(master, F_SETFL, O_RDWR) < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return error_errno(err, -errno, "process.terminal: cannot unlock the pty");
	_cleanup_close_ int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_errno(err, -errno, "process.terminal: cannot open the pty's peer");
	if (process->has_console_size) {
		struct winsize size = { .ws_row = (unsigned short)process->console_height,
					.ws_col = (unsigned short)process->console_width };
		if (ioctl(master, TIOCSWINSZ, &size) < 0)
			return error_errno(err, -errno, "process.consoleSize");
	}
	if (process->uid != 0 && fchown(slave, process->uid, (gid_t)-1) < 0)
		return error_errno(err, -errno, "process.terminal: cannot give the pty to user %u",
				   process->uid);
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}

int console_attach(int slave, struct masu_error *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return error_errno(err, -errno, "process.terminal: cannot take the pty");
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return error_errno(err, -errno, "process.terminal: standard streams");
	return 0;
}

int console_connect(const char *path, int *ret_fd, struct masu_error *err)
{
	int r = unix_connect(AT_FDCWD, path, SOCK_STREAM, ret_fd);
	return r < 0 ? error_errno(err, r, "console socket %s", path) : 0;
}

int console_hand_over(int socket_fd, int *master, int *ret_fd, struct masu_error *err)
{
	if (socket_fd < 0) {
		*ret_fd = take_fd(master);
		return 0;
	}
	int r = unix_send_fd(socket_fd, "/dev/ptmx", strlen("/dev/ptmx"), *master);
	return r < 0 ? error_errno(err, r, "cannot send the pty to the console socket") : 0;
}
