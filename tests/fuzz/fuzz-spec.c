/* A specification that is accepted is written, accepted again and written the same. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"
#include "oci/runtime_spec.h"

static void render(const struct oci_spec *spec, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	oci_spec_write(&w, spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	struct oci_spec spec, again;
	struct masu_error err = { 0 };
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	if (oci_spec_parse(&arena, (const char *)data, size, &spec, &err) < 0) {
		FUZZ_CHECK(err.message[0]);
		return 0;
	}
	render(&spec, &first);
	FUZZ_CHECK(oci_spec_parse(&arena, first.data, first.len, &again, &err) == 0);
	render(&again, &second);
	FUZZ_CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	return 0;
}
