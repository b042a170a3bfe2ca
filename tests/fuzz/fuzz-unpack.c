/*
 * A layer through reader, policy and writer into a real directory, with a canary beside it:
 * whatever the archive, nothing outside of its directory is touched. The input is not the archive
 * but a list of entries in few bytes each, over few names, so that most inputs are archives whose
 * entries meet: links to what lies outside, files below links, directories over files, whiteouts
 * over everything. The writer's own sandbox is not used here: its paths alone must hold.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/writer.h"
#include "fuzz.h"
#include "sys/fs.h"
#include "tree/tar.h"

#define MAX_ENTRIES 64

/* The bytes of the input, one after the other; 0 when they are used up. */
struct input {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static const char *const components[] = {
	"a",	"b",	 "c",	   ".",	   "..",     "",     ".wh.a",	  ".wh.b", ".wh..wh..opq",
	".wh.", ".wh.c", "canary", "root", ".wh...", "file", ".wh..wh.x",
};

/* "/tmp/…/canary/file" as a path from the root, from beside, or from any of the directories made.
 */
static const char *canary_path;

static void append_path(struct buf *out, struct input *in)
{
	uint8_t head = take(in);
	if (head == 0xff) {
		buf_append(out, canary_path, strlen(canary_path));
		return;
	}
	if (head & 0x80)
		buf_append(out, "/", 1);
	for (unsigned i = 0; i <= (head & 3u); i++) {
		const char *name = components[take(in) % ARRAY_SIZE(components)];
		if (i)
			buf_append(out, "/", 1);
		buf_append(out, name, strlen(name));
	}
	if (head & 0x40)
		buf_append(out, "/", 1);
}

static void octal(char *field, size_t size, uint64_t value)
{
	snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static void append_header(struct buf *out, char type, const char *path, const char *link,
			  unsigned mode, uint64_t size)
{
	char block[TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	snprintf(block, 100, "%s", path);
	octal(block + 100, 8, mode);
	octal(block + 108, 8, 1000);
	octal(block + 116, 8, 1000);
	octal(block + 124, 12, size);
	octal(block + 136, 12, 1700000000);
	memset(block + 148, ' ', 8);
	block[156] = type;
	snprintf(block + 157, 100, "%s", link);
	memcpy(block + 257, "ustar\00000", 8);
	octal(block + 329, 8, 0);
	octal(block + 337, 8, 0);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (uint8_t)block[i];
	octal(block + 148, 7, sum);
	buf_append(out, block, sizeof(block));
}

static void append_content(struct buf *out, const char *text, size_t len)
{
	static const char zeros[TAR_BLOCK];
	buf_append(out, text, len);
	buf_append(out, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* A PAX header that gives the next entry its name, or an extended attribute. */
static void append_pax(struct buf *out, struct input *in)
{
	static const char *const keys[] = { "path",
					    "linkpath",
					    "SCHILY.xattr.user.a",
					    "SCHILY.xattr.trusted.overlay.opaque",
					    "SCHILY.xattr.security.capability",
					    "size" };
	_cleanup_buf_ struct buf value = { 0 };
	char record[600];
	buf_init(&value, 4096);
	const char *key = keys[take(in) % ARRAY_SIZE(keys)];
	append_path(&value, in);
	/* The length counts itself: "NN key=value\n". */
	size_t len = strlen(key) + value.len + 3;
	len += len + 2 > 99 ? 3 : 2;
	snprintf(record, sizeof(record), "%zu %s=%.*s\n", len, key, (int)value.len,
		 value.data ? value.data : "");
	append_header(out, 'x', "pax", "", 0644, strlen(record));
	append_content(out, record, strlen(record));
}

static void append_entry(struct buf *out, struct input *in)
{
	static const char types[] = "0123456x";
	_cleanup_buf_ struct buf path = { 0 }, link = { 0 };
	buf_init(&path, 4096);
	buf_init(&link, 4096);
	uint8_t head = take(in);
	char type = types[head % (sizeof(types) - 1)];
	if (type == 'x') {
		append_pax(out, in);
		return;
	}
	append_path(&path, in);
	if (type == '1' || type == '2')
		append_path(&link, in);
	buf_append(&path, "", 1);
	buf_append(&link, "", 1);
	size_t size = type == '0' && head & 0x80 ? 7 : 0;
	append_header(out, type, path.data, link.data, head & 0x40 ? 04777 : 0600, size);
	append_content(out, "content", size);
}

/* Descriptors that live as long as the program. */
static struct {
	int top, root, archive, frames, marks;
	EVP_MD_CTX *sha256;
	char path[64];
	struct stat canary[3];
} fixture;

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
	static char path[128];
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
	snprintf(path, sizeof(path), "%s/canary/file", fixture.path);
	canary_path = path;
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
	r = write_layer(fixture.frames, fixture.root, fixture.marks, &report, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf archive;
	struct input in = { data, size };
	static const char end[2 * TAR_BLOCK];
	if (!fixture.sha256)
		make_fixture();
	buf_init(&archive, 1u << 20);
	for (int i = 0; i < MAX_ENTRIES && in.left; i++)
		append_entry(&archive, &in);
	append_content(&archive, end, sizeof(end));
	FUZZ_CHECK(buf_error(&archive) == 0);
	FUZZ_CHECK(mkdirat(fixture.top, "root", 0700) == 0);
	fixture.root = openat(fixture.top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unpack(&archive);
	close(fixture.root);
	check_outside();
	FUZZ_CHECK(fs_remove_tree(fixture.top, "root") == 0);
	check_outside();
	return 0;
}
