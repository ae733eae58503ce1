#ifndef SORTIE_POLICY_TLS_LEVEL_H
#define SORTIE_POLICY_TLS_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

/*
 * How secure a delivery must be, and what it does with a host that is less
 * (design section 7 rule 5; RFC 3207, 7672, 8461, 8689). Three steps, all pure:
 *
 *   need   what the recipient's mail asks for: the secure_delivery policy that
 *          won when it was accepted, REQUIRETLS, TLS-Required;
 *   floor  that, and what the recipient's domain publishes for this host
 *          (DANE, MTA-STS): what a session with it must reach;
 *   move   what to do with a host by what it turned out to be.
 *
 * The table of all of them is printed by "sortied -T tls" for sortie.conf(5).
 */

struct arena;
struct conf_policy;

enum tls_option {
	TLS_OPPORTUNISTIC = 0, /* secure_smtp_where_possible */
	TLS_ENFORCED,          /* enforced_tls */
	TLS_NEVER,             /* no_tls */
};

enum tls_untrusted { /* opportunistic, strict, and no trust in the peer */
	TLS_UNTRUSTED_ENCRYPT = 0,
	TLS_UNTRUSTED_CLEAR,
	TLS_UNTRUSTED_DEFER,
};

struct tls_need {
	enum tls_option option;
	enum tls_untrusted untrusted;
	bool strict;  /* strict_trust_enforced; else any certificate */
	bool strong;  /* ssl_mode: AEAD with forward secrecy only */
	bool no_dane; /* is not honoured */
	bool no_mta_sts;
	bool require_tls;    /* MAIL had REQUIRETLS (RFC 8689) */
	bool optional;       /* header field "TLS-Required: No" (RFC 8689 3) */
	const char *ca_file; /* NULL: gateway.ca_file */
	const char *certificate; /* ours; NULL: none */
	const char *key;
	const char **fingerprints; /* SHA-256, 64 lower-case hex digits */
	size_t fingerprints_n;
};

/* What a policy asks for; NULL: no policy won, all is as zeroed. Strings are
 * the policy's. */
void tls_need_of_policy(const struct conf_policy *p, struct tls_need *out);

/* Is that one of its fingerprints? */
bool tls_need_pins(const struct tls_need *need, const char *fingerprint);

/*
 * The need as one line of words, equal if and only if the needs are equal; NULL
 * for one that is all zero. It is stored with the recipient and is part of a
 * destination's key: deliveries with different needs share no connection and
 * no TLS session (B09). tls_need_parse reads it back, strings into the arena;
 * NULL or "" is all zero. ERR_INVALID: nothing that this version can promise.
 */
const char *tls_need_format(const struct tls_need *need, struct arena *a);
int tls_need_parse(const char *text, struct arena *a, struct tls_need *out,
                   struct err *e);

/* ---- floor ---------------------------------------------------------- */

enum tls_dane {            /* of one host (RFC 7672 section 2.2) */
	TLS_DANE_NONE = 0, /* no TLSA records, or not secure by DNSSEC */
	TLS_DANE_USABLE,
	TLS_DANE_UNUSABLE, /* records, of which none can be used: TLS without
	                      authentication is mandatory */
	TLS_DANE_FAILED,   /* nobody knows: the host must not be used now */
};

enum tls_sts { /* of the recipient's domain and this host (RFC 8461) */
	TLS_STS_NONE = 0, /* no policy, or mode "none" */
	TLS_STS_TESTING,
	TLS_STS_ENFORCE,
	TLS_STS_UNLISTED, /* mode "enforce", no mx pattern matches the host */
};

enum tls_auth {            /* what of the peer is checked */
	TLS_AUTH_PKIX = 0, /* chain, validity, host name; or a fingerprint */
	TLS_AUTH_DANE,     /* the TLSA records */
};

enum tls_by { /* who asks for the floor; the strongest of several */
	TLS_BY_NOBODY = 0,
	TLS_BY_POLICY,
	TLS_BY_MTA_STS,
	TLS_BY_DANE,
	TLS_BY_REQUIRETLS,
};

struct tls_floor {
	bool avoid;     /* the host must not be used at all */
	bool start;     /* STARTTLS when it is offered */
	bool mandatory; /* nothing goes in clear */
	bool trusted;   /* nor to a peer that did not authenticate */
	enum tls_auth auth;
	enum tls_untrusted untrusted; /* when not trusted, but strict */
	bool strict;                  /* policy asks to look at trust */
	bool require_tls;             /* REQUIRETLS must be passed on */
	enum tls_by by;
};

struct tls_host { /* what is known of one host before it is asked */
	enum tls_dane dane;
	enum tls_sts sts;
	bool certain; /* it surely serves the domain: validated by DNSSEC, or
	                 of a route */
};

/*
 *  - An enforced policy with a trust of its own (ca_file, fingerprints) stands
 *    above what the domain publishes.
 *  - DANE goes before MTA-STS, which is not looked at for a host with usable
 *    TLSA records (RFC 8461 section 2).
 *  - "TLS-Required: No" sets aside what the domain publishes, not our policy;
 *    REQUIRETLS sets that field aside (RFC 8689 section 4.1).
 *  - REQUIRETLS needs a host that is certain or listed by an enforcing MTA-STS
 *    policy (RFC 8689 section 4.2.1), and TLS even against no_tls; so do DANE
 *    and MTA-STS, when they are honoured.
 */
void tls_floor_set(const struct tls_need *need, const struct tls_host *host,
                   struct tls_floor *out);

/* ---- move ----------------------------------------------------------- */

enum tls_peer {              /* what the host turned out to be */
	TLS_PEER_SILENT = 0, /* EHLO offers no STARTTLS, or there was no EHLO */
	TLS_PEER_REFUSED,    /* 4yz or 5yz to STARTTLS */
	TLS_PEER_BROKEN,     /* the handshake failed */
	TLS_PEER_UNTRUSTED,  /* encrypted; authentication failed */
	TLS_PEER_TRUSTED,    /* encrypted and authenticated as floor.auth */
};

enum tls_move {
	TLS_MOVE_VERIFIED = 0, /* send, to an authenticated peer */
	TLS_MOVE_ENCRYPTED,    /* send, recorded as unverified */
	TLS_MOVE_CLEAR,        /* send in clear on this connection */
	TLS_MOVE_CLEAR_ANEW,   /* a fresh connection without STARTTLS */
	TLS_MOVE_AWAY,         /* not here: next host, else later */
};

enum tls_move tls_floor_move(const struct tls_floor *f, enum tls_peer peer);

/* For logs and records: "verified", "encrypted", "clear", ... */
const char *tls_move_word(enum tls_move m);
/* "verified", "encrypted", "nothing". */
const char *tls_floor_word(const struct tls_floor *f);
const char *tls_peer_phrase(enum tls_peer p); /* "offers no STARTTLS" */
const char *tls_by_word(enum tls_by by);      /* "policy", "dane", ... */
const char *tls_dane_word(enum tls_dane d);
const char *tls_sts_word(enum tls_sts s);
int tls_level_print_table(FILE *out);

#endif
