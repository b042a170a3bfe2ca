/* 64-bit FNV-1a: names cache entries whose full key is compared as well. Not for digests. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_SEED 0xcbf29ce484222325u

static inline uint64_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++)
		seed = (seed ^ p[i]) * 0x100000001b3u;
	return seed;
}

/*
 * As hash_bytes() in purpose, eight bytes at a time: for keys of kilobytes on the hot path.
 * Depends on the machine's byte order.
 */
static inline uint64_t hash_words(uint64_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word;
		__builtin_memcpy(&word, p, 8);
		seed = (seed ^ word) * 0x9e3779b97f4a7c15u;
		seed ^= seed >> 32;
	}
	return hash_bytes(seed, p, len);
}
