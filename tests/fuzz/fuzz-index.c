/*
 * A layer through the writer into a directory and through the indexer into an index, from the same
 * archive (archive.h): both take it or both refuse it, with the same words, and what is taken is
 * the same tree. The index is sound by its own reader, which the kernel is spared the rest by.
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
#include "cold/image/erofs_check.h"
#include "cold/image/indexer.h"
#include "cold/image/writer.h"
#include "erofs-view.h"
#include "fuzz.h"
#include "sys/fs.h"

static struct {
	int top, archive, frames, index, marks;
	EVP_MD_CTX *sha256;
	char path[64];
} fixture;

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
	fixture.archive = memfd_create("archive", MFD_CLOEXEC);
	fixture.frames = memfd_create("frames", MFD_CLOEXEC);
	fixture.index = memfd_create("index", MFD_CLOEXEC);
	fixture.marks = memfd_create("marks", MFD_CLOEXEC);
	fixture.sha256 = EVP_MD_CTX_new();
	FUZZ_CHECK(fixture.top >= 0 && fixture.archive >= 0 && fixture.frames >= 0 &&
		   fixture.index >= 0 && fixture.marks >= 0 && fixture.sha256);
}

static void rewind_empty(int fd)
{
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
}

/* What came before an entry that the decoder refuses has been sent: both have to say the same. */
static int write_directory(struct worker_report *report, struct masu_error *err)
{
	struct masu_error ignored = { 0 };
	rewind_empty(fixture.frames);
	rewind_empty(fixture.marks);
	lseek(fixture.archive, 0, SEEK_SET);
	EVP_DigestInit_ex(fixture.sha256, EVP_sha256(), NULL);
	decode_layer(fixture.archive, fixture.frames, fixture.sha256, report, &ignored);
	lseek(fixture.frames, 0, SEEK_SET);
	FUZZ_CHECK(mkdirat(fixture.top, "root", 0700) == 0);
	_cleanup_close_ int root = openat(fixture.top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return write_layer(fixture.frames, root, fixture.marks, false, report, err);
}

static int write_index(struct worker_report *report, struct masu_error *err)
{
	struct masu_error ignored = { 0 };
	const struct index_job job = { .in = fixture.frames,
				       .index_fd = fixture.index,
				       .tar_fd = fixture.archive,
				       .marks_fd = fixture.marks };
	rewind_empty(fixture.frames);
	rewind_empty(fixture.marks);
	rewind_empty(fixture.index);
	lseek(fixture.archive, 0, SEEK_SET);
	EVP_DigestInit_ex(fixture.sha256, EVP_sha256(), NULL);
	decode_indexed(fixture.archive, fixture.frames, -1, fixture.sha256, report, &ignored);
	lseek(fixture.frames, 0, SEEK_SET);
	return index_layer(&job, report, err);
}

/* ---- comparing ---- */

static void compare_file(const struct erofs_file *file, const struct stat *st, int dir,
			 const char *name)
{
	char target[4096];
	FUZZ_CHECK(file->mode == st->st_mode && file->uid == st->st_uid &&
		   file->gid == st->st_gid && file->links == st->st_nlink);
	if (S_ISDIR(st->st_mode))
		return;
	/* Whiteouts have no time of their own. */
	FUZZ_CHECK((S_ISCHR(st->st_mode) && st->st_rdev == 0) ||
		   (file->mtime == st->st_mtim.tv_sec && file->mtime_ns == st->st_mtim.tv_nsec));
	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
		FUZZ_CHECK(file->size == (uint64_t)st->st_size);
	if (S_ISLNK(st->st_mode))
		FUZZ_CHECK(readlinkat(dir, name, target, sizeof(target)) == st->st_size &&
			   memcmp(target, file->target, file->size) == 0);
}

/* Returns how many names are below. */
static uint64_t compare_directory(const struct erofs_view *view, uint32_t inode, int parent,
				  const char *path)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(parent, path);
	const struct dirent *entry;
	uint64_t names = 0;
	FUZZ_CHECK(dir);
	while ((entry = readdir(dir))) {
		struct erofs_file file;
		struct stat st;
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		uint32_t child = erofs_find(view, inode, entry->d_name);
		FUZZ_CHECK(child);
		FUZZ_CHECK(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		erofs_look(view, child, &file);
		compare_file(&file, &st, dirfd(dir), entry->d_name);
		names++;
		if (S_ISDIR(st.st_mode))
			names += compare_directory(view, child, dirfd(dir), entry->d_name);
	}
	return names;
}

static void compare_trees(size_t tar_len, uint64_t bytes)
{
	struct stat st;
	struct erofs_found found;
	struct masu_error err = { 0 };
	FUZZ_CHECK(fstat(fixture.index, &st) == 0);
	uint8_t *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fixture.index, 0);
	FUZZ_CHECK(data != MAP_FAILED);
	const struct erofs_view view = { data, (size_t)st.st_size, tar_len };
	int r = erofs_check(&view, &found, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.message);
	FUZZ_CHECK(r == 0);
	FUZZ_CHECK(found.bytes == bytes);
	FUZZ_CHECK(compare_directory(&view, erofs_root(&view), fixture.top, "root") == found.names);
	munmap(data, (size_t)st.st_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf archive;
	struct worker_report directory = { 0 }, index = { 0 };
	struct masu_error directory_err = { 0 }, index_err = { 0 };
	if (!fixture.sha256)
		make_fixture();
	buf_init(&archive, 1u << 20);
	archive_from_input(data, size, "/canary", &archive);
	rewind_empty(fixture.archive);
	FUZZ_CHECK(pwrite(fixture.archive, archive.data, archive.len, 0) == (ssize_t)archive.len);
	int r = write_directory(&directory, &directory_err);
	int i = write_index(&index, &index_err);
	if (r != i || !streq(directory_err.message, index_err.message))
		fprintf(stderr, "directory %d %s\nindex %d %s\n", r, directory_err.message, i,
			index_err.message);
	FUZZ_CHECK(r == i && streq(directory_err.message, index_err.message));
	FUZZ_CHECK(r < 0 || directory.bytes == index.bytes);
	if (r == 0)
		compare_trees(archive.len, index.bytes);
	FUZZ_CHECK(fs_remove_tree(fixture.top, "root") == 0);
	return 0;
}
