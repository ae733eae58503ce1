#ifndef SORTIE_POLICY_ADMISSION_H
#define SORTIE_POLICY_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/network.h"

/*
 * Who may send what to whom (design sections 1.1, 7 rule 2 and 8; MAN01,
 * MAN02; checklist B26-B29). Pure, one verdict for one (client, proof, sender,
 * recipient), tested as a matrix.
 *
 *   authorized source and internal sender, external recipient   outbound
 *   the same, internal recipient                                internal
 *   any other source, external sender, internal recipient       inbound
 *   any other source, internal sender domain                    550 spoofing
 *                    (internal recipient; external: relay refusal)
 *   everything else                                             relay refusal
 *
 * The null sender from an authorized source counts as internal (its From is
 * checked at the end of data). A send_only recipient domain takes only DSNs
 * of our own, so it is refused as a recipient from outside.
 */

struct conf;
struct conf_domain;

struct admission_client {
	struct net_addr address;
	bool tls;
	/* Does the verified client certificate carry this name? NULL: none. */
	bool (*has_certificate_name)(void *arg, const char *name);
	void *certificate_arg;
	bool authenticated; /* SMTP AUTH succeeded */
};

enum admission_verdict {
	ADMISSION_OUTBOUND = 0, /* same order as enum direction */
	ADMISSION_INBOUND,
	ADMISSION_INTERNAL,
	ADMISSION_REFUSED,
};

enum admission_reason { /* why refused; also the words of rejection records */
	ADMISSION_NO_REASON = 0,
	ADMISSION_RELAY,       /* source not authorized, recipient external */
	ADMISSION_PROOF,       /* source listed, its certificate/AUTH missing */
	ADMISSION_SENDER,      /* authorized source, foreign sender domain */
	ADMISSION_SPOOF,       /* internal sender from an unlisted source */
	ADMISSION_SEND_ONLY,   /* recipient domain receives nothing */
	ADMISSION_HEADER_FROM, /* From field not internal, or malformed */
	ADMISSION_LITERAL,     /* recipient at an address literal */
	ADMISSION_ROUTED,      /* routing within the recipient's local part */
	ADMISSION_HEADER_SIZE, /* limits.header_size */
	ADMISSION_LOOP,        /* limits.hops */
};

struct admission_answer {
	enum admission_verdict verdict;
	enum admission_reason reason;
	uint16_t code;                         /* 0 when admitted */
	const char *enhanced;                  /* "4.7.1" */
	const char *text;                      /* static; without code and id */
	const struct conf_domain *rcpt_domain; /* internal recipient's entry */
};

/* sender_domain NULL: null sender. Domains are normalised. */
void admission_decide(const struct conf *c, const struct admission_client *cl,
                      const char *sender_domain, const char *rcpt_domain,
                      struct admission_answer *out);

/* Is the client's address listed, and is the proof of one of its entries
 * given? (What rate limits ask.) */
bool admission_source_authorized(const struct conf *c,
                                 const struct admission_client *cl);

/* What RCPT refuses of an address whoever sends to it, and of one that is
 * admitted from outside: would a host that trusts us be asked to relay (B20)?
 * a is the answer of admission_decide, and becomes the refusal. */
void admission_recipient(const struct address *to, struct admission_answer *a);

/* At the end of data: size and hops, and with internal_from (a recipient is
 * not inbound) the From field. */
void admission_header(const struct conf *c, const char *header,
                      size_t header_len, bool internal_from,
                      struct admission_answer *out);

/* The From field of an outbound or internal message alone. */
void admission_header_from(const struct conf *c, const char *header,
                           size_t header_len, struct admission_answer *out);

const char *admission_reason_word(enum admission_reason r);

#endif
