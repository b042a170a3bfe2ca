#include "exec/native/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static const char *const ipc_keys[] = {
	"kernel.msgmax",      "kernel.msgmnb",	    "kernel.msgmni",	  "kernel.sem",
	"kernel.shmall",      "kernel.shmmax",	    "kernel.shmmni",	  "kernel.shm_rmid_forced",
	"kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id",
};

/*
 * sysctl(8)'s two spellings: a.b.c and a/b/c; whichever separator comes first is the separator and
 * the other one is part of a name (an interface "eth0.1"). The result has "/" between components.
 */
static int key_path(const char *key, char *dst, size_t size)
{
	size_t len = strlen(key), first = strcspn(key, "./");
	if (len == 0 || len >= size || key[first] == '\0')
		return -EINVAL;
	bool dots = key[first] == '.';
	for (size_t i = 0; i <= len; i++) {
		char c = key[i];
		if (dots)
			c = c == '.' ? '/' : c == '/' ? '.' : c;
		dst[i] = c;
	}
	return dst[0] == '/' || strstr(dst, "//") || strstr(dst, "..") ? -EINVAL : 0;
}

static bool is_ipc_key(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(ipc_keys); i++) {
		const char *rest = str_after(path, "kernel/");
		if (rest && streq(rest, ipc_keys[i] + strlen("kernel.")))
			return true;
	}
	return str_after(path, "fs/mqueue/") != NULL;
}

static int check_one(const struct oci_spec *spec, const char *key, const struct namespaces *ns,
		     struct masu_error *err)
{
	char path[PATH_MAX];
	if (key_path(key, path, sizeof(path)) < 0)
		return error_set(err, -EINVAL, "linux.sysctl: \"%s\" is no sysctl name", key);
	const char *needs = NULL;
	bool own = false;
	if (is_ipc_key(path)) {
		needs = "ipc";
		own = ns->own[OCI_NS_IPC];
	} else if (str_after(path, "net/")) {
		needs = "network";
		own = ns->own[OCI_NS_NETWORK];
	} else if (streq(path, "kernel/domainname") || streq(path, "kernel/hostname")) {
		needs = "uts";
		own = ns->own[OCI_NS_UTS];
		if (streq(path, "kernel/hostname") && spec->hostname)
			return error_set(err, -EINVAL,
					 "linux.sysctl: \"%s\" contradicts hostname; set one", key);
	}
	if (!needs && fault_without("sysctl-check"))
		return 0;
	if (!needs)
		return error_set(err, -EPERM,
				 "linux.sysctl: \"%s\" is not namespaced: it would change the host",
				 key);
	if (!own)
		return error_set(err, -EPERM,
				 "linux.sysctl: \"%s\" needs a %s namespace of the container's own",
				 key, needs);
	return 0;
}

int sysctl_check(const struct oci_spec *spec, const struct namespaces *ns, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < spec->sysctl_count; i++)
		r = check_one(spec, spec->sysctl[i].key, ns, err);
	return r;
}

static int set_one(int sys_fd, const struct oci_pair *sysctl, const char *path,
		   struct masu_error *err)
{
	_cleanup_close_ int fd = sys_openat2(
		sys_fd, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	int r = fd < 0 ? fd : fs_write_all(fd, sysctl->value, strlen(sysctl->value));
	return r < 0 ? error_errno(err, r, "linux.sysctl: cannot set \"%s\" to \"%s\"", sysctl->key,
				   sysctl->value)
		     : 0;
}

static int apply(const struct oci_spec *spec, int proc_fd, bool net, bool others,
		 struct masu_error *err)
{
	if (spec->sysctl_count == 0)
		return 0;
	_cleanup_close_ int sys = openat(proc_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = sys < 0 ? error_errno(err, -errno, "cannot open /proc/sys") : 0;
	for (size_t i = 0; r == 0 && i < spec->sysctl_count; i++) {
		char path[PATH_MAX];
		const struct oci_pair *sysctl = &spec->sysctl[i];
		r = key_path(sysctl->key, path, sizeof(path));
		if (r < 0)
			return error_set(err, r, "linux.sysctl: \"%s\"", sysctl->key);
		if (str_after(path, "net/") ? net : others)
			r = set_one(sys, sysctl, path, err);
	}
	return r;
}

int sysctl_apply(const struct oci_spec *spec, int proc_fd, bool net_done, struct masu_error *err)
{
	return apply(spec, proc_fd, !net_done, true, err);
}

int sysctl_apply_net(const struct oci_spec *spec, int proc_fd, int netns_fd, struct masu_error *err)
{
	_cleanup_close_ int home = openat(proc_fd, "self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return error_errno(err, -errno, "cannot enter the network namespace");
	int r = apply(spec, proc_fd, true, false, err);
	if (setns(home, CLONE_NEWNET) < 0)
		return error_errno(err, -errno, "cannot leave the network namespace");
	return r;
}
