/* Text by eight bytes at a time, for what looks at much of it. */
#pragma once

#include <stdint.h>
#include <string.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH_BITS  EACH(0x80)

static inline uint64_t load_word(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
	return word;
}

/* The high bit of the lowest byte of @word that is less than @limit; bits above it may be set too.
 */
static inline uint64_t bytes_below(uint64_t word, unsigned limit)
{
	return (word - EACH(limit)) & ~word & HIGH_BITS;
}

static inline uint64_t bytes_equal(uint64_t word, unsigned char byte)
{
	return bytes_below(word ^ EACH(byte), 1);
}

/* Index of the first byte of a mask, which is not 0. */
static inline unsigned first_byte(uint64_t mask)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "words are read in little endian order"
#endif
	return (unsigned)__builtin_ctzll(mask) / 8;
}
