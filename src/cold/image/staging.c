#include "cold/image/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"
#include "cold/image/maxima.h"
#include "image/store.h"
#include "sys/fs.h"

#define STAGING	  IMAGES_DIR "/" IMAGES_PRIVATE "/staging"
#define COPY_SIZE (1u << 20)
/* Of two files at once: what stays in the processor's own memory. */
#define COMPARE_SIZE (128u << 10)
#define TWIN	     "twin" /* no name that staging_create() gives */

struct hasher {
	EVP_MD_CTX *context;
	bool failed;
};

int hasher_new(struct hasher **ret)
{
	struct hasher *hasher = calloc(1, sizeof(*hasher));
	if (!hasher)
		return -ENOMEM;
	hasher->context = EVP_MD_CTX_new();
	if (!hasher->context || EVP_DigestInit_ex(hasher->context, EVP_sha256(), NULL) != 1) {
		hasher_free(hasher);
		return -ENOMEM;
	}
	*ret = hasher;
	return 0;
}

void hasher_update(struct hasher *hasher, const void *data, size_t len)
{
	hasher->failed |= EVP_DigestUpdate(hasher->context, data, len) != 1;
}

int hasher_finish(struct hasher *hasher, char ret_digest[DIGEST_MAX])
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX + 1];
	unsigned len = sizeof(digest);
	bool ok = EVP_DigestFinal_ex(hasher->context, digest, &len) == 1 && !hasher->failed;
	hasher_free(hasher);
	if (!ok)
		return -EIO;
	sha256_to_hex(digest, hex);
	return str_format(ret_digest, DIGEST_MAX, "sha256:%s", hex);
}

void hasher_free(struct hasher *hasher)
{
	if (!hasher)
		return;
	EVP_MD_CTX_free(hasher->context);
	free(hasher);
}

static int sweep(int root_fd)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(root_fd, STAGING);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		_cleanup_close_ int lock =
			openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
			fs_remove_tree(dirfd(dir), entry->d_name);
	}
	return 0;
}

/* Made and locked; false where a sweeper was in between. */
static bool make_locked(int root_fd, const char *path, int *ret_fd)
{
	struct stat opened, named;
	_cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &opened) < 0 ||
	    fstatat(root_fd, path, &named, 0) < 0 || opened.st_ino != named.st_ino)
		return false;
	*ret_fd = take_fd(&fd);
	return true;
}

int staging_open(int root_fd, struct staging *ret, struct masu_error *err)
{
	char id[ID_LENGTH + 1], path[128];
	struct staging staging = { .root_fd = root_fd, .fd = -1 };
	sweep(root_fd);
	for (int tries = 0; tries < 16; tries++) {
		int r = id_random(id);
		if (r == 0)
			r = str_format(staging.name, sizeof(staging.name), "%.32s", id);
		if (r == 0)
			r = str_format(path, sizeof(path), STAGING "/%s", staging.name);
		if (r == 0)
			r = fs_mkdirs(root_fd, path, 0700);
		if (r < 0 && r != -ENOENT)
			return error_errno(err, r, "images: staging");
		if (r == 0 && make_locked(root_fd, path, &staging.fd)) {
			*ret = staging;
			return 0;
		}
	}
	return error_set(err, -EBUSY, "images: no staging directory could be made");
}

void staging_close(struct staging *staging)
{
	char path[128];
	if (staging->fd < 0)
		return;
	if (str_format(path, sizeof(path), STAGING "/%s", staging->name) == 0)
		fs_remove_tree(staging->root_fd, path);
	close(staging->fd);
	staging->fd = -1;
}

int staging_create(struct staging *staging, struct staged_blob *ret_blob, struct masu_error *err)
{
	str_format(ret_blob->name, sizeof(ret_blob->name), "%u", staging->next++);
	int fd = openat(staging->fd, ret_blob->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
	return fd < 0 ? error_errno(err, -errno, "images: staging") : fd;
}

static int copy(int from, int to, struct hasher *hasher, uint64_t *ret_size)
{
	_cleanup_free_ uint8_t *buffer = malloc(COPY_SIZE);
	uint64_t size = 0;
	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(from, buffer, COPY_SIZE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			*ret_size = size;
			return got < 0 ? -errno : 0;
		}
		size += (uint64_t)got;
		if (size > LIMIT_UNPACKED)
			return -EFBIG;
		hasher_update(hasher, buffer, (size_t)got);
		int r = fs_write_all(to, buffer, (size_t)got);
		if (r < 0)
			return r;
	}
}

int hasher_file(int fd, char ret_digest[DIGEST_MAX])
{
	struct hasher *hasher;
	_cleanup_free_ uint8_t *buffer = malloc(COPY_SIZE);
	if (!buffer || hasher_new(&hasher) < 0)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buffer, COPY_SIZE);
		if (got > 0)
			hasher_update(hasher, buffer, (size_t)got);
		else if (got == 0)
			return hasher_finish(hasher, ret_digest);
		else if (errno != EINTR)
			break;
	}
	int r = -errno;
	hasher_free(hasher);
	return r;
}

int staging_store(struct staging *staging, int fd, struct staged_blob *ret, struct masu_error *err)
{
	struct staged_blob blob;
	struct hasher *hasher;
	_cleanup_close_ int to = staging_create(staging, &blob, err);
	if (to < 0)
		return to;
	int r = hasher_new(&hasher);
	if (r < 0)
		return error_errno(err, r, "SHA-256");
	r = copy(fd, to, hasher, &blob.size);
	if (r < 0) {
		hasher_free(hasher);
		return error_errno(err, r, "copying the archive into the image store");
	}
	r = hasher_finish(hasher, blob.digest);
	if (r < 0)
		return error_errno(err, r, "SHA-256");
	*ret = blob;
	return 0;
}

int staging_store_bytes(struct staging *staging, const void *data, size_t len,
			struct staged_blob *ret, struct masu_error *err)
{
	struct staged_blob blob = { .size = len };
	char hex[SHA256_HEX + 1];
	_cleanup_close_ int to = staging_create(staging, &blob, err);
	if (to < 0)
		return to;
	int r = fs_write_all(to, data, len);
	if (r < 0)
		return error_errno(err, r, "images: staging");
	sha256_hex(data, len, hex);
	str_format(blob.digest, sizeof(blob.digest), "sha256:%s", hex);
	*ret = blob;
	return 0;
}

static bool same_bytes(int a, int b)
{
	_cleanup_free_ uint8_t *left = malloc(COMPARE_SIZE), *right = malloc(COMPARE_SIZE);
	if (!left || !right)
		return false;
	for (;;) {
		ssize_t len = fs_read_full(a, left, COMPARE_SIZE);
		if (len < 0 || fs_read_full(b, right, COMPARE_SIZE) != len ||
		    memcmp(left, right, (size_t)len) != 0)
			return false;
		if (len == 0)
			return true;
	}
}

void staging_reuse(struct staging *staging, const struct staged_blob *blob)
{
	char path[128];
	struct stat stored, staged;
	if (str_format(path, sizeof(path), IMAGES_DIR "/" IMAGES_BLOBS "/%s",
		       blob->digest + strlen("sha256:")) < 0)
		return;
	_cleanup_close_ int there =
		openat(staging->root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int here = there < 0 ? -1 : staging_read(staging, blob);
	if (here < 0 || fstat(there, &stored) < 0 || fstat(here, &staged) < 0 ||
	    !S_ISREG(stored.st_mode) || stored.st_size != staged.st_size ||
	    (stored.st_dev == staged.st_dev && stored.st_ino == staged.st_ino) ||
	    !same_bytes(there, here))
		return;
	/* By its descriptor: the name may be another file's by now. */
	if (linkat(AT_FDCWD, fs_proc_fd(there, path), staging->fd, TWIN, AT_SYMLINK_FOLLOW) == 0 &&
	    renameat(staging->fd, TWIN, staging->fd, blob->name) < 0)
		unlinkat(staging->fd, TWIN, 0);
}

int staging_read(const struct staging *staging, const struct staged_blob *blob)
{
	int fd = openat(staging->fd, blob->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
