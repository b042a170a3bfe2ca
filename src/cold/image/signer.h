/*
 * The process that has the private key. It is started before there is a connection, and signs what
 * it is given; who talks to the registry, or reads what comes from there, never has the key, nor
 * the passphrase, in its memory.
 */
#pragma once

#include "cold/image/keys.h"

struct signer;

/*
 * Starts it, and has it read the key (key_read_private()). *ret_public: its public half.
 * $COSIGN_PASSWORD is gone from this process afterwards.
 */
int signer_start(const char *path, const char *passphrase_file, struct signer **ret,
		 EVP_PKEY **ret_public, struct masu_error *err);
/* As key_sign(). */
int signer_sign(struct signer *signer, struct arena *arena, const void *data, size_t len,
		const char **ret, struct masu_error *err);
void signer_stop(struct signer *signer); /* NULL is fine */
static inline void signer_stopp(struct signer **signer)
{
	signer_stop(*signer);
}
#define _cleanup_signer_ __attribute__((cleanup(signer_stopp)))
