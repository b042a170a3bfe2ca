/*
 * Regular expressions, small: characters, `.`, `[a-z]`, `[^…]`, `\d \w \s` and their opposites in
 * capitals, `*`, `+`, `?`, `|`, groups, `^` and `$`; bytes, not characters. No `{m,n}`, and no
 * `(?…)`. Matching takes time in proportion to the text, whatever the expression.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define REGEX_STEPS_MAX 256

struct regex {
	unsigned count;
	struct regex_step {
		uint8_t kind;
		int16_t to[2];	   /* of a branch, relative */
		uint8_t bytes[32]; /* of a set, a bit each */
	} steps[REGEX_STEPS_MAX];
};

/* 0, -EINVAL for what is none of the above, -E2BIG. */
int regex_compile(const char *expression, struct regex *ret);
/* True where a part of @text matches. */
bool regex_matches(const struct regex *regex, const char *text);
