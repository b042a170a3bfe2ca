/*
 * malloc(3) and its kin as the debug build's programs see them (linked with --wrap): fail where
 * fault_allocation() says so.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

/* What the linker makes of --wrap=malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t len);
int __wrap_asprintf(char **ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void *__wrap_malloc(size_t size)
{
	return fault_allocation() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fault_allocation() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fault_allocation() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fault_allocation() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t len)
{
	return fault_allocation() ? NULL : __real_strndup(s, len);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	if (fault_allocation())
		return -1;
	va_start(ap, fmt);
	int len = vasprintf(ret, fmt, ap);
	va_end(ap);
	return len;
}
