#ifndef SORTIE_POLICY_TLS_REPORT_H
#define SORTIE_POLICY_TLS_REPORT_H

/*
 * The words of SMTP TLS reporting (RFC 8460). Pure.
 */

enum tls_policy_kind {            /* RFC 8460 section 4.4, policy-type */
	TLS_POLICY_NOT_FOUND = 0, /* "no-policy-found" */
	TLS_POLICY_STS,           /* "sts" */
	TLS_POLICY_TLSA,          /* "tlsa" */
};

enum tls_failure {            /* RFC 8460 section 4.3, result-type */
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

#endif
