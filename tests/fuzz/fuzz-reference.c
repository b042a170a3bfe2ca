/* A name that parses is the same name in full and in familiar form. */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "image/image.h"

static void check_same(struct arena *arena, const struct image_reference *a, const char *text)
{
	struct image_reference b;
	FUZZ_CHECK(text && image_reference_parse(arena, text, &b, NULL) == 0);
	FUZZ_CHECK(streq(a->domain, b.domain) && streq(a->path, b.path));
	FUZZ_CHECK(streq_null(a->tag, b.tag) && streq_null(a->digest, b.digest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct image_reference reference;
	struct masu_error err = { 0 };
	char *text = arena_strndup(&arena, (const char *)data, size);
	if (!text || image_reference_parse(&arena, text, &reference, &err) < 0) {
		FUZZ_CHECK(!text || err.message[0]);
		return 0;
	}
	FUZZ_CHECK(!strstr(reference.path, "..") && *reference.path != '/');
	check_same(&arena, &reference, image_reference_full(&arena, &reference));
	/* One that looks like an id is shown in full only. */
	const char *familiar = image_reference_familiar_full(&arena, &reference);
	if (strlen(familiar) != 64 && strchr(familiar, ':'))
		check_same(&arena, &reference, familiar);
	return 0;
}
