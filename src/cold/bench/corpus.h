/* Data for workloads, the same on every machine. */
#pragma once

#include <stddef.h>

/* A file with that content; what was there goes. 0 or -errno. */
int corpus_write_file(const char *path, const char *text, size_t len);
/* A file of @size bytes that compress about as text does. 0 or -errno. */
int corpus_write(const char *path, size_t size);
/* The parameters of an HPC Challenge run on one process: a matrix of @n by @n. */
int corpus_write_hpcc(const char *path, unsigned n);
