/* masu-image's pure parts: names and attributes, frames, instructions, what an archive says. */
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
#include "base/str.h"
#include "cold/image/archive.h"
#include "cold/image/config.h"
#include "cold/image/frame.h"
#include "cold/image/policy.h"
#include "tree/tar.h"
#include "tree/tar_header.h"
#include "sys/fs.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *clean;
	} good[] = {
		{ "", "" },
		{ ".", "" },
		{ "/", "" },
		{ "./", "" },
		{ "a", "a" },
		{ "./a/", "a" },
		{ "//a//b/./c", "a/b/c" },
		{ "...", "..." },
		{ "..a", "..a" },
		{ "a.. /b", "a.. /b" },
	};
	static const char *const bad[] = {
		"..", "../a", "a/..", "a/../b", "/..", "./../.", "a//.."
	};
	const char *clean, *reason;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(tree_clean_path(&arena, good[i].path, &clean, &reason), 0);
		assert_string_equal(clean, good[i].clean);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tree_clean_path(&arena, bad[i], &clean, &reason), -EBADMSG);
}

static void test_whiteouts(void **state)
{
	static const struct {
		const char *path;
		int result;
		bool skip;
		enum frame_kind kind;
		const char *clean;
	} cases[] = {
		{ "a/.wh.b", 0, false, FRAME_WHITEOUT, "a/b" },
		{ ".wh.b", 0, false, FRAME_WHITEOUT, "b" },
		{ "a/b/.wh..wh..opq", 0, false, FRAME_OPAQUE, "a/b" },
		{ ".wh..wh..opq", 0, false, FRAME_OPAQUE, "" },
		{ ".wh..wh.aufs", 0, true, 0, NULL },
		{ ".wh..wh.plnk/1.2", 0, true, 0, NULL },
		{ ".wh.", -EBADMSG, false, 0, NULL },
		{ "a/.wh..", -EBADMSG, false, 0, NULL },
		{ ".wh...", -EBADMSG, false, 0, NULL },
		{ ".wh....", 0, false, FRAME_WHITEOUT, "..." },
		{ ".wh.a/b", 0, false, FRAME_FILE, ".wh.a/b" },
		{ "x.wh.b", 0, false, FRAME_FILE, "x.wh.b" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tar_entry entry = { .type = TAR_FILE, .path = cases[i].path, .link = "" };
		struct frame_entry frame;
		struct masu_error err = { 0 };
		bool skip;
		assert_int_equal(policy_entry(&arena, &entry, true, &frame, &skip, &err),
				 cases[i].result);
		if (cases[i].result < 0)
			continue;
		assert_int_equal(skip, cases[i].skip);
		if (skip)
			continue;
		assert_int_equal(frame.kind, cases[i].kind);
		assert_string_equal(frame.path, cases[i].clean);
	}
}

static void test_tar_numbers(void **state)
{
	static const struct {
		const char *field;
		int result;
		int64_t value;
	} cases[] = {
		{ "0000644\0", 0, 0644 },
		{ "    644 ", 0, 0644 },
		{ "644\0\0\0\0\0", 0, 0644 },
		{ "\0\0\0\0\0\0\0\0", 0, 0 },
		{ "        ", 0, 0 },
		{ "77777777", 0, 077777777 },
		{ "00008000", -EINVAL, 0 },
		{ "-0000001", -EINVAL, 0 },
		{ "12 45   ", -EINVAL, 0 },
		{ "\x80\0\0\0\0\0\1\0", 0, 256 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xfe", 0, -2 },
		{ "\x80\1\0\0\0\0\0\0", 0, 1ll << 48 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t value = 0;
		assert_int_equal(tar_number((const uint8_t *)cases[i].field, 8, &value),
				 cases[i].result);
		if (cases[i].result == 0)
			assert_true(value == cases[i].value);
	}
	int64_t value;
	assert_int_equal(tar_number((const uint8_t *)"\x81\0\0\0\0\0\0\0\0\0\0\0", 12, &value),
			 -ERANGE);
	assert_int_equal(tar_number((const uint8_t *)"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
				    12, &value),
			 0);
	assert_true(value == INT64_MAX);
}

static void test_frames_travel(void **state)
{
	int ends[2];
	struct frame_channel *out, *in;
	struct frame_xattr xattr = { "user.x", "a\0b", 3 };
	struct frame_entry entry = { .kind = FRAME_SYMLINK,
				     .mode = 06755,
				     .uid = 1,
				     .gid = 2,
				     .mtime = -5,
				     .mtime_ns = 7,
				     .path = "a/b",
				     .link = "../c",
				     .xattr_count = 1,
				     .xattrs = &xattr };
	enum frame_type type;
	struct frame_entry got;
	struct frame_data data;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(frame_channel_new(ends[1], &out), 0);
	assert_int_equal(frame_channel_new(ends[0], &in), 0);
	assert_int_equal(frame_send_entry(out, &entry), 0);
	assert_int_equal(frame_send_data(out, "hello", 5, 1ull << 40), 0);
	assert_int_equal(frame_send_done(out), 0);
	close(ends[1]);
	assert_int_equal(frame_receive(in, &type, &got, &data), 0);
	assert_int_equal(type, FRAME_ENTRY);
	assert_string_equal(got.path, "a/b");
	assert_string_equal(got.link, "../c");
	assert_int_equal(got.mode, 06755);
	assert_true(got.mtime == -5);
	assert_int_equal(got.xattr_count, 1);
	assert_memory_equal(got.xattrs[0].value, "a\0b", 3);
	assert_int_equal(frame_receive(in, &type, &got, &data), 0);
	assert_int_equal(type, FRAME_DATA);
	assert_memory_equal(data.data, "hello", 5);
	assert_true(data.offset == 1ull << 40);
	assert_int_equal(frame_receive(in, &type, &got, &data), 0);
	assert_int_equal(type, FRAME_DONE);
	assert_int_equal(frame_receive(in, &type, &got, &data), -EPIPE);
	close(ends[0]);
	frame_channel_free(out);
	frame_channel_free(in);
}

/* Every byte of a good stream changed in turn: an error or an entry within bounds, never worse. */
static void test_damaged_frames(void **state)
{
	int ends[2];
	struct frame_channel *out;
	struct frame_xattr xattr = { "user.x", "value", 5 };
	struct frame_entry entry = {
		.path = "a/b", .link = "", .xattr_count = 1, .xattrs = &xattr
	};
	uint8_t stream[4096];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(frame_channel_new(ends[1], &out), 0);
	assert_int_equal(frame_send_entry(out, &entry), 0);
	assert_int_equal(frame_send_done(out), 0);
	ssize_t len = read(ends[0], stream, sizeof(stream));
	frame_channel_free(out);
	assert_true(len > 0);
	for (ssize_t at = 0; at < len; at++) {
		for (unsigned value = 0; value < 256; value += 51) {
			int copy[2];
			struct frame_channel *in;
			enum frame_type type;
			struct frame_entry got;
			struct frame_data data;
			uint8_t saved = stream[at];
			stream[at] = (uint8_t)value;
			assert_int_equal(pipe(copy), 0);
			assert_int_equal(write(copy[1], stream, (size_t)len), len);
			close(copy[1]);
			assert_int_equal(frame_channel_new(copy[0], &in), 0);
			int r = frame_receive(in, &type, &got, &data);
			if (r == 0 && type == FRAME_ENTRY)
				assert_true(strlen(got.path) <= LIMIT_PATH &&
					    got.xattr_count <= FRAME_MAX_XATTRS);
			frame_channel_free(in);
			close(copy[0]);
			stream[at] = saved;
		}
	}
	close(ends[0]);
	close(ends[1]);
}

static const char *changed(const char *const *changes)
{
	struct config_builder c;
	struct buf out;
	const char *diff_id = "sha256:x";
	image_config_init(&c, &arena);
	for (; *changes; changes++) {
		struct masu_error err = { 0 };
		image_config_change(&c, *changes, &err);
		assert_string_equal(err.message, "");
	}
	buf_init(&out, 0);
	assert_int_equal(image_config_write(&c, &diff_id, 1, &out), 0);
	const char *text = arena_strdup(&arena, buf_str(&out));
	buf_free(&out);
	const char *start = strstr(text, "\"config\":") + strlen("\"config\":");
	return arena_strndup(&arena, start, (size_t)(strstr(start, ",\"rootfs\"") - start));
}

static void test_changes(void **state)
{
	static const struct {
		const char *changes[4];
		const char *config;
	} cases[] = {
		{ { "CMD [\"a\", \"b c\"]" }, "{\"Cmd\":[\"a\",\"b c\"]}" },
		{ { "cmd a b" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a b\"]}" },
		{ { "CMD [not json" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[not json\"]}" },
		{ { "CMD []" }, "{\"Cmd\":[]}" },
		{ { "ENV a=1 b='x y' c=\"q\\\"r\" d=e\\ f" },
		  "{\"Env\":[\"a=1\",\"b=x y\",\"c=q\\\"r\",\"d=e f\"]}" },
		{ { "ENV a b  c", "ENV a=2" }, "{\"Env\":[\"a=2\"]}" },
		{ { "ENV a=" }, "{\"Env\":[\"a=\"]}" },
		{ { "WORKDIR a", "WORKDIR b" }, "{\"WorkingDir\":\"/a/b\"}" },
		{ { "EXPOSE 1 1/tcp 2/udp" }, "{\"ExposedPorts\":{\"1/tcp\":{},\"2/udp\":{}}}" },
		{ { "HEALTHCHECK NONE" }, "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}" },
		{ { "HEALTHCHECK --timeout=1h1m1s --start-period=5ms CMD [\"x\"]" },
		  "{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Timeout\":3661000000000,"
		  "\"StartPeriod\":5000000}}" },
		{ { "LABEL x=1", "LABEL x=2 y=3" }, "{\"Labels\":{\"x\":\"2\",\"y\":\"3\"}}" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(changed(cases[i].changes), cases[i].config);
}

/* An archive of documents only, in memory. */
static struct archive make_archive(struct archive_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		str_format(members[i].blob.digest, DIGEST_MAX, "sha256:%064zu", i);
		members[i].document_len = members[i].document ? strlen(members[i].document) : 0;
	}
	return (struct archive) { .arena = &arena, .members = members, .count = count };
}

#define HEX_0  "0000000000000000000000000000000000000000000000000000000000000000"
#define HEX_1  "0000000000000000000000000000000000000000000000000000000000000001"
#define CONFIG "{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_0 "\"]}}"

static int describe(const struct archive *archive, const char **ret)
{
	struct buf out;
	struct masu_error err = { 0 };
	buf_init(&out, 0);
	int r = archive_describe(archive, &out, &err);
	*ret = arena_strdup(&arena, r < 0 ? err.message : buf_str(&out));
	buf_free(&out);
	return r;
}

static void test_docker_archives(void **state)
{
	struct archive_member members[] = {
		{ .path = "manifest.json",
		  .document = "[{\"Config\":\"c\",\"RepoTags\":[\"x:1\",\"r.io/y\"],"
			      "\"Layers\":[\"old/layer.tar\"]}]" },
		{ .path = "c", .document = CONFIG },
		{ .path = "l" },
		{ .path = "old/layer.tar", .link = "l" },
	};
	struct archive archive = make_archive(members, ARRAY_SIZE(members));
	const char *text;
	assert_int_equal(describe(&archive, &text), 0);
	assert_string_equal(text, "image - 1\nlayer 2 sha256:" HEX_0
				  "\nname docker.io/library/x:1\nname r.io/y:latest\n");
	members[3].link = "old/layer.tar"; /* a link to itself ends */
	assert_int_equal(describe(&archive, &text), -EBADMSG);
	assert_string_equal(text, "the archive has no \"old/layer.tar\"");
	members[3].link = "l";
	members[1].document = "{\"rootfs\":{\"diff_ids\":[]}}";
	members[1].document_len = strlen(members[1].document);
	assert_int_equal(describe(&archive, &text), -EBADMSG);
	members[1].document = NULL;
	assert_int_equal(describe(&archive, &text), -EBADMSG);
}

static void test_oci_layouts(void **state)
{
	struct archive_member members[] = {
		{ .path = "blobs/sha256/" HEX_0, .document = CONFIG },
		{ .path = "blobs/sha256/" HEX_1,
		  .document =
			  "{\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
			  "\"digest\":\"sha256:" HEX_0
			  "\",\"size\":1},\"layers\":[{\"mediaType\":\"application/vnd.oci."
			  "image.layer.v1.tar\",\"digest\":\"sha256:" HEX_0 "\",\"size\":1}]}" },
		{ .path = "index.json",
		  .document = "{\"manifests\":[{\"digest\":\"sha256:" HEX_1
			      "\",\"annotations\":{\"org.opencontainers.image.ref.name\":"
			      "\"latest\"}},{\"digest\":\"sha256:" HEX_1
			      "\",\"annotations\":{\"io.containerd.image.name\":\"a.b/c:1\"}}]}" },
	};
	struct archive archive = make_archive(members, ARRAY_SIZE(members));
	const char *text;
	assert_int_equal(describe(&archive, &text), 0);
	assert_string_equal(text, "image 1 0\nlayer 0 sha256:" HEX_0
				  "\nimage 1 0\nlayer 0 sha256:" HEX_0 "\nname a.b/c:1\n");
	/* The same with a config of another kind; attached to something. */
	members[1].document =
		"{\"config\":{\"mediaType\":\"a/b\",\"digest\":\"sha256:" HEX_0
		"\",\"size\":1},\"layers\":[],\"subject\":{\"digest\":\"sha256:" HEX_0 "\"}}";
	members[1].document_len = strlen(members[1].document);
	assert_int_equal(describe(&archive, &text), 0);
	assert_string_equal(text, "artifact 1 sha256:" HEX_0 " a/b\npart 0\n"
				  "artifact 1 sha256:" HEX_0 " a/b\npart 0\n");
	str_format(members[0].blob.digest, DIGEST_MAX, "sha256:%064d", 9);
	assert_int_equal(describe(&archive, &text), -EBADMSG);
	assert_non_null(strstr(text, "its content has the digest"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),		cmocka_unit_test(test_whiteouts),
		cmocka_unit_test(test_tar_numbers),	cmocka_unit_test(test_frames_travel),
		cmocka_unit_test(test_damaged_frames),	cmocka_unit_test(test_changes),
		cmocka_unit_test(test_docker_archives), cmocka_unit_test(test_oci_layouts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
