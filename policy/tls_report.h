#ifndef SORTIE_POLICY_TLS_REPORT_H
#define SORTIE_POLICY_TLS_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/network.h"

/*
 * SMTP TLS reporting (RFC 8460), the part that only computes: its words, the
 * record by which a domain asks for reports, and the two texts under which
 * results are counted. Pure; any octets are safe.
 */

enum tls_policy_kind {            /* section 4.4, policy-type */
	TLS_POLICY_NOT_FOUND = 0, /* "no-policy-found" */
	TLS_POLICY_STS,
	TLS_POLICY_TLSA,
};

enum tls_failure {            /* section 4.3, result-type */
	TLS_FAILURE_NONE = 0, /* the session was a success */
	TLS_FAILURE_STARTTLS_NOT_SUPPORTED,
	TLS_FAILURE_CERTIFICATE_HOST_MISMATCH,
	TLS_FAILURE_CERTIFICATE_EXPIRED,
	TLS_FAILURE_CERTIFICATE_NOT_TRUSTED,
	TLS_FAILURE_VALIDATION, /* what no other word fits */
	TLS_FAILURE_TLSA_INVALID,
	TLS_FAILURE_DNSSEC_INVALID,
	TLS_FAILURE_DANE_REQUIRED,
	TLS_FAILURE_STS_POLICY_FETCH,
	TLS_FAILURE_STS_POLICY_INVALID,
	TLS_FAILURE_STS_WEBPKI_INVALID,
};

#define TLS_FAILURE_COUNT (TLS_FAILURE_STS_WEBPKI_INVALID + 1)

const char *tls_policy_word(enum tls_policy_kind k); /* "sts" */
const char *tls_failure_word(enum tls_failure f); /* "certificate-expired"; ""
                                                     for NONE */

/* ---- where reports go: TXT at _smtp._tls.DOMAIN (section 3) ---------- */

#define TLS_REPORT_RUA_MAX 8 /* what is beyond is not used */

struct tls_report_to {
	/* Mailboxes of the mailto: addresses, ASCII, decoded, each once. */
	char mailbox[TLS_REPORT_RUA_MAX][ADDRESS_MAX + 1];
	size_t mailboxes;
	size_t https;  /* addresses of that kind */
	size_t others; /* of no kind that there is, or unusable */
};

enum tls_report_record {
	TLS_REPORT_ELSE = 0, /* a record of something else */
	TLS_REPORT_BROKEN,   /* begins as one, breaks its grammar */
	TLS_REPORT_GOOD,
};

/* One record, its strings joined. *out_r is set for GOOD only, and names at
 * least one address of some kind. */
enum tls_report_record tls_report_parse(const char *text, size_t len,
                                        struct tls_report_to *out_r);

/* ---- what results are counted under -------------------------------- */

/*
 * One line of fields, divided by tabs; equal if and only if what a report
 * says is equal. In the fields a control character, a tab and what is not
 * UTF-8 are "?"; lines of a policy are divided by \n. Each is cut at
 * TLS_KEY_MAX in all, a field's own maximum before.
 */
#define TLS_KEY_MAX 4096

struct tls_policy_key {
	enum tls_policy_kind kind;
	const char *text; /* lines, joined by \n; NULL or "" none */
	const char *mx;   /* patterns, joined by \n; NULL or "" none */
};

struct tls_failure_key {
	enum tls_failure failure;
	struct net_addr local; /* AF_UNSPEC: not known */
	struct net_addr peer;
	const char *mx_host; /* NULL or "": not known */
	const char *helo;
	const char *reason;
};

/* Terminated; the length. */
size_t tls_policy_key_format(const struct tls_policy_key *k,
                             char out[TLS_KEY_MAX]);
/* "" for a success, whatever the rest says. */
size_t tls_failure_key_format(const struct tls_failure_key *k,
                              char out[TLS_KEY_MAX]);

/* The fields of a key; a missing one is "". */
struct tls_key_field {
	const char *s;
	size_t len;
};

enum { /* of a policy's key */
	TLS_KEY_KIND = 0,
	TLS_KEY_TEXT,
	TLS_KEY_MX,
	TLS_KEY_POLICY_FIELDS,
};

enum { /* of a failure's key */
	TLS_KEY_RESULT = 0,
	TLS_KEY_LOCAL,
	TLS_KEY_MX_HOST,
	TLS_KEY_HELO,
	TLS_KEY_PEER,
	TLS_KEY_REASON,
	TLS_KEY_FAILURE_FIELDS,
};

void tls_key_split(const char *key, struct tls_key_field *out, size_t n);

#endif
