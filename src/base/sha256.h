/*
 * SHA-256 (FIPS 180-4) for the programs that link libc only: verifying a manifest, naming a chain
 * of layers. Bulk data is hashed by the cold programs with OpenSSL.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX  64

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t len);
void sha256_final(struct sha256 *s, uint8_t ret[SHA256_SIZE]);

/* 64 lower-case hex digits and a NUL. */
void sha256_to_hex(const uint8_t digest[SHA256_SIZE], char ret[SHA256_HEX + 1]);

/* The digest of one piece of memory, in hex. */
void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX + 1]);
