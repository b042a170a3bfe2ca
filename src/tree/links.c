#include "tree/links.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define BUCKETS	     4096u
#define LINKS_MEMORY (256u << 20)

struct link {
	struct link *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct tree_links {
	struct arena arena;
	struct link *buckets[BUCKETS];
};

int tree_links_new(struct tree_links **ret)
{
	struct tree_links *links = calloc(1, sizeof(*links));
	if (!links)
		return -ENOMEM;
	arena_init(&links->arena, LINKS_MEMORY);
	*ret = links;
	return 0;
}

void tree_links_free(struct tree_links *links)
{
	arena_free(&links->arena);
	free(links);
}

static unsigned bucket_of(const struct stat *st)
{
	uint64_t key = (uint64_t)st->st_ino * 0x9e3779b97f4a7c15u ^ (uint64_t)st->st_dev;
	return (unsigned)(key >> 40) % BUCKETS;
}

const char *tree_links_find(const struct tree_links *links, const struct stat *st)
{
	for (const struct link *l = links->buckets[bucket_of(st)]; l; l = l->next)
		if (l->ino == st->st_ino && l->dev == st->st_dev)
			return l->path;
	return NULL;
}

int tree_links_add(struct tree_links *links, const struct stat *st, const char *path)
{
	struct link **bucket = &links->buckets[bucket_of(st)];
	size_t size = strlen(path) + 1;
	struct link *l = arena_alloc(&links->arena, sizeof(*l) + size);
	if (!l)
		return -ENOMEM;
	l->next = *bucket;
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	memcpy(l->path, path, size);
	*bucket = l;
	return 0;
}
