/* Chunks: always the same ones, few of them new after a change, and the stream whole again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "cold/image/chunk.h"
#include "cold/image/volume_artifact.h"

#define AVERAGE	  CHUNK_AVERAGE_MIN
#define SIZE	  (24u << 20)
#define MOST_CUTS 256

/* The same on every machine. */
static uint8_t *make_stream(size_t size, uint64_t seed)
{
	uint8_t *data = malloc(size);
	assert_non_null(data);
	for (size_t i = 0; i < size; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		data[i] = (uint8_t)(seed >> 56);
	}
	return data;
}

static size_t cut_all(const uint8_t *data, size_t size, size_t cuts[MOST_CUTS])
{
	size_t count = 0;
	for (size_t at = 0; at < size;) {
		at += chunk_cut(AVERAGE, data + at, size - at);
		assert_true(count < MOST_CUTS);
		cuts[count++] = at;
	}
	return count;
}

/* Where it cuts decides what has to be sent again: it must never change. */
static void test_cuts_are_for_ever(void **state)
{
	static const size_t known[] = { 269998,	 1607672, 2772084, 3797741,
					4950354, 6048735, 7241015, 8717773 };
	size_t cuts[MOST_CUTS];
	_cleanup_free_ uint8_t *data = make_stream(SIZE, 42);
	size_t count = cut_all(data, SIZE, cuts);
	assert_in_range(count, SIZE / AVERAGE / 2, SIZE / AVERAGE * 2);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		assert_int_equal(cuts[i], known[i]);
	assert_int_equal(cuts[count - 1], SIZE);
}

static void test_sizes_are_bounded(void **state)
{
	_cleanup_free_ uint8_t *zeroes = calloc(1, 5 * AVERAGE);
	size_t cuts[MOST_CUTS];
	_cleanup_free_ uint8_t *data = make_stream(SIZE, 7);
	assert_non_null(zeroes);
	size_t zero = chunk_cut(AVERAGE, zeroes, 5 * AVERAGE);
	assert_in_range(zero, AVERAGE / CHUNK_FACTOR, AVERAGE * CHUNK_FACTOR);
	assert_int_equal(chunk_cut(AVERAGE, zeroes, 10), 10);
	size_t count = cut_all(data, SIZE, cuts);
	for (size_t i = 1; i < count - 1; i++)
		assert_in_range(cuts[i] - cuts[i - 1], AVERAGE / CHUNK_FACTOR,
				AVERAGE * CHUNK_FACTOR);
	assert_int_equal(chunk_average(0), CHUNK_AVERAGE_MIN);
	assert_int_equal(chunk_average(1ull << 50), CHUNK_AVERAGE_MAX);
	assert_int_equal(chunk_average(20ull << 30), 4u << 20);
}

/* What is put in near the beginning moves everything behind it, and changes chunks around it only.
 */
static void test_shifts_are_local(void **state)
{
	static const char text[] = "inserted";
	size_t before[MOST_CUTS], after[MOST_CUTS], at = 5u << 20, same = 0;
	_cleanup_free_ uint8_t *data = make_stream(SIZE, 1), *shifted = malloc(SIZE + sizeof(text));
	assert_non_null(shifted);
	memcpy(shifted, data, at);
	memcpy(shifted + at, text, sizeof(text));
	memcpy(shifted + at + sizeof(text), data + at, SIZE - at);
	size_t count = cut_all(data, SIZE, before);
	size_t moved = cut_all(shifted, SIZE + sizeof(text), after);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < moved; j++)
			same += before[i] == after[j] || before[i] + sizeof(text) == after[j];
	assert_true(same + 4 >= count);
}

struct packed {
	int fd;
	size_t count;
	uint32_t least, most;
};

static void pack(const uint8_t *data, size_t size, struct packed *ret)
{
	const struct chunk_job job = { .average = AVERAGE };
	struct worker_report report = { 0 };
	struct masu_error err = { 0 };
	char hex[SHA256_HEX + 1], expected[SHA256_HEX + 1];
	EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
	_cleanup_close_ int in = memfd_create("in", MFD_CLOEXEC);
	ret->fd = memfd_create("out", MFD_CLOEXEC);
	assert_int_equal(EVP_DigestInit_ex(sha256, EVP_sha256(), NULL), 1);
	assert_int_equal(write(in, data, size), size);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_int_equal(chunk_pack(&job, in, ret->fd, sha256, &report, &err), 0);
	EVP_MD_CTX_free(sha256);
	assert_int_equal(report.bytes, size);
	sha256_to_hex(report.sha256, hex);
	sha256_hex(data, size, expected);
	assert_string_equal(hex, expected);
}

/* Strips the headers: what is left is what the registry has, one after the other. */
static int joined(const struct packed *packed, size_t *ret_chunks, uint64_t *ret_raw)
{
	struct chunk_header header;
	int out = memfd_create("joined", MFD_CLOEXEC);
	assert_int_equal(lseek(packed->fd, 0, SEEK_SET), 0);
	*ret_chunks = 0;
	*ret_raw = 0;
	while (read(packed->fd, &header, sizeof(header)) == sizeof(header)) {
		_cleanup_free_ char *bytes = malloc(header.packed);
		assert_non_null(bytes);
		assert_int_equal(read(packed->fd, bytes, header.packed), header.packed);
		assert_int_equal(write(out, bytes, header.packed), header.packed);
		assert_true(header.raw / 200 <=
			    header.packed); /* else the decoder would refuse it */
		*ret_raw += header.raw;
		(*ret_chunks)++;
	}
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	return out;
}

static void round_trip(const uint8_t *data, size_t size)
{
	struct packed packed;
	struct masu_error err = { 0 };
	size_t chunks;
	uint64_t raw;
	pack(data, size, &packed);
	_cleanup_close_ int all = joined(&packed, &chunks, &raw);
	close(packed.fd);
	assert_int_equal(raw, size);
	_cleanup_close_ int plain = memfd_create("plain", MFD_CLOEXEC);
	assert_int_equal(decode_plain(all, plain, &err), 0);
	assert_int_equal(lseek(plain, 0, SEEK_END), size);
	void *back = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, plain, 0) : NULL;
	if (size)
		assert_memory_equal(back, data, size);
	if (back)
		munmap(back, size);
}

static void test_round_trip(void **state)
{
	_cleanup_free_ uint8_t *data = make_stream(9u << 20, 3);
	round_trip(data, 9u << 20);
	round_trip(data, 1);
	memset(data, 0, 9u << 20);
	round_trip(data, 9u << 20);
}

/* ---- documents ---- */

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEAD                                                                                       \
	"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","       \
	"\"artifactType\":\"application/vnd.masu.volume.v1\","
#define BLOB(type) "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST "\",\"size\":7}"
#define CONFIG	   "\"config\":" BLOB(VOLUME_CONFIG_TYPE)

static void test_manifests(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		HEAD CONFIG ",\"layers\":[]}",
		HEAD CONFIG "}",
		HEAD CONFIG ",\"layers\":{\"a\":" BLOB(VOLUME_CHUNK_TYPE) "}}",
		HEAD CONFIG ",\"layers\":[" BLOB("application/x") "]}",
		HEAD CONFIG ",\"layers\":[7]}",
		HEAD CONFIG ",\"layers\":[{\"mediaType\":\"" VOLUME_CHUNK_TYPE
			    "\",\"digest\":\"sha256:zz\",\"size\":1}]}",
		HEAD CONFIG ",\"layers\":[{\"mediaType\":\"" VOLUME_CHUNK_TYPE
			    "\",\"digest\":\"" DIGEST "\",\"size\":-1}]}",
		HEAD CONFIG ",\"manifests\":[],\"layers\":[" BLOB(VOLUME_CHUNK_TYPE) "]}",
		HEAD
		"\"config\":" BLOB("application/x") ",\"layers\":[" BLOB(VOLUME_CHUNK_TYPE) "]}",
	};
	static const char good[] = HEAD CONFIG
		",\"layers\":[" BLOB(VOLUME_CHUNK_TYPE) "," BLOB(VOLUME_CHUNK_TYPE) "]}";
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct volume_task task = { bad[i], strlen(bad[i]) };
		struct masu_error err = { 0 };
		_cleanup_buf_ struct buf out;
		buf_init(&out, 1u << 20);
		assert_true(volume_describe_manifest(&task, &out, &err) < 0);
		assert_true(*err.message);
	}
	struct volume_task task = { good, strlen(good) };
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1u << 20);
	assert_int_equal(volume_describe_manifest(&task, &out, NULL), 0);
	assert_int_equal(out.len, 3 * sizeof(DIGEST " 7"));
}

static void test_configs(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"name\":\"a\",\"tar\":\"x\",\"size\":1}",
		"{\"name\":\"a\",\"tar\":\"" DIGEST "\"}",
		"{\"name\":\"a\",\"tar\":\"" DIGEST "\",\"size\":1,\"labels\":[]}",
		"{\"name\":\"a\",\"tar\":\"" DIGEST "\",\"size\":1,\"limit\":\"9\"}",
		"{\"name\":\"a\",\"tar\":\"" DIGEST "\",\"size\":1,\"labels\":{\"a\":1}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct volume_task task = { bad[i], strlen(bad[i]) };
		struct masu_error err = { 0 };
		_cleanup_buf_ struct buf out;
		buf_init(&out, 1u << 20);
		assert_true(volume_describe_config(&task, &out, &err) < 0);
	}
	const struct oci_pair label = { "k", "v" };
	const struct volume_config config = { .name = "data",
					      .tar = DIGEST,
					      .size = 9,
					      .limit = 4096,
					      .labels = (struct oci_pair *)&label,
					      .label_count = 1 };
	_cleanup_buf_ struct buf text, out;
	buf_init(&text, 1u << 20);
	buf_init(&out, 1u << 20);
	assert_int_equal(volume_config_write(&config, &text), 0);
	struct volume_task task = { buf_str(&text), text.len };
	assert_int_equal(volume_describe_config(&task, &out, NULL), 0);
	assert_memory_equal(buf_str(&out),
			    "data\0" DIGEST "\0"
			    "9 4096\0"
			    "k\0"
			    "v",
			    out.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts_are_for_ever), cmocka_unit_test(test_sizes_are_bounded),
		cmocka_unit_test(test_shifts_are_local),  cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_manifests),	  cmocka_unit_test(test_configs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
