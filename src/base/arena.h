/*
 * Arena: many small allocations with one lifetime. Memory comes from mmap in chunks, is zeroed,
 * never moves and is released as a whole. A maximum is fixed at creation, so that a hostile
 * document cannot make the program grow without bound.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used;  /* bytes handed out */
	size_t limit; /* at most this many */
};

#define ARENA_DEFAULT_LIMIT (64u << 20)

/* An empty arena; takes memory on first use. @limit bytes at most, 0: ARENA_DEFAULT_LIMIT. */
void arena_init(struct arena *arena, size_t limit);

/* Gives every byte back. Safe on an arena that is empty or zero-filled. */
void arena_free(struct arena *arena);

/* Takes everything back but keeps a chunk for what comes next, so that a loop maps nothing anew. */
void arena_reset(struct arena *arena);

/* @size zeroed bytes aligned for any type, or NULL at the limit or when memory is gone. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, alloc_size(2)));

/* @count * @size, checked for overflow. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

char *arena_strdup(struct arena *arena, const char *s);
char *arena_strndup(struct arena *arena, const char *s, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define arena_new(arena, type)		((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))
#define _cleanup_arena_			__attribute__((cleanup(arena_free)))
