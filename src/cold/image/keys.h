/*
 * Keys for signing images: ECDSA on P-256 with SHA-256, as sigstore has it. Private keys are PEM
 * (PKCS #8 or EC, encrypted or not), or the form that cosign keeps them in: PEM around JSON around
 * a PKCS #8 key that scrypt and NaCl's secretbox protect (go-securesystemslib, encrypted).
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

static inline void key_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define _cleanup_key_ __attribute__((cleanup(key_freep)))

/*
 * Reads a private key. A passphrase, where it needs one, is the first line of @passphrase_file, or,
 * that being NULL, $COSIGN_PASSWORD. -EACCES: it is wrong; -EOPNOTSUPP: another kind of key.
 */
int key_read_private(const char *path, const char *passphrase_file, EVP_PKEY **ret,
		     struct masu_error *err);
int key_read_public(const char *path, EVP_PKEY **ret, struct masu_error *err);

/* The signature of @data in base64, in the arena. */
int key_sign(EVP_PKEY *key, struct arena *arena, const void *data, size_t len, const char **ret,
	     struct masu_error *err);
/* Whether @signature (base64, somebody else's) is @key's of @data. */
bool key_verifies(EVP_PKEY *key, const void *data, size_t len, const char *signature);

/*
 * Makes @prefix.key, in cosign's form, and @prefix.pub. Neither may exist. The passphrase as in
 * key_read_private().
 */
int key_pair_generate(const char *prefix, const char *passphrase_file, struct masu_error *err);
