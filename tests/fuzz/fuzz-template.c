/* Any template over a fixed document: an answer or one line of error, bounded. */
#include <stdlib.h>
#include <string.h>

#include "cli/template.h"
#include "fuzz.h"

static const char document[] = "{\"A\":{\"B\":[1,2,{\"C\":\"x\"}],\"Labels\":{\"k\":\"v\"}},\"N\":"
			       "3,\"S\":\"text\",\"T\":true,\"E\":[]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf out;
	const struct json *value;
	struct masu_error err = { 0 };
	/* Nested ranges multiply: what a person types is short. */
	if (size > 256)
		return 0;
	char *text = strndup((const char *)data, size);
	buf_init(&out, 1u << 20);
	FUZZ_CHECK(text && json_parse(&arena, document, sizeof(document) - 1, &value, NULL) == 0);
	int r = template_render(&arena, text, value, &out, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	free(text);
	return 0;
}
