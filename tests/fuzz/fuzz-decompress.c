/* What a layer, an archive or a build context is compressed with: any bytes are data or an error.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cold/image/stream.h"
#include "fuzz.h"

/* The bytes as a file, one for all runs. */
static int input(const uint8_t *data, size_t size)
{
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("input", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size &&
		   lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Bombs are the unit tests' business; here they would only take time. */
#define ENOUGH (4u << 20)

static volatile uint8_t seen;

static void check_stream(struct stream *stream, size_t size)
{
	struct masu_error err = { 0 };
	struct source *source = stream_source(stream);
	uint64_t total = 0;
	bool failed = false;
	while (total < ENOUGH) {
		const uint8_t *data;
		size_t len;
		failed = source->peek(source, &data, &len, &err) < 0;
		FUZZ_CHECK(!failed || err.message[0]);
		if (failed || len == 0)
			break;
		/* The sanitizer knows which bytes are there. */
		seen = data[0] ^ data[len - 1];
		/* Not always all of it at once. */
		size_t taken = len > 1 && len % 2 ? len - 1 : len;
		source->consume(source, taken);
		total += taken;
	}
	FUZZ_CHECK(stream_kind(stream) != STREAM_PLAIN || failed || total == size ||
		   total >= ENOUGH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream *stream;
	struct masu_error err = { 0 };
	if (stream_open(input(data, size), NULL, &stream, &err) < 0) {
		FUZZ_CHECK(err.message[0]);
		return 0;
	}
	check_stream(stream, size);
	stream_close(stream);
	return 0;
}
