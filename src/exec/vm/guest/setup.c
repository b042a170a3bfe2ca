/* What is made of the machine before the container's process, on the words of the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

/* "/modules/order" has their names, one a line; what cannot be loaded is missed by whoever needs
 * it, who says so. */
static void load_modules(void)
{
	char line[128];
	FILE *order = fopen("/modules/order", "re");
	while (order && fgets(line, sizeof(line), order)) {
		char path[160];
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", line);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		syscall(SYS_finit_module, fd, "", 0);
		close(fd);
	}
	if (order)
		fclose(order);
}

void setup_early(void)
{
	umask(0);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir(NEW_ROOT, 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
	load_modules();
	net_loopback();
}

/* ---- the container's root ---- */

static const struct {
	const char *type, *where, *options;
	unsigned long flags;
} kernel_mounts[] = {
	{ "sysfs", NEW_ROOT "/sys", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
	{ "tmpfs", NEW_ROOT "/dev", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME },
	{ "devpts", NEW_ROOT "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5",
	  MS_NOSUID | MS_NOEXEC },
	{ "mqueue", NEW_ROOT "/dev/mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
	{ "cgroup2", NEW_ROOT "/sys/fs/cgroup", NULL,
	  MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
};

static const struct {
	const char *name;
	unsigned major, minor;
} nodes[] = {
	{ "null", 1, 3 },   { "zero", 1, 5 },	 { "full", 1, 7 },
	{ "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },
};

static int make_dev(void)
{
	char path[64];
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		snprintf(path, sizeof(path), NEW_ROOT "/dev/%s", nodes[i].name);
		if (mknod(path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			return -errno;
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), NEW_ROOT "/dev/%s", links[i].name);
		if (symlink(links[i].target, path) < 0)
			return -errno;
	}
	return mkdir(NEW_ROOT "/dev/shm", 01777) < 0 ? -errno : 0;
}

int setup_root(const char **ret_what)
{
	*ret_what = "the container's root";
	if (mount("root", NEW_ROOT, "virtiofs", 0, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(kernel_mounts) / sizeof(kernel_mounts[0]); i++) {
		*ret_what = kernel_mounts[i].where + strlen(NEW_ROOT);
		mkdir(kernel_mounts[i].where, 0755);
		if (mount(kernel_mounts[i].type, kernel_mounts[i].where, kernel_mounts[i].type,
			  kernel_mounts[i].flags, kernel_mounts[i].options) < 0)
			return -errno;
		if (i == 1 && make_dev() < 0)
			return -errno;
	}
	return 0;
}

static int mount_tmpfs(char *text)
{
	char path[4096];
	char *where = strchr(text, ' ');
	if (!where)
		return -EINVAL;
	*where++ = '\0';
	snprintf(path, sizeof(path), NEW_ROOT "%s", where);
	unsigned long flags = MS_NOSUID | MS_NODEV;
	char *options = text;
	/* Its first letter says whether programs may be run from it. */
	if (*options++ == '-')
		flags |= MS_NOEXEC;
	return mount("tmpfs", path, "tmpfs", flags, *options ? options : NULL) < 0 ? -errno : 0;
}

static int set_sysctl(char *text)
{
	char path[512] = "/proc/sys/";
	char *value = strchr(text, '=');
	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (char *p = text; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	strncat(path, text, sizeof(path) - strlen(path) - 1);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int setup_record(char letter, char *text)
{
	switch (letter) {
	case VM_HOSTNAME:
		return sethostname(text, strlen(text)) < 0 ? -errno : 0;
	case VM_DOMAINNAME:
		return setdomainname(text, strlen(text)) < 0 ? -errno : 0;
	case VM_TMPFS:
		return mount_tmpfs(text);
	case VM_ADDRESS:
		return net_address(text);
	case VM_GATEWAY:
		return net_gateway(text);
	case VM_MTU:
		return net_mtu(text);
	case VM_SYSCTL:
		return set_sysctl(text);
	default:
		return -EPROTO;
	}
}
