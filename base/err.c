/*
 * Filling and extending the error value. A text that is too long loses its
 * end, never its terminator; a half UTF-8 sequence may stand at the cut, and
 * whoever shows it escapes it.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ": more" behind the first len octets, as much of it as fits. */
static void
append(struct err *e, size_t len, const char *more)
{
	size_t room = sizeof(e->text) - 1 - len;
	size_t n = strlen(more);

	if (room < 2) {
		return;
	}
	memcpy(e->text + len, ": ", 2);
	if (n > room - 2) {
		n = room - 2;
	}
	memcpy(e->text + len + 2, more, n);
	e->text[len + 2 + n] = '\0';
}

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL) {
		return -1;
	}
	e->code = code;
	e->saved_errno = 0;
	va_start(ap, fmt);
	if (vsnprintf(e->text, sizeof(e->text), fmt, ap) < 0) {
		e->text[0] = '\0';
	}
	va_end(ap);
	return -1;
}

int
err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	char reason[128];
	va_list ap;
	size_t len;
	int n;

	if (e == NULL) {
		return -1;
	}
	e->code = ERR_SYSTEM;
	e->saved_errno = errnum;
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);

	len = n < 0 ? 0 : strnlen(e->text, sizeof(e->text) - 1);
	append(e, len, strerror_r(errnum, reason, sizeof(reason)));
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;
	size_t len;
	int n;

	if (e == NULL) {
		return -1;
	}
	memcpy(old, e->text, sizeof(old));
	old[sizeof(old) - 1] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);

	len = n < 0 ? 0 : strnlen(e->text, sizeof(e->text) - 1);
	append(e, len, old);
	return -1;
}
