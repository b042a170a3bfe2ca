/* A damaged log, of either format: the reader survives it, gets on, and stays inside of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/log_driver.h"
#include "fuzz.h"

static void check_decode(const struct log_codec *codec, const uint8_t *data, size_t size)
{
	/* A copy of its exact size, so that a byte read too far is seen. */
	_cleanup_free_ char *copy = malloc(size ? size : 1);
	size_t at = 0;
	if (!copy)
		return;
	memcpy(copy, data, size);
	while (at < size) {
		struct log_entry entry;
		size_t used = codec->decode(copy + at, size - at, &entry);
		FUZZ_CHECK(used <= size - at);
		if (used == 0)
			break;
		if (entry.data) {
			char sum = 0;
			FUZZ_CHECK(entry.stream == 1 || entry.stream == 2);
			FUZZ_CHECK(entry.len <= used);
			for (size_t i = 0; i < entry.len; i++)
				sum ^= entry.data[i];
			for (size_t i = 0; i < entry.time_len; i++)
				sum ^= entry.time[i];
			for (size_t i = 0; i < entry.attrs_len; i++)
				sum ^= entry.attrs[i];
			FUZZ_CHECK(sum == (char)(sum | 0));
		}
		at += used;
	}
}

static void check_tail(const struct log_codec *codec, const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return;
	for (int64_t wanted = 1; wanted < 4; wanted++) {
		int64_t lines = wanted;
		off_t at = -1;
		FUZZ_CHECK(codec->seek_tail(fd, (off_t)size, &lines, &at) == 0);
		FUZZ_CHECK(at >= 0 && at <= (off_t)size && lines <= wanted);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const struct log_codec *codec = data[0] == 'l' ? log_local.codec : log_json_file.codec;
	check_decode(codec, data + 1, size - 1);
	check_tail(codec, data + 1, size - 1);
	return 0;
}
