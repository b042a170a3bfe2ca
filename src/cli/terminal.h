/* The caller's terminal: raw mode, size, and the keys that detach from a container. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Puts the terminal on stdin into raw mode until terminal_restore(); no terminal is no error. */
void terminal_make_raw(void);
/* Idempotent; also run at exit. */
void terminal_restore(void);

/* Size of the terminal on stdout (or stdin); false where neither is one. */
bool terminal_size(unsigned short *ret_rows, unsigned short *ret_columns);

#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"
#define DETACH_KEYS_MAX	    16

/* Looks for the key sequence in what is typed. */
struct detach_keys {
	unsigned char sequence[DETACH_KEYS_MAX];
	size_t length;	/* 0: none */
	size_t matched; /* so many of them were typed and are held back */
};

/* docker's --detach-keys: single characters or ctrl-<letter, @, [, \, ], ^ or _>, by commas. */
int detach_keys_parse(const char *text, struct detach_keys *ret, struct masu_error *err);

/*
 * Copies @in to @out, which has room for len + DETACH_KEYS_MAX, but for a begun sequence, which is
 * held back until it is complete or broken. Returns true once it is complete: what came before it
 * is in @out, what comes after is dropped.
 */
bool detach_keys_filter(struct detach_keys *keys, const unsigned char *in, size_t len,
			unsigned char *out, size_t *ret_len);
