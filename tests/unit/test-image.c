/* References, chain ids, index.json edits, and finding an image in a store made by hand. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "image/store.h"
#include "sys/fs.h"

#define HEX_A	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B	 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DIGEST_A "sha256:" HEX_A
#define DIGEST_B "sha256:" HEX_B

struct fixture {
	char path[64];
	int root_fd;
	struct arena arena;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	str_format(f->path, sizeof(f->path), "/tmp/masu-image-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->root_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	arena_init(&f->arena, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_free(&f->arena);
	close(f->root_fd);
	int r = fs_remove_tree(AT_FDCWD, f->path);
	free(f);
	return r;
}

/* What docker 27 makes of each: full and familiar form. */
static void test_references_are_normalised(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text, *full, *familiar;
	} cases[] = {
		{ "busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "busybox:local", "docker.io/library/busybox:local", "busybox:local" },
		{ "library/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "docker.io/busybox:1", "docker.io/library/busybox:1", "busybox:1" },
		{ "docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1" },
		{ "index.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1" },
		{ "a/b", "docker.io/a/b:latest", "a/b:latest" },
		{ "docker.io/a.b/c:1", "docker.io/a.b/c:1", "docker.io/a.b/c:1" },
		{ "docker.io/library/a/b:1", "docker.io/library/a/b:1", "library/a/b:1" },
		{ "localhost/x:1", "localhost/x:1", "localhost/x:1" },
		{ "localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest" },
		{ "r.example.com:443/a/b/c:v1.0-rc_1", "r.example.com:443/a/b/c:v1.0-rc_1",
		  "r.example.com:443/a/b/c:v1.0-rc_1" },
		{ "[2001:db8::1]:5000/x:1", "[2001:db8::1]:5000/x:1", "[2001:db8::1]:5000/x:1" },
		{ "Upper/x:1", "Upper/x:1", "Upper/x:1" },
		{ "a__b/c---d/e.f_g:1", "docker.io/a__b/c---d/e.f_g:1", "a__b/c---d/e.f_g:1" },
		{ "x@" DIGEST_A, "docker.io/library/x@" DIGEST_A, "x@" DIGEST_A },
		{ "x:1@" DIGEST_A, "docker.io/library/x:1@" DIGEST_A, "x:1@" DIGEST_A },
		{ "abc123", "docker.io/library/abc123:latest", "abc123:latest" },
		{ "x:_ok", "docker.io/library/x:_ok", "x:_ok" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_reference ref;
		struct masu_error err = { 0 };
		image_reference_parse(&f->arena, cases[i].text, &ref, &err);
		assert_string_equal(err.message, "");
		assert_string_equal(image_reference_full(&f->arena, &ref), cases[i].full);
		assert_string_equal(image_reference_familiar_full(&f->arena, &ref),
				    cases[i].familiar);
	}
}

static void test_what_is_no_reference_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"",
		":",
		":tag",
		"x:",
		"x:-a",
		"x:.a",
		"Busybox",
		"a/B",
		"-x",
		"x-",
		"x..y",
		"x___y",
		"x._y",
		"/x",
		"x/",
		"a//b",
		"a b",
		"x:a b",
		"x@sha256:",
		"x@" HEX_A,
		"x@md5:00",
		"../x",
		"./x",
		"a/../b",
		"x:a/b:c d",
		"http://x",
		"-h.com/x",
		"h-.com/x",
		"h..com/x",
		"h.com:/x",
		"h.com:a/x",
		"[::1/x",
		"[]:5000/x",
		"x\n",
		"x:\xc3\xa4",
		"\xc3\xa4",
		HEX_A,
		"docker.io/",
		"x@" DIGEST_A "0",
		"x@sha512:" HEX_A HEX_B,
		"x:"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"a"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		HEX_A "a/" HEX_A "/" HEX_A "/" HEX_A ":1",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct image_reference ref;
		struct masu_error err = { 0 };
		if (image_reference_parse(&f->arena, bad[i], &ref, &err) != -EINVAL)
			fail_msg("\"%s\" was taken for a reference", bad[i]);
		assert_true(err.message[0]);
	}
}

static void test_chain_ids(void **state)
{
	char chain[65];
	assert_int_equal(image_chain_id(NULL, DIGEST_A, chain), 0);
	assert_string_equal(chain, HEX_A);
	assert_int_equal(image_chain_id(HEX_A, DIGEST_B, chain), 0);
	/* printf 'sha256:aa…aa sha256:bb…bb' | sha256sum */
	assert_string_equal(chain,
			    "ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
	assert_int_equal(image_chain_id(NULL, "sha256:xyz", chain), -EINVAL);
	assert_int_equal(image_chain_id(NULL, "../../x", chain), -EINVAL);
}

/* "a:1=A b:1=B -=C": name, and the last digit of the digest. */
static void assert_index(struct fixture *f, const struct image_index *index, const char *expected)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	for (size_t i = 0; i < index->count; i++) {
		const struct image_entry *entry = &index->entries[i];
		const char *name =
			entry->reference ? str_after(entry->reference, "docker.io/library/") : "-";
		buf_printf(&text, "%s%s=%c", i ? " " : "", name,
			   entry->digest[strlen(entry->digest) - 1]);
	}
	assert_string_equal(buf_str(&text), expected);
}

static void put(struct image_index *index, const char *name, const char *digest)
{
	const struct image_entry entry = { .media_type = MEDIA_TYPE_MANIFEST,
					   .digest = digest,
					   .size = 1,
					   .unpacked_size = 42,
					   .reference = name };
	assert_int_equal(image_index_put(index, &entry), 0);
}

static void test_index_edits(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	struct image_index index;
	_cleanup_close_ int fd = -1;
	assert_int_equal(image_store_lock(f->root_fd, &fd, &err), 0);
	assert_int_equal(image_index_load(fd, &f->arena, &index, &err), 0);
	assert_int_equal(index.count, 0);
	put(&index, NULL, DIGEST_A);
	assert_index(f, &index, "-=a");
	put(&index, NULL, DIGEST_A);
	assert_index(f, &index, "-=a");
	put(&index, "docker.io/library/x:1",
	    DIGEST_A); /* a name takes the dangling entry's place */
	assert_index(f, &index, "x:1=a");
	put(&index, "docker.io/library/x:1", DIGEST_A);
	assert_index(f, &index, "x:1=a");
	put(&index, "docker.io/library/y:1", DIGEST_A);
	assert_index(f, &index, "x:1=a y:1=a");
	put(&index, "docker.io/library/x:1", DIGEST_B); /* A still has a name */
	assert_index(f, &index, "y:1=a x:1=b");
	put(&index, "docker.io/library/y:1", DIGEST_B); /* now it has none */
	assert_index(f, &index, "-=a x:1=b y:1=b");
	assert_int_equal(image_index_save(fd, &index, &err), 0);
	assert_int_equal(image_index_load(fd, &f->arena, &index, &err), 0);
	assert_index(f, &index, "-=a x:1=b y:1=b");
	assert_int_equal(index.entries[2].unpacked_size, 42);
	assert_false(image_index_untag(&index, "docker.io/library/z:1"));
	assert_true(image_index_untag(&index, "docker.io/library/x:1"));
	assert_index(f, &index, "-=a y:1=b");
	assert_true(image_index_untag(&index, "docker.io/library/y:1"));
	assert_index(f, &index, "-=a -=b");
	image_index_remove(&index, DIGEST_A);
	assert_index(f, &index, "-=b");
	assert_int_equal(image_index_save(fd, &index, &err), 0);
	assert_int_equal(faccessat(f->root_fd, "images/oci-layout", F_OK, 0), 0);
}

static void put_blob(struct fixture *f, const char *text, char ret_digest[DIGEST_MAX])
{
	char hex[SHA256_HEX + 1], path[128];
	sha256_hex(text, strlen(text), hex);
	str_format(ret_digest, DIGEST_MAX, "sha256:%s", hex);
	str_format(path, sizeof(path), "images/blobs/sha256/%s", hex);
	_cleanup_close_ int fd =
		openat(f->root_fd, path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

/* An image of one layer whose command is @cmd, named @name. */
static void put_image(struct fixture *f, const char *name, const char *cmd)
{
	char config[1024], manifest[1024], digest[DIGEST_MAX], manifest_digest[DIGEST_MAX];
	struct image_index index;
	_cleanup_close_ int fd = -1;
	assert_int_equal(image_store_lock(f->root_fd, &fd, NULL), 0);
	str_format(
		config, sizeof(config),
		"{\"created\":\"2024-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\","
		"\"config\":{\"Cmd\":[\"%s\"],\"Env\":[\"A=b\"],\"Labels\":{\"k\":\"v\"},"
		"\"ExposedPorts\":{\"80/tcp\":{}},\"User\":\"7:8\",\"Healthcheck\":{\"Test\":"
		"[\"NONE\"],\"Interval\":1000000000}},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIGEST_A "\"]}}",
		cmd);
	put_blob(f, config, digest);
	str_format(
		manifest, sizeof(manifest),
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_TYPE_CONFIG
		"\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_TYPE_LAYER
		"\",\"digest\":\"" DIGEST_B "\",\"size\":77}]}",
		digest, strlen(config));
	put_blob(f, manifest, manifest_digest);
	assert_int_equal(image_index_load(fd, &f->arena, &index, NULL), 0);
	const struct image_entry entry = { .media_type = MEDIA_TYPE_MANIFEST,
					   .digest = manifest_digest,
					   .size = strlen(manifest),
					   .reference = name };
	assert_int_equal(image_index_put(&index, &entry), 0);
	assert_int_equal(image_index_save(fd, &index, NULL), 0);
}

static void assert_cmd(struct fixture *f, const char *name, const char *cmd)
{
	struct image image;
	struct masu_error err = { 0 };
	image_find(f->root_fd, &f->arena, name, &image, &err);
	assert_string_equal(err.message, "");
	assert_string_equal(image.config.cmd[0], cmd);
	assert_string_equal(image.config.env[0], "A=b");
	assert_string_equal(image.config.labels[0].value, "v");
	assert_string_equal(image.config.exposed_ports[0], "80/tcp");
	assert_string_equal(image.config.user, "7:8");
	assert_true(image.config.healthcheck.interval_ns == 1000000000);
	assert_string_equal(image.chain_ids[0], HEX_A);
	assert_null(image.chain_ids[1]);
	assert_int_equal(image.size, 77);
}

static void assert_not_found(struct fixture *f, const char *name, const char *message)
{
	struct image image;
	struct masu_error err = { 0 };
	assert_true(image_find(f->root_fd, &f->arena, name, &image, &err) < 0);
	assert_string_equal(err.message, message);
}

static void test_finding(void **state)
{
	struct fixture *f = *state;
	struct image image;
	char prefix[24];
	assert_not_found(f, "x:1", "No such image: x:1");
	put_image(f, "docker.io/library/x:1", "one");
	for (unsigned i = 0; i < 2; i++) { /* the second time from the cache */
		assert_cmd(f, "x:1", "one");
		assert_cmd(f, "docker.io/library/x:1", "one");
		assert_not_found(f, "x", "No such image: x:latest");
		assert_not_found(f, "y:1", "No such image: y:1");
	}
	assert_int_equal(image_find(f->root_fd, &f->arena, "x:1", &image, NULL), 0);
	assert_string_equal(image.reference, "docker.io/library/x:1");
	assert_cmd(f, image.id, "one");
	assert_cmd(f, image.id + strlen("sha256:"), "one");
	str_format(prefix, sizeof(prefix), "%.12s", image.id + strlen("sha256:"));
	assert_cmd(f, prefix, "one");
	/* The cache follows the index. */
	put_image(f, "docker.io/library/x:1", "two");
	assert_cmd(f, "x:1", "two");
	assert_cmd(f, prefix, "one");
	assert_int_equal(image_tag(f->root_fd, prefix, "y:1", NULL), 0);
	assert_cmd(f, "y:1", "one");
	assert_int_equal(image_tag(f->root_fd, "nope", "y:1", NULL), -ENOENT);
	assert_int_equal(image_tag(f->root_fd, "x:1", "X", NULL), -EINVAL);
}

static void test_a_damaged_cache_is_no_truth(void **state)
{
	struct fixture *f = *state;
	put_image(f, "docker.io/library/x:1", "one");
	assert_cmd(f, "x:1", "one");
	assert_int_equal(fs_remove_tree(f->root_fd, "images/.masu/resolved"), 0);
	assert_cmd(f, "x:1", "one");
	assert_int_equal(fs_mkdirs(f->root_fd, "images/.masu/resolved", 0700), 0);
	assert_cmd(f, "x:1", "one");
	char command[160];
	str_format(command, sizeof(command), "for f in %s/images/.masu/resolved/*; do : >$f; done",
		   f->path);
	assert_int_equal(system(command), 0);
	assert_cmd(f, "x:1", "one");
}

static void test_damaged_blobs_are_refused(void **state)
{
	struct fixture *f = *state;
	struct image image, *list;
	struct masu_error err = { 0 };
	size_t count;
	char path[160];
	put_image(f, "docker.io/library/x:1", "one");
	put_image(f, "docker.io/library/y:1", "two");
	assert_int_equal(image_find(f->root_fd, &f->arena, "x:1", &image, NULL), 0);
	str_format(path, sizeof(path), "images/blobs/sha256/%s", image.id + strlen("sha256:"));
	_cleanup_close_ int fd = openat(f->root_fd, path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, " ", 1, 1), 1);
	assert_int_equal(fs_remove_tree(f->root_fd, "images/.masu/resolved"), 0);
	assert_int_equal(image_find(f->root_fd, &f->arena, "x:1", &image, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "damaged"));
	assert_int_equal(image_list(f->root_fd, &f->arena, &list, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].reference, "docker.io/library/y:1");
}

static const struct json *parse(struct fixture *f, const char *text)
{
	const struct json *document;
	assert_int_equal(json_parse(&f->arena, text, strlen(text), &document, NULL), 0);
	return document;
}

static void test_hostile_documents(void **state)
{
	struct fixture *f = *state;
	static const char *const configs[] = {
		"[]",
		"{\"config\":[]}",
		"{\"config\":{\"Cmd\":\"sh\"}}",
		"{\"config\":{\"Env\":[1]}}",
		"{\"config\":{\"Labels\":{\"a\":1}}}",
		"{\"config\":{\"Volumes\":[\"/a\"]}}",
		"{\"config\":{\"Healthcheck\":{\"Retries\":-1}}}",
		"{\"rootfs\":{\"diff_ids\":[\"../../x\"]}}",
		"{\"created\":1}",
	};
	static const char *const manifests[] = {
		"{}",
		"{\"config\":{\"mediaType\":\"a\",\"digest\":\"" DIGEST_A "\",\"size\":1},"
		"\"layers\":[],\"manifests\":[]}",
		"{\"config\":{\"mediaType\":\"a\",\"digest\":\"sha256:../x\",\"size\":1},"
		"\"layers\":[]}",
		"{\"config\":{\"mediaType\":\"a\",\"digest\":\"" DIGEST_A "\",\"size\":-1},"
		"\"layers\":[]}",
		"{\"config\":{\"mediaType\":\"a\",\"digest\":\"" DIGEST_A "\",\"size\":1},"
		"\"layers\":[{}]}",
	};
	struct image image;
	struct image_manifest manifest;
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		assert_int_equal(image_config_parse(&f->arena, parse(f, configs[i]), &image, NULL),
				 -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(manifests); i++)
		assert_int_equal(
			image_manifest_parse(&f->arena, parse(f, manifests[i]), &manifest, NULL),
			-EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_references_are_normalised, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_reference_is_refused, setup,
						teardown),
		cmocka_unit_test(test_chain_ids),
		cmocka_unit_test_setup_teardown(test_index_edits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_cache_is_no_truth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_blobs_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_documents, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
