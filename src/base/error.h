/*
 * Errors that reach a person.
 *
 * A function that can fail returns 0 or a negative errno. Where the failure leaves a module it also
 * takes a `struct masu_error *` as its last argument: owned by the caller, of fixed size, filled
 * without malloc, so it may be used after clone() and when memory is gone. Every layer on the way
 * up may prefix what it knows; the program prints the line once.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define MASU_ERROR_MAX 1024

struct masu_error {
	int code;	 /* negative errno of the first cause, 0 when unset */
	int exit_status; /* what the program should exit with; 0: the caller's default */
	char message[MASU_ERROR_MAX];
};

/*
 * Records "<message>" and returns @code (a negative errno). With a NULL @err only the code is
 * returned. A message says: the thing, the cause and, where there is one, the remedy. No newline.
 * What is not printable in the arguments becomes '?', see str_make_printable().
 */
int error_set(struct masu_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set(), with ": <strerror(-code)>" appended. */
int error_errno(struct masu_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Prefixes what is already recorded with "<message>: " and returns the code recorded earlier. */
int error_wrap(struct masu_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the exit status that goes with the error (125, 126, 127 …) and returns err->code. */
int error_exit_status(struct masu_error *err, int exit_status);

/*
 * Whether the failure tells of the machine at this moment (no memory, no descriptors, a signal) and
 * nothing of the thing that was looked at: that is then not damaged and not absent.
 */
bool error_is_shortage(int code);

/* Forgets what was recorded. */
void error_clear(struct masu_error *err);

static inline bool error_is_set(const struct masu_error *err)
{
	return err->code != 0;
}
