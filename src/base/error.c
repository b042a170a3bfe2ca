#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/*
 * Names and values in a message come from anywhere: they get no line of their own and no way to
 * drive a terminal. Line breaks that the message itself has stay.
 */
static void make_printable(char *message, const char *fmt)
{
	str_make_printable(message, strchr(fmt, '\n') != NULL);
}

__attribute__((format(printf, 3, 0))) static void error_vset(struct masu_error *err, int code,
							     const char *fmt, va_list ap)
{
	err->code = code;
	err->exit_status = 0;
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	make_printable(err->message, fmt);
}

int error_set(struct masu_error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	va_list ap;
	va_start(ap, fmt);
	error_vset(err, code, fmt, ap);
	va_end(ap);
	return code;
}

int error_errno(struct masu_error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	va_list ap;
	va_start(ap, fmt);
	error_vset(err, code, fmt, ap);
	va_end(ap);
	size_t used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(-code));
	return code;
}

int error_wrap(struct masu_error *err, const char *fmt, ...)
{
	if (!err)
		return -EIO;
	char prefixed[MASU_ERROR_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(prefixed, sizeof(prefixed), fmt, ap);
	va_end(ap);
	make_printable(prefixed, fmt);
	size_t used = strlen(prefixed);
	snprintf(prefixed + used, sizeof(prefixed) - used, ": %s", err->message);
	memcpy(err->message, prefixed, sizeof(prefixed));
	return err->code;
}

int error_exit_status(struct masu_error *err, int exit_status)
{
	if (!err)
		return -EIO;
	err->exit_status = exit_status;
	return err->code;
}

bool error_is_shortage(int code)
{
	return code == -ENOMEM || code == -EMFILE || code == -ENFILE || code == -EINTR ||
	       code == -EAGAIN;
}

void error_clear(struct masu_error *err)
{
	err->code = 0;
	err->exit_status = 0;
	err->message[0] = '\0';
}
