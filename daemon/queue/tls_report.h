#ifndef SORTIE_DAEMON_QUEUE_TLS_REPORT_H
#define SORTIE_DAEMON_QUEUE_TLS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * The report of one day and recipient domain (RFC 8460 sections 4.4, 5.3): its
 * JSON, and the mail that carries it. Reads no clock, store or socket.
 *
 * The report-id is made of submitter, domain and day: a report that is sent
 * again after a crash can be known for the same one.
 */

struct tls_row;
struct tls_report;

struct tls_report_options {
	const char *organization;
	const char *submitter; /* our host name */
	const char *contact;   /* a mailbox */
	const char *domain;    /* the recipients', normalised */
	int64_t day;           /* days since 1970, UTC */
};

/* Failures of a policy that are told one by one, the most frequent first;
 * those beyond are told by their kind alone. */
#define TLS_REPORT_DETAILS_MAX 100

/* Strings are borrowed. */
struct tls_report *tls_report_new(const struct tls_report_options *o);
/* Any order; strings are copied. */
void tls_report_add(struct tls_report *r, const struct tls_row *row);
void tls_report_free(struct tls_report **r);

/* Terminated and malloc'ed. */
char *tls_report_json(struct tls_report *r);

struct tls_report_mail {
	const char *to;       /* one mailbox */
	const char *date;     /* as clock_rfc5322 says */
	uint64_t id;          /* of the message */
	const char *json;     /* of tls_report_json */
	const char *boundary; /* random, at most 60 characters */
};

/* Appends the message, in seven bits. ERR_LIMIT when out's maximum is too
 * small, ERR_INVALID when contact is no mailbox. */
int tls_report_write(const struct tls_report *r,
                     const struct tls_report_mail *mail, struct buf *out,
                     struct err *e);

/* Enough for the mail of this JSON. */
#define TLS_REPORT_SIZE_MAX(json_len) (16384 + 2 * (size_t)(json_len))

#endif
