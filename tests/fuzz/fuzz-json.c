/* What parses is written and parses again to the same text; nothing reads out of bounds. */
#include <string.h>

#include "fuzz.h"
#include "json/json.h"

static void render(const struct json *value, bool indent, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, indent);
	json_put_value(&w, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	const struct json *value, *again;
	struct masu_error err = { 0 };
	if (json_parse(&arena, (const char *)data, size, &value, &err) < 0) {
		FUZZ_CHECK(err.message[0]);
		return 0;
	}
	render(value, size & 1, &first);
	FUZZ_CHECK(json_parse(&arena, first.data, first.len, &again, NULL) == 0);
	render(again, size & 1, &second);
	FUZZ_CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	return 0;
}
