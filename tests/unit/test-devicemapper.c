/* What the devicemapper driver writes for the kernel and reads of it; no device mapper is needed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#include "base/str.h"
#include "storage/config.h"
#include "storage/dm_text.h"
#include "storage/storage.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* ---- ioctl buffers ---- */

static void device_numbers(void **state)
{
	/* huge_encode_dev(): the minor's low byte, the major, the rest of the minor. */
	assert_int_equal(dm_encode_dev(makedev(253, 1)), 0xfd01);
	assert_int_equal(dm_encode_dev(makedev(253, 0x12345)), 0x1230fd45);
	const unsigned minors[] = { 0, 1, 255, 256, 0x12345, 0xfffff };
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		assert_int_equal(dm_decode_dev(dm_encode_dev(makedev(253, minors[i]))),
				 makedev(253, minors[i]));
}

static void request_of_a_table(void **state)
{
	const struct dm_target target = { .name = "masu-x-pool" };
	struct dm_request request;
	struct dm_target_spec spec;
	assert_int_equal(dm_request_init(&request, &target, DM_READONLY_FLAG), 0);
	assert_int_equal(dm_request_table(&request, 2048, "thin", "253:0 7"), 0);
	assert_int_equal(request.header.version[0], DM_VERSION_MAJOR);
	assert_int_equal(request.header.data_size, sizeof(request));
	assert_int_equal(request.header.data_start, sizeof(struct dm_ioctl));
	assert_int_equal(request.header.target_count, 1);
	assert_int_equal(request.header.flags, DM_READONLY_FLAG);
	assert_string_equal(request.header.name, "masu-x-pool");
	memcpy(&spec, request.bytes + request.header.data_start, sizeof(spec));
	assert_int_equal(spec.sector_start, 0);
	assert_int_equal(spec.length, 2048);
	assert_int_equal(spec.next % 8, 0);
	assert_true(spec.next >= sizeof(spec) + sizeof("253:0 7"));
	assert_string_equal(spec.target_type, "thin");
	/* It is what the kernel answers a question for the table with. */
	uint64_t sectors = 0;
	const char *line = dm_request_line(&request, "thin", &sectors);
	assert_non_null(line);
	assert_string_equal(line, "253:0 7");
	assert_int_equal(sectors, 2048);
	assert_null(dm_request_line(&request, "thin-pool", &sectors));
	request.header.flags |= DM_BUFFER_FULL_FLAG;
	assert_null(dm_request_line(&request, "thin", &sectors));
	request.header.flags = 0;
	request.header.data_start = sizeof(request) - 4;
	assert_null(dm_request_line(&request, "thin", &sectors));
}

static void what_does_not_fit_is_refused(void **state)
{
	char name[DM_NAME_LEN + 1], params[DM_REQUEST_MAX];
	struct dm_target target = { .name = name };
	struct dm_request request;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(dm_request_init(&request, &target, 0), -EINVAL);
	target = (struct dm_target) { .dev = makedev(253, 3) };
	assert_int_equal(dm_request_init(&request, &target, 0), 0);
	assert_int_equal(request.header.dev, 0xfd03);
	assert_string_equal(request.header.name, "");
	memset(params, 'p', sizeof(params));
	params[sizeof(params) - 1] = '\0';
	assert_int_equal(dm_request_table(&request, 1, "thin", params), -EINVAL);
	assert_int_equal(dm_request_table(&request, 1, "a-name-of-sixteen", ""), -EINVAL);
	assert_int_equal(dm_request_message(&request, params), -EINVAL);
	assert_int_equal(dm_request_message(&request, "create_snap 2 1"), 0);
	assert_string_equal((char *)request.bytes + sizeof(struct dm_ioctl) +
				    offsetof(struct dm_target_msg, message),
			    "create_snap 2 1");
}

/* ---- tables and status lines ---- */

static void tables(void **state)
{
	const struct dm_pool_table table = { makedev(7, 0), makedev(7, 300), 128, 1024 };
	struct dm_pool_table read;
	char text[DM_PARAMS_MAX];
	assert_int_equal(dm_pool_table_write(&table, text), 0);
	assert_string_equal(text, "7:0 7:300 128 1024 2 skip_block_zeroing error_if_no_space");
	assert_int_equal(dm_pool_table_parse(text, &read), 0);
	assert_int_equal(read.metadata, table.metadata);
	assert_int_equal(read.data, table.data);
	assert_int_equal(read.block_sectors, 128);
	assert_int_equal(read.low_water_blocks, 1024);
	assert_int_equal(dm_pool_table_parse("253:0 7", &read), -EBADMSG);
	assert_int_equal(dm_pool_table_parse("7:0 7:1 0 0", &read), -EBADMSG);
	assert_int_equal(dm_thin_table_write(makedev(253, 0), 16777215, text), 0);
	assert_string_equal(text, "253:0 16777215");
}

static void status_lines(void **state)
{
	struct dm_pool_status s;
	assert_int_equal(dm_pool_status_parse("7 12/1024 34/1600 - rw discard_passdown "
					      "error_if_no_space - 1024 ",
					      &s),
			 0);
	assert_int_equal(s.mode, DM_POOL_WRITE);
	assert_int_equal(s.transaction_id, 7);
	assert_int_equal(s.metadata_used, 12);
	assert_int_equal(s.metadata_total, 1024);
	assert_int_equal(s.data_used, 34);
	assert_int_equal(s.data_total, 1600);
	assert_false(s.needs_check);
	assert_int_equal(dm_pool_status_parse("7 1/2 3/3 - out_of_data_space discard_passdown "
					      "error_if_no_space needs_check 1024",
					      &s),
			 0);
	assert_int_equal(s.mode, DM_POOL_OUT_OF_SPACE);
	assert_true(s.needs_check);
	assert_int_equal(dm_pool_status_parse("7 1/2 3/3 9 ro discard_passdown", &s), 0);
	assert_int_equal(s.mode, DM_POOL_READ_ONLY);
	assert_int_equal(dm_pool_status_parse("Fail", &s), 0);
	assert_int_equal(s.mode, DM_POOL_FAILED);
	assert_int_equal(dm_pool_status_parse("Error", &s), -EBADMSG);
	assert_int_equal(dm_pool_status_parse("7 1/2 3/3 - nonsense", &s), -EBADMSG);
	assert_int_equal(dm_pool_status_parse("", &s), -EBADMSG);
}

static void shortage(void **state)
{
	assert_false(dm_is_short(90, 100, 10));
	assert_true(dm_is_short(91, 100, 10));
	assert_false(dm_is_short(99, 100, 0));
	assert_true(dm_is_short(100, 100, 0));
	assert_true(dm_is_short(200, 100, 0));
	assert_true(dm_is_short(0, 0, 0));
}

/* ---- records ---- */

static void device_records(void **state)
{
	const struct dm_device_record record = { 16777215, 20971520 };
	struct dm_device_record read;
	char text[DM_RECORD_MAX];
	assert_int_equal(dm_device_record_write(&record, text), 0);
	assert_string_equal(text, "16777215 20971520\n");
	assert_int_equal(dm_device_record_parse(text, &read), 0);
	assert_int_equal(read.id, record.id);
	assert_int_equal(read.sectors, record.sectors);
	/* As read without its end. */
	assert_int_equal(dm_device_record_parse("1 2", &read), 0);
	static const char *const damaged[] = {
		"",	 "1",	   "1 0\n",	   "1 2 3\n",
		"x y\n", "-1 2\n", "16777216 8\n", "1 99999999999999999\n"
	};
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++)
		assert_int_equal(dm_device_record_parse(damaged[i], &read), -EBADMSG);
}

static void pool_record(void **state)
{
	struct dm_pool_record record = { .base_id = 12, .token = UINT64_C(1) << 40 }, read;
	_cleanup_buf_ struct buf text;
	assert_int_equal(dm_options_parse("dm.fs=xfs\ndm.basesize=20G\ndm.min_free_space=5%\n"
					  "dm.mkfsarg=-d agcount=4",
					  &record.options, NULL),
			 0);
	buf_init(&text, 4096);
	assert_int_equal(dm_pool_record_write(&record, &text), 0);
	assert_int_equal(dm_pool_record_parse(buf_str(&text), text.len, &read), 0);
	assert_memory_equal(&record, &read, sizeof(record));
	assert_int_equal(dm_pool_record_parse("{}", 2, &read), -EBADMSG);
	assert_true(dm_pool_record_parse(buf_str(&text), text.len / 2, &read) < 0);
}

/* ---- options ---- */

static void defaults_are_dockers(void **state)
{
	struct dm_options o;
	assert_int_equal(dm_options_parse("", &o, NULL), 0);
	assert_int_equal(o.loop_data_size, 100 * GIB);
	assert_int_equal(o.loop_metadata_size, 2 * GIB);
	assert_int_equal(o.base_size, 10 * GIB);
	assert_int_equal(o.block_size, 65536);
	assert_int_equal(o.min_free, 10);
	assert_string_equal(o.fs, "ext4");
	assert_string_equal(o.thinpool, "");
	assert_int_equal(
		dm_options_parse("dm.thinpooldev=/dev/mapper/vg-pool\ndm.basesize=300m", &o, NULL),
		0);
	assert_string_equal(o.thinpool, "/dev/mapper/vg-pool");
	assert_int_equal(o.base_size, 300 * MIB);
}

static void wrong_options_are_refused_by_name(void **state)
{
	static const struct {
		const char *options, *says;
	} wrong[] = {
		{ "dm.use_deferred_removal=true", "dm.use_deferred_removal" },
		{ "size=1g", "\"size\"" },
		{ "dm.fs=ext3", "dm.fs" },
		{ "dm.fs", "dm.fs" },
		{ "dm.basesize=1", "dm.basesize" },
		{ "dm.basesize=many", "dm.basesize" },
		{ "dm.min_free_space=101%", "dm.min_free_space" },
		{ "dm.blocksize=65k", "dm.blocksize" },
		{ "dm.datadev=/dev/a", "dm.metadatadev" },
		{ "dm.datadev=a\ndm.metadatadev=b", "dm.datadev" },
		{ "dm.thinpooldev=/dev/a\ndm.datadev=/dev/b\ndm.metadatadev=/dev/c",
		  "dm.thinpooldev" },
		{ "dm.fs=xfs\ndm.basesize=100m", "xfs" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct masu_error err = { 0 };
		struct dm_options o;
		assert_int_equal(dm_options_parse(wrong[i].options, &o, &err), -EINVAL);
		assert_non_null(strstr(err.message, wrong[i].says));
	}
}

/* Where there is no device mapper it says so, and nothing is made. */
static void without_a_device_mapper(void **state)
{
	const struct storage_ops *ops = storage_driver("devicemapper");
	const char *reason = "";
	assert_non_null(ops);
	int control = dm_open_control();
	if (control < 0) {
		assert_false(ops->supported(-1, &reason));
		assert_non_null(strstr(reason, control == -ENOENT ? DM_CONTROL : "device mapper"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_numbers),
		cmocka_unit_test(request_of_a_table),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(tables),
		cmocka_unit_test(status_lines),
		cmocka_unit_test(shortage),
		cmocka_unit_test(device_records),
		cmocka_unit_test(pool_record),
		cmocka_unit_test(defaults_are_dockers),
		cmocka_unit_test(wrong_options_are_refused_by_name),
		cmocka_unit_test(without_a_device_mapper),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
