#include "exec/native/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/syscalls.h"

static int open_path(enum oci_namespace kind, const char *path, int *ret, struct masu_error *err)
{
	/* lint: ok, the administrator's path */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_errno(err, -errno, "linux.namespaces: %s namespace %s",
				   oci_namespace_name(kind), path);
	long type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0 || (unsigned long)type != oci_namespace_clone_flag(kind))
		return error_set(err, -EINVAL, "linux.namespaces: %s is not a %s namespace", path,
				 oci_namespace_name(kind));
	*ret = take_fd(&fd);
	return 0;
}

/* True where @fd is the namespace the caller itself is in. */
static bool is_callers(enum oci_namespace kind, int fd)
{
	static const char *const names[OCI_NS_COUNT] = {
		[OCI_NS_PID] = "pid",	    [OCI_NS_NETWORK] = "net", [OCI_NS_MOUNT] = "mnt",
		[OCI_NS_IPC] = "ipc",	    [OCI_NS_UTS] = "uts",     [OCI_NS_USER] = "user",
		[OCI_NS_CGROUP] = "cgroup", [OCI_NS_TIME] = "time",
	};
	char path[64];
	struct stat own, other;
	str_format(path, sizeof(path), "/proc/self/ns/%s", names[kind]);
	/* lint: ok, procfs */
	return stat(path, &own) == 0 && fstat(fd, &other) == 0 && own.st_ino == other.st_ino &&
	       own.st_dev == other.st_dev;
}

static bool has_offsets(const struct oci_spec *spec)
{
	return spec->monotonic.set || spec->boottime.set;
}

static int check_dependent_members(const struct oci_spec *spec, struct masu_error *err)
{
	if ((spec->hostname || spec->domainname) && !spec->namespaces[OCI_NS_UTS].present)
		return error_set(err, -EINVAL,
				 "%s: cannot be set without a uts namespace of the container's own",
				 spec->hostname ? "hostname" : "domainname");
	if (has_offsets(spec) &&
	    (!spec->namespaces[OCI_NS_TIME].present || spec->namespaces[OCI_NS_TIME].path))
		return error_set(err, -EINVAL,
				 "linux.timeOffsets: cannot be set without a new time namespace");
	if ((spec->id_map.uid_count || spec->id_map.gid_count) &&
	    !spec->namespaces[OCI_NS_USER].present)
		return error_set(err, -EINVAL,
				 "linux.uidMappings: need a user namespace in linux.namespaces");
	return 0;
}

static int take_network_fd(struct namespaces *ns, int fd, struct masu_error *err)
{
	ns->fds[OCI_NS_NETWORK] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (ns->fds[OCI_NS_NETWORK] < 0)
		return error_errno(err, -errno, "network namespace");
	ns->joins = true;
	ns->own[OCI_NS_NETWORK] = true;
	return 0;
}

static int open_one(struct namespaces *ns, const struct oci_spec *spec, enum oci_namespace kind,
		    struct masu_error *err)
{
	const struct oci_ns *wanted = &spec->namespaces[kind];
	if (!wanted->present)
		return 0;
	if (wanted->path) {
		int r = open_path(kind, wanted->path, &ns->fds[kind], err);
		ns->joins |= r == 0 && kind != OCI_NS_PID && kind != OCI_NS_USER;
		ns->own[kind] = r == 0 && !is_callers(kind, ns->fds[kind]);
		return r;
	}
	ns->own[kind] = true;
	if (kind == OCI_NS_CGROUP)
		ns->new_cgroup = true;
	else if (kind == OCI_NS_TIME && has_offsets(spec))
		ns->new_time_offsets = true;
	else
		ns->clone_flags |= oci_namespace_clone_flag(kind);
	if (kind == OCI_NS_NETWORK)
		ns->new_network = true;
	return 0;
}

int namespaces_open(const struct oci_spec *spec, int network_ns_fd, struct namespaces *ret,
		    struct masu_error *err)
{
	*ret = (struct namespaces) { 0 };
	for (int i = 0; i < OCI_NS_COUNT; i++)
		ret->fds[i] = -1;
	int r = check_dependent_members(spec, err);
	for (int i = 0; r == 0 && i < OCI_NS_COUNT; i++) {
		if (i == OCI_NS_NETWORK && network_ns_fd >= 0)
			r = take_network_fd(ret, network_ns_fd, err);
		else
			r = open_one(ret, spec, (enum oci_namespace)i, err);
	}
	ret->user = spec->namespaces[OCI_NS_USER].present;
	ret->new_user = ret->user && !spec->namespaces[OCI_NS_USER].path;
	ret->intermediate = ret->user && (!ret->new_user || ret->joins);
	if (r < 0)
		namespaces_close(ret);
	return r;
}

void namespaces_close(struct namespaces *ns)
{
	for (int i = 0; i < OCI_NS_COUNT; i++)
		cleanup_close(&ns->fds[i]);
}

int namespaces_join(const struct namespaces *ns, struct masu_error *err)
{
	/* The mount namespace comes last: it takes the host's paths away. */
	static const enum oci_namespace order[] = { OCI_NS_IPC,	   OCI_NS_UTS,	OCI_NS_NETWORK,
						    OCI_NS_CGROUP, OCI_NS_TIME, OCI_NS_MOUNT };
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int fd = ns->fds[order[i]];
		if (fd >= 0 && setns(fd, (int)oci_namespace_clone_flag(order[i])) < 0)
			return error_errno(err, -errno, "cannot join the %s namespace",
					   oci_namespace_name(order[i]));
	}
	return 0;
}

int namespaces_enter_pid(int fd, int *ret_own, struct masu_error *err)
{
	_cleanup_close_ int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return error_errno(err, -errno, "cannot open the own pid namespace");
	if (setns(fd, CLONE_NEWPID) < 0)
		return error_errno(err, -errno, "cannot join the pid namespace");
	*ret_own = take_fd(&own);
	return 0;
}

void namespaces_leave_pid(int *own)
{
	if (*own >= 0)
		(void)setns(*own, CLONE_NEWPID);
	cleanup_close(own);
}

int namespaces_loopback_up(struct masu_error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_errno(err, -errno, "cannot bring the loopback interface up");
	return 0;
}

int namespaces_time_offsets(const struct oci_spec *spec, char *dst, size_t size)
{
	const struct oci_time_offset *m = &spec->monotonic, *b = &spec->boottime;
	/* An absent clock gets zero, which is what it has anyway. */
	return str_format(dst, size, "monotonic %" PRId64 " %u\nboottime %" PRId64 " %u\n",
			  m->set ? m->secs : 0, m->set ? m->nanosecs : 0, b->set ? b->secs : 0,
			  b->set ? b->nanosecs : 0);
}
