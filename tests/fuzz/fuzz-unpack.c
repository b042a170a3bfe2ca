/*
 * A layer through reader, policy and writer into a real directory, with a canary beside it:
 * whatever the archive (archive.h), nothing outside of its directory is touched. The writer's own
 * sandbox is not used here: its paths alone must hold.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/writer.h"
#include "fuzz.h"
#include "sys/fs.h"

/* Descriptors that live as long as the program. */
static struct {
	int top, root, archive, frames, marks;
	EVP_MD_CTX *sha256;
	char path[64];
	struct stat canary[3];
} fixture;

/* As a path from the root. */
static char canary_path[128];

static const char *const canaries[] = { "canary", "canary/file", "canary/a" };

/* Everything that can happen to a file changes its ctime, a link to it included. */
static bool canary_same(size_t i)
{
	struct stat now;
	const struct stat *was = &fixture.canary[i];
	return fstatat(fixture.top, canaries[i], &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       now.st_ino == was->st_ino && now.st_ctim.tv_sec == was->st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == was->st_ctim.tv_nsec && now.st_nlink == was->st_nlink;
}

static void check_outside(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(canaries); i++)
		FUZZ_CHECK(canary_same(i));
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fixture.top, ".");
	FUZZ_CHECK(dir);
	const struct dirent *entry;
	while ((entry = readdir(dir)))
		FUZZ_CHECK(entry->d_name[0] == '.' || streq(entry->d_name, "canary") ||
			   streq(entry->d_name, "root"));
}

static void remove_fixture(void)
{
	fs_remove_tree(AT_FDCWD, fixture.path);
}

static void make_fixture(void)
{
	snprintf(fixture.path, sizeof(fixture.path), "%s/masu-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(fixture.path));
	atexit(remove_fixture);
	fixture.top = open(fixture.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(mkdirat(fixture.top, "canary", 0700) == 0);
	FUZZ_CHECK(mkdirat(fixture.top, "canary/a", 0700) == 0);
	FUZZ_CHECK(fs_write_atomic(fixture.top, "canary/file", "canary", 6, 0600, false) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(canaries); i++)
		FUZZ_CHECK(fstatat(fixture.top, canaries[i], &fixture.canary[i], 0) == 0);
	snprintf(canary_path, sizeof(canary_path), "%s/canary/file", fixture.path);
	fixture.archive = memfd_create("archive", MFD_CLOEXEC);
	fixture.frames = memfd_create("frames", MFD_CLOEXEC);
	fixture.marks = memfd_create("marks", MFD_CLOEXEC);
	fixture.sha256 = EVP_MD_CTX_new();
	FUZZ_CHECK(fixture.top >= 0 && fixture.archive >= 0 && fixture.frames >= 0 &&
		   fixture.marks >= 0 && fixture.sha256);
}

static void rewind_empty(int fd)
{
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
}

static void unpack(const struct buf *archive)
{
	struct worker_report report = { 0 };
	struct masu_error err = { 0 };
	rewind_empty(fixture.archive);
	rewind_empty(fixture.frames);
	rewind_empty(fixture.marks);
	FUZZ_CHECK(pwrite(fixture.archive, archive->data, archive->len, 0) ==
		   (ssize_t)archive->len);
	EVP_DigestInit_ex(fixture.sha256, EVP_sha256(), NULL);
	int r = decode_layer(fixture.archive, fixture.frames, fixture.sha256, &report, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	lseek(fixture.frames, 0, SEEK_SET);
	/* What came before a refused entry has been sent: the writer has to hold by itself. */
	r = write_layer(fixture.frames, fixture.root, fixture.marks, false, &report, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf archive;
	if (!fixture.sha256)
		make_fixture();
	buf_init(&archive, 1u << 20);
	archive_from_input(data, size, canary_path, &archive);
	FUZZ_CHECK(mkdirat(fixture.top, "root", 0700) == 0);
	fixture.root = openat(fixture.top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unpack(&archive);
	close(fixture.root);
	check_outside();
	FUZZ_CHECK(fs_remove_tree(fixture.top, "root") == 0);
	check_outside();
	return 0;
}
