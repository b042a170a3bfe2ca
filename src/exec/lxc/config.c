/* liblxc's configuration of a container (lxc.container.conf(5)). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/lxc/lxc.h"
#include "exec/more/program.h"
#include "exec/native/namespaces.h"
#include "exec/native/sysctl.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

int lxc_dir_open(const char *state_dir, struct lxc_dir *ret, struct masu_error *err)
{
	static const char *const dirs[] = { LXC_PATH, LXC_ROOTFS };
	*ret = (struct lxc_dir) { .fd = -1 };
	arena_init(&ret->arena, 0);
	ret->fd = driver_directory(state_dir, "lxc", &ret->arena, &ret->path, err);
	if (ret->fd < 0)
		return ret->fd;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(ret->fd, dirs[i], 0700) < 0 && errno != EEXIST)
			return error_errno(err, -errno, "%s/%s", ret->path, dirs[i]);
	return 0;
}

void lxc_dir_close(struct lxc_dir *dir)
{
	cleanup_close(&dir->fd);
	arena_free(&dir->arena);
}

int lxc_config_check(const struct exec_request *request, struct masu_error *err)
{
	const struct oci_spec *spec = request->spec;
	const char *option = NULL;
	for (int kind = 0; kind < OCI_HOOK_COUNT; kind++)
		if (spec->hooks[kind].count)
			option = "hooks";
	if (spec->device_count)
		option = "--device";
	if (spec->namespaces[OCI_NS_USER].present)
		option = "--userns";
	if (spec->seccomp.listener_path)
		option = "seccomp with a listener";
	if (spec->net_device_count || spec->has_intel_rdt || spec->namespaces[OCI_NS_TIME].present)
		option = "network devices, cache partitions and time namespaces";
	for (size_t i = 0; i < spec->mount_count; i++)
		if (spec->mounts[i].copy_up)
			option = "volumes of memory";
	if (request->traps)
		option = "direct ports";
	if (option)
		return error_set(err, -ENOTSUP, "the lxc driver does not have: %s", option);
	/* What would change the host. */
	struct namespaces ns;
	int r = namespaces_open(spec, request->network_ns_fd, &ns, err);
	if (r < 0)
		return r;
	r = sysctl_check(spec, &ns, err);
	namespaces_close(&ns);
	return r;
}

/* As fstab(5) has it, so that a word stays one whatever is in it. */
static void put_word(struct buf *out, const char *word)
{
	for (; *word; word++) {
		unsigned char c = (unsigned char)*word;
		if (c <= ' ' || c == '\\' || c == '#' || c == '"' || c == '\'' || c == 0x7f)
			buf_printf(out, "\\%03o", c);
		else
			buf_append(out, word, 1);
	}
}

static const char *inside(const char *path)
{
	return path + strspn(path, "/");
}

static void put_flags(struct buf *out, const struct oci_mount *mount)
{
	static const struct {
		uint64_t attr;
		const char *word;
	} words[] = {
		{ MOUNT_ATTR_RDONLY, "ro," },
		{ MOUNT_ATTR_NOSUID, "nosuid," },
		{ MOUNT_ATTR_NODEV, "nodev," },
		{ MOUNT_ATTR_NOEXEC, "noexec," },
		{ MOUNT_ATTR_NODIRATIME, "nodiratime," },
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (mount->attr_set & words[i].attr ||
		    (words[i].attr == MOUNT_ATTR_RDONLY && mount->sb_flags & MS_RDONLY))
			buf_puts(out, words[i].word);
	if (mount->data && *mount->data) {
		put_word(out, mount->data);
		buf_puts(out, ",");
	}
}

/* A file system that liblxc mounts itself; what it makes on its own (/dev, /dev/pts) is left out.
 */
static void put_mount(struct buf *out, const struct oci_mount *mount)
{
	buf_printf(out, "lxc.mount.entry = %s ", mount->type);
	put_word(out, inside(mount->destination));
	buf_printf(out, " %s ", mount->type);
	put_flags(out, mount);
	buf_puts(out, "create=dir 0 0\n");
}

static void put_bind(struct buf *out, const struct lxc_dir *dir, const struct oci_mount *mount,
		     size_t index, bool file)
{
	buf_puts(out, "lxc.mount.entry = ");
	put_word(out, dir->path);
	buf_printf(out, "/" LXC_SOURCES "/%zu ", index);
	put_word(out, inside(mount->destination));
	buf_printf(out, " none rbind,create=%s 0 0\n", file ? "file" : "dir");
}

static bool is_file(const struct oci_mount *mount)
{
	struct stat st;
	/* The administrator's path or the engine's; lint: ok */
	int r = mount->source_fd ? fstat(mount->source_fd, &st) : stat(mount->source, &st);
	return r == 0 && !S_ISDIR(st.st_mode);
}

static void put_mounts(struct buf *out, const struct lxc_dir *dir,
		       const struct exec_request *request)
{
	const struct oci_spec *spec = request->spec;
	for (size_t i = 0; i < spec->mount_count; i++) {
		const struct oci_mount *mount = &spec->mounts[i];
		if (mount->bind)
			put_bind(out, dir, mount, i, is_file(mount));
		else if (mount->type && streq(mount->type, "cgroup") && request->cgroup)
			put_bind(out, dir, mount, i, false);
		else if (mount->type && !streq(mount->destination, "/dev") &&
			 !streq(mount->destination, "/dev/pts"))
			put_mount(out, mount);
	}
}

/*
 * What is of the kernel's file systems is the same in every instance of them, so the host's says
 * what there is and what kind it is, and is what is bound.
 */
static void put_covers(struct buf *out, const struct oci_spec *spec)
{
	struct stat st;
	for (char **path = spec->readonly_paths; path && *path; path++)
		if (stat(*path, &st) == 0) { /* lint: ok, below /proc */
			buf_puts(out, "lxc.mount.entry = ");
			put_word(out, *path);
			buf_puts(out, " ");
			put_word(out, inside(*path));
			buf_puts(out, " none bind,ro,optional 0 0\n");
		}
	for (char **path = spec->masked_paths; path && *path; path++) {
		if (stat(*path, &st) < 0) /* lint: ok, below /proc */
			continue;
		bool dir = S_ISDIR(st.st_mode);
		buf_printf(out, "lxc.mount.entry = %s ", dir ? "tmpfs" : "/dev/null");
		put_word(out, inside(*path));
		buf_printf(out, " %s optional 0 0\n", dir ? "tmpfs ro,size=0," : "none bind,");
	}
}

/* Those that are not the container's own: another's by path, or the host's. */
static int put_namespaces(struct buf *out, const struct exec_request *request,
			  struct masu_error *err)
{
	static const struct {
		enum oci_namespace ns;
		const char *name;
	} names[] = { { OCI_NS_NETWORK, "net" },
		      { OCI_NS_PID, "pid" },
		      { OCI_NS_IPC, "ipc" },
		      { OCI_NS_UTS, "uts" },
		      { OCI_NS_CGROUP, "cgroup" } };
	_cleanup_buf_ struct buf keep;
	buf_init(&keep, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct oci_ns *ns = &request->spec->namespaces[names[i].ns];
		if (names[i].ns == OCI_NS_NETWORK && request->network_ns_fd >= 0)
			buf_printf(out, "lxc.namespace.share.net = /proc/%d/fd/%d\n", getpid(),
				   request->network_ns_fd);
		else if (ns->path)
			buf_printf(out, "lxc.namespace.share.%s = %s\n", names[i].name, ns->path);
		else if (!ns->present)
			buf_printf(&keep, " %s", names[i].name);
		if (ns->path && strpbrk(ns->path, "\n"))
			return error_set(err, -EINVAL, "a namespace's path has a line break");
	}
	/* What is not kept is made: then these, too. */
	if (keep.len)
		buf_printf(out, "lxc.namespace.keep =%s user time\n", buf_str(&keep));
	return buf_error(&keep) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static int check_line(const char *what, const char *text, struct masu_error *err)
{
	return strpbrk(text, "\n\r")
		       ? error_set(err, -EINVAL, "the lxc driver: %s has a line break", what)
		       : 0;
}

static int put_settings(struct buf *out, const struct oci_spec *spec, struct masu_error *err)
{
	int r = spec->hostname ? check_line("--hostname", spec->hostname, err) : 0;
	if (r == 0 && spec->hostname && spec->namespaces[OCI_NS_UTS].present)
		buf_printf(out, "lxc.uts.name = %s\n", spec->hostname);
	return r;
}

int lxc_config_write(struct lxc_dir *dir, const struct exec_request *request, const char *root,
		     struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	int r = check_line("the run directory's path", root, err);
	if (r < 0)
		return r;
	buf_printf(&out,
		   "lxc.rootfs.path = dir:%s\nlxc.rootfs.mount = %s/" LXC_ROOTFS
		   "\nlxc.rootfs.options = %s\n"
		   "lxc.autodev = 1\nlxc.autodev.tmpfs.size = 67108864\nlxc.pty.max = 1024\n"
		   "lxc.tty.max = 0\nlxc.console.path = none\nlxc.apparmor.profile = unconfined\n"
		   "lxc.log.file = %s/" LXC_LOG "\nlxc.log.level = INFO\n",
		   root, dir->path, request->spec->root_readonly ? "ro" : "rw", dir->path);
	r = put_namespaces(&out, request, err);
	if (r == 0)
		r = put_settings(&out, request->spec, err);
	if (r < 0)
		return r;
	put_mounts(&out, dir, request);
	put_covers(&out, request->spec);
	r = buf_error(&out);
	if (r == 0)
		r = fs_rewrite(dir->fd, LXC_CONFIG, buf_str(&out), out.len, 0600);
	return r < 0 ? error_errno(err, r, "%s/" LXC_CONFIG, dir->path) : 0;
}
