/* Identifiers: 64 hex digits of kernel randomness, and Docker-like readable names. */
#pragma once

#include <stdbool.h>

#define ID_LENGTH 64

/* Fills @ret_id with ID_LENGTH hex digits and a NUL. 0 or -errno (getrandom(2)). */
int id_random(char ret_id[ID_LENGTH + 1]);

/* 1 to 64 lower-case hex digits: what may be a container id or a prefix of one. */
bool id_prefix_valid(const char *s);

/* "adjective_surname" into @ret (64 bytes); @attempt > 0 appends a digit to avoid collisions. */
int id_random_name(char ret[64], unsigned attempt);
