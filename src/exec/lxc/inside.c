/*
 * In the container: what liblxc has started, in the namespaces and the root that it has made, takes
 * its parcel and becomes what is in there, by the native driver's own means. So users,
 * capabilities, limits, the system call filter, terminals and errors are what they are elsewhere.
 *
 * The program runs from a read-only mount of its own and is not dumpable, as another process of the
 * container may look at it (CVE-2019-5736, CVE-2016-9962).
 */
#include "exec/lxc/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/lxc/lxc.h"
#include "exec/native/console.h"
#include "exec/native/process.h"
#include "exec/native/signals.h"
#include "exec/native/sync.h"
#include "exec/native/sysctl.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* By number it could not be told: it has another one outside. */
static int send_self(int link, struct masu_error *err)
{
	_cleanup_close_ int self = sys_pidfd_open(getpid(), 0);
	int r = self < 0 ? -errno : sync_send(link, SYNC_PID, 0, self);
	return r < 0 ? error_errno(err, r, "cannot tell who the process is") : 0;
}

static int make_console(int link, const struct oci_process *process, int *ret_slave,
			struct masu_error *err)
{
	_cleanup_close_ int master = -1, slave = -1;
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, -errno, "cannot open the container's root");
	int r = console_open(root, process, &master, &slave, err);
	if (r == 0)
		r = sync_send(link, SYNC_CONSOLE, 0, master);
	if (r == 0)
		*ret_slave = take_fd(&slave);
	return r;
}

/* What belongs to the container rather than to a process, and liblxc has no word for. */
static int finish_container(const struct oci_spec *spec, int proc_fd, struct masu_error *err)
{
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return error_errno(err, -errno, "domainname: \"%s\"", spec->domainname);
	/* Through the host's procfs, as /proc/sys is read-only here. */
	int r = sysctl_apply(spec, proc_fd, false, err);
	if (r < 0)
		return r;
	/* A missing working directory is made; what cannot be is reported when it is entered. */
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int cwd = root < 0 ? -1 : fs_mkdirs_in(root, spec->process.cwd, 0755);
	return 0;
}

static int become(int *link, const struct parcel *parcel, int proc_fd, struct masu_error *err)
{
	static struct process_plan plan;
	_cleanup_close_ int slave = -1;
	plan = (struct process_plan) {
		.process = parcel->process ? parcel->process : &parcel->spec->process,
		.seccomp = parcel->filter,
		.spec = parcel->spec,
		.id = parcel->id,
		.bundle = "/",
		.first = !parcel->process,
		.new_keyring = true,
		.proc_fd = proc_fd,
		.stdio = { parcel->stdio[0], parcel->stdio[1], parcel->stdio[2] },
	};
	int *const keep[] = { link };
	int r = plan.first ? finish_container(plan.spec, proc_fd, err) : 0;
	if (r == 0)
		r = process_check(&plan, err);
	/* A terminal needs a leader of a session; the first process is one already. */
	if (r == 0 && getsid(0) != getpid() && setsid() < 0)
		r = error_errno(err, -errno, "cannot create a session");
	if (r == 0 && plan.process->terminal)
		r = make_console(*link, plan.process, &slave, err);
	if (r == 0)
		r = process_streams(&plan, slave, err);
	cleanup_close(&slave);
	if (r == 0)
		r = process_prepare(&plan, keep, ARRAY_SIZE(keep), err);
	if (r == 0)
		r = sync_send(*link, SYNC_READY, 0, -1);
	if (r == 0)
		r = sync_expect(*link, SYNC_START, NULL, err);
	return r < 0 ? r : process_execute(&plan, *link, err);
}

int lxc_inside(const char *door_text, struct masu_error *err)
{
	static struct arena arena;
	struct parcel parcel;
	int64_t door;
	int link = -1, proc_fd = -1;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_errno(err, -errno, "PR_SET_DUMPABLE");
	signals_reset();
	arena_init(&arena, 0);
	if (str_to_i64(door_text, &door) < 0 || door < 3 || door > INT32_MAX)
		return error_set(err, -EINVAL, "not a socket: %.32s", door_text);
	int r = parcel_receive((int)door, &arena, &link, &parcel, &proc_fd, err);
	if (r == 0)
		r = send_self(link, err);
	if (r == 0)
		r = become(&link, &parcel, proc_fd, err);
	if (link >= 0 && err)
		sync_send_error(link, err);
	return r;
}
