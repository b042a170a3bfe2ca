/* Finding the program to run, inside the container, with docker's words for what goes wrong. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Resolves @name as execvp(3) would with the PATH of @env: in the caller's root and with its
 * credentials. Fails with exit_status 127 (not found) or 126 (found but not executable).
 */
int lookup_program(const char *name, char *const *env, char *ret, size_t size,
		   struct masu_error *err);

/* The error for an execve(2) of @path that failed with @code; returns @code. */
int lookup_exec_error(const char *path, int code, struct masu_error *err);

/* The value of @name in @env, or NULL. */
const char *lookup_env(char *const *env, const char *name);
