#ifndef SORTIE_BASE_ERR_H
#define SORTIE_BASE_ERR_H

/*
 * The error value. Made where the cause is known, extended on the way up
 * ("load key: open dkim/a.pem: No such file or directory"). The text is for
 * the person who can act; it never holds a secret.
 */

enum err_code {
	ERR_NONE = 0,
	ERR_SYSTEM,      /* a system call failed: saved_errno says which way */
	ERR_INVALID,     /* input breaks its grammar or range */
	ERR_LIMIT,       /* a bound of ours was reached */
	ERR_NOT_FOUND,   /* the named thing does not exist */
	ERR_CORRUPT,     /* stored data is not what we wrote */
	ERR_BUSY,        /* somebody else holds it */
	ERR_UNAVAILABLE, /* works again later: store unhealthy, DNS down */
	ERR_REFUSED,     /* not allowed */
};

#define ERR_TEXT_MAX 512

struct err {
	enum err_code code;
	int saved_errno;
	char text[ERR_TEXT_MAX]; /* always terminated; cut, never overrun */
};

/* Each fills *e (e may be NULL) and returns -1, so "return err_set(...)". */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* As err_set with ERR_SYSTEM; appends ": " and the text of errnum. */
int err_sys(struct err *e, int errnum, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* Puts "text: " before what *e says already; keeps code and errno. */
int err_wrap(struct err *e, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

#endif
