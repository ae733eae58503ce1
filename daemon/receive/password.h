#ifndef SORTIE_DAEMON_RECEIVE_PASSWORD_H
#define SORTIE_DAEMON_RECEIVE_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * The parts of SMTP AUTH that need no connection: base64 as RFC 4954 wants
 * it, the PLAIN message (RFC 4616), and the check against a file of lines
 * "user:crypt(3) hash".
 */

#define PASSWORD_USER_MAX   255
#define PASSWORD_SECRET_MAX 1024

struct password {
	char user[PASSWORD_USER_MAX + 1];
	char secret[PASSWORD_SECRET_MAX + 1];
};

/* Strict: whole groups, padding only at the end, nothing else. Returns 0 and
 * the length, or -1 when malformed or longer than size. */
int password_decode(const char *s, size_t len, char *out, size_t size,
                    size_t *len_r);

/* authzid NUL authcid NUL password. Acting for another (an authzid that is
 * not the authcid) is refused. -1 when malformed. */
int password_parse_plain(const char *data, size_t len, struct password *out);

/*
 * Reads the file and compares; blocks and burns CPU: workers only. An unknown
 * user costs as much as a known one. *match_r is set on success; -1 when the
 * file cannot be used.
 */
int password_check(const char *file, const struct password *p, bool *match_r,
                   struct err *e);

#endif
