/* The kernel and what it needs to be a container's: modules, in the order they are loaded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "exec/vm/vm.h"
#include "sys/fs.h"

#define REMEDY                                                                                     \
	"install linux-image-cloud-amd64 (its files are enough), or give one with --kernel FILE"
#define FILE_MAX (8 << 20)

static const struct {
	const char *name, *dir;
} modules[] = {
	{ "virtio_ring", "drivers/virtio" },
	{ "virtio", "drivers/virtio" },
	{ "virtio_pci_legacy_dev", "drivers/virtio" },
	{ "virtio_pci_modern_dev", "drivers/virtio" },
	{ "virtio_pci", "drivers/virtio" },
	{ "virtio_mmio", "drivers/virtio" },
	{ "virtio_console", "drivers/char" },
	{ "fuse", "fs/fuse" },
	{ "virtiofs", "fs/fuse" },
	{ "failover", "net/core" },
	{ "net_failover", "drivers/net" },
	{ "virtio_net", "drivers/net" },
};

/* "6.1.0-56-cloud-amd64 (…) #1": at the place that the boot protocol's header says
 * (Documentation/arch/x86/boot.rst, kernel_version). */
static int read_version(const char *image, char *ret, size_t size, struct masu_error *err)
{
	unsigned char header[0x210];
	char text[128] = "";
	_cleanup_close_ int fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "kernel %s", image);
	if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    memcmp(header + 0x202, "HdrS", 4) != 0)
		return error_set(err, -ENOEXEC, "kernel %s: not a bzImage of x86", image);
	off_t at = (header[0x20e] | header[0x20f] << 8) + 0x200;
	if (pread(fd, text, sizeof(text) - 1, at) <= 0)
		return error_set(err, -ENOEXEC, "kernel %s: it does not tell its version", image);
	text[strcspn(text, " ")] = '\0';
	return str_format(ret, size, "%s", text);
}

static bool has_modules(const char *dir)
{
	char path[VM_PATH_MAX];
	return str_format(path, sizeof(path), "%s/virtiofs.ko", dir) == 0 &&
	       access(path, R_OK) == 0;
}

/* Beside it in "modules", or where the version says. */
static int find_modules(struct vm_kernel *kernel, struct masu_error *err)
{
	char version[128], flat[VM_PATH_MAX], probe[VM_PATH_MAX];
	int r = read_version(kernel->image, version, sizeof(version), err);
	if (r < 0)
		return r;
	const char *slash = strrchr(kernel->image, '/');
	int len = slash ? (int)(slash - kernel->image) : 0;
	r = str_format(flat, sizeof(flat), "%.*s/modules", len, kernel->image);
	if (r == 0 && has_modules(flat))
		return str_format(kernel->modules, sizeof(kernel->modules), "%s", flat);
	str_format(kernel->modules, sizeof(kernel->modules), "/lib/modules/%s/kernel", version);
	str_format(probe, sizeof(probe), "%s/fs/fuse", kernel->modules);
	if (has_modules(probe))
		return 0;
	return error_set(err, -ENOENT, "kernel %s: no virtiofs.ko in %s or %s; " REMEDY,
			 kernel->image, probe, flat);
}

int kernel_find(const char *file, struct vm_kernel *ret, struct masu_error *err)
{
	*ret = (struct vm_kernel) { 0 };
	if (file) {
		int r = str_format(ret->image, sizeof(ret->image), "%s", file);
		return r < 0 ? error_errno(err, r, "--kernel") : find_modules(ret, err);
	}
	_cleanup_closedir_ DIR *dir = opendir("/boot");
	struct dirent *entry;
	struct vm_kernel candidate = { 0 };
	while (dir && (entry = readdir(dir)))
		if (str_after(entry->d_name, "vmlinuz-") && strstr(entry->d_name, "cloud") &&
		    str_format(candidate.image, sizeof(candidate.image), "/boot/%s",
			       entry->d_name) == 0 &&
		    strverscmp(candidate.image, ret->image) > 0 &&
		    find_modules(&candidate, NULL) == 0)
			*ret = candidate;
	return ret->image[0]
		       ? 0
		       : error_set(err, -ENOENT, "the vm driver finds no kernel in /boot; " REMEDY);
}

/* ---- the initramfs: cpio(5), "newc" ---- */

static void pad(struct buf *out)
{
	while (out->len % 4)
		buf_putc(out, '\0');
}

static void put_file(struct buf *out, const char *name, unsigned mode, const char *data, size_t len)
{
	static unsigned inode;
	char header[111];
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ++inode, mode, 0, 0,
		 1, 0, (unsigned)len, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	buf_append(out, header, 110);
	buf_append(out, name, strlen(name) + 1);
	pad(out);
	buf_append(out, data, len);
	pad(out);
}

static int put_from(struct buf *out, const char *name, unsigned mode, const char *path)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, FILE_MAX);
	int r = fs_read_at(AT_FDCWD, path, FILE_MAX, &text);
	if (r == 0)
		put_file(out, name, mode, buf_str(&text), text.len);
	return r;
}

int initramfs_write(int fd, const struct vm_kernel *kernel, const char *init,
		    struct masu_error *err)
{
	_cleanup_buf_ struct buf out, order;
	char path[VM_PATH_MAX], name[64];
	buf_init(&out, 4 * FILE_MAX);
	buf_init(&order, 4096);
	/* What the kernel opens for /init before there is a /dev. */
	put_file(&out, "modules", S_IFDIR | 0755, "", 0);
	int r = put_from(&out, "init", S_IFREG | 0755, init);
	if (r < 0)
		return error_errno(err, r, "%s; is masu installed completely?", init);
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		snprintf(name, sizeof(name), "modules/%s.ko", modules[i].name);
		str_format(path, sizeof(path), "%s/%s.ko", kernel->modules, modules[i].name);
		if (access(path, R_OK) < 0)
			str_format(path, sizeof(path), "%s/%s/%s.ko", kernel->modules,
				   modules[i].dir, modules[i].name);
		/* One that is not there is built in, or something else than what is needed. */
		if (put_from(&out, name, S_IFREG | 0644, path) < 0)
			continue;
		buf_puts(&order, modules[i].name);
		buf_puts(&order, ".ko\n");
	}
	put_file(&out, "modules/order", S_IFREG | 0644, buf_str(&order), order.len);
	put_file(&out, "TRAILER!!!", 0, "", 0);
	r = buf_error(&out);
	if (r == 0)
		r = fs_write_all(fd, buf_str(&out), out.len);
	return r < 0 ? error_errno(err, r, "cannot write the machine's initramfs") : 0;
}
