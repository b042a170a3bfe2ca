/*
 * The box that cosign keeps a private key in: {"kdf": scrypt, "cipher": "nacl/secretbox",
 * "ciphertext"} (go-securesystemslib, package encrypted).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct key_secret {
	unsigned char *data;
	size_t len;
};

/* -EACCES: another passphrase, or damaged. The secret lies in the arena; wipe it after use. */
int key_box_open(struct arena *arena, const char *text, size_t len, const char *passphrase,
		 struct key_secret *ret, struct masu_error *err);
int key_box_seal(const struct key_secret *secret, const char *passphrase, struct buf *out,
		 struct masu_error *err);

/* Standard base64 of at most @size bytes, padded; -EINVAL. */
int key_base64_decode(const char *text, unsigned char *ret, size_t size, size_t *ret_len);
