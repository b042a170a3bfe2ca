/* The kernel's description of its types, and what the programs of connections without packets rely
 * on. */
#include <errno.h>
#include <linux/btf.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "network/sockmap.h"

struct described {
	struct btf_header header;
	struct btf_type number;
	uint32_t number_is;
	struct btf_type inner;
	struct btf_member inner_members[2];
	struct btf_type list;
	struct btf_enum list_values[2];
	struct btf_type outer;
	struct btf_member outer_members[2];
	char strings[32];
};
#define NAMES "\0int\0first\0second\0outer\0inner"

/* struct outer { int first; struct { int first, second; } inner; }, as Linux describes it. */
static struct described describe(void)
{
	struct described d = {
		.header = { .magic = BTF_MAGIC,
			    .version = BTF_VERSION,
			    .hdr_len = sizeof(struct btf_header),
			    .type_len =
				    offsetof(struct described, strings) - sizeof(struct btf_header),
			    .str_off =
				    offsetof(struct described, strings) - sizeof(struct btf_header),
			    .str_len = sizeof(NAMES) },
		.number = { .name_off = 1, .info = BTF_KIND_INT << 24, .size = 4 },
		.number_is = 32,
		.inner = { .info = BTF_KIND_STRUCT << 24 | 2, .size = 8 },
		.inner_members = { { 5, 1, 0 }, { 11, 1, 32 } },
		.list = { .info = BTF_KIND_ENUM << 24 | 2, .size = 4 },
		.outer = { .name_off = 18, .info = BTF_KIND_STRUCT << 24 | 2, .size = 12 },
		.outer_members = { { 5, 1, 0 }, { 24, 2, 32 } },
	};
	memcpy(d.strings, NAMES, sizeof(NAMES));
	return d;
}

static int parse(const struct described *described, size_t len, struct kernel_types *ret)
{
	struct buf text;
	buf_init(&text, 0);
	assert_int_equal(buf_append(&text, described, len), 0);
	return kernel_types_parse(&text, ret);
}

static void test_offsets(void **state)
{
	(void)state;
	struct described described = describe();
	struct kernel_types types;
	uint32_t offset = 99;
	assert_int_equal(parse(&described, sizeof(described), &types), 0);
	assert_int_equal(kernel_types_offset(&types, "outer", "first", NULL, &offset), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(kernel_types_offset(&types, "outer", "inner", NULL, &offset), 0);
	assert_int_equal(offset, 4);
	assert_int_equal(kernel_types_offset(&types, "outer", "inner", "second", &offset), 0);
	assert_int_equal(offset, 8);
	assert_int_equal(kernel_types_offset(&types, "outer", "second", NULL, &offset), -ENOENT);
	assert_int_equal(kernel_types_offset(&types, "inner", "first", NULL, &offset), -ENOENT);
	assert_int_equal(kernel_types_offset(&types, "outer", "first", "first", &offset), -ENOENT);
	assert_int_equal(offset, 8);
	kernel_types_free(&types);
}

static void test_damaged(void **state)
{
	(void)state;
	struct described described = describe();
	struct kernel_types types;
	uint32_t offset;
	assert_int_equal(parse(&described, 10, &types), -EBADMSG);
	assert_int_equal(parse(&described, offsetof(struct described, strings), &types), -EBADMSG);
	described.header.type_off = 0xfffffff0;
	assert_int_equal(parse(&described, sizeof(described), &types), -EBADMSG);
	described = describe();
	described.header.magic = 1;
	assert_int_equal(parse(&described, sizeof(described), &types), -EBADMSG);
	/* More members than there are bytes; a name beyond the names. */
	described = describe();
	described.outer.info = BTF_KIND_STRUCT << 24 | 0xffff;
	assert_int_equal(parse(&described, sizeof(described), &types), 0);
	assert_int_equal(kernel_types_offset(&types, "outer", "first", NULL, &offset), -ENOENT);
	kernel_types_free(&types);
	described = describe();
	described.outer.name_off = 1000;
	assert_int_equal(parse(&described, sizeof(described), &types), 0);
	assert_int_equal(kernel_types_offset(&types, "outer", "first", NULL, &offset), -ENOENT);
	kernel_types_free(&types);
}

/* What programs are written for: no holes, the order in which they write words. */
static void test_layout(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct sockmap_key), 12);
	assert_int_equal(offsetof(struct sockmap_record, other), 12);
	assert_int_equal(offsetof(struct sockmap_record, own_at), 24);
	assert_int_equal(sizeof(struct sockmap_record), 40);
	assert_int_equal(sizeof(struct sockmap_near), 20);
	for (int map = 0; map < SOCKMAP_MAPS; map++)
		assert_true(strlen(sockmap_map_names[map]) < BPF_OBJ_NAME_LEN);
	assert_true(strlen(SOCKMAP_PROGRAM) < BPF_OBJ_NAME_LEN);
}

/* The verifier of the kernel at hand takes both, in few enough instructions. */
static void test_loads(void **state)
{
	(void)state;
	struct sockmap_offsets offsets;
	struct kernel_types types;
	int maps[SOCKMAP_MAPS];
	int r = kernel_types_read(&types);
	if (r == -ENOENT)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(sockmap_offsets(&types, &offsets), 0);
	kernel_types_free(&types);
	assert_true(offsets.write_seq && offsets.copied_seq && offsets.upper && offsets.received &&
		    offsets.received_max);
	assert_int_not_equal(offsets.write_seq, offsets.copied_seq);
	r = sockmap_make_maps(maps);
	int begin = r < 0 ? r : sockmap_load_begin(maps);
	int sends = r < 0 ? r : sockmap_load_send(maps, &offsets);
	for (int map = 0; map < SOCKMAP_MAPS; map++)
		cleanup_close(&maps[map]);
	if (r == -EPERM)
		skip();
	assert_true(begin >= 0);
	assert_true(sends >= 0);
	close(begin);
	close(sends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_loads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
