/* The index over a layer's tar: what is written is sound, and nothing else passes for it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/erofs_check.h"
#include "cold/image/erofs_write.h"
#include "erofs-view.h"

#define TAR_SIZE (1u << 20)

struct fixture {
	struct erofs_tree *tree;
	int index, tar, marks;
	uint8_t *data;
	size_t len;
	struct masu_error err;
};

static int setup(void **state)
{
	static const uint8_t random[16] = "a seed, any seed";
	struct fixture *f = calloc(1, sizeof(*f));
	f->index = memfd_create("index", MFD_CLOEXEC);
	f->tar = memfd_create("tar", MFD_CLOEXEC);
	f->marks = memfd_create("marks", MFD_CLOEXEC);
	*state = f;
	return ftruncate(f->tar, TAR_SIZE) |
	       erofs_tree_new(random, (struct timespec) { .tv_sec = 1000 }, &f->tree);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	erofs_tree_free(f->tree);
	if (f->data)
		munmap(f->data, f->len);
	close(f->index);
	close(f->tar);
	close(f->marks);
	free(f);
	return 0;
}

static int add(struct fixture *f, enum frame_kind kind, const char *path, const char *link)
{
	const struct frame_entry entry = {
		.kind = kind, .mode = 0644, .path = path, .link = link, .mtime = 5, .mtime_ns = 6
	};
	return erofs_tree_entry(f->tree, &entry, &f->err);
}

static int add_file(struct fixture *f, const char *path, uint64_t size,
		    const struct frame_extent *extents, size_t count)
{
	const struct frame_entry entry = {
		.kind = FRAME_FILE, .mode = 0644, .path = path, .link = "", .size = size
	};
	int r = erofs_tree_entry(f->tree, &entry, &f->err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = erofs_tree_extent(f->tree, &extents[i], &f->err);
	return r;
}

static int add_xattr(struct fixture *f, enum frame_kind kind, const char *path, const char *name,
		     const void *value, size_t len)
{
	struct frame_xattr xattr = { .name = name, .value = value, .len = len };
	const struct frame_entry entry = { .kind = kind,
					   .mode = 0640,
					   .path = path,
					   .link = "",
					   .xattrs = &xattr,
					   .xattr_count = 1 };
	return erofs_tree_entry(f->tree, &entry, &f->err);
}

/* Settles, writes and maps. */
static struct erofs_view finish(struct fixture *f)
{
	struct stat st;
	assert_int_equal(erofs_tree_settle(f->tree, &f->err), 0);
	assert_int_equal(erofs_write(f->tree, f->index, f->tar, f->marks, &f->err), 0);
	assert_int_equal(fstat(f->index, &st), 0);
	f->len = (size_t)st.st_size;
	f->data = mmap(NULL, f->len, PROT_READ | PROT_WRITE, MAP_PRIVATE, f->index, 0);
	assert_true(f->data != MAP_FAILED);
	return (struct erofs_view) { f->data, f->len, TAR_SIZE };
}

static void fill(struct fixture *f)
{
	static const struct frame_extent holes[] = { { 100, 50, 4096 }, { 9000, 1000, 4608 } };
	static const struct frame_extent whole[] = { { 0, 1000, 512 } };
	char path[64];
	assert_int_equal(add_file(f, "file", 1000, whole, 1), 0);
	assert_int_equal(add_file(f, "holes", 100000, holes, 2), 0);
	assert_int_equal(add(f, FRAME_HARDLINK, "again", "file"), 0);
	assert_int_equal(add(f, FRAME_SYMLINK, "link", "to/somewhere"), 0);
	assert_int_equal(add(f, FRAME_FIFO, "a/b/c/fifo", ""), 0);
	assert_int_equal(add(f, FRAME_WHITEOUT, "a/gone", ""), 0);
	assert_int_equal(add(f, FRAME_OPAQUE, "a/b", ""), 0);
	assert_int_equal(add_xattr(f, FRAME_DIRECTORY, "d", "user.name", "value", 5), 0);
	for (int i = 0; i < 200; i++) {
		str_format(path, sizeof(path), "d/%d", i);
		assert_int_equal(add(f, FRAME_FILE, path, ""), 0);
	}
}

static void test_sound(void **state)
{
	struct fixture *f = *state;
	struct erofs_found found;
	struct erofs_file file;
	fill(f);
	const struct erofs_view view = finish(f);
	assert_int_equal(erofs_check(&view, &found, &f->err), 0);
	assert_int_equal(found.names, 4 + 3 + 2 + 1 + 200);
	assert_int_equal(found.bytes, 101000);
	erofs_look(&view, erofs_find(&view, erofs_root(&view), "again"), &file);
	assert_int_equal(file.links, 2);
	assert_int_equal(file.size, 1000);
	uint32_t a = erofs_find(&view, erofs_root(&view), "a");
	erofs_look(&view, erofs_find(&view, a, "b"), &file);
	assert_true(file.opaque && S_ISDIR(file.mode));
	erofs_look(&view, erofs_find(&view, a, "gone"), &file);
	assert_true(S_ISCHR(file.mode) && file.device == 0);
	assert_int_equal(erofs_find(&view, a, "other"), 0);
	/* The directories that nothing told of are the parent's to fill in, the root among them. */
	char marks[256] = "";
	assert_true(pread(f->marks, marks, sizeof(marks), 0) > 0);
	assert_int_equal(marks[0], EROFS_MARK_IMPLIED);
}

/* One wrong byte is found or means nothing that could hurt; under a sanitizer, no read is astray.
 */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	struct erofs_found found;
	size_t refused = 0;
	fill(f);
	const struct erofs_view view = finish(f);
	for (size_t i = 1024; i < f->len; i++) {
		uint8_t was = f->data[i];
		for (int k = 0; k < 3; k++) {
			f->data[i] = (uint8_t)(k == 0 ? 0xff : k == 1 ? was ^ 1 : was + 0x40);
			int r = erofs_check(&view, &found, &f->err);
			assert_true(r == 0 || r == -EUCLEAN);
			refused += r < 0;
		}
		f->data[i] = was;
	}
	assert_true(refused > f->len / 4);
	for (size_t len = 0; len < f->len; len += 97)
		assert_true(erofs_check(&(struct erofs_view) { f->data, len, TAR_SIZE }, &found,
					&f->err) < 0);
	assert_int_equal(
		erofs_check(&(struct erofs_view) { f->data, f->len, 512 }, &found, &f->err),
		-EUCLEAN);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	static const uint8_t big[65536];
	static const struct frame_extent astray[] = { { 5, 10, 0 } };
	assert_int_equal(add(f, FRAME_SYMLINK, "link", "a"), 0);
	assert_int_equal(add(f, FRAME_FILE, "link/below", ""), -ELOOP);
	assert_int_equal(add(f, FRAME_FIFO, "fifo", ""), 0);
	assert_int_equal(add(f, FRAME_FILE, "fifo/below", ""), -ENOTDIR);
	assert_int_equal(add(f, FRAME_HARDLINK, "x", "nothing"), -ENOENT);
	assert_int_equal(add(f, FRAME_HARDLINK, "x", "link/x"), -ENOTDIR);
	assert_int_equal(add(f, FRAME_HARDLINK, "x", "link/x/y"), -ELOOP);
	assert_int_equal(add(f, FRAME_DIRECTORY, "d", ""), 0);
	assert_int_equal(add(f, FRAME_HARDLINK, "x", "d"), -EPERM);
	assert_int_equal(add(f, FRAME_FILE, "d/../x", ""), -EPROTO);
	assert_int_equal(add(f, FRAME_FILE, "d//x", ""), -EPROTO);
	assert_int_equal(add(f, FRAME_FILE, "/x", ""), -EPROTO);
	assert_int_equal(add(f, FRAME_FILE, "", ""), -EPROTO);
	assert_int_equal(add_xattr(f, FRAME_FILE, "f", "trusted.overlay.opaque", "y", 1), -EPERM);
	assert_int_equal(add_xattr(f, FRAME_FILE, "f", "security.selinux", "y", 1), -EPERM);
	assert_int_equal(add_xattr(f, FRAME_FILE, "f", "user.", "y", 1), -EPERM);
	assert_int_equal(add_xattr(f, FRAME_FILE, "f", "user.big", big, sizeof(big)), -EOVERFLOW);
	assert_int_equal(add_xattr(f, FRAME_FILE, "f", "system.posix_acl_access", "bad", 3),
			 -EINVAL);
	assert_int_equal(add_file(f, "short", 10, astray, 1), -EPROTO);
}

/* An ACL that says no more than a mode becomes the mode; a longer one sets the group's bits. */
static void test_acls(void **state)
{
	struct fixture *f = *state;
	struct erofs_file file;
	struct entry {
		uint16_t tag, bits;
		uint32_t id;
	};
	struct {
		uint32_t version;
		struct entry entries[5];
	} acl = { 2,
		  { { 1, 6, UINT32_MAX },
		    { 2, 7, 5 },
		    { 4, 0, UINT32_MAX },
		    { 16, 5, UINT32_MAX },
		    { 32, 1, UINT32_MAX } } };
	static const struct {
		uint32_t version;
		struct entry entries[3];
	} base = { 2, { { 1, 7, UINT32_MAX }, { 4, 5, UINT32_MAX }, { 32, 0, UINT32_MAX } } };
	static const char name[] = "system.posix_acl_access";
	assert_int_equal(add_xattr(f, FRAME_FILE, "long", name, &acl, sizeof(acl)), 0);
	assert_int_equal(add_xattr(f, FRAME_FILE, "base", name, &base, sizeof(base)), 0);
	assert_int_equal(
		add_xattr(f, FRAME_FILE, "default", "system.posix_acl_default", &acl, sizeof(acl)),
		-EACCES);
	acl.entries[3].tag = 4;
	assert_int_equal(add_xattr(f, FRAME_FILE, "twice", name, &acl, sizeof(acl)), -EINVAL);
	const struct erofs_view view = finish(f);
	erofs_look(&view, erofs_find(&view, erofs_root(&view), "long"), &file);
	assert_int_equal(file.mode & 07777, 0651);
	erofs_look(&view, erofs_find(&view, erofs_root(&view), "base"), &file);
	assert_int_equal(file.mode & 07777, 0750);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	struct erofs_found found;
	char path[64];
	for (uint32_t i = 0; i < 100000; i++) {
		str_format(path, sizeof(path), "%x/%u", i % 7, i * 2654435761u);
		assert_int_equal(add(f, FRAME_FILE, path, ""), 0);
	}
	const struct erofs_view view = finish(f);
	assert_int_equal(erofs_check(&view, &found, &f->err), 0);
	assert_int_equal(found.names, 100007);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
