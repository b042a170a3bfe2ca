#include "exec/native/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static bool wanted(const char *label)
{
	return label && *label;
}

static bool apparmor_enabled(void)
{
	char value[8];
	return fs_read_small(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", value,
			     sizeof(value)) == 0 &&
	       value[0] == 'Y';
}

static bool selinux_enabled(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

int lsm_check(const struct oci_process *process, struct masu_error *err)
{
	if (wanted(process->apparmor_profile) && !apparmor_enabled())
		return error_set(err, -ENOTSUP,
				 "process.apparmorProfile: \"%s\": AppArmor is not enabled on this "
				 "host",
				 process->apparmor_profile);
	if (wanted(process->selinux_label) && !selinux_enabled())
		return error_set(
			err, -ENOTSUP,
			"process.selinuxLabel: \"%s\": SELinux is not enabled on this host",
			process->selinux_label);
	return 0;
}

/* Writes to an attribute of this very process; no link or mount may stand in between. */
static int write_attribute(int proc_fd, const char *path, const char *value)
{
	_cleanup_close_ int thread =
		openat(proc_fd, "thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (thread < 0)
		return -errno;
	_cleanup_close_ int fd = sys_openat2(
		thread, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	return fd < 0 ? fd : fs_write_all(fd, value, strlen(value));
}

int lsm_apply(const struct oci_process *process, int proc_fd, struct masu_error *err)
{
	if (wanted(process->apparmor_profile)) {
		_cleanup_buf_ struct buf text;
		buf_init(&text, 4096);
		buf_printf(&text, "exec %s", process->apparmor_profile);
		int r = buf_error(&text);
		if (r == 0)
			r = write_attribute(proc_fd, "attr/apparmor/exec", buf_str(&text));
		if (r == -ENOENT)
			r = write_attribute(proc_fd, "attr/exec", buf_str(&text));
		if (r < 0)
			return error_errno(err, r, "process.apparmorProfile: \"%s\"",
					   process->apparmor_profile);
	}
	if (wanted(process->selinux_label)) {
		int r = write_attribute(proc_fd, "attr/exec", process->selinux_label);
		if (r < 0)
			return error_errno(err, r, "process.selinuxLabel: \"%s\"",
					   process->selinux_label);
	}
	return 0;
}
