#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"

#define CHUNK_SIZE (256u << 10)
#define ALIGNMENT  16u

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of the mapping */
	size_t used; /* including this header */
};

#define CHUNK_HEADER                                                                               \
	((sizeof(struct arena_chunk) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)) /* aligned */

void arena_init(struct arena *arena, size_t limit)
{
	*arena = (struct arena) { .limit = limit ? limit : ARENA_DEFAULT_LIMIT };
}

void arena_free(struct arena *arena)
{
	struct arena_chunk *chunk = arena->head;
	while (chunk) {
		struct arena_chunk *next = chunk->next;
		munmap(chunk, chunk->size);
		chunk = next;
	}
	arena->head = NULL;
	arena->used = 0;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *chunk = arena->head;
	if (!chunk || chunk->next || chunk->size > CHUNK_SIZE) {
		arena_free(arena);
		return;
	}
	memset((char *)chunk + CHUNK_HEADER, 0, chunk->used - CHUNK_HEADER);
	chunk->used = CHUNK_HEADER;
	arena->used = 0;
}

static struct arena_chunk *arena_grow(struct arena *arena, size_t need)
{
	size_t size = need + CHUNK_HEADER > CHUNK_SIZE ? need + CHUNK_HEADER : CHUNK_SIZE;
	/* Untouched pages of a chunk cost nothing, so a generous chunk is free. */
	struct arena_chunk *chunk =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		return NULL;
	chunk->size = size;
	chunk->used = CHUNK_HEADER;
	chunk->next = arena->head;
	arena->head = chunk;
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2 || fault_allocation())
		return NULL;
	size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	size_t limit = arena->limit ? arena->limit : ARENA_DEFAULT_LIMIT;
	if (need > limit - arena->used)
		return NULL;
	struct arena_chunk *chunk = arena->head;
	if (!chunk || chunk->size - chunk->used < need) {
		chunk = arena_grow(arena, need);
		if (!chunk)
			return NULL;
	}
	void *p = (char *)chunk + chunk->used;
	chunk->used += need;
	arena->used += need;
	return p;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *s, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);
	if (copy)
		memcpy(copy, s, len);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_strndup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *s = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
	if (s)
		vsnprintf(s, (size_t)len + 1, fmt, again);
	va_end(again);
	return s;
}
