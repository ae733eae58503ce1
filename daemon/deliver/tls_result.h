#ifndef SORTIE_DAEMON_DELIVER_TLS_RESULT_H
#define SORTIE_DAEMON_DELIVER_TLS_RESULT_H

#include "base/network.h"
#include "policy/tls_report.h"

/*
 * What became of TLS in one session with a mail exchanger (RFC 8460 section
 * 4): told once a session, however many messages it carries, by a callback of
 * deliver_options,
 *
 *   void (*tls_result)(void *arg, const struct tls_result *r);
 *
 * on the reactor's thread. Whoever is told copies what it keeps and returns
 * soon. To be told:
 *
 *  - a session that is encrypted and reached what its policy asks: NONE;
 *  - one that did not, whether mail went over it anyway or not: the first
 *    thing that was wrong;
 *  - a session that was not begun for want of the policy (TLSA look-up bogus,
 *    MTA-STS policy not fetched): that failure, host and addresses as far as
 *    known. A session may so be told twice: the fetch of the policy failed
 *    (kind STS), and then TLS without a policy was a success (kind
 *    NOT_FOUND).
 *
 * Not to be told: what failed before TLS (connecting, the greeting, a
 * time-out: section 4.3.3), sessions of a policy "no_tls", with a route's
 * host, with a host that is remembered to have broken TLS, and those of mail
 * with "TLS-Required: No", which are reports themselves (section 5.3).
 */
struct tls_result {
	const char *domain; /* the recipient's, normalised */
	enum tls_policy_kind kind;
	/* The policy that was applied: the lines of the MTA-STS policy, or
	 * the rdata of the TLSA records ("3 1 1 1F85..."), joined by \n.
	 * NULL: none, or not known. */
	const char *policy_text;
	/* STS: the patterns of the policy, joined by \n. TLSA: the TLSA base
	 * domain, which is what RFC 8460 calls the policy's domain then. NULL:
	 * none. */
	const char *mx_pattern;
	const char *mx_host;   /* "" or NULL: there was none */
	const char *helo;      /* as its greeting or EHLO said, or NULL */
	struct net_addr local; /* ours; AF_UNSPEC: not connected */
	struct net_addr peer;
	enum tls_failure failure;
	/* Words for failure-reason-code, of ours or of the TLS library's; no
	 * time, number or id in it, so that equal failures count as one.
	 * NULL: none. */
	const char *reason;
};

#endif
