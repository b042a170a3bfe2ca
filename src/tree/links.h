/* Files that have more than one name: under which the walk met them first. For walk.c. */
#pragma once

#include <sys/stat.h>

struct tree_links;

int tree_links_new(struct tree_links **ret);
void tree_links_free(struct tree_links *links);
/* The path of the file that @st is of, or NULL. */
const char *tree_links_find(const struct tree_links *links, const struct stat *st);
/* -ENOMEM. */
int tree_links_add(struct tree_links *links, const struct stat *st, const char *path);
